package bridge

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// Everything in this file is a join: commutative, associative and idempotent.
// That is why events may come in any order and any number of times.

// maxItems and maxEntries bound what one run keeps of a list or a map. Beyond
// them the smallest keys are kept, whatever the order of arrival.
const (
	maxItems   = 1000
	maxEntries = 500
)

// stamp orders two values of one field. by is a hash of the event's id: it
// decides between equal times without knowing who arrived first.
type stamp struct {
	attempt int64
	at      int64
	by      uint64
}

func (a stamp) compare(b stamp) int {
	return cmp.Or(cmp.Compare(a.attempt, b.attempt), cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by))
}

func eventHash(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
}

// cell is the last written value of a field.
type cell struct {
	value any
	stamp
}

// cells joins fields: the greatest stamp wins. They are sorted by name, because
// a run is written at every event and has few of them: sorting the keys of a
// map each time took longer than all the rest of writing it.
type cells []namedCell

type namedCell struct {
	name string
	cell
}

func (c cells) find(name string) (int, bool) {
	return slices.BinarySearchFunc(c, name, func(have namedCell, want string) int { return strings.Compare(have.name, want) })
}

func (c cells) get(name string) (cell, bool) {
	if i, ok := c.find(name); ok {
		return c[i].cell, true
	}
	return cell{}, false
}

func (c *cells) join(name string, in cell) {
	i, ok := c.find(name)
	switch {
	case !ok:
		*c = slices.Insert(*c, i, namedCell{name, in})
	case in.compare((*c)[i].stamp) > 0:
		(*c)[i].cell = in
	}
}

// head is a status with its position among others of the same attempt.
type head struct {
	status   Status
	at       int64
	by       uint64
	finished int64 // epoch ms, 0 while not terminal
	duration int64 // ms, -1 when not known
}

func (h head) none() bool { return h.status == "" }

// stale reports whether h is the end that [Run.CloseStale] made: no event has
// the hash 0.
func (h head) stale() bool { return h.by == 0 && h.status == Errored }

// severity decides between ends of one time. One that was made up loses.
func (h head) severity() int {
	if h.stale() {
		return -1
	}
	return statusFacts[h.status].severity
}

// compare orders two heads. Severity decides between terminals of one time:
// a failure is never hidden by a success of the same second.
func (h head) compare(o head, order Order) int {
	if h.none() || o.none() {
		return cmp.Compare(len(h.status), len(o.status))
	}
	rank, at := cmp.Compare(h.status.rank(), o.status.rank()), cmp.Compare(h.at, o.at)
	if order == ByTime {
		rank, at = at, rank
	}
	return cmp.Or(rank, at, cmp.Compare(h.severity(), o.severity()), cmp.Compare(h.by, o.by),
		cmp.Compare(h.status, o.status), cmp.Compare(h.finished, o.finished), cmp.Compare(h.duration, o.duration))
}

// heads keeps the maximum under both orders, because an event that declares
// order: time may be the last to arrive.
type heads struct {
	ByRank head
	ByTime head
}

func (h *heads) join(in head) {
	if in.none() {
		return
	}
	if in.compare(h.ByRank, ByRank) > 0 {
		h.ByRank = in
	}
	if in.compare(h.ByTime, ByTime) > 0 {
		h.ByTime = in
	}
}

func (h heads) under(order Order) head {
	if order == ByTime {
		return h.ByTime
	}
	return h.ByRank
}

// item joins the events of one list entry. The greater attempt wins as a whole.
type item struct {
	Attempt int64
	Heads   heads
	Started int64
	Cells   cells
	Lists   map[string]itemSet
}

type itemSet map[string]*item

// joinItems joins what an event says of a list into set.
func joinItems(set itemSet, in []Item, st stamp) {
	for _, it := range in {
		if it.Key == "" {
			continue
		}
		old, ok := set[it.Key]
		if !ok || it.Attempt > old.Attempt {
			old = &item{Attempt: it.Attempt, Cells: make(cells, 0, len(it.Fields))}
			set[it.Key] = old
		}
		if it.Attempt == old.Attempt {
			old.join(it, st)
		}
	}
	if len(set) > maxItems {
		for _, key := range slices.Sorted(maps.Keys(set))[maxItems:] {
			delete(set, key)
		}
	}
}

func (i *item) join(in Item, st stamp) {
	st.attempt = 0
	i.Heads.join(headOf(in.Fields, st))
	i.Started = earliest(i.Started, millis(in.Fields["started_at"]))
	for name, v := range in.Fields {
		if v != nil && !positioned[name] {
			i.Cells.join(name, cell{v, st})
		}
	}
	for name, sub := range in.Lists {
		if i.Lists == nil {
			i.Lists = map[string]itemSet{}
		}
		if i.Lists[name] == nil {
			i.Lists[name] = itemSet{}
		}
		joinItems(i.Lists[name], sub, st)
	}
}

// positioned fields are not cells: they follow the status, or are a minimum.
var positioned = map[string]bool{"status": true, "started_at": true, "finished_at": true, "duration_ms": true}

// headOf makes a head of an item's status fields, or none when they have no
// known status.
func headOf(fields map[string]any, st stamp) head {
	status := Status(text(fields["status"]))
	if status.rank() == 0 {
		return head{}
	}
	return newHead(status, st, fields)
}

func newHead(status Status, st stamp, fields map[string]any) head {
	h := head{status: status, at: st.at, by: st.by, duration: -1}
	if status.Terminal() {
		h.finished = millis(fields["finished_at"])
		if d, ok := fields["duration_ms"].(int64); ok {
			h.duration = d
		}
	}
	return h
}

// merged returns the join of two item sets without changing either.
func merged(a, b itemSet) itemSet {
	if len(b) == 0 {
		return a
	}
	out := maps.Clone(a)
	if out == nil {
		out = itemSet{}
	}
	for key, in := range b {
		old, ok := out[key]
		switch {
		case !ok || in.Attempt > old.Attempt:
			out[key] = in
		case in.Attempt == old.Attempt:
			out[key] = old.merge(in)
		}
	}
	return out
}

func (i *item) merge(o *item) *item {
	out := &item{Attempt: i.Attempt, Heads: i.Heads, Started: earliest(i.Started, o.Started), Cells: slices.Clone(i.Cells), Lists: maps.Clone(i.Lists)}
	out.Heads.join(o.Heads.ByRank)
	out.Heads.join(o.Heads.ByTime)
	for _, c := range o.Cells {
		out.Cells.join(c.name, c.cell)
	}
	for name, set := range o.Lists {
		if out.Lists == nil {
			out.Lists = map[string]itemSet{}
		}
		out.Lists[name] = merged(out.Lists[name], set)
	}
	return out
}

func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func millis(v any) int64 {
	n, _ := v.(int64)
	return n
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case Status:
		return string(v)
	}
	return fmt.Sprint(v)
}
