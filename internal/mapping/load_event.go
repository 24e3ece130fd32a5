package mapping

import (
	"slices"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/yamldoc"
)

// eventDefaults are the nodes that the top of a file gives to all its events.
type eventDefaults struct {
	fields, runKey, parent, attempt, order, at, dedupe, status *yamldoc.Node
}

// requestShape is what expressions see as request.
var requestShape = lang.Object(map[string]lang.Shape{
	"id": lang.Leaf(), "method": lang.Leaf(), "path": lang.Leaf(), "raw": lang.Leaf(), "signed_at": lang.Leaf(), "received_at": lang.Leaf(),
})

// rootNames are the names that every expression sees. A let cannot have them.
var rootNames = map[string]lang.Shape{
	"body": lang.Any(), "envelope": lang.Any(), "header": lang.Any(), "query": lang.Any(),
	"source":  lang.Object(map[string]lang.Shape{"id": lang.Leaf(), "vars": lang.Any()}),
	"request": requestShape, "received_at": lang.Leaf(),
}

// readLets compiles the named expressions. They may use each other, but not in
// a circle.
func (l *loader) readLets(n *yamldoc.Node) {
	l.scope = lang.NewScope(rootNames).WithTimes(l.times)
	if n == nil || !l.is(n, yamldoc.Map, "let") {
		return
	}
	for _, p := range n.Pairs {
		name := p.Key.Text
		_, root := rootNames[name]
		if root || !identifier(name) || slices.Contains([]string{"item", "index", "value"}, name) {
			help := "use letters, digits and _"
			if identifier(name) {
				help = "choose another name: " + name + " is what expressions already see"
			}
			l.errorf(p.Key, codeWord, help, "%s cannot be the name of a let", quote(name))
			continue
		}
		l.m.lets[name] = &let{name: name, slot: len(l.m.lets)}
		l.scope = l.scope.With(name, lang.Any())
	}
	needs := map[string][]string{}
	for _, p := range n.Pairs {
		if target := l.m.lets[p.Key.Text]; target != nil {
			target.value = l.value(p.Value, spec{name: "let." + p.Key.Text, kind: anyKind})
			needs[p.Key.Text] = target.value.needs()
		}
	}
	for _, p := range n.Pairs {
		if way := circle(needs, p.Key.Text, p.Key.Text, map[string]bool{}); way != nil {
			l.errorf(p.Key, codeCycle, "", "the let %s needs itself: %s", quote(p.Key.Text), strings.Join(append([]string{p.Key.Text}, way...), " needs "))
		}
	}
}

// circle returns a way along needs from one name to another, without the
// first; nil when there is none.
func circle(needs map[string][]string, from, to string, seen map[string]bool) []string {
	for _, next := range needs[from] {
		if next == to {
			return []string{to}
		}
		if !seen[next] {
			seen[next] = true
			if way := circle(needs, next, to, seen); way != nil {
				return append([]string{next}, way...)
			}
		}
	}
	return nil
}

func identifier(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

func (l *loader) readEvents(n *yamldoc.Node, defaults *eventDefaults) {
	if n == nil || !l.is(n, yamldoc.List, "events") {
		return
	}
	if len(n.Items) == 0 {
		l.errorf(n, codeMissing, "write - {name: build, run_key: build.id, …}", "a mapping needs at least one event, this list is empty")
	}
	if defaults.dedupe != nil {
		l.m.dedupe = l.key(defaults.dedupe, spec{name: "dedupe"})
	}
	for _, item := range n.Items {
		e := l.event(item, defaults)
		if e == nil {
			continue
		}
		if i := slices.IndexFunc(l.m.events, func(o *event) bool { return o.name == e.name }); i >= 0 {
			l.errorf(item.Get("name"), codeTaken, "give one of them another name", "the event %s is there twice, first in line %d", quote(e.name), l.m.events[i].place.line)
		}
		l.unreachable(item, e)
		l.m.events = append(l.m.events, e)
	}
	l.m.kinds = kindKeys(l.m.events)
}

// event compiles one event; nil when it has no name.
func (l *loader) event(n *yamldoc.Node, defaults *eventDefaults) *event {
	e := &event{place: placeOf(n), match: match{}}
	d := *defaults
	node := func(into **yamldoc.Node) func(*yamldoc.Node) { return func(n *yamldoc.Node) { *into = n } }
	var matchNode, confirmNode, onceNode, own, lists, checks *yamldoc.Node
	ok := l.keys(n, "an event", []keyOf{
		{"name", func(n *yamldoc.Node) { e.name = l.text(n, "name") }},
		{"match", node(&matchNode)},
		{"ignore", func(n *yamldoc.Node) { e.ignore = l.text(n, "ignore") }},
		{"continue", func(n *yamldoc.Node) { e.cont = l.flag(n, "continue") }},
		{"confirm", node(&confirmNode)},
		{"once", node(&onceNode)},
		{"run_key", node(&d.runKey)},
		{"parent", node(&d.parent)},
		{"attempt", node(&d.attempt)},
		{"order", node(&d.order)},
		{"at", node(&d.at)},
		{"dedupe", node(&d.dedupe)},
		{"status", node(&d.status)},
		{"checks", node(&checks)},
		{"fields", node(&own)},
		{"lists", node(&lists)},
		{"reply", func(n *yamldoc.Node) { e.replies = l.readReplies(n) }},
	})
	if !ok {
		return nil
	}
	if l.require(n, "name", "an event", "write name: build; it is what tests and logs call the event"); e.name == "" {
		return nil
	}
	s := spec{name: e.name}
	if matchNode != nil {
		e.match = l.match(matchNode, s.sub("match"))
	}
	e.dedupe = l.key(d.dedupe, s.sub("dedupe"))
	e.checks = l.readChecks(checks)
	if e.ignore != "" || confirmNode != nil {
		l.onlyIgnored(n, e, confirmNode)
		return e
	}
	if d.runKey == nil {
		l.errorf(n, codeMissing, "say which run it belongs to, here or at the top of the file; or give a reason to ignore it", "the event %s needs run_key", quote(e.name))
	}
	e.runKey = l.key(d.runKey, s.sub("run_key"))
	e.parent = l.key(d.parent, s.sub("parent"))
	l.attempt(d.attempt, e, s)
	l.order(d.order, e)
	if d.at != nil {
		e.at = l.value(d.at, spec{name: e.name + ".at", kind: bridge.Time})
	}
	if d.status != nil {
		e.status = l.value(d.status, spec{name: e.name + ".status", status: true})
	}
	e.fields = l.fields(defaults.fields, own, s)
	e.lists = l.lists(lists, s, bridge.Lists(), "a run")
	e.once = l.once(onceNode, e, s)
	if d.attempt != nil && d.status == nil && len(e.lists) > 0 && e.attempt != nil && e.attempt.def != nil && e.attempt.def.isLiteral {
		l.warnf(d.attempt, codeJobAttempt, "leave attempt out (attempt: none): the items find their place by their own attempt", "%s says nothing of the run's state, but has an attempt with a constant default: its items would go to attempt %v", quote(e.name), e.attempt.def.literal)
	}
	return e
}

// onlyIgnored refuses what an event without a run cannot have.
func (l *loader) onlyIgnored(n *yamldoc.Node, e *event, confirm *yamldoc.Node) {
	for _, key := range []string{"run_key", "parent", "attempt", "order", "at", "status", "fields", "lists", "once", "continue"} {
		if n.Get(key) != nil {
			l.errorf(n.Get(key), codeTogether, "delete it, or delete ignore or confirm", "this event makes no run: %s has no place here", key)
		}
	}
	if confirm == nil {
		return
	}
	if e.ignore != "" {
		l.errorf(confirm, codeTogether, "write one of them", "an event has either ignore or confirm")
	}
	e.confirm = &confirmSpec{}
	l.keys(confirm, "confirm", []keyOf{
		{"get", func(n *yamldoc.Node) { e.confirm.get = l.value(n, spec{name: e.name + ".confirm.get"}) }},
		{"host", func(n *yamldoc.Node) { e.confirm.host = l.text(n, "host") }},
	})
	l.requireAll(confirm, "confirm", mustHave{"get", "write get: <path to the address>"},
		mustHave{"host", "write host: hooks.acme.com, or *.acme.com: a payload must not choose whom the server calls"})
	if host := strings.TrimLeft(e.confirm.host, "*."); e.confirm.host != "" && strings.Count(host, ".") < 1 {
		l.errorf(confirm.Get("host"), codeShape, "write it as hooks.acme.com or *.acme.com", "host %s must end with a fixed domain: a payload must not choose whom the server calls", quote(e.confirm.host))
	}
}

func (l *loader) attempt(n *yamldoc.Node, e *event, s spec) {
	if n == nil {
		return
	}
	if n.Kind == yamldoc.Scalar && n.Text == "none" {
		e.runWide = true
		return
	}
	e.attempt = l.value(n, spec{name: s.name + ".attempt", kind: bridge.Number})
}

func (l *loader) order(n *yamldoc.Node, e *event) {
	if n == nil {
		return
	}
	if l.word(n, "order", []string{"time", "rank"}) == "time" {
		e.order = bridge.ByTime
	}
}

// key compiles a key: one value, a list of values, or the first of several
// lists whose values are all there.
func (l *loader) key(n *yamldoc.Node, s spec) *key {
	if n == nil {
		return nil
	}
	k := &key{at: placeOf(n), name: s.name}
	alternatives := []*yamldoc.Node{n}
	if first := n.Get("first_of"); first != nil && first.Kind == yamldoc.List && len(n.Pairs) == 1 &&
		slices.ContainsFunc(first.Items, func(i *yamldoc.Node) bool { return i.Kind == yamldoc.List }) {
		alternatives = first.Items
	}
	for _, a := range alternatives {
		var parts []*value
		for _, item := range list(a) {
			if v := l.value(item, s); v != nil {
				parts = append(parts, v)
			}
		}
		if len(parts) == 0 && a.Kind == yamldoc.List && len(a.Items) == 0 {
			l.errorf(a, codeMissing, "write one path, or a list of paths", "%s has no parts", s.name)
		}
		k.alternatives = append(k.alternatives, parts)
	}
	return k
}

// fields compiles the shared fields and an event's own, which win.
func (l *loader) fields(shared, own *yamldoc.Node, s spec) []field {
	var out []field
	for _, n := range []*yamldoc.Node{shared, own} {
		if n == nil || !l.is(n, yamldoc.Map, "fields") {
			continue
		}
		for _, p := range n.Pairs {
			if n == shared && own.Get(p.Key.Text) != nil {
				continue
			}
			if f, ok := l.field(p, s, bridge.Fields(), "a run"); ok {
				out = append(out, f)
			}
		}
	}
	return out
}

func (l *loader) field(p yamldoc.Pair, s spec, known []bridge.Field, of string) (field, bool) {
	name := p.Key.Text
	kind, ok := fieldKind(name, known, s.item)
	if !ok {
		l.unknownField(p, name, known, of)
		return field{}, false
	}
	v := l.value(p.Value, spec{name: s.name + "." + name, kind: kind, item: s.item, status: s.item && name == "status"})
	l.secret(p, v)
	return field{name: name, kind: kind, value: v}, v != nil
}

func fieldKind(name string, known []bridge.Field, item bool) (bridge.Kind, bool) {
	if !item {
		return kindOf(name)
	}
	for _, f := range known {
		if f.Name == name {
			return f.Kind, true
		}
	}
	return 0, false
}

func (l *loader) unknownField(p yamldoc.Pair, name string, known []bridge.Field, of string) {
	var names []string
	help := ""
	for _, f := range known {
		names = append(names, f.Name)
		if help == "" && strings.HasPrefix(f.Name, name+".") {
			help = "write " + f.Name + ": … in one line"
		}
	}
	switch {
	case slices.Contains([]string{"status", "attempt", "at", "run_key", "parent"}, name):
		help = name + " stands beside fields, not in it"
	case help == "":
		help = didYouMean(name, names)
	}
	if help == "" {
		help = "anything else worth keeping goes to labels." + name
	}
	l.errorf(p.Key, codeField, help, "%s has no field %s", of, quote(name))
}

// once compiles what makes two once-only events the same.
func (l *loader) once(n *yamldoc.Node, e *event, s spec) []*value {
	if n == nil {
		return nil
	}
	var out []*value
	for _, item := range list(n) {
		if item.Kind == yamldoc.Scalar && !strings.HasPrefix(item.Text, "=") {
			i := slices.IndexFunc(e.fields, func(f field) bool { return f.name == item.Text })
			if i < 0 {
				var names []string
				for _, f := range e.fields {
					names = append(names, f.name)
				}
				help := didYouMean(item.Text, names)
				if help == "" {
					help = "for a path of the payload write {path: " + item.Text + "}"
				}
				l.errorf(item, codeField, help, "once names fields that the event sets; it does not set %s", quote(item.Text))
				continue
			}
			out = append(out, e.fields[i].value)
			continue
		}
		if v := l.value(item, s.sub("once")); v != nil {
			out = append(out, v)
		}
	}
	return out
}
