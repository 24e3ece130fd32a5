package lang

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm/runtime"
)

// step computes the value of one node of a rewritten tree. An expression runs
// as a tree of steps and not on the machine of expr: that one looks up every
// name and every function in a map and allocates the arguments of every call,
// which took more time than all the operations.
type step func(f *frame) (any, error)

// frame is what the steps of one run share.
type frame struct {
	run   run
	roots []any // the values of the names of the scope
	vars  []any // the values of let, by the number of their slot
	stack []any // arguments of the calls that are being prepared
	item  any   // of the condition that runs
	index int64 // of item

	// What most expressions need, to be allocated together with the frame.
	varsRoom  [8]any
	stackRoom [16]any
}

// located is an error in its place in the source.
type located struct {
	err error
	at  file.Location
}

func (l *located) Error() string { return l.err.Error() }
func (l *located) Unwrap() error { return l.err }

// assembler makes the steps of a rewritten tree.
type assembler struct {
	roots []string // the names of the scope that are read
	vars  []string // in scope; the place of a name is its slot
	slots int      // as many as are ever in scope
}

func (a *assembler) step(n ast.Node) step {
	switch n := n.(type) {
	case *ast.ConstantNode:
		return constant(n.Value)
	case *ast.StringNode:
		return constant(n.Value)
	case *ast.BoolNode:
		return constant(n.Value)
	case *ast.FloatNode:
		return constant(n.Value)
	case *ast.NilNode:
		return constant(nil)
	case *ast.IdentifierNode:
		return a.name(n.Value)
	case *ast.PointerNode:
		if n.Name == "index" {
			return func(f *frame) (any, error) { return f.index, nil }
		}
		return func(f *frame) (any, error) { return f.item, nil }
	case *ast.UnaryNode:
		return a.not(n)
	case *ast.BinaryNode:
		return a.binary(n)
	case *ast.ConditionalNode:
		return choose(a.step(n.Cond), a.step(n.Exp1), a.step(n.Exp2))
	case *ast.CallNode:
		return a.call(n)
	case *ast.BuiltinNode:
		return a.builtin(n)
	case *ast.VariableDeclaratorNode:
		return a.let(n)
	case *ast.ArrayNode:
		return a.list(n)
	case *ast.MapNode:
		return a.object(n)
	}
	// The check let nothing else through.
	panic(fmt.Sprintf("no step for %T", n))
}

func (a *assembler) steps(nodes []ast.Node) []step {
	out := make([]step, len(nodes))
	for i, n := range nodes {
		out[i] = a.step(n)
	}
	return out
}

func constant(v any) step {
	return func(*frame) (any, error) { return v, nil }
}

func (a *assembler) name(name string) step {
	for slot := len(a.vars) - 1; slot >= 0; slot-- {
		if a.vars[slot] == name {
			return func(f *frame) (any, error) { return f.vars[slot], nil }
		}
	}
	i := slices.Index(a.roots, name)
	return func(f *frame) (any, error) { return f.roots[i], nil }
}

func (a *assembler) let(n *ast.VariableDeclaratorNode) step {
	value := a.step(n.Value)
	slot := len(a.vars)
	a.vars = append(a.vars, n.Name)
	a.slots = max(a.slots, len(a.vars))
	body := a.step(n.Expr)
	a.vars = a.vars[:slot]
	return func(f *frame) (any, error) {
		v, err := value(f)
		if err != nil {
			return nil, err
		}
		f.vars[slot] = v
		return body(f)
	}
}

// truth runs a condition. The rewriter made sure that it is a bool.
func (s step) truth(f *frame) (bool, error) {
	v, err := s(f)
	if err != nil {
		return false, err
	}
	return v.(bool), nil
}

func (a *assembler) not(n *ast.UnaryNode) step {
	of := a.step(n.Node)
	return func(f *frame) (any, error) {
		v, err := of.truth(f)
		return !v, err
	}
}

func choose(condition, yes, no step) step {
	return func(f *frame) (any, error) {
		v, err := condition.truth(f)
		switch {
		case err != nil:
			return nil, err
		case v:
			return yes(f)
		}
		return no(f)
	}
}

// binary makes the operators that are no operations of ours.
func (a *assembler) binary(n *ast.BinaryNode) step {
	left, right := a.step(n.Left), a.step(n.Right)
	switch n.Operator {
	case "and", "&&":
		return choose(left, right, constant(false))
	case "or", "||":
		return choose(left, constant(true), right)
	case "??":
		return func(f *frame) (any, error) {
			if v, err := left(f); v != nil || err != nil {
				return v, err
			}
			return right(f)
		}
	}
	wanted, place := n.Operator == "==", n.Location()
	return func(f *frame) (any, error) {
		l, err := left(f)
		if err != nil {
			return nil, err
		}
		r, err := right(f)
		if err != nil {
			return nil, err
		}
		if nested(l) {
			if err := f.run.holds(l); err != nil {
				return nil, &located{err, place}
			}
		}
		return same(l, r) == wanted, nil
	}
}

// nested reports whether v holds other values.
func nested(v any) bool {
	switch v.(type) {
	case []any, map[string]any:
		return true
	}
	return false
}

// same is the == of expressions: that of expr, with the frequent cases first.
func same(l, r any) bool {
	switch l.(type) {
	case nil, string, bool:
		switch r.(type) {
		case nil, string, bool:
			return l == r
		}
	}
	return runtime.Equal(l, r)
}

func (a *assembler) call(n *ast.CallNode) step {
	name := n.Callee.(*ast.IdentifierNode).Value
	place := n.Location()
	switch name {
	case "§value":
		of := a.step(n.Arguments[0])
		return func(f *frame) (any, error) {
			v, err := of(f)
			return norm(v), err
		}
	case "§get":
		owner, keys := a.step(n.Arguments[0]), n.Arguments[1].(*ast.ConstantNode).Value.(*chain).keys
		return func(f *frame) (any, error) {
			v, err := owner(f)
			if err != nil {
				return nil, err
			}
			if v, err = get(v, keys); err != nil {
				return nil, &located{err, place}
			}
			return v, nil
		}
	}
	run, args := natives[name], a.steps(n.Arguments)
	if name == "§in" {
		// The one place where a written list is only looked at. Elsewhere it
		// may become a value, which its owner may change.
		if list, ok := constantList(n.Arguments[1]); ok {
			args[1] = constant(list)
		}
	}
	return func(f *frame) (any, error) {
		base := len(f.stack)
		for _, arg := range args {
			v, err := arg(f)
			if err != nil {
				return nil, err
			}
			f.stack = append(f.stack, v)
		}
		v, err := run(&f.run, f.stack[base:])
		f.stack = f.stack[:base]
		if err != nil {
			return nil, &located{err, place}
		}
		return v, nil
	}
}

// constantList returns a list of literals.
func constantList(n ast.Node) ([]any, bool) {
	list, ok := n.(*ast.ArrayNode)
	if !ok {
		return nil, false
	}
	out := make([]any, len(list.Nodes))
	for i, item := range list.Nodes {
		switch item := item.(type) {
		case *ast.ConstantNode:
			out[i] = item.Value
		case *ast.StringNode:
			out[i] = item.Value
		case *ast.BoolNode:
			out[i] = item.Value
		case *ast.FloatNode:
			out[i] = item.Value
		case *ast.NilNode:
		default:
			return nil, false
		}
	}
	return out, true
}

func (a *assembler) list(n *ast.ArrayNode) step {
	items := a.steps(n.Nodes)
	return func(f *frame) (any, error) {
		out := make([]any, len(items))
		for i, item := range items {
			v, err := item(f)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		if err := f.run.holds(out); err != nil {
			return nil, &located{err, n.Location()}
		}
		return out, nil
	}
}

// object makes the members of an object in their order; of several with one
// name the first counts.
func (a *assembler) object(n *ast.MapNode) step {
	names := make([]string, len(n.Pairs))
	values := make([]step, len(n.Pairs))
	for i, p := range n.Pairs {
		pair := p.(*ast.PairNode)
		names[i], values[i] = pair.Key.(*ast.StringNode).Value, a.step(pair.Value)
	}
	return func(f *frame) (any, error) {
		out := make(map[string]any, len(values))
		for i, value := range values {
			v, err := value(f)
			if err != nil {
				return nil, err
			}
			if _, twice := out[names[i]]; !twice {
				out[names[i]] = v
			}
		}
		if err := f.run.holds(out); err != nil {
			return nil, &located{err, n.Location()}
		}
		return out, nil
	}
}
