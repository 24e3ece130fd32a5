package api

import (
	"net/http"
	"strings"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/redact"
)

// withSecrets makes a rig whose server knows secrets.
func withSecrets(t *testing.T, secrets ...string) *rig {
	t.Helper()
	known := &redact.Masker{}
	for _, s := range secrets {
		known.Add(s)
	}
	return newRig(t, func(c *Config) { c.Known = func() *redact.Masker { return known } })
}

// last of all that arrived, as an operator sees it.
func (r *rig) rawOfLast(t *testing.T) map[string]any {
	t.Helper()
	a := r.admin("GET", "/api/v1/events/"+r.last().ID+"/raw", "")
	if a.status != http.StatusOK {
		t.Fatalf("raw: %d %s", a.status, a.body)
	}
	return a.json(t)
}

// A stored request is shown without its secrets: those that a mapping names by
// place, those with a secret name, those in URLs, those that the server knows.
func TestRawIsRedacted(t *testing.T) {
	r := withSecrets(t, "a secret of the server")
	body := `{"object_kind":"pipeline","object_attributes":{"id":7,"status":"success","variables":[{"key":"REGION","value":"eu-1"},{"key":"N","value":5}]},` +
		`"project":{"git_http_url":"https://ci:hunter2222@git.example/acme/shop"},"commit":{"message":"say a secret of the server"},"runners_token":"abc"}`
	r.send("POST", "/in/gitlab?trace=a+secret+of+the+server&api_key=k", body, "X-Gitlab-Token", gitlabToken, "X-Forwarded-Access-Token", "t", "Content-Type", "application/json",
		"Referer", "https://u:p1234567@h/").is(t, 202, "*")
	got := r.rawOfLast(t)
	want := `{"object_kind":"pipeline","object_attributes":{"id":7,"status":"success","variables":[{"key":"REGION","value":"***"},{"key":"N","value":"***"}]},` +
		`"project":{"git_http_url":"https://***@git.example/acme/shop"},"commit":{"message":"say ***"},"runners_token":"***"}`
	if got["body"] != want {
		t.Errorf("body\n got %s\nwant %s", got["body"], want)
	}
	headers, query := got["headers"].(map[string]any), got["query"].(map[string]any)
	if headers["x-forwarded-access-token"] != "***" || headers["x-gitlab-token"] != nil || headers["referer"] != "https://***@h/" {
		t.Errorf("headers %v", headers)
	}
	if query["trace"] != "***" || query["api_key"] != nil {
		t.Errorf("query %v", query)
	}
	if got["redacted"] != 8.0 || got["content_type"] != "application/json" || got["bytes"] != float64(len(body)) || got["path"] != "/in/gitlab" {
		t.Errorf("got %v", got)
	}
	if stored := string(r.requests[0].Body); stored != body {
		t.Errorf("the stored body is not what came: %s", stored)
	}
	r.admin("GET", "/api/v1/events/evt_x/raw", "").is(t, 404, "*")
	r.admin("GET", "/api/v1/events/evt_x/raw?as=text", "").is(t, 422, "*")
	r.send("GET", "/api/v1/events/"+r.last().ID+"/raw", "").is(t, 401, "*")
}

// The places of a mapping that is gone are not forgotten.
func TestRawOfMappingThatIsGone(t *testing.T) {
	r := newRig(t, nil)
	r.memory.record(Submission{Request: bridge.Request{ID: "evt_1", Mapping: "gone", Body: []byte(`{"build":{"parameters":{"A":"x"}},"a":"y"}`)}}, Receipt{})
	if got := r.rawOfLast(t)["body"]; got != `{"build":{"parameters":{"A":"***"}},"a":"y"}` {
		t.Errorf("body %s", got)
	}
}

// What a mapping makes of a request has no secrets any more when it is
// committed: it goes to hooks and logs.
func TestRunsAreRedacted(t *testing.T) {
	r := withSecrets(t, "a secret of the server")
	r.key("jobs", bridge.Key{Source: "jenkins-notification", Account: true})
	body := `{"url":"job/shop/","build":{"number":1,"phase":"COMPLETED","status":"SUCCESS","timestamp":1772362800000,"scm":{"url":"https://ci:hunter2222@git.example/acme/shop","commit":"3f9d1c5ab7e24680c1d5f0a9e8b7c6d5e4f30211"},"notes":"has a secret of the server"}}`
	r.send("POST", "/in/jenkins-notification?token=a+secret+that+is+long", body).is(t, 202, "*")
	a := r.admin("GET", "/api/v1/runs", "")
	if strings.Contains(a.body, "hunter") || strings.Contains(a.body, "secret of") || !strings.Contains(a.body, "git.example/acme/shop") {
		t.Errorf("runs %s", a.body)
	}
	for _, run := range r.runs {
		if v, _ := run.Field("repo.url"); strings.Contains(v.(string), "hunter") {
			t.Errorf("the run keeps %s", v)
		}
	}
	// A dry run shows no more than that.
	dry := r.send("POST", "/in/jenkins-notification?token=a+secret+that+is+long", body, headerDryRun, "1")
	if dry.status != http.StatusOK || strings.Contains(dry.body, "hunter") || strings.Contains(dry.body, "secret of") {
		t.Errorf("dry run %d %s", dry.status, dry.body)
	}
	// Nor do answers and logs of what was refused.
	for _, word := range []string{"a secret of the server", "https://x:hunter2222@h/"} {
		no := r.send("POST", "/in/native", `{"type":"build","id":"1","app":"shop","state":"`+word+`"}`, "Authorization", "Bearer "+r.keys["native"])
		if strings.Contains(no.body, "hunter") || strings.Contains(r.last().Reason, word) || strings.Contains(no.body, word) {
			t.Errorf("%s shows in %s or %q", word, no.body, r.last().Reason)
		}
	}
	if strings.Contains(r.log.String(), "hunter2222") {
		t.Errorf("the log has it: %s", r.log)
	}
}

// Whatever finds its way into an answer is taken out at the end, too.
func TestAnswersAreRedacted(t *testing.T) {
	r := withSecrets(t, "a secret of the server")
	r.memory.record(Submission{Request: bridge.Request{ID: "evt_1"}, Reason: "x"}, Receipt{Reason: `it said "a secret of the server"`})
	r.admin("GET", "/api/v1/events/evt_1", "").is(t, 200, `{*"reason":"it said \"***\""*}`)
	// Who makes a secret is shown it once.
	made := r.admin("POST", "/pipelines/*/hooks/outgoing", `{"name":"h","target_url":"https://h.example/x","requires_secret":true,"secret_algorithm":"sha256","secret_header_name":"X-Sig","secret":"a secret of the server","settings":{"request_body":{}},"trigger_when":{"events":["action.completed"]}}`)
	made.is(t, 201, `{*"secret":"a secret of the server"*}`)
}
