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
