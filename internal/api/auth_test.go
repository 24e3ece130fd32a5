package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/mapping"
)

func mac(secret, message string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(message))
	return h.Sum(nil)
}

func hexMAC(secret, message string) string { return hex.EncodeToString(mac(secret, message)) }

func base64MAC(secret, message string) string {
	return base64.StdEncoding.EncodeToString(mac(secret, message))
}

func TestKeys(t *testing.T) {
	r := newRig(t, nil)
	hour := r.clock.Add(time.Hour).UnixMilli()
	r.key("expired", bridge.Key{Source: "codenow", Account: true, ExpiresAt: r.clock.UnixMilli()})
	r.key("alive", bridge.Key{Source: "codenow", Account: true, ExpiresAt: hour})
	r.key("suspended", bridge.Key{Source: "codenow", Account: true, Suspended: true})
	r.key("scopeless", bridge.Key{Source: "codenow"})
	good := r.keys["account"]
	other := r.keys["shop"]
	swapped := good[:17] + other[17:60] // the id of one and the secret of another
	swapped += fmt.Sprintf("_%08x", crc(swapped))

	uniform := `{"type":"urn:cibridge:error:E020","title":"Not authenticated","status":401,"code":"E020","detail":"expected is a valid API key in X-Codenow-Api-Key, or in Authorization as Bearer or ApiKey","event_id":"evt_*"}`
	for _, tc := range []struct {
		name, header, value string
		status              int
		body                string
	}{
		{"own header", "X-Codenow-Api-Key", good, 200, `{"status":"accepted"}`},
		{"bearer", "Authorization", "Bearer " + good, 200, `{"status":"accepted"}`},
		{"BEARER", "Authorization", "BEARER  " + good, 200, `{"status":"accepted"}`},
		{"Apikey", "Authorization", "Apikey " + good, 200, `{"status":"accepted"}`},
		{"not expired", "X-Codenow-Api-Key", r.keys["alive"], 200, `{"status":"accepted"}`},
		{"none", "X-Other", "x", 401, uniform},
		{"empty", "X-Codenow-Api-Key", "", 401, uniform},
		{"no scheme", "Authorization", good, 401, uniform},
		{"basic", "Authorization", "Basic " + good, 401, uniform},
		{"malformed", "X-Codenow-Api-Key", good[:60], 401, uniform},
		{"unknown", "X-Codenow-Api-Key", foreignKey(), 401, uniform},
		{"another secret", "X-Codenow-Api-Key", swapped, 401, uniform},
		{"expired", "X-Codenow-Api-Key", r.keys["expired"], 401, uniform},
		{"suspended", "X-Codenow-Api-Key", r.keys["suspended"], 401, uniform},
		{"admin token", "Authorization", "Bearer " + adminToken, 401, uniform},
		{"scopeless", "X-Codenow-Api-Key", r.keys["scopeless"], 403, `*"detail":"this key may write no component"*`},
	} {
		a := r.send("POST", "/ci/webhook", start("1", "shop"), tc.header, tc.value)
		if a.is(t, tc.status, tc.body); t.Failed() {
			t.Fatal(tc.name)
		}
		if challenge := a.header.Get("WWW-Authenticate"); (challenge != "") != (tc.status == 401) {
			t.Errorf("%s: WWW-Authenticate is %q", tc.name, challenge)
		}
	}
	if r.touched[strings.Split(good, "_")[1]] != 1 {
		t.Errorf("the key was noted %d times within a minute, want once", r.touched[strings.Split(good, "_")[1]])
	}
}

func TestSchemes(t *testing.T) {
	r := newRig(t, nil)
	body := `{"id":1}`
	now := r.clock.Unix()
	stamped := func(at int64, secret string) string {
		return fmt.Sprintf("timestamp=%d,signature=%s", at, hexMAC(secret, fmt.Sprintf("%d.%s", at, body)))
	}
	standardKey, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(standardSecret, "whsec_"))
	standardOf := func(id string, at int64, body string) string {
		return "v1," + base64.StdEncoding.EncodeToString(mac(string(standardKey), fmt.Sprintf("%s.%d.%s", id, at, body)))
	}
	standard := func(at int64, body string) string { return standardOf("msg_1", at, body) }
	none := hex.EncodeToString(make([]byte, 32))
	draft := func(at int64, secret string) []string {
		date, sum := time.Unix(at, 0).UTC().Format(http.TimeFormat), sha256.Sum256([]byte(body))
		digest := "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
		return []string{"Date", date, "Digest", digest, "Signature",
			fmt.Sprintf(`keyId="hmac-key",algorithm="hmac-sha256",signature="%s",headers="date digest"`, base64MAC(secret, "date: "+date+"\ndigest: "+digest))}
	}
	for _, tc := range []struct {
		name, path string
		ok         bool
		header     []string
	}{
		{"github", "github-actions", true, []string{"X-Hub-Signature-256", "sha256=" + hexMAC(githubSecret, body)}},
		{"github, older secret", "github-actions", true, []string{"X-Hub-Signature-256", "sha256=" + hexMAC("an older secret", body)}},
		{"github, wrong secret", "github-actions", false, []string{"X-Hub-Signature-256", "sha256=" + hexMAC("another secret", body)}},
		{"github, empty secret", "github-actions", false, []string{"X-Hub-Signature-256", "sha256=" + hexMAC("", body)}},
		{"github, other body", "github-actions", false, []string{"X-Hub-Signature-256", "sha256=" + hexMAC(githubSecret, body+" ")}},
		{"github, no prefix", "github-actions", false, []string{"X-Hub-Signature-256", hexMAC(githubSecret, body)}},
		{"github, shorter than its prefix", "github-actions", false, []string{"X-Hub-Signature-256", "sha"}},
		{"github, nothing behind the prefix", "github-actions", false, []string{"X-Hub-Signature-256", "sha256="}},
		{"github, cut", "github-actions", false, []string{"X-Hub-Signature-256", "sha256=" + hexMAC(githubSecret, body)[:62]}},
		{"github, sha1", "github-actions", false, []string{"X-Hub-Signature", "sha1=" + hexMAC(githubSecret, body)}},
		{"github, absent", "github-actions", false, nil},
		{"github, token instead", "github-actions", false, []string{"Authorization", "Bearer " + githubSecret}},
		{"gitlab", "gitlab", true, []string{"X-Gitlab-Token", gitlabToken}},
		{"gitlab, wrong", "gitlab", false, []string{"X-Gitlab-Token", gitlabToken + "x"}},
		{"gitlab, absent", "gitlab", false, nil},
		{"query", "query?ticket=a+ticket+of+some+length", true, nil},
		{"query, wrong", "query?ticket=a", false, nil},
		{"basic", "basic", true, []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("ci:long enough"))}},
		{"basic, wrong", "basic", false, []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("ci:long"))}},
		{"basic, absent", "basic", false, nil},
		{"stamped", "stamped", true, []string{"X-Signature", stamped(now, "stamped secret")}},
		{"stamped, 119 s ago", "stamped", true, []string{"X-Signature", stamped(now-119, "stamped secret")}},
		{"stamped, 121 s ago", "stamped", false, []string{"X-Signature", stamped(now-121, "stamped secret")}},
		{"stamped, 121 s ahead", "stamped", false, []string{"X-Signature", stamped(now+121, "stamped secret")}},
		{"stamped, time changed", "stamped", false, []string{"X-Signature", strings.Replace(stamped(now, "stamped secret"), fmt.Sprint(now), fmt.Sprint(now+1), 1)}},
		{"stamped, no time", "stamped", false, []string{"X-Signature", "timestamp=,signature=" + none}},
		{"stamped, other form", "stamped", false, []string{"X-Signature", none}},
		{"stamped, more behind", "stamped", false, []string{"X-Signature", stamped(now, "stamped secret") + "x"}},
		{"picked", "picked", true, []string{"X-Sig", "v0=" + none + ", v1=" + hexMAC("picked secret", body)}},
		{"picked, two", "picked", true, []string{"X-Sig", "v1=" + none + ",v1=" + hexMAC("picked secret", body)}},
		{"picked, other version", "picked", false, []string{"X-Sig", "v2=" + hexMAC("picked secret", body)}},
		{"encoded", "encoded", true, []string{"Authorization", "HMAC " + base64.StdEncoding.EncodeToString(mac("encoded secret", body))}},
		{"encoded, hex", "encoded", false, []string{"Authorization", "HMAC " + hexMAC("encoded secret", body)}},
		{"standard", "standard", true, []string{"webhook-id", "msg_1", "webhook-timestamp", fmt.Sprint(now), "webhook-signature", "v1,AAAA v2,x " + standard(now, body)}},
		{"standard, old", "standard", false, []string{"webhook-id", "msg_1", "webhook-timestamp", fmt.Sprint(now - 301), "webhook-signature", standard(now-301, body)}},
		{"standard, other id", "standard", false, []string{"webhook-id", "msg_2", "webhook-timestamp", fmt.Sprint(now), "webhook-signature", standard(now, body)}},
		{"standard, no id", "standard", false, []string{"webhook-timestamp", fmt.Sprint(now), "webhook-signature", standardOf("", now, body)}},
		{"standard, no v1", "standard", false, []string{"webhook-id", "msg_1", "webhook-timestamp", fmt.Sprint(now), "webhook-signature", strings.TrimPrefix(standard(now, body), "v1,")}},
		{"draft", "draft", true, draft(now, "draft secret")},
		{"draft, 301 s ago", "draft", false, draft(now-301, "draft secret")},
		{"draft, wrong", "draft", false, draft(now, "another secret")},
		{"bearer", "bearer", true, []string{"Authorization", "Bearer bearer secret"}},
		{"bearer, no scheme", "bearer", false, []string{"Authorization", "bearer secret"}},
		{"apart", "apart", true, []string{"X-Slack-Request-Timestamp", fmt.Sprint(now), "X-Slack-Signature", "v0=" + hexMAC("apart secret", fmt.Sprintf("v0:%d:%s", now, body))}},
		{"apart, no time", "apart", false, []string{"X-Slack-Signature", "v0=" + hexMAC("apart secret", "v0::"+body)}},
		{"none", "none", true, nil},
	} {
		before := len(r.ledger())
		a := r.send("POST", "/in/"+tc.path, body, tc.header...)
		if got := a.status == 202; got != tc.ok || !tc.ok && a.status != 401 {
			t.Errorf("%s: status %d, want accepted %v: %s", tc.name, a.status, tc.ok, a.body)
		}
		if stored := len(r.ledger()) > before; stored != tc.ok {
			t.Errorf("%s: stored %v, want %v", tc.name, stored, tc.ok)
		}
	}
	for _, source := range []string{"stamped", "draft"} {
		run, err := r.Run(t.Context(), bridge.RunID(0, source, "1"))
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := run.Field("labels.signed"); v == nil {
			t.Errorf("%s: request.signed_at is absent", source)
		}
		if v, ok := run.Field("labels.proof"); ok {
			t.Errorf("%s: an expression sees the signature: %v", source, v)
		}
	}
}

func TestUnformat(t *testing.T) {
	for _, tc := range []struct {
		format, text string
		want         string // signature, or - when the text has another form
	}{
		{"t={timestamp},s={signature}", "t=1,s=abc", "abc"},
		{"t={timestamp},s={signature};", "t=1,s=abc;", "abc"},
		{"t={timestamp},s={signature};", "t=1,s=abc", "-"},
		{"t={timestamp},s={signature};", "t=1,s=abc;d", "-"},
		{"t={timestamp},s={signature}", "s=abc,t=1", "-"},
		{"{signature}", "abc", "abc"},
		{"s={signature}", "", "-"},
		{"s={signature", "s=abc", "-"},
	} {
		values, ok := unformat(tc.format, tc.text)
		got := values["signature"]
		if !ok {
			got = "-"
		}
		if got != tc.want {
			t.Errorf("unformat(%q, %q) = %q, want %q", tc.format, tc.text, got, tc.want)
		}
	}
}

// TestWeakSecrets: what should not have been stored still proves nothing.
func TestWeakSecrets(t *testing.T) {
	r := newRig(t, nil)
	body := `{"id":1}`
	for name, secrets := range map[string][]bridge.Secret{"none": nil, "empty": {""}, "short": {"1234567"}} {
		r.secret("github-actions", secrets...)
		r.secret("gitlab", secrets...)
		r.secret("standard", secrets...)
		r.server.index.Store(nil)
		secret := ""
		if len(secrets) > 0 {
			secret = secrets[0].Reveal()
		}
		at := fmt.Sprint(r.clock.Unix())
		for path, header := range map[string][]string{
			"github-actions": {"X-Hub-Signature-256", "sha256=" + hexMAC(secret, body)},
			"gitlab":         {"X-Gitlab-Token", secret},
			"standard":       {"webhook-id", "1", "webhook-timestamp", at, "webhook-signature", "v1," + base64.StdEncoding.EncodeToString(mac(secret, "1."+at+"."+body))},
		} {
			if a := r.send("POST", "/in/"+path, body, header...); a.status != 401 {
				t.Errorf("%s secret, %s: status %d, want 401", name, path, a.status)
			}
		}
	}
}

// TestRouteOfAnySource: on a mapping's route the credential tells which source
// sends.
func TestRouteOfAnySource(t *testing.T) {
	r := newRig(t, nil)
	ctx := t.Context()
	for _, src := range []bridge.Source{
		{ID: "second", Mapping: "query", Secrets: []bridge.Secret{"the second ticket"}},
		{ID: "codenow-eu", Mapping: "codenow"},
	} {
		if err := r.PutSource(ctx, src); err != nil {
			t.Fatal(err)
		}
	}
	r.key("eu", bridge.Key{Source: "codenow-eu", Account: true})
	r.send("POST", "/query/hook?ticket=the+second+ticket", `{"id":1}`).is(t, 202, "*")
	if e := r.last(); e.Source != "second" {
		t.Errorf("source %q, want second", e.Source)
	}
	r.send("POST", "/query/hook?ticket=a+ticket+of+some+length", `{"id":1}`).is(t, 202, "*")
	if e := r.last(); e.Source != "query" {
		t.Errorf("source %q, want query", e.Source)
	}
	r.codenow("eu", start("1", "shop")).is(t, 200, "*")
	if e := r.last(); e.Source != "codenow-eu" {
		t.Errorf("source %q, want codenow-eu", e.Source)
	}
	r.send("POST", "/in/codenow", start("1", "shop"), "X-Codenow-Api-Key", r.keys["eu"]).
		is(t, 403, `*this key belongs to source \"codenow-eu\", which may not post here*`)
}

// TestRouteWithoutSource: a mapping whose source was deleted lets nobody in.
func TestRouteWithoutSource(t *testing.T) {
	r := newRig(t, nil)
	if err := r.DeleteSource(t.Context(), "codenow"); err != nil {
		t.Fatal(err)
	}
	r.codenow("account", start("1", "shop")).is(t, 401, "*")
}

// TestSetMappings: routes follow the mappings at once.
func TestSetMappings(t *testing.T) {
	r := newRig(t, nil)
	set, problems := mapping.Load([]mapping.File{{Name: "new.yaml", Data: []byte(`
version: 1
name: none
receive: {auth: [none], routes: [POST /new/hook]}
run_key: id
events: [{name: build, status: {value: failed}}]
`)}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	r.send("POST", "/new/hook", `{"id":1}`).is(t, 404, "*")
	r.server.SetMappings(set)
	r.send("POST", "/new/hook", `{"id":1}`).is(t, 202, "*")
	r.send("POST", "/behind/a/proxy/new/hook", `{"id":2}`).is(t, 202, "*")
	r.send("POST", "/ci/webhook", "{}").is(t, 404, "*")
	r.send("POST", "/in/codenow", "{}").is(t, 503, `*"detail":"mapping \"codenow\" of source \"codenow\" is not loaded"*`)
}

func TestAdminGuard(t *testing.T) {
	r := newRig(t, nil)
	want := `{"type":"urn:cibridge:error:E020","title":"Not authenticated","status":401,"code":"E020","detail":"send the admin token: Authorization: Bearer <token>"}`
	key := `{"type":"urn:cibridge:error:E020","title":"Not authenticated","status":401,"code":"E020","detail":"an API key belongs to a source and does not open this route; send the admin token: Authorization: Bearer <token>"}`
	for _, row := range table() {
		if row.open == public {
			continue
		}
		path := strings.NewReplacer(":id", "x", ":type", "outgoing").Replace(row.path)
		for header, body := range map[string]string{
			"": want, "Bearer wrong": want, "Basic " + adminToken: want, adminToken: want, "Bearer " + r.keys["account"]: key,
		} {
			a := r.send(row.method, path, "{}", "Authorization", header)
			wantBody := body
			if row.open == devopness {
				wantBody = `{"message":"*send the admin token: Authorization: Bearer <token>"}`
			}
			if a.is(t, http.StatusUnauthorized, wantBody); t.Failed() {
				t.Fatal(row.method, row.path, header)
			}
		}
	}
	r.admin("GET", "/api/v1/runs", "").is(t, 200, `{"items":[],"next":null}`)
	r.send("GET", "/api/v1/runs", "", "Authorization", "bearer another-operator-token").is(t, 200, "*")
}

// TestAdminTokenIsNeeded: without a token nobody is an operator, and a short
// one is refused.
func TestAdminTokenIsNeeded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AdminTokens = nil })
	r.send("GET", "/api/v1/runs", "", "Authorization", "Bearer ").is(t, 401, "*")
	r.admin("GET", "/api/v1/runs", "").is(t, 401, "*")
	cfg := r.server.cfg
	cfg.Metrics = nil
	cfg.AdminTokens = []bridge.Secret{"short"}
	if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "short") {
		t.Errorf("New with a short token: %v", err)
	}
}
