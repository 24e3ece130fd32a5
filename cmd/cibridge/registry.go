package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cibridge/bridge"
	"cibridge/internal/api"
	"cibridge/internal/diag"
	"cibridge/internal/hook"
	"cibridge/internal/provider"
	"cibridge/internal/redact"
	"cibridge/internal/store"
)

// fixed are the settings that no API call can change: those of files, and the
// sources that exist from the start.
type fixed struct {
	sources      []bridge.Source
	applications []bridge.Application
	hooks        []bridge.Hook
	files        map[string]string // id -> file
	secrets      []bridge.Secret   // of the configuration, besides theirs
}

// seedSources exist from the start: the formats whose senders know their route
// and need nothing but a key.
var seedSources = []bridge.Source{
	{ID: "codenow", Mapping: "codenow", ReadOnly: true},
	{ID: "harness-sei", Mapping: "harness-sei", ReadOnly: true},
}

// registry joins the stored settings with the fixed ones and compiles the
// hooks whenever one of them changes. It is the [store.Planner].
type registry struct {
	*store.Store // stores what operators change
	profiles     *provider.Profiles
	log          *slog.Logger
	hooks        atomic.Pointer[hook.Set]
	warned       atomic.Pointer[[]hook.Warning] // those of the settings before
	snapshot     atomic.Pointer[api.Snapshot]
	secrets      atomic.Pointer[redact.Masker]

	mu     sync.Mutex
	fixed  fixed
	stored *store.Snapshot
}

func newRegistry(f fixed, profiles *provider.Profiles, log *slog.Logger) *registry {
	r := &registry{fixed: f, profiles: profiles, log: log}
	r.changed(&store.Snapshot{})
	return r
}

// Plan implements [store.Planner] with the hooks of this moment.
func (r *registry) Plan(run *bridge.Run, firing *bridge.Firing, now time.Time) []bridge.Delivery {
	return r.hooks.Load().Plan(run, firing, now)
}

// StaleAfter returns after how long a run without an end is closed, for the
// sources that say so.
func (r *registry) StaleAfter() map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, src := range r.Snapshot().Sources {
		if src.StaleAfter > 0 {
			out[src.ID] = time.Duration(src.StaleAfter) * time.Millisecond
		}
	}
	return out
}

// Snapshot implements [api.Registry].
func (r *registry) Snapshot() *api.Snapshot { return r.snapshot.Load() }

// setHooks takes over new hooks of files in place of those before.
func (r *registry) setHooks(f fileHooks) {
	r.mu.Lock()
	defer r.mu.Unlock()
	files := maps.Clone(r.fixed.files)
	for _, h := range r.fixed.hooks {
		delete(files, h.ID)
	}
	maps.Copy(files, f.files)
	r.fixed.hooks, r.fixed.files = f.hooks, files // snapshots keep the old map
	r.join()
}

// changed takes over new stored settings.
func (r *registry) changed(s *store.Snapshot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored = s
	r.join()
}

// join makes a snapshot of the stored and the fixed settings; r.mu is held. A
// fixed entry hides a stored one of the same id.
func (r *registry) join() {
	s := r.stored
	next := &api.Snapshot{
		Version:      s.Version,
		Keys:         s.Keys,
		Sources:      with(r.fixed.sources, s.Sources, func(s bridge.Source) string { return s.ID }),
		Applications: with(r.fixed.applications, s.Applications, func(a bridge.Application) string { return a.ID }),
		Hooks:        with(r.fixed.hooks, s.Hooks, func(h bridge.Hook) string { return h.ID }),
		Files:        r.fixed.files,
	}
	set, problems := hook.NewSet(next.Hooks, next.Applications, r.profiles)
	r.report(problems)
	r.warn(next.Hooks)
	r.hooks.Store(set)
	r.secrets.Store(knownSecrets(r.fixed.secrets, next))
	r.snapshot.Store(next)
}

// report logs hooks that no longer compile: stored ones were right when they
// were saved.
func (r *registry) report(problems diag.Problems) {
	for _, p := range problems.Errors() {
		r.log.Error("a hook is not usable and is left out", "hook", p.Path, "problem", p.Message, "help", p.Help)
	}
}

// warn logs what is new of what is wrong with hooks among each other.
func (r *registry) warn(hooks []bridge.Hook) {
	now := hook.Hanging(hooks)
	before := r.warned.Swap(&now)
	for _, w := range now {
		if before == nil || !slices.Contains(*before, w) {
			r.log.Warn("a hook leaves statuses hanging", "hook", w.Hook, "warning", w.Text)
		}
	}
}

// hookName returns the name of a hook, "" when it is gone.
func (r *registry) hookName(id string) string {
	for _, h := range r.Snapshot().Hooks {
		if h.ID == id {
			return h.Name
		}
	}
	return ""
}

func with[T any](first, then []T, id func(T) string) []T {
	known := map[string]bool{}
	out := make([]T, 0, len(first)+len(then))
	for _, list := range [][]T{first, then} {
		for _, v := range list {
			if !known[id(v)] {
				known[id(v)] = true
				out = append(out, v)
			}
		}
	}
	return out
}

// resolve returns the secret behind a reference of a header: the access token
// of an application.
func (r *registry) resolve(_ context.Context, ref string) (bridge.Secret, error) {
	for _, a := range r.Snapshot().Applications {
		if ref == hook.TokenRef(a.ID) && a.SourceProvider.AccessToken != "" {
			return a.SourceProvider.AccessToken, nil
		}
	}
	return "", fmt.Errorf("%s is not there: the application was deleted, or has no access token", ref)
}

// permit refuses to send the access token of an application anywhere but to
// the host that the application has now.
func (r *registry) permit(ref, url string) error {
	for _, a := range r.Snapshot().Applications {
		if ref == hook.TokenRef(a.ID) {
			return hook.MayReceive(a, url, r.profiles)
		}
	}
	return nil // resolve says that it is gone
}

// sign returns the signature of a body with the secret of a hook.
func (r *registry) sign(_ context.Context, ref string, body []byte) (string, error) {
	for _, h := range r.Snapshot().Hooks {
		if strings.HasPrefix(ref, "hook:"+h.ID+":") {
			return hook.Sign(ref, h.Secret, body)
		}
	}
	return "", fmt.Errorf("%s is not there: the hook was deleted", ref)
}
