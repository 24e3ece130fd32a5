package api

import (
	"net"
	"net/http"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
)

// requestRelation is one try of a hook in Devopness's lists.
type requestRelation struct {
	ID        string  `json:"id"`
	HookID    string  `json:"hook_id"`
	ActionID  *int    `json:"action_id"` // Devopness's own; cibridge's is delivery_id
	RetryOf   *string `json:"retry_of"`
	IPAddress *string `json:"ip_address"`
	CreatedAt string  `json:"created_at"`
	UpdatedAt string  `json:"updated_at"`

	DeliveryID string         `json:"delivery_id"`
	Verdict    bridge.Verdict `json:"verdict"`
	Reason     string         `json:"reason"`
}

// hookRequest is one try in full, credentials masked.
type hookRequest struct {
	requestRelation
	URL                string            `json:"url"`
	Method             string            `json:"method"`
	RequestHeaders     map[string]string `json:"request_headers"`
	RequestBody        any               `json:"request_body"`
	ResponseStatusCode *int              `json:"response_status_code"` // null when no answer came
	ResponseHeaders    map[string]string `json:"response_headers"`
	ResponseBody       any               `json:"response_body"`
	Error              string            `json:"error,omitempty"`
	DurationMS         int64             `json:"duration_ms"`
	Hook               *hookRelation     `json:"hook"` // null when it was deleted
}

func shapeAttempt(a bridge.Attempt) requestRelation {
	return requestRelation{
		ID: a.ID, HookID: a.Hook, RetryOf: orNull(a.RetryOf), IPAddress: orNull(addressOf(a.Remote)),
		CreatedAt: devopnessTime(a.At), UpdatedAt: devopnessTime(a.At + a.DurationMS),
		DeliveryID: a.Delivery, Verdict: a.Verdict, Reason: a.Reason,
	}
}

// addressOf returns the address of "address:port".
func addressOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// listHookRequests is the delivery log of a hook, newest first.
func (s *Server) listHookRequests(c *gin.Context) error {
	h, err := s.findHook(c, false)
	if err != nil {
		return err
	}
	page, per, err := devopnessPage(c)
	if err != nil {
		return err
	}
	list, total, err := s.cfg.Attempts.HookAttempts(c.Request.Context(), h.ID, (page-1)*per, per)
	if err != nil {
		return err
	}
	link(c, page, per, total)
	out := make([]requestRelation, len(list))
	for i, a := range list {
		out[i] = shapeAttempt(a)
	}
	writeJSON(c, http.StatusOK, "application/json", out)
	return nil
}

// getHookRequest is one try in full.
func (s *Server) getHookRequest(c *gin.Context) error {
	a, err := s.cfg.Attempts.Attempt(c.Request.Context(), param(c, "id"))
	if err != nil {
		return err
	}
	out := hookRequest{
		requestRelation: shapeAttempt(a), URL: shownURL(a.URL), Method: a.Method,
		RequestHeaders: maskHeaders(a.RequestHeaders), RequestBody: jsonOrText(a.RequestBody),
		ResponseHeaders: maskHeaders(a.Headers), ResponseBody: jsonOrText(a.Body),
		Error: a.Error, DurationMS: a.DurationMS,
	}
	if a.Status != 0 {
		out.ResponseStatusCode = &a.Status
	}
	if h, ok := s.lookup().hooks[a.Hook]; ok {
		rel := shapeRelation(h)
		out.Hook = &rel
	}
	writeJSON(c, http.StatusOK, "application/json", out)
	return nil
}
