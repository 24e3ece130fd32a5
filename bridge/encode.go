package bridge

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A run is written at every event, so its state is written by hand: reflection
// took half of the time of a commit. What is written is plain JSON with sorted
// keys, and [UnmarshalRun] reads it with encoding/json into [state]. Many values
// have one stamp, so all stamps are in a list of their own, and the values say
// which of them is theirs.

// MarshalState returns the run as JSON for the store; id, partition and
// version are kept beside it. Equal runs give equal bytes.
func (r *Run) MarshalState() ([]byte, error) { return r.AppendState(nil) }

// AppendState is MarshalState, appended to b.
func (r *Run) AppendState(b []byte) ([]byte, error) {
	o := object{b: b, stamps: make([]stamp, 0, 8)}
	o.open()
	o.text("src", r.Source)
	o.text("key", r.Key)
	o.int("ca", r.CreatedAt)
	o.int("ua", r.UpdatedAt)
	if r.order != ByRank {
		o.text("o", string(r.order))
	}
	o.cells("f", r.fields)
	if len(r.maps) > 0 {
		o.name("m")
		o.open()
		for _, name := range slices.Sorted(maps.Keys(r.maps)) {
			o.cells(name, r.maps[name])
		}
		o.close()
	}
	if len(r.attempts) > 0 {
		o.name("a")
		o.open()
		for _, n := range slices.Sorted(maps.Keys(r.attempts)) {
			a := r.attempts[n]
			o.name(strconv.FormatInt(n, 10))
			o.open()
			o.part(a.Heads, a.Started, a.Cells, a.Lists)
			o.close()
		}
		o.close()
	}
	// What is small or rare is left to reflection.
	for _, f := range []struct {
		name  string
		value any
		empty bool
	}{
		{"q", r.requires, len(r.requires) == 0}, {"1", r.once, len(r.once) == 0}, {"fi", r.fired, r.fired == Firing{}},
		{"si", r.since, len(r.since) == 0}, {"pa", r.Parked, len(r.Parked) == 0}, {"sk", r.Skips, len(r.Skips) == 0},
	} {
		if !f.empty {
			o.any(f.name, f.value)
		}
	}
	o.stampList("st")
	o.close()
	return o.b, o.err
}

// object appends JSON objects to b.
type object struct {
	b      []byte
	more   bool // a comma is due before the next member
	stamps []stamp
	known  map[stamp]int // of stamps, when they are many
	err    error
}

// stamp appends the place of st in the list of stamps.
func (o *object) stamp(st stamp) {
	o.b = strconv.AppendInt(append(o.b, ','), int64(o.place(st)), 10)
}

// manyStamps is from where on a map finds a stamp faster than a search.
const manyStamps = 32

func (o *object) place(st stamp) int {
	if n := len(o.stamps); n > 0 && o.stamps[n-1] == st {
		return n - 1
	}
	if o.known == nil {
		if i := slices.Index(o.stamps, st); i >= 0 {
			return i
		}
	} else if i, ok := o.known[st]; ok {
		return i
	}
	o.stamps = append(o.stamps, st)
	if n := len(o.stamps); n > manyStamps {
		if o.known == nil {
			o.known = make(map[stamp]int, 2*n)
			for i, st := range o.stamps {
				o.known[st] = i
			}
		}
		o.known[st] = n - 1
	}
	return len(o.stamps) - 1
}

// stampList appends the stamps as [attempt, at, by].
func (o *object) stampList(name string) {
	if len(o.stamps) == 0 {
		return
	}
	o.name(name)
	for i, st := range o.stamps {
		o.b = append(o.b, "[,"[min(i, 1)], '[')
		o.b = strconv.AppendInt(o.b, st.attempt, 10)
		o.b = strconv.AppendInt(append(o.b, ','), st.at, 10)
		o.b = strconv.AppendUint(append(o.b, ','), st.by, 10)
		o.b = append(o.b, ']')
	}
	o.b = append(o.b, ']')
}

func (o *object) open()  { o.b, o.more = append(o.b, '{'), false }
func (o *object) close() { o.b, o.more = append(o.b, '}'), true }

// name begins a member.
func (o *object) name(name string) {
	if o.more {
		o.b = append(o.b, ',')
	}
	o.b = append(appendString(o.b, name), ':')
	o.more = true
}

func (o *object) text(name, value string) {
	o.name(name)
	o.b = appendString(o.b, value)
}

func (o *object) int(name string, n int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) any(name string, v any) {
	o.name(name)
	o.value(v)
}

// value appends a field's value.
func (o *object) value(v any) {
	switch v := v.(type) {
	case string:
		o.b = appendString(o.b, v)
	case int64:
		o.b = strconv.AppendInt(o.b, v, 10)
	case bool:
		o.b = strconv.AppendBool(o.b, v)
	default:
		text, err := json.Marshal(v)
		if err != nil && o.err == nil {
			o.err = err
		}
		o.b = append(o.b, text...)
	}
}

// cells appends fields as {name: [value, stamp]}.
func (o *object) cells(name string, c cells) {
	if len(c) == 0 {
		return
	}
	o.name(name)
	o.open()
	for i := range c {
		o.name(c[i].name)
		o.b = append(o.b, '[')
		o.value(c[i].value)
		o.stamp(c[i].stamp)
		o.b = append(o.b, ']')
	}
	o.close()
}

// head appends [status, finished, duration, stamp].
func (o *object) head(name string, h head) {
	if h.none() {
		return
	}
	o.name(name)
	o.b = appendString(append(o.b, '['), string(h.status))
	o.b = strconv.AppendInt(append(o.b, ','), h.finished, 10)
	o.b = strconv.AppendInt(append(o.b, ','), h.duration, 10)
	o.stamp(stamp{at: h.at, by: h.by})
	o.b = append(o.b, ']')
}

// part appends the members that attempts and items share. The head by time is
// left out when it is the one by rank, which it nearly always is.
func (o *object) part(h heads, started int64, c cells, lists map[string]itemSet) {
	if !h.ByRank.none() {
		o.name("h")
		o.open()
		o.head("r", h.ByRank)
		if h.ByTime != h.ByRank {
			o.head("t", h.ByTime)
		}
		o.close()
	}
	if started != 0 {
		o.int("s", started)
	}
	o.cells("c", c)
	if len(lists) == 0 {
		return
	}
	o.name("l")
	o.open()
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		o.name(name)
		o.open()
		for _, key := range slices.Sorted(maps.Keys(lists[name])) {
			i := lists[name][key]
			o.name(key)
			o.open()
			if i.Attempt != 0 {
				o.int("n", i.Attempt)
			}
			o.part(i.Heads, i.Started, i.Cells, i.Lists)
			o.close()
		}
		o.close()
	}
	o.close()
}

// appendString appends s as a JSON string. Bytes that are no UTF-8 become
// U+FFFD, as encoding/json does it.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			default:
				const hex = "0123456789abcdef"
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(append(b, s[start:i]...), "\ufffd"...)
			start = i + 1
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}
