package lang

import (
	"errors"

	"github.com/expr-lang/expr/ast"
)

// loop is a function with a condition, as it runs.
type loop struct {
	list []any
	body step
}

// each runs the body for the items in their order, or from the last to the
// first, until visit returns false.
func (l loop) each(f *frame, backwards bool, visit func(item, v any) bool) error {
	item, index := f.item, f.index
	for i := range l.list {
		if backwards {
			i = len(l.list) - 1 - i
		}
		f.item, f.index = l.list[i], int64(i)
		v, err := l.body(f)
		if err != nil {
			return err
		}
		if !visit(l.list[i], v) {
			break
		}
	}
	f.item, f.index = item, index
	return nil
}

// loops are the functions with a condition. The rewriter made sure that, except
// for map, the value of the body is a bool; it
// makes sum of map.
var loops = map[string]func(l loop, f *frame) (any, error){
	"all":      func(l loop, f *frame) (any, error) { return l.until(f, false, false) },
	"none":     func(l loop, f *frame) (any, error) { return l.until(f, true, false) },
	"any":      func(l loop, f *frame) (any, error) { return l.until(f, true, true) },
	"find":     func(l loop, f *frame) (any, error) { return l.find(f, false) },
	"findLast": func(l loop, f *frame) (any, error) { return l.find(f, true) },
	"one": func(l loop, f *frame) (any, error) {
		n, err := l.count(f)
		return n == 1, err
	},
	"count": func(l loop, f *frame) (any, error) {
		n, err := l.count(f)
		return n, err
	},
	"filter": func(l loop, f *frame) (any, error) {
		out := make([]any, 0, len(l.list))
		err := l.each(f, false, func(item, v any) bool {
			if v.(bool) {
				out = append(out, item)
			}
			return true
		})
		return out, err
	},
	"map": func(l loop, f *frame) (any, error) {
		out := make([]any, 0, len(l.list))
		err := l.each(f, false, func(_, v any) bool {
			out = append(out, v)
			return true
		})
		if err == nil {
			err = f.run.holds(out)
		}
		return out, err
	},
}

// until stops at the first item for which the condition is stop and returns
// found then, else the opposite.
func (l loop) until(f *frame, stop, found bool) (any, error) {
	result := !found
	err := l.each(f, false, func(_, v any) bool {
		if v.(bool) != stop {
			return true
		}
		result = found
		return false
	})
	return result, err
}

func (l loop) find(f *frame, backwards bool) (any, error) {
	var found any
	err := l.each(f, backwards, func(item, v any) bool {
		if v.(bool) {
			found = item
			return false
		}
		return true
	})
	return found, err
}

func (l loop) count(f *frame) (int64, error) {
	n := int64(0)
	err := l.each(f, false, func(_, v any) bool {
		if v.(bool) {
			n++
		}
		return true
	})
	return n, err
}

func (a *assembler) builtin(n *ast.BuiltinNode) step {
	run := loops[n.Name]
	list, body := a.step(n.Arguments[0]), a.step(n.Arguments[1].(*ast.PredicateNode).Node)
	return func(f *frame) (any, error) {
		v, err := list(f)
		if err != nil {
			return nil, err
		}
		out, err := run(loop{list: v.([]any), body: body}, f)
		var placed *located // by the condition
		if err != nil && !errors.As(err, &placed) {
			err = &located{err, n.Location()}
		}
		return out, err
	}
}
