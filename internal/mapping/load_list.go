package mapping

import (
	"slices"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/yamldoc"
)

// lists compiles the lists of a run or an item.
func (l *loader) lists(n *yamldoc.Node, s spec, known []bridge.ListOf, of string) []*listSpec {
	if n == nil || !l.is(n, yamldoc.Map, "lists") {
		return nil
	}
	var names []string
	for _, k := range known {
		names = append(names, k.Name)
	}
	var out []*listSpec
	for _, p := range n.Pairs {
		i := slices.Index(names, p.Key.Text)
		if i < 0 {
			l.errorf(p.Key, codeField, didYouMean(p.Key.Text, names), "%s has no list %s", of, quote(p.Key.Text))
			continue
		}
		for _, item := range list(p.Value) {
			if spec := l.list(item, s.sub(p.Key.Text), known[i]); spec != nil {
				out = append(out, spec)
			}
		}
	}
	return out
}

func (l *loader) list(n *yamldoc.Node, s spec, of bridge.ListOf) *listSpec {
	out := &listSpec{name: of.Name, full: s.name, at: placeOf(n)}
	inside := s
	inside.item = true
	var each, entries *yamldoc.Node
	ok := l.keys(n, "a list", []keyOf{
		{"each", func(n *yamldoc.Node) { each = n }},
		{"entries", func(n *yamldoc.Node) { entries = n }},
		{"when", func(n *yamldoc.Node) { out.when = l.expr(n, inside) }},
		{"key", func(n *yamldoc.Node) { out.key = l.key(n, inside.sub("key")) }},
		{"attempt", func(n *yamldoc.Node) {
			s := inside.sub("attempt")
			s.kind = bridge.Number
			out.attempt = l.value(n, s)
		}},
		{"fields", func(n *yamldoc.Node) { out.fields = l.itemFields(n, inside, of) }},
		{"lists", func(n *yamldoc.Node) { out.lists = l.lists(n, inside, of.Lists, "an item of "+of.Name) }},
	})
	if !ok {
		return nil
	}
	switch {
	case each != nil && entries != nil:
		l.errorf(n, codeTogether, "write one of them", "%s has both each and entries", s.name)
	case each != nil:
		out.each = l.value(each, s.sub("each"))
	case entries != nil:
		out.each, out.entries = l.value(entries, s.sub("entries")), true
	default:
		l.errorf(n, codeMissing, "write each: <path to a list>, or entries: <path to an object>", "%s does not say where its items are", s.name)
	}
	if n.Get("fields") == nil && n.Get("lists") == nil {
		l.errorf(n, codeMissing, "write fields: {name: …}; paths in it lead into the item", "%s sets no fields", s.name)
	}
	return out
}

func (l *loader) itemFields(n *yamldoc.Node, s spec, of bridge.ListOf) []field {
	if !l.is(n, yamldoc.Map, "fields") {
		return nil
	}
	var out []field
	for _, p := range n.Pairs {
		if f, ok := l.field(p, s, of.Fields, "an item of "+of.Name); ok {
			out = append(out, f)
		}
	}
	// In the order of the run's fields, whatever that of the file: the values
	// are the key of an item that declares none.
	slices.SortStableFunc(out, func(a, b field) int {
		place := func(f field) int {
			return slices.IndexFunc(of.Fields, func(o bridge.Field) bool { return o.Name == f.name })
		}
		return place(a) - place(b)
	})
	return out
}

// match compiles the conditions of an event.
func (l *loader) match(n *yamldoc.Node, s spec) match {
	var out match
	l.keys(n, "match", []keyOf{
		{"path", func(n *yamldoc.Node) { out.path = l.texts(n, "path") }},
		{"header", func(n *yamldoc.Node) { out.header = l.wants(n, "header") }},
		{"query", func(n *yamldoc.Node) { out.query = l.wants(n, "query") }},
		{"body", func(n *yamldoc.Node) {
			if !l.is(n, yamldoc.Map, "body") {
				return
			}
			for _, p := range n.Pairs {
				path := l.compilePath(p.Key)
				if path == nil {
					continue
				}
				out.body = append(out.body, wantPath{path, l.texts(p.Value, "what "+quote(p.Key.Text)+" must be")})
			}
		}},
		{"all", func(n *yamldoc.Node) {
			for _, item := range list(n) {
				if e := l.expr(item, s); e != nil {
					out.all = append(out.all, e)
				}
			}
		}},
	})
	return out
}

func (l *loader) wants(n *yamldoc.Node, what string) []want {
	if !l.is(n, yamldoc.Map, what) {
		return nil
	}
	var out []want
	for _, p := range n.Pairs {
		if what == "header" && p.Key.Text != strings.ToLower(p.Key.Text) {
			l.headerCase(p.Key, p.Key.Text)
		}
		out = append(out, want{p.Key.Text, l.texts(p.Value, "what "+quote(p.Key.Text)+" must be")})
	}
	return out
}

// readChecks compiles the checks of a file or an event.
func (l *loader) readChecks(n *yamldoc.Node) []check {
	if n == nil || !l.is(n, yamldoc.List, "checks") {
		return nil
	}
	var out []check
	for _, item := range n.Items {
		c := check{at: placeOf(item), status: 400}
		s := spec{name: "checks"}
		ok := l.keys(item, "a check", []keyOf{
			{"missing", func(n *yamldoc.Node) {
				for _, alternative := range list(n) {
					if v := l.value(alternative, s); v != nil {
						c.missing = append(c.missing, v)
					}
				}
			}},
			{"say", func(n *yamldoc.Node) { c.say = l.text(n, "say") }},
			{"status", func(n *yamldoc.Node) {
				status, _ := n.Value().(int64)
				if c.status = int(status); status < 400 || status > 499 {
					l.errorf(n, codeShape, "400 is bad, 422 is not understood", "the status of a check is between 400 and 499, this is %s", quote(n.Text))
				}
			}},
		})
		if !ok {
			continue
		}
		l.requireAll(item, "a check", mustHave{"missing", "write missing: <path>"}, mustHave{"say", "write say: <what the sender should read>"})
		out = append(out, c)
	}
	return out
}
