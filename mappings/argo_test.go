package mappings

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/mapping"
)

// The template is what people paste: what it posts, with what Argo fills in, is
// the format.
func TestTemplateOfArgoPostsTheFormat(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "configs", "argo-workflows.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, found := strings.Cut(string(data), "body: |\n")
	if !found {
		t.Fatal("the template posts no body")
	}
	variables := map[string]string{
		"inputs.parameters.phase": "Running", "workflow.uid": "u1", "workflow.name": "shop-build-8xq2z", "workflow.namespace": "ci",
		"workflow.creationTimestamp.RFC3339": "2026-02-11T09:14:02Z", "workflow.duration": "0.512633",
		"workflow.parameters.pipeline": "shop-build", "workflow.parameters.repository": "https://git.acme.example/acme/shop",
		"workflow.parameters.revision": "3f9d1c5ab7e24680c1d5f0a9e8b7c6d5e4f30211", "workflow.parameters.branch": "",
	}
	body = regexp.MustCompile(`\{\{(.+?)\}\}`).ReplaceAllStringFunc(body, func(s string) string {
		value, known := variables[strings.Trim(s, "{}")]
		if !known {
			t.Errorf("the template has %s, which this test does not fill", s)
		}
		return value
	})
	m := load(t).Get("argo-workflows")
	res := m.Apply(mapping.Input{Request: request(Sample{Body: []byte(body)}, m.Name)})
	if len(res.Events) != 1 || len(res.Warnings) > 0 {
		t.Fatalf("%s\ngives %d events, outcome %q, %s, warnings %q", body, len(res.Events), res.Outcome, res.Reason, res.Warnings)
	}
	ev := res.Events[0]
	if ev.RunKey != "workflow/u1" || ev.Status != bridge.Running {
		t.Errorf("run %s is %s, want workflow/u1 running", ev.RunKey, ev.Status)
	}
	for field, want := range map[string]any{"pipeline.id": "ci/shop-build", "commit.sha": variables["workflow.parameters.revision"], "repo.full_name": "acme/shop", "commit.branch": nil} {
		if got := ev.Fields[field]; got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	if header := m.Auth()[0].Header; !strings.Contains(string(data), "name: "+header+",") {
		t.Errorf("the template sends no header %s, which the mapping wants", header)
	}
}
