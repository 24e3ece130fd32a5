package provider

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/yamldoc"
)

// file is a profile as it is written.
type file struct {
	Name    string            `json:"name"`
	Title   string            `json:"title"`
	Base    base              `json:"base"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Timeout string            `json:"timeout"`
	Events  []bridge.Trigger  `json:"events"`
	Refuse  []Refusal         `json:"refuse"`
	Parts   []struct {
		Name   string          `json:"name"`
		States []bridge.Status `json:"states"`
		Body   any             `json:"body"`
		When   string          `json:"when"`
		Once   bool            `json:"once"`
	} `json:"parts"`
	Body      any                  `json:"body"`
	Otherwise map[string]any       `json:"otherwise"`
	States    map[string]string    `json:"states"`
	Limits    map[string]limitFile `json:"limits"`
	Capture   map[string]string    `json:"capture"`
	Recognise []string             `json:"recognise"`
	Lane      struct {
		Ordering bridge.Ordering `json:"ordering"`
		FoldURL  bool            `json:"fold_url"`
		Key      []KeyPart       `json:"key"`
	} `json:"lane"`
	Classify []ruleFile `json:"classify"`
}

// warningState is the key of States for a succeeded run with warnings.
const warningState = "succeeded_with_warnings"

func parse(name string, data []byte) (*Profile, error) {
	doc, problems := yamldoc.Parse(name, data)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("read profiles: %w", err)
	}
	text, err := json.Marshal(doc.Value())
	if err != nil {
		return nil, fmt.Errorf("read profile %s: %w", name, err)
	}
	var f file
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("read profile %s: %w", name, err)
	}
	if f.Name != strings.TrimSuffix(name, ".yaml") {
		return nil, fmt.Errorf("read profile %s: its name is %q", name, f.Name)
	}
	p, err := f.profile(doc)
	if err != nil {
		return nil, fmt.Errorf("read profile %s: %w", name, err)
	}
	return p, nil
}

func (f *file) profile(doc *yamldoc.Node) (*Profile, error) {
	p := &Profile{
		Name: f.Name, Title: f.Title, Method: f.Method, URL: f.URL, Body: doc.Get("body").Value(), Otherwise: f.Otherwise,
		States: map[bridge.Status]string{}, WarningState: f.States[warningState], Events: f.Events, Refuse: f.Refuse,
		Ordering: f.Lane.Ordering, Key: f.Lane.Key, FoldURL: f.Lane.FoldURL, base: f.Base,
	}
	for name, value := range f.Headers {
		p.Headers = append(p.Headers, bridge.HookHeader{Name: name, Value: value})
	}
	slices.SortFunc(p.Headers, func(a, b bridge.HookHeader) int { return cmp.Compare(a.Name, b.Name) })
	for from, into := range f.Capture {
		p.capture = append(p.capture, captured{from, into})
	}
	slices.SortFunc(p.capture, func(a, b captured) int { return cmp.Compare(a.into, b.into) })
	for _, text := range f.Recognise {
		p.recognise = append(p.recognise, newPattern(text))
	}
	for _, read := range []func(*Profile, *yamldoc.Node) error{f.states, f.timing, f.parts, f.limits, f.rules} {
		if err := read(p, doc); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func checkStatus(s bridge.Status) error {
	if !slices.Contains(append(bridge.Statuses(), bridge.Incomplete), s) {
		return fmt.Errorf("%q is no status", s)
	}
	return nil
}

func (f *file) states(p *Profile, _ *yamldoc.Node) error {
	for status, word := range f.States {
		if status == warningState {
			continue
		}
		if err := checkStatus(bridge.Status(status)); err != nil {
			return fmt.Errorf("states: %w", err)
		}
		p.States[bridge.Status(status)] = word
	}
	return nil
}

func (f *file) timing(p *Profile, _ *yamldoc.Node) error {
	for _, t := range f.Events {
		if !slices.Contains(bridge.Triggers(), t) {
			return fmt.Errorf("events: there is no event %q", t)
		}
	}
	if f.Timeout == "" {
		return nil
	}
	var err error
	if p.Timeout, err = time.ParseDuration(f.Timeout); err != nil {
		return fmt.Errorf("timeout: %w", err)
	}
	return nil
}

func (f *file) parts(p *Profile, doc *yamldoc.Node) error {
	for i, part := range f.Parts {
		if part.Name == "" || len(part.States) == 0 || part.Body == nil {
			return fmt.Errorf("parts[%d] needs a name, states and a body", i)
		}
		for _, s := range part.States {
			if err := checkStatus(s); err != nil {
				return fmt.Errorf("parts[%d]: %w", i, err)
			}
		}
		// The body as the document has it: numbers that are whole are int64.
		body := doc.Get("parts").Items[i].Get("body").Value()
		p.Parts = append(p.Parts, Part{part.Name, part.States, body, part.When, part.Once})
	}
	if len(p.Parts) > 0 && p.Body != nil {
		return errors.New("a profile has a body or parts, not both")
	}
	return nil
}

func (f *file) limits(p *Profile, _ *yamldoc.Node) error {
	for field, l := range f.Limits {
		limit, err := l.limit(field)
		if err != nil {
			return fmt.Errorf("limits: %s: %w", field, err)
		}
		p.Limits = append(p.Limits, limit)
	}
	slices.SortFunc(p.Limits, func(a, b Limit) int { return cmp.Compare(a.Field, b.Field) })
	return nil
}

func (f *file) rules(p *Profile, _ *yamldoc.Node) error {
	for i, rf := range f.Classify {
		r, err := rf.compile()
		if err != nil {
			return fmt.Errorf("classify[%d]: %w", i, err)
		}
		p.rules = append(p.rules, r)
	}
	return nil
}
