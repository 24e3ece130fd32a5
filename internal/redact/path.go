package redact

import (
	"errors"
	"fmt"
	"strings"
)

// A Path names places in a JSON document whose values are secret:
// "build.parameters" (everything in it), "object_attributes.variables.#.value"
// (of each item). A step is the name of a member; # is every item of a list
// and * every member or item. A backslash makes the next character a part of
// the name.
type Path struct {
	steps []step
}

type step struct {
	name string
	any  bool // every item or member
}

const maxSteps = 16

// ParsePath reads a path as it is written in a mapping.
func ParsePath(text string) (Path, error) {
	if strings.TrimSpace(text) == "" {
		return Path{}, errors.New("the path is empty")
	}
	var p Path
	var name strings.Builder
	escaped, written := false, false
	end := func() error {
		if name.Len() == 0 {
			return errors.New("a name is missing between two dots, or at an end")
		}
		s := step{name: name.String()}
		s.any = !written && (s.name == "#" || s.name == "*")
		p.steps = append(p.steps, s)
		name.Reset()
		written = false
		return nil
	}
	for _, c := range text {
		switch {
		case escaped:
			name.WriteRune(c)
			escaped, written = false, true
		case c == '\\':
			escaped = true
		case c == '.':
			if err := end(); err != nil {
				return Path{}, err
			}
		case strings.ContainsRune("|()[]{}@!=?", c) || c < ' ':
			return Path{}, fmt.Errorf("%q is no part of such a path: it has names, # for every item and * for every member", c)
		default:
			name.WriteRune(c)
		}
	}
	if err := end(); err != nil {
		return Path{}, err
	}
	if len(p.steps) > maxSteps {
		return Path{}, fmt.Errorf("the path has %d steps; at most %d are allowed", len(p.steps), maxSteps)
	}
	return p, nil
}

// trail is where in a document a set of paths has got to: each entry is a
// path and how many of its steps were taken.
type trail []reached

type reached struct{ path, steps int }

// into returns the trail inside of a member or item, and whether one of the
// paths ends there.
func (t trail) into(paths []Path, name string, item bool) (inner trail, ends bool) {
	for _, at := range t {
		steps := paths[at.path].steps
		if s := steps[at.steps]; !s.any && (item || s.name != name) || s.any && s.name == "#" && !item {
			continue
		}
		if at.steps+1 == len(steps) {
			return nil, true
		}
		inner = append(inner, reached{at.path, at.steps + 1})
	}
	return inner, false
}
