package mapping

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/yamldoc"
)

// TestOptions say how tests are run.
type TestOptions struct {
	// ReadFile reads a body_file. Its name is already joined to the folder of
	// the file with the test. Nil is os.ReadFile.
	ReadFile func(name string) ([]byte, error)
	// Run selects the tests whose name contains it, in any case; "" runs all.
	Run string
	// Update rewrites golden files instead of comparing with them.
	Update bool
	// WriteFile writes a golden file and makes the folders on the way. Nil is
	// the disk.
	WriteFile func(name string, data []byte) error
	// Coverage learns what the tests reach. It is one of the same mapping; nil
	// measures nothing.
	Coverage *Coverage
}

// TestResult is what came of one test.
type TestResult struct {
	Mapping string
	Name    string
	File    string // with the test
	Line    int
	// Failures say what was wanted, what was got, and where it is written;
	// there are none when the test passed.
	Failures []string
	Took     time.Duration
	// Written is the golden file that was rewritten, "" when there was no need.
	Written string
}

// Passed reports whether everything was as expected.
func (r TestResult) Passed() bool { return len(r.Failures) == 0 }

// RunTests runs the tests of a mapping, in their order.
func RunTests(m *Mapping, opts TestOptions) []TestResult {
	if opts.ReadFile == nil {
		opts.ReadFile = os.ReadFile
	}
	if opts.WriteFile == nil {
		opts.WriteFile = writeFile
	}
	var out []TestResult
	for _, t := range m.tests {
		if !strings.Contains(strings.ToLower(t.Name), strings.ToLower(opts.Run)) {
			continue
		}
		start := time.Now()
		r := &testRun{m: m, t: t, opts: opts}
		r.run()
		out = append(out, TestResult{Mapping: m.Name, Name: t.Name, File: t.File, Line: t.Line, Failures: r.failures, Took: time.Since(start), Written: r.written})
	}
	return out
}

// testRun is one test while it runs.
type testRun struct {
	m        *Mapping
	t        *Test
	opts     TestOptions
	failures []string
	written  string
}

func (r *testRun) fail(n *yamldoc.Node, format string, args ...any) {
	at := ""
	if n != nil {
		at = fmt.Sprintf("%s:%d:%d: ", n.File, n.Line, n.Col)
	}
	r.failures = append(r.failures, at+fmt.Sprintf(format, args...))
}

func (r *testRun) run() {
	if r.t.sequence {
		r.runSequence()
		return
	}
	s := r.t.steps[0]
	in, ok := r.input(s, 0)
	if !ok {
		return
	}
	res := r.m.Apply(in)
	r.result(s, res, "")
	r.reply(s, res, res.Outcome)
	r.golden(goldenOfResult(res))
}

// testEpoch is when requests arrive that do not say when.
var testEpoch = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// input makes the request of a step.
func (r *testRun) input(s *testStep, index int) (Input, bool) {
	body, kind, err := r.body(s)
	if err != nil {
		r.fail(s.node, "%v", err)
		return Input{}, false
	}
	req := &bridge.Request{ID: fmt.Sprintf("evt_test%d", index+1), Source: "test", Mapping: r.m.Name, Method: "POST", Path: "/in/test",
		Received: testEpoch.Add(time.Duration(index) * time.Second), Query: s.query, Header: map[string]string{}, Body: body, Remote: "192.0.2.1:50000"}
	if len(r.m.routes) > 0 {
		req.Method, req.Path = r.m.routes[0].Method, r.m.routes[0].Path
	}
	if kind != "" {
		req.Header["content-type"] = kind
	}
	for k, v := range s.headers {
		req.Header[k] = v
	}
	if s.method != "" {
		req.Method = s.method
	}
	if s.path != "" {
		req.Path = s.path
	}
	if !s.received.IsZero() {
		req.Received = s.received
	}
	return Input{Request: req, Source: bridge.Source{ID: req.Source, Mapping: r.m.Name, Vars: s.vars}, SignedAt: s.signed, seen: r.opts.Coverage.recorder()}, true
}

// body returns the body of a step and the Content-Type that goes with it.
func (r *testRun) body(s *testStep) (body []byte, contentType string, err error) {
	b := s.body
	switch {
	case b.file != nil:
		name := b.file.Text
		if !filepath.IsAbs(name) {
			name = besideOf(r.t.File, name)
		}
		data, err := r.opts.ReadFile(name)
		return data, "application/json", err
	case b.form != nil:
		values := url.Values{}
		for _, p := range b.form.Pairs {
			values.Set(p.Key.Text, textOrJSON(p.Value))
		}
		return []byte(values.Encode()), "application/x-www-form-urlencoded", nil
	case b.multipart != nil:
		return multipartBody(b.multipart)
	case b.value != nil:
		return []byte(textOrJSON(b.value)), "application/json", nil
	}
	return b.raw, "", nil
}

func multipartBody(n *yamldoc.Node) ([]byte, string, error) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for _, p := range n.Pairs {
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf("form-data; name=%q; filename=%q", p.Key.Text, p.Key.Text)}})
		if err != nil {
			return nil, "", err
		}
		if _, err := part.Write([]byte(textOrJSON(p.Value))); err != nil {
			return nil, "", err
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return out.Bytes(), "multipart/mixed; boundary=" + w.Boundary(), nil
}

// textOrJSON returns text as it is and everything else as JSON, members in the
// order in which they are written.
func textOrJSON(n *yamldoc.Node) string {
	if n.Str() {
		return n.Text
	}
	var b strings.Builder
	writeJSON(&b, n)
	return b.String()
}

func writeJSON(b *strings.Builder, n *yamldoc.Node) {
	switch n.Kind {
	case yamldoc.Map:
		b.WriteByte('{')
		for i, p := range n.Pairs {
			if i > 0 {
				b.WriteByte(',')
			}
			marshal(b, p.Key.Text)
			b.WriteByte(':')
			writeJSON(b, p.Value)
		}
		b.WriteByte('}')
	case yamldoc.List:
		b.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, item)
		}
		b.WriteByte(']')
	default:
		// A number is sent with the digits that are written.
		if (n.Type == "int" || n.Type == "float") && json.Valid([]byte(n.Text)) {
			b.WriteString(n.Text)
			return
		}
		marshal(b, n.Value())
	}
}

func marshal(b *strings.Builder, v any) {
	enc, err := json.Marshal(v)
	if err != nil {
		enc = []byte("null")
	}
	b.Write(enc)
}

// result compares what Apply made of a step with what is expected. outcome is
// what the run made of it, "" where no run was asked.
func (r *testRun) result(s *testStep, res Result, outcome string) {
	if s.err != nil {
		switch {
		case res.Problem == nil && len(res.Warnings) > 0:
			r.fail(s.err, "want an error with %q, got none (warnings: %s)", s.err.Text, strings.Join(res.Warnings, "; "))
		case res.Problem == nil:
			r.fail(s.err, "want an error with %q, got none", s.err.Text)
		case !strings.Contains(res.Problem.Error(), s.err.Text):
			r.fail(s.err, "want an error with %q, got %s", s.err.Text, res.Problem.Error())
		}
	}
	views := eventViews(res, outcome)
	if res.Problem != nil && s.err == nil && (s.expect != nil || s.absent != nil) && !expectsOutcome(s.expect) {
		r.fail(s.node, "the request was %s: %s", res.Outcome, res.Problem.Error())
		return
	}
	if s.expect != nil {
		r.expectEvents(s.expect, views)
	}
	for _, v := range views {
		r.absent(s.absent, v)
	}
}

// absent compares what must not be there. A list or an object with nothing in
// it is not there.
func (r *testRun) absent(names *yamldoc.Node, view map[string]any) {
	if names == nil {
		return
	}
	for _, item := range list(names) {
		if got, ok := lookup(view, item.Text); ok && !hollow(got) {
			r.fail(item, "%s: want it absent, got %s", item.Text, show(item.Text, got))
		}
	}
}

func hollow(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case []string:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return v == nil
}

// expectsOutcome reports whether the outcome itself is expected, so that a
// refusal is no failure by itself.
func expectsOutcome(n *yamldoc.Node) bool {
	return n != nil && n.Get("outcome") != nil
}

func (r *testRun) expectEvents(want *yamldoc.Node, views []map[string]any) {
	wants := list(want)
	if len(wants) != len(views) {
		var names []string
		for _, v := range views {
			names = append(names, fmt.Sprint(v["event"]))
		}
		r.fail(want, "want %d events, got %d: %s", len(wants), len(views), strings.Join(names, ", "))
		return
	}
	for i, w := range wants {
		r.compareMap(w, views[i], "")
	}
}

// eventViews are the events of a result by the names that tests use; a result
// without events is one view.
func eventViews(res Result, outcome string) []map[string]any {
	if len(res.Events) == 0 {
		v := map[string]any{"outcome": string(res.Outcome), "rule": res.Rule, "reason": res.Reason, "dedupe": res.Dedupe, "warnings": combineWarnings(nil, res.Warnings)}
		if res.event != nil {
			v["event"] = res.event.name
		}
		return []map[string]any{v}
	}
	var out []map[string]any
	for _, e := range res.Events {
		v := map[string]any{}
		for name, x := range e.Fields {
			v[name] = x
		}
		for name, items := range e.Lists {
			v[name] = itemViews(items)
		}
		v["event"], v["key"], v["attempt"], v["at"], v["dedupe"], v["rule"] = e.Name, e.RunKey, e.Attempt, e.At, res.Dedupe, res.Rule
		v["outcome"] = string(bridge.Applied)
		if e.Word != "" {
			v["outcome"], v["word"] = string(bridge.Unmapped), e.Word
		}
		if outcome != "" {
			v["outcome"] = outcome
		}
		for name, text := range map[string]string{"status": string(e.Status), "parent": e.Parent, "order": string(e.Order), "once": e.Once} {
			if text != "" {
				v[name] = text
			}
		}
		if len(e.Requires) > 0 {
			v["requires"] = anyTexts(e.Requires)
		}
		v["warnings"] = combineWarnings(e.Fields["warnings"], e.Warnings)
		out = append(out, v)
	}
	return out
}

// combineWarnings gives the word warnings both its meanings: the flag of the
// run where it is set, else what could not be mapped.
func combineWarnings(flag any, texts []string) any {
	if flag != nil || len(texts) == 0 {
		return flag
	}
	return anyTexts(texts)
}

func anyTexts(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

func itemViews(items []bridge.Item) []any {
	out := make([]any, len(items))
	for i, item := range items {
		v := map[string]any{"key": item.Key, "attempt": item.Attempt}
		for name, x := range item.Fields {
			v[name] = x
		}
		for name, sub := range item.Lists {
			v[name] = itemViews(sub)
		}
		out[i] = v
	}
	return out
}

// reply compares the answer of the mapping, or the status of our own words
// where it declares none. The ids in it are evt_test1 and run_test1.
func (r *testRun) reply(s *testStep, res Result, outcome bridge.Outcome) {
	if s.reply == nil {
		return
	}
	kind := replyKindOf(res, outcome)
	data := map[string]any{"event": "evt_test1", "outcome": string(cmp.Or(outcome, bridge.Applied)), "runs": []any{}}
	if kind == ReplyAccepted || kind == ReplyDuplicate {
		data["run"], data["runs"] = "run_test1", []any{"run_test1"}
	}
	status, _, body, ok := res.Reply(kind, data)
	if !ok {
		status = statusOf(kind, &replySpec{}, res.Problem, nil)
	}
	if want := s.reply.Get("status"); want != nil && want.Text != fmt.Sprint(status) {
		r.fail(want, "status: want %s, got %d", want.Text, status)
	}
	want := s.reply.Get("body")
	if want == nil {
		return
	}
	if !ok {
		r.fail(want, "the mapping declares no reply for %s", kind)
		return
	}
	got, err := lang.Decode(body)
	if err != nil {
		r.fail(want, "the reply is not JSON: %v", err)
		return
	}
	r.compare(want, got, "body")
}

// replyKindOf is the occasion of the answer to a request, as the server sees
// it.
func replyKindOf(res Result, outcome bridge.Outcome) ReplyKind {
	switch {
	case res.Problem != nil && res.Problem.Code == CodeBadJSON:
		return ReplyBadJSON
	case res.Problem != nil && res.Problem.Status == http.StatusConflict:
		return ReplyConflict
	case res.Problem != nil && res.Problem.Status != 0:
		return ReplyRejected
	case outcome == bridge.Unmapped || res.Unmapped:
		return ReplyUnmapped
	case outcome == bridge.Ignored:
		return ReplyIgnored
	case outcome == bridge.Duplicate:
		return ReplyDuplicate
	}
	return ReplyAccepted
}
