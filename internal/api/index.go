package api

import (
	"cmp"
	"slices"

	"cibridge/bridge"
)

// index finds things of one snapshot by id. Nobody changes it after it was
// built.
type index struct {
	of           *Snapshot
	sources      map[string]bridge.Source
	byMapping    map[string][]bridge.Source // sorted by id
	keys         map[string]bridge.Key
	applications map[string]bridge.Application
	hooks        map[string]bridge.Hook
}

// lookup returns the index of the registry's newest snapshot. It is built once
// for each snapshot; two requests may both build it, which is harmless.
func (s *Server) lookup() *index {
	snap := s.cfg.Registry.Snapshot()
	if ix := s.index.Load(); ix != nil && ix.of == snap {
		return ix
	}
	ix := &index{
		of:      snap,
		sources: map[string]bridge.Source{}, byMapping: map[string][]bridge.Source{},
		keys: map[string]bridge.Key{}, applications: map[string]bridge.Application{}, hooks: map[string]bridge.Hook{},
	}
	for _, src := range snap.Sources {
		ix.sources[src.ID] = src
		ix.byMapping[src.Mapping] = append(ix.byMapping[src.Mapping], src)
	}
	for _, list := range ix.byMapping {
		slices.SortFunc(list, func(a, b bridge.Source) int { return cmp.Compare(a.ID, b.ID) })
	}
	for _, k := range snap.Keys {
		ix.keys[k.ID] = k
	}
	for _, a := range snap.Applications {
		ix.applications[a.ID] = a
	}
	for _, h := range snap.Hooks {
		ix.hooks[h.ID] = h
	}
	s.index.Store(ix)
	return ix
}

// readOnly refuses to change what comes from a file.
func (ix *index) readOnly(what, id string, is bool) *problem {
	if !is {
		return nil
	}
	if file := ix.of.Files[id]; file != "" {
		return problemf(codeForbidden, "%s %q comes from %s and cannot be changed here: change the file", what, id, file)
	}
	return problemf(codeForbidden, "%s %q ships with cibridge or comes from a file and cannot be changed here", what, id)
}
