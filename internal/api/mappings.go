package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/mapping"
)

// reloads is how the mappings that are in use came into use, and why newer
// ones did not. It is safe for concurrent use.
type reloads struct {
	mu         sync.Mutex
	set        *mapping.Set
	generation int64
	at         time.Time
	failedAt   time.Time // zero: the newest files are in use
	problems   diag.Problems
}

// SetMappings replaces the mappings and with them their routes, and returns
// the number of their generation: the first one is 1. Requests that are being
// served keep the ones they started with.
func (s *Server) SetMappings(set *mapping.Set) int64 {
	r := &s.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set, r.at, r.failedAt, r.problems = set, s.cfg.Now(), time.Time{}, nil
	r.generation++
	s.warned.forget() // what the old set did not know, the new one may
	s.mappings.Store(set)
	return r.generation
}

// KeepMappings notes why newer files could not be used, for operators, and
// returns the generation that stays in use.
func (s *Server) KeepMappings(problems diag.Problems) int64 {
	r := &s.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failedAt, r.problems = s.cfg.Now(), problems
	return r.generation
}

// maxShownProblems bounds an answer; the log has all of them.
const maxShownProblems = 20

// mappingsState is what operators see of the mappings as a whole.
type mappingsState struct {
	Generation int64        `json:"generation"`
	LoadedAt   *string      `json:"loaded_at"`
	Count      int          `json:"count"`
	LastError  *reloadError `json:"last_error"` // null: the newest files are in use
	// Unusable are the sources that nothing can be received from, by their id,
	// with the reason.
	Unusable map[string]string `json:"unusable_sources"`
}

type reloadError struct {
	At       string        `json:"at"`
	Count    int           `json:"count"`
	Problems diag.Problems `json:"problems"` // the first ones
}

// mappingsNow returns the set in use and its state, which fit each other.
func (s *Server) mappingsNow() (*mapping.Set, mappingsState) {
	r := &s.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	set := s.mappings.Load()
	state := mappingsState{Generation: r.generation, Count: len(set.Names()), Unusable: s.UnusableSources(set)}
	if !r.at.IsZero() {
		state.LoadedAt = rfc3339(r.at.UnixMilli())
	}
	if !r.failedAt.IsZero() {
		shown := r.problems[:min(len(r.problems), maxShownProblems)]
		state.LastError = &reloadError{At: *rfc3339(r.failedAt.UnixMilli()), Count: len(r.problems), Problems: shown}
	}
	return set, state
}

// UnusableSources says why nothing can be received from some sources with the
// mappings of set, by their id. It is empty, never nil, when all can be used.
func (s *Server) UnusableSources(set *mapping.Set) map[string]string {
	out := map[string]string{}
	for _, src := range s.cfg.Registry.Snapshot().Sources {
		if problems := CheckSource(set, src); len(problems) > 0 {
			out[src.ID] = strings.Join(problems, "; ")
		}
	}
	return out
}

// CheckSource says what keeps a source from receiving anything with the
// mappings of set: none of that name, another kind of authentication, secrets
// that are absent, short or of the wrong form. Nil means that nothing does.
func CheckSource(set *mapping.Set, src bridge.Source) []string {
	if set.Get(src.Mapping) == nil { // without the list of all that the API gives
		return []string{fmt.Sprintf("mapping %q is not loaded%s", src.Mapping, didYouMean(src.Mapping, set.Names()))}
	}
	e := fieldErrors{}
	checkMapping(e, set, src)
	var out []string
	for _, field := range sortedKeys(e) {
		out = append(out, e[field]...)
	}
	return out
}

func checkMapping(e fieldErrors, set *mapping.Set, src bridge.Source) {
	m := set.Get(src.Mapping)
	if m == nil {
		e.add("mapping", "there is no mapping %q, there are %s%s", src.Mapping, strings.Join(set.Names(), ", "), didYouMean(src.Mapping, set.Names()))
		return
	}
	spec, ok := pick(m.Auth(), src.Auth)
	if !ok {
		e.add("auth", "mapping %s allows %s, not %q", src.Mapping, strings.Join(authKinds(m), ", "), src.Auth)
		return
	}
	checkSecrets(e, spec, src.Secrets)
}

// reasons says the same in sentences, for /readyz.
func (m mappingsState) reasons() []string {
	var out []string
	if e := m.LastError; e != nil {
		out = append(out, fmt.Sprintf("mappings: the newest files cannot be used, generation %d stays; the first of the problems (%d) is %v", m.Generation, e.Count, e.Problems[:min(1, len(e.Problems))]))
	}
	for _, id := range sortedKeys(m.Unusable) {
		out = append(out, fmt.Sprintf("source %q receives nothing: %s", id, m.Unusable[id]))
	}
	return out
}

// mappingShape is a mapping as operators see it.
type mappingShape struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	File    string   `json:"file"`
	Shipped bool     `json:"shipped"`
	Strict  bool     `json:"strict"`
	Auth    []string `json:"auth"`
	Routes  []string `json:"routes"`
	Events  []string `json:"events"`
	Sources []string `json:"sources"` // that use it
	Tests   int      `json:"tests"`
}

// mappingList is a list with the state of all.
type mappingList struct {
	Items []mappingShape `json:"items"`
	Next  *string        `json:"next"` // there are few: it is always null
	mappingsState
}

func (s *Server) listMappings(c *gin.Context) error {
	if err := allowQuery(c); err != nil {
		return err
	}
	set, state := s.mappingsNow()
	tests := map[string]int{}
	if s.cfg.MappingTests != nil {
		tests = s.cfg.MappingTests()
	}
	list := mappingList{Items: []mappingShape{}, mappingsState: state}
	users := s.lookup().byMapping
	for _, name := range set.Names() {
		m := set.Get(name)
		shape := mappingShape{
			Name: m.Name, Title: m.Title, File: m.File, Shipped: m.ReadOnly, Strict: m.Strict, Auth: authKinds(m),
			Routes: []string{}, Events: nonNil(m.Events()), Sources: []string{}, Tests: max(tests[name], len(m.Tests())),
		}
		for _, r := range m.Routes() {
			shape.Routes = append(shape.Routes, r.Method+" "+r.Path)
		}
		for _, src := range users[name] {
			shape.Sources = append(shape.Sources, src.ID)
		}
		list.Items = append(list.Items, shape)
	}
	writeJSON(c, http.StatusOK, "application/json", list)
	return nil
}

func authKinds(m *mapping.Mapping) []string {
	var kinds []string
	for _, a := range m.Auth() {
		if !slices.Contains(kinds, a.Kind) {
			kinds = append(kinds, a.Kind)
		}
	}
	return kinds
}
