package lang

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/expr-lang/expr/ast"
)

func testDeadline() time.Time { return time.Now().Add(time.Minute) }

// within fails the test when f takes longer than most or allocates more than
// megabytes. The figures are far above what is needed, and far below what the
// attack cost before there was a rule against it.
func within(t *testing.T, most time.Duration, megabytes uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if took > most {
		t.Errorf("took %v, want at most %v", took, most)
	}
	if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > megabytes {
		t.Errorf("allocated %d MB, want at most %d", got, megabytes)
	}
}

// A predicate in a predicate in a predicate took 72 seconds over 1000 items.
func TestNestedPredicatesAreRefused(t *testing.T) {
	for _, src := range []string{
		`count(body.a, any(body.a, any(body.a, # == -1)))`,
		`any(body.a, any(body.a, # == -1))`,
	} {
		if _, err := Compile(src, testScope()); err == nil {
			t.Errorf("%s was accepted", src)
		}
	}
}

func TestWorkIsBounded(t *testing.T) {
	numbers := make([]any, 1000)
	texts := make([]any, 1000)
	for i := range numbers {
		numbers[i] = int64(i)
		texts[i] = strings.Repeat("a", 60_000)
	}
	env := map[string]any{"body": map[string]any{"a": numbers, "s": texts, "t": strings.Repeat("a", 60_000)}}
	for _, src := range []string{
		`map(body.a, sum(body.a))`,
		`map(body.a, len(sort(reverse(uniq(body.a)))))`,
		`map(body.s, regex(#, "(a?){50}(a*)*b"))`,
		`map(body.a, replace(body.t, "a", "bb"))`,
		`map(body.a, body.t + body.t)`,
		`map(body.a, lower(body.t))`,
		`map(body.a, split(body.t, ""))`,
		`map(body.a, body.t contains "b")`,
		`map(body.a, join(body.s, "-"))`,
		`count(body.s, # matches "(x+x+)+y")`,
		`map(body.a, string(body.s))`,
		`map(body.a, truncate(body.t, 59999))`,
		`map(body.a, sha256(body.t))`,
		`map(body.a, body.s == body.s)`,
	} {
		e, err := Compile(src, testScope())
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		t.Run(src, func(t *testing.T) {
			within(t, 3*time.Second, 400, func() {
				_, err := e.Run(env, testDeadline())
				var le *Error
				if err != nil && (!errors.As(err, &le) || le.Code != CodeLimit) {
					t.Errorf("got %v, want a limit", err)
				}
			})
		})
	}
}

// reduce(1..20, #acc + #acc) made 4.2 GB. There is no reduce, but let doubles
// as well.
func TestDoublingStringsIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`let a0 = "aaaaaaaaaaaaaaaa"; `)
	for i := range 30 {
		fmt.Fprintf(&b, "let a%d = a%d + a%d; ", i+1, i, i)
	}
	b.WriteString("a30")
	e, err := Compile(b.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	within(t, time.Second, 16, func() {
		_, err = e.Run(nil, testDeadline())
	})
	if want := "the text would have 131072 bytes; an expression may make texts of up to 65536"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// replace(repeat("a",1e5),"a",repeat("b",1000)) made 100 MB.
func TestReplaceIsBounded(t *testing.T) {
	e, err := Compile(`replace(body.a, "a", body.b)`, testScope())
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]any{"body": map[string]any{"a": strings.Repeat("a", 60_000), "b": strings.Repeat("b", 1000)}}
	within(t, time.Second, 4, func() {
		_, err = e.Run(env, testDeadline())
	})
	if err == nil || List(err)[0].Code != CodeLimit {
		t.Errorf("got %v, want a limit", err)
	}
}

func TestGrowthIsBounded(t *testing.T) {
	e, err := Compile(`map(body.a, body.t + "!")`, testScope())
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]any{"body": map[string]any{"a": make([]any, 100), "t": strings.Repeat("a", 50_000)}}
	_, err = e.Run(env, testDeadline())
	if want := "this expression makes more than 1048576 bytes of text"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Whatever else the parser may come to share is refused, too.
func TestSharedNodeIsRefused(t *testing.T) {
	c := newCheck("1 + 1", NewScope(nil))
	n := &ast.IntegerNode{Value: 1}
	c.node(&ast.BinaryNode{Operator: "+", Left: n, Right: n}, false)
	if len(c.errs) != 1 || c.errs[0].Code != CodeRefused {
		t.Errorf("got %v", c.errs)
	}
}

func TestDeadline(t *testing.T) {
	e, err := Compile(`map(body.a, sum(body.a))`, testScope())
	if err != nil {
		t.Fatal(err)
	}
	list := make([]any, 1000)
	for i := range list {
		list[i] = int64(i)
	}
	_, err = e.Run(map[string]any{"body": map[string]any{"a": list}}, time.Now().Add(-time.Second))
	if want := "this expression took too long; it was stopped"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The parser shares nodes for ?: and chained comparisons; a tree of them is
// walked in exponential time.
func TestSharedNodesDoNotExplode(t *testing.T) {
	elvis, chained := "1", "1"
	for range 60 {
		elvis = "(" + elvis + "?:1)"
		chained = "1<(" + chained + "<1)<1"
	}
	within(t, 2*time.Second, 200, func() {
		for _, src := range []string{elvis, chained} {
			if _, err := Compile(src, nil); err == nil {
				t.Errorf("%.40s… was accepted", src)
			}
		}
	})
}

func TestDeepSourceDoesNotOverflow(t *testing.T) {
	for _, part := range []string{"(", "[", "-", "not ", "{a:", "lower(", "a.", "any(a,", "1?", "let a="} {
		src := strings.Repeat(part, 1000/len(part))
		if _, err := Compile(src, nil); err == nil {
			t.Errorf("%.20s… was accepted", src)
		}
	}
}

// 100,000 nested arrays took gjson 31 seconds.
func TestDeepJSONIsRefusedInLinearTime(t *testing.T) {
	const deep = 1_000_000
	for _, src := range []string{
		strings.Repeat("[", deep) + strings.Repeat("]", deep),
		strings.Repeat("[", deep),
		strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep),
	} {
		within(t, time.Second, 8, func() {
			err := Scan([]byte(src), 0, 0)
			if want := "the JSON is nested more than 64 deep"; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	wide := "[" + strings.Repeat("1,", 300_000) + "1]"
	if err := Scan([]byte(wide), 0, 0); err == nil || err.Error() != "the JSON has more than 200000 values" {
		t.Errorf("wide: got %v", err)
	}
}

func TestPanicsBecomeErrors(t *testing.T) {
	type odd struct{ F func() }
	for _, src := range []string{`body + 1`, `body.x`, `body[0]`, `any(body, #)`, `body == body`, `lower(body)`, `string(body)`, `len(body)`, `sum([body])`, `uniq([body])`, `{a: body}.a ? 1 : 2`, `map([1], body)`} {
		e, err := Compile(src, testScope())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []any{odd{}, &odd{}, make(chan int), func() {}, complex(1, 2), [2]int{}} {
			if _, err := e.Run(map[string]any{"body": v}, testDeadline()); err != nil {
				var le *Error
				if !errors.As(err, &le) {
					t.Errorf("%s with a %T: got a %T", src, v, err)
				}
			}
		}
	}
}
