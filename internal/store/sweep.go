package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// sweepBatch bounds the runs of one partition that a sweep looks at.
const sweepBatch = 200

// Sweep tries the parked firings again whose time has come, ends those that
// have waited for Retention.Parked as skipped, and closes the runs of which no
// end event came within Config.StaleAfter. The store calls it by itself every
// Every.Sweep; replicas may do so at the same time.
func (s *Store) Sweep(ctx context.Context) error {
	var errs []error
	for _, partition := range s.meta.used() {
		k := s.keyspace.in(partition)
		var due []*redis.StringSliceCmd
		until := func(at int64) *redis.ZRangeBy {
			return &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(at, 10), Count: sweepBatch}
		}
		err := s.read(ctx, "look for what waits", func(p redis.Pipeliner) {
			now := time.Now().UnixMilli()
			due = append(due, p.ZRangeByScore(ctx, k.parked(), until(now)))
			for source, after := range s.cfg.StaleAfter() {
				due = append(due, p.ZRangeByScore(ctx, k.open(source), until(now-ms(after))))
			}
		})
		if err != nil {
			return err
		}
		var runs []string
		for _, list := range due {
			runs = append(runs, list.Val()...)
		}
		slices.Sort(runs)
		for _, run := range slices.Compact(runs) {
			if err := s.sweepRun(ctx, run); err != nil {
				errs = append(errs, fmt.Errorf("sweep %s: %w", run, err))
			}
		}
	}
	return errors.Join(errs...)
}

// sweepRun commits a run without an event.
func (s *Store) sweepRun(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	unlock, err := s.locks.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	s.runs.take(id)
	run, err := s.loadRun(ctx, id)
	if err != nil {
		return err
	}
	partition, _ := bridge.PartitionOf(id)
	k := s.keyspace.in(partition)
	if run == nil {
		return s.forget(ctx, k, id)
	}
	before, now := indexedOf(run.Run), time.Now()
	parked, skips := len(run.Parked), len(run.Skips)
	expireParked(run.Run, s.cfg.Retention.Parked, now)
	var closed *bridge.Firing
	if after, ok := s.cfg.StaleAfter()[run.Source]; ok && run.UpdatedAt+ms(after) <= now.UnixMilli() {
		closed = run.CloseStale(now.UnixMilli())
	}
	w := &writes{run: k.run(id), expected: run.Version}
	if err := s.planInto(w, k, run, closed, before); err != nil {
		return err
	}
	if closed == nil && len(run.Parked) == parked && len(run.Skips) == skips && len(w.deliveries) == 0 {
		return s.postpone(ctx, k, run.Run, now)
	}
	reply, err := s.evalBatched(ctx, commitScript, w)
	if err != nil || str(reply, 0) != "ok" {
		return err // in conflict with a commit, which has tried the same
	}
	if closed != nil {
		s.cfg.Log.Warn("run closed: no end event", "run", id, "source", run.Source, "key", run.Key, "was", string(before.status))
	}
	s.runs.put(id, run)
	s.planned(partition, w.deliveries)
	return nil
}

// postpone looks at a run again later, of which nothing changed.
func (s *Store) postpone(ctx context.Context, k keys, run *bridge.Run, now time.Time) error {
	return s.read(ctx, "postpone a run", func(p redis.Pipeliner) {
		p.ZAddXX(ctx, k.parked(), redis.Z{Score: float64(s.nextSweep(run, now)), Member: run.ID})
		if isOpen(run.Status()) {
			p.ZAddXX(ctx, k.open(run.Source), redis.Z{Score: float64(run.UpdatedAt), Member: run.ID})
		} else {
			p.ZRem(ctx, k.open(run.Source), run.ID)
		}
	})
}

// forget takes a run out of the sweeper's indexes whose record is gone.
func (s *Store) forget(ctx context.Context, k keys, id string) error {
	return s.read(ctx, "forget a run that is gone", func(p redis.Pipeliner) {
		p.ZRem(ctx, k.parked(), id)
		for source := range s.cfg.StaleAfter() {
			p.ZRem(ctx, k.open(source), id)
		}
	})
}

// expireParked ends the parked firings that have waited for too long.
func expireParked(run *bridge.Run, wait time.Duration, now time.Time) {
	var kept []bridge.Parked
	for _, p := range run.Parked {
		if p.At+ms(wait) > now.UnixMilli() {
			kept = append(kept, p)
			continue
		}
		run.Skips = append(run.Skips, bridge.Skip{Hook: p.Hook, Firing: p.Firing, Reason: "no " + p.Missing + " within " + spoken(wait)})
	}
	run.Parked = kept
}

// spoken formats a duration without its zero parts: "24h" rather than
// "24h0m0s".
func spoken(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"0s", "0m"} {
		if cut, ok := strings.CutSuffix(text, zero); ok && cut != "" && !strings.ContainsAny(cut[len(cut)-1:], "0123456789.") {
			text = cut
		}
	}
	return text
}

// clean trims the indexes and finishes what replicas that died had begun.
func (s *Store) clean(ctx context.Context) error {
	var errs []error
	for _, partition := range s.meta.used() {
		errs = append(errs, s.drainSuperseded(ctx, partition), s.trim(ctx, s.keyspace.in(partition)))
	}
	return errors.Join(errs...)
}

// trim removes what is too old or too much from the indexes of a partition.
// The records themselves expire.
func (s *Store) trim(ctx context.Context, k keys) error {
	keep, now := s.cfg.Retention, time.UnixMilli(s.redisNow())
	ago := func(d time.Duration) string { return strconv.FormatInt(now.Add(-d).UnixMilli(), 10) }
	var pipelines *redis.StringSliceCmd
	err := s.read(ctx, "trim indexes", func(p redis.Pipeliner) {
		for _, o := range outcomeOrder {
			p.XTrimMinIDApprox(ctx, k.outcomes(o), ago(keep.Requests), 0)
		}
		for _, status := range append(bridge.Statuses(), bridge.Incomplete) {
			p.ZRemRangeByScore(ctx, k.status(status), "-inf", ago(keep.Runs))
			p.ZRemRangeByRank(ctx, k.status(status), 0, -keep.MaxRuns-1)
		}
		p.ZRemRangeByScore(ctx, k.dead(), "-inf", ago(keep.Dead))
		pipelines = p.HKeys(ctx, k.pipelines())
	})
	if err != nil {
		return err
	}
	return s.read(ctx, "trim pipelines", func(p redis.Pipeliner) {
		for _, pl := range pipelines.Val() {
			p.ZRemRangeByScore(ctx, k.pipelineRuns(pl), "-inf", ago(keep.Runs))
			p.ZRemRangeByRank(ctx, k.pipelineRuns(pl), 0, -keep.MaxRuns-1)
		}
	})
}

// redisNow is the clock of Redis as far as this process knows it, epoch ms.
func (s *Store) redisNow() int64 { return time.Now().UnixMilli() + s.queue.skew.Load() }
