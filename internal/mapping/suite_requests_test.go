package mapping

import (
	"errors"
	"strings"
	"testing"
)

func TestRequestsOfTests(t *testing.T) {
	set, problems := Load([]File{{Name: "m.yaml", Data: []byte(`
version: 1
name: m
receive: {auth: [key]}
events: [{name: run, run_key: id, status: {path: s, map: {a: running, b: failed}}}]
tests:
  - name: two
    headers: {X-Kind: run}
    sequence:
      - {body: {id: 1, s: a}}
      - {body: {id: 1, s: b}, vars: {v: 7}}
    triggers: [action.started, action.failed]
  - {name: a file, body_file: there.json, expect: {key: 1}}
`)}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	m := set.Get("m")
	got, err := m.Requests(m.Tests()[0], TestOptions{})
	if err != nil || len(got) != 2 {
		t.Fatalf("%d requests, %v", len(got), err)
	}
	second := got[1]
	if string(second.Request.Body) != `{"id":1,"s":"b"}` || second.Request.Header["x-kind"] != "run" || second.Source.Vars["v"] != int64(7) {
		t.Errorf("the second request is %s with %v and %v", second.Request.Body, second.Request.Header, second.Source.Vars)
	}
	if !second.Request.Received.After(got[0].Request.Received) {
		t.Error("the second request does not come after the first")
	}
	missing := func(string) ([]byte, error) { return nil, errors.New("not there") }
	if _, err := m.Requests(m.Tests()[1], TestOptions{ReadFile: missing}); err == nil || !strings.Contains(err.Error(), "not there") {
		t.Errorf("a body that cannot be read: %v", err)
	}
}
