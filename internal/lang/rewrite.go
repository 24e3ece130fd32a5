package lang

import (
	"fmt"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// rewriter builds the tree that runs from the tree that was written and
// checked: members, operators and functions become calls of ours, which accept
// absent values, count what they cost and complain in words.
type rewriter struct {
	regexps map[ast.Node]*pattern
	vars    []string
	temps   int
}

// chain is a constant path of members and items.
type chain struct {
	keys []chainKey
}

type chainKey struct {
	name  string
	index int
	named bool // else index
	from  int  // rune offset in the source
}

func at(n ast.Node, loc file.Location) ast.Node {
	n.SetLocation(loc)
	return n
}

// op calls one of the operations of ops.go or a function, in the place of n.
func (w *rewriter) op(n ast.Node, name string, args ...ast.Node) ast.Node {
	loc := start(n)
	return at(&ast.CallNode{Callee: at(&ast.IdentifierNode{Value: name}, loc), Arguments: args}, loc)
}

// start is the place where the text of n begins, when n is a chain of members:
// its own is that of its last member.
func start(n ast.Node) file.Location {
	switch m := n.(type) {
	case *ast.MemberNode:
		return start(m.Node)
	case *ast.ChainNode:
		return start(m.Node)
	}
	return n.Location()
}

func (w *rewriter) values(nodes []ast.Node) []ast.Node {
	out := make([]ast.Node, len(nodes))
	for i, n := range nodes {
		out[i] = w.value(n)
	}
	return out
}

// value rewrites n.
func (w *rewriter) value(n ast.Node) ast.Node {
	loc := n.Location()
	switch n := n.(type) {
	case *ast.IdentifierNode:
		if w.isVar(n.Value) {
			return at(&ast.IdentifierNode{Value: n.Value}, loc)
		}
		return w.op(n, "§value", at(&ast.IdentifierNode{Value: n.Value}, loc))
	case *ast.PointerNode:
		if n.Name == "index" {
			return w.op(n, "§value", n)
		}
		return n
	case *ast.IntegerNode:
		return at(&ast.ConstantNode{Value: int64(n.Value)}, loc)
	case *ast.ChainNode:
		return w.value(n.Node)
	case *ast.MemberNode:
		return w.member(n)
	case *ast.SliceNode:
		return w.op(n, "§slice", w.value(n.Node), w.orNil(n.From), w.orNil(n.To))
	case *ast.UnaryNode:
		return w.unary(n)
	case *ast.BinaryNode:
		return w.binary(n)
	case *ast.ConditionalNode:
		return at(&ast.ConditionalNode{Ternary: true, Cond: w.boolean(n.Cond), Exp1: w.value(n.Exp1), Exp2: w.value(n.Exp2)}, loc)
	case *ast.CallNode:
		return w.call(n)
	case *ast.BuiltinNode:
		return w.builtin(n)
	case *ast.VariableDeclaratorNode:
		value := w.value(n.Value)
		w.vars = append(w.vars, n.Name)
		body := w.value(n.Expr)
		w.vars = w.vars[:len(w.vars)-1]
		return at(&ast.VariableDeclaratorNode{Name: n.Name, Value: value, Expr: body}, loc)
	case *ast.ArrayNode:
		return at(&ast.ArrayNode{Nodes: w.values(n.Nodes)}, loc)
	case *ast.MapNode:
		return at(&ast.MapNode{Pairs: w.values(n.Pairs)}, loc)
	case *ast.PairNode:
		return at(&ast.PairNode{Key: n.Key, Value: w.value(n.Value)}, loc)
	}
	return n
}

func (w *rewriter) isVar(name string) bool {
	for _, v := range w.vars {
		if v == name {
			return true
		}
	}
	return false
}

func (w *rewriter) orNil(n ast.Node) ast.Node {
	if n == nil {
		return &ast.NilNode{}
	}
	return w.value(n)
}

// member rewrites a whole chain of constant members into one call.
func (w *rewriter) member(n *ast.MemberNode) ast.Node {
	base, keys := constantKeys(n)
	if len(keys) == 0 {
		return w.op(n, "§index", w.value(n.Node), w.value(n.Property))
	}
	var owner ast.Node
	if ident, ok := base.(*ast.IdentifierNode); ok {
		// Not w.value: a Doc stays one, and only what is read is decoded.
		owner = at(&ast.IdentifierNode{Value: ident.Value}, ident.Location())
	} else {
		owner = w.value(base)
	}
	return w.op(n, "§get", owner, at(&ast.ConstantNode{Value: &chain{keys}}, n.Location()))
}

// constantKeys returns the constant keys at the end of n, and what they are
// keys of.
func constantKeys(n ast.Node) (base ast.Node, keys []chainKey) {
	switch m := n.(type) {
	case *ast.ChainNode:
		return constantKeys(m.Node)
	case *ast.MemberNode:
		key, ok := constantKey(m.Property)
		if !ok {
			return n, nil
		}
		base, keys = constantKeys(m.Node)
		return base, append(keys, key)
	}
	return n, nil
}

func constantKey(n ast.Node) (chainKey, bool) {
	from := n.Location().From
	switch n := n.(type) {
	case *ast.StringNode:
		return chainKey{name: n.Value, named: true, from: from}, true
	case *ast.IntegerNode:
		return chainKey{index: n.Value, from: from}, true
	case *ast.UnaryNode:
		if i, ok := n.Node.(*ast.IntegerNode); ok && n.Operator == "-" {
			return chainKey{index: -i.Value, from: from}, true
		}
	}
	return chainKey{}, false
}

func (w *rewriter) unary(n *ast.UnaryNode) ast.Node {
	switch n.Operator {
	case "-":
		return w.op(n, "§neg", w.value(n.Node))
	case "+":
		return w.value(n.Node)
	}
	return at(&ast.UnaryNode{Operator: "not", Node: w.boolean(n.Node)}, n.Location())
}

// operations are the operators that run as calls. The others, == != ?? and or,
// are expr's own.
var operations = map[string]string{
	"+": "§add", "-": "§sub", "*": "§mul", "/": "§div", "%": "§mod",
	"<": "§less", ">": "§more", "<=": "§lessEqual", ">=": "§moreEqual",
	"in": "§in", "contains": "§contains", "startsWith": "§startsWith", "endsWith": "§endsWith",
}

func (w *rewriter) binary(n *ast.BinaryNode) ast.Node {
	if name := operations[n.Operator]; name != "" {
		return w.op(n, name, w.value(n.Left), w.value(n.Right))
	}
	switch n.Operator {
	case "matches":
		return w.op(n, "§matches", w.value(n.Left), at(&ast.ConstantNode{Value: w.regexps[n.Right]}, n.Right.Location()))
	case "and", "&&", "or", "||":
		return at(&ast.BinaryNode{Operator: n.Operator, Left: w.boolean(n.Left), Right: w.boolean(n.Right)}, n.Location())
	}
	return at(&ast.BinaryNode{Operator: n.Operator, Left: w.value(n.Left), Right: w.value(n.Right)}, n.Location())
}

var boolean = map[string]bool{
	"==": true, "!=": true, "<": true, ">": true, "<=": true, ">=": true, "in": true, "contains": true, "startsWith": true, "endsWith": true,
	"matches": true, "and": true, "&&": true, "or": true, "||": true, "all": true, "any": true, "none": true, "one": true,
}

// boolean rewrites n where a condition is needed.
func (w *rewriter) boolean(n ast.Node) ast.Node {
	v := w.value(n)
	switch n := n.(type) {
	case *ast.BoolNode:
		return v
	case *ast.BinaryNode:
		if boolean[n.Operator] {
			return v
		}
	case *ast.BuiltinNode:
		if boolean[n.Name] {
			return v
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return v
		}
	}
	return w.op(n, "§bool", v)
}

func (w *rewriter) call(n *ast.CallNode) ast.Node {
	name := n.Callee.(*ast.IdentifierNode).Value
	args := w.values(n.Arguments)
	if functions[name].regex {
		args[1] = at(&ast.ConstantNode{Value: w.regexps[n.Arguments[1]]}, n.Arguments[1].Location())
	}
	if last := len(args) - 1; name == "coalesce" || name == "default" {
		// These skip "", but who writes one as the last argument means it.
		if text, ok := args[last].(*ast.StringNode); ok && text.Value == "" {
			return at(&ast.BinaryNode{Operator: "??", Left: w.op(n, name, args[:last]...), Right: text}, n.Location())
		}
	}
	return w.op(n, name, args...)
}

// builtin rewrites a function with a condition. An absent list has no items;
// map and filter of it are absent.
func (w *rewriter) builtin(n *ast.BuiltinNode) ast.Node {
	loc := n.Location()
	if n.Name == "sum" {
		return w.sum(n)
	}
	w.temps++
	temp := fmt.Sprintf("§%d", w.temps)
	source := func() ast.Node { return at(&ast.IdentifierNode{Value: temp}, loc) }
	p := n.Arguments[1].(*ast.PredicateNode)
	var body ast.Node
	if n.Name == "map" {
		body = w.op(p.Node, "§tick", w.value(p.Node))
	} else {
		body = w.op(p.Node, "§tick", w.boolean(p.Node))
	}
	call := at(&ast.BuiltinNode{Name: n.Name, Arguments: []ast.Node{
		w.op(n.Arguments[0], "§list", source()),
		at(&ast.PredicateNode{Node: body}, p.Location()),
	}}, loc)
	if n.Name == "count" {
		call = w.op(n, "§value", call)
	}
	if n.Name == "map" || n.Name == "filter" {
		absent := at(&ast.BinaryNode{Operator: "==", Left: source(), Right: at(&ast.NilNode{}, loc)}, loc)
		call = at(&ast.ConditionalNode{Ternary: true, Cond: absent, Exp1: at(&ast.NilNode{}, loc), Exp2: call}, loc)
	}
	return at(&ast.VariableDeclaratorNode{Name: temp, Value: w.value(n.Arguments[0]), Expr: call}, loc)
}

func (w *rewriter) sum(n *ast.BuiltinNode) ast.Node {
	if len(n.Arguments) == 1 {
		return w.op(n, "§sum", w.value(n.Arguments[0]))
	}
	mapped := at(&ast.BuiltinNode{Name: "map", Arguments: n.Arguments}, n.Location()).(*ast.BuiltinNode)
	return w.op(n, "§sum", w.builtin(mapped))
}
