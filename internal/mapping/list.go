package mapping

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// listSpec is a compiled list of a run or of an item.
type listSpec struct {
	name    string // "stages"
	full    string // "workflow_job.stages", for messages
	at      place
	each    *value
	entries bool // each leads to an object whose members are the items
	when    *expression
	key     *key
	attempt *value
	fields  []field
	lists   []*listSpec
}

// fill evaluates lists on w and adds their items to out. A list that the
// payload does not have is not there.
func (s *state) fill(lists []*listSpec, w where) map[string][]bridge.Item {
	var out map[string][]bridge.Item
	for _, l := range lists {
		docs, ok := l.items(s, w)
		if !ok {
			continue
		}
		if out == nil {
			out = make(map[string][]bridge.Item, len(lists))
		}
		items := out[l.name]
		if items == nil {
			items = make([]bridge.Item, 0, len(docs))
		}
		for i := range docs {
			item, why := l.item(s, where{doc: &docs[i], item: true, index: i})
			if why == "" {
				items = append(items, item)
			}
			s.item(l, w.doc, &docs[i], item, why)
		}
		out[l.name] = items
	}
	return out
}

// items finds the documents of the items; ok is false when there is no list.
func (l *listSpec) items(s *state, w where) (docs []lang.Doc, ok bool) {
	x, f := l.each.eval(s, w)
	if f != nil {
		s.warn(f.Error())
		return nil, false
	}
	d, isDoc := x.(*lang.Doc)
	if x == nil {
		return nil, false
	}
	if !isDoc {
		raw, err := json.Marshal(x)
		if err != nil {
			s.warn(l.each.fault("", "%v", err).Error())
			return nil, false
		}
		d = lang.NewDoc(string(raw))
	}
	if l.entries {
		if !d.IsObject() {
			s.warn(l.each.fault("", "%s is not an object", describe(x)).Error())
			return nil, false
		}
		docs = d.Pairs()
	} else {
		docs = d.Items()
	}
	if len(docs) > maxItems {
		s.warn(l.each.fault("", "cut to %d of %d items", maxItems, len(docs)).Error())
		docs = docs[:maxItems]
	}
	return docs, true
}

// item makes one item; why says why it is left out, "" when it is not.
func (l *listSpec) item(s *state, w where) (item bridge.Item, why string) {
	if l.when != nil {
		v, err := s.run(l.when, w)
		if err != nil {
			s.warn((&fault{name: l.full + ".when", at: l.when.at, message: err.Error()}).Error())
			return bridge.Item{}, "when failed"
		}
		if v != true {
			return bridge.Item{}, "when is not true"
		}
	}
	out := bridge.Item{Fields: make(map[string]any, len(l.fields))}
	for _, f := range l.fields {
		if f.name == "status" {
			s.itemStatus(f, w, out.Fields)
			continue
		}
		if fault := f.set(s, w, out.Fields); fault != nil {
			s.warn(fault.Error() + "; the item is left out")
			return bridge.Item{}, "a required value is absent"
		}
	}
	settleItem(out.Fields)
	out.Lists = s.fill(l.lists, w)
	if !l.identify(s, w, &out) {
		return bridge.Item{}, "it has no key"
	}
	if l.attempt != nil {
		n, f := s.attemptOf(l.attempt, w)
		if f != nil {
			s.warn(f.Error())
		}
		out.Attempt = n
	}
	return out, ""
}

// identify gives the item its key: the declared one, else all its values.
func (l *listSpec) identify(s *state, w where, out *bridge.Item) bool {
	if l.key != nil {
		var f *fault
		if out.Key, f = l.key.eval(s, w); f != nil {
			s.warn(f.Error() + "; the item is left out")
		}
		return f == nil
	}
	var room [8]string // of the fields of most items
	parts := room[:0]
	for _, f := range l.fields {
		if v, ok := out.Fields[f.name]; ok && !slices.Contains(volatile, f.name) {
			text, ok := v.(string)
			if !ok {
				text = fmt.Sprint(v)
			}
			parts = append(parts, text)
		}
	}
	out.Key = bridge.JoinKey(parts...)
	return strings.Trim(out.Key, "/") != ""
}

// volatile fields of an item say how it goes, not what it is.
var volatile = []string{"status", "started_at", "finished_at", "duration_ms"}

// itemStatus sets the status of an item: unknown, with a warning, for a word
// that nobody knows.
func (s *state) itemStatus(f field, w where, out map[string]any) {
	x, fault := f.value.eval(s, w)
	if fault != nil {
		s.warn(fault.Error())
		if fault.code == CodeWord {
			out["status"] = string(bridge.Unknown)
		}
		return
	}
	if x == nil {
		return
	}
	word, ok := scalar(x)
	if !ok || !slices.Contains(statusWords, word) {
		s.warn(f.value.fault(CodeWord, "%s is no status", describe(x)).Error())
		x = string(bridge.Unknown)
	} else if _, is := x.(string); !is {
		x = word
	}
	out["status"] = x
}

// settleItem drops times that an item of this status cannot have.
func settleItem(fields map[string]any) {
	word, ok := fields["status"].(string)
	if !ok {
		return
	}
	status := bridge.Status(word)
	if !status.Terminal() {
		delete(fields, "finished_at")
		delete(fields, "duration_ms")
	}
	if status == bridge.Queued {
		delete(fields, "started_at")
	}
}
