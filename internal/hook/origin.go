package hook

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/provider"
)

// MayReceive reports as an error why the access token of an application must
// not be sent to a URL, or nil. A delivery was planned for the address that the
// application had then: since, it may have moved to another host, with another
// token.
func MayReceive(a bridge.Application, target string, profiles *provider.Profiles) error {
	to, err := url.Parse(target)
	if err != nil {
		return fmt.Errorf("the URL cannot be read")
	}
	sp := a.SourceProvider
	bases := []string{sp.BaseURL}
	if p := profiles.Get(sp.Name); p != nil {
		if base, err := p.Base(sp.BaseURL); err == nil {
			bases = append(bases, base)
		}
	}
	var own []string
	for _, base := range bases {
		if u, err := url.Parse(base); err == nil && u.Host != "" {
			own = append(own, provider.Origin(u))
		}
	}
	if slices.Contains(own, provider.Origin(to)) {
		return nil
	}
	return fmt.Errorf("the access token of application %q is for %s, and no longer for %s", a.Name, strings.Join(slices.Compact(own), " and "), provider.Origin(to))
}
