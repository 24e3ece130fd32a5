package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
	"cibridge/internal/redact"
)

// oneOf reads a query parameter that takes one of a few words; "" when it is
// absent.
func oneOf[T ~string](c *gin.Context, name string, known []T) (T, error) {
	v := c.Query(name)
	if v == "" || slices.Contains(known, T(v)) {
		return T(v), nil
	}
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
	}
	return "", invalid(name, "%s is %q; it is one of %s%s", name, v, strings.Join(words, ", "), didYouMean(v, words))
}

func runStatuses() []bridge.Status { return append(bridge.Statuses(), bridge.Incomplete) }

func (s *Server) listRuns(c *gin.Context) error {
	if err := allowQuery(c, "status", "pipeline", "source", "repo", "sha", "branch", "limit", "cursor"); err != nil {
		return err
	}
	status, err := oneOf(c, "status", runStatuses())
	if err != nil {
		return err
	}
	page, err := pageOf(c)
	if err != nil {
		return err
	}
	runs, next, err := s.cfg.Runs.Runs(c.Request.Context(), RunFilter{
		Status: status, Pipeline: c.Query("pipeline"), Source: c.Query("source"), Repo: c.Query("repo"),
		SHA: strings.ToLower(c.Query("sha")), Branch: c.Query("branch"), Page: page,
	})
	if err != nil {
		return err
	}
	items := make([]map[string]any, len(runs))
	for i, r := range runs {
		items[i] = r.View()
	}
	return writeList(c, items, next)
}

func (s *Server) getRun(c *gin.Context) error {
	r, err := s.cfg.Runs.Run(c.Request.Context(), param(c, "id"))
	if err != nil {
		return err
	}
	v := r.View()
	v["parked"] = shapeParked(r.Parked)
	v["skipped_hooks"] = nonNil(r.Skips)
	writeJSON(c, http.StatusOK, "application/json", v)
	return nil
}

// parkedShape is a firing that waits for a value of its run.
type parkedShape struct {
	bridge.Parked
	WaitsFor string `json:"waits_for"` // for people
}

func shapeParked(list []bridge.Parked) []parkedShape {
	out := make([]parkedShape, len(list))
	for i, p := range list {
		out[i] = parkedShape{p, "parked for " + p.Missing + ": an event that says it sends this"}
	}
	return out
}

// nonNil makes an empty list of a nil one, for JSON.
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) listRunEvents(c *gin.Context) error {
	if err := allowQuery(c, "limit", "cursor"); err != nil {
		return err
	}
	run, err := s.cfg.Runs.Run(c.Request.Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return s.writeEvents(c, EventFilter{Run: run.ID})
}

func (s *Server) listEvents(c *gin.Context) error {
	if err := allowQuery(c, "outcome", "source", "limit", "cursor"); err != nil {
		return err
	}
	outcome, err := oneOf(c, "outcome", []bridge.Outcome{
		bridge.Applied, bridge.Duplicate, bridge.Ignored, bridge.Unmapped, bridge.Rejected, bridge.Late,
	})
	if err != nil {
		return err
	}
	return s.writeEvents(c, EventFilter{Outcome: outcome, Source: c.Query("source")})
}

func (s *Server) writeEvents(c *gin.Context, f EventFilter) error {
	page, err := pageOf(c)
	if err != nil {
		return err
	}
	f.Page = page
	entries, next, err := s.cfg.Ledger.Events(c.Request.Context(), f)
	if err != nil {
		return err
	}
	for i := range entries {
		entries[i].Runs = nonNil(entries[i].Runs)
	}
	return writeList(c, entries, next)
}

func (s *Server) getEvent(c *gin.Context) error {
	e, err := s.cfg.Ledger.Event(c.Request.Context(), param(c, "id"))
	if err != nil {
		return err
	}
	e.Runs = nonNil(e.Runs)
	writeJSON(c, http.StatusOK, "application/json", e)
	return nil
}

func (s *Server) listPipelines(c *gin.Context) error {
	if err := allowQuery(c, "limit", "cursor"); err != nil {
		return err
	}
	page, err := pageOf(c)
	if err != nil {
		return err
	}
	list, next, err := s.cfg.Runs.Pipelines(c.Request.Context(), page)
	if err != nil {
		return err
	}
	return writeList(c, list, next)
}

// credentialHeaders are never shown, and never kept with an inbound request.
var credentialHeaders = []string{
	"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "private-token",
	"job-token", "x-gitlab-token", "x-codenow-api-key", "x-buildkite-token", "x-auth-token", "x-access-token",
}

// credentialHeader reports whether a header, in lower case, holds a credential.
func credentialHeader(name string) bool {
	return slices.Contains(credentialHeaders, name) || strings.Contains(name, "secret") || redact.Name(name) && !strings.HasSuffix(name, "signature") ||
		strings.HasSuffix(name, "-key") && name != "idempotency-key"
}

// maskHeaders returns a copy of headers with the values of credentials masked.
// The scheme of an Authorization header stays readable.
func maskHeaders(headers map[string]string) map[string]string {
	out := make(map[string]string, len(headers))
	for name, v := range headers {
		lower := strings.ToLower(name)
		if credentialHeader(lower) {
			scheme, _, two := strings.Cut(v, " ")
			if v = maskedToken; two && strings.HasSuffix(lower, "authorization") {
				v = scheme + " " + maskedToken
			}
		}
		out[name] = v
	}
	return out
}
