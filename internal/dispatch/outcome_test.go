package dispatch

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/provider"
)

const second, minute, hour = time.Second, time.Minute, time.Hour

// The schedules, as people are told them.
var schedules = map[provider.Kind][]time.Duration{
	provider.Transient:   {2 * second, 5 * second, 15 * second, 30 * second, minute, 2 * minute, 5 * minute, 10 * minute, 20 * minute, 30 * minute, hour, 2 * hour, 4 * hour, 8 * hour},
	provider.Credential:  {minute, 10 * minute, hour},
	provider.NotFoundYet: {2 * second, 5 * second, 10 * second, 20 * second, 40 * second},
	kindSecret:           {5 * second, 30 * second, minute, 5 * minute, 15 * minute, 40 * minute},
	"of another version": {2 * second}, // unknown: as transient
}

func TestSchedules(t *testing.T) {
	for kind, want := range schedules {
		for i, d := range want {
			got := decide(kind, schedules[provider.Transient], i, 0, 48*hour)
			if got.verdict != bridge.VerdictRetry || got.delay < d*8/10 || got.delay > d*12/10 || got.hold != 0 {
				t.Errorf("%s, try %d: got %+v, want a retry after %v ±20%%", kind, i, got, d)
			}
		}
		if _, known := outcomes[kind]; !known {
			continue
		}
		if got := decide(kind, schedules[provider.Transient], len(want), 0, 0); got.verdict != bridge.VerdictDead {
			t.Errorf("%s after %d tries: got %s, want dead", kind, len(want), got.verdict)
		}
	}
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[decide(provider.Transient, schedules[provider.Transient], 5, 0, 0).delay] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d different delays in 100: what failed together comes back together", len(seen))
	}
}

func TestStatedPauses(t *testing.T) {
	tests := []struct {
		kind        provider.Kind
		tries       int
		stated, age time.Duration
		want        bridge.Verdict
		from, to    time.Duration
		hold        bool
	}{
		{provider.Throttled, 0, 37 * second, 0, bridge.VerdictRetry, 37 * second, 37 * second, true},
		{provider.Throttled, 0, 5 * hour, 0, bridge.VerdictRetry, hour, hour, true},
		{provider.Throttled, 0, 0, 0, bridge.VerdictRetry, 48 * second, 72 * second, true},
		{provider.Throttled, 500, 10 * second, 23 * hour, bridge.VerdictRetry, 10 * second, 10 * second, true},
		{provider.Throttled, 500, 10 * second, 25 * hour, bridge.VerdictDead, 0, 0, false},
		{provider.Throttled, 2, 10 * second, 25 * hour, bridge.VerdictRetry, 10 * second, 10 * second, true}, // redelivered by hand
		{provider.Transient, 0, 40 * second, 0, bridge.VerdictRetry, 40 * second, 40 * second, false},
		{provider.Transient, 10, 40 * second, 0, bridge.VerdictRetry, 48 * minute, 72 * minute, false},
		{provider.Permanent, 0, 40 * second, 0, bridge.VerdictDead, 0, 0, false},
		{provider.Delivered, 0, 40 * second, 0, bridge.VerdictDelivered, 0, 0, false},
	}
	for _, tt := range tests {
		got := decide(tt.kind, schedules[provider.Transient], tt.tries, tt.stated, tt.age)
		if got.verdict != tt.want || got.delay < tt.from || got.delay > tt.to || (got.hold > 0) != tt.hold || tt.hold && got.hold != got.delay {
			t.Errorf("%s, try %d, stated %v, age %v: got %+v, want %s after %v to %v, hold %v", tt.kind, tt.tries, tt.stated, tt.age, got, tt.want, tt.from, tt.to, tt.hold)
		}
	}
}

// Every status of HTTP ends in one of the three verdicts, none loops for ever.
func TestEveryStatusEnds(t *testing.T) {
	d := newTest(t, nil)
	for status := 200; status < 600; status++ {
		lease := newLease("https://api.github.com/x")
		lease.Delivery.Firing.At -= (48 * hour).Milliseconds()
		for try := 0; ; try++ {
			lease.Tries = try
			tr := newTry(d, lease, time.Now())
			s := tr.settle(tr.read(exchange{Answer: provider.Answer{Status: status, WroteRequest: true}}))
			if !strings.HasPrefix(s.Reason, statusText(status)) {
				t.Errorf("%d: reason %q", status, s.Reason)
			}
			if (status < 300) != (s.Verdict == bridge.VerdictDelivered) {
				t.Errorf("%d: %s", status, s.Verdict)
			}
			if s.Verdict != bridge.VerdictRetry {
				break
			}
			if try > 20 {
				t.Fatalf("%d: still tried after %d tries", status, try)
			}
			lease.Memo = s.Memo
		}
	}
}

// Each reason has a schedule of its own, and all of them end, memo or not.
func TestTriesAreCountedByReason(t *testing.T) {
	d := newTest(t, nil)
	lease := newLease("https://api.github.com/x")
	settle := func(status int) bridge.Settlement {
		tr := newTry(d, lease, time.Now())
		s := tr.settle(tr.read(exchange{Answer: provider.Answer{Status: status, WroteRequest: true}}))
		lease.Tries++
		lease.Memo = s.Memo
		return s
	}
	for range 6 {
		settle(429)
	}
	if s := settle(503); s.DelayMS > 2400 {
		t.Errorf("the first 503 after six pauses: %q, want the first step", s.Reason)
	}
	for range 3 {
		if s := settle(401); s.Verdict != bridge.VerdictRetry {
			t.Errorf("401: %s %q", s.Verdict, s.Reason)
		}
	}
	s := settle(401)
	if s.Verdict != bridge.VerdictDead || !strings.HasSuffix(s.Reason, "given up after 11 tries; renew the token, then redeliver") {
		t.Errorf("the fourth 401: %s %q", s.Verdict, s.Reason)
	}
	if !json.Valid([]byte(s.Memo)) || len(s.Memo) > 200 {
		t.Errorf("memo %q", s.Memo)
	}

	lease.Memo, lease.Tries = "not a memo", 14
	if s := settle(503); s.Verdict != bridge.VerdictDead {
		t.Errorf("14 tries without a memo, then a 503: %s %q, want dead", s.Verdict, s.Reason)
	}
}

func TestConfiguredBackoff(t *testing.T) {
	d := newTest(t, func(c *Config) { c.Backoff = []time.Duration{100 * time.Millisecond} })
	lease := newLease("https://api.github.com/x")
	for _, want := range []bridge.Verdict{bridge.VerdictRetry, bridge.VerdictDead} {
		tr := newTry(d, lease, time.Now())
		s := tr.settle(tr.read(exchange{Answer: provider.Answer{Status: 500, WroteRequest: true}}))
		if s.Verdict != want || s.DelayMS > 120 {
			t.Errorf("got %s after %d ms, want %s", s.Verdict, s.DelayMS, want)
		}
		lease.Memo = s.Memo
	}
	// What is not said is the table's.
	if got := newTest(t, nil).cfg.Backoff; len(got) != 14 || got[13] != 8*hour {
		t.Errorf("default backoff: %v", got)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1937 * time.Millisecond: "1.9s", 2 * second: "2s", 37400 * time.Millisecond: "37s", 90 * second: "1m30s", minute: "1m", hour: "1h", 65 * minute: "1h5m", 10 * hour: "10h",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc… (1 more bytes)"}, {"aé", 2, "a… (2 more bytes)"}} {
		if got := cut(tt.in, tt.n); got != tt.want {
			t.Errorf("cut(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]bool{"": true, "a\nb\té": true, "\x1f\x8b\x08\x00": false, "a\x00b": false, "\xff\xfe long enough": false, "cut within \xc3": true} {
		if got := printable([]byte(in)); got != want {
			t.Errorf("printable(%q) = %v", in, got)
		}
	}
}
