package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// target is a source provider that answers as the test says.
type target struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []*http.Request
	bodies []string
}

func newTarget(t *testing.T) *target {
	t.Helper()
	g := &target{status: 201}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.got, g.bodies = append(g.got, r), append(g.bodies, string(body))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(g.status)
		io.WriteString(w, `{"message":"as the test says"}`)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *target) answer(status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = status
}

// last returns the last request and how many there were.
func (g *target) last() (*http.Request, string, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.got)
	if n == 0 {
		return nil, "", 0
	}
	return g.got[n-1], g.bodies[n-1], n
}

// cli runs a command against the server as an operator does.
func (s *stack) cli(want int, args ...string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	args = append(args, "--server", s.serve.url, "--token", adminToken)
	if code := run(s.t.Context(), args, strings.NewReader(""), &out, &errs); code != want {
		s.t.Fatalf("%v: exit code %d, want %d\n%s%s", args, code, want, out.String(), errs.String())
	}
	return out.String() + errs.String()
}

// TestDeadLetters loses a status to a refusal and gets it back with the
// command line: find it, see why, try it by hand, send it again.
func TestDeadLetters(t *testing.T) {
	s, g := newStack(t), newTarget(t)
	s.application("github", g.URL)
	var hook struct{ ID string }
	s.admin("POST", "/pipelines/*/hooks/outgoing", map[string]any{"name": "status", "profile": "github"}, &hook)
	events := codenow(s.key("codenow"), "letters-1")
	g.answer(400)
	s.post(events["start"])
	s.post(events["revision"])

	var dead list[struct{ ID, State string }]
	find := func(args ...string) int {
		t.Helper()
		if err := json.Unmarshal([]byte(s.cli(0, append([]string{"deliveries", "list", "--json"}, args...)...)), &dead); err != nil {
			t.Fatal(err)
		}
		return len(dead.Items)
	}
	eventually(t, 20*time.Second, func() error {
		if n := find("--state", "dead", "--hook", hook.ID, "--since", "2h"); n != 1 {
			return fmt.Errorf("%d dead letters, want 1", n)
		}
		return nil
	})
	id := dead.Items[0].ID
	if n := find("--state", "dead", "--until", "2h"); n != 0 {
		t.Errorf("%d died 2 hours ago", n)
	}

	if log := s.serve.log.String(); strings.Count(log, "alert: first dead letter of a hook") != 1 || !strings.Contains(log, "hook_name") {
		t.Errorf("nobody was told of the first dead letter:\n%s", tail(log, 2000))
	}
	if _, metrics := s.do("GET", "/metrics", nil, nil); !strings.Contains(metrics, `cibridge_dead_letters_total{hook="`+hook.ID+`"} 1`) ||
		!strings.Contains(metrics, `cibridge_delivery_attempts_total{outcome="permanent",status="4xx",verdict="dead"} 1`) {
		t.Errorf("the metrics do not count it:\n%s", metrics)
	}

	shown := s.cli(0, "deliveries", "get", id)
	for _, want := range []string{
		id + "  dead\n", "because    400 Bad Request", "attempt 1 of 1, 20", ": dead\n", "> Authorization: Bearer ***", `> {"`, "< 400 Bad Request", `< {"message":"as the test says"}`,
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("get shows no %q:\n%s", want, shown)
		}
	}
	first, body, n := g.last()
	command := s.cli(0, "deliveries", "curl", id)
	if strings.Contains(shown+command, forgeToken) {
		t.Errorf("the token is shown:\n%s%s", shown, command)
	}
	sh := exec.Command("sh", "-euc", strings.TrimSpace(command)+" -sS")
	sh.Env = append(os.Environ(), "TOKEN="+forgeToken)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, command)
	}
	byHand, same, m := g.last()
	if m != n+1 || same != body || byHand.RequestURI != first.RequestURI || byHand.Method != first.Method ||
		byHand.Header.Get("Authorization") != first.Header.Get("Authorization") || byHand.Header.Get("Accept") != first.Header.Get("Accept") {
		t.Errorf("by hand %s %s %v %s\nwant %s %s %v %s", byHand.Method, byHand.RequestURI, byHand.Header, same, first.Method, first.RequestURI, first.Header, body)
	}

	many := []string{"deliveries", "redeliver", "--hook", hook.ID, "--since", "2h"}
	if out := s.cli(0, append(many, "--dry-run")...); !strings.Contains(out, "would be: 1 redelivered, 0 superseded") {
		t.Errorf("trial run:\n%s", out)
	}
	g.answer(201)
	if out := s.cli(0, many...); !strings.Contains(out, "\n1 redelivered, 0 superseded, 0 pending, 0 gone\n") {
		t.Errorf("redeliver:\n%s", out)
	}
	delivered := func(id string) {
		t.Helper()
		eventually(t, 20*time.Second, func() error {
			if out := s.cli(0, "deliveries", "get", id); !strings.HasPrefix(out, id+"  delivered\n") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
	}
	delivered(id)
	s.checkRequestLog(hook.ID, id)

	// A newer state is there: the older one stays away unless it is forced.
	s.post(events["end"])
	eventually(t, 20*time.Second, func() error {
		if _, body, _ := g.last(); !strings.Contains(body, `"success"`) {
			return fmt.Errorf("the last state is %s", body)
		}
		return nil
	})
	eventually(t, 20*time.Second, func() error {
		if find("--state", "sending")+find("--state", "pending") > 0 {
			return fmt.Errorf("%v", dead.Items)
		}
		return nil
	})
	if out := s.cli(exitServer, "deliveries", "redeliver", id, "dlv_00nothing"); !strings.Contains(out, "answered 409") || !strings.Contains(out, "is superseded") || !strings.Contains(out, "answered 404") {
		t.Errorf("redeliver of a stale state: %s", out)
	}
	if out := s.cli(0, "deliveries", "redeliver", id, "--force"); out != id+": queued\n" {
		t.Errorf("by force: %s", out)
	}
	eventually(t, 20*time.Second, func() error {
		if _, again, _ := g.last(); again != body {
			return fmt.Errorf("the last request is %s", again)
		}
		return nil
	})
	s.cli(exitUsage, "deliveries", "redeliver")
	s.cli(exitUsage, "deliveries", "redeliver", id, "--since", "2h")
}

// TestHangingHookIsToldOf: whoever creates the hook for started and forgets the
// one for failed hears of it in the answer and in the log.
func TestHangingHookIsToldOf(t *testing.T) {
	s := newStack(t)
	create := func(event string) []string {
		t.Helper()
		var got struct{ Warnings []string }
		s.admin("POST", "/pipelines/*/hooks/outgoing", map[string]any{
			"name": "ci " + event, "profile": "github", "trigger_when": map[string]any{"events": []string{"action." + event}},
		}, &got)
		return got.Warnings
	}
	for _, want := range []struct {
		event string
		n     int
	}{{"started", 2}, {"completed", 0}, {"failed", 0}, {"started", 0}} {
		if got := create(want.event); len(got) != want.n || want.n > 0 && !strings.Contains(got[0], "no active hook with this context has action.failed: a run that fails leaves it pending") {
			t.Errorf("the hook for %s: warnings %q, want %d", want.event, got, want.n)
		}
	}
	eventually(t, 10*time.Second, func() error {
		if n := strings.Count(s.serve.log.String(), "a hook leaves statuses hanging"); n != 2 {
			return fmt.Errorf("%d warnings in the log, want 2", n)
		}
		return nil
	})
}

// checkRequestLog reads a hook's request log as clients of Devopness do, after
// one refused attempt and its redelivery: every documented field, the pages,
// and what is a retry of what.
func (s *stack) checkRequestLog(hook, delivery string) {
	t := s.t
	t.Helper()
	auth := map[string]string{"Authorization": "Bearer " + adminToken}
	page := func(path string) (rows []map[string]any, link string) {
		t.Helper()
		req, _ := http.NewRequest(http.MethodGet, s.serve.url+path, nil)
		req.Header.Set("Authorization", auth["Authorization"])
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&rows); err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %d %v", path, res.StatusCode, err)
		}
		return rows, res.Header.Get("Link")
	}
	var rows []map[string]any
	path := "/hooks/outgoing/" + hook + "/requests"
	for next := path + "?per_page=1"; next != ""; {
		got, link := page(next)
		if len(got) != 1 || !regexp.MustCompile(`[?&]page=2[&>][^,]*; rel="last"|[?&]page=2>; rel="last"`).MatchString(link) {
			t.Fatalf("%s: %d rows, Link %s", next, len(got), link)
		}
		rows, next = append(rows, got...), ""
		if m := regexp.MustCompile(`<([^>]+)>; rel="next"`).FindStringSubmatch(link); m != nil {
			next = m[1]
		}
	}
	if len(rows) != 2 {
		t.Fatalf("%d rows for an attempt and its redelivery: %v", len(rows), rows)
	}
	second, first := rows[0], rows[1] // the last one first
	if first["retry_of"] != nil || second["retry_of"] != first["id"] || first["delivery_id"] != delivery || second["delivery_id"] != delivery {
		t.Errorf("the redelivery %v is no retry of %v", second, first)
	}
	relation := []string{"id", "hook_id", "action_id", "retry_of", "ip_address", "created_at", "updated_at"}
	full := append(slices.Clone(relation), "url", "request_headers", "request_body", "response_status_code", "response_headers", "response_body", "hook")
	for i, row := range rows {
		for _, field := range relation {
			if _, ok := row[field]; !ok {
				t.Errorf("row %d has no %s", i, field)
			}
		}
		_, answer := s.do("GET", "/hook-requests/"+row["id"].(string), auth, nil)
		var got map[string]any
		if err := json.Unmarshal([]byte(answer), &got); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		for _, field := range full {
			if _, ok := got[field]; !ok {
				t.Errorf("request %d has no %s", i, field)
			}
		}
		of, _ := got["hook"].(map[string]any)
		headers, _ := got["request_headers"].(map[string]any)
		if got["id"] != row["id"] || got["hook_id"] != hook || of["id"] != hook || got["ip_address"] != "127.0.0.1" || headers["Authorization"] != "Bearer ***" {
			t.Errorf("request %d: %s", i, answer)
		}
		if status := []float64{201, 400}[i]; got["response_status_code"] != status || fmt.Sprint(got["response_body"]) != "map[message:as the test says]" {
			t.Errorf("request %d: %v %v, want %v", i, got["response_status_code"], got["response_body"], status)
		}
		for _, field := range []string{"created_at", "updated_at"} {
			if at, _ := got[field].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`).MatchString(at) {
				t.Errorf("request %d: %s is %q", i, field, at)
			}
		}
		body, _ := got["request_body"].(map[string]any)
		if body["state"] != "pending" || !strings.HasPrefix(fmt.Sprint(got["url"]), "http://127.0.0.1:") {
			t.Errorf("request %d: %v to %v", i, body, got["url"])
		}
	}
}
