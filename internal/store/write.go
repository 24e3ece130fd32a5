package store

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"cibridge/bridge"
)

// commitScript is the one atomic step of a commit: look for a duplicate,
// compare the version of the run, write everything or nothing.
//
// Go decides what is written; the script only knows the rules that must hold
// at the moment of writing. Its answers are {"ok"}, {"again"} when this very
// request had been committed, {"duplicate", the remembered answer}, and with the
// run as it is {"conflict"} when it has another version or {"claimed"} when
// another replica has lost it so often that it now goes first.
var commitScript = newScript("commit", `
local seen, request, run, outcomes, duplicates = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local remember, answer, hash = ARGV[1], ARGV[2], ARGV[3]
local id, record, outcome, alone = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local expected, state = ARGV[8], ARGV[9]
local ttl_seen, ttl_request, ttl_run, max_requests = ARGV[10], ARGV[11], ARGV[12], ARGV[13]
local replica, claim = ARGV[15], tonumber(ARGV[16])
local first = 17
local id_in_answer = string.sub(answer, #hash + 1, #hash + 26)

if remember == '1' then
  local known = redis.call('GET', seen)
  if known and string.sub(known, 1, #hash) == hash then
    local by = string.sub(known, #hash + 1, #hash + 26)
    if by == id_in_answer then return {'again', known} end
    if alone == '1' then
      redis.call('SET', request, 'd' .. string.gsub(by, ' +$', '') .. '\n' .. record, 'PX', ttl_request)
      redis.call('XADD', duplicates, 'MAXLEN', '~', max_requests, '*', 'e', id)
    end
    return {'duplicate', known}
  end
end

if expected ~= '' then
  local version, by, till = string.match(redis.call('GETRANGE', run, 0, 80), '^(%d+) ?([^ \n]*) ?(%d*)\n')
  local claimed = by and by ~= '' and by ~= replica and num(till) > now()
  if claimed or (version or '0') ~= expected then
    local is = redis.call('GET', run) or ''
    if claim > 0 and version and not claimed then
      local rest = string.sub(is, string.find(is, '\n', 1, true), -1)
      redis.call('SET', run, version .. ' ' .. replica .. ' ' .. int(now() + claim) .. rest, 'KEEPTTL')
    end
    return {claimed and 'claimed' or 'conflict', is}
  end
  redis.call('SET', run, state, 'PX', ttl_run)
end
if id ~= '' then
  local fresh = alone == '1' and remember == '1'
  if fresh or redis.call('GETRANGE', request, 0, 0) ~= string.sub(outcome, 1, 1) then
    redis.call('XADD', outcomes, 'MAXLEN', '~', max_requests, '*', 'e', id)
  end
  redis.call('SET', request, outcome .. '\n' .. record, 'PX', ttl_request)
end

local n
local function plan(at, k)
  n = n or now()
  local b = {name = ARGV[at], buckets = KEYS[6], due = KEYS[k + 3], target = KEYS[k + 4], inflight = KEYS[k + 5],
    cap = tonumber(ARGV[at + 5]), threshold = tonumber(ARGV[at + 6])}
  -- an id that is taken was planned before
  if not redis.call('SET', KEYS[k], 'P|0|' .. int(n) .. '|0' .. ARGV[at + 4], 'NX') then return end
  enqueue(b, KEYS[k + 2], KEYS[k + 1], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], n)
end
for _ = 1, tonumber(ARGV[14]) do
  local command, k, count = ARGV[first], tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  if command == 'PLAN' then
    plan(first + 3, k)
  elseif k == 0 then
    redis.call(command, unpack(ARGV, first + 3, first + 2 + count))
  else
    redis.call(command, KEYS[k], unpack(ARGV, first + 3, first + 2 + count))
  end
  first = first + 3 + count
end
if remember == '1' then redis.call('SET', seen, answer, 'PX', ttl_seen) end
return {'ok'}
`)

// writes is what one run of commitScript gets.
type writes struct {
	seen, answer, hash            string
	request, requestID            string
	record                        []byte
	outcome, outcomes, duplicates string
	alone                         bool
	run                           string
	expected                      int64
	state                         []byte
	ttlSeen, ttlRequest, ttlRun   int64
	maxRequests                   int64
	replica                       string // who commits
	claim                         int64  // ms for which to claim the run on a conflict, 0: not

	keys  []string
	more  []any
	count int

	buckets    string
	receipt    Receipt
	deliveries []planned
	// pipeline is what the index of pipelines then says of it.
	pipeline     string
	pipelineText Pipeline
}

// fixedKeys is the number of KEYS that commitScript has by place.
const fixedKeys = 6

// key returns the index of a key in KEYS, as Lua counts.
func (w *writes) key(name string) int {
	if w.keys == nil {
		w.keys = make([]string, fixedKeys, fixedKeys+16)
	}
	w.keys = append(w.keys, name)
	return len(w.keys)
}

// do adds a command on one key.
func (w *writes) do(command, key string, args ...any) {
	w.more = append(w.more, command, w.key(key), len(args))
	w.more = append(w.more, args...)
	w.count++
}

// publish adds a message to the replicas.
func (w *writes) publish(channel, message string) {
	w.more = append(w.more, "PUBLISH", 0, 2, channel, message)
	w.count++
}

// plan adds a delivery to its lane.
func (w *writes) plan(k keys, p planned, record []byte, q Queue) {
	d := p.delivery
	at := w.key(k.delivery(d.ID))
	for _, name := range []string{k.queue(d.Lane), k.lane(d.Lane), k.due(d.Bucket), k.target(d.Bucket), k.inflight(d.Bucket)} {
		w.key(name)
	}
	w.more = append(w.more, "PLAN", at, 7, d.Bucket, d.Lane, entry(d), d.Since, record, q.limit(d.Bucket).PerBucket, q.BreakerFails)
	w.count++
	w.deliveries = append(w.deliveries, p)
}

// finish puts the keys into their places and returns the arguments.
func (w *writes) finish() []any {
	if w.keys == nil {
		w.keys = make([]string, fixedKeys)
	}
	// A key that is not used is named like one that is: the slot has to fit.
	spare := w.request
	if spare == "" {
		spare = w.run
	}
	for i, name := range []string{w.seen, w.request, w.run, w.outcomes, w.duplicates, w.buckets} {
		if name == "" {
			name = spare
		}
		w.keys[i] = name
	}
	expected := ""
	if w.run != "" {
		expected = fmt.Sprint(w.expected)
	}
	args := []any{flag(w.seen != ""), w.answer, w.hash, w.requestID, w.record, w.outcome, flag(w.alone),
		expected, w.state, w.ttlSeen, w.ttlRequest, w.ttlRun, w.maxRequests, w.count, w.replica, w.claim}
	return append(args, w.more...)
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// indexed is what the indexes know of a run.
type indexed struct {
	stored        bool
	status        bridge.Status
	sha, pipeline string
	parked        bool
}

func indexedOf(r *bridge.Run) indexed {
	sha, _ := r.Field("commit.sha")
	text, _ := sha.(string)
	return indexed{r.Version > 0, r.Status(), text, r.PipelineID(), len(r.Parked) > 0}
}

// planInto asks the planner and adds the run with its deliveries and indexes
// to w. It moves run to its next version.
func (s *Store) planInto(w *writes, k keys, run *storedRun, firing *bridge.Firing, before indexed) error {
	now := time.Now()
	run.Version++
	w.ttlRun, w.maxRequests, w.buckets, w.replica = ms(s.cfg.Retention.Runs), s.cfg.Retention.MaxRequests, k.buckets(), s.queue.name
	for _, d := range s.cfg.Planner.Plan(run.Run, firing, now) {
		p := planned{delivery: d, hash: requestHash(d)}
		record, err := s.encodeDelivery(k, d)
		if err != nil {
			return err
		}
		w.plan(k, p, record, s.cfg.Queue)
		run.Deliveries = last(append(run.Deliveries, d.ID), maxRunDeliveries)
	}
	if len(w.deliveries) > 0 && s.queue.tell(run.Partition, now) {
		w.publish(s.keyspace.channel(), s.message(run.Partition))
	}
	if err := s.index(w, k, run.Run, before); err != nil {
		return err
	}
	s.indexParked(w, k, run.Run, before, now)
	s.indexOpen(w, k, run.Run, before)
	var err error
	w.state, err = s.encodeRun(k, run)
	return err
}

// index adds the changes of the indexes.
func (s *Store) index(w *writes, k keys, run *bridge.Run, before indexed) error {
	after := indexedOf(run)
	if !before.stored || before.status != after.status {
		if before.stored {
			w.do("ZREM", k.status(before.status), run.ID)
		}
		w.do("ZADD", k.status(after.status), run.CreatedAt, run.ID)
	}
	if after.sha != before.sha && len(after.sha) >= minSHA {
		key := k.sha(after.sha)
		if rand.IntN(trimEvery) == 0 {
			w.do("ZREMRANGEBYSCORE", key, "-inf", time.Now().Add(-s.cfg.Retention.Runs).UnixMilli())
		}
		w.do("ZADD", key, run.CreatedAt, shaMember(after.sha, run.ID))
		w.do("PEXPIRE", key, ms(s.cfg.Retention.Runs))
	}
	if after.pipeline != before.pipeline && after.pipeline != "" {
		w.do("ZADD", k.pipelineRuns(after.pipeline), run.CreatedAt, run.ID)
		w.pipeline, w.pipelineText = after.pipeline, pipelineOf(run)
		if known, _ := s.pipelines.get(k.tag + after.pipeline); known == w.pipelineText {
			return nil // written before, and it never expires
		}
		head, err := json.Marshal(w.pipelineText)
		if err != nil {
			return err
		}
		w.do("HSET", k.pipelines(), after.pipeline, s.packer.pack(records1, "", head, after.pipeline))
	}
	return nil
}

// indexParked keeps the sweeper's index: it looks at the run again after a
// while, and when the oldest parked firing has waited long enough.
func (s *Store) indexParked(w *writes, k keys, run *bridge.Run, before indexed, now time.Time) {
	switch {
	case len(run.Parked) > 0:
		w.do("ZADD", k.parked(), s.nextSweep(run, now), run.ID)
	case before.parked:
		w.do("ZREM", k.parked(), run.ID)
	}
}

// indexOpen keeps the index of the runs that are not over. Its scores are those
// of the first event: the sweeper looks at the run itself. Nobody lists the runs
// of a source that is gone, so the additions trim the index.
func (s *Store) indexOpen(w *writes, k keys, run *bridge.Run, before indexed) {
	key := k.open(run.Source)
	is, was := isOpen(run.Status()), before.stored && isOpen(before.status)
	switch {
	case is && !was:
		if rand.IntN(trimEvery) == 0 {
			w.do("ZREMRANGEBYSCORE", key, "-inf", time.Now().Add(-s.cfg.Retention.Runs).UnixMilli())
		}
		w.do("ZADD", key, run.UpdatedAt, run.ID)
		w.do("PEXPIRE", key, ms(s.cfg.Retention.Runs))
	case was && !is:
		w.do("ZREM", key, run.ID)
	}
}

// isOpen reports whether an end is still to come.
func isOpen(s bridge.Status) bool { return s != bridge.Unknown && !s.Terminal() }

// nextSweep says when to try the parked firings of a run again, epoch ms.
func (s *Store) nextSweep(run *bridge.Run, now time.Time) int64 {
	at := now.Add(s.cfg.Every.Parked).UnixMilli()
	for _, p := range run.Parked {
		at = min(at, p.At+ms(s.cfg.Retention.Parked))
	}
	return at
}

// trimEvery is how often, on average, an addition to an index trims the key that
// it adds to, where nobody lists those keys.
const trimEvery = 16

const (
	minSHA    = 7
	shaDigits = 16 // of a sha in its index
)

func shaMember(sha, run string) string { return sha[:min(len(sha), shaDigits)] + ":" + run }
