package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cibridge/bridge"
)

func TestAllow(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		one, two := b.open(), b.open()
		// The hour makes sure that nothing comes back while the test runs.
		r := Rate{Count: 10, Per: time.Hour, Burst: 4}
		var allowed atomic.Int64
		var wg sync.WaitGroup
		for i := range 20 {
			s := []*Store{one, two}[i%2]
			wg.Go(func() {
				wait, err := s.Allow(t.Context(), "key/a", r)
				if err != nil {
					t.Error(err)
				}
				if wait == 0 {
					allowed.Add(1)
				} else if wait > 6*time.Minute || wait < 5*time.Minute {
					t.Errorf("wait %s, want nearly the 6 minutes after which there is one more", wait)
				}
			})
		}
		wg.Wait()
		if allowed.Load() != 4 {
			t.Errorf("%d of 20 were allowed, want the burst of 4", allowed.Load())
		}
		if wait, err := one.Allow(t.Context(), "key/b", r); wait != 0 || err != nil {
			t.Errorf("another name waits %s, %v", wait, err)
		}
		// An allowance comes back: what waits that long gets through.
		fast := Rate{Count: 1000, Per: time.Second, Burst: 1}
		for n := 0; n < 3; {
			wait, err := one.Allow(t.Context(), "key/c", fast)
			if err != nil {
				t.Fatal(err)
			}
			if wait == 0 {
				n++
			}
			if wait > time.Millisecond {
				t.Fatalf("wait %s, want at most 1ms", wait)
			}
		}
	})
}

func TestAllowWithoutRedis(t *testing.T) {
	b := realBackend(t)
	s := b.open()
	b.real.Kill()
	if wait, err := s.Allow(t.Context(), "a", Rate{Count: 1, Per: time.Hour}); err == nil || wait != 0 {
		t.Errorf("got %s, %v; want an error and no wait", wait, err)
	}
}

func TestAuditLog(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := b.open(func(c *Config) { c.Retention.Runs = time.Hour })
		now := time.Now().UnixMilli()
		for i := range 7 {
			if err := s.Audit(t.Context(), AuditEntry{At: now + int64(i), Actor: "admin", Method: "PUT", Path: "/api/v1/sources/gh", Status: 200}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Audit(t.Context(), AuditEntry{At: now - 2*time.Hour.Milliseconds(), Actor: "too old"}); err != nil {
			t.Fatal(err)
		}
		var got []AuditEntry
		pages := 0
		for cursor := ""; ; pages++ {
			page, next, err := s.AuditLog(t.Context(), 3, cursor)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page...)
			if cursor = next; next == "" {
				break
			}
		}
		if len(got) != 7 || pages < 2 || got[0].At != now+6 || got[6].At != now || got[3].Path != "/api/v1/sources/gh" {
			t.Errorf("%d entries in %d pages: %+v", len(got), pages+1, got)
		}
		var be *bridge.Error
		if _, _, err := s.AuditLog(t.Context(), 3, "nonsense"); !errors.As(err, &be) || be.Code != bridge.CodeInvalid {
			t.Errorf("a cursor that is none: %v", err)
		}
	})
}
