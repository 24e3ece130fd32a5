package lang

import (
	"math"
	"math/bits"
	"strings"
)

func opNeg(_ *run, a []any) (any, error) {
	switch v := norm(a[0]).(type) {
	case int64:
		if v == math.MinInt64 {
			return nil, overflow("-", v, nil)
		}
		return -v, nil
	case float64:
		return -v, nil
	default:
		return nil, operandFault("negate", "-", nil, v)
	}
}

// operandFault complains about the first operand that is not a number.
func operandFault(verb, sign string, left, right any) error {
	for i, v := range []any{left, right} {
		if _, ok := numberOf(v); ok || i == 0 && left == nil && verb == "negate" {
			continue
		}
		if v == nil {
			side := []string{"left", "right"}[i]
			return faultf("the value on the %s of %s is absent", side, sign).withHelp("give a default: (x ?? 0)")
		}
		f := faultf("cannot %s %s: it is not a number", verb, describe(v))
		if _, ok := numeric(v); ok {
			f = f.withHelp("write int(x)")
		}
		return f
	}
	return faultf("cannot %s %s and %s", verb, describe(left), describe(right))
}

func numberOf(v any) (any, bool) {
	switch v.(type) {
	case int64, float64:
		return v, true
	}
	return nil, false
}

func overflow(sign string, a, b any) error {
	if b == nil {
		return faultf("%s%v does not fit into 64 bits", sign, a)
	}
	return faultf("%v %s %v does not fit into 64 bits", a, sign, b)
}

func opAdd(r *run, a []any) (any, error) {
	left, right := norm(a[0]), norm(a[1])
	l, lt := left.(string)
	s, st := right.(string)
	switch {
	case lt && st:
		if err := r.made(len(l) + len(s)); err != nil {
			return nil, err
		}
		return l + s, nil
	case (lt || st) && left != nil && right != nil:
		return nil, faultf("cannot add %s and %s", describe(left), describe(right)).withHelp("write string(x) to make a text of a number, int(x) to make a number of a text")
	case (lt || st):
		side := "left"
		if left != nil {
			side = "right"
		}
		return nil, faultf("the value on the %s of + is absent", side).withHelp(`give a default: (x ?? "")`)
	}
	return arithmetic("add", "+", addInt, addFloat)(r, a)
}

func addInt(a, b int64) (int64, bool) {
	c := a + b
	return c, (c > a) == (b > 0)
}

func subInt(a, b int64) (int64, bool) {
	c := a - b
	return c, (c < a) == (b > 0)
}

func mulInt(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi != 0 || lo > math.MaxInt64 {
		return 0, a == math.MinInt64 && b == 1 || b == math.MinInt64 && a == 1
	}
	if (a < 0) != (b < 0) {
		return -int64(lo), true
	}
	return int64(lo), true
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return uint64(-(a + 1)) + 1
	}
	return uint64(a)
}

func addFloat(a, b float64) float64 { return a + b }
func subFloat(a, b float64) float64 { return a - b }
func mulFloat(a, b float64) float64 { return a * b }

// arithmetic makes an operation that stays with whole numbers as long as both
// operands are whole, and refuses to overflow.
func arithmetic(verb, sign string, whole func(a, b int64) (int64, bool), fraction func(a, b float64) float64) operation {
	return func(_ *run, a []any) (any, error) {
		left, right := norm(a[0]), norm(a[1])
		l, lok := left.(int64)
		s, sok := right.(int64)
		if lok && sok {
			c, fits := whole(l, s)
			if !fits {
				return nil, overflow(sign, l, s)
			}
			return c, nil
		}
		if _, ok := numberOf(left); !ok {
			return nil, operandFault(verb, sign, left, right)
		}
		if _, ok := numberOf(right); !ok {
			return nil, operandFault(verb, sign, left, right)
		}
		return wholeFloat(fraction(asFloat(left), asFloat(right))), nil
	}
}

// opDiv gives a whole number where it can, else a fraction.
func opDiv(_ *run, a []any) (any, error) {
	if isZero(a[1]) {
		return nil, faultf("cannot divide by 0")
	}
	l, lok := norm(a[0]).(int64)
	s, sok := norm(a[1]).(int64)
	if lok && sok && !(l == math.MinInt64 && s == -1) && l%s == 0 {
		return l / s, nil
	}
	left, right := norm(a[0]), norm(a[1])
	if _, ok := numberOf(left); !ok {
		return nil, operandFault("divide", "/", left, right)
	}
	if _, ok := numberOf(right); !ok {
		return nil, operandFault("divide", "/", left, right)
	}
	return wholeFloat(asFloat(left) / asFloat(right)), nil
}

func opMod(_ *run, a []any) (any, error) {
	if isZero(a[1]) {
		return nil, faultf("cannot divide by 0")
	}
	l, lok := norm(a[0]).(int64)
	s, sok := norm(a[1]).(int64)
	if !lok || !sok {
		return nil, faultf("%% needs two whole numbers, not %s and %s", describe(a[0]), describe(a[1]))
	}
	if s == -1 {
		return int64(0), nil
	}
	return l % s, nil
}

func isZero(v any) bool {
	n := norm(v)
	return n == int64(0) || n == float64(0)
}

// compare makes an order: of two numbers or of two texts.
func compare(sign string, holds func(int) bool) operation {
	return func(_ *run, a []any) (any, error) {
		c, err := order(sign, norm(a[0]), norm(a[1]))
		if err != nil {
			return nil, err
		}
		return holds(c), nil
	}
}

func order(sign string, left, right any) (int, error) {
	l, lt := left.(string)
	r, rt := right.(string)
	if lt && rt {
		return strings.Compare(l, r), nil
	}
	x, xok := left.(int64)
	y, yok := right.(int64)
	if xok && yok {
		switch {
		case x < y:
			return -1, nil
		case x > y:
			return 1, nil
		}
		return 0, nil
	}
	_, ln := numberOf(left)
	_, rn := numberOf(right)
	if !ln || !rn {
		switch {
		case left == nil:
			return 0, faultf("the value on the left of %s is absent", sign).withHelp("give a default: (x ?? 0)")
		case right == nil:
			return 0, faultf("the value on the right of %s is absent", sign).withHelp("give a default: (x ?? 0)")
		}
		return 0, faultf("cannot compare %s with %s", describe(left), describe(right)).withHelp("write int(x) to make a number of a text")
	}
	f, g := asFloat(left), asFloat(right)
	switch {
	case f < g:
		return -1, nil
	case f > g:
		return 1, nil
	}
	return 0, nil
}
