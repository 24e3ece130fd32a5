package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
)

func TestLatestSupersedes(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)))
		for _, status := range []bridge.Status{bridge.Queued, bridge.Running, bridge.Succeeded} {
			commitTo(t, s, event("7", string(status), status))
		}
		l := nextOf(t, s)
		if !strings.Contains(l.Delivery.Body, "succeeded") {
			t.Fatalf("got %s, want the newest state", l.Delivery.Body)
		}
		delivered(t, s, l)
		nothingFor(t, s, 50*time.Millisecond)
		list, err := s.Deliveries(t.Context(), l.Delivery.Run)
		if err != nil || len(list) != 3 {
			t.Fatalf("Deliveries: got %d, %v; want 3", len(list), err)
		}
		for i, want := range []bridge.DeliveryState{bridge.DeliverySuperseded, bridge.DeliverySuperseded, bridge.DeliveryDelivered} {
			if list[i].State != want {
				t.Errorf("delivery %d is %s, want %s", i, list[i].State, want)
			}
		}
		if st := list[2]; st.Tries != 1 || len(st.Attempts) != 1 || st.Reason != "201 Created" {
			t.Errorf("the delivered one: got %+v", st)
		}
	})
}

func TestEveryKeepsOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Every)))
		statuses := []bridge.Status{bridge.Queued, bridge.Running, bridge.Succeeded}
		for _, status := range statuses {
			commitTo(t, s, event("7", string(status), status))
		}
		for _, status := range statuses {
			l := nextOf(t, s)
			settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictRetry, DelayMS: 20, Attempt: attempt()})
			l = nextOf(t, s)
			if !strings.Contains(l.Delivery.Body, string(status)) || l.Tries != 1 {
				t.Errorf("got %s after %d tries, want %s after 1", l.Delivery.Body, l.Tries, status)
			}
			delivered(t, s, l)
		}
		nothingFor(t, s, 40*time.Millisecond)
	})
}

// TestNewerDoesNotWaitForARetry: the newest state goes at once although an
// older one is waiting for its next try.
func TestNewerDoesNotWaitForARetry(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)))
		commitTo(t, s, event("7", "start", bridge.Running))
		l := nextOf(t, s)
		settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictRetry, DelayMS: 3_600_000, Reason: "503", Attempt: bridge.Attempt{At: 1, Status: 503}})
		if st := wantState(t, s, l.Delivery.ID, bridge.DeliveryPending); st.Next <= time.Now().UnixMilli() {
			t.Errorf("next try at %d, want in an hour", st.Next)
		}
		nothingFor(t, s, 40*time.Millisecond)
		commitTo(t, s, event("7", "end", bridge.Succeeded))
		newer := nextOf(t, s)
		if !strings.Contains(newer.Delivery.Body, "succeeded") {
			t.Errorf("got %s, want succeeded", newer.Delivery.Body)
		}
		delivered(t, s, newer)
		wantState(t, s, l.Delivery.ID, bridge.DeliverySuperseded)
	})
}

// TestOlderRunNeverOverwrites: a run that started earlier and is planned later
// does not overwrite what a later run showed.
func TestOlderRunNeverOverwrites(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)))
		earlier, later := event("1", "end", bridge.Failed), event("2", "end", bridge.Succeeded)
		commitTo(t, s, later)
		l := nextOf(t, s)
		delivered(t, s, l)
		commitTo(t, s, earlier)
		nothingFor(t, s, 50*time.Millisecond)
		list, _ := s.Deliveries(t.Context(), bridge.RunID(s.PartitionOf(""), "src", "1"))
		if len(list) != 1 || list[0].State != bridge.DeliverySuperseded {
			t.Errorf("the earlier run's delivery: got %+v, want superseded", list)
		}
		err := s.Redeliver(t.Context(), list[0].Delivery.ID, false)
		var known *bridge.Error
		if !errors.As(err, &known) || known.Code != bridge.CodeConflict || !strings.Contains(err.Error(), "superseded") {
			t.Errorf("Redeliver of a stale state: got %v, want it refused as superseded", err)
		}
		if err := s.Redeliver(t.Context(), list[0].Delivery.ID, true); err != nil {
			t.Fatalf("Redeliver by force: %v", err)
		}
		if forced := nextOf(t, s); forced.Delivery.ID != list[0].Delivery.ID {
			t.Errorf("by force: got %s", forced.Delivery.Body)
		}
	})
}

// TestCrashedWorker: a lease that ends without a settle quarantines the lane,
// the late settle of the dead worker changes nothing, and what is sent next is
// confirmed once.
func TestCrashedWorker(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s, replica := b.open(planner(toOneLane(bridge.Latest))), b.open(planner(toOneLane(bridge.Latest)))
		commitTo(t, s, event("7", "start", bridge.Running))
		start := time.Now()
		dead := nextOf(t, s)
		l := nextOf(t, replica)
		if rest := time.Since(start); rest < 150*time.Millisecond {
			t.Errorf("leased again after %s, want lease (100 ms) and quarantine (60 ms)", rest)
		}
		if l.Fence <= dead.Fence || l.Tries != 1 {
			t.Errorf("second lease: got fence %d after %d, tries %d", l.Fence, dead.Fence, l.Tries)
		}
		if applied, err := s.Settle(t.Context(), *dead, bridge.Settlement{Verdict: bridge.VerdictDelivered}); applied || err != nil {
			t.Errorf("a late settle: got %v, %v; want it fenced", applied, err)
		}
		delivered(t, replica, l)
		confirm := nextOf(t, replica)
		if !confirm.Confirming || confirm.Identical || confirm.Delivery.ID != l.Delivery.ID {
			t.Errorf("after an unsettled lease: got %+v, want the confirming re-send", confirm)
		}
		wantState(t, s, l.Delivery.ID, bridge.DeliveryDelivered)
		delivered(t, replica, confirm)
		nothingFor(t, s, 100*time.Millisecond)
		wantState(t, s, l.Delivery.ID, bridge.DeliveryDelivered)
	})
}

func TestAmbiguousAttempt(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)))
		commitTo(t, s, event("7", "start", bridge.Running))
		l := nextOf(t, s)
		start := time.Now()
		settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictRetry, Ambiguous: true, Attempt: bridge.Attempt{At: 1}})
		commitTo(t, s, event("7", "end", bridge.Succeeded))
		newer := nextOf(t, s)
		if rest := time.Since(start); rest < 50*time.Millisecond {
			t.Errorf("the newer state went after %s, want it to wait for the quarantine", rest)
		}
		delivered(t, s, newer)
		confirm := nextOf(t, s)
		if !confirm.Confirming || confirm.Delivery.ID != newer.Delivery.ID {
			t.Fatalf("got %+v, want the newer state confirmed", confirm)
		}
		// A confirming re-send that fails for good leaves it delivered.
		settleWith(t, s, confirm, bridge.Settlement{Verdict: bridge.VerdictDead, Attempt: bridge.Attempt{At: 1, Status: 422}})
		wantState(t, s, newer.Delivery.ID, bridge.DeliveryDelivered)
		nothingFor(t, s, 80*time.Millisecond)
	})
}

// TestConfirmIsHandedOn: a newer state that comes before the confirming
// re-send is confirmed in its place.
func TestConfirmIsHandedOn(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)))
		commitTo(t, s, event("7", "start", bridge.Running))
		settleWith(t, s, nextOf(t, s), bridge.Settlement{Verdict: bridge.VerdictRetry, Ambiguous: true})
		first := nextOf(t, s)
		delivered(t, s, first)
		commitTo(t, s, event("7", "end", bridge.Succeeded))
		newer := nextOf(t, s)
		if newer.Confirming || !strings.Contains(newer.Delivery.Body, "succeeded") {
			t.Fatalf("got %+v, want the newer state before the confirmation", newer)
		}
		delivered(t, s, newer)
		confirm := nextOf(t, s)
		if !confirm.Confirming || confirm.Delivery.ID != newer.Delivery.ID {
			t.Errorf("got %+v, want the newer state confirmed", confirm)
		}
		delivered(t, s, confirm)
		wantState(t, s, first.Delivery.ID, bridge.DeliveryDelivered)
	})
}

func TestIdentical(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		same := plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
			if f == nil {
				return nil
			}
			d := deliveryFor(run, *f, "lane", bridge.Latest)
			d.Body = `{"state":"pending"}`
			return []bridge.Delivery{d}
		})
		s := b.open(planner(same))
		commitTo(t, s, event("7", "queued", bridge.Queued))
		l := nextOf(t, s)
		if l.Identical {
			t.Errorf("the first delivery is reported as identical")
		}
		delivered(t, s, l)
		commitTo(t, s, event("7", "start", bridge.Running))
		l = nextOf(t, s)
		if !l.Identical {
			t.Errorf("the same request again is not reported as identical")
		}
		settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictRetry, Attempt: bridge.Attempt{At: 1, Status: 500}})
		if l = nextOf(t, s); l.Identical {
			t.Errorf("identical after an attempt that failed: nobody knows what the target shows")
		}
		delivered(t, s, l)
	})
}

func TestBucketLimit(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		lanes := plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
			return []bridge.Delivery{deliveryFor(run, *f, "lane-"+run.Key, bridge.Latest)}
		})
		narrow := func(c *Config) { c.Queue.PerBucket = 2; c.Queue.Timeout = time.Minute }
		s, replica := b.open(planner(lanes), narrow), b.open(planner(lanes), narrow)
		for i := range 5 {
			commitTo(t, s, event(fmt.Sprint(i), "start", bridge.Running))
		}
		first, second := nextOf(t, s), nextOf(t, replica)
		nothingFor(t, s, 50*time.Millisecond)
		nothingFor(t, replica, 50*time.Millisecond)
		delivered(t, s, first)
		third := nextOf(t, s)
		nothingFor(t, s, 30*time.Millisecond)
		for _, l := range []*bridge.Lease{second, third} {
			delivered(t, s, l)
		}
		for range 2 {
			delivered(t, s, nextOf(t, s))
		}
		nothingFor(t, s, 30*time.Millisecond)
	})
}

func TestParkedBucket(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		lanes := plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
			d := deliveryFor(run, *f, "lane-"+run.Key, bridge.Latest)
			if run.Key == "other" {
				d.Bucket = "https://other.example"
			}
			return []bridge.Delivery{d}
		})
		s := b.open(planner(lanes))
		commitTo(t, s, event("1", "start", bridge.Running))
		commitTo(t, s, event("2", "start", bridge.Running))
		start := time.Now()
		settleWith(t, s, nextOf(t, s), bridge.Settlement{Verdict: bridge.VerdictRetry, ParkMS: 150, Attempt: bridge.Attempt{At: 1, Status: 429}})
		commitTo(t, s, event("other", "start", bridge.Running))
		if l := nextOf(t, s); l.Delivery.Bucket != "https://other.example" {
			t.Errorf("while the bucket is parked: got %s", l.Delivery.URL)
		}
		nextOf(t, s)
		if waited := time.Since(start); waited < 150*time.Millisecond {
			t.Errorf("the bucket was opened after %s, want 150 ms", waited)
		}
	})
}

func TestBreaker(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		lanes := plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
			return []bridge.Delivery{deliveryFor(run, *f, "lane-"+run.Key, bridge.Latest)}
		})
		s := b.open(planner(lanes))
		for i := range 8 {
			commitTo(t, s, event(fmt.Sprint(i), "start", bridge.Running))
		}
		fail := bridge.Settlement{Verdict: bridge.VerdictRetry, TargetFailed: true, Attempt: bridge.Attempt{At: 1}}
		for range 4 {
			settleWith(t, s, nextOf(t, s), fail)
		}
		// The answers of requests that were under way count once.
		under := []*bridge.Lease{nextOf(t, s), nextOf(t, s), nextOf(t, s)}
		start := time.Now()
		for _, l := range under {
			settleWith(t, s, l, fail)
		}
		probe := nextOf(t, s)
		if waited := time.Since(start); waited < 80*time.Millisecond {
			t.Errorf("probed after %s, want 80 ms", waited)
		}
		nothingFor(t, s, 40*time.Millisecond) // one probe at a time
		start = time.Now()
		settleWith(t, s, probe, fail)
		probe = nextOf(t, s)
		if waited := time.Since(start); waited < 160*time.Millisecond {
			t.Errorf("probed again after %s, want it doubled to 160 ms", waited)
		}
		delivered(t, s, probe)
		for range 7 { // nothing was dropped, and more than one goes at a time
			defer delivered(t, s, nextOf(t, s))
		}
	})
}

func TestDeadLetters(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)))
		commitTo(t, s, event("7", "end", bridge.Failed))
		l := nextOf(t, s)
		one, two := "att_"+l.Delivery.ID[4:]+"_one", "att_"+l.Delivery.ID[4:]+"_two"
		settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictRetry, DelayMS: 1, Reason: "500", Attempt: bridge.Attempt{ID: one, At: 1, Status: 500, Method: "POST", URL: l.Delivery.URL, RequestBody: l.Delivery.Body}})
		settleWith(t, s, nextOf(t, s), bridge.Settlement{Verdict: bridge.VerdictDead, Reason: "422 | No commit\nfound", Attempt: bridge.Attempt{ID: two, At: 2, Status: 422, URL: "https://elsewhere"}})
		dead, next, err := s.DeadLetters(t.Context(), DeadFilter{})
		if err != nil || next != "" || len(dead) != 1 || dead[0].State != bridge.DeliveryDead || dead[0].Reason != "422   No commit found" {
			t.Fatalf("DeadLetters: got %+v, %q, %v", dead, next, err)
		}
		tries, _, err := s.Attempts(t.Context(), AttemptFilter{Delivery: l.Delivery.ID})
		if err != nil || len(tries) != 2 || tries[0].URL != l.Delivery.URL || tries[0].RequestBody != l.Delivery.Body || tries[1].RetryOf != one || tries[1].URL != "https://elsewhere" {
			t.Errorf("Attempts of the delivery: got %+v, %v", tries, err)
		}
		tries, _, err = s.Attempts(t.Context(), AttemptFilter{Hook: "hook", Limit: 1})
		if err != nil || len(tries) != 1 || tries[0].ID != two {
			t.Errorf("Attempts of the hook: got %+v, %v", tries, err)
		}
		if a, err := s.Attempt(t.Context(), one); err != nil || a.Status != 500 || a.Delivery != l.Delivery.ID {
			t.Errorf("Attempt: got %+v, %v", a, err)
		}
		if err := s.Redeliver(t.Context(), l.Delivery.ID, false); err != nil {
			t.Fatalf("Redeliver: %v", err)
		}
		if err := s.Redeliver(t.Context(), l.Delivery.ID, false); err == nil {
			t.Errorf("Redeliver of a pending delivery succeeds")
		}
		if dead, _, _ := s.DeadLetters(t.Context(), DeadFilter{}); len(dead) != 0 {
			t.Errorf("it is still a dead letter")
		}
		again := nextOf(t, s)
		if again.Tries != 0 || again.Delivery.ID != l.Delivery.ID {
			t.Errorf("redelivered: got %+v", again)
		}
		delivered(t, s, again)
		if st := wantState(t, s, l.Delivery.ID, bridge.DeliveryDelivered); len(st.Attempts) != 3 {
			t.Errorf("attempts: got %v, want 3", st.Attempts)
		}
		if _, err := s.Delivery(t.Context(), "dlv_nope"); err == nil {
			t.Errorf("Delivery of an unknown id succeeds")
		}
	})
}

func TestReleaseAndRepeatedSettle(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s, replica := b.open(planner(toOneLane(bridge.Latest))), b.open(planner(toOneLane(bridge.Latest)))
		commitTo(t, s, event("7", "start", bridge.Running))
		l := nextOf(t, s)
		wantState(t, replica, l.Delivery.ID, bridge.DeliverySending)
		if err := s.Release(t.Context(), *l); err != nil {
			t.Fatal(err)
		}
		got := nextOf(t, replica)
		if got.Tries != 0 || got.Fence < l.Fence {
			t.Errorf("after Release: got %d tries, want 0: an expired lease would count", got.Tries)
		}
		for range 2 { // the answer of the first may have been lost
			if applied, err := replica.Settle(t.Context(), *got, bridge.Settlement{Verdict: bridge.VerdictDelivered, Attempt: bridge.Attempt{ID: "att_x", At: 1, Status: 201}}); !applied || err != nil {
				t.Errorf("Settle: got %v, %v; want applied", applied, err)
			}
		}
		if st := wantState(t, s, l.Delivery.ID, bridge.DeliveryDelivered); st.Tries != 1 {
			t.Errorf("tries: got %d, want 1", st.Tries)
		}
		nothingFor(t, s, 150*time.Millisecond)
	})
}

// TestBucketChanges: a lane whose newest delivery uses another credential
// moves to that bucket.
func TestBucketChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		p := plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
			d := deliveryFor(run, *f, "lane", bridge.Latest)
			d.Bucket = "bucket-" + string(f.Status)
			return []bridge.Delivery{d}
		})
		s := b.open(planner(p))
		commitTo(t, s, event("7", "start", bridge.Running))
		commitTo(t, s, event("7", "end", bridge.Succeeded))
		l := nextOf(t, s)
		if l.Delivery.Bucket != "bucket-succeeded" {
			t.Errorf("got bucket %s", l.Delivery.Bucket)
		}
		nothingFor(t, s, 30*time.Millisecond)
		delivered(t, s, l)
		nothingFor(t, s, 30*time.Millisecond)
	})
}

// TestWakesReplica: a commit wakes another replica at once, not at its next
// poll.
func TestWakesReplica(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		slow := func(c *Config) { c.Every.Poll, c.Every.Idle = time.Minute, time.Minute }
		s, replica := b.open(planner(toOneLane(bridge.Latest)), slow), b.open(slow)
		commitTo(t, s, event("0", "start", bridge.Running))
		delivered(t, s, nextOf(t, s))
		for { // the replica has seen the partition
			if _, wait, err := replica.Next(t.Context()); err != nil {
				t.Fatal(err)
			} else if wait > time.Second {
				break
			}
		}
		commitTo(t, s, event("1", "end", bridge.Failed))
		l := nextOf(t, replica)
		if !strings.Contains(l.Delivery.Body, "failed") {
			t.Errorf("got %s", l.Delivery.Body)
		}
	})
}

// What a try leaves for the next one comes back with its lease, and is gone
// when the delivery is settled or asked for again.
func TestMemo(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		one, two := b.open(planner(toOneLane(bridge.Every))), b.open()
		commitTo(t, one, event("1", "end", bridge.Succeeded))
		l := nextOf(t, one)
		if l.Memo != "" {
			t.Errorf("the first lease has the memo %q", l.Memo)
		}
		const memo = `{"tries":{"transient":1}}`
		settleWith(t, one, l, bridge.Settlement{Verdict: bridge.VerdictRetry, Memo: memo, Attempt: attempt()})
		l = nextOf(t, two)
		if l.Memo != memo || l.Tries != 1 {
			t.Errorf("another replica gets the memo %q after %d tries, want %q after 1", l.Memo, l.Tries, memo)
		}
		settleWith(t, two, l, bridge.Settlement{Verdict: bridge.VerdictDead, Memo: memo, Attempt: attempt()})
		lane, err := two.rdb.HGetAll(t.Context(), two.keyspace.in(l.Partition).lane("lane")).Result()
		if err != nil {
			t.Fatal(err)
		}
		for field := range lane {
			if strings.HasPrefix(field, "n:") || strings.HasPrefix(field, "x:") {
				t.Errorf("the lane still has %s of a settled delivery", field)
			}
		}
		if err := one.Redeliver(t.Context(), l.Delivery.ID, false); err != nil {
			t.Fatal(err)
		}
		if l = nextOf(t, two); l.Memo != "" || l.Tries != 0 {
			t.Errorf("a redelivery has the memo %q after %d tries", l.Memo, l.Tries)
		}
	})
}
