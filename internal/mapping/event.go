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

// takes reports whether the request meets m. An expression that fails is not
// met.
func (m match) takes(s *state) bool {
	r := s.in.Request
	if len(m.path) > 0 && !fits(m.path, r.Path) {
		return false
	}
	for _, w := range m.header {
		if v, there := r.Header[w.name]; !there || !fits(w.patterns, v) {
			return false
		}
	}
	for _, w := range m.query {
		if v, there := r.Query[w.name]; !there || !fits(w.patterns, v) {
			return false
		}
	}
	for _, w := range m.body {
		text, ok := scalar(found(w.path, s.body))
		if !ok || !fits(w.patterns, text) {
			return false
		}
	}
	for _, e := range m.all {
		if v, err := s.run(e, s.root()); err != nil || v != true {
			return false
		}
	}
	return true
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
