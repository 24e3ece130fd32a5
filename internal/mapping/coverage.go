package mapping

import (
	"cmp"
	"slices"
)

// PartKind is what a part of a mapping is.
type PartKind string

// The kinds of parts that tests reach.
const (
	PartEvent PartKind = "event"     // reached when it takes a request
	PartField PartKind = "field"     // reached when it has a value
	PartWord  PartKind = "map entry" // reached when it translates a word
)

// Part is an event, a field or a map entry and whether some test reached it.
type Part struct {
	Kind    PartKind
	Name    string // "build", "build.commit.sha", "PASSED"
	File    string
	Line    int
	Col     int
	Reached bool
}

// Coverage learns from the engine itself which parts of a mapping its tests
// reach. [NewCoverage] makes one, [RunTests] fills it. It is not safe for
// concurrent use.
type Coverage struct {
	parts []*Part
	at    map[place]*Part
	of    map[any]*Part // by *event, *value and *wordEntry
}

// NewCoverage lists the parts of m, none of them reached.
func NewCoverage(m *Mapping) *Coverage {
	c := &Coverage{at: map[place]*Part{}, of: map[any]*Part{}}
	for _, e := range m.events {
		c.of[e] = c.part(PartEvent, e.place, e.name)
		c.field(e.name, "status", e.status)
		c.field(e.name, "attempt", e.attempt)
		c.field(e.name, "at", e.at)
		c.key(e.runKey)
		c.key(e.parent)
		for _, f := range e.fields {
			c.field(e.name, f.name, f.value)
		}
		c.lists(e.lists)
	}
	for _, l := range m.lets {
		c.words(l.value)
	}
	return c
}

// Parts returns the parts in the order of the file.
func (c *Coverage) Parts() []Part {
	out := make([]Part, len(c.parts))
	for i, p := range c.parts {
		out[i] = *p
	}
	slices.SortStableFunc(out, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return out
}

// part adds what stands at a place, once.
func (c *Coverage) part(kind PartKind, at place, name string) *Part {
	if p := c.at[at]; p != nil {
		return p
	}
	p := &Part{Kind: kind, Name: name, File: at.file, Line: at.line, Col: at.col}
	c.at[at], c.parts = p, append(c.parts, p)
	return p
}

// field adds a field of an event or a list. One that several events share has
// its own name only.
func (c *Coverage) field(of, name string, v *value) {
	if v == nil {
		return
	}
	p := c.part(PartField, v.at, of+"."+name)
	if p.Name != of+"."+name {
		p.Name = name
	}
	c.of[v] = p
	c.words(v)
}

func (c *Coverage) lists(lists []*listSpec) {
	for _, l := range lists {
		c.field(l.full, "attempt", l.attempt)
		c.key(l.key)
		for _, f := range l.fields {
			c.field(l.full, f.name, f.value)
		}
		c.lists(l.lists)
	}
}

// key adds the words of a key. A key itself is reached with its event.
func (c *Coverage) key(k *key) {
	if k == nil {
		return
	}
	for _, parts := range k.alternatives {
		for _, v := range parts {
			c.words(v)
		}
	}
}

// words adds the map entries of v and of what it is made of.
func (c *Coverage) words(v *value) {
	if v == nil {
		return
	}
	if v.words != nil {
		for i := range v.words.entries {
			e := &v.words.entries[i]
			c.of[e] = c.part(PartWord, placeOf(e.key), e.key.Text)
		}
	}
	for _, sub := range slices.Concat(v.firstOf, v.of, []*value{v.els, v.def}) {
		c.words(sub)
	}
}

// recorder is what the engine tells what it reached, nil when nobody wants to
// know.
func (c *Coverage) recorder() func(part, found any) {
	if c == nil {
		return nil
	}
	return func(part, found any) {
		if p := c.of[part]; p != nil && !blank(found) {
			p.Reached = true
		}
	}
}
