package mapping

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// memory is a disk in memory.
type memory map[string]string

func (m memory) options(update bool) TestOptions {
	return TestOptions{
		Update: update,
		ReadFile: func(name string) ([]byte, error) {
			if text, ok := m[name]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		},
		WriteFile: func(name string, data []byte) error {
			if strings.HasPrefix(name, "readonly") {
				return errors.New("no")
			}
			m[name] = string(data)
			return nil
		},
	}
}

const goldenTests = `tests:
  - {name: one <request>, body: {id: 1, s: ok, title: t, jobs: [{n: a}], params: {x: 1}}, golden: golden/one.json}
  - {name: refused, body: {s: ok}, golden: golden/refused.json}
  - name: several
    sequence:
      - {body: {id: 1, title: a}}
      - {body: {id: 1, s: ok}}
      - {body: {id: 2}}
    golden: golden/several.json
`

func goldenFailures(t *testing.T, m memory, text string, update bool) string {
	t.Helper()
	var all []string
	for _, r := range RunTests(load(t, text).Get("small"), m.options(update)) {
		all = append(all, r.Failures...)
	}
	return strings.Join(all, "\n")
}

func TestGolden(t *testing.T) {
	disk := memory{}
	text := small + goldenTests
	if got, want := goldenFailures(t, disk, text, false), "m/0.yaml:11:99: there is no golden file m/golden/one.json; cibridge test --update writes it"; !strings.Contains(got, want) {
		t.Errorf("without the files: got %q, want %q in it", got, want)
	}
	if got := goldenFailures(t, disk, text, true); got != "" || len(disk) != 3 {
		t.Fatalf("with update: got %q and the files %v", got, disk)
	}
	got := disk["m/golden/one.json"]
	for _, want := range []string{"{\n  \"events\": [\n    {\n      \"at\": \"2024-01-01T00:00:00Z\",\n      \"attempt\": 1,\n", "\"finished_at\": \"2024-01-01T00:00:00Z\"", "\"params\": {\n        \"x\": 1\n      }", `"golden": "one <request>"`, `"name": "a"`} {
		if !strings.Contains(got, want) {
			t.Errorf("one.json: want %q in\n%s", want, got)
		}
	}
	if got := disk["m/golden/several.json"]; strings.Contains(got, "created_at") || strings.Contains(got, "updated_at") || !strings.Contains(got, `"action.completed"`) {
		t.Errorf("several.json: got\n%s", got)
	}
	if got := disk["m/golden/refused.json"]; !strings.Contains(got, "E302 run.run_key: run_key has no value") {
		t.Errorf("refused.json: want the error without its place in the mapping, got\n%s", got)
	}
	if got := goldenFailures(t, disk, text, false); got != "" {
		t.Errorf("right after an update: got %q", got)
	}
	// A line more in the mapping changes no golden file.
	if got := goldenFailures(t, disk, "# a comment\n"+text, false); got != "" {
		t.Errorf("with other places: got %q", got)
	}
	before := disk["m/golden/one.json"]
	for _, r := range RunTests(load(t, text).Get("small"), disk.options(true)) {
		if r.Written != "" {
			t.Errorf("%s was written again", r.Written)
		}
	}
	if disk["m/golden/one.json"] != before {
		t.Error("a second update changes the file")
	}
}

func TestGoldenShowsDifferences(t *testing.T) {
	disk := memory{}
	if got := goldenFailures(t, disk, small+goldenTests, true); got != "" {
		t.Fatal(got)
	}
	other := strings.Replace(small, "ok: succeeded", "ok: failed", 1)
	other = strings.Replace(other, "title: title,", "version: title,", 1)
	got := strings.Split(goldenFailures(t, disk, other+goldenTests, false), "\n")
	for _, want := range []string{
		"m/0.yaml:11:99: m/golden/one.json differs; if this is right, cibridge test --update rewrites it",
		"  events[0].status: want succeeded, got failed",
		"  events[0].title: want t, got nothing",
		"  events[0].version: want it absent, got t",
		"  runs.1.status: want succeeded, got failed",
		"  triggers[0]: want action.completed, got action.failed",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// A golden file with a thousand differences is shown in part.
func TestGoldenDifferencesAreBounded(t *testing.T) {
	var diff []string
	differences(map[string]any{"a": "x", "b": []any{}, "same": nil}, map[string]any{"a": []any{"x"}, "b": []any{"y"}, "same": nil}, "", &diff)
	if want := []string{`a: want x, got ["x"]`, "b[0]: want it absent, got y"}; !slices.Equal(diff, want) {
		t.Errorf("got %q, want %q", diff, want)
	}
	disk := memory{}
	text := small + `tests: [{name: many, body: {id: 1, jobs: [` + strings.TrimSuffix(strings.Repeat("{n: %d},", 30), ",") + `]}, golden: g.json}]` + "\n"
	count := func(from int) string {
		out := text
		for i := range 30 {
			out = strings.Replace(out, "%d", strings.Repeat("x", from+i), 1)
		}
		return out
	}
	if got := goldenFailures(t, disk, count(1), true); got != "" {
		t.Fatal(got)
	}
	got := strings.Split(goldenFailures(t, disk, count(40), false), "\n")
	if len(got) != maxDifferences+2 || !strings.HasPrefix(got[len(got)-1], "  … and ") {
		t.Errorf("got %d lines, the last one %q", len(got), got[len(got)-1])
	}
}

// --update writes golden files only: a payload that somebody named by mistake
// stays as it is.
func TestUpdateOverwritesOnlyGoldenFiles(t *testing.T) {
	for _, there := range []string{`{"id":1}`, `{"golden":"x"}`, "not JSON", "[]", `{"events":[]}`, ""} {
		disk := memory{"m/payload.json": there}
		text := small + "tests: [{name: a, body: {id: 1}, golden: payload.json}]\n"
		got := goldenFailures(t, disk, text, true)
		if want := "m/payload.json was not written by cibridge test --update and is left alone"; !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", there, got, want)
		}
		if disk["m/payload.json"] != there {
			t.Errorf("%q was overwritten", there)
		}
	}
}

func TestGoldenOnDisk(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	files := []File{{Name: dir + "/small.yaml", Data: []byte(small + goldenTests)}}
	for i, update := range []bool{true, false} {
		set, problems := Load(files)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for _, r := range RunTests(set.Get("small"), TestOptions{Update: update}) {
			if !r.Passed() || (r.Written != "") != update {
				t.Errorf("round %d, %s: got %v, written %q", i, r.Name, r.Failures, r.Written)
			}
		}
	}
}

func TestGoldenThatCannotBeWritten(t *testing.T) {
	m, problems := Load([]File{{Name: "readonly/small.yaml", Data: []byte(small + "tests: [{name: a, body: {id: 1}, golden: a.json}]\n")}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if r := RunTests(m.Get("small"), memory{}.options(true))[0]; len(r.Failures) != 1 || r.Written != "" {
		t.Errorf("got %+v", r)
	}
}
