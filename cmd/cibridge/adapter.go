package main

import (
	"context"
	"slices"

	"cibridge/bridge"
	"cibridge/internal/api"
	"cibridge/internal/store"
)

// adapter gives the API what it needs of the store, in the API's own words:
// neither package knows the other.
type adapter struct{ *store.Store }

// Commit implements [api.Committer].
func (a adapter) Commit(ctx context.Context, sub api.Submission) (api.Receipt, error) {
	got, err := a.Store.Commit(ctx, store.Submission{
		Request: sub.Request, Dedupe: sub.Dedupe, Events: sub.Events,
		Outcome: sub.Outcome, Reason: sub.Reason, Warnings: sub.Warnings, Remember: sub.Remember,
	})
	if err != nil {
		return api.Receipt{}, err
	}
	return api.Receipt{
		Event: got.Request, Runs: got.Runs, Outcome: got.Outcome, Reason: got.Reason,
		DuplicateOf: got.DuplicateOf, FirstOutcome: got.First,
	}, nil
}

// Runs implements [api.Runs].
func (a adapter) Runs(ctx context.Context, f api.RunFilter) ([]*bridge.Run, string, error) {
	runs, next, err := a.Store.Runs(ctx, store.RunFilter{
		Status: f.Status, Pipeline: f.Pipeline, Source: f.Source, SHA: f.SHA, Limit: f.Limit, Cursor: f.Cursor,
	})
	return slices.DeleteFunc(runs, func(r *bridge.Run) bool {
		return f.Repo != "" && fieldText(r, "repo.full_name") != f.Repo || f.Branch != "" && fieldText(r, "commit.branch") != f.Branch
	}), next, err
}

func fieldText(r *bridge.Run, name string) string {
	v, _ := r.Field(name)
	text, _ := v.(string)
	return text
}

// Pipelines implements [api.Runs]. There are few, so that all are one page.
func (a adapter) Pipelines(ctx context.Context, _ api.Page) ([]api.Pipeline, string, error) {
	found, err := a.Store.Pipelines(ctx)
	var out []api.Pipeline
	for _, p := range found {
		out = append(out, api.Pipeline{ID: p.ID, Name: p.Name, Title: p.Title, Source: p.Source, LastRun: p.LastRun})
	}
	return out, "", err
}

// Event implements [api.Ledger].
func (a adapter) Event(ctx context.Context, id string) (api.Entry, error) {
	e, err := a.Store.Request(ctx, id)
	return entryOf(e), err
}

// Raw implements [api.Ledger].
func (a adapter) Raw(ctx context.Context, id string) (bridge.Request, error) {
	e, err := a.Store.Request(ctx, id)
	return e.Request, err
}

// Events implements [api.Ledger].
func (a adapter) Events(ctx context.Context, f api.EventFilter) ([]api.Entry, string, error) {
	var found []store.Entry
	var next string
	var err error
	if f.Run != "" {
		if found, err = a.Store.RequestsOf(ctx, f.Run); err == nil {
			slices.Reverse(found)
			found = slices.DeleteFunc(found, func(e store.Entry) bool {
				return f.Outcome != "" && e.Outcome != f.Outcome || f.Source != "" && e.Request.Source != f.Source
			})
		}
	} else {
		found, next, err = a.Store.Requests(ctx, store.RequestFilter{Outcome: f.Outcome, Source: f.Source, Limit: f.Limit, Cursor: f.Cursor})
	}
	out := make([]api.Entry, len(found))
	for i, e := range found {
		out[i] = entryOf(e)
	}
	return out, next, err
}

func entryOf(e store.Entry) api.Entry {
	return api.Entry{
		ID: e.Request.ID, Source: e.Request.Source, Mapping: e.Request.Mapping, Received: e.Request.Received,
		Method: e.Request.Method, Path: e.Request.Path, Outcome: e.Outcome, Reason: e.Reason, Runs: e.Runs,
		DuplicateOf: e.DuplicateOf, Warnings: e.Warnings, Bytes: len(e.Request.Body),
	}
}

// HookAttempts implements [api.Attempts].
func (a adapter) HookAttempts(ctx context.Context, id string, offset, limit int) ([]bridge.Attempt, int, error) {
	var all []bridge.Attempt
	for cursor := ""; ; {
		page, next, err := a.Store.Attempts(ctx, store.AttemptFilter{Hook: id, Limit: maxPage, Cursor: cursor})
		if err != nil {
			return nil, 0, err
		}
		all = append(all, page...)
		if cursor = next; next == "" || len(all) >= maxAttempts {
			break
		}
	}
	from, to := min(offset, len(all)), min(offset+limit, len(all))
	return all[from:to], len(all), nil
}

// The request log of Devopness counts its pages, so that all of it is read:
// no more than this.
const (
	maxPage     = 500
	maxAttempts = 10_000
)

// DeliveryAttempts implements [api.Attempts].
func (a adapter) DeliveryAttempts(ctx context.Context, delivery string) ([]bridge.Attempt, error) {
	all, _, err := a.Store.Attempts(ctx, store.AttemptFilter{Delivery: delivery})
	slices.Reverse(all)
	return all, err
}

// health implements the answer of /readyz.
func (a adapter) health(ctx context.Context) api.Health {
	h := a.Store.Health(ctx)
	return api.Health{Ready: h.OK, Reasons: append(h.Problems, h.Notes...), Facts: map[string]any{
		"redis": h.Server, "durability": h.Durability, "version": version, "partitions": a.Partitions(),
	}}
}
