package lang

import (
	"strings"
	"testing"
	"time"
)

func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`body.a.b[0].c ?? "x"`, `any(body.builds, .status == "failed" and .id > 3)`, `let x = body.five; x * x - 1`, `body.type matches "^a+$"`,
		`{"a": body.type}[body.type] | default("x") | truncate(3)`, `map(body.builds, ({id: .id})) | first()`, `repo("git@a.b:c/d").owner`, `-body.deep.list[1:][0]`,
		`ms(body.start_time) / 1000 % 60`, `fromPairs(toPairs(body.deep))`, `regex(body.type, "(.)", 1)`, `1 ? 2 : 3 ? 4 : 5`, `sum(body.builds, .id)`, `string(body)`,
	} {
		f.Add(s)
	}
	scope := testScope().WithOmit()
	f.Fuzz(func(t *testing.T, src string) {
		e, err := Compile(src, scope)
		if err != nil {
			for _, one := range List(err) {
				if one.Line < 1 || one.Col < 1 || one.Message == "" || one.Code == "" || one.Line > strings.Count(src, "\n")+1 {
					t.Fatalf("bad error %+v", one)
				}
			}
			return
		}
		start := time.Now()
		first, err1 := e.Run(testEnv(), start.Add(time.Minute))
		if took := time.Since(start); took > 20*time.Second {
			t.Fatalf("took %v", took)
		}
		second, err2 := e.Run(testEnv(), time.Now().Add(time.Minute))
		a, _ := Text(first)
		b, _ := Text(second)
		if a != b || (err1 == nil) != (err2 == nil) {
			t.Fatalf("two runs differ: %v (%v), %v (%v)", a, err1, b, err2)
		}
		if err1 != nil && (strings.Contains(err1.Error(), "interface conversion") || strings.Contains(err1.Error(), "reflect") || strings.Contains(err1.Error(), "runtime error")) {
			t.Fatalf("an error of Go got out: %v", err1)
		}
	})
}
