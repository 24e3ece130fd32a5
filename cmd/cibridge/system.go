package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cibridge/bridge"
	"cibridge/internal/api"
	"cibridge/internal/config"
	"cibridge/internal/diag"
	"cibridge/internal/dispatch"
	"cibridge/internal/hook"
	"cibridge/internal/mapping"
	"cibridge/internal/provider"
	"cibridge/internal/redact"
	"cibridge/internal/seal"
	"cibridge/internal/store"
)

// system is a running server: it reads as the architecture does. An event goes
// from api through mapping and store to dispatch.
type system struct {
	cfg      *config.Config
	log      *slog.Logger
	files    *reloader
	registry *registry
	store    *store.Store
	api      *api.Server
	dispatch *dispatch.Dispatcher
	fetcher  *dispatch.Fetcher
	alerts   *alerts
	listener net.Listener
	admin    net.Listener // nil when operators are served beside senders
	hup      chan os.Signal
}

// start builds and connects everything, and listens. It fails with all
// problems of the configuration, or with the first of the outside world.
func start(ctx context.Context, cfg *config.Config, log *slog.Logger) (*system, error) {
	s := &system{cfg: cfg, log: log, hup: make(chan os.Signal, 1)}
	ring, err := seal.ParseRing(cfg.EncryptionKeys.Reveal())
	if err != nil {
		return nil, failed(exitConfig, fmt.Errorf("CIBRIDGE_ENCRYPTION_KEYS: %w", err))
	}
	profiles, err := provider.Load()
	if err != nil {
		return nil, err
	}
	set, hooks, err := s.readFiles(profiles)
	if err != nil {
		return nil, failed(exitConfig, err)
	}
	f, err := fixedSettings(cfg, set, hooks)
	if err != nil {
		return nil, failed(exitConfig, err)
	}
	f.secrets = configSecrets(cfg)
	s.registry = newRegistry(f, profiles, log)
	log = slog.New(redact.Log(log.Handler(), s.registry.redactor))
	s.log, s.registry.log, s.files.log = log, log, log
	if s.store, err = store.Open(ctx, storeConfig(cfg, ring, s.registry, log)); err != nil {
		return nil, failed(exitServer, err)
	}
	s.registry.Store = s.store
	s.store.OnChange(s.registry.changed)
	if err := s.wire(profiles, set); err != nil {
		s.store.Close()
		return nil, err
	}
	if err := s.listen(); err != nil {
		s.store.Close()
		return nil, failed(exitConfig, err)
	}
	// From here on, before anybody knows the address: unhandled it would end
	// the process.
	signal.Notify(s.hup, syscall.SIGHUP)
	return s, nil
}

func storeConfig(cfg *config.Config, ring *seal.Ring, r *registry, log *slog.Logger) store.Config {
	d, keep := cfg.Dispatch, cfg.Retention
	return store.Config{
		URL: cfg.Redis.URL.Reveal(), Prefix: cfg.Redis.Prefix, Durability: store.Durability(cfg.Redis.Durability),
		Partitions: cfg.Redis.Partitions, MaxConnections: cfg.Redis.MaxConnections, Ring: ring, Planner: r, StaleAfter: r.StaleAfter, Log: log,
		CommitTimeout: cfg.Limits.CommitTimeout,
		Retention:     store.Retention{Requests: keep.Requests, Runs: keep.Runs, Attempts: keep.Attempts, Dead: keep.Dead, Dedupe: keep.Dedupe, Parked: keep.Parked},
		Queue: store.Queue{
			Timeout: d.Timeout, Grace: d.LeaseMargin, Quarantine: d.Quarantine, Confirm: d.Confirm, PerBucket: d.PerBucket,
			BreakerFails: d.Breaker.Failures, BreakerMin: d.Breaker.Open, BreakerMax: d.Breaker.Longest, Limit: limitsOf(d.Limits),
		},
	}
}

// wire hands each package the few things it needs of the others.
func (s *system) wire(profiles *provider.Profiles, set *mapping.Set) error {
	a, r, cfg := adapter{s.store}, s.registry, s.cfg
	allow := cfg.EgressAllow
	s.fetcher = dispatch.NewFetcher(allow, version)
	metrics := prometheus.NewRegistry()
	s.alerts = newAlerts(s.store, r.hookName, cfg.Dispatch.Breaker.Alert, metrics, s.log)
	var err error
	s.api, err = api.New(api.Config{
		Commit: a, Registry: r, Keys: s.store, Runs: a, Ledger: a, Deliveries: a, Attempts: a,
		Tokens: tokensOf(cfg), Audit: a, TrustedProxies: cfg.TrustedProxies,
		Limit: limitOf(s.store, s.log, cfg.Limits.PerKey), LimitAddress: addressLimitOf(s.store, s.log, cfg.Limits.PerAddress),
		CheckHook: func(h bridge.Hook) map[string][]string { return hook.Check(h, profiles) },
		CheckURL:  func(_ context.Context, url string) error { return dispatch.CheckURL(url, allow) },
		Confirm:   s.fetcher.Get,
		Providers: profiles.Names(),
		Known:     r.known,
		Health:    s.health,
		PublicURL: cfg.PublicURL, MappingTests: s.files.testCounts,
		MaxBody: int64(cfg.Limits.Body), MaxInFlight: int64(cfg.Limits.InFlight), CommitTimeout: cfg.Limits.CommitTimeout + 100*time.Millisecond,
		HookWarnings: hookWarnings, Metrics: metrics, Log: s.log,
	})
	if err != nil {
		return failed(exitConfig, err)
	}
	s.api.SetMappings(set)
	s.files.useMappings, s.files.keepMappings, s.files.unusable = s.api.SetMappings, s.api.KeepMappings, s.api.UnusableSources
	s.files.useHooks = r.setHooks
	s.files.lost(set)
	answers := hook.NewAnswers()
	s.dispatch = dispatch.New(dispatch.Config{
		Queue: s.store, Resolve: r.resolve, Permit: r.permit, Sign: r.sign, Redact: r.redactor, Classify: profiles.Classify, Fill: profiles.Fill, DeliveredWhen: answers.Delivered,
		EgressAllow: allow, Version: version, Workers: cfg.Dispatch.Workers, Timeout: cfg.Dispatch.Timeout,
		LeaseMargin: cfg.Dispatch.LeaseMargin, Drain: cfg.Dispatch.Drain, Backoff: cfg.Dispatch.Backoff, Log: s.log,
		Metrics: metrics, Settled: s.alerts.settled,
	})
	return nil
}

// serve runs until ctx ends, and then comes to an orderly end: not ready, no
// new requests, those in flight are finished, leases are handed back.
func (s *system) serve(ctx context.Context) error {
	collectLess()
	var work sync.WaitGroup
	dispatching, stopDispatch := context.WithCancel(context.WithoutCancel(ctx))
	var dispatchErr error
	work.Go(func() { dispatchErr = s.dispatch.Run(dispatching) })
	work.Go(func() { s.files.watch(dispatching, s.hup) })
	work.Go(func() { s.alerts.watch(dispatching) })
	servers := s.servers()
	served := make(chan error, len(servers))
	for _, server := range servers {
		go func() { served <- server.run() }()
	}

	var err error
	select {
	case err = <-served: // only a broken listener ends it
	case <-ctx.Done():
		s.log.Info("shutting down")
		s.api.Drain()
		pause(s.cfg.Limits.DrainDelay)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	for _, server := range servers {
		err = errors.Join(err, server.Shutdown(closing))
	}
	cancel()
	signal.Stop(s.hup)
	stopDispatch()
	work.Wait()
	s.fetcher.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, dispatchErr, s.store.Close())
}

// health implements the answer of /readyz.
func (s *system) health(ctx context.Context) api.Health {
	h := adapter{s.store}.health(ctx)
	h.Reasons = append(h.Reasons, s.files.reasons()...)
	return h
}

// collectLess trades memory for speed: an event makes much garbage and keeps
// little, so that with the default the collector runs many times a second for
// a heap of some ten MB. Near a GiB it runs as often as it has to. Whoever
// sets GOGC or GOMEMLIMIT has decided otherwise.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(1 << 30)
	}
}

// shutdownTimeout bounds how long requests in flight may take at the end: more
// than any of them can.
const shutdownTimeout = 30 * time.Second

func pause(d time.Duration) {
	if d > 0 {
		time.Sleep(d)
	}
}

// fixedSettings collects what the configuration and files say, and the seed
// sources whose mapping is there. It fails for a source of the configuration
// that nothing could be received from.
func fixedSettings(cfg *config.Config, set *mapping.Set, hooks fileHooks) (fixed, error) {
	f := fixed{sources: cfg.BridgeSources(), applications: cfg.BridgeApplications(), hooks: hooks.hooks, files: hooks.files}
	var wrong []string
	for i, s := range f.sources {
		f.files[s.ID] = "the configuration"
		for _, problem := range api.CheckSource(set, s) {
			wrong = append(wrong, fmt.Sprintf("%s: source %q: %s", cfg.Origin(fmt.Sprintf("sources[%d]", i)), s.ID, problem))
		}
	}
	if len(wrong) > 0 {
		return fixed{}, errors.New(strings.Join(wrong, "\n"))
	}
	for _, s := range seedSources {
		if set.Get(s.Mapping) != nil {
			f.sources, f.files[s.ID] = append(f.sources, s), "cibridge itself"
		}
	}
	for _, a := range f.applications {
		f.files[a.ID] = "the configuration"
	}
	return f, nil
}

// readFiles reads and compiles the mappings and hooks for the first time.
func (s *system) readFiles(profiles *provider.Profiles) (*mapping.Set, fileHooks, error) {
	s.files = &reloader{mappings: s.cfg.Mappings, hooks: s.cfg.Hooks, profiles: profiles, log: s.log, poll: pollTime}
	set, files, problems := s.files.firstMappings()
	if err := refuse("mapping", problems, files); err != nil {
		return nil, fileHooks{}, err
	}
	hooks, files, problems := s.files.firstHooks()
	return set, hooks, refuse("hook", problems, files)
}

// refuse prints the problems that keep files from being used.
func refuse(what string, problems diag.Problems, files []mapping.File) error {
	errs := problems.Errors()
	if len(errs) == 0 {
		return nil
	}
	diag.WriteText(os.Stderr, errs, sourceOf(files), isTerminal(os.Stderr))
	return fmt.Errorf("%s in %s files", counted(len(errs), "problem"), what)
}

// readFile reads a file for a message about it; nil when it cannot.
func readFile(name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return data
}
