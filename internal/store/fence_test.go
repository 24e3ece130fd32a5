package store

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// TestFenceKeepsLaneOrder lets a worker that outlived its lease settle while
// its successor's request is on its way. The control runs the same with the
// check of the fence taken out of the script: the order must break, else
// nothing here would notice if it were gone.
func TestFenceKeepsLaneOrder(t *testing.T) {
	want := []string{"running", "succeeded"}
	t.Run("fenced", func(t *testing.T) {
		if got := lateSettle(t, func(*Store) {}); !slices.Equal(got, want) {
			t.Errorf("the target applied %v, want %v", got, want)
		}
	})
	t.Run("control", func(t *testing.T) {
		const check = "if l[1] ~= fence then return {'fenced'} end"
		if strings.Count(settleScript.source, check) != 1 {
			t.Fatalf("the settle script does not hold %q", check)
		}
		got := lateSettle(t, func(s *Store) {
			s.rdb.AddHook(otherScript{settleScript.sha, strings.Replace(settleScript.source, check, "", 1)})
		})
		if slices.Equal(got, want) {
			t.Errorf("without the fence the target applied %v, too: the test does not see what the fence is for", got)
		}
	})
}

// lateSettle returns what a target applied, in order: the lease of a first
// worker ends; the request of a second one is slow, and the first settles
// meanwhile; then a newer state is planned. The clock moves only where it is
// moved.
func lateSettle(t *testing.T, change func(*Store)) (applied []string) {
	t.Helper()
	b := &backend{t: t, mini: miniredis.RunT(t), ring: newRing(t)}
	now := time.Now()
	b.mini.SetTime(now)
	s := b.open(planner(toOneLane(bridge.Latest)))
	change(s)
	lane := spot{s.PartitionOf(""), "https://api.example", "lane"}
	lease := func() *bridge.Lease {
		l, err := s.open(t.Context(), lane)
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return l
	}
	rest := func(d time.Duration) {
		now = now.Add(d)
		b.mini.SetTime(now)
	}

	commitTo(t, s, event("7", "start", bridge.Running))
	stopped := lease()
	rest(200 * time.Millisecond) // the lease ends
	lease()                      // and the lane rests
	rest(100 * time.Millisecond)
	slow := lease()
	if _, err := s.Settle(t.Context(), *stopped, bridge.Settlement{Verdict: bridge.VerdictDelivered, Attempt: attempt()}); err != nil {
		t.Fatalf("a late settle: %v", err)
	}
	commitTo(t, s, event("7", "end", bridge.Succeeded))
	if newer := lease(); newer != nil { // it overtakes the slow one
		return []string{string(newer.Delivery.Firing.Status), string(slow.Delivery.Firing.Status)}
	}
	if ok, err := s.Settle(t.Context(), *slow, bridge.Settlement{Verdict: bridge.VerdictDelivered, Attempt: attempt()}); !ok || err != nil {
		t.Fatalf("the settle of the lease in force: %v, %v", ok, err)
	}
	return []string{string(slow.Delivery.Firing.Status), string(lease().Delivery.Firing.Status)}
}

// otherScript runs another script in place of one.
type otherScript struct{ sha, source string }

func (otherScript) DialHook(next redis.DialHook) redis.DialHook { return next }

func (otherScript) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h otherScript) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); len(args) > 1 && args[0] == "evalsha" && args[1] == h.sha {
			args[0], args[1] = "eval", h.source
		}
		return next(ctx, cmd)
	}
}
