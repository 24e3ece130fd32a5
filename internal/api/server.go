// Package api is cibridge's HTTP side: it receives what CI tools post, answers
// each in its own dialect, and serves the routes of operators.
//
// An inbound request passes, in this order: path and method, size limit,
// authentication on headers and raw bytes, mapping, commit, reply. Every
// authenticated request within the limits ends in the ledger with exactly one
// outcome. The routes are one table, see routes.go; the routes that mappings
// declare are looked up beside it and change with [Server.SetMappings].
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"cibridge/bridge"
	"cibridge/internal/mapping"
	"cibridge/internal/redact"
)

// Config is what a [Server] is made of. The interfaces, AdminTokens, CheckHook
// and Health are required; the rest has defaults.
type Config struct {
	Commit     Committer
	Registry   Registry
	Keys       Keys
	Runs       Runs
	Ledger     Ledger
	Deliveries Deliveries
	Attempts   Attempts

	// AdminTokens open the operators' routes, each of them alone. At least 16
	// bytes each. Without one, those routes answer 401 to everybody.
	AdminTokens []bridge.Secret
	// Tokens open them, too, under their own names; some only to look.
	Tokens []Token
	// Audit keeps what operators change. Nil keeps it in the log only.
	Audit Auditor

	// TrustedProxies are believed in what X-Forwarded-For says; none by
	// default.
	TrustedProxies []netip.Prefix

	// CheckHook says what is wrong with a hook, by the name of the field in
	// the words of Devopness ("target_url", "settings.request_body.state").
	// An empty result means that the hook can be saved.
	CheckHook func(h bridge.Hook) map[string][]string

	// HookWarnings says what is wrong with a hook among all the others,
	// although it works. When nil, nothing is.
	HookWarnings func(all []bridge.Hook, id string) []string

	// CheckURL refuses URLs that must not be called (addresses inside the
	// network, other schemes). It sees only complete URLs without
	// placeholders. It is for an early answer: the dialler decides again.
	// Nil allows all.
	CheckURL func(ctx context.Context, url string) error

	// Providers are the names that an application's source provider may have.
	Providers []string

	// Preview shows the deliveries that events would cause on fresh runs, for
	// a dry run by an operator. Nil shows none.
	Preview func(events []bridge.Event) []bridge.Delivery

	// Confirm fetches an address to complete a handshake (Amazon SNS). The
	// host was checked against the mapping. Its error gets into the ledger, so
	// it must not hold the address: that is a credential. Nil answers no
	// handshake.
	Confirm func(ctx context.Context, url string) error

	// Known returns the secrets of the server, which are taken out of
	// everything that is shown. It is asked for with each request. Nil knows
	// none.
	Known func() *redact.Masker

	// Limit says how long the sender of an authenticated request has to wait
	// before it is taken; 0 lets it in. key is the id of its API key, or "".
	// Nil lets all in.
	Limit func(ctx context.Context, source, key string) (wait time.Duration)
	// LimitAddress says the same of an address, an IPv6 one by its /64, before
	// anything else is known of a request. Nil lets all in.
	LimitAddress func(ctx context.Context, address string) (wait time.Duration)

	Health func(ctx context.Context) Health

	// MappingTests counts the tests of each mapping in use, those that stand
	// beside it included. It is asked when somebody lists the mappings. Nil
	// counts those in the files of the mappings alone.
	MappingTests func() map[string]int

	// PublicURL is where senders reach this server, for people who set one up;
	// "" when that is not known.
	PublicURL string

	MaxBody       int64         // of a request, bytes; default 5 MiB
	MaxInFlight   int64         // of all requests together; default 64 MiB
	CommitTimeout time.Duration // default 1.9 s, so that 503 comes within 2 s

	Log     *slog.Logger         // default: discards
	Now     func() time.Time     // default [time.Now]
	Metrics *prometheus.Registry // default: an own one; /metrics shows all of it
}

const (
	defaultMaxBody       = 5 << 20
	defaultMaxInFlight   = 64 << 20
	defaultCommitTimeout = 1900 * time.Millisecond
	minAdminToken        = 16
)

// Server serves the API. It is safe for concurrent use.
type Server struct {
	cfg       Config
	engine    *gin.Engine
	tokens    []checkedToken
	mappings  atomic.Pointer[mapping.Set] // those of reloads
	reloads   reloads
	index     atomic.Pointer[index]
	budget    budget
	metrics   *metrics
	touched   sync.Map // id of a key -> time of its last TouchKey
	warned    onceOnly
	strangers strangers
	draining  atomic.Bool
}

// New returns a server without mappings: until [Server.SetMappings] is called,
// inbound requests find no route.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, budget: budget{limit: cfg.MaxInFlight}}
	var err error
	if s.tokens, err = cfg.tokens(); err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(cfg.Metrics, &s.budget); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	empty, _ := mapping.Load(nil)
	s.mappings.Store(empty)
	s.engine = s.routes(everybody)
	return s, nil
}

func (c *Config) complete() error {
	for name, missing := range map[string]bool{
		"Commit": c.Commit == nil, "Registry": c.Registry == nil, "Keys": c.Keys == nil, "Runs": c.Runs == nil,
		"Ledger": c.Ledger == nil, "Deliveries": c.Deliveries == nil, "Attempts": c.Attempts == nil,
		"CheckHook": c.CheckHook == nil, "Health": c.Health == nil,
	} {
		if missing {
			return errors.New("api: Config." + name + " is missing")
		}
	}
	if c.MaxBody <= 0 {
		c.MaxBody = defaultMaxBody
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = defaultMaxInFlight
	}
	// A body that grows is held twice for a moment.
	c.MaxInFlight = max(c.MaxInFlight, 3*c.MaxBody)
	if c.CommitTimeout <= 0 {
		c.CommitTimeout = defaultCommitTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.CheckURL == nil {
		c.CheckURL = func(context.Context, string) error { return nil }
	}
	return nil
}

// Drain makes /readyz answer 503, so that a load balancer stops sending
// requests before the server stops taking them.
func (s *Server) Drain() { s.draining.Store(true) }

// ServeHTTP implements [http.Handler]: every route on one listener.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// Timeouts bound how long a client may take. The zero value means the
// defaults.
type Timeouts struct {
	ReadHeader time.Duration // default 5 s
	Read       time.Duration // headers and body; default 15 s
	Write      time.Duration // default 30 s
	Idle       time.Duration // between requests of a connection; default 60 s
	MaxHeader  int           // bytes; default 64 KiB
}

// HTTPServer returns a server for h with limits against slow and oversized
// clients. The caller starts and stops it.
func HTTPServer(h http.Handler, t Timeouts, log *slog.Logger) *http.Server {
	or := func(d, def time.Duration) time.Duration {
		if d <= 0 {
			return def
		}
		return d
	}
	if t.MaxHeader <= 0 {
		t.MaxHeader = 64 << 10
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: or(t.ReadHeader, 5*time.Second),
		ReadTimeout:       or(t.Read, 15*time.Second),
		WriteTimeout:      or(t.Write, 30*time.Second),
		IdleTimeout:       or(t.Idle, 60*time.Second),
		MaxHeaderBytes:    t.MaxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
