package lang

import (
	"iter"
	"math"
	"slices"
	"strings"
)

// document is a JSON text with the index of its values.
type document struct {
	json      string
	nodes     []node // nil until something inside is asked for
	escaped   bool   // some name is written with a backslash
	truncated bool   // a decoded list was cut
	decoded   map[int32]any
	spare     []Doc  // made many at a time: a path makes one for what it finds
	trace     *Trace // nil unless somebody wants to know what is read
	origin    origin
}

// node is one value of a text. All values have one, in the order in which
// they begin; so those inside of a value follow it, up to its next.
type node struct {
	key        int32 // offset of the name of a member; 0: none, since a name is never first
	start, end int32 // of the text of the value
	next       int32 // the node behind this value and all inside it
}

// nowhere is the node of a value that is not there.
const nowhere int32 = -1

// index finds the nodes of a text that came without: one that was made here,
// or that gjson returned.
func (t *document) index() []node {
	if t.nodes != nil {
		return t.nodes
	}
	s := newScanner([]byte(t.json), math.MaxInt32, math.MaxInt32)
	defer s.release()
	if s.indexing = true; s.scan() == fine {
		t.nodes, t.escaped = slices.Clone(s.nodes), s.escaped
	} else {
		t.nodes = []node{{end: int32(len(t.json)), next: 1}}
	}
	return t.nodes
}

func (t *document) doc(n int32) *Doc {
	if n == nowhere {
		return nil
	}
	if len(t.spare) == cap(t.spare) {
		t.spare = make([]Doc, 0, 32)
	}
	t.spare = append(t.spare, Doc{in: t, at: n})
	return &t.spare[len(t.spare)-1]
}

// raw returns the text of a value.
func (t *document) raw(n int32) string {
	if t.nodes == nil {
		return t.json // n is 0
	}
	return t.json[t.nodes[n].start:t.nodes[n].end]
}

// kind returns the first character of a value: { [ " t f, n for null and for
// no text at all, or that of a number.
func (t *document) kind(n int32) byte {
	if raw := t.raw(n); raw != "" {
		return raw[0]
	}
	return 'n'
}

// keepFrom is the length of a text from which on its value is kept: below it
// is decoded faster than it is found.
const keepFrom = 64

// value returns the decoded value, with long lists cut.
func (t *document) value(n int32) any {
	t.read(n)
	raw := t.raw(n)
	if len(raw) < keepFrom {
		return decode(raw, maxItems, &t.truncated)
	}
	if v, ok := t.decoded[n]; ok {
		return v
	}
	v := decode(raw, maxItems, &t.truncated)
	if t.decoded == nil {
		t.decoded = map[int32]any{}
	}
	t.decoded[n] = v
	return v
}

// inside walks over the members of an object or the items of a list.
func (t *document) inside(n int32) iter.Seq[int32] {
	nodes := t.index()
	return func(yield func(int32) bool) {
		for i := n + 1; i < nodes[n].next; i = nodes[i].next {
			if !yield(i) {
				return
			}
		}
	}
}

func (t *document) count(n int32) int {
	count := 0
	for range t.inside(n) {
		count++
	}
	return count
}

// member returns the first member with a name.
func (t *document) member(n int32, name string) int32 {
	nodes := t.index()
	if t.escaped {
		for i := range t.inside(n) {
			if t.name(i) == name {
				return i
			}
		}
		return nowhere
	}
	if strings.IndexByte(name, '"') >= 0 {
		return nowhere // it would have to be escaped
	}
	for i := n + 1; i < nodes[n].next; i = nodes[i].next {
		rest := t.json[nodes[i].key+1:]
		if len(rest) > len(name) && rest[len(name)] == '"' && rest[:len(name)] == name {
			return i
		}
	}
	return nowhere
}

// name returns the name of a member.
func (t *document) name(n int32) string {
	c := cursor{s: t.json, i: int(t.nodes[n].key)}
	return c.str()
}

// item returns an item, counted from the end when i is negative.
func (t *document) item(n int32, i int) int32 {
	if i < 0 {
		if i += t.count(n); i < 0 {
			return nowhere
		}
	}
	for at := range t.inside(n) {
		if i == 0 {
			return at
		}
		i--
	}
	return nowhere
}

// step follows one key of a path: a member of an object, or an item when the
// key is a number and n is a list.
func (t *document) step(n int32, key pathKey) int32 {
	switch t.kind(n) {
	case '{':
		return t.member(n, key.name)
	case '[':
		if key.index >= 0 {
			return t.item(n, key.index)
		}
	}
	return nowhere
}
