package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

const (
	// fetchTimeout bounds a fetch as a whole, with the wait for its turn. The
	// sender of the handshake waits for us meanwhile; Amazon SNS does for 15 s.
	fetchTimeout = 5 * time.Second
	// maxFetches is how many run at a time. More would help only somebody who
	// wants to use this server against another.
	maxFetches = 8
)

// A Fetcher gets addresses that senders want to be fetched to complete a
// handshake. The same guard decides about them as about deliveries. It is safe
// for concurrent use; Close ends it.
type Fetcher struct {
	guard     *guard
	client    *client
	userAgent string
	timeout   time.Duration
	slots     chan struct{}
}

// NewFetcher returns a Fetcher. allow is the same list as
// [Config.EgressAllow].
func NewFetcher(allow []netip.Prefix, version string) *Fetcher {
	g := newGuard(allow)
	return &Fetcher{
		guard: g, client: newClient(g), userAgent: "cibridge/" + version,
		timeout: fetchTimeout, slots: make(chan struct{}, maxFetches),
	}
}

// Close gives up kept connections.
func (f *Fetcher) Close() { f.client.close() }

// Get fetches an address once: without redirects, without a second try, and
// without reading more of the answer than a delivery would. It returns nil if
// the answer is 2xx. The error never holds the address, whose query usually is
// a token.
func (f *Fetcher) Get(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if err := f.guard.checkURL(address); err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("the address is no URL")
	}
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return fmt.Errorf("%d other handshakes are being answered", maxFetches)
	}
	x := f.client.send(ctx, request{
		method: http.MethodGet, url: u, header: http.Header{"User-Agent": {f.userAgent}},
		latest: time.Now().Add(time.Hour), timeout: f.timeout, // no lease ends it
	})
	switch {
	case errors.Is(x.Err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s", f.timeout)
	case x.Err != nil:
		return x.Err
	case x.Status < 200 || x.Status > 299:
		return fmt.Errorf("it answered %d %s", x.Status, http.StatusText(x.Status))
	}
	return nil
}
