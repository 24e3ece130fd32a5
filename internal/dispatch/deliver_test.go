package dispatch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/provider"
)

func TestDeliverSendsTheRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(201)
		io.WriteString(w, `{"id":1}`)
	})
	lease := newLease(s.URL + "/repos/acme/shop/statuses/64be?x=1")
	before := time.Now().Unix()
	settled := newTest(t, nil).Deliver(t.Context(), lease)

	if settled.Verdict != bridge.VerdictDelivered || settled.Reason != "201 Created" {
		t.Errorf("got %s %q, want delivered 201 Created", settled.Verdict, settled.Reason)
	}
	if got.Method != "POST" || got.URL.String() != "/repos/acme/shop/statuses/64be?x=1" || string(body) != lease.Delivery.Body {
		t.Errorf("sent %s %s %s", got.Method, got.URL, body)
	}
	want := map[string]string{
		"Authorization": "Bearer " + token, "Accept": "application/vnd.github+json", "Content-Type": "application/json",
		"User-Agent": "cibridge/1.2.3", "Webhook-Id": "dlv_03abc", "Idempotency-Key": "dlv_03abc",
		"Accept-Encoding": "", "Cookie": "",
	}
	for name, v := range want {
		if g := got.Header.Get(name); g != v {
			t.Errorf("header %s: got %q, want %q", name, g, v)
		}
	}
	var stamp int64
	if err := json.Unmarshal([]byte(got.Header.Get("Webhook-Timestamp")), &stamp); err != nil || stamp < before || stamp > time.Now().Unix() {
		t.Errorf("webhook-timestamp %q is not now", got.Header.Get("Webhook-Timestamp"))
	}
	a := settled.Attempt
	if a.Status != 201 || a.Body != `{"id":1}` || a.Delivery != "dlv_03abc" || a.Hook != "hook1" || a.RetryOf != "" || a.Remote == "" ||
		a.Method != "POST" || a.URL != lease.Delivery.URL || a.RequestBody != lease.Delivery.Body || !strings.HasPrefix(a.ID, "att_03abc_") {
		t.Errorf("attempt: %+v", a)
	}
	if a.RequestHeaders["Authorization"] != "Bearer ***" || a.RequestHeaders["Idempotency-Key"] != "dlv_03abc" {
		t.Errorf("request headers: %v", a.RequestHeaders)
	}
}

func TestDeliverWithoutABody(t *testing.T) {
	var header http.Header
	var length int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { header, length = r.Header, r.ContentLength })
	lease := newLease(s.URL)
	lease.Delivery.Method, lease.Delivery.Body = "PUT", ""
	if got := newTest(t, nil).Deliver(t.Context(), lease); got.Verdict != bridge.VerdictDelivered {
		t.Errorf("got %s %q", got.Verdict, got.Reason)
	}
	if header.Get("Content-Type") != "" || length != 0 {
		t.Errorf("Content-Type %q, length %d", header.Get("Content-Type"), length)
	}
}

func TestIdenticalStateIsNotSentAgain(t *testing.T) {
	var hits atomic.Int32
	s := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	d := newTest(t, nil)
	lease := newLease(s.URL)
	lease.Identical = true
	got := d.Deliver(t.Context(), lease)
	if got.Verdict != bridge.VerdictDelivered || !strings.Contains(got.Reason, "already shows this") || hits.Load() != 0 {
		t.Errorf("got %s %q after %d requests, want delivered without one", got.Verdict, got.Reason, hits.Load())
	}
	if got.Attempt.ID != "" || got.Attempt.At != 0 {
		t.Errorf("an attempt that was none is kept: %+v", got.Attempt)
	}
	lease.Confirming = true
	if d.Deliver(t.Context(), lease); hits.Load() != 1 {
		t.Errorf("a confirming re-send made %d requests, want 1", hits.Load())
	}
}

func TestAnswersToVerdicts(t *testing.T) {
	tests := []struct {
		name    string
		profile string
		handler http.HandlerFunc
		verdict bridge.Verdict
		reason  string
		down    bool
		park    time.Duration
	}{
		{"no content", "", answer(204, nil, ""), bridge.VerdictDelivered, "204 No Content", false, 0},
		{"server error", "", answer(500, nil, ""), bridge.VerdictRetry, "500 Internal Server Error", true, 0},
		{"not now", "", answer(408, nil, ""), bridge.VerdictRetry, "408 Request Timeout", false, 0},
		{"bad request", "", answer(400, nil, `{"message":"nope"}`), bridge.VerdictDead, `400 Bad Request`, false, 0},
		{"gone", "", answer(410, nil, ""), bridge.VerdictDead, "410 Gone", false, 0},
		{"no such status", "", answer(299, nil, ""), bridge.VerdictDelivered, "299", false, 0},
		{"unauthorized", "", answer(401, nil, ""), bridge.VerdictRetry, "401 Unauthorized", true, 0},
		{"forbidden", "", answer(403, nil, ""), bridge.VerdictRetry, "403 Forbidden", false, 0},
		{"throttled", "", answer(429, map[string]string{"Retry-After": "37"}, "slow down"), bridge.VerdictRetry, "tried again in 37s", false, 37 * time.Second},
		{"throttled for a day", "", answer(429, map[string]string{"Retry-After": "86400"}, ""), bridge.VerdictRetry, "tried again in 1h", false, time.Hour},
		{"overloaded", "", answer(503, map[string]string{"Retry-After": "120"}, ""), bridge.VerdictRetry, "tried again in 2m", false, 2 * time.Minute},
		{"the last one of an hour", "github", answer(201, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "45"}, ""), bridge.VerdictDelivered, "201 Created", false, 45 * time.Second},
		{"primary rate limit", "github", answer(403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "50"}, `{"message":"API rate limit exceeded for user ID 1."}`), bridge.VerdictRetry, "tried again in 50s", false, 50 * time.Second},
		{"secondary rate limit", "github", answer(403, nil, `{"message":"You have exceeded a secondary rate limit."}`), bridge.VerdictRetry, "secondary rate limit", false, -1},
		{"github rate limit", "github", answer(403, map[string]string{"Retry-After": "60"}, ""), bridge.VerdictRetry, "rate limit", false, time.Minute},
		{"gitlab same state", "gitlab", answer(400, nil, `{"message":"Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via \"enqueue\")"}`), bridge.VerdictDelivered, "", false, 0},
		{"commit not there yet", "github", answer(422, nil, `{"message":"No commit found for SHA: 64be"}`), bridge.VerdictRetry, "422", false, 0},
		{"redirect", "", answer(302, map[string]string{"Location": "http://169.254.169.254/latest/meta-data?t=" + token}, ""), bridge.VerdictDead, "302 Found to 169.254.169.254: redirects are not followed", false, 0},
		{"sent to sign in", "azure-devops", answer(302, map[string]string{"Location": "https://acme.visualstudio.com/_signin"}, ""), bridge.VerdictRetry, "sign in", false, 0},
		{"a redirect is no success", "azure-devops", answer(302, map[string]string{"Location": "https://acme.io/"}, ""), bridge.VerdictDead, "302 Found to acme.io: redirects are not followed", false, 0},
		{"redirect at home", "", answer(307, map[string]string{"Location": "/x"}, ""), bridge.VerdictDead, "307 Temporary Redirect to another path of the same host", false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.handler)
			lease := newLease(s.URL)
			lease.Delivery.Profile = tt.profile
			got := newTest(t, nil).Deliver(t.Context(), lease)
			if got.Verdict != tt.verdict || !strings.Contains(got.Reason, tt.reason) || got.TargetFailed != tt.down || got.Ambiguous {
				t.Errorf("got %s %q down %v ambiguous %v, want %s %q down %v", got.Verdict, got.Reason, got.TargetFailed, got.Ambiguous, tt.verdict, tt.reason, tt.down)
			}
			if got.ParkMS != tt.park.Milliseconds() && (tt.park >= 0 || got.ParkMS < 48_000) {
				t.Errorf("parked %d ms, want %v", got.ParkMS, tt.park)
			}
			if (got.DelayMS > 0) != (got.Verdict == bridge.VerdictRetry) {
				t.Errorf("%s with a delay of %d ms", got.Verdict, got.DelayMS)
			}
			if got.Attempt.Verdict != got.Verdict || got.Attempt.Reason != got.Reason {
				t.Errorf("the attempt says %s %q", got.Attempt.Verdict, got.Attempt.Reason)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var hits atomic.Int32
	target := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, http.StatusFound) })
	newTest(t, nil).Deliver(t.Context(), newLease(s.URL))
	if hits.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

// A proxy would dial in our place, past the guard.
func TestNoProxy(t *testing.T) {
	for scheme, transport := range newTest(t, nil).client.transports {
		if transport.Proxy != nil {
			t.Errorf("%s goes through a proxy of the environment", scheme)
		}
	}
}

func TestDeliveredWhen(t *testing.T) {
	s := serve(t, answer(400, nil, "already there"))
	tests := []struct {
		name    string
		eval    func(string, provider.Answer) (bool, error)
		verdict bridge.Verdict
		reason  string
	}{
		{"true", func(e string, a provider.Answer) (bool, error) {
			return e == "expr" && string(a.Body) == "already there", nil
		}, bridge.VerdictDelivered, "delivered_when is true"},
		{"false", func(string, provider.Answer) (bool, error) { return false, nil }, bridge.VerdictDead, "400 Bad Request"},
		{"failing", func(string, provider.Answer) (bool, error) { return true, errors.New("no such field") }, bridge.VerdictDead, "delivered_when failed: no such field"},
		{"not evaluated", nil, bridge.VerdictDead, "400 Bad Request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lease := newLease(s.URL)
			lease.Delivery.DeliveredWhen = "expr"
			got := newTest(t, func(c *Config) { c.DeliveredWhen = tt.eval }).Deliver(t.Context(), lease)
			if got.Verdict != tt.verdict || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("got %s %q, want %s %q", got.Verdict, got.Reason, tt.verdict, tt.reason)
			}
		})
	}
}

func TestNetworkFailures(t *testing.T) {
	reset := func(after func(net.Conn)) string {
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
				after(c)
				c.(*net.TCPConn).SetLinger(0) // close with a reset
				c.Close()
			}
		})
		t.Cleanup(func() { l.Close(); wg.Wait() })
		return l.Addr().String()
	}
	readRequest := func(c net.Conn) { c.Read(make([]byte, 4096)) }
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	silent := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() })
	selfSigned := httptest.NewUnstartedServer(answer(200, nil, ""))
	selfSigned.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about us
	selfSigned.StartTLS()
	t.Cleanup(selfSigned.Close)

	tests := []struct {
		name      string
		url       string
		ambiguous bool
		reason    string
	}{
		{"nobody listens", "http://" + closed.Addr().String(), false, "connection refused"},
		{"no such host", "https://nothing.invalid/x", false, "nothing.invalid"},
		{"certificate", selfSigned.URL, false, "certificate is not trusted"},
		{"no TLS", strings.Replace(silent.URL, "http:", "https:", 1), false, "TLS"},
		{"reset after the request", "http://" + reset(readRequest), true, "after the request was sent"},
		{"half a head", "http://" + reset(func(c net.Conn) { readRequest(c); io.WriteString(c, "HTTP/1.1 201 Cre") }), true, "after the request was sent"},
		{"no HTTP", "http://" + reset(func(c net.Conn) { readRequest(c); io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n") }), true, "after the request was sent"},
		{"a head without end", "http://" + reset(func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for i := 0; i < 1<<20; i++ {
				if _, err := io.WriteString(c, "X-Filler: 0123456789012345678901234567890123456789\r\n"); err != nil {
					return
				}
			}
		}), true, "server response headers exceeded 32768 bytes"},
		{"silence", silent.URL, true, "no answer in time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newTest(t, func(c *Config) {
				if tt.name == "silence" {
					c.Timeout = 300 * time.Millisecond
				}
			})
			got := d.Deliver(t.Context(), newLease(tt.url))
			if got.Verdict != bridge.VerdictRetry || got.Ambiguous != tt.ambiguous || !got.TargetFailed || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("got %s %q ambiguous %v down %v, want a retry, %q, ambiguous %v", got.Verdict, got.Reason, got.Ambiguous, got.TargetFailed, tt.reason, tt.ambiguous)
			}
			if got.Attempt.Error == "" || got.Attempt.Status != 0 {
				t.Errorf("attempt: status %d error %q", got.Attempt.Status, got.Attempt.Error)
			}
		})
	}
}

// A server that closes idle connections costs no second application of a
// request, and what is reported as delivered did arrive.
func TestIdleConnectionClosedByTheServer(t *testing.T) {
	var hits atomic.Int32
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); hits.Add(1) })
	d := newTest(t, nil)
	var delivered int32
	for range 50 {
		got := d.Deliver(t.Context(), newLease(s.URL))
		if got.Verdict == bridge.VerdictDelivered {
			delivered++
		} else if !got.Ambiguous {
			t.Fatalf("got %s %q: nothing was written, so it could have been sent on another connection", got.Verdict, got.Reason)
		}
		s.CloseClientConnections()
	}
	if hits.Load() != delivered || delivered == 0 {
		t.Errorf("%d requests for %d deliveries", hits.Load(), delivered)
	}
}

// net/http re-sends a request with an Idempotency-Key on its own when a kept
// connection breaks. The queue has to know of every send.
func TestTransportNeverSendsTwice(t *testing.T) {
	var hits atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if hits.Add(1) == 2 {
			c, _, _ := w.(http.Hijacker).Hijack()
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	})
	d := newTest(t, nil)
	d.Deliver(t.Context(), newLease(s.URL)) // leaves a connection
	got := d.Deliver(t.Context(), newLease(s.URL))
	if hits.Load() != 2 || !got.Ambiguous || got.Verdict != bridge.VerdictRetry {
		t.Errorf("%d requests, %s %q ambiguous %v; want 2 and an ambiguous retry", hits.Load(), got.Verdict, got.Reason, got.Ambiguous)
	}
}

func TestHostileBodies(t *testing.T) {
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	zeros := make([]byte, 1<<20)
	for range 64 {
		z.Write(zeros)
	}
	z.Close()
	flood := func(w http.ResponseWriter, chunk []byte, pause time.Duration, done <-chan struct{}) {
		w.WriteHeader(201)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-done:
				return
			case <-time.After(pause):
			}
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		body    string
	}{
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			flood(w, []byte(strings.Repeat("x", 1<<16)), 0, r.Context().Done())
		}, "(12288 more bytes)… (not read to its end)"},
		{"slow drip", func(w http.ResponseWriter, r *http.Request) {
			flood(w, []byte("."), time.Millisecond, r.Context().Done())
		}, "...."},
		{"broken off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(201)
			io.WriteString(w, "half")
		}, "half… (not read to its end)"},
		{"gzip bomb", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(201)
			w.Write(bomb.Bytes())
		}, "bytes that are not text)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.handler)
			d := newTest(t, func(c *Config) { c.Timeout = 400 * time.Millisecond })
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			got := d.Deliver(t.Context(), newLease(s.URL))
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if got.Verdict != bridge.VerdictDelivered || got.Ambiguous {
				t.Errorf("got %s %q ambiguous %v, want delivered: the head was complete", got.Verdict, got.Reason, got.Ambiguous)
			}
			if took > 5*time.Second {
				t.Errorf("took %v with a timeout of 400 ms", took)
			}
			if !strings.Contains(got.Attempt.Body, tt.body) || len(got.Attempt.Body) > 5000 {
				t.Errorf("kept %d bytes: %.60q, want %q in it", len(got.Attempt.Body), got.Attempt.Body, tt.body)
			}
			if grown := after.HeapAlloc - before.HeapAlloc; int64(grown) > 32<<20 {
				t.Errorf("the heap grew by %d bytes", grown)
			}
		})
	}
}

func TestUnresolvableSecret(t *testing.T) {
	var hits atomic.Int32
	s := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	d := newTest(t, nil)
	lease := newLease(s.URL)
	lease.Delivery.Headers[0].Parts[1].Ref = "application:gone:access_token"
	var got bridge.Settlement
	var first string
	for try := range 7 {
		lease.Tries, lease.Memo = try, got.Memo
		got = d.Deliver(t.Context(), lease)
		if first == "" {
			first = got.Attempt.ID
		} else if got.Attempt.RetryOf != first {
			t.Errorf("try %d is a retry of %q, want %q", try, got.Attempt.RetryOf, first)
		}
		want := bridge.VerdictRetry
		if try == 6 {
			want = bridge.VerdictDead
		}
		if got.Verdict != want || !strings.Contains(got.Reason, "header Authorization") || !strings.Contains(got.Reason, "application:gone:access_token is not configured") {
			t.Errorf("try %d: got %s %q, want %s", try, got.Verdict, got.Reason, want)
		}
		if got.TargetFailed || got.Ambiguous {
			t.Errorf("try %d counts against the target", try)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests were sent without their secret", hits.Load())
	}
}

func TestRefusedHeaders(t *testing.T) {
	d := newTest(t, nil)
	for name, value := range map[string]string{"Host": "evil", "Transfer-Encoding": "chunked", "Webhook-Id": "x", "Proxy-Authorization": "x", "Bad Name": "x", "X-Ok": "a\r\nInjected: 1", "": "x"} {
		lease := newLease("https://api.github.com/x")
		lease.Delivery.Headers = []bridge.Header{{Name: name, Parts: []bridge.Part{{Text: value}}}}
		if got := d.Deliver(t.Context(), lease); got.Verdict != bridge.VerdictDead || got.Attempt.Remote != "" {
			t.Errorf("header %q: got %s %q, want it refused", name, got.Verdict, got.Reason)
		}
	}
}

func TestSignature(t *testing.T) {
	var got string
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("X-Hub-Signature-256") })
	d := newTest(t, func(c *Config) {
		c.Sign = func(_ context.Context, ref string, body []byte) (string, error) { return ref + "|" + string(body), nil }
	})
	lease := newLease(s.URL)
	lease.Delivery.Headers = []bridge.Header{{Name: "X-Hub-Signature-256", Parts: []bridge.Part{{Text: "sha256="}, {Ref: "hook:h1:hmac:sha256"}}}}
	d.Deliver(t.Context(), lease)
	if want := "sha256=hook:h1:hmac:sha256|" + lease.Delivery.Body; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A lease that is nearly over must not be used: another worker may hold the
// lane by the time the request arrives.
func TestLeaseGuard(t *testing.T) {
	var hits atomic.Int32
	s := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	d := newTest(t, nil)
	old := time.Now().Add(-DefaultLeaseMargin)
	if _, err := d.deliver(t.Context(), newLease(s.URL), old); !errors.Is(err, errLeaseOver) {
		t.Errorf("got %v, want %v", err, errLeaseOver)
	}
	// The process stops between the check and the first byte.
	d.cfg.Resolve = func(context.Context, string) (bridge.Secret, error) { return token, nil }
	r, failed := newTry(d, newLease(s.URL), time.Now()).request(t.Context(), time.Now().Add(-time.Millisecond))
	if failed != nil {
		t.Fatal(failed.reason)
	}
	for range 2 { // on a fresh connection, then on a kept one
		if x := d.client.send(t.Context(), r); !errors.Is(x.Err, errLeaseOver) || x.WroteRequest {
			t.Errorf("got %v, wrote %v; want %v before anything was written", x.Err, x.WroteRequest, errLeaseOver)
		}
		late := r.latest
		r.latest = time.Now().Add(time.Minute)
		if x := d.client.send(t.Context(), r); x.Err != nil {
			t.Fatal(x.Err)
		}
		r.latest = late
		hits.Add(-1)
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests arrived", hits.Load())
	}
}

func TestCanceledBeforeSending(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errShutdown)
	_, err := newTest(t, nil).deliver(ctx, newLease("http://127.0.0.1:1/"), time.Now())
	if !errors.Is(err, errShutdown) {
		t.Errorf("got %v, want the lease handed back", err)
	}
}

func TestHTTP2(t *testing.T) {
	var proto string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { proto = r.Proto }))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	d := newTest(t, nil)
	d.client.transports["https"].TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	got := d.Deliver(t.Context(), newLease(s.URL))
	if got.Verdict != bridge.VerdictDelivered || proto != "HTTP/2.0" {
		t.Errorf("got %s %q over %s", got.Verdict, got.Reason, proto)
	}
	d.Close()
}

// Whatever the target echoes, no eight bytes of the secret are kept.
func TestAttemptShowsNoSecret(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		w.Header().Set("X-Request-Id", auth)
		w.Header().Set("X-Echo", token)
		w.Header().Set("Set-Cookie", "session=abcdefghijkl")
		w.WriteHeader(422)
		body, _ := json.Marshal(map[string]string{"message": "cannot use " + auth + " for this",
			"basic": base64.StdEncoding.EncodeToString([]byte("me:" + token))})
		w.Write(body)
		io.WriteString(w, strings.Repeat(" ", keptBodyBytes-len(body)-12)+token)
	})
	lease := newLease(s.URL + "/x?access_token=url-secret-value&page=2")
	lease.Delivery.Body = `{"oops":"` + token + `"}`
	got := newTest(t, nil).Deliver(t.Context(), lease)
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	basic := base64.StdEncoding.EncodeToString([]byte("me:" + token))
	for _, secret := range []string{token, basic[6:], "url-secret-value", "abcdefghijkl"} {
		if piece := shows(string(text), secret); piece != "" {
			t.Errorf("%q shows in %s", piece, text)
		}
	}
	if !strings.Contains(got.Reason, "422") || !strings.Contains(string(text), "page=2") {
		t.Errorf("too much is masked: %s", text)
	}
}

func TestRebinding(t *testing.T) {
	// The dialler's control sees what the name resolved to at that moment,
	// whatever it was before.
	control := newGuard(nil).control("https")
	if err := control("tcp4", "93.184.215.14:443", syscall.RawConn(nil)); err != nil {
		t.Errorf("first answer: %v", err)
	}
	if err := control("tcp4", "127.0.0.1:443", syscall.RawConn(nil)); err == nil {
		t.Error("the second answer, a private address, was let through")
	}
	// And the transports do use it: localhost resolves, and is refused.
	d := newTest(t, func(c *Config) { c.EgressAllow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	d.guard.allow = nil
	s := serve(t, answer(200, nil, ""))
	r := request{method: "GET", header: http.Header{}, latest: time.Now().Add(time.Minute), timeout: time.Second}
	req, _ := http.NewRequest("GET", strings.Replace(s.URL, "127.0.0.1", "localhost", 1), nil)
	r.url = req.URL
	var denied *DeniedError
	if x := d.client.send(t.Context(), r); !errors.As(x.Err, &denied) {
		t.Errorf("got %v %d, want a refused dial", x.Err, x.Status)
	}
}

// A secret is sent in the form that its reference asks for, and no form of it
// is kept.
func TestFormsOfASecret(t *testing.T) {
	tests := []struct{ form, secret, want string }{
		{"", "tok:en", "tok:en"},
		{":basic", token, base64.StdEncoding.EncodeToString([]byte(":" + token))},
		{":basic", "jo:" + token, base64.StdEncoding.EncodeToString([]byte("jo:" + token))},
		{":authorization", token, "Bearer " + token},
		{":authorization", "jo:" + token, "Basic " + base64.StdEncoding.EncodeToString([]byte("jo:"+token))},
	}
	for _, tt := range tests {
		got := ""
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			got = r.Header.Get("X-Credentials")
			w.WriteHeader(400)
			io.WriteString(w, `{"message":"`+got+`"}`)
		})
		d := newTest(t, func(c *Config) {
			c.Resolve = func(_ context.Context, ref string) (bridge.Secret, error) {
				if ref != "application:app1:access_token" {
					t.Errorf("asked for %s", ref)
				}
				return bridge.Secret(tt.secret), nil
			}
		})
		lease := newLease(s.URL)
		lease.Delivery.Headers = []bridge.Header{{Name: "X-Credentials", Parts: []bridge.Part{{Ref: "application:app1:access_token" + tt.form}}}}
		settled := d.Deliver(t.Context(), lease)
		if got != tt.want {
			t.Errorf("%s: sent %q, want %q", tt.form, got, tt.want)
		}
		kept, err := json.Marshal(settled)
		if err != nil {
			t.Fatal(err)
		}
		encoded := base64.RawStdEncoding.EncodeToString([]byte(tt.secret))
		for _, secret := range []string{token, encoded, strings.TrimPrefix(strings.TrimPrefix(tt.want, "Basic "), "Bearer ")} {
			if piece := shows(string(kept), secret); piece != "" && len(tt.secret) > 8 {
				t.Errorf("%s: %q of the secret is kept in %s", tt.form, piece, kept)
			}
		}
	}
}

// What an answer says of the resource goes into the next request for it, and is
// forgotten when the provider refuses what it is part of.
func TestCaptured(t *testing.T) {
	profiles, err := loadProfiles()
	if err != nil {
		t.Fatal(err)
	}
	body, status, reply := "", 201, `{"id":1,"pipeline_id":77}`
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		w.WriteHeader(status)
		io.WriteString(w, reply)
	})
	d := newTest(t, func(c *Config) { c.Fill = profiles.Fill })
	lease := newLease(s.URL)
	lease.Delivery.Profile = "gitlab"
	first := d.Deliver(t.Context(), lease)
	if first.Captured != `{"pipeline_id":77}` || strings.Contains(body, "pipeline_id") {
		t.Fatalf("kept %q of the first answer, sent %s", first.Captured, body)
	}
	tests := []struct {
		status int
		reply  string
		kept   string
	}{
		{201, `{"pipeline_id":78}`, `{"pipeline_id":78}`},
		{201, `{}`, first.Captured},
		{500, ``, first.Captured},
		{429, ``, first.Captured},
		{404, `{"message":"404 Pipeline Not Found"}`, ""},
		{400, `{"message":"no"}`, ""},
	}
	for _, tt := range tests {
		status, reply = tt.status, tt.reply
		lease.Captured = first.Captured
		got := d.Deliver(t.Context(), lease)
		if got.Captured != tt.kept {
			t.Errorf("%d %s: kept %q, want %q", tt.status, tt.reply, got.Captured, tt.kept)
		}
		if want := `{"context":"ci/cibridge","pipeline_id":77,"state":"pending"}`; body != want || got.Attempt.RequestBody != want {
			t.Errorf("sent %s, logged %s, want %s", body, got.Attempt.RequestBody, want)
		}
	}
	s.Close()
	if got := d.Deliver(t.Context(), lease); got.Captured != first.Captured {
		t.Errorf("without an answer %q is kept", got.Captured)
	}
	lease.Identical = true
	if got := d.Deliver(t.Context(), lease); got.Captured != first.Captured {
		t.Errorf("without a request %q is kept", got.Captured)
	}
}
