package store

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// RunFilter selects runs. Empty fields select all.
type RunFilter struct {
	Status   bridge.Status
	Pipeline string // pl_… or "<source>/<pipeline.id>"
	Source   string
	SHA      string // or its first digits, at least 4
	Limit    int    // 50 by default, at most 500
	Cursor   string // Next of the page before
}

// Run returns a run; CodeNotFound when there is none.
func (s *Store) Run(ctx context.Context, id string) (*bridge.Run, error) {
	r, err := s.loadKnown(ctx, id)
	if err != nil {
		return nil, err
	}
	return r.Run, nil
}

// loadKnown is loadRun with CodeNotFound for a run that is not there.
func (s *Store) loadKnown(ctx context.Context, id string) (*storedRun, error) {
	partition, ok := bridge.PartitionOf(id)
	if !ok || !strings.HasPrefix(id, "run_") || partition >= s.cfg.Partitions {
		return nil, notFound("run", id)
	}
	r, err := s.loadRun(ctx, id)
	if err == nil && r == nil {
		err = notFound("run", id)
	}
	return r, err
}

// loadRun reads a run from Redis; nil when there is none.
func (s *Store) loadRun(ctx context.Context, id string) (*storedRun, error) {
	partition, _ := bridge.PartitionOf(id)
	var cmd *redis.StringCmd
	if err := s.read(ctx, "read run", func(p redis.Pipeliner) { cmd = p.Get(ctx, s.keyspace.in(partition).run(id)) }); err != nil {
		return nil, err
	}
	return s.runFrom(partition, id, cmd.Val())
}

// runFrom decodes a run; nil for "".
func (s *Store) runFrom(partition int, id, value string) (*storedRun, error) {
	if value == "" {
		return nil, nil
	}
	return s.decodeRun(partition, id, value)
}

// Runs returns a page of runs, newest first, and the cursor of the next one,
// "" at the end. The order does not change when runs are added or updated; with
// a filter by source a page may be shorter than Limit although there is a next
// one.
func (s *Store) Runs(ctx context.Context, f RunFilter) ([]*bridge.Run, string, error) {
	limit := limitOf(f.Limit)
	feeds, err := s.runFeeds(f)
	if err != nil {
		return nil, "", err
	}
	var runs []*bridge.Run
	next, err := s.walk(ctx, feeds, f.Cursor, limit, func(page []item) ([]bool, error) {
		found, err := s.loadRuns(ctx, page)
		if err != nil {
			return nil, err
		}
		kept := make([]bool, len(page))
		for i, r := range found {
			if kept[i] = r != nil && f.selects(r.Run); kept[i] {
				runs = append(runs, r.Run)
			}
		}
		return kept, nil
	})
	return runs, next, err
}

// runFeeds chooses the index that selects most.
func (s *Store) runFeeds(f RunFilter) ([]feed, error) {
	if f.SHA != "" && len(f.SHA) < 4 {
		return nil, bridge.Errorf(bridge.CodeInvalid, "the sha %q is too short, give at least 4 digits", f.SHA)
	}
	var feeds []feed
	for _, partition := range s.meta.used() {
		k := s.keyspace.in(partition)
		switch {
		case f.SHA != "":
			feeds = append(feeds, feed{k.sha(strings.ToLower(f.SHA)), "", partition})
		case f.Pipeline != "":
			feeds = append(feeds, feed{k.pipelineRuns(pipelineID(f.Pipeline)), "", partition})
		case f.Status != "":
			feeds = append(feeds, feed{k.status(f.Status), "", partition})
		default:
			for _, status := range append(bridge.Statuses(), bridge.Incomplete) {
				feeds = append(feeds, feed{k.status(status), "", partition})
			}
		}
	}
	return feeds, nil
}

// pipelineID accepts the short id and the canonical name.
func pipelineID(name string) string {
	if strings.Contains(name, "/") {
		return bridge.PipelineID(name)
	}
	return name
}

func (f RunFilter) selects(r *bridge.Run) bool {
	sha, _ := r.Field("commit.sha")
	text, _ := sha.(string)
	return (f.Status == "" || r.Status() == f.Status) &&
		(f.Source == "" || r.Source == f.Source) &&
		(f.Pipeline == "" || r.PipelineID() == pipelineID(f.Pipeline)) &&
		(f.SHA == "" || strings.HasPrefix(strings.ToLower(text), strings.ToLower(f.SHA)))
}

// loadRuns reads the runs of a page; nil for one that is gone.
func (s *Store) loadRuns(ctx context.Context, page []item) ([]*storedRun, error) {
	records := make([]*redis.StringCmd, len(page))
	ids := make([]string, len(page))
	err := s.read(ctx, "read runs", func(p redis.Pipeliner) {
		for i, it := range page {
			ids[i] = it.value[strings.LastIndexByte(it.value, ':')+1:] // an entry of the sha index has the sha before it
			records[i] = p.Get(ctx, s.keyspace.in(it.partition).run(ids[i]))
		}
	})
	if err != nil {
		return nil, err
	}
	runs := make([]*storedRun, len(page))
	for i, it := range page {
		if runs[i], err = s.runFrom(it.partition, ids[i], records[i].Val()); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// RequestFilter selects requests. Empty fields select all.
type RequestFilter struct {
	Outcome bridge.Outcome
	Source  string
	Limit   int    // 50 by default, at most 500
	Cursor  string // Next of the page before
}

// Request returns what was recorded of a request; CodeNotFound when there is
// none.
func (s *Store) Request(ctx context.Context, id string) (Entry, error) {
	if !strings.HasPrefix(id, "evt_") {
		return Entry{}, notFound("request", id)
	}
	parts := s.meta.used() // the id does not say which
	records := make([]*redis.StringCmd, len(parts))
	err := s.read(ctx, "read request", func(p redis.Pipeliner) {
		for i, partition := range parts {
			records[i] = p.Get(ctx, s.keyspace.in(partition).request(id))
		}
	})
	if err != nil {
		return Entry{}, err
	}
	for i, r := range records {
		if r.Err() == nil {
			return s.decodeRequest(s.keyspace.in(parts[i]), id, r.Val())
		}
	}
	return Entry{}, notFound("request", id)
}

// Requests returns a page of requests, newest first, and the cursor of the next
// one, "" at the end. With a filter by source a page may be shorter than Limit
// although there is a next one.
func (s *Store) Requests(ctx context.Context, f RequestFilter) ([]Entry, string, error) {
	outcomes := outcomeOrder
	if f.Outcome != "" {
		outcomes = []bridge.Outcome{f.Outcome}
	}
	var feeds []feed
	for _, partition := range s.meta.used() {
		for _, o := range outcomes {
			feeds = append(feeds, feed{s.keyspace.in(partition).outcomes(o), "e", partition})
		}
	}
	var all []Entry
	next, err := s.walk(ctx, feeds, f.Cursor, limitOf(f.Limit), func(page []item) ([]bool, error) {
		records := make([]*redis.StringCmd, len(page))
		err := s.read(ctx, "read requests", func(p redis.Pipeliner) {
			for i, it := range page {
				records[i] = p.Get(ctx, s.keyspace.in(it.partition).request(it.value))
			}
		})
		if err != nil {
			return nil, err
		}
		kept := make([]bool, len(page))
		for i, it := range page {
			if records[i].Err() != nil {
				continue // expired
			}
			k := s.keyspace.in(it.partition)
			e, err := s.decodeRequest(k, it.value, records[i].Val())
			if err != nil {
				return nil, err
			}
			// A request whose outcome was written twice is in two indexes.
			if kept[i] = it.feed == k.outcomes(e.Outcome) && (f.Source == "" || e.Request.Source == f.Source); kept[i] {
				all = append(all, e)
			}
		}
		return kept, nil
	})
	return all, next, err
}

// RequestsOf returns the requests whose events belong to a run, oldest first,
// without those that are no longer stored; at most the newest 200. CodeNotFound
// when there is no such run.
func (s *Store) RequestsOf(ctx context.Context, run string) ([]Entry, error) {
	r, err := s.loadKnown(ctx, run)
	if err != nil {
		return nil, err
	}
	k := s.keyspace.in(r.Partition)
	records := make([]*redis.StringCmd, len(r.Requests))
	err = s.read(ctx, "read requests", func(p redis.Pipeliner) {
		for i, id := range r.Requests {
			records[i] = p.Get(ctx, k.request(id))
		}
	})
	if err != nil {
		return nil, err
	}
	var all []Entry
	for i, id := range r.Requests {
		if records[i].Err() != nil {
			continue
		}
		e, err := s.decodeRequest(k, id, records[i].Val())
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}
