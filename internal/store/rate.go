package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// Rate is how many requests are allowed: Count in each Per, of which Burst may
// come at once.
type Rate struct {
	Count int
	Per   time.Duration
	Burst int // Count by default
}

// rateScript is the generic cell rate algorithm: the key holds the time at
// which the allowance would be whole again. The answer is {"0"} or {the ms to
// wait}.
var rateScript = newScript("rate", `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local gap, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local next = whole + gap
local wait = next - gap * burst - now
if wait > 0 then return {string.format('%.0f', math.ceil(wait / 1000))} end
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', string.format('%.0f', math.ceil((next - now) / 1000) + 1))
return {'0'}
`)

// Allow takes one request out of the allowance of name and returns 0, or how
// long the sender has to wait; then nothing was taken. Replicas share the
// allowance. The error is of Redis: who cannot ask should not refuse.
func (s *Store) Allow(ctx context.Context, name string, r Rate) (time.Duration, error) {
	burst := r.Burst
	if burst <= 0 {
		burst = r.Count
	}
	sum := sha256.Sum256([]byte(name))
	key := s.keyspace.in(int(sum[31]) % s.Partitions()).rate(hex.EncodeToString(sum[:12]))
	gap := r.Per.Microseconds() / int64(max(r.Count, 1))
	reply, err := s.eval(ctx, rateScript, []string{key}, max(gap, 1), burst)
	if err != nil {
		return 0, err
	}
	wait, err := strconv.ParseInt(str(reply, 0), 10, 64)
	return time.Duration(wait) * time.Millisecond, err
}
