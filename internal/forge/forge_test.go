package forge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	sha     = "64be72b2c1f7d2a33082f98a40a848880fcdcd5e"
	otherSH = "0123456789abcdef0123456789abcdef01234567"

	ghPath = "/repos/acme/shop/statuses/" + sha
	glPath = "/api/v4/projects/group%2Fsub%2Fshop/statuses/" + sha
	gtPath = "/api/v1/repos/acme/shop/statuses/" + sha
)

type rig struct {
	*Forge
	t   *testing.T
	url string
}

func start(t *testing.T, cfg Config) *rig {
	t.Helper()
	f := New(cfg)
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return &rig{Forge: f, t: t, url: srv.URL}
}

// send posts a status as a careful client would; edit changes the request.
func (r *rig) send(path, body string, edit ...func(*http.Request)) (int, http.Header, string) {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer secret")
	for _, e := range edit {
		e(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return res.StatusCode, res.Header, strings.TrimSpace(string(b))
}

func (r *rig) get(path string, into any) int {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	if s, ok := into.(*string); ok {
		b, err := io.ReadAll(res.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		*s = string(b)
	} else if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		r.t.Fatalf("GET %s: %v", path, err)
	}
	return res.StatusCode
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set(name, value)
		if value == "" {
			r.Header[name] = []string{""} // also keeps the User-Agent of net/http away
		}
	}
}

func long(n int) string { return strings.Repeat("ü", n) }

func TestAnswers(t *testing.T) {
	const unprocessable = `{"documentation_url":"https://docs.github.com/rest/commits/statuses#create-a-commit-status","errors":[{"code":"custom","field":"%s","message":"%s","resource":"Status"}],"message":"Validation Failed","status":"422"}`
	tests := []struct {
		name, path, body string
		edit             func(*http.Request)
		code             int
		want             string // the whole answer, or a part of it after "…"
	}{
		{"github accepts", ghPath, `{"state":"pending","context":"ci","description":"` + long(140) + `"}`, nil, 201, `…"context":"ci"`},
		{"github enterprise", "/api/v3" + ghPath, `{"state":"success"}`, nil, 201, `…"context":"default"`},
		{"github takes the scheme token", ghPath, `{"state":"success"}`, header("Authorization", "token secret"), 201, `…"state":"success"`},
		{"github knows no running", ghPath, `{"state":"running"}`, nil, 422, fmt.Sprintf(unprocessable, "state", "state is not included in the list")},
		{"github limits descriptions", ghPath, `{"state":"success","description":"` + long(141) + `"}`, nil, 422, fmt.Sprintf(unprocessable, "description", "description is too long (maximum is 140 characters)")},
		{"github wants a whole sha", "/repos/acme/shop/statuses/64be72b2c1", `{"state":"success"}`, nil, 422, fmt.Sprintf(unprocessable, "sha", "sha must be a 40 character SHA1")},
		{"github wants http addresses", ghPath, `{"state":"success","target_url":"javascript:alert(1)"}`, nil, 422, fmt.Sprintf(unprocessable, "target_url", "target_url must use http(s) scheme")},
		{"github without state", ghPath, `{}`, nil, 422, `…\"state\" wasn't supplied.`},
		{"github with a number", ghPath, `{"state":1}`, nil, 422, `…is not a string`},
		{"github without JSON", ghPath, `{"state":`, nil, 400, `…"Problems parsing JSON"`},
		{"github with a list", ghPath, `[]`, nil, 400, `…"Body should be a JSON object"`},
		{"github without token", ghPath, `{"state":"success"}`, header("Authorization", ""), 401, `…"Requires authentication"`},
		{"github with a wrong token", ghPath, `{"state":"success"}`, header("Authorization", "Bearer other"), 401, `{"documentation_url":"https://docs.github.com/rest","message":"Bad credentials","status":"401"}`},
		{"github without User-Agent", ghPath, `{"state":"success"}`, header("User-Agent", ""), 403, `…Please make sure your request has a User-Agent header`},
		{"github with another method", ghPath, ``, func(r *http.Request) { r.Method = http.MethodPut }, 404, `…"Not Found"`},

		{"gitlab accepts", glPath, `{"state":"running","name":"ci","ref":"main"}`, nil, 201, `…"status":"running"`},
		{"gitlab takes its own header", glPath, `{"state":"success","name":"h"}`, func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("PRIVATE-TOKEN", "secret") }, 201, `…"name":"h"`},
		{"gitlab takes forms", glPath, `state=success&name=f&target_url=https%3A%2F%2Fx.y`, header("Content-Type", "application/x-www-form-urlencoded"), 201, `…"target_url":"https://x.y"`},
		{"gitlab takes the query", glPath + "?state=success&name=q", ``, nil, 201, `…"name":"q"`},
		{"gitlab calls it context too", glPath, `{"state":"success","context":"c"}`, nil, 201, `…"name":"c"`},
		{"gitlab takes ids", "/api/v4/projects/42/statuses/" + sha, `{"state":"success"}`, nil, 201, `…"name":"default"`},
		{"gitlab knows no failure", glPath, `{"state":"failure"}`, nil, 400, `{"error":"state does not have a valid value"}`},
		{"gitlab without state", glPath, `{}`, nil, 400, `{"error":"state is missing, state does not have a valid value"}`},
		{"gitlab limits addresses", glPath, `{"state":"success","target_url":"https://x.y/` + strings.Repeat("a", 250) + `"}`, nil, 400, `{"message":{"target_url":["is too long (maximum is 255 characters)"]}}`},
		{"gitlab wants http addresses", glPath, `{"state":"success","target_url":"ftp://x.y"}`, nil, 400, `{"message":{"target_url":["is blocked: Only allowed schemes are http, https"]}}`},
		{"gitlab does not find it", "/api/v4/projects/42/statuses/abc", `{"state":"success"}`, nil, 404, `{"message":"404 Commit Not Found"}`},
		{"gitlab without token", glPath, `{"state":"success"}`, header("Authorization", ""), 401, `{"message":"401 Unauthorized"}`},
		{"gitlab with another method", glPath, ``, func(r *http.Request) { r.Method = http.MethodPut }, 405, `{"error":"405 Method Not Allowed"}`},

		{"gitea accepts", gtPath, `{"state":"warning","context":"ci","description":"` + long(999) + `"}`, nil, 201, `…"status":"warning"`},
		{"gitea takes a password", gtPath, `{"state":"success"}`, func(r *http.Request) { r.SetBasicAuth("bot", "secret") }, 201, `…"status":"success"`},
		{"gitea takes the query", gtPath + "?token=secret", `{"state":"success"}`, header("Authorization", ""), 201, `…"status":"success"`},
		{"gitea without token", gtPath, `{"state":"success"}`, header("Authorization", ""), 401, `{"message":"token is required","url":"/api/swagger"}`},
		{"gitea with a wrong token", gtPath, `{"state":"success"}`, header("Authorization", "token other"), 401, `{"message":"user does not exist [uid: 0, name: ]","url":"/api/swagger"}`},
		{"gitea breaks on an unknown commit", "/api/v1/repos/acme/shop/statuses/abc", `{"state":"success"}`, nil, 500, `{"message":"GetCommit[abc]: object does not exist [id: abc, rel_path: ]","url":"/api/swagger"}`},
		{"gitea without JSON", gtPath, `{`, nil, 422, `…unexpected end of JSON input`},
		{"gitea with another method", gtPath, ``, func(r *http.Request) { r.Method = http.MethodPut }, 405, ``},

		{"nobody's path", "/2.0/repositories/a/b", `{}`, nil, 404, `…none of the providers`},
		{"too large", ghPath, strings.Repeat(" ", maxBody+1), nil, 413, `…could not be read`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, Config{Token: "secret"})
			edits := []func(*http.Request){}
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			code, _, got := r.send(tt.path, tt.body, edits...)
			part, isPart := strings.CutPrefix(tt.want, "…")
			if code != tt.code || isPart && !strings.Contains(got, part) || !isPart && got != tt.want {
				t.Errorf("got %d %s\nwant %d %s", code, got, tt.code, tt.want)
			}
			reqs := r.Requests()
			if len(reqs) != 1 || reqs[0].Status != tt.code || reqs[0].Applied != (tt.code == 201) {
				t.Errorf("journal: %+v", reqs)
			}
			if strings.Contains(fmt.Sprintf("%+v", reqs), "secret") {
				t.Errorf("the token is in the journal: %+v", reqs)
			}
		})
	}
}

func TestGitHubAppends(t *testing.T) {
	r := start(t, Config{})
	for _, state := range []string{"success", "pending"} { // a late pending wins: nothing orders them
		if code, _, got := r.send(ghPath, `{"state":"`+state+`","context":"CI/Build"}`); code != 201 {
			t.Fatalf("%d %s", code, got)
		}
	}
	r.send("/repos/Acme/Shop/statuses/"+strings.ToUpper(sha), `{"state":"failure","context":"ci/build"}`)
	r.send(ghPath, `{"state":"success","context":"lint"}`)
	got := r.Status(GitHub, "acme/shop", sha)
	if len(got) != 2 || got["ci/build"] != "failure" || got["lint"] != "success" {
		t.Errorf("got %v: contexts are compared without case", got)
	}
	var states []string
	for _, e := range r.History(GitHub, "acme/shop", sha, "CI/BUILD") {
		states = append(states, e.State)
	}
	if s := strings.Join(states, " "); s != "success pending failure" {
		t.Errorf("history: got %s", s)
	}
	if n := len(r.History(GitHub, "acme/shop", sha, "")); n != 4 {
		t.Errorf("whole history: got %d", n)
	}
	if len(r.Status(GitHub, "acme/shop", otherSH)) != 0 || r.History(GitHub, "acme/shop", otherSH, "") != nil {
		t.Error("another commit shows something")
	}
	var combined struct {
		State    string
		Statuses []struct{ State, Context string }
	}
	if code := r.get("/repos/acme/shop/commits/"+sha+"/status", &combined); code != 200 || combined.State != "failure" || len(combined.Statuses) != 2 {
		t.Errorf("combined: %d %+v", code, combined)
	}
	var list []map[string]any
	if r.get("/repos/acme/shop/commits/"+sha+"/statuses", &list); len(list) != 4 || list[0]["context"] != "lint" {
		t.Errorf("list: %v", list)
	}
	if r.get("/repos/acme/shop/commits/"+otherSH+"/status", &combined); combined.State != "pending" {
		t.Errorf("a commit without statuses is %s", combined.State)
	}
}

func TestGitHubStopsAtAThousand(t *testing.T) {
	f := New(Config{})
	post := func(context string) int {
		req := httptest.NewRequest(http.MethodPost, ghPath, strings.NewReader(`{"state":"success","context":"`+context+`"}`))
		req.Header.Set("Authorization", "Bearer x")
		req.Header.Set("User-Agent", "x")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, req)
		if w.Code == 422 && !strings.Contains(w.Body.String(), "This SHA and context has reached the maximum number of statuses.") {
			t.Error(w.Body.String())
		}
		return w.Code
	}
	for i := range 1000 {
		if code := post("ci"); code != 201 {
			t.Fatalf("status %d: %d", i, code)
		}
	}
	if code := post("CI"); code != 422 {
		t.Errorf("the 1001st: got %d, want 422", code)
	}
	if code := post("other"); code != 201 {
		t.Errorf("another context: got %d", code)
	}
}

func TestGitLabTransitions(t *testing.T) {
	same := func(event, from string) string {
		return `{"message":"Cannot transition status via :` + event + ` from :` + from + ` (Reason(s): Status cannot transition via \"` + event + `\")"}`
	}
	tests := []struct{ from, to, refused string }{
		{"pending", "pending", same("enqueue", "pending")},
		{"pending", "running", ""},
		{"pending", "success", ""},
		{"pending", "failed", ""},
		{"pending", "canceled", ""},
		{"pending", "skipped", ""},
		{"running", "pending", same("enqueue", "running")},
		{"running", "running", same("run", "running")},
		{"running", "skipped", same("skip", "running")},
		{"running", "success", ""},
		{"success", "pending", ""},
		{"success", "success", ""},
		{"failed", "running", ""},
		{"canceled", "success", ""},
		{"skipped", "skipped", ""},
	}
	for _, tt := range tests {
		t.Run(tt.from+" to "+tt.to, func(t *testing.T) {
			r := start(t, Config{})
			var ids []float64
			for _, state := range []string{tt.from, tt.to} {
				code, _, got := r.send(glPath, `{"state":"`+state+`","name":"ci","ref":"main"}`)
				if state == tt.to && tt.refused != "" && len(ids) == 1 {
					if code != 400 || got != tt.refused {
						t.Errorf("got %d %s\nwant 400 %s", code, got, tt.refused)
					}
					if s := r.Status(GitLab, "group/sub/shop", sha)["ci"]; s != tt.from {
						t.Errorf("shows %s, want %s", s, tt.from)
					}
					return
				}
				if code != 201 {
					t.Fatalf("%s: %d %s", state, code, got)
				}
				var a struct{ ID float64 }
				if err := json.Unmarshal([]byte(got), &a); err != nil {
					t.Fatal(err)
				}
				ids = append(ids, a.ID)
			}
			ended := tt.from != "pending" && tt.from != "running"
			if moved := ids[0] == ids[1]; moved == ended {
				t.Errorf("the status moved on: %v, want %v", moved, !ended)
			}
			if s := r.Status(GitLab, "group/sub/shop", sha)["ci"]; s != tt.to {
				t.Errorf("shows %s, want %s", s, tt.to)
			}
		})
	}
}

// Two tokens for one context make two statuses, and the first stays pending.
func TestGitLabKeepsUsersApart(t *testing.T) {
	r := start(t, Config{})
	r.send(glPath, `{"state":"pending","name":"ci"}`)
	if code, _, got := r.send(glPath, `{"state":"pending","name":"ci"}`, header("Authorization", "Bearer other")); code != 201 {
		t.Fatalf("%d %s", code, got)
	}
	r.send(glPath, `{"state":"success","name":"ci"}`, header("Authorization", "Bearer other"))
	got := r.Status(GitLab, "group/sub/shop", sha)
	if len(got) != 2 || got["ci"] != "pending" || got["ci (2)"] != "success" {
		t.Errorf("got %v", got)
	}
	var list []map[string]any
	if r.get("/api/v4/projects/group%2Fsub%2Fshop/repository/commits/"+sha+"/statuses", &list); len(list) != 2 {
		t.Errorf("list: %v", list)
	}
}

func TestGiteaAppends(t *testing.T) {
	r := start(t, Config{})
	for _, s := range []string{"success", "pending"} {
		r.send(gtPath, `{"state":"`+s+`","context":"ci"}`)
	}
	r.send(gtPath, `{"state":"success","context":"CI"}`)
	if got := r.Status(Gitea, "acme/shop", sha); got["ci"] != "pending" || got["CI"] != "success" {
		t.Errorf("got %v", got)
	}
	if got := r.Status(GitHub, "acme/shop", sha); len(got) != 0 {
		t.Errorf("github shows gitea's: %v", got)
	}
	var combined struct{ State string }
	if r.get("/api/v1/repos/acme/shop/commits/"+sha+"/status", &combined); combined.State != "pending" {
		t.Errorf("combined: %+v", combined)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	r := start(t, Config{MaxRequests: 5, MaxStatuses: 6})
	for i := range 12 {
		r.send(fmt.Sprintf("/repos/acme/shop/statuses/%040x", i), `{"state":"pending","context":"ci"}`)
	}
	reqs := r.Requests()
	if len(reqs) != 5 || reqs[0].Number != 8 || reqs[4].Number != 12 {
		t.Errorf("journal: %+v", reqs)
	}
	if a, b := r.Dropped(); a != 7 || b != 6 {
		t.Errorf("dropped %d requests and %d statuses, want 7 and 6", a, b)
	}
	if len(r.Status(GitHub, "acme/shop", fmt.Sprintf("%040x", 5))) != 0 || len(r.Status(GitHub, "acme/shop", fmt.Sprintf("%040x", 6))) != 1 {
		t.Error("the wrong commits were dropped")
	}
	var page string
	r.get("/", &page)
	if !strings.Contains(page, "7 requests and 6 statuses were dropped") {
		t.Error("the page does not say what was dropped")
	}
}

func TestConcurrentUse(t *testing.T) {
	r := start(t, Config{Faults: faults(t, "503x1:pending", "reset%5")})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 25 {
				path := fmt.Sprintf("/repos/acme/shop/statuses/%040x", j)
				for _, state := range []string{"pending", "pending", "success"} {
					r.send(path, fmt.Sprintf(`{"state":"%s","context":"c%d"}`, state, i))
				}
				r.Commits(5)
				r.Requests()
			}
		})
	}
	wg.Wait()
	if n := len(r.Requests()); n != 8*25*3 {
		t.Errorf("journal: %d requests, want 600", n)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := New(Config{}).Wait(ctx, func() bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestViews(t *testing.T) {
	r := start(t, Config{Faults: faults(t, "500x1:error")})
	var empty string
	if code := r.get("/", &empty); code != 200 || !strings.Contains(empty, "Nothing was posted yet") {
		t.Errorf("empty page: %d", code)
	}
	r.send(ghPath, `{"state":"pending","context":"<b>ci</b>","description":"<script>alert(1)</script>","target_url":"https://ci.example/1?a=1&b=2"}`, header("webhook-id", "dlv_1"))
	r.send(ghPath, `{"state":"success","context":"<b>ci</b>","target_url":"https://ci.example/2"}`)
	r.send(glPath, `{"state":"running","name":"x"}`)

	var page string
	r.get("/", &page)
	for _, want := range []string{"&lt;b&gt;ci&lt;/b&gt;", "&lt;script&gt;", "group/sub/shop", `http-equiv="refresh"`, "500x1:error", `<a href="https://ci.example/2"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page, "<script>") || strings.Contains(page, "<b>ci") {
		t.Error("the page is not escaped")
	}

	var commits struct {
		Items []CommitView
	}
	r.get("/_forge/commits", &commits)
	if len(commits.Items) != 2 || commits.Items[0].Provider != GitLab || len(commits.Items[1].Contexts[0].History) != 2 || commits.Items[1].Contexts[0].State != "success" {
		t.Errorf("commits: %+v", commits)
	}
	r.get("/_forge/commits?repository=ACME/shop&sha="+sha, &commits)
	if len(commits.Items) != 1 || commits.Items[0].Repo != "acme/shop" {
		t.Errorf("filtered: %+v", commits)
	}
	var requests struct {
		Items []Request
	}
	r.get("/_forge/requests", &requests)
	if len(requests.Items) != 3 || requests.Items[0].ID != "dlv_1" || requests.Items[0].Context != "<b>ci</b>" {
		t.Errorf("requests: %+v", requests)
	}
	if r.get("/_forge/requests?limit=1", &requests); len(requests.Items) != 1 || requests.Items[0].Number != 3 {
		t.Errorf("last request: %+v", requests)
	}

	if code, _, got := r.send("/_forge/faults", `{"faults":["nope"]}`); code != 400 || !strings.Contains(got, "nope") {
		t.Errorf("bad fault: %d %s", code, got)
	}
	if code, _, got := r.send("/_forge/faults", `{"faults":["502"]}`); code != 200 || got != `{"faults":["502"]}` {
		t.Errorf("faults: %d %s", code, got)
	}
	if code, _, _ := r.send(ghPath, `{"state":"pending"}`); code != 502 {
		t.Errorf("the new fault is not used: %d", code)
	}
	if code, _, _ := r.send("/_forge/reset", ``); code != 204 || len(r.Requests()) != 0 {
		t.Errorf("reset: %d, %d requests", code, len(r.Requests()))
	}
}

func TestClientThatLeaves(t *testing.T) {
	r := start(t, Config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", ghPath)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.Wait(ctx, func() bool { return len(r.Requests()) == 1 }); err != nil {
		t.Fatal(err)
	}
	if q := r.Requests()[0]; q.Applied || q.Status != http.StatusRequestEntityTooLarge && q.Status != http.StatusBadRequest {
		t.Errorf("journal: %+v", q)
	}
}
