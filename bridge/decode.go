package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// state is how a run is written: short names, since millions are kept.
type state struct {
	Source   string                            `json:"src"`
	Key      string                            `json:"key"`
	Created  int64                             `json:"ca"`
	Updated  int64                             `json:"ua"`
	Order    Order                             `json:"o"`
	Fields   map[string]writtenCell            `json:"f"`
	Maps     map[string]map[string]writtenCell `json:"m"`
	Requires []string                          `json:"q"`
	Attempts map[int64]writtenPart             `json:"a"`
	Once     map[string]string                 `json:"1"`
	Fired    Firing                            `json:"fi"`
	Since    map[int64]int64                   `json:"si"`
	Parked   []Parked                          `json:"pa"`
	Skips    []Skip                            `json:"sk"`
	Stamps   []stamp                           `json:"st"`
}

// writtenCell is a value and which stamp it has.
type writtenCell struct {
	value any
	stamp int
}

// writtenPart is an attempt or an item.
type writtenPart struct {
	Attempt int64 `json:"n"`
	Heads   struct {
		ByRank writtenHead  `json:"r"`
		ByTime *writtenHead `json:"t"` // absent when it is the one by rank
	} `json:"h"`
	Started int64                             `json:"s"`
	Cells   map[string]writtenCell            `json:"c"`
	Lists   map[string]map[string]writtenPart `json:"l"`
}

type writtenHead struct {
	head
	stamp int
}

// UnmarshalRun reads what MarshalState wrote.
func UnmarshalRun(partition int, version int64, data []byte) (*Run, error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read run: %w", err)
	}
	r := NewRun(partition, s.Source, s.Key, s.Created)
	r.Version, r.UpdatedAt, r.order, r.requires, r.fired, r.Parked, r.Skips = version, s.Updated, s.Order, s.Requires, s.Fired, s.Parked, s.Skips
	in := stamps{list: s.Stamps}
	r.fields = in.cells(s.Fields)
	for name, c := range s.Maps {
		r.maps[name] = in.cells(c)
	}
	for n, w := range s.Attempts {
		r.attempts[n] = &attempt{Heads: in.heads(w), Started: w.Started, Cells: in.cells(w.Cells), Lists: in.lists(w.Lists)}
	}
	maps.Copy(r.once, s.Once)
	maps.Copy(r.since, s.Since)
	if in.missing {
		return nil, fmt.Errorf("read run: it has %d stamps and refers to others", len(s.Stamps))
	}
	return r, nil
}

// stamps gives what was written its stamps back.
type stamps struct {
	list    []stamp
	missing bool
}

func (s *stamps) at(i int) stamp {
	if i < 0 || i >= len(s.list) {
		s.missing = true
		return stamp{}
	}
	return s.list[i]
}

func (s *stamps) cells(in map[string]writtenCell) cells {
	out := make(cells, 0, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		out = append(out, namedCell{name, cell{in[name].value, s.at(in[name].stamp)}})
	}
	return out
}

func (s *stamps) head(w writtenHead) head {
	if w.none() {
		return head{}
	}
	st := s.at(w.stamp)
	w.at, w.by = st.at, st.by
	return w.head
}

func (s *stamps) heads(w writtenPart) heads {
	h := heads{ByRank: s.head(w.Heads.ByRank)}
	h.ByTime = h.ByRank
	if w.Heads.ByTime != nil {
		h.ByTime = s.head(*w.Heads.ByTime)
	}
	return h
}

func (s *stamps) lists(in map[string]map[string]writtenPart) map[string]itemSet {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]itemSet, len(in))
	for name, set := range in {
		out[name] = make(itemSet, len(set))
		for key, w := range set {
			out[name][key] = &item{Attempt: w.Attempt, Heads: s.heads(w), Started: w.Started, Cells: s.cells(w.Cells), Lists: s.lists(w.Lists)}
		}
	}
	return out
}

// UnmarshalJSON reads [attempt, at, by].
func (a *stamp) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&a.attempt, &a.at, &a.by})
}

// UnmarshalJSON reads [status, finished, duration, stamp].
func (h *writtenHead) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&h.status, &h.finished, &h.duration, &h.stamp})
}

// UnmarshalJSON reads [value, stamp]; whole numbers come back as int64.
func (c *writtenCell) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	if len(raw) != 2 {
		return fmt.Errorf("a field needs a value and a stamp, found %d parts", len(raw))
	}
	var err error
	if c.value, err = decodeValue(raw[0]); err != nil {
		return err
	}
	return json.Unmarshal(raw[1], &c.stamp)
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
