package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Health says whether Redis keeps what is promised.
type Health struct {
	OK         bool       `json:"ok"`
	Server     string     `json:"server"` // "redis 7.0.15"
	Durability Durability `json:"durability"`
	// Problems say what is wrong, each with the commands that mend it. A
	// problem of a setting leaves OK false.
	Problems []string `json:"problems,omitempty"`
	// Notes say what the chosen durability does not promise.
	Notes []string `json:"notes,omitempty"`
}

// health is what the last check found.
type health struct {
	mu   sync.Mutex
	last Health
}

// Health asks Redis whether it answers, and reports what the last check of its
// settings found.
func (s *Store) Health(ctx context.Context) Health {
	s.health.mu.Lock()
	h := s.health.last
	s.health.mu.Unlock()
	h.Problems = append([]string(nil), h.Problems...)
	if err := s.read(ctx, "ping", func(p redis.Pipeliner) { p.Ping(ctx) }); err != nil {
		h.Problems = append(h.Problems, err.Error())
	}
	h.OK = len(h.Problems) == 0
	return h
}

// setting is one that a durability needs.
type setting struct {
	name, want string
	why        string
}

var strictSettings = []setting{
	{"appendonly", "yes", "without the append-only file nothing survives a restart"},
	{"appendfsync", "always", "with everysec or no the last seconds of acknowledged events are lost when Redis is killed"},
	{"no-appendfsync-on-rewrite", "no", "with yes nothing is synced while the file is rewritten"},
	{"maxmemory-policy", "noeviction", "any other policy may evict a queued delivery: a silent loss"},
}

// evictionSettings are needed by every durability.
var evictionSettings = strictSettings[3:]

// replicaSettings are needed by Replicated beside those of Strict.
var replicaSettings = []setting{
	{"min-replicas-to-write", "1", "without a replica there is only one copy"},
}

// checkServer asks for version and settings. At the start a violation is an
// error; later it is shown by Health.
func (s *Store) checkServer(ctx context.Context) error {
	var clock *redis.TimeCmd
	if err := s.read(ctx, "ask for the time", func(p redis.Pipeliner) { clock = p.Time(ctx) }); err != nil {
		return err
	}
	s.queue.saw(clock.Val().UnixMilli())
	info, err := s.rdb.Info(ctx, "server").Result()
	if notSent(err) {
		return unavailable("ask for the version", err)
	}
	kind, version := serverOf(info) // unknown on a server that does not say
	h := Health{Server: strings.TrimSpace(kind + " " + version), Durability: s.cfg.Durability}
	if version != "" && !atLeast(version, 7, 0) {
		return fmt.Errorf("%s is too old: Redis 7.0 or newer, or Valkey, is needed", h.Server)
	}
	h.Problems, err = s.violations(ctx, kind, version)
	if err != nil {
		return err
	}
	if s.cfg.Durability == Relaxed {
		h.Notes = append(h.Notes, "durability is relaxed: the last seconds of acknowledged events may be lost when Redis is killed")
	}
	s.health.mu.Lock()
	s.health.last = h
	s.health.mu.Unlock()
	if len(h.Problems) == 0 {
		return nil
	}
	return fmt.Errorf("durability %s cannot be kept by this %s:\n  %s", s.cfg.Durability, h.Server, strings.Join(h.Problems, "\n  "))
}

// serverOf reads kind and version out of INFO server.
func serverOf(info string) (kind, version string) {
	f := map[string]string{}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		f[name] = value
	}
	if v := f["valkey_version"]; v != "" {
		return "valkey", v
	}
	return "redis", f["redis_version"]
}

// atLeast compares the first two numbers of a version.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	a, _ := strconv.Atoi(parts[0])
	b := 0
	if len(parts) > 1 {
		b, _ = strconv.Atoi(parts[1])
	}
	return a > major || a == major && b >= minor
}

// violations lists what has to change for the durability.
func (s *Store) violations(ctx context.Context, kind, version string) ([]string, error) {
	need := evictionSettings
	switch s.cfg.Durability {
	case Strict:
		need = strictSettings
	case Replicated:
		need = append(append([]setting(nil), strictSettings...), replicaSettings...)
		if kind == "redis" && !atLeast(version, 7, 2) {
			return []string{fmt.Sprintf("replicated needs WAITAOF, which Redis has since 7.2; this is %s: upgrade it, or use durability strict", version)}, nil
		}
		if _, ok := s.rdb.(*redis.ClusterClient); ok {
			return []string{"replicated is for one primary (alone or with Sentinel), not for a cluster: use durability strict"}, nil
		}
	case Relaxed:
	default:
		return []string{fmt.Sprintf("durability %q is not one of strict, replicated, relaxed", s.cfg.Durability)}, nil
	}
	var problems []string
	for _, st := range need {
		got, err := s.rdb.ConfigGet(ctx, st.name).Result()
		if err != nil {
			if notSent(err) {
				return nil, err
			}
			if s.cfg.Durability == Relaxed {
				return nil, nil // a server without CONFIG: nothing is promised
			}
			return append(problems, fmt.Sprintf("the settings cannot be read (%v): allow CONFIG GET, or use durability relaxed if you know that the server keeps what it acknowledges", err)), nil
		}
		if have := got[st.name]; !st.met(have) {
			problems = append(problems, fmt.Sprintf("%s is %q, want %q: %s. Fix it with: redis-cli CONFIG SET %s %s (and in redis.conf: %s %s)",
				st.name, have, st.want, st.why, st.name, st.want, st.name, st.want))
		}
	}
	return problems, nil
}

// met reports whether a value is as wanted: numbers are at least.
func (st setting) met(have string) bool {
	want, err := strconv.Atoi(st.want)
	if err != nil {
		return have == st.want
	}
	n, err := strconv.Atoi(have)
	return err == nil && n >= want
}
