// Package yamldoc reads a YAML file into nodes that know their place.
//
// It takes the part of YAML that reads the way it looks: one document of
// mappings with plain keys, lists and scalars. Anchors, aliases, merge keys,
// complex keys, duplicate keys and custom tags are refused, all of them at
// once, each with its place. Nothing is decoded behind the reader's back: a
// scalar keeps its text, and its YAML type is something to ask for.
package yamldoc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"cibridge/internal/diag"
)

// The problems of this package.
const (
	CodeSyntax    = "E110" // not YAML
	CodeAnchor    = "E111" // anchors, aliases and merge keys
	CodeKey       = "E112" // a key that is no plain text
	CodeDuplicate = "E113" // a key that is there twice
	CodeDocuments = "E114" // more than one document, or none
	CodeTag       = "E115" // a custom tag
	CodeSize      = "E116" // too large, or too deep

	// The traps of YAML, with those that package mapping finds.
	CodeSplit = "E221" // an expression that YAML took apart inside { } or [ ]
	CodeStart = "E224" // a value that YAML read as something else
	CodeColon = "E225" // a value that YAML cut at ": "
)

// MaxSize is the largest file that is read, in bytes; maxDepth the deepest
// nesting.
const (
	MaxSize  = 1 << 20
	maxDepth = 64
)

// Kind is the shape of a node.
type Kind int

// The shapes.
const (
	Scalar Kind = iota + 1
	Map
	List
)

// String names the shape for people.
func (k Kind) String() string {
	return map[Kind]string{Scalar: "a value", Map: "a mapping", List: "a list"}[k]
}

// Node is one value of the document with its place. A nil *Node stands for a
// value that is not there: its methods return the zero value.
type Node struct {
	File  string
	Line  int // from 1
	Col   int // in characters, from 1
	Width int // characters that the value takes on its first line, at least 1
	Path  string

	Kind Kind
	// Text is the scalar as it reads: quotes and escapes resolved, nothing
	// else.
	Text string
	// Type is what YAML takes an unquoted scalar for: str, int, float, bool,
	// null or timestamp. Quoted and block scalars are str.
	Type   string
	Quoted bool // '…' or "…"
	Block  bool // | or >
	Flow   bool // { } or [ ]
	// Comment is the comment after the value on its line, with its #, or "".
	Comment string

	Pairs []Pair  // of a Map, in document order
	Items []*Node // of a List

	src []string
	raw *yaml.Node
}

// Pair is one entry of a mapping.
type Pair struct{ Key, Value *Node }

// Parse reads data, the text of file. On any error the node is nil. It never
// panics and never reads another file.
func Parse(file string, data []byte) (*Node, diag.Problems) {
	if len(data) > MaxSize {
		return nil, diag.Problems{{File: file, Line: 1, Col: 1, Code: CodeSize, Severity: diag.SeverityError,
			Message: fmt.Sprintf("the file has %d bytes; at most %d are read", len(data), MaxSize)}}
	}
	p := &parser{file: file, lines: strings.Split(string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))), "\n")}
	root, err := decode(data)
	if err != nil {
		return nil, diag.Problems{p.syntax(err)}
	}
	if root == nil || len(root.Content) == 0 {
		return nil, diag.Problems{{File: file, Line: 1, Col: 1, Code: CodeDocuments, Severity: diag.SeverityError, Message: "the file has nothing in it", Help: "a mapping begins with version: 1 and name: …; cibridge help lint shows how to check one"}}
	}
	n := p.node(root.Content[0], "", 0)
	if len(p.problems) > 0 {
		p.problems.Sort()
		return nil, p.problems
	}
	return n, nil
}

type severalDocuments struct{ line int }

func (severalDocuments) Error() string { return "more than one document" }

// decode returns the document node, nil for an empty file. yaml.v3 panics on
// some inputs; that is an error like any other here.
func decode(data []byte) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("yaml: the YAML reader gave up: %v", r)
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := d.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	}
	switch err := d.Decode(&second); {
	case errors.Is(err, io.EOF):
		return &first, nil
	case err != nil:
		return nil, err
	}
	return nil, severalDocuments{line: second.Line}
}

type parser struct {
	file     string
	lines    []string
	problems diag.Problems
}

func (p *parser) problem(n *yaml.Node, path, code, help, format string, args ...any) {
	p.problems = append(p.problems, diag.Problem{File: p.file, Line: n.Line, Col: n.Column, Width: width(n), Path: path,
		Code: code, Message: fmt.Sprintf(format, args...), Help: help, Severity: diag.SeverityError})
}

func (p *parser) node(y *yaml.Node, path string, depth int) *Node {
	n := &Node{File: p.file, Line: y.Line, Col: y.Column, Width: width(y), Path: path, src: p.lines, raw: y,
		Flow: y.Style&yaml.FlowStyle != 0, Comment: y.LineComment}
	if depth > maxDepth {
		p.problem(y, path, CodeSize, "", "this is nested more than %d levels deep", maxDepth)
		return n
	}
	if y.Anchor != "" {
		p.problem(y, path, CodeAnchor, "write the value out where it is needed", "anchors (&%s) are not supported", y.Anchor)
	}
	switch y.Kind {
	case yaml.AliasNode:
		p.problem(y, path, CodeAnchor, fmt.Sprintf("quote it if it is text: '*%s'", y.Value), "aliases (*%s) are not supported", y.Value)
		n.Kind = Scalar
	case yaml.MappingNode:
		n.Kind = Map
		p.pairs(n, y, path, depth)
	case yaml.SequenceNode:
		n.Kind = List
		for i, c := range y.Content {
			n.Items = append(n.Items, p.node(c, path+"["+strconv.Itoa(i)+"]", depth+1))
		}
	default:
		n.Kind, n.Text = Scalar, y.Value
		n.Quoted = y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
		n.Block = y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
		n.Type = strings.TrimPrefix(y.ShortTag(), "!!")
	}
	p.tag(y, path)
	return n
}

func (p *parser) tag(y *yaml.Node, path string) {
	if y.Kind == yaml.AliasNode {
		return
	}
	// An explicit tag is kept as text: a bare path such as !ref reads as one.
	if y.Style&yaml.TaggedStyle != 0 || strings.HasPrefix(y.Tag, "!") && !strings.HasPrefix(y.Tag, "!!") {
		p.problem(y, path, CodeTag, fmt.Sprintf("YAML reads a leading ! as a tag; quote the value if it is text: '%s'", strings.TrimSpace(y.Tag+" "+y.Value)), "YAML tags (%s) are not supported", y.Tag)
	}
}

func (p *parser) pairs(n *Node, y *yaml.Node, path string, depth int) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Kind == yaml.AliasNode || k.Kind != yaml.ScalarNode {
			p.problem(k, path, CodeKey, "", "a key must be plain text, this one is %s", shape(k))
			continue
		}
		if k.ShortTag() == "!!merge" {
			p.problem(k, path, CodeAnchor, "write the keys out where they are needed", "merge keys (<<) are not supported")
			continue
		}
		at := k.Value
		if path != "" {
			at = path + "." + k.Value
		}
		key := p.node(k, at, depth+1)
		value := p.node(v, at, depth+1)
		if old, dup := first[k.Value]; dup {
			p.problem(k, at, CodeDuplicate, "delete one of them; YAML would keep one in silence", "%q is already set in line %d", k.Value, old.Line)
			continue
		}
		first[k.Value] = k
		n.Pairs = append(n.Pairs, Pair{key, value})
	}
}

func shape(k *yaml.Node) string {
	switch k.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "an alias"
}

func width(y *yaml.Node) int {
	if y.Kind != yaml.ScalarNode || y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return 1
	}
	first, _, _ := strings.Cut(y.Value, "\n")
	w := len([]rune(first))
	if y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		w += 2
	}
	return max(w, 1)
}
