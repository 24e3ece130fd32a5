package lang

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"cibridge/internal/diag"
)

// check walks a parsed expression once, resolves its names against the scope
// and refuses what is not allowed. It finds all problems, not the first.
type check struct {
	src     string
	scope   *Scope
	errs    Errors
	vars    map[string]Shape
	item    *Shape // shape of the item inside a condition; nil outside
	seen    map[ast.Node]bool
	roots   map[string]bool
	reads   map[string]bool
	regexps map[ast.Node]*pattern
}

func newCheck(src string, scope *Scope) *check {
	return &check{
		src: src, scope: scope, vars: map[string]Shape{}, seen: map[ast.Node]bool{},
		roots: map[string]bool{}, reads: map[string]bool{}, regexps: map[ast.Node]*pattern{},
	}
}

func (c *check) failure() error {
	slices.SortStableFunc(c.errs, func(a, b *Error) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	if len(c.errs) == 1 {
		return c.errs[0]
	}
	return c.errs
}

func (c *check) rootNames() []string { return slices.Sorted(maps.Keys(c.roots)) }

func (c *check) readPaths() []string { return slices.Sorted(maps.Keys(c.reads)) }

func (c *check) fail(at ast.Node, code, help, format string, args ...any) {
	loc := start(at)
	line, col := place(c.src, loc.From)
	c.errs = append(c.errs, &Error{Line: line, Col: col, Width: max(1, loc.To-loc.From), Code: code, Message: fmt.Sprintf(format, args...), Help: help})
}

// node checks n and returns the shape of its value. chained says that a member
// of n is read, so that n itself is not what is read.
func (c *check) node(n ast.Node, chained bool) Shape {
	if n == nil || c.again(n) {
		return Any()
	}
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return c.identifier(n, chained)
	case *ast.ChainNode:
		return c.node(n.Node, chained)
	case *ast.MemberNode:
		return c.member(n, chained)
	case *ast.PointerNode:
		return c.pointer(n)
	case *ast.CallNode:
		return c.call(n)
	case *ast.BuiltinNode:
		return c.builtin(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.VariableDeclaratorNode:
		return c.let(n)
	case *ast.SliceNode:
		c.each(n.From, n.To)
		return c.node(n.Node, false)
	case *ast.UnaryNode:
		c.node(n.Node, false)
	case *ast.ArrayNode:
		c.each(n.Nodes...)
	case *ast.MapNode:
		c.each(n.Pairs...)
	case *ast.PairNode:
		c.pair(n)
	case *ast.SequenceNode:
		c.fail(n.Nodes[1], CodeRefused, "", "an expression has one value; ; is only for let")
	case *ast.BytesNode:
		c.fail(n, CodeRefused, "write a plain text", "bytes are not allowed")
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	default:
		c.fail(n, CodeRefused, "", "this is not allowed here")
	}
	return Any()
}

// again reports whether n was met before, which it refuses: the parser shares
// nodes in a < b < c and a ?: b, and a tree of shared nodes is walked in
// exponential time.
func (c *check) again(n ast.Node) bool {
	if !c.seen[n] {
		c.seen[n] = true
		return false
	}
	c.fail(n, CodeRefused, "", "this value cannot be used twice; write a < b and b < c instead of a < b < c, and a ?? b instead of a ?: b")
	return true
}

func (c *check) each(nodes ...ast.Node) {
	for _, n := range nodes {
		c.node(n, false)
	}
}

// otherWords are what other languages call things, and what they are here.
var otherWords = map[string]string{
	"null": "nil", "None": "nil", "undefined": "nil", "NULL": "nil", "Nil": "nil", "True": "true", "False": "false", "TRUE": "true", "FALSE": "false",
}

func (c *check) identifier(n *ast.IdentifierNode, chained bool) Shape {
	if shape, ok := c.vars[n.Value]; ok {
		return shape
	}
	if shape, ok := c.scope.roots[n.Value]; ok {
		c.roots[n.Value] = true
		if !chained {
			c.reads[n.Value] = true
		}
		return shape
	}
	c.fail(n, CodeName, c.nameHelp(n), "unknown name %s", n.Value)
	return Any()
}

func (c *check) nameHelp(n *ast.IdentifierNode) string {
	name := n.Value
	switch {
	case otherWords[name] != "":
		return "write " + otherWords[name]
	case name == "if":
		return "write condition ? a : b"
	case functions[name] != nil:
		return fmt.Sprintf("%s is a function: write %s", name, functions[name].usage)
	case strings.HasPrefix(name, "$"):
		return "names do not begin with $"
	case c.afterDash(n):
		return fmt.Sprintf(`a name with a dash needs brackets: x["…-%s"]`, name)
	}
	names := c.scope.Names()
	for v := range c.vars {
		names = append(names, v)
	}
	slices.Sort(names)
	if near := diag.Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	for _, root := range names {
		if below := c.scope.roots[root].find(name, 3); below != "" {
			return fmt.Sprintf("did you mean %q?", root+"."+below)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf("a text needs quotes: %q", name)
	}
	return "an expression can see: " + strings.Join(names, ", ")
}

// afterDash reports whether a dash stands right before n without spaces, as in
// body.a-b.
func (c *check) afterDash(n ast.Node) bool {
	runes := []rune(c.src)
	at := n.Location().From
	return at >= 2 && at <= len(runes) && runes[at-1] == '-' && runes[at-2] != ' '
}

func (c *check) pointer(n *ast.PointerNode) Shape {
	switch {
	case n.Name == "index":
		return Leaf()
	case n.Name != "":
		c.fail(n, CodeName, "inside a condition there are # (the item), .name (its member) and #index", "unknown name #%s", n.Name)
	case c.item != nil:
		return *c.item
	}
	return Any()
}

func (c *check) member(n *ast.MemberNode, chained bool) Shape {
	owner := c.node(n.Node, true)
	key, named := n.Property.(*ast.StringNode)
	if !named {
		c.node(n.Property, false)
		if !chained {
			c.read(n.Node)
		}
		if _, number := n.Property.(*ast.IntegerNode); number && owner.kind == shapeList {
			return *owner.item
		}
		if owner.kind == shapeLeaf {
			c.fail(n, CodeName, "", "%s is a single value; it has no members", c.path(n.Node))
		}
		return Any()
	}
	if !chained {
		c.read(n)
	}
	return c.named(n, owner, key)
}

func (c *check) named(n *ast.MemberNode, owner Shape, key *ast.StringNode) Shape {
	switch owner.kind {
	case shapeLeaf:
		c.fail(key, CodeName, "", "%s is a single value; it has no member %s", c.path(n.Node), key.Value)
	case shapeList:
		c.fail(key, CodeName, fmt.Sprintf("write map(%s, .%s) or first(%[1]s).%[2]s", c.path(n.Node), key.Value), "%s is a list; it has no member %s", c.path(n.Node), key.Value)
	case shapeObject:
		if m, ok := owner.members[key.Value]; ok {
			return m
		}
		c.fail(key, CodeName, c.memberHelp(n, owner, key.Value), "%s has no member %s", c.path(n.Node), key.Value)
	}
	return Any()
}

func (c *check) memberHelp(n *ast.MemberNode, owner Shape, name string) string {
	prefix := c.path(n.Node)
	if prefix == "the item" {
		prefix = ""
	}
	if near := diag.Nearest(name, owner.names()); near != "" {
		return fmt.Sprintf("did you mean %q?", prefix+"."+near)
	}
	if below := owner.find(name, 3); below != "" {
		return fmt.Sprintf("did you mean %q?", prefix+"."+below)
	}
	return "it has " + strings.Join(owner.names(), ", ")
}

// read notes the dotted path of n as read.
func (c *check) read(n ast.Node) {
	for {
		if p := c.dotted(n); p != "" {
			c.reads[p] = true
			return
		}
		switch m := n.(type) {
		case *ast.MemberNode:
			n = m.Node
		case *ast.ChainNode:
			n = m.Node
		default:
			return
		}
	}
}

// dotted returns the path of a chain of names that begins at a name of the
// scope, else "".
func (c *check) dotted(n ast.Node) string {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if _, ok := c.scope.roots[n.Value]; ok && !c.isVar(n.Value) {
			return n.Value
		}
	case *ast.ChainNode:
		return c.dotted(n.Node)
	case *ast.MemberNode:
		if key, ok := n.Property.(*ast.StringNode); ok {
			if owner := c.dotted(n.Node); owner != "" {
				return owner + "." + key.Value
			}
		}
	}
	return ""
}

func (c *check) isVar(name string) bool {
	_, ok := c.vars[name]
	return ok
}

// path names n in a message.
func (c *check) path(n ast.Node) string {
	if p := c.dotted(n); p != "" {
		return p
	}
	switch n := n.(type) {
	case *ast.PointerNode:
		return "the item"
	case *ast.ChainNode:
		return c.path(n.Node)
	case *ast.MemberNode:
		return c.path(n.Node) + "[…]"
	case *ast.CallNode:
		return c.path(n.Callee) + "(…)"
	case *ast.IdentifierNode:
		return n.Value
	}
	return "this"
}

func (c *check) let(n *ast.VariableDeclaratorNode) Shape {
	shape := c.node(n.Value, false)
	switch _, root := c.scope.roots[n.Name]; {
	case root || c.isVar(n.Name):
		c.fail(n, CodeRefused, "choose another name", "there already is a %s", n.Name)
	case functions[n.Name] != nil || strings.HasPrefix(n.Name, "$"):
		c.fail(n, CodeRefused, "choose another name", "let cannot be called %s", n.Name)
	}
	c.vars[n.Name] = shape
	result := c.node(n.Expr, false)
	delete(c.vars, n.Name)
	return result
}

func (c *check) conditional(n *ast.ConditionalNode) Shape {
	if n.Cond == n.Exp1 {
		c.fail(n, CodeRefused, "write a ?? b", "?: is not allowed")
		return Any()
	}
	c.each(n.Cond, n.Exp1, n.Exp2)
	return Any()
}

func (c *check) pair(n *ast.PairNode) {
	if _, ok := n.Key.(*ast.StringNode); !ok {
		c.fail(n.Key, CodeRefused, `write {"name": value}`, "the names of an object are plain texts")
	}
	c.node(n.Value, false)
}
