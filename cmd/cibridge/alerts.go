package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cibridge/bridge"
	"cibridge/internal/hook"
	"cibridge/internal/provider"
	"cibridge/internal/store"
)

const (
	// quietHour is after how long without another one a failure is told of
	// again.
	quietHour = time.Hour
	// watchEvery is how often breakers are looked at.
	watchEvery = 30 * time.Second
	// noteTimeout bounds the question whether another replica told already.
	noteTimeout = time.Second
)

// alertMemory knows across replicas what was told of already, and which targets
// fail.
type alertMemory interface {
	FirstIn(ctx context.Context, what string, quiet time.Duration) (bool, error)
	Breakers(ctx context.Context) ([]store.Breaker, error)
}

// alerts tells people of what they have to do something about: one line at
// WARN for each, and a metric that counts all of it.
type alerts struct {
	memory   alertMemory
	hookName func(id string) string
	after    time.Duration // a breaker that is open for so long
	log      *slog.Logger

	dead     *prometheus.CounterVec
	rejected *prometheus.CounterVec
	breakers prometheus.Gauge
}

func newAlerts(memory alertMemory, hookName func(string) string, after time.Duration, reg prometheus.Registerer, log *slog.Logger) *alerts {
	a := &alerts{
		memory: memory, hookName: hookName, after: after, log: log,
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cibridge_dead_letters_total", Help: "Deliveries that were given up, by hook.",
		}, []string{"hook"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cibridge_credential_rejected_total", Help: "Attempts whose credential the provider refused, by hook.",
		}, []string{"hook"}),
		breakers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cibridge_breakers_open", Help: "Targets (origin and credential) with waiting deliveries that do not answer, over all replicas.",
		}),
	}
	reg.MustRegister(a.dead, a.rejected, a.breakers)
	return a
}

// settled is told of every attempt.
func (a *alerts) settled(l bridge.Lease, s bridge.Settlement) {
	hook := l.Delivery.Hook
	if s.Outcome == string(provider.Credential) {
		a.rejected.WithLabelValues(hook).Inc()
		a.tell("credential rejected", "credential "+l.Delivery.Bucket, l, s, "renew the access token; deliveries wait, those given up can be redelivered")
	}
	if s.Verdict == bridge.VerdictDead {
		a.dead.WithLabelValues(hook).Inc()
		a.tell("first dead letter of a hook", "dead "+hook, l, s, `see "cibridge deliveries list --state dead --hook `+hook+`"`)
	}
}

// tell logs an alert unless it was told of within the last hour. When nobody
// knows, it is told once too often.
func (a *alerts) tell(alert, what string, l bridge.Lease, s bridge.Settlement, help string) {
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	if first, err := a.memory.FirstIn(ctx, what, quietHour); err == nil && !first {
		return
	}
	d := l.Delivery
	a.log.Warn("alert: "+alert, "hook", d.Hook, "hook_name", a.hookName(d.Hook), "target", originOf(d.Bucket), "delivery", d.ID, "run", d.Run,
		"status", string(d.Firing.Status), "answer", s.Attempt.Status, "reason", s.Reason, "tries", l.Tries+1, "help", help)
}

func originOf(bucket string) string {
	origin, _, _ := strings.Cut(bucket, "|")
	return origin
}

// hookWarnings are the warnings of one hook among all. A hook may be listed
// twice while it is being saved.
func hookWarnings(all []bridge.Hook, id string) []string {
	var texts []string
	for _, w := range hook.Hanging(all) {
		if w.Hook == id && !slices.Contains(texts, w.Text) {
			texts = append(texts, w.Text)
		}
	}
	return texts
}

// watch looks at breakers until ctx is done.
func (a *alerts) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		a.look(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look tells of the breakers that are open for long, once for each opening.
func (a *alerts) look(ctx context.Context, now time.Time) {
	open, err := a.memory.Breakers(ctx)
	if err != nil {
		return // the queue itself says when Redis is away
	}
	a.breakers.Set(float64(len(open)))
	for _, b := range open {
		since := time.UnixMilli(b.Since)
		if now.Sub(since) < a.after {
			continue
		}
		if first, err := a.memory.FirstIn(ctx, "breaker "+b.Bucket+" "+since.String(), 2*quietHour); err == nil && !first {
			continue
		}
		_, credential, _ := strings.Cut(b.Bucket, "|")
		a.log.Warn("alert: breaker open", "target", originOf(b.Bucket), "credential", credential, "since", since.UTC().Format(time.RFC3339),
			"fails", b.Fails, "next_probe", time.UnixMilli(b.Until).UTC().Format(time.RFC3339),
			"help", "the target does not answer; deliveries wait and nothing is lost")
	}
}
