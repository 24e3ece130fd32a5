package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func ev(name string, status Status, at int64, fields map[string]any) Event {
	return Event{ID: fmt.Sprintf("%s-%s-%d", name, status, at), Source: "s", Name: name, RunKey: "1", Attempt: 1, At: at, Received: 5000, Status: status, Fields: fields}
}

func newRun() *Run { return NewRun(3, "s", "1", 1000) }

// play applies events in order and returns the run with what fired.
func play(t interface{ Fatal(...any) }, events []Event) (*Run, []Firing) {
	r := newRun()
	var fired []Firing
	for _, e := range events {
		c, err := r.Apply(e)
		if err != nil {
			t.Fatal(err)
		}
		r.Version++
		if c.Firing != nil {
			fired = append(fired, *c.Firing)
		}
	}
	return r, fired
}

// shape is everything a run shows, and what it would be written as without
// what depends on when it was told.
func shape(r *Run) string {
	v, _ := json.Marshal(r.View())
	c := *r
	c.fired.Version, c.fired.At, c.since = 0, 0, nil
	s, err := c.MarshalState()
	if err != nil {
		panic(err)
	}
	return string(v) + "\n" + string(s)
}

func words(fired []Firing) []Status {
	var out []Status
	for _, f := range fired {
		out = append(out, f.Status)
	}
	return out
}

func TestTriggersFollowTheHead(t *testing.T) {
	queued, running, done := ev("q", Queued, 10, nil), ev("r", Running, 20, nil), ev("d", Succeeded, 30, nil)
	for _, tc := range []struct {
		name string
		in   []Event
		want []Status
	}{
		{"in order", []Event{queued, running, done}, []Status{Queued, Running, Succeeded}},
		{"end first", []Event{done, running, queued}, []Status{Succeeded}},
		{"start last", []Event{queued, done, running}, []Status{Queued, Succeeded}},
		{"doubled", []Event{queued, queued, running, running, done, done}, []Status{Queued, Running, Succeeded}},
		{"a later failure", []Event{done, ev("d", Failed, 31, nil)}, []Status{Succeeded, Failed}},
		{"an older failure", []Event{done, ev("d", Failed, 29, nil)}, []Status{Succeeded}},
		{"a failure of the same time", []Event{done, ev("d", Failed, 30, nil)}, []Status{Succeeded, Failed}},
		{"waiting fires as a change", []Event{running, ev("w", Waiting, 25, nil), ev("r2", Running, 26, nil)}, []Status{Running, Waiting, Running}},
		{"nothing known", []Event{ev("x", "", 10, nil), ev("y", Unknown, 11, nil)}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, fired := play(t, tc.in)
			if got := words(fired); !slices.Equal(got, tc.want) {
				t.Errorf("fired %v, want %v", got, tc.want)
			}
		})
	}
}

func TestLateAndDuplicateAreNamed(t *testing.T) {
	r := newRun()
	done, start := ev("d", Succeeded, 30, nil), ev("r", Running, 20, map[string]any{"started_at": int64(20)})
	for _, step := range []struct {
		ev   Event
		want Outcome
	}{{done, Applied}, {start, Late}, {done, Duplicate}} {
		c, err := r.Apply(step.ev)
		if err != nil || c.Outcome != step.want {
			t.Errorf("%s: outcome %q (%v), want %q", step.ev.Name, c.Outcome, err, step.want)
		}
	}
	if got, _ := r.Field("started_at"); got != int64(20) {
		t.Errorf("a late start must still fill started_at: %v", got)
	}
	if got, _ := r.Field("duration_ms"); got == int64(10) {
		t.Errorf("a duration needs a finish time, got %v", got)
	}
}

func TestRerunOpensTheRunAgain(t *testing.T) {
	second := func(e Event) Event { e.Attempt = 2; e.ID += "#2"; return e }
	first := ev("d", Failed, 30, map[string]any{"commit.sha": "aa", "title": "old", "finished_at": int64(30)})
	first.Lists = map[string][]Item{"stages": {{Key: "build", Fields: map[string]any{"name": "build", "status": "failed"}}}}
	again := second(ev("r", Running, 40, map[string]any{"started_at": int64(40)}))
	r, fired := play(t, []Event{first, again, first})
	if got := words(fired); !slices.Equal(got, []Status{Failed, Running}) {
		t.Fatalf("fired %v", got)
	}
	v := r.View()
	if v["attempt"] != int64(2) || v["status"] != "running" || v["title"] != nil || v["finished_at"] != nil || len(v["stages"].([]any)) != 0 {
		t.Errorf("a re-run shows the old attempt: %v", v)
	}
	if sha, _ := r.Field("commit.sha"); sha != "aa" {
		t.Errorf("a re-run inherits the commit, got %v", sha)
	}
}

func TestOrderByTimeReopens(t *testing.T) {
	byTime := func(e Event) Event { e.Order = ByTime; return e }
	events := []Event{byTime(ev("d", Failed, 30, nil)), byTime(ev("r", Running, 40, nil))}
	for _, in := range [][]Event{events, {events[1], events[0]}} {
		if r, _ := play(t, in); r.Status() != Running {
			t.Errorf("status %s, want running", r.Status())
		}
	}
	if r, _ := play(t, []Event{ev("d", Failed, 30, nil), ev("r", Running, 40, nil)}); r.Status() != Failed {
		t.Errorf("by rank: status %s, want failed", r.Status())
	}
}

func TestIncompleteBecomesSucceeded(t *testing.T) {
	end := ev("end", Succeeded, 30, nil)
	end.Requires = []string{"artifact.helm", "commit.sha|commit.tag"}
	result := ev("result", "", 20, map[string]any{"commit.tag": "v1"})
	result.Lists = map[string][]Item{"artifacts": {{Key: "h", Fields: map[string]any{"kind": "helm"}}}}
	r, fired := play(t, []Event{end, result})
	if got := words(fired); !slices.Equal(got, []Status{Incomplete, Succeeded}) {
		t.Errorf("fired %v", got)
	}
	if r.Incomplete() != nil {
		t.Errorf("missing %v", r.Incomplete())
	}
	r, _ = play(t, []Event{end})
	if got := r.View()["summary"]; got != "Succeeded, but artifact.helm and commit.sha|commit.tag are missing" {
		t.Errorf("summary %q", got)
	}
}

func TestOnceRefusesADifferentSecond(t *testing.T) {
	start := ev("start", Running, 10, map[string]any{"version": "1"})
	start.Once = "a"
	r, _ := play(t, []Event{start})
	before := shape(r)
	other := start
	other.ID, other.Once, other.Fields = "other", "b", map[string]any{"version": "2"}
	_, err := r.Apply(other)
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeConflict {
		t.Fatalf("got %v, want a conflict", err)
	}
	if shape(r) != before {
		t.Error("a refused event changed the run")
	}
	again := start
	again.ID = "again"
	if c, err := r.Apply(again); err != nil || c.Outcome != Duplicate {
		t.Errorf("the same start again: %v %v", c, err)
	}
}

func TestScope(t *testing.T) {
	scoped := func(e Event, scope ...string) Event { e.Scope = scope; return e }
	r, _ := play(t, []Event{scoped(ev("result", "", 10, nil), "shop")})
	if c, _ := r.Field("component"); c != "shop" {
		t.Errorf("a key of one component fixes it, got %v", c)
	}
	for name, e := range map[string]Event{
		"another key":       scoped(ev("end", Failed, 20, nil), "billing"),
		"a lying body":      scoped(ev("start", Running, 20, map[string]any{"component": "billing"}), "shop"),
		"a key of others":   scoped(ev("end", Failed, 20, nil), "billing", "desk"),
		"a claim of others": scoped(ev("start", Running, 20, map[string]any{"component": "shop"}), "billing"),
	} {
		var e2 *Error
		if _, err := r.Apply(e); !errors.As(err, &e2) || e2.Code != CodeForbidden {
			t.Errorf("%s: got %v, want forbidden", name, err)
		}
	}
	if _, err := r.Apply(ev("end", Failed, 20, nil)); err != nil {
		t.Errorf("an account key: %v", err)
	}
}

func TestSinceKeepsRunsApart(t *testing.T) {
	r, _ := play(t, []Event{ev("r", Running, 20, map[string]any{"started_at": int64(15)})})
	if got := r.Since(1, 1e6); got != 15 {
		t.Errorf("since = %d, want the start", got)
	}
	if got := r.Since(2, 1e6); got <= 15 {
		t.Errorf("attempt 2 starts at %d, before attempt 1", got)
	}
	lying, _ := play(t, []Event{ev("r", Running, 20, map[string]any{"started_at": int64(1e15)})})
	if got := lying.Since(1, 1e6); got != 1e6 {
		t.Errorf("a start in the far future counts as %d, want now", got)
	}
}

func TestViewNamesAndTimes(t *testing.T) {
	e := ev("d", Succeeded, 30, map[string]any{
		"pipeline.id": "shop", "started_at": int64(1679467494000), "finished_at": int64(1679467571000),
		"params": map[string]any{"a.b": int64(4487150517)}, "labels.chain": "x", "number": int64(7),
	})
	e.Lists = map[string][]Item{"stages": {{Key: "b", Fields: map[string]any{"name": "b", "status": "succeeded", "started_at": int64(2000), "finished_at": int64(5000)},
		Lists: map[string][]Item{"steps": {{Key: "1", Fields: map[string]any{"name": "s", "status": "nonsense"}}}}}}}
	r, _ := play(t, []Event{e})
	got, _ := json.Marshal(r.View())
	var v map[string]any
	json.Unmarshal(got, &v)
	want := map[string]any{
		"started_at": "2023-03-22T06:44:54Z", "finished_at": "2023-03-22T06:46:11Z", "duration_ms": 77000.0, "summary": "Succeeded in 1m17s",
		"pipeline": map[string]any{"id": "shop", "canonical": "s/shop", "short_id": PipelineID("s/shop")},
		"params":   map[string]any{"a.b": 4487150517.0}, "labels": map[string]any{"chain": "x"}, "number": 7.0,
		"stages": []any{map[string]any{"key": "b", "name": "b", "status": "succeeded", "started_at": "1970-01-01T00:00:02Z", "finished_at": "1970-01-01T00:00:05Z", "duration_ms": 3000.0,
			"steps": []any{map[string]any{"key": "1", "name": "s", "status": "unknown"}}}},
	}
	for k, w := range want {
		if !reflect.DeepEqual(v[k], w) {
			t.Errorf("%s = %v, want %v", k, v[k], w)
		}
	}
	running := r.ViewAs(Firing{Attempt: 1, Status: Running})
	if running["status"] != "running" || running["finished_at"] != nil || running["summary"] != "Running" {
		t.Errorf("as it was: %v", running)
	}
}

func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, _ := play(t, anyEvents(t))
		data, err := r.MarshalState()
		if err != nil {
			t.Fatal(err)
		}
		back, err := UnmarshalRun(r.Partition, r.Version, data)
		if err != nil {
			t.Fatal(err)
		}
		if shape(back) != shape(r) {
			t.Fatalf("read back\n%s\nwrote\n%s", shape(back), shape(r))
		}
	})
}

// anyEvents draws events of one run that collide in time, attempt and id as
// often as they can.
func anyEvents(t *rapid.T) []Event {
	statuses := append(Statuses(), "")
	one := rapid.Custom(func(t *rapid.T) Event {
		e := ev(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"), rapid.SampledFrom(statuses).Draw(t, "status"), rapid.Int64Range(0, 4).Draw(t, "at"), map[string]any{})
		e.Attempt = rapid.Int64Range(0, 3).Draw(t, "attempt")
		e.Order = rapid.SampledFrom([]Order{ByRank, ByRank, ByTime}).Draw(t, "order")
		for _, f := range []string{"commit.sha", "title", "params.x", "pipeline.id"} {
			if v := rapid.SampledFrom([]any{nil, "u", "v", int64(1 << 60)}).Draw(t, f); v != nil {
				e.Fields[f] = v
			}
		}
		for _, f := range []string{"started_at", "finished_at", "duration_ms", "queued_at"} {
			if n := rapid.Int64Range(0, 5).Draw(t, f); n > 0 {
				e.Fields[f] = n
			}
		}
		if rapid.Bool().Draw(t, "requires") {
			e.Requires = []string{"artifact.helm"}
		}
		for range rapid.IntRange(0, 2).Draw(t, "items") {
			list := rapid.SampledFrom([]string{"stages", "artifacts"}).Draw(t, "list")
			it := Item{Key: rapid.SampledFrom([]string{"k", "l"}).Draw(t, "key"), Attempt: rapid.Int64Range(0, 2).Draw(t, "item attempt"), Fields: map[string]any{
				"status": string(rapid.SampledFrom(statuses).Draw(t, "item status")), "kind": rapid.SampledFrom([]string{"helm", "npm"}).Draw(t, "kind"), "finished_at": rapid.Int64Range(1, 3).Draw(t, "item end")}}
			if e.Lists == nil {
				e.Lists = map[string][]Item{}
			}
			e.Lists[list] = append(e.Lists[list], it)
		}
		if e.Name == "a" {
			e.Once = "x"
		}
		// The id is a function of what the event says, as a hash of a body is.
		e.ID = fmt.Sprint(e.Name, e.Attempt, e.Status, e.At, e.Order, e.Fields, e.Lists, e.Requires)
		return e
	})
	return rapid.SliceOfN(one, 1, 7).Draw(t, "events")
}

// TestAnyOrderConverges is the promise that the whole bridge rests on: any
// permutation and duplication of any events gives the same run, its head never
// moves back, and the last thing fired is its final head.
func TestAnyOrderConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := anyEvents(t)
		want, _ := play(t, events)
		again := rapid.SliceOfN(rapid.SampledFrom(events), 0, 4).Draw(t, "again")
		other := rapid.Permutation(append(slices.Clone(events), again...)).Draw(t, "order")

		r := newRun()
		var last *Firing
		for _, e := range other {
			before := r.head()
			c, err := r.Apply(e)
			if err != nil {
				t.Fatal(err)
			}
			if after := r.head(); after.attempt < before.attempt || after.attempt == before.attempt && r.order == ByRank && after.head.compare(before.head, r.order) < 0 {
				t.Fatalf("the head moved back from %v to %v", before, after)
			}
			if c.Firing != nil {
				last = c.Firing
			}
		}
		if got := shape(r); got != shape(want) {
			t.Fatalf("another order gave\n%s\nwant\n%s", got, shape(want))
		}
		switch {
		case last == nil && r.hasHead():
			t.Fatal("a run with a head fired nothing")
		case last != nil && (last.Attempt != r.Attempt() || last.Status != r.Status()):
			t.Fatalf("fired %v last, the head is %d %s", last, r.Attempt(), r.Status())
		}
	})
}

func TestLimitsKeepTheSameItemsInAnyOrder(t *testing.T) {
	var events []Event
	for n := range 12 {
		e := ev("r", "", int64(n), map[string]any{"params": map[string]any{fmt.Sprint("p", n): "x"}})
		for i := range maxItems / 10 {
			e.Lists = map[string][]Item{"stages": append(e.Lists["stages"], Item{Key: fmt.Sprintf("%05d", (i*7919+n)%99991), Fields: map[string]any{"name": "n"}})}
		}
		events = append(events, e)
	}
	a, _ := play(t, events)
	slices.Reverse(events)
	b, _ := play(t, events)
	if n := len(a.items("stages")); n != maxItems {
		t.Fatalf("kept %d items, want %d", n, maxItems)
	}
	if shape(a) != shape(b) {
		t.Error("another order kept other items")
	}
}

func TestOpenAttemptsAreBounded(t *testing.T) {
	r := newRun()
	var err error
	for n := range maxOpenAttempts + 1 {
		e := ev("job", "", 1, nil)
		e.Attempt = int64(n + 1)
		_, err = r.Apply(e)
	}
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeInvalid {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestIDs(t *testing.T) {
	run := RunID(517, "s", "k")
	if p, ok := PartitionOf(run); !ok || p != 517 {
		t.Errorf("partition of %s = %d, %v", run, p, ok)
	}
	d := DeliveryID(run, "h", Firing{Attempt: 1, Status: Queued, Version: 2})
	if p, ok := PartitionOf(d); !ok || p != 517 {
		t.Errorf("partition of %s = %d, %v", d, p, ok)
	}
	for _, bad := range []string{"", "run_", "pl_000000000000000000000000aa", "run_!!000000000000000000000000"} {
		if _, ok := PartitionOf(bad); ok {
			t.Errorf("%q has no partition", bad)
		}
	}
	if JoinKey("a/b", "c") == JoinKey("a", "b/c") || RunID(0, "a", "bc") == RunID(0, "ab", "c") {
		t.Error("two lists of parts give one key")
	}
}

// A run that is closed because no end event came shows the real end as soon as
// that comes, whatever it says and however the mapping orders.
func TestCloseStale(t *testing.T) {
	for _, order := range []Order{ByRank, ByTime} {
		for _, actual := range []Status{Succeeded, Failed, Errored, Canceled} {
			start := ev("start", Running, 2000, nil)
			start.Order, start.Received = order, 3000
			r, _ := play(t, []Event{start})
			if f := r.CloseStale(9000); f == nil || f.Status != Errored || f.At != 9000 {
				t.Fatalf("%v: closing fired %v", order, f)
			}
			r.Version++
			if again := r.CloseStale(9500); again != nil {
				t.Errorf("%v: it is closed twice: %v", order, again)
			}
			state, err := r.MarshalState()
			if err != nil {
				t.Fatal(err)
			}
			if r, err = UnmarshalRun(r.Partition, r.Version, state); err != nil {
				t.Fatal(err)
			}
			if v := r.View(); v["summary"] != "Errored: no end event" || v["status"] != "errored" || v["finished_at"] != clock(3000) {
				t.Errorf("%v: it shows %v, %v, finished at %v", order, v["status"], v["summary"], v["finished_at"])
			}
			late := ev("progress", Running, 2000, nil)
			late.Order = order
			if c, _ := r.Apply(late); c.Firing != nil {
				t.Errorf("%v: %v fired after it was closed", order, c.Firing)
			}
			end := ev("end", actual, 2000, nil)
			end.Order = order
			if c, err := r.Apply(end); err != nil || r.Status() != actual || actual != Errored && c.Firing == nil {
				t.Errorf("%v: after the real end it is %s, fired %v, %v", order, r.Status(), c.Firing, err)
			}
			if actual == Errored && r.View()["summary"] == "Errored: no end event" {
				t.Errorf("%v: the real end still says that there is none", order)
			}
			if f := r.CloseStale(9999); f != nil {
				t.Errorf("%v: a run that is over was closed: %v", order, f)
			}
		}
	}
	if f := newRun().CloseStale(1); f != nil {
		t.Errorf("a run without a status was closed: %v", f)
	}
}

func FuzzStringsSurvive(f *testing.F) {
	for _, s := range []string{"", "plain", "quote \" and \\", "line\nfeed\x00\x1f", "ü€😀\u2028", "broken \xff\xfe utf"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var a, b string
		if err := json.Unmarshal(appendString(nil, s), &a); err != nil {
			t.Fatalf("%q is written as %q: %v", s, appendString(nil, s), err)
		}
		json.Unmarshal(want, &b)
		if a != b {
			t.Errorf("%q comes back as %q, want %q", s, a, b)
		}
	})
}

func BenchmarkMarshalState(b *testing.B) {
	e := ev("d", Succeeded, 1700000000000, map[string]any{})
	for _, f := range Fields() {
		if f.Kind == Text {
			e.Fields[f.Name] = "a value of " + f.Name
		}
	}
	r, _ := play(b, []Event{e})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.MarshalState(); err != nil {
			b.Fatal(err)
		}
	}
}
