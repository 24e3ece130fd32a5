package lang

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// doubled is an expression with a value that holds 2 to the power of n others.
func doubled(form string, n int) string {
	var b strings.Builder
	b.WriteString("let a0 = [1]; ")
	for i := range n {
		fmt.Fprintf(&b, "let a%d = "+form+"; ", i+1, i, i)
	}
	return b.String() + fmt.Sprintf("a%d", n)
}

// A list that holds one list twice costs nothing to make, thirty times over;
// to compare or to write it takes a billion steps.
func TestDoublingListsIsBounded(t *testing.T) {
	for _, src := range []string{
		doubled("[a%d, a%d]", 24),
		doubled("[a%d, a%d]", 24) + " == a24",
		doubled("{x: a%d, y: a%d}", 24),
		doubled("concat([a%d], [a%d])", 24),
		doubled("map([1, 2], a%d ?? a%d)", 18),
		doubled("[a%d, a%d]", 15) + " == nil ? 1 : map(body.many, a15)",
	} {
		e, err := Compile(src, testScope())
		if err != nil {
			t.Errorf("%.60s…: %v", src, err)
			continue
		}
		within(t, 5*time.Second, 64, func() {
			v, err := e.Run(map[string]any{"body": map[string]any{"many": make([]any, 1000)}}, testDeadline())
			if err == nil || List(err)[0].Code != CodeLimit {
				t.Errorf("%.60s…: got %T and %v, want a limit", src, v, err)
			}
		})
	}
}
