package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"cibridge/bridge"
)

// guide is the third hook of Devopness's guide on commit statuses, with the
// placeholders filled in for GitHub and a key that no model documents.
const guide = `{
  "name": "CI(build)",
  "action_type": "deploy",
  "target_url": "https://api.github.com/repos/OWNER/REPO/statuses/{{ action.triggered_from.hook_parsed_variables.commit_hash }}",
  "something_else": {"ignored": true},
  "settings": {
    "request_headers": [{"name": "Authorization", "value": "Bearer {{ application.source_provider.access_token }}"}],
    "request_body": {
      "state": "success",
      "target_url": "https://app.devopness.com/actions/{{ action.id }}",
      "description": "Application building success",
      "context": "ci\/devopness(build)",
      "number": 4487150517,
      "nothing": null
    }
  },
  "trigger_when": {
    "events": ["action.completed"],
    "conditions": [{"type": "request_body", "path": "action.triggered_from.hook_parsed_variables.pipeline_id", "accepted_values": [123, "123", true]}]
  }
}`

func TestHookAnswers(t *testing.T) {
	r := newRig(t, nil)
	pipeline := bridge.PipelineID("codenow/shop")
	a := r.admin("POST", "/pipelines/codenow%2Fshop/hooks/outgoing", guide)
	id, _ := a.json(t)["id"].(string)
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Fatalf("id %q is no UUID: %s", id, a.body)
	}
	fields := `"id":"` + id + `","name":"CI(build)","type":"out","action_type":"deploy","url":null,` +
		`"target_url":"https://api.github.com/repos/OWNER/REPO/statuses/{{ action.triggered_from.hook_parsed_variables.commit_hash }}",` +
		`"is_auto_generated":false,"requires_secret":false,"verify_ssl":true,"active":true,"project_id":null,"environment_id":null,` +
		`"pipeline_id":"codenow/shop","resource_type":"application","resource_id":null,` +
		`"settings":{"request_headers":[{"name":"Authorization","value":"Bearer {{ application.source_provider.access_token }}"}],` +
		`"request_body":{"context":"ci/devopness(build)","description":"Application building success","nothing":null,"number":4487150517,"state":"success","target_url":"https://app.devopness.com/actions/{{ action.id }}"}},` +
		`"trigger_when":{"events":["action.completed"],"conditions":[{"path":"action.triggered_from.hook_parsed_variables.pipeline_id","accepted_values":[123,"123",true]}]},` +
		`"created_at":"2026-03-01T12:00:00.000000Z","updated_at":"2026-03-01T12:00:00.000000Z"`
	full := `{` + fields + `,"secret":null,"secret_algorithm":null,"secret_header_name":null,"created_by_user":null}`
	a.is(t, 201, full)
	if got := a.header.Get("Location"); got != "/hooks/outgoing/"+id {
		t.Errorf("Location %q", got)
	}
	r.admin("GET", "/hooks/outgoing/"+id, "").is(t, 200, full)
	for _, p := range []string{"codenow%2Fshop", pipeline} {
		a := r.admin("GET", "/pipelines/"+p+"/hooks", "")
		a.is(t, 200, `[{`+fields+`}]`)
		want := fmt.Sprintf(`</pipelines/%s/hooks?page=1&per_page=20>; rel="first", </pipelines/%s/hooks?page=1&per_page=20>; rel="last"`, p, p)
		if got := a.header.Get("Link"); got != want {
			t.Errorf("Link\n got %s\nwant %s", got, want)
		}
	}
	r.admin("GET", "/pipelines/*/hooks", "").is(t, 200, `[]`)
	r.admin("GET", "/pipelines/codenow%2Fcart/hooks", "").is(t, 200, `[]`)
	r.admin("GET", "/hooks/incoming/"+id, "").is(t, 404, `{"message":"there is no incoming hook \"`+id+`\""}`)
	r.admin("GET", "/hooks/sideways/"+id, "").is(t, 404, `{"message":"a hook is incoming or outgoing, not \"sideways\""}`)

	r.clock = r.clock.Add(90 * 1e9)
	r.admin("PUT", "/hooks/outgoing/"+id, `{"id":"`+id+`","name":"renamed","active":false}`).is(t, 204, "")
	changed := r.admin("GET", "/hooks/outgoing/"+id, "").json(t)
	if changed["name"] != "renamed" || changed["active"] != false || changed["updated_at"] != "2026-03-01T12:01:30.000000Z" ||
		changed["created_at"] != "2026-03-01T12:00:00.000000Z" || changed["target_url"] == nil {
		t.Errorf("after PUT: %v", changed)
	}
	r.admin("DELETE", "/hooks/outgoing/"+id, "").is(t, 204, "")
	r.admin("GET", "/hooks/outgoing/"+id, "").is(t, 404, `{"message":"there is no outgoing hook \"`+id+`\""}`)
	r.admin("DELETE", "/hooks/outgoing/"+id, "").is(t, 404, "*")
}

// TestHookOfEveryPipeline: "*" is a path segment of its own, and pipeline_id
// is null then.
func TestHookOfEveryPipeline(t *testing.T) {
	r := newRig(t, nil)
	a := r.admin("POST", "/pipelines/*/hooks/outgoing", `{"name":"all","profile":"github"}`)
	a.is(t, 201, `*"target_url":null*"pipeline_id":null*"settings":{"request_headers":[],"request_body":null},"trigger_when":{"events":[],"conditions":[]},*"profile":"github"*`)
	if h := r.Snapshot().Hooks[0]; h.Pipeline != "*" || !h.Active || !h.VerifySSL || h.ActionType != "deploy" {
		t.Errorf("stored %+v", h)
	}
	r.admin("GET", "/pipelines/gitlab/group/c++/hooks", "").is(t, 404, `*"detail":"GET /pipelines/gitlab/group/c++/hooks is not a route; a slash in the name of a pipeline is written %2F"}`)
	r.admin("GET", "/pipelines/%2A/hooks", "").is(t, 200, `[{"id":*}]`)
	r.admin("POST", "/pipelines/gitlab%2Fgroup%2Fc++/hooks/outgoing", `{"name":"plus","profile":"gitlab"}`).is(t, 201, `*"pipeline_id":"gitlab/group/c++"*`)
}

// TestHookProblems: every field error is named, in Devopness's shape.
func TestHookProblems(t *testing.T) {
	private := errors.New("10.0.0.8 is a private address")
	r := newRig(t, func(c *Config) {
		c.CheckURL = func(_ context.Context, u string) error {
			if strings.Contains(u, "10.0.0.8") {
				return private
			}
			return nil
		}
	})
	with := func(field, value string) string {
		var h map[string]json.RawMessage
		if err := json.Unmarshal([]byte(guide), &h); err != nil {
			t.Fatal(err)
		}
		if h[field] = json.RawMessage(value); value == "" {
			delete(h, field)
		}
		b, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	invalid := `{"message":"The given data was invalid.","errors":{`
	for _, tc := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"no name", "", with("name", ""), 422, invalid + `"name":["The name field is required."]}}`},
		{"long name", "", with("name", `"`+strings.Repeat("é", 61)+`"`), 422, invalid + `"name":["The name must not be greater than 60 characters; it has 61."]}}`},
		{"no URL", "", with("target_url", ""), 422, invalid + `"target_url":["The target url field is required.*"]}}`},
		{"unknown name in the URL", "", with("target_url", `"https://api.github.com/{{ run.comit.sha }}"`), 422, invalid + `"target_url":["*comit*did you mean*commit*"]}}`},
		{"unknown name in the body", "", with("settings", `{"request_body":{"state":"{{ action.statu }}"}}`), 422, invalid + `"settings.request_body.state":["*statu*did you mean*status*"]}}`},
		{"host from an event", "", with("target_url", `"https://{{ run.repo.host }}/x"`), 422, invalid + `"target_url":["*"]}}`},
		{"private address", "", with("target_url", `"https://10.0.0.8/hook?sha={{ run.commit.sha }}"`), 422, invalid + `"target_url":["10.0.0.8 is a private address"]}}`},
		{"unknown event", "", with("trigger_when", `{"events":["action.complete"]}`), 422, invalid + `"trigger_when.events.0":["there is no event \"action.complete\"; did you mean \"action.completed\"?"]}}`},
		{"line break in a header", "", with("settings", `{"request_headers":[{"name":"X-A","value":"a\r\nb"}]}`), 422, invalid + `"settings.request_headers.0.value":["*"]}}`},
		{"masked header", "", with("settings", `{"request_headers":[{"name":"X-Token","value":"***"}]}`), 422, invalid + `"settings.request_headers.0.value":["the value is masked: send the value itself"]}}`},
		{"no verification", "", with("verify_ssl", `false`), 422, invalid + `"verify_ssl":["certificates are always verified*"]}}`},
		{"secret without its header", "", with("requires_secret", "true"), 422, invalid + `"secret_algorithm":["*required*"],"secret_header_name":["*required*"]}}`},
		{"name is a number", "", with("name", "7"), 422, invalid + `"name":["name is a number, but must be a string"]}}`},
		{"events is a text", "", with("trigger_when", `{"events":"action.started"}`), 422, invalid + `"trigger_when.events":["trigger_when.events is a string, but must be an array"]}}`},
		{"no JSON", "", `{"name": "x",}`, 400, `{"message":"line 1, column *"}`},
		{"empty", "", ``, 400, `{"message":"the body is empty; a JSON object is expected"}`},
		{"incoming", "/pipelines/codenow%2Fshop/hooks/incoming", guide, 422, invalid + `"type":["incoming hooks do not exist yet: *"]}}`},
		{"unknown type", "/pipelines/codenow%2Fshop/hooks/sideways", guide, 404, `{"message":"a hook is incoming or outgoing, not \"sideways\""}`},
		{"unknown pipeline", "/pipelines/12/hooks/outgoing", guide, 404, `{"message":"there is no pipeline \"12\"; use its short id*"}`},
		{"unknown source", "/pipelines/codenov%2Fshop/hooks/outgoing", guide, 404, `{"message":"there is no pipeline \"codenov/shop\": there is no source \"codenov\"; did you mean \"codenow\"?"}`},
	} {
		path := tc.path
		if path == "" {
			path = "/pipelines/codenow%2Fshop/hooks/outgoing"
		}
		if r.admin("POST", path, tc.body).is(t, tc.status, tc.want); t.Failed() {
			t.Fatal(tc.name)
		}
	}
	if n := len(r.Snapshot().Hooks); n != 0 {
		t.Errorf("%d hooks were saved", n)
	}
}

func TestHookSecret(t *testing.T) {
	r := newRig(t, nil)
	body := `{"name":"signed","target_url":"https://example.com/hook","requires_secret":true,"secret_algorithm":"sha256","secret_header_name":"x-signature"}`
	a := r.admin("POST", "/pipelines/*/hooks/outgoing", body)
	a.is(t, 201, `*"requires_secret":true*"secret":"*","secret_algorithm":"sha256","secret_header_name":"x-signature"*`)
	h := a.json(t)
	secret, id := h["secret"].(string), h["id"].(string)
	if len(secret) < 40 || r.Snapshot().Hooks[0].Secret.Reveal() != secret {
		t.Fatalf("the secret that was shown (%d bytes) is not the one that is kept", len(secret))
	}
	for _, path := range []string{"/hooks/outgoing/" + id, "/pipelines/*/hooks", "/api/v1/hooks"} {
		if body := r.admin("GET", path, "").body; strings.Contains(body, secret) {
			t.Errorf("GET %s shows the secret again", path)
		}
	}
	r.admin("GET", "/hooks/outgoing/"+id, "").is(t, 200, `*"secret":"*****",*`)

	put := func(fields string) answer {
		return r.admin("PUT", "/hooks/outgoing/"+id, `{"id":"`+id+`","name":"signed"`+fields+`}`)
	}
	put(`,"secret":"*****","target_url":"https://example.com/other"`).is(t, 204, "")
	if got := r.Snapshot().Hooks[0]; got.Secret.Reveal() != secret || got.TargetURL != "https://example.com/other" {
		t.Errorf("after PUT: %v, secret kept %v", got.TargetURL, got.Secret.Reveal() == secret)
	}
	put(`,"target_url":"https://evil.test/other"`).is(t, 422, `{"message":"The given data was invalid.","errors":{"secret":["target_url has another host: send the secret again"]}}`)
	put(`,"target_url":"https://evil.test/other","secret":"`+secret+`"`).is(t, 204, "")
	put(`,"secret":"short"`).is(t, 422, `*"secret":["the secret has 5 bytes; at least 16 are needed"]*`)
	put(`,"requires_secret":false`).is(t, 204, "")
	if got := r.Snapshot().Hooks[0].Secret; got != "" {
		t.Error("a hook that signs nothing keeps a secret")
	}
	r.admin("POST", "/pipelines/*/hooks/outgoing", `{"name":"own","target_url":"https://example.com/","requires_secret":true,"secret_algorithm":"sha256","secret_header_name":"x-s","secret":"a secret of our own"}`).
		is(t, 201, `*"secret":"a secret of our own"*`)
}

// TestHookCredentials: a credential in a header is masked, survives a PUT of
// what was read, and does not follow the hook to another host.
func TestHookCredentials(t *testing.T) {
	r := newRig(t, nil)
	a := r.admin("POST", "/pipelines/*/hooks/outgoing", `{"name":"x","target_url":"https://example.com/hook","settings":{"request_headers":[{"name":"PRIVATE-TOKEN","value":"glpat-123"},{"name":"X-Plain","value":"plain"}]}}`)
	a.is(t, 201, `*[{"name":"PRIVATE-TOKEN","value":"***"},{"name":"X-Plain","value":"plain"}]*`)
	id := a.json(t)["id"].(string)
	put := func(fields string) answer {
		return r.admin("PUT", "/hooks/outgoing/"+id, `{"id":"`+id+`","name":"x"`+fields+`}`)
	}
	masked := `,"settings":{"request_headers":[{"name":"PRIVATE-TOKEN","value":"***"},{"name":"X-Plain","value":"changed"}]}`
	put(masked).is(t, 204, "")
	headers := r.Snapshot().Hooks[0].Settings.RequestHeaders
	if headers[0].Value != "glpat-123" || headers[1].Value != "changed" {
		t.Errorf("after PUT of what was read: %+v", headers)
	}
	elsewhere := `,"target_url":"https://evil.test/hook"`
	put(elsewhere).is(t, 422, `*"settings.request_headers":["target_url has another host: send the value of PRIVATE-TOKEN again"]*`)
	put(elsewhere+masked).is(t, 422, `*"settings.request_headers.0.value":["the value is masked: send the value itself"]*`)
	put(elsewhere+strings.Replace(masked, "***", "glpat-456", 1)).is(t, 204, "")
	put(`,"name":"y"`).is(t, 204, "")
	r.admin("PUT", "/hooks/outgoing/"+id, `{"name":"y"}`).is(t, 422, `*"id":["the id is missing; it is \"`+id+`\", as in the path"]*`)
	r.admin("PUT", "/hooks/outgoing/"+id, `{"id":"other","name":"y"}`).is(t, 422, `*"id":["the id is \"other\" in the body and \"`+id+`\" in the path"]*`)
	r.admin("PUT", "/hooks/outgoing/"+id, `{"id":"`+id+`"}`).is(t, 422, `*"name":["the name is missing"]*`)
}

func TestReadOnlyHook(t *testing.T) {
	r := newRig(t, nil)
	err := r.edit(func(s *Snapshot) {
		s.Hooks = append(s.Hooks, bridge.Hook{ID: "from-file", Name: "f", Pipeline: "*", ReadOnly: true})
		s.Files = map[string]string{"from-file": "hooks/github.yaml"}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"message":"hook \"from-file\" comes from hooks/github.yaml and cannot be changed here: change the file"}`
	r.admin("PUT", "/hooks/outgoing/from-file", `{"id":"from-file","name":"x"}`).is(t, 403, want)
	r.admin("DELETE", "/hooks/outgoing/from-file", "").is(t, 403, want)
	r.admin("GET", "/hooks/outgoing/from-file", "").is(t, 200, `*"read_only":true*`)
}

func TestHookPages(t *testing.T) {
	r := newRig(t, nil)
	for i := range 5 {
		h := bridge.Hook{ID: fmt.Sprint("h", i), Name: fmt.Sprint(i), Pipeline: "codenow/shop", CreatedAt: int64(i)}
		if i == 4 {
			h.Pipeline = "*"
		}
		if err := r.PutHook(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	ids := func(a answer) (out string) {
		var list []map[string]any
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		for _, h := range list {
			out += h["id"].(string)
		}
		return out
	}
	a := r.admin("GET", "/pipelines/codenow%2Fshop/hooks?per_page=3", "")
	if got := ids(a); got != "h0h1h2" {
		t.Errorf("page 1: %s", got)
	}
	next := regexp.MustCompile(`<([^>]+)>; rel="next"`).FindStringSubmatch(a.header.Get("Link"))
	if next == nil || !strings.Contains(a.header.Get("Link"), `page=2&per_page=3>; rel="last"`) {
		t.Fatalf("Link %s", a.header.Get("Link"))
	}
	a = r.admin("GET", next[1], "")
	if got := ids(a); got != "h3" || strings.Contains(a.header.Get("Link"), "next") || !strings.Contains(a.header.Get("Link"), `rel="prev"`) {
		t.Errorf("page 2: %s, Link %s", got, a.header.Get("Link"))
	}
	r.admin("GET", "/pipelines/codenow%2Fshop/hooks?page=9", "").is(t, 200, `[]`)
	for query, field := range map[string]string{"per_page=101": "per_page", "per_page=0": "per_page", "page=x": "page", "page=-1": "page"} {
		r.admin("GET", "/pipelines/codenow%2Fshop/hooks?"+query, "").is(t, 422, `{"message":"The given data was invalid.","errors":{"`+field+`":["*"]}}`)
	}

	app := bridge.Application{ID: "app_1", Name: "shop", Pipelines: []string{bridge.PipelineID("codenow/shop")}}
	if err := r.PutApplication(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if got := ids(r.admin("GET", "/applications/app_1/hooks", "")); got != "h0h1h2h3h4" {
		t.Errorf("hooks of the application: %s", got)
	}
	app.Pipelines = []string{"codenow/cart"}
	if err := r.PutApplication(t.Context(), app); err != nil {
		t.Fatal(err)
	}
	if got := ids(r.admin("GET", "/applications/app_1/hooks", "")); got != "h4" {
		t.Errorf("hooks of another pipeline's application: %s", got)
	}
	r.admin("GET", "/applications/app_2/hooks", "").is(t, 404, `{"message":"there is no application \"app_2\""}`)
}

func TestHookRequests(t *testing.T) {
	r := newRig(t, nil)
	if err := r.PutHook(t.Context(), bridge.Hook{ID: "h", Name: "n", Pipeline: "*"}); err != nil {
		t.Fatal(err)
	}
	at := r.clock.UnixMilli()
	r.attempts = []bridge.Attempt{
		{
			ID: "att_2", Delivery: "dlv_1", Hook: "h", RetryOf: "att_1", At: at, DurationMS: 250, Method: "POST", URL: "https://api.example/x",
			RequestHeaders: map[string]string{"Authorization": "Bearer leaked", "X-A": "1"}, RequestBody: `{"state":"pending"}`,
			Status: 201, Headers: map[string]string{"Set-Cookie": "session=1"}, Body: "created", Remote: "192.0.2.1", Verdict: bridge.VerdictDelivered, Reason: "201 Created",
		},
		{ID: "att_1", Delivery: "dlv_1", Hook: "h", At: at, Method: "POST", URL: "https://api.example/x", Error: "connection refused", Verdict: bridge.VerdictRetry, Reason: "connection refused"},
	}
	times := `"created_at":"2026-03-01T12:00:00.000000Z","updated_at":"2026-03-01T12:00:00.250000Z"`
	second := `"id":"att_2","hook_id":"h","action_id":null,"retry_of":"att_1","ip_address":"192.0.2.1",` + times + `,"delivery_id":"dlv_1","verdict":"delivered","reason":"201 Created"`
	a := r.admin("GET", "/hooks/outgoing/h/requests?per_page=1", "")
	a.is(t, 200, `[{`+second+`}]`)
	if got := a.header.Get("Link"); !strings.Contains(got, `</hooks/outgoing/h/requests?page=2&per_page=1>; rel="last"`) {
		t.Errorf("Link %s", got)
	}
	if body := r.admin("GET", "/hook-requests/att_2", "").body; strings.Contains(body, "leaked") || strings.Contains(body, "session") {
		t.Errorf("a credential is in %s", body)
	}
	r.admin("GET", "/hook-requests/att_2", "").is(t, 200, `{`+second+`,"url":"https://api.example/x","method":"POST",`+
		`"request_headers":{"Authorization":"Bearer ***","X-A":"1"},"request_body":{"state":"pending"},"response_status_code":201,`+
		`"response_headers":{"Set-Cookie":"***"},"response_body":"created","duration_ms":250,"hook":{"id":"h",*}}`)
	r.admin("GET", "/hook-requests/att_1", "").is(t, 200, `*"response_status_code":null,*"error":"connection refused"*`)
	r.admin("GET", "/hook-requests/att_3", "").is(t, 404, `{"message":"there is no request \"att_3\""}`)
	r.admin("GET", "/hooks/outgoing/nope/requests", "").is(t, 404, "*")
}

// TestDevopnessAway: a dependency that is away is 503 in Devopness's shape.
func TestDevopnessAway(t *testing.T) {
	r := newRig(t, nil)
	r.down = bridge.Errorf(bridge.CodeUnavailable, "Redis does not answer")
	a := r.admin("POST", "/pipelines/*/hooks/outgoing", guide)
	a.is(t, 503, `{"message":"Redis does not answer"}`)
	if got := a.header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
}
