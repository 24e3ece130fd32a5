package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"cibridge/bridge"
)

// farQueue takes a while for each lease, as Redis does when it writes to disk
// before it answers; it serves several callers at once.
type farQueue struct {
	*fakeQueue
	takes time.Duration
}

func (q farQueue) Next(ctx context.Context) (*bridge.Lease, time.Duration, error) {
	time.Sleep(q.takes)
	return q.fakeQueue.Next(ctx)
}

// The time of one lease does not set the pace: workers lease side by side. (The
// clock of the test is not the real one.)
func TestWorkersLeaseSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const leases, takes = 100, 10 * time.Millisecond
		q := farQueue{newFakeQueue(), takes}
		d := newTest(t, func(c *Config) { c.Queue = q })
		for range leases {
			q.due = append(q.due, quick())
		}
		began := time.Now()
		stop := start(t, d)
		for range leases {
			<-q.done
		}
		if took := time.Since(began); took > leases*takes/4 {
			t.Errorf("%d leases of %v took %v: they wait for each other", leases, takes, took)
		}
		stop()
	})
}
