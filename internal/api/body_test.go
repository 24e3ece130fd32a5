package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"cibridge/bridge"
)

func zipped(t *testing.T, body io.Reader) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.Copy(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBodies(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxBody = 64 << 10 })
	big := `{"id":"` + strings.Repeat("x", 60<<10) + `"}`
	for _, tc := range []struct {
		name, path, body string
		header           []string
		status           int
		want             string
	}{
		{"byte order mark", "none", "\xef\xbb\xbf" + `{"id":1}`, nil, 202, "*"},
		{"no Content-Type", "none", `{"id":2}`, []string{"Content-Type", ""}, 202, "*"},
		{"JSON as a form, curl's default", "none", `{"id":3}`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 202, "*"},
		{"broken JSON as a form", "none", `{"id":3`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, `*"code":"E001","detail":"line 1, column *`},
		{"JSON as an image", "none", `{"id":4}`, []string{"Content-Type", "image/png"}, 202, "*"},
		{"no JSON, unknown type", "none", `hello`, []string{"Content-Type", "application/octet-stream"}, 400, `*"code":"E001"*`},
		{"no JSON, image", "none", "\x89PNG", []string{"Content-Type", "image/png"}, 415, `*"code":"E014","detail":"the body is image/png; mapping none reads JSON: send it as application/json"*`},
		{"form", "form", "payload=%7B%22id%22%3A5%7D", []string{"Content-Type", "application/x-www-form-urlencoded"}, 202, "*"},
		{"form without the field", "form", "other=1", []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, `*"code":"E002","detail":"the form has no field \"payload\""*`},
		{"gzip", "none", zipped(t, strings.NewReader(`{"id":6}`)), []string{"Content-Encoding", "gzip"}, 202, "*"},
		{"identity", "none", `{"id":7}`, []string{"Content-Encoding", "identity"}, 202, "*"},
		{"gzip, cut", "none", zipped(t, strings.NewReader(big))[:60], []string{"Content-Encoding", "gzip"}, 400, `*"detail":"the gzip body is damaged: *`},
		{"gzip bomb", "none", zipped(t, io.LimitReader(zeros{}, 30<<20)), []string{"Content-Encoding", "gzip"}, 413, `*"detail":"the body is larger than the limit of 65536 bytes"*`},
		{"large, within", "none", big, nil, 202, "*"},
		{"text", "none", `"text"`, nil, 422, "*"},
		{"null", "none", `null`, nil, 422, "*"},
	} {
		before := len(r.ledger())
		a := r.send("POST", "/in/"+tc.path, tc.body, tc.header...)
		if a.is(t, tc.status, tc.want); t.Failed() {
			t.Fatal(tc.name)
		}
		if got := len(r.ledger()) - before; got != 1 && tc.status != 413 {
			t.Errorf("%s: %d entries in the ledger, want one", tc.name, got)
		}
	}
	for _, req := range r.requests {
		if _, ok := req.Header["content-encoding"]; ok && bytes.HasPrefix(req.Body, []byte("{")) {
			t.Error("an unpacked body still says that it is packed")
		}
	}
	if n := r.server.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

// TestGzipIsSigned: a signature covers the bytes as they arrive.
func TestGzipIsSigned(t *testing.T) {
	r := newRig(t, nil)
	body := zipped(t, strings.NewReader(`{"zen":"x"}`))
	a := r.send("POST", "/in/github-actions", body, "Content-Encoding", "gzip", "X-Github-Event", "ping",
		"X-Hub-Signature-256", "sha256="+hexMAC(githubSecret, body))
	a.is(t, 202, `*"outcome":"ignored"*`)
}

// conn speaks HTTP by hand to a server with the given timeouts.
func dial(t *testing.T, h http.Handler, to Timeouts) net.Conn {
	t.Helper()
	srv := HTTPServer(h, to, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { _ = srv.Close(); done.Wait() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSlowBody(t *testing.T) {
	r := newRig(t, nil)
	c := dial(t, r.server, Timeouts{Read: 50 * time.Millisecond})
	fmt.Fprintf(c, "POST /in/none HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"id\"")
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	answer{resp.StatusCode, resp.Header, string(body)}.is(t, 408,
		`{"type":"urn:cibridge:error:E013","title":"The body came too slowly","status":408,"code":"E013","detail":"the body was not complete within the time for reading a request","event_id":"evt_*"}`)
	if !resp.Close {
		t.Error("the connection stays open")
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after the answer: %v, want the end", err)
	}
	if e := r.last(); e.ID != "" {
		t.Errorf("ledger has %+v", e)
	}
}

// TestAbortedBody: a sender that goes away leaves nothing behind.
func TestAbortedBody(t *testing.T) {
	r := newRig(t, nil)
	c := dial(t, r.server, Timeouts{})
	fmt.Fprintf(c, "POST /in/none HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"id\"")
	_ = c.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	answer{resp.StatusCode, resp.Header, string(body)}.is(t, 400, `*"code":"E015","detail":"the body ended early: its length does not fit what was announced"*`)
	if n := r.server.budget.used.Load(); n != 0 || r.last().ID != "" {
		t.Errorf("%d bytes are held, ledger has %+v", n, r.last())
	}
}

func TestSlowAndLargeHeaders(t *testing.T) {
	r := newRig(t, nil)
	slow := dial(t, r.server, Timeouts{ReadHeader: 30 * time.Millisecond})
	fmt.Fprintf(slow, "POST /in/none HTTP/1.1\r\nHost: x\r\n")
	if b, err := io.ReadAll(slow); err != nil || len(b) > 0 && !bytes.Contains(b, []byte("408")) {
		t.Errorf("slow headers: %q, %v; want the connection closed", b, err)
	}
	large := dial(t, r.server, Timeouts{MaxHeader: 4 << 10})
	go fmt.Fprintf(large, "POST /in/none HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 20<<10))
	resp, err := http.ReadResponse(bufio.NewReader(large), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("large headers: %d, want 431", resp.StatusCode)
	}
}

// TestInFlight: bodies that are being read are bounded together, whatever they
// announce; what is refused works later.
func TestInFlight(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxBody, c.MaxInFlight = 100<<10, 1 })
	if got, want := r.server.budget.limit, int64(300<<10); got != want {
		t.Errorf("limit %d, want room for the largest body while it grows: %d", got, want)
	}
	r.server.budget.limit = 150 << 10
	// A stalled sender that announces much and has sent little holds little.
	c := dial(t, r.server, Timeouts{})
	fmt.Fprintf(c, "POST /in/none HTTP/1.1\r\nHost: x\r\nContent-Length: 102400\r\n\r\n%s", strings.Repeat(" ", 90<<10))
	for r.server.budget.used.Load() < 90<<10 {
		runtime.Gosched()
	}
	big := `{"id":"` + strings.Repeat("x", 90<<10) + `"}`
	a := r.send("POST", "/in/none", big)
	a.is(t, 503, `{"type":"urn:cibridge:error:E016","title":"The server is busy","status":503,"code":"E016","detail":"too many request bodies are being read at once; try again","event_id":"evt_*"}`)
	if got := a.header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After %q, want 1", got)
	}
	r.send("POST", "/in/none", `{"id":1}`).is(t, 202, "*")
	_ = c.Close()
	for r.server.budget.used.Load() > 0 {
		runtime.Gosched()
	}
	r.send("POST", "/in/none", big).is(t, 202, "*")
}

// TestHugeBodyIsNotRead: 300 MB cost neither memory nor time, announced or
// chunked.
func TestHugeBodyIsNotRead(t *testing.T) {
	r := newRig(t, nil)
	c := dial(t, r.server, Timeouts{})
	fmt.Fprintf(c, "POST /in/none HTTP/1.1\r\nHost: x\r\nContent-Length: 314572800\r\nExpect: 100-continue\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 413 || !resp.Close {
		t.Errorf("announced: %d, closed %v; want 413 and no 100 Continue", resp.StatusCode, resp.Close)
	}

	chunked := dial(t, r.server, Timeouts{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fmt.Fprintf(chunked, "POST /in/none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	sent := make(chan int64, 1)
	go func() {
		chunk := []byte("10000\r\n" + strings.Repeat("x", 0x10000) + "\r\n")
		var n int64
		for n < 300<<20 {
			w, err := chunked.Write(chunk)
			if n += int64(w); err != nil {
				break
			}
		}
		sent <- n
	}()
	resp, err = http.ReadResponse(bufio.NewReader(chunked), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	_ = chunked.Close()
	if n := <-sent; resp.StatusCode != 413 || n > 100<<20 {
		t.Errorf("chunked: %d after %d MB, want 413 soon after the limit", resp.StatusCode, n>>20)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("%d MB were allocated, want less than 64", grown>>20)
	}
}

// TestManyAtOnce posts from several clients while the configuration changes.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t, nil)
	set := r.server.mappings.Load()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 25 {
				a := r.codenow("account", start(fmt.Sprintf("%d-%d", w, i), "shop"))
				if a.status != 200 {
					t.Errorf("status %d: %s", a.status, a.body)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 25 {
			r.server.SetMappings(set)
			if err := r.PutApplication(t.Context(), bridge.Application{ID: fmt.Sprint("app", i)}); err != nil {
				t.Error(err)
			}
			r.admin("GET", "/api/v1/applications", "").is(t, 200, "*")
		}
	})
	wg.Wait()
	if n := len(r.ledger()); n != 200 {
		t.Errorf("%d entries in the ledger, want 200", n)
	}
}
