// Package provider holds what cibridge knows of source providers, as data: how
// a commit status is sent to each, what its answers mean, and which requests
// of hooks without a profile are such statuses.
//
// A profile is one YAML file in profiles/. A new provider adds a file and no
// Go: templates are those of package template, rules of answers are tables
// that [Profile.Classify] walks.
package provider

import (
	"embed"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
)

//go:embed profiles/*.yaml
var files embed.FS

// generalName is the profile whose rules every other one falls back on. It has
// no request of its own.
const generalName = "general"

// Profile says how a kind of source provider is called. It is immutable and
// safe for concurrent use.
type Profile struct {
	Name  string
	Title string
	// Method, URL, Headers and Body are the request, as templates.
	Method  string
	URL     string
	Headers []bridge.HookHeader // sorted by name
	Body    any
	// States are the provider's words for the states of a run.
	States map[bridge.Status]string
	// WarningState is the word for a succeeded run with warnings, "" when the
	// provider has none.
	WarningState string
	// Ordering of the deliveries that write one status.
	Ordering bridge.Ordering
	// Limits are what the fields of the body may hold; see [Profile.Fit].
	Limits []Limit
	// Otherwise are templates of members that the provider insists on: they
	// are used where the body has none that it would accept.
	Otherwise map[string]any
	// Key says which status of its URL a request writes.
	Key []KeyPart
	// FoldURL reports whether the provider takes URLs that differ only in case
	// for one.
	FoldURL bool
	// Timeout of a request, 0 for the default: some providers slow requests
	// down rather than refuse them.
	Timeout time.Duration
	// Events are what a hook waits for that names none, nil for every change.
	Events []bridge.Trigger
	// Parts are the requests of one change, in their order, for a format that
	// has several kinds of them. Body is nil then.
	Parts []Part
	// Refuse are conditions under which nothing is sent, each with its reason.
	Refuse []Refusal

	base      base
	recognise []pattern
	rules     []rule
	capture   []captured
}

// Part is one of several requests of one change.
type Part struct {
	Name string
	// States are those of a run in which it is sent.
	States []bridge.Status
	Body   any
	When   string // expression; it is not sent unless true. "" is always
	// Once reports that it is sent at most once for an attempt of a run.
	Once bool
}

// Refusal is a condition under which nothing is sent.
type Refusal struct {
	If  string `json:"if"`  // expression
	Say string `json:"say"` // for people
}

// KeyPart is one part of what tells the statuses of one URL apart.
type KeyPart struct {
	// FirstOf are fields of the body ("context.name"), or query parameters of
	// the URL; the first that is there and not "" counts.
	FirstOf []string `json:"first_of"`
	Default string   `json:"default"` // when none is
	Fold    bool     `json:"fold"`    // upper and lower case are the same
	// Names takes the names of an object's members for its value: the request
	// writes all of them.
	Names bool `json:"names"`
}

// base is where the provider's API is.
type base struct {
	// Default is the address of the public service, "" when there is none.
	Default string `json:"default"`
	// Suffix ends every base address; it is appended where it lacks.
	Suffix  string            `json:"suffix"`
	Aliases map[string]string `json:"aliases"`
}

// Profiles are all profiles that ship.
type Profiles struct {
	byName  map[string]*Profile
	names   []string // sorted, without the general one
	general *Profile
}

// Load reads the embedded profiles. An error is a fault in one of the files
// and never depends on where cibridge runs.
func Load() (*Profiles, error) {
	entries, err := files.ReadDir("profiles")
	if err != nil {
		return nil, fmt.Errorf("read profiles: %w", err)
	}
	ps := &Profiles{byName: map[string]*Profile{}}
	for _, e := range entries {
		data, err := files.ReadFile(path.Join("profiles", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read profiles: %w", err)
		}
		p, err := parse(e.Name(), data)
		if err != nil {
			return nil, err
		}
		ps.byName[p.Name] = p
		if p.Name != generalName {
			ps.names = append(ps.names, p.Name)
		}
	}
	ps.general = ps.byName[generalName]
	if ps.general == nil {
		return nil, errors.New("read profiles: there is no general.yaml")
	}
	for _, name := range ps.names {
		p := ps.byName[name]
		p.rules = slices.Concat(p.rules, ps.general.rules)
	}
	slices.Sort(ps.names)
	return ps, nil
}

// Get returns the profile of a source provider, nil when there is none of that
// name.
func (ps *Profiles) Get(name string) *Profile {
	if name == generalName {
		return nil
	}
	return ps.byName[name]
}

// Names lists the profiles, sorted.
func (ps *Profiles) Names() []string { return slices.Clone(ps.names) }

// For returns the profile whose Classify reads the answers to a delivery with
// that profile name: the general one for "" and for names that are no more.
func (ps *Profiles) For(name string) *Profile {
	if p := ps.Get(name); p != nil {
		return p
	}
	return ps.general
}

// State returns the provider's word for the status of a run; ok is false when
// it has none.
func (p *Profile) State(status bridge.Status, warnings bool) (word string, ok bool) {
	if warnings && status == bridge.Succeeded && p.WarningState != "" {
		return p.WarningState, true
	}
	word, ok = p.States[status]
	return word, ok
}

// Base returns the address of the API that an application's base_url stands
// for, without a "/" at its end. An empty base_url is the public service. The
// error says what is wrong with it, for people.
func (p *Profile) Base(configured string) (string, error) {
	b, err := p.Address(configured)
	if err == nil && !strings.HasSuffix(b, p.base.Suffix) {
		b += p.base.Suffix
	}
	return b, err
}

// Address is Base for a URL that names the API itself: nothing is appended to
// what is configured.
func (p *Profile) Address(configured string) (string, error) {
	b := strings.TrimRight(strings.TrimSpace(configured), "/")
	if b == "" {
		b = p.base.Default
	}
	if b == "" {
		return "", fmt.Errorf("%s has no public service: set base_url of the source provider to the server's address", p.Name)
	}
	if to, ok := p.base.Aliases[strings.ToLower(b)]; ok {
		b = to
	}
	u, err := url.Parse(b)
	switch {
	case err != nil:
		return "", errors.New("base_url is no URL") // it may hold a credential
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return "", fmt.Errorf("base_url %q must start with https:// and a host", b)
	case u.User != nil:
		return "", fmt.Errorf("base_url of %s holds a credential; it belongs in access_token", u.Host)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "", fmt.Errorf("base_url %q must not have a query or a fragment", b)
	}
	return b, nil
}
