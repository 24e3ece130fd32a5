package store

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// FirstIn notes that something happened now and reports whether it had not for
// the time quiet: of all replicas one is told so.
func (s *Store) FirstIn(ctx context.Context, what string, quiet time.Duration) (bool, error) {
	var before *redis.StatusCmd
	err := s.read(ctx, "note an alert", func(p redis.Pipeliner) {
		before = p.SetArgs(ctx, s.keyspace.alert(what), "1", redis.SetArgs{TTL: quiet, Get: true})
	})
	return errors.Is(before.Err(), redis.Nil), err
}

// Breaker is a bucket with work whose target fails.
type Breaker struct {
	Bucket string
	Since  int64 // when it was opened first, epoch ms
	Until  int64 // when the next probe goes, epoch ms; it may be under way
	Fails  int   // in a row
}

// maxBreakers bounds the buckets of a partition that Breakers looks at.
const maxBreakers = 10_000

// Breakers lists the buckets that wait for their target.
func (s *Store) Breakers(ctx context.Context) ([]Breaker, error) {
	var open []Breaker
	for _, partition := range s.meta.used() {
		k := s.keyspace.in(partition)
		buckets, err := s.members(ctx, []string{k.buckets()}, maxBreakers)
		if err != nil || len(buckets) == 0 {
			if err != nil {
				return nil, err
			}
			continue
		}
		targets := make([]*redis.SliceCmd, len(buckets))
		err = s.read(ctx, "read breakers", func(p redis.Pipeliner) {
			for i, b := range buckets {
				targets[i] = p.HMGet(ctx, k.target(b), "since", "open", "fails")
			}
		})
		if err != nil {
			return nil, err
		}
		for i, t := range targets {
			if since := number(t, 0); since > 0 {
				open = append(open, Breaker{Bucket: buckets[i], Since: since, Until: number(t, 1), Fails: int(number(t, 2))})
			}
		}
	}
	return open, nil
}
