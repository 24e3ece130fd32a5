package hook

import (
	"cmp"
	"strings"

	"cibridge/bridge"
)

// claim is how well an application covers a run. Applications are compared by
// it, member by member: the most specific repository wins, then the pipeline,
// and so on.
type claim [4]int

func (c claim) compare(d claim) int {
	for i := range c {
		if n := cmp.Compare(c[i], d[i]); n != 0 {
			return n
		}
	}
	return 0
}

// exact is more specific than any pattern.
const exact = 1 << 20

// criterion is one of the lists of an application, and what a run has to
// offer for it.
type criterion struct {
	patterns []string
	have     []string // spellings, the most specific first; none: not known yet
	missing  string   // what to wait for
}

// specificity returns how specifically list covers one of the spellings: -1
// when it does not, 0 for a list that covers everything.
func specificity(list, have []string) int {
	if len(list) == 0 {
		return 0
	}
	best := -1
	for _, pattern := range list {
		if pattern == "*" {
			best = max(best, 0)
			continue
		}
		for i, h := range have {
			switch {
			case strings.EqualFold(pattern, h):
				best = max(best, exact+len(have)-i)
			case strings.Contains(pattern, "*") && matchStars(strings.ToLower(pattern), strings.ToLower(h)):
				best = max(best, 1+len(pattern))
			}
		}
	}
	return best
}

// potential is the specificity that list may turn out to have once the run's
// value is known.
func potential(list []string) int {
	best := -1
	for _, pattern := range list {
		switch {
		case pattern == "*":
			best = max(best, 0)
		case strings.Contains(pattern, "*"):
			best = max(best, 1+len(pattern))
		default:
			best = max(best, exact+1)
		}
	}
	if len(list) == 0 {
		return 0
	}
	return best
}

// matchStars matches s against a pattern in which * is any text without "/"
// at its end, or any text elsewhere.
func matchStars(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for i, part := range parts[1:] {
		if i == len(parts)-2 {
			return strings.HasSuffix(s, part)
		}
		at := strings.Index(s, part)
		if at < 0 {
			return false
		}
		s = s[at+len(part):]
	}
	return s == ""
}

// criteria lists what an application asks of run, the weightiest first.
func criteria(a *bridge.Application, run *bridge.Run) [4]criterion {
	field := func(name string) string {
		v, _ := run.Field(name)
		s, _ := v.(string)
		return s
	}
	repo := criterion{a.Repositories, nil, "repo.full_name"}
	if full := field("repo.full_name"); full != "" {
		if host := field("repo.host"); host != "" {
			repo.have = append(repo.have, host+"/"+full)
		}
		repo.have = append(repo.have, full)
	}
	pipeline := criterion{a.Pipelines, nil, "pipeline.id"}
	if name := run.PipelineName(); name != "" {
		pipeline.have = []string{run.PipelineID(), name}
	}
	component := criterion{a.Components, nil, "component"}
	if c := field("component"); c != "" {
		component.have = []string{c}
	}
	return [4]criterion{repo, pipeline, component, {a.Sources, []string{run.Source}, ""}}
}

// cover says whether a covers run: no, yes, or not known while missing is not
// "". c is then what the claim may become.
func cover(a *bridge.Application, run *bridge.Run) (c claim, missing string, ok bool) {
	for i, cr := range criteria(a, run) {
		s := specificity(cr.patterns, cr.have)
		if len(cr.have) == 0 {
			if p := potential(cr.patterns); p > s {
				s, missing = p, cmp.Or(missing, cr.missing)
			}
		}
		if s < 0 {
			return claim{}, "", false
		}
		c[i] = s
	}
	return c, missing, true
}

// application returns the application that covers run most specifically, or
// what has to be known first: a more specific one may still turn out to cover
// it, and a run never uses the token of the wrong one.
func (s *Set) application(run *bridge.Run) (app *bridge.Application, missing string) {
	var best, hope claim
	for i := range s.applications {
		a := &s.applications[i]
		c, unknown, ok := cover(a, run)
		switch {
		case !ok:
		case unknown == "":
			if app == nil || c.compare(best) > 0 {
				app, best = a, c
			}
		case missing == "" || c.compare(hope) > 0:
			missing, hope = unknown, c
		}
	}
	if app != nil && (missing == "" || hope.compare(best) <= 0) {
		return app, ""
	}
	if missing != "" {
		return nil, missing
	}
	name, _ := run.Field("repo.full_name")
	if repo, _ := name.(string); repo != "" {
		return nil, "an application for " + repo
	}
	return nil, "an application for " + cmp.Or(run.PipelineName(), run.Source)
}
