package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"cibridge/bridge"
	"cibridge/internal/seal"
	"cibridge/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is a Redis for one test: a real one, or miniredis.
type backend struct {
	t      *testing.T
	real   *storetest.Server // nil on miniredis
	mini   *miniredis.Miniredis
	ring   *seal.Ring
	prefix string
}

// onBoth runs a test on a real redis-server and on miniredis: both have to
// behave the same.
func onBoth(t *testing.T, test func(t *testing.T, b *backend)) {
	t.Run("redis", func(t *testing.T) { test(t, realBackend(t)) })
	t.Run("miniredis", func(t *testing.T) {
		test(t, &backend{t: t, mini: miniredis.RunT(t), ring: newRing(t)})
	})
}

func realBackend(t *testing.T, options ...string) *backend {
	t.Helper()
	return &backend{t: t, real: storetest.Redis(t, options...), ring: newRing(t)}
}

func newRing(t testing.TB) *seal.Ring {
	t.Helper()
	ring, err := seal.ParseRing(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// quick are intervals that tests can wait for.
func quick(c *Config) {
	c.Queue = Queue{
		Timeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond, Quarantine: 60 * time.Millisecond, Confirm: 60 * time.Millisecond,
		BreakerMin: 80 * time.Millisecond, BreakerMax: 320 * time.Millisecond,
	}
	c.Every = Every{Poll: 20 * time.Millisecond, Idle: 20 * time.Millisecond, Meta: 20 * time.Millisecond, Sweep: time.Hour}
}

// open returns a store on the backend; several are several replicas.
func (b *backend) open(change ...func(*Config)) *Store {
	b.t.Helper()
	cfg := Config{Ring: b.ring, Prefix: b.prefix}
	if b.real != nil {
		cfg.URL = b.real.URL()
	} else {
		cfg.URL, cfg.Durability = "redis://"+b.mini.Addr(), Relaxed
	}
	quick(&cfg)
	for _, f := range change {
		f(&cfg)
	}
	s, err := Open(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { s.Close() })
	return s
}

// plan is a Planner made of a function.
type plan func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery

func (p plan) Plan(run *bridge.Run, f *bridge.Firing, _ time.Time) []bridge.Delivery {
	return p(run, f)
}

// toOneLane sends every firing of a run to one resource.
func toOneLane(ordering bridge.Ordering) plan {
	return func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
		if f == nil {
			return nil
		}
		return []bridge.Delivery{deliveryFor(run, *f, "lane", ordering)}
	}
}

func deliveryFor(run *bridge.Run, f bridge.Firing, lane string, ordering bridge.Ordering) bridge.Delivery {
	return bridge.Delivery{
		ID: bridge.DeliveryID(run.ID, "hook", f), Hook: "hook", Run: run.ID, Firing: f, Lane: lane, Bucket: "https://api.example",
		Ordering: ordering, Since: run.Since(f.Attempt, f.At), Method: "POST", URL: "https://api.example/" + lane,
		Body: fmt.Sprintf(`{"state":%q,"attempt":%d}`, f.Status, f.Attempt),
	}
}

// planner sets the planner of a store.
func planner(p plan) func(*Config) { return func(c *Config) { c.Planner = p } }

var clock = struct {
	sync.Mutex
	at int64
}{at: time.Now().UnixMilli()}

// received returns a fresh time of arrival: tests do not depend on how fast
// they run.
func received() time.Time {
	clock.Lock()
	defer clock.Unlock()
	clock.at += 1000
	return time.UnixMilli(clock.at)
}

// event is a submission of one event.
func event(run, name string, status bridge.Status, change ...func(*bridge.Event)) Submission {
	now := received()
	body := fmt.Sprintf(`{"run":%q,"name":%q,"status":%q}`, run, name, status)
	ev := bridge.Event{
		ID: run + "/" + name + "#0", Source: "src", Name: name, RunKey: run, Attempt: 1, At: now.UnixMilli(), Received: now.UnixMilli(),
		Status: status, Fields: map[string]any{"pipeline.id": "shop", "commit.sha": "64be72b2c1f7d2a33082f98a40a848880fcdcd5e"},
	}
	for _, f := range change {
		f(&ev)
	}
	return Submission{
		Request: bridge.Request{ID: bridge.NewRequestID(now), Source: "src", Mapping: "test", Received: now, Method: "POST", Path: "/in/src",
			Header: map[string]string{"content-type": "application/json", "authorization": "Bearer secret"}, Body: []byte(body)},
		Dedupe: run + "/" + name, Events: []bridge.Event{ev},
	}
}

// again is the same submission arriving once more.
func again(sub Submission) Submission {
	sub.Request.ID = bridge.NewRequestID(received())
	sub.Events = slices.Clone(sub.Events)
	return sub
}

func commitTo(t *testing.T, s *Store, sub Submission) Receipt {
	t.Helper()
	r, err := s.Commit(t.Context(), sub)
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return r
}

// nextOf waits for a lease.
func nextOf(t *testing.T, s *Store) *bridge.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		lease, wait, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if lease != nil {
			return lease
		}
		select {
		case <-s.Wake():
		case <-time.After(wait):
		case <-ctx.Done():
			t.Fatal("no delivery became due")
		}
	}
}

// nothingFor checks that nothing becomes due for a while.
func nothingFor(t *testing.T, s *Store, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		lease, wait, err := s.Next(t.Context())
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if lease != nil {
			t.Fatalf("Next leased %s (%s), want nothing", lease.Delivery.ID, lease.Delivery.Body)
		}
		select {
		case <-s.Wake():
		case <-time.After(min(wait, time.Until(end))):
		}
	}
}

func settleWith(t *testing.T, s *Store, l *bridge.Lease, st bridge.Settlement) {
	t.Helper()
	if st.Attempt.Status == 0 && st.Verdict == bridge.VerdictDelivered {
		st.Attempt.Status = 201
	}
	applied, err := s.Settle(t.Context(), *l, st)
	if err != nil || !applied {
		t.Fatalf("Settle: got %v, %v; want applied", applied, err)
	}
}

func delivered(t *testing.T, s *Store, l *bridge.Lease) {
	t.Helper()
	settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictDelivered, Reason: "201 Created", Attempt: attempt()})
}

func attempt() bridge.Attempt {
	return bridge.Attempt{At: time.Now().UnixMilli(), DurationMS: 5, Status: 201, Verdict: bridge.VerdictDelivered, Reason: "201 Created"}
}

// wantState checks where a delivery stands.
func wantState(t *testing.T, s *Store, id string, want bridge.DeliveryState) Status {
	t.Helper()
	st, err := s.Delivery(t.Context(), id)
	if err != nil {
		t.Fatalf("Delivery: %v", err)
	}
	if st.State != want {
		t.Errorf("delivery %s is %s (%s), want %s", st.Delivery.Body, st.State, st.Reason, want)
	}
	return st
}
