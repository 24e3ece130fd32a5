package mapping

import (
	"slices"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// event is a compiled event of a mapping.
type event struct {
	place   place
	name    string
	match   match
	ignore  string // why it makes no run; "" when it does
	confirm *confirmSpec
	cont    bool
	replies replies
	checks  []check

	once    []*value
	runKey  *key
	parent  *key
	dedupe  *key
	attempt *value
	runWide bool // attempt: none
	order   bridge.Order
	at      *value
	status  *value
	fields  []field
	lists   []*listSpec
}

// confirmSpec is a handshake: an address in the payload that must be fetched.
type confirmSpec struct {
	get  *value
	host string // pattern
}

// check refuses a request that lacks something. The first of several values
// that is there will do.
type check struct {
	at      place
	missing []*value
	say     string
	status  int
}

// match says which requests an event takes: those that meet all of it.
type match struct {
	path   []string
	header []want
	query  []want
	body   []wantPath
	all    []*expression
}

// want is a name and the patterns of which its value must fit one.
type want struct {
	name     string
	patterns []string
}

type wantPath struct {
	path     *lang.Path
	patterns []string
}

// takes returns the first thing in which the request does not meet m, the zero
// mismatch when it meets all of it. An expression that fails is not met.
func (m match) takes(s *state) mismatch {
	r := s.in.Request
	if len(m.path) > 0 && !fits(m.path, r.Path) {
		return mismatch{what: "the path", found: r.Path, there: true, wants: m.path}
	}
	for _, w := range m.header {
		if v, there := r.Header[w.name]; !there || !fits(w.patterns, v) {
			return mismatch{what: "header", name: w.name, found: v, there: there, wants: w.patterns}
		}
	}
	for _, w := range m.query {
		if v, there := r.Query[w.name]; !there || !fits(w.patterns, v) {
			return mismatch{what: "query", name: w.name, found: v, there: there, wants: w.patterns}
		}
	}
	for _, w := range m.body {
		text, ok := scalar(found(w.path, s.body))
		if !ok || !fits(w.patterns, text) {
			return mismatch{what: "body", path: w.path, found: text, there: ok, wants: w.patterns}
		}
	}
	for _, e := range m.all {
		if v, err := s.run(e, s.root()); err != nil || v != true {
			return mismatch{what: "expression", expr: e, value: v, err: err}
		}
	}
	return mismatch{}
}

// mismatch is why an event does not take a request. The words for it are made
// only where somebody reads them.
type mismatch struct {
	what  string // "" for none
	name  string
	path  *lang.Path
	found string
	there bool // found was there
	wants []string

	expr  *expression
	value any
	err   error
}

// on names what did not fit: "header x-github-event".
func (m mismatch) on() string {
	switch {
	case m.path != nil:
		return "body." + m.path.String()
	case m.name != "":
		return m.what + " " + m.name
	}
	return m.what
}

// got says what was found there.
func (m mismatch) got() string {
	if !m.there {
		return m.on() + " is absent"
	}
	return m.on() + " is " + quote(clip(m.found, 60))
}

func (m mismatch) String() string {
	switch {
	case m.err != nil:
		return "=" + m.expr.e.String() + " failed: " + m.err.Error()
	case m.expr != nil:
		return "=" + m.expr.e.String() + " is " + describe(m.value)
	}
	return m.got() + ", wants " + wanted(m.wants)
}

// wanted lists patterns for people.
func wanted(patterns []string) string {
	if len(patterns) == 1 && patterns[0] == "*" {
		return "any text"
	}
	quoted := make([]string, len(patterns))
	for i, p := range patterns {
		quoted[i] = quote(p)
	}
	return strings.Join(quoted, " or ")
}

// found is what a path leads to, as any: nil when it is absent or null.
func found(p *lang.Path, d *lang.Doc) any {
	if d = p.Find(d); d.Absent() {
		return nil
	}
	return d
}

func fits(patterns []string, text string) bool {
	for _, p := range patterns {
		if p == text || strings.Contains(p, "*") && glob(p, text) {
			return true
		}
	}
	return false
}

// kindKey is a header or a path by which the events of a mapping tell
// requests apart: what an unknown request is described by.
type kindKey struct {
	header string
	path   *lang.Path
}

const maxKindKeys = 4

func kindKeys(events []*event) []kindKey {
	var out []kindKey
	seen := map[string]bool{}
	add := func(id string, k kindKey) {
		if !seen[id] && len(out) < maxKindKeys {
			seen[id] = true
			out = append(out, k)
		}
	}
	for _, e := range events {
		for _, w := range e.match.header {
			add("header "+w.name, kindKey{header: w.name})
		}
		for _, w := range e.match.body {
			add("body "+w.path.String(), kindKey{path: w.path})
		}
	}
	return out
}

// describe says by its discriminators what a request is: "x-github-event:
// issues, action: opened".
func (s *state) describe() string {
	var parts []string
	for _, k := range s.m.kinds {
		if k.path == nil {
			if v := s.in.Request.Header[k.header]; v != "" {
				parts = append(parts, k.header+": "+clip(v, 60))
			}
			continue
		}
		if text, ok := scalar(found(k.path, s.body)); ok {
			parts = append(parts, k.path.String()+": "+clip(text, 60))
		}
	}
	return strings.Join(parts, ", ")
}

// check returns the first thing that a check misses.
func (s *state) check(checks []check) *Problem {
	for _, c := range checks {
		there := slices.ContainsFunc(c.missing, func(v *value) bool {
			x, f := v.eval(s, s.root())
			return f == nil && x != nil && !blank(x)
		})
		if there {
			continue
		}
		message := c.say
		return &Problem{Status: c.status, Code: CodeCheck, Field: lastPath(c.missing), Message: message, File: c.at.file, Line: c.at.line, Col: c.at.col}
	}
	return nil
}

// lastPath names what a check looks for.
func lastPath(values []*value) string {
	for _, v := range values {
		if v.path != nil {
			return v.path.String()
		}
	}
	return ""
}
