package lang

import (
	"encoding/json"
	"slices"
	"strings"
	"unsafe"
)

// Doc is a JSON value that is decoded only where it is read. Its text is
// indexed once, as a whole: from then on a member or an item is found without
// reading what stands before it. In the environment of an expression a Doc
// behaves as the value it stands for.
//
// A Doc keeps what it decoded, so it is not safe for concurrent use. The nil
// Doc is an absent value.
type Doc struct {
	in *document
	at int32 // its node; 0 is the whole text
}

// NewDoc returns the document of a JSON text that [Scan] has accepted.
func NewDoc(text string) *Doc {
	return &Doc{in: &document{json: strings.TrimSpace(text)}}
}

// Parse is [Scan] and [NewDoc] in one pass over the text. The Doc and the texts
// that come out of it lie in text, which must not be changed any more: a copy
// of it would be most of what a request allocates.
func Parse(text []byte, maxDepth, maxTokens int) (*Doc, error) {
	s := newScanner(text, maxDepth, maxTokens)
	defer s.release()
	s.indexing = true
	if bad := s.scan(); bad != fine {
		return nil, s.explain(bad)
	}
	both := &struct {
		Doc
		document
	}{}
	both.document = document{json: unsafe.String(unsafe.SliceData(text), len(text)), nodes: slices.Clone(s.nodes), escaped: s.escaped}
	both.in = &both.document
	return &both.Doc, nil
}

// Source returns the whole text that d is a part of.
func (d *Doc) Source() string {
	if d == nil {
		return ""
	}
	return d.in.json
}

// Raw returns the JSON text of d, "" when d is nil.
func (d *Doc) Raw() string {
	if d == nil {
		return ""
	}
	d.in.read(d.at)
	return d.in.raw(d.at)
}

// Truncated reports whether a list of the document was longer than expressions
// see, so that a decoded value lacks its tail.
func (d *Doc) Truncated() bool { return d != nil && d.in.truncated }

// Absent reports whether d is nil or JSON's null.
func (d *Doc) Absent() bool { return d == nil || d.in.kind(d.at) == 'n' }

// IsList reports whether d is a JSON array.
func (d *Doc) IsList() bool { return d != nil && d.in.kind(d.at) == '[' }

// IsObject reports whether d is a JSON object.
func (d *Doc) IsObject() bool { return d != nil && d.in.kind(d.at) == '{' }

// Text returns the value of a JSON string; ok is false for any other.
func (d *Doc) Text() (text string, ok bool) {
	if d == nil || d.in.kind(d.at) != '"' {
		return "", false
	}
	d.in.read(d.at)
	c := cursor{s: d.in.raw(d.at)}
	return c.str(), true
}

// Value returns the decoded value as [Decode] does, but with lists cut to the
// 1000 items that expressions see; Truncated tells. nil is absent or null.
func (d *Doc) Value() any {
	if d == nil {
		return nil
	}
	return d.in.value(d.at)
}

// Full returns the decoded value with all items of its lists.
func (d *Doc) Full() any {
	if d == nil {
		return nil
	}
	d.in.read(d.at)
	var cut bool
	return decode(d.in.raw(d.at), 0, &cut)
}

// Member returns the member of an object, nil when there is none or d is not
// an object. Of several members with one name it is the first, as with a path.
func (d *Doc) Member(name string) *Doc {
	if !d.IsObject() {
		return nil
	}
	return d.in.doc(d.in.member(d.at, name))
}

// Item returns the item of a list, counted from the end when i is negative,
// nil when there is none or d is not a list.
func (d *Doc) Item(i int) *Doc {
	if !d.IsList() {
		return nil
	}
	return d.in.doc(d.in.item(d.at, i))
}

// Items returns all items of a list in their order; an object, a text, a
// number is a list of one; an absent value has none.
func (d *Doc) Items() []Doc {
	if d.Absent() {
		return nil
	}
	if !d.IsList() {
		return []Doc{*d}
	}
	out := make([]Doc, 0, d.in.count(d.at))
	for n := range d.in.inside(d.at) {
		out = append(out, Doc{in: d.in, at: n})
	}
	return out
}

// Entry is a member of an object.
type Entry struct {
	Key   string
	Value *Doc
}

// Entries returns the members of an object in document order, none of
// anything else.
func (d *Doc) Entries() []Entry {
	if !d.IsObject() {
		return nil
	}
	var out []Entry
	for n := range d.in.inside(d.at) {
		out = append(out, Entry{d.in.name(n), d.in.doc(n)})
	}
	return slices.Clip(out)
}

// Pairs returns each member of an object as an object {key, value}, in document
// order; none of anything else.
func (d *Doc) Pairs() []Doc {
	entries := d.Entries()
	out := make([]Doc, 0, len(entries))
	for _, e := range entries {
		key, err := json.Marshal(e.Key)
		if err != nil {
			continue // never: it is a text
		}
		before := `{"key":` + string(key) + `,"value":`
		in, n := e.Value.in, e.Value.at
		out = append(out, *d.cut(before+in.raw(n)+`}`, int(in.nodes[n].start), len(before)))
	}
	return out
}

// Decode returns the value of a JSON text: nil, bool, string, []any,
// map[string]any and for numbers int64 when they are whole, a string with the
// exact digits when they are whole and do not fit, else float64. Of several
// members with one name the first counts. The error is that of [Scan] with the
// default limits.
func Decode(text []byte) (any, error) {
	if err := Scan(text, MaxDepth, MaxTokens); err != nil {
		return nil, err
	}
	var cut bool
	return decode(string(text), 0, &cut), nil
}
