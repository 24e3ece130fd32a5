package config

import (
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	for _, tt := range []struct {
		text         Rate
		count, burst int
		per          time.Duration
	}{
		{"", 0, 0, 0}, {"50/s", 50, 50, time.Second}, {"600/m", 600, 600, time.Minute}, {"1/h", 1, 1, time.Hour}, {"100/s burst 200", 100, 200, time.Second},
		{"100 / s  burst 5", 100, 5, time.Second},
	} {
		got, err := parseRate(" " + string(tt.text) + " ")
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
		}
		if count, per, burst := got.Limit(); count != tt.count || per != tt.per || burst != tt.burst {
			t.Errorf("%q: %d in %s, burst %d", tt.text, count, per, burst)
		}
	}
	for _, text := range []string{"50", "50/d", "-1/s", "0/s", "1/s burst 0", "1/s burst", "1.5/s", "50 per s", "9999999/s", "99999999999999999999/s", "1/s burst 9999999"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("%q: %q and no error", text, got)
		}
	}
}

func TestGuardSettings(t *testing.T) {
	c := mustParse(t, "tokens:\n  - {name: maren, token: \"${MAREN}\", scope: admin}\ntrusted_proxies: [10.0.0.0/8]\nlimits: {per_key: 5/s}\n",
		"MAREN=0123456789abcdef", "CIBRIDGE_READ_TOKEN=fedcba9876543210", "CIBRIDGE_LIMITS_PER_ADDRESS=9/m burst 3", "CIBRIDGE_LIMITS_PER_KEY=7/s",
		"CIBRIDGE_TRUSTED_PROXIES=192.0.2.1,fd00::/8", "CIBRIDGE_ADMIN_LISTEN=:8081")
	if c.Tokens[0].Token.Reveal() != "0123456789abcdef" || c.ReadToken.Reveal() != "fedcba9876543210" || c.Limits.PerAddress != "9/m burst 3" || c.Limits.PerKey != "7/s" ||
		len(c.TrustedProxies) != 2 || c.TrustedProxies[0].String() != "192.0.2.1/32" || c.AdminListen != ":8081" {
		t.Errorf("got %+v", c)
	}
	for _, p := range c.ServeProblems() {
		if p.Path == "admin_token" {
			t.Errorf("a named admin token is not enough: %v", p)
		}
	}
	for _, p := range mustParse(t, "tokens: [{name: maren, token: 0123456789abcdef, scope: read}]\n").ServeProblems() {
		if p.Path == "admin_token" {
			return
		}
	}
	t.Error("a read token is enough for serve")
}

func TestGuardProblems(t *testing.T) {
	_, ps := parse(t, `listen: :80
admin_listen: :80
admin_token: 0123456789abcdef
read_token: 0123456789abcdef
limits: {per_key: 50, per_address: fast}
trusted_proxies: [0.0.0.0/0]
tokens:
  - {name: admin, token: 0123456789abcdefg, scope: admin}
  - {name: a, token: short, scope: all}
  - {token: 0123456789abcdefh, scope: read}
  - {name: b, scope: read}
  - {name: C!, token: 0123456789abcdef, scope: read}
`)
	got := map[string]bool{}
	for _, p := range ps {
		got[p.Error()+" | "+p.Help] = true
	}
	want := []string{
		`c.yaml:2:15: it is the same address as listen [E122] | leave it out to serve operators there, too`,
		`c.yaml:4:13: it is the same text as admin_token [E122] | whoever has it could change everything`,
		`c.yaml:5:19: "50" is not a rate; write it like 50/s, 600/m or 100/s burst 200 [E122] | `,
		`c.yaml:5:36: "fast" is not a rate; write it like 50/s, 600/m or 100/s burst 200 [E122] | `,
		`c.yaml:6:18: 0.0.0.0/0 lets every sender choose the address that limits and logs see [E122] | name the addresses of your own proxies`,
		`c.yaml:8:12: the name "admin" is taken [E122] | the audit log tells tokens apart by their names`,
		`c.yaml:9:22: the token has 5 bytes; at least 16 are needed [E122] | openssl rand -hex 32 makes a good one`,
		`c.yaml:9:36: "all" is not one of admin, read [E122] | `,
		`c.yaml:10:5: tokens[2] has no name [E124] | `,
		`c.yaml:11:5: tokens[3] has no token [E124] | `,
		`c.yaml:12:12: "C!" is not made of a-z, 0-9, - . and _, at most 63 of them, with a letter or digit at both ends [E122] | `,
		`c.yaml:12:23: it is the same text as read_token [E122] | `,
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("missing: %s", w)
		}
		delete(got, w)
	}
	for text := range got {
		t.Errorf("not expected: %s", text)
	}
}
