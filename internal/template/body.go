package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cibridge/internal/diag"
	"cibridge/internal/lang"
)

// maxBodyDepth is the deepest nesting of a body.
const maxBodyDepth = 32

// Body is the template of a request body: a JSON tree, or text.
type Body struct {
	root node
	text bool // the body is text, not JSON
}

// node is one value of the tree.
type node struct {
	path    string
	pieces  []piece // of a leaf with placeholders
	literal any     // of a leaf without
	keys    []string
	members map[string]node // of an object
	items   []node          // of a list
	kind    nodeKind
}

type nodeKind int

const (
	leafLiteral nodeKind = iota
	leafFilled
	objectNode
	listNode
)

// CompileBody compiles a body: a text, an object or a list, whose texts may
// have placeholders. Text that is JSON itself is taken as JSON, so that what
// is filled in cannot break out of its quotes. Problems have the place in the
// tree as Path ("state", "items.0.name"), "" for a text body.
func CompileBody(tree any) (*Body, diag.Problems) {
	b := &Body{}
	if text, ok := tree.(string); ok {
		parsed, problem := jsonText(text)
		if problem != nil {
			return nil, diag.Problems{*problem}
		}
		if b.text = parsed == nil; !b.text {
			tree = parsed
		}
	}
	var problems diag.Problems
	b.root = compileNode(tree, "", 0, &problems)
	if raw, err := EncodeJSON(tree); err == nil && len(raw) > MaxBody {
		problems = append(problems, diag.Problem{Line: 1, Col: 1, Code: CodeSize, Severity: diag.SeverityError,
			Message: fmt.Sprintf("the body has %d bytes, at most %d are allowed", len(raw), MaxBody)})
	}
	return b, problems
}

// jsonText returns the value of a text that is JSON, nil for another text. A
// text that looks like JSON and is none is a problem: filling it in could
// change its structure.
func jsonText(text string) (any, *diag.Problem) {
	t := strings.TrimSpace(text)
	object := strings.HasPrefix(t, "{") && !strings.HasPrefix(t, "{{")
	list := strings.HasPrefix(t, "[")
	if !object && !list {
		return nil, nil
	}
	v, err := decodeJSON(t)
	switch {
	case err == nil:
		return v, nil
	case list && !strings.ContainsAny(strings.TrimSpace(t[1:] + "x")[:1], `{["`):
		return nil, nil // "[build] {{ action.status }}"
	}
	return nil, &diag.Problem{Line: 1, Col: 1, Code: CodeBody, Severity: diag.SeverityError,
		Message: "the body looks like JSON and is not: " + err.Error(),
		Help:    `give the body as an object, and put placeholders in quotes: "{{ run.number }}" alone keeps its type`}
}

func decodeJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after its end")
	}
	return whole(v), nil
}

// whole turns numbers into int64 where they are whole and fit.
func whole(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n
		}
		return v // the digits as they are written
	case map[string]any:
		for k, member := range v {
			v[k] = whole(member)
		}
	case []any:
		for i, item := range v {
			v[i] = whole(item)
		}
	}
	return v
}

func compileNode(v any, path string, depth int, problems *diag.Problems) node {
	n := node{path: path}
	fail := func(code, message, help string) node {
		*problems = append(*problems, diag.Problem{Line: 1, Col: 1, Path: path, Code: code, Message: message, Help: help, Severity: diag.SeverityError})
		return n
	}
	if depth > maxBodyDepth {
		return fail(CodeBody, fmt.Sprintf("the body is nested more than %d levels deep", maxBodyDepth), "")
	}
	below := func(key string) string {
		if path == "" {
			return key
		}
		return path + "." + key
	}
	switch v := v.(type) {
	case string:
		pieces, ps := parse(v, place{omit: true})
		for _, p := range ps {
			p.Path = path
			*problems = append(*problems, p)
		}
		n.kind, n.pieces = leafFilled, pieces
		if !slices.ContainsFunc(pieces, func(p piece) bool { return !p.literal() }) {
			n.kind, n.literal = leafLiteral, v
		}
	case map[string]any:
		n.kind, n.members, n.keys = objectNode, map[string]node{}, slices.Sorted(maps.Keys(v))
		for _, k := range n.keys {
			if strings.Contains(k, "{{") {
				fail(CodeBody, fmt.Sprintf("the name %q of a member cannot have placeholders", cut(k)), "only values are filled in")
			}
			n.members[k] = compileNode(v[k], below(k), depth+1, problems)
		}
	case []any:
		n.kind = listNode
		for i, item := range v {
			n.items = append(n.items, compileNode(item, below(strconv.Itoa(i)), depth+1, problems))
		}
	default:
		n.literal = v
	}
	return n
}

// Text reports whether b is text and not JSON.
func (b *Body) Text() bool { return b.text }

// Unescaped lists the placeholders of a text body that do not end in
// urlquery(): in a form, what they fill in could add fields. It is nil for a
// JSON body, where nothing can.
func (b *Body) Unescaped() []string {
	var out []string
	for _, p := range b.root.pieces {
		if b.text && !p.literal() && !escapedAlready.MatchString(p.source) {
			out = append(out, p.source)
		}
	}
	return out
}

// Reads lists the names that b reads.
func (b *Body) Reads() []string { return b.root.reads(nil) }

func (n node) reads(out []string) []string {
	out = append(out, reads(n.pieces)...)
	for _, k := range n.keys {
		out = n.members[k].reads(out)
	}
	for _, item := range n.items {
		out = item.reads(out)
	}
	return out
}

// Gap is a value that a body lacks.
type Gap struct {
	Path    string   // of the leaf: "description"
	Missing []string // what is absent: "commit.message"
	Err     error    // why the expression failed, instead of Missing
	Mixed   bool     // the leaf stayed, with nothing in the place of the value
}

// String says it for people.
func (g Gap) String() string {
	what := "left out"
	if g.Mixed {
		what = "filled in part"
	}
	name := g.Path
	if name == "" {
		name = "body"
	}
	if g.Err != nil {
		return fmt.Sprintf("%s %s: %v", name, what, g.Err)
	}
	return fmt.Sprintf("%s %s: no %s", name, what, strings.Join(g.Missing, ", "))
}

// Render fills b: a tree of nil, bool, numbers, texts, []any and
// map[string]any. A leaf that is one placeholder has the type of its value;
// without a value it is left out of its object or list. In mixed text an
// absent value is empty. omit() leaves its leaf out on purpose. value is nil
// when nothing is left.
func (b *Body) Render(env Env) (value any, gaps []Gap) {
	v, _ := b.root.fill(env, &gaps)
	return v, gaps
}

// fill returns the value of n; keep is false when n is to be left out.
func (n node) fill(env Env, gaps *[]Gap) (value any, keep bool) {
	switch n.kind {
	case objectNode:
		out := make(map[string]any, len(n.keys))
		for _, k := range n.keys {
			if v, keep := n.members[k].fill(env, gaps); keep {
				out[k] = v
			}
		}
		return out, true
	case listNode:
		out := make([]any, 0, len(n.items))
		for _, item := range n.items {
			if v, keep := item.fill(env, gaps); keep {
				out = append(out, v)
			}
		}
		return out, true
	case leafFilled:
		if len(n.pieces) == 1 {
			return n.whole(env, gaps)
		}
		return n.mixed(env, gaps), true
	}
	return n.literal, true
}

func (n node) whole(env Env, gaps *[]Gap) (any, bool) {
	v, missing, err := n.pieces[0].eval(env)
	switch {
	case err != nil || len(missing) > 0:
		*gaps = append(*gaps, Gap{Path: n.path, Missing: missing, Err: err})
		return nil, false
	case v == lang.Omit:
		return nil, false
	}
	return v, true
}

func (n node) mixed(env Env, gaps *[]Gap) string {
	var b strings.Builder
	for _, p := range n.pieces {
		if p.literal() {
			b.WriteString(p.text)
			continue
		}
		v, missing, err := p.eval(env)
		if err != nil || len(missing) > 0 {
			*gaps = append(*gaps, Gap{Path: n.path, Missing: missing, Err: err, Mixed: true})
			continue
		}
		if v != lang.Omit {
			text, _ := lang.Text(v)
			b.WriteString(text)
		}
	}
	return b.String()
}

// EncodeJSON writes v as JSON: keys sorted, <, > and & as they are.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
