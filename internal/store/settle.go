package store

import (
	"context"
	"strconv"
	"time"

	"cibridge/bridge"
)

// settleScript closes a lease. It changes nothing unless the fence is the
// lane's and the lane is leased: what comes after the lease was given to
// another is too late.
//
// The answer is {"fenced"}, or {"ok" or "again", when the lane is due, when
// its bucket is due, the time}; "again" repeats a settle whose answer was lost.
var settleScript = newScript("settle", `
local b = {name = ARGV[1], buckets = KEYS[1], due = KEYS[2], target = KEYS[3], inflight = KEYS[4],
  cap = tonumber(ARGV[3]), threshold = tonumber(ARGV[4])}
local queue, lane, delivery_key, dead, log = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local name, fence, member, id = ARGV[2], ARGV[5], ARGV[6], ARGV[7]
local verdict, delay, ambiguous, park = ARGV[8], tonumber(ARGV[9]), ARGV[10] == '1', tonumber(ARGV[11])
local failed, answered, hash, reason = ARGV[12] == '1', ARGV[13] == '1', ARGV[14], ARGV[15]
local attempt_id, attempt, max_attempts = ARGV[16], ARGV[17], ARGV[18]
local ttl, ttl_dead, quarantine, confirm = tonumber(ARGV[19]), ARGV[20], tonumber(ARGV[21]), tonumber(ARGV[22])
local open_min, open_max, max_record, memo = tonumber(ARGV[23]), tonumber(ARGV[24]), tonumber(ARGV[25]), ARGV[26]
local captured = ARGV[27]
local n = now()

local l = redis.call('HMGET', lane, 'f', 'o', 'b', 'a', 'c', 'h', 'ls', 'lm', 'm')
if l[1] ~= fence then return {'fenced'} end
if l[2] ~= '1' then return {'again', '-1', int(reckon(b, n)), int(n)} end
if l[9] ~= member then return {'fenced'} end
local doubtful, confirming, rest = l[4] == '1', l[5] == member, num(l[6])
local since = redis.call('ZSCORE', queue, member)
local newer = redis.call('ZRANGE', queue, -1, -1)[1] ~= member

-- the bucket
redis.call('HSET', lane, 'o', '0')
redis.call('HDEL', lane, 'm', 'u')
redis.call('ZREM', b.inflight, name)
if park > 0 then
  local t = num(redis.call('HGET', b.target, 'until'))
  redis.call('HSET', b.target, 'until', int(math.max(t, n + park)))
  keep(b.target, park + 2 * open_max)
end
if failed then
  local t = redis.call('HMGET', b.target, 'open', 'wait')
  if num(t[1]) <= n then
    local fails = redis.call('HINCRBY', b.target, 'fails', 1)
    if fails >= b.threshold then
      local wait = open_min
      if fails > b.threshold then wait = math.min(math.max(num(t[2]) * 2, open_min), open_max) end
      redis.call('HSET', b.target, 'open', int(n + wait), 'wait', int(wait))
      redis.call('HSETNX', b.target, 'since', int(n))
    end
    keep(b.target, 2 * open_max)
  end
elseif answered then
  redis.call('HDEL', b.target, 'fails', 'open', 'wait', 'since')
end

-- the lane
if captured ~= '' then redis.call('HSET', lane, 'p', captured) else redis.call('HDEL', lane, 'p') end
if ambiguous then
  rest = n + quarantine
  redis.call('HSET', lane, 'a', '1', 'h', int(rest))
end
local state, at, stays = 'P', n, true
if verdict == 'delivered' then
  state = 'D'
  if since and not older(tonumber(since), member, num(l[7]), l[8] or '') then
    redis.call('HSET', lane, 'ls', since, 'lm', member)
  end
  redis.call('HSET', lane, 'lh', hash)
  stays = doubtful and not confirming and not newer and ordering(member) == 'l'
  if stays then
    at = n + confirm
    redis.call('HSET', lane, 'c', member, 'a', '0')
  elseif not newer then
    redis.call('HSET', lane, 'a', '0')
  end
elseif verdict == 'retry' then
  redis.call('HDEL', lane, 'lh')
  if memo ~= '' then redis.call('HSET', lane, 'x:' .. delivery(member), memo) end
  at = n + delay
  if newer and ordering(member) == 'l' then at = n end
  if confirming then state = 'D' end
else
  redis.call('HDEL', lane, 'lh')
  state, stays = 'X', false
  if confirming then state = 'D' end
end
if not stays then
  redis.call('ZREM', queue, member)
  redis.call('HDEL', lane, 'n:' .. delivery(member), 'x:' .. delivery(member))
  if confirming then redis.call('HDEL', lane, 'c') end
end
local left = redis.call('EXISTS', queue) == 1
at = math.max(at, rest)
if not left then
  redis.call('ZREM', b.due, name)
  redis.call('PEXPIRE', lane, int(ttl))
  at = -1
elseif l[3] and l[3] ~= short(b.name) then
  redis.call('ZREM', b.due, name)
  at = -1
else
  redis.call('ZADD', b.due, int(at), name)
end

-- the delivery and its attempt
local r = redis.call('GET', delivery_key)
if r then
  local h = header(r)
  h.state, h.due = state, '0'
  if stays then h.due = int(at) end
  if reason ~= '' then h.reason = reason end
  if attempt_id ~= '' then
    h.tries = h.tries + 1
    if #h.rest < max_record then h.rest = h.rest .. attempt end
  end
  redis.call('SET', delivery_key, record(h, n))
  if state == 'X' then
    redis.call('PEXPIRE', delivery_key, ttl_dead)
    redis.call('ZADD', dead, int(n), id)
  elseif not stays then
    redis.call('PEXPIRE', delivery_key, int(ttl))
  end
end
if attempt_id ~= '' then
  redis.call('XADD', log, 'MAXLEN', '~', max_attempts, '*', 'a', attempt_id)
  redis.call('XTRIM', log, 'MINID', '~', int(math.max(n - ttl, 0)))
  redis.call('PEXPIRE', log, int(ttl))
end
return {'ok', int(at), int(reckon(b, n)), int(n)}
`)

// Settle closes a lease with what became of it. applied is false when the
// lease had ended and the lane was given to another: nothing changed then. It
// is safe to call again after an error.
func (s *Store) Settle(ctx context.Context, l bridge.Lease, st bridge.Settlement) (applied bool, err error) {
	k, q, keep := s.keyspace.in(l.Partition), s.cfg.Queue, s.cfg.Retention
	d := l.Delivery
	attemptID, segment, err := s.encodeAttempt(k, d, &st.Attempt)
	if err != nil {
		return false, err
	}
	reply, err := s.eval(ctx, settleScript,
		[]string{
			k.buckets(), k.due(d.Bucket), k.target(d.Bucket), k.inflight(d.Bucket), k.queue(d.Lane), k.lane(d.Lane),
			k.delivery(d.ID), k.dead(), k.attempts(d.Hook),
		},
		d.Bucket, d.Lane, q.limit(d.Bucket).PerBucket, q.BreakerFails, l.Fence, l.Member, d.ID,
		string(st.Verdict), max(st.DelayMS, 0), flag(st.Ambiguous), max(st.ParkMS, 0),
		flag(st.TargetFailed), flag(st.Attempt.Status > 0), requestHash(d), oneLine(st.Reason),
		attemptID, segment, keep.MaxAttempts, ms(keep.Attempts), ms(keep.Dead), ms(q.Quarantine), ms(q.Confirm),
		ms(q.BreakerMin), ms(q.BreakerMax), maxDeliveryRecord, st.Memo, st.Captured)
	if err != nil {
		return false, err
	}
	s.queue.sent(bucketOf(l), -1)
	return s.settled(l, reply), nil
}

// settled plans what this process does next with the lane and its bucket.
func (s *Store) settled(l bridge.Lease, reply []any) bool {
	if str(reply, 0) == "fenced" {
		return false
	}
	lane, _ := strconv.ParseInt(str(reply, 1), 10, 64)
	bucket, _ := strconv.ParseInt(str(reply, 2), 10, 64)
	redisNow, _ := strconv.ParseInt(str(reply, 3), 10, 64)
	s.queue.saw(redisNow)
	if lane >= 0 && lane <= redisNow {
		s.queue.push(spot{l.Partition, l.Delivery.Bucket, l.Delivery.Lane})
	}
	s.queue.lookAtMS(l.Partition, bucket)
	if s.queue.any() || bucket >= 0 && bucket <= redisNow {
		s.queue.signal()
	}
	return true
}

// releaseScript gives a lease back of which nothing was sent.
var releaseScript = newScript("release", `
local b = {name = ARGV[1], buckets = KEYS[1], due = KEYS[2], target = KEYS[3], inflight = KEYS[4],
  cap = tonumber(ARGV[3]), threshold = tonumber(ARGV[4])}
local lane, name = KEYS[5], ARGV[2]
local n = now()
local l = redis.call('HMGET', lane, 'f', 'o')
if l[1] ~= ARGV[5] or l[2] ~= '1' then return {'fenced'} end
redis.call('HSET', lane, 'o', '0')
redis.call('HINCRBY', lane, 'f', 1)
redis.call('HINCRBY', lane, 'n:' .. delivery(ARGV[6]), -1)
redis.call('HDEL', lane, 'm', 'u')
redis.call('ZREM', b.inflight, name)
redis.call('ZADD', b.due, int(n), name)
reckon(b, n)
redis.call('PUBLISH', ARGV[7], ARGV[8])
return {'ok'}
`)

// Release gives a lease back of which nothing was sent: another replica may
// take it at once. It is for shutting down.
func (s *Store) Release(ctx context.Context, l bridge.Lease) error {
	k, d := s.keyspace.in(l.Partition), l.Delivery
	s.queue.sent(bucketOf(l), -1)
	_, err := s.eval(ctx, releaseScript,
		[]string{k.buckets(), k.due(d.Bucket), k.target(d.Bucket), k.inflight(d.Bucket), k.lane(d.Lane)},
		d.Bucket, d.Lane, s.cfg.Queue.limit(d.Bucket).PerBucket, s.cfg.Queue.BreakerFails, l.Fence, l.Member, s.keyspace.channel(), s.message(l.Partition))
	s.queue.look(l.Partition, time.Time{})
	return err
}
