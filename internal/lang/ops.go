package lang

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// operation is what stands behind an operator or a function. Its arguments are
// values of the kinds that norm returns; they are valid until it returns.
type operation func(r *run, a []any) (any, error)

// natives has all operations and functions under the names that a rewritten
// tree calls.
var natives = makeNatives()

func makeNatives() map[string]operation {
	all := map[string]operation{
		"§value": nil, "§get": nil, // the assembler makes these two itself
		"§bool": opBool, "§neg": opNeg,
		"§add": opAdd, "§sub": arithmetic("subtract", "-", subInt, subFloat), "§mul": arithmetic("multiply", "*", mulInt, mulFloat), "§div": opDiv, "§mod": opMod,
		"§less": compare("<", func(c int) bool { return c < 0 }), "§more": compare(">", func(c int) bool { return c > 0 }),
		"§lessEqual": compare("<=", func(c int) bool { return c <= 0 }), "§moreEqual": compare(">=", func(c int) bool { return c >= 0 }),
		"§in": opIn, "§contains": opContains, "§matches": opMatches,
		"§startsWith": textTest("startsWith", strings.HasPrefix), "§endsWith": textTest("endsWith", strings.HasSuffix),
		"§slice": opSlice, "§index": opIndex, "§list": opList, "§tick": opTick, "§sum": opSum,
	}
	for name, f := range functions {
		all[name] = f.run
	}
	return all
}

// opTick counts a round of a condition.
func opTick(r *run, a []any) (any, error) { return a[0], r.spend(64) }

// get follows a constant chain. What is not there is absent.
func get(v any, keys []chainKey) (any, error) {
	d, ok := v.(*Doc)
	if !ok {
		if m, ok := v.(Members); ok && keys[0].named {
			return getPlain(norm(m.Member(keys[0].name)), keys[1:])
		}
		return getPlain(norm(v), keys)
	}
	if d == nil {
		return nil, nil
	}
	n, err := d.in.follow(d.at, keys)
	if d.in.trace != nil {
		d.in.arrived(d.at, chainPath(keys), n)
	}
	if n == nowhere || err != nil {
		return nil, err
	}
	return d.in.value(n), nil
}

func (t *document) follow(n int32, keys []chainKey) (int32, error) {
	for _, k := range keys {
		switch kind := t.kind(n); {
		case kind == 'n':
			return nowhere, nil
		case k.named && kind == '{':
			n = t.member(n, k.name)
		case !k.named && kind == '[':
			n = t.item(n, k.index)
		default:
			return nowhere, keyFault(t.value(n), k)
		}
		if n == nowhere {
			break
		}
	}
	return n, nil
}

// chainPath returns the gjson path of a chain.
func chainPath(keys []chainKey) string {
	var steps []string
	for _, k := range keys {
		if k.named {
			steps = append(steps, escapeStep(k.name))
		} else {
			steps = append(steps, strconv.Itoa(k.index))
		}
	}
	return strings.Join(steps, ".")
}

func getPlain(v any, keys []chainKey) (any, error) {
	for _, k := range keys {
		var next any
		switch o := v.(type) {
		case nil:
			return nil, nil
		case map[string]any:
			if !k.named {
				return nil, keyFault(v, k)
			}
			next = o[k.name]
		case map[string]string:
			if !k.named {
				return nil, keyFault(v, k)
			}
			if s, ok := o[k.name]; ok {
				next = s
			}
		case []any:
			if k.named {
				return nil, keyFault(v, k)
			}
			next = item(o, int64(k.index))
		default:
			return nil, keyFault(v, k)
		}
		v = norm(next)
	}
	return v, nil
}

func keyFault(v any, k chainKey) error {
	var f *fault
	switch {
	case !k.named:
		f = faultf("%s has no item %d", describe(v), k.index)
	case strings.HasPrefix(describe(v), "a list"):
		f = faultf("%s has no member %s", describe(v), k.name).withHelp("use map(list, .%s), or list[0].%[1]s", k.name)
	default:
		f = faultf("%s has no member %s", describe(v), k.name)
	}
	f.from = k.from
	return f
}

func item(list []any, i int64) any {
	if i < 0 {
		i += int64(len(list))
	}
	if i < 0 || i >= int64(len(list)) {
		return nil
	}
	return norm(list[i])
}

// opIndex is x[key] with a key that is computed.
func opIndex(_ *run, a []any) (any, error) {
	switch k := norm(a[1]).(type) {
	case nil:
		return nil, nil
	case string:
		return getPlain(norm(a[0]), []chainKey{{name: k, named: true, from: -1}})
	case int64:
		list, ok := norm(a[0]).([]any)
		if !ok && norm(a[0]) != nil {
			return nil, faultf("%s has no item %d", describe(a[0]), k)
		}
		return item(list, k), nil
	default:
		return nil, faultf("%s cannot be an index", describe(k))
	}
}

// opBool is a condition: absent counts as false.
func opBool(_ *run, a []any) (any, error) {
	switch v := norm(a[0]).(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	default:
		return nil, faultf("%s is neither true nor false", describe(v)).withHelp("compare it with something: x == …")
	}
}

func equal(a, b any) bool {
	if l, ok := a.(int64); ok {
		if r, ok := b.(float64); ok {
			return float64(l) == r
		}
	}
	switch a.(type) {
	case nil, bool, string, int64, float64:
		return a == b
	}
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func opIn(r *run, a []any) (any, error) {
	needle := norm(a[0])
	switch in := norm(a[1]).(type) {
	case nil:
		return false, nil
	case []any:
		for _, v := range in {
			if equal(needle, norm(v)) {
				return true, nil
			}
		}
		return false, r.spend(len(in))
	case map[string]any:
		k, _ := needle.(string)
		_, ok := in[k]
		return ok, nil
	case map[string]string:
		k, _ := needle.(string)
		_, ok := in[k]
		return ok, nil
	case string:
		return nil, faultf("in looks into a list, and %s is a text", describe(in)).withHelp("write text contains part")
	default:
		return nil, faultf("in looks into a list, not into %s", describe(in))
	}
}

func opContains(r *run, a []any) (any, error) {
	if list, ok := norm(a[0]).([]any); ok {
		return opIn(r, []any{a[1], list})
	}
	return textTest("contains", strings.Contains)(r, a)
}

// textTest makes an operator on two texts; of an absent one it is false.
func textTest(name string, holds func(s, part string) bool) operation {
	return func(r *run, a []any) (any, error) {
		left, right := norm(a[0]), norm(a[1])
		if left == nil || right == nil {
			return false, nil
		}
		l, lok := scalarText(left)
		s, sok := scalarText(right)
		if !lok || !sok {
			wrong := left
			if lok {
				wrong = right
			}
			return nil, faultf("%s compares texts, and this is %s", name, describe(wrong))
		}
		return holds(l, s), r.spend(len(l))
	}
}

// scalarText returns a text or a number as text.
func scalarText(v any) (string, bool) {
	switch v.(type) {
	case string, int64, float64:
		return text(v)
	}
	return "", false
}

func opMatches(r *run, a []any) (any, error) {
	v := norm(a[0])
	if v == nil {
		return false, nil
	}
	s, ok := scalarText(v)
	if !ok {
		return nil, faultf("matches needs a text, not %s", describe(v))
	}
	re, err := r.search("matches", s, a[1])
	if err != nil {
		return nil, err
	}
	return re.MatchString(s), nil
}

// search accounts for looking for a pattern in s, and returns the pattern.
func (r *run) search(name, s string, p any) (*regexp.Regexp, error) {
	if err := r.takeApart(name, s); err != nil {
		return nil, err
	}
	return p.(*pattern).re, r.spend(len(s) * p.(*pattern).cost)
}

// takeApart accounts for work that is a multiple of the length of s.
func (r *run) takeApart(name, s string) error {
	if len(s) > maxText {
		return limitf("%s got a text of %d bytes; at most %d are allowed", name, len(s), maxText)
	}
	return r.spend(8 * len(s))
}

func opSlice(r *run, a []any) (any, error) {
	from, err := bound(a[1], 0)
	if err != nil {
		return nil, err
	}
	to, err := bound(a[2], math.MaxInt64)
	if err != nil {
		return nil, err
	}
	switch v := norm(a[0]).(type) {
	case nil:
		return nil, nil
	case []any:
		f, t := clamp(from, to, int64(len(v)))
		return append([]any{}, v[f:t]...), r.spend(int(t - f))
	case string:
		if err := r.takeApart("a slice", v); err != nil {
			return nil, err
		}
		if isASCII(v) {
			f, t := clamp(from, to, int64(len(v)))
			return v[f:t], nil
		}
		runes := []rune(v)
		f, t := clamp(from, to, int64(len(runes)))
		return string(runes[f:t]), nil
	default:
		return nil, faultf("%s cannot be sliced", describe(v))
	}
}

func isASCII(s string) bool { return utf8.RuneCountInString(s) == len(s) }

func bound(v any, absent int64) (int64, error) {
	switch v := norm(v).(type) {
	case nil:
		return absent, nil
	case int64:
		return v, nil
	default:
		return 0, faultf("%s cannot be an index", describe(v))
	}
}

func clamp(from, to, n int64) (int64, int64) {
	if from < 0 {
		from = max(0, from+n)
	}
	if to < 0 {
		to += n
	}
	to = min(max(to, 0), n)
	return min(from, to), to
}

// noItems is the empty list; nothing can be written into it.
var noItems any = []any{}

// opList prepares the list that a condition runs over.
func opList(r *run, a []any) (any, error) {
	x := norm(a[0])
	switch v := x.(type) {
	case nil:
		return noItems, nil
	case []any:
		if len(v) > maxItems {
			r.truncated = true
			return v[:maxItems], nil
		}
		return x, nil // and not v, which would be allocated as a new any
	default:
		return nil, faultf("a list is needed, not %s", describe(v))
	}
}

func opSum(r *run, a []any) (any, error) {
	if norm(a[0]) == nil {
		return nil, nil
	}
	list, err := opList(r, a)
	if err != nil {
		return nil, err
	}
	var sum any = int64(0)
	for _, v := range list.([]any) {
		if v = norm(v); v == nil {
			continue
		}
		if sum, err = arithmetic("add", "+", addInt, addFloat)(r, []any{sum, v}); err != nil {
			return nil, err
		}
	}
	return sum, r.spend(len(list.([]any)))
}
