package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/mapping"
)

// printExplanations writes what takes the request in full and the rest in a
// line each; with all, with each of their events.
func printExplanations(w io.Writer, explanations []explained, all bool) error {
	var b bytes.Buffer
	t := &explainText{b: &b}
	var others []explained
	for i, e := range explanations {
		if rank(e) > taken && !all && (i > 0 || rank(e) > refused) {
			others = append(others, e)
			continue
		}
		t.explanation(e)
	}
	t.others(others)
	_, err := w.Write(b.Bytes())
	return err
}

// explainText writes explanations for people.
type explainText struct{ b *bytes.Buffer }

// table writes rows in columns, each line indented.
func (t *explainText) table(indent string, rows [][]string) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		panic(err) // never: it writes into memory
	}
	for line := range strings.Lines(b.String()) {
		t.b.WriteString(indent + strings.TrimRight(line, " \n") + "\n")
	}
}

func (t *explainText) line(format string, args ...any) {
	t.b.WriteString(printable(fmt.Sprintf(format, args...)) + "\n")
}

// outcomes in words.
var outcomeWords = map[bridge.Outcome]string{
	bridge.Applied: "takes it", bridge.Ignored: "ignores it", bridge.Unmapped: "does not know it", bridge.Rejected: "refuses it",
}

func (t *explainText) explanation(e explained) {
	if t.b.Len() > 0 {
		t.line("")
	}
	head := fmt.Sprintf("%s %s", e.Mapping, outcomeWords[e.Outcome])
	if e.Outcome == bridge.Unmapped && len(e.Events) > 0 {
		head = e.Mapping + " takes it without its status"
	}
	if e.Reason != "" {
		head += ": " + e.Reason
	}
	t.line("%s  (%s)", head, e.File)
	if p := e.Problem; p != nil && p.File != "" && p.Code != mapping.CodeNoEvent {
		t.line("  %s at %s:%d", p.Code, p.File, p.Line)
	}
	var rows [][]string
	for _, m := range e.Tried {
		answer := "no"
		if m.Takes {
			answer = "yes"
		}
		rows = append(rows, []string{m.Event, answer, clipped(m.Why, 120)})
	}
	t.table("  ", rows)
	for _, ev := range e.Events {
		t.event(e, ev)
	}
	if len(e.Lets) > 0 {
		t.line("")
		t.line("  lets")
		t.values("    ", e.Lets)
	}
	if len(e.Unused) > 0 {
		t.line("")
		t.line("  unused (no value reads them)")
		t.unused(e.Unused)
	}
}

// unused writes what nothing has read, the members of one object together.
func (t *explainText) unused(parts []lang.Unread) {
	for i := 0; i < len(parts); {
		parent, _ := lastStep(parts[i].Path)
		text := ""
		if parent != "" {
			text = parent + ": "
		}
		for first := i; i < len(parts); i++ {
			p, name := lastStep(parts[i].Path)
			if p != parent {
				break
			}
			if i > first {
				text += ", "
			}
			text += name
			if n := parts[i].Values; n > 1 {
				text += fmt.Sprintf(" (%d values)", n)
			}
		}
		t.wrap("    ", text)
	}
}

// lastStep cuts the last step off a path.
func lastStep(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '.')
	for i > 0 && path[i-1] == '\\' {
		i = strings.LastIndexByte(path[:i], '.')
	}
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// wrap writes words in lines of about 100 characters.
func (t *explainText) wrap(indent, text string) {
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line)+len(word) > 100 && strings.TrimSpace(line) != "" {
			t.line("%s", strings.TrimRight(line, " "))
			line = indent + "  "
		}
		line += word + " "
	}
	t.line("%s", strings.TrimRight(line, " "))
}

func (t *explainText) event(e explained, ev mapping.ExplainedEvent) {
	t.line("")
	t.line("  event %s  (%s:%d)", ev.Event, ev.File, ev.Line)
	rows := [][]string{keyRow("run key", ev.RunKey)}
	if ev.Parent != nil && ev.Parent.Value != "" {
		rows = append(rows, keyRow("parent", *ev.Parent))
	}
	dedupe := keyRow("dedupe", e.Dedupe)
	if absent := slices.IndexFunc(e.Dedupe.Parts, func(p mapping.ExplainedValue) bool { return p.Value == nil }); absent >= 0 {
		dedupe[2] = "the hash of the body: " + e.Dedupe.Parts[absent].Why
	} else if len(e.Dedupe.Parts) == 0 {
		dedupe[2] = "the hash of the body"
	}
	for _, v := range []mapping.ExplainedValue{ev.Attempt, ev.Status, ev.At} {
		rows = append(rows, valueRow(v))
	}
	t.table("    ", append(rows, dedupe))
	if len(ev.Fields) > 0 {
		t.line("")
		t.line("    fields")
		t.values("      ", ev.Fields)
	}
	t.lists("    ", ev.Lists)
	for _, w := range ev.Warnings {
		t.line("    warning: %s", w)
	}
	if len(ev.Requires) > 0 {
		t.line("    needs for a complete run: %s", strings.Join(ev.Requires, ", "))
	}
	t.fires(e, ev)
}

func (t *explainText) fires(e explained, ev mapping.ExplainedEvent) {
	t.line("")
	if len(ev.Triggers) == 0 {
		t.line("    would fire nothing on a new run")
		return
	}
	names := make([]string, len(ev.Triggers))
	for i, trigger := range ev.Triggers {
		names[i] = string(trigger)
	}
	t.line("    would fire on a new run: %s", strings.Join(names, ", "))
	var rows [][]string
	for _, c := range e.Hooks {
		switch {
		case c.Event != ev.Event:
		case c.Waits != "":
			rows = append(rows, []string{c.Hook, "waits for " + c.Waits})
		case c.Skips != "":
			rows = append(rows, []string{c.Hook, "sends nothing: " + c.Skips})
		default:
			rows = append(rows, []string{c.Hook, c.Method + " " + c.URL})
		}
	}
	t.table("      ", rows)
}

func keyRow(name string, k mapping.ExplainedKey) []string {
	var from []string
	for _, p := range k.Parts {
		from = append(from, p.From)
	}
	return []string{name, k.Value, strings.Join(from, " / "), place(k.Parts)}
}

func place(values []mapping.ExplainedValue) string {
	if len(values) == 0 || values[0].Line == 0 {
		return ""
	}
	return fmt.Sprintf(":%d", values[0].Line)
}

// values writes values that are there, then those that are not.
func (t *explainText) values(indent string, values []mapping.ExplainedValue) {
	var there, absent [][]string
	for _, v := range values {
		if v.Value == nil {
			absent = append(absent, []string{v.Name, "-", v.Why, place([]mapping.ExplainedValue{v})})
			continue
		}
		there = append(there, valueRow(v))
	}
	t.table(indent, append(there, absent...))
}

func valueRow(v mapping.ExplainedValue) []string {
	value := "-"
	if v.Value != nil {
		value = shown(v.Value, 60)
	}
	return []string{v.Name, value, way(v), place([]mapping.ExplainedValue{v})}
}

// way tells how a value came about: result = "FAILED" → map.
func way(v mapping.ExplainedValue) string {
	if v.From == "" {
		return v.Why
	}
	out := clipped(v.From, 60)
	// In an item the place of the item is enough.
	if v.Path != "" && !strings.HasSuffix("."+v.Path, "."+v.From) && !strings.HasPrefix(v.From, "=") {
		out += " at " + v.Path
	}
	for i, s := range v.Steps {
		text := shown(s.Value, 40)
		switch {
		case i == 0 && s.Value == nil:
			out += " is absent"
		case i == 0 && (len(v.Steps) > 1 || text != shown(v.Value, 40)) && s.Step != "value":
			out += " = " + text
		case i > 0 && i < len(v.Steps)-1:
			out += " → " + s.Step + " " + text
		case i > 0:
			out += " → " + s.Step
		}
	}
	if v.Why != "" {
		out += "; " + v.Why
	}
	return out
}

// maxShownItems is how many items of a list are written in full.
const maxShownItems = 5

func (t *explainText) lists(indent string, lists []mapping.ExplainedList) {
	for _, l := range lists {
		t.line("")
		t.line("%s%s  %s", indent, l.Name, itemsOf(l))
		left := map[string]int{}
		var reasons []string
		written := 0
		for _, item := range l.Items {
			switch {
			case item.LeftOut != "":
				if left[item.LeftOut]++; left[item.LeftOut] == 1 {
					reasons = append(reasons, item.LeftOut)
				}
			case written < maxShownItems:
				written++
				t.item(indent+"  ", item)
			default:
				written++
			}
		}
		if written > maxShownItems {
			t.line("%s  and %d more; --json shows them all", indent, written-maxShownItems)
		}
		for _, why := range reasons {
			t.line("%s  %d left out: %s", indent, left[why], why)
		}
	}
}

func itemsOf(l mapping.ExplainedList) string {
	if len(l.Items) == 0 {
		return "none at " + l.From
	}
	return fmt.Sprintf("%d from %s  (:%d)", len(l.Items), l.From, l.Line)
}

func (t *explainText) item(indent string, item mapping.ExplainedItem) {
	head := item.Key
	if item.Attempt > 0 {
		head += fmt.Sprintf(", attempt %d", item.Attempt)
	}
	if item.Path != "" {
		head += "  at " + item.Path
	}
	t.line("%s%s", indent, head)
	t.values(indent+"  ", item.Fields)
	t.lists(indent+"  ", slices.DeleteFunc(slices.Clone(item.Lists), func(l mapping.ExplainedList) bool { return len(l.Items) == 0 }))
}

// others writes the mappings that do not take the request.
func (t *explainText) others(others []explained) {
	if len(others) == 0 {
		return
	}
	if t.b.Len() > 0 {
		t.line("")
	}
	t.line("not taken by")
	var rows [][]string
	for _, e := range others {
		rows = append(rows, []string{e.Mapping, whyNot(e)})
	}
	t.table("  ", rows)
}

// whyNot is one reason for all events of a mapping: the one that they share,
// else the mapping's own.
func whyNot(e explained) string {
	for _, m := range e.Tried {
		if m.Takes {
			return clipped(e.Reason, 140)
		}
	}
	shared := ""
	for i, m := range e.Tried {
		what, _, _ := strings.Cut(m.Why, ", wants ")
		if i > 0 && what != shared {
			return clipped(e.Reason, 140)
		}
		shared = what
	}
	if shared == "" {
		return clipped(e.Reason, 140)
	}
	return clipped(shared, 140)
}

// shown writes a value in one short line.
func shown(v any, most int) string {
	b, err := marshalPlain(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return clipped(b, most)
}

func marshalPlain(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func clipped(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}

// printable replaces what could drive a terminal: payloads and the answers of
// providers are written by strangers.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
