package hook

import (
	"cmp"
	"slices"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/provider"
)

// Set is all hooks and applications of one moment. It is immutable and safe
// for concurrent use.
type Set struct {
	profiles     *provider.Profiles
	applications []bridge.Application // oldest first
	byID         map[string]*Hook
	any          []*Hook            // of every pipeline
	byPipeline   map[string][]*Hook // by short id
}

// NewSet compiles hooks. One that does not compile is left out, with its
// problems: their Path begins with the id of the hook. The set is usable in
// any case.
func NewSet(hooks []bridge.Hook, applications []bridge.Application, profiles *provider.Profiles) (*Set, diag.Problems) {
	s := &Set{profiles: profiles, applications: slices.Clone(applications), byID: map[string]*Hook{}, byPipeline: map[string][]*Hook{}}
	slices.SortFunc(s.applications, func(a, b bridge.Application) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	var problems diag.Problems
	for _, def := range hooks {
		h, ps := Compile(def, profiles)
		for _, p := range ps {
			p.Path = def.ID + ": " + p.Path
			problems = append(problems, p)
		}
		if h == nil {
			continue
		}
		s.byID[def.ID] = h
		switch {
		case def.Pipeline == AnyPipeline:
			s.any = append(s.any, h)
		case shortID.MatchString(def.Pipeline):
			s.byPipeline[def.Pipeline] = append(s.byPipeline[def.Pipeline], h)
		default:
			id := bridge.PipelineID(def.Pipeline)
			s.byPipeline[id] = append(s.byPipeline[id], h)
		}
	}
	return s, problems
}

// listens returns the trigger of h that f fires; ok is false when h does not
// wait for f, is switched off, or is younger than f.
func (h *Hook) listens(f bridge.Firing) (t bridge.Trigger, ok bool) {
	if !h.def.Active || h.def.CreatedAt > f.At {
		return "", false
	}
	for _, t := range bridge.TriggersOf(f.Status) {
		if slices.Contains(h.def.TriggerWhen.Events, t) {
			return t, true
		}
	}
	return "", false
}

// anyListens reports whether a hook of one pipeline, whichever, waits for f.
func (s *Set) anyListens(f bridge.Firing) bool {
	for _, hooks := range s.byPipeline {
		for _, h := range hooks {
			if _, ok := h.listens(f); ok {
				return true
			}
		}
	}
	return false
}
