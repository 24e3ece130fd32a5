package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
)

// Who has sent a request is the peer, whatever he writes; only what stands
// behind trusted proxies counts.
func TestAddress(t *testing.T) {
	const peer, proxy, inner = "203.0.113.7:4711", "10.1.2.3:80", "[fd00::1]:80"
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name    string
		trusted []netip.Prefix
		remote  string
		forward []string
		want    string
	}{
		{"nobody is trusted", nil, peer, []string{"198.51.100.1"}, "203.0.113.7"},
		{"nobody is trusted, from a private network", nil, proxy, []string{"198.51.100.1"}, "10.1.2.3"},
		{"a stranger pretends", trusted, peer, []string{"198.51.100.1"}, "203.0.113.7"},
		{"through a proxy", trusted, proxy, []string{"198.51.100.1"}, "198.51.100.1"},
		{"what a sender wrote stands before", trusted, proxy, []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"in a line of its own", trusted, proxy, []string{"1.1.1.1", "198.51.100.1"}, "198.51.100.1"},
		{"a sender pretends to be a proxy", trusted, proxy, []string{"1.1.1.1, 10.9.9.9, 198.51.100.1"}, "198.51.100.1"},
		{"through two", trusted, inner, []string{"1.1.1.1, 198.51.100.1, 10.1.2.3"}, "198.51.100.1"},
		{"with ports", trusted, proxy, []string{"198.51.100.1:9999"}, "198.51.100.1"},
		{"IPv6 with a port", trusted, proxy, []string{"[2001:db8::5]:1"}, "2001:db8::5"},
		{"IPv6 without", trusted, proxy, []string{"2001:db8::5"}, "2001:db8::5"},
		{"IPv4 written as IPv6", trusted, proxy, []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"nothing", trusted, proxy, nil, "10.1.2.3"},
		{"nonsense behind the sender", trusted, proxy, []string{"198.51.100.1, unknown"}, "10.1.2.3"},
		{"all are proxies", trusted, proxy, []string{"10.0.0.9, 10.0.0.8"}, "10.0.0.9"},
		{"no address at all", trusted, "@", []string{"198.51.100.1"}, ""},
	} {
		s := &Server{cfg: Config{TrustedProxies: tt.trusted}}
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr = tt.remote
		for _, f := range tt.forward {
			r.Header.Add("X-Forwarded-For", f)
		}
		r.Header.Set("X-Real-Ip", "192.0.2.99")
		if got := s.remote(r); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The limit of an address counts before authentication, on every route that
// authenticates, and is answered in the words of the dialect.
func TestLimitAddress(t *testing.T) {
	var asked []string
	wait := time.Duration(0)
	r := newRig(t, func(c *Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.LimitAddress = func(_ context.Context, address string) time.Duration {
			asked = append(asked, address)
			return wait
		}
	})
	r.send("POST", "/ci/webhook", "{}", "X-Forwarded-For", "198.51.100.1").is(t, 401, "*")
	r.send("POST", "/in/nobody", "{}", "X-Forwarded-For", "2001:db8:1:2:3:4:5:6").is(t, 404, "*")
	r.send("GET", "/api/v1/runs", "", "X-Forwarded-For", "::ffff:198.51.100.2").is(t, 401, "*")
	r.send("GET", "/readyz", "").is(t, 200, "*")
	if want := []string{"198.51.100.1", "2001:db8:1:2::/64", "198.51.100.2"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	wait = 1500 * time.Millisecond
	for _, req := range []struct{ method, path string }{{"POST", "/ci/webhook"}, {"POST", "/in/nobody"}, {"GET", "/api/v1/runs"}, {"POST", "/v1/custom-cicd"}} {
		a := r.send(req.method, req.path, start("p", "shop"), "X-Codenow-Api-Key", r.keys["account"], "Authorization", "Bearer "+adminToken)
		if a.status != 429 || a.header.Get("Retry-After") != "2" || !strings.Contains(a.body, "sends more than it may") {
			t.Errorf("%s %s: %d %v %s", req.method, req.path, a.status, a.header, a.body)
		}
	}
	if len(r.ledger()) != 0 {
		t.Error("a request that was refused is in the ledger")
	}
}

// Whatever is wrong with a credential, the sender sees the same.
func TestUniform401(t *testing.T) {
	r := newRig(t, nil)
	past := r.clock.Add(-time.Hour).UnixMilli()
	expired := r.key("expired", bridge.Key{Source: "codenow", Account: true, ExpiresAt: past})
	suspended := r.key("suspended", bridge.Key{Source: "codenow", Account: true, Suspended: true})
	known := r.keys["account"]
	// The id of one key with the secret of another, and a right check sum.
	unknown := newRig(t, nil).keys["account"]
	seen := map[string]string{}
	for name, key := range map[string]string{
		"none": "", "not a key": "x", "unknown": unknown, "broken": known[:len(known)-1] + "x", "expired": expired, "suspended": suspended, "admin token": adminToken,
	} {
		a := r.codenow(key0(r, name, key), start("p", "shop"))
		var header []string
		for h, v := range a.header {
			if h != "Date" && h != headerEvent {
				header = append(header, fmt.Sprint(h, v))
			}
		}
		slices.Sort(header)
		text := fmt.Sprint(a.status, header, strings.ReplaceAll(a.body, a.header.Get(headerEvent), "evt"))
		seen[text] += name + ", "
		if a.status != 401 {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	if len(seen) != 1 {
		t.Errorf("answers differ: %v", seen)
	}
	// So it is with a shared secret: none, a wrong one, and a source that has
	// no usable one at all.
	r.secret("form")
	r.secret("bearer")
	for _, h := range [][]string{nil, {"Authorization", "Bearer wrong and long"}, {"Authorization", ""}} {
		a, b := r.send("POST", "/in/bearer", "{}", h...), r.send("POST", "/in/gitlab", "{}", h...)
		if a.status != 401 || b.status != 401 {
			t.Errorf("%v: %d, %d", h, a.status, b.status)
		}
	}
	admin := map[string]bool{}
	for _, h := range []string{"", "Bearer wrong-token-0123456789", "Basic eDp5", "Bearer"} {
		a := r.send("GET", "/api/v1/runs", "", "Authorization", h)
		admin[fmt.Sprint(a.status, a.body, a.header["Www-Authenticate"])] = true
	}
	if len(admin) != 1 {
		t.Errorf("operators' 401 differ: %v", admin)
	}
}

func key0(r *rig, name, key string) string {
	r.keys[name] = key
	return name
}

// A read token looks and changes nothing; keys and tokens never stand for each
// other.
func TestTokenScopes(t *testing.T) {
	const read, maren = "read-token-0123456789", "token-of-maren-0123456789"
	r := newRig(t, func(c *Config) {
		c.Tokens = []Token{{Name: "read", Secret: read, ReadOnly: true}, {Name: "maren", Secret: maren}}
	})
	hook := `{"name":"h","target_url":"https://h.example/x","trigger_when":{"events":["action.completed"]}}`
	for _, row := range table() {
		if row.open == public {
			continue
		}
		path := strings.NewReplacer(":id", "none", ":type", "outgoing").Replace(row.path)
		a := r.send(row.method, path, hook, "Authorization", "Bearer "+read)
		if refused := a.status == 403 && strings.Contains(a.body, "may look"); refused != (row.method != "GET") {
			t.Errorf("read token, %s %s: %d %s", row.method, row.path, a.status, a.body)
		}
		for name, key := range r.keys {
			if a := r.send(row.method, path, hook, "Authorization", "Bearer "+key, "X-Codenow-Api-Key", key); a.status != 401 {
				t.Errorf("key %s, %s %s: %d", name, row.method, row.path, a.status)
			}
		}
		if a := r.send(row.method, path, hook, "Authorization", "Bearer "+maren); a.status == 401 || a.status == 403 && strings.Contains(a.body, "may look") {
			t.Errorf("admin token, %s %s: %d", row.method, row.path, a.status)
		}
	}
	for _, token := range []string{adminToken, read, maren} {
		for _, path := range []string{"/ci/webhook", "/v1/custom-cicd", "/in/gitlab", "/in/github-actions", "/in/native"} {
			r.send("POST", path, start("p", "shop"), "Authorization", "Bearer "+token, "X-Gitlab-Token", token, "X-Codenow-Api-Key", token).is(t, 401, "*")
		}
		status := map[bool]int{true: 401, false: 200}[token == read] // a dry run shows the hooks
		if a := r.send("POST", "/ci/webhook", start("p", "shop"), "Authorization", "Bearer "+token, headerDryRun, "1"); a.status != status {
			t.Errorf("dry run with %s: %d, want %d", token, a.status, status)
		}
	}
	for name, tokens := range map[string][]Token{"short": {{Name: "x", Secret: "short"}}, "twice": {{Name: "x", Secret: read}, {Name: "y", Secret: read}}, "as admin": {{Name: "x", Secret: adminToken}}} {
		cfg := r.server.cfg
		cfg.Metrics, cfg.Tokens = nil, tokens
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// auditLog keeps what it is given.
type auditLog struct {
	entries []AuditEntry
	down    error
}

func (l *auditLog) Audit(_ context.Context, e AuditEntry) error {
	if l.down == nil {
		l.entries = append(l.entries, e)
	}
	return l.down
}

func (l *auditLog) AuditLog(_ context.Context, p Page) ([]AuditEntry, string, error) {
	out := slices.Clone(l.entries)
	slices.Reverse(out)
	if len(out) > p.Limit {
		return out[:p.Limit], "more", nil
	}
	return out, "", l.down
}

// What operators change is in the audit log, also what they were not allowed
// to; what they look at is not.
func TestAudit(t *testing.T) {
	log := &auditLog{}
	const read = "read-token-0123456789"
	r := newRig(t, func(c *Config) { c.Audit, c.Tokens = log, []Token{{Name: "viewer", Secret: read, ReadOnly: true}} })
	secret := `{"id":"gh","mapping":"github-actions","secrets":["hunter22-hunter22"]}`
	r.admin("POST", "/api/v1/sources", secret).is(t, 201, "*")
	r.admin("POST", "/api/v1/sources", secret).is(t, 409, "*")
	r.admin("POST", "/api/v1/sources", `{"id":"gh"}`).is(t, 422, "*")
	r.admin("DELETE", "/hooks/outgoing/none", "").is(t, 404, "*")
	r.send("DELETE", "/api/v1/sources/gh", "", "Authorization", "Bearer "+read).is(t, 403, "*")
	r.send("POST", "/pipelines/*/hooks/outgoing", "{}").is(t, 401, "*")
	r.admin("DELETE", "/api/v1/keys/"+r.keys["shop"], "").is(t, 404, "*")
	r.admin("GET", "/api/v1/sources", "").is(t, 200, "*")
	var got []string
	for _, e := range log.entries {
		got = append(got, fmt.Sprint(e.Actor, " ", e.Method, " ", e.Path, " ", e.Status, " ", e.Remote))
		if !e.At.Equal(r.clock) {
			t.Errorf("at %s", e.At)
		}
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(r.keys["shop"], "cib_"), "_")
	want := []string{
		"admin POST /api/v1/sources 201 127.0.0.1", "admin POST /api/v1/sources 409 127.0.0.1", "admin POST /api/v1/sources 422 127.0.0.1",
		"admin DELETE /hooks/outgoing/none 404 127.0.0.1", "viewer DELETE /api/v1/sources/gh 403 127.0.0.1", "nobody POST /pipelines/*/hooks/outgoing 401 127.0.0.1",
		"admin DELETE /api/v1/keys/cib_" + id + "_*** 404 127.0.0.1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("audit log\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if text := r.log.String(); strings.Contains(text, "hunter22") || !strings.Contains(text, "actor=viewer") {
		t.Errorf("log: %s", text)
	}
	r.admin("GET", "/api/v1/audit?limit=1", "").is(t, 200, `{"items":[{"at":"2026-03-01T12:00:00.000Z","actor":"admin","remote":"127.0.0.1","method":"DELETE","path":"/api/v1/keys/cib_`+id+`_***","status":404}],"next":"more"}`)
	r.admin("GET", "/api/v1/audit?who=me", "").is(t, 422, "*")

	// Strangers cannot wash it out.
	before := len(log.entries)
	for range 3 * strangersPerMinute {
		r.send("DELETE", "/api/v1/sources/gh", "")
	}
	if n := len(log.entries) - before; n != strangersPerMinute-1 { // one was above
		t.Errorf("%d entries of strangers", n)
	}
	r.clock = r.clock.Add(time.Minute)
	r.send("DELETE", "/api/v1/sources/gh", "")
	if n := len(log.entries) - before; n != strangersPerMinute {
		t.Errorf("%d entries a minute later", n)
	}

	// A change that cannot be noted is a change still, and the log says so.
	log.down = errors.New("Redis is away")
	r.admin("DELETE", "/api/v1/sources/gh", "").is(t, 204, "*")
	if !strings.Contains(r.log.String(), "this line stands for the entry") {
		t.Error("nothing says that the entry was lost")
	}
}

// With a listener of their own, operators are served there and nowhere else.
func TestSides(t *testing.T) {
	r := newRig(t, nil)
	for _, tt := range []struct {
		method, path                string
		all, onSenders, onOperators int
	}{
		{"GET", "/healthz", 200, 200, 200},
		{"GET", "/readyz", 200, 200, 200},
		{"GET", "/metrics", 200, 404, 200},
		{"GET", "/api/v1/runs", 200, 404, 200},
		{"GET", "/%61pi/v1/runs", 404, 404, 404},
		{"GET", "//api/v1/runs", 404, 404, 404},
		{"GET", "/hooks/outgoing/x", 404, 404, 404},
		{"GET", "/pipelines/*/hooks", 200, 404, 200},
		{"GET", "/applications/x/hooks", 404, 404, 404},
		{"POST", "/ci/webhook", 401, 401, 404},
		{"POST", "/gratis/ci/webhook", 401, 401, 404},
		{"POST", "/in/gitlab", 401, 401, 404},
	} {
		for name, h := range map[string]struct {
			handler http.Handler
			want    int
		}{"all": {r.server, tt.all}, "senders": {r.server.Senders(), tt.onSenders}, "operators": {r.server.Operators(), tt.onOperators}} {
			req := httptest.NewRequest(tt.method, tt.path, strings.NewReader("{}"))
			req.Header.Set("Authorization", "Bearer "+adminToken)
			w := httptest.NewRecorder()
			h.handler.ServeHTTP(w, req)
			if w.Code != h.want {
				t.Errorf("%s: %s %s: %d, want %d: %s", name, tt.method, tt.path, w.Code, h.want, w.Body)
			}
		}
	}
}
