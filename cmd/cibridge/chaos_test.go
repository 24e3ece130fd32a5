//go:build chaos

package main

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The scenarios of this file's table break what cibridge stands on, with real
// processes, while senders go on: "make chaos" runs each once, "make soak" for
// hours. Each has a control, which takes away the mechanism that the scenario
// is about, or the durability; the control must go wrong, else the scenario
// would not see it.

var (
	chaosScale = flag.Int("chaos.scale", 1, "load of each scenario, as a multiple of the short form's")
	chaosFor   = flag.Duration("chaos.for", 0, "begin further rounds, each with the next seed, for this long")
	chaosSeed  = flag.Int64("chaos.seed", 1, "seed of the first round")
)

// round is what a scenario is run with.
type round struct {
	scale int
	seed  int64
}

func TestChaos(t *testing.T) {
	begun := time.Now()
	for r := (round{*chaosScale, *chaosSeed}); ; r.seed++ {
		passed := t.Run(fmt.Sprint("seed=", r.seed), func(t *testing.T) {
			for _, s := range []struct {
				name string
				run  func(*testing.T, round)
			}{
				{"ordering", chaosOrdering},
				{"ordering without quarantine", chaosNoQuarantine},
				{"redis killed", chaosRedis},
				{"redis killed without its file", chaosRedisForgets},
				{"bridge killed", chaosBridge},
				{"bridge frozen", chaosFreeze},
				{"dead host", chaosDeadHost},
				{"dead host without breaker", chaosNoBreaker},
				{"hostile targets", chaosHostileTargets},
				{"network", chaosNetwork},
				{"idle", chaosIdle},
				{"cluster", chaosCluster},
				{"sentinel", chaosSentinel},
			} {
				t.Run(s.name, func(t *testing.T) { s.run(t, r) })
			}
		})
		if !passed || time.Since(begun) >= *chaosFor {
			return
		}
	}
}

// figures are what the checker found.
type figures struct {
	acknowledged, lost    int // events
	commits, wrong, stale int // stale: writes that put an older state over a newer one
	duplicates, dead      int // deliveries
	kills, inFlight       int // processes that were killed, and requests that were on their way then
}

func (f figures) String() string {
	return fmt.Sprintf("%d events acknowledged, %d lost; %d commits, %d wrong, %d stale writes shown; %d duplicates, %d dead letters; %d kills with %d requests in flight",
		f.acknowledged, f.lost, f.commits, f.wrong, f.stale, f.duplicates, f.dead, f.kills, f.inFlight)
}

// report prints the figures of a scenario, in one line.
func (f figures) report(t *testing.T, more ...string) {
	t.Helper()
	name := strings.SplitN(t.Name(), "/", 3)[2] // without TestChaos/seed=1
	t.Logf("%s: %s", name, strings.Join(append([]string{f.String()}, more...), "; "))
}

// intact fails the test unless nothing was lost and every commit ended right.
func (f figures) intact(t *testing.T) {
	t.Helper()
	if f.lost > 0 || f.wrong > 0 || f.dead > 0 || f.acknowledged == 0 || f.commits == 0 {
		t.Errorf("%s: want events and commits, none lost, none wrong, none dead", f)
	}
}
