package dispatch

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/provider"
)

// sendMargin returns how much of a lease's margin must be left when a
// request's first byte is written: it covers settling, and clocks that run at
// slightly different speeds.
func sendMargin(leaseMargin time.Duration) time.Duration {
	return min(5*time.Second, leaseMargin/4)
}

// Deliver sends the delivery of a fresh lease once, and says what came of it.
// It does not touch the queue: whoever calls it settles the lease. When ctx is
// canceled before anything was sent, the verdict is a retry without delay.
func (d *Dispatcher) Deliver(ctx context.Context, lease bridge.Lease) bridge.Settlement {
	picked := time.Now()
	s, err := d.deliver(ctx, lease, picked)
	if err != nil {
		return bridge.Settlement{Verdict: bridge.VerdictRetry, Reason: "not sent: " + err.Error(), Memo: lease.Memo, Captured: lease.Captured,
			Attempt: newTry(d, lease, picked).attempt}
	}
	return s
}

// deliver is Deliver for a lease that was asked for at picked. An error says
// that nothing was sent and that the lease is to be handed back.
func (d *Dispatcher) deliver(ctx context.Context, lease bridge.Lease, picked time.Time) (bridge.Settlement, error) {
	t := newTry(d, lease, picked)
	if lease.Identical && !lease.Confirming {
		s := t.settle(verdict{kind: provider.Delivered, reason: "not sent: the provider already shows this"})
		s.Attempt.ID, s.Attempt.At = "", 0 // there is no attempt to keep
		return s, nil
	}
	latest := d.leaseEnd(lease, picked).Add(-d.timeout(lease) - sendMargin(d.cfg.LeaseMargin))
	if time.Now().After(latest) {
		return bridge.Settlement{}, errLeaseOver
	}
	r, failed := t.request(ctx, latest)
	if failed != nil {
		return t.settle(*failed), stopped(ctx)
	}
	x := d.client.send(ctx, r)
	if errors.Is(x.Err, errLeaseOver) {
		return bridge.Settlement{}, errLeaseOver
	}
	if err := stopped(ctx); err != nil && !x.WroteRequest {
		return bridge.Settlement{}, err
	}
	t.record(x)
	return t.settle(t.read(x)), nil
}

// stopped returns why ctx is over, or nil.
func stopped(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// A try is one attempt at a delivery.
type try struct {
	d         *Dispatcher
	lease     bridge.Lease
	memo      memo
	masker    masker
	attempt   bridge.Attempt
	began     time.Time
	ambiguous bool
	captured  string        // what the lane keeps
	rest      time.Duration // of the whole bucket: the answer used up its rate limit
}

// verdict is what a try came to, before the tables say what follows.
type verdict struct {
	kind   provider.Kind
	reason string
	pause  time.Duration // that the provider asked for
	down   bool          // the target is not well
}

func newTry(d *Dispatcher, lease bridge.Lease, now time.Time) *try {
	dl := lease.Delivery
	t := &try{d: d, lease: lease, memo: parseMemo(lease), captured: lease.Captured, began: now}
	if d.cfg.Redact != nil {
		t.masker.known = d.cfg.Redact()
	}
	t.attempt = bridge.Attempt{
		ID: attemptID(dl.ID), Delivery: dl.ID, Hook: dl.Hook, RetryOf: t.memo.First,
		At: now.UnixMilli(), Method: dl.Method, URL: t.masker.maskURL(dl.URL),
	}
	if t.memo.First == "" {
		t.memo.First = t.attempt.ID
	}
	return t
}

// attemptID returns a new id that starts with the delivery's, so that whoever
// has it knows where to look.
func attemptID(delivery string) string {
	return "att_" + strings.TrimPrefix(delivery, "dlv_") + "_" + strings.ToLower(rand.Text()[:10])
}

// request resolves the delivery into what is sent, or says why it cannot.
func (t *try) request(ctx context.Context, latest time.Time) (request, *verdict) {
	dl := t.lease.Delivery
	if t.lease.Captured != "" && t.d.cfg.Fill != nil {
		dl.Body = t.d.cfg.Fill(dl.Profile, dl.Body, t.lease.Captured)
	}
	u, err := url.Parse(dl.URL)
	if err == nil {
		err = t.d.guard.checkURL(dl.URL)
	} else {
		err = errors.New("the URL cannot be read") // err repeats the URL
	}
	if err != nil {
		return request{}, &verdict{kind: provider.Permanent, reason: err.Error()}
	}
	t.maskQuery(u)
	h, err := t.d.headers(ctx, dl, &t.masker, time.Now())
	t.attempt.URL = t.masker.maskURL(dl.URL)
	t.attempt.RequestBody = t.text("application/json", []byte(dl.Body))
	var secret *secretError
	switch {
	case errors.As(err, &secret):
		return request{}, &verdict{kind: kindSecret, reason: err.Error()}
	case err != nil:
		return request{}, &verdict{kind: provider.Permanent, reason: err.Error()}
	}
	t.attempt.RequestHeaders = t.masker.maskHeader(h)
	return request{method: dl.Method, url: u, header: h, body: dl.Body, latest: latest, timeout: t.d.timeout(t.lease)}, nil
}

// maskQuery masks credentials that stand in the query.
func (t *try) maskQuery(u *url.URL) {
	for name, values := range u.Query() {
		if secretName(name) {
			for _, v := range values {
				t.masker.add(v)
			}
		}
	}
}

// record keeps what came back, masked and cut.
func (t *try) record(x exchange) {
	t.attempt.Remote = x.remote
	t.attempt.Status = x.Status
	if x.Err != nil {
		t.attempt.Error = t.masker.mask(explain(x.Err))
	}
	if x.Header != nil {
		t.attempt.Headers = t.masker.maskHeader(x.Header)
	}
	t.attempt.Body = t.text(x.Header.Get("Content-Type"), x.Body)
	if x.cut {
		t.attempt.Body += "… (not read to its end)"
	}
	t.ambiguous = x.WroteRequest && x.Status == 0
	t.rest = provider.Exhausted(x.Answer)
}

// text returns what is kept of a body. Secrets are masked before it is cut:
// the other way round would leave the first half of one.
func (t *try) text(contentType string, body []byte) string {
	if !printable(body) {
		return fmt.Sprintf("(%d bytes that are not text)", len(body))
	}
	return cut(strings.ToValidUTF8(t.masker.maskBody(contentType, string(body)), "�"), keptBodyBytes)
}

// read says what an exchange means.
func (t *try) read(x exchange) verdict {
	dl := t.lease.Delivery
	if x.Err != nil {
		return t.readError(x)
	}
	status, note := statusText(x.Status), ""
	if dl.DeliveredWhen != "" && t.d.cfg.DeliveredWhen != nil {
		ok, err := t.d.cfg.DeliveredWhen(dl.DeliveredWhen, x.Answer)
		switch {
		case err != nil:
			note = " (delivered_when failed: " + err.Error() + ")"
		case ok:
			return verdict{kind: provider.Delivered, reason: status + ", delivered_when is true"}
		}
	}
	class := t.d.cfg.Classify(dl.Profile, x.Answer)
	// Of a redirect a profile may only say that it leads to a page to sign in.
	if x.Status >= 300 && x.Status < 400 && class.Kind != provider.Credential {
		return verdict{kind: provider.Permanent, reason: status + redirectTo(x.Header) + ": redirects are not followed, put the final URL into the hook"}
	}
	v := verdict{kind: class.Kind, reason: class.Reason + note, pause: class.RetryAfter}
	t.captured = kept(t.captured, class)
	// A 401 counts like a target that is down: the bucket is the credential,
	// and a provider may ban who goes on.
	v.down = v.kind == provider.Transient && x.Status >= 500 || v.kind == provider.Credential && x.Status == http.StatusUnauthorized
	return v
}

// kept returns what the lane keeps after an answer: what it says, else what was
// known before, but not what it was refused with.
func kept(before string, c provider.Class) string {
	switch c.Kind {
	case provider.Permanent, provider.NotFoundYet:
		return ""
	}
	return cmp.Or(c.Captured, before)
}

// readError says what a request without a complete response head means.
func (t *try) readError(x exchange) verdict {
	var denied *DeniedError
	switch {
	case errors.As(x.Err, &denied):
		return verdict{kind: provider.Permanent, reason: denied.Error()}
	case x.WroteRequest:
		return verdict{kind: provider.Transient, down: true, reason: explain(x.Err) + " after the request was sent: it may have been applied"}
	}
	return verdict{kind: provider.Transient, down: true, reason: explain(x.Err)}
}

// redirectTo returns " to <host>" of a redirect, without the rest of the
// location, which may hold anything.
func redirectTo(h http.Header) string {
	location := h.Get("Location")
	if u, err := url.Parse(location); err == nil && u.Host != "" {
		return " to " + u.Host
	} else if location != "" && err == nil {
		return " to another path of the same host"
	}
	return ""
}

// settle turns a verdict into the settlement of the lease.
func (t *try) settle(v verdict) bridge.Settlement {
	now := time.Now()
	age := now.Sub(time.UnixMilli(t.lease.Delivery.Firing.At))
	tries := t.memo.Tries[v.kind]
	next := decide(v.kind, t.d.cfg.Backoff, tries, v.pause, age)
	t.memo.count(v.kind)
	reason := t.masker.mask(v.reason)
	switch {
	case next.verdict == bridge.VerdictRetry:
		reason += ", tried again in " + short(next.delay)
	case next.verdict == bridge.VerdictDead && tries > 0:
		reason += fmt.Sprintf(", given up after %d tries", t.lease.Tries+1)
	}
	if next.advice != "" {
		reason += "; " + next.advice
	}
	t.attempt.DurationMS = now.Sub(t.began).Milliseconds()
	t.attempt.Verdict, t.attempt.Reason = next.verdict, reason
	return bridge.Settlement{
		Verdict: next.verdict, Outcome: string(v.kind), Reason: reason, Ambiguous: t.ambiguous, TargetFailed: v.down,
		DelayMS: next.delay.Milliseconds(), ParkMS: max(next.hold, t.rest).Milliseconds(),
		Memo: t.memo.String(), Captured: t.captured, Attempt: t.attempt,
	}
}

// memo is what a delivery's next try needs to know of those before: each
// reason has its own schedule, and a provider's pause must not use up the
// tries that are meant for its failures.
type memo struct {
	Tries map[provider.Kind]int `json:"tries,omitempty"`
	First string                `json:"first,omitempty"` // id of the first attempt
}

func parseMemo(lease bridge.Lease) memo {
	var m memo
	if lease.Memo == "" || json.Unmarshal([]byte(lease.Memo), &m) != nil {
		// Nothing is known: every reason counts all tries, so that a delivery
		// ends in any case.
		m.Tries = map[provider.Kind]int{}
		for k := range outcomes {
			m.Tries[k] = lease.Tries
		}
	}
	return m
}

func (m *memo) count(k provider.Kind) {
	if m.Tries == nil {
		m.Tries = map[provider.Kind]int{}
	}
	m.Tries[k]++
}

// String returns m as it is kept, kinds without a try left out.
func (m *memo) String() string {
	for k, n := range m.Tries {
		if n == 0 {
			delete(m.Tries, k)
		}
	}
	text, _ := json.Marshal(m) // strings and integers cannot fail
	return string(text)
}
