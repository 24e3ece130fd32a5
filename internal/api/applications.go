package api

import (
	"cmp"
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
)

// applicationShape is an application as operators see it. AccessToken is a
// bridge.Secret and so prints as ***, or null when there is none.
type applicationShape struct {
	ID             string                `json:"id"`
	Name           string                `json:"name"`
	Repositories   []string              `json:"repositories"`
	Pipelines      []string              `json:"pipelines"`
	Sources        []string              `json:"sources"`
	Components     []string              `json:"components"`
	SourceProvider bridge.SourceProvider `json:"source_provider"`
	ReadOnly       bool                  `json:"read_only"`
	CreatedAt      *string               `json:"created_at"`
	UpdatedAt      *string               `json:"updated_at"`
}

func shapeApplication(a bridge.Application) applicationShape {
	list := func(l []string) []string {
		if l == nil {
			return []string{}
		}
		return l
	}
	return applicationShape{
		ID: a.ID, Name: a.Name, Repositories: list(a.Repositories), Pipelines: list(a.Pipelines), Sources: list(a.Sources),
		Components: list(a.Components), SourceProvider: a.SourceProvider, ReadOnly: a.ReadOnly,
		CreatedAt: rfc3339(a.CreatedAt), UpdatedAt: rfc3339(a.UpdatedAt),
	}
}

type applicationInput struct {
	Name           string   `json:"name"`
	Repositories   []string `json:"repositories"`
	Pipelines      []string `json:"pipelines"`
	Sources        []string `json:"sources"`
	Components     []string `json:"components"`
	SourceProvider struct {
		Name        string `json:"name"`
		BaseURL     string `json:"base_url"`
		AccessToken string `json:"access_token"`
	} `json:"source_provider"`
}

// maskedToken is what an application's token is shown as. Sent back, it means
// the token that is stored.
const maskedToken = "***"

// checkApplication makes an application of in. old is the one that it
// replaces, or nil: its token is kept when in has none, but only for the host
// that it was given for.
func (s *Server) checkApplication(c *gin.Context, in applicationInput, old *bridge.Application) (bridge.Application, error) {
	e := fieldErrors{}
	a := bridge.Application{
		Name: in.Name, Repositories: in.Repositories, Pipelines: in.Pipelines, Sources: in.Sources, Components: in.Components,
		SourceProvider: bridge.SourceProvider{Name: in.SourceProvider.Name, BaseURL: strings.TrimRight(in.SourceProvider.BaseURL, "/")},
	}
	if strings.TrimSpace(in.Name) == "" {
		e.add("name", "the name is missing")
	}
	provider := in.SourceProvider.Name
	if len(s.cfg.Providers) > 0 && !slices.Contains(s.cfg.Providers, provider) {
		e.add("source_provider.name", "the source provider is %q; known are %s%s", provider, strings.Join(s.cfg.Providers, ", "), didYouMean(provider, s.cfg.Providers))
	}
	s.checkBaseURL(c, e, a.SourceProvider.BaseURL)
	token := in.SourceProvider.AccessToken
	switch {
	case strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r == 0x7f }):
		e.add("source_provider.access_token", "the token holds a line break or another control character")
	case token != "" && token != maskedToken:
		a.SourceProvider.AccessToken = bridge.Secret(token)
	case old == nil || old.SourceProvider.AccessToken == "":
		e.add("source_provider.access_token", "the token is missing")
	case old.SourceProvider.Name != provider || origin(old.SourceProvider.BaseURL) != origin(a.SourceProvider.BaseURL):
		e.add("source_provider.access_token", "the provider or its address has changed: send the token again, so that it cannot be led to another host")
	default:
		a.SourceProvider.AccessToken = old.SourceProvider.AccessToken
	}
	return a, e.err()
}

func (s *Server) checkBaseURL(c *gin.Context, e fieldErrors, base string) {
	if base == "" {
		return // the provider's own
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		e.add("source_provider.base_url", `the address is not one like "https://git.example.com/api/v1", without user, query and fragment`)
		return
	}
	if err := s.cfg.CheckURL(c.Request.Context(), base); err != nil {
		e.add("source_provider.base_url", "%v", err)
	}
}

// origin returns scheme and host of an address, "" when it has none.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

func (s *Server) createApplication(c *gin.Context) error {
	var in applicationInput
	if err := s.readJSON(c, &in); err != nil {
		return err
	}
	a, err := s.checkApplication(c, in, nil)
	if err != nil {
		return err
	}
	a.ID = "app_" + strings.ToLower(rand.Text()[:20])
	a.CreatedAt = s.cfg.Now().UnixMilli()
	a.UpdatedAt = a.CreatedAt
	if err := s.cfg.Registry.PutApplication(c.Request.Context(), a); err != nil {
		return err
	}
	c.Header("Location", "/api/v1/applications/"+a.ID)
	writeJSON(c, http.StatusCreated, "application/json", shapeApplication(a))
	return nil
}

// updateApplication replaces an application.
func (s *Server) updateApplication(c *gin.Context) error {
	old, err := s.findApplication(c, true)
	if err != nil {
		return err
	}
	var in applicationInput
	if err := s.readJSON(c, &in); err != nil {
		return err
	}
	a, err := s.checkApplication(c, in, &old)
	if err != nil {
		return err
	}
	a.ID, a.CreatedAt, a.UpdatedAt = old.ID, old.CreatedAt, s.cfg.Now().UnixMilli()
	if err := s.cfg.Registry.PutApplication(c.Request.Context(), a); err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, "application/json", shapeApplication(a))
	return nil
}

// findApplication returns the application of the path; change asks for one
// that may be changed.
func (s *Server) findApplication(c *gin.Context, change bool) (bridge.Application, error) {
	id, ix := param(c, "id"), s.lookup()
	a, ok := ix.applications[id]
	if !ok {
		return a, problemf(codeNotFound, "there is no application %q", id)
	}
	if change {
		if p := ix.readOnly("application", id, a.ReadOnly); p != nil {
			return a, p
		}
	}
	return a, nil
}

func (s *Server) getApplication(c *gin.Context) error {
	a, err := s.findApplication(c, false)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, "application/json", shapeApplication(a))
	return nil
}

func (s *Server) listApplications(c *gin.Context) error {
	var out []applicationShape
	for _, a := range s.cfg.Registry.Snapshot().Applications {
		out = append(out, shapeApplication(a))
	}
	slices.SortFunc(out, func(a, b applicationShape) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return writeList(c, out, "")
}

func (s *Server) deleteApplication(c *gin.Context) error {
	a, err := s.findApplication(c, true)
	if err != nil {
		return err
	}
	if err := s.cfg.Registry.DeleteApplication(c.Request.Context(), a.ID); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
