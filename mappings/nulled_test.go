package mappings

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/mapping"
)

// essential are the members without which an event may be refused: they make
// the run's key, tell the event apart, or are what the tool itself insists on.
// Everything else may be null at any time. A * stands for one step.
var essential = map[string][]string{
	"codenow":        {"type", "pipelineId", "componentId", "buildVersion", "result", "payload", "payload.*", "payload.*.type", "payload.*.artifactPath", "payload.*.artifactVersion"},
	"harness-sei":    {"payload", "data", "pipeline", "job_name", "instance_guid", "jenkins_instance_guid", "instance_name", "jenkins_instance_name", "job_full_name", "qualified_name", "job_normalized_full_name", "result"},
	"github-actions": {"workflow_run", "workflow_run.id", "workflow_job", "workflow_job.run_id", "check_run", "check_run.id", "sha", "context", "deployment", "deployment.id"},
	"gitlab":         {"object_kind", "object_attributes", "object_attributes.id", "commit", "commit.id"},
}

// A null anywhere in a payload must not lose the event. Guards written by hand
// lose some; the language has to make them needless.
func TestNullsLoseNoEvent(t *testing.T) {
	set := load(t)
	tried, needed := 0, map[string]bool{}
	for _, dir := range []struct{ mapping, name string }{{"codenow", "codenow"}, {"harness-sei", "harness-sei"}, {"github-actions", "github"}, {"gitlab", "gitlab"}} {
		m := set.Get(dir.mapping)
		files, err := filepath.Glob(filepath.Join("..", "testdata", "payloads", dir.name, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no payloads of %s: %v", dir.name, err)
		}
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			header := map[string]string{}
			if dir.name == "github" {
				header["x-github-event"], _, _ = strings.Cut(filepath.Base(file), ".")
			}
			apply := func(body []byte) mapping.Result {
				return m.Apply(mapping.Input{Request: &bridge.Request{Method: "POST", Path: "/in/x", Header: header, Body: body, Received: time.UnixMilli(1770802200000)}})
			}
			whole := apply(body)
			if whole.Outcome != "" {
				continue
			}
			var doc any
			d := json.NewDecoder(bytes.NewReader(body))
			d.UseNumber()
			if err := d.Decode(&doc); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			nulls(doc, "", func(path string) {
				tried++
				body, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				res := apply(body)
				if !lost(whole, res) {
					return
				}
				pattern := essentialPattern(m.Name, path)
				needed[m.Name+" "+pattern] = true
				if pattern == "" {
					t.Errorf("%s: with %s null the outcome is %q (%v), %d of %d events", filepath.Base(file), path, res.Outcome, res.Problem, len(res.Events), len(whole.Events))
				}
			})
		}
	}
	for name, patterns := range essential {
		for _, p := range patterns {
			if !needed[name+" "+p] {
				t.Errorf("%s: %s is listed as essential, but no event was lost without it", name, p)
			}
		}
	}
	t.Logf("%d payloads with one null", tried)
}

// lost reports whether whole had events and res has none.
func lost(whole, res mapping.Result) bool {
	return len(whole.Events) > 0 && (res.Outcome != "" || len(res.Events) == 0)
}

// essentialPattern returns the pattern of essential that path fits, or "".
func essentialPattern(name, path string) string {
	if name == "harness-sei" { // the same members, wrapped
		path = strings.TrimPrefix(strings.TrimPrefix(path, "payload."), "data.")
	}
	parts := strings.Split(path, ".")
	for _, pattern := range essential[name] {
		want := strings.Split(pattern, ".")
		fits := len(parts) == len(want)
		for i := 0; fits && i < len(parts); i++ {
			fits = want[i] == "*" || want[i] == parts[i]
		}
		if fits {
			return pattern
		}
	}
	return ""
}

// nulls sets one value below v after the other to null, calls f, and puts the
// value back. What no mapping reads of
// GitHub's long payloads is left out.
func nulls(v any, path string, f func(path string)) {
	visit := func(key string, old any, set func(any)) {
		if strings.HasSuffix(key, "_url") && key != "html_url" || slices.Contains([]string{"node_id", "sender", "organization", "head_repository"}, key) {
			return
		}
		p := strings.TrimPrefix(path+"."+key, ".")
		if old != nil {
			set(nil)
			f(p)
			set(old)
		}
		nulls(old, p, f)
	}
	switch v := v.(type) {
	case map[string]any:
		for key, old := range v {
			visit(key, old, func(x any) { v[key] = x })
		}
	case []any:
		for i, old := range v {
			visit(strconv.Itoa(i), old, func(x any) { v[i] = x })
		}
	}
}
