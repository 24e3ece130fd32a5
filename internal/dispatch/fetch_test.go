package dispatch

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// newFetchTest returns a Fetcher that may reach loopback and trusts the TLS
// server of h.
func newFetchTest(t *testing.T, h http.HandlerFunc) (*Fetcher, *httptest.Server) {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	f := NewFetcher(loopback, "1.2.3")
	t.Cleanup(f.Close)
	f.client.transports["https"].TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return f, server
}

func TestFetch(t *testing.T) {
	var got []string
	f, server := newFetchTest(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.String()+" "+r.UserAgent())
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/confirm", http.StatusFound)
		case "/refused":
			w.WriteHeader(http.StatusForbidden)
		case "/endless":
			for range 1000 {
				w.Write(make([]byte, 64<<10))
			}
		}
	})
	for path, want := range map[string]string{
		"/confirm?Action=ConfirmSubscription&Token=secret": "",
		"/moved":   "it answered 302 Found",
		"/refused": "it answered 403 Forbidden",
		"/endless": "", // only so much of it is read
	} {
		got = nil
		err := f.Get(t.Context(), server.URL+path)
		if text := errorText(err); text != want {
			t.Errorf("%s: got %q, want %q", path, text, want)
		}
		if len(got) != 1 || got[0] != "GET "+path+" cibridge/1.2.3" {
			t.Errorf("%s: the server got %q", path, got)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestFetchIsGuarded: an address that a hook may not reach is not fetched
// either, and neither is one whose certificate nobody vouches for.
func TestFetchIsGuarded(t *testing.T) {
	var reached atomic.Int32
	f, server := newFetchTest(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	strict := NewFetcher(nil, "1.2.3")
	defer strict.Close()
	var denied *DeniedError
	for _, address := range []string{server.URL, "http://sns.us-east-1.amazonaws.com/", "https://169.254.169.254/latest", "https://user:pw@sns.us-east-1.amazonaws.com/", "ftp://x.example/"} {
		if err := strict.Get(t.Context(), address+"?Token=secret"); !errors.As(err, &denied) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want it denied", address, err)
		}
	}
	unknown := NewFetcher(loopback, "1.2.3")
	defer unknown.Close()
	if err := unknown.Get(t.Context(), server.URL+"/?Token=secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want the certificate refused", err)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the server was reached %d times", n)
	}
	if err := f.Get(t.Context(), server.URL); err != nil || reached.Load() != 1 {
		t.Errorf("with both allowed: %v, reached %d times", err, reached.Load())
	}
}

// TestFetchIsBounded: a server that does not answer holds its sender for the
// timeout only, and no more than maxFetches of them are asked at a time.
func TestFetchIsBounded(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 2*maxFetches)
	f, server := newFetchTest(t, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	results := make(chan error, maxFetches)
	ctx, cancel := context.WithCancel(t.Context())
	for range maxFetches {
		go func() { results <- f.Get(ctx, server.URL) }()
	}
	for range maxFetches {
		<-arrived
	}
	f.timeout = 20 * time.Millisecond
	if err := f.Get(t.Context(), server.URL); err == nil || !strings.Contains(err.Error(), "8 other handshakes") {
		t.Errorf("one more: got %v", err)
	}
	cancel()
	for range maxFetches {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want it canceled", err)
		}
	}
	if err := f.Get(t.Context(), server.URL); err == nil || err.Error() != "no answer within 20ms" {
		t.Errorf("got %v", err)
	}
	close(release)
}
