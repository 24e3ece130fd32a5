package dispatch

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cibridge/bridge"
)

// start runs d until stop is called, which returns how long that took.
func start(t *testing.T, d *Dispatcher) (stop func() time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return func() time.Duration {
		t.Helper()
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
		return time.Since(began)
	}
}

// quick returns a lease that needs no request.
func quick() bridge.Lease {
	l := newLease("https://api.github.com/x")
	l.Identical = true
	return l
}

func TestRunWakesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		q.wait = time.Hour
		var told atomic.Int32
		d := newTest(t, func(c *Config) {
			c.Queue = q
			c.Settled = func(bridge.Lease, bridge.Settlement) { told.Add(1) }
		})
		stop := start(t, d)
		synctest.Wait()
		for range 3 {
			began := time.Now()
			q.add(quick(), quick())
			<-q.done
			<-q.done
			if took := time.Since(began); took > 0 {
				t.Errorf("a delivery began %v after its commit", took)
			}
			time.Sleep(100 * time.Millisecond)
		}
		stop()
		if told.Load() != 6 {
			t.Errorf("Settled was told of %d deliveries, want 6", told.Load())
		}
	})
}

// A lost signal costs no more than the wait that the queue named, and never
// more than a second.
func TestRunPollsWithoutASignal(t *testing.T) {
	for _, wait := range []time.Duration{250 * time.Millisecond, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			q := newFakeQueue()
			q.wait = wait
			stop := start(t, newTest(t, func(c *Config) { c.Queue = q }))
			synctest.Wait()
			began := time.Now()
			q.mu.Lock()
			q.due = append(q.due, quick())
			q.mu.Unlock()
			<-q.done
			if took := time.Since(began); took > min(wait, time.Second) {
				t.Errorf("found after %v with a wait of %v", took, wait)
			}
			stop()
		})
	}
}

// A queue that always says "look again at once" does not take a processor.
func TestRunDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		q.wait = 0
		stop := start(t, newTest(t, func(c *Config) { c.Queue = q }))
		time.Sleep(time.Second)
		stop()
		if _, _, calls := q.state(); calls > 1100 {
			t.Errorf("%d calls in a second", calls)
		}
	})
}

func TestRunIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		var busy, most atomic.Int32
		d := newTest(t, func(c *Config) {
			c.Queue, c.Workers = q, 3
			c.Resolve = func(context.Context, string) (bridge.Secret, error) {
				most.Store(max(most.Load(), busy.Add(1)))
				defer busy.Add(-1)
				time.Sleep(time.Second)
				return "", errors.New("not now")
			}
		})
		for range 10 {
			q.add(newLease("https://api.github.com/x"))
		}
		stop := start(t, d)
		time.Sleep(500 * time.Millisecond)
		q.mu.Lock()
		left := len(q.due)
		q.mu.Unlock()
		if busy.Load() != 3 || left != 7 {
			t.Errorf("%d at work, %d not leased; want 3 and 7: a lease must not wait for a worker", busy.Load(), left)
		}
		for range 10 {
			<-q.done
		}
		stop()
		if most.Load() != 3 {
			t.Errorf("%d at a time, want 3", most.Load())
		}
	})
}

func TestRunOutlivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		q.down = true
		var log bytes.Buffer
		d := newTest(t, func(c *Config) {
			c.Queue = q
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
		})
		stop := start(t, d)
		time.Sleep(time.Hour)
		_, _, calls := q.state()
		if calls < 1000 || calls > 2000 {
			t.Errorf("%d calls in an hour of outage, want about 1200", calls)
		}
		q.setDown(false)
		q.add(quick())
		began := time.Now()
		<-q.done
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("back at work %v after the queue", took)
		}
		stop()
		if n := strings.Count(log.String(), "the queue does not answer"); n != 1 {
			t.Errorf("the outage was logged %d times, want once:\n%s", n, log.String())
		}
		if n := strings.Count(log.String(), "the queue answers again"); n != 1 {
			t.Errorf("its end was logged %d times, want once:\n%s", n, log.String())
		}
	})
}

func TestSettleIsTriedAgainUntilTheLeaseEnds(t *testing.T) {
	for _, tt := range []struct {
		away    time.Duration
		settled int
	}{{8 * time.Second, 1}, {2 * time.Minute, 0}} {
		synctest.Test(t, func(t *testing.T) {
			q := newFakeQueue()
			d := newTest(t, func(c *Config) {
				c.Queue, c.Workers = q, 1
				c.Resolve = func(context.Context, string) (bridge.Secret, error) {
					q.setDown(true)
					return "", errors.New("not now")
				}
			})
			q.add(newLease("https://api.github.com/x"))
			stop := start(t, d)
			time.Sleep(tt.away)
			q.setDown(false)
			time.Sleep(10 * time.Second)
			if got, _, _ := q.state(); len(got) != tt.settled {
				t.Errorf("away for %v: settled %d times, want %d", tt.away, len(got), tt.settled)
			}
			q.add(quick()) // the only worker is free again
			<-q.done
			stop()
		})
	}
}

func TestShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		d := newTest(t, func(c *Config) {
			c.Queue = q
			c.Resolve = func(ctx context.Context, ref string) (bridge.Secret, error) {
				if ref == "slow" {
					time.Sleep(5 * time.Second)
					return "", errors.New("not now")
				}
				<-ctx.Done()
				return "", ctx.Err()
			}
		})
		slow, stuck := newLease("https://api.github.com/x"), newLease("https://api.github.com/y")
		slow.Delivery.Headers[0].Parts[1].Ref = "slow"
		stuck.Member = "stuck"
		q.add(slow, stuck)
		stop := start(t, d)
		time.Sleep(time.Second)
		q.add()
		took := stop()
		if took != DefaultDrain {
			t.Errorf("stopping took %v, want %v", took, DefaultDrain)
		}
		settled, released, _ := q.state()
		if len(settled) != 1 || len(released) != 1 || released[0].Member != "stuck" {
			t.Errorf("settled %d, handed back %+v; want the slow one settled and the stuck one handed back", len(settled), released)
		}
	})
}

func TestShutdownWithNothingToDoIsImmediate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := start(t, newTest(t, nil))
		time.Sleep(time.Second)
		if took := stop(); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

// lateQueue answers every Next after a while, with a lease.
type lateQueue struct {
	*fakeQueue
	after time.Duration
	once  sync.Once
}

func (q *lateQueue) Next(ctx context.Context) (l *bridge.Lease, wait time.Duration, err error) {
	q.once.Do(func() {
		time.Sleep(q.after)
		lease := newLease("https://api.github.com/x")
		l = &lease
	})
	if l == nil {
		return q.fakeQueue.Next(ctx)
	}
	return l, 0, nil
}

// A lease that arrives after the stop, or so late that little of it may be
// left, is handed back unsent.
func TestUnsentLeasesAreHandedBack(t *testing.T) {
	tests := []struct {
		name  string
		after time.Duration
		run   time.Duration
	}{{"stopped meanwhile", 2 * time.Second, time.Second}, {"late", 16 * time.Second, 20 * time.Second}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &lateQueue{fakeQueue: newFakeQueue(), after: tt.after}
				resolved := false
				stop := start(t, newTest(t, func(c *Config) {
					c.Queue = q
					c.Resolve = func(context.Context, string) (bridge.Secret, error) { resolved = true; return token, nil }
				}))
				time.Sleep(tt.run)
				stop()
				settled, released, _ := q.state()
				if len(released) != 1 || len(settled) != 0 || resolved {
					t.Errorf("handed back %d, settled %d, prepared %v; want it handed back untouched", len(released), len(settled), resolved)
				}
			})
		})
	}
}

func TestPanickingDeliveryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		stop := start(t, newTest(t, func(c *Config) {
			c.Queue = q
			c.Resolve = func(context.Context, string) (bridge.Secret, error) { panic("oops") }
		}))
		lease := newLease("https://api.github.com/x")
		var got bridge.Settlement
		for try := range 15 {
			lease.Tries, lease.Memo = try, got.Memo
			q.add(lease)
			<-q.done
			settled, _, _ := q.state()
			got = settled[try]
		}
		stop()
		if got.Verdict != bridge.VerdictDead || !got.Ambiguous || !strings.Contains(got.Reason, "internal error") {
			t.Errorf("after 15 tries: %s %q ambiguous %v", got.Verdict, got.Reason, got.Ambiguous)
		}
	})
}

func TestFencedSettleIsNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFakeQueue()
		q.fenced = true
		told := false
		stop := start(t, newTest(t, func(c *Config) {
			c.Queue = q
			c.Settled = func(bridge.Lease, bridge.Settlement) { told = true }
		}))
		q.add(quick())
		time.Sleep(time.Second)
		stop()
		if told {
			t.Error("a settlement that the fence refused was reported")
		}
	})
}

// From commit to the request's arrival, with real sockets.
func TestStartLatency(t *testing.T) {
	arrived := make(chan time.Time, 1)
	s := serve(t, func(http.ResponseWriter, *http.Request) { arrived <- time.Now() })
	q := newFakeQueue()
	stop := start(t, newTest(t, func(c *Config) { c.Queue = q }))
	var took []time.Duration
	for range 200 {
		began := time.Now()
		q.add(newLease(s.URL))
		took = append(took, (<-arrived).Sub(began))
		<-q.done
	}
	stop()
	slices.Sort(took)
	t.Logf("p50 %v p99 %v", took[100], took[198])
	if took[100] > 20*time.Millisecond {
		t.Errorf("half of the deliveries began more than %v after their commit", took[100])
	}
}

// The loop under load, real sockets and races: everything that was leased is
// settled once.
func TestRunUnderLoad(t *testing.T) {
	var n atomic.Int32
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%7 == 0 {
			w.WriteHeader(503)
		}
	})
	q := newFakeQueue()
	d := newTest(t, func(c *Config) { c.Queue, c.Workers = q, 16 })
	stop := start(t, d)
	const all = 400
	for range all {
		q.add(newLease(s.URL))
	}
	for range all {
		<-q.done
	}
	stop()
	settled, released, _ := q.state()
	if len(settled) != all || len(released) != 0 {
		t.Errorf("settled %d, handed back %d of %d", len(settled), len(released), all)
	}
}
