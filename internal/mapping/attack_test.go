package mapping

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"cibridge/bridge"
)

// attacked is a mapping with one more let, field or piece of YAML in it.
func attacked(piece string) string {
	return "version: 1\nname: attacked\nreceive: {auth: [key]}\n" + piece
}

func field1(value string) string {
	return attacked("events:\n  - name: run\n    run_key: id\n    fields:\n      title: " + value + "\n")
}

// What can be seen when a file is loaded is refused there, with its place.
func TestAttacksRefusedAtLoad(t *testing.T) {
	manyParts := "'=" + strings.Repeat("1+", 250) + "1'"
	for _, tc := range []struct{ name, file, want string }{
		{"a predicate in a predicate in a predicate", field1(`'=count(body.a, any(body.a, any(body.a, # == -1)))'`), "8:30 E205 any inside a condition is not allowed: it would look at every pair of items"},
		{"a pattern that the payload gives", field1(`'=body.a matches body.b'`), "8:31 E205 a regular expression must be a constant"},
		{"a pattern that explodes", field1(`'=body.a matches "((a{100}){100}){100}"'`), "8:31 E204"},
		{"shared nodes", field1("'=" + strings.Repeat("(", 20) + "1" + strings.Repeat("?:1)", 20) + "'"), "E205 ?: is not allowed"},
		{"many parts", field1(manyParts), "8:217 E204 this expression is too large"},
		{"a long expression", field1("'=" + strings.Repeat(" ", 2000) + "1'"), "8:16 E204 this expression has 2001 bytes"},
		{"a clock", field1("=now()"), "8:15 E205 the function now is not allowed"},
		{"reduce", field1(`'=reduce(body.a, #acc + #acc)'`), "8:16 E205 the function reduce is not allowed"},
		{"repeat", field1(`'=repeat("a", 1000000)'`), "8:16 E205 the function repeat is not allowed"},
		{"an unclosed path", field1(`'payload.#(type=="git".sha'`), "8:40 E202 this gjson path has a ( that is not closed"},
		{"an unclosed bracket", field1(`'a.[b'`), "8:19 E202 this gjson path has a [ that is not closed"},
		{"a modifier that reads a text as JSON", field1(`payload.@fromstr.x`), "8:22 E202"},
		{"a modifier that grows", field1(`payload.@tostr|@tostr`), "8:22 E202"},
		{"a modifier with an argument", field1(`'@pretty:{"indent":"          "}'`), "8:15 E202"},
		{"a modifier inside a query", field1(`'a.#(@dig:x=="y")'`), "8:19 E202"},
		{"a literal of gjson", field1(`'!"x"'`), "8:15 E202"},
		{"a path of many steps", field1(strings.Repeat("a.", 30) + "a"), "E202"},
		{"a long path", field1(strings.Repeat("a", 300)), "8:14 E202"},
		{"an anchor", attacked("maps: &m {a: {x: failed}}\nevents: [{name: a, run_key: id}]\n"), "4:7 E111"},
		{"laughs by the billion", attacked("let:\n  a: &a [x, x, x, x, x, x, x, x, x]\n  b: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n  c: [*b, *b, *b, *b, *b, *b, *b, *b]\nevents: [{name: a, run_key: id}]\n"), "5:6 E111"},
		{"a merge key", attacked("events:\n  - <<: {name: a}\n    run_key: id\n"), "5:5 E111"},
		{"the merge key that panics yaml.v3", attacked("events: [{<<: [[a]], name: a, run_key: id}]\n"), "4:11 E111"},
		{"a merge of a text", attacked("<<: x\n<<: y\nevents: []\n"), "4:1 E111"},
		{"a key that is a list", attacked("events: [{? [a, b] : c}]\n"), "4:13 E112"},
		{"a tag", attacked("events: [{name: !!binary aGk=, run_key: id}]\n"), "4:17 E115"},
		{"a file nested deep", attacked("events: " + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "\n"), "E11"},
		{"a huge file", attacked("# " + strings.Repeat("x", 2<<20) + "\nevents: []\n"), "E116"},
		{"lets in a circle", attacked("let: {a: =b, b: =c, c: =a}\nevents: [{name: a, run_key: =a}]\n"), "4:7 E108"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bounded(t, 64, func() {
				_, problems := Load([]File{{Name: "a.yaml", Data: []byte(tc.file)}})
				var found []string
				for _, p := range problems.Errors() {
					found = append(found, fmt.Sprintf("%d:%d %s %s", p.Line, p.Col, p.Code, p.Message))
				}
				if got := strings.Join(found, "\n"); !strings.Contains(got, tc.want) {
					t.Errorf("got %q, want %s", got, tc.want)
				}
			})
		})
	}
}

// What depends on the payload is stopped while it runs: the rest of the event
// is there, and a warning says what and where.
func TestAttacksStoppedAtRun(t *testing.T) {
	many := `{"id":1,"title":"t","a":[` + strings.Repeat(`{"n":1,"s":"`+strings.Repeat("a", 1000)+`"},`, 999) + `{"n":1}]}`
	doubling := "let:\n  l0: '=[body.id, body.id]'\n"
	texts := "let:\n  l0: '=\"aaaaaaaaaaaaaaaa\" + body.title'\n"
	for i := range 30 {
		doubling += fmt.Sprintf("  l%d: '=[l%d, l%d]'\n", i+1, i, i)
		texts += fmt.Sprintf("  l%d: '=l%d + l%d'\n", i+1, i, i)
	}
	events := func(field string) string {
		return "events:\n  - {name: run, run_key: id, fields: {title: title, " + field + "}}\n"
	}
	for _, tc := range []struct{ name, file, body, want string }{
		{"a list for each item of a list", attacked(events(`labels.x: '=string(sum(map(body.a, len(sort(reverse(uniq(body.a)))))))'`)), many, "run.labels.x (a.yaml:5): "},
		{"a pattern on each item", attacked(events(`labels.x: '=string(count(body.a, .s matches "^(a+a+)+$|(a?){50}b"))'`)), many, "run.labels.x (a.yaml:5): this expression has too much to do with these values; it was stopped"},
		{"texts that double from let to let", attacked(texts + events(`labels.x: =l30`)), many, "let.l12 (a.yaml:17): the text would have"},
		{"lists that double from let to let", attacked(doubling + events(`commits: =l30`)), many, "let.l15 (a.yaml:20): this value would hold more than 100000 values"},
		{"a text that grows by replacing", attacked(events(`labels.x: '=replace(join(map(body.a, .s)), "a", body.title)'`)), many, "run.labels.x (a.yaml:5): "},
		{"all of a large payload as a text", attacked(events(`labels.x: =string(body)`)), many, "run.labels.x (a.yaml:5): a text of this value would have more than 65536 bytes"},
		{"a query of gjson over a long list", attacked(events(`labels.x: 'a.#(s%"*b*")#.n'`)), many, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set, problems := Load([]File{{Name: "a.yaml", Data: []byte(tc.file)}})
			if problems.Err() != nil {
				t.Fatal(problems)
			}
			bounded(t, 256, func() {
				res := set.Get("attacked").Apply(Input{Request: request([]byte(tc.body), nil), Source: bridge.Source{ID: "s"}})
				if len(res.Events) != 1 || res.Events[0].Fields["title"] != "t" {
					t.Fatalf("got %+v", res)
				}
				if got := strings.Join(res.Warnings, "\n"); !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
					t.Errorf("got warnings %.300q, want %q", got, tc.want)
				}
			})
		})
	}
}

// Payloads that are deep, wide or broken are refused before anything else reads
// them, with line and column.
func TestAttacksOfPayloads(t *testing.T) {
	m := load(t, small).Get("small")
	for _, tc := range []struct{ name, body, want string }{
		{"100,000 lists in each other", strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), "1:65 the JSON is nested more than 64 deep"},
		{"100,000 objects in each other", strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000), "1:321 the JSON is nested more than 64 deep"},
		{"a list without end", strings.Repeat("[", 1_000_000), "1:65 the JSON is nested more than 64 deep"},
		{"a million values", `{"a":[` + strings.Repeat("1,", 1_000_000) + "1]}", "the JSON has more than 200000 values"},
		{"a text without end", `{"a":"` + strings.Repeat("a", 4<<20), `1:6 the text that begins here is not closed`},
		{"JSON in JSON in JSON", strings.Repeat(`"\"`, 3) + "x", "1:"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bounded(t, 64, func() {
				res := apply(m, tc.body)
				if res.Outcome != bridge.Rejected || res.Problem == nil || res.Problem.Code != CodeBadJSON {
					t.Fatalf("got %+v", res)
				}
				if got := fmt.Sprintf("%d:%d %s", res.Problem.Line, res.Problem.Col, res.Problem.Message); !strings.Contains(got, tc.want) {
					t.Errorf("got %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// bounded fails the test when f allocates more than megabytes. How long it may
// take says the limit of the whole test: without their rules most of these
// would run for minutes.
func bounded(t *testing.T, megabytes uint64, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > megabytes {
		t.Errorf("allocated %d MB, want at most %d", got, megabytes)
	}
}
