package lang

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const sample = `{
  "type": "end", "empty": "", "nothing": null, "yes": true, "five": 5, "half": 1.5, "big": 12345678901234567890, "id": 4487150517,
  "start_time": 1684912520000, "duration": 5, "execution-id": "e1", "digits": "42",
  "deep": {"list": [1, 2, {"name": "x"}], "a.b": "dotted"},
  "builds": [{"id": 1, "status": "ok", "fatal": true}, {"id": 7, "status": "failed"}, {"id": 3, "status": "ok", "fatal": false}],
  "params": [{"name": "version", "value": 1}, {"name": "env", "value": "prod"}]
}`

func testScope() *Scope {
	stage := Object(map[string]Shape{"name": Leaf(), "status": Leaf()})
	run := Object(map[string]Shape{"status": Leaf(), "stages": ListOf(stage)}).Add("commit.sha", Leaf()).Add("commit.branch", Leaf())
	return NewScope(map[string]Shape{"body": Any(), "header": Any(), "run": run, "value": Any(), "request": Any()})
}

func testEnv() map[string]any {
	type word string // stands for the typed strings of other packages
	return map[string]any{
		"body":   NewDoc(sample),
		"header": map[string]string{"x-event": "push"},
		"run":    map[string]any{"status": word("failed"), "stages": []map[string]any{{"name": "build"}}, "commit": map[string]any{"sha": "abc"}},
		"request": map[string]any{
			"raw": "hello", "bytes": []byte("hello"), "at": time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC),
		},
	}
}

func eval(t *testing.T, src string) (any, error) {
	t.Helper()
	e, err := Compile(src, testScope().WithOmit())
	if err != nil {
		t.Fatalf("compile %s: %v", src, err)
	}
	return e.Run(testEnv(), time.Now().Add(time.Minute))
}

func TestValues(t *testing.T) {
	list := func(v ...any) []any { return v }
	tests := []struct {
		src  string
		want any
	}{
		// members and items: what is not there is absent
		{`body.deep.list[2].name`, "x"},
		{`body.deep.list[-1].name`, "x"},
		{`body.deep["a.b"]`, "dotted"},
		{`body["execution-id"]`, "e1"},
		{`body.no.such.member`, nil},
		{`body?.no?.such`, nil},
		{`body.nothing.member`, nil},
		{`body.deep.list[9]`, nil},
		{`body.deep.list[-9]`, nil},
		{`body.deep.list[body.five]`, nil},
		{`body[body.type]`, nil},
		{`body.nothing[body.type]`, nil},
		{`{"end": "done"}[body.type] ?? "?"`, "done"},
		{`body.deep.list[1:]`, list(int64(2), map[string]any{"name": "x"})},
		{`body.type[:2]`, "en"},
		{`"grün"[2:3]`, "ü"},
		{`body.none[:2]`, nil},
		{`header["x-event"]`, "push"},
		{`header["x-none"]`, nil},
		{`value`, nil},
		{`run.status == "failed"`, true},
		{`run.stages[0].name`, "build"},
		// numbers
		{`body.id`, int64(4487150517)},
		{`body.big`, "12345678901234567890"},
		{`body.half`, 1.5},
		{`body.half * 2`, int64(3)},
		{`body.five + 1`, int64(6)},
		{`body.five == 5.0`, true},
		{`5 / 2`, 2.5},
		{`6 / 2`, int64(3)},
		{`7 % 2`, int64(1)},
		{`-body.five`, int64(-5)},
		{`+body.five`, int64(5)},
		{`1_000 + 0x10`, int64(1016)},
		{`body.five > 4.5 and body.five <= 5`, true},
		{`int(body.digits) + 1`, int64(43)},
		{`int("4.0")`, int64(4)},
		{`int(1.9)`, int64(1)},
		{`int("")`, nil},
		{`int(nil)`, nil},
		{`float(body.digits)`, int64(42)},
		{`float("1.5")`, 1.5},
		// conditions: absent is false
		{`body.none ? 1 : 2`, int64(2)},
		{`body.yes and not body.none`, true},
		{`body.none or body.yes`, true},
		{`body.none ?? "d"`, "d"},
		{`body.empty ?? "d"`, ""},
		{`body.nothing == nil`, true},
		{`body.five == "5"`, false},
		// lists
		{`any(body.builds, .status == "failed")`, true},
		{`all(body.builds, .id > 0)`, true},
		{`none(body.builds, .id > 9)`, true},
		{`one(body.builds, .fatal)`, true},
		{`count(body.builds, .fatal)`, int64(1)},
		{`find(body.builds, .id == 7).status`, "failed"},
		{`find(body.builds, .id == 8).status`, nil},
		{`findLast(body.builds, .status == "ok").id`, int64(3)},
		{`map(body.builds, .id)`, list(int64(1), int64(7), int64(3))},
		{`map(body.builds, #index)`, list(int64(0), int64(1), int64(2))},
		{`map(filter(body.builds, .status == "ok"), #.id)`, list(int64(1), int64(3))},
		{`body.builds | map(.id) | join("-")`, "1-7-3"},
		{`sum(body.builds, .id)`, int64(11)},
		{`sum([1, nil, 2])`, int64(3)},
		{`max(map(body.builds, .id))`, int64(7)},
		{`min(3, nil, 1.5)`, 1.5},
		{`max("a", "b")`, "b"},
		{`max([])`, nil},
		{`first(body.builds).id + last(body.builds).id`, int64(4)},
		{`sort(map(body.builds, .id))`, list(int64(1), int64(3), int64(7))},
		{`reverse([1, 2])`, list(int64(2), int64(1))},
		{`uniq([1, "1", 1, nil, nil])`, list(int64(1), "1", nil)},
		{`concat([1], body.none, [2])`, list(int64(1), int64(2))},
		{`keys(body.deep)`, list("a.b", "list")},
		{`toPairs({b: 1, a: 2})`, list(list("a", int64(2)), list("b", int64(1)))},
		{`fromPairs(map(body.params, [.name, .value]))`, map[string]any{"version": int64(1), "env": "prod"}},
		{`len(body.builds) + len("grün") + len(body.none)`, int64(7)},
		{`body.type in ["end", "start"]`, true},
		{`body.none in ["end"]`, false},
		{`body.five in [1, 2.5, 5, true, nil]`, true},
		{`body.none in [1, nil]`, true},
		{`body.five in [body.none, body.five]`, true},
		{`"five" in body`, true},
		{`body.deep.list contains 2`, true},
		// of an absent list there is nothing
		{`map(body.none, .id)`, nil},
		{`filter(body.none, .id)`, nil},
		{`any(body.none, .id)`, false},
		{`all(body.none, .id)`, true},
		{`count(body.none, .id)`, int64(0)},
		{`sum(body.none, .id)`, nil},
		{`find(body.none, .id)`, nil},
		{`first(body.none)`, nil},
		{`join(body.none, "-")`, nil},
		// texts
		{`lower("ÄB") + upper("c")`, "äbC"},
		{`trim("  a ")`, "a"},
		{`trim("xax", "x")`, "a"},
		{`trimPrefix("refs/x", "refs/")`, "x"},
		{`trimSuffix("a/", "/")`, "a"},
		{`trimSuffix("a/", nil)`, "a/"},
		{`hasPrefix("abc", "ab") and hasSuffix("abc", "bc")`, true},
		{`hasPrefix(body.none, "ab")`, false},
		{`split("a,b", ",")`, list("a", "b")},
		{`replace("a-b-c", "-", "+")`, "a+b+c"},
		{`replace("abc", "", "x")`, "abc"},
		{`indexOf("grün!", "!")`, int64(4)},
		{`indexOf("a", "b")`, int64(-1)},
		{`"abc" contains "b" and "abc" startsWith "a" and "abc" endsWith "c"`, true},
		{`body.none contains "b"`, false},
		{`body.type not contains "x"`, true},
		{`body.type matches "^e.d$"`, true},
		{`body.none matches "^e"`, false},
		{`regex("build-77 ok", "build-(\\d+)")`, "77"},
		{`regex("build-77 ok", "[0-9]+")`, "77"},
		{`regex("build-77 ok", "(?P<word>[a-z]+)-(\\d+)", "word")`, "build"},
		{`regex("build-77 ok", "x(y)?")`, nil},
		{`regex("xz", "x(y)?z")`, nil},
		{`lower(body.none)`, nil},
		{`lower(5)`, "5"},
		{`string(body.id)`, "4487150517"},
		{`string(body.none)`, nil},
		{`string(1.5)`, "1.5"},
		{`string([1, "a"])`, `[1,"a"]`},
		{`truncate("abcdef", 4)`, "abc…"},
		{`truncate("abc", 3)`, "abc"},
		{`"grünes" | truncate(4)`, "grü…"},
		{`coalesce(body.none, body.empty, "c")`, "c"},
		{`coalesce(body.none, body.empty, "")`, ""},
		{`coalesce(body.none, "") + "c"`, "c"},
		{`coalesce("")`, ""},
		{`body.none | default("")`, ""},
		{`coalesce("", body.none, body.empty)`, nil},
		{`coalesce(body.none, body.empty)`, nil},
		{`body.empty | default("d")`, "d"},
		{`strip_ref("refs/heads/a/b")`, "a/b"},
		{`strip_ref("refs/tags/v1")`, "v1"},
		{`strip_ref("origin/main")`, "main"},
		{`strip_ref("main")`, "main"},
		{`is_tag("refs/tags/v1")`, true},
		{`is_tag(nil)`, false},
		{`last_segment("a/b/c/")`, "c"},
		{`last_segment("LG:main:abc", ":")`, "abc"},
		{`last_segment("abc")`, "abc"},
		{`urlquery("a b&c")`, "a+b%26c"},
		{`sha1("x")`, "11f6ad8ec52a2984abaafd7c3b516503785c2072"},
		{`sha256(request.raw)`, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},
		{`sha256(request.bytes) == sha256(request.raw)`, true},
		{`hmac_sha256("key", "hello")`, "9307b3b915efb5171ff14d8cb55fbcc798c6c0ef1456d66ded1a6aa723a58b7b"},
		// times and addresses
		{`ms(body.start_time + body.duration)`, int64(1684912520005)},
		{`unix("2023-05-24T07:15:20Z")`, int64(1684912520)},
		{`iso(body.start_time)`, "2023-05-24T07:15:20Z"},
		{`iso(request.at)`, "2024-01-02T03:04:05Z"},
		{`ms(body.none)`, nil},
		{`human_time(72000)`, "1m 12s"},
		{`human_time(3720000)`, "1h 2m"},
		{`human_time(400)`, "0.4s"},
		{`repo("git@github.com:acme/shop.git").full_name`, "acme/shop"},
		{`repo(body.none).owner`, nil},
		// structure
		{`{a: body.type, "b": [1, body.none]}`, map[string]any{"a": "end", "b": list(int64(1), nil)}},
		{`let n = body.five; let m = n + 1; n * m`, int64(30)},
		{`body.none == nil ? omit() : 1`, Omit},
		{`map(body.builds, ({id: .id, last: #index == 2}))[2].last`, true},
	}
	for _, tt := range tests {
		t.Run(tt.src, func(t *testing.T) {
			got, err := eval(t, tt.src)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, %v; want %#v", got, err, tt.want)
			}
		})
	}
}

func TestRunErrors(t *testing.T) {
	tests := []struct {
		src  string
		want string // place, code, message; help
	}{
		{`body.deep.list.name`, `1:16 E310 a list of 3 has no member name; use map(list, .name), or list[0].name`},
		{`body.type.name`, `1:11 E310 the text "end" has no member name`},
		{`body.deep[0]`, `1:11 E310 an object has no item 0`},
		{`run.commit[0]`, `1:12 E310 an object has no item 0`},
		{`body.none + 1`, `1:11 E310 the value on the left of + is absent; give a default: (x ?? 0)`},
		{`"a" + body.none`, `1:5 E310 the value on the right of + is absent; give a default: (x ?? "")`},
		{`"#" + body.five`, `1:5 E310 cannot add the text "#" and the number 5; write string(x) to make a text of a number, int(x) to make a number of a text`},
		{`body.digits * 2`, `1:13 E310 cannot multiply the text "42": it is not a number; write int(x)`},
		{`body.type > 5`, `1:11 E310 cannot compare the text "end" with the number 5; write int(x) to make a number of a text`},
		{`body.none > 5`, `1:11 E310 the value on the left of > is absent; give a default: (x ?? 0)`},
		{`body.type ? 1 : 2`, `1:1 E310 the text "end" is neither true nor false; compare it with something: x == …`},
		{`9223372036854775807 + 1`, `1:21 E310 9223372036854775807 + 1 does not fit into 64 bits`},
		{`-9223372036854775807 - 2`, `1:22 E310 -9223372036854775807 - 2 does not fit into 64 bits`},
		{`4611686018427387904 * 2`, `1:21 E310 4611686018427387904 * 2 does not fit into 64 bits`},
		{`sum([9223372036854775807, 1])`, `1:1 E310 9223372036854775807 + 1 does not fit into 64 bits`},
		{`int("9e99")`, `1:1 E310 the text "9e99" does not fit into 64 bits`},
		{`int("x1")`, `1:1 E310 the text "x1" is not a number`},
		{`int("0x10")`, `1:1 E310 the text "0x10" is not a number`},
		{`1 / 0`, `1:3 E310 cannot divide by 0`},
		{`1 % 0`, `1:3 E310 cannot divide by 0`},
		{`-body.type`, `1:1 E310 cannot negate the text "end": it is not a number`},
		{`any(body.type, #)`, `1:5 E310 a list is needed, not the text "end"`},
		{`any(body.builds, .status)`, `1:18 E310 the text "ok" is neither true nor false; compare it with something: x == …`},
		{`lower(body.builds)`, `1:1 E310 lower needs a text, not a list of 3`},
		{`"a" in body.type`, `1:5 E310 in looks into a list, and the text "end" is a text; write text contains part`},
		{`sort([1, "a"])`, `1:1 E310 cannot compare the text "a" with the number 1; write int(x) to make a number of a text`},
		{`max([true])`, `1:1 E310 max needs numbers or texts, not true`},
		{`fromPairs([1])`, `1:1 E310 fromPairs needs pairs [name, value], not the number 1`},
		{`ms("yesterday")`, `1:1 E312 "yesterday" is not a time that is known here; give its form in times.layouts, for example "2006-01-02 15:04:05"`},
		{`repo("nowhere")`, `1:1 E310 "nowhere" is not the address of a repository`},
		{`regex("a", "(a)", 2)`, `1:1 E310 the pattern has no group the number 2; it has 1`},
		{"body.five +\n  body.type", `1:11 E310 cannot add the number 5 and the text "end"; write string(x) to make a text of a number, int(x) to make a number of a text`},
		{"let x = 1;\n  x + body.none", `2:5 E310 the value on the right of + is absent; give a default: (x ?? 0)`},
	}
	for _, tt := range tests {
		t.Run(tt.src, func(t *testing.T) {
			got, err := eval(t, tt.src)
			if err == nil {
				t.Fatalf("got %#v, want an error", got)
			}
			if s := spell(err); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

// spell returns all that an error of this package says, one line per error.
func spell(err error) string {
	var lines []string
	for _, e := range List(err) {
		lines = append(lines, fmt.Sprintf("%d:%d %s %s", e.Line, e.Col, e.Code, e.Error()))
	}
	return strings.Join(lines, "\n")
}

func TestReads(t *testing.T) {
	tests := []struct{ src, reads, roots string }{
		{`run.commit.sha ?? run.commit.branch`, "run.commit.branch run.commit.sha", "run"},
		{`body.a.b[0].c`, "body.a.b", "body"},
		{`body["a"].b`, "body.a.b", "body"},
		{`body.a[value]`, "body.a value", "body value"},
		{`any(body.builds, .status == header.x)`, "body.builds header.x", "body header"},
		{`let b = body.x; b.y`, "body.x", "body"},
		{`body?.a?.b`, "body.a.b", "body"},
		{`"a" + "b"`, "", ""},
		{`value`, "value", "value"},
	}
	for _, tt := range tests {
		e, err := Compile(tt.src, testScope())
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		if got := strings.Join(e.Reads(), " "); got != tt.reads {
			t.Errorf("%s reads %q, want %q", tt.src, got, tt.reads)
		}
		if got := strings.Join(e.Roots(), " "); got != tt.roots {
			t.Errorf("%s has the roots %q, want %q", tt.src, got, tt.roots)
		}
	}
}

func TestTruncated(t *testing.T) {
	items := "[" + strings.Repeat("{},", 1499) + "{}]"
	e, err := Compile(`len(body.a)`, testScope())
	if err != nil {
		t.Fatal(err)
	}
	res, err := e.Eval(map[string]any{"body": NewDoc(`{"a":` + items + `}`)}, time.Time{})
	if err != nil || res.Value != int64(1000) || !res.Truncated {
		t.Errorf("document: got %+v, %v; want 1000 of 1500 items, truncated", res, err)
	}
	many := make([]any, 1500)
	e, err = Compile(`count(value, # == nil)`, testScope())
	if err != nil {
		t.Fatal(err)
	}
	res, err = e.Eval(map[string]any{"value": many}, time.Time{})
	if err != nil || res.Value != int64(1000) || !res.Truncated {
		t.Errorf("list: got %+v, %v; want 1000 of 1500 items, truncated", res, err)
	}
	res, err = e.Eval(map[string]any{"value": many[:3]}, time.Time{})
	if err != nil || res.Value != int64(3) || res.Truncated {
		t.Errorf("short list after a long one: got %+v, %v", res, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	e, err := Compile(`join(map(body.builds, string(.id) + header["x-event"]), ",")`, testScope())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				got, err := e.Run(testEnv(), time.Now().Add(time.Minute))
				if err != nil || got != "1push,7push,3push" {
					t.Errorf("got %v, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestFunctionsAreDescribed(t *testing.T) {
	for _, name := range Functions() {
		usage := Usage(name)
		if !strings.HasPrefix(usage, name+"(") {
			t.Errorf("the usage of %s is %q", name, usage)
		}
	}
	if !slices.Contains(Functions(), "any") || Usage("nope") != "" {
		t.Error("the list of functions is not right")
	}
}
