package api

import (
	"encoding/json"
	"net/http"
	"time"

	"cibridge/bridge"
	"cibridge/internal/redact"
)

// dryRunShape is what a request would have become.
type dryRunShape struct {
	DryRun   bool            `json:"dry_run"`
	Source   string          `json:"source"`
	Mapping  string          `json:"mapping"`
	Outcome  bridge.Outcome  `json:"outcome"` // applied means: there are events to commit
	Reason   string          `json:"reason,omitempty"`
	Dedupe   string          `json:"dedupe"`
	Events   []eventShape    `json:"events"`
	Warnings []string        `json:"warnings"`
	Problem  *dryRunProblem  `json:"problem,omitempty"`
	Hooks    []deliveryShape `json:"hooks,omitempty"` // for operators only
}

type dryRunProblem struct {
	Status  int    `json:"status,omitempty"`
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
}

// eventShape is an event of a dry run. Times are epoch ms, as a mapping sets
// them.
type eventShape struct {
	Name     string                 `json:"name"`
	Run      string                 `json:"run_key"`
	Parent   string                 `json:"parent,omitempty"`
	Attempt  int64                  `json:"attempt"`
	At       string                 `json:"at,omitempty"`
	Status   bridge.Status          `json:"status,omitempty"`
	Word     string                 `json:"unknown_word,omitempty"`
	Fields   map[string]any         `json:"fields"`
	Lists    map[string][]itemShape `json:"lists,omitempty"`
	Requires []string               `json:"requires,omitempty"`
	Warnings []string               `json:"warnings,omitempty"`
}

type itemShape struct {
	Key     string                 `json:"key"`
	Attempt int64                  `json:"attempt,omitempty"`
	Fields  map[string]any         `json:"fields"`
	Lists   map[string][]itemShape `json:"lists,omitempty"`
}

func shapeEvents(events []bridge.Event) []eventShape {
	out := make([]eventShape, len(events))
	for i, ev := range events {
		out[i] = eventShape{
			Name: ev.Name, Run: ev.RunKey, Parent: ev.Parent, Attempt: ev.Attempt, Status: ev.Status, Word: ev.Word,
			Fields: ev.Fields, Lists: shapeLists(ev.Lists), Requires: ev.Requires, Warnings: ev.Warnings,
		}
		if ev.At != 0 {
			out[i].At = time.UnixMilli(ev.At).UTC().Format("2006-01-02T15:04:05.000Z07:00")
		}
	}
	return out
}

func shapeLists(lists map[string][]bridge.Item) map[string][]itemShape {
	if len(lists) == 0 {
		return nil
	}
	out := map[string][]itemShape{}
	for name, items := range lists {
		for _, it := range items {
			out[name] = append(out[name], itemShape{Key: it.Key, Attempt: it.Attempt, Fields: it.Fields, Lists: shapeLists(it.Lists)})
		}
	}
	return out
}

// dryRun answers with what the mapping made of the request. Nothing is read
// from the store and nothing is written to it.
func (s *Server) dryRun(in *inbound) error {
	result := in.result
	in.outcome = "dry_run"
	shape := dryRunShape{
		DryRun: true, Source: in.claim.source.ID, Mapping: in.mapping.Name, Outcome: result.Outcome, Reason: result.Rule,
		Dedupe: result.Dedupe, Events: shapeEvents(result.Events), Warnings: nonNil(result.Warnings),
	}
	if shape.Outcome == "" {
		shape.Outcome = bridge.Applied
		if result.Unmapped {
			shape.Outcome = bridge.Unmapped
		}
	}
	if p := result.Problem; p != nil {
		shape.Problem = &dryRunProblem{p.Status, p.Code, p.Field, p.Message, p.File, p.Line, p.Col}
	}
	if in.claim.operator && s.cfg.Preview != nil {
		for _, d := range s.cfg.Preview(result.Events) {
			shown := shapeDelivery(DeliveryStatus{Delivery: d})
			shown.Request = shapeRequest(d)
			shape.Hooks = append(shape.Hooks, shown)
		}
	}
	body, err := json.Marshal(shape)
	if err != nil {
		return problemf(codeInternal, "the result cannot be shown").because(err)
	}
	answer := redact.Redactor{Known: s.known()}
	shown, _ := answer.JSON(body) // hooks and dedupe ids, besides the events
	in.c.Data(http.StatusOK, "application/json", shown)
	return nil
}
