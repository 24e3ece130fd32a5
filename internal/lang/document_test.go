package lang

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
)

func TestDecode(t *testing.T) {
	tests := []struct {
		src  string
		want any
	}{
		{`4487150517`, int64(4487150517)},
		{`9007199254740993`, int64(9007199254740993)}, // 2^53 + 1
		{`9223372036854775807`, int64(math.MaxInt64)},
		{`9223372036854775808`, "9223372036854775808"},
		{`-9223372036854775809`, "-9223372036854775809"},
		{`1.0`, int64(1)},
		{`4.487150517e+09`, int64(4487150517)},
		{`1.5`, 1.5},
		{`1e999`, "1e999"},
		{`-0`, int64(0)},
		{`"a\u00fc\ud83d\ude00\n"`, "aü😀\n"},
		{`null`, nil},
		{`true`, true},
		{`[]`, []any{}},
		{`{}`, map[string]any{}},
		{` {"a":[1,{"b":null}],"a":2} `, map[string]any{"a": []any{int64(1), map[string]any{"b": nil}}}},
	}
	for _, tt := range tests {
		got, err := Decode([]byte(tt.src))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %#v, %v; want %#v", tt.src, got, err, tt.want)
		}
		if got := NewDoc(tt.src).Value(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s as a document: got %#v, want %#v", tt.src, got, tt.want)
		}
	}
	if _, err := Decode([]byte(`{`)); err == nil {
		t.Error("invalid JSON was decoded")
	}
}

func TestDoc(t *testing.T) {
	d := NewDoc(` {"b": [10, {"c": null}], "a": {"x": 1, "x": 2}, "a": 3, "s": "t", "": 7} `)
	var names string
	for _, e := range d.Entries() {
		names += e.Key + "=" + e.Value.Raw() + ";"
	}
	if want := `b=[10, {"c": null}];a={"x": 1, "x": 2};a=3;s="t";=7;`; names != want {
		t.Errorf("entries: got %s, want %s", names, want)
	}
	checks := []struct {
		name      string
		got, want any
	}{
		{"first of two members", d.Member("a").Member("x").Value(), int64(1)},
		{"item", d.Member("b").Item(0).Value(), int64(10)},
		{"item from the end", d.Member("b").Item(-2).Value(), int64(10)},
		{"no item", d.Member("b").Item(2).Value(), nil},
		{"no item at all", d.Member("s").Item(0).Value(), nil},
		{"no member", d.Member("z").Member("y").Value(), nil},
		{"empty name", d.Member("").Value(), int64(7)},
		{"null is absent", d.Member("b").Item(1).Member("c").Absent(), true},
		{"nil is absent", d.Member("z").Absent(), true},
		{"items of a list", len(d.Member("b").Items()), 2},
		{"an object is a list of one", len(d.Member("a").Items()), 1},
		{"null has no items", len(d.Member("b").Item(1).Member("c").Items()), 0},
		{"nil has no raw text", d.Member("z").Raw(), ""},
		{"entries of a list", len(d.Member("b").Entries()), 0},
		{"escaped quote", NewDoc(`{"a":"x\"}","b":["c\\"],"d":1}`).Member("d").Value(), int64(1)},
		{"escaped name", NewDoc(`{"a\"b\u0041":1}`).Member(`a"bA`).Value(), int64(1)},
		{"list", d.Member("b").IsList() && !d.Member("b").IsObject(), true},
		{"object", d.IsObject() && !d.IsList(), true},
	}
	for _, c := range checks {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %#v, want %#v", c.name, c.got, c.want)
		}
	}
}

func TestDocFull(t *testing.T) {
	list := make([]int, 1200)
	raw, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	d := NewDoc(string(raw))
	if got := len(d.Full().([]any)); got != 1200 || d.Truncated() {
		t.Errorf("Full: got %d items, truncated %v", got, d.Truncated())
	}
	if got := len(d.Value().([]any)); got != 1000 || !d.Truncated() {
		t.Errorf("Value: got %d items, truncated %v", got, d.Truncated())
	}
	if got := len(d.Items()); got != 1200 {
		t.Errorf("Items: got %d", got)
	}
}

// Whatever Go value a caller has, expressions see the kinds they know.
func TestNorm(t *testing.T) {
	type word string
	type flag bool
	tests := []struct{ in, want any }{
		{word("a"), "a"}, {flag(true), true}, {int8(1), int64(1)}, {uint(1), int64(1)}, {uint64(math.MaxUint64), "18446744073709551615"},
		{float32(1.5), 1.5}, {2.0, int64(2)}, {[]byte("x"), "x"}, {json.Number("12"), int64(12)}, {[]string{"a"}, []any{"a"}},
		{map[string]int{"a": 1}, map[string]any{"a": int64(1)}}, {NewDoc("[1]"), []any{int64(1)}}, {(*Doc)(nil), nil},
	}
	for _, tt := range tests {
		if got := norm(tt.in); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%T %v: got %#v, want %#v", tt.in, tt.in, got, tt.want)
		}
	}
	if s, ok := Text(4.487150517e9); s != "4487150517" || !ok {
		t.Errorf("Text: got %s", s)
	}
	if s, ok := Text(nil); s != "" || ok {
		t.Errorf("Text of nil: got %q, %v", s, ok)
	}
}

func FuzzDoc(f *testing.F) {
	f.Add([]byte(sample), "builds")
	f.Add([]byte(`{"a":{"a":1},"b":[1,2]}`), "a")
	f.Fuzz(func(t *testing.T, src []byte, name string) {
		if Scan(src, 0, 0) != nil {
			return
		}
		full, err := Decode(src)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := Parse(src, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []*Doc{parsed, NewDoc(string(src))} {
			if got := d.Full(); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", full) {
				t.Fatalf("got %#v, want %#v", got, full)
			}
			if m, ok := full.(map[string]any); ok {
				if got := d.Member(name).Full(); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", m[name]) {
					t.Fatalf("member %q: got %#v, want %#v", name, got, m[name])
				}
			}
			if list, ok := full.([]any); ok {
				for i, item := range d.Items() {
					if got := item.Full(); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", list[i]) || fmt.Sprintf("%#v", d.Item(i-len(list)).Full()) != fmt.Sprintf("%#v", got) {
						t.Fatalf("item %d: got %#v, want %#v", i, got, list[i])
					}
				}
			}
		}
	})
}
