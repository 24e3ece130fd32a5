package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// DeadFilter selects dead letters. Empty fields select all.
type DeadFilter struct {
	Hook   string
	Since  int64  // epoch ms: those that died then or later
	Until  int64  // epoch ms: and not later than then
	Limit  int    // 50 by default, at most 500
	Cursor string // Next of the page before
}

// DeadLetters returns a page of the deliveries that were given up, the last one
// first, and the cursor of the next page, "" at the end. With a filter by hook
// a page may be shorter than Limit although there is a next one.
func (s *Store) DeadLetters(ctx context.Context, f DeadFilter) ([]Status, string, error) {
	var feeds []feed
	for _, partition := range s.meta.used() {
		feeds = append(feeds, feed{s.keyspace.in(partition).dead(), "", partition})
	}
	if f.Cursor == "" && f.Until > 0 {
		f.Cursor = position{ms: f.Until + 1}.cursor()
	}
	var all []Status
	next, err := s.walk(ctx, feeds, f.Cursor, limitOf(f.Limit), func(page []item) ([]bool, error) {
		young := slices.IndexFunc(page, func(it item) bool { return it.ms < f.Since })
		if young < 0 {
			young = len(page)
		}
		found, err := s.deliveriesAt(ctx, page[:young])
		if err != nil {
			return nil, err
		}
		kept := make([]bool, len(page))
		for i, it := range page[:young] {
			st, ok := found[it.value]
			if kept[i] = ok && (f.Hook == "" || st.Delivery.Hook == f.Hook); kept[i] {
				all = append(all, st)
			}
		}
		if young < len(page) {
			return nil, errEnough
		}
		return kept, nil
	})
	return all, next, err
}

// deliveriesAt reads the deliveries of a page by their ids; those that are no
// longer stored are not in the result.
func (s *Store) deliveriesAt(ctx context.Context, page []item) (map[string]Status, error) {
	wanted := map[int][]string{}
	for _, it := range page {
		wanted[it.partition] = append(wanted[it.partition], it.value)
	}
	found := map[string]Status{}
	for partition, ids := range wanted {
		list, err := s.deliveries(ctx, partition, ids)
		if err != nil {
			return nil, err
		}
		for _, st := range list {
			found[st.Delivery.ID] = st
		}
	}
	return found, nil
}

// AttemptFilter selects attempts by hook or by delivery, one of them.
type AttemptFilter struct {
	Hook     string
	Delivery string
	Limit    int    // 50 by default, at most 500; all for a delivery
	Cursor   string // Next of the page before
}

// Attempts returns a page of HTTP tries and the cursor of the next one, "" at
// the end: of a hook the last one first, of a delivery all, in order.
func (s *Store) Attempts(ctx context.Context, f AttemptFilter) ([]bridge.Attempt, string, error) {
	if f.Delivery != "" {
		st, err := s.Delivery(ctx, f.Delivery)
		return st.tries, "", err
	}
	var feeds []feed
	for _, partition := range s.meta.used() {
		feeds = append(feeds, feed{s.keyspace.in(partition).attempts(f.Hook), "a", partition})
	}
	var all []bridge.Attempt
	next, err := s.walk(ctx, feeds, f.Cursor, limitOf(f.Limit), func(page []item) ([]bool, error) {
		found, err := s.attempts(ctx, page)
		kept := make([]bool, len(page))
		for i, it := range page {
			var a bridge.Attempt
			if a, kept[i] = found[it.value]; kept[i] {
				all = append(all, a)
			}
		}
		return kept, err
	})
	return all, next, err
}

// attempts reads the attempts of a page; those that are no longer stored are
// not in the result.
func (s *Store) attempts(ctx context.Context, page []item) (map[string]bridge.Attempt, error) {
	wanted := map[int]map[string]bool{}
	for _, it := range page {
		if of, ok := deliveryOfAttempt(it.value); ok {
			if wanted[it.partition] == nil {
				wanted[it.partition] = map[string]bool{}
			}
			wanted[it.partition][of] = true
		}
	}
	found := map[string]bridge.Attempt{}
	for partition, ids := range wanted {
		list, err := s.deliveries(ctx, partition, slices.Sorted(maps.Keys(ids)))
		if err != nil {
			return nil, err
		}
		for _, st := range list {
			for _, a := range st.tries {
				found[a.ID] = a
			}
		}
	}
	return found, nil
}

// Attempt returns one HTTP try; CodeNotFound when there is none.
func (s *Store) Attempt(ctx context.Context, id string) (bridge.Attempt, error) {
	of, ok := deliveryOfAttempt(id)
	if !ok {
		return bridge.Attempt{}, notFound("attempt", id)
	}
	tries, _, err := s.Attempts(ctx, AttemptFilter{Delivery: of})
	var known *bridge.Error
	if errors.As(err, &known) && known.Code == bridge.CodeNotFound {
		return bridge.Attempt{}, notFound("attempt", id)
	}
	for _, a := range tries {
		if a.ID == id {
			return a, nil
		}
	}
	if err == nil {
		err = notFound("attempt", id)
	}
	return bridge.Attempt{}, err
}

// Pipeline is a pipeline that runs were seen of.
type Pipeline struct {
	ID      string `json:"id"`   // pl_…
	Name    string `json:"name"` // "<source>/<pipeline.id>"
	Source  string `json:"source"`
	Title   string `json:"title,omitempty"` // its name for people
	URL     string `json:"url,omitempty"`
	LastRun string `json:"last_run,omitempty"` // the newest run
	LastAt  int64  `json:"last_at,omitempty"`  // when it was first seen, epoch ms
}

func pipelineOf(r *bridge.Run) Pipeline {
	p := Pipeline{Name: r.PipelineName(), Source: r.Source}
	if v, ok := r.Field("pipeline.name"); ok {
		p.Title, _ = v.(string)
	}
	if v, ok := r.Field("pipeline.url"); ok {
		p.URL, _ = v.(string)
	}
	return p
}

// Pipelines lists the pipelines that runs were seen of, by name.
func (s *Store) Pipelines(ctx context.Context) ([]Pipeline, error) {
	parts := s.meta.used()
	names := make([]*redis.MapStringStringCmd, len(parts))
	err := s.read(ctx, "read pipelines", func(p redis.Pipeliner) {
		for i, partition := range parts {
			names[i] = p.HGetAll(ctx, s.keyspace.in(partition).pipelines())
		}
	})
	if err != nil {
		return nil, err
	}
	byID := map[string]Pipeline{}
	for i, partition := range parts {
		if err := s.pipelinesIn(ctx, partition, names[i].Val(), byID); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b Pipeline) int { return cmp.Compare(a.Name, b.Name) }), nil
}

func (s *Store) pipelinesIn(ctx context.Context, partition int, packed map[string]string, byID map[string]Pipeline) error {
	last := map[string]*redis.ZSliceCmd{}
	err := s.read(ctx, "read pipelines", func(p redis.Pipeliner) {
		for id := range packed {
			last[id] = p.ZRevRangeWithScores(ctx, s.keyspace.in(partition).pipelineRuns(id), 0, 0)
		}
	})
	if err != nil {
		return err
	}
	for id, record := range packed {
		plain, err := s.packer.unpack([]byte(record), id)
		var pl Pipeline
		if err == nil {
			err = json.Unmarshal(plain, &pl)
		}
		if err != nil {
			return fmt.Errorf("read pipeline %s: %w", id, err)
		}
		pl.ID = id
		for _, z := range last[id].Val() {
			pl.LastRun, _ = z.Member.(string)
			pl.LastAt = int64(z.Score)
		}
		if known, ok := byID[id]; !ok || known.LastAt < pl.LastAt {
			byID[id] = pl
		}
	}
	return nil
}
