package mapping

import (
	"strings"

	"cibridge/internal/lang"
)

// reads notes the members that an expression reads of the payload or the item.
func (p *probe) reads(s *state, w where, e *expression) {
	n := p.l.exprs[e]
	if n == nil {
		return
	}
	docs := map[string]*lang.Doc{"body": s.body, "envelope": s.envelope}
	if w.item {
		docs["item"] = w.doc
	}
	for _, read := range e.e.Reads() {
		root, rest, deeper := strings.Cut(read, ".")
		d, known := docs[root]
		if !known || !deeper {
			continue
		}
		type id struct{ node, read any }
		u := p.use(id{n, read}, n)
		u.what = read
		if !u.seen {
			u.seen = has(d, rest)
		}
		if !u.seen {
			u.miss(d, strings.Split(rest, "."))
		}
	}
}

// has reports whether a dotted path leads to something in d, if only null.
// Names may have points in them.
func has(d *lang.Doc, path string) bool {
	if d.Member(path) != nil {
		return true
	}
	for i := range len(path) {
		if path[i] == '.' {
			if below := d.Member(path[:i]); below != nil && has(below, path[i+1:]) {
				return true
			}
		}
	}
	return false
}

// miss notes at which of its steps a path leads nowhere in d, and what there
// is instead. The deepest miss of all payloads counts.
func (u *use) miss(d *lang.Doc, steps []string) {
	depth := 0
	for ; depth < len(steps); depth++ {
		below := d.Member(steps[depth])
		if below == nil {
			break
		}
		d = below
	}
	if depth == len(steps) || !d.IsObject() {
		return
	}
	if depth > u.depth {
		u.near = nil
	}
	if depth < u.depth {
		return
	}
	u.depth, u.tail = depth, steps[depth]
	for _, e := range d.Entries() {
		u.near = append(u.near, e.Key)
	}
}
