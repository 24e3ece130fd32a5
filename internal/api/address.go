package api

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// address returns who has sent a request: the peer, unless that is a trusted
// proxy. Then it is the last hop of X-Forwarded-For that is none: what stands
// before it was written by somebody whom nobody trusts. It is not valid when
// the peer has no IP address.
func (s *Server) address(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap().WithZone("")
	if !s.trusted(addr) {
		return addr
	}
	// A proxy may add a line of its own instead of extending the last one.
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		before, ok := hopAddress(hop)
		if !ok {
			return addr // the trusted hop behind it is all that is known
		}
		if addr = before; !s.trusted(addr) {
			return addr
		}
	}
	return addr
}

// hopAddress reads an address as proxies write it: with or without a port.
func hopAddress(hop string) (netip.Addr, bool) {
	hop = strings.TrimSpace(hop)
	if addr, err := netip.ParseAddr(strings.Trim(hop, "[]")); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	with, err := netip.ParseAddrPort(hop)
	return with.Addr().Unmap().WithZone(""), err == nil
}

func (s *Server) trusted(addr netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// remote is address as text, "" when there is none.
func (s *Server) remote(r *http.Request) string {
	addr := s.address(r)
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

// tooMany refuses an address that sends more than it may, before anything is
// known of who it is: guessing credentials counts. An IPv6 address stands for
// its /64, of which one customer has all.
func (s *Server) tooMany(r *http.Request) *problem {
	addr := s.address(r)
	if s.cfg.LimitAddress == nil || !addr.IsValid() {
		return nil
	}
	name := addr.String()
	if addr.Is6() {
		name = netip.PrefixFrom(addr, 64).Masked().String()
	}
	wait := s.cfg.LimitAddress(r.Context(), name)
	if wait <= 0 {
		return nil
	}
	return problemf(codeTooMany, "%s sends more than it may; try again in %s", name, wait.Round(time.Second)).after(wait)
}
