package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"cibridge/internal/api"
	"cibridge/internal/config"
	"cibridge/internal/store"
)

// listen opens the addresses of the configuration.
func (s *system) listen() error {
	var err error
	if s.listener, err = net.Listen("tcp", s.cfg.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if s.cfg.AdminListen == "" {
		return nil
	}
	if s.admin, err = net.Listen("tcp", s.cfg.AdminListen); err != nil {
		s.listener.Close()
		return fmt.Errorf("admin_listen: %w", err)
	}
	return nil
}

// server is an HTTP server and its address.
type server struct {
	*http.Server
	listener net.Listener
}

func (s server) run() error { return s.Serve(s.listener) }

// servers returns one server for everybody, or one for senders and one for
// operators.
func (s *system) servers() []server {
	limits := s.cfg.Limits
	on := func(l net.Listener, h http.Handler) server {
		return server{api.HTTPServer(h, api.Timeouts{Read: limits.ReadTimeout, Idle: limits.IdleTimeout, MaxHeader: int(limits.Headers)}, s.log), l}
	}
	if s.admin == nil {
		return []server{on(s.listener, s.api)}
	}
	return []server{on(s.listener, s.api.Senders()), on(s.admin, s.api.Operators())}
}

// tokensOf returns the operators' tokens.
func tokensOf(cfg *config.Config) []api.Token {
	var out []api.Token
	if cfg.AdminToken != "" {
		out = append(out, api.Token{Name: "admin", Secret: cfg.AdminToken})
	}
	if cfg.ReadToken != "" {
		out = append(out, api.Token{Name: "read", Secret: cfg.ReadToken, ReadOnly: true})
	}
	for _, t := range cfg.Tokens {
		out = append(out, api.Token{Name: t.Name, Secret: t.Token, ReadOnly: t.Scope != config.ScopeAdmin})
	}
	return out
}

// allowTimeout bounds the question whether a sender may send: without an
// answer it may.
const allowTimeout = 250 * time.Millisecond

// allowance asks Redis, so that all replicas count together. It is nil when
// the rate is off.
func allowance(st *store.Store, log *slog.Logger, what string, rate config.Rate) func(ctx context.Context, name string) time.Duration {
	count, per, burst := rate.Limit()
	if count == 0 {
		return nil
	}
	return func(ctx context.Context, name string) time.Duration {
		ctx, cancel := context.WithTimeout(ctx, allowTimeout)
		defer cancel()
		wait, err := st.Allow(ctx, what+"\x00"+name, store.Rate{Count: count, Per: per, Burst: burst})
		if err != nil {
			log.Debug("a rate could not be looked up; the request is let in", "what", what, "err", err)
			return 0
		}
		return wait
	}
}

func limitOf(st *store.Store, log *slog.Logger, rate config.Rate) func(ctx context.Context, source, key string) time.Duration {
	allow := allowance(st, log, "key", rate)
	if allow == nil {
		return nil
	}
	return func(ctx context.Context, source, key string) time.Duration { return allow(ctx, source+"\x00"+key) }
}

func addressLimitOf(st *store.Store, log *slog.Logger, rate config.Rate) func(ctx context.Context, address string) time.Duration {
	return allowance(st, log, "address", rate)
}
