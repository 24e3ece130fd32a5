package mapping

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"cibridge/bridge"
)

// small is a mapping that loads; tests change one thing in it.
const small = `version: 1
name: small
receive: {routes: [POST /small/hook], auth: [key]}
events:
  - name: run
    run_key: id
    status: {path: s, map: {ok: succeeded}}
    fields: {title: title, commits: commits, params: params, labels.x: x}
    lists: {stages: {each: jobs, key: n, fields: {name: n}}}
`

func load(t *testing.T, files ...string) *Set {
	t.Helper()
	set, problems := Load(named(files...))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

func named(texts ...string) []File {
	var files []File
	for i, text := range texts {
		files = append(files, File{Name: fmt.Sprintf("m/%d.yaml", i), Data: []byte(text)})
	}
	return files
}

func apply(m *Mapping, body string) Result {
	return m.Apply(Input{Request: request([]byte(body), nil), Source: bridge.Source{ID: "src"}})
}

func TestMatch(t *testing.T) {
	second := strings.ReplaceAll(strings.ReplaceAll(small, "name: small", "name: other"), "/small/hook", "/hook")
	set := load(t, small, second)
	for _, tc := range []struct{ method, path, want string }{
		{"POST", "/small/hook", "small"},
		{"POST", "/hook", "other"},
		{"POST", "/x/y/small/hook", "small"},
		{"POST", "/x/hook", "other"},
		{"POST", "/xhook", ""},
		{"POST", "/hook/", ""},
		{"GET", "/hook", ""},
		{"POST", "/api/v1/hook", ""},
		{"POST", "/hooks/hook", ""},
		{"POST", "/in/hook", ""},
		{"POST", "", ""},
	} {
		got := ""
		if m, ok := set.Match(tc.method, tc.path); ok {
			got = m.Name
		}
		if got != tc.want {
			t.Errorf("%s %s goes to %q, want %q", tc.method, tc.path, got, tc.want)
		}
	}
	if names := set.Names(); len(names) != 2 || names[0] != "other" || set.Get("small").Name != "small" || len(set.Routes()) != 2 {
		t.Errorf("got names %v and %d routes", names, len(set.Routes()))
	}
}

func TestTaken(t *testing.T) {
	for _, tc := range []struct{ name, first, second, want string }{
		{"a name", small, strings.Replace(small, "/small/hook", "/hook", 1), `m/1.yaml:2:7: the name "small" is taken by m/0.yaml`},
		{"a route", small, strings.Replace(small, "name: small", "name: other", 1), `m/1.yaml:3:20: the route POST /small/hook already belongs to mapping small (m/0.yaml)`},
	} {
		set, problems := Load(named(tc.first, tc.second))
		if len(problems) != 1 || !strings.Contains(problems.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.name, problems, tc.want)
		}
		if len(set.Names()) != 1 {
			t.Errorf("%s: got mappings %v, want the first one", tc.name, set.Names())
		}
	}
}

func TestTestFiles(t *testing.T) {
	test := "tests:\n  - {name: a, body: {id: 1}, expect: {key: \"1\"}}\n"
	file := func(name, text string) File { return File{Name: name, Data: []byte(text)} }
	set, problems := Load([]File{file("a/small_test.yaml", test), file("a/small.yaml", small)})
	if len(problems) > 0 || len(set.Get("small").Tests()) != 1 {
		t.Errorf("got %v and tests %v, want one test", problems, set.Get("small"))
	}
	_, problems = Load([]File{file("b/small_test.yaml", test), file("a/small.yaml", small)})
	if len(problems) != 1 || problems[0].Code != codeFile {
		t.Errorf("a test file without its mapping: got %v", problems)
	}
	_, problems = Load([]File{file("a/small_test.yaml", test), file("a/small.yaml", small+"x: y\n")})
	if len(problems) != 1 || problems[0].Code != codeUnknownKey {
		t.Errorf("the test file of a bad mapping: got %v, want only the mapping's problem", problems)
	}
}

func TestResultOfARequest(t *testing.T) {
	m := load(t, small).Get("small")
	res := apply(m, `{"id":"a/b","s":"ok","title":"t"}`)
	if len(res.Events) != 1 {
		t.Fatalf("got %+v", res)
	}
	ev := res.Events[0]
	if want := hash([]byte(`{"id":"a/b","s":"ok","title":"t"}`)); res.Dedupe != want || ev.ID != want+"/run#0" {
		t.Errorf("got dedupe %s and id %s, want %s", res.Dedupe, ev.ID, want)
	}
	if ev.Source != "src" || ev.RunKey != "a%2Fb" || ev.Name != "run" || ev.Attempt != 1 || ev.At != ev.Received || ev.Status != bridge.Succeeded || res.Rule != "small/run" {
		t.Errorf("got %+v", ev)
	}
	res = apply(m, `{"id": 1,`)
	if res.Outcome != bridge.Rejected || res.Problem == nil || res.Problem.Status != 400 || res.Problem.Code != CodeBadJSON || res.Problem.Line != 1 || res.Problem.Col < 9 {
		t.Errorf("bad JSON: got %+v", res.Problem)
	}
	res = apply(m, `{"s":"ok"}`)
	if res.Outcome != bridge.Rejected || res.Problem.Status != 422 || res.Problem.File != "m/0.yaml" || res.Problem.Line != 6 || res.Problem.Field != "run.run_key" {
		t.Errorf("no run key: got %+v", res.Problem)
	}
	res = apply(m, `{"id":1,"s":"what"}`)
	if res.Outcome != "" || !res.Unmapped || len(res.Events) != 1 || res.Events[0].Word != "what" || res.Events[0].Status != "" {
		t.Errorf("an unknown word: got %+v", res)
	}
}

func TestCaps(t *testing.T) {
	m := load(t, small).Get("small")
	long := strings.Repeat("é", 10_000)
	many := strings.TrimSuffix(strings.Repeat(`{"n":"a"},`, 1200), ",")
	res := apply(m, `{"id":1,"title":"`+long+`","params":{"deep":["`+long+`"]},"commits":[`+many+`],"jobs":[`+many+`],"x":{"a":1}}`)
	ev := res.Events[0]
	if title := ev.Fields["title"].(string); len(title) != maxText || !strings.HasPrefix(long, title) {
		t.Errorf("the title has %d bytes, want %d", len(title), maxText)
	}
	if deep := ev.Fields["params"].(map[string]any)["deep"].([]any)[0].(string); len(deep) != maxText {
		t.Errorf("a text inside params has %d bytes, want %d", len(deep), maxText)
	}
	if n := len(ev.Fields["commits"].([]any)); n != maxItems {
		t.Errorf("commits has %d items, want %d", n, maxItems)
	}
	if n := len(ev.Lists["stages"]); n != maxItems {
		t.Errorf("stages has %d items, want %d", n, maxItems)
	}
	if len(ev.Warnings) != 4 {
		t.Errorf("got warnings %v, want one for each cut", ev.Warnings)
	}
	res = apply(m, `{"id":1,"jobs":[`+strings.TrimSuffix(strings.Repeat(`{"n":{}},`, 900), ",")+`]}`)
	if len(res.Warnings) != maxWarnings {
		t.Errorf("got %d warnings, want at most %d", len(res.Warnings), maxWarnings)
	}
}

// An id must reach the run with every digit, however it is written.
func TestExactNumbers(t *testing.T) {
	m := load(t, small).Get("small")
	for _, id := range []string{"4487150517", "9007199254740993", "123456789012345678901234567890", `"007"`} {
		res := apply(m, `{"id":`+id+`,"x":`+id+`}`)
		if want := strings.Trim(id, `"`); res.Events[0].RunKey != want || fmt.Sprint(res.Events[0].Fields["labels.x"]) != want {
			t.Errorf("got %s and %v, want %s", res.Events[0].RunKey, res.Events[0].Fields["labels.x"], want)
		}
	}
}

func TestApplyIsSafeForConcurrentUse(t *testing.T) {
	set := shipped(t)
	m := set.Get("harness-sei")
	body := `{"job_name":"a","instance_name":"b","instance_guid":"c","job_full_name":"d","qualified_name":"e","result":"SUCCESS","build_number":7,"start_time":1770801242000,"duration":5,"scm_commit_ids":["64be72b2c1f7"],"artifacts":[{"type":"container","name":"x","location":"l","qualifier":"1","output":true}]}`
	want := fmt.Sprint(apply(m, body).Events)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got := fmt.Sprint(apply(m, body).Events); got != want {
					t.Errorf("got %s, want %s", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestReplyBeforeTheRequestIsRead(t *testing.T) {
	text := strings.Replace(small, "auth: [key]}", `auth: [key], reply: {unauthorized: {body: {error: =message}}, rejected: {body: {error: =message}}}}`, 1)
	m := load(t, text).Get("small")
	status, kind, body, ok := m.Reply(ReplyUnauthorized, map[string]any{"message": "no <key>"})
	if !ok || status != 401 || kind != "application/json" || string(body) != `{"error":"no <key>"}` {
		t.Errorf("got %d %s %s %v", status, kind, body, ok)
	}
	if status, _, _, _ := m.Reply(ReplyRejected, map[string]any{"status": 413, "message": "x"}); status != 413 {
		t.Errorf("got status %d, want that of the data", status)
	}
	if _, _, _, ok := m.Reply(ReplyForbidden, nil); ok {
		t.Error("got a reply for forbidden; the mapping declares none")
	}
	if _, _, _, ok := (Result{}).Reply(ReplyAccepted, nil); ok {
		t.Error("got a reply of no result")
	}
}

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"*", "", true}, {"*", "abc", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "abc", true},
		{"a*b", "abc", false}, {"*b*", "abc", true}, {"a**c", "ac", true}, {"abc", "abcd", false}, {"sns.*.x", "sns.a.b.x", true},
		{"a*a*a*a*a*b", strings.Repeat("a", 200), false},
	} {
		if got := glob(tc.pattern, tc.text); got != tc.want {
			t.Errorf("glob(%q, %q) is %v, want %v", tc.pattern, tc.text, got, tc.want)
		}
	}
}

func TestRepositoryAddresses(t *testing.T) {
	for _, tc := range []struct{ in, url, name string }{
		{"https://me:secret@git.example/acme/shop.git", "https://git.example/acme/shop", "acme/shop"},
		{"git@git.example:acme/shop.git", "https://git.example/acme/shop", "acme/shop"},
		{"url-to-the-repository", "url-to-the-repository", ""},
		{"svn://me:secret@svn.example/trunk", "svn://svn.example/trunk", ""},
		{"https://me:p@ss@", "https://", ""},
	} {
		s := &state{}
		out := map[string]any{"repo.url": tc.in}
		s.complete(out, &event{})
		name, _ := out["repo.full_name"].(string)
		if out["repo.url"] != tc.url || name != tc.name {
			t.Errorf("%s: got %v and %q, want %s and %q", tc.in, out["repo.url"], name, tc.url, tc.name)
		}
	}
}

// Ids that strangers choose become keys in Redis: long ones are hashed, and
// stay different.
func TestLongIds(t *testing.T) {
	m := load(t, strings.Replace(small, "events:", "dedupe: [d, {first_of: [d2, d]}]\nevents:", 1)).Get("small")
	long := strings.Repeat("x", 5000)
	a, b := apply(m, `{"id":"`+long+`a","d":"`+long[:150]+`a","d2":"`+long+`"}`), apply(m, `{"id":"`+long+`b","d":"`+long[:150]+`b","d2":"`+long+`"}`)
	if n := len(a.Events[0].RunKey); n > 300 || a.Events[0].RunKey == b.Events[0].RunKey {
		t.Errorf("the run key has %d bytes, and that of another run is %s", n, b.Events[0].RunKey)
	}
	if len(a.Dedupe) != 64 || a.Dedupe == b.Dedupe {
		t.Errorf("got dedupe ids %s and %s", a.Dedupe, b.Dedupe)
	}
	if c := apply(m, `{"id":1,"d":"a\u0000b"}`); len(c.Dedupe) != 64 {
		t.Errorf("got dedupe id %q, want a hash for one with a control character", c.Dedupe)
	}
	if c := apply(m, `{"id":1,"d":"a/b"}`); c.Dedupe != "a%2Fb/a%2Fb" {
		t.Errorf("got dedupe id %q", c.Dedupe)
	}
}

// An object where a word should be is a word that nobody knows, alone or as
// one of several: the fields of the event count all the same.
func TestStatusThatIsNoWord(t *testing.T) {
	several := strings.Replace(small, "{path: s, map: {ok: succeeded}}", "{of: [s, r], map: {ok/ok: succeeded}}", 1)
	for _, text := range []string{small, several} {
		m := load(t, text).Get("small")
		res := apply(m, `{"id":"a","s":{"word":"ok"},"r":"ok","title":"t"}`)
		if len(res.Events) != 1 || !res.Unmapped || res.Events[0].Status != "" || res.Events[0].Fields["title"] != "t" {
			t.Errorf("outcome %q with %d events (%v), want the fields without a status", res.Outcome, len(res.Events), res.Problem)
		}
	}
}

// What an event keeps must not keep a whole large body in memory: a run that is
// remembered for its short texts would cost megabytes.
func TestEventsDoNotHoldTheirBody(t *testing.T) {
	set, problems := Load([]File{{Name: "a.yaml", Data: []byte(`version: 1
name: a
receive: {auth: [key]}
events:
  - name: run
    run_key: id
    status: {path: state, map: {ok: succeeded}}
    fields: {title: title, version: =body.version, params: params, commits: shas, number: number}
    lists: {stages: {each: jobs, key: name, fields: {name: name, url: =item.url}}}
`)}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"id":"run-one","state":"ok","title":"a title","version":"1.2.3","params":{"a":"left"},"shas":["3f9d1c5ab7e2"],"number":"7b","jobs":[{"name":"unit","url":"https://ci.example/1"}],"filler":"` + strings.Repeat("x", 2*ownAbove) + `"}`)
	res := set.Get("a").Apply(Input{Request: &bridge.Request{ID: "evt_1", Source: "s", Mapping: "a", Body: body}})
	if len(res.Events) != 1 {
		t.Fatal(res.Reason)
	}
	before := fmt.Sprint(res.Events[0].RunKey, res.Events[0].Fields, res.Events[0].Lists)
	for i := range body {
		body[i] = '#' // whatever lies in the body shows it
	}
	if after := fmt.Sprint(res.Events[0].RunKey, res.Events[0].Fields, res.Events[0].Lists); after != before {
		t.Errorf("the event was\n%s\nand is, without its body,\n%s", before, after)
	}
}
