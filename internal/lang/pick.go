package lang

import (
	"regexp"
	"strings"
)

// pick is the query that mappings use most: the first object of a list in
// which a member is a certain text, or ends with it, and plain steps from there
// on. gjson reads the list from its start each time.
type pick struct {
	name, text string
	ending     bool
	keys       []pathKey
}

var pickForm = regexp.MustCompile(`^#\(([A-Za-z_]\w*)(?:==?"([^"\\~][^"\\]*)"|%"\*([^"\\*?]+)")\)(?:\.(.+))?$`)

// newPick returns nil for a query of any other form.
func newPick(query string) *pick {
	m := pickForm.FindStringSubmatch(query)
	if m == nil {
		return nil
	}
	p := &pick{name: m[1], text: m[2] + m[3], ending: m[3] != ""}
	for rest := m[4]; rest != ""; {
		key, after, plain := plainStep(rest)
		if !plain {
			return nil
		}
		p.keys = append(p.keys, newPathKey(key))
		rest = after
	}
	return p
}

// find returns what p leads to in d. ok is false when only gjson knows: it
// compares numbers and truth values with texts in ways of its own.
func (p *pick) find(d *Doc) (found *Doc, ok bool) {
	if !d.IsList() {
		return nil, false
	}
	in := d.in
	for n := range in.inside(d.at) {
		if in.kind(n) != '{' {
			continue
		}
		m := in.member(n, p.name)
		if m == nowhere {
			continue
		}
		switch in.kind(m) {
		case '{', '[', 'n':
			continue
		case '"':
		default:
			return nil, false
		}
		in.read(m)
		c := cursor{s: in.raw(m)}
		if text := c.str(); text != p.text && !(p.ending && strings.HasSuffix(text, p.text)) {
			continue
		}
		for _, key := range p.keys {
			if n = in.step(n, key); n == nowhere {
				return nil, true
			}
		}
		return in.doc(n), true
	}
	return nil, true
}
