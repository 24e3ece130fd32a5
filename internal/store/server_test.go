package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/store/storetest"
)

// TestKillRedis kills Redis under load, several times: no acknowledged event
// may be missing, and every acknowledged firing is delivered or superseded.
func TestKillRedis(t *testing.T) {
	b := realBackend(t)
	s := b.open(planner(plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
		if f == nil {
			return nil
		}
		return []bridge.Delivery{deliveryFor(run, *f, run.Key, bridge.Latest)}
	})))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]string{} // request -> run
	for client := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				sub := event(fmt.Sprintf("%d-%d", client, i), "end", bridge.Succeeded)
				r, err := s.Commit(t.Context(), sub)
				if err != nil {
					continue
				}
				mu.Lock()
				acknowledged[sub.Request.ID] = r.Runs[0]
				mu.Unlock()
			}
		})
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond) // load
		b.real.Kill()
		time.Sleep(100 * time.Millisecond) // away
		b.real.Start()
	}
	close(stop)
	wg.Wait()
	if len(acknowledged) < 20 {
		t.Fatalf("only %d events were acknowledged", len(acknowledged))
	}
	replica := b.open() // nothing is known here
	for request, run := range acknowledged {
		e, err := replica.Request(t.Context(), request)
		if err != nil || e.Outcome != bridge.Applied {
			t.Fatalf("an acknowledged event is missing: %s: %+v, %v", request, e, err)
		}
		if r, err := replica.Run(t.Context(), run); err != nil || r.Status() != bridge.Succeeded {
			t.Fatalf("an acknowledged run is missing: %s: %v", run, err)
		}
		if d, err := replica.Deliveries(t.Context(), run); err != nil || len(d) != 1 {
			t.Fatalf("the delivery of %s is missing: %v, %v", run, d, err)
		}
	}
	got := map[string]bool{}
	for len(got) < len(acknowledged) {
		l := nextOf(t, replica)
		got[l.Delivery.Run] = true
		delivered(t, replica, l)
	}
	t.Logf("%d events were acknowledged over 3 kills", len(acknowledged))
}

// TestUnavailable: while Redis is away, or hangs, a commit fails within two
// seconds, soon at once, and works again when Redis is back.
func TestUnavailable(t *testing.T) {
	b := realBackend(t)
	s := b.open()
	commitTo(t, s, event("0", "start", bridge.Running))
	refused := func(what string, within time.Duration) {
		t.Helper()
		start := time.Now()
		_, err := s.Commit(t.Context(), event("1", "start", bridge.Running))
		var known *bridge.Error
		if !errors.As(err, &known) || known.Code != bridge.CodeUnavailable {
			t.Fatalf("%s: got %v, want unavailable", what, err)
		}
		if took := time.Since(start); took > within {
			t.Errorf("%s: failed after %s, want within %s", what, took, within)
		}
	}
	back := func(what string) {
		t.Helper()
		start := time.Now()
		for n := 0; ; n++ {
			if _, err := s.Commit(t.Context(), event(fmt.Sprint(what, n), "start", bridge.Running)); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
			if time.Since(start) > 10*time.Second {
				t.Fatalf("%s: no commit for 10 s", what)
			}
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: works again after %s, want within 3 s", what, took)
		}
	}

	b.real.Kill()
	for range 5 {
		refused("away", 2*time.Second)
	}
	if h := s.Health(t.Context()); h.OK || len(h.Problems) == 0 {
		t.Errorf("Health while Redis is away: got %+v", h)
	}
	b.real.Start()
	back("after a restart")
	b.real.Pause()
	refused("hanging", 2*time.Second)
	b.real.Resume()
	back("after a pause")
	if _, err := b.real.Do("CONFIG SET maxmemory 1"); err != nil {
		t.Fatal(err)
	}
	refused("out of memory", 2*time.Second)
	b.real.Do("CONFIG SET maxmemory 0")
	back("with memory again")
	b.real.Do("SCRIPT FLUSH")
	back("after the scripts were flushed")
	if h := s.Health(t.Context()); !h.OK || !strings.HasPrefix(h.Server, "redis 7") {
		t.Errorf("Health: got %+v", h)
	}
}

// TestLostAnswer: a commit whose answer was lost is a duplicate when it comes
// again, not a second event.
func TestLostAnswer(t *testing.T) {
	b := realBackend(t)
	s := b.open(planner(toOneLane(bridge.Latest)))
	commitTo(t, s, event("0", "start", bridge.Running))
	b.real.Pause()
	sub := event("1", "start", bridge.Running)
	if _, err := s.Commit(t.Context(), sub); err == nil {
		t.Fatal("a commit to a paused Redis is acknowledged")
	}
	b.real.Resume() // it may now do what it had received
	var r Receipt
	var err error
	for range 100 {
		if r, err = s.Commit(t.Context(), again(sub)); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	run, err := s.Run(t.Context(), r.Runs[0])
	if err != nil || run.Version != 1 {
		t.Errorf("the run has version %d after one event sent twice, %v; want 1", run.Version, err)
	}
}

func TestDurabilityIsChecked(t *testing.T) {
	weak := storetest.Redis(t, "--appendfsync", "everysec", "--maxmemory-policy", "allkeys-lru")
	_, err := Open(t.Context(), Config{URL: weak.URL(), Ring: newRing(t)})
	if err == nil {
		t.Fatal("strict accepts appendfsync everysec")
	}
	for _, want := range []string{"redis-cli CONFIG SET appendfsync always", "redis-cli CONFIG SET maxmemory-policy noeviction", "in redis.conf: appendfsync always"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "appendonly is") {
		t.Errorf("the error names a setting that is right:\n%v", err)
	}
	if _, err := Open(t.Context(), Config{URL: weak.URL(), Ring: newRing(t), Durability: Relaxed}); err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("relaxed with an eviction policy: got %v, want it refused", err)
	}
	weak.Do("CONFIG SET maxmemory-policy noeviction")
	s, err := Open(t.Context(), Config{URL: weak.URL(), Ring: newRing(t), Durability: Relaxed})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if h := s.Health(t.Context()); !h.OK || len(h.Notes) != 1 {
		t.Errorf("Health of relaxed: got %+v, want a note", h)
	}
	_, err = Open(t.Context(), Config{URL: weak.URL(), Ring: newRing(t), Durability: Replicated})
	if err == nil || !strings.Contains(err.Error(), "7.2") {
		t.Errorf("replicated on 7.0: got %v, want it refused", err)
	}
}

// TestDurabilityIsWatched: a setting that is changed while the store runs
// shows in Health.
func TestDurabilityIsWatched(t *testing.T) {
	b := realBackend(t)
	s := b.open(func(c *Config) { c.Every.Durability = 10 * time.Millisecond })
	b.real.Do("CONFIG SET appendfsync everysec")
	for deadline := time.Now().Add(10 * time.Second); s.Health(t.Context()).OK; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Health does not notice appendfsync everysec")
		}
	}
}

func TestPartitionsAreFixed(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		if s := b.open(func(c *Config) { c.Partitions = 4 }); s.Partitions() != 4 {
			t.Errorf("got %d partitions, want 4", s.Partitions())
		}
		if s := b.open(); s.Partitions() != 4 {
			t.Errorf("the second start: got %d partitions, want 4", s.Partitions())
		}
		cfg := Config{Ring: b.ring, Durability: Relaxed, Partitions: 8}
		if b.real != nil {
			cfg.URL = b.real.URL()
		} else {
			cfg.URL = "redis://" + b.mini.Addr()
		}
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "has 4 partitions") {
			t.Errorf("another number: got %v, want it refused", err)
		}
	})
}

var commandsLine = regexp.MustCompile(`total_commands_processed:(\d+)`)

// TestIdle counts what a server with nothing to do asks of Redis.
func TestIdle(t *testing.T) {
	server := storetest.Redis(t)
	s, err := Open(t.Context(), Config{URL: server.URL(), Ring: newRing(t), Planner: toOneLane(bridge.Latest)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	commitTo(t, s, event("7", "start", bridge.Running))
	delivered(t, s, nextOf(t, s))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for ctx.Err() == nil {
			_, wait, _ := s.Next(ctx)
			select {
			case <-s.Wake():
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
	})
	count := func() int {
		info, err := server.Do("INFO stats")
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(commandsLine.FindStringSubmatch(info)[1])
		return n
	}
	const seconds = 4
	before := count()
	time.Sleep(seconds * time.Second)
	each := float64(count()-before-1) / seconds
	cancel()
	if t.Logf("%.1f commands/s", each); each > 10 {
		t.Errorf("an idle server makes %.1f commands/s, want less than 10", each)
	}
}

func TestNothingInPlainText(t *testing.T) {
	b := realBackend(t)
	s := b.open(planner(toOneLane(bridge.Latest)))
	const secret = "glpat-THE-SECRET-42"
	sub := event("7", "start", bridge.Running, func(ev *bridge.Event) { ev.Fields["params"] = map[string]any{"TOKEN": secret} })
	sub.Request.Body = []byte(`{"variables":[{"key":"TOKEN","value":"` + secret + `"}]}`)
	sub.Request.Header = map[string]string{"X-Gitlab-Token": secret, "x-my-api-key": secret}
	commitTo(t, s, sub)
	l := nextOf(t, s)
	settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictDelivered, Attempt: bridge.Attempt{At: 1, Status: 201, Body: secret}})
	ctx := t.Context()
	for _, err := range []error{
		s.PutSource(ctx, bridge.Source{ID: "gh", Secrets: []bridge.Secret{secret}}),
		s.PutApplication(ctx, bridge.Application{ID: "a", SourceProvider: bridge.SourceProvider{AccessToken: secret}}),
		s.PutHook(ctx, bridge.Hook{ID: "h", Secret: secret}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for it := s.rdb.Scan(ctx, 0, "*", 100).Iterator(); it.Next(ctx); found++ {
		dump, err := s.rdb.Dump(ctx, it.Val()).Result()
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+8 <= len(secret); i++ {
			if strings.Contains(dump, secret[i:i+8]) {
				t.Errorf("%s shows %q of the secret", it.Val(), secret[i:i+8])
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d keys were looked at", found)
	}
}
