package api

import (
	"net/http"
	"slices"
)

// side is whom a listener serves.
type side int

const (
	everybody side = iota // one listener for all
	senders               // CI tools
	operators             // people, Prometheus
)

// scrape is the one route without a guard that is no sender's business.
const scrape = "/metrics"

// probes are served on every side.
var probes = []string{"/healthz", "/readyz"}

// serves reports whether a route belongs to a side.
func (d side) serves(r route) bool {
	if d == everybody || slices.Contains(probes, r.path) {
		return true
	}
	return (d == operators) == (r.open != public || r.path == scrape)
}

// Senders returns a handler for what CI tools post, and nothing else but the
// probes: for a server whose operators have a listener of their own.
func (s *Server) Senders() http.Handler { return s.routes(senders) }

// Operators returns a handler for what [Server.Senders] does not serve.
func (s *Server) Operators() http.Handler { return s.routes(operators) }
