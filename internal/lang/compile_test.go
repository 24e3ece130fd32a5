package lang

import (
	"strings"
	"testing"
)

func TestCompileErrors(t *testing.T) {
	tests := []struct{ src, want string }{
		// names
		{`boddy.x`, `1:1 E201 unknown name boddy; did you mean "body"?`},
		{`nothing`, `1:1 E201 unknown name nothing; an expression can see: body, header, request, run, value`},
		{`run.sha`, `1:5 E201 run has no member sha; did you mean "run.commit.sha"?`},
		{`run.comit.sha`, `1:5 E201 run has no member comit; did you mean "run.commit"?`},
		{`run.colour`, `1:5 E201 run has no member colour; it has commit, stages, status`},
		{`sha`, `1:1 E201 unknown name sha; did you mean "run.commit.sha"?`},
		{`run.status.word`, `1:12 E201 run.status is a single value; it has no member word`},
		{`run.stages.name`, `1:12 E201 run.stages is a list; it has no member name; write map(run.stages, .name) or first(run.stages).name`},
		{`run.stages[0].nme`, `1:15 E201 run.stages[…] has no member nme; did you mean "run.stages[…].name"?`},
		{`any(run.stages, .nam == "x")`, `1:18 E201 the item has no member nam; did you mean ".name"?`},
		{`find(run.stages, true).nam`, `1:24 E201 this has no member nam; did you mean "this.name"?`},
		{`repo("x").nme`, `1:11 E201 repo(…) has no member nme; did you mean "repo(…).name"?`},
		{`null`, `1:1 E201 unknown name null; write nil`},
		{`True`, `1:1 E201 unknown name True; write true`},
		{`$env`, `1:1 E201 unknown name $env; names do not begin with $`},
		{`lower`, `1:1 E201 unknown name lower; lower is a function: write lower(text)`},
		{`body.a-b`, `1:8 E201 unknown name b; a name with a dash needs brackets: x["…-b"]`},
		{`lovwer("x")`, `1:1 E201 unknown function lovwer; did you mean "lower"?`},
		{`map(body.x, {a: 1})`, `1:15 E204 : cannot stand here; an object inside a condition needs parentheses: map(list, ({a: 1}))`},
		{`body.x.lower()`, `1:8 E201 values have no methods; write lower(x), not x.lower()`},
		{`any(body.x, #foo)`, `1:13 E201 unknown name #foo; inside a condition there are # (the item), .name (its member) and #index`},
		{"body.x +\n  boddy", `2:3 E201 unknown name boddy; did you mean "body"?`},
		{`boddy + heder`, "1:1 E201 unknown name boddy; did you mean \"body\"?\n1:9 E201 unknown name heder; did you mean \"header\"?"},
		// syntax
		{``, `1:1 E204 this expression is empty; write nil for a value that is always absent`},
		{`"abc`, `1:1 E204 the " here is not closed`},
		{`(1 + 2`, `1:1 E204 the ( here is not closed`},
		{`lower(body.x`, `1:6 E204 the ( here is not closed`},
		{`1 +`, `1:3 E204 the expression ends too early`},
		{`body.x = 5`, `1:8 E204 = does not compare; write == to compare`},
		{`if body.x { 1 } else { 2 }`, `1:4 E204 there is no if; write condition ? a : b`},
		{`“x”`, "1:1 E204 “ is a typographic quote; write ' or \""},
		{`a b`, `1:3 E204 b cannot stand here; an operator is missing before it, or a comma`},
		{`body.type ?? 1 == 2`, `1:16 E204 ?? beside another operator needs parentheses; write (a ?? b) == c`},
		{`any(body.list)`, `1:14 E204 an argument is missing; write any(list, condition)`},
		{`contains(body.type, "t")`, `1:1 E204 contains stands between two values; write a contains b`},
		{`body.list[#index]`, `1:11 E204 # stands for an item, and only inside the condition of any, all, find, filter, map, count`},
		{`99999999999999999999`, `1:20 E204 this number is too large`},
		{`1 + (let x = 1; x)`, ``},
		{"\xff", `1:1 E204 this expression is not valid UTF-8`},
		// arguments
		{`truncate(body.type)`, `1:1 E206 truncate got 1 argument; write truncate(text, 140)`},
		{`lower("a", "b")`, `1:1 E206 lower got 2 arguments; write lower(text)`},
		{`count(body.x)`, `1:1 E206 count needs a condition; for the number of all items write len(list)`},
		{`any(run.status, # == 1)`, `1:5 E206 any needs a list, and run.status is a single value`},
		// what is not allowed
		{`any(body.x, any(body.y, #))`, `1:13 E205 any inside a condition is not allowed: it would look at every pair of items; name the inner list with let first`},
		{`reduce(1..20, #acc + #acc)`, `1:1 E205 the function reduce is not allowed; it can make texts of any size`},
		{`repeat("a", 9)`, `1:1 E205 the function repeat is not allowed; it can make texts of any size`},
		{`now()`, `1:1 E205 the function now is not allowed; the same event must give the same result every time`},
		{`values(body)`, `1:1 E205 the function values is not allowed; its order is not defined`},
		{`1..3`, `1:2 E205 ranges (..) are not allowed`},
		{`2 ** 9`, `1:3 E205 ** is not allowed; write a * a`},
		{`body.x matches body.y`, `1:16 E205 a regular expression must be a constant; write the pattern as a text`},
		{`regex(body.x, body.y)`, `1:15 E205 a regular expression must be a constant; write the pattern as a text`},
		{`body.x matches "("`, "1:16 E204 this is not a regular expression: missing closing ): `(`; a backslash is written \\\\ in quotes, or use backticks"},
		{`1 < 2 < 3`, `1:7 E205 comparisons cannot be chained; write a < b and b < c`},
		{`body.x ?: 3`, `1:11 E205 ?: is not allowed; write a ?? b`},
		{`1; 2`, `1:4 E205 an expression has one value; ; is only for let`},
		{`b"x"`, `1:1 E205 bytes are not allowed; write a plain text`},
		{`{(body.x): 1}`, `1:3 E205 the names of an object are plain texts; write {"name": value}`},
		{`let body = 1; body`, `1:5 E205 there already is a body; choose another name`},
		{`let lower = 1; lower`, `1:5 E205 let cannot be called lower; choose another name`},
		{`omit()`, `1:1 E205 omit() is for the templates of a request; write nil for a value that is absent`},
		{strings.Repeat("1+", 150) + "1", `1:202 E204 this expression is too large: it has more than 200 parts; split it with let`},
		{`"` + strings.Repeat("x", 1100) + `"`, `1:1 E204 this expression has 1102 bytes; at most 1024 are allowed; split it with let`},
	}
	for _, tt := range tests {
		_, err := Compile(tt.src, testScope())
		if got := spell(err); got != tt.want {
			t.Errorf("%.60s\ngot  %s\nwant %s", tt.src, got, tt.want)
		}
	}
}

func TestCompileWithoutScope(t *testing.T) {
	e, err := Compile(`1 + 1`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := e.Run(nil, testDeadline()); err != nil || got != int64(2) {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = Compile(`hello`, nil)
	if got, want := spell(err), `1:1 E201 unknown name hello; a text needs quotes: "hello"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestShapeAddKeepsTheOriginal(t *testing.T) {
	base := Object(map[string]Shape{"a": Leaf()})
	more := base.Add("b.c", Leaf())
	if _, err := Compile(`x.b.c`, NewScope(map[string]Shape{"x": more})); err != nil {
		t.Error(err)
	}
	if _, err := Compile(`x.b.c`, NewScope(map[string]Shape{"x": base})); err == nil {
		t.Error("Add changed its receiver")
	}
	scope := NewScope(nil)
	if _, err := Compile(`y`, scope.With("y", Any())); err != nil {
		t.Error(err)
	}
	if _, err := Compile(`y`, scope); err == nil {
		t.Error("With changed its receiver")
	}
}
