package dispatch

import (
	"net/http"
	"net/url"
	"strings"

	"cibridge/internal/redact"
)

// A masker takes secrets out of what is kept of one try: those that the
// request itself uses, those that the server knows, and what the rules of
// package redact find.
type masker struct {
	own   redact.Masker
	known *redact.Redactor // of the server; nil has none
}

// add makes m mask a secret of the request, in all its forms.
func (m *masker) add(secret string) { m.own.Add(secret) }

// mask returns s with every secret replaced by ***.
func (m *masker) mask(s string) string {
	s = m.own.Mask(s)
	if m.known != nil {
		s, _ = m.known.Text(s)
	}
	return s
}

// maskBody is mask for the body of a request or an answer.
func (m *masker) maskBody(contentType, body string) string {
	body = m.own.Mask(body)
	if m.known != nil {
		body, _ = m.known.Body(contentType, []byte(body))
	}
	return body
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
			pairs[i] = name + "=" + redact.Stars
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
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
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
			out[name] = redact.Stars
			if scheme, _, ok := strings.Cut(value, " "); ok && schemes[strings.ToLower(scheme)] {
				out[name] = scheme + " " + redact.Stars
			}
		default:
			out[name] = redact.Stars
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
