package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// What a delivery may wait for.
const (
	WaitNextTry    = "next_try"   // its next try, after one that failed
	WaitQuarantine = "quarantine" // the end of its lane's rest after an ambiguous attempt
	WaitConfirm    = "confirm"    // the re-send that makes sure of what was delivered
	WaitBreaker    = "breaker"    // a target that fails
	WaitRateLimit  = "rate_limit" // a provider that asked to wait, or the rate that is set for it
	WaitBehind     = "behind"     // another delivery of its lane
	WaitLease      = "lease"      // the worker that sends it now
	WaitTurn       = "turn"       // a place among the requests of its bucket
)

// Wait says what a delivery waits for.
type Wait struct {
	For    string // one of the above
	Until  int64  // epoch ms; 0 when it is not known
	Behind string // the delivery before it, for WaitBehind

	origin string // of its bucket
	why    string
}

// waitTexts has a text for each kind.
var waitTexts = map[string]string{
	WaitNextTry:    "next try at {until}",
	WaitQuarantine: "quarantine until {until}: nobody knows whether the last request for this resource arrived",
	WaitConfirm:    "delivered; sent once more at {until}, as an earlier request may have arrived late",
	WaitBreaker:    "the breaker of {origin} is open until {until}: its last requests failed",
	WaitRateLimit:  "{origin} is rate limited until {until}",
	WaitBehind:     "behind delivery {behind} of the same resource, {why}",
	WaitLease:      "being sent; the lease of its worker ends at {until}",
	WaitTurn:       "its turn: {origin} {why}",
}

// Text says all of it for people.
func (w Wait) Text() string {
	return strings.NewReplacer(
		"{until}", time.UnixMilli(w.Until).UTC().Format(time.RFC3339), "{origin}", w.origin, "{behind}", w.Behind, "{why}", w.why,
	).Replace(waitTexts[w.For])
}

// standing is what Redis knows of a pending delivery's lane and bucket.
type standing struct {
	lane, target *redis.SliceCmd
	queue        *redis.StringSliceCmd
	due          *redis.FloatCmd
	inflight     *redis.IntCmd
}

// findWaits says of the pending deliveries what they wait for, and which of
// them are leased.
func (s *Store) findWaits(ctx context.Context, partition int, all []Status, pending []int) error {
	for i, st := range all {
		if st.State == bridge.DeliveryDelivered && st.Next > 0 {
			all[i].Waits = &Wait{For: WaitConfirm, Until: st.Next}
		}
	}
	if len(pending) == 0 {
		return nil
	}
	found := make([]standing, len(pending))
	var clock *redis.TimeCmd
	err := s.read(ctx, "read lanes", func(p redis.Pipeliner) {
		k := s.keyspace.in(partition)
		for i, at := range pending {
			d := all[at].Delivery
			found[i] = standing{
				lane: p.HMGet(ctx, k.lane(d.Lane), "o", "m", "u", "h"), target: p.HMGet(ctx, k.target(d.Bucket), "until", "open", "next"),
				queue: p.ZRange(ctx, k.queue(d.Lane), 0, -1), due: p.ZScore(ctx, k.due(d.Bucket), d.Lane), inflight: p.ZCard(ctx, k.inflight(d.Bucket)),
			}
		}
		clock = p.Time(ctx)
	})
	if err != nil {
		return err
	}
	now := clock.Val().UnixMilli()
	for i, at := range pending {
		st := &all[at]
		w := found[i].wait(partition, *st, now)
		w.origin, _, _ = strings.Cut(st.Delivery.Bucket, "|")
		if st.Waits = &w; w.For == WaitLease {
			st.State = bridge.DeliverySending
		}
	}
	return nil
}

// wait says what a pending delivery waits for. What holds its lane comes
// before what holds its bucket.
func (f standing) wait(partition int, st Status, now int64) Wait {
	id := st.Delivery.ID
	if text(f.lane, 0) == "1" {
		if of := deliveryOf(partition, text(f.lane, 1)); of != id {
			return Wait{For: WaitBehind, Behind: of, why: "which is being sent"}
		}
		return Wait{For: WaitLease, Until: number(f.lane, 2)}
	}
	if w, ok := f.behind(partition, id); ok {
		return w
	}
	if rest := number(f.lane, 3); rest > now {
		return Wait{For: WaitQuarantine, Until: rest}
	}
	last := Wait{For: WaitTurn, why: "has work before it"}
	if n := f.inflight.Val(); n > 0 {
		last.why = fmt.Sprintf("is working on %d requests", n)
	}
	due := int64(f.due.Val())
	if due > now {
		last = Wait{For: WaitNextTry, Until: due}
	}
	for i, kind := range []string{WaitRateLimit, WaitBreaker, WaitRateLimit} {
		if until := number(f.target, i); until > max(now, last.Until) {
			last = Wait{For: kind, Until: until}
		}
	}
	return last
}

// behind finds the entry of the lane that goes before a delivery, or instead
// of it.
func (f standing) behind(partition int, id string) (Wait, bool) {
	queue := f.queue.Val()
	mine := slices.IndexFunc(queue, func(member string) bool { return deliveryOf(partition, member) == id })
	if mine < 0 {
		return Wait{}, false
	}
	if newest := queue[len(queue)-1]; mine < len(queue)-1 && isLatest(queue[mine]) {
		return Wait{For: WaitBehind, Behind: deliveryOf(partition, newest), why: "which is newer and takes its place"}, true
	}
	for _, member := range queue[:mine] {
		if !isLatest(member) {
			return Wait{For: WaitBehind, Behind: deliveryOf(partition, member), why: "which is older and goes first"}, true
		}
	}
	return Wait{}, false
}

// isLatest reports whether an entry may be superseded.
func isLatest(member string) bool { return member[strings.LastIndexByte(member, ':')+1] == 'l' }

// text returns an element of an answer, "" when it is nil.
func text(c *redis.SliceCmd, i int) string { return str(c.Val(), i) }

// number returns an element of an answer, 0 when it is none.
func number(c *redis.SliceCmd, i int) int64 {
	n, err := strconv.ParseInt(text(c, i), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
