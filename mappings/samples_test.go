package mappings

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/mapping"
)

// testTime is when the requests of these tests arrive.
var testTime = time.Date(2026, 2, 11, 9, 30, 0, 0, time.UTC)

// request makes a request of a sample, received at a fixed time.
func request(s Sample, source string) *bridge.Request {
	header := map[string]string{}
	for k, v := range s.Header {
		header[strings.ToLower(k)] = v
	}
	path := s.Path
	if path == "" {
		path = "/in/" + source
	}
	return &bridge.Request{Method: "POST", Path: path, Header: header, Body: s.Body, Received: testTime}
}

// play applies samples in their order and returns the one run they make.
func play(t *testing.T, m *mapping.Mapping, samples []Sample) *bridge.Run {
	t.Helper()
	var run *bridge.Run
	for i, s := range samples {
		req := request(s, m.Name)
		req.Received = req.Received.Add(time.Duration(i) * time.Second)
		res := m.Apply(mapping.Input{Request: req, Source: bridge.Source{ID: m.Name}})
		if res.Outcome != "" || len(res.Events) != 1 || len(res.Warnings) > 0 {
			t.Fatalf("%s/%s: outcome %q, %d events, warnings %q; want one event", m.Name, s.Name, res.Outcome, len(res.Events), res.Warnings)
		}
		ev := res.Events[0]
		if run == nil {
			run = bridge.NewRun(0, m.Name, ev.RunKey, req.Received.UnixMilli())
		}
		if ev.RunKey != run.Key {
			t.Fatalf("%s/%s belongs to run %s, the samples before it to %s", m.Name, s.Name, ev.RunKey, run.Key)
		}
		if _, err := run.Apply(ev); err != nil {
			t.Fatalf("%s/%s: %v", m.Name, s.Name, err)
		}
	}
	return run
}

func TestSamplesMakeARunThatSucceeds(t *testing.T) {
	set := load(t)
	for _, name := range Sampled() {
		samples, err := Samples(name, "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		run := play(t, set.Get(name), samples)
		if run.Status() != bridge.Succeeded {
			t.Errorf("%s: the samples leave the run %s, want succeeded", name, run.Status())
		}
		if sha, _ := run.Field("commit.sha"); sha != "3f9d1c5ab7e24680c1d5f0a9e8b7c6d5e4f30211" {
			t.Errorf("%s: the run has commit %v", name, sha)
		}
		for _, s := range samples {
			if s.Path == "" {
				continue
			}
			if m, ok := set.Match("POST", s.Path); !ok || m.Name != name {
				t.Errorf("%s/%s goes to %s, which is no route of the mapping", name, s.Name, s.Path)
			}
		}
	}
}

func TestSamplesOfAnotherRun(t *testing.T) {
	set := load(t)
	runs := map[string]string{"codenow": "shop-77", "harness-sei": "5190441777", "github-actions": "19408811777", "gitlab": "81777"}
	for _, name := range Sampled() {
		first, err := Samples(name, "")
		if err != nil {
			t.Fatal(err)
		}
		second, err := Samples(name, runs[name])
		if err != nil {
			t.Fatal(err)
		}
		a, b := play(t, set.Get(name), first), play(t, set.Get(name), second)
		if a.Key == b.Key || !strings.Contains(b.Key, runs[name]) {
			t.Errorf("%s: run %q gives %s, and %s without one", name, runs[name], b.Key, a.Key)
		}
		for i := range first {
			if !json.Valid(second[i].Body) {
				t.Errorf("%s/%s is no JSON any more", name, second[i].Name)
			}
			one := set.Get(name).Apply(mapping.Input{Request: request(first[i], name)})
			other := set.Get(name).Apply(mapping.Input{Request: request(second[i], name)})
			if one.Dedupe == other.Dedupe {
				t.Errorf("%s/%s of another run is taken for a duplicate (%s)", name, first[i].Name, one.Dedupe)
			}
		}
	}
}

func TestSamplesAtAnotherTime(t *testing.T) {
	set := load(t)
	start := time.Date(2027, 12, 31, 23, 55, 0, 0, time.UTC)
	for _, name := range Sampled() {
		samples, err := Samples(name, "")
		if err != nil {
			t.Fatal(err)
		}
		was, is := play(t, set.Get(name), samples), play(t, set.Get(name), At(samples, start))
		for _, field := range []string{"started_at", "finished_at"} {
			before, _ := was.Field(field)
			after, _ := is.Field(field)
			a, okA := before.(int64)
			b, okB := after.(int64)
			if moved := b - a; !okA || !okB || moved != start.Sub(sampleStart).Milliseconds() {
				t.Errorf("%s: %s moved from %v to %v", name, field, before, after)
			}
			if late := time.UnixMilli(b).Sub(start); late < 0 || late > SampleSpan {
				t.Errorf("%s: %s is %s after the start, want 0 to %s", name, field, late, SampleSpan)
			}
		}
		for _, s := range At(samples, start) {
			if strings.Contains(string(s.Body), "2026-02-11") || !json.Valid(s.Body) {
				t.Errorf("%s/%s still has a time of the original, or is no JSON", name, s.Name)
			}
		}
	}
}

func TestSamplesSayWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ mapping, run, want string }{
		{"jenkins", "", "codenow"},
		{"gitlab", "shop-1", "digits"},
		{"gitlab", "0123", "digits"},
	} {
		_, err := Samples(c.mapping, c.run)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Samples(%q, %q): %v, want a message with %q", c.mapping, c.run, err, c.want)
		}
	}
}
