package store

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

const (
	lookBuckets = 16  // buckets looked into at once
	heldLanes   = 64  // lanes remembered of a bucket that is at its limit
	maxOpens    = 256 // tries of one Next
)

// spot is a lane that may be due. It is only a hint: the script that opens the
// lane decides.
type spot struct {
	partition    int
	bucket, lane string
}

type bucketKey struct {
	partition int
	bucket    string
}

func (sp spot) key() bucketKey { return bucketKey{sp.partition, sp.bucket} }

// queue is what this process knows of the due lanes.
type queue struct {
	s    *Store
	name string // of this replica in messages
	wake chan struct{}
	skew atomic.Int64 // clock of Redis minus ours, ms

	tellLater chan int

	filling sync.Mutex // one looks at Redis at a time

	mu       sync.Mutex
	ready    []spot
	known    map[spot]bool        // those in ready
	held     map[bucketKey][]spot // wait for a place in their bucket
	sending  map[bucketKey]int    // leases of this process
	lookAt   map[int]time.Time    // when to look at a partition's buckets again
	told     map[int]time.Time    // when the other replicas were last told of work
	untold   map[int]bool         // those in tellLater
	rendered *lru[planned]        // by delivery id
}

func newQueue(s *Store) *queue {
	return &queue{
		s: s, name: bridge.NewRequestID(time.Now())[len("evt_"):], wake: make(chan struct{}, 1),
		known: map[spot]bool{}, held: map[bucketKey][]spot{}, sending: map[bucketKey]int{}, lookAt: map[int]time.Time{}, told: map[int]time.Time{}, untold: map[int]bool{}, tellLater: make(chan int, bridge.MaxPartitions),
		rendered: newLRU[planned](cachedDeliveries),
	}
}

// Wake is signalled when there may be something for Next: after a commit here
// or elsewhere, and after a Settle that left work. One signal may stand for
// many.
func (s *Store) Wake() <-chan struct{} { return s.queue.wake }

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// tellEvery bounds the messages to other replicas: the first goes with its
// commit, those that come shortly after are told of together.
const tellEvery = 20 * time.Millisecond

// tell reports whether a commit should tell the other replicas of its work. If
// not, the teller will.
func (q *queue) tell(partition int, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now.Sub(q.told[partition]) >= tellEvery {
		q.told[partition] = now
		return true
	}
	if !q.untold[partition] {
		q.untold[partition] = true
		q.tellLater <- partition // has room for every partition
	}
	return false
}

// teller tells the other replicas of what was not told with a commit.
func (q *queue) teller() {
	for {
		var partition int
		select {
		case partition = <-q.tellLater:
		case <-q.s.ctx.Done():
			return
		}
		select {
		case <-time.After(tellEvery):
		case <-q.s.ctx.Done():
			return
		}
		q.mu.Lock()
		q.untold[partition], q.told[partition] = false, time.Now()
		q.mu.Unlock()
		err := q.s.read(q.s.ctx, "tell other replicas", func(p redis.Pipeliner) {
			p.Publish(q.s.ctx, q.s.keyspace.channel(), q.s.message(partition))
		})
		if err != nil {
			q.s.cfg.Log.Debug("other replicas were not told of work, their next poll finds it", "error", err)
		}
	}
}

// planned makes freshly committed deliveries known here.
func (s *Store) planned(partition int, list []planned) {
	if len(list) == 0 {
		return
	}
	for _, p := range list {
		s.queue.rendered.put(p.delivery.ID, p)
		s.queue.push(spot{partition, p.delivery.Bucket, p.delivery.Lane})
	}
	s.queue.signal()
}

func (q *queue) push(sp spot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.known[sp] {
		q.known[sp] = true
		q.ready = append(q.ready, sp)
	}
}

// pop returns the next lane whose bucket has a place, as far as this process
// knows.
func (q *queue) pop() (spot, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.ready) > 0 {
		sp := q.ready[0]
		q.ready = q.ready[1:]
		delete(q.known, sp)
		if q.sending[sp.key()] < q.s.cfg.Queue.limit(sp.bucket).PerBucket {
			return sp, true
		}
		q.hold(sp)
	}
	q.ready = nil
	return spot{}, false
}

// hold keeps a lane of a full bucket; q.mu is held.
func (q *queue) hold(sp spot) {
	if list := q.held[sp.key()]; len(list) < heldLanes {
		q.held[sp.key()] = append(list, sp)
	}
}

// sent counts a lease of this process; the end of one lets a held lane in.
func (q *queue) sent(b bucketKey, more int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sending[b] += more
	if q.sending[b] <= 0 {
		delete(q.sending, b)
	}
	if list := q.held[b]; more < 0 && len(list) > 0 {
		sp := list[0]
		if q.held[b] = list[1:]; len(list) == 1 {
			delete(q.held, b)
		}
		if !q.known[sp] {
			q.known[sp] = true
			q.ready = append(q.ready, sp)
		}
	}
}

// look asks to look at a partition at a time, or earlier.
func (q *queue) look(partition int, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if known, ok := q.lookAt[partition]; !ok || at.Before(known) {
		q.lookAt[partition] = at
	}
}

// lookAtMS is look for a time of Redis; a negative one is none.
func (q *queue) lookAtMS(partition int, at int64) {
	if at >= 0 {
		q.look(partition, time.UnixMilli(at-q.skew.Load()))
	}
}

func (q *queue) saw(redisNow int64) {
	if redisNow > 0 {
		q.skew.Store(redisNow - time.Now().UnixMilli())
	}
}

// Next leases a delivery that is due. A nil lease with a nil error means that
// nothing is: look again after wait, or when Wake is signalled. An error means
// that Redis cannot be asked; wait then says when to try again. Next is safe
// for concurrent use.
//
// The caller sends the request and calls Settle before the lease ends, or
// Release when it did not send.
func (s *Store) Next(ctx context.Context) (lease *bridge.Lease, wait time.Duration, err error) {
	for range maxOpens {
		sp, ok := s.queue.pop()
		if !ok {
			if wait, err = s.queue.fill(ctx); err != nil {
				return nil, s.cfg.Every.Poll, err
			}
			if sp, ok = s.queue.pop(); !ok {
				return nil, wait, nil
			}
		}
		lease, err := s.open(ctx, sp)
		if err != nil {
			s.queue.push(sp)
			return nil, s.cfg.Every.Poll, err
		}
		if lease != nil {
			if s.queue.any() {
				s.queue.signal()
			}
			return lease, 0, nil
		}
	}
	return nil, 0, nil
}

func (q *queue) any() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ready) > 0
}

// fill looks at the partitions whose time has come and returns when the next
// one's comes.
func (q *queue) fill(ctx context.Context) (time.Duration, error) {
	q.filling.Lock()
	defer q.filling.Unlock()
	if q.any() {
		return 0, nil // another caller was faster
	}
	now := time.Now()
	due, wait := q.timeTo(now)
	if len(due) == 0 {
		return wait, nil
	}
	buckets := make([]*redis.ZSliceCmd, len(due))
	err := q.s.read(ctx, "look at the queue", func(p redis.Pipeliner) {
		for i, partition := range due {
			buckets[i] = p.ZRangeWithScores(ctx, q.s.keyspace.in(partition).buckets(), 0, lookBuckets-1)
		}
	})
	if err != nil {
		return 0, err
	}
	redisNow := now.UnixMilli() + q.skew.Load()
	for i, partition := range due {
		q.next(partition, now, buckets[i].Val(), redisNow)
		for _, b := range buckets[i].Val() {
			if int64(b.Score) > redisNow {
				break
			}
			if err := q.pick(ctx, partition, b.Member.(string)); err != nil {
				return 0, err
			}
		}
	}
	_, wait = q.timeTo(time.Now())
	return wait, nil
}

// timeTo returns the partitions to look at, and how long it is until the next
// one's turn when there are none.
func (q *queue) timeTo(now time.Time) (due []int, wait time.Duration) {
	used := q.s.meta.used()
	q.mu.Lock()
	defer q.mu.Unlock()
	wait = q.s.cfg.Every.Idle
	for _, partition := range used {
		if left := q.lookAt[partition].Sub(now); left <= 0 {
			due = append(due, partition)
		} else {
			wait = min(wait, left)
		}
	}
	if len(due) > 0 {
		wait = 0
	}
	return due, wait
}

// next sets when to look at a partition again: when its next bucket is due, at
// the latest after a poll interval, or after the longer one when it is empty.
func (q *queue) next(partition int, now time.Time, buckets []redis.Z, redisNow int64) {
	at := now.Add(q.s.cfg.Every.Idle)
	if len(buckets) > 0 {
		at = now.Add(q.s.cfg.Every.Poll)
	}
	for _, b := range buckets {
		if left := time.Duration(int64(b.Score)-redisNow) * time.Millisecond; left > 0 && now.Add(left).Before(at) {
			at = now.Add(left)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lookAt[partition] = at
}

// pickScript returns the time, when the bucket can start its earliest lane,
// and the lanes that can start now.
var pickScript = newScript("pick", `
local b = {name = ARGV[1], buckets = KEYS[1], due = KEYS[2], target = KEYS[3], inflight = KEYS[4],
  cap = tonumber(ARGV[2]), threshold = tonumber(ARGV[3])}
local n = now()
local at = reckon(b, n)
local reply = {int(n), int(at)}
if at >= 0 and at <= n then
  for _, lane in ipairs(redis.call('ZRANGEBYSCORE', b.due, '-inf', int(n), 'LIMIT', 0, ARGV[4])) do
    reply[#reply + 1] = lane
  end
end
return reply
`)

func (q *queue) pick(ctx context.Context, partition int, bucket string) error {
	k, cfg := q.s.keyspace.in(partition), q.s.cfg.Queue
	places := cfg.limit(bucket).PerBucket
	reply, err := q.s.eval(ctx, pickScript, []string{k.buckets(), k.due(bucket), k.target(bucket), k.inflight(bucket)},
		bucket, places, cfg.BreakerFails, 2*places)
	if err != nil {
		return err
	}
	at, _ := strconv.ParseInt(str(reply, 1), 10, 64)
	redisNow, _ := strconv.ParseInt(str(reply, 0), 10, 64)
	q.saw(redisNow)
	q.lookAtMS(partition, at)
	for i := 2; i < len(reply); i++ {
		q.push(spot{partition, bucket, str(reply, i)})
	}
	return nil
}

// drop forgets the hints of a bucket that takes nothing now.
func (q *queue) drop(b bucketKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.held, b)
	kept := q.ready[:0]
	for _, sp := range q.ready {
		if sp.key() == b {
			delete(q.known, sp)
		} else {
			kept = append(kept, sp)
		}
	}
	q.ready = kept
}

// opened is the answer of openScript.
type opened struct {
	kind       string
	at         int64 // when the bucket is due again, -1 never
	superseded []string
	fence      int64
	member     string
	until      int64
	tries      int
	confirming bool
	lastHash   string // "" when unknown what the target shows
	memo       string
	captured   string
}

func parseOpened(reply []any) (opened, error) {
	n, err := strconv.Atoi(str(reply, 3))
	if err != nil || len(reply) < 4+n {
		return opened{}, errors.New("open: unexpected answer")
	}
	o := opened{kind: str(reply, 0)}
	o.at, _ = strconv.ParseInt(str(reply, 1), 10, 64)
	for i := range n {
		o.superseded = append(o.superseded, str(reply, 4+i))
	}
	if o.kind == "lease" {
		at := 4 + n
		o.fence, _ = strconv.ParseInt(str(reply, at), 10, 64)
		o.member = str(reply, at+1)
		o.until, _ = strconv.ParseInt(str(reply, at+2), 10, 64)
		o.tries, _ = strconv.Atoi(str(reply, at+3))
		o.confirming, o.lastHash, o.memo, o.captured = str(reply, at+4) == "1", str(reply, at+5), str(reply, at+6), str(reply, at+7)
	}
	return o, nil
}

// bucketOf returns the bucket that waits for a settle; leases carry it in
// their delivery.
func bucketOf(l bridge.Lease) bucketKey { return bucketKey{l.Partition, l.Delivery.Bucket} }

// sinceOf is the score of a delivery in its lane.
func sinceOf(d bridge.Delivery) string { return strconv.FormatInt(d.Since, 10) }
