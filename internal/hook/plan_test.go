package hook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/provider"
)

const (
	sha    = "64be72bab3d31ab1ab32c4bd5c5d0e1e5a5ba1c0"
	t0     = int64(1_700_000_000_000)
	minute = int64(60_000)
)

// lab is a run, the set that is asked, and what came of it.
type lab struct {
	t   testing.TB
	run *bridge.Run
	set *Set
	now int64
	n   int
}

func newLab(t testing.TB, hooks []bridge.Hook, apps ...bridge.Application) *lab {
	t.Helper()
	set, problems := NewSet(hooks, apps, load(t))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, run: bridge.NewRun(0, "gh", "7", t0), set: set, now: t0}
}

// post commits an event as the store does, one minute after the last.
func (l *lab) post(status bridge.Status, attempt int64, fields map[string]any) []bridge.Delivery {
	l.t.Helper()
	l.n++
	l.now += minute
	change, err := l.run.Apply(bridge.Event{
		ID: fmt.Sprintf("e%d#0", l.n), Source: "gh", Name: fmt.Sprint("e", l.n), RunKey: "7", Attempt: attempt,
		At: l.now, Received: l.now, Status: status, Fields: fields,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	out := l.set.Plan(l.run, change.Firing, time.UnixMilli(l.now))
	l.run.Version++
	return out
}

// pass lets time go by and asks again, as the sweeper does.
func (l *lab) pass(d time.Duration) []bridge.Delivery {
	l.now += d.Milliseconds()
	return l.set.Plan(l.run, nil, time.UnixMilli(l.now))
}

// told returns what was planned as "hook:status", in order.
func told(ds []bridge.Delivery) string {
	var out []string
	for _, d := range ds {
		out = append(out, d.Hook+":"+string(d.Firing.Status))
	}
	return strings.Join(out, " ")
}

func (l *lab) parked() string {
	var out []string
	for _, p := range l.run.Parked {
		out = append(out, p.Hook+":"+string(p.Status)+" "+p.Missing)
	}
	return strings.Join(out, "; ")
}

func (l *lab) skips() string {
	var out []string
	for _, s := range l.run.Skips {
		out = append(out, s.Hook+":"+string(s.Firing.Status)+" "+s.Reason)
	}
	return strings.Join(out, "; ")
}

func (l *lab) want(what, got, want string) {
	l.t.Helper()
	if got != want {
		l.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

var github = bridge.Application{ID: "app1", Name: "shop", Repositories: []string{"acme/shop"}, SourceProvider: bridge.SourceProvider{Name: "github", AccessToken: "t"}}

func repo() map[string]any {
	return map[string]any{"repo.owner": "acme", "repo.name": "shop", "repo.full_name": "acme/shop", "repo.host": "github.com", "pipeline.id": "build",
		"commit.sha": sha, "url": "https://ci.acme.io/7"}
}

func without(names ...string) map[string]any {
	f := repo()
	for _, n := range names {
		delete(f, n)
	}
	return f
}

func plain(id string, change func(*bridge.Hook)) bridge.Hook {
	h := bridge.Hook{ID: id, Name: id, Pipeline: "*", Active: true, TargetURL: "https://x.io/" + id}
	if change != nil {
		change(&h)
	}
	return h
}

func two(id string) bridge.Hook {
	return bridge.Hook{ID: id, Name: "ci", Pipeline: "*", Active: true, Profile: "github"}
}

func header(d bridge.Delivery, name string) string {
	for _, h := range d.Headers {
		if strings.EqualFold(h.Name, name) {
			var b strings.Builder
			for _, p := range h.Parts {
				b.WriteString(p.Text)
				if p.Ref != "" {
					b.WriteString("<" + p.Ref + ">")
				}
			}
			return b.String()
		}
	}
	return ""
}

func TestTwoLineHook(t *testing.T) {
	l := newLab(t, []bridge.Hook{two("h")}, github)
	ds := l.post(bridge.Running, 1, repo())
	l.want("planned", told(ds), "h:running")
	d := ds[0]
	l.want("method", d.Method, "POST")
	l.want("url", d.URL, "https://api.github.com/repos/acme/shop/statuses/"+sha)
	l.want("body", d.Body, `{"context":"ci/cibridge","description":"Running","state":"pending","target_url":"https://ci.acme.io/7"}`)
	l.want("authorization", header(d, "Authorization"), "Bearer <application:app1:access_token>")
	l.want("accept", header(d, "Accept"), "application/vnd.github+json")
	l.want("bucket", d.Bucket, "https://api.github.com:443|application:app1")
	l.want("profile", d.Profile, "github")
	l.want("trigger", string(d.Trigger), string(bridge.ActionStatusChanged))
	l.want("ordering", string(d.Ordering), "latest")
	l.want("run", d.Run, l.run.ID)
	l.want("pipeline", d.Pipeline, bridge.PipelineID("gh/build"))
	l.want("id", d.ID, bridge.DeliveryID(l.run.ID, "h", bridge.Firing{Attempt: 1, Status: bridge.Running, At: l.now, Version: 1}))
	if d.Since == 0 || len(d.Lane) != 32 {
		t.Errorf("since %d, lane %q", d.Since, d.Lane)
	}
	end := l.post(bridge.Succeeded, 1, nil)
	l.want("planned", told(end), "h:succeeded")
	if end[0].Lane != d.Lane || end[0].Since != d.Since || end[0].ID == d.ID {
		t.Errorf("the end is in lane %s at %d, the start in %s at %d", end[0].Lane, end[0].Since, d.Lane, d.Since)
	}
	if !strings.Contains(end[0].Body, `"state":"success"`) {
		t.Errorf("body %s", end[0].Body)
	}
}

func TestOverridesOfProfile(t *testing.T) {
	h := two("h")
	h.Context = "ci/{{ run.component }}"
	h.Settings.RequestBody = map[string]any{"description": "built {{ run.repo.name }}"}
	h.Settings.RequestHeaders = []bridge.HookHeader{{Name: "accept", Value: "x/y"}}
	l := newLab(t, []bridge.Hook{h}, github)
	l.want("planned", told(l.post(bridge.Running, 1, repo())), "")
	l.want("parked", l.parked(), "h:running component")
	ds := l.post("", 1, map[string]any{"component": "Web"})
	l.want("planned", told(ds), "h:running")
	l.want("body", ds[0].Body, `{"context":"ci/Web","description":"built shop","state":"pending","target_url":"https://ci.acme.io/7"}`)
	l.want("accept", header(ds[0], "Accept"), "x/y")
	if n := len(ds[0].Headers); n != 3 {
		t.Errorf("%d headers, want 3", n)
	}
}

// guideSet is the guide's three hooks as posted.
func guideSet(t testing.TB) []bridge.Hook {
	return []bridge.Hook{fixture(t, "started"), fixture(t, "completed"), fixture(t, "failed")}
}

func TestGuide(t *testing.T) {
	l := newLab(t, append(guideSet(t), fixture(t, "pr-comment")), github)
	fields := repo()
	fields["pull_request.number"], fields["pull_request.title"] = int64(12), `x "y"`
	first := l.post(bridge.Running, 1, fields)
	slices.SortFunc(first, func(a, b bridge.Delivery) int { return strings.Compare(a.Hook, b.Hook) })
	l.want("planned", told(first), "pr-comment:running started:running")
	comment, started := first[0], first[1]
	l.want("comment url", comment.URL, "https://api.github.com/repos/OWNER/REPO/issues/12/comments")
	l.want("comment lane", string(comment.Ordering)+comment.Profile, "every")
	var body struct{ Body string }
	if err := json.Unmarshal([]byte(comment.Body), &body); err != nil || !strings.Contains(body.Body, "`PR #12 (x \"y\")`") || !strings.Contains(body.Body, "**in-progress**") || !strings.Contains(body.Body, "application `shop`") {
		t.Errorf("comment %s, %v", comment.Body, err)
	}
	l.want("url", started.URL, "https://api.github.com/repos/OWNER/REPO/statuses/"+sha)
	l.want("body", started.Body, `{"context":"ci/devopness(build)","description":"Application building started","key":"ci/devopness(build)","state":"pending","target_url":"https://app.devopness.com/actions/`+l.run.ID+`","url":"https://app.devopness.com/actions/`+l.run.ID+`"}`)
	// It borrows order, lane and classifier of the profile it is a request of.
	l.want("borrowed", string(started.Ordering)+" "+started.Profile, "latest github")
	end := l.post(bridge.Failed, 1, nil)
	slices.SortFunc(end, func(a, b bridge.Delivery) int { return strings.Compare(a.Hook, b.Hook) })
	l.want("planned", told(end), "failed:failed pr-comment:failed")
	l.want("one lane for both hooks", end[0].Lane, started.Lane)
	if end[1].Lane != comment.Lane || end[1].Lane == end[0].Lane {
		t.Error("the comments of one hook and run are one lane, and not that of the status")
	}
}

// TestParkedUntilSha is CodeNOW's order: the commit comes after the start.
func TestParkedUntilSha(t *testing.T) {
	l := newLab(t, guideSet(t), github)
	l.want("start", told(l.post(bridge.Running, 1, without("commit.sha"))), "")
	l.want("parked", l.parked(), "started:running commit.sha")
	ds := l.post("", 1, map[string]any{"commit.sha": sha, "title": "new text"})
	l.want("sha", told(ds), "started:running")
	l.want("parked", l.parked(), "")
	l.want("end", told(l.post(bridge.Succeeded, 1, nil)), "completed:succeeded")
	l.want("skips", l.skips(), "")
	// The same again does nothing.
	l.want("sweep", told(l.pass(time.Hour)), "")
}

func TestParkedStateKeepsItsOwnStatus(t *testing.T) {
	h := plain("h", func(h *bridge.Hook) {
		h.TargetURL = "https://x.io/{{ run.commit.sha }}"
		h.Settings.RequestBody = map[string]any{"s": "{{ run.status }}", "a": "{{ action.status }}", "t": "{{ event.trigger }}", "title": "{{ run.title }}"}
	})
	l := newLab(t, []bridge.Hook{h})
	l.post(bridge.Queued, 1, without("commit.sha"))
	l.post(bridge.Running, 1, nil)
	ds := l.post(bridge.Failed, 1, map[string]any{"commit.sha": sha})
	l.want("every state, in order", told(ds), "h:queued h:running h:failed")
	l.want("body", ds[0].Body, `{"a":"queued","s":"queued","t":"action.status_changed"}`)
	l.want("note", strings.Join(ds[0].Notes, ";"), "title left out: no title")
	for _, d := range ds {
		if d.Ordering != bridge.Every || d.Lane != ds[0].Lane {
			t.Errorf("%+v is not in order", d)
		}
	}
}

func TestOnlyNewestOfALane(t *testing.T) {
	l := newLab(t, guideSet(t), github)
	l.post(bridge.Running, 1, without("commit.sha"))
	l.want("end", told(l.post(bridge.Succeeded, 1, nil)), "")
	l.want("parked", l.parked(), "started:running commit.sha; completed:succeeded commit.sha")
	l.want("sha", told(l.post("", 1, map[string]any{"commit.sha": sha})), "completed:succeeded")
	l.want("skips", l.skips(), "started:running superseded by succeeded before it could be sent")
}

// Two hooks that write one status say the same: one is enough.
func TestOneOfTwoHooksOfOneStatus(t *testing.T) {
	l := newLab(t, []bridge.Hook{two("a"), two("b")}, github)
	ds := l.post(bridge.Running, 1, repo())
	if len(ds) != 1 || !strings.Contains(l.skips(), "which writes the same resource") {
		t.Errorf("planned %s, skips %s", told(ds), l.skips())
	}
}

func TestEveryIsNeverSuperseded(t *testing.T) {
	a, b := two("a"), two("b")
	a.Ordering = bridge.Every
	l := newLab(t, []bridge.Hook{a, b}, github)
	l.post(bridge.Running, 1, without("commit.sha"))
	ds := l.post(bridge.Succeeded, 1, repo())
	slices.SortStableFunc(ds, func(x, y bridge.Delivery) int { return strings.Compare(x.Hook, y.Hook) })
	got := told(ds)
	if got != "a:running a:succeeded b:succeeded" && got != "a:running a:succeeded" {
		t.Errorf("got %q: both states of the hook that keeps every one", got)
	}
}

func TestPipelineNotKnownYet(t *testing.T) {
	mine := plain("mine", func(h *bridge.Hook) { h.Pipeline = "gh/build" })
	short := plain("short", func(h *bridge.Hook) { h.Pipeline = bridge.PipelineID("gh/build") })
	other := plain("other", func(h *bridge.Hook) { h.Pipeline = "gh/test" })
	all := plain("all", nil)
	l := newLab(t, []bridge.Hook{mine, short, other, all})
	l.want("start", told(l.post(bridge.Running, 1, map[string]any{"title": "x"})), "all:running")
	l.want("parked", l.parked(), ":running pipeline.id")
	ds := l.post("", 1, map[string]any{"pipeline.id": "build"})
	slices.SortFunc(ds, func(a, b bridge.Delivery) int { return strings.Compare(a.Hook, b.Hook) })
	l.want("named", told(ds), "mine:running short:running")
	l.want("pipeline", ds[0].Pipeline, bridge.PipelineID("gh/build"))
	l.want("parked", l.parked(), "")
}

func TestNothingIsParkedForNobody(t *testing.T) {
	mine := plain("mine", func(h *bridge.Hook) {
		h.Pipeline, h.TriggerWhen.Events = "gh/build", []bridge.Trigger{bridge.ActionFailed}
	})
	l := newLab(t, []bridge.Hook{mine})
	l.post(bridge.Running, 1, nil)
	l.want("parked", l.parked(), "")
}

func TestParkedEndsAfterADay(t *testing.T) {
	mine := plain("mine", func(h *bridge.Hook) { h.Pipeline = "gh/build" })
	l := newLab(t, append(guideSet(t), mine), github)
	l.post(bridge.Running, 1, without("commit.sha", "pipeline.id"))
	l.pass(MaxParked - time.Millisecond)
	l.want("parked", l.parked(), "started:running commit.sha; :running pipeline.id")
	l.want("planned", told(l.pass(time.Millisecond)), "")
	l.want("parked", l.parked(), "")
	l.want("skips", l.skips(), "started:running no commit.sha within 24 hours; :running no pipeline.id within 24 hours")
	// A value that comes later is too late.
	l.want("late", told(l.post("", 1, repo())), "")
}

func TestHooksThatWentAway(t *testing.T) {
	l := newLab(t, guideSet(t), github)
	l.post(bridge.Running, 1, without("commit.sha"))
	off := fixture(t, "started")
	off.Active = false
	for want, hooks := range map[string][]bridge.Hook{
		"started:running the hook was deleted while this waited for commit.sha":      nil,
		"started:running the hook was switched off while this waited for commit.sha": {off},
	} {
		set, _ := NewSet(hooks, nil, load(t))
		run := l.run
		run.Skips = nil
		parked := slices.Clone(run.Parked)
		set.Plan(run, nil, time.UnixMilli(l.now))
		l.want("skips", l.skips(), want)
		run.Parked = parked
	}
}

func TestWhoIsAsked(t *testing.T) {
	tests := []struct {
		name   string
		change func(*bridge.Hook)
		want   string
	}{
		{"as it is", func(*bridge.Hook) {}, "h:running h:failed"},
		{"switched off", func(h *bridge.Hook) { h.Active = false }, ""},
		{"younger than both", func(h *bridge.Hook) { h.CreatedAt = t0 + 3*minute }, ""},
		{"younger than the first", func(h *bridge.Hook) { h.CreatedAt = t0 + 2*minute }, "h:failed"},
		{"as old as the first", func(h *bridge.Hook) { h.CreatedAt = t0 + minute }, "h:running h:failed"},
		{"started", func(h *bridge.Hook) { h.TriggerWhen.Events = []bridge.Trigger{bridge.ActionStarted} }, "h:running"},
		{"failed", func(h *bridge.Hook) {
			h.TriggerWhen.Events = []bridge.Trigger{bridge.ActionCompleted, bridge.ActionFailed}
		}, "h:failed"},
		{"another pipeline", func(h *bridge.Hook) { h.Pipeline = "gh/other" }, ""},
		{"its pipeline", func(h *bridge.Hook) { h.Pipeline = "gh/build" }, "h:running h:failed"},
		{"if", func(h *bridge.Hook) { h.If = `run.status == "failed"` }, "h:failed"},
		{"if nothing", func(h *bridge.Hook) { h.If = `run.commit.branch == "main"` }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, []bridge.Hook{plain("h", tt.change)})
			got := told(append(l.post(bridge.Running, 1, repo()), l.post(bridge.Failed, 1, nil)...))
			l.want("planned", got, tt.want)
			l.want("parked and skipped", l.parked()+l.skips(), "")
		})
	}
}

func TestMostSpecificTrigger(t *testing.T) {
	h := plain("h", func(h *bridge.Hook) {
		h.TriggerWhen.Events = []bridge.Trigger{bridge.ActionStatusChanged, bridge.ActionStarted}
	})
	l := newLab(t, []bridge.Hook{h})
	l.want("trigger", string(l.post(bridge.Running, 1, repo())[0].Trigger), "action.started")
	l.want("trigger", string(l.post(bridge.Failed, 1, nil)[0].Trigger), "action.status_changed")
}

func TestConditions(t *testing.T) {
	tests := []struct {
		path     string
		accepted []any
		want     bool
	}{
		{"run.number", []any{"123"}, true},
		{"run.number", []any{int64(123)}, true},
		{"run.number", []any{123.0}, true},
		{"run.number", []any{"0123"}, false},
		{"run.warnings", []any{"true"}, true},
		{"run.warnings", []any{true}, true},
		{"run.warnings", []any{1}, false},
		{"run.params.n", []any{1.5}, true},
		{"run.params.list", []any{"b"}, true},
		{"run.params.list", []any{"c"}, false},
		{"run.version", []any{nil}, true},
		{"run.version", []any{"x", nil}, true},
		{"run.version", []any{""}, false},
		{"run.number", []any{nil}, false},
		{"action.status", []any{"failed"}, true},
		{"action.triggered_from.hook_parsed_variables.pipeline_id", []any{"build"}, true},
		{"action.triggered_from.hook_parsed_variables.pipeline_id", []any{"gh/build"}, true},
		{"action.triggered_from.hook_parsed_variables.pipeline_id", []any{bridge.PipelineID("gh/build")}, true},
		{"action.triggered_from.hook_parsed_variables.pipeline_id", []any{"test"}, false},
		{"action.pipeline.id", []any{"gh/build"}, true},
		{"action.triggered_from.hook_parsed_variables.my-var", []any{"x"}, true},
	}
	fields := repo()
	fields["number"], fields["warnings"], fields["params"] = int64(123), true, map[string]any{"n": 1.5, "list": []any{"a", "b"}}
	fields["variables"] = map[string]any{"my-var": "x"}
	for _, tt := range tests {
		l := newLab(t, []bridge.Hook{plain("h", func(h *bridge.Hook) {
			h.TriggerWhen.Conditions = []bridge.Condition{{Path: tt.path, AcceptedValues: tt.accepted}}
		})})
		if got := len(l.post(bridge.Failed, 1, fields)) == 1; got != tt.want {
			t.Errorf("%s in %v: got %t, want %t", tt.path, tt.accepted, got, tt.want)
		}
	}
	// All of them must hold.
	l := newLab(t, []bridge.Hook{plain("h", func(h *bridge.Hook) {
		h.TriggerWhen.Conditions = []bridge.Condition{{Path: "run.number", AcceptedValues: []any{123}}, {Path: "run.status", AcceptedValues: []any{"succeeded"}}}
	})})
	l.want("planned", told(l.post(bridge.Failed, 1, fields)), "")
}

// A condition that cannot be decided yet waits with the URL.
func TestConditionWaitsWithTheURL(t *testing.T) {
	for branch, want := range map[string]string{"main": "h:running", "dev": ""} {
		l := newLab(t, []bridge.Hook{plain("h", func(h *bridge.Hook) {
			h.TargetURL = "https://x.io/{{ run.commit.sha }}"
			h.TriggerWhen.Conditions = []bridge.Condition{{Path: "run.commit.branch", AcceptedValues: []any{"main"}}}
			h.If = `run.commit.branch != "dev"`
		})})
		l.want("start", told(l.post(bridge.Running, 1, without("commit.sha"))), "")
		l.want("parked", l.parked(), "h:running commit.sha")
		l.want("then", told(l.post("", 1, map[string]any{"commit.sha": sha, "commit.branch": branch})), want)
		l.want("parked", l.parked(), "")
	}
}

// A hook of all pipelines that names its pipeline in a condition waits for it.
func TestConditionOnPipelineWaits(t *testing.T) {
	l := newLab(t, []bridge.Hook{plain("h", func(h *bridge.Hook) {
		h.TriggerWhen.Conditions = []bridge.Condition{{Path: "action.triggered_from.hook_parsed_variables.pipeline_id", AcceptedValues: []any{"build"}}}
	})})
	l.want("start", told(l.post(bridge.Running, 1, without("pipeline.id"))), "")
	l.want("parked", l.parked(), "h:running pipeline.id")
	l.want("then", told(l.post("", 1, repo())), "h:running")
}

func TestFailingIf(t *testing.T) {
	l := newLab(t, []bridge.Hook{plain("h", func(h *bridge.Hook) { h.If = `run.commit.sha` })})
	l.want("planned", told(l.post(bridge.Running, 1, repo())), "")
	if !strings.Contains(l.skips(), "its if: run.commit.sha") {
		t.Errorf("skips %q", l.skips())
	}
}

func TestNoDuplicateSkips(t *testing.T) {
	l := newLab(t, []bridge.Hook{plain("h", func(h *bridge.Hook) { h.TargetURL = "https://x.io/{{ run.title }}" })})
	for range 3 {
		f := bridge.Firing{Attempt: 1, Status: bridge.Running, At: t0, Version: 1}
		l.post("", 1, map[string]any{"title": "a/b"})
		l.set.Plan(l.run, &f, time.UnixMilli(l.now))
	}
	if len(l.run.Skips) != 1 || !strings.Contains(l.skips(), "its target_url") {
		t.Errorf("skips %q", l.skips())
	}
}

func TestNoDuplicateParked(t *testing.T) {
	l := newLab(t, guideSet(t), github)
	f := bridge.Firing{Attempt: 1, Status: bridge.Running, At: t0, Version: 1}
	for range 3 {
		l.set.Plan(l.run, &f, time.UnixMilli(t0))
	}
	l.want("parked", l.parked(), "started:running repo.full_name, commit.sha")
}

// A hook that may not even want the firing is not skipped for a value of it.
func TestUnsureIsNotSkipped(t *testing.T) {
	l := newLab(t, []bridge.Hook{plain("h", func(h *bridge.Hook) {
		h.TargetURL = "https://x.io/{{ run.title }}"
		h.If = `run.commit.branch == "main"`
	})})
	l.want("planned", told(l.post(bridge.Running, 1, map[string]any{"title": "a/b"})), "")
	l.want("skips", l.skips()+l.parked(), "")
}

func TestBounds(t *testing.T) {
	l := newLab(t, []bridge.Hook{plain("h", func(h *bridge.Hook) { h.TargetURL = "https://x.io/{{ run.commit.sha }}" })})
	for i := range maxParked + maxSkips + 10 {
		f := bridge.Firing{Attempt: 1, Status: bridge.Running, At: t0, Version: int64(i)}
		l.set.Plan(l.run, &f, time.UnixMilli(t0))
	}
	if len(l.run.Parked) != maxParked || len(l.run.Skips) != maxSkips {
		t.Errorf("%d parked and %d skipped, want %d and %d", len(l.run.Parked), len(l.run.Skips), maxParked, maxSkips)
	}
	if last := l.run.Parked[maxParked-1].Version; last != maxParked+maxSkips+9 {
		t.Errorf("the last that waits is %d, want the newest", last)
	}
}

func TestAttemptsKeepTheirOrder(t *testing.T) {
	l := newLab(t, []bridge.Hook{
		plain("every", func(h *bridge.Hook) { h.TargetURL = "https://x.io/{{ run.commit.sha }}" }),
		plain("now", func(h *bridge.Hook) { h.TriggerWhen.Events = []bridge.Trigger{bridge.ActionStarted} }),
	})
	l.post(bridge.Failed, 1, without("commit.sha"))
	second := l.post(bridge.Running, 2, nil)
	ds := l.post("", 2, map[string]any{"commit.sha": sha})
	l.want("planned", told(ds), "every:failed every:running")
	if ds[0].Since >= ds[1].Since || second[0].Since != ds[1].Since {
		t.Errorf("attempt 1 is at %d, attempt 2 at %d and %d", ds[0].Since, ds[1].Since, second[0].Since)
	}
}

func TestPlanIsDeterministic(t *testing.T) {
	plan := func(hooks []bridge.Hook) string {
		l := newLab(t, hooks, github)
		l.post(bridge.Queued, 1, without("commit.sha"))
		ds := l.post(bridge.Running, 1, repo())
		out, err := json.Marshal(ds)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	hooks := append(guideSet(t), two("p"), plain("x", nil), plain("y", func(h *bridge.Hook) { h.Pipeline = "gh/build" }))
	want := plan(hooks)
	for range 5 {
		if got := plan(hooks); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	slices.Reverse(hooks)
	if got := plan(hooks); got != want {
		t.Errorf("the order of hooks matters: got %s, want %s", got, want)
	}
}

func BenchmarkPlan(b *testing.B) {
	hooks := guideSet(b)
	for i := range 500 {
		hooks = append(hooks, plain(fmt.Sprint("p", i), func(h *bridge.Hook) { h.Pipeline = fmt.Sprint("gh/", i) }))
	}
	l := newLab(b, hooks, github)
	l.post(bridge.Queued, 1, repo())
	f := bridge.Firing{Attempt: 1, Status: bridge.Running, At: l.now, Version: 2}
	b.ReportAllocs()
	for b.Loop() {
		if len(l.set.Plan(l.run, &f, time.UnixMilli(l.now))) != 1 {
			b.Fatal(l.skips())
		}
	}
}

// TestConcurrentPlans shares one set among runs, as commits do. The race
// detector looks on.
func TestConcurrentPlans(t *testing.T) {
	set := newLab(t, append(guideSet(t), two("p")), github).set
	as := NewAnswers()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			l := &lab{t: t, run: bridge.NewRun(0, "gh", fmt.Sprint(i), t0), set: set, now: t0}
			l.post(bridge.Running, 1, without("commit.sha"))
			if got := len(l.post(bridge.Succeeded, 1, repo())); got != 2 {
				t.Errorf("run %d: %d deliveries, want 2", i, got)
			}
			if ok, err := as.Delivered("status == 1", provider.Answer{Status: 1}); !ok || err != nil {
				t.Errorf("run %d: %t, %v", i, ok, err)
			}
		})
	}
	wg.Wait()
}
