package mappings

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/mapping"
)

// payload is one request of a test and what its mapping makes of it.
type payload struct {
	test  string
	in    mapping.Input
	whole mapping.Result
}

// payloads lists the requests of all tests of a mapping, each once.
func payloads(t *testing.T, m *mapping.Mapping) []payload {
	t.Helper()
	var out []payload
	seen := map[string]bool{}
	for _, test := range m.Tests() {
		inputs, err := m.Requests(test, mapping.TestOptions{})
		if err != nil {
			t.Fatalf("%s: %v", test.Name, err)
		}
		for _, in := range inputs {
			in.Request.ID, in.Request.Received = "", testTime
			if id := fmt.Sprint(in.Request, in.Source); !seen[id] {
				seen[id] = true
				out = append(out, payload{test: test.Name, in: in, whole: m.Apply(in)})
			}
		}
	}
	return out
}

// with returns the request with another body.
func (p payload) with(body []byte) mapping.Input {
	r := *p.in.Request
	r.Body = body
	in := p.in
	in.Request = &r
	return in
}

// A null anywhere in a payload, or a member that is missing, loses no event
// that could do without it: an event may die only of what its mapping declares
// to be vital, by reading it for the run_key, the status, a match, a check or a
// required field. Of the others it costs at most what reads it.
func TestNullsLoseNothingElse(t *testing.T) {
	set := load(t)
	for _, name := range set.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := nullingOf(t, set.Get(name))
			for _, p := range payloads(t, n.m) {
				n.try(p)
			}
			t.Logf("%d payloads with something missing", n.tried)
		})
	}
}

// nulling tries the payloads of one mapping.
type nulling struct {
	t        *testing.T
	m        *mapping.Mapping
	declared *declared
	seen     map[string]bool // places that nobody looks at
	tried    int
}

func nullingOf(t *testing.T, m *mapping.Mapping) *nulling {
	t.Helper()
	data, err := files.ReadFile(m.File)
	if err != nil {
		t.Fatal(err)
	}
	return &nulling{t: t, m: m, declared: declarations(t, File{Name: m.File, Data: data}), seen: map[string]bool{}}
}

func (n *nulling) try(p payload) {
	if p.whole.Outcome != "" && p.whole.Outcome != bridge.Ignored {
		return // it has nothing to lose
	}
	for _, s := range n.places(p) {
		for what, raw := range map[string]string{"null": "null", "missing": ""} {
			n.tried++
			for _, complaint := range n.lost(p, s, n.m.Apply(p.with(s.replace(raw)))) {
				n.t.Errorf("%s: with %s %s, %s", p.test, s, what, complaint)
			}
		}
	}
}

// places lists the places of a payload. What nobody looks at comes only once for
// each kind of payload, and without what is in it.
func (n *nulling) places(p payload) (out []site) {
	var unread []string
	for _, s := range sites(p.in.Request) {
		if unread != nil && len(s.path) > len(unread) && slices.Equal(s.path[:len(unread)], unread) {
			continue
		}
		if unread = nil; n.read(p, s) {
			out = append(out, s)
			continue
		}
		unread = s.path
		if id := p.whole.Rule + " " + s.String(); !n.seen[id] {
			n.seen[id] = true
			out = append(out, s)
		}
	}
	return out
}

// read reports whether the mapping looks at a place, as far as it declares.
func (n *nulling) read(p payload, s site) bool {
	if n.touch(s, n.declared.frame) {
		return true
	}
	for _, ev := range p.whole.Events {
		e := n.declared.events[ev.Name]
		all := slices.Concat([]reads{e.key, e.parent, e.attempt, e.at, e.status, e.required}, slices.Collect(maps.Values(e.fields)), slices.Collect(maps.Values(e.lists)))
		if n.touch(s, all...) {
			return true
		}
	}
	return false
}

// touch reports whether a change at s can be seen through one of the reads.
// Without the document in an envelope everything is different.
func (n *nulling) touch(s site, of ...reads) bool {
	if (reads{exact: n.declared.wraps}).touch(s.path) {
		return true
	}
	for _, place := range n.declared.inside(s.path) {
		if slices.ContainsFunc(of, func(r reads) bool { return r.touch(place) }) {
			return true
		}
	}
	return false
}

// lost says what a change at s cost that does not read it.
func (n *nulling) lost(p payload, s site, got mapping.Result) (out []string) {
	say := func(allowed bool, format string, args ...any) {
		if !allowed {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	if got.Reason == "internal error" {
		return []string{got.Problem.Message}
	}
	vital := []reads{n.declared.frame}
	for _, ev := range p.whole.Events {
		e := n.declared.events[ev.Name]
		vital = append(vital, e.key, e.status, e.required)
	}
	if got.Outcome != p.whole.Outcome || len(got.Events) != len(p.whole.Events) {
		say(n.touch(s, vital...), "the outcome is %q (%s), %d of %d events", got.Outcome, got.Reason, len(got.Events), len(p.whole.Events))
		return out
	}
	for i, was := range p.whole.Events {
		is, e := got.Events[i], n.declared.events[was.Name]
		if is.Name != was.Name {
			say(n.touch(s, n.declared.frame), "event %s is %s", was.Name, is.Name)
			continue
		}
		hashed := e.key.raw && strings.HasSuffix(was.RunKey, fmt.Sprintf("/%x", sha256.Sum256(p.in.Request.Body)))
		say(is.RunKey == was.RunKey || hashed || n.touch(s, e.key), "the run of %s is %s, not %s", was.Name, is.RunKey, was.RunKey)
		say(is.Parent == was.Parent || n.touch(s, e.parent), "the parent of %s is %q, not %q", was.Name, is.Parent, was.Parent)
		say(is.Attempt == was.Attempt || n.touch(s, e.attempt), "the attempt of %s is %d, not %d", was.Name, is.Attempt, was.Attempt)
		say(is.At == was.At || n.touch(s, e.at), "the time of %s is %d, not %d", was.Name, is.At, was.At)
		say(is.Status == was.Status && is.Word == was.Word || n.touch(s, e.status), "%s is %q (word %q), not %q", was.Name, is.Status, is.Word, was.Status)
		for _, field := range names(was.Fields, is.Fields) {
			same := reflect.DeepEqual(was.Fields[field], is.Fields[field])
			say(same || n.touch(s, e.sources(field)...), "%s.%s is %v, not %v", was.Name, field, is.Fields[field], was.Fields[field])
		}
		for _, list := range names(was.Lists, is.Lists) {
			same := reflect.DeepEqual(was.Lists[list], is.Lists[list])
			say(same || n.touch(s, e.lists[list]), "%s.%s is %v, not %v", was.Name, list, is.Lists[list], was.Lists[list])
		}
	}
	return out
}

// sources are the reads that a field follows from.
func (e declaredEvent) sources(field string) []reads {
	out := []reads{e.fields[field]}
	root, _, _ := strings.Cut(field, ".")
	times := []string{"started_at", "finished_at", "duration_ms"}
	for name, r := range e.fields {
		if root == "repo" && strings.HasPrefix(name, "repo.") || slices.Contains(times, field) && slices.Contains(times, name) {
			out = append(out, r)
		}
	}
	if slices.Contains(times, field) {
		out = append(out, e.at, e.status)
	}
	return out
}

func names[V any](a, b map[string]V) []string {
	return slices.Compact(slices.Sorted(maps.Keys(merged(a, b))))
}

func merged[V any](a, b map[string]V) map[string]V {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]V{}
	}
	maps.Copy(out, b)
	return out
}

// A value of another kind than the tool sends is the sender's mistake at worst,
// never the server's.
func TestWrongKindsBreakNothing(t *testing.T) {
	set := load(t)
	for _, name := range set.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, tried := set.Get(name), 0
			n, seen := nullingOf(t, m), map[string]bool{}
			for _, p := range payloads(t, m) {
				for _, s := range sites(p.in.Request) {
					id := p.whole.Rule + " " + s.String()
					if seen[id] || !n.read(p, s) { // what nobody reads was null, and nothing changed
						continue
					}
					seen[id] = true
					for _, raw := range []string{"[]", "{}", `"x"`, "0"} {
						tried++
						res := m.Apply(p.with(s.replace(raw)))
						if res.Reason == "internal error" || statusOf(res.Problem) >= 500 {
							t.Errorf("%s: with %s %s: %v", p.test, s, raw, res.Problem)
						}
					}
				}
			}
			t.Logf("%d payloads with a wrong kind", tried)
		})
	}
}
