package dispatch

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

func TestCheckURL(t *testing.T) {
	none := prefixes()
	private := prefixes("10.0.0.0/8", "127.0.0.0/8", "fd00:1::/32")
	tests := []struct {
		url   string
		allow []netip.Prefix
		deny  string // "" when the URL is fine
	}{
		{"https://api.github.com/repos/a/b", none, ""},
		{"https://api.github.com:443/", none, ""},
		{"HTTPS://API.GITHUB.COM/x", none, ""},
		{"https://api.github.com/repos/{{ run.repo.owner }}/{{ a % b }}", none, ""},
		{"https://gitlab.com?x={{ run.title }}", none, ""},
		{"{{ application.source_provider.base_url }}/repos", none, ""},
		{"https://8.8.8.8/", none, ""},
		{"https://[2606:4700::1111]/", none, ""},
		{"https://xn--mnchen-3ya.de/", none, ""},

		{"http://api.github.com/", none, "use https"},
		{"https://api.github.com:8443/", none, "not 443"},
		{"https://api.github.com:80/", none, "not 443"},
		{"https://api.github.com:0/", none, "port"},
		{"https://api.github.com:99999/", none, "port"},
		{"https://api.github.com:x/", none, "not a host name"},
		{"ftp://api.github.com/", none, "must start with https://"},
		{"api.github.com/x", none, "must start with https://"},
		{"//api.github.com/x", none, "must start with https://"},
		{"", none, "must start with https://"},
		{"https://", none, "not a host name"},
		{"https:///x", none, "not a host name"},
		{"https://user:hunter22@github.com/", none, "credentials"},
		{"https://api.github.com@evil.example/", none, "credentials"},
		{`https://evil.example\@api.github.com/`, none, `a \ in a URL`},
		{"https://münchen.de/", none, "xn--"},
		{"https://exa mple.com/", none, "not a host name"},

		{"http://10.1.2.3:8080/", private, ""},
		{"http://localhost:3000/", private, ""},
		{"http://git.localhost/", private, ""},
		{"http://[fd00:1::7]:3000/", private, ""},
		{"http://gitea.internal:3000/", private, ""}, // the dial decides
		{"http://[::ffff:10.1.2.3]/", private, ""},
		{"http://192.168.1.1/", private, "not a public address"},
		{"http://8.8.8.8/", private, "use https"},
		{"https://8.8.8.8:8443/", private, "not 443"},
		{"http://[::1]/", private, "not a public address"},
		{"http://localhost:3000/", prefixes("::1/128"), ""},
	}
	for _, tt := range tests {
		err := CheckURL(tt.url, tt.allow)
		switch {
		case tt.deny == "" && err != nil:
			t.Errorf("%s: %v", tt.url, err)
		case tt.deny != "" && (err == nil || !strings.Contains(err.Error(), tt.deny)):
			t.Errorf("%s: got %v, want %q", tt.url, err, tt.deny)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter22") || !errors.As(err, new(*DeniedError))) {
			t.Errorf("%s: error %v", tt.url, err)
		}
	}
}

// spellings are ways to write an address that must not be reached.
var spellings = []string{
	"http://127.0.0.1/", "https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://2130706433/",
	"https://0x7f000001/", "https://0x7f.1/", "https://0x7f.0x0.0x0.0x1/", "https://0177.0.0.1/", "https://017700000001/", "https://127.0.0.1./", "https://127.0.0.0x1/",
	"https://0/", "https://0.0.0.0/", "https://0x0/", "https://localhost/", "https://localhost./", "https://LOCALHOST/", "https://x.localhost/",
	"https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/",
	"https://[64:ff9b::127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[64:ff9b:1::7f00:1]/", "https://[2002:7f00:1::]/", "https://[::ffff:0:127.0.0.1]/",
	"https://[fe80::1]/", "https://[fe80::1%25lo]/", "https://[fe80::1%25eth0]/", "http://[fe80::1%25lo]/", "https://[::1%25lo]/",
	"https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.0.1/", "https://100.64.0.1/", "https://198.18.0.1/", "https://192.0.2.1/", "https://224.0.0.1/", "https://255.255.255.255/", "https://240.0.0.1/",
	"https://[fc00::1]/", "https://[fd12:3456::1]/", "https://[ff02::1]/", "https://[2001:db8::1]/", "https://[100::1]/", "https://[fec0::1]/", "https://[5f00::1]/",
	"https://①②⑦.⓪.⓪.①/", "https://127。0。0。1/", "https://127.0.0.1%2f@github.com/", "https://%31%32%37.0.0.1/",
}

// metadataSpellings stay denied even when everything is allowed.
var metadataSpellings = []string{
	"http://169.254.169.254/latest/meta-data/", "https://169.254.169.254/", "http://169.254.170.2/", "http://100.100.100.200/", "http://168.63.129.16/", "http://192.0.0.192/",
	"http://[fd00:ec2::254]/", "http://[fd00:ec2::23]/", "http://[fd20:ce::254]/",
	"http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/", "http://[::169.254.169.254]/", "http://[64:ff9b::169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::1]/", "http://[::ffff:0:a9fe:a9fe]/",
	"http://2852039166/", "http://0xa9fea9fe/", "http://0xa9.0xfe.0xa9.0xfe/", "http://0251.0376.0251.0376/", "http://169.254.43518/", "http://169.16689662/", "http://[fe80::a9fe:a9fe%25lo]/",
}

var everything = prefixes("0.0.0.0/0", "::/0")

func TestBypassSpellings(t *testing.T) {
	for _, u := range spellings {
		if err := CheckURL(u, nil); err == nil {
			t.Errorf("%s passes the check", u)
		}
	}
	for _, u := range metadataSpellings {
		if strings.Contains(u, "fe80") {
			continue // a link-local address, no metadata one
		}
		if err := CheckURL(u, everything); err == nil {
			t.Errorf("%s passes the check when everything is allowed", u)
		}
	}
}

// The early check is a courtesy: the same spellings are sent past it, and the
// dial has to stop them, without a panic.
func TestBypassSpellingsAtTheDial(t *testing.T) {
	tests := []struct {
		allow []netip.Prefix
		urls  []string
	}{{nil, append(spellings, metadataSpellings...)}, {everything, metadataSpellings}}
	for _, tt := range tests {
		c := newClient(newGuard(tt.allow))
		for _, raw := range tt.urls {
			u, err := url.Parse(raw)
			if err != nil || strings.Contains(raw, "fe80") && tt.allow != nil {
				continue
			}
			u.User = nil
			x := c.send(t.Context(), request{method: "GET", url: u, header: http.Header{}, latest: time.Now().Add(time.Minute), timeout: 3 * time.Second})
			if x.Err == nil || x.remote != "" || x.WroteRequest {
				t.Errorf("%s: status %d from %q, error %v", raw, x.Status, x.remote, x.Err)
			}
			// A name that does not resolve cannot be reached either; what
			// resolves must have been refused by the guard, not by luck.
			if !errors.As(x.Err, new(*DeniedError)) && !strings.Contains(x.Err.Error(), "lookup") && !strings.Contains(x.Err.Error(), "no such host") && !strings.Contains(x.Err.Error(), "network is unreachable") {
				t.Errorf("%s: not refused, but %v", raw, x.Err)
			}
		}
		c.close()
	}
}

func TestGuardAddresses(t *testing.T) {
	tests := []struct {
		scheme string
		addr   string
		allow  []netip.Prefix
		ok     bool
	}{
		{"https", "140.82.121.6:443", nil, true},
		{"https", "[2606:50c0:8000::64]:443", nil, true},
		{"http", "140.82.121.6:80", nil, false},
		{"http", "140.82.121.6:443", nil, false},
		{"https", "140.82.121.6:80", nil, false},
		{"https", "140.82.121.6:22", nil, false},
		{"http", "10.20.3.4:3000", prefixes("10.20.0.0/16"), true},
		{"http", "10.21.3.4:3000", prefixes("10.20.0.0/16"), false},
		{"https", "10.21.3.4:443", prefixes("10.20.0.0/16"), false},
		{"http", "[::ffff:10.20.3.4]:3000", prefixes("10.20.0.0/16"), true},
		{"http", "10.20.3.4:3000", prefixes("::ffff:10.20.0.0/112"), true},
		{"http", "10.20.3.4:3000", prefixes("10.20.99.99/16"), true}, // host bits do not matter
		{"http", "140.82.121.6:8080", prefixes("140.82.121.6/32"), true},
		{"http", "[fe80::1%eth0]:80", prefixes("fe80::/10"), true},
		{"http", "0.0.0.0:80", prefixes("127.0.0.0/8"), false},
		{"http", "[::]:80", prefixes("::1/128"), false},
		{"https", "[64:ff9b::8.8.8.8]:443", nil, false},
		{"https", "[64:ff9b::8.8.8.8]:443", prefixes("64:ff9b::/96"), true},
		{"https", "[64:ff9b::a9fe:a9fe]:443", prefixes("64:ff9b::/96"), false},
	}
	for _, tt := range tests {
		err := newGuard(tt.allow).check(tt.scheme, netip.MustParseAddrPort(tt.addr))
		if (err == nil) != tt.ok {
			t.Errorf("%s %s with %v: got %v, want ok %v", tt.scheme, tt.addr, tt.allow, err, tt.ok)
		}
	}
}

func TestRefusalTeaches(t *testing.T) {
	got := newTest(t, func(c *Config) { c.EgressAllow = nil }).Deliver(t.Context(), newLease("http://10.1.2.3:8080/x?token=abcdefgh"))
	want := "target 10.1.2.3:8080 refused: it is not a public address; to permit it set egress_allow (CIBRIDGE_EGRESS_ALLOW) to a prefix such as 10.1.2.3/32"
	if got.Verdict != bridge.VerdictDead || got.Reason != want || got.TargetFailed {
		t.Errorf("got  %s %q\nwant %q", got.Verdict, got.Reason, want)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, u := range append(spellings, metadataSpellings...) {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		// What passes with no allowance names a host that is not an address
		// outside the public ones, in whatever way Go's own parser reads it.
		if CheckURL(raw, nil) != nil || strings.HasPrefix(strings.TrimSpace(raw), "{{") {
			return
		}
		u, err := url.Parse(raw)
		if err != nil {
			return // it is refused when it is sent
		}
		if u.Scheme != "https" || u.User != nil {
			t.Errorf("%q passes as %s://%v@%s", raw, u.Scheme, u.User, u.Host)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()) {
			t.Errorf("%q passes with the host %s", raw, ip)
		}
	})
}
