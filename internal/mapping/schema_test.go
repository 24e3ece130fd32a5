package mapping

import (
	"maps"
	"slices"
	"testing"

	"cibridge/bridge"
)

// kitchenSink has every object of the language in it.
const kitchenSink = `version: 1
name: sink
receive:
  routes: POST /sink
  auth: [key: {header: X-Key}, token: {header: X-Token}, hmac: {header: X-Sig}, standard-webhooks: {tolerance: 5m}, http-signature: {tolerance: 5m}]
  reply: {accepted: {body: {}}}
times: {zone: UTC}
checks: [{missing: id, say: no id}]
events:
  - {name: hello, match: {body: {hello: "*"}}, confirm: {get: u, host: "*.acme.example"}}
  - {name: run, run_key: id, lists: {stages: {each: jobs, fields: {name: n}, lists: {steps: {each: s, fields: {name: n}}}}}}
tests:
  - {name: a, body: {id: 1}, expect_reply: {status: 202}}
  - {name: b, sequence: [{body: {id: 1}}], triggers: []}
`

// The schema has the keys that the loader knows, each way: whoever adds a key
// to one of them must add it to the other.
func TestSchemaHasTheKeysOfTheLoader(t *testing.T) {
	l := newLoader(File{Name: "sink.yaml", Data: []byte(kitchenSink)})
	l.tables = map[string][]string{}
	l.parse()
	m := l.mapping()
	if m == nil {
		t.Fatal(l.problems)
	}
	f := newLoader(File{Name: "sink_test.yaml", Data: []byte("tests: []\n")})
	f.tables = l.tables
	f.parse()
	f.testFile(&Set{byName: map[string]*Mapping{"sink": m}})

	described := objects()
	for _, list := range bridge.Lists() {
		described = append(described, listObject("x", list))
	}
	keysOf := func(o object) []string {
		var keys []string
		for _, k := range o.keys {
			keys = append(keys, k.name)
			if k.doc == "" || k.is == nil {
				t.Errorf("%s of %s has no description or no type", k.name, o.name)
			}
		}
		slices.Sort(keys)
		return keys
	}
	for _, o := range described {
		keys := keysOf(o)
		if !slices.ContainsFunc(slices.Collect(maps.Values(l.tables)), func(known []string) bool { return slices.Equal(slices.Sorted(slices.Values(known)), keys) }) {
			t.Errorf("the schema gives %s the keys %v; the loader reads no such object: %v", o.name, keys, l.tables)
		}
		for _, r := range o.required {
			if !slices.Contains(keys, r) {
				t.Errorf("%s: %s is required and not known", o.name, r)
			}
		}
	}
	for what, known := range l.tables {
		slices.Sort(known)
		if !slices.ContainsFunc(described, func(o object) bool { return slices.Equal(keysOf(o), known) }) {
			t.Errorf("the loader reads %s with the keys %v; the schema has no such object", what, known)
		}
	}
}

// Every word that the loader knows has its line for people.
func TestSchemaDescribesEveryWord(t *testing.T) {
	kinds := map[ReplyKind]string{}
	for _, k := range replyKinds {
		kinds[k.kind] = replyDocs[k.kind]
	}
	lists := map[string]string{}
	for _, l := range bridge.Lists() {
		lists[l.Name] = listDocs[l.Name]
		for _, sub := range l.Lists {
			lists[sub.Name] = listDocs[sub.Name]
		}
	}
	same := func(what string, docs map[string]string, known []string) {
		t.Helper()
		if got, want := slices.Sorted(maps.Keys(docs)), slices.Sorted(slices.Values(known)); !slices.Equal(got, slices.Compact(want)) {
			t.Errorf("%s: described are %v, known %v", what, got, want)
		}
	}
	same("values", valueDocs, valueKeys)
	same("auth", authDocs, authKinds)
	same("decode", decodeDocs, decodeKinds)
	same("expect", expectDocs, slices.Concat(eventWords, runWords))
	same("lists", listDocs, slices.Collect(maps.Keys(lists)))
	if !maps.Equal(kinds, replyDocs) {
		t.Errorf("replies: described are %v, known %v", replyDocs, kinds)
	}
	if got, want := slices.Sorted(slices.Values(unitWords)), slices.Sorted(maps.Keys(units)); !slices.Equal(got, want) {
		t.Errorf("units: got %v, want %v", got, want)
	}
}
