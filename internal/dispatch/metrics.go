package dispatch

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"cibridge/bridge"
)

// metrics counts attempts. Its labels hold only words of this program: a
// target cannot make new series.
type metrics struct {
	attempts *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// newMetrics registers the metrics with reg; a nil one shows them to nobody.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cibridge_delivery_attempts_total",
			Help: "Attempts at deliveries by what they came to, what follows, and the class of the answer's status (none without an answer).",
		}, []string{"outcome", "verdict", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cibridge_delivery_attempt_duration_seconds", Help: "Time of an attempt, the answer's body included.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 35},
		}, []string{"outcome"}),
	}
	if reg != nil {
		reg.MustRegister(m.attempts, m.seconds)
	}
	return m
}

func (m *metrics) settled(s bridge.Settlement) {
	class := "none"
	if s.Attempt.Status > 0 {
		class = fmt.Sprintf("%dxx", s.Attempt.Status/100)
	}
	m.attempts.WithLabelValues(s.Outcome, string(s.Verdict), class).Inc()
	if s.Attempt.At > 0 {
		m.seconds.WithLabelValues(s.Outcome).Observe(float64(s.Attempt.DurationMS) / 1000)
	}
}
