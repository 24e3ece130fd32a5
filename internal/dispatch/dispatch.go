package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cibridge/bridge"
	"cibridge/internal/provider"
	"cibridge/internal/redact"
)

// Queue is where deliveries wait. All methods are safe for concurrent use.
type Queue interface {
	// Next leases one due delivery. When nothing is due, lease is nil and
	// wait says when to look again.
	Next(ctx context.Context) (lease *bridge.Lease, wait time.Duration, err error)
	// Settle closes a lease. It reports false, and changes nothing, when the
	// lease had expired and its fence is no longer the lane's.
	Settle(ctx context.Context, lease bridge.Lease, s bridge.Settlement) (applied bool, err error)
	// Release hands back a lease under which nothing was sent.
	Release(ctx context.Context, lease bridge.Lease) error
	// Wake returns a channel that is signalled when something may have become
	// due. A signal may be lost: Next's wait bounds the delay then.
	Wake() <-chan struct{}
}

// Defaults of [Config].
const (
	DefaultWorkers     = 64
	DefaultTimeout     = 10 * time.Second
	DefaultLeaseMargin = 20 * time.Second
	DefaultDrain       = 12 * time.Second
)

// Config names what a Dispatcher needs. Queue, Resolve and Classify are
// required.
type Config struct {
	Queue Queue
	// Resolve returns the text behind a reference of [bridge.Part]. It is
	// asked at every send, so a rotated secret counts at once. An error is
	// retried for about an hour, since an administrator may mend it.
	Resolve func(ctx context.Context, ref string) (bridge.Secret, error)
	// Permit reports why what is behind a reference must not be sent to a URL,
	// or nil. It is asked before Resolve. Nil permits all.
	Permit func(ref, url string) error
	// Sign returns the value of a reference whose third part is "hmac",
	// "hook:<id>:hmac:<algorithm>", for the request's body. When nil, such
	// references go to Resolve.
	Sign func(ctx context.Context, ref string, body []byte) (string, error)
	// Redact returns what takes secrets out of the log of attempts, besides
	// those of the request itself. It is asked at every try. Nil takes out no
	// others.
	Redact func() *redact.Redactor
	// Classify reads a complete answer for a profile; "" is the general
	// classifier. Failed requests never get to it, and a redirect is never
	// more than a refused credential.
	Classify func(profile string, a provider.Answer) provider.Class
	// Fill returns a delivery's body with what [provider.Class] captured of an
	// earlier answer. When nil, bodies are sent as they were rendered.
	Fill func(profile, body, captured string) string
	// DeliveredWhen evaluates a hook's expression over an answer. An error
	// counts as false. When nil, such expressions count as false.
	DeliveredWhen func(expr string, a provider.Answer) (bool, error)
	// Settled, when not nil, is told of every settled attempt, after the
	// queue was, by several goroutines at once. It must return quickly.
	Settled func(bridge.Lease, bridge.Settlement)

	// EgressAllow lists prefixes that may be reached although they are not
	// public; http and any port are permitted there, too. Cloud metadata
	// addresses stay denied.
	EgressAllow []netip.Prefix
	Version     string        // for User-Agent; defaults to "dev"
	Workers     int           // requests at a time; defaults to 64
	Timeout     time.Duration // of a request, its answer's body included; defaults to 10 s
	// LeaseMargin is how much longer than the request's timeout a lease
	// lasts. The queue must use the same. Defaults to 20 s.
	LeaseMargin time.Duration
	Drain       time.Duration // for requests in flight when Run ends; defaults to 12 s
	// Backoff is the schedule of failures that may pass: the delays before
	// the next tries, each ±20%; after the last one a delivery is dead.
	// Defaults to 2 s and longer up to 8 h, 17 hours in all.
	Backoff []time.Duration
	Log     *slog.Logger // defaults to slog.Default()
	// Metrics gets the counters of attempts. When nil, nobody sees them.
	Metrics prometheus.Registerer
}

// Dispatcher sends deliveries. Create one with [New].
type Dispatcher struct {
	cfg    Config
	guard  *guard
	client *client
	outage outage
	counts *metrics
	// freed is signalled when a lease was settled: its lane or bucket may
	// have more to do.
	freed chan struct{}
}

// New returns a Dispatcher. It panics when a required part of cfg is missing,
// since that is a mistake in the program.
func New(cfg Config) *Dispatcher {
	if cfg.Queue == nil || cfg.Resolve == nil || cfg.Classify == nil {
		panic("dispatch.New: Queue, Resolve and Classify are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	cfg.Workers = positive(cfg.Workers, DefaultWorkers)
	cfg.Timeout = positive(cfg.Timeout, DefaultTimeout)
	cfg.LeaseMargin = positive(cfg.LeaseMargin, DefaultLeaseMargin)
	cfg.Drain = positive(cfg.Drain, DefaultDrain)
	if len(cfg.Backoff) == 0 {
		cfg.Backoff = outcomes[provider.Transient].delays
	}
	g := newGuard(cfg.EgressAllow)
	return &Dispatcher{
		cfg:    cfg,
		guard:  g,
		client: newClient(g),
		outage: outage{log: cfg.Log},
		counts: newMetrics(cfg.Metrics),
		freed:  make(chan struct{}, 1),
	}
}

func positive[T int | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// Close drops idle connections. A Dispatcher whose Run has returned needs no
// Close.
func (d *Dispatcher) Close() { d.client.close() }

// Bounds on how long the picker rests. The upper one is the fallback for a
// lost signal, the lower one keeps a queue that answers "nothing, look again
// at once" from taking a processor.
const (
	minRest = time.Millisecond
	maxRest = time.Second
)

// Run leases and sends deliveries until ctx is done. It then stops leasing,
// gives requests in flight Config.Drain to end, hands back what was not sent,
// and returns nil. An unreachable queue never ends it. All goroutines that it
// started have ended when it returns.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer d.client.close()
	// Work in flight outlives ctx until it is drained.
	work, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	var workers sync.WaitGroup
	slots := make(chan struct{}, d.cfg.Workers)
	var failures int
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		// Taken before the lease exists, so it never looks longer than it is.
		picked := time.Now()
		lease, wait, err := d.next(work)
		if err != nil || lease == nil {
			<-slots
			if ctx.Err() != nil {
				break
			}
			if err != nil {
				d.outage.begin("lease", err)
				failures++
				d.rest(ctx, queueBackoff(failures), false)
				continue
			}
			d.outage.end()
			failures = 0
			d.rest(ctx, min(max(wait, minRest), maxRest), true)
			continue
		}
		d.outage.end()
		failures = 0
		workers.Go(func() {
			defer func() { <-slots }()
			for lease != nil {
				d.work(ctx, work, *lease, picked)
				lease, picked = d.another(ctx, work)
			}
		})
	}
	timer := time.AfterFunc(d.cfg.Drain, func() { abort(errShutdown) })
	defer timer.Stop()
	workers.Wait()
	return nil
}

// another leases the next delivery for a worker that has ended one, nil when
// there is none: with a full queue the workers lease side by side, and one
// picker that waits for each lease does not set the pace.
func (d *Dispatcher) another(run, work context.Context) (*bridge.Lease, time.Time) {
	if run.Err() != nil {
		return nil, time.Time{}
	}
	picked := time.Now() // before the lease exists, as in Run
	lease, _, err := d.next(work)
	if err != nil {
		return nil, time.Time{} // Run meets it, too, and rests
	}
	if lease == nil {
		d.signal() // how long to rest may have changed since Run asked
	}
	return lease, picked
}

// next asks the queue for a lease. It is not cut short by a stop: a lease
// whose answer nobody reads would have to lapse before anyone sends it.
func (d *Dispatcher) next(work context.Context) (*bridge.Lease, time.Duration, error) {
	ctx, cancel := context.WithTimeout(work, queueTimeout)
	defer cancel()
	return d.cfg.Queue.Next(ctx)
}

// rest waits for d or until ctx is done; wakeable, also until there may be
// something to do.
func (d *Dispatcher) rest(ctx context.Context, pause time.Duration, wakeable bool) {
	var wake, freed <-chan struct{}
	if wakeable {
		wake, freed = d.cfg.Queue.Wake(), d.freed
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
	case <-freed:
	}
}

// work sends and settles one lease. A stopped run hands it back unsent.
func (d *Dispatcher) work(run, ctx context.Context, lease bridge.Lease, picked time.Time) {
	if run.Err() != nil {
		d.release(ctx, lease, picked)
		return
	}
	s, err := d.safely(ctx, lease, picked)
	if err != nil {
		d.cfg.Log.Debug("lease handed back", "delivery", lease.Delivery.ID, "reason", err)
		d.release(ctx, lease, picked)
		return
	}
	d.settle(ctx, lease, s, picked)
	d.signal()
}

// signal makes Run look again.
func (d *Dispatcher) signal() {
	select {
	case d.freed <- struct{}{}:
	default:
	}
}

// safely is deliver for a delivery that makes us panic: it must neither take
// the process down nor come back for ever.
func (d *Dispatcher) safely(ctx context.Context, lease bridge.Lease, picked time.Time) (s bridge.Settlement, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.cfg.Log.Error("delivery panicked", "delivery", lease.Delivery.ID, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			t := newTry(d, lease, picked)
			t.ambiguous = true
			s, err = t.settle(verdict{kind: provider.Transient, reason: "internal error, see the log"}), nil
		}
	}()
	return d.deliver(ctx, lease, picked)
}

// settle tells the queue, for as long as the lease lasts: after that the
// fence would refuse it.
func (d *Dispatcher) settle(ctx context.Context, lease bridge.Lease, s bridge.Settlement, picked time.Time) {
	d.untilOver(ctx, lease, picked, "settle", func(ctx context.Context) error {
		applied, err := d.cfg.Queue.Settle(ctx, lease, s)
		if err != nil {
			return err
		}
		if !applied {
			d.cfg.Log.Warn("lease had expired before it was settled", "delivery", lease.Delivery.ID, "reason", s.Reason)
			return nil
		}
		d.logSettled(lease, s)
		d.counts.settled(s)
		if d.cfg.Settled != nil {
			d.cfg.Settled(lease, s)
		}
		return nil
	})
}

func (d *Dispatcher) release(ctx context.Context, lease bridge.Lease, picked time.Time) {
	d.untilOver(ctx, lease, picked, "release", func(ctx context.Context) error {
		return d.cfg.Queue.Release(ctx, lease)
	})
}

// queueTimeout bounds one call to the queue.
const queueTimeout = 5 * time.Second

// untilOver calls do until it succeeds or the lease is over; then the lease
// lapses and the queue treats the delivery as one that may have been sent.
func (d *Dispatcher) untilOver(ctx context.Context, lease bridge.Lease, picked time.Time, what string, do func(context.Context) error) {
	end := d.leaseEnd(lease, picked)
	for failures := 1; ; failures++ {
		// Not ctx: what was sent is settled even when the drain was cut short.
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), queueTimeout)
		err := do(call)
		cancel()
		if err == nil {
			d.outage.end()
			return
		}
		d.outage.begin(what, err)
		pause := queueBackoff(failures)
		if ctx.Err() != nil || time.Now().Add(pause).After(end) {
			d.cfg.Log.Warn("lease left to lapse", "delivery", lease.Delivery.ID, "call", what)
			return
		}
		d.rest(ctx, pause, false)
	}
}

// timeout returns how long the request of a delivery may take.
func (d *Dispatcher) timeout(lease bridge.Lease) time.Duration {
	if ms := lease.Delivery.TimeoutMS; ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return d.cfg.Timeout
}

// leaseEnd returns when the lease ends at the latest that is safe to assume.
// It counts from before the lease was taken, on this process's monotonic
// clock: the queue's clock (UntilMS) may differ from ours by any amount.
func (d *Dispatcher) leaseEnd(lease bridge.Lease, picked time.Time) time.Time {
	return picked.Add(d.timeout(lease) + d.cfg.LeaseMargin)
}

// logSettled writes one line for an attempt, with every fact of it and nothing
// of what was sent or answered but the reason.
func (d *Dispatcher) logSettled(lease bridge.Lease, s bridge.Settlement) {
	level, dl, a := slog.LevelInfo, lease.Delivery, s.Attempt
	if s.Verdict == bridge.VerdictDead {
		level = slog.LevelWarn
	}
	d.cfg.Log.Log(context.Background(), level, "delivery "+string(s.Verdict),
		"delivery", dl.ID, "run", dl.Run, "hook", dl.Hook, "attempt", a.ID, "try", lease.Tries+1,
		"outcome", s.Outcome, "status", a.Status, "reason", s.Reason,
		"method", a.Method, "url", a.URL, "remote", a.Remote, "ms", a.DurationMS,
		"next_ms", s.DelayMS, "bucket_rests_ms", s.ParkMS, "ambiguous", s.Ambiguous, "target_failed", s.TargetFailed)
}
