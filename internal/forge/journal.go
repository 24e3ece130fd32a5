package forge

import (
	"fmt"
	"slices"
	"strings"
)

// journal keeps the last requests in a ring.
type journal struct {
	max     int
	ring    []Request
	next    int // where the oldest is once the ring is full
	dropped int64
}

func (j *journal) add(r Request) {
	if len(j.ring) < j.max {
		j.ring = append(j.ring, r)
		return
	}
	j.ring[j.next] = r
	j.next = (j.next + 1) % j.max
	j.dropped++
}

func (j *journal) all() []Request {
	return append(slices.Clone(j.ring[j.next:]), j.ring[:j.next]...)
}

type commitKey struct{ provider, repo, sha string }

// commit has the statuses of one commit.
type commit struct {
	commitKey
	d         *dialect
	entries   []Entry
	pipelines int64 // GitLab's, besides the first
}

// fold returns what two contexts are compared by.
func (c *commit) fold(context string) string {
	if c.d.foldContext {
		return strings.ToLower(context)
	}
	return context
}

// shownStatus is one line of a commit as a person sees it: its newest entry,
// and all that came before, which include the newest.
type shownStatus struct {
	Entry
	history []Entry
}

// shown returns the newest entry of each context, in the order in which the
// contexts came. At a provider that keeps them apart by user, ref and pipeline the second
// status of one name is called "name (2)".
func (c *commit) shown() []shownStatus {
	var out []shownStatus
	at := map[string]int{}    // index in out
	named := map[string]int{} // how many have the name
	var labels []string
	for _, e := range c.entries {
		name := c.fold(e.Context)
		key := name
		if c.d.perUser {
			key = strings.Join([]string{name, e.Ref, e.user, e.pipeline}, "\x00")
		}
		i, known := at[key]
		if !known {
			i = len(out)
			at[key] = i
			named[name]++
			label := ""
			if n := named[name]; n > 1 {
				label = fmt.Sprintf(" (%d)", n)
			}
			labels = append(labels, label)
			out = append(out, shownStatus{})
		}
		out[i].Entry = e
		out[i].Context += labels[i]
		out[i].history = append(out[i].history, e)
	}
	return out
}

// last returns the sequence of the newest entry, 0 when there is none.
func (c *commit) last() int64 {
	if len(c.entries) == 0 {
		return 0
	}
	return c.entries[len(c.entries)-1].Sequence
}

// of returns the entries of one context.
func (c *commit) of(context string) []Entry {
	var out []Entry
	for _, e := range c.entries {
		if c.fold(e.Context) == c.fold(context) {
			out = append(out, e)
		}
	}
	return out
}

// commits keeps the commits up to a number of statuses; the commits that came
// first are dropped whole.
type commits struct {
	max     int
	count   int
	dropped int64
	byKey   map[commitKey]*commit
	order   []*commit
}

func keyOf(provider, repo, sha string) commitKey {
	return commitKey{provider, strings.ToLower(repo), strings.ToLower(sha)}
}

func (cs *commits) get(provider, repo, sha string) *commit {
	return cs.byKey[keyOf(provider, repo, sha)]
}

// at returns the commit, which is made when it is new.
func (cs *commits) at(d *dialect, p post) *commit {
	key := keyOf(p.provider, p.repo, p.sha)
	c := cs.byKey[key]
	if c == nil {
		c = &commit{commitKey: commitKey{p.provider, p.repo, p.sha}, d: d}
		cs.byKey[key] = c
		cs.order = append(cs.order, c)
	}
	return c
}

func (cs *commits) add(c *commit, e Entry) {
	c.entries = append(c.entries, e)
	cs.count++
	for cs.count > cs.max && len(cs.order) > 1 {
		old := cs.order[0]
		if old == c {
			break
		}
		cs.order = cs.order[1:]
		delete(cs.byKey, keyOf(old.provider, old.repo, old.sha))
		cs.count -= len(old.entries)
		cs.dropped += int64(len(old.entries))
	}
}

// byLastWrite returns all commits, the one that was written last first.
func (cs *commits) byLastWrite() []*commit {
	list := slices.Clone(cs.order)
	slices.SortStableFunc(list, func(a, b *commit) int {
		return int(b.last() - a.last())
	})
	return list
}
