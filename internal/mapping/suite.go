package mapping

import (
	"encoding/base64"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/yamldoc"
)

// Test is one test of a mapping: one request and what becomes of it, or a
// sequence of requests and the runs they leave.
type Test struct {
	Name string
	File string
	Line int
	Col  int

	steps    []*testStep
	sequence bool
	// Of a sequence: the final runs by their keys, "" for the only one.
	runs     map[string]*yamldoc.Node
	absent   *yamldoc.Node
	triggers *yamldoc.Node
	golden   *yamldoc.Node // the file with everything that became of it
}

// Sequence reports whether t has several requests.
func (t *Test) Sequence() bool { return t.sequence }

// testStep is one request and what becomes of it.
type testStep struct {
	node     *yamldoc.Node
	body     bodySpec
	headers  map[string]string
	query    map[string]string
	method   string
	path     string
	received time.Time // zero: a time of the runner's
	signed   time.Time
	vars     map[string]any

	expect *yamldoc.Node
	absent *yamldoc.Node
	err    *yamldoc.Node
	reply  *yamldoc.Node
}

// bodySpec is how the body is given; exactly one of its parts is set.
type bodySpec struct {
	value     *yamldoc.Node // sent as JSON, text as it is
	file      *yamldoc.Node
	form      *yamldoc.Node
	multipart *yamldoc.Node
	raw       []byte // from base64
	given     int
}

// testFile adds the tests of a <name>_test.yaml to its mapping.
func (l *loader) testFile(set *Set) {
	if l.root == nil {
		return
	}
	base := strings.TrimSuffix(strings.TrimSuffix(l.file.Name, path.Ext(l.file.Name)), "_test")
	for _, m := range set.byName {
		if strings.TrimSuffix(m.File, path.Ext(m.File)) == base {
			l.m = m
		}
	}
	if l.m == nil && slices.Contains(set.broken, base) {
		return // its own problems come first
	}
	if l.m == nil {
		l.errorf(l.root, codeFile, "a test file stands beside its mapping: "+base+".yaml", "there is no mapping %s.yaml for these tests", path.Base(base))
		return
	}
	var tests *yamldoc.Node
	l.keys(l.root, "a test file", []keyOf{{"version", nil}, {"tests", func(n *yamldoc.Node) { tests = n }}})
	l.require(l.root, "tests", "a test file", "")
	l.m.tests = append(l.m.tests, l.readTests(tests, l.m.Name)...)
}

func (l *loader) readTests(n *yamldoc.Node, name string) []*Test {
	if n == nil || !l.is(n, yamldoc.List, "tests") {
		return nil
	}
	var out []*Test
	for _, item := range n.Items {
		t := l.test(item)
		if t == nil {
			continue
		}
		if i := slices.IndexFunc(out, func(o *Test) bool { return o.Name == t.Name }); i >= 0 {
			l.errorf(item.Get("name"), codeTaken, "", "the test %s of %s is there twice, first in line %d", quote(t.Name), name, out[i].Line)
		}
		l.goldenTaken(t, slices.Concat(l.m.tests, out))
		out = append(out, t)
	}
	return out
}

// test reads one test; nil when it has no name.
func (l *loader) test(n *yamldoc.Node) *Test {
	t := &Test{File: n.File, Line: n.Line, Col: n.Col, runs: map[string]*yamldoc.Node{}}
	single := &testStep{node: n}
	var sequence, runs *yamldoc.Node
	keys := append(l.stepKeys(single), []keyOf{
		{"name", func(n *yamldoc.Node) { t.Name = l.text(n, "name") }},
		{"sequence", func(n *yamldoc.Node) { sequence = n }},
		{"runs", func(n *yamldoc.Node) { runs = n }},
		{"triggers", func(n *yamldoc.Node) { t.triggers = n }},
		{"golden", func(n *yamldoc.Node) { l.golden(n, t) }},
	}...)
	if !l.keys(n, "a test", keys) {
		return nil
	}
	if l.require(n, "name", "a test", ""); t.Name == "" {
		return nil
	}
	if sequence == nil {
		for _, key := range []string{"runs", "triggers"} {
			if n.Get(key) != nil {
				l.errorf(n.Get(key), codeTogether, "", "%s is for a test with a sequence", key)
			}
		}
		l.step(single)
		if single.expect == nil && single.absent == nil && single.err == nil && single.reply == nil && t.golden == nil {
			l.errorf(n, codeMissing, "write expect: {…}, expect_absent, expect_error, expect_reply or golden", "this test checks nothing")
		}
		t.steps = []*testStep{single}
		return t
	}
	t.sequence = true
	l.sequence(t, n, single, sequence, runs)
	return t
}

func (l *loader) sequence(t *Test, n *yamldoc.Node, top *testStep, sequence, runs *yamldoc.Node) {
	if top.body.given > 0 || top.err != nil || top.reply != nil {
		l.errorf(n, codeTogether, "write them at the requests of the sequence", "a test with a sequence has no body, expect_error or expect_reply of its own")
	}
	if l.is(sequence, yamldoc.List, "sequence") {
		for _, item := range sequence.Items {
			s := &testStep{node: item, headers: top.headers, query: top.query, method: top.method, path: top.path, vars: top.vars}
			if l.keys(item, "a request", l.stepKeys(s)) {
				l.step(s)
				t.steps = append(t.steps, s)
			}
		}
	}
	if top.expect != nil {
		t.runs[""] = top.expect
	}
	t.absent = top.absent
	if runs != nil && l.is(runs, yamldoc.Map, "runs") {
		for _, p := range runs.Pairs {
			t.runs[p.Key.Text] = p.Value
		}
	}
	for _, want := range t.runs {
		l.expectation(want, true)
	}
	if t.triggers != nil {
		l.triggers(t.triggers)
	}
	if len(t.runs) == 0 && t.triggers == nil && t.golden == nil {
		l.errorf(n, codeMissing, "write expect: {…} for the run in the end, runs: {key: {…}} for several, triggers: […] or golden", "this test checks nothing")
	}
}

// golden reads the name of a golden file. It is a file that may be written, so
// it is near the test and of one kind.
func (l *loader) golden(n *yamldoc.Node, t *Test) {
	t.golden = n
	name := l.text(n, "golden")
	if name != "" && (path.IsAbs(name) || strings.Contains(name, "\\") || path.Ext(name) != ".json") {
		l.errorf(n, codeShape, "write it as golden/build.json", "golden names a .json file near this one, not %s", quote(name))
	}
}

// goldenTaken refuses a golden file that another test has.
func (l *loader) goldenTaken(t *Test, others []*Test) {
	for _, o := range others {
		if t.golden != nil && o.golden != nil && besideOf(o.File, o.golden.Text) == besideOf(t.File, t.golden.Text) {
			l.errorf(t.golden, codeTaken, "every test has a golden file of its own", "%s is the golden file of the test %s", t.golden.Text, quote(o.Name))
		}
	}
}

// besideOf returns the file that a test file calls name.
func besideOf(file, name string) string { return path.Join(path.Dir(filepath.ToSlash(file)), name) }

func (l *loader) triggers(n *yamldoc.Node) {
	var known []string
	for _, t := range bridge.Triggers() {
		known = append(known, string(t))
	}
	if l.is(n, yamldoc.List, "triggers") {
		for _, item := range n.Items {
			l.word(item, "trigger", known)
		}
	}
}

// stepKeys are the keys that say what is sent and what becomes of it.
func (l *loader) stepKeys(s *testStep) []keyOf {
	texts := func(into *map[string]string, lower bool) func(*yamldoc.Node) {
		return func(n *yamldoc.Node) {
			out := map[string]string{}
			if l.is(n, yamldoc.Map, "this") {
				for _, p := range n.Pairs {
					name := p.Key.Text
					if lower {
						name = strings.ToLower(name)
					}
					out[name] = l.text(p.Value, quote(p.Key.Text))
				}
			}
			*into = out
		}
	}
	when := func(into *time.Time) func(*yamldoc.Node) {
		return func(n *yamldoc.Node) {
			ms, ok, err := lang.Times{}.Parse(n.Text)
			if err != nil || !ok {
				l.errorf(n, codeShape, "write it as 2024-01-01T00:00:00Z", "%s is no time", quote(n.Text))
			}
			*into = time.UnixMilli(ms).UTC()
		}
	}
	given := func(set func(*yamldoc.Node)) func(*yamldoc.Node) {
		return func(n *yamldoc.Node) {
			s.body.given++
			set(n)
		}
	}
	node := func(into **yamldoc.Node) func(*yamldoc.Node) { return func(n *yamldoc.Node) { *into = n } }
	return []keyOf{
		{"body", given(node(&s.body.value))},
		{"body_file", given(node(&s.body.file))},
		{"form", given(node(&s.body.form))},
		{"multipart", given(node(&s.body.multipart))},
		{"base64", given(func(n *yamldoc.Node) {
			b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Text), ""))
			if err != nil {
				l.errorf(n, codeShape, "", "this is not base64: %v", err)
			}
			s.body.raw = b
		})},
		{"headers", texts(&s.headers, true)},
		{"query", texts(&s.query, false)},
		{"method", func(n *yamldoc.Node) { s.method = l.text(n, "method") }},
		{"path", func(n *yamldoc.Node) { s.path = l.text(n, "path") }},
		{"received_at", when(&s.received)},
		{"signed_at", when(&s.signed)},
		{"vars", func(n *yamldoc.Node) {
			if l.is(n, yamldoc.Map, "vars") {
				s.vars, _ = n.Value().(map[string]any)
			}
		}},
		{"expect", node(&s.expect)},
		{"expect_absent", node(&s.absent)},
		{"expect_error", node(&s.err)},
		{"expect_reply", node(&s.reply)},
	}
}

// step checks what is sent and what is expected.
func (l *loader) step(s *testStep) {
	l.body(s)
	l.expectation(s.expect, false)
	if s.absent != nil {
		for _, item := range list(s.absent) {
			l.expected(item, item.Text, false)
		}
	}
	if s.err != nil {
		l.text(s.err, "expect_error")
	}
	if s.reply != nil {
		l.keys(s.reply, "expect_reply", []keyOf{{"status", nil}, {"body", nil}})
	}
}

func (l *loader) body(s *testStep) {
	switch {
	case s.body.given == 0:
		l.errorf(s.node, codeMissing, "write body, body_file, form, multipart or base64", "this request has no body")
	case s.body.given > 1:
		l.errorf(s.node, codeTogether, "write one of body, body_file, form, multipart and base64", "this request has several bodies")
	}
}

// eventWords are what can be expected of an event besides its fields and lists;
// runWords the same of a run.
var (
	eventWords = []string{"event", "key", "attempt", "at", "outcome", "status", "word", "parent", "dedupe", "order", "once", "requires", "rule", "reason", "warnings"}
	runWords   = []string{"status", "attempt", "incomplete", "parent", "summary", "key"}
)

// expectation checks the names of what is expected.
func (l *loader) expectation(n *yamldoc.Node, run bool) {
	if n == nil {
		return
	}
	if n.Kind == yamldoc.List && !run {
		for _, item := range n.Items {
			l.expectation(item, run)
		}
		return
	}
	if !l.is(n, yamldoc.Map, "what is expected") {
		return
	}
	for _, p := range n.Pairs {
		l.expected(p.Key, p.Key.Text, run)
		if p.Key.Text == "event" && p.Value.Kind == yamldoc.Scalar {
			l.word(p.Value, "event of this mapping", l.m.Events())
		}
		if p.Key.Text == "status" && !run && p.Value.Kind == yamldoc.Scalar && !p.Value.Null() {
			l.word(p.Value, "status", statusWords)
		}
	}
}

func (l *loader) expected(n *yamldoc.Node, name string, run bool) {
	known := slices.Clone(eventWords)
	if run {
		known = slices.Clone(runWords)
	}
	known = append(known, fieldNames()...)
	for _, of := range bridge.Lists() {
		known = append(known, of.Name)
	}
	if slices.Contains(known, name) || slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, name+".") }) {
		return
	}
	if _, ok := kindOf(name); ok {
		return
	}
	of := "an event"
	if run {
		of = "a run"
	}
	l.errorf(n, codeField, didYouMean(name, known), "%s has no %s", of, quote(name))
}
