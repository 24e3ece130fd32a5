package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const loadRuns = 500

func loadPipeline(n int) string { return fmt.Sprintf("load-%d", n) }

// ahead is how many runs of a client start before the first of them ends: long
// enough for their pending to be tried, and to fail, in between.
const ahead = 50

// pour posts all runs with some clients at once, each event until it is
// acknowledged, and calls acknowledged after each. A run has three events:
// start and git-revision, and the end when other runs have started.
func (s *stack) pour(url, key string, acknowledged func()) {
	next := atomic.Int64{}
	var wg sync.WaitGroup
	post := func(n int, names ...string) {
		events := codenow(key, loadPipeline(n))
		for _, name := range names {
			untilAcknowledged(s.t, url, events[name])
			acknowledged()
		}
	}
	for range 8 {
		wg.Go(func() {
			var open []int
			for n := int(next.Add(1)); n <= loadRuns; n = int(next.Add(1)) {
				post(n, "start", "revision")
				if open = append(open, n); len(open) > ahead {
					post(open[0], "end")
					open = open[1:]
				}
			}
			for _, n := range open {
				post(n, "end")
			}
		})
	}
	wg.Wait()
}

// untilAcknowledged sends an event as a sender with retries does: again after
// 503 and after no answer.
func untilAcknowledged(t *testing.T, url string, e sent) {
	deadline := time.Now().Add(90 * time.Second)
	for time.Now().Before(deadline) {
		status, answer, err := request("POST", url+e.path, e.header, []byte(e.body))
		switch {
		case err == nil && status == http.StatusOK:
			return
		case err == nil && status != http.StatusServiceUnavailable:
			t.Errorf("%d %s", status, answer)
			return
		}
		time.Sleep(20 * time.Millisecond) // the sender's own pause
	}
	t.Errorf("not acknowledged within 90 s: %s", e.body)
}

// checkLoad looks at every commit with check, and at every run.
func (s *stack) checkLoad(check func(states []string) error) {
	s.t.Helper()
	wrong, missing, commits := 0, 0, s.commits()
	for n := 1; n <= loadRuns; n++ {
		sha := shaOf(loadPipeline(n))
		if err := check(statesOf(commits[sha], defaultContext)); err != nil {
			wrong++
			s.t.Errorf("%s: %v", loadPipeline(n), err)
		}
		if run, err := s.runOf(sha); err != nil || run["status"] != "incomplete" {
			missing++
			s.t.Errorf("%s: %v, %v", loadPipeline(n), run["status"], err)
		}
	}
	s.t.Logf("%d commits: %d wrong; %d runs missing or wrong", loadRuns, wrong, missing)
}

// TestFailedPendingLeavesNoCommitStale answers the first attempt of every
// pending with 503: the retry must never land on top of the final status. With
// the breaker most of them wait until the end has taken their place; without
// it each one fails and is tried again.
func TestFailedPendingLeavesNoCommitStale(t *testing.T) {
	for name, tc := range map[string]struct {
		config string
		faults int // that must have been answered
	}{
		"breaker":    {quick, 5},
		"no breaker": {strings.Replace(quick, "breaker: {", "breaker: {failures: 1000000, ", 1), loadRuns / 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStackWith(t, tc.config, "503x1:pending")
			s.application("github", s.forge.url)
			s.hook(map[string]any{"name": "ci", "profile": "github"})
			s.pour(s.serve.url, s.key("codenow"), func() {})
			s.settled(90 * time.Second)
			s.checkLoad(checkStates)
			if faults := s.faults(); faults < tc.faults {
				t.Errorf("the provider answered only %d times with 503: the test saw too little", faults)
			} else {
				t.Logf("%d times 503", faults)
			}
		})
	}
}

// TestKillNineLosesNothing kills the server twice under the same load. What it
// acknowledged must be there after the restart, and every commit right.
func TestKillNineLosesNothing(t *testing.T) {
	s := newStack(t, "503x1:pending")
	s.application("github", s.forge.url)
	s.hook(map[string]any{"name": "ci", "profile": "github"})
	key := s.key("codenow")
	var count atomic.Int64
	reached := map[int64]chan struct{}{loadRuns: make(chan struct{}), 2 * loadRuns: make(chan struct{})}
	poured := make(chan struct{})
	go func() {
		defer close(poured)
		s.pour(s.serve.url, key, func() {
			if c := reached[count.Add(1)]; c != nil {
				close(c)
			}
		})
	}()
	for _, n := range []int64{loadRuns, 2 * loadRuns} {
		<-reached[n]
		s.serve.kill()
		s.restart()
	}
	<-poured
	s.settled(120 * time.Second)
	// A crash in the middle of a request may send it twice; what counts is
	// what the commit shows in the end.
	s.checkLoad(func(states []string) error {
		if len(states) == 0 || states[len(states)-1] != "success" {
			return fmt.Errorf("states %v, want success last", states)
		}
		return nil
	})
}
