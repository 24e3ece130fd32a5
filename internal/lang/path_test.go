package lang

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func TestPath(t *testing.T) {
	const src = `{"a":{"b":[10,{"c":"x"},{"c":"y"}],"d.e":1,"n":null},"payload":[{"type":"git-revision","sha":"abc"},{"type":"link","url":"u"}],"@odd":5,"0":"zero","big":12345678901234567890}`
	tests := []struct {
		path  string
		want  any
		plain bool
	}{
		{`a.b.0`, int64(10), true},
		{`a.b.1.c`, "x", true},
		{`a.d\.e`, int64(1), true},
		{`a.n`, nil, true},
		{`a.none.more`, nil, true},
		{`a.b.9`, nil, true},
		{`a.b.c`, nil, true},
		{`0`, "zero", true},
		{`big`, "12345678901234567890", true},
		{`\@odd`, int64(5), true},
		{`a.b.#`, int64(3), false},
		{`a.b.#.c`, []any{"x", "y"}, false},
		{`payload.#(type=="git-revision").sha`, "abc", false},
		{`payload.#(type=="none").sha`, nil, false},
		{`payload.#(type=="link")#.url`, []any{"u"}, false},
		{`a.b|@reverse|0.c`, "y", false},
		{`payload|0|@keys`, []any{"type", "sha"}, false},
		{`{"x":a.b.0,"y":big}`, map[string]any{"x": int64(10), "y": "12345678901234567890"}, false},
		{`a.*.0`, int64(10), false},
		{`@this.0`, "zero", false},
	}
	for _, tt := range tests {
		p, err := CompilePath(tt.path)
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		if _, plain := p.Plain(); plain != tt.plain || p.String() != tt.path {
			t.Errorf("%s: plain is %v", p, plain)
		}
		got, ok := p.Get(src)
		if !reflect.DeepEqual(got, tt.want) || ok != (tt.want != nil) {
			t.Errorf("%s: got %#v, %v; want %#v", tt.path, got, ok, tt.want)
		}
		if got := p.Find(NewDoc(src)).Full(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s in a document: got %#v, want %#v", tt.path, got, tt.want)
		}
	}
}

func TestPathThis(t *testing.T) {
	p, err := CompilePath(`@this`)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := p.Get(`"text"`); got != "text" || !ok {
		t.Errorf("got %v, %v", got, ok)
	}
	// A text is not a document, even when it looks like one.
	for _, path := range []string{"0", "#", "@this.0", "@reverse.0", "a"} {
		p, err := CompilePath(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range []string{`"[5]"`, `"{\"a\":1}"`, `5`, `null`} {
			if got, ok := p.Get(src); ok || !p.Find(NewDoc(src)).Absent() {
				t.Errorf("%s in %s: got %v", path, src, got)
			}
		}
	}
	if got := p.Find(nil); got != nil {
		t.Errorf("in nothing: got %v", got)
	}
}

func TestPathErrors(t *testing.T) {
	tests := []struct{ path, want string }{
		{`payload.#(type=="git-revision".commitSha`, `1:41 E202 this gjson path has a ( that is not closed; it opens at character 10`},
		{`a.#(b=="x)`, `1:8 E202 this gjson path has a " that is not closed`},
		{`a.b)`, `1:4 E202 this gjson path has a ) that closes nothing`},
		{`{a,b]`, `1:5 E202 this gjson path has a ] that closes nothing`},
		{`a|@pretty`, `1:3 E202 the gjson modifier @pretty is not allowed; allowed are @this, @reverse, @flatten, @keys, @values; for a name that begins with @ write \@`},
		{`@dig:x`, `1:1 E202 the gjson modifier @dig is not allowed; allowed are @this, @reverse, @flatten, @keys, @values; for a name that begins with @ write \@`},
		{`a.@tostr`, `1:3 E202 the gjson modifier @tostr is not allowed; allowed are @this, @reverse, @flatten, @keys, @values; for a name that begins with @ write \@`},
		{`{"x":@fromstr}`, `1:6 E202 the gjson modifier @fromstr is not allowed; allowed are @this, @reverse, @flatten, @keys, @values; for a name that begins with @ write \@`},
		{`@reverse:1`, `1:1 E202 @reverse takes no argument`},
		{`!"x"`, `1:1 E202 gjson's literals (!) are not allowed in a path; write {value: …} for a literal`},
		{``, `1:1 E202 this path is empty; write the name of a field, or @this for the whole document`},
		{`a.`, `1:2 E202 this path ends with a ".": a name is missing after it`},
		{`a..b`, `1:3 E202 a name is missing before this "."`},
		{`.a`, `1:1 E202 a name is missing before this "."`},
		{`..0.a`, `1:1 E202 a name is missing before this "."`},
		{`a\`, `1:2 E202 this path ends with a \ that escapes nothing; write \\ for a backslash`},
		{"a\nb", `1:2 E202 this path has a control character in it`},
		{strings.Repeat("a.", 16) + "a", `1:32 E202 this path has more than 16 steps`},
		{strings.Repeat("a", 257), `1:1 E202 this path has 257 characters; at most 256 are allowed`},
		{`ü.(`, `1:4 E202 this gjson path has a ( that is not closed; it opens at character 3`},
	}
	for _, tt := range tests {
		_, err := CompilePath(tt.path)
		if got := spell(err); got != tt.want {
			t.Errorf("%s\ngot  %s\nwant %s", tt.path, got, tt.want)
		}
	}
}

// Plain steps read a document without gjson; they must find what gjson finds.
func FuzzCompilePath(f *testing.F) {
	for _, s := range []string{`a.b.0`, `a\.b`, `a.#(b=="c").d`, `{a,b}`, `@keys`, `a|@this`, `:1`, `a.*`, `deep.list.2.name`} {
		f.Add(s, sample)
	}
	f.Add(`a.0`, `{"a":{"0":1}}`)
	f.Fuzz(func(t *testing.T, src, doc string) {
		p, err := CompilePath(src)
		if err != nil || Scan([]byte(doc), 0, 0) != nil || len(doc) > 1<<14 {
			return
		}
		got := p.Find(NewDoc(doc))
		value, ok := p.Get(doc)
		if !got.Absent() != ok {
			t.Fatalf("%q in %s: Find gives %q, Get gives %v", src, doc, got.Raw(), value)
		}
		if _, plain := p.Plain(); plain && (NewDoc(doc).IsObject() || NewDoc(doc).IsList()) {
			if want := gjson.Get(doc, src); want.Exists() != (got != nil) {
				t.Fatalf("%q in %s: got %q, gjson says %q", src, doc, got.Raw(), want.Raw)
			}
		}
		if len(got.Raw()) > 4*len(doc)+64*len(src) {
			t.Fatalf("%q makes %d bytes of %d", src, len(got.Raw()), len(doc))
		}
	})
}
