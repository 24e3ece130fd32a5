package store

import (
	"fmt"
	"strings"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/seal"
)

// After Reseal everything opens with the new key alone, and a second one has
// nothing to do.
func TestReseal(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		old, fresh := seal.NewKey(), seal.NewKey()
		ringOf := func(text string) func(*Config) {
			return func(c *Config) {
				var err error
				if c.Ring, err = seal.ParseRing(text); err != nil {
					t.Fatal(err)
				}
			}
		}
		plan := planner(toOneLane(bridge.Every))
		b.prefix = "odd[*]?:"
		s := b.open(plan, ringOf(old))
		if err := s.PutSource(t.Context(), bridge.Source{ID: "gh", Mapping: "github-actions", Secrets: []bridge.Secret{"a good secret"}}); err != nil {
			t.Fatal(err)
		}
		var runs, requests []string
		for i := range 40 {
			sub := event(fmt.Sprint(i), "end", bridge.Succeeded)
			runs = append(runs, commitTo(t, s, sub).Runs[0])
			requests = append(requests, sub.Request.ID)
		}
		lease := nextOf(t, s)
		settleWith(t, s, lease, bridge.Settlement{Verdict: bridge.VerdictDelivered, Attempt: bridge.Attempt{ID: "att_1", At: 1, Status: 201}})
		s.Close()

		s = b.open(plan, ringOf(fresh+","+old))
		var last Resealed
		calls := 0
		got, err := s.Reseal(t.Context(), func(r Resealed) { last, calls = r, calls+1 })
		if err != nil {
			t.Fatal(err)
		}
		// Runs, requests and deliveries, the attempt, the pipeline, the source.
		if want := int64(3*40 + 3); got.Sealed != want || got.Looked != want || last != got || calls == 0 {
			t.Errorf("%+v, last reported %+v in %d calls; want %d", got, last, calls, want)
		}
		if again, err := s.Reseal(t.Context(), nil); err != nil || again.Sealed != 0 || again.Looked != got.Looked {
			t.Errorf("again: %+v, %v", again, err)
		}
		s.Close()

		s = b.open(plan, ringOf(fresh))
		for i, run := range runs {
			if r, err := s.Run(t.Context(), run); err != nil || r.Status() != bridge.Succeeded {
				t.Fatalf("run %d: %v", i, err)
			}
			if e, err := s.Request(t.Context(), requests[i]); err != nil || len(e.Request.Body) == 0 {
				t.Fatalf("request %d: %v", i, err)
			}
			if of, err := s.Deliveries(t.Context(), run); err != nil || len(of) != 1 {
				t.Fatalf("deliveries of run %d: %v, %v", i, of, err)
			}
		}
		if st, err := s.Delivery(t.Context(), lease.Delivery.ID); err != nil || len(st.Attempts) != 1 {
			t.Errorf("the attempts are %v, %v", st.Attempts, err)
		}
		if src := s.Snapshot().Sources; len(src) != 1 || src[0].Secrets[0].Reveal() != "a good secret" {
			t.Errorf("the sources are %v", src)
		}
		if ps, err := s.Pipelines(t.Context()); err != nil || len(ps) != 1 {
			t.Errorf("the pipelines are %v, %v", ps, err)
		}
		// Without the key that sealed it, nothing is touched.
		s.Close()
		s = b.open(plan, ringOf(seal.NewKey()+","+fresh))
		s.packer.ring, _ = seal.ParseRing(old)
		if _, err := s.Reseal(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not in the ring") {
			t.Errorf("with a foreign ring: %v", err)
		}
	})
}
