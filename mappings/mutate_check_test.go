package mappings

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"cibridge/bridge"
)

func TestSitesAreAllValues(t *testing.T) {
	form := url.Values{"payload": {`{"a":1}`}}.Encode()
	for _, c := range []struct{ body, kind, want string }{
		{`{"a": {"b" : [1, {"c":"x\"}"}], "d":null}, "e": true }`, "", "a a.b a.b.0 a.b.1 a.b.1.c a.d e"},
		{`[]`, "", ""},
		{`[[{"a":-1.5e3}]]`, "", "0 0.0 0.0.a"},
		{`{"m":"{\"a\":[2]}","b":"eyJhIjoxfQ=="}`, "", "m m.a m.a.0 b b.a"},
		{form, "application/x-www-form-urlencoded", "a"},
		{"no JSON", "", ""},
	} {
		r := &bridge.Request{Body: []byte(c.body), Header: map[string]string{"content-type": c.kind}}
		var paths []string
		for _, s := range sites(r) {
			paths = append(paths, s.String())
			for _, raw := range []string{"null", "", `"y"`} {
				changed := string(s.replace(raw))
				if c.kind == "" && !json.Valid([]byte(changed)) {
					t.Errorf("%s with %s %q is no JSON: %s", c.body, s, raw, changed)
				}
				if changed == c.body && (raw != "null" || !strings.Contains(c.body, "null")) {
					t.Errorf("%s with %s %q is the same", c.body, s, raw)
				}
			}
		}
		if got := strings.Join(paths, " "); got != c.want {
			t.Errorf("the values of %s are %q, want %q", c.body, got, c.want)
		}
	}
}

func TestDeletedMembersAreGone(t *testing.T) {
	r := &bridge.Request{Body: []byte(`{"a":1, "b":[2, 3] ,"c":"{\"d\":4,\"e\":5}"}`)}
	want := map[string]string{
		"a": `{"b":[2, 3] ,"c":"{\"d\":4,\"e\":5}"}`, "b": `{"a":1, "c":"{\"d\":4,\"e\":5}"}`, "b.0": `{"a":1, "b":[3] ,"c":"{\"d\":4,\"e\":5}"}`,
		"b.1": `{"a":1, "b":[2] ,"c":"{\"d\":4,\"e\":5}"}`, "c": `{"a":1, "b":[2, 3]}`,
		"c.d": `{"a":1, "b":[2, 3] ,"c":"{\"e\":5}"}`, "c.e": `{"a":1, "b":[2, 3] ,"c":"{\"d\":4}"}`,
	}
	for _, s := range sites(r) {
		var got, wanted any
		if json.Unmarshal(s.replace(""), &got) != nil || json.Unmarshal([]byte(want[s.String()]), &wanted) != nil {
			t.Fatalf("without %s: %s", s, s.replace(""))
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(wanted)
		if string(a) != string(b) {
			t.Errorf("without %s it is %s, want %s", s, a, b)
		}
	}
}

func TestDeclarationsKnowWhatIsRead(t *testing.T) {
	d := declarations(t, File{Name: "x.yaml", Data: []byte(`
version: 1
name: x
receive: {auth: [key], decode: {unwrap: envelope.body}}
let: {rev: 'sources.#(kind=="git").rev', all: '=map(body.jobs ?? [], .id)'}
events:
  - name: run
    match: {body: {kind: run}, all: ['=body.flag != nil']}
    run_key: [{value: run}, {first_of: [id, other\.id]}]
    attempt: '=max(all)'
    status: {of: [state, result]}
    fields:
      commit.sha: =rev
      url: {path: link, expr: 'value.href', required: true}
      title: '=body.head["long name"].text'
    lists: {stages: {each: jobs, fields: {name: name, url: '=body.web.url'}}}
`)})
	e := d.events["run"]
	for _, c := range []struct {
		what string
		r    reads
		yes  string
		no   string
	}{
		{"match", d.frame, "kind, flag, envelope, envelope/body", "id, state, kinds, flags"},
		{"run_key", e.key, "id, other.id", "other, kind, ids"},
		{"attempt", e.attempt, "jobs, jobs/0, jobs/0/id", "sources"},
		{"status", e.status, "state, result", "id"},
		{"required", e.required, "link, link/href", "head"},
		{"commit.sha", e.fields["commit.sha"], "sources, sources/1, sources/1/kind, sources/1/rev", "link, sources/1/url"},
		{"title", e.fields["title"], "head, head/long name, head/long name/text", "head/other"},
		{"stages", e.lists["stages"], "jobs, jobs/3, jobs/3/name, web, web/url", "web/page, id"},
	} {
		for want, list := range map[bool]string{true: c.yes, false: c.no} {
			for place := range strings.SplitSeq(list, ", ") {
				steps := strings.Split(place, "/")
				if got := c.r.touch(steps); got != want {
					t.Errorf("%s reads %s: %t, want %t", c.what, place, got, want)
				}
			}
		}
	}
	inside := d.inside([]string{"envelope", "body", "id"})
	if !slices.ContainsFunc(inside, func(at []string) bool { return slices.Equal(at, []string{"id"}) }) {
		t.Errorf("envelope.body.id is %q in the document, want id among them", inside)
	}
}
