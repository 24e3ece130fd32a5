package main

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/api"
	"cibridge/internal/config"
	"cibridge/internal/provider"
	"cibridge/internal/store"
)

// Delivery implements [api.Deliveries].
func (a adapter) Delivery(ctx context.Context, id string) (api.DeliveryStatus, error) {
	s, err := a.Store.Delivery(ctx, id)
	return statusOf(s), err
}

// Deliveries implements [api.Deliveries]: the deliveries of one run, the
// pending or the dead ones, else those of the newest runs.
func (a adapter) Deliveries(ctx context.Context, f api.DeliveryFilter) ([]api.DeliveryStatus, string, error) {
	found, next, err := a.deliveries(ctx, f)
	out := make([]api.DeliveryStatus, len(found))
	for i, s := range found {
		out[i] = statusOf(s)
	}
	return out, next, err
}

// RedeliverAll implements [api.Deliveries].
func (a adapter) RedeliverAll(ctx context.Context, f api.DeliveryFilter, how api.RedeliverOptions) ([]api.Redelivery, string, error) {
	found, next, err := a.deliveries(ctx, f)
	if err != nil {
		return nil, "", err
	}
	done, err := a.Store.RedeliverAll(ctx, found, store.RedeliverOptions(how))
	out := make([]api.Redelivery, len(done))
	for i, r := range done {
		out[i] = api.Redelivery(r)
	}
	return out, next, err
}

// deliveries returns a page of those that f selects.
func (a adapter) deliveries(ctx context.Context, f api.DeliveryFilter) ([]store.Status, string, error) {
	found, next, err := a.indexed(ctx, f)
	return slices.DeleteFunc(found, func(s store.Status) bool {
		at := time.UnixMilli(s.Updated)
		return f.State != "" && s.State != f.State || f.Hook != "" && s.Delivery.Hook != f.Hook || f.Run != "" && s.Delivery.Run != f.Run ||
			at.Before(f.Since) || !f.Until.IsZero() && at.After(f.Until)
	}), next, err
}

// indexed returns a page of the index that selects most.
func (a adapter) indexed(ctx context.Context, f api.DeliveryFilter) ([]store.Status, string, error) {
	switch {
	case f.Run != "":
		found, err := a.Store.Deliveries(ctx, f.Run)
		slices.Reverse(found)
		return found, "", err
	case f.State == bridge.DeliveryDead:
		return a.DeadLetters(ctx, store.DeadFilter{Hook: f.Hook, Since: epochMS(f.Since), Until: epochMS(f.Until), Limit: f.Limit, Cursor: f.Cursor})
	case f.State == bridge.DeliveryPending || f.State == bridge.DeliverySending:
		found, err := a.Pending(ctx, maxPage) // those of both states
		return found, "", err
	}
	runs, next, err := a.Store.Runs(ctx, store.RunFilter{Limit: f.Limit, Cursor: f.Cursor})
	if err != nil {
		return nil, "", err
	}
	var all []store.Status
	for _, r := range runs {
		of, err := a.Store.Deliveries(ctx, r.ID)
		if err != nil {
			return nil, "", fmt.Errorf("deliveries of %s: %w", r.ID, err)
		}
		slices.Reverse(of)
		all = append(all, of...)
	}
	return all, next, nil
}

// limitsOf finds the configured limit of a bucket, "<origin>|<credential>".
func limitsOf(list []config.Limit) func(bucket string) store.Limit {
	byOrigin := map[string]store.Limit{}
	for _, l := range list {
		u, err := url.Parse(l.Origin)
		if err != nil {
			continue // the configuration was checked
		}
		limit := store.Limit{PerBucket: l.Concurrent, Burst: l.Burst}
		if l.Requests > 0 {
			limit.Every = cmp.Or(l.Per, time.Minute) / time.Duration(l.Requests)
		}
		byOrigin[provider.Origin(u)] = limit
	}
	return func(bucket string) store.Limit {
		origin, _, _ := strings.Cut(bucket, "|")
		return byOrigin[origin]
	}
}

// epochMS is 0 for no time.
func epochMS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func statusOf(s store.Status) api.DeliveryStatus {
	out := api.DeliveryStatus{Delivery: s.Delivery, State: s.State, Reason: s.Reason, Tries: s.Tries, Updated: time.UnixMilli(s.Updated).UTC()}
	if s.Next > 0 {
		out.Next = time.UnixMilli(s.Next).UTC()
	}
	if w := s.Waits; w != nil {
		out.Waits = &api.Wait{For: w.For, Behind: w.Behind, Text: w.Text()}
		if w.Until > 0 {
			out.Waits.Until = time.UnixMilli(w.Until).UTC()
		}
	}
	return out
}
