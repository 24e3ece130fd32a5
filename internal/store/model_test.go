package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"pgregory.net/rapid"

	"cibridge/bridge"
)

// world is a lane, the target that it writes, and workers that fail in every
// way, on a clock that the test moves.
type world struct {
	t    *rapid.T
	s    *Store   // the replica whose turn it is
	all  []*Store // replicas
	mini *miniredis.Miniredis
	now  time.Time
	spot spot

	runs      map[string]int    // key of a run -> its last status
	planned   []bridge.Delivery // of the last try of a commit: replicas compete
	committed []bridge.Delivery
	leases    []held  // not settled yet
	fence     int64   // of the newest lease
	late      []write // requests that the target will apply
	shows     string  // id of the delivery that the target applied last
	applied   []string

	memos       map[string]string // delivery -> what its last settled try left
	settled     int
	dead        map[string]bool // given up at some time
	redelivered map[string]bool
	unsure      bool // a confirming re-send was refused for good
}

// held is a lease whose worker is away, and when its request arrives.
type held struct {
	*bridge.Lease
	arrives time.Time
}

// write is a request on its way.
type write struct {
	at time.Time
	id string
}

var modelStatuses = []bridge.Status{bridge.Queued, bridge.Running, bridge.Succeeded}

// commit lets a run fire its next status. Runs differ in when they started;
// they fire in any order.
func (w *world) commit(key string) {
	at := w.runs[key]
	if at == len(modelStatuses) {
		return
	}
	w.runs[key] = at + 1
	sub := event(w.spot.lane+"/"+key, string(modelStatuses[at]), modelStatuses[at], func(ev *bridge.Event) {
		ev.Fields["started_at"] = 1_700_000_000_000 + int64(key[0])
	})
	if _, err := w.s.Commit(context.Background(), sub); err != nil {
		w.t.Fatalf("Commit: %v", err)
	}
	w.committed = append(w.committed, w.planned...)
}

func (w *world) advance(d time.Duration) {
	w.now = w.now.Add(d)
	w.mini.SetTime(w.now)
	w.arrive()
}

// arrive lets the target apply what has reached it.
func (w *world) arrive() {
	slices.SortStableFunc(w.late, func(a, b write) int { return a.at.Compare(b.at) })
	for len(w.late) > 0 && !w.late[0].at.After(w.now) {
		w.shows = w.late[0].id
		w.applied = append(w.applied, w.late[0].id)
		w.late = w.late[1:]
	}
}

// open leases and sends: the request arrives after a while, or never.
func (w *world) open(arrives time.Duration) *bridge.Lease {
	l, err := w.s.open(context.Background(), w.spot)
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	if l == nil {
		return nil
	}
	if l.Fence <= w.fence {
		w.t.Fatalf("fence %d after %d", l.Fence, w.fence)
	}
	w.fence = l.Fence
	if id := l.Delivery.ID; l.Memo != w.memos[id] {
		w.t.Fatalf("%s has the memo %q, want %q", l.Delivery.Body, l.Memo, w.memos[id])
	}
	for _, other := range w.leases {
		if other.UntilMS > w.now.UnixMilli() {
			w.t.Fatalf("two leases of one lane at a time")
		}
	}
	if arrives >= 0 {
		w.late = append(w.late, write{w.now.Add(arrives), l.Delivery.ID})
		w.arrive()
	}
	return l
}

func (w *world) settle(l *bridge.Lease, st bridge.Settlement) {
	if st.Verdict == bridge.VerdictRetry {
		w.settled++
		st.Memo = fmt.Sprint("try ", w.settled)
	}
	applied, err := w.s.Settle(context.Background(), *l, st)
	if err != nil {
		w.t.Fatalf("Settle: %v", err)
	}
	if l.Fence < w.fence && applied {
		w.t.Fatalf("the settle of fence %d was applied although %d was given out", l.Fence, w.fence)
	}
	if applied && st.Memo != "" {
		w.memos[l.Delivery.ID] = st.Memo
	}
	if applied && st.Verdict == bridge.VerdictDead {
		w.unsure = w.unsure || l.Confirming
		if !l.Confirming {
			w.dead[l.Delivery.ID] = true
		}
	}
}

// redeliver asks for a delivery again: a state older than what was delivered,
// or than what waits, must be refused.
func (w *world) redeliver(d bridge.Delivery) {
	lane, err := w.s.rdb.HMGet(context.Background(), w.s.keyspace.in(w.spot.partition).lane(w.spot.lane), "ls", "lm").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.s.Redeliver(context.Background(), d.ID, false)
	var known *bridge.Error
	if err != nil && (!errors.As(err, &known) || known.Code != bridge.CodeConflict) {
		w.t.Fatalf("Redeliver: %v", err)
	}
	if err != nil {
		return
	}
	if shown, _ := lane[1].(string); shown != "" && d.Ordering == bridge.Latest {
		if last := deliveryOf(w.spot.partition, shown); w.order(d.ID) < w.order(last) {
			w.t.Fatalf("%s was taken again although %s is newer and was delivered", d.Body, last)
		}
	}
	delete(w.memos, d.ID)
	w.redelivered[d.ID] = true
}

// drain lets everything succeed until nothing is left.
func (w *world) drain() {
	for quiet := 0; quiet < 12; {
		w.advance(30 * time.Millisecond)
		if l := w.open(0); l != nil {
			w.settle(l, bridge.Settlement{Verdict: bridge.VerdictDelivered, Attempt: bridge.Attempt{At: 1, Status: 201}})
			quiet = 0
			continue
		}
		quiet++
	}
}

// order is the place of a delivery in its lane.
func (w *world) order(id string) string {
	for _, d := range w.committed {
		if d.ID == id {
			return fmt.Sprintf("%020d %s", d.Since, entry(d))
		}
	}
	w.t.Fatalf("the target applied the unknown delivery %s", id)
	return ""
}

// gaveUp reports whether a state, or one that may have taken its place, was
// given up: it does not count as shown then, even if it arrived.
func (w *world) gaveUp(id string) bool {
	for dead := range w.dead {
		if w.order(dead) >= w.order(id) {
			return true
		}
	}
	return false
}

// endsNewest checks that the target shows the newest state. If that was given
// up, it shows none that is older than the newest which was delivered.
func endsNewest(w *world) {
	var reached []bridge.Delivery
	for _, d := range w.committed {
		if st, err := w.s.Delivery(context.Background(), d.ID); err == nil && st.State == bridge.DeliveryDelivered {
			reached = append(reached, d)
		}
	}
	if len(reached) == 0 {
		if len(w.dead) == 0 {
			w.t.Fatalf("nothing was delivered and nothing was given up")
		}
		return
	}
	byOrder := func(a, b bridge.Delivery) int { return strings.Compare(w.order(a.ID), w.order(b.ID)) }
	newest := slices.MaxFunc(reached, byOrder)
	if len(w.dead) > 0 && w.order(w.shows) > w.order(newest.ID) {
		return // its answer was lost; it, or what took its place, was refused then
	}
	if last := slices.MaxFunc(w.committed, byOrder); len(w.dead) == 0 && len(w.redelivered) == 0 && newest.ID != last.ID {
		w.t.Fatalf("%s is the newest state and was not delivered", last.Body)
	}
	if w.shows != newest.ID {
		w.t.Fatalf("the target shows %s, want the newest state %s; it applied %v", w.shows, newest.ID, w.applied)
	}
}

// TestLaneModel lets workers crash, time out and come late, while states of
// several runs are committed in any order. What arrives late does so within the
// quarantine: the target never goes back to an older state.
func TestLaneModel(t *testing.T) {
	testLane(t, bridge.Latest, 55*time.Millisecond, func(w *world) {
		endsNewest(w)
		for i := 1; i < len(w.applied); i++ {
			before, after := w.applied[i-1], w.applied[i]
			if w.order(after) < w.order(before) && !w.gaveUp(before) && !w.redelivered[after] {
				w.t.Fatalf("a stale state was applied: %v", w.applied)
			}
		}
	})
}

// TestLaneModelVeryLate lets requests arrive even later, but before the
// confirming re-send: the target may show an older state for a while, and ends
// with the newest one.
func TestLaneModelVeryLate(t *testing.T) {
	testLane(t, bridge.Latest, 110*time.Millisecond, func(w *world) {
		if !w.unsure {
			endsNewest(w)
		}
	})
}

// TestEveryLaneModel: with ordering every each delivery arrives, the first time
// in order.
func TestEveryLaneModel(t *testing.T) {
	testLane(t, bridge.Every, 55*time.Millisecond, func(w *world) {
		first := map[string]int{}
		for i, id := range w.applied {
			if _, known := first[id]; !known {
				first[id] = i
			}
		}
		last := map[string]int{}
		for _, d := range w.committed {
			at, arrived := first[d.ID]
			if w.dead[d.ID] || w.redelivered[d.ID] {
				continue
			}
			if !arrived {
				w.t.Fatalf("%s never arrived", d.Body)
			}
			if before, ok := last[d.Run]; ok && at < before {
				w.t.Fatalf("%s arrived before an earlier state of its run", d.Body)
			}
			last[d.Run] = at
		}
	})
}

// arrival draws when a request arrives, in ms: never, at once, or as late as
// allowed, which is where mistakes show.
func arrival(latest int) *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.OneOf(rapid.SampledFrom([]int{-1, 0, latest, latest - 5}), rapid.IntRange(0, latest)), func(ms int) time.Duration {
		return time.Duration(ms) * time.Millisecond
	})
}

// testLane runs the model; late is how long after a time-out or after the end
// of a lease a request may still arrive.
func testLane(t *testing.T, ordering bridge.Ordering, late time.Duration, check func(*world)) {
	latest := int(late.Milliseconds())
	mini := miniredis.RunT(t)
	b := &backend{t: t, mini: mini, ring: newRing(t)}
	var w *world
	change := func(c *Config) {
		c.Every = Every{Meta: time.Hour, Sweep: time.Hour, Janitor: time.Hour, Durability: time.Hour}
		c.Queue.BreakerFails = 1 << 20
		c.Planner = plan(func(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
			if w.planned = nil; f == nil {
				return nil
			}
			d := deliveryFor(run, *f, w.spot.lane, ordering)
			w.planned = []bridge.Delivery{d}
			return []bridge.Delivery{d}
		})
	}
	s := b.open(change)
	all := []*Store{s, b.open(change)}
	lanes := 0
	now := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		lanes++
		w = &world{t: t, s: s, all: all, memos: map[string]string{}, dead: map[string]bool{}, redelivered: map[string]bool{}, mini: mini, now: now, spot: spot{s.PartitionOf(""), "https://api.example", fmt.Sprintf("%s-%d", ordering, lanes)}, runs: map[string]int{}}
		defer func() { now = w.now.Add(time.Hour) }()
		w.advance(time.Hour)
		t.Repeat(map[string]func(*rapid.T){
			"commit":  func(t *rapid.T) { w.commit(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "run")) },
			"advance": func(t *rapid.T) { w.advance(time.Duration(rapid.IntRange(1, 120).Draw(t, "ms")) * time.Millisecond) },
			"deliver": func(t *rapid.T) {
				if l := w.open(0); l != nil {
					w.settle(l, bridge.Settlement{Verdict: bridge.VerdictDelivered, Attempt: bridge.Attempt{At: 1, Status: 201}})
				}
			},
			"refused": func(t *rapid.T) {
				if l := w.open(-1); l != nil {
					w.settle(l, bridge.Settlement{Verdict: bridge.VerdictRetry, DelayMS: rapid.Int64Range(0, 200).Draw(t, "delay"), Attempt: bridge.Attempt{At: 1, Status: 503}})
				}
			},
			"time out": func(t *rapid.T) { // it may arrive after we gave up
				if l := w.open(arrival(latest).Draw(t, "late")); l != nil {
					w.settle(l, bridge.Settlement{Verdict: bridge.VerdictRetry, DelayMS: 1, Ambiguous: true, Attempt: bridge.Attempt{At: 1}})
				}
			},
			"crash": func(t *rapid.T) { // the lease has 100 ms
				late := arrival(latest+100).Draw(t, "late")
				if l := w.open(late); l != nil {
					w.leases = append(w.leases, held{l, w.now.Add(late)})
				}
			},
			"late settle": func(t *rapid.T) {
				if len(w.leases) > 0 && w.leases[0].arrives.Before(w.now.Add(late)) {
					l := w.leases[0]
					w.leases = w.leases[1:]
					w.settle(l.Lease, bridge.Settlement{Verdict: bridge.VerdictRetry, Ambiguous: true, DelayMS: 1, Attempt: bridge.Attempt{At: 1}})
				}
			},
			"given up": func(t *rapid.T) {
				if l := w.open(-1); l != nil {
					w.settle(l, bridge.Settlement{Verdict: bridge.VerdictDead, Attempt: bridge.Attempt{At: 1, Status: 422}})
				}
			},
			"redeliver": func(t *rapid.T) {
				if len(w.committed) > 0 {
					w.redeliver(rapid.SampledFrom(w.committed).Draw(t, "delivery"))
				}
			},
			"": func(t *rapid.T) { w.s = w.all[rapid.IntRange(0, 1).Draw(t, "replica")] }, // that goes next
		})
		w.drain()
		for _, d := range w.committed {
			st, err := s.Delivery(context.Background(), d.ID)
			if err != nil || st.State == bridge.DeliveryPending || st.State == bridge.DeliverySending {
				t.Fatalf("%s is still %s, %v", d.Body, st.State, err)
			}
		}
		if len(w.committed) > 0 {
			check(w)
		}
		if left, err := s.rdb.ZCard(context.Background(), s.keyspace.in(w.spot.partition).due(w.spot.bucket)).Result(); err != nil || left != 0 {
			t.Fatalf("%d lanes are still due, %v", left, err)
		}
	})
}
