package mapping

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cibridge/bridge"
)

// sent is a payload of testdata, with headers with which a mapping that ships
// makes events of it.
type sent struct {
	m      *Mapping
	file   string
	body   []byte
	header map[string]string
}

// allSent finds the mapping and the headers of each payload by trying them.
func allSent(tb testing.TB) []sent {
	tb.Helper()
	set := shipped(tb)
	files, err := filepath.Glob("../../testdata/payloads/*/*")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no payloads: %v", err)
	}
	var out []sent
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		for _, m := range candidates(set, filepath.Base(filepath.Dir(file))) {
			for _, header := range headersOf(m) {
				s := sent{m, file, body, header}
				if len(s.apply(body).Events) > 0 {
					out = append(out, s)
					break
				}
			}
		}
	}
	return out
}

// candidates are the mappings for the payloads of a folder: those named like
// it, or all.
func candidates(set *Set, folder string) []*Mapping {
	if m := set.Get(folder); m != nil {
		return []*Mapping{m}
	}
	var all []*Mapping
	for _, name := range set.Names() {
		all = append(all, set.Get(name))
	}
	return all
}

// headersOf lists the headers for which the events of a mapping ask; first
// none.
func headersOf(m *Mapping) []map[string]string {
	out := []map[string]string{{}}
	for _, e := range m.events {
		header := map[string]string{}
		for _, w := range e.match.header {
			header[w.name] = strings.ReplaceAll(w.patterns[0], "*", "x")
		}
		for _, w := range e.match.body {
			if attribute, ok := strings.CutPrefix(w.path.String(), "ce."); ok { // of a CloudEvent in binary mode
				header["ce-"+attribute] = strings.ReplaceAll(w.patterns[0], "*", "x")
			}
		}
		if len(header) > 0 && !slices.ContainsFunc(out, func(h map[string]string) bool { return maps.Equal(h, header) }) {
			out = append(out, header)
		}
	}
	return out
}

func (s sent) input(body []byte) Input {
	return Input{Request: request(body, s.header), Source: bridge.Source{ID: "s"}}
}

func (s sent) apply(body []byte) Result { return s.m.Apply(s.input(body)) }

// Each mapping that ships has a payload from which the fuzzing of it starts.
func TestEveryMappingIsFuzzed(t *testing.T) {
	all := allSent(t)
	for _, name := range shipped(t).Names() {
		if !slices.ContainsFunc(all, func(s sent) bool { return s.m.Name == name }) {
			t.Errorf("testdata/payloads has nothing that %s makes an event of", name)
		}
	}
}

// FuzzMapping: whatever becomes of the values of a payload, the mapping of its
// format has a result that keeps its word, and explaining it changes nothing.
func FuzzMapping(f *testing.F) {
	all := allSent(f)
	for i := range all {
		f.Add(uint16(i), []byte{})
		f.Add(uint16(i), []byte{byte(i), byte(7 * i), byte(i), 0, byte(3 * i), byte(5 * i)})
	}
	f.Fuzz(func(t *testing.T, which uint16, edits []byte) {
		s := all[int(which)%len(all)]
		body := edited(s.body, edits)
		res := s.apply(body)
		keepsItsWord(t, s.m, res)
		rec := &recorder{}
		again := s.m.apply(s.input(body), rec)
		if !reflect.DeepEqual(again.Events, res.Events) || again.Dedupe != res.Dedupe || again.Outcome != res.Outcome {
			t.Fatalf("%s: the same request gave %+v and %+v", s.file, res, again)
		}
		if _, err := json.Marshal(s.m.explain(again, rec)); err != nil {
			t.Fatalf("%s: %v", s.file, err)
		}
	})
}

// oddValues take the place of a value of a payload. The absent one is removed.
var oddValues = []any{
	absent{}, nil, "", "x", true, json.Number("0"), json.Number("-1"), json.Number("1.5"), json.Number("9223372036854775808"), json.Number("1e400"),
	[]any{}, map[string]any{}, []any{nil, "a", []any{}}, map[string]any{"": nil, "a.b": []any{}}, "2026-13-45T99:99:99Z", "1770801242", "\x00\u2028\ufffd",
	strings.Repeat("long ", 8000), slices.Repeat([]any{"n"}, 1100), "refs/heads/", "{\"a\":1}", "..%2f/",
}

type absent struct{}

// edited returns body with values replaced, as edits say: two bytes for the
// value and one for what takes its place. A body that is not JSON loses its
// end.
func edited(body []byte, edits []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var doc any
	if d.Decode(&doc) != nil {
		if len(edits) > 0 && len(body) > 0 {
			return body[:int(edits[0])*len(body)/256]
		}
		return body
	}
	for n := 0; len(edits) >= 3 && n < 4; edits, n = edits[3:], n+1 { // few, for they take longer than the mapping
		at := (int(edits[0])<<8 | int(edits[1])) % max(count(doc), 1)
		doc = replaced(doc, &at, oddValues[int(edits[2])%len(oddValues)])
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return body
	}
	return out
}

func count(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			n += count(x)
		}
	case []any:
		for _, x := range v {
			n += count(x)
		}
	}
	return n
}

// replaced returns v with the value number at replaced, counted in the order of
// sorted names.
func replaced(v any, at *int, by any) any {
	if *at--; *at == -1 {
		return by
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if x := replaced(v[k], at, by); !isAbsent(x) {
				out[k] = x
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			if x = replaced(x, at, by); !isAbsent(x) {
				out = append(out, x)
			}
		}
		return out
	}
	return v
}

func isAbsent(v any) bool {
	_, ok := v.(absent)
	return ok
}
