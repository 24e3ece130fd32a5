package bridge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxOpenAttempts bounds the attempts that a run keeps beside its head.
const maxOpenAttempts = 64

// Change is what an event did to a run.
type Change struct {
	Outcome Outcome // Applied, Late or Duplicate
	Reason  string  // why it is late or a duplicate, for people
	Firing  *Firing // nil when nothing fires
}

// Apply folds ev into r. Any order and any number of the same events leave the
// same run: only a second, different event with a Once fingerprint is refused.
//
// Apply fires when the run's head (attempt and status, incomplete included)
// differs from the last one fired. So the last thing fired is always the final
// head, a start that comes after the end fires nothing, and a run that is born
// terminal fires its end alone.
//
// The error is an *Error: CodeForbidden when ev's scope does not cover the
// run's component, CodeConflict for a second, different once-only event,
// CodeInvalid when the run would grow without bound. r is then unchanged.
func (r *Run) Apply(ev Event) (Change, error) {
	ev.Attempt = max(ev.Attempt, 0)
	component, err := r.admit(ev)
	if err != nil {
		return Change{}, err
	}
	known, again := r.once[ev.Name]
	if again = again && ev.Once != ""; again && known != ev.Once {
		return Change{}, Errorf(CodeConflict, "a different %q event was already received for run %s; only one may be sent per run, and this one differs in its contents", ev.Name, ev.RunKey)
	}
	if ev.Once != "" {
		r.once[ev.Name] = ev.Once
	}
	before := r.head()
	st := stamp{attempt: ev.Attempt, at: ev.At, by: eventHash(ev.ID)}
	if ev.Order == ByTime {
		r.order = ByTime
	}
	a := r.attempts[ev.Attempt]
	if a == nil {
		a = &attempt{}
		r.attempts[ev.Attempt] = a
	}
	r.joinFields(ev, component, st, a)
	in := a.join(ev, st)
	r.dropPast()
	r.UpdatedAt = max(r.UpdatedAt, ev.Received)

	change := r.outcome(ev, in, before)
	if again {
		// It is joined all the same: what the fingerprint leaves out must not
		// depend on which of the two came first.
		change = Change{Outcome: Duplicate, Reason: fmt.Sprintf("the same %q event was already received", ev.Name)}
	}
	if fired := r.fire(ev.Received); fired != nil {
		change = Change{Outcome: Applied, Firing: fired}
	}
	return change, nil
}

// fire returns the firing of the run's head, nil when it was the last one
// fired.
func (r *Run) fire(at int64) *Firing {
	status := r.Status()
	if !r.hasHead() || r.fired.Attempt == r.Attempt() && r.fired.Status == status {
		return nil
	}
	r.fired = Firing{Attempt: r.Attempt(), Status: status, At: at, Version: r.Version + 1}
	fired := r.fired
	return &fired
}

// CloseStale ends a run of which no end event came as [Errored], and returns
// what that fires at now (epoch ms); nil when the run has no status or is over
// already. Every real end beats this one, however late it comes.
func (r *Run) CloseStale(now int64) *Firing {
	h := r.head()
	if h.none() || h.status.Terminal() {
		return nil
	}
	end := head{status: Errored, finished: r.UpdatedAt, duration: -1}
	heads := &r.attempts[h.attempt].Heads
	if end.compare(heads.ByRank, ByRank) > 0 {
		heads.ByRank = end
	}
	// Under order: time it has to come after what it ends.
	end.at = heads.ByTime.at
	if end.compare(heads.ByTime, ByTime) > 0 {
		heads.ByTime = end
	}
	return r.fire(now)
}

// admit checks what the sender may write and returns the component that ev
// belongs to, "" when nobody said.
func (r *Run) admit(ev Event) (string, error) {
	component := text(ev.Fields["component"])
	if ev.Scope != nil {
		of, _ := r.fields.get("component")
		known := text(of.value)
		for _, c := range []string{component, known} {
			if c != "" && !slices.Contains(ev.Scope, c) {
				return "", Errorf(CodeForbidden, "this key may write %s, but the run belongs to component %q", scopeText(ev.Scope), c)
			}
		}
		if component == "" && known == "" && len(ev.Scope) == 1 {
			component = ev.Scope[0]
		}
	}
	if _, open := r.attempts[ev.Attempt]; !open && len(r.attempts) >= maxOpenAttempts {
		return "", Errorf(CodeInvalid, "run %s already has %d attempts without a status", r.Key, maxOpenAttempts)
	}
	return component, nil
}

func scopeText(scope []string) string {
	if len(scope) == 1 {
		return fmt.Sprintf("component %q only", scope[0])
	}
	return fmt.Sprintf("components %q only", strings.Join(scope, ", "))
}

// joinFields joins the fields: those that a re-run inherits into the run, where
// the greatest attempt wins and then the latest time, the others into a.
func (r *Run) joinFields(ev Event, component string, st stamp, a *attempt) {
	if r.fields == nil {
		r.fields = make(cells, 0, len(ev.Fields)+4)
	}
	if component != "" {
		r.fields.join("component", cell{component, st})
	}
	if len(ev.Requires) > 0 {
		r.requires = joinRequires(r.requires, ev.Requires)
	}
	if ev.Parent != "" {
		r.fields.join(parentField, cell{ev.Parent, st})
	}
	for name, v := range ev.Fields {
		kind, own := kindOf(name)
		switch {
		case v == nil || name == "component" || positioned[name]:
		case own:
			a.Cells.join(name, cell{v, stamp{at: st.at, by: st.by}})
		case kind == Map:
			r.joinMap(name, v, st)
		default:
			r.fields.join(name, cell{v, st})
		}
	}
}

// parentField keeps the native id of the parent run beside the other fields.
const parentField = "parent"

// joinMap joins a map entry by entry. name is "params", or "params.x" for one
// entry.
func (r *Run) joinMap(name string, v any, st stamp) {
	entries, whole := v.(map[string]any)
	root, entry, single := strings.Cut(name, ".")
	if single {
		entries, whole = map[string]any{entry: v}, true
	}
	if !whole {
		return
	}
	set := r.maps[root]
	for k, value := range entries {
		if value != nil {
			set.join(k, cell{value, st})
		}
	}
	r.maps[root] = set[:min(len(set), maxEntries)]
}

func joinRequires(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// join joins the state and the lists of ev and returns ev's place, or none
// when ev says nothing of the run's state.
func (a *attempt) join(ev Event, st stamp) head {
	var in head
	if ev.Status.rank() > 0 {
		in = newHead(ev.Status, st, ev.Fields)
		a.Heads.join(in)
	}
	st.attempt = 0
	a.Started = earliest(a.Started, millis(ev.Fields["started_at"]))
	for name, items := range ev.Lists {
		if a.Lists == nil {
			a.Lists = map[string]itemSet{}
		}
		if a.Lists[name] == nil {
			a.Lists[name] = itemSet{}
		}
		joinItems(a.Lists[name], items, st)
	}
	return in
}

// dropPast forgets the attempts before the head's: a run shows only its last
// one, and what a re-run inherits is kept apart. Run-wide events stay.
func (r *Run) dropPast() {
	if !r.hasHead() {
		return
	}
	current := r.Attempt()
	maps.DeleteFunc(r.attempts, func(n int64, _ *attempt) bool { return n != 0 && n < current })
}

// place is a position in the whole run.
type place struct {
	attempt int64
	head
}

// outcome says whether ev came too late to change the head.
func (r *Run) outcome(ev Event, in head, before place) Change {
	if in.none() || before.none() {
		return Change{Outcome: Applied}
	}
	switch {
	case ev.Attempt < before.attempt:
		return Change{Outcome: Late, Reason: fmt.Sprintf("attempt %d is over, the run is at attempt %d", ev.Attempt, before.attempt)}
	case ev.Attempt > before.attempt:
		return Change{Outcome: Applied}
	}
	switch c := in.compare(before.head, r.order); {
	case c < 0:
		return Change{Outcome: Late, Reason: fmt.Sprintf("the run was already %s when this %s came", before.status, in.status)}
	case c == 0:
		return Change{Outcome: Duplicate, Reason: "the same event was already received"}
	}
	return Change{Outcome: Applied}
}
