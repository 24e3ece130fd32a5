package mapping

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/tidwall/gjson"

	"cibridge/bridge"
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

// applyCases are payloads of the usual kinds. github_workflow_run is cut to the
// 10 KB that most of them have.
var applyCases = []struct {
	name, mapping, file string
	header              map[string]string
	size                int
}{
	{name: "codenow_result", mapping: "codenow", file: "codenow/result.git-revision.json"},
	{name: "codenow_result_all", mapping: "codenow", file: "codenow/result.all.json"},
	{name: "sei", mapping: "harness-sei", file: "harness-sei/flat-new-names.json"},
	{name: "github_workflow_run_10k", mapping: "github-actions", file: "github/workflow_run.completed-success.json", header: githubHeader("workflow_run"), size: 10 << 10},
	{name: "github_workflow_run", mapping: "github-actions", file: "github/workflow_run.completed-success.json", header: githubHeader("workflow_run")},
	{name: "github_workflow_job", mapping: "github-actions", file: "github/workflow_job.completed.json", header: githubHeader("workflow_job")},
	{name: "gitlab_pipeline", mapping: "gitlab", file: "gitlab/pipeline.5-success.json"},
}

func githubHeader(event string) map[string]string {
	return map[string]string{"x-github-event": event, "x-github-delivery": "a"}
}

// BenchmarkApply measures the mapping step alone, and beside it what it costs
// to validate the payload with gjson and get the same values one by one:
// x-gjson is the ratio of the two, in turns and so under the same load.
func BenchmarkApply(b *testing.B) {
	set := shipped(b)
	for _, bc := range applyCases {
		body, err := os.ReadFile("../../testdata/payloads/" + bc.file)
		if err != nil {
			b.Fatal(err)
		}
		if bc.size > 0 {
			body = shrink(b, body, bc.size)
		}
		m := set.Get(bc.mapping)
		in := Input{Request: request(body, bc.header), Source: bridge.Source{ID: "s"}}
		rec := &recorder{}
		if res := m.apply(in, rec); len(res.Events) == 0 {
			b.Fatalf("%s: %+v", bc.name, res)
		}
		paths := rec.trace.Lookups()
		slices.Sort(paths)
		paths = slices.Compact(paths)
		b.Run(bc.name, func(b *testing.B) {
			var ours, theirs time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				m.Apply(in)
				middle := time.Now()
				raw(b, body, paths)
				ours, theirs = ours+middle.Sub(start), theirs+time.Since(middle)
			}
			b.ReportMetric(float64(ours)/float64(b.N), "ns/op")
			b.ReportMetric(float64(theirs)/float64(b.N), "gjson-ns")
			b.ReportMetric(float64(ours)/float64(theirs), "x-gjson")
			b.ReportMetric(float64(len(paths)), "gets")
			b.ReportMetric(float64(len(body)), "bytes")
		})
	}
}

// shrink returns a payload of GitHub without copies of the repository and, down
// to size bytes, without addresses that nobody reads.
func shrink(b *testing.B, body []byte, size int) []byte {
	var payload struct {
		Action  string                     `json:"action"`
		Run     map[string]json.RawMessage `json:"workflow_run"`
		Repo    map[string]json.RawMessage `json:"repository"`
		Sender  json.RawMessage            `json:"sender"`
		Routine json.RawMessage            `json:"workflow"`
	}
	if err := json.Unmarshal(body, &payload); err != nil {
		b.Fatal(err)
	}
	delete(payload.Run, "head_repository")
	delete(payload.Run, "repository")
	for _, name := range slices.Sorted(maps.Keys(payload.Repo)) {
		text, err := json.Marshal(payload)
		if err != nil {
			b.Fatal(err)
		}
		if len(text) <= size {
			return text
		}
		if strings.HasSuffix(name, "_url") && name != "html_url" {
			delete(payload.Repo, name)
		}
	}
	b.Fatalf("the payload is still larger than %d bytes", size)
	return nil
}

// raw is the least that anybody could do: validate, and get each value once.
// It allocates nothing, so that the allocations of the benchmark are ours.
func raw(b *testing.B, body []byte, paths []string) {
	if !gjson.ValidBytes(body) {
		b.Fatal("not valid")
	}
	text := unsafe.String(unsafe.SliceData(body), len(body))
	for _, p := range paths {
		gjson.Get(text, p)
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
