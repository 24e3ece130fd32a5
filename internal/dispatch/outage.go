package dispatch

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// An outage logs when the queue goes away and when it is back, once each,
// however many calls fail between.
type outage struct {
	log   *slog.Logger
	mu    sync.Mutex
	since time.Time // zero: no outage
}

func (o *outage) begin(call string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since = time.Now()
		o.log.Warn("the queue does not answer; deliveries wait and nothing is lost", "call", call, "error", err)
	}
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		o.log.Info("the queue answers again", "after", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}

// queueBackoff returns how long to leave a queue alone that failed n times in
// a row: 50 ms doubling to 3 s, each ±20%.
func queueBackoff(n int) time.Duration {
	return jitter(min(50*time.Millisecond<<min(n-1, 10), 3*time.Second))
}

// jitter returns d ±20%: what failed together must not come back together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
