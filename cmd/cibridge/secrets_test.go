package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cibridge/internal/config"
	"cibridge/internal/seal"
	"cibridge/internal/store/storetest"
)

// inProcess is a server in this process, on a real Redis, which calls a target
// that echoes everything.
type inProcess struct {
	t      testing.TB
	redis  *storetest.Server
	system *system
	log    *logBuffer
	url    string
	target *httptest.Server
}

func newInProcess(t *testing.T, settings string) *inProcess {
	t.Helper()
	p := &inProcess{t: t, redis: storetest.Redis(t), log: &logBuffer{}}
	p.target = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "%s %s %q %s", r.Method, r.URL, r.Header, body)
	}))
	t.Cleanup(p.target.Close)
	cfg, problems := config.Parse("test.yaml", []byte(settings), []string{
		"CIBRIDGE_REDIS_URL=" + p.redis.URL(), "CIBRIDGE_ADMIN_TOKEN=" + adminToken, "CIBRIDGE_ENCRYPTION_KEYS=" + seal.NewKey(),
		"CIBRIDGE_EGRESS_ALLOW=127.0.0.0/8", "CIBRIDGE_LISTEN=127.0.0.1:0",
	})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s, err := start(ctx, cfg, newLog(p.log, "json", "debug"))
	if err != nil {
		t.Fatal(err)
	}
	p.system, p.url = s, "http://"+s.listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return p
}

func (p *inProcess) call(method, path string, header map[string]string, body string) (int, string) {
	status, answer, err := request(method, p.url+path, header, []byte(body))
	if err != nil {
		p.t.Fatal(err)
	}
	return status, answer
}

func (p *inProcess) admin(method, path string, in any) string {
	body, _ := json.Marshal(in)
	status, answer := p.call(method, path, map[string]string{"Authorization": "Bearer " + adminToken}, string(body))
	if status >= 300 {
		p.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// piece returns eight bytes of a secret that a text shows, or "".
func piece(text, secret string) string {
	for i := 0; i+8 <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+8]) {
			return secret[i : i+8]
		}
	}
	return ""
}

// The characters of secrets that are planted: anything where the value is
// known, and what may stand in the place otherwise.
const (
	anyChar = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ äß€"
	urlChar = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$*+,;="
)

// randomSecret is random throughout, so that no piece of it is anywhere by
// chance.
func randomSecret(t *rapid.T, chars string) string {
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 7))
	all := []rune(chars)
	var b strings.Builder
	for range rapid.IntRange(12, 48).Draw(t, "length") {
		b.WriteRune(all[rnd.IntN(len(all))])
	}
	return b.String()
}

// planted is a payload with a secret in it.
type planted struct {
	secret string
	known  bool // to the server, which uses it itself
	doc    map[string]any
	header map[string]string
	query  url.Values
}

var secretMembers = []string{"password", "DB_PASSWORD", "accessToken", "private_key", "api_key", "clientSecret", "authorization", "credentials", "X-Auth-Token"}

// anywhere returns a secret that the server knows, in one of the forms in which
// it may come back.
var anywhere = []func(secret string) any{
	func(s string) any { return s },
	func(s string) any { return "it says " + s + " here" },
	func(s string) any { return []any{1, map[string]any{"deep": s}} },
	func(s string) any { return "https://h.example/?q=" + url.QueryEscape(s) },
	func(s string) any { return "https://h.example/" + url.PathEscape(s) },
	func(s string) any { return base64.StdEncoding.EncodeToString([]byte("user:" + s)) },
	func(s string) any { return base64.StdEncoding.EncodeToString([]byte(`{"a":` + jsonText(s) + `}`)) },
	func(s string) any { return `{"inner":` + jsonText(s) + `}` },
	func(s string) any { return map[string]any{s: "a name"} },
	func(s string) any { return s[:len(s)/2+4] },
}

// byRule returns a secret that nobody knows, where a rule finds it.
var byRule = []func(t *rapid.T, secret string) (name string, value any){
	func(t *rapid.T, s string) (string, any) { return rapid.SampledFrom(secretMembers).Draw(t, "member"), s },
	func(t *rapid.T, s string) (string, any) { return "secrets", []any{s, map[string]any{"x": s}} },
	func(t *rapid.T, s string) (string, any) {
		return "variable", map[string]any{"value": s, "name": rapid.SampledFrom(secretMembers).Draw(t, "member")}
	},
	func(t *rapid.T, s string) (string, any) {
		return "clone", "https://ci:" + s + "@git.example/acme/shop.git"
	},
	func(t *rapid.T, s string) (string, any) {
		return "clone", "cloned from http://" + s + "@git.example/x now"
	},
	func(t *rapid.T, s string) (string, any) {
		return "link", "https://h.example/x?page=2&access_token=" + s + "#top"
	},
	func(t *rapid.T, s string) (string, any) {
		return "step", "curl -H 'Authorization: Bearer " + s + "' https://h.example"
	},
	func(t *rapid.T, s string) (string, any) { return "env", "CI=1\nDEPLOY_TOKEN=" + s + "\nHOME=/root" },
	func(t *rapid.T, s string) (string, any) { return "payload", `{"password":` + jsonText(s) + `}` },
	func(t *rapid.T, s string) (string, any) {
		return "data", base64.StdEncoding.EncodeToString([]byte(`{"password":` + jsonText(s) + `}`))
	},
}

func jsonText(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// plant draws a payload of Jenkins or GitLab with a secret somewhere.
func plant(t *rapid.T, jenkins bool) planted {
	p := planted{header: map[string]string{}, query: url.Values{}, known: rapid.Bool().Draw(t, "known")}
	number := rapid.Int64Range(1, 1<<40).Draw(t, "number")
	var inner map[string]any
	if jenkins {
		inner = map[string]any{"number": number, "phase": "COMPLETED", "status": "SUCCESS", "timestamp": 1772362800000, "full_url": "https://jenkins.example/job/shop/1/",
			"scm": map[string]any{"url": "https://git.example/acme/shop", "branch": "main", "commit": fmt.Sprintf("%040x", number)}}
		p.doc = map[string]any{"name": "shop", "url": "job/shop/", "build": inner}
		p.query.Set("token", jenkinsToken)
	} else {
		inner = map[string]any{"id": number, "iid": 1, "ref": "main", "status": "success", "sha": fmt.Sprintf("%040x", number), "source": "push"}
		p.doc = map[string]any{"object_kind": "pipeline", "object_attributes": inner, "project": map[string]any{"path_with_namespace": "acme/shop", "web_url": "https://git.example/acme/shop"},
			"commit": map[string]any{"title": "a change", "message": "a change"}, "user": map[string]any{"username": "mlind"}}
		p.header["X-Gitlab-Token"] = gitlabSecret
	}
	if p.known {
		p.secret = randomSecret(t, anyChar)
		value := rapid.SampledFrom(anywhere).Draw(t, "form")(p.secret)
		switch rapid.IntRange(0, 5).Draw(t, "place") {
		case 0:
			p.doc["commit"] = map[string]any{"title": value, "message": value}
		case 1:
			inner["extra"] = value
		case 2:
			p.query.Set("note", fmt.Sprint(value))
		case 3:
			p.header["X-Note"] = url.QueryEscape(fmt.Sprint(value))
		case 4:
			inner["status"] = value // a word that the mapping does not know
		case 5:
			p.doc["user"], inner["scm"] = map[string]any{"username": value, "name": value}, map[string]any{"branch": value}
		}
		return p
	}
	p.secret = randomSecret(t, urlChar)
	switch rapid.IntRange(0, 3).Draw(t, "place") {
	case 0:
		inner["variables"] = []any{map[string]any{"key": "REGION", "value": p.secret}}
		inner["parameters"] = map[string]any{"REGION": p.secret}
		if jenkins {
			delete(inner, "variables")
		} else {
			delete(inner, "parameters")
		}
	case 1:
		p.header[rapid.SampledFrom([]string{"Authorization", "X-Api-Key", "Private-Token", "X-Forwarded-Access-Token", "Cookie"}).Draw(t, "header")] = p.secret
	default:
		name, value := rapid.SampledFrom(byRule).Draw(t, "rule")(t, p.secret)
		rapid.SampledFrom([]map[string]any{p.doc, inner}).Draw(t, "at")[name] = value
		if text, ok := value.(string); ok && (name == "clone" || name == "link" || name == "step" || name == "env") {
			p.doc["commit"] = map[string]any{"title": text, "message": text} // which hooks send on
			inner["full_url"] = text
		}
	}
	return p
}

const jenkinsToken = "e2e-secret-of-the-jenkins-source"

// No eight bytes of a secret are shown anywhere, wherever it came in: in no
// line of the log, no answer, no attempt, no metric, and in nothing that Redis
// was given.
func TestNoSecretShows(t *testing.T) {
	p := newInProcess(t, `
sources:
  - {id: gl, mapping: gitlab, secrets: [`+gitlabSecret+`]}
  - {id: jk, mapping: jenkins-notification, secrets: [`+jenkinsToken+`]}
`)
	p.admin("POST", "/pipelines/*/hooks/outgoing", map[string]any{
		"name": "echo", "target_url": p.target.URL + "/status/{{ run.commit.sha }}?note={{ run.title | default('none') }}", "trigger_when": map[string]any{"events": []string{"action.completed"}},
		"settings": map[string]any{
			"request_headers": []any{map[string]any{"name": "Authorization", "value": "Bearer {{ application.source_provider.access_token }}"}},
			"request_body":    map[string]any{"title": "{{ run.title }}", "url": "{{ run.url }}", "who": "{{ run.actor.login }}"},
		},
	})
	p.admin("POST", "/api/v1/applications", map[string]any{"name": "shop", "repositories": []string{}, "pipelines": []string{"*"},
		"source_provider": map[string]any{"name": "github", "base_url": p.target.URL, "access_token": forgeToken}})
	secrets := []string{adminToken, gitlabSecret, jenkinsToken, forgeToken}
	check := func(fatal func(string, ...any), what, text, secret string) {
		if found := piece(text, secret); found != "" {
			at := strings.Index(text, found)
			fatal("%s shows %q of %q: …%s…", what, found, secret, text[max(0, at-200):min(len(text), at+100)])
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		jenkins := rapid.Bool().Draw(rt, "jenkins")
		in := plant(rt, jenkins)
		if in.known {
			p.admin("POST", "/api/v1/sources", map[string]any{"id": fmt.Sprintf("k%d", len(secrets)), "mapping": "github-actions", "secrets": []string{in.secret}})
		}
		secrets = append(secrets, in.secret)
		path := "/in/gl?"
		if jenkins {
			path = "/in/jk?"
		}
		body, _ := json.Marshal(in.doc)
		logged := len(p.log.String())
		_, answer := p.call("POST", path+in.query.Encode(), in.header, string(body))
		check(rt.Fatalf, "the answer", answer, in.secret)
		in.header["X-Cibridge-Dry-Run"] = "1"
		_, answer = p.call("POST", path+in.query.Encode(), in.header, string(body))
		check(rt.Fatalf, "the dry run", answer, in.secret)
		var events list[struct{ ID string }]
		if err := json.Unmarshal([]byte(p.admin("GET", "/api/v1/events?limit=1", nil)), &events); err != nil || len(events.Items) == 0 {
			rt.Fatalf("no event: %v", err)
		}
		for _, path := range []string{"/api/v1/events?limit=2", "/api/v1/events/" + events.Items[0].ID, "/api/v1/events/" + events.Items[0].ID + "/raw", "/api/v1/runs?limit=2", "/api/v1/pipelines"} {
			check(rt.Fatalf, path, p.admin("GET", path, nil), in.secret)
		}
		check(rt.Fatalf, "the log", p.log.String()[logged:], in.secret)
	})
	eventually(t, 30*time.Second, func() error {
		if answer := p.admin("GET", "/api/v1/deliveries?state=pending", nil); !strings.Contains(answer, `"items":[]`) {
			return fmt.Errorf("still pending: %s", tail(answer, 300))
		}
		return nil
	})
	all := map[string]string{"Redis": p.redis.Written(), "the log": p.log.String()}
	_, all["the metrics"] = p.call("GET", "/metrics", nil, "")
	for _, path := range []string{"/api/v1/deliveries?limit=200", "/api/v1/runs?limit=200", "/api/v1/events?limit=200", "/api/v1/sources", "/api/v1/applications", "/api/v1/hooks", "/api/v1/keys"} {
		all[path] = p.admin("GET", path, nil)
	}
	var hooks, deliveries list[struct{ ID string }]
	_ = json.Unmarshal([]byte(all["/api/v1/hooks"]), &hooks)
	_ = json.Unmarshal([]byte(all["/api/v1/deliveries?limit=200"]), &deliveries)
	requests := p.admin("GET", "/hooks/outgoing/"+hooks.Items[0].ID+"/requests?per_page=100", nil)
	var tries []struct{ ID string }
	if _ = json.Unmarshal([]byte(requests), &tries); len(tries) == 0 || len(deliveries.Items) == 0 {
		t.Fatal("nothing was delivered")
	}
	for _, try := range tries {
		all["/hook-requests"] += p.admin("GET", "/hook-requests/"+try.ID, nil)
	}
	for _, d := range deliveries.Items {
		all["/api/v1/deliveries/id"] += p.admin("GET", "/api/v1/deliveries/"+d.ID, nil)
	}
	for what, text := range all {
		for _, secret := range secrets {
			check(t.Errorf, what, text, secret)
		}
	}
	if !strings.Contains(all["/hook-requests"], "***") {
		t.Error("no attempt had anything to mask: the target no longer echoes")
	}
}
