package dispatch

import (
	"time"

	"cibridge/bridge"
	"cibridge/internal/provider"
)

// kindSecret is one more kind than answers have: a reference could not be
// resolved, nothing was sent.
const kindSecret provider.Kind = "secret"

// outcome says what a kind means for a delivery.
type outcome struct {
	verdict bridge.Verdict
	// delays before the next tries; after the last the delivery is dead.
	delays []time.Duration
	// hold: the stated pause holds the whole bucket, and tries do not run out
	// before maxAge.
	hold bool
	// advice ends the reason of a delivery that is given up.
	advice string
}

// outcomes is the one table from kind to verdict. The schedule of transient
// ends after 17 hours: a status of the day before helps nobody.
var outcomes = map[provider.Kind]outcome{
	provider.Delivered: {verdict: bridge.VerdictDelivered},
	provider.Transient: {verdict: bridge.VerdictRetry, delays: []time.Duration{
		2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour,
	}},
	provider.Throttled: {verdict: bridge.VerdictRetry, hold: true, delays: []time.Duration{
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour,
	}},
	provider.Credential: {verdict: bridge.VerdictRetry, delays: []time.Duration{
		time.Minute, 10 * time.Minute, time.Hour,
	}, advice: "renew the token, then redeliver"},
	provider.NotFoundYet: {verdict: bridge.VerdictRetry, delays: []time.Duration{
		2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second,
	}, advice: "check the repository and the commit, and that the token may write to it"},
	kindSecret: {verdict: bridge.VerdictRetry, delays: []time.Duration{
		5 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, 40 * time.Minute,
	}, advice: "configure it, then redeliver"},
	provider.Permanent: {verdict: bridge.VerdictDead},
}

const (
	// longestHold caps a pause that a provider asks for.
	longestHold = time.Hour
	// maxAge is when a throttled delivery is given up.
	maxAge = 24 * time.Hour
)

// decision is what the table says of one attempt.
type decision struct {
	verdict bridge.Verdict
	delay   time.Duration // before the next try, jitter included
	hold    time.Duration // of the whole bucket
	advice  string        // for whoever finds the delivery dead
}

// decide looks k up. tries is how many attempts of this kind came before,
// stated the pause that the provider asked for (0: none), age the time since
// the delivery was planned, backoff the configured schedule of transient. What
// the table does not know is transient.
func decide(k provider.Kind, backoff []time.Duration, tries int, stated, age time.Duration) decision {
	o, known := outcomes[k]
	if !known || k == provider.Transient {
		o = outcomes[provider.Transient]
		o.delays = backoff
	}
	if o.verdict != bridge.VerdictRetry {
		return decision{verdict: o.verdict}
	}
	exhausted := tries >= len(o.delays)
	if exhausted && (!o.hold || age > maxAge) {
		return decision{verdict: bridge.VerdictDead, advice: o.advice}
	}
	delay := jitter(o.delays[min(tries, len(o.delays)-1)])
	stated = min(stated, longestHold)
	switch {
	case o.hold && stated > 0:
		return decision{verdict: o.verdict, delay: stated, hold: stated}
	case o.hold:
		return decision{verdict: o.verdict, delay: delay, hold: delay}
	}
	return decision{verdict: o.verdict, delay: max(delay, stated)} // never earlier than asked
}
