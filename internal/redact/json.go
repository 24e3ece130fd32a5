package redact

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// JSON returns a JSON text without its secrets, and how many were taken out.
// What was valid stays valid: a secret value becomes "***".
func (r *Redactor) JSON(text []byte) (redacted []byte, found int) {
	out, n := r.document(string(text), 0)
	return []byte(out), n
}

// document walks a JSON text, or one that only begins like JSON.
func (r *Redactor) document(text string, nested int) (string, int) {
	found := 0
	if !json.Valid([]byte(text)) {
		// A secret may be what makes it none, and must not be taken apart.
		text, found = r.known(text)
	}
	w := &walker{r: r, s: text, nested: nested}
	for i := 0; i < len(text); {
		i = w.token(i)
	}
	text, n := w.result()
	return text, n + found
}

// walker goes through a JSON text once, without recursion. It collects edits:
// a value may turn out to be secret only when its object ends.
type walker struct {
	r      *Redactor
	s      string
	nested int
	stack  []frame
	edits  []edit
}

// frame is an open object or list.
type frame struct {
	object bool
	secret bool // everything in it is
	trail  trail

	name  string // of the member whose value comes next
	named bool

	// An object like {"name": "DB_PASSWORD", "value": "…"}.
	titled bool
	value  edit // of the member "value"; its end is 0 when there is none
}

// edit replaces s[from:to].
type edit struct {
	from, to int
	text     string
	found    int
}

// maxOpen bounds the stack: what is nested deeper was not accepted by anybody,
// and is read as text.
const maxOpen = 1000

// rest redacts all that follows i as text.
func (w *walker) rest(i int) int {
	if shown, n := w.r.Text(w.s[i:]); n > 0 {
		w.edits = append(w.edits, edit{i, len(w.s), shown, n})
	}
	return len(w.s)
}

// token reads what begins at i and returns where it ends.
func (w *walker) token(i int) int {
	switch c := w.s[i]; c {
	case ' ', '\t', '\r', '\n', ':':
		return i + 1
	case ',':
		if top := w.top(); top != nil {
			top.named = false
		}
		return i + 1
	case '{', '[':
		if len(w.stack) >= maxOpen {
			return w.rest(i)
		}
		w.open(i, c == '{')
		return i + 1
	case '}', ']':
		w.close(i + 1)
		return i + 1
	case '"':
		return w.quoted(i)
	}
	end := endOf(w.s, i, " \t\r\n,:{}[]\"")
	w.bare(i, end)
	return end
}

func (w *walker) top() *frame {
	if len(w.stack) == 0 {
		return nil
	}
	return &w.stack[len(w.stack)-1]
}

// place says whether the value that comes next is secret by its name or place,
// and where the paths have got to in it.
func (w *walker) place() (secret bool, in trail) {
	top := w.top()
	if top == nil {
		for i := range w.r.Paths {
			in = append(in, reached{path: i})
		}
		return false, in
	}
	in, secret = top.trail.into(w.r.Paths, top.name, !top.object)
	secret = secret || top.secret || w.r.Names && top.object && top.named && Name(top.name)
	return secret, in
}

func (w *walker) open(i int, object bool) {
	secret, in := w.place()
	w.mark(i, 0)
	w.stack = append(w.stack, frame{object: object, secret: secret, trail: in})
}

func (w *walker) close(end int) {
	top := w.top()
	if top == nil {
		return
	}
	if top.titled && top.value.to > 0 && w.r.Names {
		w.edits = append(w.edits, top.value)
	}
	w.stack = w.stack[:len(w.stack)-1]
	w.mark(0, end)
}

// mark notes where the value of a member "value" begins or ends.
func (w *walker) mark(from, end int) {
	top := w.top()
	if top == nil || !top.named || top.name != "value" {
		return
	}
	if end == 0 {
		top.value = edit{from: from, text: `"` + Stars + `"`, found: 1}
		return
	}
	top.value.to = end
}

// quoted reads a string: the name of a member, or a value.
func (w *walker) quoted(i int) int {
	last := quoteEnd(w.s, i+1, `"`)
	end := min(last+1, len(w.s))
	text := unquote(w.s[i:end], w.s[i+1:min(last, len(w.s))])
	if top := w.top(); top != nil && top.object && !top.named && strings.HasPrefix(strings.TrimLeft(w.s[end:min(len(w.s), end+64)], " \t\r\n"), ":") {
		top.name, top.named = text, true
		plain := Redactor{Known: w.r.Known}
		if shown, n := plain.Text(text); n > 0 {
			w.edit(i, end, shown, n)
		}
		return end
	}
	secret, _ := w.place()
	if top := w.top(); top != nil && top.named && (top.name == "name" || top.name == "key") && Name(text) {
		top.titled = true
	}
	w.mark(i, 0)
	w.mark(0, end)
	if secret {
		if text != "" {
			w.edit(i, end, Stars, 1)
		}
		return end
	}
	if shown, n := w.value(text); n > 0 {
		w.edit(i, end, shown, n)
	}
	return end
}

// value redacts the text of a string, which may be a document of its own.
func (w *walker) value(text string) (string, int) {
	if w.nested < maxNested {
		if plain, enc := base64Document(text); enc != nil {
			shown, n := w.r.document(plain, w.nested+1)
			return enc.EncodeToString([]byte(shown)), n
		}
		if begin := strings.TrimLeft(text, " \t\r\n"); (strings.HasPrefix(begin, "{") || strings.HasPrefix(begin, "[")) && json.Valid([]byte(text)) {
			return w.r.document(text, w.nested+1)
		}
	}
	return w.r.Text(text)
}

// bare is a number, true, false, null, or something that is not JSON.
func (w *walker) bare(from, end int) {
	text := w.s[from:end]
	secret, _ := w.place()
	w.mark(from, 0)
	w.mark(0, end)
	switch {
	case text == "true" || text == "false" || text == "null":
	case secret:
		w.edit(from, end, Stars, 1)
	default:
		if shown, n := w.r.Text(text); n > 0 {
			w.edit(from, end, shown, n)
		}
	}
}

func (w *walker) edit(from, to int, text string, found int) {
	w.edits = append(w.edits, edit{from, to, quote(text), found})
}

// result applies the edits. Of two at one place the longer one counts.
func (w *walker) result() (string, int) {
	for _, f := range w.stack { // of a text that was cut
		if f.titled && f.value.to > 0 && w.r.Names {
			w.edits = append(w.edits, f.value)
		}
	}
	if len(w.edits) == 0 {
		return w.s, 0
	}
	slices.SortStableFunc(w.edits, func(a, b edit) int { return cmp.Or(a.from-b.from, b.to-a.to) })
	var out strings.Builder
	kept, n := 0, 0
	for _, e := range w.edits {
		if e.from < kept {
			continue
		}
		out.WriteString(w.s[kept:e.from])
		out.WriteString(e.text)
		kept, n = e.to, n+e.found
	}
	out.WriteString(w.s[kept:])
	return out.String(), n
}

// unquote returns the value of a JSON string, its inside when it is broken.
func unquote(literal, inside string) string {
	if strings.IndexByte(inside, '\\') < 0 {
		return inside
	}
	var text string
	if json.Unmarshal([]byte(literal), &text) != nil {
		return inside
	}
	return text
}

// quote writes text as a JSON string without escaping <, > and &, so that URLs
// stay readable.
func quote(text string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

// minBase64 is the length of the shortest text that is taken for a document in
// base64.
const minBase64 = 16

// base64Document returns the JSON document that text is in base64, and the
// encoding; nil when it is none.
func base64Document(text string) (string, *base64.Encoding) {
	// The first characters of { and [ in base64, whatever follows them.
	if len(text) < minBase64 || text[0] != 'e' && text[0] != 'W' && text[0] != 'I' && text[0] != 'C' || strings.IndexByte(text, ' ') >= 0 {
		return "", nil
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		plain, err := enc.DecodeString(text)
		if err != nil || !utf8.Valid(plain) {
			continue
		}
		if begin := bytes.TrimLeft(plain, " \t\r\n"); len(begin) > 0 && (begin[0] == '{' || begin[0] == '[') {
			return string(plain), enc
		}
	}
	return "", nil
}
