package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"cibridge/internal/lang"
)

// A payload that is longer, in bytes, or nested deeper does not stand in the
// mapping itself.
const (
	maxInline      = 48 << 10
	maxInlineDepth = 24
	maxBase64      = 256 << 10 // of what is in no file
)

// What is looked at for guesses: what is deeper or further down is no field of
// a run.
const (
	maxLeaves    = 4000
	maxLeafDepth = 8
)

// payload is a payload that is being looked at.
type payload struct {
	name   string
	file   string
	body   []byte
	header map[string]string // by lower-case names; without what proves who sends
	root   *jsonNode
	aside  bool // the test takes the file, or the bytes
	result Result
}

// jsonKind is the kind of a JSON value.
type jsonKind byte

const (
	jsonObject jsonKind = '{'
	jsonList   jsonKind = '['
	jsonText   jsonKind = '"'
	jsonNumber jsonKind = '0'
	jsonBool   jsonKind = 't'
	jsonNull   jsonKind = 'n'
)

// jsonNode is a JSON value that keeps the order of its members and the digits
// of its numbers.
type jsonNode struct {
	kind    jsonKind
	text    string // of a text, a number or true and false
	members []jsonMember
	items   []*jsonNode
}

type jsonMember struct {
	name  string
	value *jsonNode
}

// readJSON reads a JSON text that [lang.Scan] has accepted.
func readJSON(body []byte) (*jsonNode, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return nextJSON(d)
}

func nextJSON(d *json.Decoder) (*jsonNode, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case string:
		return &jsonNode{kind: jsonText, text: t}, nil
	case json.Number:
		return &jsonNode{kind: jsonNumber, text: t.String()}, nil
	case bool:
		return &jsonNode{kind: jsonBool, text: fmt.Sprint(t)}, nil
	case nil:
		return &jsonNode{kind: jsonNull, text: "null"}, nil
	}
	n := &jsonNode{kind: jsonList}
	if t == json.Delim('{') {
		n.kind = jsonObject
	}
	for d.More() {
		name := ""
		if n.kind == jsonObject {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ = key.(string)
		}
		v, err := nextJSON(d)
		if err != nil {
			return nil, err
		}
		if n.kind == jsonObject {
			n.members = append(n.members, jsonMember{name, v})
		} else {
			n.items = append(n.items, v)
		}
	}
	_, err = d.Token()
	return n, err
}

// depth is how deep n is nested; a scalar is 0.
func (n *jsonNode) depth() int {
	deepest := -1
	for _, m := range n.members {
		deepest = max(deepest, m.value.depth())
	}
	for _, i := range n.items {
		deepest = max(deepest, i.depth())
	}
	return deepest + 1
}

// longest name that YAML takes for a key.
const maxKeyName = 500

// awkward reports whether YAML cannot show n: a name is there twice, or is too
// long for a key.
func (n *jsonNode) awkward() bool {
	seen := map[string]bool{}
	for _, m := range n.members {
		if seen[m.name] || len(m.name) > maxKeyName || m.value.awkward() {
			return true
		}
		seen[m.name] = true
	}
	return slices.ContainsFunc(n.items, (*jsonNode).awkward)
}

// raw returns n as JSON.
func (n *jsonNode) raw() []byte {
	var b bytes.Buffer
	n.write(&b)
	return b.Bytes()
}

func (n *jsonNode) write(b *bytes.Buffer) {
	separator := func(i int) {
		if i > 0 {
			b.WriteByte(',')
		}
	}
	switch n.kind {
	case jsonObject:
		b.WriteByte('{')
		for i, m := range n.members {
			separator(i)
			encode(b, m.name)
			b.WriteByte(':')
			m.value.write(b)
		}
		b.WriteByte('}')
	case jsonList:
		b.WriteByte('[')
		for i, item := range n.items {
			separator(i)
			item.write(b)
		}
		b.WriteByte(']')
	case jsonText:
		encode(b, n.text)
	default:
		b.WriteString(n.text)
	}
}

// leaf is a scalar somewhere in the payloads of an event.
type leaf struct {
	path   string
	parent string   // path of the object that it is in
	words  []string // of the whole path: "workflow_run.headSHA" is workflow, run, head, sha
	key    string   // the words of its own name, with spaces
	depth  int
	inList bool
	values []*jsonNode // of the payloads that have it, null included
}

// some reports whether there is a value, and test holds for every one.
func (l *leaf) some(test func(*jsonNode) bool) bool {
	found := false
	for _, v := range l.values {
		if v.kind == jsonNull || v.kind == jsonText && v.text == "" {
			continue
		}
		if !test(v) {
			return false
		}
		found = true
	}
	return found
}

// everywhere reports whether each of n payloads has a value there.
func (l *leaf) everywhere(n int) bool {
	return len(l.values) == n && !slices.ContainsFunc(l.values, func(v *jsonNode) bool { return v.kind == jsonNull || v.text == "" })
}

// leavesOf lists the scalars of payloads in document order, by their paths.
func leavesOf(payloads []*payload) []*leaf {
	w := &leafWalk{byPath: map[string]*leaf{}}
	for _, p := range payloads {
		w.left = maxLeaves
		w.walk(p.root, leaf{})
	}
	return w.all
}

type leafWalk struct {
	all    []*leaf
	byPath map[string]*leaf
	left   int
}

func (w *leafWalk) walk(n *jsonNode, at leaf) {
	switch {
	case w.left == 0 || at.depth > maxLeafDepth:
	case n.kind == jsonObject:
		for _, m := range n.members {
			if m.name != "" {
				w.walk(m.value, at.step(m.name))
			}
		}
	case n.kind == jsonList:
		if len(n.items) > 0 { // the first one says how they look
			sub := at.step("0")
			sub.inList, sub.words, sub.key = true, at.words, at.key
			w.walk(n.items[0], sub)
		}
	case at.path != "":
		w.left--
		l := w.byPath[at.path]
		if l == nil {
			if _, err := lang.CompilePath(at.path); err != nil {
				return
			}
			l = &at
			w.byPath[at.path], w.all = l, append(w.all, l)
		}
		l.values = append(l.values, n)
	}
}

// step is the place of a member.
func (l leaf) step(name string) leaf {
	words := wordsOf(name)
	sub := leaf{parent: l.path, path: escapeStep(name), words: slices.Concat(l.words, words), key: strings.Join(words, " "), depth: l.depth + 1, inList: l.inList}
	if l.path != "" {
		sub.path = l.path + "." + sub.path
	}
	return sub
}

// special are the characters that mean something in a path, or at its start.
var special = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

func escapeStep(name string) string { return special.ReplaceAllString(name, `\$0`) }

// wordsOf takes a name apart: headSHA, head_sha and HEAD-SHA are head, sha.
func wordsOf(name string) []string {
	var words []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = nil
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
			continue
		case unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			flush()
		}
		word = append(word, r)
	}
	flush()
	return words
}
