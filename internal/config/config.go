// Package config reads cibridge's own settings: defaults first, then the
// YAML file, then the environment.
//
// [Config] is the one list of settings. A field's tags say its name in the
// file (yaml) and the environment variable that overrides it (env); decoding,
// the check for unknown keys, the origin of each value and [Config.List] all
// follow from it. configs/cibridge.yaml shows every field with its meaning, and
// a test compares it with [Default].
package config

import (
	"net/netip"
	"time"

	"cibridge/bridge"
)

// Config holds all settings. Relative paths are relative to the working
// directory.
type Config struct {
	Listen string `yaml:"listen" env:"CIBRIDGE_LISTEN"` // host:port
	// PublicURL is where senders reach this server, for people who set one up.
	PublicURL string `yaml:"public_url" env:"CIBRIDGE_PUBLIC_URL"`
	// AdminToken opens the operators' routes. serve requires one.
	AdminToken bridge.Secret `yaml:"admin_token" env:"CIBRIDGE_ADMIN_TOKEN"`
	// AdminListen is where operators are served when that is not Listen:
	// the API, the hooks and /metrics, and nothing else there.
	AdminListen string `yaml:"admin_listen" env:"CIBRIDGE_ADMIN_LISTEN"`
	// ReadToken opens the operators' routes to look and not to change.
	ReadToken bridge.Secret `yaml:"read_token" env:"CIBRIDGE_READ_TOKEN"`
	// Tokens are further ones, each under a name that the audit log shows.
	Tokens []Token `yaml:"tokens" env:"-"`
	// TrustedProxies are believed in what X-Forwarded-For says.
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" env:"CIBRIDGE_TRUSTED_PROXIES"`
	// EncryptionKeys is the ring that seals secrets in Redis: "id:base64,…",
	// the first one is used for new ones. serve requires one.
	EncryptionKeys bridge.Secret `yaml:"encryption_keys" env:"CIBRIDGE_ENCRYPTION_KEYS"`
	DataDir        string        `yaml:"data_dir" env:"CIBRIDGE_DATA_DIR"` // of dev: its Redis and its key
	// EgressAllow lists prefixes that hooks may reach although they are not
	// public; http and any port are permitted there, too.
	EgressAllow []netip.Prefix `yaml:"egress_allow" env:"CIBRIDGE_EGRESS_ALLOW"`

	Redis     Redis     `yaml:"redis"`
	Limits    Limits    `yaml:"limits"`
	Dispatch  Dispatch  `yaml:"dispatch"`
	Retention Retention `yaml:"retention"`
	Mappings  Mappings  `yaml:"mappings"`
	Hooks     Hooks     `yaml:"hooks"`
	Log       Log       `yaml:"log"`

	Sources      []Source      `yaml:"sources" env:"-"`
	Applications []Application `yaml:"applications" env:"-"`

	origins map[string]string // path -> where its value comes from
}

// Redis says where runs are kept.
type Redis struct {
	// URL is a secret because it may hold a password. Empty: dev starts its
	// own Redis, serve refuses.
	URL            bridge.Secret `yaml:"url" env:"CIBRIDGE_REDIS_URL"`
	Prefix         string        `yaml:"prefix" env:"CIBRIDGE_REDIS_PREFIX"`   // before every key
	Durability     string        `yaml:"durability" env:"CIBRIDGE_DURABILITY"` // strict, replicated or relaxed
	Partitions     int           `yaml:"partitions"`                           // fixed at the first start; 0 takes what is there, 16 at first
	MaxConnections int           `yaml:"max_connections"`                      // to one server
}

// Limits bound what a request may cost.
type Limits struct {
	Body          Size          `yaml:"body"`           // of a request
	Headers       Size          `yaml:"headers"`        // of a request
	InFlight      Size          `yaml:"in_flight"`      // bodies of all requests together
	CommitTimeout time.Duration `yaml:"commit_timeout"` // then 503
	ReadTimeout   time.Duration `yaml:"read_timeout"`   // of a whole request
	IdleTimeout   time.Duration `yaml:"idle_timeout"`   // of a kept connection
	DrainDelay    time.Duration `yaml:"drain_delay"`    // between "not ready" and the end of listening
	PerKey        Rate          `yaml:"per_key" env:"CIBRIDGE_LIMITS_PER_KEY"`
	PerAddress    Rate          `yaml:"per_address" env:"CIBRIDGE_LIMITS_PER_ADDRESS"`
}

// Dispatch says how deliveries are sent.
type Dispatch struct {
	Workers     int             `yaml:"workers"`      // requests at a time
	PerBucket   int             `yaml:"per_bucket"`   // of these to one origin with one credential
	Timeout     time.Duration   `yaml:"timeout"`      // of a request, its answer included
	LeaseMargin time.Duration   `yaml:"lease_margin"` // a lease is the request's timeout and this
	Quarantine  time.Duration   `yaml:"quarantine"`   // a lane rests after a request without an answer
	Confirm     time.Duration   `yaml:"confirm"`      // until the re-send that makes sure
	Drain       time.Duration   `yaml:"drain"`        // for requests in flight at the end
	Backoff     []time.Duration `yaml:"backoff"`      // before each retry, ±20%; then a delivery is dead
	Breaker     Breaker         `yaml:"breaker"`
	Limits      []Limit         `yaml:"limits"` // of origins that are known to have some
}

// Limit is what an origin allows each credential.
type Limit struct {
	Origin     string        `yaml:"origin"`
	Requests   int           `yaml:"requests"`   // in Per, on the long run
	Per        time.Duration `yaml:"per"`        // 1m
	Burst      int           `yaml:"burst"`      // of these without a pause
	Concurrent int           `yaml:"concurrent"` // at once, in place of dispatch.per_bucket
}

// Breaker says when a target that fails is left alone.
type Breaker struct {
	Failures int           `yaml:"failures"` // in a row
	Open     time.Duration `yaml:"open"`     // doubles with each further failure
	Longest  time.Duration `yaml:"longest"`
	Alert    time.Duration `yaml:"alert"` // open for so long, it is worth a warning
}

// Retention says how long things are kept.
type Retention struct {
	Requests time.Duration `yaml:"requests"` // what arrived, with its raw body
	Runs     time.Duration `yaml:"runs"`     // after the last event
	Attempts time.Duration `yaml:"attempts"` // the log of what was sent
	Dead     time.Duration `yaml:"dead"`     // deliveries that were given up
	Dedupe   time.Duration `yaml:"dedupe"`   // how long a resent request is recognised
	Parked   time.Duration `yaml:"parked"`   // how long a hook waits for a missing value
}

// Mappings says where formats are described.
type Mappings struct {
	Dirs    []string `yaml:"dirs" env:"CIBRIDGE_MAPPINGS_DIRS"`   // read in addition to those that ship
	Builtin bool     `yaml:"builtin"`                             // those that ship
	Watch   bool     `yaml:"watch" env:"CIBRIDGE_MAPPINGS_WATCH"` // use changed files at once
}

// Hooks says where hook files are.
type Hooks struct {
	Dirs  []string `yaml:"dirs" env:"CIBRIDGE_HOOKS_DIRS"`
	Watch bool     `yaml:"watch" env:"CIBRIDGE_HOOKS_WATCH"` // use changed files at once
}

// Log says what the log looks like.
type Log struct {
	Format string `yaml:"format" env:"CIBRIDGE_LOG_FORMAT"` // auto (text on a terminal, else json), text or json
	Level  string `yaml:"level" env:"CIBRIDGE_LOG_LEVEL"`   // debug, info, warn or error
}

// Token opens the operators' routes.
type Token struct {
	Name  string        `yaml:"name"`
	Token bridge.Secret `yaml:"token"`
	Scope string        `yaml:"scope"` // admin, or read: it may look and not change
}

// The scopes of a [Token].
const (
	ScopeAdmin = "admin"
	ScopeRead  = "read"
)

// Source is a sender. It is [bridge.Source] as people write it.
type Source struct {
	ID      string          `yaml:"id"`
	Mapping string          `yaml:"mapping"`
	Auth    string          `yaml:"auth"`
	Secrets []bridge.Secret `yaml:"secrets"`
	Vars    map[string]any  `yaml:"vars"`
	// StaleAfter is after how long without an event a run that is not over is
	// closed; 0 is never.
	StaleAfter time.Duration `yaml:"stale_after"`
}

// Application is [bridge.Application] as people write it.
type Application struct {
	Name           string         `yaml:"name"`
	Repositories   []string       `yaml:"repositories"`
	Pipelines      []string       `yaml:"pipelines"`
	Sources        []string       `yaml:"sources"`
	Components     []string       `yaml:"components"`
	SourceProvider SourceProvider `yaml:"source_provider"`
}

// SourceProvider is where an application's code lives.
type SourceProvider struct {
	Name        string        `yaml:"name"`
	BaseURL     string        `yaml:"base_url"`
	AccessToken bridge.Secret `yaml:"access_token"`
}

const day = 24 * time.Hour

// Default returns the settings of a server about which nothing is said.
func Default() *Config {
	return &Config{
		Listen:  "127.0.0.1:8080",
		DataDir: ".cibridge",
		Redis:   Redis{Durability: "strict", MaxConnections: 32},
		Limits: Limits{
			Body: 5 << 20, Headers: 64 << 10, InFlight: 64 << 20,
			CommitTimeout: 1900 * time.Millisecond, ReadTimeout: 15 * time.Second, IdleTimeout: time.Minute, DrainDelay: 0,
		},
		Dispatch: Dispatch{
			Workers: 64, PerBucket: 8, Timeout: 10 * time.Second, LeaseMargin: 20 * time.Second,
			Quarantine: 15 * time.Second, Confirm: time.Minute, Drain: 12 * time.Second,
			Backoff: []time.Duration{
				2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second,
				time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
				time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour,
			},
			Breaker: Breaker{Failures: 5, Open: 30 * time.Second, Longest: 10 * time.Minute, Alert: 5 * time.Minute},
			// Rate and burst together stay below what the providers allow.
			Limits: []Limit{
				{Origin: "https://api.github.com", Requests: 60, Per: time.Minute, Burst: 20},
				{Origin: "https://gitlab.com", Requests: 1800, Per: time.Minute, Burst: 200},
				{Origin: "https://api.bitbucket.org", Requests: 800, Per: time.Hour, Burst: 200},
			},
		},
		Retention: Retention{Requests: 7 * day, Runs: 90 * day, Attempts: 30 * day, Dead: 30 * day, Dedupe: 96 * time.Hour, Parked: day},
		Mappings:  Mappings{Builtin: true, Watch: true},
		Hooks:     Hooks{Watch: true},
		Log:       Log{Format: "auto", Level: "info"},
	}
}

// BridgeSources returns the sources of the file, read-only.
func (c *Config) BridgeSources() []bridge.Source {
	out := make([]bridge.Source, len(c.Sources))
	for i, s := range c.Sources {
		out[i] = bridge.Source{ID: s.ID, Mapping: s.Mapping, Auth: s.Auth, Secrets: s.Secrets, Vars: s.Vars, StaleAfter: s.StaleAfter.Milliseconds(), ReadOnly: true}
	}
	return out
}

// BridgeApplications returns the applications of the file, read-only. Their
// ids are their names behind "file:".
func (c *Config) BridgeApplications() []bridge.Application {
	out := make([]bridge.Application, len(c.Applications))
	for i, a := range c.Applications {
		out[i] = bridge.Application{
			ID: "file:" + a.Name, Name: a.Name, Repositories: a.Repositories, Pipelines: a.Pipelines,
			Sources: a.Sources, Components: a.Components, ReadOnly: true,
			SourceProvider: bridge.SourceProvider{Name: a.SourceProvider.Name, BaseURL: a.SourceProvider.BaseURL, AccessToken: a.SourceProvider.AccessToken},
		}
	}
	return out
}
