package lang

import (
	"fmt"
	"testing"

	"github.com/tidwall/gjson"
)

// A pick finds what gjson finds.
func TestPick(t *testing.T) {
	lists := []string{
		`[]`, `[1, "a", null, [{"t":"a"}], {"t":"a","v":1}, {"t":"a","v":2}]`, `[{"t":"b"},{"t":"a"}]`, `[{"t":null,"v":1},{"t":{},"v":2},{"v":3}]`,
		`[{"t":5,"v":1},{"t":"5","v":2}]`, `[{"t":0,"v":1},{"t":"a","v":2}]`, `[{"t":true,"v":1},{"t":"true","v":2}]`, `{"t":"a","v":1}`, `"a"`,
		`[{"t":"\u0061","v":1}]`, `[{"\u0074":"a","v":1}]`, `[{"t":"b","t":"a","v":1}]`, `[{"t":"xa","v":{"w":[7,8]}},{"t":"a","v":{"w":[9]}}]`, `[ {"t" : "a" , "v" : "x y" } ]`,
		`[{"t":"\"a","v":1},{"t":"é a","v":2}]`,
	}
	for _, query := range []string{`#(t=="a")`, `#(t="a").v`, `#(t=="a").v.w.1`, `#(t=="5").v`, `#(t=="true").v`, `#(t%"*a").v`, `#(t%"*a").v.w`} {
		if newPick(query) == nil {
			t.Errorf("%s is no pick", query)
			continue
		}
		p, err := CompilePath("in." + query)
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range lists {
			src := `{"in":` + list + `}`
			want := gjson.Get(src, "in."+query)
			if list[0] == '"' {
				want = gjson.Result{} // gjson looks for brackets inside a text
			}
			found := p.Find(NewDoc(src))
			if got := found.Raw(); got != want.Raw {
				t.Errorf("%s in %s: got %s, want %s", query, list, got, want.Raw)
			}
		}
	}
	for _, query := range []string{`#(t=="a")#`, `#(t=="a")#.v`, `#(t!="a")`, `#(t=="~true")`, `#(t=="")`, `#(t=="a").v.#`, `#(t=="a")|v`, `#(t%"a*b")`, `#(t%"*a?")`, `#(a.b=="c")`, `#(t==5)`} {
		if p := newPick(query); p != nil {
			t.Errorf("%s is taken for a pick: %s", query, fmt.Sprintf("%+v", *p))
		}
	}
}
