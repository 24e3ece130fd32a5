package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
)

// maxTries bounds how often a commit is applied again because its run had
// changed meanwhile.
const maxTries = 16

// Submission is a request with what the mapping made of it.
type Submission struct {
	Request bridge.Request
	// Partition is the partition key of the source, "" for the default.
	Partition string
	// Dedupe is the id by which a repeated request is known; the ids of Events
	// start with it.
	Dedupe string
	Events []bridge.Event
	// Outcome of a request without events: ignored, unmapped or rejected. With
	// events it is "", or unmapped when a status word was not known.
	Outcome bridge.Outcome
	Reason  string // of Outcome, for people
	// Remember answers a repetition of a request without events as a
	// duplicate. Requests with events are always remembered, rejected ones
	// never: the resend after a fix is a first send.
	Remember bool
	Warnings []string
}

// Receipt says what became of a request.
type Receipt struct {
	Request string   // its id, evt_…
	Runs    []string // the runs that its events belong to
	Outcome bridge.Outcome
	Reason  string
	// DuplicateOf is the first request of which this one is a repetition, First
	// its outcome. Both are "" otherwise, also when the outcome is duplicate
	// because the run knew the event already.
	DuplicateOf string
	First       bridge.Outcome
}

// Commit stores a request and, in the same atomic step for each of its events,
// what the event does to its run and the deliveries that causes. It returns
// only when all of that is stored as durably as configured.
//
// Errors are *bridge.Error. CodeConflict, CodeForbidden and CodeInvalid come
// from the run: the request is then recorded as rejected and not remembered.
// CodeUnavailable means that nothing is known to be stored, after at most
// Config.CommitTimeout; sending the same request again is safe, and is answered
// as a duplicate when it had been stored after all.
func (s *Store) Commit(ctx context.Context, sub Submission) (Receipt, error) {
	if n := len(sub.Request.ID); n == 0 || n > len("evt_")+requestSize {
		return Receipt{}, bridge.Errorf(bridge.CodeInvalid, "request id %q is not one of bridge.NewRequestID", sub.Request.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	c := &commit{s: s, sub: &sub, partition: s.PartitionOf(sub.Partition), hash: bodyHash(sub.Request.Body)}
	c.keys = s.keyspace.in(c.partition)
	if err := s.usePartition(ctx, c.partition); err != nil {
		return Receipt{}, err
	}
	if len(sub.Events) == 0 {
		return c.record(ctx, sub.Outcome, sub.Reason, sub.Remember && sub.Outcome != bridge.Rejected)
	}
	receipt, err := c.events(ctx)
	var known *bridge.Error
	if errors.As(err, &known) && known.Code != bridge.CodeUnavailable {
		if _, lost := c.record(ctx, bridge.Rejected, known.Message, false); lost != nil {
			return Receipt{}, lost
		}
	}
	return receipt, err
}

// commit is one Submission under way.
type commit struct {
	s         *Store
	sub       *Submission
	partition int
	keys      keys
	hash      string  // of the body
	sum       Receipt // of the events so far
}

// events commits one event after the other and sums their outcomes up: a
// request is applied when one of its events was.
func (c *commit) events(ctx context.Context) (Receipt, error) {
	alone := len(c.sub.Events) == 1
	for i := range c.sub.Events {
		got, err := c.event(ctx, &c.sub.Events[i], alone)
		if err != nil {
			return Receipt{}, err
		}
		c.sum = got
	}
	if !alone && c.sum.DuplicateOf != "" {
		return c.sum, c.repeated(ctx)
	}
	return c.sum, nil
}

// outcomeRank orders the outcomes of the events of one request.
var outcomeRank = map[bridge.Outcome]int{bridge.Duplicate: 1, bridge.Late: 2, bridge.Applied: 3, bridge.Unmapped: 4}

// with returns the sum of the events so far and of one more.
func (c *commit) with(more Receipt) Receipt {
	sum := c.sum
	if outcomeRank[more.Outcome] > outcomeRank[sum.Outcome] {
		sum = more
	}
	sum.Request = c.sub.Request.ID
	sum.Runs = slices.Clone(c.sum.Runs)
	for _, run := range more.Runs {
		if !slices.Contains(sum.Runs, run) {
			sum.Runs = append(sum.Runs, run)
		}
	}
	return sum
}

// event commits one event. Commits of one run wait for each other here, so
// that they need not fight for it in Redis.
func (c *commit) event(ctx context.Context, ev *bridge.Event, alone bool) (Receipt, error) {
	if ev.Received == 0 {
		ev.Received = c.sub.Request.Received.UnixMilli()
	}
	id := bridge.RunID(c.partition, ev.Source, ev.RunKey)
	unlock, err := c.s.locks.lock(ctx, id)
	if err != nil {
		return Receipt{}, unavailable("wait for run "+id, err)
	}
	defer unlock()

	run, _ := c.s.runs.take(id)
	certain := false // what is cached or assumed may be behind Redis
	for try := 0; try < maxTries; try++ {
		if run == nil {
			run = &storedRun{Run: bridge.NewRun(c.partition, ev.Source, ev.RunKey, ev.Received)}
		}
		w, err := c.apply(run, ev, alone)
		if err != nil && !certain {
			if run, err = c.s.loadRun(ctx, id); err != nil {
				return Receipt{}, err
			}
			certain = true
			continue
		}
		if err != nil {
			return Receipt{}, err
		}
		if try >= triesToClaim {
			w.claim = ms(claimTime)
		}
		reply, err := c.s.evalBatched(ctx, commitScript, w)
		if err != nil {
			return Receipt{}, err
		}
		switch str(reply, 0) {
		case "ok", "again":
			c.committed(run, w)
			return w.receipt, nil
		case "duplicate":
			return c.duplicate(str(reply, 1))
		case "claimed":
			if err := pause(ctx); err != nil {
				return Receipt{}, unavailable("commit", err)
			}
			try-- // it was not our turn
		}
		if run, err = c.s.runFrom(c.partition, id, str(reply, 1)); err != nil {
			return Receipt{}, unavailable("commit", err)
		}
		certain = true
	}
	return Receipt{}, unavailable("commit", fmt.Errorf("run %s changed under %d tries", id, maxTries))
}

// When replicas compete for a run, the one that has committed last has the
// newest state at hand and tends to be first again. So a replica that loses
// this often claims the run for a moment: the others then wait.
const (
	triesToClaim = 3
	claimTime    = 100 * time.Millisecond
)

// pause waits for a claim to be used: a few milliseconds, at random, so that
// those who wait do not come back together.
func pause(ctx context.Context) error {
	t := time.NewTimer(time.Millisecond + time.Duration(rand.Int64N(int64(4*time.Millisecond))))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apply folds ev into run, plans what that fires and lists what to write. When
// it fails, run is unchanged.
func (c *commit) apply(run *storedRun, ev *bridge.Event, alone bool) (*writes, error) {
	before := indexedOf(run.Run)
	change, err := run.Apply(*ev)
	if err != nil {
		return nil, err
	}
	own := Receipt{Runs: []string{run.ID}, Outcome: change.Outcome, Reason: change.Reason}
	if c.sub.Outcome == bridge.Unmapped {
		own.Outcome, own.Reason = bridge.Unmapped, c.sub.Reason
	}
	receipt := c.with(own)
	run.Requests = last(append(run.Requests, c.sub.Request.ID), maxRunRequests)

	w := &writes{run: c.keys.run(run.ID), expected: run.Version, receipt: receipt}
	if err := c.s.planInto(w, c.keys, run, change.Firing, before); err != nil {
		return nil, unavailable("commit", err)
	}
	w.seen = c.keys.seen(seenHash(c.sub.Request.Source, ev.ID))
	w.answer = answer{c.sub.Request.ID, own.Outcome, run.ID}.encode(c.hash)
	if err := c.ledger(w, receipt, alone); err != nil {
		return nil, unavailable("commit", err)
	}
	return w, nil
}

// ledger adds the record of the request.
func (c *commit) ledger(w *writes, receipt Receipt, alone bool) error {
	packed, err := c.s.encodeRequest(c.keys, c.sub, receipt.Runs, receipt.Reason)
	if err != nil {
		return err
	}
	w.request, w.requestID, w.record = c.keys.request(c.sub.Request.ID), c.sub.Request.ID, packed
	w.outcome, w.outcomes = string(outcomeLetters[receipt.Outcome]), c.keys.outcomes(receipt.Outcome)
	w.duplicates, w.alone, w.hash = c.keys.outcomes(bridge.Duplicate), alone, c.hash
	keep := c.s.cfg.Retention
	w.ttlSeen, w.ttlRequest, w.ttlRun, w.maxRequests = ms(keep.Dedupe), ms(keep.Requests), ms(keep.Runs), keep.MaxRequests
	return nil
}

// committed keeps what the next commits and deliveries will ask for.
func (c *commit) committed(run *storedRun, w *writes) {
	c.s.runs.put(run.ID, run)
	if w.pipeline != "" {
		c.s.pipelines.put(c.keys.tag+w.pipeline, w.pipelineText)
	}
	c.s.planned(c.partition, w.deliveries)
}

// duplicate returns what was answered the first time.
func (c *commit) duplicate(value string) (Receipt, error) {
	a, err := decodeAnswer(c.partition, value)
	if err != nil {
		return Receipt{}, unavailable("commit", err)
	}
	r := Receipt{Outcome: bridge.Duplicate, DuplicateOf: a.request, First: a.outcome, Reason: "the same request arrived before as " + a.request}
	if a.run != "" {
		r.Runs = []string{a.run}
	}
	return c.with(r), nil
}

// record stores a request without events.
func (c *commit) record(ctx context.Context, o bridge.Outcome, reason string, remember bool) (Receipt, error) {
	w := &writes{receipt: Receipt{Request: c.sub.Request.ID, Outcome: o, Reason: reason, Runs: c.sum.Runs}}
	if err := c.ledger(w, w.receipt, true); err != nil {
		return Receipt{}, unavailable("record", err)
	}
	if remember {
		w.seen = c.keys.seen(seenHash(c.sub.Request.Source, c.sub.Dedupe))
		w.answer = answer{request: c.sub.Request.ID, outcome: o}.encode(c.hash)
	}
	reply, err := c.s.evalBatched(ctx, commitScript, w)
	if err != nil {
		return Receipt{}, err
	}
	if str(reply, 0) == "duplicate" {
		return c.duplicate(str(reply, 1))
	}
	return w.receipt, nil
}

// repeated stores a request all of whose events had come before.
func (c *commit) repeated(ctx context.Context) error {
	w := &writes{}
	if err := c.ledger(w, c.sum, true); err != nil {
		return unavailable("record", err)
	}
	w.outcome += strings.TrimPrefix(c.sum.DuplicateOf, "evt_")
	_, err := c.s.evalBatched(ctx, commitScript, w)
	return err
}
