package mapping

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"cibridge/internal/diag"
	"cibridge/internal/lang"
	"cibridge/internal/yamldoc"
)

// Lint returns the problems that [Load] finds, and warnings of what only the
// tests of a mapping can show: events, paths and status words that no test
// reaches. Of the options it uses ReadFile. The problems are sorted by place.
func Lint(files []File, opts TestOptions) diag.Problems {
	if opts.ReadFile == nil {
		opts.ReadFile = os.ReadFile
	}
	set, loaded, problems := loadAll(files)
	for _, l := range loaded {
		if set.Get(l.m.Name) == l.m {
			problems = append(problems, newProbe(l, opts).problems()...)
		}
	}
	problems.Sort()
	return problems
}

// probe sends the requests of a mapping's tests through its compiled parts and
// notes what they reach. It evaluates nothing itself but paths: all the rest
// is asked of the values and lists as Apply asks them.
type probe struct {
	l     *loader
	opts  TestOptions
	found diag.Problems

	sent   int                        // requests with a document
	tested map[*event]bool            // events that took one
	paths  []*use                     // in the order in which they were met
	words  []*wordUse                 // the maps of statuses
	byNode map[any]*use               // by the node of the path, list or read
	byMap  map[*yamldoc.Node]*wordUse // by the node of the map
}

// use is something that a payload may have or not: a path, a member that an
// expression reads, or the items of a list.
type use struct {
	node *yamldoc.Node
	seen bool
	list string // the name of the list; "" for the others
	what string // "jobs.0.nmae"
	// Where it leads nowhere: its step of this depth, and what stands there
	// instead.
	depth int
	tail  string
	near  []string
}

// wordUse is a map of a status, and those of its words that payloads have.
type wordUse struct {
	name    string // of the value
	entries []wordEntry
	seen    map[*yamldoc.Node]bool // by the keys of the entries
}

func newProbe(l *loader, opts TestOptions) *probe {
	return &probe{l: l, opts: opts, tested: map[*event]bool{}, byNode: map[any]*use{}, byMap: map[*yamldoc.Node]*wordUse{}}
}

// problems runs the tests and says what they did not reach.
func (p *probe) problems() diag.Problems {
	m := p.l.m
	if len(m.tests) == 0 {
		p.warn(p.l.nameNode(), codeUntested, "begin with one: tests: [{name: …, body: {…}, expect: {status: …}}]", "the mapping %s has no tests", quote(m.Name))
		return p.found
	}
	for _, t := range m.tests {
		for i, s := range t.steps {
			p.send(&testRun{m: m, t: t, opts: p.opts}, s, i)
		}
	}
	if p.sent == 0 {
		return p.found // every payload is broken on purpose, or cannot be read
	}
	for _, e := range m.events {
		if n := p.eventNode(e); !p.tested[e] && !p.l.warned(n, codeUnreachable) {
			p.warn(n, codeUntested, "", "no test sends a request that %s takes", quote(e.name))
		}
	}
	for _, u := range p.paths {
		if !u.seen {
			p.unseen(u)
		}
	}
	for _, m := range p.words {
		p.untestedWords(m)
	}
	return p.found
}

func (p *probe) warn(n *yamldoc.Node, code, help, format string, args ...any) {
	before := len(p.l.problems)
	p.l.warnf(n, code, help, format, args...)
	p.found = append(p.found, p.l.problems[before])
	p.l.problems = p.l.problems[:before]
}

// warned reports whether n has a problem with this code.
func (l *loader) warned(n *yamldoc.Node, code string) bool {
	return slices.ContainsFunc(l.problems, func(p diag.Problem) bool { return p.Line == n.Line && p.Col == n.Col && p.Code == code })
}

// untestedWords says which words of one map no test has, in one warning at the
// first of them.
func (p *probe) untestedWords(m *wordUse) {
	var first *yamldoc.Node
	var words []string
	for _, e := range m.entries {
		if m.seen[e.key] {
			continue
		}
		if first == nil {
			first = e.key
		}
		words = append(words, quote(e.key.Text))
	}
	if first != nil {
		p.warn(first, codeUntestWord, "", "no test has %s as %s", strings.Join(words, " or "), m.name)
	}
}

func (p *probe) unseen(u *use) {
	if u.list != "" {
		p.warn(u.node, codeUnseen, "add a test whose payload has one, or look at each and when", "no test payload has an item for %s", u.list)
		return
	}
	help := ""
	if near := diag.Nearest(u.tail, u.near); near != "" && !p.used(strings.Replace(u.what, u.tail, near, 1)) {
		help = "did you mean " + quote(near) + "? The payloads have that"
	}
	p.warn(u.node, codeUnseen, help, "no test payload has %s", u.what)
	at := &p.found[len(p.found)-1]
	if i := strings.Index(u.node.Text, u.what); i > 0 { // a part of an expression
		at.Line, at.Col = u.node.At(1, utf8.RuneCountInString(u.node.Text[:i])+1)
		at.Width = utf8.RuneCountInString(u.what)
	}
}

// used reports whether the mapping has this path, too: then another one that
// is nearly the same is no slip.
func (p *probe) used(path string) bool {
	return slices.ContainsFunc(p.paths, func(u *use) bool { return u.what == path })
}

func (p *probe) eventNode(e *event) *yamldoc.Node {
	for _, n := range p.l.root.Get("events").Items {
		if placeOf(n) == e.place {
			return n.Get("name")
		}
	}
	return p.l.root
}

// send takes one request of a test through the mapping.
func (p *probe) send(r *testRun, step *testStep, index int) {
	if step.body.file != nil {
		if _, _, err := r.body(step); err != nil {
			p.unreadable(step, err)
			return
		}
	}
	in, ok := r.input(step, index)
	if !ok {
		return
	}
	s := &state{m: p.l.m, in: in}
	if s.document() != nil {
		return
	}
	p.sent++
	p.decode(s)
	for _, l := range p.l.m.lets {
		if p.l.letUse[l.name] {
			p.value(s, s.root(), l.value)
		}
	}
	p.checks(s, p.l.m.checks)
	for _, e := range p.l.m.events {
		if e.match.takes(s).what != "" {
			continue
		}
		p.event(s, e)
		if !e.cont {
			return
		}
	}
}

// unreadable is an error, not a warning: the test cannot run.
func (p *probe) unreadable(step *testStep, err error) {
	why := err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		why = "there is no such file"
	}
	n := step.body.file
	p.found = append(p.found, n.Problem(codeRead, "the payload "+n.Text+" cannot be read: "+why))
}

// decode notes the paths of the steps that lead to the document.
func (p *probe) decode(s *state) {
	s.body = s.envelope
	for _, step := range s.m.decode {
		if step.path != nil {
			p.path(s.body, step.path)
		}
		s.unwrap(step)
	}
}

func (p *probe) event(s *state, e *event) {
	p.tested[e] = true
	w := s.root()
	if e.confirm != nil {
		p.value(s, w, e.confirm.get)
	}
	for _, k := range []*key{e.runKey, e.parent, e.dedupe} {
		p.key(s, w, k)
	}
	for _, v := range slices.Concat([]*value{e.attempt, e.at, e.status}, e.once) {
		p.value(s, w, v)
	}
	p.status(s, w, e.status)
	p.checks(s, e.checks)
	for _, f := range e.fields {
		p.value(s, w, f.value)
	}
	p.lists(s, w, e.lists)
}

func (p *probe) checks(s *state, checks []check) {
	for _, c := range checks {
		for _, v := range c.missing {
			p.value(s, s.root(), v)
		}
	}
}

func (p *probe) key(s *state, w where, k *key) {
	if k == nil {
		return
	}
	for _, parts := range k.alternatives {
		for _, v := range parts {
			p.value(s, w, v)
		}
	}
}

func (p *probe) lists(s *state, w where, lists []*listSpec) {
	for _, l := range lists {
		p.value(s, w, l.each)
		docs, _ := l.items(s, w)
		seen := false
		for i := range docs {
			item := where{doc: &docs[i], item: true, index: i}
			if l.when != nil {
				p.reads(s, item, l.when)
				if v, err := s.run(l.when, item); err != nil || v != true {
					continue
				}
			}
			seen = true
			p.item(s, item, l)
		}
		// A list that the payload does not have is one of paths, below.
		if n := p.nodeOf(l.each); n != nil && len(docs) > 0 {
			u := p.use(l, n)
			u.list, u.seen = l.full, u.seen || seen
		}
	}
}

func (p *probe) item(s *state, w where, l *listSpec) {
	p.key(s, w, l.key)
	p.value(s, w, l.attempt)
	for _, f := range l.fields {
		p.value(s, w, f.value)
		if f.name == "status" {
			p.status(s, w, f.value)
		}
	}
	p.lists(s, w, l.lists)
}

// value notes the paths of v and of all values in it.
func (p *probe) value(s *state, w where, v *value) {
	if v == nil {
		return
	}
	if v.path != nil {
		p.path(w.doc, v.path)
	}
	for _, sub := range slices.Concat(v.firstOf, v.of, []*value{v.els, v.def}) {
		p.value(s, w, sub)
	}
	if v.expr != nil {
		p.reads(s, w, v.expr)
	}
}

// status notes the words that the maps of v meet.
func (p *probe) status(s *state, w where, v *value) {
	if v == nil {
		return
	}
	for _, sub := range slices.Concat(v.firstOf, v.of) {
		p.status(s, w, sub)
	}
	if v.words == nil {
		return
	}
	u := p.byMap[v.words.node]
	if u == nil {
		u = &wordUse{name: v.name, entries: v.words.entries, seen: map[*yamldoc.Node]bool{}}
		p.byMap[v.words.node] = u
		p.words = append(p.words, u)
	}
	x, f := v.source(s, w)
	if f != nil || x == nil || v.dropped(x) {
		return
	}
	if word, ok := scalar(x); ok {
		if e := v.words.entry(word, v.ignoreCase); e != nil {
			u.seen[e.key] = true
		}
	}
}

func (p *probe) nodeOf(v *value) *yamldoc.Node {
	switch {
	case v == nil:
	case v.path != nil:
		return p.l.paths[v.path]
	case v.expr != nil:
		return p.l.exprs[v.expr]
	}
	return nil
}

// use returns what is noted under id, which is new when n has none yet.
// Shared values are compiled for each event, so that their node identifies
// them.
func (p *probe) use(id any, n *yamldoc.Node) *use {
	u := p.byNode[id]
	if u == nil {
		u = &use{node: n}
		p.byNode[id] = u
		p.paths = append(p.paths, u)
	}
	return u
}

func (p *probe) path(d *lang.Doc, path *lang.Path) {
	n := p.l.paths[path]
	if n == nil {
		return
	}
	u := p.use(n, n)
	u.what = path.String()
	u.seen = u.seen || path.Find(d) != nil
	if steps, plain := path.Plain(); plain && !u.seen {
		u.miss(d, steps)
	}
}
