package mapping

import (
	"slices"
	"strings"

	"cibridge/internal/yamldoc"
)

// words translates the words of a tool. Words without a * are looked up first;
// then the patterns are tried in their order.
type words struct {
	node    *yamldoc.Node
	exact   map[string]any
	folded  map[string]any // the same in lower case, for ignore_case
	globs   []wordGlob
	known   []string // in document order, for messages
	entries []wordEntry
}

type wordGlob struct {
	pattern string
	to      any
}

type wordEntry struct {
	key, value *yamldoc.Node
	to         any
}

// find returns what word stands for. A nil value with ok means: absent.
func (w *words) find(word string, ignoreCase bool) (to any, ok bool) {
	if !ignoreCase {
		if to, ok = w.exact[word]; ok {
			return to, true
		}
	} else if to, ok = w.folded[strings.ToLower(word)]; ok {
		return to, true
	}
	for _, g := range w.globs {
		pattern, text := g.pattern, word
		if ignoreCase {
			pattern, text = strings.ToLower(pattern), strings.ToLower(text)
		}
		if glob(pattern, text) {
			return g.to, true
		}
	}
	return nil, false
}

// entry is the entry that find takes a word from, nil when there is none.
func (w *words) entry(word string, ignoreCase bool) *wordEntry {
	fold := func(s string) string { return s }
	if ignoreCase {
		fold = strings.ToLower
	}
	for _, pattern := range []bool{false, true} {
		for i, e := range w.entries {
			if key := e.key.Text; strings.Contains(key, "*") == pattern && (fold(key) == fold(word) || pattern && glob(fold(key), fold(word))) {
				return &w.entries[i]
			}
		}
	}
	return nil
}

// describe names the words for a message.
func (w *words) describe() string {
	known := slices.Clone(w.known)
	slices.Sort(known)
	if len(known) > 12 {
		known = append(known[:12], "…")
	}
	return strings.Join(known, ", ")
}

// glob reports whether text fits pattern, in which * stands for any text, the
// empty one included. It takes time in proportion to both lengths at worst
// multiplied, and no memory.
func glob(pattern, text string) bool {
	star, from := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// readMaps reads the named maps.
func (l *loader) readMaps(n *yamldoc.Node) {
	if n == nil || !l.is(n, yamldoc.Map, "maps") {
		return
	}
	for _, p := range n.Pairs {
		l.maps[p.Key.Text] = l.words(p.Value, "the map "+quote(p.Key.Text))
	}
}

// words reads one map; nil when it has the wrong shape.
func (l *loader) words(n *yamldoc.Node, what string) *words {
	if !l.is(n, yamldoc.Map, what) {
		return nil
	}
	w := &words{node: n, exact: map[string]any{}, folded: map[string]any{}}
	for _, p := range n.Pairs {
		if p.Value.Kind != yamldoc.Scalar {
			l.is(p.Value, yamldoc.Scalar, "what "+quote(p.Key.Text)+" stands for")
			continue
		}
		to := p.Value.Value()
		w.entries = append(w.entries, wordEntry{p.Key, p.Value, to})
		w.known = append(w.known, p.Key.Text)
		if strings.Contains(p.Key.Text, "*") {
			w.globs = append(w.globs, wordGlob{p.Key.Text, to})
			continue
		}
		w.exact[p.Key.Text] = to
		if _, twice := w.folded[strings.ToLower(p.Key.Text)]; !twice {
			w.folded[strings.ToLower(p.Key.Text)] = to
		}
	}
	if len(w.entries) == 0 {
		l.errorf(n, codeShape, "", "%s has no words in it", what)
	}
	return w
}
