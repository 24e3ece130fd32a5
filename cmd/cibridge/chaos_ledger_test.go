//go:build chaos

package main

import (
	"encoding/json"
	"fmt"
	"time"

	"cibridge/internal/forge"
)

// check compares the three ledgers: what senders got 2xx for, what the provider
// received and shows, and what Redis keeps. It waits until nothing is left to
// send.
func (r *rig) check(builds []build) figures {
	r.t.Helper()
	r.settled(180 * time.Second)
	eventually(r.t, 60*time.Second, func() error { // what is applied late
		if n := r.provider.inFlight.Load(); n > 0 {
			return fmt.Errorf("%d requests are at the provider", n)
		}
		return nil
	})
	f := figures{acknowledged: len(r.acked), commits: len(builds), kills: r.kills, inFlight: r.inFlight}
	f.lost = r.lost()
	kept, runs := r.kept()
	f.dead = kept.dead
	written := map[int64]string{} // number of a request -> delivery
	for _, q := range r.provider.Requests() {
		written[q.Number] = q.ID
	}
	for _, b := range builds {
		history := r.provider.History(forge.GitHub, "acme/shop", b.sha, defaultContext)
		stale, duplicates := kept.read(written, history)
		f.stale += stale
		f.duplicates += duplicates
		if err := b.ended(history, runs[b.sha]); err != nil {
			if f.wrong++; f.wrong <= 3 {
				r.t.Logf("%s: %v", b.sha, err)
			}
		}
	}
	return f
}

// ended complains unless the commit and the run are as they should be.
func (b build) ended(history []forge.Entry, run string) error {
	if len(history) == 0 || history[len(history)-1].State != b.shows {
		var states []string
		for _, e := range history {
			states = append(states, e.State)
		}
		return fmt.Errorf("the commit went through %v, want %s in the end", states, b.shows)
	}
	if run != b.status {
		return fmt.Errorf("its run is %q, want %s", run, b.status)
	}
	return nil
}

// lost returns how many acknowledged events Redis does not have.
func (r *rig) lost() int {
	r.t.Helper()
	have := map[string]bool{}
	for _, e := range pages[struct{ ID string }](r.stack, "/api/v1/events") {
		have[e.ID] = true
	}
	n := 0
	for _, id := range r.acked {
		if !have[id] {
			n++
		}
	}
	return n
}

// deliveries are the statuses that deliveries carry, by id.
type deliveries struct {
	status map[string]string
	dead   int
}

// kept returns what Redis has of deliveries, and the status of the run of each
// commit.
func (r *rig) kept() (deliveries, map[string]string) {
	r.t.Helper()
	d := deliveries{status: map[string]string{}}
	for _, one := range pages[struct{ ID, Status, State string }](r.stack, "/api/v1/deliveries") {
		d.status[one.ID] = one.Status
		if one.State == "dead" {
			d.dead++
		}
	}
	runs := map[string]string{}
	for _, one := range pages[struct {
		Status string
		Commit struct{ SHA string }
	}](r.stack, "/api/v1/runs") {
		runs[one.Commit.SHA] = one.Status
	}
	return d, runs
}

// order ranks the statuses of a run.
var order = map[string]int{"queued": 1, "running": 2, "incomplete": 3, "succeeded": 3, "failed": 3}

// read counts the writes of a commit that put an older state over a newer one,
// and those of a delivery that had been written before.
func (d deliveries) read(written map[int64]string, history []forge.Entry) (stale, duplicates int) {
	newest, seen := 0, map[string]bool{}
	for _, e := range history {
		id := written[e.Number]
		if seen[id] {
			duplicates++
		}
		seen[id] = true
		at := order[d.status[id]]
		if at < newest {
			stale++
		}
		newest = max(newest, at)
	}
	return stale, duplicates
}

// pages reads a list of the API to its end.
func pages[T any](s *stack, path string) []T {
	s.t.Helper()
	var all []T
	for cursor := ""; ; {
		var raw list[json.RawMessage]
		s.admin("GET", path+"?limit=200"+cursor, nil, &raw)
		for _, item := range raw.Items {
			var one T
			if err := json.Unmarshal(item, &one); err != nil {
				s.t.Fatalf("%s: %v in %s", path, err, item)
			}
			all = append(all, one)
		}
		if raw.Next == nil || *raw.Next == "" {
			return all
		}
		cursor = "&cursor=" + *raw.Next
	}
}
