//go:build chaos

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// build is what a CI tool sends of one run, in order.
type build struct {
	sha    string
	events []sent
	status string // of the run in the end
	shows  string // the commit in the end
}

// githubBuilds are workflow runs of three events; every third fails.
func githubBuilds(t *testing.T, seed int64, count int) []build {
	t.Helper()
	const id, run = "19408812734", "1%03d%07d"
	phases := map[string]string{}
	for _, phase := range []string{"requested", "in_progress", "completed-success", "completed-failure"} {
		phases[phase] = payload(t, "github/workflow_run."+phase+".json")
	}
	var all []build
	for n := range count {
		runID := fmt.Sprintf(run, seed%1000, n)
		b := build{sha: shaOf(runID), status: "succeeded", shows: "success"}
		end := "completed-success"
		if n%3 == 0 {
			b.status, b.shows, end = "failed", "failure", "completed-failure"
		}
		for _, phase := range []string{"requested", "in_progress", end} {
			body := bytes.ReplaceAll([]byte(phases[phase]), []byte(id), []byte(runID))
			body = bytes.ReplaceAll(body, []byte(payloadSHA), []byte(b.sha))
			b.events = append(b.events, githubEvent("workflow_run", runID+phase, string(body)))
		}
		all = append(all, b)
	}
	return all
}

// codenowBuilds are builds of three events.
func codenowBuilds(key string, seed int64, count int) []build {
	var all []build
	for n := range count {
		pipeline := fmt.Sprintf("chaos-%d-%d", seed, n)
		events := codenow(key, pipeline)
		all = append(all, build{sha: shaOf(pipeline), status: "incomplete", shows: "success", events: []sent{events["start"], events["revision"], events["end"]}})
	}
	return all
}

// load is senders at work.
type load struct {
	r       *rig
	urls    []string
	clients int
	// together lets the last event of a build be sent while the provider has
	// the first status in its hands: the worst moment there is.
	together bool
	// inTurn lets a client wait for a build's status before its next build.
	inTurn bool
	// refused ends a sender when it is answered with anything but 2xx and 503.
	// Otherwise that is an error.
	refused func(status int) bool
}

// pour sends all builds and returns what is closed when they were.
func (l load) pour(ctx context.Context, builds []build) <-chan struct{} {
	next, done := make(chan build), make(chan struct{})
	var wg sync.WaitGroup
	for i := range l.clients {
		wg.Go(func() {
			for b := range next {
				for n, e := range b.events {
					if l.together && n == len(b.events)-1 {
						l.r.await(ctx, b.sha)
					}
					if !l.send(ctx, i+n, e) {
						break
					}
				}
				if l.inTurn {
					l.r.await(ctx, b.sha)
				}
			}
		})
	}
	go func() {
		for _, b := range builds {
			next <- b
		}
		close(next)
		wg.Wait()
		close(done)
	}()
	return done
}

// await waits for the provider's first request for a commit. It gives up after
// a while, since a killed server may have superseded it.
func (r *rig) await(ctx context.Context, sha string) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	select {
	case <-r.provider.wrote(sha):
	case <-ctx.Done():
	}
}

// send posts an event until it is acknowledged, to the next replica after each
// failure. It reports false when the sender is to end.
func (l load) send(ctx context.Context, at int, e sent) bool {
	for ; ctx.Err() == nil; at++ {
		status, id, answer, err := l.r.try(ctx, l.urls[at%len(l.urls)], e)
		switch {
		case err == nil && status < 300:
			l.r.acknowledged(id, e)
			return true
		case err == nil && status != http.StatusServiceUnavailable:
			if l.refused == nil || !l.refused(status) {
				l.r.t.Errorf("%d %s", status, answer)
			}
			return false
		}
		time.Sleep(20 * time.Millisecond) // the sender's own pause
	}
	l.r.t.Errorf("not acknowledged in time: %.200s", e.body)
	return false
}

// try posts an event once and returns the id that it was given.
func (r *rig) try(ctx context.Context, url string, e sent) (status int, id, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+e.path, bytes.NewReader([]byte(e.body)))
	if err != nil {
		return 0, "", "", err
	}
	for k, v := range e.header {
		req.Header.Set(k, v)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header.Get("X-Cibridge-Event-Id"), string(text), err
}
