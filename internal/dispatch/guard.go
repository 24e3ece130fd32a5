package dispatch

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// A DeniedError says why a target may not be reached. It is never worth a
// retry: only a change of the hook or of the configuration helps.
type DeniedError struct {
	Target string // the address or URL part that was refused
	Reason string // for people, with what to do about it
}

// Error returns the target and the reason.
func (e *DeniedError) Error() string { return "target " + e.Target + " refused: " + e.Reason }

// metadata lists the addresses where clouds hand out credentials to whoever
// asks. They stay denied even when a wider prefix is allowed: no hook has
// business there.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),     // AWS, GCP, Azure, ECS tasks, DigitalOcean, OpenStack
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's wire server: a public address
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // GCP
}

// Prefixes of IPv6 addresses that carry an IPv4 address, and where it starts.
var carriers = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64, RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},  // local NAT64, RFC 8215, /96 form
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4, RFC 3056
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible, RFC 4291
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // IPv4-translated, RFC 2765
}

// guard decides which addresses may be dialled.
type guard struct {
	allow  []netip.Prefix // unmapped
	public *ssrf.Guardian // special-purpose registries of the IANA; ports are ours
}

func newGuard(allow []netip.Prefix) *guard {
	g := &guard{public: ssrf.New(ssrf.WithAnyPort())}
	for _, p := range allow {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		if p.IsValid() {
			g.allow = append(g.allow, p.Masked())
		}
	}
	return g
}

// check reports why addr may not be dialled for a URL of that scheme, or nil.
// addr is what the name resolved to.
func (g *guard) check(scheme string, addr netip.AddrPort) error {
	ip := addr.Addr().WithZone("").Unmap()
	deny := func(format string, args ...any) error {
		return &DeniedError{Target: addr.String(), Reason: fmt.Sprintf(format, args...)}
	}
	if isMetadata(ip) {
		return deny("cloud metadata addresses are never reachable")
	}
	if contains(g.allow, ip) {
		return nil
	}
	hint := fmt.Sprintf("; to permit it set egress_allow (CIBRIDGE_EGRESS_ALLOW) to a prefix such as %s", netip.PrefixFrom(ip, ip.BitLen()))
	if ip.IsUnspecified() || ip.IsMulticast() {
		hint = ""
	}
	if err := g.public.SafeAddr(ip); err != nil {
		return deny("it is not a public address%s", hint)
	}
	if scheme != "https" {
		return deny("http would send the token in clear text, use https%s", hint)
	}
	if addr.Port() != 443 {
		return deny("port %d is not 443%s", addr.Port(), hint)
	}
	return nil
}

// control returns the Dialer.Control that checks every address of a name
// after it was resolved, so that a name which changes between check and
// connection (DNS rebinding) gains nothing.
func (g *guard) control(scheme string) func(network, address string, _ syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		addr, err := netip.ParseAddrPort(address)
		if err != nil {
			return &DeniedError{Target: address, Reason: "it is not an IP address and port"}
		}
		return g.check(scheme, addr)
	}
}

func isMetadata(ip netip.Addr) bool {
	if contains(metadata, ip) {
		return true
	}
	if !ip.Is6() {
		return false
	}
	raw := ip.As16()
	for _, c := range carriers {
		if c.prefix.Contains(ip) && contains(metadata, netip.AddrFrom4([4]byte(raw[c.at:c.at+4]))) {
			return true
		}
	}
	return false
}

func contains(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// CheckURL reports as a *DeniedError why cibridge would never send to rawURL,
// or nil. It looks at the origin only (scheme, host, port), so rawURL may be a
// template whose origin is literal; one that starts with "{{" is checked where
// that base URL is configured. allow is the same list as [Config.EgressAllow].
//
// It is an early, friendly answer for whoever creates a hook. Names are not
// resolved here: what they resolve to is checked at every dial.
func CheckURL(rawURL string, allow []netip.Prefix) error {
	if strings.HasPrefix(strings.TrimSpace(rawURL), "{{") {
		return nil
	}
	return newGuard(allow).checkURL(rawURL)
}

func (g *guard) checkURL(rawURL string) error {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "https" && scheme != "http" {
		return &DeniedError{Target: strconv.Quote(origin(rawURL)), Reason: "the URL must start with https://"}
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#\\"); i >= 0 {
		authority = rest[:i]
		if rest[i] == '\\' {
			return &DeniedError{Target: strconv.Quote(origin(rawURL)), Reason: `a \ in a URL is read differently by different programs, use /`}
		}
	}
	if strings.Contains(authority, "@") {
		return &DeniedError{Target: scheme + "://***@" + authority[strings.LastIndexByte(authority, '@')+1:],
			Reason: "credentials do not belong into a URL, where logs show them; use a request header"}
	}
	u, err := url.Parse(scheme + "://" + authority)
	if err != nil || u.Hostname() == "" {
		return &DeniedError{Target: strconv.Quote(authority), Reason: "it is not a host name or host:port"}
	}
	port := map[string]uint64{"https": 443, "http": 80}[scheme]
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return &DeniedError{Target: authority, Reason: "the port is not between 1 and 65535"}
		}
	}
	return g.checkHost(scheme, u.Hostname(), uint16(port))
}

func (g *guard) checkHost(scheme, host string, port uint16) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.check(scheme, netip.AddrPortFrom(ip, port))
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	last := name[strings.LastIndexByte(name, '.')+1:]
	if name == "" || strings.ContainsAny(name, ":%[] ") || !isASCII(name) {
		return &DeniedError{Target: strconv.Quote(host), Reason: "it is not a host name; write international names in their xn-- form"}
	}
	// A last label of digits or 0x… makes some resolvers read the whole name
	// as an IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1 (WHATWG URL, host
	// parser, "ends in a number").
	if _, err := strconv.ParseUint(strings.TrimPrefix(last, "0x"), 16, 64); strings.HasPrefix(last, "0x") && (err == nil || last == "0x") || allDigits(last) {
		return &DeniedError{Target: host, Reason: "it is an unusual spelling of an IP address; write it as four decimal numbers or as a name"}
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		if g.check(scheme, netip.AddrPortFrom(netip.IPv6Loopback(), port)) == nil {
			return nil
		}
		return g.check(scheme, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
	}
	if len(g.allow) > 0 {
		return nil // it may resolve into an allowed prefix: the dial decides
	}
	public := netip.AddrFrom4([4]byte{1, 1, 1, 1}) // stands for "a public address": only scheme and port matter
	if err := g.check(scheme, netip.AddrPortFrom(public, port)); err != nil {
		denied := &DeniedError{Reason: err.Error()}
		errors.As(err, &denied)
		reason, _, _ := strings.Cut(denied.Reason, ";")
		return &DeniedError{Target: net.JoinHostPort(host, strconv.Itoa(int(port))),
			Reason: reason + "; http and other ports need the target's address in egress_allow (CIBRIDGE_EGRESS_ALLOW)"}
	}
	return nil
}

// origin returns what comes before the path, for messages: the rest of a URL
// may hold a token.
func origin(rawURL string) string {
	head, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		head, _, _ = strings.Cut(rawURL, "/")
		if len(head) > 60 {
			head = head[:60]
		}
		return head
	}
	if i := strings.IndexAny(rest, "/?#\\"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = "***@" + rest[i+1:]
	}
	return head + "://" + rest
}

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 || s[i] <= ' ' {
			return false
		}
	}
	return true
}
