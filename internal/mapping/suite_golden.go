package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// A golden file is a JSON object: "golden" has the name of the test, which also
// tells it from any other file; the rest is all that became of the test.
const goldenMark = "golden"

// maxDifferences is how many differences of a golden file are shown.
const maxDifferences = 20

// goldenOfResult is everything that became of one request.
func goldenOfResult(res Result) map[string]any {
	events := []any{}
	for _, v := range eventViews(res, "") {
		events = append(events, v)
	}
	out := map[string]any{"events": events}
	if res.Problem != nil {
		out["error"] = res.Problem.Error()
	}
	return out
}

// goldenOfRuns is everything that a sequence left: its runs by their keys, and
// what it fired.
func goldenOfRuns(p *played) map[string]any {
	runs := map[string]any{}
	for key, run := range p.runs {
		view := run.View()
		for _, name := range append([]string{"id", "source"}, bookkeeping...) {
			delete(view, name)
		}
		runs[key] = view
	}
	fired := []any{}
	for _, f := range p.fired {
		fired = append(fired, string(bridge.TriggersOf(f.Status)[0]))
	}
	return map[string]any{"runs": runs, "triggers": fired}
}

// golden compares what a test left with the file that it names, or rewrites
// the file.
func (r *testRun) golden(got map[string]any) {
	if r.t.golden == nil {
		return
	}
	file := besideOf(r.t.File, r.t.golden.Text)
	got[goldenMark] = r.t.Name
	text, err := r.goldenText(got)
	if err != nil {
		r.fail(r.t.golden, "%v", err)
		return
	}
	there, err := r.opts.ReadFile(file)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		r.fail(r.t.golden, "%v", err)
	case r.opts.Update && (missing || isGolden(there)):
		r.rewrite(file, there, text)
	case missing:
		r.fail(r.t.golden, "there is no golden file %s; cibridge test --update writes it", file)
	case !isGolden(there):
		r.fail(r.t.golden, "%s was not written by cibridge test --update and is left alone; delete it, or name another file", file)
	default:
		r.compareGolden(file, there, text)
	}
}

func (r *testRun) rewrite(file string, there, text []byte) {
	if bytes.Equal(there, text) {
		return
	}
	if err := r.opts.WriteFile(file, text); err != nil {
		r.fail(r.t.golden, "%v", err)
		return
	}
	r.written = file
}

func (r *testRun) compareGolden(file string, there, text []byte) {
	var want, got any
	if err := errors.Join(decodeExact(there, &want), decodeExact(text, &got)); err != nil {
		r.fail(r.t.golden, "%s: %v", file, err)
		return
	}
	var diff []string
	differences(want, got, "", &diff)
	if len(diff) == 0 {
		return
	}
	r.fail(r.t.golden, "%s differs; if this is right, cibridge test --update rewrites it", file)
	for _, d := range diff[:min(len(diff), maxDifferences)] {
		r.failures = append(r.failures, "  "+d)
	}
	if more := len(diff) - maxDifferences; more > 0 {
		r.failures = append(r.failures, fmt.Sprintf("  … and %d more", more))
	}
}

// decodeExact reads a JSON text and keeps the digits of its numbers.
func decodeExact(text []byte, into *any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

// isGolden reports whether a file is a golden file: nothing else is ever
// overwritten.
func isGolden(data []byte) bool {
	var mark struct {
		Golden *string         `json:"golden"`
		Events json.RawMessage `json:"events"`
		Runs   json.RawMessage `json:"runs"`
	}
	return json.Unmarshal(data, &mark) == nil && mark.Golden != nil && (mark.Events != nil || mark.Runs != nil)
}

// goldenText is the content of a golden file. Places in the mapping are left
// out: they move with every line.
func (r *testRun) goldenText(got map[string]any) ([]byte, error) {
	places := regexp.MustCompile(` \(` + regexp.QuoteMeta(r.m.File) + `:\d+\)`)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(goldenValue("", got, places)); err != nil {
		return nil, fmt.Errorf("write the golden file: %w", err)
	}
	return b.Bytes(), nil
}

// goldenValue returns v as people read it: times as text.
func goldenValue(name string, v any, places *regexp.Regexp) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			if x != nil {
				out[k] = goldenValue(k, x, places)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = goldenValue("", x, places)
		}
		return out
	case int64:
		if isTime(name) {
			return lang.FormatMS(v)
		}
	case string:
		return places.ReplaceAllString(v, "")
	}
	return v
}

// differences lists where two JSON values differ, in the words of expect.
func differences(want, got any, at string, out *[]string) {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			for _, name := range slices.Compact(slices.Sorted(maps.Keys(merged(w, g)))) {
				if at != "" || name != goldenMark {
					differences(w[name], g[name], joinName(at, name), out)
				}
			}
			return
		}
	case []any:
		if g, ok := got.([]any); ok {
			for i := range max(len(w), len(g)) {
				differences(itemAt(w, i), itemAt(g, i), at+"["+strconv.Itoa(i)+"]", out)
			}
			return
		}
	default:
		if want == got {
			return
		}
	}
	if want == nil {
		*out = append(*out, at+": want it absent, got "+show("", got))
		return
	}
	*out = append(*out, at+": want "+show("", want)+", got "+show("", got))
}

func joinName(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func merged(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func itemAt(l []any, i int) any {
	if i >= len(l) {
		return nil
	}
	return l[i]
}

// writeFile writes a file and makes the folders on the way.
func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}
