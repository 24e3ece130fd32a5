package api

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
	"cibridge/internal/apikey"
)

// keyShape is an API key as operators see it. Key is there only in the answer
// that creates it.
type keyShape struct {
	Key        string   `json:"key,omitempty"`
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Source     string   `json:"source"`
	Account    bool     `json:"account"`
	Components []string `json:"components"`
	Status     string   `json:"status"` // active, suspended or expired
	ExpiresAt  *string  `json:"expires_at"`
	CreatedAt  *string  `json:"created_at"`
	LastUsed   *string  `json:"last_used"`
}

func (s *Server) keyShape(k bridge.Key) keyShape {
	status := "active"
	switch {
	case k.Suspended:
		status = "suspended"
	case s.expired(k):
		status = "expired"
	}
	components := k.Components
	if components == nil {
		components = []string{}
	}
	return keyShape{
		ID: k.ID, Name: k.Name, Source: k.Source, Account: k.Account, Components: components, Status: status,
		ExpiresAt: rfc3339(k.ExpiresAt), CreatedAt: rfc3339(k.CreatedAt), LastUsed: rfc3339(k.LastUsed),
	}
}

func (s *Server) expired(k bridge.Key) bool {
	return k.ExpiresAt != 0 && s.cfg.Now().UnixMilli() >= k.ExpiresAt
}

type keyInput struct {
	Source     string   `json:"source"`
	Name       string   `json:"name"`
	Account    bool     `json:"account"`
	Components []string `json:"components"`
	ExpiresIn  string   `json:"expires_in"`
}

// createKey makes a key and shows it, this once.
func (s *Server) createKey(c *gin.Context) error {
	var in keyInput
	if err := s.readJSON(c, &in); err != nil {
		return err
	}
	expires, err := s.checkKey(in)
	if err != nil {
		return err
	}
	text, id, hash := apikey.New()
	now := s.cfg.Now()
	k := bridge.Key{
		ID: id, Name: in.Name, Source: in.Source, Account: in.Account, Components: in.Components,
		Hash: hash, CreatedAt: now.UnixMilli(),
	}
	if expires > 0 {
		k.ExpiresAt = now.Add(expires).UnixMilli()
	}
	if err := s.cfg.Keys.PutKey(c.Request.Context(), k); err != nil {
		return err
	}
	shape := s.keyShape(k)
	shape.Key = text
	c.Header("Location", "/api/v1/keys/"+id)
	writeJSON(c, http.StatusCreated, "application/json", shape)
	return nil
}

// checkKey says what is wrong with in, and returns how long the key lives; 0
// is for ever.
func (s *Server) checkKey(in keyInput) (time.Duration, error) {
	e := fieldErrors{}
	ix := s.lookup()
	if src, ok := ix.sources[in.Source]; !ok {
		e.add("source", "there is no source %q%s", in.Source, didYouMean(in.Source, sortedKeys(ix.sources)))
	} else if spec, err := s.schemeOf(src); err == nil && spec.Kind != authKey {
		e.add("source", "source %q authenticates by %s, not by API keys", in.Source, spec.Kind)
	}
	if len(in.Name) > 100 {
		e.add("name", "the name has %d bytes; at most 100 are kept", len(in.Name))
	}
	switch {
	case in.Account && len(in.Components) > 0:
		e.add("account", `a key has either "account": true, for all components, or "components", not both`)
	case !in.Account && len(in.Components) == 0:
		e.add("components", `name the components that the key may write, or say "account": true for all of them`)
	}
	for i, comp := range in.Components {
		if strings.TrimSpace(comp) == "" || comp == "*" {
			e.add("components."+strconv.Itoa(i), `a component has a name; "account": true is for all of them`)
		}
	}
	expires, err := lifetime(in.ExpiresIn)
	if err != nil {
		e.add("expires_in", `expires_in is %q; write a time like "90d", "12w" or "36h", at most ten years`, in.ExpiresIn)
	}
	return expires, e.err()
}

// maxLifetime keeps a mistyped expires_in from meaning for ever.
const maxLifetime = 10 * 366 * 24 * time.Hour

// lifetime reads "90d", "12w" or a Go duration; "" is 0, for ever.
func lifetime(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		units := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
		unit, ok := units[text[len(text)-1]]
		n, convErr := strconv.Atoi(text[:len(text)-1])
		if !ok || convErr != nil || n > int(maxLifetime/unit) {
			return 0, err
		}
		d = time.Duration(n) * unit
	}
	if d <= 0 || d > maxLifetime {
		return 0, strconv.ErrRange
	}
	return d, nil
}

func (s *Server) listKeys(c *gin.Context) error {
	if err := allowQuery(c, "source"); err != nil {
		return err
	}
	used, err := s.cfg.Keys.KeysUsed(c.Request.Context())
	if err != nil {
		return err
	}
	var out []keyShape
	for _, k := range s.cfg.Registry.Snapshot().Keys {
		if want := c.Query("source"); want == "" || want == k.Source {
			k.LastUsed = used[k.ID]
			out = append(out, s.keyShape(k))
		}
	}
	slices.SortFunc(out, func(a, b keyShape) int { return cmp.Compare(a.ID, b.ID) })
	return writeList(c, out, "")
}

func (s *Server) findKey(c *gin.Context) (bridge.Key, error) {
	id := param(c, "id")
	k, ok := s.lookup().keys[id]
	if !ok {
		return k, problemf(codeNotFound, "there is no key %q", id)
	}
	return k, nil
}

func (s *Server) getKey(c *gin.Context) error {
	k, err := s.findKey(c)
	if err != nil {
		return err
	}
	used, err := s.cfg.Keys.KeysUsed(c.Request.Context())
	if err != nil {
		return err
	}
	k.LastUsed = used[k.ID]
	writeJSON(c, http.StatusOK, "application/json", s.keyShape(k))
	return nil
}

func (s *Server) deleteKey(c *gin.Context) error {
	k, err := s.findKey(c)
	if err != nil {
		return err
	}
	if err := s.cfg.Keys.DeleteKey(c.Request.Context(), k.ID); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

func (s *Server) suspendKey(c *gin.Context) error { return s.setSuspended(c, true) }

func (s *Server) resumeKey(c *gin.Context) error { return s.setSuspended(c, false) }

func (s *Server) setSuspended(c *gin.Context, suspended bool) error {
	k, err := s.findKey(c)
	if err != nil {
		return err
	}
	k.Suspended = suspended
	if err := s.cfg.Keys.PutKey(c.Request.Context(), k); err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, "application/json", s.keyShape(k))
	return nil
}
