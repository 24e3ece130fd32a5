package dispatch

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"strings"
)

const (
	stars = "***"
	// window is the length of the shortest piece of a secret that must not
	// show.
	window = 8
	// shortest is the length of the shortest secret that is looked for in
	// text: shorter ones would blank out ordinary words.
	shortest = 4
)

// A masker replaces secrets in text that is kept. It works on windows, not on
// whole secrets: any piece of a secret that is at least 8 bytes long is
// replaced, so a body that was cut within a secret, or a target that echoes
// half of one, shows nothing either.
type masker struct {
	windows map[uint64]struct{}
	whole   []string // secrets shorter than a window
}

// add makes m mask secret and the forms in which it usually comes back:
// URL-encoded, JSON- and HTML-escaped, hex, base64 on its own and base64
// within something longer (Basic credentials).
func (m *masker) add(secret string) {
	if len(secret) < shortest {
		return
	}
	for _, form := range forms(secret) {
		m.addForm(form)
	}
}

func (m *masker) addForm(form string) {
	if len(form) < shortest {
		return
	}
	if len(form) < window {
		m.whole = append(m.whole, form)
		return
	}
	if m.windows == nil {
		m.windows = map[uint64]struct{}{}
	}
	for i := 0; i+window <= len(form); i++ {
		m.windows[binary.LittleEndian.Uint64([]byte(form[i:i+window]))] = struct{}{}
	}
}

func forms(secret string) []string {
	quoted, _ := json.Marshal(secret) // a string cannot fail
	list := []string{
		secret,
		url.QueryEscape(secret),
		url.PathEscape(secret),
		strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"),
		strings.Trim(string(quoted), `"`),
		html.EscapeString(secret),
		hex.EncodeToString([]byte(secret)),
		strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		list = append(list, enc.EncodeToString([]byte(secret)))
		// In "user:secret" the secret starts at any of three places within
		// base64's groups. The character it shares with what is before it
		// differs, those after it are always the same.
		for offset := 1; offset <= 2; offset++ {
			text := enc.EncodeToString([]byte(strings.Repeat("\x00", offset) + secret))
			list = append(list, text[offset+1:])
		}
	}
	return list
}

// mask returns s with every secret replaced by ***.
func (m *masker) mask(s string) string {
	for _, short := range m.whole {
		s = strings.ReplaceAll(s, short, stars)
	}
	if len(m.windows) == 0 || len(s) < window {
		return s
	}
	var out strings.Builder
	kept, hidden := 0, -1 // s[:kept] is written; s[:hidden] has to be hidden
	var w uint64
	for i := range len(s) {
		w = w>>8 | uint64(s[i])<<56 // the window that ends here, little-endian
		if i+1 < window {
			continue
		}
		if _, ok := m.windows[w]; !ok {
			continue
		}
		if start := i + 1 - window; start > hidden {
			out.WriteString(s[kept:start])
			out.WriteString(stars)
		}
		kept, hidden = i+1, i+1
	}
	if hidden < 0 {
		return s
	}
	out.WriteString(s[kept:])
	return out.String()
}

// maskURL returns rawURL with secrets masked and the values of query
// parameters whose names say that they are secret replaced.
func (m *masker) maskURL(rawURL string) string {
	base, query, ok := strings.Cut(rawURL, "?")
	if !ok {
		return m.mask(rawURL)
	}
	query, fragment, hasFragment := strings.Cut(query, "#")
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if name, _, ok := strings.Cut(pair, "="); ok && secretName(name) {
			pairs[i] = name + "=" + stars
		}
	}
	masked := base + "?" + strings.Join(pairs, "&")
	if hasFragment {
		masked += "#" + fragment
	}
	return m.mask(masked)
}

// secretNames are words in names of headers and parameters that hold
// credentials.
var secretNames = []string{"token", "secret", "password", "passwd", "auth", "key", "cookie", "signature", "credential", "session"}

func secretName(name string) bool {
	name = strings.ToLower(name)
	if name == "sig" || name == "idempotency-key" {
		return name == "sig"
	}
	for _, word := range secretNames {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// openHeaders are the headers whose values are kept: what is needed to
// understand an answer and never a credential. Of all others only the name is.
var openHeaders = map[string]bool{
	"Accept": true, "Cache-Control": true, "Cf-Ray": true, "Connection": true, "Content-Encoding": true,
	"Content-Length": true, "Content-Type": true, "Date": true, "Etag": true, "Idempotency-Key": true,
	"Link": true, "Private-Token-Expires-At": true, "Retry-After": true, "Server": true, "Transfer-Encoding": true,
	"User-Agent": true, "Vary": true, "Via": true, "Webhook-Id": true, "Webhook-Timestamp": true,
	"Www-Authenticate": true, "X-Accepted-Oauth-Scopes": true, "X-Oauth-Scopes": true, "X-Runtime": true,
}

var openPrefixes = []string{"Ratelimit-", "X-Ratelimit-", "X-Github-", "X-Gitlab-", "X-Gitea-", "X-Request-", "X-Devopness-", "X-Cibridge-"}

// schemes are the words of an Authorization header that may be shown.
var schemes = map[string]bool{"basic": true, "bearer": true, "token": true, "apikey": true, "digest": true}

// maskHeader returns what may be kept of a header.
func (m *masker) maskHeader(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		value := strings.Join(values, ", ")
		switch {
		case openHeader(name):
			out[name] = cut(m.mask(value), 1024)
		case name == "Authorization":
			out[name] = stars
			if scheme, _, ok := strings.Cut(value, " "); ok && schemes[strings.ToLower(scheme)] {
				out[name] = scheme + " " + stars
			}
		default:
			out[name] = stars
		}
	}
	return out
}

func openHeader(name string) bool {
	if openHeaders[name] {
		return true
	}
	for _, p := range openPrefixes {
		if strings.HasPrefix(name, p) {
			return !secretName(name)
		}
	}
	return false
}
