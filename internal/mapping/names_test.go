package mapping

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
)

const namesMapping = `version: 1
name: names
receive: {auth: [key]}
let:
  one: '=body.n + 1'
  two: '=one * 2 + one'
events:
  - name: run
    run_key: [=request.id, =source.id, =two, =one]
    fields:
      title:      '=string(request)'
      version:    '=string(source)'
      labels.raw: =request.raw
      labels.no:  =source.vars.nothing
      labels.at:  =request.signed_at
      labels.len: '=len(keys(request))'
`

// What an expression sees of the request and its source, member by member and
// as a whole, and lets that need each other.
func TestNamesOfExpressions(t *testing.T) {
	m := load(t, namesMapping).Get("names")
	req := request([]byte(`{"n":3}`), nil)
	in := Input{Request: req, Source: bridge.Source{ID: "src", Vars: map[string]any{"unit": "s"}}}
	for _, tc := range []struct {
		name   string
		signed time.Time
		want   map[string]any
	}{
		{"unsigned", time.Time{}, map[string]any{
			"title":   `{"id":"evt_1","method":"POST","path":"/in/test","raw":"{\"n\":3}","received_at":1770801600000}`,
			"version": `{"id":"src","vars":{"unit":"s"}}`, "labels.raw": `{"n":3}`, "labels.len": "5",
		}},
		{"signed", time.UnixMilli(1770801599000), map[string]any{
			"title":   `{"id":"evt_1","method":"POST","path":"/in/test","raw":"{\"n\":3}","received_at":1770801600000,"signed_at":1770801599000}`,
			"version": `{"id":"src","vars":{"unit":"s"}}`, "labels.raw": `{"n":3}`, "labels.at": "1770801599000", "labels.len": "6",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in.SignedAt = tc.signed
			res := m.Apply(in)
			if len(res.Events) != 1 || res.Events[0].RunKey != "evt_1/src/12/4" {
				t.Fatalf("got %+v", res)
			}
			got, _ := json.Marshal(text(res.Events[0].Fields))
			want, _ := json.Marshal(tc.want)
			if string(got) != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
	in.Source.Vars = nil
	if got := m.Apply(in).Events[0].Fields["version"]; got != `{"id":"src","vars":{}}` {
		t.Errorf("without vars source is %v", got)
	}
}

// text shows the values of fields as text.
func text(fields map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range fields {
		if s, ok := scalar(v); ok {
			v = s
		}
		out[name] = v
	}
	return out
}

// A list that was cut is said once, and not for each expression.
func TestLongListsAreSaid(t *testing.T) {
	m := load(t, `version: 1
name: long
receive: {auth: [key]}
events:
  - {name: a, run_key: id, fields: {number: '=len(body.list)', title: '=string(len(body.list))'}}
`).Get("long")
	res := apply(m, `{"id":1,"list":[`+strings.Repeat("1,", 1000)+`1]}`)
	want := "m/0.yaml:5: a list is longer than the 1000 items that expressions see"
	if got := res.Events[0]; len(got.Warnings) != 1 || got.Warnings[0] != want || got.Fields["number"] != int64(1000) {
		t.Errorf("got %q and %v, want %q", got.Warnings, got.Fields, want)
	}
	if res := apply(m, `{"id":1,"list":[`+strings.Repeat("1,", 999)+`1]}`); len(res.Warnings) > 0 {
		t.Errorf("a list of 1000: got %q", res.Warnings)
	}
}
