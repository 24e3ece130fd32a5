package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"cibridge/bridge"
)

func TestCommit(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)))
		sub := event("7", "start", bridge.Running)
		r := commitTo(t, s, sub)
		wantRun := bridge.RunID(s.PartitionOf(""), "src", "7")
		want := Receipt{Request: sub.Request.ID, Runs: []string{wantRun}, Outcome: bridge.Applied}
		if !reflect.DeepEqual(r, want) {
			t.Errorf("Commit: got %+v, want %+v", r, want)
		}
		run, err := s.Run(t.Context(), wantRun)
		if err != nil {
			t.Fatal(err)
		}
		if run.Status() != bridge.Running || run.Version != 1 || run.Key != "7" {
			t.Errorf("run: got %s, version %d, key %s; want running, 1, 7", run.Status(), run.Version, run.Key)
		}
		entry, err := s.Request(t.Context(), sub.Request.ID)
		if err != nil {
			t.Fatal(err)
		}
		if string(entry.Request.Body) != string(sub.Request.Body) || entry.Outcome != bridge.Applied || entry.Runs[0] != wantRun {
			t.Errorf("request: got %+v", entry)
		}
		if _, there := entry.Request.Header["authorization"]; there {
			t.Errorf("a credential header is stored")
		}
		if l := nextOf(t, s); l.Delivery.Body != `{"state":"running","attempt":1}` || l.Tries != 0 || l.Confirming {
			t.Errorf("lease: got %+v", l)
		}
	})
}

func TestDuplicates(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)))
		first := event("7", "start", bridge.Running)
		commitTo(t, s, first)
		second := again(first)
		r := commitTo(t, s, second)
		if r.Outcome != bridge.Duplicate || r.DuplicateOf != first.Request.ID || r.First != bridge.Applied || r.Request != second.Request.ID {
			t.Errorf("the repetition: got %+v, want a duplicate of %s", r, first.Request.ID)
		}
		if len(r.Runs) != 1 || r.Runs[0] != bridge.RunID(s.PartitionOf(""), "src", "7") {
			t.Errorf("the repetition: got runs %v", r.Runs)
		}
		entry, err := s.Request(t.Context(), second.Request.ID)
		if err != nil || entry.Outcome != bridge.Duplicate || entry.DuplicateOf != first.Request.ID {
			t.Errorf("ledger: got %+v, %v", entry, err)
		}
		run, _ := s.Run(t.Context(), r.Runs[0])
		if run.Version != 1 {
			t.Errorf("the repetition changed the run: version %d", run.Version)
		}
		other := again(first)
		other.Request.Body = []byte(`{"another":"body"}`)
		if r := commitTo(t, s, other); r.DuplicateOf != "" {
			t.Errorf("the same id with another body: got %+v, want it processed", r)
		}
		list, _, err := s.Requests(t.Context(), RequestFilter{Outcome: bridge.Duplicate})
		if err != nil || len(list) == 0 {
			t.Errorf("Requests: got %d duplicates, %v", len(list), err)
		}
	})
}

// TestScriptRunsTwice: a commit whose answer was lost on the way is sent again
// as it is, and is no duplicate of itself.
func TestScriptRunsTwice(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(planner(toOneLane(bridge.Latest)))
		sub := event("7", "start", bridge.Running)
		c := &commit{s: s, sub: &sub, partition: s.PartitionOf(""), keys: s.keyspace.in(s.PartitionOf("")), hash: bodyHash(sub.Request.Body)}
		if err := s.usePartition(t.Context(), c.partition); err != nil {
			t.Fatal(err)
		}
		run := &storedRun{Run: bridge.NewRun(c.partition, "src", "7", 1)}
		w, err := c.apply(run, &sub.Events[0], true)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"ok", "again"} {
			reply, err := s.evalBatched(t.Context(), commitScript, w)
			if err != nil || str(reply, 0) != want {
				t.Errorf("got %v, %v; want %s", reply, err, want)
			}
		}
		if e, err := s.Request(t.Context(), sub.Request.ID); err != nil || e.Outcome != bridge.Applied {
			t.Errorf("ledger: got %+v, %v", e, err)
		}
	})
}

func TestSeveralEvents(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open()
		sub := event("1", "batch", bridge.Running)
		two := sub.Events[0]
		two.ID, two.RunKey = "1/batch#1", "2"
		sub.Events = append(sub.Events, two)
		r := commitTo(t, s, sub)
		if len(r.Runs) != 2 || r.Outcome != bridge.Applied {
			t.Errorf("got %+v, want two runs", r)
		}
		entry, _ := s.Request(t.Context(), sub.Request.ID)
		if !reflect.DeepEqual(entry.Runs, r.Runs) {
			t.Errorf("ledger: got runs %v, want %v", entry.Runs, r.Runs)
		}
		repeated := again(sub)
		r = commitTo(t, s, repeated)
		if r.Outcome != bridge.Duplicate || r.DuplicateOf != sub.Request.ID || len(r.Runs) != 2 {
			t.Errorf("repetition: got %+v", r)
		}
		entry, err := s.Request(t.Context(), repeated.Request.ID)
		if err != nil || entry.Outcome != bridge.Duplicate || entry.DuplicateOf != sub.Request.ID {
			t.Errorf("ledger of the repetition: got %+v, %v", entry, err)
		}
		// A part of it had come before: the rest is new.
		part := again(sub)
		three := two
		three.ID, three.RunKey = "1/batch#2", "3"
		part.Events = append(part.Events, three)
		if r := commitTo(t, s, part); r.Outcome != bridge.Applied || len(r.Runs) != 3 {
			t.Errorf("half a repetition: got %+v, want applied to three runs", r)
		}
	})
}

func TestWithoutEvents(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open()
		submit := func(o bridge.Outcome, dedupe string, remember bool) (first, second Receipt) {
			sub := event("", dedupe, "")
			sub.Events, sub.Outcome, sub.Reason, sub.Remember, sub.Dedupe = nil, o, "because", remember, dedupe
			return commitTo(t, s, sub), commitTo(t, s, again(sub))
		}
		first, second := submit(bridge.Ignored, "ping", true)
		if first.Outcome != bridge.Ignored || second.Outcome != bridge.Duplicate || second.First != bridge.Ignored || second.DuplicateOf != first.Request {
			t.Errorf("ignored: got %+v and %+v", first, second)
		}
		first, second = submit(bridge.Rejected, "bad", true)
		if first.Outcome != bridge.Rejected || second.Outcome != bridge.Rejected {
			t.Errorf("rejected: got %+v and %+v, want it never remembered", first, second)
		}
		entry, err := s.Request(t.Context(), second.Request)
		if err != nil || entry.Outcome != bridge.Rejected || entry.Reason != "because" {
			t.Errorf("ledger: got %+v, %v", entry, err)
		}
	})
}

func TestConflictIsRejectedAndNotRemembered(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open()
		once := func(value string) func(*bridge.Event) {
			return func(ev *bridge.Event) { ev.Once = value; ev.ID = "7/start-" + value + "#0" }
		}
		commitTo(t, s, event("7", "start", bridge.Running, once("a")))
		other := event("7", "start", bridge.Running, once("b"))
		for range 2 {
			_, err := s.Commit(t.Context(), other)
			var known *bridge.Error
			if !errors.As(err, &known) || known.Code != bridge.CodeConflict {
				t.Fatalf("a different start: got %v, want a conflict", err)
			}
			entry, err := s.Request(t.Context(), other.Request.ID)
			if err != nil || entry.Outcome != bridge.Rejected || !strings.Contains(entry.Reason, "different") {
				t.Errorf("ledger: got %+v, %v", entry, err)
			}
			other = again(other)
		}
		// A replica that does not know the run comes to the same answer.
		replica := b.open()
		_, err := replica.Commit(t.Context(), again(other))
		var known *bridge.Error
		if !errors.As(err, &known) || known.Code != bridge.CodeConflict {
			t.Errorf("another replica: got %v, want a conflict", err)
		}
		forbidden := event("7", "result", "", func(ev *bridge.Event) { ev.Scope = []string{"x"}; ev.Fields["component"] = "y" })
		if _, err := s.Commit(t.Context(), forbidden); !errors.As(err, &known) || known.Code != bridge.CodeForbidden {
			t.Errorf("outside the scope: got %v, want forbidden", err)
		}
	})
}

// TestReplicasCompete lets replicas commit to one run at once: nothing may be
// lost, whatever conflicts.
func TestReplicasCompete(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		const replicas, each = 3, 30
		var all []*Store
		for range replicas {
			// How fast this machine is does not matter here.
			all = append(all, b.open(planner(toOneLane(bridge.Latest)), func(c *Config) { c.CommitTimeout = time.Minute }))
		}
		var wg sync.WaitGroup
		errs := make(chan error, replicas*each)
		for i, s := range all {
			for n := range each {
				wg.Go(func() {
					name := fmt.Sprintf("job-%d-%d", i, n)
					sub := event("7", name, bridge.Running, func(ev *bridge.Event) {
						ev.Lists = map[string][]bridge.Item{"stages": {{Key: name, Fields: map[string]any{"name": name, "status": "succeeded"}}}}
					})
					_, err := s.Commit(t.Context(), sub)
					errs <- err
				})
			}
		}
		wg.Wait()
		failed := 0
		for range replicas * each {
			if err := <-errs; err != nil {
				failed++
				t.Logf("Commit: %v", err)
			}
		}
		run, err := all[0].Run(t.Context(), bridge.RunID(all[0].PartitionOf(""), "src", "7"))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(run.View()["stages"].([]any)); got != replicas*each-failed {
			t.Errorf("the run has %d stages, want the %d that were acknowledged", got, replicas*each-failed)
		}
		if run.Version != int64(replicas*each-failed) {
			t.Errorf("version %d after %d commits", run.Version, replicas*each-failed)
		}
		if failed > 0 {
			t.Errorf("%d commits gave up", failed)
		}
	})
}

func TestLists(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open()
		var ids []string
		for i := range 25 {
			status := bridge.Succeeded
			if i%5 == 0 {
				status = bridge.Failed
			}
			key := fmt.Sprint(i)
			commitTo(t, s, event(key, "start", bridge.Running))
			r := commitTo(t, s, event(key, "end", status))
			ids = append(ids, r.Runs[0])
		}
		var got []string
		for cursor := ""; ; {
			runs, next, err := s.Runs(t.Context(), RunFilter{Limit: 4, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range runs {
				got = append(got, r.Key)
			}
			commitTo(t, s, event("new"+next, "start", bridge.Queued)) // must not disturb the pages
			if cursor = next; next == "" {
				break
			}
		}
		if want := "24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0"; strings.Join(got, " ") != want {
			t.Errorf("pages: got %v", got)
		}
		count := func(f RunFilter) int {
			f.Limit = 100
			runs, _, err := s.Runs(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			return len(runs)
		}
		if n := count(RunFilter{Status: bridge.Failed}); n != 5 {
			t.Errorf("failed: got %d, want 5", n)
		}
		if n := count(RunFilter{Status: bridge.Running}); n != 0 {
			t.Errorf("running: got %d, want 0", n)
		}
		if n := count(RunFilter{SHA: "64BE72b2c1f7"}); n < 25 {
			t.Errorf("by sha: got %d, want at least 25", n)
		}
		if n := count(RunFilter{SHA: "64be0000"}); n != 0 {
			t.Errorf("by another sha: got %d, want 0", n)
		}
		if n := count(RunFilter{Pipeline: "src/shop", Status: bridge.Failed}); n != 5 {
			t.Errorf("failed of the pipeline: got %d, want 5", n)
		}
		if n := count(RunFilter{Source: "other"}); n != 0 {
			t.Errorf("of another source: got %d, want 0", n)
		}
		pls, err := s.Pipelines(t.Context())
		if err != nil || len(pls) != 1 || pls[0].Name != "src/shop" || pls[0].ID != bridge.PipelineID("src/shop") {
			t.Errorf("Pipelines: got %+v, %v", pls, err)
		}
		checkRequests(t, s, ids[3])
		if _, _, err := s.Runs(t.Context(), RunFilter{Cursor: "?"}); err == nil {
			t.Errorf("a broken cursor is accepted")
		}
	})
}

// checkRequests pages through the requests that TestLists made.
func checkRequests(t *testing.T, s *Store, run string) {
	t.Helper()
	entries, err := s.RequestsOf(t.Context(), run)
	if err != nil || len(entries) != 2 {
		t.Errorf("RequestsOf: got %d, %v; want 2", len(entries), err)
	}
	seen := 0
	for cursor := ""; ; {
		list, next, err := s.Requests(t.Context(), RequestFilter{Limit: 7, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		seen += len(list)
		if cursor = next; next == "" {
			break
		}
	}
	if seen < 50 {
		t.Errorf("Requests: got %d, want at least 50", seen)
	}
}

func TestParkedFirings(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		var mu sync.Mutex
		ready := false
		p := plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
			mu.Lock()
			defer mu.Unlock()
			if f != nil {
				run.Parked = append(run.Parked, bridge.Parked{Firing: *f, Hook: "hook", Missing: "commit.sha"})
			}
			if !ready || len(run.Parked) == 0 {
				return nil
			}
			d := deliveryFor(run, run.Parked[0].Firing, "lane", bridge.Latest)
			run.Parked = nil
			return []bridge.Delivery{d}
		})
		s := b.open(planner(p), func(c *Config) { c.Every.Parked = time.Millisecond })
		at := time.Now()
		fresh := func(ev *bridge.Event) { ev.Received = at.UnixMilli() }
		run := commitTo(t, s, event("1", "start", bridge.Running, fresh)).Runs[0]
		time.Sleep(5 * time.Millisecond) // Every.Parked
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		nothingFor(t, s, 30*time.Millisecond)
		mu.Lock()
		ready = true
		mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if l := nextOf(t, s); l.Delivery.Run != run {
			t.Errorf("got a delivery of %s, want %s", l.Delivery.Run, run)
		}
		// One that has waited too long ends as skipped.
		mu.Lock()
		ready = false
		mu.Unlock()
		at = time.Now().Add(-25 * time.Hour)
		old := commitTo(t, s, event("2", "start", bridge.Running, fresh)).Runs[0]
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := s.Run(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Parked) != 0 || len(r.Skips) != 1 || r.Skips[0].Reason != "no commit.sha within 24h" {
			t.Errorf("after 25 hours: got parked %v, skips %v", r.Parked, r.Skips)
		}
	})
}

// A run whose end never comes is closed, so that no commit stays pending; one
// that still gets events, one that is over and one of a source without a limit
// are not.
func TestStaleRuns(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		limits := func() map[string]time.Duration { return map[string]time.Duration{"src": time.Hour} }
		s := b.open(planner(toOneLane(bridge.Latest)), func(c *Config) { c.StaleAfter = limits })
		ago := func(d time.Duration) func(*bridge.Event) {
			return func(ev *bridge.Event) { ev.Received = time.Now().Add(-d).UnixMilli() }
		}
		hung := commitTo(t, s, event("1", "start", bridge.Running, ago(2*time.Hour))).Runs[0]
		alive := commitTo(t, s, event("2", "start", bridge.Queued, ago(2*time.Hour))).Runs[0]
		commitTo(t, s, event("2", "running", bridge.Running, ago(time.Minute)))
		over := commitTo(t, s, event("3", "start", bridge.Running, ago(3*time.Hour))).Runs[0]
		commitTo(t, s, event("3", "end", bridge.Succeeded, ago(2*time.Hour)))
		other := commitTo(t, s, event("4", "start", bridge.Running, ago(2*time.Hour), func(ev *bridge.Event) { ev.Source = "other" })).Runs[0]
		for range 2 {
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for run, want := range map[string]bridge.Status{hung: bridge.Errored, alive: bridge.Running, over: bridge.Succeeded, other: bridge.Running} {
			r, err := s.Run(t.Context(), run)
			if err != nil || r.Status() != want {
				t.Errorf("%s is %s, %v; want %s", run, r.Status(), err, want)
			}
		}
		of, err := s.Deliveries(t.Context(), hung)
		if err != nil || len(of) != 2 || of[1].Delivery.Firing.Status != bridge.Errored {
			t.Errorf("the run that was closed has the deliveries %v, %v", of, err)
		}
		// The real end comes after all.
		commitTo(t, s, event("1", "end", bridge.Succeeded))
		if r, err := s.Run(t.Context(), hung); err != nil || r.Status() != bridge.Succeeded {
			t.Errorf("after its end the run is %s, %v", r.Status(), err)
		}
	})
}
