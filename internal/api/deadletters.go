package api

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
)

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

// redeliverInput selects the deliveries that are sent again.
type redeliverInput struct {
	Hook   string               `json:"hook"`
	State  bridge.DeliveryState `json:"state"` // dead by default
	Since  string               `json:"since"`
	Until  string               `json:"until"`
	Force  bool                 `json:"force"`
	DryRun bool                 `json:"dry_run"`
	Limit  int                  `json:"limit"`  // deliveries of one call; 50 by default
	Cursor string               `json:"cursor"` // next of the call before
}

// redeliverAnswer says what became of each delivery that was looked at.
type redeliverAnswer struct {
	DryRun bool           `json:"dry_run"`
	Counts map[string]int `json:"counts"` // by outcome
	Items  []Redelivery   `json:"items"`
	Next   *string        `json:"next"` // cursor of the next call; null when this was the last
}

// settledStates are those of deliveries that can be sent again.
var settledStates = []bridge.DeliveryState{bridge.DeliveryDead, bridge.DeliveryDelivered, bridge.DeliverySuperseded}

// redeliverMany queues a page of deliveries again.
func (s *Server) redeliverMany(c *gin.Context) error {
	in := redeliverInput{State: bridge.DeliveryDead, Limit: defaultLimit}
	if err := s.readJSON(c, &in); err != nil {
		return err
	}
	f, err := in.filter(s.cfg.Now())
	if err != nil {
		return err
	}
	done, next, err := s.cfg.Deliveries.RedeliverAll(c.Request.Context(), f, RedeliverOptions{Force: in.Force, DryRun: in.DryRun})
	if err != nil {
		return err
	}
	out := redeliverAnswer{
		DryRun: in.DryRun, Items: nonNil(done), Next: orNull(next),
		Counts: map[string]int{"redelivered": 0, "superseded": 0, "pending": 0, "gone": 0},
	}
	for _, r := range done {
		out.Counts[r.Outcome]++
	}
	writeJSON(c, http.StatusOK, "application/json", out)
	return nil
}

// filter checks the input. now is what a duration in it counts from.
func (in redeliverInput) filter(now time.Time) (DeliveryFilter, error) {
	e := fieldErrors{}
	if !slices.Contains(settledStates, in.State) {
		words := make([]string, len(settledStates))
		for i, st := range settledStates {
			words[i] = string(st)
		}
		e.add("state", "state is %q; it is one of %s%s", in.State, strings.Join(words, ", "), didYouMean(string(in.State), words))
	}
	if in.Hook == "" && in.Since == "" {
		e.add("hook", `say which deliveries: those of a "hook", or those "since" a time like "2h", or both`)
	}
	if in.Limit < 1 || in.Limit > maxLimit {
		e.add("limit", "limit is %d; it is a number from 1 to %d", in.Limit, maxLimit)
	}
	f := DeliveryFilter{
		State: in.State, Hook: in.Hook, Page: Page{Limit: in.Limit, Cursor: in.Cursor},
		Since: moment(in.Since, "since", now, e), Until: moment(in.Until, "until", now, e),
	}
	return f, e.err()
}

// moment reads a time: "2h" and "7d" are that long ago, else it is RFC 3339.
// It is zero for "".
func moment(text, field string, now time.Time, e fieldErrors) time.Time {
	if text == "" {
		return time.Time{}
	}
	if ago, err := lifetime(text); err == nil {
		return now.Add(-ago)
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		e.add(field, `%s is %q; write how long ago, like "2h" or "7d", or a time like "2026-03-01T12:00:00Z"`, field, text)
	}
	return t
}
