package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestBadInputIsAnsweredClearly(t *testing.T) {
	s := newStack(t)
	s.admin("POST", "/api/v1/sources", map[string]any{"id": "gh", "mapping": "github-actions", "secrets": []string{githubSecret}}, nil)
	key := s.key("codenow")
	var scoped struct{ Key string }
	s.admin("POST", "/api/v1/keys", map[string]any{"source": "codenow", "components": []string{"billing"}, "name": "billing"}, &scoped)
	codenowHeader := func(key string) map[string]string {
		return map[string]string{"X-Codenow-Api-Key": key, "Content-Type": "application/json"}
	}
	start := codenow(key, "bad-1")["start"].body
	github := func(event, body string) sent { return githubEvent(event, "bad-"+event, body) }
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for _, tc := range []struct {
		name   string
		path   string
		header map[string]string
		body   string
		status int
		say    string // in the answer
	}{
		{"broken JSON", "/ci/webhook", codenowHeader(key), "{\n  \"type\": \"x\"\n  \"y\": 1}", 400, "line 3, column 3"},
		{"broken JSON for SEI", "/v1/custom-cicd", map[string]string{"Authorization": "Bearer " + s.key("harness-sei")}, "{\n  \"type\": \"x\"\n  \"y\": 1}", 400, "line 3 column 3"},
		{"empty body", "/ci/webhook", codenowHeader(key), "", 400, "empty"},
		{"deep JSON", "/ci/webhook", codenowHeader(key), deep, 400, "64"},
		{"a form", "/ci/webhook", map[string]string{"X-Codenow-Api-Key": key, "Content-Type": "application/x-www-form-urlencoded"}, "a=b", 415, "json"},
		{"a byte order mark", "/ci/webhook", codenowHeader(key), "\ufeff" + start, 200, "accepted"},
		{"unknown type", "/ci/webhook", codenowHeader(key), `{"type":"codenow.ci.pause.event","pipelineId":"x"}`, 422, "codenow.ci.pause.event"},
		{"unknown word", "/ci/webhook", codenowHeader(key), `{"type":"codenow.ci.end.event","pipelineId":"x","result":"EXPLODED"}`, 422, "EXPLODED"},
		{"missing field for SEI", "/v1/custom-cicd", map[string]string{"Authorization": "Bearer " + s.key("harness-sei")}, `{"pipeline":"x"}`, 400, `"jenkins_instance_name/instance_name field is missing in request"`},
		{"no key", "/ci/webhook", nil, start, 401, "key"},
		{"a wrong key", "/ci/webhook", codenowHeader(strings.Replace(key, "cib_", "cib_0", 1)), start, 401, "key"},
		{"a key of another component", "/ci/webhook", codenowHeader(scoped.Key), start, 403, "billing"},
		{"a wrong signature", "/in/gh", map[string]string{"X-GitHub-Event": "ping", "X-Hub-Signature-256": "sha256=00"}, "{}", 401, ""},
		{"a GitHub event nobody maps", "/in/gh", github("gollum", `{"action":"created"}`).header, `{"action":"created"}`, 202, "unmapped"},
		{"a ping", "/in/gh", github("ping", `{"zen":"x"}`).header, `{"zen":"x"}`, 202, "ignored"},
		{"an unknown source", "/in/nobody", nil, "{}", 404, "nobody"},
		{"an unknown route", "/nowhere", nil, "{}", 404, "/in/"},
		{"too large", "/ci/webhook", codenowHeader(key), strings.Repeat(" ", 6<<20), 413, "larger than the limit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, answer := s.do("POST", tc.path, tc.header, []byte(tc.body))
			if status != tc.status || !strings.Contains(answer, tc.say) {
				t.Errorf("%d %s\nwant %d with %q", status, answer, tc.status, tc.say)
			}
		})
	}
	var runs, events list[map[string]any]
	s.admin("GET", "/api/v1/runs", nil, &runs)
	if len(runs.Items) != 1 {
		t.Errorf("%d runs, want the one of the valid start: %v", len(runs.Items), runs.Items)
	}
	for outcome, want := range map[string]int{"rejected": 7, "unmapped": 1, "ignored": 1, "applied": 1} {
		s.admin("GET", "/api/v1/events?outcome="+outcome, nil, &events)
		if len(events.Items) < want {
			t.Errorf("%d events are %s, want at least %d: %v", len(events.Items), outcome, want, events.Items)
		}
	}
}

func TestAnUnknownTemplateNameIsRefused(t *testing.T) {
	s := newStack(t)
	body, _ := json.Marshal(map[string]any{"name": "x", "target_url": "https://api.github.com/repos/a/b/statuses/{{ run.comit.sha }}", "trigger_when": map[string]any{"events": []string{"action.started"}}})
	status, answer := s.do("POST", "/pipelines/*/hooks/outgoing", map[string]string{"Authorization": "Bearer " + adminToken}, body)
	if status != 422 || !strings.Contains(answer, "comit") || !strings.Contains(answer, "commit") || !strings.Contains(answer, "target_url") {
		t.Errorf("%d %s", status, answer)
	}
}

// endless is a body that never ends.
type endless struct{ n, limit int }

func (e *endless) Read(p []byte) (int, error) {
	if e.n >= e.limit {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = ' '
	}
	e.n += len(p)
	return len(p), nil
}

func TestHugeBodiesDoNotFillMemory(t *testing.T) {
	s := newStack(t)
	key := s.key("codenow")
	before := s.serve.peakMemory(t)
	for range 5 {
		req, err := http.NewRequest("POST", s.serve.url+"/ci/webhook", &endless{limit: 300 << 20})
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Codenow-Api-Key", key)
		// The server may close the connection while the body is still on its
		// way: then there is no answer to read.
		if res, err := http.DefaultClient.Do(req); err == nil {
			answer, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != 413 {
				t.Errorf("%d %s", res.StatusCode, answer)
			}
		}
	}
	if grown := s.serve.peakMemory(t) - before; grown > 200<<20 {
		t.Errorf("300 MB bodies took %d MB of memory", grown>>20)
	}
	s.post(codenow(key, "after")["start"])
}

// peakMemory returns the most memory that the process has had, in bytes.
func (p *process) peakMemory(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skipf("this system does not tell a process's memory: %v", err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

func TestRedisAwayIsA503AndTheSameRequestIsTakenLater(t *testing.T) {
	s := newStack(t)
	e := codenow(s.key("codenow"), "away")["start"]
	s.redis.Kill()
	req, err := http.NewRequest("POST", s.serve.url+e.path, bytes.NewReader([]byte(e.body)))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range e.header {
		req.Header.Set(k, v)
	}
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s, Retry-After %q", res.StatusCode, answer, res.Header.Get("Retry-After"))
	}
	if status, answer, err := request("GET", s.serve.url+"/readyz", nil, nil); err != nil || status != 503 {
		t.Errorf("readyz: %d %s %v", status, answer, err)
	}
	s.redis.Start()
	untilAcknowledged(t, s.serve.url, e)
	eventually(t, 10*time.Second, func() error {
		if status, answer, err := request("GET", s.serve.url+"/readyz", nil, nil); err != nil || status != 200 {
			return fmt.Errorf("readyz: %d %s %w", status, answer, err)
		}
		return nil
	})
}

func TestTerminationIsClean(t *testing.T) {
	s := newStack(t)
	if code := s.serve.terminate(); code != 0 {
		t.Errorf("exit code %d after SIGTERM\n%s", code, s.serve.log)
	}
}
