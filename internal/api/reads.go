package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

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
	v["parked"] = nonNil(r.Parked)
	v["skipped_hooks"] = nonNil(r.Skips)
	writeJSON(c, http.StatusOK, "application/json", v)
	return nil
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

// deliveryShape is a delivery as operators see it. Header values are shown in
// part: a reference to a secret is ***.
type deliveryShape struct {
	ID       string               `json:"id"`
	Run      string               `json:"run"`
	Hook     string               `json:"hook"`
	Pipeline string               `json:"pipeline"`
	Trigger  bridge.Trigger       `json:"trigger"`
	Attempt  int64                `json:"attempt"` // of the run
	Status   bridge.Status        `json:"status"`  // of the run
	State    bridge.DeliveryState `json:"state"`
	Reason   string               `json:"reason"`
	Tries    int                  `json:"tries"`
	NextTry  *string              `json:"next_try_at"`
	Updated  *string              `json:"updated_at"`
	Method   string               `json:"method"`
	URL      string               `json:"url"`
	Notes    []string             `json:"notes"`
	Request  *requestShape        `json:"request,omitempty"`
	Log      []attemptShape       `json:"attempts,omitempty"`
}

type requestShape struct {
	Headers map[string]string `json:"headers"`
	Body    any               `json:"body"`
}

// attemptShape is one HTTP try.
type attemptShape struct {
	ID         string         `json:"id"`
	At         *string        `json:"at"`
	DurationMS int64          `json:"duration_ms"`
	Status     int            `json:"response_status_code"` // 0 when no answer came
	Body       string         `json:"response_body,omitempty"`
	Error      string         `json:"error,omitempty"`
	Verdict    bridge.Verdict `json:"verdict"`
	Reason     string         `json:"reason"`
}

func shapeDelivery(d DeliveryStatus) deliveryShape {
	return deliveryShape{
		ID: d.Delivery.ID, Run: d.Delivery.Run, Hook: d.Delivery.Hook, Pipeline: d.Delivery.Pipeline,
		Trigger: d.Delivery.Trigger, Attempt: d.Delivery.Firing.Attempt, Status: d.Delivery.Firing.Status,
		State: d.State, Reason: d.Reason, Tries: d.Tries, NextTry: timeText(d.Next), Updated: timeText(d.Updated),
		Method: d.Delivery.Method, URL: maskQuery(d.Delivery.URL), Notes: nonNil(d.Delivery.Notes),
	}
}

func timeText(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return rfc3339(t.UnixMilli())
}

// shapeRequest shows what is sent. Text parts of a header are literal text of
// the hook and may hold a credential too, so well-known ones are masked.
func shapeRequest(d bridge.Delivery) *requestShape {
	headers := map[string]string{}
	for _, h := range d.Headers {
		var v strings.Builder
		for _, part := range h.Parts {
			if part.Ref != "" {
				v.WriteString(maskedToken)
			}
			v.WriteString(part.Text)
		}
		headers[h.Name] = v.String()
	}
	return &requestShape{Headers: maskHeaders(headers), Body: jsonOrText(d.Body)}
}

// jsonOrText shows a body as JSON where it is JSON.
func jsonOrText(body string) any {
	if body == "" {
		return nil
	}
	if json.Valid([]byte(body)) {
		return json.RawMessage(body)
	}
	return body
}

func (s *Server) listRunDeliveries(c *gin.Context) error {
	if err := allowQuery(c, "limit", "cursor"); err != nil {
		return err
	}
	run, err := s.cfg.Runs.Run(c.Request.Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return s.writeDeliveries(c, DeliveryFilter{Run: run.ID})
}

// listDeliveries lists deliveries of all states, or of one: state=dead are the
// dead letters.
func (s *Server) listDeliveries(c *gin.Context) error {
	if err := allowQuery(c, "state", "run", "hook", "limit", "cursor"); err != nil {
		return err
	}
	state, err := oneOf(c, "state", []bridge.DeliveryState{
		bridge.DeliveryPending, bridge.DeliverySending, bridge.DeliveryDelivered, bridge.DeliverySuperseded, bridge.DeliveryDead,
	})
	if err != nil {
		return err
	}
	return s.writeDeliveries(c, DeliveryFilter{State: state, Run: c.Query("run"), Hook: c.Query("hook")})
}

func (s *Server) writeDeliveries(c *gin.Context, f DeliveryFilter) error {
	page, err := pageOf(c)
	if err != nil {
		return err
	}
	f.Page = page
	list, next, err := s.cfg.Deliveries.Deliveries(c.Request.Context(), f)
	if err != nil {
		return err
	}
	items := make([]deliveryShape, len(list))
	for i, d := range list {
		items[i] = shapeDelivery(d)
	}
	return writeList(c, items, next)
}

func (s *Server) getDelivery(c *gin.Context) error {
	ctx := c.Request.Context()
	d, err := s.cfg.Deliveries.Delivery(ctx, param(c, "id"))
	if err != nil {
		return err
	}
	attempts, err := s.cfg.Attempts.DeliveryAttempts(ctx, d.Delivery.ID)
	if err != nil {
		return err
	}
	shape := shapeDelivery(d)
	shape.Request = shapeRequest(d.Delivery)
	for _, a := range attempts {
		shape.Log = append(shape.Log, attemptShape{
			ID: a.ID, At: rfc3339(a.At), DurationMS: a.DurationMS, Status: a.Status, Body: a.Body,
			Error: a.Error, Verdict: a.Verdict, Reason: a.Reason,
		})
	}
	writeJSON(c, http.StatusOK, "application/json", shape)
	return nil
}

// redeliver queues a delivery again. ?force=true sends it even if that puts an
// older state over a newer one.
func (s *Server) redeliver(c *gin.Context) error {
	if err := allowQuery(c, "force"); err != nil {
		return err
	}
	force, err := oneOf(c, "force", []string{"true", "false"})
	if err != nil {
		return err
	}
	id := param(c, "id")
	if err := s.cfg.Deliveries.Redeliver(c.Request.Context(), id, force == "true"); err != nil {
		return err
	}
	d, err := s.cfg.Deliveries.Delivery(c.Request.Context(), id)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusAccepted, "application/json", shapeDelivery(d))
	return nil
}

// credentialHeaders are never shown, and never kept with an inbound request.
var credentialHeaders = []string{
	"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "private-token",
	"job-token", "x-gitlab-token", "x-codenow-api-key", "x-buildkite-token", "x-auth-token", "x-access-token",
}

// credentialHeader reports whether a header, in lower case, holds a credential.
func credentialHeader(name string) bool {
	return slices.Contains(credentialHeaders, name) || strings.Contains(name, "secret") || redact.Name(name) ||
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
