package api

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
	"cibridge/internal/mapping"
)

// sourceShape is a source as operators see it: its secrets are counted only.
type sourceShape struct {
	ID      string         `json:"id"`
	Mapping string         `json:"mapping"`
	Auth    string         `json:"auth"`
	Secrets int            `json:"secrets"`
	Vars    map[string]any `json:"vars"`
	// StaleAfter is "24h", or "" when runs are never closed by themselves.
	StaleAfter string   `json:"stale_after"`
	Routes     []string `json:"routes"` // where it may post
	URLs       []string `json:"urls"`   // the same from outside; empty without a public URL
	ReadOnly   bool     `json:"read_only"`
	CreatedAt  *string  `json:"created_at"`
}

func (s *Server) sourceShape(src bridge.Source) sourceShape {
	shape := sourceShape{
		ID: src.ID, Mapping: src.Mapping, Auth: src.Auth, Secrets: len(src.Secrets), Vars: src.Vars,
		ReadOnly: src.ReadOnly, CreatedAt: rfc3339(src.CreatedAt), StaleAfter: staleText(src.StaleAfter),
	}
	if spec, err := s.schemeOf(src); err == nil {
		shape.Auth = spec.Kind
	}
	if shape.Vars == nil {
		shape.Vars = map[string]any{}
	}
	for _, r := range s.mappings.Load().Routes() {
		if r.Mapping.Name == src.Mapping {
			shape.Routes = append(shape.Routes, r.Method+" "+r.Path)
		}
	}
	shape.Routes, shape.URLs = append(shape.Routes, "POST /in/"+src.ID), []string{}
	if s.cfg.PublicURL != "" {
		for _, r := range shape.Routes {
			_, path, _ := strings.Cut(r, " ")
			shape.URLs = append(shape.URLs, strings.TrimSuffix(s.cfg.PublicURL, "/")+path)
		}
	}
	return shape
}

type sourceInput struct {
	ID         string         `json:"id"`
	Mapping    string         `json:"mapping"`
	Auth       string         `json:"auth"`
	Secrets    []string       `json:"secrets"`
	Vars       map[string]any `json:"vars"`
	StaleAfter string         `json:"stale_after"`
}

// minStale is the shortest time after which a run is taken for hung.
const minStale = time.Minute

func staleText(ms int64) string {
	if ms == 0 {
		return ""
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

// staleAfter reads after how long a run is closed, in ms; "" is never.
func staleAfter(e fieldErrors, text string) int64 {
	if text == "" {
		return 0
	}
	d, err := lifetime(text)
	if err != nil || d < minStale {
		e.add("stale_after", `%q is not a duration of at least %s; write it as "24h" or "90m", or "" for never`, text, minStale)
		return 0
	}
	return d.Milliseconds()
}

var sourceID = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)

// minSecret is the least number of bytes of a shared secret. Shorter ones are
// guessed from one recorded signature.
const minSecret = 8

// checkSource says what is wrong with in. kept are the secrets that an update
// without secrets keeps.
func (s *Server) checkSource(in sourceInput, kept []bridge.Secret) (bridge.Source, error) {
	e := fieldErrors{}
	src := bridge.Source{ID: in.ID, Mapping: in.Mapping, Auth: in.Auth, Vars: in.Vars}
	if !sourceID.MatchString(in.ID) {
		e.add("id", `the id is %q; it has 1 to 63 of a-z, 0-9, ".", "_" and "-", and starts and ends with a letter or digit`, in.ID)
	}
	for _, text := range in.Secrets {
		src.Secrets = append(src.Secrets, bridge.Secret(text))
	}
	if in.Secrets == nil {
		src.Secrets = kept
	}
	checkMapping(e, s.mappings.Load(), src)
	src.StaleAfter = staleAfter(e, in.StaleAfter)
	return src, e.err()
}

// checkSecrets refuses secrets that are absent, short or of the wrong form for
// their scheme.
func checkSecrets(e fieldErrors, spec mapping.AuthSpec, secrets []bridge.Secret) {
	needs := schemes[spec.Kind].secret
	if needs == "" {
		if len(secrets) > 0 {
			e.add("secrets", "auth %s takes no secrets", spec.Kind)
		}
		return
	}
	if len(secrets) == 0 {
		e.add("secrets", "auth %s needs at least one secret: %s", spec.Kind, needs)
	}
	if len(secrets) > 5 {
		e.add("secrets", "%d secrets are given; at most 5 can be live at once", len(secrets))
	}
	for i, secret := range secrets {
		text, field := secret.Reveal(), "secrets."+strconv.Itoa(i)
		if len(text) < minSecret {
			e.add(field, "the secret has %d bytes; at least %d are needed", len(text), minSecret)
			continue
		}
		if check := schemes[spec.Kind].check; check != nil && !check(text) {
			e.add(field, "auth %s needs %s", spec.Kind, needs)
		}
	}
}

func isUserPassword(text string) bool {
	user, password, ok := strings.Cut(text, ":")
	return ok && user != "" && len(password) >= minSecret
}

func isStandardSecret(text string) bool {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	return err == nil && len(raw) >= 16
}

func (s *Server) createSource(c *gin.Context) error {
	var in sourceInput
	if err := s.readJSON(c, &in); err != nil {
		return err
	}
	src, err := s.checkSource(in, nil)
	if err != nil {
		return err
	}
	if _, exists := s.lookup().sources[in.ID]; exists {
		return problemf(codeConflict, "source %q exists already; PUT /api/v1/sources/%s changes it", in.ID, in.ID)
	}
	src.CreatedAt = s.cfg.Now().UnixMilli()
	if err := s.cfg.Registry.PutSource(c.Request.Context(), src); err != nil {
		return err
	}
	c.Header("Location", "/api/v1/sources/"+src.ID)
	writeJSON(c, http.StatusCreated, "application/json", s.sourceShape(src))
	return nil
}

// updateSource replaces a source. Secrets that are not given are kept.
func (s *Server) updateSource(c *gin.Context) error {
	old, err := s.findSource(c, true)
	if err != nil {
		return err
	}
	var in sourceInput
	if err := s.readJSON(c, &in); err != nil {
		return err
	}
	if in.ID == "" {
		in.ID = old.ID
	}
	if in.ID != old.ID {
		return invalid("id", "the id is %q in the body and %q in the path; an id cannot be changed", in.ID, old.ID)
	}
	src, err := s.checkSource(in, old.Secrets)
	if err != nil {
		return err
	}
	src.CreatedAt, src.Partition = old.CreatedAt, old.Partition
	if err := s.cfg.Registry.PutSource(c.Request.Context(), src); err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, "application/json", s.sourceShape(src))
	return nil
}

// findSource returns the source of the path; change asks for one that may be
// changed.
func (s *Server) findSource(c *gin.Context, change bool) (bridge.Source, error) {
	id, ix := param(c, "id"), s.lookup()
	src, ok := ix.sources[id]
	if !ok {
		return src, problemf(codeNotFound, "there is no source %q%s", id, didYouMean(id, sortedKeys(ix.sources)))
	}
	if change {
		if p := ix.readOnly("source", id, src.ReadOnly); p != nil {
			return src, p
		}
	}
	return src, nil
}

func (s *Server) listSources(c *gin.Context) error {
	var out []sourceShape
	for _, src := range s.cfg.Registry.Snapshot().Sources {
		out = append(out, s.sourceShape(src))
	}
	slices.SortFunc(out, func(a, b sourceShape) int { return cmp.Compare(a.ID, b.ID) })
	return writeList(c, out, "")
}

func (s *Server) getSource(c *gin.Context) error {
	src, err := s.findSource(c, false)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, "application/json", s.sourceShape(src))
	return nil
}

// deleteSource refuses while keys belong to the source: a new source of the
// same id would revive them.
func (s *Server) deleteSource(c *gin.Context) error {
	src, err := s.findSource(c, true)
	if err != nil {
		return err
	}
	var keys []string
	for _, k := range s.lookup().keys {
		if k.Source == src.ID {
			keys = append(keys, k.ID)
		}
	}
	if len(keys) > 0 {
		slices.Sort(keys)
		return problemf(codeConflict, "source %q still has the keys %s: delete them first", src.ID, strings.Join(keys, ", "))
	}
	if err := s.cfg.Registry.DeleteSource(c.Request.Context(), src.ID); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
