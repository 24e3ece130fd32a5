package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sent is one request of a CI tool.
type sent struct {
	path   string
	header map[string]string
	body   string
}

func (s *stack) post(r sent) {
	s.t.Helper()
	if status, answer := s.do("POST", r.path, r.header, []byte(r.body)); status >= 300 {
		s.t.Fatalf("POST %s: %d %s\n%s", r.path, status, answer, r.body)
	}
}

// shaOf makes a commit of a name.
func shaOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:20])
}

// codenow returns the events of one CodeNOW build, by name.
func codenow(key, pipeline string) map[string]sent {
	event := func(kind, rest string) sent {
		return sent{"/ci/webhook", map[string]string{"X-Codenow-Api-Key": key, "Content-Type": "application/vnd.codenow.v1+json"},
			fmt.Sprintf(`{"type":"codenow.ci.%s.event","version":"application/vnd.codenow.v1+json","pipelineId":%q,%s}`, kind, pipeline, rest)}
	}
	result := func(item string) sent {
		return event("result", `"createdAt":"2026-02-01T10:00:10.000Z","payload":[{"version":"v1",`+item+`}]`)
	}
	artifact := `"repositoryUrl":"https://registry.acme.example","artifactPath":"shop/api","artifactVersion":"1.0.0"`
	return map[string]sent{
		"start":     event("start", `"createdAt":"2026-02-01T10:00:00.000Z","componentId":"shop","buildVersion":"1.0.0","actor":{"username":"mlind"}`),
		"revision":  result(`"type":"git-revision","repositoryUrl":"https://github.com/acme/shop","branch":"main","commitSha":"` + shaOf(pipeline) + `"`),
		"container": result(`"type":"container",` + artifact),
		"helm":      result(`"type":"helm",` + artifact),
		"end":       event("end", `"createdAt":"2026-02-01T10:05:00.000Z","result":"SUCCESSFUL"`),
	}
}

// permutations calls do with every order of names.
func permutations(names []string, do func([]string)) {
	var walk func(done, left []string)
	walk = func(done, left []string) {
		if len(left) == 0 {
			do(done)
			return
		}
		for i := range left {
			walk(append(slices.Clone(done), left[i]), slices.Delete(slices.Clone(left), i, i+1))
		}
	}
	walk(nil, names)
}

// checkStates complains unless a commit shows success last, with at most one
// pending, and that first. A run that was incomplete for a while succeeds
// twice: the second time its description names nothing missing.
func checkStates(got []string) error {
	if len(got) == 0 || got[len(got)-1] != "success" || slices.Contains(got[1:], "pending") {
		return fmt.Errorf("states %v, want success last and pending at most once, before it", got)
	}
	return nil
}

func (s *stack) runOf(sha string) (map[string]any, error) {
	s.t.Helper()
	var got list[map[string]any]
	s.admin("GET", "/api/v1/runs?sha="+sha, nil, &got)
	if len(got.Items) != 1 {
		return nil, fmt.Errorf("%d runs of %s", len(got.Items), sha)
	}
	return got.Items[0], nil
}

// settled waits until nothing is left to send.
func (s *stack) settled(within time.Duration) {
	s.t.Helper()
	eventually(s.t, within, func() error {
		var got list[map[string]any]
		for _, state := range []string{"pending", "sending"} {
			s.admin("GET", "/api/v1/deliveries?limit=1&state="+state, nil, &got)
			if len(got.Items) > 0 {
				return fmt.Errorf("%s deliveries are left: %v", state, got.Items[0])
			}
		}
		return nil
	})
}

func TestCodeNOWInEveryOrder(t *testing.T) {
	for name, doubled := range map[string]bool{"once": false, "every event twice": true} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			s.application("github", s.forge.url)
			s.hook(map[string]any{"name": "ci", "profile": "github"})
			var pipelines []string
			permutations([]string{"start", "revision", "container", "helm", "end"}, func(order []string) {
				pipeline := "build-" + strings.Join(order, "-")
				pipelines = append(pipelines, pipeline)
				events := codenow(s.key("codenow"), pipeline)
				for _, event := range order {
					s.post(events[event])
					if doubled {
						s.post(events[event])
					}
				}
			})
			s.settled(30 * time.Second)
			pending, commits := 0, s.commits()
			for _, pipeline := range pipelines {
				sha := shaOf(pipeline)
				states := statesOf(commits[sha], defaultContext)
				if err := checkStates(states); err != nil {
					t.Errorf("%s: %v", pipeline, err)
					continue
				}
				if states[0] == "pending" {
					pending++
				}
				if strings.HasPrefix(pipeline, "build-start-revision") && strings.HasSuffix(pipeline, "-end") && !slices.Equal(states, []string{"pending", "success"}) {
					t.Errorf("%s: states %v, want one pending and one success", pipeline, states)
				}
				if run, err := s.runOf(sha); err != nil || run["status"] != "succeeded" {
					t.Errorf("%s: %v, %v", pipeline, run["status"], err)
				}
			}
			if pending == 0 {
				t.Error("no order showed pending: action.started is never sent")
			}
		})
	}
}

func TestCodeNOWWithoutHelmIsIncomplete(t *testing.T) {
	s := newStack(t)
	s.application("github", s.forge.url)
	s.hook(map[string]any{"name": "ci", "profile": "github"})
	events := codenow(s.key("codenow"), "late-helm")
	for _, e := range []string{"start", "revision", "container", "end"} {
		s.post(events[e])
	}
	run, err := s.runOf(shaOf("late-helm"))
	if err != nil || run["status"] != "incomplete" || fmt.Sprint(run["incomplete"]) != "[artifact.helm]" {
		t.Fatalf("status %v, missing %v, %v", run["status"], run["incomplete"], err)
	}
	eventually(t, 10*time.Second, func() error {
		if got := s.shown(shaOf("late-helm")); got.State != "success" || !strings.Contains(got.Description, "artifact.helm") {
			return fmt.Errorf("the commit shows %+v, want success that names the missing artifact.helm", got)
		}
		return nil
	})
	s.post(events["helm"])
	if run, err := s.runOf(shaOf("late-helm")); err != nil || run["status"] != "succeeded" {
		t.Fatalf("status %v, %v", run["status"], err)
	}
	eventually(t, 10*time.Second, func() error {
		if got := s.shown(shaOf("late-helm")); strings.Contains(got.Description, "missing") {
			return fmt.Errorf("the commit still shows %+v", got)
		}
		return nil
	})
}

// TestDevopnessGuide posts the three hooks of the Devopness guide for GitHub as
// they stand there, with OWNER/REPO and the states filled in.
func TestDevopnessGuide(t *testing.T) {
	s := newStack(t)
	s.application("github", s.forge.url)
	for event, state := range map[string]string{"action.started": "pending", "action.failed": "failure", "action.completed": "success"} {
		s.hook(map[string]any{
			"name": "CI(build)", "action_type": "deploy",
			"target_url": s.forge.url + "/repos/acme/shop/statuses/{{ action.triggered_from.hook_parsed_variables.commit_hash }}",
			"settings": map[string]any{
				"request_headers": []any{map[string]any{"name": "Authorization", "value": "Bearer {{ application.source_provider.access_token }}"}},
				"request_body": map[string]any{"state": state, "target_url": "https://app.devopness.com/actions/{{ action.id }}", "url": "https://app.devopness.com/actions/{{ action.id }}",
					"description": "Application building " + state, "context": "ci/devopness(build)", "key": "ci/devopness(build)"},
			},
			"trigger_when": map[string]any{"events": []string{event}},
		})
	}
	var pipelines []string
	permutations([]string{"start", "revision", "end"}, func(order []string) {
		pipeline := "guide-" + strings.Join(order, "-")
		pipelines = append(pipelines, pipeline)
		events := codenow(s.key("codenow"), pipeline)
		for _, e := range order {
			s.post(events[e])
		}
	})
	s.settled(30 * time.Second)
	for _, pipeline := range pipelines {
		if err := checkStates(statesOf(s.commits()[shaOf(pipeline)], "ci/devopness(build)")); err != nil {
			t.Errorf("%s: %v", pipeline, err)
		}
	}
}

// payload reads a payload of testdata and replaces what makes it this run.
func payload(t *testing.T, file string, replace ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "payloads", file))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(data), replace[i]) {
			t.Fatalf("%s does not hold %q", file, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(string(data))
}

const payloadSHA = "3f9d1c5ab7e24680c1d5f0a9e8b7c6d5e4f30211"

func githubEvent(event, delivery, body string) sent {
	mac := hmac.New(sha256.New, []byte(githubSecret))
	mac.Write([]byte(body))
	return sent{"/in/gh", map[string]string{"Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": delivery,
		"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil))}, body}
}

func TestGitHubInEveryOrder(t *testing.T) {
	s := newStack(t)
	s.admin("POST", "/api/v1/sources", map[string]any{"id": "gh", "mapping": "github-actions", "secrets": []string{githubSecret}}, nil)
	s.application("github", s.forge.url)
	s.hook(map[string]any{"name": "ci", "profile": "github"})
	var runs []string
	permutations([]string{"requested", "in_progress", "completed-success"}, func(order []string) {
		id := fmt.Sprintf("194088%05d", len(runs))
		runs = append(runs, id)
		for _, phase := range order {
			body := payload(t, "github/workflow_run."+phase+".json", "19408812734", id, payloadSHA, shaOf(id))
			s.post(githubEvent("workflow_run", id+phase, body))
		}
	})
	s.settled(30 * time.Second)
	for _, id := range runs {
		if got := s.states(shaOf(id)); len(got) == 0 || got[len(got)-1] != "success" || slices.Index(got, "success") != len(got)-1 {
			t.Errorf("run %s: states %v, want success last and once", id, got)
		}
	}
}

func TestGitLabRetryTurnsGreen(t *testing.T) {
	s := newStack(t)
	s.admin("POST", "/api/v1/sources", map[string]any{"id": "gl", "mapping": "gitlab", "secrets": []string{gitlabSecret}}, nil)
	s.application("gitlab", s.forge.url+"/api/v4")
	s.hook(map[string]any{"name": "ci", "profile": "gitlab"})
	var sha string
	for i, phase := range []string{"1-pending", "2-running", "3-failed", "4-retry-running", "5-success"} {
		body := payload(t, "gitlab/pipeline."+phase+".json")
		if sha == "" {
			var p struct {
				ObjectAttributes struct{ SHA string } `json:"object_attributes"`
			}
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatal(err)
			}
			sha = p.ObjectAttributes.SHA
		}
		s.post(sent{"/in/gl", map[string]string{"X-Gitlab-Token": gitlabSecret, "X-Gitlab-Event": "Pipeline Hook", "Idempotency-Key": fmt.Sprint("e2e-", i), "Content-Type": "application/json"}, body})
		s.settled(30 * time.Second)
	}
	if got, want := s.states(sha), []string{"pending", "running", "failed", "running", "success"}; !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
	var got list[map[string]any]
	s.admin("GET", "/api/v1/runs?source=gl", nil, &got)
	if len(got.Items) != 1 || got.Items[0]["status"] != "succeeded" {
		t.Errorf("runs %v", got.Items)
	}
}

// TestGitLabStaysInOnePipeline makes a new pipeline for the commit between two
// states: the second one goes where the first is.
func TestGitLabStaysInOnePipeline(t *testing.T) {
	s := newStack(t)
	s.application("gitlab", s.forge.url)
	s.hook(map[string]any{"name": "ci", "profile": "gitlab", "context": "ci/build"})
	sha, key := shaOf(t.Name()), s.key("codenow")
	post := func(event, more string) {
		s.post(sent{"/ci/webhook", map[string]string{"X-Codenow-Api-Key": key}, fmt.Sprintf(`{"type":"codenow.ci.%s.event","pipelineId":"b1",%s}`, event, more)})
		s.settled(20 * time.Second)
	}
	post("start", `"componentId":"shop","buildVersion":"1"`)
	post("result", `"payload":[{"type":"git-revision","version":"v1","repositoryUrl":"https://gitlab.com/acme/shop","branch":"main","commitSha":"`+sha+`"}]`)
	if status, answer, err := request("POST", s.forge.url+"/_forge/pipelines", nil, []byte(`{"repository":"acme/shop","sha":"`+sha+`"}`)); status != 204 || err != nil {
		t.Fatalf("forge: %d %v %s", status, err, answer)
	}
	post("end", `"result":"FAILED"`)
	if got := s.commits()[sha]; len(got) != 1 || !slices.Equal(statesOf(got, "ci/build"), []string{"running", "failed"}) {
		t.Errorf("the commit shows %+v", got)
	}
}

// TestSEIVariants posts every body that real SEI clients send.
func TestSEIVariants(t *testing.T) {
	s := newStack(t)
	files, err := filepath.Glob("../../testdata/payloads/harness-sei/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no payloads: %v", err)
	}
	header := map[string]string{"Authorization": "ApiKey " + s.key("harness-sei"), "Content-Type": "application/json"}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			body := []byte(payload(t, "harness-sei/"+name))
			path, header := "/v1/custom-cicd", header
			switch {
			case strings.HasPrefix(name, "instance"):
				path = "/v1/cicd/instances"
			case strings.HasSuffix(name, ".multipart"):
				boundary, _, _ := strings.Cut(strings.TrimPrefix(string(body), "--"), "\r\n")
				header = map[string]string{"Authorization": "Apikey " + s.key("harness-sei"), "Content-Type": "multipart/mixed; boundary=" + boundary}
				path = "/v1/generic-requests/multipart"
			case strings.Contains(string(body), `"request_type"`):
				path = "/v1/generic-requests"
			}
			status, answer := s.do("POST", path, header, body)
			want := 202
			switch {
			case strings.HasPrefix(name, "invalid-"):
				want = 400
			case strings.HasPrefix(name, "instance"):
				want = 200
			}
			if status != want {
				t.Fatalf("%s: %d %s, want %d", path, status, answer, want)
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(answer), &got); err != nil {
				t.Fatalf("answer %q: %v", answer, err)
			}
			switch want {
			case 202:
				if got["response_type"] == nil || got["payload"] == nil {
					t.Errorf("answer %s, want response_type and payload", answer)
				}
			case 200:
				if got["id"] == nil {
					t.Errorf("answer %s, want an id", answer)
				}
			case 400:
				if text, _ := got["payload"].(string); !strings.Contains(text, "line ") {
					t.Errorf("answer %s, want the line of the mistake", answer)
				}
			}
		})
	}
	var got list[map[string]any]
	s.admin("GET", "/api/v1/runs?source=harness-sei&limit=100", nil, &got)
	if len(got.Items) < 10 {
		t.Errorf("%d runs, want one for each job that was posted", len(got.Items))
	}
	// a prefix of the route, as the vendor's own hosts have it
	if status, answer := s.do("POST", "/gratis/sei/api/v1/custom-cicd", header, []byte(payload(t, "harness-sei/flat-new-names.json"))); status != 202 {
		t.Errorf("with a prefix: %d %s", status, answer)
	}
}

// TestEveryProvider sends one finished run to each source provider, with the
// address that people find in its documentation.
func TestEveryProvider(t *testing.T) {
	for provider, path := range map[string]string{"github": "", "github enterprise": "/api/v3", "gitlab": "/api/v4", "gitlab, its plain address": "", "gitea": "/api/v1", "gitea, its plain address": "",
		"bitbucket": "", "bitbucket-dc": "/bitbucket", "azure-devops": "/acme", "harness-code": ""} {
		t.Run(provider, func(t *testing.T) {
			s := newStack(t)
			name, _, _ := strings.Cut(strings.ReplaceAll(provider, ",", " "), " ")
			s.application(name, s.forge.url+path)
			s.hook(map[string]any{"name": "ci", "profile": name, "context": "ci/build"})
			sha := shaOf(provider)
			s.post(sent{"/v1/custom-cicd", map[string]string{"Authorization": "Bearer " + s.key("harness-sei")}, payload(t, "harness-sei/flat-new-names.json", payloadSHA, sha, `"result": "success"`, `"result": "FAILED"`)})
			s.settled(20 * time.Second)
			want := map[string]string{"github": "failure", "gitea": "failure", "gitlab": "failed", "bitbucket": "FAILED", "bitbucket-dc": "FAILED", "azure-devops": "failed", "harness-code": "failure"}[name]
			context := "ci/build"
			switch name {
			case "azure-devops":
				context = "cibridge/ci/build" // its genre comes first
			case "harness-code":
				context = "ci-build-178699854547" // a slash cannot be in an identifier
			}
			if got := statesOf(s.commits()[sha], context); !slices.Equal(got, []string{want}) {
				t.Errorf("states %v, want %s", got, want)
			}
		})
	}
}
