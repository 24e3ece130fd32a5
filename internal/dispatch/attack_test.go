package dispatch

import (
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cibridge/bridge"
)

// handServer speaks HTTP by hand, for answers that net/http does not give.
func handServer(t *testing.T, answer func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.Read(make([]byte, 4096))
				answer(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

// forever writes text until nobody listens any more.
func forever(c net.Conn, first, text string, pause time.Duration) {
	if _, err := io.WriteString(c, first); err != nil {
		return
	}
	tick := time.NewTicker(max(pause, time.Nanosecond))
	defer tick.Stop()
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		if pause > 0 {
			<-tick.C
		}
	}
}

// Whatever a target answers, a try ends within its time and holds little.
func TestHostileHeads(t *testing.T) {
	tests := map[string]func(c net.Conn){
		"interim answers without end": func(c net.Conn) { forever(c, "", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 0) },
		"an interim answer, slowly":   func(c net.Conn) { forever(c, "HTTP/1.1 100 Continue\r\n\r\n", "H", time.Millisecond) },
		"one header without end":      func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 1<<16), 0) },
		"a header, slowly":            func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\nX: ", "x", time.Millisecond) },
		"a status line without end":   func(c net.Conn) { forever(c, "HTTP/1.1 200 ", strings.Repeat("x", 1<<16), 0) },
		"a protocol that nobody asked for": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		},
		"two lengths": func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
		},
		"a header with a bare line feed in": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n") },
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			d := newTest(t, func(c *Config) { c.Timeout = 400 * time.Millisecond })
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := d.Deliver(t.Context(), newLease(handServer(t, answer)))
			runtime.ReadMemStats(&after)
			if got.Verdict == bridge.VerdictDelivered {
				t.Errorf("got %s %q", got.Verdict, got.Reason)
			}
			if got.Attempt.Status == 0 && !got.Ambiguous {
				t.Errorf("it may have been applied: %q", got.Reason)
			}
			if took := got.Attempt.DurationMS; took > 5000 {
				t.Errorf("took %d ms with a timeout of 400", took)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
				t.Errorf("%d MB were allocated", grown>>20)
			}
		})
	}
}

// Trailers without end come after the body, which decides.
func TestHostileTrailers(t *testing.T) {
	s := handServer(t, func(c net.Conn) {
		forever(c, "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\n{}\r\n0\r\n", "X: "+strings.Repeat("x", 4096)+"\r\n", 0)
	})
	d := newTest(t, func(c *Config) { c.Timeout = 2 * time.Second })
	if got := d.Deliver(t.Context(), newLease(s)); got.Verdict != bridge.VerdictDelivered || !strings.HasPrefix(got.Attempt.Body, "{}") {
		t.Errorf("got %s %q %q", got.Verdict, got.Reason, got.Attempt.Body)
	}
}

// A token that is no longer for the host of a delivery is not looked up, and
// nothing is sent.
func TestPermit(t *testing.T) {
	var asked, sent atomic.Int32
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { sent.Add(1); w.WriteHeader(201) })
	d := newTest(t, func(c *Config) {
		c.Permit = func(ref, url string) error {
			if ref != "application:app1:access_token" || url != s.URL {
				t.Errorf("asked for %s to %s", ref, url)
			}
			if asked.Add(1) == 1 {
				return errors.New("the token is for another host")
			}
			return nil
		}
	})
	got := d.Deliver(t.Context(), newLease(s.URL))
	if got.Verdict != bridge.VerdictRetry || !strings.Contains(got.Reason, "the token is for another host") || sent.Load() != 0 {
		t.Errorf("got %s %q, %d requests", got.Verdict, got.Reason, sent.Load())
	}
	if got = d.Deliver(t.Context(), newLease(s.URL)); got.Verdict != bridge.VerdictDelivered || sent.Load() != 1 {
		t.Errorf("got %s %q, %d requests", got.Verdict, got.Reason, sent.Load())
	}
}
