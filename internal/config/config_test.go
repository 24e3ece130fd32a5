package config

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/diag"
)

func parse(t *testing.T, text string, environ ...string) (*Config, diag.Problems) {
	t.Helper()
	return Parse("c.yaml", []byte(text), environ)
}

func mustParse(t *testing.T, text string, environ ...string) *Config {
	t.Helper()
	c, ps := parse(t, text, environ...)
	if len(ps) > 0 {
		t.Fatalf("problems: %v", ps)
	}
	return c
}

// The example file shows every setting, at its default.
func TestExampleFileIsTheDefault(t *testing.T) {
	c, ps := Load(filepath.Join("..", "..", "configs", "cibridge.yaml"), nil)
	if len(ps) > 0 {
		t.Fatalf("problems: %v", ps)
	}
	c.origins = nil
	if want := Default(); !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", "cibridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	walk(reflect.ValueOf(Default()).Elem(), "", func(path string, f reflect.StructField, _ reflect.Value) {
		key := path[strings.LastIndexByte(path, '.')+1:]
		if !strings.Contains(string(text), key+":") {
			t.Errorf("%s is not in the example", path)
		}
		if env := f.Tag.Get("env"); env != "" && env != "-" && !strings.Contains(string(text), env) {
			t.Errorf("%s of %s is not in the example", env, path)
		}
	})
	for _, typ := range []reflect.Type{reflect.TypeFor[Source](), reflect.TypeFor[Application](), reflect.TypeFor[SourceProvider]()} {
		for _, key := range keys(typ) {
			if !strings.Contains(string(text), key+":") {
				t.Errorf("%s of %s is not in the example", key, typ.Name())
			}
		}
	}
}

// What stands in comments of the example works, too.
func TestExampleComments(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("ghp_abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", "cibridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, tail, _ := strings.Cut(string(text), "# Senders,")
	var yaml strings.Builder
	for line := range strings.Lines(tail) {
		switch {
		case strings.HasPrefix(line, "#   "):
			yaml.WriteString(strings.TrimPrefix(line, "#"))
		case strings.HasPrefix(line, "# Where"):
			yaml.WriteString("applications:\n")
		}
	}
	c := mustParse(t, "sources:\n"+strings.Replace(yaml.String(), "/run/secrets/github_token", secret, 1), "GITHUB_SECRET=it is long enough")
	want := bridge.Source{ID: "github-acme", Mapping: "github-actions", Auth: "hmac", Secrets: []bridge.Secret{"it is long enough"},
		Vars: map[string]any{"team": "shop"}, StaleAfter: (24 * time.Hour).Milliseconds(), ReadOnly: true}
	if got := c.BridgeSources(); len(got) != 2 || !reflect.DeepEqual(got[0], want) || got[1].StaleAfter != (6*time.Hour).Milliseconds() {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	app := bridge.Application{ID: "file:acme", Name: "acme", Repositories: []string{"acme/shop"}, Pipelines: []string{"*"}, Sources: []string{"github-acme"}, ReadOnly: true,
		SourceProvider: bridge.SourceProvider{Name: "github", BaseURL: "https://api.github.com", AccessToken: "ghp_abc"}}
	if got := c.BridgeApplications(); len(got) != 1 || !reflect.DeepEqual(got[0], app) {
		t.Errorf("got %+v\nwant %+v", got, app)
	}
}

func TestFileAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("token from a file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, `
listen: ":9000"
egress_allow: [10.0.0.0/8, 127.0.0.1]
redis:
  url: redis://:${PASSWORD}@localhost/1
  partitions: 8
limits: {body: 2MiB, headers: 32 KiB}
retention: {requests: 1d12h}
dispatch:
  backoff: [10ms, 20ms]
`, "PASSWORD=a$b", "CIBRIDGE_LISTEN=127.0.0.1:7000", "CIBRIDGE_EGRESS_ALLOW= 192.168.0.0/16 , fd00:1::/32", "CIBRIDGE_ADMIN_TOKEN_FILE="+token,
		"CIBRIDGE_DURABILITY=", "CIBRIDGE_MAPPINGS_DIRS=a,b", "CIBRIDGE_MAPPINGS_WATCH=false", "CIBRIDGE_HOOKS_WATCH=false", "CIBRIDGE_PUBLIC_URL=https://ci.acme.example", "CIBRIDGE_LOG_LEVEL=debug", "HOME=/root")
	want := Default()
	want.Listen = "127.0.0.1:7000"
	want.EgressAllow = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}
	want.AdminToken = "token from a file"
	want.Redis.URL, want.Redis.Partitions = "redis://:a$b@localhost/1", 8
	want.Limits.Body, want.Limits.Headers = 2<<20, 32<<10
	want.Retention.Requests = 36 * time.Hour
	want.Dispatch.Backoff = []time.Duration{10 * time.Millisecond, 20 * time.Millisecond}
	want.Mappings.Dirs, want.Mappings.Watch = []string{"a", "b"}, false
	want.Hooks.Watch, want.PublicURL = false, "https://ci.acme.example"
	want.Log.Level = "debug"
	origins := c.origins
	c.origins = nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	c.origins = origins
	for path, want := range map[string]string{
		"listen": "CIBRIDGE_LISTEN", "admin_token": "CIBRIDGE_ADMIN_TOKEN_FILE", "redis.partitions": "c.yaml:6",
		"limits.body": "c.yaml:7", "redis.durability": "default", "dispatch.workers": "default",
	} {
		if got := c.Origin(path); got != want {
			t.Errorf("origin of %s: got %q, want %q", path, got, want)
		}
	}
	shown := fmt.Sprint(c.List())
	for _, s := range []string{"token from", "a$b", "localhost/1"} {
		if strings.Contains(shown, s) || strings.Contains(fmt.Sprintf("%+v %#v", c, c), s) {
			t.Errorf("%q shows", s)
		}
	}
	for _, s := range []string{"{listen 127.0.0.1:7000 CIBRIDGE_LISTEN}", "{admin_token *** CIBRIDGE_ADMIN_TOKEN_FILE}", "{limits.body 2MiB c.yaml:7}", "{retention.requests 36h c.yaml:8}", "{dispatch.backoff 10ms, 20ms c.yaml:10}", "{egress_allow 192.168.0.0/16, fd00:1::/32 CIBRIDGE_EGRESS_ALLOW}", "{sources 0 in the file default}"} {
		if !strings.Contains(shown, s) {
			t.Errorf("%s is not in %s", s, shown)
		}
	}
}

func TestEmptyFiles(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n"} {
		c := mustParse(t, text)
		if c.Listen != Default().Listen {
			t.Errorf("%q: listen %q", text, c.Listen)
		}
	}
	if _, ps := Load(filepath.Join(t.TempDir(), "none.yaml"), nil); len(ps) != 1 || !strings.Contains(ps[0].Message, "there is no such configuration file") {
		t.Errorf("got %v", ps)
	}
}

// Each bad file with its messages: file:line:col, and what to do.
func TestProblems(t *testing.T) {
	tests := []struct {
		name, yaml string
		env        []string
		want       []string // "place: message | help", in order
	}{
		{"misspelt key", "lisen: :8080\n", nil, []string{`c.yaml:1:1: unknown key "lisen" [E120] | did you mean "listen"?`}},
		{"key at the wrong level", "workers: 3\nredis: {durability: strict, workers: 2}\n", nil, []string{
			`c.yaml:1:1: unknown key "workers" [E120] | dispatch.workers is where that goes`,
			`c.yaml:2:29: unknown key "workers" [E120] | dispatch.workers is where that goes`}},
		{"key that is nowhere", "log: {zzz: 1}\n", nil, []string{`c.yaml:1:7: unknown key "zzz" [E120] | there are: format, level`}},
		{"scalar for a section", "redis: localhost\n", nil, []string{`c.yaml:1:8: a mapping is wanted here, this is a value [E121] | it has the keys url, prefix, durability, partitions, max_connections`}},
		{"scalar for a list", "hooks: {dirs: hooks}\n", nil, []string{`c.yaml:1:15: a list is wanted here, this is a value [E121] | write it as [a, b], or one item per line behind a -`}},
		{"list for a scalar", "listen: [a]\n", nil, []string{`c.yaml:1:9: a value is wanted here, this is a list [E121] | `}},
		{"values", "limits: {body: 5 apples, read_timeout: 15}\ndispatch: {workers: many}\nmappings: {builtin: yes}\negress_allow: [10.0.0.0/33]\n", nil, []string{
			`c.yaml:1:16: "5 apples" is not a size; write it like 5MiB, 64KiB or 1048576 [E122] | `,
			`c.yaml:1:40: "15" is not a duration; write it like 15s, 10m, 96h or 7d [E122] | `,
			`c.yaml:2:21: "many" is not a whole number [E122] | `,
			`c.yaml:3:21: "yes" is neither true nor false [E122] | `,
			`c.yaml:4:16: "10.0.0.0/33" is not a prefix; write it like 10.20.0.0/16 or fd00:1::/32 [E122] | `}},
		{"bounds", "dispatch: {workers: 0, timeout: 1h, backoff: [0s]}\nlimits: {body: 1B}\nlog: {level: inf, format: xml}\nlisten: '8080'\nredis: {durability: strickt, prefix: 'a b'}\n", nil, []string{
			`c.yaml:1:21: 0 is not between 1 and 10000 [E122] | `,
			`c.yaml:1:33: 1h is not between 10ms and 5m [E122] | `,
			`c.yaml:1:47: 0s is not between 1ms and 1d [E122] | `,
			`c.yaml:2:16: 1B is not between 1KiB and 1GiB [E122] | `,
			`c.yaml:3:14: "inf" is not one of debug, info, warn, error [E122] | did you mean "info"?`,
			`c.yaml:3:27: "xml" is not one of auto, text, json [E122] | `,
			`c.yaml:4:9: "8080" is not host:port [E122] | write it like 127.0.0.1:8080, or :8080 for every address of this machine`,
			`c.yaml:5:21: "strickt" is not one of strict, replicated, relaxed [E122] | did you mean "strict"?`,
			`c.yaml:5:38: "a b" is not made of letters, digits, : . _ and -, at most 64 of them [E122] | `}},
		{"secrets", "admin_token: ${NOPE}\nencryption_keys: k1:abc\nredis: {url: 'hunter2@localhost'}\n", nil, []string{
			`c.yaml:1:14: the environment variable NOPE is not set [E123] | `,
			`c.yaml:2:18: encryption key 1: the key "k1" has 2 bytes, want 32; make one with: openssl rand -base64 32 [E122] | `,
			`c.yaml:3:14: it does not start with one of redis://, rediss://, unix://, sentinel://, sentinels://, cluster://, clusters:// [E122] | write it like redis://localhost:6379/0`}},
		{"reference outside a secret", "listen: ${ADDR}\n", []string{"ADDR=:1"}, []string{`c.yaml:1:9: references like ${ADDR} are for secrets only [E123] | write the value itself, or leave it out and set CIBRIDGE_LISTEN`}},
		{"odd reference", "admin_token: ${file}\n", nil, []string{`c.yaml:1:14: the environment variable file is not set [E123] | `}},
		{"odder reference", "admin_token: ${a-b}\n", nil, []string{"c.yaml:1:14: ${a-b} is no reference; write ${NAME} for an environment variable or ${file:/path} for a file [E123] | "}},
		{"short token", "admin_token: hunter2\n", nil, []string{`c.yaml:1:14: the admin token has 7 bytes; at least 16 are needed [E122] | openssl rand -hex 32 makes a good one`}},
		{"sources", "sources:\n  - {id: A/b, mapping: x}\n  - {mapping: x}\n  - {id: a, secrets: [short]}\n  - {id: a, mapping: x}\n  - nothing\n  - {id: c, mapping: x, stale_after: 5s}\n", nil, []string{
			`c.yaml:2:10: "A/b" is not made of a-z, 0-9, - . and _, at most 63 of them, with a letter or digit at both ends [E122] | it is part of addresses: /in/<id>`,
			`c.yaml:3:5: sources[1] has no id [E124] | `,
			`c.yaml:4:5: sources[2] has no mapping [E124] | `,
			`c.yaml:4:23: the secret has 5 bytes; at least 8 are needed [E122] | openssl rand -hex 32 makes a good one`,
			`c.yaml:5:10: the source "a" is already in sources[2] [E122] | `,
			`c.yaml:6:5: a mapping is wanted here, this is a value [E121] | it has the keys id, mapping, auth, secrets, vars, stale_after`,
			`c.yaml:7:38: 5s is not at least 1m [E122] | longer than the longest step of a run: 24h`}},
		{"applications", "applications:\n  - {name: a, source_provider: {name: github, base_url: github.com}}\n  - {name: a, source_provider: {base_url: 'https://me:pw@h/'}}\n", nil, []string{
			`c.yaml:2:57: it is not an http or https URL [E122] | write it like https://gitlab.example.com/api/v4`,
			`c.yaml:3:5: applications[1] has no source_provider.name [E124] | `,
			`c.yaml:3:12: the application "a" is already in applications[0] [E122] | `,
			`c.yaml:3:43: credentials do not belong into a URL, where logs show them [E122] | `}},
		{"not YAML", "a: [\n", nil, []string{`c.yaml:1:1: this is not YAML: a value is missing here, or a bracket is not closed [E110] | quote a value that has brackets or commas in it`}},
		{"anchors", "redis: &a {url: x}\n", nil, []string{`c.yaml:1:8: anchors (&a) are not supported [E111] | write the value out where it is needed`}},
		{"environment", "", []string{"CIBRIDGE_LISTEN=x", "CIBRIDGE_EGRESS_ALLOW=1.2.3.4,nope", "CIBRIDGE_LOG_LEVEL=loud", "CIBRIDGE_ADMIN_TOKEN_FILE=/does/not/exist"}, []string{
			`environment: "x" is not host:port [E122] | write it like 127.0.0.1:8080, or :8080 for every address of this machine`,
			`environment: "loud" is not one of debug, info, warn, error [E122] | `,
			`environment: CIBRIDGE_ADMIN_TOKEN_FILE: read the file of a secret: stat /does/not/exist: no such file or directory [E123] | `,
			`environment: CIBRIDGE_EGRESS_ALLOW: "nope" is not a prefix; write it like 10.20.0.0/16 or fd00:1::/32 [E122] | `}},
		{"token twice", "", []string{"CIBRIDGE_ADMIN_TOKEN=0123456789abcdef", "CIBRIDGE_ADMIN_TOKEN_FILE=/x"}, []string{
			`environment: CIBRIDGE_ADMIN_TOKEN: both CIBRIDGE_ADMIN_TOKEN and CIBRIDGE_ADMIN_TOKEN_FILE are set [E123] | unset one of them`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, ps := parse(t, tt.yaml, tt.env...)
			if c != nil {
				t.Error("a configuration with errors was returned")
			}
			got := map[string]int{}
			for _, p := range ps {
				got[p.Error()+" | "+p.Help]++
				if strings.Contains(p.Error()+p.Help, "hunter2") {
					t.Errorf("a secret shows in %v", p)
				}
			}
			for _, w := range tt.want {
				if got[w]--; got[w] < 0 {
					t.Errorf("missing: %s", w)
				}
			}
			for text, n := range got {
				if n > 0 {
					t.Errorf("not expected: %s", text)
				}
			}
		})
	}
}

func TestEnvironmentForgivesTheFile(t *testing.T) {
	c := mustParse(t, "admin_token: ${NOT_SET}\nlisten: nonsense\n", "CIBRIDGE_ADMIN_TOKEN=0123456789abcdef", "CIBRIDGE_LISTEN=:1")
	if c.AdminToken.Reveal() != "0123456789abcdef" || c.Listen != ":1" {
		t.Errorf("got %q %q", c.AdminToken.Reveal(), c.Listen)
	}
}

func TestWarnings(t *testing.T) {
	c, ps := parse(t, "retention: {dedupe: 1h}\negress_allow: [0.0.0.0/0]\nadmin_token: ${CIBRIDGE_MY_TOKEN}\n",
		"CIBRIDGE_LISTN=:1", "CIBRIDGE_SERVER=http://x", "CIBRIDGE_TOKEN=y", "CIBRIDGE_MY_TOKEN=0123456789abcdef")
	if c == nil || len(ps.Errors()) > 0 {
		t.Fatalf("got %v", ps)
	}
	text := ps.Error()
	for _, want := range []string{"c.yaml:1:21: GitHub redelivers for 3d", "c.yaml:2:15: 0.0.0.0/0 lets hooks reach every address", "CIBRIDGE_LISTN is set, but cibridge reads no variable of that name"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if len(ps) != 3 {
		t.Errorf("%d warnings:\n%s", len(ps), text)
	}
}

func TestServeProblems(t *testing.T) {
	ps := mustParse(t, "").ServeProblems()
	if len(ps) != 3 {
		t.Fatalf("got %v, want three problems", ps)
	}
	for i, want := range []string{"CIBRIDGE_REDIS_URL=", "CIBRIDGE_ENCRYPTION_KEYS", "CIBRIDGE_ADMIN_TOKEN"} {
		if !strings.Contains(ps[i].Help, want) {
			t.Errorf("problem %d does not say how to set %s: %+v", i, want, ps[i])
		}
	}
	c := mustParse(t, "", "CIBRIDGE_REDIS_URL=redis://h", "CIBRIDGE_ADMIN_TOKEN=0123456789abcdef",
		"CIBRIDGE_ENCRYPTION_KEYS=k1:"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if ps := c.ServeProblems(); len(ps) > 0 {
		t.Errorf("got %v", ps)
	}
}

func TestValues(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "17": 17, "5MiB": 5 << 20, "64 KiB": 64 << 10, "1GB": 1e9, "3kB": 3000, "8B": 8} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "MiB", "1.5MiB", "9999999999GiB", "5 m"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d", text, got)
		}
	}
	for text, want := range map[string]time.Duration{"0s": 0, "0": 0, "7d": 7 * day, "1d12h": 36 * time.Hour, "96h": 96 * time.Hour, "1900ms": 1900 * time.Millisecond} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "7", "-1s", "d", "1d-1h", "99999999999999d", "1w", "7 d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %v", text, got)
		}
	}
	for _, d := range []time.Duration{0, time.Second, time.Minute, 90 * time.Second, 36 * time.Hour, 7 * day, 1900 * time.Millisecond} {
		if got, err := parseDuration(showDuration(d)); err != nil || got != d {
			t.Errorf("showDuration(%v) = %q, which reads as %v, %v", d, showDuration(d), got, err)
		}
	}
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, empty, large := write("good", "from file\n"), write("empty", "\n"), write("large", strings.Repeat("x", maxSecret+1))
	env := map[string]string{"A": "1", "EMPTY": "", "NESTED": "${A}"}
	for text, want := range map[string]string{"": "", "plain": "plain", "${A}": "1", "a${A}b${A}": "a1b1", "$$": "$", "$${A}": "${A}", "$A": "$A", "${NESTED}": "${A}", "${file:" + good + "}": "from file"} {
		if got, err := Expand(text, env); err != nil || got.Reveal() != want {
			t.Errorf("Expand(%q) = %q, %v; want %q", text, got.Reveal(), err, want)
		}
	}
	for _, text := range []string{"${NOPE}", "${EMPTY}", "${}", "${file:" + empty + "}", "${file:" + large + "}", "${file:" + dir + "}", "${file:/nope}"} {
		if got, err := Expand(text, env); err == nil {
			t.Errorf("Expand(%q) = %q, want an error", text, got.Reveal())
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", "cibridge.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text), "CIBRIDGE_EGRESS_ALLOW=1.2.3.4")
	f.Add("sources: [{}, {id: 1}]\n", "CIBRIDGE_LISTEN=")
	f.Fuzz(func(t *testing.T, text, variable string) {
		if strings.Contains(text+variable, "file") || strings.Contains(variable, "_FILE") {
			return
		}
		c, ps := Parse("f.yaml", []byte(text), []string{variable})
		if (c == nil) != (ps.Err() != nil) {
			t.Errorf("configuration %v with problems %v", c != nil, ps)
		}
	})
}
