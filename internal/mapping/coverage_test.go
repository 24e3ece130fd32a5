package mapping

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const covered = `version: 1
name: covered
receive: {auth: [key]}
maps: {state: {ok: succeeded, "b*": failed, "?": ~}}
let: {word: {path: w, map: {x: X, y: Y}}}
fields: {kind: {value: ci}, url: link}
events:
  - name: never
    match: {body: {k: never}}
    run_key: id
  - name: ping
    match: {body: {k: ping}}
    ignore: hello
  - name: run
    run_key: [id, {path: k, map: {a: A, b: B}}]
    parent: [{value: p}, p]
    attempt: try
    at: at
    status: {first_of: [s, {path: t, map: {z: succeeded}}], map: state, ignore_case: true}
    fields: {title: =word, version: v, commit.sha: sha}
    lists:
      stages:
        each: jobs
        key: n
        fields: {name: n, url: u, status: {path: s, map: state}}
        lists: {steps: {each: steps, fields: {name: n, url: u}}}
`

// reachedBy runs one test and returns what it reaches, and all that there is.
func reachedBy(t *testing.T, test string) (reached, all []string) {
	t.Helper()
	m := load(t, covered+"tests:\n  - "+test+"\n").Get("covered")
	c := NewCoverage(m)
	for _, r := range RunTests(m, TestOptions{Coverage: c}) {
		if !r.Passed() {
			t.Errorf("%s: %v", r.Name, r.Failures)
		}
	}
	for _, p := range c.Parts() {
		text := fmt.Sprintf("%d %s %s", p.Line, p.Kind, p.Name)
		all = append(all, text)
		if p.Reached {
			reached = append(reached, text)
		}
	}
	return reached, all
}

// Each test reaches what the engine itself came to, and nothing else.
func TestCoverage(t *testing.T) {
	least := []string{"6 field kind", "14 event run", "15 map entry a"}
	for _, tc := range []struct {
		test string
		want []string
	}{
		{`{name: ping, body: {k: ping}, expect: {outcome: ignored}}`, []string{"11 event ping"}},
		{`{name: the least, body: {k: a, id: 1}, expect: {event: run}}`, least},
		{`{name: empty texts are no values, body: {k: a, id: 1, link: "", v: "", s: ~}, expect: {event: run}}`, least},
		{`{name: words, body: {k: a, id: 1, s: OK, w: x}, expect: {status: succeeded}}`, append(least, "4 map entry ok", "19 field run.status", "5 map entry x", "20 field run.title")},
		{`{name: a pattern, body: {k: a, id: 1, s: broken}, expect: {status: failed}}`, append(least, "4 map entry b*", "19 field run.status")},
		{`{name: a word that means nothing, body: {k: a, id: 1, s: "?"}, expect_absent: [status]}`, append(least, "4 map entry ?")},
		{`{name: an unknown word, body: {k: a, id: 1, s: what}, expect: {word: what}}`, least},
		{`{name: an item, body: {k: a, id: 1, jobs: [{n: a}]}, expect: {stages: [{name: a}]}}`, append(least, "25 field run.stages.name")},
		{`{name: a sequence, sequence: [{body: {k: a, id: 1, v: 1, sha: 1234567}}, {body: {k: a, id: 1, try: 2, at: 1770801242, link: u, jobs: [{n: a, s: ok, steps: [{n: b, u: c}]}]}}], expect: {version: 1}}`,
			append(least, "4 map entry ok", "6 field url", "17 field run.attempt", "18 field run.at", "20 field run.version", "20 field run.commit.sha", "25 field run.stages.name", "25 field run.stages.status", "26 field run.stages.steps.name", "26 field run.stages.steps.url")},
	} {
		got, _ := reachedBy(t, tc.test)
		slices.Sort(got)
		want := slices.Sorted(slices.Values(tc.want))
		if !slices.Equal(got, want) {
			t.Errorf("%s\nreaches %q\nwant    %q", tc.test, got, want)
		}
	}
}

func TestCoverageListsEverything(t *testing.T) {
	_, got := reachedBy(t, `{name: nothing, body: {}, expect_error: run_key}`)
	want := []string{
		"4 map entry ok", "4 map entry b*", "4 map entry ?", "5 map entry x", "5 map entry y", "6 field kind", "6 field url",
		"8 event never", "11 event ping", "14 event run", "15 map entry a", "15 map entry b", "17 field run.attempt", "18 field run.at",
		"19 field run.status", "19 map entry z", "20 field run.title", "20 field run.version", "20 field run.commit.sha",
		"25 field run.stages.name", "25 field run.stages.url", "25 field run.stages.status", "26 field run.stages.steps.name", "26 field run.stages.steps.url",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the parts are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What coverage counts is what the engine took.
func TestEntryIsWhatFindTakes(t *testing.T) {
	m := load(t, `version: 1
name: words
receive: {auth: [key]}
events: [{name: e, run_key: id, status: {path: s, map: {a: queued, A: running, "a*": waiting, "*": failed, B: skipped, b: canceled, "x*y": ~}}}]
`).Get("words")
	w := m.events[0].status.words
	for _, word := range []string{"a", "A", "ab", "AB", "b", "B", "", "xy", "X1Y", "*"} {
		for _, ignoreCase := range []bool{false, true} {
			to, ok := w.find(word, ignoreCase)
			e := w.entry(word, ignoreCase)
			if (e != nil) != ok || ok && e.to != to {
				t.Errorf("%q (ignore_case %v): find says %v, entry %+v", word, ignoreCase, to, e)
			}
		}
	}
}

func TestNoCoverageIsFree(t *testing.T) {
	var c *Coverage
	if c.recorder() != nil {
		t.Error("a recorder without coverage")
	}
}
