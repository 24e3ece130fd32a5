package bridge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// View returns the run as the API shows it and as templates see it: one nested
// object with the names of [Fields], absent where nobody said. Times are RFC
// 3339 in UTC, durations ms, lists ordered by start and then key. The caller
// may change it.
func (r *Run) View() map[string]any {
	return r.view(r.Attempt(), r.Status(), r.head().head)
}

// ViewAs returns the run as it was when f fired: today's fields with f's
// attempt and status, so that an old state never carries a newer word.
func (r *Run) ViewAs(f Firing) map[string]any {
	h := r.head()
	if f.Attempt == h.attempt && f.Status == r.Status() {
		return r.View()
	}
	return r.view(f.Attempt, f.Status, head{status: f.Status, duration: -1})
}

func (r *Run) view(attempt int64, status Status, h head) map[string]any {
	v := map[string]any{
		"id": r.ID, "source": r.Source, "key": r.Key, "attempt": attempt, "status": string(status),
		"created_at": clock(r.CreatedAt), "updated_at": clock(r.UpdatedAt),
	}
	for _, c := range r.fields {
		if c.name == parentField {
			v["parent"] = RunID(r.Partition, r.Source, text(c.value))
			continue
		}
		set(v, c.name, shown(c.name, c.value))
	}
	for _, f := range fields {
		if value, ok := r.ownField(f.Name); ok && f.OwnAttempt {
			set(v, f.Name, shown(f.Name, value))
		}
	}
	for root, entries := range r.maps {
		m := map[string]any{}
		for _, c := range entries {
			m[c.name] = c.value
		}
		v[root] = m
	}
	timing := timingOf(r.timing().started, h)
	if status.rank() >= 2 {
		setTiming(v, timing)
	}
	if name := r.PipelineName(); name != "" {
		set(v, "pipeline.short_id", PipelineID(name))
		set(v, "pipeline.canonical", name)
	}
	missing := r.Incomplete()
	if status == Incomplete {
		v["incomplete"] = missing
	} else {
		v["incomplete"] = []string{}
	}
	for _, l := range lists {
		v[l.Name] = itemViews(l, r.items(l.Name), r.order)
	}
	v["summary"] = summary(status, missing, timing.duration, v["warnings"] == true)
	if h.stale() {
		v["summary"] = "Errored: no end event"
	}
	return v
}

func setTiming(v map[string]any, t timing) {
	if t.started > 0 {
		v["started_at"] = clock(t.started)
	}
	if t.finished > 0 {
		v["finished_at"] = clock(t.finished)
	}
	if t.duration >= 0 {
		v["duration_ms"] = t.duration
	}
}

// itemViews shows a list, ordered by start (the unstarted last) and then key.
func itemViews(l ListOf, items itemSet, order Order) []any {
	keys := slices.SortedFunc(maps.Keys(items), func(a, b string) int {
		sa, sb := items[a].Started, items[b].Started
		if (sa == 0) != (sb == 0) {
			return cmp.Compare(sb, sa)
		}
		return cmp.Or(cmp.Compare(sa, sb), cmp.Compare(a, b))
	})
	out := make([]any, 0, len(keys))
	for _, key := range keys {
		out = append(out, items[key].view(l, key, order))
	}
	return out
}

func (i *item) view(l ListOf, key string, order Order) map[string]any {
	v := map[string]any{"key": key}
	for _, c := range i.Cells {
		v[c.name] = c.value
	}
	if slices.ContainsFunc(l.Fields, func(f Field) bool { return f.Name == "status" }) {
		h := i.Heads.under(order)
		v["status"] = string(cmp.Or(h.status, Unknown))
		setTiming(v, timingOf(i.Started, h))
	}
	for _, sub := range l.Lists {
		v[sub.Name] = itemViews(sub, i.Lists[sub.Name], order)
	}
	return v
}

// shown turns a stored value into what people see.
func shown(name string, value any) any {
	if kind, _ := kindOf(name); kind == Time {
		return clock(millis(value))
	}
	return value
}

// set puts value at a dotted name into nested objects.
func set(v map[string]any, name string, value any) {
	for {
		first, rest, nested := strings.Cut(name, ".")
		if !nested {
			v[first] = value
			return
		}
		sub, ok := v[first].(map[string]any)
		if !ok {
			sub = map[string]any{}
			v[first] = sub
		}
		v, name = sub, rest
	}
}

// clock formats epoch ms as RFC 3339 in UTC, with milliseconds only where
// there are any.
func clock(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00")
}

// summary is one line for people: the default description of a commit status.
func summary(status Status, missing []string, durationMS int64, warnings bool) string {
	s := strings.ReplaceAll(string(status), "_", " ")
	if status == Incomplete {
		s = string(Succeeded)
	}
	if status == Succeeded && warnings {
		s = "succeeded with warnings"
	}
	if status.Terminal() && durationMS >= 0 {
		s += " in " + spoken(durationMS)
	}
	if status == Incomplete {
		verb := " is missing"
		if len(missing) > 1 {
			verb = " are missing"
		}
		s += ", but " + strings.Join(missing, " and ") + verb
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func spoken(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d < time.Second {
		return fmt.Sprintf("%dms", ms)
	}
	return d.Round(time.Second).String()
}
