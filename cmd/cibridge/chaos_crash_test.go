//go:build chaos

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// disturb sends builds in batches and does something in the middle of each.
func (l load) disturb(builds []build, times int, do func(i int)) {
	l.r.t.Helper()
	ctx, size := atMost(l.r.t, 30*time.Minute), len(builds)/times
	for i := range times {
		half := l.r.acknowledgedAfter(size)
		poured := l.pour(ctx, builds[i*size:(i+1)*size])
		select {
		case <-half:
			do(i)
			<-poured
		case <-poured:
			l.r.t.Fatalf("the senders of batch %d ended too early", i)
		}
	}
}

// acknowledgedAfter returns what is closed when so many more events are.
func (r *rig) acknowledgedAfter(events int) <-chan struct{} {
	reached := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.milestones[len(r.acked)+events] = reached
	return reached
}

// chaosRedis kills Redis again and again under load and starts it on what it
// had written.
func chaosRedis(t *testing.T, rd round) {
	r := newRig(t, setting{faults: []string{"503x1:pending"}})
	r.statuses()
	kills := 5 * rd.scale
	builds := codenowBuilds(r.key("codenow"), rd.seed, 100*kills)
	load{r: r, urls: r.urls(), clients: 32}.disturb(builds, kills, func(int) {
		r.redis.Kill()
		r.redis.Start()
		r.kills++
	})
	f := r.check(builds)
	f.report(t)
	f.intact(t)
}

// acknowledged writes the senders' ledger.
func (r *rig) acknowledged(id string, e sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ackedAt[e.header["X-GitHub-Delivery"]] = time.Now()
	r.acked = append(r.acked, id)
	if c := r.milestones[len(r.acked)]; c != nil {
		close(c)
	}
}

// chaosRedisForgets is the control of chaosRedis: a Redis that does not write
// what it answered for.
func chaosRedisForgets(t *testing.T, rd round) {
	r := newRig(t, setting{redis: []string{"--appendonly", "no"}, durability: "relaxed"})
	r.statuses()
	builds := codenowBuilds(r.key("codenow"), rd.seed, 100)
	gone := func(status int) bool { return status == http.StatusUnauthorized } // Redis forgot the key, too
	load{r: r, urls: r.urls(), clients: 8, refused: gone}.disturb(builds, 1, func(int) {
		r.redis.Kill()
		r.redis.Start()
	})
	f := figures{acknowledged: len(r.acked), lost: r.lost(), commits: len(builds), kills: 1}
	f.report(t)
	if f.lost == 0 {
		t.Error("a Redis that keeps nothing lost no event: the checker does not see what is lost")
	}
}

// chaosBridge kills three replicas one after the other, and none is away for
// long.
func chaosBridge(t *testing.T, rd round) {
	r := newRig(t, setting{replicas: 3, faults: []string{"503x1:pending"}, pause: 60 * time.Millisecond})
	r.statuses()
	kills := 5 * rd.scale
	builds := interleave(codenowBuilds(r.key("codenow"), rd.seed, 30*kills), githubBuilds(t, rd.seed, 30*kills))
	load{r: r, urls: r.urls(), clients: 32}.disturb(builds, kills, func(i int) {
		r.kill(i % 3)
		r.revive(i % 3)
	})
	f := r.check(builds)
	f.report(t)
	f.intact(t)
	if f.inFlight == 0 {
		t.Error("no request was on its way when a replica was killed: the test saw too little")
	}
}

// interleave returns the builds of two lists of one length in turns.
func interleave(a, b []build) []build {
	var all []build
	for i := range a {
		all = append(all, a[i], b[i])
	}
	return all
}

// fenced is what the log says of a settle that came too late.
const fenced = "lease had expired before it was settled"

// chaosFreeze stops a replica in the middle of its requests for longer than its
// leases last, while another takes over; then it goes on where it was.
func chaosFreeze(t *testing.T, rd round) {
	r := newRig(t, setting{config: strings.Replace(hasty, "timeout: 500ms", "timeout: 3s", 1)})
	r.statuses()
	builds := githubBuilds(t, rd.seed, 16*rd.scale)
	thawed := make(chan struct{})
	r.provider.holdAnswers(thawed)
	frozen := r.replicas[0]
	ctx := atMost(t, 30*time.Minute)
	for _, b := range builds {
		load{r: r, urls: r.urls(), clients: 1}.send(ctx, 0, b.events[0])
	}
	<-r.provider.wrote(builds[0].sha) // the replica waits for answers
	frozen.cmd.Process.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { frozen.cmd.Process.Signal(syscall.SIGCONT) })
	r.provider.holdAnswers(nil)

	r.replicas[0] = startProcess(t, r.env, "serve", "--listen", "127.0.0.1:0")
	r.serve = r.replicas[0]
	for _, b := range builds {
		for _, e := range b.events[1:] {
			load{r: r, urls: r.urls(), clients: 1}.send(ctx, 0, e)
		}
	}
	r.settled(120 * time.Second) // the other has taken over every lease
	close(thawed)
	frozen.cmd.Process.Signal(syscall.SIGCONT)
	eventually(t, 60*time.Second, func() error {
		if !strings.Contains(frozen.log.String(), fenced) {
			return fmt.Errorf("the log of the replica that was frozen does not say %q", fenced)
		}
		return nil
	})
	f := r.check(builds)
	f.report(t, fmt.Sprintf("%d late settles refused", strings.Count(frozen.log.String(), fenced)))
	f.intact(t)
	if f.stale > 0 {
		t.Errorf("%d stale writes: a late settle changed something", f.stale)
	}
}

// holdAnswers lets the provider apply what it gets and keep the answers until
// the channel is closed; nil ends it for new requests.
func (p *rehearsed) holdAnswers(until <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answers = nil; until == nil {
		return
	}
	p.answers = func(w http.ResponseWriter, r *http.Request, apply http.Handler) {
		answer := httptest.NewRecorder()
		apply.ServeHTTP(answer, r)
		<-until
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	}
}
