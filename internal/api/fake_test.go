package api

import (
	"context"
	"crypto/sha256"
	"sort"
	"strings"
	"sync"
	"time"

	"cibridge/bridge"
)

// memory keeps in maps what a store keeps in Redis. It applies events with the
// real state machine; it plans and sends nothing.
type memory struct {
	mu       sync.Mutex
	down     error // what every call answers, when set
	panics   bool
	snap     *Snapshot
	entries  []Entry
	requests []bridge.Request
	seen     map[string]seen
	runs     map[string]*bridge.Run
	order    []string
	touched  map[string]int
	letters  map[string]*DeliveryStatus
	attempts []bridge.Attempt
	stalls   bool // Commit waits for its context
	asked    DeliveryFilter
	how      RedeliverOptions
}

type seen struct {
	hash    [32]byte
	receipt Receipt
}

func newMemory() *memory {
	return &memory{
		snap: &Snapshot{Version: 1, Files: map[string]string{}}, seen: map[string]seen{}, runs: map[string]*bridge.Run{},
		touched: map[string]int{}, letters: map[string]*DeliveryStatus{},
	}
}

func (m *memory) Commit(ctx context.Context, sub Submission) (Receipt, error) {
	if m.stalls {
		<-ctx.Done()
		return Receipt{}, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.panics {
		panic("the fake panics")
	}
	if m.down != nil {
		return Receipt{}, m.down
	}
	r := Receipt{Event: sub.Request.ID, Outcome: sub.Outcome, Reason: sub.Reason}
	key, hash := sub.Request.Source+"|"+sub.Dedupe, sha256.Sum256(sub.Request.Body)
	if first, ok := m.seen[key]; ok && first.hash == hash && sub.Outcome != bridge.Rejected {
		r.DuplicateOf, r.FirstOutcome, r.Runs, r.Outcome = first.receipt.Event, first.receipt.Outcome, first.receipt.Runs, bridge.Duplicate
		m.record(sub, r)
		return r, nil
	}
	for _, ev := range sub.Events {
		if err := m.apply(ev, &r); err != nil {
			r.Outcome, r.Reason = bridge.Rejected, err.Error()
			m.record(sub, r)
			return Receipt{}, err
		}
	}
	if sub.Outcome != "" {
		r.Outcome = sub.Outcome
	}
	if sub.Remember {
		m.seen[key] = seen{hash, r}
	}
	m.record(sub, r)
	return r, nil
}

func (m *memory) apply(ev bridge.Event, r *Receipt) error {
	id := bridge.RunID(0, ev.Source, ev.RunKey)
	run := m.runs[id]
	if run == nil {
		run = bridge.NewRun(0, ev.Source, ev.RunKey, ev.Received)
	}
	change, err := run.Apply(ev)
	if err != nil {
		return err
	}
	if m.runs[id] == nil {
		m.runs[id] = run
		m.order = append(m.order, id)
	}
	r.Runs, r.Outcome, r.Reason = append(r.Runs, id), change.Outcome, change.Reason
	return nil
}

func (m *memory) record(sub Submission, r Receipt) {
	m.requests = append(m.requests, sub.Request)
	m.entries = append(m.entries, Entry{
		ID: sub.Request.ID, Source: sub.Request.Source, Mapping: sub.Request.Mapping, Received: sub.Request.Received,
		Method: sub.Request.Method, Path: sub.Request.Path, Outcome: r.Outcome, Reason: r.Reason, Code: sub.Code,
		Runs: r.Runs, DuplicateOf: r.DuplicateOf, Warnings: sub.Warnings, Bytes: len(sub.Request.Body),
	})
}

func (m *memory) Raw(_ context.Context, id string) (bridge.Request, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.requests {
		if r.ID == id {
			return r, nil
		}
	}
	return bridge.Request{}, bridge.Errorf(bridge.CodeNotFound, "there is no event %q", id)
}

func (m *memory) last() Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.entries) == 0 {
		return Entry{}
	}
	return m.entries[len(m.entries)-1]
}

func (m *memory) ledger() []Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Entry(nil), m.entries...)
}

func (m *memory) Snapshot() *Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snap
}

// edit makes a new snapshot, as the registry does on every change.
func (m *memory) edit(change func(s *Snapshot)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return m.down
	}
	old := m.snap
	s := &Snapshot{
		Version: old.Version + 1, Files: old.Files,
		Sources: append([]bridge.Source(nil), old.Sources...), Keys: append([]bridge.Key(nil), old.Keys...),
		Applications: append([]bridge.Application(nil), old.Applications...), Hooks: append([]bridge.Hook(nil), old.Hooks...),
	}
	change(s)
	m.snap = s
	return nil
}

func without[T any](list []T, id string, of func(T) string) []T {
	var out []T
	for _, x := range list {
		if of(x) != id {
			out = append(out, x)
		}
	}
	return out
}

func sourceIDOf(s bridge.Source) string   { return s.ID }
func keyID(k bridge.Key) string           { return k.ID }
func appID(a bridge.Application) string   { return a.ID }
func hookID(h bridge.Hook) string         { return h.ID }
func newest[T any](in []T, limit int) []T { return in[max(0, len(in)-limit):] }

func (m *memory) PutSource(_ context.Context, v bridge.Source) error {
	return m.edit(func(s *Snapshot) { s.Sources = append(without(s.Sources, v.ID, sourceIDOf), v) })
}
func (m *memory) DeleteSource(_ context.Context, id string) error {
	return m.edit(func(s *Snapshot) { s.Sources = without(s.Sources, id, sourceIDOf) })
}
func (m *memory) PutApplication(_ context.Context, v bridge.Application) error {
	return m.edit(func(s *Snapshot) { s.Applications = append(without(s.Applications, v.ID, appID), v) })
}
func (m *memory) DeleteApplication(_ context.Context, id string) error {
	return m.edit(func(s *Snapshot) { s.Applications = without(s.Applications, id, appID) })
}
func (m *memory) PutHook(_ context.Context, v bridge.Hook) error {
	return m.edit(func(s *Snapshot) { s.Hooks = append(without(s.Hooks, v.ID, hookID), v) })
}
func (m *memory) DeleteHook(_ context.Context, id string) error {
	return m.edit(func(s *Snapshot) { s.Hooks = without(s.Hooks, id, hookID) })
}
func (m *memory) PutKey(_ context.Context, v bridge.Key) error {
	return m.edit(func(s *Snapshot) { s.Keys = append(without(s.Keys, v.ID, keyID), v) })
}
func (m *memory) DeleteKey(_ context.Context, id string) error {
	return m.edit(func(s *Snapshot) { s.Keys = without(s.Keys, id, keyID) })
}
func (m *memory) TouchKey(_ context.Context, id string, _ time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.touched[id]++
	return nil
}
func (m *memory) KeysUsed(context.Context) (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int64{}
	for id := range m.touched {
		out[id] = 1700000000000
	}
	return out, nil
}

func (m *memory) Run(_ context.Context, id string) (*bridge.Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.runs[id]; r != nil {
		return r, nil
	}
	return nil, bridge.Errorf(bridge.CodeNotFound, "there is no run %q", id)
}

func (m *memory) Runs(_ context.Context, f RunFilter) ([]*bridge.Run, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*bridge.Run
	for _, id := range m.order {
		if r := m.runs[id]; f.Status == "" || r.Status() == f.Status {
			out = append(out, r)
		}
	}
	if len(out) > f.Limit {
		return newest(out, f.Limit), "more", nil
	}
	return out, "", nil
}

func (m *memory) Pipelines(context.Context, Page) ([]Pipeline, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Pipeline
	for _, id := range m.order {
		r := m.runs[id]
		out = append(out, Pipeline{ID: r.PipelineID(), Name: r.PipelineName(), Source: r.Source, LastRun: r.ID})
	}
	return out, "", nil
}

func (m *memory) Event(_ context.Context, id string) (Entry, error) {
	for _, e := range m.ledger() {
		if e.ID == id {
			return e, nil
		}
	}
	return Entry{}, bridge.Errorf(bridge.CodeNotFound, "there is no event %q", id)
}

func (m *memory) Events(_ context.Context, f EventFilter) ([]Entry, string, error) {
	var out []Entry
	for _, e := range m.ledger() {
		if (f.Outcome == "" || f.Outcome == e.Outcome) && (f.Run == "" || strings.Contains(strings.Join(e.Runs, " "), f.Run)) {
			out = append(out, e)
		}
	}
	return out, "", nil
}

func (m *memory) Delivery(_ context.Context, id string) (DeliveryStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.letters[id]; d != nil {
		return *d, nil
	}
	return DeliveryStatus{}, bridge.Errorf(bridge.CodeNotFound, "there is no delivery %q", id)
}

func (m *memory) Deliveries(_ context.Context, f DeliveryFilter) ([]DeliveryStatus, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []DeliveryStatus
	for _, d := range m.letters {
		if (f.State == "" || f.State == d.State) && (f.Run == "" || f.Run == d.Delivery.Run) {
			out = append(out, *d)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Delivery.ID < out[j].Delivery.ID })
	return out, "", nil
}

func (m *memory) Redeliver(_ context.Context, id string, force bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.letters[id]
	switch {
	case d == nil:
		return bridge.Errorf(bridge.CodeNotFound, "there is no delivery %q", id)
	case d.State == bridge.DeliverySuperseded && !force:
		return bridge.Errorf(bridge.CodeConflict, "a newer state was delivered")
	}
	d.State = bridge.DeliveryPending
	return nil
}

func (m *memory) RedeliverAll(ctx context.Context, f DeliveryFilter, how RedeliverOptions) ([]Redelivery, string, error) {
	list, _, err := m.Deliveries(ctx, f)
	m.asked, m.how = f, how
	var done []Redelivery
	for _, d := range list {
		done = append(done, Redelivery{ID: d.Delivery.ID, Outcome: "redelivered"})
	}
	return done, "more", err
}

func (m *memory) Attempt(_ context.Context, id string) (bridge.Attempt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.attempts {
		if a.ID == id {
			return a, nil
		}
	}
	return bridge.Attempt{}, bridge.Errorf(bridge.CodeNotFound, "there is no request %q", id)
}

func (m *memory) HookAttempts(_ context.Context, hook string, offset, limit int) ([]bridge.Attempt, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []bridge.Attempt
	for _, a := range m.attempts {
		if a.Hook == hook {
			out = append(out, a)
		}
	}
	total := len(out)
	return out[min(offset, total):min(offset+limit, total)], total, nil
}

func (m *memory) DeliveryAttempts(_ context.Context, id string) ([]bridge.Attempt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []bridge.Attempt
	for _, a := range m.attempts {
		if a.Delivery == id {
			out = append(out, a)
		}
	}
	return out, nil
}
