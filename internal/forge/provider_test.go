package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	bbPath = "/2.0/repositories/acme/shop/commit/" + sha + "/statuses/build"
	dcPath = "/rest/api/latest/projects/ACME/repos/shop/commits/" + sha + "/builds"
	azPath = "/acme/web/_apis/git/repositories/shop/commits/" + sha + "/statuses?api-version=7.1"
	hcPath = "/api/v1/repos/acme%2Fshop/checks/commits/" + sha
	gePath = "/a/changes/acme%2Fshop~12/revisions/" + sha + "/review"
)

func method(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

// check is the body of a harness check with one member changed.
func check(name, value string) string {
	b := map[string]any{"identifier": "ci", "status": "success", "payload": map[string]any{"kind": ""}}
	b[name] = value
	text, _ := json.Marshal(b) // texts cannot fail
	return string(text)
}

func TestAnswersOfMoreProviders(t *testing.T) {
	tests := []struct {
		name, path, body string
		edit             func(*http.Request)
		code             int
		want             string // a part of the answer
	}{
		{"bitbucket accepts", bbPath, `{"key":"` + long(40) + `","state":"STOPPED","url":"https://x.y/"}`, nil, 201, `"state":"STOPPED"`},
		{"bitbucket takes a password", bbPath, `{"key":"k","state":"FAILED","url":"https://x.y/"}`, basic("jo", "secret"), 201, `"key":"k"`},
		{"bitbucket limits keys", bbPath, `{"key":"` + long(48) + `","state":"FAILED","url":"https://x.y/"}`, nil, 400, `{"error":{"fields":{"key":["Ensure this value has at most 40 characters (it has 48)."]},"message":"key: Ensure this value has at most 40 characters (it has 48)."},"type":"error"}`},
		{"bitbucket wants a key", bbPath, `{"state":"FAILED","url":"https://x.y/"}`, nil, 400, `key: required`},
		{"bitbucket wants no empty key", bbPath, `{"key":"","state":"FAILED","url":"https://x.y/"}`, nil, 400, `cannot be blank`},
		{"bitbucket wants an address", bbPath, `{"key":"k","state":"FAILED"}`, nil, 400, `url: required key not provided`},
		{"bitbucket wants a real address", bbPath, `{"key":"k","state":"FAILED","url":"x"}`, nil, 400, `Enter a valid URL`},
		{"bitbucket knows no success", bbPath, `{"key":"k","state":"success","url":"https://x.y/"}`, nil, 400, `valid choice`},
		{"bitbucket limits names", bbPath, `{"key":"k","state":"FAILED","url":"https://x.y/","name":"` + long(256) + `"}`, nil, 400, `at most 255`},
		{"bitbucket limits descriptions", bbPath, `{"key":"k","state":"FAILED","url":"https://x.y/","description":"` + long(256) + `"}`, nil, 400, `at most 255`},
		{"bitbucket does not find it", strings.Replace(bbPath, sha, "abc", 1), `{"key":"k","state":"FAILED","url":"https://x.y/"}`, nil, 404, `Commit not found`},
		{"bitbucket without token", bbPath, `{}`, header("Authorization", ""), 401, `"type":"error"`},
		{"bitbucket without JSON", bbPath, `{`, nil, 400, `Bad request`},
		{"bitbucket with a number", bbPath, `{"key":1,"state":"FAILED","url":"https://x.y/"}`, nil, 400, `expected str`},
		{"bitbucket with another method", bbPath, ``, method("PUT"), 405, ``},

		{"bitbucket-dc accepts", dcPath, `{"key":"k","state":"CANCELLED","url":"https://x.y/"}`, nil, 204, ``},
		{"bitbucket-dc below a path", "/bb" + dcPath, `{"key":"k","state":"UNKNOWN","url":"https://x.y/"}`, nil, 204, ``},
		{"bitbucket-dc counts as Java does", dcPath, `{"key":"` + strings.Repeat("🙂", 128) + `","state":"FAILED","url":"https://x.y/"}`, nil, 400, `"context":"key"`},
		{"bitbucket-dc limits addresses", dcPath, `{"key":"k","state":"FAILED","url":"https://x.y/` + strings.Repeat("a", 440) + `"}`, nil, 400, `"context":"url"`},
		{"bitbucket-dc wants an address", dcPath, `{"key":"k","state":"FAILED"}`, nil, 400, `A value for url is required`},
		{"bitbucket-dc wants a real address", dcPath, `{"key":"k","state":"FAILED","url":"ftp://x"}`, nil, 400, `not valid`},
		{"bitbucket-dc knows no STOPPED", dcPath, `{"key":"k","state":"STOPPED","url":"https://x.y/"}`, nil, 400, `no build state`},
		{"bitbucket-dc does not find it", strings.Replace(dcPath, sha, "abc", 1), `{"key":"k","state":"FAILED","url":"https://x.y/"}`, nil, 404, `Commit 'abc' does not exist in repository 'ACME/shop'.`},
		{"bitbucket-dc without token", dcPath, `{}`, header("Authorization", ""), 401, `IncorrectPasswordAuthenticationException`},
		{"bitbucket-dc without JSON", dcPath, `[]`, nil, 400, `could not be read`},
		{"bitbucket-dc with a number", dcPath, `{"key":"k","state":"FAILED","url":1}`, nil, 400, `no text`},
		{"bitbucket-dc with another method", dcPath, ``, method("PUT"), 405, ``},

		{"azure accepts", azPath, `{"state":"partiallySucceeded","context":{"name":"ci","genre":"g"}}`, nil, 201, `"genre":"g"`},
		{"azure wants a version", strings.Replace(azPath, "?api-version=7.1", "", 1), `{}`, nil, 400, `No api-version was supplied`},
		{"azure wants a name", azPath, `{"state":"succeeded","context":"ci"}`, nil, 400, `context.name`},
		{"azure knows no success", azPath, `{"state":"success","context":{"name":"ci"}}`, nil, 400, `no state`},
		{"azure limits names", azPath, `{"state":"failed","context":{"name":"` + strings.Repeat("🙂", 129) + `"}}`, nil, 400, `context.name`},
		{"azure wants addresses", azPath, `{"state":"failed","context":{"name":"ci"},"targetUrl":"x"}`, nil, 400, `no address`},
		{"azure with a number", azPath, `{"state":1,"context":{"name":"ci"}}`, nil, 400, `no text`},
		{"azure does not find it", strings.Replace(azPath, sha, "abc", 1), `{"state":"failed","context":{"name":"ci"}}`, nil, 404, `TF401175`},
		{"azure without token", azPath, `{}`, header("Authorization", ""), 302, `Sign In`},
		{"azure with a wrong token", azPath, `{}`, basic("", "other"), 203, `Sign In`},
		{"azure takes a token", azPath, `{"state":"failed","context":{"name":"ci"}}`, basic("", "secret"), 201, `"name":"ci"`},
		{"azure without JSON", azPath, `x`, nil, 400, `Parameter name`},
		{"azure with another method", azPath, ``, method("PUT"), 405, ``},

		{"harness accepts", hcPath, check("status", "running"), method("PUT"), 200, `"status":"running"`},
		{"harness takes its own header", hcPath, check("link", "https://x.y/"), func(r *http.Request) {
			r.Method = "PUT"
			r.Header.Del("Authorization")
			r.Header.Set("x-api-key", "secret")
		}, 200, `"link":"https://x.y/"`},
		{"harness takes a plain path", "/api/v1/repos/acme/web/shop/+/checks/commits/" + sha, check("status", "error"), method("PUT"), 200, `"identifier":"ci"`},
		{"harness limits identifiers", hcPath, check("identifier", strings.Repeat("a", 128)), method("PUT"), 400, `Identifier must match`},
		{"harness takes no slash", hcPath, check("identifier", "ci/a"), method("PUT"), 400, `Identifier must match`},
		{"harness wants an identifier", hcPath, check("identifier", ""), method("PUT"), 400, `Identifier is missing`},
		{"harness knows no failed", hcPath, check("status", "failed"), method("PUT"), 400, `Invalid value provided for status`},
		{"harness limits summaries", hcPath, check("summary", long(2049)), method("PUT"), 400, `Summary can be at most`},
		{"harness wants links", hcPath, check("link", "javascript:1"), method("PUT"), 400, `Link`},
		{"harness wants a kind", hcPath, `{"identifier":"ci","status":"success","payload":{"kind":"x"}}`, method("PUT"), 400, `payload kind`},
		{"harness wants a whole sha", "/api/v1/repos/x/checks/commits/abc", check("status", "success"), method("PUT"), 400, `invalid commit SHA`},
		{"harness with a number", hcPath, `{"identifier":1}`, method("PUT"), 400, `no text`},
		{"harness without JSON", hcPath, `x`, method("PUT"), 400, `Invalid Request Body`},
		{"harness without token", hcPath, `{}`, func(r *http.Request) { r.Method = "PUT"; r.Header.Del("Authorization") }, 401, `Unauthorized`},
		{"harness with another method", hcPath, `{}`, nil, 405, ``},

		{"gerrit accepts", gePath, `{"message":"m","tag":"autogenerated:ci~x","labels":{"Verified":1}}`, basic("jo", "secret"), 200, ")]}'\n{\"labels\":{\"Verified\":1}}"},
		{"gerrit takes texts", gePath, `{"labels":{"Verified":"-1"}}`, basic("jo", "secret"), 200, `-1`},
		{"gerrit limits votes", gePath, `{"labels":{"Verified":2}}`, basic("jo", "secret"), 400, `2 is not a valid value`},
		{"gerrit knows no words", gePath, `{"labels":{"Verified":"success"}}`, basic("jo", "secret"), 400, `is not a valid value`},
		{"gerrit knows its labels", gePath, `{"labels":{"a b":1}}`, basic("jo", "secret"), 400, `is not a configured label`},
		{"gerrit knows whom to tell", gePath, `{"notify":"EVERYBODY"}`, basic("jo", "secret"), 400, `notify`},
		{"gerrit wants texts", gePath, `{"message":1}`, basic("jo", "secret"), 400, `are texts`},
		{"gerrit takes no token", gePath, `{"labels":{"Verified":1}}`, nil, 401, `Unauthorized`},
		{"gerrit without /a", strings.TrimPrefix(gePath, "/a"), `{"labels":{"Verified":1}}`, basic("jo", "secret"), 403, `Authentication required`},
		{"gerrit does not find it", strings.Replace(gePath, sha, "abc", 1), `{"labels":{"Verified":1}}`, basic("jo", "secret"), 404, `Not found: abc`},
		{"gerrit does not find the change", strings.Replace(gePath, "~12", "~x", 1), `{"labels":{"Verified":1}}`, basic("jo", "secret"), 404, `Not found`},
		{"gerrit without JSON", gePath, `x`, basic("jo", "secret"), 400, `Expected JSON`},
		{"gerrit with another method", gePath, ``, method("PUT"), 405, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, Config{Token: "secret"})
			edits := []func(*http.Request){}
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			code, _, got := r.sendOnce(tt.path, tt.body, edits...)
			if code != tt.code || !strings.Contains(got, tt.want) {
				t.Errorf("got %d %s\nwant %d %s", code, got, tt.code, tt.want)
			}
			reqs := r.Requests()
			applied := tt.code == 200 || tt.code == 201 || tt.code == 204
			if len(reqs) != 1 || reqs[0].Status != tt.code || reqs[0].Applied != applied {
				t.Errorf("journal: %+v", reqs)
			}
			if tt.code >= 400 && tt.want != "" && reqs[0].Message == "" {
				t.Errorf("the journal does not say why: %+v", reqs[0])
			}
			if strings.Contains(fmt.Sprintf("%+v", reqs), "secret") {
				t.Errorf("the token is in the journal: %+v", reqs)
			}
		})
	}
}

// sendOnce is send for a client that follows no redirects.
func (r *rig) sendOnce(path, body string, edit ...func(*http.Request)) (int, http.Header, string) {
	r.t.Helper()
	before := http.DefaultClient.CheckRedirect
	http.DefaultClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer func() { http.DefaultClient.CheckRedirect = before }()
	return r.send(path, body, edit...)
}

// What is shown after two statuses of one key, and of another.
func TestWhatCommitsShow(t *testing.T) {
	put := method("PUT")
	tests := []struct {
		provider, repo, path string
		bodies               [3]string
		edit                 func(*http.Request)
		codes                [3]int
		want                 map[string]string
		list                 string // a part of the list
	}{
		{Bitbucket, "acme/shop", bbPath, [3]string{
			`{"key":"a","state":"INPROGRESS","url":"https://x.y/"}`, `{"key":"a","state":"FAILED","url":"https://x.y/"}`, `{"key":"A","state":"SUCCESSFUL","url":"https://x.y/"}`},
			nil, [3]int{201, 200, 201}, map[string]string{"a": "FAILED", "A": "SUCCESSFUL"}, `"size":2`},
		{BitbucketDC, "ACME/shop", dcPath, [3]string{
			`{"key":"a","state":"INPROGRESS","url":"https://x.y/"}`, `{"key":"a","state":"FAILED","url":"https://x.y/"}`, `{"key":"b","state":"SUCCESSFUL","url":"https://x.y/"}`},
			nil, [3]int{204, 204, 204}, map[string]string{"a": "FAILED", "b": "SUCCESSFUL"}, `"isLastPage":true`},
		{AzureDevOps, "web/shop", azPath, [3]string{
			`{"state":"pending","context":{"name":"a","genre":"g"}}`, `{"state":"error","context":{"name":"a","genre":"g"}}`, `{"state":"succeeded","context":{"name":"a"}}`},
			nil, [3]int{201, 201, 201}, map[string]string{"g/a": "error", "a": "succeeded"}, `"count":2`},
		{HarnessCode, "acme/shop", hcPath, [3]string{check("status", "running"), check("status", "failure"), check("identifier", "b")},
			put, [3]int{200, 200, 200}, map[string]string{"ci": "failure", "b": "success"}, `"identifier":"b"`},
		{Gerrit, "acme/shop~12", gePath, [3]string{`{"labels":{"Verified":0,"Lint":1}}`, `{"labels":{"Verified":-1}}`, `{"message":"only words"}`},
			basic("jo", "secret"), [3]int{200, 200, 200}, map[string]string{"Verified": "-1", "Lint": "+1"}, `"label":"Lint"`},
	}
	for _, tt := range tests {
		t.Run(tt.provider, func(t *testing.T) {
			r := start(t, Config{})
			for i, body := range tt.bodies {
				edits := []func(*http.Request){}
				if tt.edit != nil {
					edits = append(edits, tt.edit)
				}
				if code, _, got := r.send(tt.path, body, edits...); code != tt.codes[i] {
					t.Fatalf("%s: got %d %s, want %d", body, code, got, tt.codes[i])
				}
			}
			if got := r.Status(tt.provider, tt.repo, sha); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("shows %v, want %v", got, tt.want)
			}
			var list, page string
			listPath := strings.Replace(strings.TrimSuffix(tt.path, "/build"), "?api-version=7.1", "", 1)
			if tt.provider == Gerrit {
				_, _, list = r.send(listPath, "", method("GET"), tt.edit)
			} else if code := r.get(listPath, &list); code != 200 {
				t.Errorf("list: %d %s", code, list)
			}
			if !strings.Contains(list, tt.list) {
				t.Errorf("list: %s", list)
			}
			r.get("/", &page)
			for context, state := range tt.want {
				if !strings.Contains(page, strings.ReplaceAll(state, "+", "&#43;")+"</span>") || !strings.Contains(page, "<strong>"+context+"</strong>") {
					t.Errorf("the page lacks %s of %s", state, context)
				}
			}
		})
	}
}

// GitLab files a status under the newest pipeline of its commit, or under the
// one that it names.
func TestGitLabPipelines(t *testing.T) {
	r := start(t, Config{})
	var first struct {
		ID       int64
		Pipeline int64 `json:"pipeline_id"`
	}
	_, _, got := r.send(glPath, `{"state":"running","name":"ci"}`)
	if err := json.Unmarshal([]byte(got), &first); err != nil || first.Pipeline != 1 {
		t.Fatalf("%s: %v", got, err)
	}
	if code, _, got := r.send("/_forge/pipelines", `{"repository":"group/sub/shop","sha":"`+sha+`"}`); code != 204 {
		t.Fatalf("%d %s", code, got)
	}
	_, _, got = r.send(glPath, `{"state":"success","name":"ci"}`)
	if !strings.Contains(got, `"pipeline_id":2`) || r.Status(GitLab, "group/sub/shop", sha)["ci"] != "running" {
		t.Errorf("filed under the old one: %s", got)
	}
	_, _, got = r.send(glPath, `{"state":"failed","name":"ci","pipeline_id":1}`)
	if !strings.Contains(got, fmt.Sprintf(`"id":%d,`, first.ID)) || r.Status(GitLab, "group/sub/shop", sha)["ci"] != "failed" {
		t.Errorf("not filed under the named one: %s", got)
	}
	for _, id := range []string{"3", "0", `"x"`} {
		if code, _, got := r.send(glPath, `{"state":"failed","name":"ci","pipeline_id":`+id+`}`); code != 404 {
			t.Errorf("pipeline %s: %d %s", id, code, got)
		}
	}
	for _, body := range []string{`{`, `{}`, `{"repository":"x","sha":"abc"}`} {
		if code, _, _ := r.send("/_forge/pipelines", body); code != 400 {
			t.Errorf("%s: %d", body, code)
		}
	}
}

// Every state of every provider has a colour of its own kind.
func TestKindsOfStates(t *testing.T) {
	want := map[string]string{
		"INPROGRESS": "pending", "SUCCESSFUL": "good", "FAILED": "bad", "STOPPED": "idle", "CANCELLED": "idle", "succeeded": "good",
		"partiallySucceeded": "warn", "notApplicable": "idle", "+1": "good", "+0": "pending", "-1": "bad", "success": "good", "unheard": "idle",
	}
	for state, kind := range want {
		if got := kindOf(state); got != kind || icons[got] == "" {
			t.Errorf("%s: got %s, want %s", state, got, kind)
		}
	}
}

func TestFaultBodiesOfMoreProviders(t *testing.T) {
	tests := []struct{ path, body, fault, want string }{
		{bbPath, `{"key":"k","state":"FAILED","url":"https://x.y/"}`, "429", "Rate limit for this resource has been exceeded"},
		{bbPath, `{"key":"k","state":"FAILED","url":"https://x.y/"}`, "403", "required privilege scopes"},
		{bbPath, `{"key":"k","state":"FAILED","url":"https://x.y/"}`, "404", "Commit not found"},
		{bbPath, `{"key":"k","state":"FAILED","url":"https://x.y/"}`, "503", "Service Unavailable"},
		{dcPath, `{"key":"k","state":"FAILED","url":"https://x.y/"}`, "429", "exceeded your rate limit"},
		{dcPath, `{"key":"k","state":"FAILED","url":"https://x.y/"}`, "500", "Internal Server Error"},
		{azPath, `{"state":"failed","context":{"name":"ci"}}`, "429", "TF400733"},
		{azPath, `{"state":"failed","context":{"name":"ci"}}`, "401", "TF400813"},
		{azPath, `{"state":"failed","context":{"name":"ci"}}`, "418", "teapot"},
		{hcPath, check("status", "error"), "404", "revision not found"},
		{hcPath, check("status", "error"), "500", "Internal Server Error"},
		{gePath, `{"labels":{"Verified":1}}`, "409", "change is closed"},
		{gePath, `{"labels":{"Verified":1}}`, "503", "Lock failure"},
		{gePath, `{"labels":{"Verified":1}}`, "500", "Internal Server Error"},
	}
	for _, tt := range tests {
		r := start(t, Config{Faults: faults(t, tt.fault)})
		edit := func(r *http.Request) {
			r.SetBasicAuth("jo", "secret")
			if strings.Contains(tt.path, "/checks/") {
				r.Method = "PUT"
			}
		}
		code, _, got := r.send(tt.path, tt.body, edit)
		if fmt.Sprint(code) != tt.fault || !strings.Contains(got, tt.want) || r.Requests()[0].Applied {
			t.Errorf("%s %s: got %d %s, want %s", tt.path, tt.fault, code, got, tt.want)
		}
	}
}
