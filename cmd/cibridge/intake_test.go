package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cibridge/internal/seal"
	"cibridge/internal/store/storetest"
)

// newServer starts a server on its own Redis, without a source provider, in a
// directory with these files.
func newServer(t *testing.T, files map[string]string, env ...string) (s *stack, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	s = &stack{t: t, redis: storetest.Redis(t), keys: map[string]string{}}
	s.env = append([]string{
		"CIBRIDGE_REDIS_URL=" + s.redis.URL(), "CIBRIDGE_ADMIN_TOKEN=" + adminToken, "CIBRIDGE_ENCRYPTION_KEYS=" + seal.NewKey(), "CIBRIDGE_CONFIG=cibridge.yaml",
	}, env...)
	s.serve = startProcessIn(t, dir, s.env, "serve", "--listen", "127.0.0.1:0")
	return s, dir
}

// writeFile puts a file in place at once, as editors do.
func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// ready is what /readyz says.
type ready struct {
	Ready    bool
	Reasons  []string
	Facts    map[string]any
	Mappings struct {
		Generation int64
		Count      int
		LastError  *struct {
			Count    int
			Problems []struct {
				File      string
				Line, Col int
			}
		} `json:"last_error"`
		Unusable map[string]string `json:"unusable_sources"`
	}
}

// readyWhen waits until /readyz fits.
func (s *stack) readyWhen(what string, fits func(r ready) bool) ready {
	s.t.Helper()
	var r ready
	eventually(s.t, 20*time.Second, func() error {
		r = ready{}
		_, answer := s.do("GET", "/readyz", nil, nil)
		if err := json.Unmarshal([]byte(answer), &r); err != nil || !fits(r) {
			return fmt.Errorf("/readyz is not %s: %s", what, answer)
		}
		return nil
	})
	return r
}

func (s *stack) generation(n int64) ready {
	s.t.Helper()
	return s.readyWhen(fmt.Sprintf("at generation %d", n), func(r ready) bool { return r.Mappings.Generation == n && r.Mappings.LastError == nil })
}

// ends runs a command against the server and returns what it wrote and how it ended.
func (s *stack) ends(args ...string) (out string, code int) {
	s.t.Helper()
	path, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(path, append(args, "--server", s.serve.url, "--token", adminToken)...)
	cmd.Dir = s.serve.cmd.Dir
	text, _ := cmd.CombinedOutput()
	return string(text), cmd.ProcessState.ExitCode()
}

const acmeMapping = `version: 1
name: acme
title: Acme CI
receive:
  auth: [{token: {header: X-Acme-Token}}]
  routes: [POST /acme/hook]
  reply: {accepted: {status: 200, body: {set: one}}}
run_key: id
events: [{name: build, status: {path: state, map: {ok: succeeded}}}]
tests: [{name: ok, body: {id: 1, state: ok}, expect: {status: succeeded}}]
`

// TestServeReloads: a mapping is changed, broken, mended and taken away below
// a server that goes on serving.
func TestServeReloads(t *testing.T) {
	s, dir := newServer(t, map[string]string{
		"mappings/acme.yaml":      acmeMapping,
		"mappings/acme_test.yaml": "mapping: acme\ntests: [{name: not over, body: {id: 1}, expect: {outcome: applied}}]\n",
		"cibridge.yaml":           "mappings: {dirs: [mappings]}\npublic_url: https://ci.acme.example\nsources: [{id: acme, mapping: acme, secrets: [a token of acme]}]\n",
	})
	file := filepath.Join(dir, "mappings", "acme.yaml")
	post := func(path string) string {
		status, answer := s.do("POST", path, map[string]string{"X-Acme-Token": "a token of acme"}, []byte(`{"id":1,"state":"ok"}`))
		return fmt.Sprint(status, " ", answer)
	}
	wants := func(got string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("want %q in\n%s", w, got)
			}
		}
	}
	first := s.generation(1)
	if !first.Ready || len(first.Reasons) > 0 || first.Facts["durability"] == nil || first.Facts["version"] == nil {
		t.Errorf("at the start: %+v", first)
	}
	wants(post("/in/acme"), `200 {"set":"one"}`)

	writeFile(t, file, strings.NewReplacer("set: one", "set: two", "/acme/hook", "/acme/v2").Replace(acmeMapping))
	s.generation(2)
	wants(post("/acme/v2"), `200 {"set":"two"}`)
	wants(post("/acme/hook"), "404")

	writeFile(t, file, strings.Replace(acmeMapping, "run_key", "runkey", 1))
	broken := s.readyWhen("unhappy", func(r ready) bool { return r.Mappings.LastError != nil })
	if p := broken.Mappings.LastError.Problems[0]; !broken.Ready || broken.Mappings.Generation != 2 || p.File != "mappings/acme.yaml" || p.Line != 8 || p.Col != 1 {
		t.Errorf("with a mistake: %+v", broken)
	}
	wants(fmt.Sprint(broken.Reasons), "generation 2 stays", "mappings/acme.yaml:8:1: unknown key")
	wants(post("/in/acme"), `200 {"set":"two"}`)
	out, code := s.ends("mappings", "list")
	wants(out, "acme ", "token", "POST /acme/v2", "mappings/acme.yaml", "Acme CI", "github-actions.yaml", "generation 2, loaded ", "Newer files are not in use",
		"mappings/acme.yaml:8:1", `8 | runkey: id`, "did you mean \"run_key\"?")
	if code != exitFindings {
		t.Errorf("exit code %d, want %d", code, exitFindings)
	}

	writeFile(t, file, acmeMapping)
	s.generation(3)
	wants(post("/acme/hook"), `200 {"set":"one"}`)
	if err := s.serve.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.generation(4)
	out, code = s.ends("mappings", "list", "--json")
	wants(out, `"generation": 4`, `"name": "acme"`, `"tests": 2,`, `"file": "mappings/acme.yaml"`, `"last_error": null`)
	if code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
	out, _ = s.ends("sources", "get", "acme")
	wants(out, `"https://ci.acme.example/acme/hook"`, `"https://ci.acme.example/in/acme"`)

	writeFile(t, filepath.Join(dir, "mappings", "shop.yaml"), strings.NewReplacer("name: acme", "name: shop", "/acme/hook", "/shop/hook").Replace(acmeMapping))
	s.generation(5)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	lost := s.generation(6)
	if !lost.Ready || lost.Mappings.Unusable["acme"] != `mapping "acme" is not loaded` {
		t.Errorf("without the mapping: %+v", lost)
	}
	wants(fmt.Sprint(lost.Reasons), `source "acme" receives nothing: mapping "acme" is not loaded`)
	wants(post("/in/acme"), `503`, `mapping \"acme\" of source \"acme\" is not loaded`)
	all := len(shippedFiles()) + 1 // and shop
	wants(s.serve.log.String(), fmt.Sprintf(`"msg":"mappings loaded","generation":6,"mappings":%d,"added":[],"removed":["acme"]`, all),
		`"msg":"a source receives nothing","source":"acme"`, `"msg":"a problem in a file","problem":"mappings/acme.yaml:8:1: unknown key`)
	if code := s.serve.terminate(); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.serve.log)
	}
}

// TestServeReloadsHooks: hooks of files change as mappings do, and only on a
// signal when they are not watched.
func TestServeReloadsHooks(t *testing.T) {
	for _, watch := range []bool{true, false} {
		s, dir := newServer(t, map[string]string{
			"hooks/ci.yaml": "{pipeline: '*', name: one, profile: github}\n",
			"cibridge.yaml": "hooks: {dirs: [hooks]}\n",
		}, fmt.Sprint("CIBRIDGE_HOOKS_WATCH=", watch))
		names := func() string {
			var got list[struct{ ID, Name string }]
			s.admin("GET", "/api/v1/hooks", nil, &got)
			return fmt.Sprint(got.Items)
		}
		before := names()
		writeFile(t, filepath.Join(dir, "hooks", "cd.yaml"), "{pipeline: '*', name: two, profile: gitlab}\n")
		if !watch {
			if err := s.serve.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, 20*time.Second, func() error {
			if got := names(); strings.Count(got, "}") != 2 || !strings.Contains(got, strings.Trim(before, "[]")) || !strings.Contains(got, " two}") {
				return fmt.Errorf("hooks %s, want two beside %s", got, before)
			}
			return nil
		})
		var hooks list[struct{ ID, Name string }]
		s.admin("GET", "/api/v1/hooks", nil, &hooks)
		for _, h := range hooks.Items {
			status, answer := s.do("DELETE", "/hooks/outgoing/"+h.ID, map[string]string{"Authorization": "Bearer " + adminToken}, nil)
			if file := map[string]string{"one": "hooks/ci.yaml", "two": "hooks/cd.yaml"}[h.Name]; status != 403 || !strings.Contains(answer, "comes from "+file) {
				t.Errorf("delete hook %s: %d %s", h.Name, status, answer)
			}
		}
		writeFile(t, filepath.Join(dir, "hooks", "cd.yaml"), "{pipeline: '*', name: two, profil: gitlab}\n")
		if !watch {
			if err := s.serve.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		r := s.readyWhen("unhappy", func(r ready) bool { return len(r.Reasons) > 0 })
		if !r.Ready || !strings.Contains(r.Reasons[0], "hooks: the newest files have 1 problem, those of before stay in use: hooks/cd.yaml:1:28: unknown key") {
			t.Errorf("reasons %q", r.Reasons)
		}
	}
}

// TestServeAnswersHandshakes: a subscription is confirmed through the guard;
// what the guard refuses is in the ledger and is tried again by the sender.
func TestServeAnswersHandshakes(t *testing.T) {
	s, _ := newServer(t, map[string]string{
		"mappings/topic.yaml": `version: 1
name: topic
receive: {auth: [none]}
run_key: id
events:
  - name: subscribe
    match: {body: {Type: SubscriptionConfirmation}}
    confirm: {get: SubscribeURL, host: "10.0.*"}
  - name: build
`,
		"cibridge.yaml": "mappings: {dirs: [mappings]}\nsources: [{id: topic, mapping: topic}]\n",
	})
	status, answer := s.do("POST", "/in/topic", nil, []byte(`{"Type":"SubscriptionConfirmation","SubscribeURL":"https://10.0.0.1/?Token=very-secret"}`))
	if status != 502 || !strings.Contains(answer, "the handshake with 10.0.0.1 failed; try again") {
		t.Errorf("%d %s", status, answer)
	}
	var events list[struct{ Outcome, Reason string }]
	s.admin("GET", "/api/v1/events", nil, &events)
	if len(events.Items) != 1 || events.Items[0].Outcome != "ignored" ||
		!strings.HasPrefix(events.Items[0].Reason, "topic/subscribe: a handshake with 10.0.0.1 failed: target 10.0.0.1:443 refused: it is not a public address") {
		t.Errorf("ledger %+v", events.Items)
	}
	if log := s.serve.log.String(); strings.Contains(log, "very-secret") || strings.Contains(answer, "very-secret") {
		t.Errorf("the token shows:\n%s", log)
	}
}

// TestServeSaysWhatIsLost: a source that the API made may be left without its
// mapping while the server is down. That is said, and is no reason to stay
// down.
func TestServeSaysWhatIsLost(t *testing.T) {
	s, dir := newServer(t, map[string]string{"mappings/acme.yaml": acmeMapping, "cibridge.yaml": "mappings: {dirs: [mappings]}\n"})
	s.admin("POST", "/api/v1/sources", map[string]any{"id": "stored", "mapping": "acme", "secrets": []string{"a token of acme"}}, nil)
	s.serve.terminate()
	writeFile(t, filepath.Join(dir, "mappings", "acme.yaml"), strings.Replace(acmeMapping, "name: acme", "name: shop", 1))
	s.serve = startProcessIn(t, dir, s.env, "serve", "--listen", "127.0.0.1:0")
	r := s.generation(1)
	if !r.Ready || r.Mappings.Unusable["stored"] != `mapping "acme" is not loaded` {
		t.Errorf("at the start: %+v", r)
	}
	if want := `"msg":"a source receives nothing","source":"stored"`; !strings.Contains(s.serve.log.String(), want) {
		t.Errorf("the log lacks %s", want)
	}
	if out, code := s.ends("mappings", "list"); code != exitOK || !strings.Contains(out, `source stored receives nothing: mapping "acme" is not loaded`) {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// TestDevReloads: dev watches, too.
func TestDevReloads(t *testing.T) {
	dir, err := os.MkdirTemp("", "cb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	writeFile(t, filepath.Join(dir, "mappings", "acme.yaml"), acmeMapping)
	s := &stack{t: t, serve: startProcessIn(t, dir, []string{"CIBRIDGE_MAPPINGS_DIRS=mappings", "TMPDIR=" + dir}, "dev", "--listen", "127.0.0.1:0")}
	s.generation(1)
	writeFile(t, filepath.Join(dir, "mappings", "acme.yaml"), strings.Replace(acmeMapping, "set: one", "set: two", 1))
	s.generation(2)
}
