package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sink is a fast source provider: it keeps what it gets in memory and answers
// with 201. While its gate is closed it answers nobody.
type sink struct {
	url  string
	http *http.Server

	mu     sync.Mutex
	gate   chan struct{} // closed: open
	bodies []callback    // in the order of arrival
	want   int
	full   chan struct{} // closed when so many have arrived
}

// callback is one request, to be sent again by the floor.
type callback struct {
	path   string
	header http.Header
	body   []byte
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{url: "http://" + l.Addr().String()}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.http.Serve(l) }() // ends with Close
	return s, nil
}

// expect closes the gate and returns what opens it, and what is closed when n
// callbacks have arrived.
func (s *sink) expect(n int) (open func(), full <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gate := make(chan struct{})
	s.gate, s.bodies, s.want, s.full = gate, nil, n, make(chan struct{})
	return func() { close(gate) }, s.full
}

// badAnswers never end, by the first segment of the path.
var badAnswers = map[string]func(w http.ResponseWriter, r *http.Request){
	"endless": func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 1<<16)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	},
	"drip": func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "x") // the next look at the context ends it
			_ = http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	},
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bad := badAnswers[name]; bad != nil {
		bad(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	select {
	case <-gate:
	case <-r.Context().Done():
		return
	}
	if err == nil {
		s.mu.Lock()
		s.bodies = append(s.bodies, callback{r.URL.Path, r.Header, body})
		if len(s.bodies) == s.want {
			close(s.full)
		}
		s.mu.Unlock()
	}
	w.WriteHeader(http.StatusCreated)
}

// deliveryConfig gives a backlog the time to build up before the first request
// is answered. What counts for the speed is at its default.
const deliveryConfig = "dispatch: {timeout: 60s}\n"

const (
	backlog     = 4000 // callbacks of a round
	connections = 8    // of the floor; as many as the server sends to one provider at a time
)

// delivery prints what callbacks take.
func delivery(ctx context.Context, o options) error {
	for _, part := range []func(context.Context, options) error{callbacks, badBodies, away} {
		if err := part(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// callbacks prints how many callbacks a second reach a fast provider from a
// queue that is full, beside a bare loop that posts the same requests.
func callbacks(ctx context.Context, o options) error {
	b, s, err := deliveryBed(ctx, o, deliveryConfig)
	if err != nil {
		return err
	}
	defer b.close()
	defer s.http.Close()
	sei, err := seiLoad(b.key["harness-sei"])
	if err != nil {
		return err
	}
	var n atomic.Int64
	var ours, floors []float64
	for range rounds {
		open, full := s.expect(backlog)
		if err := fill(ctx, b, sei, &n, backlog); err != nil {
			return err
		}
		begun := time.Now()
		open()
		select {
		case <-full:
		case <-time.After(5 * time.Minute):
			return fmt.Errorf("%d callbacks did not arrive within 5 minutes", backlog)
		}
		ours = append(ours, backlog/time.Since(begun).Seconds())
		rate, err := s.floor(ctx)
		if err != nil {
			return err
		}
		floors = append(floors, rate)
	}
	slices.Sort(ours)
	slices.Sort(floors)
	got, floor := ours[rounds/2], floors[rounds/2]
	fmt.Printf("callbacks to a fast provider: %.0f a second; a bare loop posting the same: %.0f; of floor %.2f\n", got, floor, got/floor)
	return nil
}

// deliveryBed is a server with a hook to a sink.
func deliveryBed(ctx context.Context, o options, config string) (*bed, *sink, error) {
	s, err := newSink()
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "cbench")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // in the system's temporary directory
	file := filepath.Join(dir, "cibridge.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, nil, err
	}
	b, err := setUp(ctx, o, "strict", "CIBRIDGE_CONFIG="+file)
	if err != nil {
		s.http.Close()
		return nil, nil, err
	}
	return b, s, b.hook("bench", s.url)
}

// hook sends finished runs to a URL, each as a resource of its own.
func (b *bed) hook(name, url string) error {
	return b.admin("POST", "/pipelines/*/hooks/outgoing", map[string]any{"name": name, "target_url": url + "/" + name + "/{{ run.id }}",
		"settings":     map[string]any{"request_body": map[string]any{"state": "{{ run.status }}", "description": "{{ run.summary }}", "target_url": "{{ run.url }}"}},
		"trigger_when": map[string]any{"events": []string{"action.completed"}}}, nil)
}

// fill posts so many events, each of which causes a callback.
func fill(ctx context.Context, b *bed, l load, n *atomic.Int64, count int64) error {
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: 10 * time.Second}
	defer hc.CloseIdleConnections()
	last := n.Load() + count
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for at := n.Add(1); at <= last && ctx.Err() == nil; at = n.Add(1) {
				if _, err := send(ctx, hc, b.server.url, l.post(at)); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	n.Store(last)
	return context.Cause(ctx)
}

// floor posts what the sink got once more, in a bare loop, and returns how many
// a second.
func (s *sink) floor(ctx context.Context) (float64, error) {
	s.mu.Lock()
	again := s.bodies
	s.mu.Unlock()
	open, full := s.expect(len(again))
	open()
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}, Timeout: 10 * time.Second}
	defer hc.CloseIdleConnections()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for range connections {
		wg.Go(func() {
			for at := next.Add(1) - 1; at < int64(len(again)) && ctx.Err() == nil; at = next.Add(1) - 1 {
				if err := again[at].post(ctx, hc, s.url); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	<-full
	return float64(len(again)) / time.Since(begun).Seconds(), nil
}

func (c callback) post(ctx context.Context, hc *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+c.path, bytes.NewReader(c.body))
	if err != nil {
		return err
	}
	req.Header = c.header.Clone()
	res, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// badBodies prints how long an attempt takes at a provider whose answer never
// ends, and how much memory the server takes for it.
func badBodies(ctx context.Context, o options) error {
	b, s, err := deliveryBed(ctx, o, "{}\n")
	if err != nil {
		return err
	}
	defer b.close()
	defer s.http.Close()
	sei, err := seiLoad(b.key["harness-sei"])
	if err != nil {
		return err
	}
	// what as many events and harmless callbacks take is not counted
	const harmless, each = 100, 20
	open, full := s.expect(harmless)
	open()
	var n atomic.Int64
	if err := fill(ctx, b, sei, &n, harmless); err != nil {
		return err
	}
	<-full
	before := b.server.memory()
	for _, name := range []string{"endless", "drip"} {
		if err := b.hook(name, s.url); err != nil {
			return err
		}
	}
	if err := fill(ctx, b, sei, &n, each); err != nil {
		return err
	}
	if err := b.settled(); err != nil {
		return err
	}
	after := b.server.memory()
	endless, err := b.longest("endless")
	if err != nil {
		return err
	}
	drip, err := b.longest("drip")
	if err != nil {
		return err
	}
	fmt.Printf("longest attempt at a body without end: %s, at one that drips: %s (time limit 10 s, %d of each); memory of the server: %d MB before, %d MB more at most\n",
		endless, drip, each, before>>10, (after-before)>>10)
	return nil
}

// settled waits until nothing is left to send.
func (b *bed) settled() error {
	deadline := time.Now().Add(3 * time.Minute)
	for _, state := range []string{"pending", "sending"} {
		for {
			var listed struct{ Items []struct{ ID string } }
			if err := b.admin("GET", "/api/v1/deliveries?limit=1&state="+state, nil, &listed); err != nil {
				return err
			}
			if len(listed.Items) == 0 {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("deliveries are left after 3 minutes")
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	return nil
}

// longest returns the duration of the longest attempt of a hook.
func (b *bed) longest(hook string) (time.Duration, error) {
	var longest time.Duration
	var listed struct{ Items []struct{ ID, URL string } }
	if err := b.admin("GET", "/api/v1/deliveries?limit=200", nil, &listed); err != nil {
		return 0, err
	}
	for _, d := range listed.Items {
		if !strings.Contains(d.URL, "/"+hook+"/") {
			continue
		}
		var got struct {
			Attempts []struct {
				MS int64 `json:"duration_ms"`
			}
		}
		if err := b.admin("GET", "/api/v1/deliveries/"+d.ID, nil, &got); err != nil {
			return 0, err
		}
		for _, a := range got.Attempts {
			longest = max(longest, time.Duration(a.MS)*time.Millisecond)
		}
	}
	if longest == 0 {
		return 0, fmt.Errorf("no attempt of the hook %s is in the log", hook)
	}
	return longest, nil
}

// memory returns the most resident memory that a process had, in KB; 0 where
// the system does not tell.
func (p *process) memory() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "kB", 2)[0]))
	return kb
}

// away prints how soon events are acknowledged and callbacks arrive again after
// Redis was away.
func away(ctx context.Context, o options) error {
	b, s, err := deliveryBed(ctx, o, "{}\n")
	if err != nil {
		return err
	}
	defer b.close()
	defer s.http.Close()
	sei, err := seiLoad(b.key["harness-sei"])
	if err != nil {
		return err
	}
	var refused int
	b.server.quiet.Store(true) // each refused event is a line
	b.redis.stop()
	for end := time.Now().Add(o.away); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err := send(ctx, http.DefaultClient, b.server.url, sei.post(1)); err != nil {
			refused++
		}
	}
	if b.redis, b.db, err = startRedis(ctx, b.dir, fsyncOf["strict"]); err != nil {
		return err
	}
	open, full := s.expect(1)
	open()
	back := time.Now()
	for ; ; time.Sleep(20 * time.Millisecond) {
		if _, err := send(ctx, http.DefaultClient, b.server.url, sei.post(2)); err == nil {
			break
		} else if time.Since(back) > time.Minute {
			return fmt.Errorf("no event was acknowledged for a minute: %w", err)
		}
	}
	acknowledged := time.Since(back)
	select {
	case <-full:
	case <-time.After(time.Minute):
		return fmt.Errorf("no callback arrived for a minute")
	}
	fmt.Printf("Redis away for %s (%d events refused): acknowledged again after %s, callback sent after %s\n",
		o.away, refused, acknowledged.Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
	return nil
}
