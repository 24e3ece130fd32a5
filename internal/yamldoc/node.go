package yamldoc

import (
	"strings"
	"time"
	"unicode/utf8"

	"cibridge/internal/diag"
)

// Get returns the value of key in a mapping, or nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key.Text == key {
			return p.Value
		}
	}
	return nil
}

// Keys lists the keys of a mapping in document order.
func (n *Node) Keys() []string {
	if n == nil {
		return nil
	}
	keys := make([]string, len(n.Pairs))
	for i, p := range n.Pairs {
		keys[i] = p.Key.Text
	}
	return keys
}

// Null reports whether n is absent, empty or an unquoted null.
func (n *Node) Null() bool { return n == nil || n.Kind == Scalar && n.Type == "null" }

// Str reports whether n is a scalar that YAML takes for text.
func (n *Node) Str() bool { return n != nil && n.Kind == Scalar && n.Type == "str" }

// Value returns n as Go values: nil, bool, int64 (uint64 and greater as text
// with the exact digits), float64, string, map[string]any, []any. Dates stay
// text as they are written.
func (n *Node) Value() any {
	switch {
	case n == nil:
		return nil
	case n.Kind == Map:
		m := make(map[string]any, len(n.Pairs))
		for _, p := range n.Pairs {
			m[p.Key.Text] = p.Value.Value()
		}
		return m
	case n.Kind == List:
		l := make([]any, len(n.Items))
		for i, item := range n.Items {
			l[i] = item.Value()
		}
		return l
	}
	return n.scalar()
}

func (n *Node) scalar() any {
	if n.Type == "str" || n.raw == nil {
		return n.Text
	}
	var v any
	if err := n.raw.Decode(&v); err != nil {
		return n.Text
	}
	switch v := v.(type) {
	case int:
		return int64(v)
	case uint64, time.Time:
		return n.Text
	case float64:
		if !strings.ContainsAny(n.Text, ".eE") {
			return n.Text // an integer beyond 64 bits: its digits, not a rounded number
		}
		return v
	}
	return v
}

// Problem returns an error at n. Set Help, Severity and Width as needed.
func (n *Node) Problem(code, message string) diag.Problem {
	return diag.Problem{File: n.File, Line: n.Line, Col: n.Col, Width: n.Width, Path: n.Path, Code: code, Message: message, Severity: diag.SeverityError}
}

// At returns the place in the file of a character of n.Text: line and col
// count from 1. For scalars whose text does not stand in the file as it is
// (folded, or with escapes before the place) it is the nearest known place.
func (n *Node) At(line, col int) (int, int) {
	line, col = max(line, 1), max(col, 1)
	switch {
	case n.Block:
		at := n.Line + line
		if at > len(n.src) {
			return n.Line, n.Col
		}
		return at, n.blockIndent() + col
	case line > 1:
		return n.Line, n.Col
	case n.Quoted:
		return n.Line, n.Col + n.quotedOffset(col-1)
	}
	return n.Line, n.Col + col - 1
}

// blockIndent returns the indentation of a block scalar: that of its first
// line that is not blank.
func (n *Node) blockIndent() int {
	for _, l := range n.src[min(n.Line, len(n.src)):] {
		if text := strings.TrimLeft(l, " "); strings.TrimSpace(text) != "" {
			return len(l) - len(text)
		}
	}
	return 0
}

// quotedOffset returns how far from the opening quote the character with
// index i of the text stands.
func (n *Node) quotedOffset(i int) int {
	if n.Line > len(n.src) {
		return i + 1
	}
	line := []rune(n.src[n.Line-1])
	if n.Col > len(line) {
		return i + 1
	}
	rest := line[n.Col-1:]
	quote, at := rest[0], 1
	for ; i > 0 && at < len(rest); i-- {
		switch {
		case quote == '\'' && rest[at] == '\'':
			at += 2
		case quote == '"' && rest[at] == '\\' && at+1 < len(rest):
			at += 1 + escapeLen[rest[at+1]]
			at++
		default:
			at++
		}
	}
	return at
}

// escapeLen is the number of hex digits after an escape letter.
var escapeLen = map[rune]int{'x': 2, 'u': 4, 'U': 8}

// SourceLine returns the text of the line that n starts in, without its line
// end.
func (n *Node) SourceLine() string {
	if n.Line < 1 || n.Line > len(n.src) {
		return ""
	}
	return strings.TrimSuffix(n.src[n.Line-1], "\r")
}

// runeLen is the length of s in characters.
func runeLen(s string) int { return utf8.RuneCountInString(s) }
