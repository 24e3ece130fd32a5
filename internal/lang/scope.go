package lang

import (
	"maps"
	"slices"
	"strings"
)

// Shape says what may follow a name. The zero Shape is Any.
type Shape struct {
	kind    shapeKind
	members map[string]Shape
	item    *Shape
}

type shapeKind int

const (
	shapeAny shapeKind = iota
	shapeLeaf
	shapeObject
	shapeList
)

// Any is data whose shape nobody knows: every member is allowed.
func Any() Shape { return Shape{} }

// Leaf is a single value without members.
func Leaf() Shape { return Shape{kind: shapeLeaf} }

// Object has exactly these members; any other is an error when an expression
// is compiled.
func Object(members map[string]Shape) Shape {
	return Shape{kind: shapeObject, members: maps.Clone(members)}
}

// ListOf is a list whose items all have the shape item.
func ListOf(item Shape) Shape { return Shape{kind: shapeList, item: &item} }

// Add returns a copy of s, which must be an Object or Any, with the member at
// a dotted path. Objects are made on the way.
func (s Shape) Add(path string, member Shape) Shape {
	name, rest, more := strings.Cut(path, ".")
	members := maps.Clone(s.members)
	if members == nil {
		members = map[string]Shape{}
	}
	if more {
		member = members[name].Add(rest, member)
	}
	members[name] = member
	return Shape{kind: shapeObject, members: members}
}

func (s Shape) names() []string { return slices.Sorted(maps.Keys(s.members)) }

// find returns the dotted path of the first leaf or object below s that is
// called name, or "".
func (s Shape) find(name string, depth int) string {
	if depth == 0 {
		return ""
	}
	for _, m := range s.names() {
		if m == name {
			return m
		}
	}
	for _, m := range s.names() {
		if below := s.members[m].find(name, depth-1); below != "" {
			return m + "." + below
		}
	}
	return ""
}

// Scope says which names an expression may use. It is immutable.
type Scope struct {
	roots map[string]Shape
	times Times
	omit  bool
}

// NewScope returns a scope with the given names.
func NewScope(roots map[string]Shape) *Scope {
	return &Scope{roots: maps.Clone(roots)}
}

// With returns a copy of s with one more name, or another shape for a name.
func (s *Scope) With(name string, shape Shape) *Scope {
	c := *s
	c.roots = maps.Clone(s.roots)
	if c.roots == nil {
		c.roots = map[string]Shape{}
	}
	c.roots[name] = shape
	return &c
}

// WithTimes returns a copy of s in which ms, unix and iso read times with t.
func (s *Scope) WithTimes(t Times) *Scope {
	c := *s
	c.times = t
	return &c
}

// WithOmit returns a copy of s in which omit() is allowed; it returns Omit.
func (s *Scope) WithOmit() *Scope {
	c := *s
	c.omit = true
	return &c
}

// Names lists the names of s, sorted.
func (s *Scope) Names() []string { return slices.Sorted(maps.Keys(s.roots)) }

type omitted struct{}

// Omit is the value of omit(): the caller leaves out the key that would have
// held it.
var Omit any = omitted{}
