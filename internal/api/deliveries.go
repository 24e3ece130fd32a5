package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
)

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
	WaitsFor *waitShape           `json:"waits_for"` // null unless it is pending or being sent
	Updated  *string              `json:"updated_at"`
	Method   string               `json:"method"`
	URL      string               `json:"url"`
	Notes    []string             `json:"notes"`
	Request  *requestShape        `json:"request,omitempty"`
	Log      []attemptShape       `json:"attempts,omitempty"`
	Curl     string               `json:"curl,omitempty"` // the request as a shell command
}

// waitShape says what a delivery waits for.
type waitShape struct {
	For    string  `json:"for"`
	Until  *string `json:"until"`            // null when no time is known
	Behind string  `json:"behind,omitempty"` // the delivery before it
	Text   string  `json:"text"`             // all of it, for people
}

type requestShape struct {
	Headers map[string]string `json:"headers"`
	Body    any               `json:"body"`
}

// attemptShape is one HTTP try, credentials masked.
type attemptShape struct {
	ID              string            `json:"id"`
	At              *string           `json:"at"`
	DurationMS      int64             `json:"duration_ms"`
	Method          string            `json:"method"`
	URL             string            `json:"url"`
	Remote          string            `json:"remote,omitempty"` // address that was dialled
	RequestHeaders  map[string]string `json:"request_headers"`
	RequestBody     any               `json:"request_body"`
	Status          int               `json:"response_status_code"` // 0 when no answer came
	ResponseHeaders map[string]string `json:"response_headers"`
	Body            string            `json:"response_body,omitempty"`
	Error           string            `json:"error,omitempty"`
	Verdict         bridge.Verdict    `json:"verdict"`
	Reason          string            `json:"reason"`
}

func shapeTry(a bridge.Attempt) attemptShape {
	return attemptShape{
		ID: a.ID, At: rfc3339(a.At), DurationMS: a.DurationMS, Method: a.Method, URL: shownURL(a.URL), Remote: a.Remote,
		RequestHeaders: maskHeaders(a.RequestHeaders), RequestBody: jsonOrText(a.RequestBody),
		Status: a.Status, ResponseHeaders: maskHeaders(a.Headers), Body: a.Body,
		Error: a.Error, Verdict: a.Verdict, Reason: a.Reason,
	}
}

func shapeDelivery(d DeliveryStatus) deliveryShape {
	return deliveryShape{
		ID: d.Delivery.ID, Run: d.Delivery.Run, Hook: d.Delivery.Hook, Pipeline: d.Delivery.Pipeline,
		Trigger: d.Delivery.Trigger, Attempt: d.Delivery.Firing.Attempt, Status: d.Delivery.Firing.Status,
		State: d.State, Reason: d.Reason, Tries: d.Tries, NextTry: timeText(d.Next), Updated: timeText(d.Updated), WaitsFor: shapeWait(d.Waits),
		Method: d.Delivery.Method, URL: shownURL(d.Delivery.URL), Notes: nonNil(d.Delivery.Notes),
	}
}

func shapeWait(w *Wait) *waitShape {
	if w == nil {
		return nil
	}
	return &waitShape{For: w.For, Until: timeText(w.Until), Behind: w.Behind, Text: w.Text}
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
	if err := allowQuery(c, "state", "run", "hook", "since", "until", "limit", "cursor"); err != nil {
		return err
	}
	state, err := oneOf(c, "state", []bridge.DeliveryState{
		bridge.DeliveryPending, bridge.DeliverySending, bridge.DeliveryDelivered, bridge.DeliverySuperseded, bridge.DeliveryDead,
	})
	if err != nil {
		return err
	}
	e, now := fieldErrors{}, s.cfg.Now()
	f := DeliveryFilter{
		State: state, Run: c.Query("run"), Hook: c.Query("hook"),
		Since: moment(c.Query("since"), "since", now, e), Until: moment(c.Query("until"), "until", now, e),
	}
	if err := e.err(); err != nil {
		return err
	}
	return s.writeDeliveries(c, f)
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
	shape.Request, shape.Curl = shapeRequest(d.Delivery), curlOf(d.Delivery)
	for _, a := range attempts {
		shape.Log = append(shape.Log, shapeTry(a))
	}
	writeJSON(c, http.StatusOK, "application/json", shape)
	return nil
}
