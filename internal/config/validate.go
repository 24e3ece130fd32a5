package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/seal"
	"cibridge/internal/yamldoc"
)

const (
	// minAdminToken is the length of the shortest admin token, in bytes.
	minAdminToken = 16
	// minSecret is the length of the shortest secret of a source, in bytes.
	minSecret = 8
	// redelivery is how long senders send again: GitHub for three days, on
	// request. docs.github.com, "Redelivering webhooks".
	redelivery = 72 * time.Hour
)

var (
	sourceID = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
	prefix   = regexp.MustCompile(`^[A-Za-z0-9:._-]{0,64}$`)
)

var redisSchemes = []string{"redis", "rediss", "unix", "sentinel", "sentinels", "cluster", "clusters"}

// validator collects what is wrong with values that could be read.
type validator struct {
	doc *yamldoc.Node
	d   *decoder
	out diag.Problems
}

// validate returns everything that is wrong with c, at the places where it
// was set.
func (c *Config) validate(doc *yamldoc.Node, d *decoder) diag.Problems {
	v := &validator{doc: doc, d: d}
	v.server(c)
	v.redis(c.Redis)
	v.numbers(c)
	v.sources(c.Sources)
	v.applications(c.Applications)
	return v.out
}

func (v *validator) add(path, help, format string, args ...any) {
	if v.d.failed[path] {
		return // it was said already
	}
	p := diag.Problem{Path: path, Severity: diag.SeverityError}
	if n := find(v.doc, path); n != nil {
		p = n.Problem(CodeValue, "")
	}
	if origin := v.d.origins[path]; strings.HasPrefix(origin, "CIBRIDGE_") {
		p = diag.Problem{File: envFile, Path: origin, Severity: diag.SeverityError}
	}
	p.Code, p.Help, p.Message = CodeValue, help, fmt.Sprintf(format, args...)
	v.out = append(v.out, p)
}

func (v *validator) warn(path, help, format string, args ...any) {
	before := len(v.out)
	v.add(path, help, format, args...)
	for i := range v.out[before:] {
		v.out[before+i].Severity = diag.SeverityWarning
	}
}

func (v *validator) server(c *Config) {
	v.address("listen", c.Listen, true)
	if c.PublicURL != "" {
		v.webURL("public_url", c.PublicURL, "https://ci.acme.example")
	}
	if n := len(c.AdminToken); n > 0 && n < minAdminToken {
		v.add("admin_token", "openssl rand -hex 32 makes a good one", "the admin token has %d bytes; at least %d are needed", n, minAdminToken)
	}
	v.address("admin_listen", c.AdminListen, false)
	if c.AdminListen != "" && c.AdminListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		v.add("admin_listen", "leave it out to serve operators there, too", "it is the same address as listen")
	}
	for _, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			v.warn("trusted_proxies", "name the addresses of your own proxies", "%s lets every sender choose the address that limits and logs see", p)
		}
	}
	if n := len(c.ReadToken); n > 0 && n < minAdminToken {
		v.add("read_token", "openssl rand -hex 32 makes a good one", "the token has %d bytes; at least %d are needed", n, minAdminToken)
	}
	v.tokens(c)
	if c.EncryptionKeys != "" {
		if _, err := seal.ParseRing(c.EncryptionKeys.Reveal()); err != nil {
			v.add("encryption_keys", "", "%v", err)
		}
	}
	for _, p := range c.EgressAllow {
		if p.Bits() == 0 {
			v.warn("egress_allow", "name the networks of your own servers", "%s lets hooks reach every address and send tokens in clear text", p)
		}
	}
	v.limits(c.Dispatch.Limits)
	v.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
}

// tokens checks the named tokens, and that no two tokens are the same text.
func (v *validator) tokens(c *Config) {
	names := map[string]bool{"admin": true, "read": true, "nobody": true}
	texts := map[bridge.Secret]string{c.AdminToken: "admin_token"}
	if twin := texts[c.ReadToken]; twin != "" && c.ReadToken != "" {
		v.add("read_token", "whoever has it could change everything", "it is the same text as %s", twin)
	}
	texts[c.ReadToken] = "read_token"
	for i, t := range c.Tokens {
		at := fmt.Sprintf("tokens[%d]", i)
		switch {
		case t.Name == "":
			v.missing(at, "name")
		case names[t.Name]:
			v.add(at+".name", "the audit log tells tokens apart by their names", "the name %q is taken", t.Name)
		case !sourceID.MatchString(t.Name):
			v.add(at+".name", "", "%q is not made of a-z, 0-9, - . and _, at most 63 of them, with a letter or digit at both ends", t.Name)
		}
		names[t.Name] = true
		switch n := len(t.Token); {
		case n == 0:
			v.missing(at, "token")
		case n < minAdminToken:
			v.add(at+".token", "openssl rand -hex 32 makes a good one", "the token has %d bytes; at least %d are needed", n, minAdminToken)
		case texts[t.Token] != "":
			v.add(at+".token", "", "it is the same text as %s", texts[t.Token])
		}
		texts[t.Token] = at + ".token"
		v.oneOf(at+".scope", t.Scope, ScopeAdmin, ScopeRead)
	}
}

func (v *validator) redis(r Redis) {
	v.oneOf("redis.durability", r.Durability, "strict", "replicated", "relaxed")
	if r.URL != "" {
		// The URL may hold a password: it is never quoted.
		scheme, rest, ok := strings.Cut(r.URL.Reveal(), "://")
		if !ok || rest == "" || !slices.Contains(redisSchemes, scheme) {
			v.add("redis.url", "write it like redis://localhost:6379/0", "it does not start with one of %s://", strings.Join(redisSchemes, "://, "))
		}
	}
	if !prefix.MatchString(r.Prefix) {
		v.add("redis.prefix", "", "%q is not made of letters, digits, : . _ and -, at most 64 of them", r.Prefix)
	}
	if r.Partitions < 0 || r.Partitions > 1024 {
		v.add("redis.partitions", "", "%d is not between 0 and 1024", r.Partitions)
	}
}

// numbers checks bounds: one line per number.
func (v *validator) numbers(c *Config) {
	const forever = 100 * 365 * day
	for _, n := range []struct {
		path         string
		is, min, max int64
	}{
		{"redis.max_connections", int64(c.Redis.MaxConnections), 1, 10_000},
		{"dispatch.workers", int64(c.Dispatch.Workers), 1, 10_000},
		{"dispatch.per_bucket", int64(c.Dispatch.PerBucket), 1, 10_000},
		{"dispatch.breaker.failures", int64(c.Dispatch.Breaker.Failures), 1, 1_000_000},
	} {
		if n.is < n.min || n.is > n.max {
			v.add(n.path, "", "%d is not between %d and %d", n.is, n.min, n.max)
		}
	}
	for _, s := range []struct {
		path         string
		is, min, max Size
	}{
		{"limits.body", c.Limits.Body, 1 << 10, 1 << 30},
		{"limits.headers", c.Limits.Headers, 4 << 10, 1 << 20},
		{"limits.in_flight", c.Limits.InFlight, 1 << 10, 1 << 40},
	} {
		if s.is < s.min || s.is > s.max {
			v.add(s.path, "", "%s is not between %s and %s", s.is, s.min, s.max)
		}
	}
	const ms = time.Millisecond
	for _, t := range []struct {
		path         string
		is, min, max time.Duration
	}{
		{"limits.commit_timeout", c.Limits.CommitTimeout, 50 * ms, time.Minute},
		{"limits.read_timeout", c.Limits.ReadTimeout, 100 * ms, time.Hour},
		{"limits.idle_timeout", c.Limits.IdleTimeout, 100 * ms, time.Hour},
		{"limits.drain_delay", c.Limits.DrainDelay, 0, 10 * time.Minute},
		{"dispatch.timeout", c.Dispatch.Timeout, 10 * ms, 5 * time.Minute},
		{"dispatch.lease_margin", c.Dispatch.LeaseMargin, 100 * ms, 10 * time.Minute},
		{"dispatch.quarantine", c.Dispatch.Quarantine, ms, time.Hour},
		{"dispatch.confirm", c.Dispatch.Confirm, ms, time.Hour},
		{"dispatch.drain", c.Dispatch.Drain, ms, 10 * time.Minute},
		{"dispatch.breaker.open", c.Dispatch.Breaker.Open, ms, day},
		{"dispatch.breaker.longest", c.Dispatch.Breaker.Longest, c.Dispatch.Breaker.Open, 7 * day},
		{"dispatch.breaker.alert", c.Dispatch.Breaker.Alert, ms, 7 * day},
		{"retention.requests", c.Retention.Requests, time.Second, forever},
		{"retention.runs", c.Retention.Runs, time.Second, forever},
		{"retention.attempts", c.Retention.Attempts, time.Second, forever},
		{"retention.dead", c.Retention.Dead, time.Second, forever},
		{"retention.dedupe", c.Retention.Dedupe, time.Second, forever},
		{"retention.parked", c.Retention.Parked, time.Second, 30 * day},
	} {
		if t.is < t.min || t.is > t.max {
			v.add(t.path, "", "%s is not between %s and %s", showDuration(t.is), showDuration(t.min), showDuration(t.max))
		}
	}
	if c.Retention.Dedupe < redelivery {
		v.warn("retention.dedupe", "keep it at 96h", "GitHub redelivers for %s; within that time a resent request should be recognised", showDuration(redelivery))
	}
	if len(c.Dispatch.Backoff) == 0 {
		v.add("dispatch.backoff", "leave it out for the default", "there is no retry in it")
	}
	for i, d := range c.Dispatch.Backoff {
		if d < ms || d > day {
			v.add(fmt.Sprintf("dispatch.backoff[%d]", i), "", "%s is not between 1ms and 1d", showDuration(d))
		}
	}
}

func (v *validator) limits(list []Limit) {
	seen := map[string]int{}
	for i, l := range list {
		at := fmt.Sprintf("dispatch.limits[%d]", i)
		u, err := url.Parse(l.Origin)
		first, twice := seen[l.Origin]
		switch {
		case l.Origin == "":
			v.missing(at, "origin")
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
			v.add(at+".origin", "write it like https://api.github.com", "%q is not scheme and host", l.Origin)
		case twice:
			v.add(at+".origin", "", "the origin %q is already in dispatch.limits[%d]", l.Origin, first)
		default:
			seen[l.Origin] = i
		}
		if l.Requests == 0 && l.Concurrent == 0 {
			v.add(at, "say how many requests in which time: requests: 60, per: 1m", "it limits nothing")
		}
		for _, n := range []struct {
			path     string
			is, most int
		}{{"requests", l.Requests, 1_000_000}, {"burst", l.Burst, 1_000_000}, {"concurrent", l.Concurrent, 10_000}} {
			if n.is < 0 || n.is > n.most {
				v.add(at+"."+n.path, "", "%d is not between 0 and %d", n.is, n.most)
			}
		}
		if l.Per != 0 && (l.Per < time.Second || l.Per > day) {
			v.add(at+".per", "", "%s is not between 1s and 1d", showDuration(l.Per))
		}
	}
}

func (v *validator) sources(list []Source) {
	seen := map[string]int{}
	for i, s := range list {
		at := fmt.Sprintf("sources[%d]", i)
		switch first, twice := seen[s.ID]; {
		case s.ID == "":
			v.missing(at, "id")
		case !sourceID.MatchString(s.ID):
			v.add(at+".id", "it is part of addresses: /in/<id>", "%q is not made of a-z, 0-9, - . and _, at most 63 of them, with a letter or digit at both ends", s.ID)
		case twice:
			v.add(at+".id", "", "the source %q is already in sources[%d]", s.ID, first)
		default:
			seen[s.ID] = i
		}
		if s.Mapping == "" {
			v.missing(at, "mapping")
		}
		if d := s.StaleAfter; d != 0 && d < time.Minute {
			v.add(at+".stale_after", "longer than the longest step of a run: 24h", "%s is not at least 1m", showDuration(d))
		}
		for j, secret := range s.Secrets {
			if n := len(secret); n < minSecret {
				v.add(fmt.Sprintf("%s.secrets[%d]", at, j), "openssl rand -hex 32 makes a good one", "the secret has %d bytes; at least %d are needed", n, minSecret)
			}
		}
	}
}

func (v *validator) applications(list []Application) {
	seen := map[string]int{}
	for i, a := range list {
		at := fmt.Sprintf("applications[%d]", i)
		switch first, twice := seen[a.Name]; {
		case a.Name == "":
			v.missing(at, "name")
		case twice:
			v.add(at+".name", "", "the application %q is already in applications[%d]", a.Name, first)
		default:
			seen[a.Name] = i
		}
		if a.SourceProvider.Name == "" {
			v.missing(at, "source_provider.name")
		}
		if a.SourceProvider.BaseURL != "" {
			v.webURL(at+".source_provider.base_url", a.SourceProvider.BaseURL, "https://gitlab.example.com/api/v4")
		}
	}
}

// missing says that the object at a path lacks a key, at the object's place.
func (v *validator) missing(at, key string) {
	if v.d.failed[at] || v.d.failed[at+"."+key] {
		return // it was said already
	}
	p := diag.Problem{Severity: diag.SeverityError}
	if n := find(v.doc, at); n != nil {
		p = n.Problem(CodeMissing, "")
	}
	p.Path, p.Code, p.Message = at+"."+key, CodeMissing, fmt.Sprintf("%s has no %s", at, key)
	v.out = append(v.out, p)
}

func (v *validator) oneOf(path, value string, words ...string) {
	if slices.Contains(words, value) {
		return
	}
	help := ""
	if near := diag.Nearest(value, words); near != "" {
		help = fmt.Sprintf("did you mean %q?", near)
	}
	v.add(path, help, "%q is not one of %s", value, strings.Join(words, ", "))
}

func (v *validator) address(path, value string, needed bool) {
	if value == "" && !needed {
		return
	}
	_, port, err := net.SplitHostPort(value)
	if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil {
		v.add(path, "write it like 127.0.0.1:8080, or :8080 for every address of this machine", "%q is not host:port", value)
	}
}

func (v *validator) webURL(path, value, example string) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		v.add(path, "write it like "+example, "it is not an http or https URL")
	case u.User != nil:
		v.add(path, "", "credentials do not belong into a URL, where logs show them")
	case u.RawQuery != "" || u.Fragment != "":
		v.add(path, "", "it must end with its path, without ? and #")
	}
}

// find returns the node at a path such as "sources[0].secrets[1]", or nil.
func find(n *yamldoc.Node, path string) *yamldoc.Node {
	for _, key := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if n == nil {
			return nil
		}
		if i, err := strconv.Atoi(key); err == nil {
			if i >= len(n.Items) {
				return nil
			}
			n = n.Items[i]
			continue
		}
		n = n.Get(key)
	}
	return n
}

// ServeProblems lists what serve needs and c does not have, each with the way
// to mend it. dev needs none of it.
func (c *Config) ServeProblems() diag.Problems {
	var out diag.Problems
	admin := c.AdminToken
	for _, t := range c.Tokens {
		if t.Scope == ScopeAdmin {
			admin = t.Token
		}
	}
	for _, need := range []struct {
		path  string
		value bridge.Secret
		what  string
		help  string
	}{
		{"redis.url", c.Redis.URL, "the address of Redis", "set CIBRIDGE_REDIS_URL=redis://localhost:6379 (or redis.url in the file); to try cibridge without Redis use: cibridge dev"},
		{"encryption_keys", c.EncryptionKeys, "a key to encrypt the secrets in Redis", `set CIBRIDGE_ENCRYPTION_KEYS, once made with: echo "k1:$(openssl rand -base64 32)"; keep it: without it the secrets in Redis cannot be read`},
		{"admin_token", admin, "an admin token", "set CIBRIDGE_ADMIN_TOKEN, once made with: openssl rand -hex 32"},
	} {
		if need.value == "" {
			out = append(out, diag.Problem{Path: need.path, Code: CodeMissing, Severity: diag.SeverityError, Message: "serve needs " + need.what, Help: need.help})
		}
	}
	return out
}
