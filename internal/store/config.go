package store

import (
	"cmp"
	"log/slog"
	"time"

	"cibridge/bridge"
	"cibridge/internal/seal"
)

// Durability says what an acknowledged event survives.
type Durability string

// The durabilities.
const (
	// Strict survives kill -9 of Redis and loss of power: Redis writes to disk
	// before it answers. The default.
	Strict Durability = "strict"
	// Replicated is Strict on the primary and on one replica. Redis 7.2 or
	// newer.
	Replicated Durability = "replicated"
	// Relaxed may lose the last second or two.
	Relaxed Durability = "relaxed"
)

// Planner turns what a commit of a run causes into deliveries.
type Planner interface {
	// Plan returns the deliveries of firing and of those parked firings of run
	// that can be sent now. firing is nil when nothing fired. Plan may edit
	// run.Parked and run.Skips. It is called on every commit, several times
	// when replicas compete for a run, and concurrently for different runs.
	Plan(run *bridge.Run, firing *bridge.Firing, now time.Time) []bridge.Delivery
}

// Config is what Open needs. Zero values mean the defaults that are named at
// the fields.
type Config struct {
	// URL of Redis: redis://, rediss://, unix:///path, or for more than one
	// server sentinel://host:port,host:port/master?db=0 and
	// cluster://host:port,host:port, each with an s for TLS (sentinels,
	// clusters) and user:password@ before the hosts.
	URL string
	// Prefix stands before every key; "" by default.
	Prefix     string
	Durability Durability // Strict
	// Partitions is fixed when a Redis is used for the first time; 0 takes what
	// is there, 16 at first.
	Partitions int
	Ring       *seal.Ring // required
	Planner    Planner    // nil plans nothing
	// StaleAfter returns after how long without an event a run that is not over
	// is closed as errored, by source. Runs of other sources are never. Nil is
	// none.
	StaleAfter func() map[string]time.Duration
	Log        *slog.Logger
	// MaxConnections bounds the connections to one Redis server; 32.
	MaxConnections int
	// Pipelines is how many pipelines of commits may be on their way at once;
	// 2: more make smaller ones, and Redis writes to disk more often.
	Pipelines int
	// CommitTimeout is after how long a commit that Redis did not answer fails
	// with CodeUnavailable; 1.7 s.
	CommitTimeout time.Duration
	Retention     Retention
	Queue         Queue
	Every         Every
}

// Retention says how long things are kept, and at most how many of them.
type Retention struct {
	Requests time.Duration // with their raw body; 7 days
	Runs     time.Duration // after the last event; 90 days
	Attempts time.Duration // and settled deliveries; 30 days
	Dedupe   time.Duration // answers to duplicates; 96 hours
	Dead     time.Duration // dead letters; 30 days
	Parked   time.Duration // how long a firing waits for a missing value; 24 hours
	// MaxRequests, MaxRuns and MaxAttempts bound the indexes of one partition
	// (of one hook, for attempts); 1,000,000, 1,000,000 and 10,000.
	MaxRequests, MaxRuns, MaxAttempts int64
}

// Queue holds the limits and intervals of the queue.
type Queue struct {
	Timeout    time.Duration // of a request that names none; 10 s
	Grace      time.Duration // a lease is the request's timeout and this; 20 s
	Quarantine time.Duration // a lane rests after an ambiguous attempt; 15 s
	Confirm    time.Duration // until the confirming re-send; 60 s
	PerBucket  int           // requests at once to one bucket; 8
	// Breaker: after BreakerFails failures of a target in a row its bucket
	// waits BreakerMin, doubled with each further failure up to BreakerMax;
	// 5, 30 s, 10 min.
	BreakerFails           int
	BreakerMin, BreakerMax time.Duration
	// Limit returns what a provider is known to allow, for a bucket; zero
	// fields are no limit of their own. Nil is none for all.
	Limit func(bucket string) Limit
}

// Limit is what the requests of one bucket are held to, over all replicas. It
// holds for each partition by itself.
type Limit struct {
	PerBucket int           // requests at once; 0 is Queue.PerBucket
	Every     time.Duration // one request in this time, on the long run; 0 is no rate
	Burst     int           // requests that may come without a pause; 1
}

// limit returns the limit of a bucket.
func (q Queue) limit(bucket string) Limit {
	var l Limit
	if q.Limit != nil {
		l = q.Limit(bucket)
	}
	l.PerBucket, l.Burst = cmp.Or(l.PerBucket, q.PerBucket), max(l.Burst, 1)
	return l
}

// Every holds the intervals of what runs in the background.
type Every struct {
	Meta       time.Duration // looks for changes that no message told of; 1 s
	Poll       time.Duration // looks at queues with work; 1 s
	Idle       time.Duration // looks at empty queues; 5 s
	Sweep      time.Duration // tries parked firings again and closes stale runs; 30 s
	Parked     time.Duration // between two tries of one run; 60 s
	Janitor    time.Duration // trims indexes; 10 min
	Durability time.Duration // checks the settings of Redis; 30 s
}

const day = 24 * time.Hour

func (c Config) withDefaults() Config {
	c.Durability = cmp.Or(c.Durability, Strict)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Planner == nil {
		c.Planner = noPlan{}
	}
	if c.StaleAfter == nil {
		c.StaleAfter = func() map[string]time.Duration { return nil }
	}
	c.MaxConnections = cmp.Or(c.MaxConnections, 32)
	c.Pipelines = cmp.Or(c.Pipelines, 2)
	c.CommitTimeout = cmp.Or(c.CommitTimeout, 1700*time.Millisecond)

	r := &c.Retention
	r.Requests = cmp.Or(r.Requests, 7*day)
	r.Runs = cmp.Or(r.Runs, 90*day)
	r.Attempts = cmp.Or(r.Attempts, 30*day)
	r.Dedupe = cmp.Or(r.Dedupe, 96*time.Hour)
	r.Dead = cmp.Or(r.Dead, 30*day)
	r.Parked = cmp.Or(r.Parked, day)
	r.MaxRequests = cmp.Or(r.MaxRequests, 1_000_000)
	r.MaxRuns = cmp.Or(r.MaxRuns, 1_000_000)
	r.MaxAttempts = cmp.Or(r.MaxAttempts, 10_000)

	d := &c.Queue
	d.Timeout = cmp.Or(d.Timeout, 10*time.Second)
	d.Grace = cmp.Or(d.Grace, 20*time.Second)
	d.Quarantine = cmp.Or(d.Quarantine, 15*time.Second)
	d.Confirm = cmp.Or(d.Confirm, time.Minute)
	d.PerBucket = cmp.Or(d.PerBucket, 8)
	d.BreakerFails = cmp.Or(d.BreakerFails, 5)
	d.BreakerMin = cmp.Or(d.BreakerMin, 30*time.Second)
	d.BreakerMax = cmp.Or(d.BreakerMax, 10*time.Minute)

	e := &c.Every
	e.Meta = cmp.Or(e.Meta, time.Second)
	e.Poll = cmp.Or(e.Poll, time.Second)
	e.Idle = cmp.Or(e.Idle, 5*time.Second)
	e.Sweep = cmp.Or(e.Sweep, 30*time.Second)
	e.Parked = cmp.Or(e.Parked, time.Minute)
	e.Janitor = cmp.Or(e.Janitor, 10*time.Minute)
	e.Durability = cmp.Or(e.Durability, 30*time.Second)
	return c
}

type noPlan struct{}

func (noPlan) Plan(*bridge.Run, *bridge.Firing, time.Time) []bridge.Delivery { return nil }

// ms is how durations go to scripts.
func ms(d time.Duration) int64 { return d.Milliseconds() }
