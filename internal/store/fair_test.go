package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
)

// lanes sends each run to a resource of its own at the host that its key names
// before the dash.
func lanes(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
	if f == nil {
		return nil
	}
	d := deliveryFor(run, *f, run.Key, bridge.Latest)
	host, _, _ := strings.Cut(run.Key, "-")
	d.Bucket = "https://" + host + ".example|application:a"
	return []bridge.Delivery{d}
}

// TestRate: replicas share the rate of a bucket, another bucket has none, and
// the wait is said in words.
func TestRate(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		const every = 100 * time.Millisecond
		limited := func(c *Config) {
			c.Queue.Limit = func(bucket string) Limit {
				if strings.HasPrefix(bucket, "https://limited.") {
					return Limit{Every: every, Burst: 3}
				}
				return Limit{}
			}
			c.Queue.PerBucket, c.Queue.Timeout = 100, time.Minute
		}
		one, two := b.open(planner(plan(lanes)), limited), b.open(limited)
		for i := range 6 {
			commitTo(t, one, event(fmt.Sprintf("limited-%d", i), "start", bridge.Running))
		}
		start := time.Now()
		for i := range 6 {
			delivered(t, []*Store{one, two}[i%2], nextOf(t, []*Store{one, two}[i%2]))
			if i < 2 {
				continue
			}
			if took, least := time.Since(start), time.Duration(i-2)*every; took < least-5*time.Millisecond {
				t.Errorf("%d leases after %s, want them to take %s", i+1, took, least)
			}
			if i == 2 {
				st, err := one.Pending(t.Context(), 10)
				if err != nil || len(st) != 3 || st[0].Waits == nil || st[0].Waits.For != WaitRateLimit && st[0].Waits.For != WaitTurn {
					t.Errorf("what is left waits for %+v, %v", st, err)
				}
			}
		}
		for i := range 5 {
			commitTo(t, one, event(fmt.Sprintf("limited-more%d", i), "start", bridge.Running))
			commitTo(t, one, event(fmt.Sprintf("free-%d", i), "start", bridge.Running))
		}
		free := 0
		for range 5 + 1 { // at most one place of the burst is paid back by now
			if l := nextOf(t, two); strings.Contains(l.Delivery.Bucket, "free") {
				free++
			}
		}
		if free < 4 {
			t.Errorf("%d of 6 leases are of the bucket without a rate", free)
		}
	})
}

// TestConcurrentPerBucket: a limit of its own replaces the common one.
func TestConcurrentPerBucket(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(plan(lanes)), func(c *Config) {
			c.Queue.Timeout = time.Minute
			c.Queue.Limit = func(bucket string) Limit {
				return map[bool]Limit{true: {PerBucket: 1}}[strings.Contains(bucket, "narrow")]
			}
		})
		for _, key := range []string{"narrow-1", "narrow-2", "wide-1", "wide-2"} {
			commitTo(t, s, event(key, "start", bridge.Running))
		}
		got := map[string]int{}
		for range 3 {
			got[nextOf(t, s).Delivery.Bucket]++
		}
		nothingFor(t, s, 40*time.Millisecond)
		if got["https://narrow.example|application:a"] != 1 || got["https://wide.example|application:a"] != 2 {
			t.Errorf("leased %v at once, want 1 and 2", got)
		}
	})
}

// TestParkIsHonoured: what a provider asked for holds for all replicas, a
// restarted one included, and no other answer shortens it.
func TestParkIsHonoured(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		one, two := b.open(planner(plan(lanes))), b.open()
		for i := range 3 {
			commitTo(t, one, event(fmt.Sprintf("host-%d", i), "start", bridge.Running))
		}
		first, second := nextOf(t, one), nextOf(t, two)
		settleWith(t, one, first, bridge.Settlement{Verdict: bridge.VerdictRetry, ParkMS: 3_600_000, Attempt: bridge.Attempt{At: 1, Status: 429}})
		settleWith(t, two, second, bridge.Settlement{Verdict: bridge.VerdictRetry, TargetFailed: true, ParkMS: 1000, Attempt: bridge.Attempt{At: 1}})
		three := b.open()
		for _, s := range []*Store{one, two, three} {
			nothingFor(t, s, 30*time.Millisecond)
		}
		left, err := one.rdb.PTTL(t.Context(), one.keyspace.in(first.Partition).target(first.Delivery.Bucket)).Result()
		if err != nil || left < 59*time.Minute {
			t.Errorf("the pause of an hour is forgotten after %s, %v", left, err)
		}
		for _, l := range []*bridge.Lease{first, second} {
			st := wantState(t, three, l.Delivery.ID, bridge.DeliveryPending)
			if st.Waits == nil || st.Waits.For != WaitRateLimit || st.Waits.Until < time.Now().Add(59*time.Minute).UnixMilli() {
				t.Errorf("%s waits for %+v", l.Delivery.Lane, st.Waits)
			}
		}
	})
}

// TestProbeOfReplicas: with an open breaker one request of all replicas probes
// the target.
func TestProbeOfReplicas(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		long := func(c *Config) { c.Queue.Timeout = time.Minute }
		one, two := b.open(planner(plan(lanes)), long), b.open(long)
		for i := range 8 {
			commitTo(t, one, event(fmt.Sprintf("host-%d", i), "start", bridge.Running))
		}
		for range 5 {
			settleWith(t, one, nextOf(t, one), bridge.Settlement{Verdict: bridge.VerdictRetry, TargetFailed: true, Attempt: bridge.Attempt{At: 1}})
		}
		probe := nextOf(t, two)
		nothingFor(t, one, 120*time.Millisecond)
		nothingFor(t, two, 40*time.Millisecond)
		settleWith(t, two, probe, bridge.Settlement{Verdict: bridge.VerdictDead, Attempt: bridge.Attempt{At: 1, Status: 422}})
		for i := range 7 { // any answer closes it: nothing was dropped
			nextOf(t, []*Store{one, two}[i%2])
		}
	})
}

// TestFirstIn: of all replicas one is told, and again after a while of quiet.
func TestFirstIn(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		one, two := b.open(), b.open()
		first := func(s *Store, what string, quiet time.Duration, want bool) {
			t.Helper()
			if got, err := s.FirstIn(t.Context(), what, quiet); err != nil || got != want {
				t.Errorf("%s: %v, %v; want %v", what, got, err, want)
			}
		}
		first(one, "dead h", time.Hour, true)
		first(two, "dead h", time.Hour, false)
		first(one, "dead h", time.Hour, false)
		first(two, "dead g", time.Hour, true)
		if b.mini != nil {
			b.mini.FastForward(59 * time.Minute)
			first(two, "dead h", time.Hour, false) // it goes on
			b.mini.FastForward(59 * time.Minute)
			first(two, "dead h", time.Hour, false)
			b.mini.FastForward(61 * time.Minute)
			first(two, "dead h", time.Hour, true)
		}
	})
}

// TestBreakers: a breaker is listed from its first opening to the first answer.
func TestBreakers(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(plan(lanes)), func(c *Config) { c.Queue.BreakerFails, c.Queue.PerBucket = 2, 1 })
		for i := range 2 {
			commitTo(t, s, event(fmt.Sprintf("down-%d", i), "start", bridge.Running))
		}
		var since int64
		for i := range 4 {
			open, err := s.Breakers(t.Context())
			if err != nil || (len(open) == 1) != (i >= 2) {
				t.Fatalf("after %d failures: %+v, %v", i, open, err)
			}
			if i >= 2 {
				if br := open[0]; br.Bucket != "https://down.example|application:a" || br.Fails != i || br.Until <= br.Since || since != 0 && br.Since != since {
					t.Errorf("after %d failures: %+v, opened first at %d", i, br, since)
				}
				since = open[0].Since
			}
			settleWith(t, s, nextOf(t, s), bridge.Settlement{Verdict: bridge.VerdictRetry, TargetFailed: true, Attempt: bridge.Attempt{At: 1}})
		}
		delivered(t, s, nextOf(t, s))
		if open, err := s.Breakers(t.Context()); err != nil || len(open) != 0 {
			t.Errorf("after an answer: %+v, %v", open, err)
		}
	})
}

// TestCaptured: what an answer says of a resource is there for later requests
// to it, from any replica, until an answer says otherwise.
func TestCaptured(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		one, two := b.open(planner(toOneLane(bridge.Every))), b.open()
		for _, status := range []bridge.Status{bridge.Queued, bridge.Running, bridge.Succeeded} {
			commitTo(t, one, event("1", string(status), status))
		}
		const said = `{"pipeline_id":77}`
		for i, want := range []string{"", said, ""} {
			s := []*Store{one, two}[i%2]
			l := nextOf(t, s)
			if l.Captured != want {
				t.Errorf("lease %d has captured %q, want %q", i, l.Captured, want)
			}
			settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictDelivered, Captured: []string{said, "", ""}[i], Attempt: attempt()})
		}
	})
}

// TestDeadHost counts: the lanes of a host that answers nothing take their few
// places and then none, while every other lane is served.
func TestDeadHost(t *testing.T) {
	const dead, healthy, places, fails = 1500, 60, 4, 5
	b := realBackend(t)
	s := b.open(planner(plan(lanes)), func(c *Config) {
		c.Queue.PerBucket, c.Queue.BreakerFails = places, fails
		c.Queue.Timeout, c.Queue.BreakerMin, c.Queue.BreakerMax = time.Minute, time.Hour, time.Hour
	})
	for i := range dead {
		commitTo(t, s, event(fmt.Sprintf("dead-%d", i), "start", bridge.Running))
	}
	for i := range healthy {
		commitTo(t, s, event(fmt.Sprintf("healthy%d-%d", i%5, i), "start", bridge.Running))
	}
	var stuck []*bridge.Lease // requests that get no answer yet
	served, attempts := 0, 0
	for served < healthy {
		l := nextOf(t, s)
		if !strings.HasPrefix(l.Delivery.Lane, "dead-") {
			delivered(t, s, l)
			served++
			continue
		}
		if attempts++; attempts > places {
			t.Fatalf("%d requests to the dead host at once, %d others were served", attempts, served)
		}
		stuck = append(stuck, l)
	}
	for {
		for _, l := range stuck {
			settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictRetry, TargetFailed: true, DelayMS: 3_600_000, Attempt: bridge.Attempt{At: 1}})
		}
		stuck = nil
		for len(stuck) < places {
			l, _, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if l == nil {
				break
			}
			if strings.HasPrefix(l.Delivery.Lane, "dead-") {
				stuck = append(stuck, l)
				attempts++
				continue
			}
			delivered(t, s, l)
		}
		if len(stuck) == 0 {
			break
		}
	}
	if attempts > fails+places {
		t.Errorf("%d requests to the dead host before its breaker opened, want at most %d", attempts, fails+places)
	}
	// A lane of its own is served at once although all those wait.
	commitTo(t, s, event("late-1", "start", bridge.Running))
	if l := nextOf(t, s); l.Delivery.Lane != "late-1" {
		t.Errorf("got %s", l.Delivery.Lane)
	}
}

// TestAcrossHooksRunsAndAttempts: whoever writes a resource, its newest state
// is sent, and nothing older after it.
func TestAcrossHooksRunsAndAttempts(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		p := plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
			if f == nil {
				return nil
			}
			d := deliveryFor(run, *f, "lane", bridge.Latest)
			d.Hook = "hook-" + string(f.Status)
			d.ID = bridge.DeliveryID(run.ID, d.Hook, *f)
			return []bridge.Delivery{d}
		})
		one, two := b.open(planner(p)), b.open(planner(p))
		second := func(ev *bridge.Event) { ev.Attempt = 2 }
		commitTo(t, one, event("old", "start", bridge.Running))
		commitTo(t, two, event("new", "start", bridge.Running))
		commitTo(t, one, event("new", "end", bridge.Failed))
		commitTo(t, two, event("new", "again", bridge.Running, second))
		commitTo(t, one, event("old", "end", bridge.Succeeded))
		l := nextOf(t, two)
		if l.Delivery.Hook != "hook-running" || l.Delivery.Firing.Attempt != 2 {
			t.Fatalf("sent %s of attempt %d first, want the second attempt running", l.Delivery.Body, l.Delivery.Firing.Attempt)
		}
		delivered(t, two, l)
		commitTo(t, one, event("new", "first ends late", bridge.Succeeded))
		nothingFor(t, one, 40*time.Millisecond)
		commitTo(t, one, event("new", "end again", bridge.Succeeded, second))
		if l = nextOf(t, one); l.Delivery.Hook != "hook-succeeded" || l.Delivery.Firing.Attempt != 2 {
			t.Errorf("sent %s of attempt %d, want the end of the second", l.Delivery.Body, l.Delivery.Firing.Attempt)
		}
		delivered(t, one, l)
		nothingFor(t, two, 40*time.Millisecond)
	})
}
