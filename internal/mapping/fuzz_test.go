package mapping

import (
	"os"
	"path/filepath"
	"testing"

	"cibridge/bridge"
)

// FuzzLoad: whatever the file, Load returns; a mapping that loads survives a
// request.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yaml", "../../mappings/*.yaml"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, problems := Load([]File{{Name: "a.yaml", Data: data}})
		for _, p := range problems {
			if p.Line < 1 || p.Code == "" || p.Message == "" {
				t.Fatalf("got %#v, want a line, a code and a message", p)
			}
		}
		for _, name := range set.Names() {
			m := set.Get(name)
			res := apply(m, `{"id":1,"a":{"b":[1,"x",null]},"items":[{"name":"y"}],"payload":"{}"}`)
			keepsItsWord(t, m, res)
		}
	})
}

// FuzzApply: whatever the request, Apply has a result that keeps its word.
func FuzzApply(f *testing.F) {
	set := shipped(f)
	names := set.Names()
	payloads, _ := filepath.Glob("../../testdata/payloads/*/*")
	for i, name := range payloads {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "workflow_run", uint8(i))
	}
	f.Fuzz(func(t *testing.T, body []byte, kind string, which uint8) {
		m := set.Get(names[int(which)%len(names)])
		in := Input{Request: request(body, map[string]string{"x-github-event": kind, "content-type": "multipart/mixed; boundary=x"}), Source: bridge.Source{ID: "s"}}
		res := m.Apply(in)
		keepsItsWord(t, m, res)
		if again := m.Apply(in); len(again.Events) != len(res.Events) || again.Dedupe != res.Dedupe || again.Outcome != res.Outcome {
			t.Fatalf("the same request gave %+v and %+v", res, again)
		}
	})
}

// keepsItsWord holds a result against what Result promises.
func keepsItsWord(t *testing.T, m *Mapping, res Result) {
	t.Helper()
	if (res.Outcome == "") != (len(res.Events) > 0) {
		t.Fatalf("got outcome %q with %d events", res.Outcome, len(res.Events))
	}
	if res.Dedupe == "" || len(res.Dedupe) > 200 || res.Rule == "" {
		t.Fatalf("got dedupe %q and rule %q", res.Dedupe, res.Rule)
	}
	if res.Outcome == bridge.Rejected && (res.Problem == nil || res.Problem.Status < 400) {
		t.Fatalf("got a rejection without a status: %+v", res.Problem)
	}
	if res.Reason == "internal error" {
		t.Fatalf("Apply panicked: %v", res.Problem)
	}
	kinds := map[string]bridge.Field{}
	for _, f := range bridge.Fields() {
		kinds[f.Name] = f
	}
	for _, e := range res.Events {
		if e.RunKey == "" || e.ID == "" || e.Attempt < 0 {
			t.Fatalf("got %+v", e)
		}
		for name, v := range e.Fields {
			if !fitsKind(kinds[name].Kind, v) && kinds[name].Name != "" {
				t.Fatalf("%s is %T", name, v)
			}
		}
		bridge.NewRun(0, e.Source, e.RunKey, 1).Apply(e)
	}
	res.Reply(ReplyAccepted, map[string]any{"event": "evt_1", "runs": []any{}})
	res.Reply(ReplyRejected, nil)
}

func fitsKind(kind bridge.Kind, v any) bool {
	_, isText := v.(string)
	_, isInt := v.(int64)
	switch kind {
	case bridge.Text:
		return isText
	case bridge.Number:
		return isText || isInt
	case bridge.Flag:
		_, ok := v.(bool)
		return ok
	case bridge.Map:
		_, ok := v.(map[string]any)
		return ok
	case bridge.List:
		_, ok := v.([]any)
		return ok
	}
	return isInt
}
