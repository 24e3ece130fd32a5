package mappings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cibridge/internal/mapping"
)

// load compiles what ships, and fails on any problem, warnings included.
func load(t *testing.T) *mapping.Set {
	t.Helper()
	var in []mapping.File
	for _, f := range Files() {
		in = append(in, mapping.File{Name: f.Name, Data: f.Data, ReadOnly: true})
	}
	set, problems := mapping.Load(in)
	for _, p := range problems {
		t.Errorf("%s %v\n\t%s", p.Severity, p, p.Help)
	}
	if len(problems) > 0 {
		t.FailNow()
	}
	return set
}

// runTests runs the tests of a mapping and reports how many there were.
func runTests(t *testing.T, m *mapping.Mapping) int {
	results := mapping.RunTests(m, mapping.TestOptions{})
	for _, r := range results {
		t.Run(r.Name, func(t *testing.T) {
			for _, f := range r.Failures {
				t.Error(f)
			}
		})
	}
	return len(results)
}

func TestMappings(t *testing.T) {
	set := load(t)
	for _, name := range set.Names() {
		t.Run(name, func(t *testing.T) {
			if n := runTests(t, set.Get(name)); n < 10 {
				t.Errorf("%s has %d tests; a mapping that ships needs one for each event and the ways in which it can fail", name, n)
			}
		})
	}
}

// The answers and what they depend on are the format's; which status a refusal
// has decides whether a sender tries again.
func TestRefusalsOfCodeNOW(t *testing.T) {
	m := load(t).Get("codenow")
	for _, c := range []struct {
		body   string
		status int
	}{
		{`{"type":"codenow.ci.start.event"`, 400},
		{`{"pipelineId":"a"}`, 400},
		{`{"type":"codenow.ci.end.event","result":"FAILED"}`, 400},
		{`{"type":"codenow.ci.end.event","pipelineId":"a"}`, 400},
		{`{"type":"codenow.ci.start.event","pipelineId":"a","buildVersion":"1"}`, 400},
		{`{"type":"codenow.ci.result.event","pipelineId":"a","payload":[]}`, 400},
		{`{"type":"codenow.ci.result.event","pipelineId":"a","payload":[{"type":"kontainer"}]}`, 422},
		{`{"type":"codenow.ci.end.event","pipelineId":"a","result":"EXPLODED"}`, 422},
		{`{"type":"codenow.ci.paused.event","pipelineId":"a"}`, 422},
	} {
		res := m.Apply(mapping.Input{Request: request(Sample{Path: "/ci/webhook", Body: []byte(c.body)}, "codenow")})
		if res.Problem == nil || res.Problem.Status != c.status {
			t.Errorf("%s: %v (status %d), want status %d", c.body, res.Problem, statusOf(res.Problem), c.status)
		}
	}
}

// Bodies that no tool sends get an answer that says what is wrong with them.
func TestOddBodies(t *testing.T) {
	set := load(t)
	bodies := []string{"", " ", "null", "0", "[]", `"x"`, "{}", `[{"type":1}]`, "a=b", "--x\r\n", "\x00", "\xff\xfe{}", "<run/>",
		`{"type":{},"payload":7,"object_kind":[],"workflow_run":"x","data":[]}`,
		`{"payload":"[1]","data":null}`, strings.Repeat("[", 100000), strings.Repeat(`{"payload":`, 40) + "1" + strings.Repeat("}", 40)}
	for _, name := range set.Names() {
		for _, body := range bodies {
			req := request(Sample{Path: "/in/x", Body: []byte(body), Header: map[string]string{"x-github-event": "workflow_run"}}, name)
			res := set.Get(name).Apply(mapping.Input{Request: req})
			if res.Outcome == "" || res.Reason == "internal error" {
				t.Errorf("%s: %.40q has outcome %q, reason %q", name, body, res.Outcome, res.Reason)
			}
			if status := statusOf(res.Problem); set.Get(name).Strict && status != 400 && status != 422 {
				t.Errorf("%s: %.40q has status %d: %v", name, body, status, res.Problem)
			}
		}
	}
}

func TestRoutes(t *testing.T) {
	set := load(t)
	for path, want := range map[string]string{
		"/ci/webhook":                            "codenow",
		"/v1/custom-cicd":                        "harness-sei",
		"/v1/generic-requests":                   "harness-sei",
		"/v1/generic-requests/multipart":         "harness-sei",
		"/v1/cicd/instances":                     "harness-sei",
		"/gratis/sei/api/v1/custom-cicd":         "harness-sei",
		"/prod1/sei/api/v1/generic-requests":     "harness-sei",
		"/sei/api/v1/generic-requests/multipart": "harness-sei",
		"/prod1/sei/api/v1/cicd/instances":       "harness-sei",
		"/xv1/custom-cicd":                       "",
		"/v1/custom-cicd/more":                   "",
	} {
		got := ""
		if m, ok := set.Match("POST", path); ok {
			got = m.Name
		}
		if got != want {
			t.Errorf("POST %s goes to %q, want %q", path, got, want)
		}
	}
}

// A sender that tries again may write a new time into its start event: that is
// not a second start.
func TestStartOfCodeNOWIsTheSameWithAnotherTime(t *testing.T) {
	m := load(t).Get("codenow")
	once := func(version, at string) string {
		body := fmt.Sprintf(`{"type":"codenow.ci.start.event","pipelineId":"a","componentId":"shop","buildVersion":%q,"createdAt":%q}`, version, at)
		res := m.Apply(mapping.Input{Request: request(Sample{Path: "/ci/webhook", Body: []byte(body)}, "codenow")})
		if len(res.Events) != 1 || res.Events[0].Once == "" {
			t.Fatalf("%s: %v", body, res.Problem)
		}
		return res.Events[0].Once
	}
	first := once("1.0.0", "2026-02-11T09:14:02Z")
	if again := once("1.0.0", "2026-02-11T09:20:00Z"); again != first {
		t.Error("another createdAt makes another start")
	}
	if other := once("2.0.0", "2026-02-11T09:14:02Z"); other == first {
		t.Error("another buildVersion is the same start")
	}
}

func statusOf(p *mapping.Problem) int {
	if p == nil {
		return 0
	}
	return p.Status
}

// Every payload is there for a test: one that no test names tests nothing.
func TestPayloadsAreUsed(t *testing.T) {
	var tests strings.Builder
	for _, f := range Files() {
		tests.Write(f.Data)
	}
	files, err := filepath.Glob(filepath.Join("..", "testdata", "payloads", "*", "*"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d payloads found: %v", len(files), err)
	}
	for _, file := range files {
		if !strings.Contains(tests.String(), filepath.ToSlash(file)) {
			t.Errorf("no test uses %s", file)
		}
		info, err := os.Stat(file)
		if err != nil || info.Size() == 0 {
			t.Errorf("%s is empty: %v", file, err)
		}
	}
}
