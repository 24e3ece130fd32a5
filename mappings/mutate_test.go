package mappings

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"cibridge/bridge"
)

// site is one value of a payload, in the bytes as they are sent.
type site struct {
	path []string // "workflow_run", "pull_requests", "0": members and places in lists
	// replace returns the body with another value in its place; "" deletes it.
	replace func(raw string) []byte
}

func (s site) String() string { return strings.Join(s.path, ".") }

// sites lists the values in the body of a request, the outer before the inner.
// A text that holds a JSON document, as it is or in base64, is a value with
// values in it; so is the field of a form.
func sites(r *bridge.Request) []site {
	if json.Valid(r.Body) {
		return within(r.Body, nil, func(b []byte) []byte { return b })
	}
	fields, err := url.ParseQuery(string(r.Body))
	if err != nil || !strings.HasPrefix(r.Header["content-type"], "application/x-www-form-urlencoded") {
		return nil
	}
	var out []site
	for name := range fields {
		out = append(out, within([]byte(fields.Get(name)), nil, func(b []byte) []byte {
			changed := url.Values{}
			for k := range fields {
				changed.Set(k, fields.Get(k))
			}
			changed.Set(name, string(b))
			return []byte(changed.Encode())
		})...)
	}
	return out
}

// within lists the values below the root of doc; whole makes the body of a
// changed doc.
func within(doc []byte, at []string, whole func([]byte) []byte) []site {
	w := &walker{doc: doc, whole: whole}
	if !json.Valid(doc) {
		return nil
	}
	w.value(at)
	return w.out
}

// walker reads a valid JSON text and remembers where its values are.
type walker struct {
	doc   []byte
	i     int
	whole func([]byte) []byte
	out   []site
}

func (w *walker) space() byte {
	for w.i < len(w.doc) && strings.IndexByte(" \t\r\n", w.doc[w.i]) >= 0 {
		w.i++
	}
	return w.doc[w.i]
}

// value reads the value at w.i.
func (w *walker) value(at []string) {
	switch w.space() {
	case '{':
		w.members(at, '}', func(int) string {
			var name string
			from := w.i
			w.text()
			if json.Unmarshal(w.doc[from:w.i], &name) != nil {
				name = string(w.doc[from:w.i])
			}
			w.space()
			w.i++ // the colon
			return name
		})
	case '[':
		w.members(at, ']', strconv.Itoa)
	case '"':
		w.text()
	default:
		for w.i < len(w.doc) && strings.IndexByte(",]} \t\r\n", w.doc[w.i]) < 0 {
			w.i++
		}
	}
}

func (w *walker) text() {
	for w.i++; w.doc[w.i] != '"'; w.i++ {
		if w.doc[w.i] == '\\' {
			w.i++
		}
	}
	w.i++
}

// members reads an object or a list. name reads what stands before a value.
func (w *walker) members(at []string, end byte, name func(n int) string) {
	w.i++
	for n := 0; w.space() != end; n++ {
		if w.doc[w.i] == ',' {
			w.i++
			w.space()
		}
		from := w.i
		path := append(append([]string(nil), at...), name(n))
		w.space()
		place := len(w.out)
		w.out = append(w.out, site{})
		start := w.i
		w.value(path)
		w.out[place] = site{path: path, replace: w.splice(from, start, w.i)}
		w.inner(path, start, w.i)
	}
	w.i++
}

// splice replaces doc[start:end], or deletes it together with its name, which
// begins at from, and one comma.
func (w *walker) splice(from, start, end int) func(string) []byte {
	return func(raw string) []byte {
		if raw != "" {
			return w.whole([]byte(string(w.doc[:start]) + raw + string(w.doc[end:])))
		}
		before, after := bytes.TrimRight(w.doc[:from], " \t\r\n"), bytes.TrimLeft(w.doc[end:], " \t\r\n")
		if bytes.HasPrefix(after, []byte(",")) {
			after = after[1:]
		} else {
			before = bytes.TrimSuffix(before, []byte(","))
		}
		return w.whole([]byte(string(before) + string(after)))
	}
}

// inner lists the values of a document in a text.
func (w *walker) inner(path []string, start, end int) {
	var text string
	if w.doc[start] != '"' || json.Unmarshal(w.doc[start:end], &text) != nil {
		return
	}
	encode := func(b []byte) string { return string(b) }
	if b, err := base64.StdEncoding.DecodeString(text); err == nil && bytes.HasPrefix(b, []byte("{")) {
		text, encode = string(b), base64.StdEncoding.EncodeToString
	}
	if !strings.HasPrefix(text, "{") {
		return
	}
	doc := w.doc
	w.out = append(w.out, within([]byte(text), path, func(b []byte) []byte {
		quoted, err := json.Marshal(encode(b))
		if err != nil {
			panic(fmt.Sprintf("a text that is no text: %v", err))
		}
		return w.whole([]byte(string(doc[:start]) + string(quoted) + string(doc[end:])))
	})...)
}
