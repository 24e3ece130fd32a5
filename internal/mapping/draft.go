package mapping

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"cibridge/internal/lang"
)

// Payload is a request that a draft is made from.
type Payload struct {
	Name   string // of the test: that of its file without the ending
	File   string // as a test beside the mapping names it; "" when there is none
	Body   []byte // JSON
	Header map[string]string
}

// draft is a mapping that is being guessed. It is written as YAML, loaded and
// tried on its payloads; what does not hold is taken out again.
type draft struct {
	name     string
	auth     string
	authNote string
	payloads []*payload
	events   []*draftEvent
	hidden   []string // names of members whose values were left out
}

// draftEvent is a guess at an event, from the payloads that it takes.
type draftEvent struct {
	name     string
	payloads []*payload
	header   []draftWant
	body     []draftWant
	note     string // of match
	runKey   []string
	keyNote  string
	attempt  *draftField
	at       *draftField
	status   *draftStatus
	fields   []draftField
}

// draftWant is what a header or a path must be.
type draftWant struct{ name, value string }

// draftField is a field, the YAML of its value, and why.
type draftField struct{ name, yaml, note string }

// Draft writes a first mapping for payloads of one tool: an event for each kind
// of payload, a test for each of them, and "# guess:" beside everything that
// only somebody who knows the tool can confirm. Payloads that nothing tells
// apart are one event.
//
// The draft loads without errors and its tests pass. The error says which
// payload is none, or that name cannot be the name of a mapping.
func Draft(name string, payloads []Payload) ([]byte, error) {
	if !nameForm.MatchString(name) {
		return nil, fmt.Errorf("%s cannot be the name of a mapping: use lower-case letters and digits, and - _ or . between them", quote(name))
	}
	if len(payloads) == 0 {
		return nil, errors.New("there is no payload")
	}
	d := &draft{name: name}
	for _, in := range payloads {
		p, err := newPayload(in)
		if err != nil {
			return nil, err
		}
		d.payloads = append(d.payloads, p)
	}
	d.uniqueNames()
	d.guess()
	if d.try() != nil { // a payload that fools the guesses: the least is better than nothing
		for _, e := range d.events {
			e.runKey, e.keyNote, e.attempt, e.at, e.status, e.fields = []string{eachRequest}, "nothing else holds for this payload", nil, nil, nil, nil
		}
		if err := d.try(); err != nil {
			return nil, err
		}
	}
	return d.write(true), nil
}

// eachRequest is the run key of last resort.
const eachRequest = "=sha256(request.raw)"

// uniqueNames gives the tests names of their own.
func (d *draft) uniqueNames() {
	taken := map[string]bool{}
	for _, p := range d.payloads {
		p.name = unique(taken, p.name)
	}
}

func unique(taken map[string]bool, name string) string {
	for i, free := 2, name; ; i++ {
		if !taken[free] {
			taken[free] = true
			return free
		}
		free = fmt.Sprintf("%s-%d", name, i)
	}
}

// try applies the draft to its payloads, takes out what has no value or a
// wrong one, and fills in what the tests expect. The error says what does not
// hold.
func (d *draft) try() error {
	m, err := d.load(false)
	if err != nil {
		return err
	}
	for _, e := range d.events {
		for _, p := range e.payloads {
			if p.result = m.Apply(p.input(m)); len(p.result.Events) != 1 {
				return fmt.Errorf("%s: %s", p.name, p.result.Reason)
			}
		}
		e.fields = slices.DeleteFunc(e.fields, func(f draftField) bool { return !e.holds(f) })
	}
	if m, err = d.load(false); err != nil {
		return err
	}
	for _, e := range d.events {
		for _, p := range e.payloads {
			p.result = m.Apply(p.input(m))
		}
	}
	return d.check()
}

// untilOver are fields that a run has at certain states only: that they are
// absent says nothing of where they are.
var untilOver = []string{"started_at", "finished_at", "duration_ms"}

// holds reports whether some payload has a value for f, and none a wrong one.
func (e *draftEvent) holds(f draftField) bool {
	found := slices.Contains(untilOver, f.name)
	for _, p := range e.payloads {
		_, there := p.result.Events[0].Fields[f.name]
		found = found || there
		if slices.ContainsFunc(p.result.Warnings, func(w string) bool { return strings.HasPrefix(w, e.name+"."+f.name+" (") }) {
			return false
		}
	}
	return found
}

// load compiles what is guessed so far.
func (d *draft) load(tests bool) (*Mapping, error) {
	set, problems := Load([]File{{Name: d.name + ".yaml", Data: d.write(tests)}})
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("the draft does not load: %w", err)
	}
	return set.Get(d.name), nil
}

// check runs the tests. A payload that does not come out of the YAML as it
// went in is taken from its file.
func (d *draft) check() error {
	m, err := d.load(true)
	if err != nil {
		return err
	}
	for i, t := range m.tests {
		p := d.inOrder()[i]
		r := &testRun{m: m, t: t, opts: TestOptions{ReadFile: d.readFile}}
		body, _, err := r.body(t.steps[0])
		if err == nil && !p.aside && !sameJSON(body, p.root.raw()) {
			p.aside = true
			p.result = m.Apply(p.input(m))
			return d.check()
		}
		if r.run(); len(r.failures) > 0 {
			return fmt.Errorf("%s: %s", p.name, strings.Join(r.failures, "; "))
		}
	}
	return nil
}

// inOrder are the payloads in the order of the tests.
func (d *draft) inOrder() []*payload {
	var out []*payload
	for _, e := range d.events {
		out = append(out, e.payloads...)
	}
	return out
}

func (d *draft) readFile(name string) ([]byte, error) {
	for _, p := range d.payloads {
		if p.file != "" && besideOf(d.name+".yaml", p.file) == name || p.file == name {
			return p.body, nil
		}
	}
	return nil, fmt.Errorf("%s is none of the payloads", name)
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return decodeExact(a, &x) == nil && decodeExact(b, &y) == nil && reflect.DeepEqual(x, y)
}

// input is the request that the test of p makes.
func (p *payload) input(m *Mapping) Input {
	body := p.body
	if !p.aside {
		body = p.root.raw()
	}
	r := &testRun{m: m, t: &Test{}}
	in, _ := r.input(&testStep{headers: p.header, body: bodySpec{raw: body}}, 0)
	return in
}

// newPayload reads a payload as the server does.
func newPayload(in Payload) (*payload, error) {
	file := cmp.Or(in.File, in.Name)
	body := bytes.TrimPrefix(in.Body, []byte("\xef\xbb\xbf"))
	if err := lang.Scan(body, 0, 0); err != nil {
		help := ""
		if t := bytes.TrimSpace(body); len(t) > 0 && (formStart.Match(t) || bytes.HasPrefix(t, []byte("--"))) {
			help = "; save the part of it that is JSON"
		}
		var e *lang.Error
		if errors.As(err, &e) {
			return nil, fmt.Errorf("%s:%d:%d: %s%s", file, e.Line, e.Col, e.Message, help)
		}
		return nil, fmt.Errorf("%s: %w%s", file, err, help)
	}
	root, err := readJSON(body)
	if err == nil && root.kind == jsonText && inside(root.text) != nil { // the server reads JSON in a JSON text, too
		root, err = readJSON([]byte(strings.TrimPrefix(root.text, "\ufeff")))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := &payload{name: in.Name, file: in.File, body: in.Body, header: map[string]string{}, root: root}
	for name, v := range in.Header {
		p.header[strings.ToLower(name)] = v
	}
	if p.aside = len(body) > maxInline || root.depth() > maxInlineDepth || root.awkward(); p.aside && in.File == "" && len(body) > maxBase64 {
		return nil, fmt.Errorf("%s: it has %d bytes, too many for a mapping: save it to a file", file, len(body))
	}
	return p, nil
}
