package yamldoc

import (
	"fmt"
	"strings"
	"testing"
)

func TestNodesKnowTheirPlace(t *testing.T) {
	n, ps := Parse("f.yaml", []byte("a: b\nlist:\n  - {x: 1, 'y z': \"t\\u00e9 =q\"}\ntext: |\n  one\n  two\n"))
	if ps != nil {
		t.Fatal(ps)
	}
	item := n.Get("list").Items[0]
	for _, tc := range []struct {
		node            *Node
		line, col       int
		path, text, typ string
	}{
		{n.Get("a"), 1, 4, "a", "b", "str"},
		{item.Get("x"), 3, 9, "list[0].x", "1", "int"},
		{item.Get("y z"), 3, 19, "list[0].y z", "té =q", "str"},
		{n.Get("text"), 4, 7, "text", "one\ntwo\n", "str"},
	} {
		if g := tc.node; g.Line != tc.line || g.Col != tc.col || g.Path != tc.path || g.Text != tc.text || g.Type != tc.typ {
			t.Errorf("got %d:%d %q %q %q, want %d:%d %q %q %q", g.Line, g.Col, g.Path, g.Text, g.Type, tc.line, tc.col, tc.path, tc.text, tc.typ)
		}
	}
	for _, tc := range []struct {
		node                  *Node
		line, col             int
		wantLine, wantColumns int
	}{
		{n.Get("a"), 1, 1, 1, 4},
		{item.Get("y z"), 1, 4, 3, 28}, // behind the quote and the escape
		{n.Get("text"), 2, 3, 6, 5},
	} {
		if l, c := tc.node.At(tc.line, tc.col); l != tc.wantLine || c != tc.wantColumns {
			t.Errorf("%s: At(%d, %d) is %d:%d, want %d:%d", tc.node.Path, tc.line, tc.col, l, c, tc.wantLine, tc.wantColumns)
		}
	}
}

func TestValue(t *testing.T) {
	n, ps := Parse("f.yaml", []byte("{i: 7, big: 9223372036854775808, huge: 123456789012345678901234567890, f: 1.5, b: true, z: ~, d: 2024-01-01, s: 'x', l: [1, a]}"))
	if ps != nil {
		t.Fatal(ps)
	}
	got := fmt.Sprintf("%#v", []any{n.Get("i").Value(), n.Get("big").Value(), n.Get("huge").Value(), n.Get("f").Value(), n.Get("b").Value(), n.Get("z").Value(), n.Get("d").Value(), n.Get("s").Value(), n.Get("l").Value()})
	want := `[]interface {}{7, "9223372036854775808", "123456789012345678901234567890", 1.5, true, interface {}(nil), "2024-01-01", "x", []interface {}{1, "a"}}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, ok := n.Get("i").Value().(int64); !ok {
		t.Errorf("7 is %T, want int64", n.Get("i").Value())
	}
}

// Every problem is reported at once, at its place.
func TestRefused(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"anchor and alias", "a: &x b\nc: *x\n", "1:4 E111 anchors (&x)|2:4 E111 aliases (*x)"},
		{"merge key", "a: {b: c}\nd:\n  <<: {e: f}\n", "3:3 E111 merge keys"},
		{"complex key", "? [a, b]\n: c\n", "1:3 E112 a key must be plain text, this one is a list"},
		{"duplicate key", "a: b\nc: d\na: e\n", "3:1 E113 \"a\" is already set in line 1"},
		{"two documents", "a: b\n---\nc: d\n", "2:1 E114 the file has more than one"},
		{"nothing", "# only a comment\n", "1:1 E114 the file has nothing in it"},
		{"tag", "a: !ref b\n", "1:4 E115 YAML tags (!ref)"},
		{"explicit tag", "a: !!str 7\n", "1:4 E115 YAML tags (!!str)"},
		{"tab", "a:\n\tb: c\n", "2:1 E110 YAML does not allow tabs"},
		{"at", "a:\n  each: @this\n", "2:9 E224 YAML does not allow a value that starts with @"},
		{"backtick", "a:\n  b: `c`\n", "2:6 E224 YAML does not allow a value that starts with `"},
		{"ternary", "x: y\na:\n  b: =body.x ? 1 : 2\n", "3:6 E225 an expression with ': ' in it must be quoted"},
		{"colon", "x: y\na:\n  b: one: two\n", "3:6 E225 a value with ': ' in it must be quoted"},
		{"alias", "x: y\na:\n  b: *.name\n", "3:6 E224 YAML reads a leading * as an alias"},
		{"expression in flow", "x: y\na: {path: b, expr: value[0], c: d}\n", "2:20 E221 an expression inside { } or [ ] must be quoted"},
		{"expression in a flow list", "x: y\na: {first_of: [=body.x[0], y]}\n", "2:16 E221 an expression inside { } or [ ] must be quoted"},
		{"index path", "x: y\na: [0].b\n", "2:4 E224 YAML reads a leading [ as a list"},
		{"at in a list", "a:\n  - @this\n", "2:5 E224 YAML does not allow a value that starts with @"},
		{"open quote", "a: b\nc: 'd\ne: f\n", "2:4 E110 this is not YAML: the quote that opens here is not closed"},
		{"quote inside a quote", "a: b\nc: 'it's'\n", "2:7 E110 this text goes on behind its closing quote"},
		{"text behind a quote", "a: b\nc: \"x\" + y\n", "2:8 E110 this text goes on behind its closing quote"},
		{"open brace", "a: {b: c\nd: e\n", "1:1 E110 this is not YAML: the { in this line is not closed"},
		{"open bracket", "a: [b\nd: e\n", "1:1 E110 this is not YAML: the [ in this line is not closed"},
		{"indented too far", "a: b\n  c: d\n", "2:3 E110 this is not YAML: a key stands where none can be"},
		{"indented too little", "a:\n  - b\n c: d\n", "E110 this is not YAML: the lines after this one are indented in a way that fits no line above"},
		{"list and keys", "- a\nb: c\n", "1:1 E110 this is not YAML: the list that begins here is followed by a key"},
		{"no colon", "a: |\n b\nc\n", "3:1 E110 this is not YAML: this line is neither a key with its colon"},
		{"escape", "a: \"\\q\"\n", "1:1 E110 this is not YAML: a backslash in double quotes begins an escape"},
		{"one bracket too many", "{a: b}}\n", "1:1 E110 this is not YAML: a closing bracket is one too many"},
		{"a key with @", "@a: b\n", "1:1 E110 this is not YAML: a value cannot begin with this character"},
		{"no value", "a: ]\n", "1:1 E110 this is not YAML: a value is missing here"},
		{"control characters", "\x00a: b\n", "1:1 E110 this is not YAML: the file has control characters"},
		{"other encodings", "a: \xff\n", "1:1 E110 this is not YAML: the file is not text in UTF-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, ps := Parse("f.yaml", []byte(tc.in))
			if n != nil || len(ps) == 0 {
				t.Fatalf("got a node and %v, want a problem", ps)
			}
			var lines []string
			for _, p := range ps {
				lines = append(lines, fmt.Sprintf("%d:%d %s %s", p.Line, p.Col, p.Code, p.Message))
			}
			got := strings.Join(lines, "\n")
			for _, want := range strings.Split(tc.want, "|") {
				if !strings.Contains(got, want) {
					t.Errorf("got\n%s\nwant %s", got, want)
				}
			}
		})
	}
}

func TestDeepAndLarge(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	if _, ps := Parse("f.yaml", []byte(deep)); len(ps) == 0 || ps[0].Code != CodeSize {
		t.Errorf("deep: got %v, want a problem", ps)
	}
	if _, ps := Parse("f.yaml", make([]byte, MaxSize+1)); len(ps) == 0 || ps[0].Code != CodeSize {
		t.Errorf("large: got %v, want a problem", ps)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: b", "a: &x b\nc: *x", "<<: [[a]]", "? {a: b}\n: c", "a: |\n  x\n  y", "{a: [b, {c: 'd''e'}]}", "#\n- \n-\t", "a: !!binary x", "<<: x\n<<: y", "\xef\xbb\xbfa: b", "a: \"\\u00e9\\x\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, ps := Parse("f.yaml", data)
		if (n == nil) == (len(ps) == 0) {
			t.Fatalf("got node %v and problems %v, want exactly one of them", n, ps)
		}
		for _, p := range ps {
			if p.Line < 1 || p.Code == "" || p.Message == "" {
				t.Fatalf("got %#v, want a line, a code and a message", p)
			}
		}
		walk(n)
	})
}

func walk(n *Node) {
	if n == nil {
		return
	}
	n.Value()
	n.At(1, 1)
	n.At(2, 5)
	n.SourceLine()
	for _, p := range n.Pairs {
		walk(p.Key)
		walk(p.Value)
	}
	for _, i := range n.Items {
		walk(i)
	}
}
