package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cibridge/bridge"
	"cibridge/internal/store"
)

// told remembers on a clock that the test moves.
type told struct {
	now  time.Time
	last map[string]time.Time
	down bool
	open []store.Breaker
}

func (m *told) FirstIn(_ context.Context, what string, quiet time.Duration) (bool, error) {
	if m.down {
		return false, errors.New("away")
	}
	before, ok := m.last[what]
	m.last[what] = m.now
	return !ok || m.now.Sub(before) > quiet, nil
}

func (m *told) Breakers(context.Context) ([]store.Breaker, error) { return m.open, nil }

func TestAlerts(t *testing.T) {
	var log bytes.Buffer
	m := &told{now: time.Now(), last: map[string]time.Time{}}
	reg := prometheus.NewRegistry()
	a := newAlerts(m, func(string) string { return "ci status" }, 5*time.Minute, reg, slog.New(slog.NewTextHandler(&log, nil)))
	lease := bridge.Lease{Delivery: bridge.Delivery{
		ID: "dlv_1", Hook: "h1", Run: "run_1", Bucket: "https://api.example:443|application:a", Firing: bridge.Firing{Status: bridge.Failed},
	}, Tries: 3}
	dead := bridge.Settlement{Verdict: bridge.VerdictDead, Outcome: "permanent", Reason: "422 no", Attempt: bridge.Attempt{Status: 422}}
	refused := bridge.Settlement{Verdict: bridge.VerdictRetry, Outcome: "credential", Reason: "401", Attempt: bridge.Attempt{Status: 401}}
	lines := func(want ...string) {
		t.Helper()
		got := strings.Split(strings.TrimSpace(log.String()), "\n")
		if log.Len() == 0 {
			got = nil
		}
		log.Reset()
		if len(got) != len(want) {
			t.Fatalf("told of %q, want %q", got, want)
		}
		for i, w := range want {
			for _, fact := range append(strings.Split(w, ", "), "level=WARN") {
				if !strings.Contains(got[i], fact) {
					t.Errorf("the alert lacks %s: %s", fact, got[i])
				}
			}
		}
	}
	const facts = `hook=h1, hook_name="ci status", target=https://api.example:443, delivery=dlv_1, run=run_1, status=failed, tries=4, help=`
	a.settled(lease, dead)
	lines(`msg="alert: first dead letter of a hook", answer=422, reason="422 no", ` + facts)
	a.settled(lease, dead)
	lines()
	m.now = m.now.Add(61 * time.Minute)
	a.settled(lease, dead)
	lines(facts)
	a.settled(lease, refused)
	lines(`msg="alert: credential rejected", answer=401, ` + facts)
	other := lease
	other.Delivery.Hook = "h2"
	a.settled(other, refused) // the same credential
	lines()
	a.settled(other, dead)
	lines("hook=h2")
	a.settled(lease, bridge.Settlement{Verdict: bridge.VerdictDelivered, Outcome: "delivered"})
	lines()
	m.down = true
	a.settled(lease, dead)
	lines(facts)
	m.down = false

	m.open = []store.Breaker{{Bucket: "https://api.example:443|application:a", Since: m.now.UnixMilli(), Until: m.now.UnixMilli() + 1, Fails: 7}}
	a.look(t.Context(), m.now.Add(4*time.Minute))
	lines()
	for range 2 {
		a.look(t.Context(), m.now.Add(5*time.Minute+time.Second))
	}
	lines(`msg="alert: breaker open", target=https://api.example:443, credential=application:a, since=2, fails=7, next_probe=2, help=`)

	counts := map[string]float64{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, v := range f.Metric {
			counts[f.GetName()] += v.GetCounter().GetValue() + v.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{"cibridge_dead_letters_total": 5, "cibridge_credential_rejected_total": 2, "cibridge_breakers_open": 1} {
		if counts[name] != want {
			t.Errorf("%s is %v, want %v", name, counts[name], want)
		}
	}
}
