package mapping

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// Explanation says what a mapping makes of a request, and why. It is plain data
// for people and programs to read.
type Explanation struct {
	Mapping string `json:"mapping"`
	Title   string `json:"title,omitempty"`
	File    string `json:"file"`
	// Takes reports that an event of the mapping takes the request: it becomes
	// events of runs, or is ignored on purpose.
	Takes bool `json:"takes"`
	// Outcome is applied, ignored, unmapped or rejected, as far as the mapping
	// decides it.
	Outcome bridge.Outcome `json:"outcome"`
	// Reason says in words why there are no events, "" when there are.
	Reason  string   `json:"reason,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
	// Dedupe names the request within its source; without parts it is the hash
	// of the body.
	Dedupe ExplainedKey `json:"dedupe"`
	// Tried lists the events of the mapping that were asked, in their order.
	Tried []ExplainedMatch `json:"tried,omitempty"`
	// Events are what the request becomes.
	Events []ExplainedEvent `json:"events,omitempty"`
	// Lets are the named values that were needed.
	Lets     []ExplainedValue `json:"lets,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`
	// Unused is what no value has read of the payload.
	Unused []lang.Unread `json:"unused,omitempty"`
}

// ExplainedMatch says whether an event takes a request.
type ExplainedMatch struct {
	Event string `json:"event"`
	Place
	Takes bool   `json:"takes"`
	Why   string `json:"why,omitempty"` // why it does not
}

// Place is where something stands in a mapping.
type Place struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"column"`
}

func (p place) shown() Place { return Place{p.file, p.line, p.col} }

// ExplainedEvent is one event of a request: what a run is told, and by which
// value of the payload.
type ExplainedEvent struct {
	Event string `json:"event"`
	Place
	RunKey   ExplainedKey     `json:"run_key"`
	Parent   *ExplainedKey    `json:"parent,omitempty"`
	Attempt  ExplainedValue   `json:"attempt"`
	Status   ExplainedValue   `json:"status"`
	Word     string           `json:"unknown_word,omitempty"` // that no map knows
	At       ExplainedValue   `json:"at"`
	Fields   []ExplainedValue `json:"fields,omitempty"`
	Lists    []ExplainedList  `json:"lists,omitempty"`
	Requires []string         `json:"requires,omitempty"`
	// Triggers is what the event would fire on a run that is new, the most
	// specific trigger first.
	Triggers []bridge.Trigger `json:"would_fire"`
	Warnings []string         `json:"warnings,omitempty"`
}

// ExplainedKey is a key and its parts.
type ExplainedKey struct {
	Value string           `json:"value"`
	Parts []ExplainedValue `json:"parts,omitempty"`
}

// ExplainedValue is a value on its way from the payload to the run.
type ExplainedValue struct {
	Name string `json:"name"`
	// From is where the mapping takes it from, as it is written there: a path,
	// an expression with its "=", a literal; "" for a value that follows from
	// others.
	From string `json:"from,omitempty"`
	// Path is where in the payload it was found.
	Path  string          `json:"path,omitempty"`
	Steps []ExplainedStep `json:"steps,omitempty"`
	// Value is what the run is told; nil: nothing.
	Value any    `json:"value,omitempty"`
	Why   string `json:"why,omitempty"` // why there is no value, or where it follows from
	Place
}

// ExplainedStep is what a value was after a step: path, first_of, of, value or
// expr, then drop_if, map, else or default.
type ExplainedStep struct {
	Step  string `json:"step"`
	Value any    `json:"value"` // nil: absent
}

// ExplainedList is a list that an event fills.
type ExplainedList struct {
	Name string `json:"name"`
	From string `json:"from"`
	Place
	Items []ExplainedItem `json:"items"`
}

// ExplainedItem is one item of a list, or one that was left out.
type ExplainedItem struct {
	Path    string           `json:"path,omitempty"`
	LeftOut string           `json:"left_out,omitempty"` // why
	Key     string           `json:"key,omitempty"`
	Attempt int64            `json:"attempt,omitempty"`
	Fields  []ExplainedValue `json:"fields,omitempty"`
	Lists   []ExplainedList  `json:"lists,omitempty"`
}

// Explain is [Mapping.Apply] with its reasons. Like that it is pure and never
// panics.
func (m *Mapping) Explain(in Input) Explanation {
	rec := &recorder{}
	return m.explain(m.apply(in, rec), rec)
}

// explain puts a result and the notes of its recorder into words.
func (m *Mapping) explain(res Result, rec *recorder) Explanation {
	out := Explanation{
		Mapping: m.Name, Title: m.Title, File: m.File, Outcome: res.Outcome, Reason: res.Reason, Problem: res.Problem, Warnings: res.Warnings,
		Takes: len(res.Events) > 0 || res.event != nil && res.Outcome != bridge.Rejected,
	}
	if rec.trace != nil {
		out.Unused = rec.trace.Unread() // before anything is read to be shown
	}
	if out.Outcome == "" {
		out.Outcome = bridge.Applied
		if res.Unmapped {
			out.Outcome = bridge.Unmapped
		}
	}
	x := explainer{rec}
	out.Dedupe = x.dedupe(m, res)
	out.Tried = x.matches(m)
	for _, e := range rec.made {
		out.Events = append(out.Events, x.event(e))
	}
	out.Lets = x.lets(m)
	return out
}

// Explain explains what each mapping of the set makes of a request, in the
// order of [Set.Names].
func (s *Set) Explain(in Input) []Explanation {
	out := make([]Explanation, 0, len(s.names))
	for _, name := range s.names {
		out = append(out, s.byName[name].Explain(in))
	}
	return out
}

// explainer puts the notes of a recorder into words.
type explainer struct{ rec *recorder }

func (x explainer) dedupe(m *Mapping, res Result) ExplainedKey {
	k := m.dedupe
	if res.event != nil {
		k = res.event.dedupe
	}
	if k == nil || x.rec.body == nil {
		return ExplainedKey{Value: res.Dedupe}
	}
	return x.key(k, res.Dedupe)
}

func (x explainer) matches(m *Mapping) []ExplainedMatch {
	var out []ExplainedMatch
	for _, t := range x.rec.tried {
		shown := ExplainedMatch{Event: t.event.name, Place: t.event.place.shown(), Takes: t.no.what == ""}
		if !shown.Takes {
			shown.Why = t.no.String()
		}
		out = append(out, shown)
	}
	if len(out) > 0 && out[len(out)-1].Takes {
		for _, e := range m.events[len(out):] {
			out = append(out, ExplainedMatch{Event: e.name, Place: e.place.shown(), Why: "not asked, since " + out[len(x.rec.tried)-1].Event + " takes the request"})
		}
	}
	return out
}

func (x explainer) event(m made) ExplainedEvent {
	e, ev := m.event, m.out
	out := ExplainedEvent{
		Event: e.name, Place: e.place.shown(), Word: ev.Word, Requires: ev.Requires, Warnings: ev.Warnings, Triggers: x.triggers(ev),
		RunKey:  x.key(e.runKey, ev.RunKey),
		Attempt: x.value(e.attempt, "attempt", present(ev.Attempt, ev.Attempt > 0)),
		Status:  x.value(e.status, "status", present(string(ev.Status), ev.Status != "")),
		At:      x.value(e.at, "at", timeText(ev.At)),
		Lists:   x.lists(e.lists, x.rec.body),
	}
	if e.parent != nil {
		parent := x.key(e.parent, ev.Parent)
		out.Parent = &parent
	}
	out.describe(e)
	out.Fields = x.fields(e.fields, ev.Fields, x.rec.body)
	out.tooEarly(ev.Status)
	return out
}

// tooEarly says of the times that were found and left out that the run has not
// come that far.
func (out *ExplainedEvent) tooEarly(status bridge.Status) {
	for i, f := range out.Fields {
		n := len(f.Steps)
		if f.Value != nil || n == 0 || f.Steps[n-1].Value == nil {
			continue
		}
		switch {
		case !status.Terminal() && (f.Name == "finished_at" || f.Name == "duration_ms"):
			out.Fields[i].Why = "it counts when the run is over"
		case status == bridge.Queued && f.Name == "started_at":
			out.Fields[i].Why = "it counts when the run has started"
		}
	}
}

// describe says where the values come from that the mapping does not name.
func (out *ExplainedEvent) describe(e *event) {
	switch {
	case e.runWide:
		out.Attempt.Why = "it counts for all attempts"
	case e.attempt == nil && e.status == nil:
		out.Attempt.Why = "without a status it counts for all attempts"
	case e.attempt == nil:
		out.Attempt.Why = "the first, since the mapping names none"
	}
	if e.status == nil {
		out.Status.Why = "the event says nothing of the run's state"
	}
	if out.Word != "" {
		out.Status.Why = quote(out.Word) + " is not in the map"
	}
	if e.at == nil || !slices.ContainsFunc(out.At.Steps, func(s ExplainedStep) bool { return s.Value != nil }) {
		out.At.Why = "when the request came"
	}
}

// triggers applies the event to a new run.
func (x explainer) triggers(ev bridge.Event) []bridge.Trigger {
	change, err := bridge.NewRun(0, ev.Source, ev.RunKey, ev.Received).Apply(ev)
	if err != nil || change.Firing == nil {
		return []bridge.Trigger{}
	}
	return bridge.TriggersOf(change.Firing.Status)
}

// fields shows the fields of an event or an item, then what follows from them.
func (x explainer) fields(specs []field, set map[string]any, doc *lang.Doc) []ExplainedValue {
	var out []ExplainedValue
	named := map[string]bool{}
	for _, f := range specs {
		named[f.name] = true
		v := set[f.name]
		if f.kind == bridge.Time {
			if ms, ok := v.(int64); ok {
				v = timeText(ms)
			}
		}
		out = append(out, x.valueIn(f.value, f.name, v, doc))
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !named[name] {
			v := set[name]
			if ms, ok := v.(int64); ok && strings.HasSuffix(name, "_at") {
				v = timeText(ms)
			}
			out = append(out, ExplainedValue{Name: name, Value: v, Why: followsFrom(name)})
		}
	}
	return out
}

// followsFrom says why a field is set that the mapping does not name.
func followsFrom(name string) string {
	if strings.HasPrefix(name, "repo.") {
		return "follows from the other fields of repo"
	}
	return "follows from the status and the time"
}

func present(v any, ok bool) any {
	if ok {
		return v
	}
	return nil
}

func timeText(ms int64) any { return lang.FormatMS(ms) }

func (x explainer) value(v *value, name string, result any) ExplainedValue {
	return x.valueIn(v, name, result, x.rec.body)
}

// valueIn shows what v was on doc and what became of it.
func (x explainer) valueIn(v *value, name string, result any, doc *lang.Doc) ExplainedValue {
	out := ExplainedValue{Name: name, Value: result}
	if v == nil {
		return out
	}
	out.From, out.Place = v.written(), v.at.shown()
	for _, n := range x.rec.notes[noteKey{v, doc}] {
		if d, ok := n.x.(*lang.Doc); ok && out.Path == "" {
			out.Path = d.Path()
		}
		if n.step == stepFirst {
			if c := x.chosen(v, n, doc); c != nil {
				out.From = c.written()
			}
		}
		out.Steps = append(out.Steps, ExplainedStep{n.step, plainFull(n.x)})
	}
	if result == nil {
		out.Why = x.why(v, out.Steps)
	}
	return out
}

// why says why a value is absent, as far as its steps tell.
func (x explainer) why(v *value, steps []ExplainedStep) string {
	last := ExplainedStep{}
	if len(steps) > 0 {
		last = steps[len(steps)-1]
	}
	switch {
	case len(steps) == 0:
		return "it failed"
	case last.Step == stepDrop && len(steps) > 1:
		return "drop_if drops " + describe(steps[len(steps)-2].Value)
	case last.Value == nil && last.Step == stepMap:
		return "the map says so"
	case last.Value == nil:
		return v.absence()
	case last.Value == "":
		return "it is empty"
	}
	return "it cannot be used"
}

// chosen is the candidate that a first_of took.
func (x explainer) chosen(v *value, n note, doc *lang.Doc) *value {
	for _, c := range v.firstOf {
		for _, seen := range x.rec.notes[noteKey{c, doc}] {
			if seen.x != nil && n.x != nil && same(seen.x, n.x) {
				return c
			}
		}
	}
	return nil
}

// same reports whether two values of notes are one.
func same(a, b any) bool {
	switch a.(type) {
	case map[string]any, []any:
		return false // not to be compared
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == b
}

// written returns the source of a value as the mapping has it.
func (v *value) written() string {
	switch {
	case v.isLiteral:
		text, _ := json.Marshal(v.literal)
		return string(text)
	case v.path != nil:
		return v.path.String()
	case len(v.firstOf) > 0:
		return "first_of " + writtenList(v.firstOf)
	case len(v.of) > 0:
		return "of " + writtenList(v.of)
	case v.expr != nil:
		return "=" + v.expr.e.String()
	}
	return ""
}

func writtenList(values []*value) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.written()
	}
	return strings.Join(texts, ", ")
}

// plainFull returns x as JSON has it.
func plainFull(x any) any { return full(x) }

// key shows the alternative of a key that was taken, or the last one tried.
func (x explainer) key(k *key, joined string) ExplainedKey {
	out := ExplainedKey{Value: joined}
	for _, parts := range k.alternatives {
		var shown []ExplainedValue
		for _, p := range parts {
			notes := x.rec.notes[noteKey{p, x.rec.body}]
			if len(notes) == 0 {
				break
			}
			shown = append(shown, x.value(p, last(p.name), plainFull(notes[len(notes)-1].x)))
		}
		if len(shown) > 0 {
			out.Parts = shown
		}
	}
	return out
}

// lists shows the lists that were filled from doc.
func (x explainer) lists(specs []*listSpec, doc *lang.Doc) []ExplainedList {
	var out []ExplainedList
	for _, l := range specs {
		shown := ExplainedList{Name: l.name, From: l.each.written(), Place: l.at.shown(), Items: []ExplainedItem{}}
		for _, n := range x.rec.items[itemKey{l, doc}] {
			item := ExplainedItem{Path: n.doc.Path(), LeftOut: n.why, Key: n.out.Key, Attempt: n.out.Attempt}
			if n.why == "" {
				item.Fields, item.Lists = x.fields(l.fields, n.out.Fields, n.doc), x.lists(l.lists, n.doc)
			}
			shown.Items = append(shown.Items, item)
		}
		out = append(out, shown)
	}
	return out
}

// lets shows the named values that something needed, by their place.
func (x explainer) lets(m *Mapping) []ExplainedValue {
	var out []ExplainedValue
	for name, l := range m.lets {
		notes := x.rec.notes[noteKey{l.value, x.rec.body}]
		if len(notes) > 0 {
			out = append(out, x.value(l.value, name, plainFull(notes[len(notes)-1].x)))
		}
	}
	slices.SortFunc(out, func(a, b ExplainedValue) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col)) })
	return out
}
