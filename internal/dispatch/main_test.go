package dispatch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cibridge/bridge"
	"cibridge/internal/provider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

var loadProfiles = sync.OnceValues(provider.Load)

// newTest returns a dispatcher that may reach loopback and knows the secret
// behind "application:app1:access_token". change, when not nil, edits its
// configuration.
func newTest(t *testing.T, change func(*Config)) *Dispatcher {
	t.Helper()
	profiles, err := loadProfiles()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Queue:       newFakeQueue(),
		EgressAllow: loopback,
		Version:     "1.2.3",
		Log:         slog.New(slog.NewTextHandler(io.Discard, nil)),
		Classify: func(profile string, a provider.Answer) provider.Class {
			return profiles.For(profile).Classify(a)
		},
		Resolve: func(_ context.Context, ref string) (bridge.Secret, error) {
			if ref == "application:app1:access_token" {
				return token, nil
			}
			return "", fmt.Errorf("%s is not configured", ref)
		},
	}
	if change != nil {
		change(&cfg)
	}
	d := New(cfg)
	t.Cleanup(d.Close)
	return d
}

// newLease returns a lease as the queue gives it for a commit status.
func newLease(url string) bridge.Lease {
	return bridge.Lease{
		Partition: 3,
		Member:    "m1",
		Fence:     7,
		Delivery: bridge.Delivery{
			ID: "dlv_03abc", Hook: "hook1", Run: "run_03x", Pipeline: "pl_03p",
			Firing:  bridge.Firing{Attempt: 1, Status: bridge.Running, At: time.Now().UnixMilli(), Version: 1},
			Trigger: bridge.ActionStarted,
			Method:  "POST",
			URL:     url,
			Headers: []bridge.Header{
				{Name: "Authorization", Parts: []bridge.Part{{Text: "Bearer "}, {Ref: "application:app1:access_token"}}},
				{Name: "Accept", Parts: []bridge.Part{{Text: "application/vnd.github+json"}}},
			},
			Body: `{"state":"pending","context":"ci/cibridge"}`,
		},
	}
}

// serve starts a server that is closed with the test, its connections cut.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func answer(status int, header map[string]string, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// shows returns the first piece of 8 bytes of secret that is in text, or "".
func shows(text, secret string) string {
	for i := 0; i+8 <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+8]) {
			return secret[i : i+8]
		}
	}
	return ""
}
