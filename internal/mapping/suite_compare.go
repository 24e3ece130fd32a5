package mapping

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/yamldoc"
)

// compareMap compares the keys that are written; others may be there.
func (r *testRun) compareMap(want *yamldoc.Node, got map[string]any, at string) {
	for _, p := range want.Pairs {
		name := p.Key.Text
		full := strings.TrimPrefix(at+"."+name, ".")
		v, _ := lookup(got, name)
		if name == "warnings" && at == "" && p.Value.Kind != yamldoc.Map {
			r.warnings(p.Value, v)
			continue
		}
		r.compare(p.Value, v, full)
	}
}

// warnings compares the flag, or looks for each wanted text in some warning.
func (r *testRun) warnings(want *yamldoc.Node, got any) {
	texts, isList := got.([]any)
	if want.Kind != yamldoc.List || len(want.Items) == 0 {
		r.compare(want, got, "warnings")
		return
	}
	for _, w := range want.Items {
		if !isList || !slices.ContainsFunc(texts, func(t any) bool { return strings.Contains(t.(string), w.Text) }) {
			r.fail(w, "warnings: want one with %q, got %s", w.Text, show("", got))
		}
	}
}

// compare compares a value as it is written: 7 and "7" are the same, and so are
// two forms of one time.
func (r *testRun) compare(want *yamldoc.Node, got any, at string) {
	switch want.Kind {
	case yamldoc.Map:
		m, ok := got.(map[string]any)
		if !ok {
			r.fail(want, "%s: want an object, got %s", at, show(at, got))
			return
		}
		r.compareMap(want, m, at)
	case yamldoc.List:
		l, ok := got.([]any)
		if texts, isTexts := got.([]string); isTexts {
			l, ok = anyTexts(texts), true
		}
		if got == nil && len(want.Items) == 0 {
			return
		}
		if !ok {
			r.fail(want, "%s: want a list of %d, got %s", at, len(want.Items), show(at, got))
			return
		}
		if len(l) != len(want.Items) {
			r.fail(want, "%s: want %d items, got %d: %s", at, len(want.Items), len(l), show(at, got))
			return
		}
		for i, w := range want.Items {
			r.compare(w, l[i], at+"["+strconv.Itoa(i)+"]")
		}
	default:
		r.compareScalar(want, got, at)
	}
}

func (r *testRun) compareScalar(want *yamldoc.Node, got any, at string) {
	if want.Null() {
		if got != nil {
			r.fail(want, "%s: want it absent, got %s", at, show(at, got))
		}
		return
	}
	text, ok := lang.Text(got)
	if ok && text == want.Text {
		return
	}
	if isTime(at) {
		a, okA, errA := lang.Times{}.Parse(want.Text)
		b, okB, errB := lang.Times{}.Parse(got)
		if okA && okB && errA == nil && errB == nil && a == b {
			return
		}
	}
	r.fail(want, "%s: want %s, got %s", at, want.Text, show(at, got))
}

// isTime reports whether a name is that of a time.
func isTime(name string) bool {
	name = name[strings.LastIndexByte(name, '.')+1:]
	return name == "at" || strings.HasSuffix(name, "_at")
}

// show returns a value for a message.
func show(name string, v any) string {
	if v == nil {
		return "nothing"
	}
	if ms, ok := v.(int64); ok && isTime(name) {
		return lang.FormatMS(ms)
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return clip(string(b), 500)
}

// lookup finds a dotted name in nested objects, flat names with dots in them,
// or a mix. The part of a flat name stands for an object.
func lookup(v map[string]any, name string) (any, bool) {
	if x, ok := v[name]; ok {
		return x, x != nil
	}
	for i := range name {
		if name[i] != '.' {
			continue
		}
		if sub, ok := v[name[:i]].(map[string]any); ok {
			if x, ok := lookup(sub, name[i+1:]); ok {
				return x, true
			}
		}
	}
	below := map[string]any{}
	for k, x := range v {
		if rest, ok := strings.CutPrefix(k, name+"."); ok {
			below[rest] = x
		}
	}
	if len(below) == 0 {
		return nil, false
	}
	return below, true
}

// knownStatus reports whether a run has a status that fires something.
func knownStatus(s bridge.Status) bool { return s != "" && s != bridge.Unknown }
