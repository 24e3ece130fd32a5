//go:build chaos

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cibridge/internal/forge"
)

// blackHole takes requests and never answers.
type blackHole struct {
	url               string
	attempts, waiting atomic.Int64
}

func newBlackHole(t *testing.T) *blackHole {
	h := &blackHole{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h.attempts.Add(1)
		h.waiting.Add(1)
		defer h.waiting.Add(-1)
		io.Copy(io.Discard, r.Body) // only then is it noticed that the client gave up
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

const (
	breakerFails = 5
	perBucket    = 8
	workers      = 64 // of hasty
	// breakerBound is how many requests a host gets before its breaker opens:
	// while the first ones wait for their time-out, others take the places of
	// those that failed already.
	breakerBound = breakerFails - 1 + perBucket
)

// chaosDeadHost fills the queue with lanes of a host that does not answer, and
// sends to a healthy one meanwhile.
func chaosDeadHost(t *testing.T, rd round) {
	config := strings.NewReplacer("timeout: 500ms", "timeout: 1s", "per_bucket: 16", fmt.Sprintf("per_bucket: %d", perBucket),
		"{failures: 1000000, open: 200ms, longest: 1s}", fmt.Sprintf("{failures: %d, open: 10m, longest: 10m}", breakerFails)).Replace(hasty)
	attempts := deadHost(t, config, rd.seed, 1000*rd.scale, 200*rd.scale, func(h *blackHole) error {
		if n := h.attempts.Load(); n < breakerFails || h.waiting.Load() > 0 {
			return fmt.Errorf("%d attempts and %d requests on their way: the breaker is not open yet", n, h.waiting.Load())
		}
		return nil
	})
	if attempts > breakerBound {
		t.Errorf("the dead host got %d requests, want at most %d", attempts, breakerBound)
	}
}

// chaosNoBreaker is the control of chaosDeadHost: no breaker, and a host may
// take all workers.
func chaosNoBreaker(t *testing.T, rd round) {
	config := strings.NewReplacer("timeout: 500ms", "timeout: 1s", "per_bucket: 16", fmt.Sprintf("per_bucket: %d", workers)).Replace(hasty)
	attempts := deadHost(t, config, rd.seed, 300, 8, func(h *blackHole) error {
		if n := h.waiting.Load(); n < workers {
			return fmt.Errorf("the dead host holds %d workers of %d", n, workers)
		}
		return nil
	})
	if attempts < 5*breakerBound {
		t.Errorf("without a breaker the dead host got only %d requests: the scenario does not see what the breaker is for", attempts)
	}
}

// deadHost returns how many requests the dead host got until the healthy one
// had all of its own.
func deadHost(t *testing.T, config string, seed int64, dead, healthy int, ready func(*blackHole) error) int64 {
	r, hole := newRig(t, setting{config: config}), newBlackHole(t)
	r.admin("POST", "/api/v1/sources", map[string]any{"id": "gh", "mapping": "github-actions", "secrets": []string{githubSecret}}, nil)
	r.application("github", r.provider.url)
	r.hook(map[string]any{"name": "healthy", "profile": "github", "if": `run.source == "gh"`, "trigger_when": map[string]any{"events": []string{"action.status_changed"}}})
	r.hook(map[string]any{"name": "dead", "target_url": hole.url + "/{{ run.id }}", "if": `run.source == "codenow"`, "trigger_when": map[string]any{"events": []string{"action.started"}}})

	lanes, ctx := codenowBuilds(r.key("codenow"), seed, dead), atMost(t, 30*time.Minute)
	for i := range lanes {
		lanes[i].events = lanes[i].events[:1]
	}
	<-load{r: r, urls: r.urls(), clients: 32}.pour(ctx, lanes)
	eventually(t, 60*time.Second, func() error { return ready(hole) })

	builds := githubBuilds(t, seed, healthy)
	for i := range builds {
		builds[i].events = builds[i].events[2:]
	}
	<-load{r: r, urls: r.urls(), clients: 4, inTurn: true}.pour(ctx, builds)
	eventually(t, 5*time.Minute, func() error {
		for _, b := range builds {
			if len(r.provider.History(forge.GitHub, "acme/shop", b.sha, "")) == 0 {
				return fmt.Errorf("commit %s got no status", b.sha)
			}
		}
		return nil
	})
	attempts := hole.attempts.Load()
	f := figures{acknowledged: len(r.acked), lost: r.lost(), commits: len(builds)}
	var waited []time.Duration
	for _, b := range builds {
		first := r.provider.History(forge.GitHub, "acme/shop", b.sha, "")[0]
		waited = append(waited, max(0, first.At.Sub(r.ackedAt[b.events[0].header["X-GitHub-Delivery"]])))
		if first.State != b.shows {
			f.wrong++
		}
	}
	slices.Sort(waited)
	f.report(t, fmt.Sprintf("%d lanes of a dead host, which got %d requests; healthy callbacks after p50 %s, p99 %s",
		len(lanes), attempts, waited[len(waited)/2].Round(time.Millisecond), waited[len(waited)*99/100].Round(time.Millisecond)))
	f.intact(t)
	return attempts
}

// A hostileTarget is how a provider answers that means harm or is broken, and
// what has to become of the delivery.
type hostileTarget struct {
	name, state, reason string
	answers             func(t *testing.T) http.HandlerFunc
}

var hostile = []hostileTarget{
	{"drip", "delivered", "200", func(*testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "x")
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond) // how it drips
			}
		}
	}},
	{"endless", "delivered", "200", func(*testing.T) http.HandlerFunc {
		chunk := bytes.Repeat([]byte("x"), 1<<16)
		return func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
	}},
	{"gzip", "delivered", "200", func(t *testing.T) http.HandlerFunc {
		var bomb bytes.Buffer
		z := gzip.NewWriter(&bomb)
		if _, err := io.CopyN(z, zeros{}, 64<<20); err != nil {
			t.Fatal(err)
		}
		z.Close()
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		}
	}},
	{"reset", "dead", "given up after", func(t *testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}},
	{"half", "delivered", "200", func(*testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "only this")
		}
	}},
	{"html", "dead", "given up after", func(*testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, "<html><title>502 Bad Gateway</title></html>")
		}
	}},
	{"redirect", "dead", "302 Found to 169.254.169.254", func(*testing.T) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://169.254.169.254/latest/meta-data/")
			w.WriteHeader(http.StatusFound)
		}
	}},
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// chaosHostileTargets sends to providers that drip, never end, expand, reset
// and redirect.
func chaosHostileTargets(t *testing.T, rd round) {
	backoff := regexp.MustCompile(`backoff: .*`)
	r := newRig(t, setting{config: backoff.ReplaceAllString(hasty, "backoff: [50ms, 50ms]")})
	mux := http.NewServeMux()
	for _, h := range hostile {
		mux.HandleFunc("/"+h.name+"/", h.answers(t))
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, h := range hostile {
		r.hook(map[string]any{"name": h.name, "target_url": server.URL + "/" + h.name + "/{{ run.id }}", "if": `run.source == "codenow"`, "trigger_when": map[string]any{"events": []string{"action.started"}}})
	}
	builds := codenowBuilds(r.key("codenow"), rd.seed, 20*rd.scale)
	for i := range builds {
		builds[i].events = builds[i].events[:1]
	}
	// what as many harmless deliveries take is not counted
	r.statuses()
	<-load{r: r, urls: r.urls(), clients: 8}.pour(atMost(t, 30*time.Minute), githubBuilds(t, rd.seed, 100*rd.scale))
	r.settled(3 * time.Minute)
	before := r.serve.memory(t, "VmHWM")
	<-load{r: r, urls: r.urls(), clients: 8}.pour(atMost(t, 30*time.Minute), builds)
	r.settled(3 * time.Minute)
	growth := r.serve.memory(t, "VmHWM") - before

	count, longest := map[string]int{}, int64(0)
	for _, d := range pages[struct{ ID, URL, State, Reason string }](r.stack, "/api/v1/deliveries") {
		if !strings.HasPrefix(d.URL, server.URL) {
			continue
		}
		name := strings.Split(strings.TrimPrefix(d.URL, server.URL), "/")[1]
		h := hostile[slices.IndexFunc(hostile, func(h hostileTarget) bool { return h.name == name })]
		if count[name]++; d.State != h.state || !strings.Contains(d.Reason, h.reason) {
			t.Errorf("%s: the delivery is %s: %s; want %s: %s", name, d.State, d.Reason, h.state, h.reason)
		}
		longest = max(longest, r.attempts(d.ID))
	}
	for _, h := range hostile {
		if count[h.name] != len(builds) {
			t.Errorf("%d deliveries to %s, want %d", count[h.name], h.name, len(builds))
		}
	}
	f := figures{acknowledged: len(r.acked), lost: r.lost()}
	f.report(t, fmt.Sprintf("%d deliveries to each of %d hostile targets, longest attempt %d ms of 500, memory of the server %d MB and at most %d MB more",
		len(builds), len(hostile), longest, before>>10, growth>>10))
	if growth > 64<<10 {
		t.Errorf("the memory of the server grew by %d KB: something was read without a bound", growth)
	}
}

// attempts checks that every attempt at a delivery says what came of it, and
// returns the duration of the longest in ms.
func (r *rig) attempts(delivery string) (longest int64) {
	r.t.Helper()
	var got struct {
		Attempts []struct {
			Verdict, Reason string
			DurationMS      int64 `json:"duration_ms"`
		}
	}
	r.admin("GET", "/api/v1/deliveries/"+delivery, nil, &got)
	if len(got.Attempts) == 0 {
		r.t.Errorf("delivery %s has no attempt", delivery)
	}
	for _, a := range got.Attempts {
		if longest = max(longest, a.DurationMS); a.Verdict == "" || a.Reason == "" {
			r.t.Errorf("an attempt at %s does not say what came of it: %+v", delivery, a)
		}
	}
	return longest
}

// memory returns a line of the kernel's status of a process, in KB.
func (p *process) memory(t *testing.T, name string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Logf("no figure of memory here: %v", err)
		return 0
	}
	m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no %s in %s", name, status)
	}
	kb, _ := strconv.Atoi(string(m[1]))
	return kb
}
