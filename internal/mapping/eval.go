package mapping

import (
	"strings"

	"cibridge/internal/diag"
	"cibridge/internal/lang"
	"cibridge/internal/yamldoc"
)

// Evaluation is a value that was evaluated alone.
type Evaluation struct {
	ExplainedValue
	// Problem says why the value could not be had: the request is not JSON, the
	// expression failed, a word is not in the map.
	Problem  *Problem `json:"problem,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// Eval evaluates one value on a request, as it would stand in m: a path, an
// expression after "=", or the long form {path: …, map: …}. m gives the way to
// decode the request and the lets; nil stands for a mapping without any. The
// problems say what is wrong with the text; their places are in a file that is
// called VALUE.
func Eval(m *Mapping, in Input, text string) (Evaluation, diag.Problems) {
	if m == nil {
		m = &Mapping{Name: "VALUE"}
	}
	l := newLoader(File{Name: "VALUE", Data: []byte(text)})
	v := l.alone(m)
	l.problems.Sort()
	if errs := l.problems.Errors(); len(errs) > 0 || v == nil {
		return Evaluation{}, l.problems
	}
	s := &state{m: m, in: in, rec: &recorder{}}
	if problem := s.document(); problem != nil {
		return Evaluation{Problem: problem}, l.problems
	}
	out := Evaluation{}
	x, f := v.eval(s, s.root())
	if f != nil {
		out.Problem = f.problem()
	}
	out.ExplainedValue = explainer{s.rec}.value(v, "value", full(x))
	out.Warnings = s.warnings
	return out, l.problems
}

// alone compiles the text of the loader as one value of m.
func (l *loader) alone(m *Mapping) *value {
	l.m, l.times = m, m.times
	l.scope = lang.NewScope(rootNames).WithTimes(m.times)
	for name := range m.lets {
		l.scope = l.scope.With(name, lang.Any())
	}
	text := string(l.file.Data)
	n := &yamldoc.Node{File: l.file.Name, Line: 1, Col: 1, Width: 1, Kind: yamldoc.Scalar, Type: "str", Text: text}
	if longForm(text) {
		if l.parse(); l.root == nil {
			return nil
		}
		n = l.root
	}
	return l.value(n, spec{name: "value", kind: anyKind})
}

// longForm reports whether a value is written as a mapping. A gjson path may
// begin with a brace, too, but not with one of the keys.
func longForm(text string) bool {
	text = strings.TrimSpace(text)
	key, _, found := strings.Cut(strings.TrimSpace(strings.TrimPrefix(text, "{")), ":")
	if !found {
		return false
	}
	for _, k := range valueKeys {
		if strings.TrimSpace(key) == k {
			return true
		}
	}
	return false
}
