package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what happens to inbound requests. The label source holds only
// configured ids, so that no sender can make new series.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram
	commit   *prometheus.HistogramVec
	admin    *prometheus.CounterVec
}

func newMetrics(reg *prometheus.Registry, b *budget) (*metrics, error) {
	buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cibridge_requests_total",
			Help: "Inbound requests by source (empty when not authenticated), outcome and HTTP status.",
		}, []string{"source", "outcome", "code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cibridge_request_duration_seconds", Help: "From the first byte of an inbound request's headers to its reply.",
			Buckets: buckets,
		}),
		commit: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cibridge_commit_duration_seconds", Help: "Time to commit an inbound request, by result.",
			Buckets: buckets,
		}, []string{"result"}),
		admin: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cibridge_api_requests_total", Help: "Requests to the operators' routes by route and HTTP status.",
		}, []string{"route", "code"}),
	}
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cibridge_request_bytes_in_flight", Help: "Bytes of request bodies in memory.",
	}, func() float64 { return float64(b.used.Load()) })
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.commit, m.admin, inFlight} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) request(source, outcome string, code int, took time.Duration) {
	m.requests.WithLabelValues(source, outcome, strconv.Itoa(code)).Inc()
	m.seconds.Observe(took.Seconds())
}
