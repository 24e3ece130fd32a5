package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// openScript leases the entry of a lane that is to be sent now.
//
// A lane whose last lease ended without a settle is not opened: its request
// may still be on its way, so the lane rests for the quarantine and what is
// sent next will be confirmed. Older latest entries are superseded by the
// newest entry, and by one that was delivered; of what is left the oldest is
// leased.
//
// The answer is {kind, when the bucket is due again, the time, number of
// superseded members, those members…} and for the kind "lease" also {fence,
// member, end of the lease, tries before this one, confirming, hash of the
// last delivered request, memo of the try before, what the lane captured}.
var openScript = newScript("open", `
local b = {name = ARGV[1], buckets = KEYS[1], due = KEYS[2], target = KEYS[3], inflight = KEYS[4],
  cap = tonumber(ARGV[3]), threshold = tonumber(ARGV[4])}
local queue, lane, outbox, name = KEYS[5], KEYS[6], KEYS[7], ARGV[2]
local timeout, grace, quarantine, ttl = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local every, burst = tonumber(ARGV[9]), tonumber(ARGV[10])
local n = now()
local gone = {}

local function answer(kind, ...)
  local reply = {kind, int(reckon(b, n)), int(n), #gone}
  for _, member in ipairs(gone) do reply[#reply + 1] = member end
  for _, v in ipairs({...}) do reply[#reply + 1] = v end
  return reply
end

local at = redis.call('ZSCORE', b.due, name)
if not at or tonumber(at) > n then return answer('early') end
local t = redis.call('HMGET', b.target, 'until', 'fails', 'open', 'tat', 'next')
if num(t[1]) > n or num(t[3]) > n or num(t[5]) > n then return answer('closed') end
redis.call('ZREMRANGEBYSCORE', b.inflight, '-inf', int(n))
if redis.call('ZCARD', b.inflight) >= limit(num(t[2]), b) then return answer('busy') end

local l = redis.call('HMGET', lane, 'b', 'o', 'u', 'h', 'a', 'c', 'ls', 'lm', 'lh', 'p')
local bucket, open, ends, rest, ambiguous, confirm = l[1], l[2], num(l[3]), num(l[4]), l[5], l[6]
local last_since, last_member, last_hash = num(l[7]), l[8] or '', l[9]
if bucket and bucket ~= short(b.name) then
  redis.call('ZREM', b.due, name) -- its newest delivery uses another credential
  return answer('moved')
end
if open == '1' and ends > n then
  redis.call('ZADD', b.due, int(ends), name)
  return answer('early')
end
if open == '1' then
  rest = n + quarantine
  redis.call('HSET', lane, 'o', '0', 'a', '1', 'h', int(rest))
  redis.call('HINCRBY', lane, 'f', 1)
  redis.call('HDEL', lane, 'm', 'u', 'lh')
end
if rest > n then
  redis.call('ZADD', b.due, int(rest), name)
  return answer('quarantine')
end

local member, since
local newest = redis.call('ZRANGE', queue, -1, -1)[1]
local entries = redis.call('ZRANGE', queue, 0, 199, 'WITHSCORES')
for i = 1, #entries, 2 do
  local m, s = entries[i], tonumber(entries[i + 1])
  if ordering(m) == 'l' and (m ~= newest or older(s, m, last_since, last_member)) then
    redis.call('ZREM', queue, m)
    redis.call('HDEL', lane, 'n:' .. delivery(m), 'x:' .. delivery(m))
    redis.call('ZADD', outbox, int(n), m)
    if m == confirm then
      ambiguous = '1' -- what would have been confirmed: its successor is
      redis.call('HSET', lane, 'a', '1')
      redis.call('HDEL', lane, 'c')
    end
    gone[#gone + 1] = m
  else
    member, since = m, s
    break
  end
end
if not member then
  if redis.call('EXISTS', queue) == 0 then
    redis.call('ZREM', b.due, name)
    redis.call('PEXPIRE', lane, ttl)
    return answer('done')
  end
  return answer('more')
end

local lease = (seconds(member) > 0 and seconds(member) * 1000 or timeout) + grace
local fence = redis.call('HINCRBY', lane, 'f', 1)
local tries = redis.call('HINCRBY', lane, 'n:' .. delivery(member), 1) - 1
redis.call('HSET', lane, 'o', '1', 'm', member, 'u', int(n + lease))
redis.call('HDEL', lane, 'h')
redis.call('ZADD', b.due, int(n + lease), name)
redis.call('ZADD', b.inflight, int(n + lease), name)
if every > 0 then
  local tat = math.max(num(t[4]), n) + every
  redis.call('HSET', b.target, 'tat', string.format('%.3f', tat), 'next', int(math.ceil(tat - (burst - 1) * every)))
  keep(b.target, tat - n + every)
end
local shows = ''
if last_hash and ambiguous ~= '1' then shows = last_hash end
local memo = tries > 0 and redis.call('HGET', lane, 'x:' .. delivery(member)) or ''
return answer('lease', int(fence), member, int(n + lease), int(tries), member == confirm and '1' or '0', shows, memo, l[10] or '')
`)

// open leases the entry of a lane, or returns nil when there is nothing to
// send from it now.
func (s *Store) open(ctx context.Context, sp spot) (*bridge.Lease, error) {
	k, cfg := s.keyspace.in(sp.partition), s.cfg.Queue
	limit := cfg.limit(sp.bucket)
	reply, err := s.eval(ctx, openScript,
		[]string{k.buckets(), k.due(sp.bucket), k.target(sp.bucket), k.inflight(sp.bucket), k.queue(sp.lane), k.lane(sp.lane), k.superseded()},
		sp.bucket, sp.lane, limit.PerBucket, cfg.BreakerFails, ms(cfg.Timeout), ms(cfg.Grace), ms(cfg.Quarantine), ms(s.cfg.Retention.Attempts),
		float64(limit.Every)/float64(time.Millisecond), limit.Burst)
	if err != nil {
		return nil, err
	}
	o, err := parseOpened(reply)
	if err != nil {
		return nil, unavailable("open", err)
	}
	s.queue.lookAtMS(sp.partition, o.at)
	if len(o.superseded) > 0 {
		if err := s.markSuperseded(ctx, sp.partition, o.superseded); err != nil {
			s.cfg.Log.Debug("superseded deliveries are marked later", "error", err)
		}
	}
	switch o.kind {
	case "lease":
		return s.lease(ctx, sp, o)
	case "more":
		s.queue.push(sp)
	case "busy":
		s.queue.mu.Lock()
		s.queue.hold(sp)
		s.queue.mu.Unlock()
	case "closed":
		s.queue.drop(sp.key())
	}
	return nil, nil
}

// lease adds the delivery to what was opened.
func (s *Store) lease(ctx context.Context, sp spot, o opened) (*bridge.Lease, error) {
	l := bridge.Lease{
		Partition: sp.partition, Member: o.member, Fence: o.fence, Tries: o.tries, Confirming: o.confirming, UntilMS: o.until, Memo: o.memo, Captured: o.captured,
	}
	id := deliveryOf(sp.partition, o.member)
	p, err := s.rendering(ctx, s.keyspace.in(sp.partition), id)
	s.queue.sent(sp.key(), 1)
	if err != nil {
		// Without its delivery the entry can never be sent.
		s.cfg.Log.Error("a queued delivery cannot be read", "delivery", id, "error", err)
		l.Delivery = bridge.Delivery{ID: id, Lane: sp.lane, Bucket: sp.bucket}
		if isGone(err) {
			_, err = s.Settle(ctx, l, bridge.Settlement{Verdict: bridge.VerdictDead, Reason: err.Error(), Captured: l.Captured})
			return nil, err
		}
		s.queue.sent(sp.key(), -1)
		return nil, err
	}
	l.Delivery = p.delivery
	l.Delivery.Bucket = sp.bucket
	l.Identical = !o.confirming && o.lastHash == p.hash
	return &l, nil
}

// rendering returns a delivery from this process's memory or from Redis.
func (s *Store) rendering(ctx context.Context, k keys, id string) (planned, error) {
	if p, ok := s.queue.rendered.get(id); ok {
		return p, nil
	}
	var cmd *redis.StringCmd
	if err := s.read(ctx, "read delivery", func(p redis.Pipeliner) { cmd = p.Get(ctx, k.delivery(id)) }); err != nil {
		return planned{}, err
	}
	if errors.Is(cmd.Err(), redis.Nil) {
		return planned{}, goneError("delivery " + id + " is no longer stored")
	}
	st, err := s.decodeDelivery(k, id, cmd.Val())
	if err != nil {
		return planned{}, goneError(err.Error())
	}
	p := planned{st.Delivery, requestHash(st.Delivery)}
	s.queue.rendered.put(id, p)
	return p, nil
}

// goneError is a record that cannot be had, now or later.
type goneError string

func (e goneError) Error() string { return string(e) }

func isGone(err error) bool {
	var gone goneError
	return errors.As(err, &gone)
}

// markScript writes into a delivery that it was superseded and takes it out of
// the outbox. A delivery that was delivered before, and only waited for its
// confirming re-send, stays delivered.
var markScript = newScript("mark", `
local outbox, record_key = KEYS[1], KEYS[2]
local r = redis.call('GET', record_key)
if r then
  local h = header(r)
  if h.state == 'P' then
    h.state, h.reason, h.due = 'S', ARGV[3], '0'
    redis.call('SET', record_key, record(h, now()))
  end
  redis.call('PEXPIRE', record_key, ARGV[2])
end
return {redis.call('ZREM', outbox, ARGV[1])}
`)

const supersededReason = "a newer state of the same resource took its place"

func (s *Store) markSuperseded(ctx context.Context, partition int, members []string) error {
	k := s.keyspace.in(partition)
	for _, member := range members {
		id := deliveryOf(partition, member)
		_, err := s.eval(ctx, markScript, []string{k.superseded(), k.delivery(id)}, member, ms(s.cfg.Retention.Attempts), supersededReason)
		if err != nil {
			return fmt.Errorf("mark %s superseded: %w", id, err)
		}
	}
	return nil
}

// outboxAge is how old an entry of the outbox is before another replica takes
// care of it.
const outboxAge = 10_000 // ms

// drainSuperseded marks what a replica that died had left unmarked.
func (s *Store) drainSuperseded(ctx context.Context, partition int) error {
	var cmd *redis.StringSliceCmd
	before := strconv.FormatInt(s.redisNow()-outboxAge, 10)
	err := s.read(ctx, "look for superseded deliveries", func(p redis.Pipeliner) {
		cmd = p.ZRangeByScore(ctx, s.keyspace.in(partition).superseded(), &redis.ZRangeBy{Min: "-inf", Max: before, Count: 1000})
	})
	if err != nil {
		return err
	}
	return s.markSuperseded(ctx, partition, cmd.Val())
}
