package provider

import (
	"net/url"
	"strings"
)

// pattern matches the host and path of a URL: "host/segment/…". "*" is any
// host or one segment, "**" any number of segments, "{base}" the base address
// of an application.
type pattern struct {
	host     string
	segments []string
}

const basePlace = "{base}"

func newPattern(text string) pattern {
	host, rest, _ := strings.Cut(text, "/")
	return pattern{host, strings.Split(rest, "/")}
}

func (p pattern) matches(u *url.URL, base string) bool {
	path := u.EscapedPath()
	switch p.host {
	case "*":
	case basePlace:
		rest, ok := below(u, base)
		if !ok {
			return false
		}
		path = rest
	default:
		if !strings.EqualFold(u.Hostname(), p.host) {
			return false
		}
	}
	return matchSegments(p.segments, strings.Split(strings.Trim(path, "/"), "/"))
}

// below returns the escaped path of u below the address base; ok is false when
// u is elsewhere.
func below(u *url.URL, base string) (string, bool) {
	b, err := url.Parse(base)
	if err != nil || base == "" || Origin(b) != Origin(u) {
		return "", false
	}
	prefix := strings.TrimRight(b.EscapedPath(), "/") + "/"
	return strings.CutPrefix(u.EscapedPath(), prefix)
}

func matchSegments(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if want[0] == "**" {
		for i := range len(got) + 1 {
			if matchSegments(want[1:], got[i:]) {
				return true
			}
		}
		return false
	}
	if len(got) == 0 || got[0] == "" || want[0] != "*" && want[0] != got[0] {
		return false
	}
	return matchSegments(want[1:], got[1:])
}

// Origin returns scheme, host and port of u, the port always written out, so
// that two spellings of one origin are equal: "https://api.github.com:443".
func Origin(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + ":" + port
}

// Recognise returns the profile that method and u are a request of, or nil.
// preferred is the name of the provider that the run's application names and
// base its configured base_url; both may be "". Of several profiles that fit
// the preferred one wins, then the first by name.
func (ps *Profiles) Recognise(method string, u *url.URL, preferred, base string) *Profile {
	if p := ps.Get(preferred); p != nil && p.recognises(method, u, base) {
		return p
	}
	for _, name := range ps.names {
		if p := ps.byName[name]; p.recognises(method, u, "") {
			return p
		}
	}
	return nil
}

func (p *Profile) recognises(method string, u *url.URL, configured string) bool {
	if method != p.Method {
		return false
	}
	base := ""
	if configured != "" {
		base, _ = p.Base(configured)
	}
	for _, pat := range p.recognise {
		if pat.matches(u, base) {
			return true
		}
	}
	return false
}
