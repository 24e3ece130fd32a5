package lang

import (
	"strconv"
	"strings"
)

// Doc is a JSON value that is decoded only where it is read: an object is
// split into its members when one of them is asked for, a list into its items.
// The text must have passed [Scan]. In the environment of an expression a Doc
// behaves as the value it stands for.
//
// A Doc keeps what it decoded, so it is not safe for concurrent use. The nil
// Doc is an absent value.
type Doc struct {
	raw     string
	kids    []kid
	split   bool
	val     any
	decoded bool
	top     *docTop
}

type kid struct {
	key string // of a member; "" for items
	raw string
	doc *Doc // nil until it is asked for
}

// kid returns the document of a member or an item.
func (d *Doc) kid(i int) *Doc {
	k := &d.kids[i]
	if k.doc == nil {
		k.doc = &Doc{raw: k.raw, top: d.top}
	}
	return k.doc
}

// docTop is shared by all parts of one document.
type docTop struct {
	truncated bool
}

// NewDoc returns the document of a JSON text that [Scan] has accepted.
func NewDoc(json string) *Doc {
	return &Doc{raw: strings.TrimSpace(json), top: new(docTop)}
}

// Raw returns the JSON text of d, "" when d is nil.
func (d *Doc) Raw() string {
	if d == nil {
		return ""
	}
	return d.raw
}

// Truncated reports whether a list of the document was longer than expressions
// see, so that a decoded value lacks its tail.
func (d *Doc) Truncated() bool { return d != nil && d.top.truncated }

// Absent reports whether d is nil or JSON's null.
func (d *Doc) Absent() bool { return d == nil || d.raw == "" || d.raw[0] == 'n' }

// IsList reports whether d is a JSON array.
func (d *Doc) IsList() bool { return d != nil && d.raw != "" && d.raw[0] == '[' }

// IsObject reports whether d is a JSON object.
func (d *Doc) IsObject() bool { return d != nil && d.raw != "" && d.raw[0] == '{' }

// Value returns the decoded value as [Decode] does, but with lists cut to the
// 1000 items that expressions see; Truncated tells. nil is absent or null.
func (d *Doc) Value() any {
	if d == nil {
		return nil
	}
	if !d.decoded {
		d.val, d.decoded = decode(d.raw, maxItems, &d.top.truncated), true
	}
	return d.val
}

// Full returns the decoded value with all items of its lists.
func (d *Doc) Full() any {
	if d == nil {
		return nil
	}
	var cut bool
	return decode(d.raw, 0, &cut)
}

// Member returns the member of an object, nil when there is none or d is not
// an object. Of several members with one name it is the first, as with a path.
func (d *Doc) Member(name string) *Doc {
	if !d.IsObject() {
		return nil
	}
	d.open()
	for i := range d.kids {
		if d.kids[i].key == name {
			return d.kid(i)
		}
	}
	return nil
}

// Item returns the item of a list, counted from the end when i is negative,
// nil when there is none or d is not a list.
func (d *Doc) Item(i int) *Doc {
	if !d.IsList() {
		return nil
	}
	d.open()
	if i < 0 {
		i += len(d.kids)
	}
	if i < 0 || i >= len(d.kids) {
		return nil
	}
	return d.kid(i)
}

// Items returns all items of a list in their order; an object, a text, a
// number is a list of one; an absent value has none.
func (d *Doc) Items() []*Doc {
	if d.Absent() {
		return nil
	}
	if !d.IsList() {
		return []*Doc{d}
	}
	d.open()
	out := make([]*Doc, len(d.kids))
	for i := range d.kids {
		out[i] = d.kid(i)
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
	d.open()
	out := make([]Entry, len(d.kids))
	for i := range d.kids {
		out[i] = Entry{d.kids[i].key, d.kid(i)}
	}
	return out
}

func (d *Doc) open() {
	if d.split {
		return
	}
	d.split = true
	d.kids = make([]kid, 0, min(max(len(d.raw)/80, 4), 128))
	c := cursor{s: d.raw}
	c.members(func(key, raw string) bool {
		d.kids = append(d.kids, kid{key: key, raw: raw})
		return true
	})
}

// step follows one key of a path: a member of an object, or an item when the
// key is a number and d is a list.
func (d *Doc) step(key string) *Doc {
	if d.IsList() {
		if i, err := strconv.Atoi(key); err == nil && i >= 0 {
			return d.Item(i)
		}
		return nil
	}
	return d.Member(key)
}

// Decode returns the value of a JSON text: nil, bool, string, []any,
// map[string]any and for numbers int64 when they are whole, a string with the
// exact digits when they are whole and do not fit, else float64. Of several
// members with one name the first counts. The error is that of [Scan] with the
// default limits.
func Decode(json []byte) (any, error) {
	if err := Scan(json, MaxDepth, MaxTokens); err != nil {
		return nil, err
	}
	var cut bool
	return decode(string(json), 0, &cut), nil
}
