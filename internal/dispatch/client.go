package dispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"cibridge/internal/provider"
)

// Limits of one exchange.
const (
	connectTimeout  = 3 * time.Second // name resolution and TCP
	tlsTimeout      = 3 * time.Second
	idleTimeout     = 30 * time.Second // shorter than what servers keep, to meet few closed connections
	maxHeaderBytes  = 32 << 10
	maxBodyBytes    = 16 << 10 // read of an answer
	keptBodyBytes   = 4 << 10  // kept of a body in the log
	idlePerHost     = 8
	maxIdlePerProxy = 256
)

// errLeaseOver stops a request whose lease no longer leaves time for it.
var errLeaseOver = errors.New("the lease leaves too little time to send")

// errShutdown stops requests that did not end within the drain.
var errShutdown = errors.New("cibridge is shutting down")

// client sends requests. https and plain http have a transport each, because
// the guard must know at the dial which of them it is.
type client struct {
	transports map[string]*http.Transport
}

func newClient(g *guard) *client {
	c := &client{transports: map[string]*http.Transport{}}
	for _, scheme := range []string{"https", "http"} {
		dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second, Control: g.control(scheme)}
		c.transports[scheme] = &http.Transport{
			// No Proxy: one from the environment would dial for us, past the guard.
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    tlsTimeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // else 64 KB could expand to 64 MB on the way in
			MaxResponseHeaderBytes: maxHeaderBytes,
			MaxIdleConns:           maxIdlePerProxy,
			MaxIdleConnsPerHost:    idlePerHost,
			IdleConnTimeout:        idleTimeout,
		}
	}
	return c
}

func (c *client) close() {
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}

// request is what is sent, all references resolved.
type request struct {
	method string
	url    *url.URL
	header http.Header
	body   string
	// latest is when the first byte may still be written: later, another
	// worker may hold the lane.
	latest  time.Time
	timeout time.Duration
}

// An exchange is what came of a request.
type exchange struct {
	provider.Answer
	remote string // address that was dialled, "" when none was
	cut    bool   // the body was longer than what is read, or broke off
}

// send sends r once: no redirects, no cookies, no second try once a byte was
// written. The answer is complete or bounded when it returns, and its
// connection is free again.
func (c *client) send(ctx context.Context, r request) exchange {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, context.DeadlineExceeded)
	defer cancel()
	for stale := 0; ; stale++ {
		x, again := c.try(ctx, r)
		if !again || stale > idlePerHost || ctx.Err() != nil {
			return x
		}
	}
}

// try is one exchange. again reports that it met a kept connection which the
// server had closed, before anything was written to it.
func (c *client) try(ctx context.Context, r request) (x exchange, again bool) {
	var wrote, late, reused atomic.Bool
	var remote atomic.Pointer[string]
	resp, err := c.transports[r.url.Scheme].RoundTrip(r.http(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			addr := info.Conn.RemoteAddr().String()
			remote.Store(&addr)
			reused.Store(info.Reused)
			// The last moment before anything is written: it also catches a
			// process that was stopped (SIGSTOP, a paused machine) since the
			// lease was looked at. net/http has no way to say no here but to
			// take the connection away.
			if time.Now().After(r.latest) {
				late.Store(true)
				info.Conn.Close()
			}
		},
		WroteHeaders: func() { wrote.Store(true) },
		WroteRequest: func(httptrace.WroteRequestInfo) { wrote.Store(true) },
	})))
	if a := remote.Load(); a != nil {
		x.remote = *a
	}
	switch {
	case err != nil && late.Load():
		x.Err = errLeaseOver
		return x, false
	case err != nil && ctx.Err() != nil:
		x.Err, x.WroteRequest = context.Cause(ctx), wrote.Load()
		return x, false
	case err != nil:
		x.Err, x.WroteRequest = err, wrote.Load()
		return x, reused.Load() && !x.WroteRequest
	}
	defer resp.Body.Close()
	x.Status, x.Header, x.At, x.WroteRequest = resp.StatusCode, resp.Header, time.Now(), true
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBodyBytes+1))
	x.cut = err != nil || len(body) > maxBodyBytes
	x.Body = body[:min(len(body), maxBodyBytes)]
	return x, false
}

func (r request) http(ctx context.Context) *http.Request {
	req := (&http.Request{
		Method: r.method, URL: r.url, Host: r.url.Host, Header: r.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if r.body == "" {
		return req
	}
	req.ContentLength = int64(len(r.body))
	// With GetBody net/http moves to a fresh connection when a kept one turns
	// out to be closed before anything was written. It would also send again
	// what it has written, but for methods and headers that ours avoid.
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(r.body)), nil }
	req.Body, _ = req.GetBody()
	return req
}
