package lang

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Path is a compiled gjson path.
type Path struct {
	src   string
	keys  []pathKey // the plain steps at the start
	query string    // gjson for what follows; "" when all steps are plain
	pick  *pick     // does the same as query, where it can
}

// pathKey is a plain step: the name of a member, and the number of an item when
// the name is one, else -1.
type pathKey struct {
	name  string
	index int
}

// allowedModifiers are those whose output cannot be larger than their input.
var allowedModifiers = []string{"this", "reverse", "flatten", "keys", "values"}

// CompilePath checks a gjson path: brackets are closed, modifiers are among
// @this, @reverse, @flatten, @keys and @values, and the length is bounded.
// The error is an [*Error].
func CompilePath(src string) (*Path, error) {
	if err := lintPath(src); err != nil {
		return nil, err
	}
	p := &Path{src: src}
	rest := src
	for rest != "" {
		key, after, plain := plainStep(rest)
		if !plain {
			p.query = rest
			p.pick = newPick(rest)
			break
		}
		p.keys = append(p.keys, newPathKey(key))
		rest = after
	}
	return p, nil
}

// String returns the source of p.
func (p *Path) String() string { return p.src }

// Plain returns the steps of a path that consists of names and indexes only;
// ok is false for any other path.
func (p *Path) Plain() (steps []string, ok bool) {
	for _, k := range p.keys {
		steps = append(steps, k.name)
	}
	return steps, p.query == ""
}

// Find returns what the path leads to in d, nil when there is nothing; JSON's
// null is a Doc that is Absent.
func (p *Path) Find(d *Doc) *Doc {
	if d == nil {
		return nil
	}
	at := d.at
	for _, key := range p.keys {
		if at = d.in.step(at, key); at == nowhere {
			break
		}
	}
	if d.in.trace != nil {
		d.in.arrived(d.at, p.src, at)
	}
	if at == nowhere {
		return nil
	}
	if len(p.keys) > 0 {
		d = d.in.doc(at)
	}
	if p.query == "" {
		return d
	}
	if p.pick != nil {
		if found, ok := p.pick.find(d); ok {
			found.arrivedAt()
			return found
		}
	}
	if !d.IsObject() && !d.IsList() {
		// gjson would look for brackets inside a text.
		if p.query == "@this" {
			return d
		}
		return nil
	}
	return d.query(p.query)
}

// query finds what plain steps do not: gjson reads the text of d.
func (d *Doc) query(path string) *Doc {
	raw := d.in.raw(d.at)
	r := gjson.Get(raw, path)
	if !r.Exists() {
		return nil
	}
	d.found(r)
	start := int(d.in.index()[d.at].start)
	if r.Index > 0 {
		return d.cut(r.Raw, start+r.Index, 0)
	}
	return NewDoc(r.Raw)
}

// Get returns the value that the path leads to in a JSON text that [Scan] has
// accepted, decoded as [Decode] does. ok is false when there is none or it is
// null.
func (p *Path) Get(json string) (value any, ok bool) {
	if d := NewDoc(json); !d.IsObject() && !d.IsList() {
		d = p.Find(d)
		return d.Full(), !d.Absent()
	}
	r := gjson.Get(json, p.src)
	if !r.Exists() || r.Type == gjson.Null {
		return nil, false
	}
	var cut bool
	return decode(r.Raw, 0, &cut), true
}

func newPathKey(name string) pathKey {
	index, err := strconv.Atoi(name)
	if err != nil || index < 0 {
		index = -1
	}
	return pathKey{name, index}
}

// plainStep cuts the first step off a path that passed the lint. plain is
// false when the step needs gjson's own reading.
func plainStep(path string) (key, rest string, plain bool) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		switch c := path[i]; c {
		case '\\':
			i++
			if i == len(path) {
				return "", "", false
			}
			b.WriteByte(path[i])
		case '.':
			if i+1 == len(path) || b.Len() == 0 {
				return "", "", false
			}
			return b.String(), path[i+1:], true
		case '|', '#', '@', '*', '?', '!', '{', '}', '[', ']', '(', ')':
			return "", "", false
		case ':':
			if b.Len() == 0 {
				return "", "", false // gjson: a number that is a name
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", true
}

func lintPath(src string) error {
	l := &pathLint{src: src, steps: 1, empty: true}
	if len(src) > maxPath {
		return l.fail(0, "", "this path has %d characters; at most %d are allowed", len(src), maxPath)
	}
	if strings.TrimSpace(src) == "" {
		return l.fail(0, "write the name of a field, or @this for the whole document", "this path is empty")
	}
	return l.run()
}

// pathLint walks a path once and keeps a stack of what is open.
type pathLint struct {
	src   string
	open  []int // byte offsets of open brackets
	steps int
	empty bool // nothing stands in the current step yet
}

func (l *pathLint) fail(offset int, help, format string, args ...any) error {
	line, col := place(l.src, utf8.RuneCountInString(l.src[:min(offset, len(l.src))]))
	return &Error{Line: line, Col: col, Width: 1, Code: CodePath, Message: fmt.Sprintf(format, args...), Help: help}
}

var closers = map[byte]byte{')': '(', ']': '[', '}': '{'}

func (l *pathLint) run() error {
	for i := 0; i < len(l.src); i++ {
		separator := l.src[i] == '.' || l.src[i] == '|'
		next, err := l.char(i)
		if err != nil {
			return err
		}
		i = next
		l.empty = separator
	}
	if n := len(l.open); n > 0 {
		return l.fail(len(l.src), fmt.Sprintf("it opens at character %d", utf8.RuneCountInString(l.src[:l.open[n-1]])+1), "this gjson path has a %c that is not closed", l.src[l.open[n-1]])
	}
	if l.empty {
		return l.fail(len(l.src)-1, "", "this path ends with a %q: a name is missing after it", l.src[len(l.src)-1:])
	}
	return nil
}

// char checks the character at i and returns the index of the last character
// that it used up.
func (l *pathLint) char(i int) (int, error) {
	src, c := l.src, l.src[i]
	switch {
	case c < ' ' || c == 0x7f:
		return i, l.fail(i, "", "this path has a control character in it")
	case c == '\\':
		if i+1 == len(src) {
			return i, l.fail(i, `write \\ for a backslash`, `this path ends with a \ that escapes nothing`)
		}
		return i + 1, nil
	case c == '"' && len(l.open) > 0:
		end := quoteEnd(src, i)
		if end < 0 {
			return i, l.fail(i, "", `this gjson path has a " that is not closed`)
		}
		return end, nil
	case c == '(' || c == '[' || c == '{':
		l.open = append(l.open, i)
	case closers[c] != 0:
		if n := len(l.open); n == 0 || src[l.open[n-1]] != closers[c] {
			return i, l.fail(i, "", "this gjson path has a %c that closes nothing", c)
		}
		l.open = l.open[:len(l.open)-1]
	case c == '.' || c == '|':
		if l.steps++; l.steps > maxPathLen {
			return i, l.fail(i, "", "this path has more than %d steps", maxPathLen)
		}
		if l.empty && len(l.open) == 0 {
			return i, l.fail(i, "", "a name is missing before this %q", string(c))
		}
		return i, nil
	case c == '@' && l.startsStep(i):
		return i, l.modifier(i)
	case c == '!' && l.startsStep(i):
		return i, l.fail(i, "write {value: …} for a literal", "gjson's literals (!) are not allowed in a path")
	}
	return i, nil
}

// startsStep reports whether a step or a selector begins at i.
func (l *pathLint) startsStep(i int) bool {
	return i == 0 || strings.IndexByte(".|[{,:(", l.src[i-1]) >= 0
}

func (l *pathLint) modifier(i int) error {
	name := l.src[i+1:]
	if end := strings.IndexAny(name, ".|:,]})"); end >= 0 {
		name = name[:end]
	}
	for _, m := range allowedModifiers {
		if name == m {
			if after := l.src[i+1+len(name):]; strings.HasPrefix(after, ":") && m != "flatten" {
				return l.fail(i, "", "@%s takes no argument", m)
			}
			return nil
		}
	}
	return l.fail(i, `for a name that begins with @ write \@`, "the gjson modifier @%s is not allowed; allowed are @%s", name, strings.Join(allowedModifiers, ", @"))
}

// quoteEnd returns the offset of the quote that closes the one at i, or -1.
func quoteEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}
