package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// post is one request of a load.
type post struct {
	path   string
	header map[string]string
	body   []byte
}

// load makes the n-th request; every n is another event.
type load struct {
	name string
	post func(n int64) post
}

// result is what one measurement found.
type result struct {
	events   int64
	rate     float64 // acknowledged events per second
	p50, p99 time.Duration
}

// measure drives url with clients for d; any answer that is not 2xx ends it.
func measure(ctx context.Context, url string, l load, clients int, d time.Duration, from *atomic.Int64) (result, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	hc := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	took := make([][]time.Duration, clients)
	start := time.Now()
	for i := range clients {
		wg.Go(func() {
			for time.Since(start) < d && ctx.Err() == nil {
				t, err := send(ctx, hc, url, l.post(from.Add(1)))
				if err != nil {
					cancel(err)
					return
				}
				took[i] = append(took[i], t)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if err := context.Cause(ctx); err != nil {
		return result{}, fmt.Errorf("%s: %w", l.name, err)
	}
	all := slices.Concat(took...)
	slices.Sort(all)
	n := len(all)
	return result{int64(n), float64(n) / elapsed.Seconds(), all[n/2], all[n*99/100]}, nil
}

func send(ctx context.Context, hc *http.Client, url string, p post) (time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+p.path, bytes.NewReader(p.body))
	if err != nil {
		return 0, err
	}
	for k, v := range p.header {
		req.Header.Set(k, v)
	}
	start := time.Now()
	res, err := hc.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if res.StatusCode >= 300 {
		return 0, fmt.Errorf("%s %d: %s", p.path, res.StatusCode, answer)
	}
	return time.Since(start), nil
}
