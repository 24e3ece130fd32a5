package store

// luaShared stands before every script.
//
// Fields of a lane's HASH:
//
//	b   bucket that the lane waits in, hashed: values over 64 bytes would make
//	    Redis keep the whole lane in three times the memory
//	f   fence: counts leases
//	o   1 while leased; m the leased member, u the end of the lease
//	a   1 after an attempt of which nobody knows whether it arrived
//	h   quarantine: nothing is sent before
//	c   member that waits for its confirming re-send
//	ls, lm  since and member of the newest delivered entry
//	lh  hash of the last delivered request, absent when something else may
//	    have arrived since
//	p   what the last settled answer said of the resource, for later requests
//	n:<delivery>  tries of a delivery
//	x:<delivery>  memo of its last try, while it is tried again
//
// A member is "<run>:<version>:<delivery>:<l|e><seconds>", see entry: ordering
// latest or every, and the time limit of its request.
const luaShared = `
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(x) return string.format('%.0f', x) end

local function num(x) return tonumber(x or 0) or 0 end

local function ordering(member) return string.sub(string.match(member, '[^:]*$'), 1, 1) end

local function seconds(member) return tonumber(string.sub(string.match(member, '[^:]*$'), 2)) or 0 end

local function short(name) return string.sub(redis.sha1hex(name), 1, 16) end

local function delivery(member) return string.match(member, '([^:]*):[^:]*$') end

-- older reports whether entry (s1, m1) comes before (s2, m2) in a lane.
local function older(s1, m1, s2, m2)
  if s1 ~= s2 then return s1 < s2 end
  return m1 < m2
end

-- header splits the record of a delivery into its fields and the sealed rest.
local function header(record)
  local nl = string.find(record, '\n', 1, true)
  local state, tries, updated, due, reason = string.match(string.sub(record, 1, nl - 1), '^(%a)|(%d+)|(%d+)|(%d+)|(.*)$')
  return {state = state, tries = tonumber(tries), due = due, reason = reason, rest = string.sub(record, nl)}
end

local function record(h, n)
  return h.state .. '|' .. int(h.tries) .. '|' .. int(n) .. '|' .. h.due .. '|' .. h.reason .. h.rest
end

-- limit is how many requests the bucket takes at once: one while its breaker
-- is being probed.
local function limit(fails, b)
  if fails >= b.threshold then return 1 end
  return b.cap
end

-- keep lets a key live for at least ttl more: what it holds already may have
-- to last longer.
local function keep(key, ttl)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, int(ttl)) end
end

-- reckon puts bucket b where its earliest lane can start, and returns when
-- that is, or -1 when it has none.
local function reckon(b, n)
  redis.call('ZREMRANGEBYSCORE', b.inflight, '-inf', int(n))
  local first = redis.call('ZRANGE', b.due, 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', b.buckets, b.name)
    return -1
  end
  local t = redis.call('HMGET', b.target, 'until', 'fails', 'open', 'next')
  local at = math.max(tonumber(first[2]), num(t[1]), num(t[3]), num(t[4]))
  if redis.call('ZCARD', b.inflight) >= limit(num(t[2]), b) then
    local ends = redis.call('ZRANGE', b.inflight, 0, 0, 'WITHSCORES')
    at = math.max(at, tonumber(ends[2]))
  end
  redis.call('ZADD', b.buckets, int(at), b.name)
  return at
end

-- enqueue makes a lane due for an entry that is added. A newer latest entry
-- does not wait for the retry of an older one, every other waits its turn;
-- nothing goes before the end of a lease or of a quarantine.
local function enqueue(b, lane, queue, name, member, since, n)
  redis.call('ZADD', queue, since, member)
  local l = redis.call('HMGET', lane, 'b', 'o', 'u', 'h')
  local bucket = short(b.name)
  if l[1] ~= bucket then redis.call('HSET', lane, 'b', bucket) end
  local due
  if l[1] then
    redis.call('PERSIST', lane)
    due = redis.call('ZSCORE', b.due, name)
  end
  local at = math.max(n, num(l[4]))
  if l[2] == '1' then
    at = tonumber(l[3])
    if not due then redis.call('ZADD', b.due, l[3], name) end
  elseif not due or (tonumber(due) > at and ordering(member) == 'l' and redis.call('ZRANGE', queue, -1, -1)[1] == member) then
    redis.call('ZADD', b.due, int(at), name)
  end
  local first = redis.call('ZSCORE', b.buckets, b.name)
  if not first or tonumber(first) > at then reckon(b, n) end
end
`
