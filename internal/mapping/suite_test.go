package mapping

import (
	"fmt"
	"strings"
	"testing"
)

// Each test of the file below is wrong in one way, and must say so.
func TestFailuresAreReadable(t *testing.T) {
	const tests = `tests:
  - {name: a status, body: {id: 1, s: ok}, expect: {status: failed}}
  - {name: two events, body: {id: 1}, expect: [{key: "1"}, {key: "2"}]}
  - {name: absent, body: {id: 1, title: x}, expect_absent: [title]}
  - {name: an error that does not come, body: {id: 1}, expect_error: nope}
  - {name: another error, body: {}, expect_error: nope}
  - {name: refused, body: {}, expect: {key: "1"}}
  - {name: items, body: {id: 1, jobs: [{n: a}]}, expect: {stages: [{name: a}, {name: b}]}}
  - {name: an item, body: {id: 1, jobs: [{n: a}]}, expect: {stages: [{name: b}]}}
  - {name: a reply, body: {id: 1}, expect_reply: {status: 200}}
  - {name: a file, body_file: nowhere.json, expect: {key: "1"}}
  - {name: triggers, sequence: [{body: {id: 1, s: ok}}], triggers: [action.failed]}
  - {name: a run, sequence: [{body: {id: 1, s: ok}}], expect: {status: failed}}
  - {name: runs, sequence: [{body: {id: 1, s: ok}}, {body: {id: 2, s: ok}}], expect: {status: succeeded}}
  - {name: no such run, sequence: [{body: {id: 1, s: ok}}], runs: {"3": {status: succeeded}}}
`
	m := load(t, small+tests).Get("small")
	wants := []string{
		"m/0.yaml:11:61: status: want failed, got succeeded",
		"want 2 events, got 1: run",
		"title: want it absent, got x",
		`want an error with "nope", got none`,
		`want an error with "nope", got E302 run.run_key (m/0.yaml:6): run_key has no value: id is missing in the payload`,
		"the request was rejected: E302",
		`stages: want 2 items, got 1: [{"attempt":0,"key":"a","name":"a"}]`,
		"stages[0].name: want b, got a",
		"status: want 200, got 202",
		"nowhere.json",
		"triggers: want action.failed, got action.completed",
		"status: want failed, got succeeded",
		"want one run, got 2: 1, 2",
		`want a run "3", got 1`,
	}
	results := RunTests(m, TestOptions{ReadFile: func(name string) ([]byte, error) { return nil, fmt.Errorf("open %s: no such file", name) }})
	for i, r := range results {
		got := strings.Join(r.Failures, "\n")
		if !strings.Contains(got, wants[i]) {
			t.Errorf("%s: got %q, want %q", r.Name, got, wants[i])
		}
	}
	if len(RunTests(m, TestOptions{Run: "run"})) != 3 {
		t.Error("Run does not select")
	}
}

// With a constant dedupe two different events have one id, and which of them
// wins depends on who comes first: the other orders show it.
func TestOrderIsNoticed(t *testing.T) {
	text := strings.Replace(small, "events:", "dedupe: %s\nat: {value: 1770801242}\nevents:", 1) + `
tests:
  - name: two titles
    sequence:
      - {body: {id: 1, title: a}}
      - {body: {id: 1, title: b}}
    runs: {"1": {}}
`
	good := load(t, strings.Replace(text, "%s", "title", 1)).Get("small")
	if r := RunTests(good, TestOptions{})[0]; !r.Passed() {
		t.Errorf("got %v", r.Failures)
	}
	bad := load(t, strings.Replace(text, "%s", "{value: same}", 1)).Get("small")
	got := strings.Join(RunTests(bad, TestOptions{})[0].Failures, "\n")
	if want := `m/0.yaml:16:9: in the order 2, 1 the run is another one: title of 1 is "b", not "a"`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPermute(t *testing.T) {
	seen := map[string]bool{}
	permute([]int{0, 1, 2, 3}, 0, func(o []int) bool { seen[fmt.Sprint(o)] = true; return true })
	if len(seen) != 24 {
		t.Errorf("got %d orders of 4, want 24", len(seen))
	}
}

// What is right passes: an empty list is absent, and an answer in our own
// words has its status.
func TestWhatPasses(t *testing.T) {
	const text = `version: 1
name: right
receive: {auth: [key]}
strict: true
events:
  - {name: alive, match: {body: {alive: "*"}}, ignore: a sign of life}
  - name: begin
    match: {body: {app: "*"}}
    run_key: id
    once: [component]
    fields: {component: app, warnings: w}
    status: {value: running}
    lists: {stages: {each: jobs, key: n, fields: {name: n}}}
  - {name: end, run_key: id, status: {path: s, map: {ok: succeeded}}}
tests:
  - {name: an empty list, body: {app: a, id: 1, jobs: []}, expect_absent: [stages, warnings, params]}
  - {name: an empty list of a run, sequence: [{body: {app: a, id: 1}}], expect: {status: running}, expect_absent: [stages, incomplete, warnings]}
  - {name: an empty list of an ignored request, body: {alive: 1}, expect_absent: [warnings, stages]}
  - {name: accepted, body: {app: a, id: 1}, expect_reply: {status: 202}}
  - {name: ignored, body: {alive: 1}, expect_reply: {status: 202}}
  - {name: refused, body: {app: a}, expect_reply: {status: 422}}
  - {name: an unknown word, body: {id: 1, s: what}, expect_reply: {status: 422}}
  - {name: bad JSON, body: "{", expect_reply: {status: 400}}
  - name: contradictions
    sequence:
      - {body: {app: a, id: 1}, expect_reply: {status: 202}}
      - {body: {app: a, id: 1, x: 1}, expect_reply: {status: 202}, expect: {outcome: duplicate}}
      - {body: {app: b, id: 1}, expect_error: conflict, expect_reply: {status: 409}}
    expect: {component: a}
`
	for _, r := range RunTests(load(t, text).Get("right"), TestOptions{}) {
		if !r.Passed() {
			t.Errorf("%s: %v", r.Name, r.Failures)
		}
	}
	for _, wrong := range []string{
		`{name: a, body: {app: a, id: 1, jobs: [{n: a}]}, expect_absent: [stages]}`,
		`{name: a, body: {app: a, id: 1, w: true}, expect_absent: [warnings]}`,
		`{name: a, body: {app: a, id: 1}, expect_reply: {status: 201}}`,
		`{name: a, body: {app: a, id: 1}, expect_reply: {body: {}}}`,
	} {
		if r := RunTests(load(t, text+"  - "+strings.Replace(wrong, "name: a", "name: wrong", 1)+"\n").Get("right"), TestOptions{Run: "WRONG"}); len(r) != 1 || r[0].Passed() {
			t.Errorf("%s passes", wrong)
		}
	}
}

// When a record was made and last written says nothing of what happened.
func TestOrdersAreComparedWithoutBookkeeping(t *testing.T) {
	m := load(t, small).Get("small")
	p := play([]Result{apply(m, `{"id":1,"s":"ok"}`)}, []int{0})
	got := shapes(p)["1"]
	if _, ok := got["updated_at"]; ok || got["status"] != `"succeeded"` {
		t.Errorf("got %v", got)
	}
	if _, ok := p.runs["1"].View()["updated_at"]; !ok {
		t.Error("a run has no updated_at: this test is out of date")
	}
}
