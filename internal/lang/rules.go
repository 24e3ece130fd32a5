package lang

import (
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"

	"github.com/expr-lang/expr/ast"

	"cibridge/internal/diag"
)

// predicates are the functions that run a condition for each item of a list.
// Only these may be written with one, and not inside each other: three nested
// ones over 1000 items took 72 seconds.
var predicates = map[string]string{
	"all": "all(list, .ok)", "any": "any(list, .ok)", "none": "none(list, .ok)", "one": "one(list, .ok)",
	"filter": "filter(list, .ok)", "find": "find(list, .ok)", "findLast": "findLast(list, .ok)",
	"map": "map(list, .name)", "count": "count(list, .ok)", "sum": "sum(list, .size)",
}

// refused are functions of expr that are not offered, and why.
var refused = map[string]string{
	"repeat": "it can make texts of any size", "reduce": "it can make texts of any size", "now": "the same event must give the same result every time",
	"groupBy": "its order is not defined", "values": "its order is not defined", "toJSON": "write string(x)", "fromJSON": "use decode.unwrap of the mapping",
	"date": "use ms(x)", "duration": "durations are numbers of milliseconds", "lastIndexOf": "use last_segment(x)", "contains": "write a contains b",
}

func (c *check) call(n *ast.CallNode) Shape {
	name, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		help := "write lower(x), not x.lower()"
		if m, ok := n.Callee.(*ast.MemberNode); ok {
			if key, ok := m.Property.(*ast.StringNode); ok {
				help = fmt.Sprintf("write %s(x), not x.%[1]s()", key.Value)
			}
		}
		c.fail(n, CodeName, help, "values have no methods")
		c.each(n.Arguments...)
		return Any()
	}
	f := functions[name.Value]
	if f == nil {
		c.unknownFunction(n, name.Value)
		return Any()
	}
	if name.Value == "omit" && !c.scope.omit {
		c.fail(n, CodeRefused, "write nil for a value that is absent", "omit() is for the templates of a request")
	}
	if got := len(n.Arguments); got < f.min || f.max >= 0 && got > f.max {
		c.fail(n, CodeArgs, "write "+f.usage, "%s got %s", name.Value, plural(got, "argument"))
	}
	for i, arg := range n.Arguments {
		if f.regex && i == 1 {
			c.pattern(arg)
		} else {
			c.node(arg, false)
		}
	}
	return f.shape
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func (c *check) unknownFunction(n ast.Node, name string) {
	if why := refused[name]; why != "" {
		c.fail(n, CodeRefused, why, "the function %s is not allowed", name)
		return
	}
	known := slices.Collect(maps.Keys(functions))
	known = slices.AppendSeq(known, maps.Keys(predicates))
	slices.Sort(known)
	help := ""
	if near := diag.Nearest(name, known); near != "" {
		help = fmt.Sprintf("did you mean %q?", near)
	}
	c.fail(n, CodeName, help, "unknown function %s", name)
}

func (c *check) builtin(n *ast.BuiltinNode) Shape {
	usage, ok := predicates[n.Name]
	if !ok {
		c.unknownFunction(n, n.Name)
		return Any()
	}
	list := c.node(n.Arguments[0], false)
	if list.kind == shapeLeaf {
		c.fail(n.Arguments[0], CodeArgs, "", "%s needs a list, and %s is a single value", n.Name, c.path(n.Arguments[0]))
	}
	if len(n.Arguments) < 2 {
		if n.Name == "count" {
			c.fail(n, CodeArgs, "for the number of all items write len(list)", "count needs a condition")
		}
		return Leaf()
	}
	if c.item != nil {
		c.fail(n, CodeRefused, "name the inner list with let first", "%s inside a condition is not allowed: it would look at every pair of items", n.Name)
		return Any()
	}
	item := Any()
	if list.kind == shapeList {
		item = *list.item
	}
	c.item = &item
	if p, ok := n.Arguments[1].(*ast.PredicateNode); ok {
		c.node(p.Node, false)
	} else {
		c.fail(n, CodeArgs, "write "+usage, "%s needs a condition", n.Name)
	}
	c.item = nil
	for _, more := range n.Arguments[2:] {
		c.fail(more, CodeArgs, "write "+usage, "%s got too many arguments", n.Name)
	}
	switch n.Name {
	case "filter":
		return list
	case "find", "findLast":
		return item
	}
	return Any()
}

// operators lists the allowed ones; their meaning is in ops.go.
var operators = map[string]bool{
	"+": true, "-": true, "*": true, "/": true, "%": true,
	"==": true, "!=": true, "<": true, ">": true, "<=": true, ">=": true,
	"and": true, "&&": true, "or": true, "||": true, "??": true,
	"in": true, "contains": true, "startsWith": true, "endsWith": true, "matches": true,
}

func (c *check) binary(n *ast.BinaryNode) Shape {
	switch {
	case n.Operator == "..":
		c.fail(n, CodeRefused, "", "ranges (..) are not allowed")
		return Any()
	case n.Operator == "**" || n.Operator == "^":
		c.fail(n, CodeRefused, "write a * a", "%s is not allowed", n.Operator)
		return Any()
	case !operators[n.Operator]:
		c.fail(n, CodeRefused, "", "%s is not allowed", n.Operator)
		return Any()
	}
	if sharedOperand(n) {
		c.fail(n, CodeRefused, "write a < b and b < c", "comparisons cannot be chained")
		return Any()
	}
	c.node(n.Left, false)
	if n.Operator == "matches" {
		c.pattern(n.Right)
	} else {
		c.node(n.Right, false)
	}
	return Any()
}

// sharedOperand reports whether n is what the parser makes of a < b < c:
// a < b and b < c with one node for both b.
func sharedOperand(n *ast.BinaryNode) bool {
	if n.Operator != "&&" {
		return false
	}
	left, ok := n.Left.(*ast.BinaryNode)
	right, ok2 := n.Right.(*ast.BinaryNode)
	if !ok || !ok2 {
		return false
	}
	if inner, ok := left.Right.(*ast.BinaryNode); ok && left.Operator == "&&" {
		left = inner
	}
	return left.Right == right.Left
}

func (c *check) pattern(n ast.Node) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		c.fail(n, CodeRefused, "write the pattern as a text", "a regular expression must be a constant")
		return
	}
	p, err := compilePattern(s.Value)
	if err != nil {
		c.fail(n, CodeSyntax, `a backslash is written \\ in quotes, or use backticks`, "%s", regexpError(err))
		return
	}
	c.regexps[n] = p
}

// pattern is a regular expression with what it costs per byte of text.
type pattern struct {
	re   *regexp.Regexp
	cost int
}

// compilePattern compiles an RE2 pattern. Its run time is linear in the text,
// with the size of its program as the factor.
func compilePattern(src string) (*pattern, error) {
	re, err := regexp.Compile(src)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(src, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	return &pattern{re: re, cost: max(8, len(prog.Inst))}, nil
}
