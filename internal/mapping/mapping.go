// Package mapping turns requests of any CI tool into events, as YAML files say.
//
// One file is one format. [Load] compiles files into a [Set]; everything that
// can be wrong with a file is found there, with its place. [Mapping.Apply] then
// turns one request into events: it is pure, safe for concurrent use, does no
// I/O, logs nothing and never panics. Nothing about any CI tool is written in
// this package.
//
// The files by what they do: load*.go read the YAML; value.go, words.go and
// list.go hold its compiled parts and evaluate them; warn*.go find what is
// right but doubtful; decode.go finds the JSON document of a request, apply.go
// makes the events, fields.go gives values the kinds of package bridge,
// reply.go answers; record.go notes what they do and explain.go and eval.go put
// it into words; suite*.go run the tests of a mapping and coverage.go says what
// they reach; schema*.go describe the language for editors, draft*.go write a
// first mapping from payloads.
package mapping

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/lang"
	"cibridge/internal/redact"
)

// File is the text of one file. The tests of <name>.yaml may stand beside it
// in <name>_test.yaml.
type File struct {
	Name     string // as the user named it; places in messages start with it
	Data     []byte
	ReadOnly bool // ships with the program
}

// Set holds the mappings of all files. It is immutable.
type Set struct {
	byName map[string]*Mapping
	names  []string
	routes []Route  // longest path first
	broken []string // files with errors, without their ending
}

// Route is a fixed address of a mapping.
type Route struct {
	Method  string
	Path    string // starts with /
	Mapping *Mapping
}

// AuthSpec is one way in which a format lets its senders authenticate. Only
// the fields of its kind are set; empty ones have the defaults named here.
type AuthSpec struct {
	Kind string // key, token, basic, hmac, standard-webhooks, http-signature or none
	// Header has the key, the token or the signature, in the spelling of the
	// file. Kind key: besides Authorization, which always counts. Kind
	// http-signature: always Signature.
	Header string
	Query  string // kind token: the query parameter, instead of Header
	Prefix string // kinds token and hmac: text before it, "Bearer " or "sha256="
	// The rest is of kind hmac; the tolerance of every kind that signs a time.
	Encoding  string        // hex (default) or base64
	Timestamp string        // the header with the signed time, when Format has none
	Format    string        // the whole header: "timestamp={timestamp},signature={signature}"
	Pick      string        // which entry of "v1=…,v2=…" is the signature: "v1"
	Message   string        // what is signed: "{body}" (default) or text with {body} and {timestamp}
	Tolerance time.Duration // greatest age of the signed time; 0: 5 minutes
}

// Mapping is one compiled format. It is immutable and safe for concurrent use.
type Mapping struct {
	Name     string
	Title    string // for people; may be empty
	Strict   bool   // what the mapping does not know is refused with 422
	File     string
	ReadOnly bool

	auth     []AuthSpec
	routes   []Route
	decode   []decodeStep
	times    lang.Times
	replies  replies
	redact   []redact.Path
	checks   []check
	lets     map[string]*let
	events   []*event
	dedupe   *key // of requests that no event with its own takes
	kinds    []kindKey
	requires []string
	tests    []*Test
}

// Auth lists what the format allows, at least one; a source picks one of them
// by its kind, and the first one if it picks none.
func (m *Mapping) Auth() []AuthSpec { return slices.Clone(m.auth) }

// Redact lists the places of a document whose values are secret.
func (m *Mapping) Redact() []redact.Path { return slices.Clone(m.redact) }

// Routes lists the fixed addresses of the mapping; it may have none.
func (m *Mapping) Routes() []Route { return slices.Clone(m.routes) }

// Events names the events of the mapping, in the order in which they are
// tried.
func (m *Mapping) Events() []string {
	names := make([]string, len(m.events))
	for i, e := range m.events {
		names[i] = e.name
	}
	return names
}

// Tests lists the tests of the mapping, those of its own file first.
func (m *Mapping) Tests() []*Test { return slices.Clone(m.tests) }

// Load compiles files, in their order. The set is usable if and only if no
// problem is an error; otherwise it holds the mappings that are right. The
// problems are sorted by place.
func Load(files []File) (*Set, diag.Problems) {
	set, _, problems := loadAll(files)
	return set, problems
}

// loadAll is Load; it returns what read the mappings of the set, too.
func loadAll(files []File) (*Set, []*loader, diag.Problems) {
	set := &Set{byName: map[string]*Mapping{}}
	var problems diag.Problems
	var tests, loaded []*loader
	for _, f := range files {
		l := newLoader(f)
		l.parse()
		if isTestFile(f.Name) {
			tests = append(tests, l)
			continue
		}
		m := l.mapping()
		problems = append(problems, l.problems...)
		if m == nil {
			set.broken = append(set.broken, strings.TrimSuffix(f.Name, path.Ext(f.Name)))
			continue
		}
		problems = append(problems, set.add(l, m)...)
		loaded = append(loaded, l)
	}
	for _, l := range tests {
		l.testFile(set)
		problems = append(problems, l.problems...)
	}
	slices.Sort(set.names)
	slices.SortStableFunc(set.routes, func(a, b Route) int { return cmp.Compare(len(b.Path), len(a.Path)) })
	problems.Sort()
	return set, loaded, problems
}

// add puts m in the set, unless its name or one of its routes is taken.
func (s *Set) add(l *loader, m *Mapping) diag.Problems {
	var problems diag.Problems
	if old, taken := s.byName[m.Name]; taken {
		problems = append(problems, withHelp(l.nameNode().Problem(codeTaken, "the name "+quote(m.Name)+" is taken by "+old.File), "every mapping needs a name of its own"))
	}
	for i, r := range m.routes {
		for _, old := range s.routes {
			if old.Method == r.Method && old.Path == r.Path {
				problems = append(problems, withHelp(l.routeNode(i).Problem(codeTaken, "the route "+r.Method+" "+r.Path+" already belongs to mapping "+old.Mapping.Name+" ("+old.Mapping.File+")"),
					"delete one of them; every source is at /in/<source>, too"))
			}
		}
	}
	if len(problems) > 0 {
		return problems
	}
	s.byName[m.Name] = m
	s.names = append(s.names, m.Name)
	s.routes = append(s.routes, m.routes...)
	return nil
}

// Get returns the mapping with a name, or nil.
func (s *Set) Get(name string) *Mapping { return s.byName[name] }

// Names lists the mappings, sorted.
func (s *Set) Names() []string { return slices.Clone(s.names) }

// Routes lists the routes of all mappings, the longest path first.
func (s *Set) Routes() []Route { return slices.Clone(s.routes) }

// Match finds the mapping that serves an address: the one that declares
// exactly this path, else the one with the longest declared path that address
// ends with, at a segment boundary. Addresses of the server itself are never
// served.
func (s *Set) Match(method, address string) (*Mapping, bool) {
	if reserved(address) {
		return nil, false
	}
	var found *Mapping
	for _, r := range s.routes {
		if r.Method != method || !strings.HasSuffix(address, r.Path) {
			continue
		}
		if len(address) == len(r.Path) {
			return r.Mapping, true
		}
		if found == nil { // routes start with /, so a suffix starts a segment
			found = r.Mapping
		}
	}
	return found, found != nil
}

// reservedRoots are the first path segments that the server keeps for itself.
var reservedRoots = []string{"api", "ui", "hooks", "pipelines", "applications", "hook-requests", "in", "healthz", "readyz", "metrics", "openapi.json"}

func reserved(address string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(address, "/"), "/")
	return slices.Contains(reservedRoots, first)
}

func isTestFile(name string) bool {
	return strings.HasSuffix(name, "_test.yaml") || strings.HasSuffix(name, "_test.yml")
}

// statusWords are the words that a status may have.
var statusWords = func() []string {
	var words []string
	for _, s := range bridge.Statuses() {
		words = append(words, string(s))
	}
	return words
}()
