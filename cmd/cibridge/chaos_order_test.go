//go:build chaos

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// faulty is a provider that fails in every way that leaves doubt.
var faulty = []string{"500%15", "late%10", "reset%5"}

// chaosOrdering sends three states of each commit to a provider that fails, and
// kills the server while requests are on their way.
func chaosOrdering(t *testing.T, rd round) {
	for _, percent := range []int{0, 10, 30} {
		t.Run(fmt.Sprintf("%d%% killed", percent), func(t *testing.T) {
			f, _ := ordering(t, hasty, rd.seed, 100*rd.scale, percent)
			f.report(t, fmt.Sprintf("seed %d", rd.seed))
			f.intact(t)
			if percent > 0 && f.inFlight == 0 {
				t.Error("no request was on its way when the server was killed: the test saw too little")
			}
		})
	}
}

// ordering returns what the checker found, and how many requests failed on
// purpose.
func ordering(t *testing.T, config string, seed int64, commits, percent int) (figures, int) {
	r := newRig(t, setting{config: config, faults: faulty, pause: 60 * time.Millisecond})
	r.statuses()
	builds := githubBuilds(t, seed, commits)
	ctx := atMost(t, 30*time.Minute)
	poured := load{r: r, urls: r.urls(), clients: 32, together: true}.pour(ctx, builds)
	r.killInFlight(poured, 2*commits*percent/100) // two requests a commit, more or less
	<-poured
	f := r.check(builds)
	faults := 0
	for _, q := range r.provider.Requests() {
		if q.Fault != "" {
			faults++
		}
	}
	return f, faults
}

// killInFlight kills the server again and again until so many requests were on
// their way when it died.
func (r *rig) killInFlight(poured <-chan struct{}, requests int) {
	r.t.Helper()
	for r.inFlight < requests {
		select {
		case <-r.provider.after(16):
		case <-poured:
			return
		}
		r.kill(0)
		r.revive(0)
	}
}

// chaosNoQuarantine is the control of ordering: the same faults, and neither a
// rest after an ambiguous request nor time for a confirming re-send to help.
func chaosNoQuarantine(t *testing.T, rd round) {
	config := strings.NewReplacer("quarantine: 2s", "quarantine: 1ms", "confirm: 2s", "confirm: 1ms").Replace(hasty)
	for commits := 50; commits <= 800; commits *= 2 {
		f, faults := ordering(t, config, rd.seed, commits, 0)
		f.report(t, fmt.Sprintf("%d requests failed on purpose", faults))
		if f.wrong > 0 {
			return
		}
	}
	t.Error("without quarantine every commit ended right: the ordering scenario would not notice if it were gone")
}
