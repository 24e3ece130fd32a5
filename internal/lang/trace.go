package lang

import (
	"sort"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Trace notes what is read of a document: for people who want to know what a
// mapping makes of a payload. A document without one pays nothing for it.
type Trace struct {
	in      *document
	used    []bool // by node: read, with all inside it
	lookups []string
}

// Trace begins to note what is read of the document of d, and of what is cut
// from it. A value is read when a path or an expression arrives at it; an
// object or a list when it is taken as a whole.
func (d *Doc) Trace() *Trace {
	if d == nil {
		return &Trace{in: &document{json: "null"}, used: make([]bool, 1)}
	}
	if d.in.trace == nil {
		d.in.trace = &Trace{in: d.in, used: make([]bool, len(d.in.index()))}
	}
	return d.in.trace
}

// Lookups lists the gjson paths that were looked up, in their order, whether
// there was anything or not.
func (t *Trace) Lookups() []string { return t.lookups }

// origin is where the text of a document was cut from: its bytes from the
// offset from on stand in another document, shift bytes further on.
type origin struct {
	in          *document
	shift, from int32
}

// cut makes a document of a text that is a part of that of d, and begins there
// with its byte at the offset from.
func (d *Doc) cut(text string, at, from int) *Doc {
	out := NewDoc(text)
	if d.in.trace != nil {
		out.in.trace = d.in.trace
		out.in.origin = origin{in: d.in, shift: int32(at - from), from: int32(from)}
	}
	return out
}

// rootNode finds a node of t in the document that is traced.
func (t *document) rootNode(n int32) int32 {
	if t.trace.in == t {
		return n
	}
	if t.origin.in == nil || n == nowhere {
		return nowhere
	}
	start := t.index()[n].start
	switch {
	case n == 0:
		start = t.origin.from // the whole is what it was cut from
	case start < t.origin.from:
		return nowhere
	}
	in := t.origin.in
	nodes := in.index()
	start += t.origin.shift
	i := sort.Search(len(nodes), func(i int) bool { return nodes[i].start >= start })
	if i == len(nodes) || nodes[i].start != start {
		return nowhere
	}
	return in.rootNode(int32(i))
}

// read notes that a value was read, with all inside it.
func (t *document) read(n int32) {
	if t.trace == nil {
		return
	}
	if n = t.rootNode(n); n != nowhere {
		t.trace.used[n] = true
	}
}

// arrived notes that a path led to n, which may be nowhere.
func (t *document) arrived(from int32, path string, n int32) {
	if t.trace == nil {
		return
	}
	if base := t.path(from); base != "" {
		path = strings.TrimSuffix(base+"."+path, ".")
	}
	t.trace.lookups = append(t.trace.lookups, path)
	if n != nowhere {
		(&Doc{in: t, at: n}).arrivedAt()
	}
}

// arrivedAt notes that d was found: it is read unless there is more inside.
func (d *Doc) arrivedAt() {
	if d != nil && d.in.trace != nil && !d.IsObject() && !d.IsList() {
		d.in.read(d.at)
	}
}

// found notes what gjson found in d.
func (d *Doc) found(r gjson.Result) {
	if d.in.trace == nil {
		return
	}
	start := d.in.index()[d.at].start
	for _, i := range append(r.Indexes, r.Index) {
		nodes := d.in.index()
		n := sort.Search(len(nodes), func(n int) bool { return nodes[n].start >= start+int32(i) })
		if i > 0 && n < len(nodes) && nodes[n].start == start+int32(i) && (len(r.Indexes) > 0 || nodes[n].next == int32(n)+1) {
			d.in.read(int32(n))
		}
	}
	if r.Index == 0 && len(r.Indexes) == 0 {
		d.in.read(d.at) // a modifier: gjson does not say what of it
	}
}

// Path returns where d stands in its document as a gjson path, "" for the
// whole document and for what is not a part of it.
func (d *Doc) Path() string {
	if d == nil {
		return ""
	}
	return d.in.path(d.at)
}

func (t *document) path(n int32) string {
	if t.trace != nil {
		if n = t.rootNode(n); n == nowhere {
			return ""
		}
		t = t.trace.in
	}
	var steps []string
	for at := int32(0); at != n; {
		at = t.toward(at, n, func(step string) { steps = append(steps, step) })
	}
	return strings.Join(steps, ".")
}

// toward returns the value inside of at that is n or around it.
func (t *document) toward(at, n int32, step func(string)) int32 {
	i := 0
	for inner := range t.inside(at) {
		if n < t.nodes[inner].next {
			if t.kind(at) == '[' {
				step(strconv.Itoa(i))
			} else {
				step(escapeStep(t.name(inner)))
			}
			return inner
		}
		i++
	}
	return n // never: n is inside of at
}

// escapeStep returns the step of a path that leads to a member.
func escapeStep(name string) string {
	if !strings.ContainsAny(name, `.*?|#@\!{}[]():`) {
		return name
	}
	var b strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`.*?|#@\!{}[]():`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Unread is a part of a document that nothing has read.
type Unread struct {
	Path   string `json:"path"`   // # stands for every item of a list; @this is all of it
	Values int    `json:"values"` // how many values it has in it, those of all items counted
}

// Unread lists what nothing has read, in the order of the document: the largest
// parts of which nothing at all was read. A value that was read in one item of
// a list counts as read in all of them.
func (t *Trace) Unread() []Unread {
	root := &unreadNode{}
	t.collect(root, 0, false)
	var out []Unread
	if root.list("", &out); len(out) == 1 && out[0].Path == "" {
		out[0].Path = "@this"
	}
	return out
}

type unreadNode struct {
	name   string
	read   bool // it, or something in it
	whole  bool // all of it
	values int
	inner  []*unreadNode
	byName map[string]*unreadNode
}

func (u *unreadNode) child(name string) *unreadNode {
	c := u.byName[name]
	if c == nil {
		if u.byName == nil {
			u.byName = map[string]*unreadNode{}
		}
		c = &unreadNode{name: name}
		u.byName[name], u.inner = c, append(u.inner, c)
	}
	return c
}

// collect counts n into u and reports whether something in it was read.
func (t *Trace) collect(u *unreadNode, n int32, read bool) bool {
	read = read || t.used[n]
	some := read
	list := t.in.kind(n) == '['
	for i := range t.in.inside(n) {
		name := "#"
		if !list {
			name = escapeStep(t.in.name(i))
		}
		c := u.child(name)
		before := c.values
		some = t.collect(c, i, read) || some
		u.values += c.values - before
	}
	if t.in.nodes[n].next == n+1 {
		u.values++
	}
	u.read, u.whole = u.read || some, u.whole || read
	return some
}

func (u *unreadNode) list(path string, out *[]Unread) {
	switch {
	case u.whole:
		return
	case !u.read:
		*out = append(*out, Unread{Path: path, Values: u.values})
		return
	}
	for _, c := range u.inner {
		if path == "" {
			c.list(c.name, out)
		} else {
			c.list(path+"."+c.name, out)
		}
	}
}
