package bridge

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
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

// cells joins fields: the greatest stamp wins.
type cells map[string]cell

func (c cells) join(name string, in cell) {
	if old, ok := c[name]; !ok || in.compare(old.stamp) > 0 {
		c[name] = in
	}
}

// UnmarshalJSON reads [value, at, by, attempt]; whole numbers come back as
// int64.
func (c *cell) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if len(raw) < 3 {
		return fmt.Errorf("a field needs value, time and event, found %d parts", len(raw))
	}
	var err error
	if c.value, err = decodeValue(raw[0]); err != nil {
		return err
	}
	targets := []any{&c.at, &c.by, &c.attempt}
	for i, r := range raw[1:] {
		if err := json.Unmarshal(r, targets[i]); err != nil {
			return err
		}
	}
	return nil
}

func decodeValue(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return wholeNumbers(v), nil
}

func wholeNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		for i := range v {
			v[i] = wholeNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = wholeNumbers(v[k])
		}
	}
	return v
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
	return cmp.Or(rank, at, cmp.Compare(statusFacts[h.status].severity, statusFacts[o.status].severity), cmp.Compare(h.by, o.by),
		cmp.Compare(h.status, o.status), cmp.Compare(h.finished, o.finished), cmp.Compare(h.duration, o.duration))
}

// UnmarshalJSON reads [status, at, by, finished, duration].
func (h *head) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&h.status, &h.at, &h.by, &h.finished, &h.duration})
}

// heads keeps the maximum under both orders, because an event that declares
// order: time may be the last to arrive.
type heads struct {
	ByRank head `json:"r,omitzero"`
	ByTime head `json:"t,omitzero"`
}

// complete takes the head by rank for that by time where none was written.
func (h *heads) complete() {
	if h.ByTime.none() {
		h.ByTime = h.ByRank
	}
}

func completeItems(lists map[string]itemSet) {
	for _, set := range lists {
		for _, i := range set {
			i.Heads.complete()
			completeItems(i.Lists)
		}
	}
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
	Attempt int64              `json:"n,omitempty"`
	Heads   heads              `json:"h,omitzero"`
	Started int64              `json:"s,omitempty"`
	Cells   cells              `json:"c,omitempty"`
	Lists   map[string]itemSet `json:"l,omitempty"`
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
			old = &item{Attempt: it.Attempt, Cells: cells{}}
			set[it.Key] = old
		}
		if it.Attempt == old.Attempt {
			old.join(it, st)
		}
	}
	keepSmallest(set, maxItems)
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
	out := &item{Attempt: i.Attempt, Heads: i.Heads, Started: earliest(i.Started, o.Started), Cells: maps.Clone(i.Cells), Lists: maps.Clone(i.Lists)}
	out.Heads.join(o.Heads.ByRank)
	out.Heads.join(o.Heads.ByTime)
	for name, c := range o.Cells {
		if out.Cells == nil {
			out.Cells = cells{}
		}
		out.Cells.join(name, c)
	}
	for name, set := range o.Lists {
		if out.Lists == nil {
			out.Lists = map[string]itemSet{}
		}
		out.Lists[name] = merged(out.Lists[name], set)
	}
	return out
}

// keepSmallest drops the greatest keys beyond limit: what is kept depends on
// the keys alone, never on who came first.
func keepSmallest[V any, M ~map[string]V](m M, limit int) {
	if len(m) <= limit {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m))[limit:] {
		delete(m, key)
	}
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
