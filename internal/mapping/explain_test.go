package mapping

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// samplePayloads calls f with each payload in testdata/payloads and the
// headers by which the mappings tell the payloads apart.
func samplePayloads(t testing.TB, f func(name string, in Input)) {
	t.Helper()
	names, err := filepath.Glob("../../testdata/payloads/*/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no payloads: %v", err)
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		event, _, _ := strings.Cut(filepath.Base(name), ".")
		header := map[string]string{"x-github-event": event, "x-gitlab-event": event, "content-type": "multipart/mixed; boundary=x"}
		f(name, Input{Request: request(body, header), Source: bridge.Source{ID: "s"}})
	}
}

// A recorder changes nothing, and what it says is what happened.
func TestExplainIsApply(t *testing.T) {
	set := shipped(t)
	explained := 0
	samplePayloads(t, func(file string, in Input) {
		for _, name := range set.Names() {
			m := set.Get(name)
			want := m.Apply(in)
			got := m.apply(in, &recorder{})
			if !reflect.DeepEqual(got.Events, want.Events) || got.Dedupe != want.Dedupe || got.Outcome != want.Outcome || !slices.Equal(got.Warnings, want.Warnings) {
				t.Errorf("%s, %s: with a recorder %+v, without %+v", file, name, got, want)
			}
			x := m.Explain(in)
			if _, err := json.Marshal(x); err != nil {
				t.Errorf("%s, %s: %v", file, name, err)
			}
			for i, ev := range x.Events {
				explained++
				agrees(t, file+", "+name, in, ev, want.Events[i])
			}
		}
	})
	if explained < 40 {
		t.Errorf("only %d events were explained", explained)
	}
}

// agrees holds an explanation against the event.
func agrees(t *testing.T, where string, in Input, got ExplainedEvent, want bridge.Event) {
	t.Helper()
	if got.RunKey.Value != want.RunKey || got.Event != want.Name || got.At.Value != lang.FormatMS(want.At) {
		t.Errorf("%s: got %+v, want %+v", where, got, want)
	}
	n := 0
	for _, v := range got.Fields {
		if v.Value == nil {
			if v.Why == "" {
				t.Errorf("%s: %s is absent for no reason", where, v.Name)
			}
			continue
		}
		n++
		if x, ok := want.Fields[v.Name]; !ok || !strings.HasSuffix(v.Name, "_at") && !reflect.DeepEqual(x, v.Value) {
			t.Errorf("%s: %s is %v, want %v", where, v.Name, v.Value, x)
		}
		found := gjson.GetBytes(in.Request.Body, v.Path)
		if v.Path == "" || len(v.Steps) == 0 || v.Steps[0].Step != stepPath || !found.Exists() {
			continue
		}
		if first := v.Steps[0].Value; found.Type == gjson.String && found.Str != first {
			t.Errorf("%s: %s comes from %s, where %s is, and not %v", where, v.Name, v.Path, found.Raw, first)
		}
	}
	if n != len(want.Fields) {
		t.Errorf("%s: %d fields are explained, the event has %d", where, n, len(want.Fields))
	}
}

const explainMapping = `version: 1
name: acme
receive: {auth: [key]}
dedupe: [no, type]
events:
  - name: end
    match: {body: {type: [end]}, all: ['=body.no > 1']}
    run_key: {first_of: [[uuid], [app, no]]}
    attempt: try
    status: {path: result, map: {FAILED: failed}, else: '=lower(value)'}
    at: when
    fields:
      title:       {first_of: [name, title], drop_if: [none]}
      url:         link
      commit.sha:  rev
      environment: {path: env, default: test}
      params:      params
    lists:
      stages:
        entries: jobs
        key: key
        fields: {name: key, status: {path: value.state, map: {ok: succeeded}}}
`

// explainOf returns the explanation of a body.
func explainOf(t *testing.T, body string) Explanation {
	t.Helper()
	return load(t, explainMapping).Get("acme").Explain(Input{Request: request([]byte(body), nil), Source: bridge.Source{ID: "src"}})
}

func TestExplainSteps(t *testing.T) {
	x := explainOf(t, `{"type":"end","no":7,"app":"shop","try":2,"result":"SKIPPED","when":"2026-02-11T09:19:47Z","name":"none","title":"t",
		"link":null,"rev":"zz","params":{"a":1},"jobs":{"unit":{"state":"ok","log":"x"},"lint":{"state":"odd","log":"y"}},"agent":{"os":"linux","cpu":[1,2]}}`)
	if len(x.Events) != 1 {
		t.Fatalf("got %+v", x)
	}
	ev := x.Events[0]
	steps := func(v ExplainedValue) string {
		b, err := json.Marshal(v.Steps)
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + " " + v.Why
	}
	byName := map[string]ExplainedValue{"status": ev.Status, "attempt": ev.Attempt, "at": ev.At}
	for _, v := range ev.Fields {
		byName[v.Name] = v
	}
	for name, want := range map[string]string{
		"status":      `[{"step":"path","value":"SKIPPED"},{"step":"else","value":"skipped"}] `,
		"attempt":     `[{"step":"path","value":2}] `,
		"title":       `[{"step":"first_of","value":"t"}] `,
		"url":         `[{"step":"path","value":null}] link is missing in the payload`,
		"environment": `[{"step":"path","value":null},{"step":"default","value":"test"}] `,
		"commit.sha":  `[{"step":"path","value":"zz"}] it cannot be used`,
	} {
		if got := steps(byName[name]); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if byName["title"].From != "title" || byName["title"].Line != 13 || byName["title"].File != "m/0.yaml" {
		t.Errorf("title comes from %+v", byName["title"])
	}
	if ev.RunKey.Value != "shop/7" || len(ev.RunKey.Parts) != 2 || ev.RunKey.Parts[1].Path != "no" {
		t.Errorf("the run key is %+v", ev.RunKey)
	}
	items := ev.Lists[0].Items
	if len(items) != 2 || items[1].Path != "jobs.lint" || items[1].Key != "lint" || items[1].Fields[1].Why != "it failed" && items[1].Fields[1].Value != "unknown" {
		t.Errorf("the items are %+v", items)
	}
	want := []lang.Unread{{Path: "jobs.unit.log", Values: 1}, {Path: "jobs.lint.log", Values: 1}, {Path: "agent", Values: 3}}
	if !slices.Equal(x.Unused, want) {
		t.Errorf("unused: got %v, want %v", x.Unused, want)
	}
	if len(ev.Warnings) != 2 || len(ev.Triggers) != 2 || ev.Triggers[0] != bridge.ActionCompleted {
		t.Errorf("got warnings %q and triggers %v", ev.Warnings, ev.Triggers)
	}
}

func TestExplainWhyNot(t *testing.T) {
	for _, tc := range []struct{ body, why, reason string }{
		{`{"type":"start"}`, `body.type is "start", wants "end"`, `no event of acme takes this request (type: start)`},
		{`{}`, `body.type is absent, wants "end"`, `no event of acme takes this request`},
		{`{"type":{"a":1}}`, `body.type is absent, wants "end"`, `no event of acme takes this request`},
		{`{"type":"end","no":1}`, `=body.no > 1 is false`, `no event of acme takes this request (type: end)`},
		{`{"type":"end","no":[]}`, `=body.no > 1 failed: cannot compare a list of 0 with the number 1; write int(x) to make a number of a text`, `no event of acme takes this request (type: end)`},
		{`{"type":"end","no":2}`, "", `run_key has no value: uuid is missing in the payload`},
	} {
		x := explainOf(t, tc.body)
		if len(x.Tried) != 1 || x.Tried[0].Why != tc.why || x.Reason != tc.reason || x.Tried[0].Takes != (tc.why == "") {
			t.Errorf("%s: got %+v and %q, want %q and %q", tc.body, x.Tried, x.Reason, tc.why, tc.reason)
		}
	}
	// The key is asked for twice when an event fails: its steps are those of once.
	if k := explainOf(t, `{"type":"end","no":2}`).Dedupe; k.Value != "2/end" || len(k.Parts) != 2 || len(k.Parts[0].Steps) != 1 {
		t.Errorf("the dedupe key is %+v", k)
	}
	if x := explainOf(t, `{`); len(x.Tried) > 0 || x.Problem == nil || x.Problem.Code != CodeBadJSON || x.Dedupe.Value == "" {
		t.Errorf("no JSON: got %+v", x)
	}
}

// Explaining costs a small multiple of applying, however large the lists.
func TestExplainIsLinear(t *testing.T) {
	body := `{"type":"end","no":7,"app":"shop","result":"FAILED","jobs":{"a":{"state":"ok"}` + strings.Repeat(`,"b":{"state":"ok"}`, 30_000) + `}}`
	x := explainOf(t, body)
	if len(x.Events) != 1 || len(x.Events[0].Lists[0].Items) != maxItems {
		t.Errorf("got %d events", len(x.Events))
	}
}

func TestEval(t *testing.T) {
	m := load(t, `version: 1
name: lets
receive: {auth: [key], decode: {unwrap: inner}}
let: {one: '=body.no + 1', two: '=one * 2'}
times: {zone: Europe/Berlin}
events: [{name: a, run_key: =two}]
`).Get("lets")
	in := Input{Request: request([]byte(`{"inner":"{\"no\":4,\"at\":\"2026-02-11 10:19:47\"}"}`), nil)}
	for _, tc := range []struct {
		m    *Mapping
		text string
		want any
	}{
		{m, "no", int64(4)},
		{m, "=two", int64(10)},
		{m, "=iso(body.at)", "2026-02-11T09:19:47Z"},
		{m, "{path: no, map: {4: four}}", "four"},
		{m, "{first_of: [none, no]}", int64(4)},
		{m, "path: no", int64(4)},
		{m, "{value: 3}", int64(3)},
		{m, "none", nil},
		{nil, "inner", `{"no":4,"at":"2026-02-11 10:19:47"}`},
		{nil, "{inner,none}", map[string]any{"inner": `{"no":4,"at":"2026-02-11 10:19:47"}`}}, // a path of gjson
	} {
		got, problems := Eval(tc.m, in, tc.text)
		if len(problems) > 0 || got.Problem != nil || !reflect.DeepEqual(got.Value, tc.want) || (got.Why == "") != (tc.want != nil) {
			t.Errorf("%s: got %+v %v, want %v", tc.text, got, problems, tc.want)
		}
	}
	for text, want := range map[string]string{
		"=two":                  `VALUE:1:2: unknown name two`,
		"{path: no, default: 1": `VALUE:1:8`,
		"":                      `VALUE:1:1: this path is empty`,
		"{path: no, value: 1}":  `VALUE:1:1: value has both value and path`,
	} {
		if _, problems := Eval(nil, in, text); !strings.Contains(problems.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, problems, want)
		}
	}
	if got, _ := Eval(m, in, `{path: no, map: {a: b}}`); got.Problem == nil || got.Problem.Code != CodeWord {
		t.Errorf("an unknown word: got %+v", got)
	}
}

// A time that is in the payload and not in the event is explained.
func TestExplainTooEarly(t *testing.T) {
	set, problems := Load([]File{{Name: "a.yaml", Data: []byte(`version: 1
name: a
receive: {auth: [key]}
events:
  - name: run
    run_key: id
    status: {path: state, map: {wait: queued, ok: succeeded}}
    fields: {started_at: from, finished_at: to, duration_ms: took}
`)}})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]string{
		"wait": "started_at: it counts when the run has started; finished_at: it counts when the run is over; duration_ms: it counts when the run is over; ",
		"ok":   "started_at: ; finished_at: ; duration_ms: ; ",
	} {
		body := `{"id":1,"state":"` + state + `","from":"2026-02-11T09:14:02Z","to":"2026-02-11T09:14:03Z","took":1000}`
		x := set.Get("a").Explain(Input{Request: &bridge.Request{ID: "evt_1", Source: "s", Mapping: "a", Body: []byte(body)}})
		var got string
		for _, f := range x.Events[0].Fields {
			got += f.Name + ": " + f.Why + "; "
		}
		if got != want {
			t.Errorf("%s: %s\nwant %s", state, got, want)
		}
	}
}
