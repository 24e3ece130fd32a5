package mappings

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"cibridge/internal/yamldoc"
)

// reads are the places of a payload that a part of a mapping looks at. "*" is
// any step.
type reads struct {
	exact [][]string // the value there
	deep  [][]string // and whatever is in it: an expression takes it apart
	raw   bool       // the bytes of the request
}

// touch reports whether a change at path can be seen through r: at a place that
// is read, or around it.
func (r reads) touch(path []string) bool {
	for _, p := range r.exact {
		if len(path) <= len(p) && fits(p[:len(path)], path) {
			return true
		}
	}
	for _, p := range r.deep {
		if n := min(len(p), len(path)); fits(p[:n], path[:n]) {
			return true
		}
	}
	return false
}

func fits(pattern, path []string) bool {
	for i, p := range pattern {
		if p != "*" && p != path[i] {
			return false
		}
	}
	return true
}

func join(all ...reads) (out reads) {
	for _, r := range all {
		out.exact, out.deep = slices.Concat(out.exact, r.exact), slices.Concat(out.deep, r.deep)
		out.raw = out.raw || r.raw
	}
	return out
}

// whole makes r read all that is in its values.
func (r reads) whole() reads {
	return reads{deep: slices.Concat(r.deep, r.exact), raw: r.raw}
}

// below puts the reads of an item under its list. The list itself is read
// as a whole.
func (r reads) below(list reads) reads {
	return join(list.whole(), r)
}

// declared is what a mapping says that it reads.
type declared struct {
	lets     map[string]*yamldoc.Node
	letReads map[string]reads
	// frame is read of every request: to find the document, and to tell events
	// apart.
	frame  reads
	wraps  [][]string // where the document is, see declared.inside
	events map[string]declaredEvent
}

type declaredEvent struct {
	key, parent, attempt, at, status, required reads
	fields                                     map[string]reads
	lists                                      map[string]reads
}

// declarations reads what the mapping in f declares.
func declarations(t *testing.T, f File) *declared {
	t.Helper()
	root, problems := yamldoc.Parse(f.Name, f.Data)
	if root == nil {
		t.Fatalf("%s: %v", f.Name, problems)
	}
	d := &declared{lets: map[string]*yamldoc.Node{}, letReads: map[string]reads{}, events: map[string]declaredEvent{}}
	for _, p := range pairs(root.Get("let")) {
		d.lets[p.Key.Text] = p.Value
	}
	d.decode(root.Get("receive").Get("decode"))
	for _, c := range items(root.Get("checks")) {
		d.frame = join(d.frame, d.all(c.Get("missing")))
	}
	for _, e := range items(root.Get("events")) {
		d.event(root, e)
	}
	return d
}

func (d *declared) decode(n *yamldoc.Node) {
	steps := items(n)
	if n != nil && len(steps) == 0 {
		steps = []*yamldoc.Node{n}
	}
	for _, s := range steps {
		for _, key := range []string{"unwrap", "base64"} {
			if p := s.Get(key); p != nil {
				r := pathReads(p.Text)
				d.frame = join(d.frame, r)
				d.wraps = append(d.wraps, r.exact...)
			}
		}
		if s.Text == "cloudevents" {
			d.wraps = append(d.wraps, []string{"data"})
			d.frame.exact = append(d.frame.exact, []string{"specversion"}, []string{"type"}, []string{"data"})
		}
	}
}

// inside lists the names that a place of the body may have in the document: in
// structured mode the attributes of a CloudEvent become members of ce.
func (d *declared) inside(at []string) [][]string {
	out := [][]string{at, slices.Concat([]string{"ce"}, at)}
	for i := 0; i < len(out); i++ { // it grows: an envelope in an envelope
		for _, w := range d.wraps {
			if at := out[i]; len(at) > len(w) && fits(w, at[:len(w)]) {
				out = append(out, at[len(w):])
			}
		}
	}
	return out
}

func (d *declared) event(root, e *yamldoc.Node) {
	own := func(key string) *yamldoc.Node {
		if n := e.Get(key); n != nil {
			return n
		}
		return root.Get(key)
	}
	match := e.Get("match")
	for _, p := range pairs(match.Get("body")) {
		d.frame = join(d.frame, pathReads(p.Key.Text))
	}
	d.frame = join(d.frame, d.all(match.Get("all")))
	out := declaredEvent{
		key: d.all(own("run_key")), parent: d.all(own("parent")), attempt: d.all(own("attempt")), at: d.all(own("at")), status: d.all(own("status")),
		fields: map[string]reads{}, lists: map[string]reads{},
	}
	for _, c := range items(e.Get("checks")) {
		out.required = join(out.required, d.all(c.Get("missing")))
	}
	for _, fields := range []*yamldoc.Node{root.Get("fields"), e.Get("fields")} {
		for _, p := range pairs(fields) {
			r := d.all(p.Value)
			out.fields[p.Key.Text] = r.whole() // a map or a list is kept as it is
			if p.Value.Get("required") != nil {
				out.required = join(out.required, r)
			}
		}
	}
	for _, p := range pairs(e.Get("lists")) {
		out.lists[p.Key.Text] = join(out.lists[p.Key.Text], d.list(p.Value))
	}
	d.events[e.Get("name").Text] = out
}

// list is what a list reads: itself, and through expressions the rest.
func (d *declared) list(n *yamldoc.Node) reads {
	each := d.all(n.Get("each"))
	if n.Get("entries") != nil {
		each = d.all(n.Get("entries"))
	}
	return d.expressions(n).below(each)
}

// expressions are the reads of all expressions below n.
func (d *declared) expressions(n *yamldoc.Node) (out reads) {
	for _, p := range pairs(n) {
		out = join(out, d.expressions(p.Value))
		if p.Key.Text == "expr" || p.Key.Text == "when" {
			out = join(out, d.expression(p.Value.Text))
		}
	}
	for _, item := range items(n) {
		out = join(out, d.expressions(item))
	}
	if n.Kind == yamldoc.Scalar && strings.HasPrefix(n.Text, "=") {
		out = join(out, d.expression(n.Text))
	}
	return out
}

// all are the reads of a value, however it is written.
func (d *declared) all(n *yamldoc.Node) (out reads) {
	switch {
	case n == nil:
	case n.Kind == yamldoc.List:
		for _, item := range n.Items {
			out = join(out, d.all(item))
		}
	case n.Kind == yamldoc.Map:
		for _, key := range []string{"path", "first_of", "of"} {
			out = join(out, d.all(n.Get(key)))
		}
		if n.Get("expr") != nil { // it may take apart what the path leads to
			out = join(out.whole(), d.expression(n.Get("expr").Text))
		}
		for _, key := range []string{"else", "default"} {
			if c := n.Get(key); c != nil && strings.HasPrefix(c.Text, "=") {
				out = join(out, d.expression(c.Text))
			}
		}
	case n.Text == "none", n.Text == "":
	case strings.HasPrefix(n.Text, "="):
		out = d.expression(n.Text)
	default:
		out = pathReads(n.Text)
	}
	return out
}

var (
	bodyRead = regexp.MustCompile(`\b(?:body|envelope)((?:\??\.\w+|\[\d+\]|\["[^"]+"\])*)`)
	bodyStep = regexp.MustCompile(`\w+|"[^"]+"`)
	quoted   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'`)
	named    = regexp.MustCompile(`(?:^|[^.\w"])([A-Za-z_]\w*)`)
)

// expression finds what an expression reads by its look: every body.a.b in it,
// and the lets.
func (d *declared) expression(text string) (out reads) {
	out.raw = strings.Contains(text, "request.raw")
	for _, m := range bodyRead.FindAllStringSubmatch(text, -1) {
		steps := []string{}
		for _, s := range bodyStep.FindAllString(strings.ReplaceAll(m[1], `\.`, "."), -1) {
			steps = append(steps, strings.Trim(s, `"`))
		}
		out.deep = append(out.deep, steps)
	}
	for _, m := range named.FindAllStringSubmatch(quoted.ReplaceAllString(text, ""), -1) {
		out = join(out, d.let(m[1]))
	}
	return out
}

// let is what a name reads, when it is that of a let. Each is looked at once.
func (d *declared) let(name string) reads {
	n, there := d.lets[name]
	if !there {
		return reads{}
	}
	if _, known := d.letReads[name]; !known {
		d.letReads[name] = reads{} // the name of a member may look like that of the let
		d.letReads[name] = d.all(n).whole()
	}
	return d.letReads[name]
}

// pathReads splits a gjson path into its steps: # and * are any step, and a query
// reads what it compares, too.
func pathReads(text string) (out reads) {
	var steps []string
	for text != "" {
		step, rest := gjsonStep(text)
		switch {
		case strings.HasPrefix(step, "@"):
			return join(out, reads{deep: [][]string{steps}})
		case strings.HasPrefix(step, "#("):
			inner := step[2:max(2, strings.LastIndexByte(step, ')'))]
			if i := strings.IndexAny(inner, "=!<>%"); i > 0 {
				for _, q := range pathReads(inner[:i]).exact {
					out.exact = append(out.exact, slices.Concat(steps, []string{"*"}, q))
				}
			}
			step = "*"
		case step == "#":
			step = "*"
		}
		steps, text = append(slices.Clone(steps), strings.ReplaceAll(step, `\`, "")), rest
	}
	out.exact = append(out.exact, steps)
	return out
}

// gjsonStep cuts the first step off a path.
func gjsonStep(text string) (step, rest string) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '(':
			depth++
		case c == ')':
			depth--
		case depth == 0 && (c == '.' || c == '|'):
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

func pairs(n *yamldoc.Node) []yamldoc.Pair {
	if n == nil {
		return nil
	}
	return n.Pairs
}

func items(n *yamldoc.Node) []*yamldoc.Node {
	if n == nil {
		return nil
	}
	return n.Items
}
