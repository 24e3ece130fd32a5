package dispatch

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cibridge/bridge"
)

// rawServer answers every connection, after the head of a request, with
// whatever bytes the test writes. It is ended with a reset when the test says
// so by returning true.
func rawServer(t *testing.T, answer func(c net.Conn) (reset bool)) string {
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
				c.Read(make([]byte, 8192))
				if answer(c) {
					c.(*net.TCPConn).SetLinger(0)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "http://" + l.Addr().String() + "/repos/acme/shop/statuses/64be"
}

// says writes an answer as it stands.
func says(text string) func(net.Conn) bool {
	return func(c net.Conn) bool { io.WriteString(c, text); return false }
}

// endless writes chunks until the other side has gone away.
func endless(head, chunk string, most int, pause time.Duration) func(net.Conn) bool {
	return func(c net.Conn) bool {
		io.WriteString(c, head)
		for range most {
			if _, err := io.WriteString(c, chunk); err != nil {
				return false
			}
			if pause > 0 {
				time.Sleep(pause)
			}
		}
		return false
	}
}

// TestBadProviders: whatever a provider answers is classified, logged in one
// line with every fact, and counted, in little time and memory.
func TestBadProviders(t *testing.T) {
	const page = "<!DOCTYPE html><html><body><h1>Bad \x1b[31mGateway</h1>\r\n<script>alert(1)</script></body></html>"
	html := func(status string) func(net.Conn) bool {
		return says(fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", status, len(page), page))
	}
	bare := func(status string, lines ...string) func(net.Conn) bool {
		return says("HTTP/1.1 " + status + "\r\n" + strings.Join(append(lines, "Content-Length: 0"), "\r\n") + "\r\n\r\n")
	}
	tests := []struct {
		name    string
		answer  func(net.Conn) bool
		outcome string // and verdict, and class of the status: the labels
		reason  string
		amb     bool
	}{
		{"a page instead of JSON", html("200 OK"), "delivered delivered 2xx", "200 OK", false},
		{"a wrong content type", says("HTTP/1.1 201 Created\r\nContent-Type: image/png\r\nContent-Length: 4\r\n\r\n\x89PNG"), "delivered delivered 2xx", "201 Created", false},
		{"no content type", says("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"), "delivered delivered 2xx", "201 Created", false},
		{"an empty 500", bare("500 Internal Server Error"), "transient retry 5xx", "500 Internal Server Error", false},
		{"a page with 502", html("502 Bad Gateway"), "transient retry 5xx", "502 Bad Gateway", false},
		{"a page with 404", html("404 Not Found"), "permanent dead 4xx", "404 Not Found", false},
		{"a page with 400", html("400 Bad Request"), "permanent dead 4xx", "400 Bad Request", false},
		{"a page with 401", html("401 Unauthorized"), "credential retry 4xx", "401 Unauthorized", false},
		{"a plain 429", says("HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nRetry later\n"), "throttled retry 4xx", "Retry later", false},
		{"a status of its own", bare("799 Whatever"), "permanent dead 7xx", "799", false},
		{"to the metadata service", bare("302 Found", "Location: http://169.254.169.254/latest/meta-data/?t=x"), "permanent dead 3xx", "302 Found to 169.254.169.254: redirects are not followed", false},
		{"to metadata, IPv6", bare("307 Temporary Redirect", "Location: http://[fd00:ec2::254]/latest"), "permanent dead 3xx", "307 Temporary Redirect to [fd00:ec2::254]", false},
		{"to a file", bare("301 Moved Permanently", "Location: file:///etc/passwd"), "permanent dead 3xx", "301 Moved Permanently", false},
		{"to nowhere", bare("303 See Other", "Location: ://%zz"), "permanent dead 3xx", "303 See Other", false},
		{"a gigabyte", endless("HTTP/1.1 201 Created\r\nContent-Length: 1073741824\r\n\r\n", strings.Repeat("x", 1<<16), 1<<14, 0), "delivered delivered 2xx", "201 Created", false},
		{"a body without end", endless("HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n", "10000\r\n"+strings.Repeat("y", 1<<16)+"\r\n", 1<<14, 0), "transient retry 5xx", "503 Service Unavailable", false},
		{"a body that drips", endless("HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n", ".", 1<<20, 5*time.Millisecond), "delivered delivered 2xx", "201 Created", false},
		{"a head that drips", endless("HTTP/1.1 201 Created\r\nX-A: ", ".", 1<<20, 5*time.Millisecond), "transient retry none", "no answer in time after the request was sent", true},
		{"reset at once", func(net.Conn) bool { return true }, "transient retry none", "after the request was sent", true},
		{"reset in the head", func(c net.Conn) bool { io.WriteString(c, "HTTP/1.1 201 Cre"); return true }, "transient retry none", "after the request was sent", true},
		{"reset in the body", func(c net.Conn) bool {
			io.WriteString(c, "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf")
			return true
		}, "delivered delivered 2xx", "201 Created", false},
		{"closed without a word", says(""), "transient retry none", "after the request was sent", true},
		{"not HTTP", says("220 mail.acme.example ESMTP\r\n"), "transient retry none", "after the request was sent", true},
		{"a bad length", says("HTTP/1.1 201 Created\r\nContent-Length: -5\r\n\r\n"), "transient retry none", "after the request was sent", true},
		{"two lengths", says("HTTP/1.1 201 Created\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "transient retry none", "after the request was sent", true},
		{"a bad chunk", says("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "delivered delivered 2xx", "201 Created", false},
		{"only interim answers", endless("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 1<<12, 0), "transient retry none", "after the request was sent", true},
		{"another protocol", bare("101 Switching Protocols", "Upgrade: x", "Connection: Upgrade"), "transient retry 1xx", "101 Switching Protocols", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url := rawServer(t, tt.answer)
			var log bytes.Buffer
			reg, q := prometheus.NewRegistry(), newFakeQueue()
			d := newTest(t, func(c *Config) {
				c.Queue, c.Timeout, c.Metrics = q, 400*time.Millisecond, reg
				c.Log = slog.New(slog.NewTextHandler(&log, nil))
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			lease := newLease(url)
			d.work(t.Context(), t.Context(), lease, time.Now())
			runtime.ReadMemStats(&after)
			if used := int64(after.TotalAlloc) - int64(before.TotalAlloc); used > 16<<20 {
				t.Errorf("it took %d MB", used>>20)
			}
			settled, _, _ := q.state()
			if len(settled) != 1 {
				t.Fatalf("settled %d times", len(settled))
			}
			got := settled[0]
			class := "none"
			if got.Attempt.Status > 0 {
				class = fmt.Sprint(got.Attempt.Status/100, "xx")
			}
			if labels := fmt.Sprint(got.Outcome, " ", got.Verdict, " ", class); labels != tt.outcome || !strings.Contains(got.Reason, tt.reason) || got.Ambiguous != tt.amb {
				t.Errorf("got %s %q ambiguous %v, want %s %q ambiguous %v", labels, got.Reason, got.Ambiguous, tt.outcome, tt.reason, tt.amb)
			}
			oneLine(t, log.String(), lease, got)
			if n := counted(t, reg, tt.outcome); n != 1 {
				t.Errorf("counted %v times as %s", n, tt.outcome)
			}
		})
	}
}

// oneLine checks that an attempt left one line with every fact, and nothing
// that a terminal would obey.
func oneLine(t *testing.T, log string, l bridge.Lease, s bridge.Settlement) {
	t.Helper()
	if strings.Count(log, "\n") != 1 || strings.ContainsAny(log, "\x1b\r\x00") || strings.Contains(log, "<script>") {
		t.Errorf("the log is not one clean line:\n%q", log)
	}
	for _, fact := range []string{
		"delivery " + string(s.Verdict), "delivery=" + l.Delivery.ID, "run=" + l.Delivery.Run, "hook=" + l.Delivery.Hook, "attempt=" + s.Attempt.ID, "try=1",
		"outcome=" + s.Outcome, fmt.Sprint("status=", s.Attempt.Status), "method=POST", "url=" + l.Delivery.URL, "remote=127.0.0.1:", "reason=", "ms=",
		fmt.Sprint("next_ms=", s.DelayMS), fmt.Sprint("bucket_rests_ms=", s.ParkMS), fmt.Sprint("ambiguous=", s.Ambiguous), fmt.Sprint("target_failed=", s.TargetFailed),
	} {
		if !strings.Contains(log, fact) {
			t.Errorf("the line lacks %s:\n%s", fact, log)
		}
	}
}

// counted returns the counter of attempts with these labels.
func counted(t *testing.T, reg *prometheus.Registry, labels string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(labels)
	for _, f := range families {
		if f.GetName() != "cibridge_delivery_attempts_total" {
			continue
		}
		for _, m := range f.Metric {
			got := map[string]string{}
			for _, l := range m.Label {
				got[l.GetName()] = l.GetValue()
			}
			if got["outcome"] == want[0] && got["verdict"] == want[1] && got["status"] == want[2] {
				return m.Counter.GetValue()
			}
		}
	}
	return 0
}
