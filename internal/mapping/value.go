package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// value is a compiled value: where it comes from, then the steps, always in
// the order of the fields.
type value struct {
	at   place
	name string // "start.status", "start.fields.url"

	isLiteral bool
	literal   any
	path      *lang.Path
	firstOf   []*value
	of        []*value
	expr      *expression // alone, or on what the others found

	dropIf     []string
	words      *words
	ignoreCase bool
	els        *value
	def        *value
	required   bool
	unit       int64 // nanoseconds; 0: milliseconds
}

// expression is a compiled expression and the lets that it needs.
type expression struct {
	e     *lang.Expr
	at    place
	names []name   // the values of the names that it reads, in the order of its roots
	lets  []string // those of them that are lets
}

// let is a named value. It is evaluated when an expression first needs it.
type let struct {
	name  string
	value *value
	slot  int // of its value
}

// needs lists the lets that v uses.
func (v *value) needs() []string {
	if v == nil {
		return nil
	}
	var out []string
	if v.expr != nil {
		out = append(out, v.expr.lets...)
	}
	for _, sub := range slices.Concat(v.firstOf, v.of, []*value{v.els, v.def}) {
		out = append(out, sub.needs()...)
	}
	return out
}

// where is what a value is evaluated on.
type where struct {
	doc   *lang.Doc // paths lead into it
	item  bool      // doc is an item of a list
	index int
	value any // what the expression after a path sees
}

// fault is why a value could not be had.
type fault struct {
	code    string
	at      place
	name    string
	message string
	word    string // the unknown word, for CodeWord
	missing *value // what has no value, in place of a message: few of them are ever read
}

func (f *fault) Error() string {
	return fmt.Sprintf("%s (%s:%d): %s", f.name, f.at.file, f.at.line, f.what())
}

func (f *fault) what() string {
	if f.missing != nil {
		return last(f.name) + " has no value: " + f.missing.absence()
	}
	return f.message
}

func (v *value) fault(code, format string, args ...any) *fault {
	return &fault{code: code, at: v.at, name: v.name, message: fmt.Sprintf(format, args...)}
}

// eval returns what v is on w: nil when it is absent, a *lang.Doc that is not
// null, or a Go value as expressions return it.
func (v *value) eval(s *state, w where) (any, *fault) {
	x, f := v.source(s, w)
	if f != nil {
		return nil, f
	}
	if x != nil && v.dropped(x) {
		x = nil
		s.note(v, w, stepDrop, nil)
	}
	if x != nil && v.words != nil {
		if x, f = v.translate(s, w, x); f != nil {
			return nil, f
		}
	}
	if x == nil && v.def != nil {
		if x, f = v.def.eval(s, w); f != nil {
			return nil, f
		}
		s.note(v, w, stepDefault, x)
	}
	if s.in.seen != nil {
		s.in.seen(v, x)
	}
	if x == nil && v.required {
		return nil, v.fault(CodeRequired, "%s is required, but %s", last(v.name), v.absence())
	}
	return x, nil
}

func last(name string) string {
	if i := strings.Index(name, "."); i >= 0 {
		return name[i+1:]
	}
	return name
}

// absence says in words where nothing was found.
func (v *value) absence() string {
	switch {
	case v.path != nil:
		return v.path.String() + " is missing in the payload"
	case len(v.firstOf) > 0:
		var paths []string
		for _, c := range v.firstOf {
			if c.path != nil {
				paths = append(paths, c.path.String())
			}
		}
		if len(paths) > 0 {
			return "none of " + strings.Join(paths, ", ") + " is in the payload"
		}
	case v.expr != nil:
		return "=" + v.expr.e.String() + " has no value"
	}
	return "it is absent"
}

func (v *value) source(s *state, w where) (any, *fault) {
	var x any
	switch {
	case v.isLiteral:
		s.note(v, w, stepLiteral, v.literal)
		return v.literal, nil
	case v.path != nil:
		if d := v.path.Find(w.doc); !d.Absent() {
			x = d
		}
		s.note(v, w, stepPath, x)
	case v.firstOf != nil:
		x = v.first(s, w)
		s.note(v, w, stepFirst, x)
	case v.of != nil:
		var f *fault
		if x, f = v.joined(s, w); f != nil {
			return nil, f
		}
		s.note(v, w, stepOf, x)
	default:
		return v.compute(s, w)
	}
	if x == nil || v.expr == nil {
		return x, nil
	}
	w.value = x
	return v.compute(s, w)
}

func (v *value) compute(s *state, w where) (any, *fault) {
	x, err := s.run(v.expr, w)
	if err != nil {
		return nil, &fault{code: CodeExpression, at: v.expr.at, name: v.name, message: err.Error()}
	}
	s.note(v, w, stepExpr, x)
	return x, nil
}

// first returns the first candidate that is there. One that fails is skipped
// with a warning.
func (v *value) first(s *state, w where) any {
	for _, c := range v.firstOf {
		x, f := c.eval(s, w)
		if f != nil {
			s.warn(f.Error())
			continue
		}
		if x != nil && !blank(x) && !v.dropped(x) {
			return x
		}
	}
	return nil
}

func blank(x any) bool {
	switch x := x.(type) {
	case string:
		return x == ""
	case *lang.Doc:
		text, ok := x.Text()
		return ok && text == ""
	}
	return x == nil
}

// joined returns the parts joined with "/", an absent one as nothing between
// two slashes; nil when all are absent.
func (v *value) joined(s *state, w where) (any, *fault) {
	parts := make([]string, len(v.of))
	found := false
	for i, c := range v.of {
		x, f := c.eval(s, w)
		if f != nil {
			return nil, f
		}
		if x == nil {
			continue
		}
		text, ok := scalar(x)
		if !ok {
			return nil, v.fault(v.wordCode(), "%s is %s, not one word", c.name, describe(x))
		}
		parts[i], found = text, true
	}
	if !found {
		return nil, nil
	}
	return strings.Join(parts, "/"), nil
}

// wordCode is the code of a value that is no word: to a map it is a word that
// the map does not know.
func (v *value) wordCode() string {
	if v.words != nil {
		return CodeWord
	}
	return CodeExpression
}

func (v *value) dropped(x any) bool {
	if len(v.dropIf) == 0 {
		return false
	}
	text, ok := scalar(x)
	if !ok {
		return false
	}
	for _, d := range v.dropIf {
		if d == text || v.ignoreCase && strings.EqualFold(d, text) {
			return true
		}
	}
	return false
}

func (v *value) translate(s *state, w where, x any) (any, *fault) {
	word, ok := scalar(x)
	if !ok {
		return nil, v.fault(CodeWord, "%s is not one word", describe(x))
	}
	if to, known := v.words.find(word, v.ignoreCase); known {
		s.note(v, w, stepMap, to)
		if s.in.seen != nil {
			s.in.seen(v.words.entry(word, v.ignoreCase), true)
		}
		return to, nil
	}
	if v.els != nil {
		w.value = x
		to, f := v.els.eval(s, w)
		s.note(v, w, stepElse, to)
		return to, f
	}
	f := v.fault(CodeWord, "%s is not in the map; it knows %s", quote(clip(word, 60)), v.words.describe())
	f.at = placeOf(v.words.node)
	f.word = clip(word, 200)
	return nil, f
}

// scalar returns x as text; ok is false for objects, lists and what is absent.
// A JSON number keeps the digits it was written with.
func scalar(x any) (text string, ok bool) {
	switch x := x.(type) {
	case string:
		return x, true
	case *lang.Doc:
		if x.Absent() || x.IsObject() || x.IsList() {
			return "", false
		}
		if text, ok := x.Text(); ok {
			return text, true
		}
		return x.Raw(), true
	case nil, map[string]any, []any:
		return "", false
	}
	return lang.Text(x)
}

// plain returns x as expressions see it: the value of a Doc.
func plain(x any) any {
	if d, ok := x.(*lang.Doc); ok {
		return d.Value()
	}
	return x
}

func describe(x any) string {
	switch x := plain(x).(type) {
	case nil:
		return "absent"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return quote(clip(x, 60))
	default:
		return fmt.Sprint(x)
	}
}

// clip returns s with at most n characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i] + "…"
		}
		n--
	}
	return s
}

// key is a compiled key: the first alternative whose parts are all there.
type key struct {
	at           place
	name         string
	alternatives [][]*value
}

// eval returns the key as [bridge.JoinKey] makes it. The fault says which part
// is missing.
func (k *key) eval(s *state, w where) (string, *fault) {
	var first *fault
	var missing *value // of the first alternative, unless that has a fault
	for _, parts := range k.alternatives {
		joined, absent, f := k.join(parts, s, w)
		switch {
		case f != nil && (first == nil || f.code == CodeExpression && first.code != CodeExpression):
			first = f
		case f != nil:
		case absent == nil:
			return joined, nil
		case first == nil && missing == nil:
			missing = absent
		}
	}
	if missing != nil && (first == nil || first.code != CodeExpression) {
		first = &fault{code: CodeRequired, at: missing.at, name: k.name, missing: missing}
	}
	return "", first
}

// join evaluates one alternative; absent is a part that has no value.
func (k *key) join(parts []*value, s *state, w where) (joined string, absent *value, f *fault) {
	var room [4]string // of most keys
	texts := room[:0]
	for _, p := range parts {
		x, f := p.eval(s, w)
		if f != nil {
			return "", nil, f
		}
		text, ok := scalar(x)
		switch {
		case x == nil || ok && text == "":
			return "", p, nil
		case !ok:
			return "", nil, &fault{code: CodeExpression, at: p.at, name: k.name, message: last(k.name) + " needs one value, found " + describe(x)}
		}
		texts = append(texts, s.own(keyText(text)))
	}
	return bridge.JoinKey(texts...), nil, nil
}

// maxKeyText is the longest part of a key, in bytes.
const maxKeyText = 256

// keyText returns a part of a key. The end of a very long one is replaced by
// its hash, so that two of them stay two.
func keyText(s string) string {
	if len(s) <= maxKeyText {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return clip(s, 100) + hex.EncodeToString(sum[:16])
}
