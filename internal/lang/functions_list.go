package lang

import (
	"maps"
	"slices"
)

func nth(name string, i int64) operation {
	return func(r *run, a []any) (any, error) {
		list, ok := norm(a[0]).([]any)
		if !ok && norm(a[0]) != nil {
			return nil, faultf("%s needs a list, not %s", name, describe(a[0]))
		}
		return item(list, i), nil
	}
}

// extreme makes min and max: of numbers or of texts, absent values left out.
func extreme(name string, better func(int) bool) operation {
	return func(r *run, a []any) (any, error) {
		if len(a) == 1 {
			list, ok, err := r.listArg(name, a[0])
			if !ok || err != nil {
				return nil, err
			}
			a = list
		}
		var best any
		for _, v := range a {
			if v = norm(v); v == nil {
				continue
			}
			if best == nil {
				best = v
				continue
			}
			c, err := order(name, v, best)
			if err != nil {
				return nil, err
			}
			if better(c) {
				best = v
			}
		}
		switch best.(type) {
		case nil, string, int64, float64:
			return best, nil
		}
		return nil, faultf("%s needs numbers or texts, not %s", name, describe(best))
	}
}

func fnSort(r *run, a []any) (any, error) {
	list, ok, err := r.listArg("sort", a[0])
	if !ok || err != nil {
		return nil, err
	}
	if err := r.spend(16 * len(list)); err != nil {
		return nil, err
	}
	out := make([]any, 0, len(list))
	for _, v := range list {
		if v = norm(v); v != nil {
			out = append(out, v)
		}
	}
	slices.SortStableFunc(out, func(x, y any) int {
		c, e := order("sort", x, y)
		if e != nil {
			err = e
		}
		return c
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func fnReverse(r *run, a []any) (any, error) {
	list, ok, err := r.listArg("reverse", a[0])
	if !ok || err != nil {
		return nil, err
	}
	out := slices.Clone(list)
	slices.Reverse(out)
	return out, nil
}

// fnUniq keeps the first of equal items.
func fnUniq(r *run, a []any) (any, error) {
	list, ok, err := r.listArg("uniq", a[0])
	if !ok || err != nil {
		return nil, err
	}
	type key struct {
		kind byte
		text string
	}
	seen := map[key]bool{}
	out := []any{}
	for _, v := range list {
		v = norm(v)
		s, _, err := r.text(v)
		if err != nil {
			return nil, err
		}
		k := key{kind: kindOf(v), text: s}
		if !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	return out, nil
}

func kindOf(v any) byte {
	switch v.(type) {
	case nil:
		return 'n'
	case string:
		return 's'
	case bool:
		return 'b'
	case int64, float64:
		return '1'
	}
	return 'o'
}

func fnConcat(r *run, a []any) (any, error) {
	out := []any{}
	found := false
	for _, v := range a {
		list, ok, err := r.listArg("concat", v)
		if err != nil {
			return nil, err
		}
		found = found || ok
		out = append(out, list...)
		if len(out) > maxItems {
			out = out[:maxItems]
			r.truncated = true
		}
	}
	if !found {
		return nil, nil
	}
	return out, nil
}

// object returns the members of v; present is false when it is absent.
func (r *run) object(name string, v any) (m map[string]any, present bool, err error) {
	switch v := norm(v).(type) {
	case nil:
		return nil, false, nil
	case map[string]any:
		return v, true, r.spend(len(v))
	case map[string]string:
		m = make(map[string]any, len(v))
		for k, s := range v {
			m[k] = s
		}
		return m, true, r.spend(len(v))
	default:
		return nil, false, faultf("%s needs an object, not %s", name, describe(v))
	}
}

// sortedKeys returns at most as many names as a list may have, in order.
func (r *run) sortedKeys(m map[string]any) []string {
	names := slices.Sorted(maps.Keys(m))
	if len(names) > maxItems {
		names = names[:maxItems]
		r.truncated = true
	}
	return names
}

func fnKeys(r *run, a []any) (any, error) {
	m, ok, err := r.object("keys", a[0])
	if !ok || err != nil {
		return nil, err
	}
	out := []any{}
	for _, k := range r.sortedKeys(m) {
		out = append(out, k)
	}
	return out, nil
}

func fnToPairs(r *run, a []any) (any, error) {
	m, ok, err := r.object("toPairs", a[0])
	if !ok || err != nil {
		return nil, err
	}
	out := []any{}
	for _, k := range r.sortedKeys(m) {
		out = append(out, []any{k, norm(m[k])})
	}
	return out, nil
}

// fnFromPairs makes an object of [name, value] pairs; a pair without a name is
// left out, of several with one name the last counts.
func fnFromPairs(r *run, a []any) (any, error) {
	list, ok, err := r.listArg("fromPairs", a[0])
	if !ok || err != nil {
		return nil, err
	}
	out := make(map[string]any, len(list))
	for _, v := range list {
		pair, ok := norm(v).([]any)
		if !ok || len(pair) != 2 {
			return nil, faultf("fromPairs needs pairs [name, value], not %s", describe(v))
		}
		name, ok := scalarText(norm(pair[0]))
		if ok {
			out[name] = norm(pair[1])
		} else if norm(pair[0]) != nil {
			return nil, faultf("fromPairs needs texts as names, not %s", describe(pair[0]))
		}
	}
	return out, nil
}
