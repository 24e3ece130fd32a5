package lang

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// What is read of a document, by paths, expressions, items and entries.
func TestTrace(t *testing.T) {
	const body = `{"a":1,"b":{"x":"t","y":null,"z":[]},"list":[{"k":"one","v":1,"w":2},{"k":"two","v":2}],"o":{"m.n":{"p":1,"q":2}},"rest":{"r":[1,2]}}`
	for _, tc := range []struct {
		name string
		read func(d *Doc)
		want string
	}{
		{"nothing", func(*Doc) {}, "[{@this 13}]"},
		{"all of it", func(d *Doc) { d.Value() }, "[]"},
		{"a scalar", find("a"), "[{b 3} {list 5} {o 2} {rest 2}]"},
		{"null", find("b.y"), "[{a 1} {b.x 1} {b.z 1} {list 5} {o 2} {rest 2}]"},
		{"an object that is only found", find("b"), "[{@this 13}]"},
		{"an object that is taken", func(d *Doc) { d.Member("b").Raw() }, "[{a 1} {list 5} {o 2} {rest 2}]"},
		{"nothing there", find("b.none"), "[{@this 13}]"},
		{"one item for all", find("list.1.v"), "[{a 1} {b 3} {list.#.k 2} {list.#.w 1} {o 2} {rest 2}]"},
		{"a query", find(`list.#(k=="two").v`), "[{a 1} {b 3} {list.#.w 1} {o 2} {rest 2}]"},
		{"all matches of a query", find(`list.#(v>0)#.w`), "[{a 1} {b 3} {list.#.k 2} {list.#.v 2} {o 2} {rest 2}]"},
		{"items", func(d *Doc) {
			for _, item := range d.Member("list").Items() {
				find("k")(&item)
			}
		}, "[{a 1} {b 3} {list.#.v 2} {list.#.w 1} {o 2} {rest 2}]"},
		{"entries", func(d *Doc) {
			for _, pair := range d.Member("o").Pairs() {
				find("value.p")(&pair)
			}
		}, `[{a 1} {b 3} {list 5} {o.m\.n.q 1} {rest 2}]`},
		{"an expression", func(d *Doc) {
			e, err := Compile(`body.b.x + (body["o"]["m.n"].none ?? "")`, testScope())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Run(map[string]any{"body": d}, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}, "[{a 1} {b.y 1} {b.z 1} {list 5} {o 2} {rest 2}]"},
	} {
		d, err := Parse([]byte(body), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		trace := d.Trace()
		tc.read(d)
		if got := fmt.Sprint(append([]Unread{}, trace.Unread()...)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

func find(path string) func(d *Doc) {
	p, err := CompilePath(path)
	if err != nil {
		panic(err)
	}
	return func(d *Doc) { p.Find(d) }
}

func TestTraceLookups(t *testing.T) {
	d := NewDoc(`{"a":{"b":1},"list":[{"k":1}]}`)
	trace := d.Trace()
	find("a.b")(d)
	find("none")(d)
	for _, item := range d.Member("list").Items() {
		find("k")(&item)
	}
	if got, want := trace.Lookups(), []string{"a.b", "none", "list.0.k"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := d.Member("list").Item(0).Path(); got != "list.0" {
		t.Errorf("the path of an item is %q", got)
	}
	if got := NewDoc(`{"a.b":{"c*":1}}`).Member("a.b").Member("c*").Path(); got != `a\.b.c\*` {
		t.Errorf("the path of odd names is %q", got)
	}
}
