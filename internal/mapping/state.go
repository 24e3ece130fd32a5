package mapping

import (
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
	m        *Mapping
	in       Input
	body     *lang.Doc
	envelope *lang.Doc
	env      map[string]any
	deadline time.Time
	warnings []string
	extra    map[string]any // what a reply sees besides
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
	if s.env == nil {
		s.env = make(map[string]any, len(s.m.lets)+6) // lets and the roots that most mappings read
		s.deadline = time.Now().Add(budget)
	}
	for _, name := range e.roots {
		s.provide(name, w)
	}
	return e.e.Run(s.env, s.deadline)
}

// provide puts the value of a name into the environment.
func (s *state) provide(name string, w where) {
	switch name {
	case "item":
		s.env[name] = docOrNil(w.doc)
		return
	case "index":
		s.env[name] = int64(w.index)
		return
	case "value":
		s.env[name] = w.value
		return
	}
	if _, there := s.env[name]; there {
		return
	}
	if get, ok := roots[name]; ok {
		s.env[name] = get(s)
		return
	}
	if l := s.m.lets[name]; l != nil {
		s.env[name] = nil
		s.let(l)
		return
	}
	s.env[name] = s.extra[name]
}

// let evaluates a named value once. One that fails is absent, with a warning.
func (s *state) let(l *let) {
	x, f := l.value.eval(s, s.root())
	if f != nil {
		s.warn(f.Error())
		x = nil
	}
	s.env[l.name] = x
}

func docOrNil(d *lang.Doc) any {
	if d.Absent() {
		return nil
	}
	return d
}

// roots are the names that every expression sees.
var roots = map[string]func(*state) any{
	"body":        func(s *state) any { return docOrNil(s.body) },
	"envelope":    func(s *state) any { return docOrNil(s.envelope) },
	"header":      func(s *state) any { return stringMap(s.in.Request.Header) },
	"query":       func(s *state) any { return stringMap(s.in.Request.Query) },
	"received_at": func(s *state) any { return s.in.Request.Received.UnixMilli() },
	"source": func(s *state) any {
		vars := s.in.Source.Vars
		if vars == nil {
			vars = noVars
		}
		return map[string]any{"id": s.in.Source.ID, "vars": vars}
	},
	"request": func(s *state) any {
		r := s.in.Request
		raw := s.envelope.Source()
		if raw != string(r.Body) { // there is a text of it already, as a rule
			raw = string(r.Body)
		}
		out := map[string]any{"id": r.ID, "method": r.Method, "path": r.Path, "raw": raw, "received_at": r.Received.UnixMilli()}
		if !s.in.SignedAt.IsZero() {
			out["signed_at"] = s.in.SignedAt.UnixMilli()
		}
		return out
	},
}

var noVars = map[string]any{} // only read

func stringMap(m map[string]string) any {
	if m == nil {
		return map[string]string{}
	}
	return m
}
