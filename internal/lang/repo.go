package lang

import (
	"net/url"
	"strings"
)

// Repo is where code lives, read from any spelling of its address.
type Repo struct {
	URL      string // "https://github.com/acme/shop"; without credentials and .git
	Host     string // lower case, with the port of an http address
	Owner    string // "acme", or a group path "acme/web"
	Name     string // "shop"
	FullName string // "acme/shop"
}

// ParseRepo reads a clone or browser address: https://, http://, ssh://,
// git:// or the scp form git@host:owner/name.git. User, password, query and
// fragment are dropped, and of a browser address everything from "/-/" on. ok
// is false when s is no address with at least a host and a name.
func ParseRepo(s string) (repo Repo, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 2048 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return Repo{}, false
	}
	scheme, host, path := splitAddress(s)
	path, _, _ = strings.Cut(path, "/-/")
	path = strings.Trim(path, "/")
	path = strings.TrimSuffix(path, ".git")
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if !hostName(host) || path == "" || path == "." || strings.Contains("/"+path+"/", "/../") {
		return Repo{}, false
	}
	repo = Repo{Host: strings.ToLower(host), FullName: path, Name: path}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		repo.Owner, repo.Name = path[:i], path[i+1:]
	}
	if repo.URL = s; scheme != "https" || !plainAddress(s, repo.Host, path) {
		repo.URL = (&url.URL{Scheme: scheme, Host: repo.Host, Path: "/" + path}).String()
	}
	return repo, true
}

// plainAddress reports whether s is https://host/path with nothing in it that
// is ever written another way. Most are, and url.URL would only write s again.
func plainAddress(s, host, path string) bool {
	rest, ok := strings.CutPrefix(s, "https://")
	return ok && plainText(rest) && len(rest) == len(host)+1+len(path) && rest[:len(host)] == host && rest[len(host)+1:] == path
}

func plainText(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '/' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// hostName reports whether s can be a host, with or without a port.
func hostName(s string) bool {
	return strings.Trim(s, ".:-") != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:", r))
	})
}

// splitAddress returns the scheme for browsers, the host and the path.
func splitAddress(s string) (scheme, host, path string) {
	if !strings.Contains(s, "://") {
		return splitScp(s)
	}
	if rest, ok := strings.CutPrefix(s, "https://"); ok && plainText(rest) {
		host, path, _ = strings.Cut(rest, "/") // what url.Parse finds, too
		return "https", host, path
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", "", ""
	}
	switch u.Scheme {
	case "http", "https":
		return u.Scheme, u.Host, u.Path
	case "ssh", "git", "git+ssh", "ssh+git", "git+https", "git+http":
		// The port is that of ssh or git, not of the pages.
		return "https", u.Hostname(), u.Path
	}
	return "", "", ""
}

// splitScp reads user@host:path, and host/path without any scheme.
func splitScp(s string) (scheme, host, path string) {
	host, path, found := strings.Cut(s, ":")
	if !found || strings.Contains(host, "/") {
		host, path, found = strings.Cut(s, "/")
		if !found || !strings.Contains(host, ".") {
			return "", "", ""
		}
	}
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	} else if !strings.Contains(host, ".") {
		return "", "", "" // some other thing with a colon in it
	}
	// A path could smuggle another host in: user@host:port/… is a port only
	// in ssh://, here it is a path.
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	return "https", host, path
}

func (r Repo) object() map[string]any {
	return map[string]any{"url": r.URL, "host": r.Host, "owner": r.Owner, "name": r.Name, "full_name": r.FullName}
}
