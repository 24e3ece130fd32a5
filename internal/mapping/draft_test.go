package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// holds drafts a mapping, and fails when it does not load, when lint warns of
// something or when its tests fail.
func holds(t testing.TB, name string, payloads ...Payload) string {
	t.Helper()
	out, err := Draft(name, payloads)
	if err != nil {
		t.Fatalf("%v", err)
	}
	set, problems := Load([]File{{Name: "m/draft.yaml", Data: out}})
	if err := problems.Errors().Err(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	read := func(file string) ([]byte, error) {
		for _, p := range payloads {
			if "m/"+p.File == file {
				return p.Body, nil
			}
		}
		return nil, fmt.Errorf("no file %s", file)
	}
	m := set.Get(name)
	results := RunTests(m, TestOptions{ReadFile: read})
	if len(results) != len(payloads) {
		t.Fatalf("got %d tests for %d payloads\n%s", len(results), len(payloads), out)
	}
	for _, r := range results {
		if !r.Passed() {
			t.Fatalf("%s: %v\n%s", r.Name, r.Failures, out)
		}
	}
	return string(out)
}

func payloadOf(body string) Payload {
	return Payload{Name: "build", File: "build.json", Body: []byte(body)}
}

// Every payload that there is makes a mapping that holds, with the real
// guesses and not with those of last resort.
func TestDraftsOfAllPayloads(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "payloads", "*", "*.json"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d payloads: %v", len(files), err)
	}
	byTool := map[string][]Payload{}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p := Payload{Name: strings.TrimSuffix(filepath.Base(file), ".json"), File: filepath.Base(file), Body: body}
		tool := filepath.Base(filepath.Dir(file))
		byTool[tool] = append(byTool[tool], p)
		t.Run(tool+"/"+p.Name, func(t *testing.T) {
			if out := holds(t, "draft", p); strings.Contains(out, "nothing else holds") {
				t.Errorf("the guesses do not hold:\n%s", out)
			}
		})
	}
	for tool, payloads := range byTool {
		t.Run(tool, func(t *testing.T) {
			if out := holds(t, "draft", payloads...); strings.Contains(out, "nothing else holds") {
				t.Errorf("the guesses do not hold:\n%s", out)
			}
		})
	}
}

// Two drafts as they are written. -update rewrites them.
func TestDraftGoldens(t *testing.T) {
	read := func(name string, header map[string]string) Payload {
		body, err := os.ReadFile(filepath.Join("testdata", "draft", name))
		if err != nil {
			t.Fatal(err)
		}
		return Payload{Name: strings.TrimSuffix(name, ".json"), File: name, Body: body, Header: header}
	}
	for name, payloads := range map[string][]Payload{
		"one.yaml":     {read("build.json", nil)},
		"several.yaml": {read("started.json", map[string]string{"X-Acme-Signature": "sha256=0a1b"}), read("finished.json", nil), read("deployed.json", nil), read("again.json", nil)},
		"header.yaml":  {read("build.json", map[string]string{"X-Acme-Event": "build", "Authorization": "Basic YTpi", "X-Request-Id": "7"})},
	} {
		got := holds(t, "acme", payloads...)
		file := filepath.Join("testdata", "draft", name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s\n(-update rewrites it)", name, got, want)
		}
	}
}

// Payloads that are meant to break it.
func TestDraftsOfHostilePayloads(t *testing.T) {
	deep := func(n int) string {
		return strings.Repeat(`{"status":"ok","a":`, n) + `1` + strings.Repeat("}", n)
	}
	var many strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&many, `"member_%d":"https://acme.example/%d",`, i, i)
	}
	for name, body := range map[string]string{
		"an empty object": `{}`, "an empty list": `[]`, "null": `null`, "a number": `7`, "a text": `"hello"`, "a text with a list": `"[1]"`, "an empty text": `""`, "true": `true`,
		"a list": `[{"id":1,"state":"PASSED"},{"id":2}]`, "lists of lists": `[[[{"id":1}]]]`, "nulls": `{"id":null,"status":null,"url":null,"sha":null}`, "empty texts": `{"id":"","status":"","type":""}`,
		"deep": deep(60), "a wide one": "{" + many.String() + `"id":1}`, "a long text": `{"id":1,"message":"` + strings.Repeat("x", 200_000) + `"}`, "a long name": `{"` + strings.Repeat("x", 2000) + `":1,"id":2}`,
		"a member twice": `{"id":1,"status":"ok","id":2}`, "an empty name": `{"":1,"id":{"":2}}`,
		"dots and spaces": `{"build.id":7,"build status":"passed"," id ":1,"a.b":{"c.d":{"started at":"2026-02-11T09:14:02Z"}}}`,
		"quotes":          `{"it's \"id\"":1,"build id":"it's \"7\"","status":"'ok'","#":"# no comment","type":"a: b"}`,
		"names of paths":  `{"@this":{"id":1},"#":{"url":"https://a.example"},"*":{"status":"ok"},"a|b":{"sha":"3f9d1c5ab7e24680c1d5f0a9e8b7c6d5e4f30211"},"\\":{"number":1},"!x":1,"=id":2,"$.id":3,"{id}":4,"(id)":5}`,
		"unicode":         `{"größe":{"id":"ß"},"名前":{"status":"成功"},"\u0000":1,"id":"\u0000\u001f\u007f\u0085\u2028\ufeff\ud83d\ude80","emoji 🚀":{"url":"https://a.example/🚀"}}`,
		"lone surrogates": `{"id":"\ud800","\udfff":"x","status":"\ud83d"}`,
		"words of YAML":   `{"yes":"no","on":"off","null":"~","true":"false","status":"null","id":"0x10","n":"1e5","type":"<<","<<":{"id":1},"y":"&a","x":"*a","z":"!t","date":"2026-02-11"}`,
		"numbers":         `{"id":123456789012345678901234567890,"build":1e400,"number":-0,"attempt":0,"duration":-5,"time":99999999999999,"run_attempt":1.5}`,
		"wrong kinds":     `{"id":{},"status":[],"url":{"url":7},"sha":7,"started_at":"tomorrow","duration":"long","type":7,"commit":["x"],"repository":{"url":"::"},"ref":"refs/"}`,
		"patterns":        `{"type":"*","event":"a*b","status":"*","id":"*"}`,
		"a body":          `{"body":{"id":7,"status":"ok"}}`, "an envelope": `{"header":{"id":1},"request":{"id":2},"source":{"id":3},"value":{"status":"ok"},"item":{"url":"https://a.example"}}`,
		"too many attempts": `{"id":1,"attempt":99999999999999999999,"status":"ok"}`, "flags": `{"id":1,"success":true,"passed":false}`,
		"expressions": `{"id":"=1+1","status":"=body.x","type":"=x","url":"https://a.example/=","name":"{{x}}","title":"=","version":"=lower(body.x)"}`,
		"code":        `{"id":1,"type":"x\n- name: y\n  run_key: z","status":"ok\nevil: true","title":"# guess: \n"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if out := holds(t, "draft", payloadOf(body)); strings.Contains(out, "nothing else holds") {
				t.Errorf("the guesses do not hold:\n%.3000s", out)
			}
		})
		t.Run(name+" from nowhere", func(t *testing.T) {
			p := payloadOf(body)
			p.File = ""
			if len(body) > maxBase64 {
				if _, err := Draft("draft", []Payload{p}); err == nil || !strings.Contains(err.Error(), "save it to a file") {
					t.Errorf("got %v", err)
				}
				return
			}
			holds(t, "draft", p)
		})
	}
}

// Whatever the payloads are, alone and together: the draft loads and its tests
// pass.
func TestDraftsOfAnything(t *testing.T) {
	names := rapid.SampledFrom([]string{"id", "type", "event", "status", "result", "conclusion", "build", "number", "run_id", "url", "repository", "commit", "sha", "ref", "user", "name", "started_at", "duration", "attempt", "pull_request", "token", "a.b", "ü", "", "x y", "@", "0", "action"})
	scalars := rapid.SampledFrom([]any{nil, true, 7, -1, 1.5, "", "passed", "RUNNING", "odd", "build", "deploy.started", "https://a.example/x", "https://me:pw@a.example/acme/shop.git", "git@a.example:acme/shop.git", "3f9d1c5ab7e24680c1d5f0a9e8b7c6d5e4f30211",
		"refs/heads/main", "refs/tags/v1", "2026-02-11T09:14:02Z", 1770801242, "a\nb", "'\"", "é", "0", "yes", "=x", "*", "mlind", "me@acme.example"})
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
			case kind < 6 || depth == 0:
				return scalars.Draw(t, "scalar")
			case kind < 9:
				return rapid.MapOfN(names, value(depth-1), 0, 8).Draw(t, "object")
			default:
				return rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list")
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		var payloads []Payload
		for i := range rapid.IntRange(1, 3).Draw(t, "payloads") {
			body, err := json.Marshal(rapid.MapOfN(names, value(3), 0, 10).Draw(t, "payload"))
			if err != nil {
				t.Fatal(err)
			}
			payloads = append(payloads, Payload{Name: "build", File: fmt.Sprintf("%d.json", i), Body: body})
		}
		if rapid.Bool().Draw(t, "header") {
			payloads[0].Header = map[string]string{"X-Event": "ping", "X-Token": "abc"}
		}
		out, err := Draft("draft", payloads)
		if err != nil {
			t.Fatal(err)
		}
		set, problems := Load([]File{{Name: "draft.yaml", Data: out}})
		if err := problems.Err(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, r := range RunTests(set.Get("draft"), TestOptions{ReadFile: func(string) ([]byte, error) { return nil, os.ErrNotExist }}) {
			if !r.Passed() {
				t.Fatalf("%s: %v\n%s", r.Name, r.Failures, out)
			}
		}
	})
}

func TestDraftsSayWhatIsWrong(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"Acme CI", `{}`, `"Acme CI" cannot be the name of a mapping: use lower-case letters`},
		{"acme", `{"a":`, "build.json:1:6: "},
		{"acme", "payload=%7B%7D", "save the part of it that is JSON"},
		{"acme", "--x\r\n", "save the part of it that is JSON"},
		{"acme", strings.Repeat("[", 100) + strings.Repeat("]", 100), "build.json:1:65: "},
		{"acme", "", "build.json:1:1: "},
	} {
		if _, err := Draft(tc.name, []Payload{payloadOf(tc.body)}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.30q: got %v, want %q", tc.body, err, tc.want)
		}
	}
	if _, err := Draft("acme", nil); err == nil {
		t.Error("no payload makes a mapping")
	}
}

// What looks like a secret stays out of a file that is going to be committed.
func TestDraftsKeepNoSecrets(t *testing.T) {
	const secret = "hunter2-hunter2"
	out := holds(t, "acme", Payload{Name: "build", Body: []byte(`{"id":1,"status":"ok","apiToken":"` + secret + `","params":{"DB_PASSWORD":"` + secret + `"},"list":[{"secret":"` + secret + `"},"https://me:` + secret + `@a.example"],
		"git_url":"https://me:` + secret + `@git.acme.example/acme/shop.git"}`), Header: map[string]string{"X-Acme-Token": secret, "Authorization": "Bearer " + secret, "X-Signature": secret}})
	if strings.Contains(out, secret) {
		t.Errorf("the secret is in\n%s", out)
	}
	if want := "# Left out of the tests, because it looks like a secret: apiToken, DB_PASSWORD, secret, git_url."; !strings.Contains(out, want) {
		t.Errorf("want %q in\n%s", want, out)
	}
}

func TestWordsOf(t *testing.T) {
	for name, want := range map[string]string{
		"headSHA": "head sha", "head_sha": "head sha", "HEAD-SHA": "head sha", "buildURLPath": "build url path", "run id": "run id", "x": "x", "": "", "__": "",
		"sha1Sum": "sha1 sum", "größeÄ": "größe ä",
	} {
		if got := strings.Join(wordsOf(name), " "); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// A text that is written as YAML reads back as it was.
func TestYAMLText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"yes", "null", "~", "- a", "a: b", "a #b", "'", `"`, "\\", "\t", " a", "a ", "1e5", "2026-02-11", "<<", "a\r\nb"})).Draw(t, "text")
		l := newLoader(File{Name: "a.yaml", Data: []byte("k: " + yamlText(s) + "\nl: [" + yamlText(s) + ", {" + yamlText(s+"k") + ": 1}]\n")})
		l.parse()
		if l.root == nil {
			t.Fatal(l.problems)
		}
		list := l.root.Get("l").Items
		if k := l.root.Get("k"); k.Text != s || k.Type != "str" || list[0].Text != s || list[1].Pairs[0].Key.Text != s+"k" {
			t.Fatalf("%q reads as %q", s, k.Text)
		}
	})
}

// Guesses are data: each has a note for people and names that can be found.
func TestGuessesAreComplete(t *testing.T) {
	for _, g := range append(slices.Clone(fieldGuesses), atGuess, attemptGuess) {
		if _, known := kindOf(g.field); !known && g.field != "at" && g.field != "attempt" || g.note == "" || g.looks == nil || len(g.names) == 0 {
			t.Errorf("%s: a guess needs a field that exists, a note, names and a look", g.field)
		}
		for _, name := range g.names {
			if words := strings.Join(wordsOf(strings.TrimLeft(name, "=*")), " "); words != strings.TrimLeft(name, "=*") {
				t.Errorf("%s: %q can never be found", g.field, name)
			}
		}
	}
	for _, row := range statusTable {
		if !slices.Contains(statusWords, string(row.status)) {
			t.Errorf("%s is no status", row.status)
		}
		for _, w := range row.words {
			if statusOfWord(w) != row.status || yamlText(w) != w {
				t.Errorf("%s of %s is not found, or needs quotes", w, row.status)
			}
		}
	}
	if !bytes.Contains([]byte(holds(t, "acme", payloadOf(`{"id":1,"status":"odd word"}`))), []byte(`{odd word: unknown,  # guess: say what it means`)) {
		t.Error("an unknown word is not marked")
	}
}

// What refuses one of several payloads is given up, and the rest still holds.
func TestDraftsOfContradictingPayloads(t *testing.T) {
	out := holds(t, "draft", payloadOf(`{"type":"build","id":1,"attempt":2,"status":"ok"}`), Payload{Name: "b", Body: []byte(`{"type":"build","id":2,"attempt":{"x":1},"status":"ok"}`)})
	if !strings.Contains(out, `run_key: =sha256(request.raw)  # guess: nothing else holds for this payload`) || strings.Contains(out, "attempt: attempt") {
		t.Errorf("got\n%s", out)
	}
}
