package hook

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/mapping"
	"cibridge/mappings"
)

// shipped returns a mapping that ships.
func shipped(t *testing.T, name string) *mapping.Mapping {
	t.Helper()
	var files []mapping.File
	for _, f := range mappings.Files() {
		if !strings.HasSuffix(f.Name, "_test.yaml") {
			files = append(files, mapping.File{Name: f.Name, Data: f.Data})
		}
	}
	set, problems := mapping.Load(files)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return set.Get(name)
}

// life is a run with all that dialects carry, up to one terminal status.
func life(status bridge.Status) []bridge.Event {
	start := map[string]any{
		"pipeline.id": "build", "pipeline.name": "Build & test", "component": "shop", "number": int64(412), "version": "1.4.0",
		"url": "https://ci.acme.io/412", "actor.login": "jo", "actor.name": "Jo Doe", "kind": "ci", "started_at": t0 + 1000,
	}
	fields := map[string]any{
		"repo.url": "https://github.com/acme/shop", "repo.full_name": "acme/shop", "commit.sha": sha, "commit.branch": "main", "commit.tag": "v1.4.0",
		"params": map[string]any{"env": `"prod"`}, "instance.id": "ci-1", "instance.name": "Acme CI",
	}
	lists := map[string][]bridge.Item{
		"artifacts": {
			{Key: "c", Fields: map[string]any{"kind": "container", "name": "acme/shop", "version": "1.4.0", "uri": "https://registry.acme.io/acme/shop:1.4.0", "digest": "sha256:0a1b", "direction": "out"}},
			{Key: "h", Fields: map[string]any{"kind": "helm", "name": "shop", "version": "1.4.0", "uri": "https://charts.acme.io/shop:1.4.0"}},
			{Key: "x", Fields: map[string]any{"kind": "tarball", "name": "no version"}},
		},
		"quality": {{Key: "q", Fields: map[string]any{"system": "SonarQube", "url": "https://sonar.acme.io/shop"}}},
		"links":   {{Key: "l", Fields: map[string]any{"title": "Coverage", "url": "https://ci.acme.io/412/coverage"}}},
		"stages":  {{Key: "s", Fields: map[string]any{"name": "compile", "status": "succeeded", "started_at": t0 + 2000, "duration_ms": int64(1500)}}},
	}
	return []bridge.Event{
		{ID: "1", Source: "gh", Name: "start", RunKey: "7", Attempt: 1, At: t0 + 1000, Received: t0 + 5000, Status: bridge.Running, Fields: start},
		{ID: "2", Source: "gh", Name: "data", RunKey: "7", Attempt: 1, At: t0 + 2000, Received: t0 + 6000, Fields: fields, Lists: lists},
		{ID: "3", Source: "gh", Name: "end", RunKey: "7", Attempt: 1, At: t0 + 91_500, Received: t0 + 95_000, Status: status, Fields: map[string]any{"finished_at": t0 + 91_500}},
	}
}

// forward plans a hook on the events and returns what it would send.
func forward(t *testing.T, profile string, events []bridge.Event) ([]bridge.Delivery, *lab) {
	t.Helper()
	h := bridge.Hook{ID: "h", Name: "on", Pipeline: "*", Active: true, Profile: profile, TargetURL: "https://other.acme.io/in"}
	for _, header := range []string{"Authorization", "X-Codenow-Api-Key"} {
		h.Settings.RequestHeaders = append(h.Settings.RequestHeaders, bridge.HookHeader{Name: header, Value: "key"})
	}
	l := newLab(t, []bridge.Hook{h}, github)
	var out []bridge.Delivery
	known := map[string]bool{} // an id is planned once, as the store has it
	for _, ev := range events {
		change, err := l.run.Apply(ev)
		if err != nil {
			t.Fatal(err)
		}
		l.now = ev.Received
		for _, d := range l.set.Plan(l.run, change.Firing, time.UnixMilli(l.now)) {
			if !known[d.ID] {
				out = append(out, d)
			}
			known[d.ID] = true
		}
		l.run.Version++
	}
	return out, l
}

// receive takes requests in as our own endpoint does and returns the run that
// they make.
func receive(t *testing.T, m *mapping.Mapping, path string, ds []bridge.Delivery) *bridge.Run {
	t.Helper()
	var run *bridge.Run
	for i, d := range ds {
		got := m.Apply(mapping.Input{
			Source: bridge.Source{ID: "other", Mapping: m.Name},
			Request: &bridge.Request{ID: fmt.Sprint("evt_", i), Source: "other", Mapping: m.Name, Method: "POST", Path: path,
				Received: time.UnixMilli(t0 + 3_600_000), Body: []byte(d.Body), Header: map[string]string{"content-type": "application/json"}},
		})
		if got.Problem != nil || got.Outcome != "" || len(got.Events) != 1 || len(got.Warnings) > 0 {
			t.Fatalf("%s\nis %s %s, warnings %v, problem %+v", d.Body, got.Outcome, got.Reason, got.Warnings, got.Problem)
		}
		ev := got.Events[0]
		if run == nil {
			run = bridge.NewRun(0, "other", ev.RunKey, t0)
		}
		if ev.RunKey != run.Key {
			t.Fatalf("the run is %s, then %s", run.Key, ev.RunKey)
		}
		if _, err := run.Apply(ev); err != nil {
			t.Fatalf("%s: %v", d.Body, err)
		}
	}
	return run
}

// TestDialectsComeBack sends a run on as CodeNOW, Harness SEI and CDEvents,
// takes them in with the mappings that ship, and finds the same run.
func TestDialectsComeBack(t *testing.T) {
	type words map[bridge.Status]bridge.Status
	dialects := []struct {
		profile, mapping, path string
		requests               int
		nearest                words    // of the states that the format has no word for
		fields                 []string // that come back as they were
	}{
		{"codenow", "codenow", "/ci/webhook", 3, words{bridge.Errored: bridge.Failed, bridge.TimedOut: bridge.Failed, bridge.Skipped: bridge.Succeeded},
			[]string{"commit.sha", "commit.branch", "commit.tag", "repo.url", "started_at", "finished_at", "duration_ms", "url", "version", "component", "actor.login", "actor.name", "pipeline.name"}},
		{"sei", "harness-sei", "/v1/custom-cicd", 1, words{bridge.Errored: bridge.Failed, bridge.TimedOut: bridge.Failed},
			[]string{"commit.sha", "commit.branch", "repo.url", "started_at", "finished_at", "duration_ms", "url", "number", "actor.login", "pipeline.name", "instance.name", "kind"}},
		{"cdevents", "cdevents", "/in/other", 2, words{bridge.TimedOut: bridge.Errored, bridge.Canceled: bridge.Errored, bridge.Skipped: bridge.Succeeded},
			[]string{"commit.sha", "commit.branch", "commit.tag", "repo.url", "started_at", "finished_at", "duration_ms", "url", "pipeline.name"}},
	}
	for _, dialect := range dialects {
		m := shipped(t, dialect.mapping)
		for _, status := range []bridge.Status{bridge.Succeeded, bridge.Failed, bridge.Canceled, bridge.Errored, bridge.TimedOut, bridge.Skipped} {
			t.Run(dialect.profile+"/"+string(status), func(t *testing.T) {
				ds, l := forward(t, dialect.profile, life(status))
				if len(ds) != dialect.requests || l.skips() != "" || l.parked() != "" {
					t.Fatalf("%d requests, skips %s, parked %s", len(ds), l.skips(), l.parked())
				}
				run := receive(t, m, dialect.path, ds)
				want := status
				if n := dialect.nearest[status]; n != "" {
					want = n
				}
				if run.Status() != want {
					t.Errorf("status %s, want %s; incomplete: %v", run.Status(), want, run.Incomplete())
				}
				for _, name := range dialect.fields {
					got, _ := run.Field(name)
					if was, _ := l.run.Field(name); fmt.Sprint(got) != fmt.Sprint(was) {
						t.Errorf("%s: got %v, want %v", name, got, was)
					}
				}
				if dialect.profile == "cdevents" {
					return // artifacts have events of their own
				}
				artifacts, _ := run.View()["artifacts"].([]any)
				text, _ := json.Marshal(artifacts) // a view is JSON
				for _, part := range []string{`"kind":"container"`, `"name":"acme/shop"`, `"version":"1.4.0"`, `registry.acme.io/acme/shop:1.4.0`, `"kind":"helm"`, `charts.acme.io/shop:1.4.0`} {
					if !strings.Contains(string(text), part) {
						t.Errorf("artifacts %s lack %s", text, part)
					}
				}
			})
		}
	}
}

// What a tool does not say is left out, and what the receiver insists on is
// there all the same.
func TestDialectsOfBareRuns(t *testing.T) {
	bare := func(status bridge.Status) []bridge.Event {
		return []bridge.Event{{ID: "1", Source: "gh", Name: "end", RunKey: "7", Attempt: 1, At: t0, Received: t0, Status: status}}
	}
	for dialect, m := range map[string]string{"codenow": "codenow", "sei": "harness-sei"} {
		ds, l := forward(t, dialect, bare(bridge.Failed))
		if l.skips() != "" || l.parked() != "" {
			t.Fatalf("%s: skips %s, parked %s", dialect, l.skips(), l.parked())
		}
		run := receive(t, shipped(t, m), map[string]string{"codenow": "/ci/webhook", "sei": "/v1/custom-cicd"}[dialect], ds)
		if at, _ := run.Field("finished_at"); run.Status() != bridge.Failed || fmt.Sprint(at) != fmt.Sprint(t0) {
			t.Errorf("%s: %s at %v", dialect, run.Status(), at)
		}
	}
	// A run that is over when it is first heard of has a start and an end, in
	// this order, and no result.
	ds, _ := forward(t, "codenow", bare(bridge.Failed))
	if len(ds) != 2 || !strings.Contains(ds[0].Body, "start.event") || !strings.Contains(ds[1].Body, "end.event") || ds[0].Since >= ds[1].Since || ds[0].Lane != ds[1].Lane {
		t.Errorf("planned %+v", ds)
	}
}

// The requests of one change keep their order in the lane, and a start is
// planned once.
func TestOrderOfParts(t *testing.T) {
	ds, _ := forward(t, "codenow", life(bridge.Succeeded))
	kinds := []string{"start", "result", "end"}
	for i, d := range ds {
		if !strings.Contains(d.Body, "codenow.ci."+kinds[i]+".event") || d.Ordering != bridge.Every || d.Lane != ds[0].Lane {
			t.Errorf("%d is %s %s", i, d.Ordering, d.Body)
		}
		if i > 0 && d.Since <= ds[i-1].Since {
			t.Errorf("%s has its place at %d, %s at %d", kinds[i], d.Since, kinds[i-1], ds[i-1].Since)
		}
	}
	// Another attempt is another build.
	events := life(bridge.Failed)
	again := life(bridge.Succeeded)
	for i := range again {
		again[i].ID, again[i].Attempt = "again"+again[i].ID, 2
		again[i].At, again[i].Received = again[i].At+600_000, again[i].Received+600_000
	}
	ds, _ = forward(t, "codenow", append(events, again...))
	if len(ds) != 6 || ds[3].Lane == ds[0].Lane || !strings.Contains(ds[3].Body, `-2"`) {
		t.Errorf("planned %s", told(ds))
	}
}

// CDEvents are whole, and in structured mode.
func TestCDEvents(t *testing.T) {
	outcomes := map[bridge.Status]string{
		bridge.Succeeded: "success", bridge.Skipped: "success", bridge.Failed: "failure", bridge.Errored: "error", bridge.TimedOut: "error", bridge.Canceled: "error",
	}
	type context struct{ ID, Source, Type, Version, Timestamp string }
	for status, outcome := range outcomes {
		events := append([]bridge.Event{{ID: "0", Source: "gh", Name: "queue", RunKey: "7", Attempt: 1, At: t0, Received: t0, Status: bridge.Queued, Fields: map[string]any{"queued_at": t0}}}, life(status)...)
		ds, l := forward(t, "cdevents", events)
		if len(ds) != 3 || l.skips() != "" {
			t.Fatalf("%d requests, skips %s", len(ds), l.skips())
		}
		ids := map[string]bool{}
		for i, kind := range []string{"queued", "started", "finished"} {
			var got struct {
				Specversion, ID, Source, Type, Subject, Time, Datacontenttype string
				Data                                                          struct {
					Context context
					Subject struct {
						ID, Source, Type string
						Content          struct{ PipelineName, URL, Outcome, Errors string }
					}
					CustomData struct {
						Commit             struct{ Sha, Branch, Tag string }
						Status, Repository string
					}
				}
			}
			if err := json.Unmarshal([]byte(ds[i].Body), &got); err != nil {
				t.Fatal(err)
			}
			at := map[string]int64{"queued": t0, "started": t0 + 1000, "finished": t0 + 91_500}[kind]
			when := time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.999Z07:00")
			kindOf := "dev.cdevents.pipelinerun." + kind + ".0.2.0"
			if got.Specversion != "1.0" || got.Type != kindOf || got.Subject != l.run.ID || got.Time != when || got.Source != "/cibridge/gh" || got.Datacontenttype != "application/json" {
				t.Errorf("envelope of %s", ds[i].Body)
			}
			if got.Data.Context != (context{got.ID, got.Source, kindOf, "0.4.1", when}) || got.Data.Subject.ID != l.run.ID || got.Data.Subject.Type != "pipelineRun" {
				t.Errorf("data of %s", ds[i].Body)
			}
			want := ""
			if kind == "finished" {
				want = outcome
			}
			if c := got.Data.Subject.Content; c.Outcome != want || (c.Errors != "") != (want == "failure" || want == "error") || c.PipelineName == "" {
				t.Errorf("content of %s", ds[i].Body)
			}
			if kind == "finished" && (got.Data.CustomData.Commit.Sha != sha || got.Data.CustomData.Status != string(status) || got.Data.CustomData.Repository != "https://github.com/acme/shop") {
				t.Errorf("custom data of %s", ds[i].Body)
			}
			if ids[got.ID] || header(ds[i], "Content-Type") != "application/cloudevents+json; charset=utf-8" {
				t.Errorf("id %s, content type %s", got.ID, header(ds[i], "Content-Type"))
			}
			ids[got.ID] = true
		}
	}
}

// TestNoLoop: what came from a cibridge is not sent on again, whichever way it
// came in.
func TestNoLoop(t *testing.T) {
	for _, way := range []struct{ out, mapping, path string }{{"codenow", "codenow", "/ci/webhook"}, {"sei", "harness-sei", "/v1/custom-cicd"}, {"cdevents", "cdevents", "/in/gh"}} {
		first, _ := forward(t, way.out, life(bridge.Succeeded))
		m := shipped(t, way.mapping)
		for _, next := range []string{"codenow", "sei", "cdevents"} {
			var events []bridge.Event
			for i, d := range first {
				got := m.Apply(mapping.Input{Source: bridge.Source{ID: "gh"}, Request: &bridge.Request{ID: fmt.Sprint(i), Path: way.path, Received: time.UnixMilli(t0), Body: []byte(d.Body)}})
				events = append(events, got.Events...)
			}
			h := bridge.Hook{ID: "h", Name: "on", Pipeline: "*", Active: true, Profile: next}
			l := newLab(t, []bridge.Hook{h}, at(next, "https://other.acme.io"))
			l.run = bridge.NewRun(0, "gh", events[0].RunKey, t0)
			for _, ev := range events {
				change, err := l.run.Apply(ev)
				if err != nil {
					t.Fatal(err)
				}
				if ds := l.set.Plan(l.run, change.Firing, time.UnixMilli(t0)); len(ds) > 0 {
					t.Errorf("%s, then %s: planned %s", way.out, next, ds[0].Body)
				}
			}
			if !strings.Contains(l.skips(), "the run came from a cibridge; it is not sent on again") {
				t.Errorf("%s, then %s: skips %q", way.out, next, l.skips())
			}
		}
		// A commit status is no loop: it is what such a run is for.
		h := two("h")
		l := newLab(t, []bridge.Hook{h}, github)
		l.run = bridge.NewRun(0, "gh", "execution/"+bridge.RunID(0, "gh", "7"), t0)
		if ds := l.post(bridge.Succeeded, 1, repo()); len(ds) != 1 {
			t.Errorf("no status is sent, skips %s", l.skips())
		}
	}
}

// A hook on a dialect may say for itself where and with which key it sends, and
// waits for what it names.
func TestOwnEventsOfDialect(t *testing.T) {
	h := bridge.Hook{ID: "h", Name: "on", Pipeline: "*", Active: true, Profile: "sei", TriggerWhen: bridge.TriggerWhen{Events: []bridge.Trigger{bridge.ActionStatusChanged}}}
	l := newLab(t, []bridge.Hook{h}, at("sei", "https://sei.acme.io"))
	l.want("running", told(l.post(bridge.Running, 1, repo())), "")
	l.want("skips", l.skips(), `h:running sei has no word for the status "running"`)
	l.want("failed", told(l.post(bridge.Failed, 1, nil)), "h:failed")
}
