package mapping

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// width is how long a line may get before a value is broken into several.
const width = 110

// yamlWriter writes lines with their comments.
type yamlWriter struct{ strings.Builder }

func (w *yamlWriter) line(indent int, format string, args ...any) {
	w.WriteString(strings.Repeat(" ", indent))
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

// guessed writes a key with a guess at its value. Column is where comments
// begin, 0 for right behind.
func (w *yamlWriter) guessed(indent, column int, key, value, note string) {
	text := key + ": " + value
	if note != "" {
		text = fmt.Sprintf("%-*s  # guess: %s", column, text, note)
	}
	w.line(indent, "%s", text)
}

// write returns the draft as YAML, with its tests or without them.
func (d *draft) write(tests bool) []byte {
	w := &yamlWriter{}
	var from []string
	for _, p := range d.payloads {
		from = append(from, yamlText(p.name))
	}
	w.line(0, "# A first mapping, made from %s.", clip(strings.Join(from, ", "), 80))
	w.line(0, "# Look at every \"guess:\" and delete the comment when it is right. cibridge lint and cibridge test check the rest.")
	if len(d.hidden) > 0 {
		var names []string
		for _, name := range d.hidden {
			names = append(names, yamlText(name))
		}
		w.line(0, "# Left out of the tests, because it looks like a secret: %s.", strings.Join(names, ", "))
	}
	w.line(0, "version: 1")
	w.line(0, "name: %s", yamlText(d.name))
	w.line(0, "")
	w.line(0, "receive:")
	w.guessed(2, 0, "auth", "["+d.auth+"]", d.authNote)
	w.line(0, "")
	shared := d.sharedWords()
	if shared != nil {
		w.line(0, "maps:")
		w.line(2, "state:  # guess: its words, and those of most tools; keep the ones that it has")
		w.statusMap(4, shared)
		w.line(0, "")
	}
	w.line(0, "events:")
	for _, e := range d.events {
		e.write(w, shared != nil)
	}
	if !tests {
		return []byte(w.String())
	}
	w.line(0, "")
	w.line(0, "tests:")
	for _, e := range d.events {
		for _, p := range e.payloads {
			d.writeTest(w, e, p)
		}
	}
	return []byte(w.String())
}

// sharedWords are the words of all events where several have a map, else nil.
func (d *draft) sharedWords() []draftWant {
	words, maps := []draftWant{}, 0
	for _, e := range d.events {
		if e.status == nil || e.status.literal != "" {
			continue
		}
		maps++
		for _, word := range e.status.words {
			if !slices.ContainsFunc(words, func(w draftWant) bool { return strings.EqualFold(w.name, word.name) }) {
				words = append(words, word)
			}
		}
	}
	if maps < 2 {
		return nil
	}
	return words
}

func (e *draftEvent) write(w *yamlWriter, sharedMap bool) {
	w.line(2, "- name: %s", yamlText(e.name))
	if match := e.match(); match != "" {
		w.guessed(4, 0, "match", match, e.note)
	}
	key := "[" + strings.Join(e.runKey, ", ") + "]"
	if len(e.runKey) == 1 {
		key = e.runKey[0]
	}
	w.guessed(4, 0, "run_key", key, e.keyNote)
	for _, f := range []*draftField{e.attempt, e.at} {
		if f != nil {
			w.guessed(4, 0, f.name, f.yaml, f.note)
		}
	}
	e.status.write(w, sharedMap)
	if len(e.fields) == 0 {
		return
	}
	w.line(4, "fields:")
	column := 0
	for _, f := range e.fields {
		if n := len(f.name) + 2 + len([]rune(f.yaml)); n < 70 {
			column = max(column, n)
		}
	}
	for _, f := range e.fields {
		w.guessed(6, column, f.name, f.yaml, f.note)
	}
}

func (e *draftEvent) match() string {
	var parts []string
	for _, m := range []struct {
		key   string
		wants []draftWant
	}{{"header", e.header}, {"body", e.body}} {
		var wants []string
		for _, want := range m.wants {
			wants = append(wants, yamlText(want.name)+": "+yamlText(want.value))
		}
		if len(wants) > 0 {
			parts = append(parts, m.key+": {"+strings.Join(wants, ", ")+"}")
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (s *draftStatus) write(w *yamlWriter, sharedMap bool) {
	switch {
	case s == nil:
		return
	case s.literal != "":
		w.guessed(4, 0, "status", "{value: "+string(s.literal)+"}", s.note)
		return
	}
	from := "path: " + yamlText(s.paths[0])
	if len(s.paths) > 1 {
		from = "first_of: [" + yamlText(s.paths[0]) + ", " + yamlText(s.paths[1]) + "]"
	}
	if sharedMap {
		w.guessed(4, 0, "status", "{"+from+", map: state, ignore_case: true}", "by its name")
		return
	}
	w.line(4, "status:  # guess: its words, and those of most tools; keep the ones that it has")
	w.line(6, "%s", from)
	w.line(6, "ignore_case: true")
	w.line(6, "map:")
	w.statusMap(8, s.words)
}

// statusMap writes words and, a line for each status, those of most tools.
func (w *yamlWriter) statusMap(indent int, words []draftWant) {
	open := "{"
	for _, word := range words {
		note := ""
		if word.value == string(bridge.Unknown) {
			note = "  # guess: say what it means: " + strings.Join(statusWords, ", ")
		}
		w.line(indent, "%s%s: %s,%s", open, yamlText(word.name), word.value, note)
		open = " "
	}
	for i, row := range statusTable {
		var words []string
		for _, word := range row.words {
			words = append(words, word+": "+string(row.status))
		}
		end := ","
		if i == len(statusTable)-1 {
			end = "}"
		}
		w.line(indent, "%s%s%s", open, strings.Join(words, ", "), end)
		open = " "
	}
}

// writeTest writes the test of a payload: what is sent, and what comes of it
// once that is known.
func (d *draft) writeTest(w *yamlWriter, e *draftEvent, p *payload) {
	w.line(2, "- name: %s", yamlText(p.name))
	if len(p.header) > 0 {
		w.line(4, "headers:")
		for _, name := range sortedKeys(p.header) {
			w.line(6, "%s: %s", yamlText(name), yamlText(p.header[name]))
		}
	}
	switch {
	case !p.aside:
		w.value(4, "body", p.root)
	case p.file != "":
		w.line(4, "body_file: %s", yamlText(p.file))
	default:
		w.line(4, "base64: %s", base64.StdEncoding.EncodeToString(p.body))
	}
	w.line(4, "expect:")
	w.line(6, "event: %s", yamlText(e.name))
	if len(p.result.Events) == 0 {
		return
	}
	view := eventViews(p.result, "")[0]
	names := []string{"status"}
	if e.runKey[0] != eachRequest { // the test has the same JSON, not the same bytes
		names = []string{"key", "status"}
	}
	for _, f := range []*draftField{e.attempt, e.at} {
		if f != nil {
			names = append(names, f.name)
		}
	}
	for _, f := range e.fields {
		names = append(names, f.name)
	}
	for _, name := range names {
		v := view[name]
		if ms, ok := v.(int64); ok && isTime(name) {
			v = lang.FormatMS(ms)
		}
		switch v := v.(type) {
		case nil:
		case string:
			w.line(6, "%s: %s", name, yamlText(v))
		default:
			w.line(6, "%s: %v", name, v)
		}
	}
}

// value writes a key with a JSON value, in one line where it fits.
func (w *yamlWriter) value(indent int, key string, n *jsonNode) {
	if flow := flowText(n); indent+len(key)+2+len([]rune(flow)) <= width {
		w.line(indent, "%s: %s", key, flow)
		return
	}
	switch n.kind {
	case jsonObject:
		w.line(indent, "%s:", key)
		for _, m := range n.members {
			w.value(indent+2, yamlText(m.name), m.value)
		}
	case jsonList:
		w.line(indent, "%s:", key)
		for _, item := range n.items {
			w.item(indent+2, item)
		}
	default:
		w.line(indent, "%s: %s", key, flowText(n))
	}
}

func (w *yamlWriter) item(indent int, n *jsonNode) {
	flow := flowText(n)
	if n.kind != jsonObject && n.kind != jsonList || indent+2+len([]rune(flow)) <= width {
		w.line(indent, "- %s", flow)
		return
	}
	var inner yamlWriter
	for _, m := range n.members {
		inner.value(indent+2, yamlText(m.name), m.value)
	}
	for _, item := range n.items {
		inner.item(indent+2, item)
	}
	w.WriteString(strings.Repeat(" ", indent) + "- " + inner.String()[indent+2:])
}

// flowText is a JSON value in one line of YAML.
func flowText(n *jsonNode) string {
	var parts []string
	switch n.kind {
	case jsonObject:
		for _, m := range n.members {
			parts = append(parts, yamlText(m.name)+": "+flowText(m.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case jsonList:
		for _, item := range n.items {
			parts = append(parts, flowText(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case jsonText:
		return yamlText(n.text)
	}
	return n.text
}

// plainText is text that YAML reads as it is written, everywhere; plainWords are
// those among it that YAML 1.1 readers take for something else.
var (
	plainText  = regexp.MustCompile(`^[A-Za-z_][\w./@+-]*( [\w./@+-]+)*$`)
	plainWords = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
)

// yamlText writes a text as YAML, quoted where it has to be.
func yamlText(s string) string {
	if plainText.MatchString(s) && !slices.Contains(plainWords, strings.ToLower(s)) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
