//go:build chaos

package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cibridge/internal/forge"
	"cibridge/internal/seal"
	"cibridge/internal/store/storetest"
)

// late is how long after its client gave up the provider applies a request.
const late = 300 * time.Millisecond

// hasty are intervals that are long beside late and short for the test. No
// breaker: a provider that fails on purpose would only be spared by it.
const hasty = `
dispatch:
  workers: 64
  per_bucket: 16
  timeout: 500ms
  lease_margin: 1s
  quarantine: 2s
  confirm: 2s
  backoff: [50ms, 100ms, 200ms, 400ms, 400ms, 400ms, 400ms, 400ms, 400ms, 400ms, 400ms, 400ms, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s]
  breaker: {failures: 1000000, open: 200ms, longest: 1s}
`

// rehearsed is the source provider of a scenario: forge in the test's own process,
// where it can be watched.
type rehearsed struct {
	*forge.Forge
	url      string
	pause    time.Duration // that each request takes at least
	inFlight atomic.Int64

	mu      sync.Mutex
	arrived int
	at      map[int]chan struct{}    // closed when so many have arrived
	first   map[string]chan struct{} // by sha, closed when its first has arrived
	answers func(w http.ResponseWriter, r *http.Request, apply http.Handler)
}

func newRehearsed(t *testing.T, pause time.Duration, faults ...string) *rehearsed {
	t.Helper()
	parsed, err := forge.ParseFaults(faults)
	if err != nil {
		t.Fatal(err)
	}
	p := &rehearsed{pause: pause, at: map[int]chan struct{}{}, first: map[string]chan struct{}{}}
	p.Forge = forge.New(forge.Config{Faults: parsed, Late: late, MaxRequests: 1 << 20, MaxStatuses: 1 << 20})
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *rehearsed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.inFlight.Add(1)
	defer p.inFlight.Add(-1)
	p.mu.Lock()
	p.arrived++
	if c := p.at[p.arrived]; c != nil {
		close(c)
	}
	first, answers := p.firstOf(path.Base(r.URL.Path)), p.answers
	select {
	case <-first:
	default:
		close(first)
	}
	p.mu.Unlock()
	time.Sleep(p.pause) // a provider is not as fast as a loopback
	if answers != nil {
		answers(w, r, p.Forge)
		return
	}
	p.Forge.ServeHTTP(w, r)
}

// firstOf returns what is closed at the first request for a commit; mu is held.
func (p *rehearsed) firstOf(sha string) chan struct{} {
	if p.first[sha] == nil {
		p.first[sha] = make(chan struct{})
	}
	return p.first[sha]
}

// wrote returns what is closed when a request for the commit arrives or has
// arrived.
func (p *rehearsed) wrote(sha string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.firstOf(sha)
}

// after returns what is closed when n more requests have arrived.
func (p *rehearsed) after(n int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	n += p.arrived
	if p.at[n] == nil {
		p.at[n] = make(chan struct{})
	}
	return p.at[n]
}

// rig is a stack with replicas of the server, a provider that can be watched,
// and senders.
type rig struct {
	*stack
	provider *rehearsed
	replicas []*process
	kills    int
	inFlight int // requests at the provider when replicas were killed
	client   *http.Client

	mu         sync.Mutex
	acked      []string              // ids of events that a sender got 2xx for
	ackedAt    map[string]time.Time  // by X-GitHub-Delivery
	milestones map[int]chan struct{} // closed when so many were
}

// setting changes a rig before it starts.
type setting struct {
	config     string // hasty by default
	replicas   int    // 1 by default
	redis      []string
	redisURL   string // instead of a Redis of its own
	durability string
	faults     []string
	pause      time.Duration
}

func newRig(t *testing.T, set setting) *rig {
	t.Helper()
	r := &rig{stack: &stack{t: t, keys: map[string]string{}}, ackedAt: map[string]time.Time{}, milestones: map[int]chan struct{}{}, provider: newRehearsed(t, set.pause, set.faults...)}
	if set.redisURL == "" {
		r.redis = storetest.Redis(t, set.redis...)
		set.redisURL = r.redis.URL()
	}
	if set.config == "" {
		set.config = hasty
	}
	file := filepath.Join(t.TempDir(), "cibridge.yaml")
	if err := os.WriteFile(file, []byte(set.config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.env = []string{
		"CIBRIDGE_REDIS_URL=" + set.redisURL, "CIBRIDGE_ADMIN_TOKEN=" + adminToken, "CIBRIDGE_ENCRYPTION_KEYS=" + seal.NewKey(),
		"CIBRIDGE_EGRESS_ALLOW=127.0.0.0/8", "CIBRIDGE_CONFIG=" + file,
	}
	if set.durability != "" {
		r.env = append(r.env, "CIBRIDGE_DURABILITY="+set.durability)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	r.client = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for range max(1, set.replicas) {
		r.replicas = append(r.replicas, startProcess(t, r.env, "serve", "--listen", "127.0.0.1:0"))
	}
	r.serve = r.replicas[0]
	return r
}

// statuses makes the rig send commit statuses for the events of all sources.
func (r *rig) statuses() {
	r.t.Helper()
	r.admin("POST", "/api/v1/sources", map[string]any{"id": "gh", "mapping": "github-actions", "secrets": []string{githubSecret}}, nil)
	r.application("github", r.provider.url)
	r.hook(map[string]any{"name": "ci", "profile": "github", "trigger_when": map[string]any{"events": []string{"action.status_changed"}}})
}

// kill ends a replica with kill -9.
func (r *rig) kill(i int) {
	r.kills++
	r.inFlight += int(r.provider.inFlight.Load())
	r.replicas[i].kill()
}

// revive starts a replica again on its old address.
func (r *rig) revive(i int) {
	r.t.Helper()
	r.replicas[i] = startProcess(r.t, r.env, "serve", "--listen", strings.TrimPrefix(r.replicas[i].url, "http://"))
	if i == 0 {
		r.serve = r.replicas[0]
	}
}

// urls returns where the replicas listen.
func (r *rig) urls() []string {
	var all []string
	for _, p := range r.replicas {
		all = append(all, p.url)
	}
	return all
}

// atMost returns a context that ends with the test, or after a time that is
// far more than anything takes.
func atMost(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
