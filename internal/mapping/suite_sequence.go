package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/yamldoc"
)

// allOrders is the longest sequence of which every order is tried; of longer
// ones it is sampledOrders.
const (
	allOrders     = 6
	sampledOrders = 300
)

// played is what a sequence of events left.
type played struct {
	runs     map[string]*bridge.Run // by run key
	fired    []bridge.Firing
	last     map[string]bridge.Firing // by run key
	outcomes []string                 // of each request
	err      []error
}

// play applies the events of requests in an order, as the store does.
func play(results []Result, order []int) *played {
	p := &played{runs: map[string]*bridge.Run{}, last: map[string]bridge.Firing{}, outcomes: make([]string, len(results)), err: make([]error, len(results))}
	for _, i := range order {
		res := results[i]
		if len(res.Events) == 0 {
			p.outcomes[i] = string(res.Outcome)
		}
		for _, ev := range res.Events {
			p.apply(i, ev)
		}
		if res.Unmapped && p.err[i] == nil {
			p.outcomes[i] = string(bridge.Unmapped)
		}
	}
	return p
}

func (p *played) apply(i int, ev bridge.Event) {
	run := p.runs[ev.RunKey]
	if run == nil {
		run = bridge.NewRun(0, ev.Source, ev.RunKey, testEpoch.UnixMilli())
	}
	change, err := run.Apply(ev)
	if err != nil {
		p.outcomes[i], p.err[i] = string(bridge.Rejected), err
		return
	}
	run.Version++
	p.runs[ev.RunKey] = run
	if p.outcomes[i] == "" || p.outcomes[i] == string(bridge.Duplicate) {
		p.outcomes[i] = string(change.Outcome)
	}
	if change.Firing != nil {
		p.fired = append(p.fired, *change.Firing)
		p.last[ev.RunKey] = *change.Firing
	}
}

func (r *testRun) runSequence() {
	var results []Result
	var order []int
	for i, s := range r.t.steps {
		in, ok := r.input(s, i)
		if !ok {
			return
		}
		results = append(results, r.m.Apply(in))
		order = append(order, i)
	}
	written := play(results, order)
	for i, s := range r.t.steps {
		r.stepResult(s, results[i], written.outcomes[i], written.err[i])
	}
	r.finalRuns(written)
	r.triggers(written)
	r.golden(goldenOfRuns(written))
	if len(r.failures) > 0 || slices.ContainsFunc(written.err, func(err error) bool { return err != nil }) {
		return // which of two contradicting events is refused depends on the order
	}
	r.otherOrders(results, order, written)
}

func (r *testRun) stepResult(s *testStep, res Result, outcome string, err error) {
	if err != nil {
		res.Problem = runProblem(err)
		if s.err == nil && !expectsOutcome(s.expect) {
			r.fail(s.node, "the run refuses this event: %s", res.Problem.Message)
			return
		}
	}
	if res.Problem != nil && res.Outcome == bridge.Rejected && s.err == nil && !expectsOutcome(s.expect) {
		r.fail(s.node, "the request was rejected: %s", res.Problem.Error())
		return
	}
	r.result(s, res, outcome)
	r.reply(s, res, bridge.Outcome(outcome))
}

// runProblem is why a run refuses an event.
func runProblem(err error) *Problem {
	p := &Problem{Code: "run", Status: http.StatusUnprocessableEntity, Message: err.Error()}
	var e *bridge.Error
	if errors.As(err, &e) {
		p.Message = string(e.Code) + ": " + e.Message
		if e.Code == bridge.CodeConflict {
			p.Status = http.StatusConflict
		}
	}
	return p
}

// finalRuns compares the runs that are left.
func (r *testRun) finalRuns(p *played) {
	keys := slices.Sorted(maps.Keys(p.runs))
	for key, want := range r.t.runs {
		run := p.runs[key]
		if key == "" {
			if len(keys) != 1 {
				r.fail(want, "want one run, got %d: %s; write runs: {key: {…}}", len(keys), strings.Join(keys, ", "))
				continue
			}
			run = p.runs[keys[0]]
		}
		if run == nil {
			r.fail(want, "want a run %q, got %s", key, strings.Join(keys, ", "))
			continue
		}
		view := run.View()
		view["key"] = run.Key
		r.compareMap(want, view, "")
		if key == "" {
			r.absent(r.t.absent, view)
		}
	}
}

// triggers compares what fired in the written order: the most specific trigger
// of each change.
func (r *testRun) triggers(p *played) {
	if r.t.triggers == nil {
		return
	}
	var got, want []string
	for _, f := range p.fired {
		got = append(got, string(bridge.TriggersOf(f.Status)[0]))
	}
	for _, item := range r.t.triggers.Items {
		want = append(want, item.Text)
	}
	if !slices.Equal(got, want) {
		r.fail(r.t.triggers, "triggers: want %s, got %s", strings.Join(want, ", "), strings.Join(got, ", "))
	}
}

// otherOrders plays the requests in other orders and with every event doubled:
// the runs must be the same, and the last thing fired must be their head.
func (r *testRun) otherOrders(results []Result, order []int, written *played) {
	want := shapes(written)
	check := func(order []int, how string) bool {
		got := play(results, order)
		if how == "" {
			how = "in the order " + orderText(order)
		}
		if diff := firstDifference(want, shapes(got)); diff != "" {
			r.fail(r.sequenceNode(), "%s the run is another one: %s", how, diff)
			return false
		}
		for key, run := range got.runs {
			if f, fired := got.last[key]; knownStatus(run.Status()) && (!fired || f.Status != run.Status() || f.Attempt != run.Attempt()) {
				r.fail(r.sequenceNode(), "%s the last thing fired of %s is %s, but the run is %s", how, key, f.Status, run.Status())
				return false
			}
		}
		return true
	}
	var each []int
	for _, i := range order {
		each = append(each, i, i)
	}
	if !check(each, "with every request sent twice in a row") || !check(slices.Concat(order, order), "with all requests sent twice") {
		return
	}
	if len(order) <= allOrders {
		permute(slices.Clone(order), 0, func(o []int) bool { return check(o, "") })
		return
	}
	random := rand.New(rand.NewPCG(1, uint64(len(order)))) // the same orders every time
	shuffled := slices.Clone(order)
	slices.Reverse(shuffled)
	for range sampledOrders {
		if !check(shuffled, "") {
			return
		}
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	}
}

func (r *testRun) sequenceNode() *yamldoc.Node { return r.t.steps[0].node }

// permute calls visit with every order of o, until it returns false.
func permute(o []int, from int, visit func([]int) bool) bool {
	if from == len(o) {
		return visit(o)
	}
	for i := from; i < len(o); i++ {
		o[from], o[i] = o[i], o[from]
		if !permute(o, from+1, visit) {
			return false
		}
		o[from], o[i] = o[i], o[from]
	}
	return true
}

func orderText(order []int) string {
	parts := make([]string, len(order))
	for i, n := range order {
		parts[i] = strconv.Itoa(n + 1)
	}
	return strings.Join(parts, ", ")
}

// bookkeeping is what a run says of its record and not of what happened: it
// depends on when the requests came.
var bookkeeping = []string{"created_at", "updated_at"}

// shapes are the views of all runs as JSON, line by line of their names.
func shapes(p *played) map[string]map[string]string {
	out := map[string]map[string]string{}
	for key, run := range p.runs {
		lines := map[string]string{}
		for name, v := range run.View() {
			if slices.Contains(bookkeeping, name) {
				continue
			}
			b, err := json.Marshal(v)
			if err != nil {
				b = []byte(err.Error())
			}
			lines[name] = string(b)
		}
		out[key] = lines
	}
	return out
}

func firstDifference(want, got map[string]map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		names := slices.Sorted(maps.Keys(want[key]))
		for name := range got[key] {
			if _, ok := want[key][name]; !ok {
				names = append(names, name)
			}
		}
		for _, name := range names {
			if a, b := want[key][name], got[key][name]; a != b {
				return fmt.Sprintf("%s of %s is %s, not %s", name, key, clip(b, 200), clip(a, 200))
			}
		}
	}
	if len(want) != len(got) {
		return fmt.Sprintf("there are %d runs, not %d", len(got), len(want))
	}
	return ""
}
