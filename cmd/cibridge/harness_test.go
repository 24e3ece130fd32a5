package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cibridge/internal/seal"
	"cibridge/internal/store/storetest"
)

// The tests in this package run the program as its users do: processes, real
// Redis, real HTTP. The program is built once, with the race detector when the
// tests have it.

var program = sync.OnceValues(func() (string, error) {
	built.Store(true)
	dir, err := os.MkdirTemp("", "cb")
	if err != nil {
		return "", err
	}
	args := []string{"build", "-o", filepath.Join(dir, "cibridge")}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return filepath.Join(dir, "cibridge"), nil
})

func TestMain(m *testing.M) {
	testscript.Main(cleanedUp{m}, map[string]func(){"cibridge": inScript})
}

// cleanedUp removes the built program after the tests.
type cleanedUp struct{ *testing.M }

func (c cleanedUp) Run() int {
	code := c.M.Run()
	if built.Load() {
		if path, err := program(); err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
	}
	return code
}

var built atomic.Bool

// process is a running cibridge.
type process struct {
	cmd *exec.Cmd
	url string // it listens on
	log *logBuffer
	out *logBuffer // standard output behind the line with the URL
}

// logBuffer keeps what a process wrote to standard error.
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

var urlInLine = regexp.MustCompile(`http://[0-9.]+:[0-9]+`)

// startProcess runs the program until the test ends and waits for the line on
// standard output that names its URL.
func startProcess(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return startProcessIn(t, t.TempDir(), env, args...)
}

// startProcessIn is startProcess in a directory.
func startProcessIn(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, args...), log: &logBuffer{}, out: &logBuffer{}}
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if strings.Contains(p.log.String(), "DATA RACE") || strings.Contains(p.log.String(), "panic") {
			t.Errorf("%v wrote:\n%s", args, p.log)
		}
		if t.Failed() {
			t.Logf("log of %v:\n%s", args, tail(p.log.String(), 6000))
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if p.url = urlInLine.FindString(lines.Text()); p.url != "" {
			go func() {
				for lines.Scan() {
					fmt.Fprintln(p.out, lines.Text())
				}
			}()
			return p
		}
	}
	t.Fatalf("%v ended without a URL:\n%s", args, p.log)
	return nil
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// kill is kill -9.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// terminate sends SIGTERM and returns the exit code.
func (p *process) terminate() int {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

const (
	adminToken   = "e2e-admin-token-0123456789abcdef"
	githubSecret = "e2e-secret-of-the-github-source"
	gitlabSecret = "e2e-secret-of-the-gitlab-source"
	forgeToken   = "e2e-token-of-the-source-provider"
)

// stack is a server on its own Redis beside a rehearsal source provider.
type stack struct {
	t     *testing.T
	redis *storetest.Server
	forge *process
	serve *process
	env   []string
	keys  map[string]string // source -> API key
}

// quick shortens the intervals that only time would show.
var quick = `
dispatch:
  timeout: 2s
  lease_margin: 2s
  quarantine: 500ms
  confirm: 1s
  breaker: {open: 200ms, longest: 1s}
`

// newStack starts everything; faults go to the source provider.
func newStack(t *testing.T, faults ...string) *stack {
	t.Helper()
	return newStackWith(t, quick, faults...)
}

func newStackWith(t *testing.T, config string, faults ...string) *stack {
	t.Helper()
	s := &stack{t: t, redis: storetest.Redis(t), keys: map[string]string{}}
	args := []string{"forge", "--listen", "127.0.0.1:0"}
	for _, f := range faults {
		args = append(args, "--fail", f)
	}
	s.forge = startProcess(t, nil, args...)
	file := filepath.Join(t.TempDir(), "cibridge.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = []string{
		"CIBRIDGE_REDIS_URL=" + s.redis.URL(), "CIBRIDGE_ADMIN_TOKEN=" + adminToken, "CIBRIDGE_ENCRYPTION_KEYS=" + seal.NewKey(),
		"CIBRIDGE_EGRESS_ALLOW=127.0.0.0/8", "CIBRIDGE_CONFIG=" + file,
	}
	s.serve = startProcess(t, s.env, "serve", "--listen", "127.0.0.1:0")
	return s
}

// restart starts serve again on its old address.
func (s *stack) restart() {
	s.t.Helper()
	s.serve = startProcess(s.t, s.env, "serve", "--listen", strings.TrimPrefix(s.serve.url, "http://"))
}

// key returns an account key of a source, made at the first call.
func (s *stack) key(source string) string {
	s.t.Helper()
	if s.keys[source] == "" {
		var got struct{ Key string }
		s.admin("POST", "/api/v1/keys", map[string]any{"source": source, "account": true, "name": "e2e"}, &got)
		s.keys[source] = got.Key
	}
	return s.keys[source]
}

// admin calls the API as an operator and fails the test when it refuses.
func (s *stack) admin(method, path string, in, out any) {
	s.t.Helper()
	body, _ := json.Marshal(in)
	status, answer := s.do(method, path, map[string]string{"Authorization": "Bearer " + adminToken, "Content-Type": "application/json"}, body)
	if status >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(answer), out); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, answer)
		}
	}
}

func (s *stack) do(method, path string, header map[string]string, body []byte) (int, string) {
	s.t.Helper()
	status, answer, err := request(method, s.serve.url+path, header, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return status, answer
}

func request(method, url string, header map[string]string, body []byte) (int, string, error) {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, string(answer), err
}

// application ties all repositories to the rehearsal provider.
func (s *stack) application(provider, baseURL string) {
	s.t.Helper()
	s.admin("POST", "/api/v1/applications", map[string]any{"name": "shop", "repositories": []string{"*"}, "pipelines": []string{"*"},
		"source_provider": map[string]any{"name": provider, "base_url": baseURL, "access_token": forgeToken}}, nil)
}

// hook creates a hook for every pipeline.
func (s *stack) hook(hook map[string]any) {
	s.t.Helper()
	s.admin("POST", "/pipelines/*/hooks/outgoing", hook, nil)
}

// eventually tries until check has nothing to complain about.
func eventually(t *testing.T, within time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", within, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// shownContext is what a commit shows under one name.
type shownContext struct {
	Context     string
	State       string
	Description string
	TargetURL   string `json:"target_url"`
	History     []struct{ State string }
}

// commits returns what the provider shows, by sha.
func (s *stack) commits() map[string][]shownContext {
	s.t.Helper()
	var got list[struct {
		SHA      string
		Contexts []shownContext
	}]
	s.forgeJSON("/_forge/commits", &got)
	all := map[string][]shownContext{}
	for _, c := range got.Items {
		all[c.SHA] = c.Contexts
	}
	return all
}

func (s *stack) forgeJSON(path string, out any) {
	s.t.Helper()
	status, answer, err := request("GET", s.forge.url+path, nil, nil)
	if err == nil && status == 200 {
		err = json.Unmarshal([]byte(answer), out)
	}
	if err != nil || status != 200 {
		s.t.Fatalf("forge: %d %v %s", status, err, tail(answer, 500))
	}
}

// defaultContext is the name that profiles give a status.
const defaultContext = "ci/cibridge"

// statesOf returns the states that were accepted for a context, in order.
func statesOf(contexts []shownContext, name string) []string {
	var states []string
	for _, c := range contexts {
		if c.Context == name {
			for _, h := range c.History {
				states = append(states, h.State)
			}
		}
	}
	return states
}

// states is statesOf for the context that profiles use.
func (s *stack) states(sha string) []string {
	s.t.Helper()
	return statesOf(s.commits()[sha], defaultContext)
}

// shown is what the commit shows now under the context that profiles use.
func (s *stack) shown(sha string) shownContext {
	s.t.Helper()
	for _, c := range s.commits()[sha] {
		if c.Context == defaultContext {
			return c
		}
	}
	return shownContext{}
}

// faults returns how many requests the provider failed on purpose.
func (s *stack) faults() int {
	s.t.Helper()
	var got list[struct{ Fault string }]
	s.forgeJSON("/_forge/requests", &got)
	n := 0
	for _, r := range got.Items {
		if r.Fault != "" {
			n++
		}
	}
	return n
}
