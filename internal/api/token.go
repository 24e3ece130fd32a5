package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"

	"cibridge/bridge"
	"cibridge/internal/apikey"
)

// Token opens the operators' routes. Several live at once, so that one can be
// changed after the other; each has a name, which the audit log shows.
type Token struct {
	Name     string
	Secret   bridge.Secret // at least 16 bytes
	ReadOnly bool          // it may look and not change
}

// checkedToken is a token as it is compared.
type checkedToken struct {
	name string
	hash [sha256.Size]byte
	read bool
}

// tokens returns all tokens of a configuration. It refuses weak ones, and two
// of one text: nobody could say who it was.
func (c *Config) tokens() ([]checkedToken, error) {
	all := c.Tokens
	for _, secret := range c.AdminTokens {
		all = append(all, Token{Name: "admin", Secret: secret})
	}
	var out []checkedToken
	seen := map[[sha256.Size]byte]string{}
	for _, t := range all {
		if n := len(t.Secret.Reveal()); n < minAdminToken {
			return nil, fmt.Errorf("the token %q has %d bytes; at least %d are needed: openssl rand -hex 32 makes a good one", t.Name, n, minAdminToken)
		}
		hash := sha256.Sum256([]byte(t.Secret.Reveal()))
		if first, twice := seen[hash]; twice {
			return nil, fmt.Errorf("the tokens %q and %q are the same text", first, t.Name)
		}
		seen[hash] = t.Name
		out = append(out, checkedToken{t.Name, hash, t.ReadOnly})
	}
	return out, nil
}

// tokenOf finds a token. It compares with every one, so that the time tells
// nothing.
func (s *Server) tokenOf(text string) (checkedToken, bool) {
	got, at := sha256.Sum256([]byte(text)), -1
	for i, t := range s.tokens {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(got[:], t.hash[:]), i, at)
	}
	if at < 0 {
		return checkedToken{}, false
	}
	return s.tokens[at], true
}

// isAdmin reports whether a text is a token that may change things.
func (s *Server) isAdmin(text string) bool {
	t, ok := s.tokenOf(text)
	return ok && !t.read
}

// admit lets operators in, those with a read token only to look. API keys of
// sources never open their routes. It returns the name of the token.
func (s *Server) admit(r *http.Request) (actor string, err error) {
	text, _ := bearer(r)
	t, ok := s.tokenOf(text)
	switch {
	case ok && t.read && !reads(r):
		return t.name, problemf(codeForbidden, "the token %q may look and not change anything; use an admin token", t.name)
	case ok:
		return t.name, nil
	}
	detail := "send the admin token: Authorization: Bearer <token>"
	if apikey.Looks(text) {
		detail = "an API key belongs to a source and does not open this route; " + detail
	}
	return nobody, problemf(codeUnauthenticated, "%s", detail).with("WWW-Authenticate", `Bearer realm="cibridge"`)
}
