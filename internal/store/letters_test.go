package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
)

// perRun sends every firing of a run to a resource of its own, from the hook
// whose name is the run's first character.
func perRun(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
	if f == nil {
		return nil
	}
	d := deliveryFor(run, *f, "lane-"+run.Key, bridge.Latest)
	d.Hook = run.Key[:1]
	return []bridge.Delivery{d}
}

func kill(t *testing.T, s *Store, l *bridge.Lease) {
	t.Helper()
	settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictDead, Reason: "422", Attempt: bridge.Attempt{At: 1, Status: 422}})
}

// TestDeadLetterPages filters by hook and time, and pages.
func TestDeadLetterPages(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(plan(perRun)))
		var died []Status // the last one first
		for i := range 6 {
			commitTo(t, s, event(fmt.Sprintf("%c%d", 'a'+i%2, i), "end", bridge.Failed))
			l := nextOf(t, s)
			kill(t, s, l)
			died = slices.Insert(died, 0, wantState(t, s, l.Delivery.ID, bridge.DeliveryDead))
			for time.Now().UnixMilli() <= died[0].Updated { // each has its own millisecond
				time.Sleep(time.Millisecond)
			}
		}
		all := func(f DeadFilter) string {
			var got []string
			for {
				page, next, err := s.DeadLetters(t.Context(), f)
				if err != nil || f.Limit > 0 && len(page) > f.Limit {
					t.Fatalf("DeadLetters: %d of %d, %v", len(page), f.Limit, err)
				}
				for _, st := range page {
					got = append(got, st.Delivery.Lane[len("lane-"):])
				}
				if f.Cursor = next; next == "" {
					return strings.Join(got, " ")
				}
			}
		}
		for _, tt := range []struct {
			f    DeadFilter
			want string
		}{
			{DeadFilter{}, "b5 a4 b3 a2 b1 a0"},
			{DeadFilter{Limit: 2}, "b5 a4 b3 a2 b1 a0"},
			{DeadFilter{Hook: "a", Limit: 2}, "a4 a2 a0"},
			{DeadFilter{Since: died[2].Updated}, "b5 a4 b3"},
			{DeadFilter{Until: died[4].Updated, Limit: 1}, "b1 a0"},
			{DeadFilter{Hook: "b", Since: died[4].Updated, Until: died[1].Updated, Limit: 1}, "b3 b1"},
			{DeadFilter{Hook: "none"}, ""},
		} {
			if got := all(tt.f); got != tt.want {
				t.Errorf("%+v: got %s, want %s", tt.f, got, tt.want)
			}
		}
	})
}

// TestRedeliverAll: a trial run changes nothing and says what the real one
// then does.
func TestRedeliverAll(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		p := plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
			if f == nil {
				return nil
			}
			return []bridge.Delivery{deliveryFor(run, *f, run.Key[:1], bridge.Latest)}
		})
		s := b.open(planner(p))
		// a: two dead states; b: a dead one under a delivered one; c: dead.
		for _, run := range []string{"a1", "a2", "b1", "c1"} {
			commitTo(t, s, event(run, "end", bridge.Failed))
			kill(t, s, nextOf(t, s))
		}
		commitTo(t, s, event("b2", "end", bridge.Succeeded))
		newer := nextOf(t, s)
		delivered(t, s, newer)
		dead, _, err := s.DeadLetters(t.Context(), DeadFilter{})
		if err != nil || len(dead) != 4 {
			t.Fatalf("%d dead letters, %v", len(dead), err)
		}
		slices.SortFunc(dead, func(a, b Status) int { return strings.Compare(b.Delivery.Lane, a.Delivery.Lane) })
		words := func(opt RedeliverOptions) string {
			t.Helper()
			done, err := s.RedeliverAll(t.Context(), dead, opt)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, r := range done {
				if r.ID != dead[i].Delivery.ID || r.Outcome == NowSuperseded && r.By == "" {
					t.Errorf("%d: %+v", i, r)
				}
				got = append(got, dead[i].Delivery.Lane+" "+r.Outcome)
			}
			return strings.Join(got, ", ")
		}
		// Of the lane a the newer one is first in the list.
		if before(dead[2].Delivery, dead[3].Delivery) {
			dead[2], dead[3] = dead[3], dead[2]
		}
		const want = "c redelivered, b superseded, a redelivered, a superseded"
		for range 2 {
			if got := words(RedeliverOptions{DryRun: true}); got != want {
				t.Errorf("trial run: %s, want %s", got, want)
			}
		}
		nothingFor(t, s, 30*time.Millisecond)
		if got := words(RedeliverOptions{}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got := words(RedeliverOptions{}); got != "c pending, b superseded, a pending, a superseded" {
			t.Errorf("again: %s", got)
		}
		for range 2 {
			delivered(t, s, nextOf(t, s))
		}
		if got := words(RedeliverOptions{Force: true, DryRun: true}); strings.Contains(got, "superseded") {
			t.Errorf("by force: %s", got)
		}
		if err := s.rdb.Del(t.Context(), s.keyspace.in(s.PartitionOf("")).delivery(dead[0].Delivery.ID)).Err(); err != nil {
			t.Fatal(err)
		}
		if got := words(RedeliverOptions{}); !strings.HasPrefix(got, "c gone") {
			t.Errorf("without its record: %s", got)
		}
	})
}

// TestForceWhileConfirming: what waits for its confirming re-send is not queued
// a second time.
func TestForceWhileConfirming(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)), func(c *Config) { c.Queue.Confirm = time.Hour })
		commitTo(t, s, event("7", "end", bridge.Failed))
		settleWith(t, s, nextOf(t, s), bridge.Settlement{Verdict: bridge.VerdictRetry, Ambiguous: true})
		l := nextOf(t, s)
		delivered(t, s, l)
		st := wantState(t, s, l.Delivery.ID, bridge.DeliveryDelivered)
		if st.Waits == nil || st.Waits.For != WaitConfirm || st.Waits.Until < time.Now().UnixMilli() {
			t.Errorf("waits for %+v, want its confirmation", st.Waits)
		}
		if err := s.Redeliver(t.Context(), l.Delivery.ID, true); err == nil || !strings.Contains(err.Error(), "pending") {
			t.Errorf("Redeliver: %v, want it refused as pending", err)
		}
	})
}

// TestWaits: a pending delivery says in words what it waits for.
func TestWaits(t *testing.T) {
	slow := func(c *Config) {
		c.Queue.Timeout, c.Queue.Quarantine, c.Queue.PerBucket, c.Queue.BreakerFails = time.Hour, time.Hour, 1, 1
		c.Queue.BreakerMin, c.Queue.BreakerMax = time.Hour, time.Hour
	}
	retry := func(st bridge.Settlement) bridge.Settlement {
		st.Verdict, st.Attempt = bridge.VerdictRetry, bridge.Attempt{At: 1}
		return st
	}
	for _, tt := range []struct {
		name     string
		ordering bridge.Ordering
		settle   *bridge.Settlement // of the first delivery; nil leaves it leased
		first    string             // what it waits for
		second   string             // what a delivery of the same lane waits for
		other    string             // what one of another lane of the bucket waits for
		text     string             // in that of the first
	}{
		{"leased", bridge.Latest, nil, WaitLease, WaitBehind, WaitTurn, "being sent; the lease of its worker ends at 2"},
		{"next try", bridge.Every, &bridge.Settlement{DelayMS: 3_600_000}, WaitNextTry, WaitBehind, WaitTurn, "next try at 2"},
		{"quarantine", bridge.Every, &bridge.Settlement{Ambiguous: true}, WaitQuarantine, WaitBehind, WaitTurn, "quarantine until 2"},
		{"breaker", bridge.Every, &bridge.Settlement{TargetFailed: true}, WaitBreaker, WaitBehind, WaitBreaker, "the breaker of https://api.example is open until 2"},
		{"rate limit", bridge.Every, &bridge.Settlement{ParkMS: 3_600_000}, WaitRateLimit, WaitBehind, WaitRateLimit, "https://api.example is rate limited until 2"},
		{"superseded next", bridge.Latest, &bridge.Settlement{ParkMS: 3_600_000}, WaitBehind, WaitRateLimit, WaitRateLimit, "which is newer and takes its place"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, b *backend) {
				s := b.open(slow, planner(plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
					return []bridge.Delivery{deliveryFor(run, *f, run.Key, tt.ordering)}
				})))
				commitTo(t, s, event("one", "start", bridge.Running))
				l := nextOf(t, s)
				if tt.settle != nil {
					settleWith(t, s, l, retry(*tt.settle))
				}
				commitTo(t, s, event("one", "end", bridge.Succeeded))
				commitTo(t, s, event("two", "start", bridge.Running))
				same, err := s.Deliveries(t.Context(), l.Delivery.Run)
				if err != nil || len(same) != 2 {
					t.Fatalf("%d deliveries, %v", len(same), err)
				}
				other, err := s.Deliveries(t.Context(), bridge.RunID(s.PartitionOf(""), "src", "two"))
				if err != nil || len(other) != 1 {
					t.Fatalf("%d deliveries, %v", len(other), err)
				}
				for i, st := range append(same, other...) {
					want := []string{tt.first, tt.second, tt.other}[i]
					if st.Waits == nil || st.Waits.For != want {
						t.Errorf("delivery %d waits for %+v, want %s", i, st.Waits, want)
						continue
					}
					if (st.State == bridge.DeliverySending) != (want == WaitLease) {
						t.Errorf("delivery %d is %s while it waits for %s", i, st.State, want)
					}
					if want == WaitBehind && st.Waits.Behind != same[1-i].Delivery.ID {
						t.Errorf("delivery %d is behind %s, want %s", i, st.Waits.Behind, same[1-i].Delivery.ID)
					}
					if text := st.Waits.Text(); strings.ContainsAny(text, "{}") || i == 0 && !strings.Contains(text, tt.text) {
						t.Errorf("delivery %d: %q, want %q in it", i, text, tt.text)
					}
				}
			})
		})
	}
}
