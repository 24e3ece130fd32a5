package hook

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/template"
)

// MaxParked is how long a firing waits for what it lacks.
const MaxParked = 24 * time.Hour

// The most that one run keeps. Beyond it the oldest go.
const (
	maxParked = 100
	maxSkips  = 100
)

// Plan returns the deliveries of one change of run: those of firing, when it
// is not nil, and those of firings that were parked and lack nothing any more.
// It edits run.Parked and run.Skips and fixes run.Since of the attempts that
// it sends. It does no I/O; the same run, firing and set give the same
// deliveries, ids included. firing.At and now are the clock of cibridge.
func (s *Set) Plan(run *bridge.Run, firing *bridge.Firing, now time.Time) []bridge.Delivery {
	if firing == nil && len(run.Parked) == 0 {
		return nil
	}
	p := &planning{set: s, run: run, now: now}
	p.parked()
	if firing != nil {
		p.fire(*firing)
	}
	return p.deliveries()
}

// planning is one call of Plan.
type planning struct {
	set  *Set
	run  *bridge.Run
	now  time.Time
	envs map[bridge.Firing]template.Env
	out  []planned

	looked      bool // the application was looked up
	app         *bridge.Application
	lacksForApp string
}

// planned is a delivery of this plan.
type planned struct {
	bridge.Delivery
	hook *Hook
	part int // its place among the requests of one change
}

// parked tries again what waited before this change.
func (p *planning) parked() {
	waiting := p.run.Parked
	p.run.Parked = nil
	for _, w := range waiting {
		h := p.set.byID[w.Hook]
		switch {
		case p.now.UnixMilli()-w.At >= MaxParked.Milliseconds():
			p.skip(w.Hook, w.Firing, fmt.Sprintf("no %s within %d hours", w.Missing, int(MaxParked.Hours())))
		case w.Hook == "":
			p.ofPipeline(w.Firing)
		case h == nil:
			p.skip(w.Hook, w.Firing, fmt.Sprintf("the hook was deleted while this waited for %s", w.Missing))
		case !h.def.Active:
			p.skip(w.Hook, w.Firing, fmt.Sprintf("the hook was switched off while this waited for %s", w.Missing))
		default:
			p.ask(h, w.Firing)
		}
	}
}

func (p *planning) fire(f bridge.Firing) {
	for _, h := range p.set.any {
		p.ask(h, f)
	}
	if len(p.set.byPipeline) > 0 {
		p.ofPipeline(f)
	}
}

// ofPipeline asks the hooks of the run's pipeline, or waits for its name.
func (p *planning) ofPipeline(f bridge.Firing) {
	id := p.run.PipelineID()
	if id == "" {
		if p.set.anyListens(f) {
			p.park("", f, "pipeline.id")
		}
		return
	}
	for _, h := range p.set.byPipeline[id] {
		p.ask(h, f)
	}
}

// ask makes a delivery of f for h, parks it or skips it, if h waits for f.
func (p *planning) ask(h *Hook, f bridge.Firing) {
	trigger, ok := h.listens(f)
	if !ok {
		return
	}
	for _, part := range h.parts {
		r := p.render(h, part, f, trigger)
		switch {
		case r.skip != "":
			p.skip(h.def.ID, f, r.skip)
		case len(r.missing) > 0:
			p.park(h.def.ID, f, strings.Join(r.missing, ", "))
		case r.fires:
			p.out = append(p.out, planned{r.delivery, h, part.index})
		}
	}
}

func (p *planning) park(hook string, f bridge.Firing, missing string) {
	same := func(w bridge.Parked) bool { return w.Hook == hook && w.Firing == f }
	if slices.ContainsFunc(p.run.Parked, same) {
		return
	}
	// Its place among the runs of a lane is fixed now: a later attempt may be
	// sent before it.
	p.run.Since(f.Attempt, p.now.UnixMilli())
	p.run.Parked = append(p.run.Parked, bridge.Parked{Firing: f, Hook: hook, Missing: missing})
	for len(p.run.Parked) > maxParked {
		w := p.run.Parked[0]
		p.run.Parked = slices.Delete(p.run.Parked, 0, 1)
		p.skip(w.Hook, w.Firing, fmt.Sprintf("more than %d firings of this run wait; this is the oldest", maxParked))
	}
}

func (p *planning) skip(hook string, f bridge.Firing, reason string) {
	same := func(s bridge.Skip) bool { return s.Hook == hook && s.Firing == f }
	if slices.ContainsFunc(p.run.Skips, same) {
		return
	}
	p.run.Skips = append(p.run.Skips, bridge.Skip{Hook: hook, Firing: f, Reason: reason})
	if n := len(p.run.Skips); n > maxSkips {
		p.run.Skips = slices.Delete(p.run.Skips, 0, n-maxSkips)
	}
}

// deliveries returns what is to be sent, oldest first. Of a lane's entries
// that may be superseded, only those survive that nothing newer follows.
func (p *planning) deliveries() []bridge.Delivery {
	if len(p.out) == 0 {
		return nil
	}
	slices.SortStableFunc(p.out, func(a, b planned) int {
		return cmp.Or(cmp.Compare(a.Firing.Attempt, b.Firing.Attempt), cmp.Compare(a.Firing.Version, b.Firing.Version), cmp.Compare(a.part, b.part), cmp.Compare(a.ID, b.ID))
	})
	newest := map[string]planned{}
	for _, d := range p.out {
		newest[d.Lane] = d
	}
	out := make([]bridge.Delivery, 0, len(p.out))
	for _, d := range p.out {
		by := newest[d.Lane]
		if by.ID == d.ID || d.Ordering != bridge.Latest {
			// Only what is sent takes a place among the runs of its lane.
			// The requests of one change go in their order.
			d.Since = p.run.Since(d.Firing.Attempt, p.now.UnixMilli()) + int64(d.part)
			out = append(out, d.Delivery)
			continue
		}
		reason := fmt.Sprintf("superseded by %s before it could be sent", by.Firing.Status)
		if by.Firing == d.Firing {
			reason = fmt.Sprintf("superseded by the hook %q (%s), which writes the same resource", by.hook.def.Name, by.Hook)
		}
		p.skip(d.Hook, d.Firing, reason)
	}
	return out
}

// env returns the environment of f that all hooks share.
func (p *planning) env(f bridge.Firing) template.Env {
	if e, ok := p.envs[f]; ok {
		return e
	}
	if p.envs == nil {
		p.envs = map[bridge.Firing]template.Env{}
	}
	e := template.NewEnv(p.run.ViewAs(f), f)
	p.envs[f] = e
	return e
}

// application looks the run's application up, once.
func (p *planning) application() (*bridge.Application, string) {
	if !p.looked {
		p.app, p.lacksForApp = p.set.application(p.run)
		p.looked = true
	}
	return p.app, p.lacksForApp
}
