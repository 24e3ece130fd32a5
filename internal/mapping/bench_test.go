package mapping

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// shipped loads the mappings that ship with the program.
func shipped(tb testing.TB) *Set {
	tb.Helper()
	names, err := filepath.Glob("../../mappings/*.yaml")
	if err != nil || len(names) == 0 {
		tb.Fatalf("no mappings: %v", err)
	}
	var files []File
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, File{Name: name, Data: data})
	}
	set, problems := Load(files)
	if err := problems.Err(); err != nil {
		tb.Fatal(err)
	}
	return set
}

func request(body []byte, header map[string]string) *bridge.Request {
	if header == nil {
		header = map[string]string{}
	}
	return &bridge.Request{ID: "evt_1", Method: "POST", Path: "/in/test", Header: header, Body: body, Received: time.Date(2026, 2, 11, 9, 20, 0, 0, time.UTC)}
}

func BenchmarkApply(b *testing.B) {
	set := shipped(b)
	for _, bc := range []struct {
		name, mapping, file string
		header              map[string]string
	}{
		{"codenow_result", "codenow", "codenow/result.git-revision.json", nil},
		{"sei", "harness-sei", "harness-sei/flat-new-names.json", nil},
		{"github_workflow_run", "github-actions", "github/workflow_run.completed-success.json", map[string]string{"x-github-event": "workflow_run", "x-github-delivery": "a"}},
		{"github_workflow_job", "github-actions", "github/workflow_job.completed.json", map[string]string{"x-github-event": "workflow_job", "x-github-delivery": "a"}},
		{"gitlab_pipeline", "gitlab", "gitlab/pipeline.5-success.json", nil},
	} {
		body, err := os.ReadFile("../../testdata/payloads/" + bc.file)
		if err != nil {
			b.Fatal(err)
		}
		m := set.Get(bc.mapping)
		in := Input{Request: request(body, bc.header), Source: bridge.Source{ID: "s"}}
		if res := m.Apply(in); len(res.Events) == 0 {
			b.Fatalf("%s: %+v", bc.name, res)
		}
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				m.Apply(in)
			}
		})
		b.Run(bc.name+"/scan", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := lang.Scan(body, 0, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	data, err := os.ReadFile("../../mappings/github-actions.yaml")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ps := Load([]File{{Name: "a.yaml", Data: data}}); len(ps) > 0 {
			b.Fatal(ps)
		}
	}
}
