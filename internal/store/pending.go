package store

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Pending returns deliveries that are not settled yet, at most limit (50 by
// default, at most 500): those of the lanes that are due first.
func (s *Store) Pending(ctx context.Context, limit int) ([]Status, error) {
	limit = limitOf(limit)
	var all []Status
	for _, partition := range s.meta.used() {
		ids, err := s.pendingIDs(ctx, partition, limit-len(all))
		if err != nil {
			return nil, err
		}
		found, err := s.deliveries(ctx, partition, ids)
		if err != nil {
			return nil, err
		}
		if all = append(all, found...); len(all) >= limit {
			break
		}
	}
	return all, nil
}

// pendingIDs walks the queue of a partition: buckets, their lanes, the entries
// of each lane. It looks at more lanes than it needs, since a lane may be due
// and have nothing left.
func (s *Store) pendingIDs(ctx context.Context, partition, limit int) ([]string, error) {
	k := s.keyspace.in(partition)
	lanes, err := s.members(ctx, []string{k.buckets()}, limit)
	if err == nil {
		lanes, err = s.members(ctx, each(lanes, k.due), limit)
	}
	if err == nil {
		lanes, err = s.members(ctx, each(lanes, k.queue), limit)
	}
	return each(lanes, func(member string) string { return deliveryOf(partition, member) }), err
}

// members returns the first limit members of some sorted sets.
func (s *Store) members(ctx context.Context, sets []string, limit int) ([]string, error) {
	cmds := make([]*redis.StringSliceCmd, len(sets))
	err := s.read(ctx, "read the queue", func(p redis.Pipeliner) {
		for i, set := range sets {
			cmds[i] = p.ZRange(ctx, set, 0, int64(limit-1))
		}
	})
	var all []string
	for _, c := range cmds {
		all = append(all, c.Val()...)
	}
	return all[:min(len(all), limit)], err
}

func each(in []string, f func(string) string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = f(s)
	}
	return out
}
