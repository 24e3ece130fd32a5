package mapping

import (
	"fmt"
	"time"

	"cibridge/internal/lang"
)

// budget bounds the time that one request may spend in expressions.
const budget = 500 * time.Millisecond

// maxWarnings bounds the warnings of one request.
const maxWarnings = 50

// state is what the evaluation of one request needs and keeps. It belongs to
// one goroutine.
type state struct {
	m         *Mapping
	in        Input
	body      *lang.Doc
	envelope  *lang.Doc
	runner    lang.Runner
	lets      []letValue
	names     []any // values of the names of the expressions that are being evaluated
	room      [16]any
	warnings  []string
	truncated bool           // a warning says that a list was cut
	extra     map[string]any // what a reply sees besides
	hash      string         // of the body; "" until it is asked for
	rec       *recorder      // nil unless somebody wants to know what happens
}

// letValue is the value of a let, in its slot.
type letValue struct {
	value any
	known bool
}

func (s *state) warn(text string) {
	if len(s.warnings) < maxWarnings {
		s.warnings = append(s.warnings, text)
	}
}

// root is the doc of the body for paths outside lists.
func (s *state) root() where { return where{doc: s.body} }

// run evaluates an expression on w.
func (s *state) run(e *expression, w where) (any, error) {
	if s.runner.Deadline.IsZero() {
		s.runner.Deadline = time.Now().Add(budget)
		s.names = s.room[:0]
	}
	// One stack for all expressions: a let is evaluated while the names of the
	// expression that needs it are collected.
	base := len(s.names)
	for _, name := range e.names {
		v := name(s, w)
		s.names = append(s.names, v)
	}
	r, err := s.runner.Eval(e.e, s.names[base:])
	if r.Truncated && !s.truncated {
		s.truncated = true
		s.warn(fmt.Sprintf("%s:%d: a list is longer than the 1000 items that expressions see", e.at.file, e.at.line))
	}
	s.names = s.names[:base]
	return r.Value, err
}

// name gives a name of an expression its value.
type name func(*state, where) any

// nameOf finds what a name stands for, once for all requests.
func nameOf(id string, lets map[string]*let) name {
	if get, ok := names[id]; ok {
		return get
	}
	if l := lets[id]; l != nil {
		return func(s *state, _ where) any { return s.let(l) }
	}
	return func(s *state, _ where) any { return s.extra[id] }
}

// let evaluates a named value once. One that fails is absent, with a warning.
func (s *state) let(l *let) any {
	if s.lets == nil {
		s.lets = make([]letValue, len(s.m.lets))
	}
	if known := s.lets[l.slot]; known.known {
		return known.value
	}
	x, f := l.value.eval(s, s.root())
	if f != nil {
		s.warn(f.Error())
		x = nil
	}
	s.lets[l.slot] = letValue{x, true}
	return x
}

func docOrNil(d *lang.Doc) any {
	if d.Absent() {
		return nil
	}
	return d
}

// names are the names that every expression sees, and those of a list and of
// an expression after a path.
var names = map[string]name{
	"item":        func(_ *state, w where) any { return docOrNil(w.doc) },
	"index":       func(_ *state, w where) any { return int64(w.index) },
	"value":       func(_ *state, w where) any { return w.value },
	"body":        func(s *state, _ where) any { return docOrNil(s.body) },
	"envelope":    func(s *state, _ where) any { return docOrNil(s.envelope) },
	"header":      func(s *state, _ where) any { return stringMap(s.in.Request.Header) },
	"query":       func(s *state, _ where) any { return stringMap(s.in.Request.Query) },
	"received_at": func(s *state, _ where) any { return s.in.Request.Received.UnixMilli() },
	"source":      func(s *state, _ where) any { return (*sourceNames)(s) },
	"request":     func(s *state, _ where) any { return (*requestNames)(s) },
}

// sourceNames are the members of source. They and those of request are made
// only when they are read: most expressions need one of them or none.
type sourceNames state

func (n *sourceNames) Member(name string) any {
	switch name {
	case "id":
		return n.in.Source.ID
	case "vars":
		if n.in.Source.Vars == nil {
			return noVars
		}
		return n.in.Source.Vars
	}
	return nil
}

func (n *sourceNames) Members() []string { return []string{"id", "vars"} }

type requestNames state

func (n *requestNames) Member(name string) any {
	r := n.in.Request
	switch name {
	case "id":
		return r.ID
	case "method":
		return r.Method
	case "path":
		return r.Path
	case "raw":
		if raw := n.envelope.Source(); raw == string(r.Body) { // there is a text of it already, as a rule
			return raw
		}
		return string(r.Body)
	case "received_at":
		return r.Received.UnixMilli()
	case "signed_at":
		if !n.in.SignedAt.IsZero() {
			return n.in.SignedAt.UnixMilli()
		}
	}
	return nil
}

func (n *requestNames) Members() []string {
	return []string{"id", "method", "path", "raw", "received_at", "signed_at"}
}

var noVars = map[string]any{} // only read

func stringMap(m map[string]string) any {
	if m == nil {
		return map[string]string{}
	}
	return m
}
