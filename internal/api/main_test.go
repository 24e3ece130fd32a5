package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cibridge/bridge"
	"cibridge/internal/apikey"
	"cibridge/internal/hook"
	"cibridge/internal/mapping"
	"cibridge/internal/provider"
	"cibridge/mappings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const adminToken = "operator-token-0123456789"

// inline are mappings for what the shipped ones do not use.
const inline = `
version: 1
name: native
receive: {auth: [key]}
run_key: id
events:
  - name: ping
    match: {body: {type: ping}}
    ignore: a ping
  - name: build
    match: {body: {type: build}}
    status: {path: state, map: {ok: succeeded, ko: failed, go: running}}
    fields: {component: app, pipeline.id: app, commit.sha: sha}
---
version: 1
name: none
receive: {auth: [none]}
run_key: id
events: [{name: build, status: {value: succeeded}}]
---
version: 1
name: basic
receive: {auth: [basic]}
run_key: id
events: [{name: build, status: {value: succeeded}}]
---
version: 1
name: query
receive: {auth: [{token: {query: ticket}}], routes: [POST /query/hook]}
run_key: id
events: [{name: build, status: {value: succeeded}, fields: {labels.ticket: '=query.ticket', labels.other: '=query.other'}}]
---
version: 1
name: stamped
receive:
  auth: [{hmac: {header: X-Signature, format: "timestamp={timestamp},signature={signature}", message: "{timestamp}.{body}", tolerance: 2m}}]
run_key: id
events: [{name: build, status: {value: succeeded}, fields: {labels.signed: '=request.signed_at'}}]
---
version: 1
name: picked
receive: {auth: [{hmac: {header: X-Sig, pick: v1, encoding: hex}}]}
run_key: id
events: [{name: build, status: {value: succeeded}}]
---
version: 1
name: encoded
receive: {auth: [{hmac: {header: Authorization, prefix: "HMAC ", encoding: base64}}]}
run_key: id
events: [{name: build, status: {value: succeeded}}]
---
version: 1
name: standard
receive: {auth: [standard-webhooks]}
run_key: id
events: [{name: build, status: {value: succeeded}}]
---
version: 1
name: draft
receive: {auth: [http-signature]}
run_key: id
events: [{name: build, status: {value: succeeded}, fields: {labels.signed: '=request.signed_at', labels.proof: '=header.signature'}}]
---
version: 1
name: bearer
receive: {auth: [{token: {header: Authorization, prefix: "Bearer "}}]}
run_key: id
events: [{name: build, status: {value: succeeded}}]
---
version: 1
name: apart
receive: {auth: [{hmac: {header: X-Slack-Signature, prefix: v0=, timestamp: X-Slack-Request-Timestamp, message: "v0:{timestamp}:{body}"}}]}
run_key: id
events: [{name: build, status: {value: succeeded}}]
---
version: 1
name: form
receive: {auth: [none], decode: {form: payload}}
run_key: id
events: [{name: build, status: {value: succeeded}}]
---
version: 1
name: handshake
receive: {auth: [none]}
run_key: id
events:
  - name: confirm
    match: {body: {type: hello}}
    confirm: {get: url, host: "*.example.com"}
  - name: build
    match: {body: {type: build}}
    status: {value: succeeded}
`

var loadOnce = sync.OnceValues(func() (*mapping.Set, error) {
	var files []mapping.File
	for _, f := range mappings.Files() {
		if strings.HasSuffix(f.Name, "_test.yaml") {
			continue // run where the mappings are
		}
		files = append(files, mapping.File{Name: f.Name, Data: f.Data, ReadOnly: true})
	}
	for _, text := range strings.Split(inline, "---\n") {
		name, _, _ := strings.Cut(strings.SplitN(text, "name: ", 2)[1], "\n")
		files = append(files, mapping.File{Name: name + ".yaml", Data: []byte(text)})
	}
	set, problems := mapping.Load(files)
	return set, problems.Err()
})

var profilesOnce = sync.OnceValues(provider.Load)

// rig is a server on a fake store.
type rig struct {
	*memory
	t      *testing.T
	server *Server
	http   *httptest.Server
	log    *logBuffer
	clock  time.Time
	keys   map[string]string // name -> text
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const (
	githubSecret   = "the github secret"
	gitlabToken    = "the gitlab token"
	standardSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
)

// someSecret is one of the form that a kind of authentication takes.
var someSecret = map[string][]bridge.Secret{
	"token": {"a secret that is long"}, "hmac": {"a secret that is long"}, "http-signature": {"a secret that is long"},
	"basic": {"ci:long enough"}, "standard-webhooks": {standardSecret},
}

// newRig starts a server with the shipped mappings and the inline ones, each
// with a source of the same name. change edits the configuration; nil keeps it.
func newRig(t *testing.T, change func(c *Config)) *rig {
	t.Helper()
	set, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	profiles, err := profilesOnce()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{memory: newMemory(), t: t, log: &logBuffer{}, clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), keys: map[string]string{}}
	for _, name := range set.Names() {
		r.memory.snap.Sources = append(r.memory.snap.Sources, bridge.Source{ID: name, Mapping: name, ReadOnly: name == "codenow", Secrets: someSecret[set.Get(name).Auth()[0].Kind]})
	}
	r.secret("github-actions", "an older secret", githubSecret)
	r.secret("gitlab", gitlabToken)
	r.secret("basic", "ci:long enough")
	r.secret("query", "a ticket of some length")
	for _, name := range []string{"stamped", "picked", "encoded", "draft", "bearer", "apart"} {
		r.secret(name, bridge.Secret(name+" secret"))
	}
	r.secret("standard", standardSecret)
	r.key("account", bridge.Key{Source: "codenow", Account: true})
	r.key("shop", bridge.Key{Source: "codenow", Components: []string{"shop"}})
	r.key("sei", bridge.Key{Source: "harness-sei", Account: true})
	r.key("native", bridge.Key{Source: "native", Account: true})
	cfg := Config{
		Commit: r.memory, Registry: r.memory, Keys: r.memory, Runs: r.memory, Ledger: r.memory, Deliveries: r.memory, Attempts: r.memory,
		AdminTokens: []bridge.Secret{"another-operator-token", adminToken},
		CheckHook:   func(h bridge.Hook) map[string][]string { return hook.Check(h, profiles) },
		Providers:   profiles.Names(),
		Health:      func(context.Context) Health { return Health{Ready: true} },
		Log:         slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:         func() time.Time { return r.clock },
	}
	if change != nil {
		change(&cfg)
	}
	if r.server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	r.server.SetMappings(set)
	r.http = httptest.NewServer(r.server)
	t.Cleanup(r.http.Close)
	return r
}

func (r *rig) secret(source string, secrets ...bridge.Secret) {
	for i := range r.memory.snap.Sources {
		if r.memory.snap.Sources[i].ID == source {
			r.memory.snap.Sources[i].Secrets = secrets
		}
	}
}

// key stores a key and keeps its text.
func (r *rig) key(name string, k bridge.Key) string {
	text, id, hash := apikey.New()
	k.ID, k.Hash, k.Name = id, hash, name
	r.memory.mu.Lock()
	s := *r.memory.snap
	s.Keys = append(append([]bridge.Key(nil), s.Keys...), k)
	r.memory.snap = &s
	r.memory.mu.Unlock()
	r.keys[name] = text
	return text
}

// answer is what a client sees.
type answer struct {
	status int
	header http.Header
	body   string
}

// send posts as CI tools do. header holds pairs of name and value.
func (r *rig) send(method, path, body string, header ...string) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, r.http.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return r.do(req)
}

func (r *rig) do(req *http.Request) answer {
	r.t.Helper()
	resp, err := r.http.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// codenow posts to CodeNOW's route with one of the rig's keys.
func (r *rig) codenow(key, body string) answer {
	r.t.Helper()
	return r.send("POST", "/ci/webhook", body, "X-Codenow-Api-Key", r.keys[key], "Content-Type", "application/vnd.codenow.v1+json")
}

// admin sends a request of an operator.
func (r *rig) admin(method, path, body string) answer {
	r.t.Helper()
	return r.send(method, path, body, "Authorization", "Bearer "+adminToken)
}

func start(pipeline, component string) string {
	return `{"type":"codenow.ci.start.event","version":"application/vnd.codenow.v1+json","pipelineId":"` + pipeline +
		`","componentId":"` + component + `","buildVersion":"1.0.0","createdAt":"2026-03-01T11:00:00Z"}`
}

// is checks status and body. A "*" in want stands for any text.
func (a answer) is(t *testing.T, status int, want string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
	if !like(a.body, want) {
		t.Errorf("body\n got %s\nwant %s", a.body, want)
	}
}

func like(got, want string) bool {
	parts := strings.Split(want, "*")
	if len(parts) == 1 {
		return got == want
	}
	if !strings.HasPrefix(got, parts[0]) {
		return false
	}
	got = got[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(got, p)
		if i < 0 {
			return false
		}
		got = got[i+len(p):]
	}
	return strings.HasSuffix(got, parts[len(parts)-1])
}

// json reads the body.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("the body is not JSON: %v: %s", err, a.body)
	}
	return v
}
