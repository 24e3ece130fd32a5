package forge

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// gitLab follows "Set the pipeline status of a commit" of GitLab's API. A
// status that is pending or running moves on; one that has ended does not, and
// a new one is made. What may follow what is in transitions.
var gitLab = &dialect{
	name:    GitLab,
	perUser: true,
	routes: []route{
		{http.MethodPost, regexp.MustCompile(`^/api/v4/projects/(?P<repo>[^/]+)/statuses/(?P<sha>[^/]+)$`), callCreate},
		{http.MethodGet, regexp.MustCompile(`^/api/v4/projects/(?P<repo>[^/]+)/repository/commits/(?P<sha>[^/]+)/statuses$`), callList},
	},
	auth:        gitLabAuth,
	read:        gitLabRead,
	rules:       gitLabRules,
	stored:      created(func(p post, e Entry) any { return gitLabStatus(p.sha, e) }),
	list:        gitLabList,
	wrongMethod: answer{status: http.StatusMethodNotAllowed, body: map[string]any{"error": "405 Method Not Allowed"}},
	failed:      gitLabFailed,
}

func gitLabError(status int, message any) *answer {
	return &answer{status: status, body: map[string]any{"message": message}}
}

func gitLabAuth(f *Forge, r *http.Request) (string, *answer) {
	for _, token := range []string{r.Header.Get("PRIVATE-TOKEN"), bearer(r, "Bearer"), r.URL.Query().Get("private_token"), r.Header.Get("JOB-TOKEN")} {
		if f.accepts(token) {
			return token, nil
		}
	}
	return "", gitLabError(http.StatusUnauthorized, "401 Unauthorized")
}

func gitLabRead(r *http.Request, body []byte, p *post) *answer {
	get, refused := gitLabParams(r, body)
	if refused != nil {
		return refused
	}
	p.state, p.description, p.targetURL, p.ref, p.pipeline = get("state"), get("description"), get("target_url"), get("ref"), get("pipeline_id")
	if p.context = get("name"); p.context == "" {
		p.context = get("context")
	}
	if p.context == "" {
		p.context = "default"
	}
	if p.ref == "" {
		p.ref = "main" // GitLab takes the first branch that has the commit
	}
	if p.state == "" {
		return &answer{status: http.StatusBadRequest, body: map[string]any{"error": "state is missing, state does not have a valid value"}}
	}
	return nil
}

// gitLabParams reads JSON, a form, or the query.
func gitLabParams(r *http.Request, body []byte) (get func(name string) string, refused *answer) {
	query := r.URL.Query()
	fallback := func(s, name string) string {
		if s == "" {
			return query.Get(name)
		}
		return s
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case kind == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, &answer{status: http.StatusBadRequest, body: map[string]any{"error": "the form cannot be read"}}
		}
		return func(name string) string { return fallback(form.Get(name), name) }, nil
	case kind == "application/json" && len(strings.TrimSpace(string(body))) > 0:
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			return nil, &answer{status: http.StatusBadRequest, body: map[string]any{"error": "The provided content-type 'application/json' is not supported."}} // unchecked wording
		}
		return func(name string) string {
			if v, ok := m[name]; ok && v != nil {
				return fmt.Sprint(v)
			}
			return query.Get(name)
		}, nil
	}
	return query.Get, nil
}

const gitLabTextMost = 255

func gitLabRules(c *commit, p *post) *answer {
	invalid := func(field, problem string) *answer {
		return gitLabError(http.StatusBadRequest, map[string]any{field: []any{problem}})
	}
	tooLong := fmt.Sprintf("is too long (maximum is %d characters)", gitLabTextMost)
	switch {
	case !wholeSHA.MatchString(p.sha):
		return gitLabError(http.StatusNotFound, "404 Commit Not Found")
	case !strings.Contains(" pending running success failed canceled skipped ", " "+p.state+" "):
		return &answer{status: http.StatusBadRequest, body: map[string]any{"error": "state does not have a valid value"}}
	case utf8.RuneCountInString(p.targetURL) > gitLabTextMost:
		return invalid("target_url", tooLong)
	case p.targetURL != "" && !isWeb(p.targetURL):
		return invalid("target_url", "is blocked: Only allowed schemes are http, https")
	case utf8.RuneCountInString(p.description) > gitLabTextMost: // unchecked
		return invalid("description", tooLong)
	case utf8.RuneCountInString(p.context) > gitLabTextMost: // unchecked
		return invalid("name", tooLong)
	}
	if newest := strconv.FormatInt(c.pipelines+1, 10); p.pipeline == "" {
		p.pipeline = newest
	} else if n, err := strconv.ParseInt(p.pipeline, 10, 64); err != nil || n < 1 || n > c.pipelines+1 {
		return gitLabError(http.StatusNotFound, "404 Pipeline Not Found") // unchecked wording
	}
	return gitLabMove(c, p)
}

// NewPipeline makes a new pipeline for a commit on GitLab, as a push of a tag
// or a schedule does: from now on it is the one that statuses are filed under,
// unless they name another.
func (f *Forge) NewPipeline(repo, sha string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits.at(gitLab, post{provider: GitLab, repo: repo, sha: sha}).pipelines++
}

// transitions says what may become of a status that has not ended. Everything
// may follow one that has: GitLab makes a new one.
var transitions = map[string]map[string]string{ // from -> to -> the event that is refused
	"pending": {"pending": "enqueue"},
	"running": {"pending": "enqueue", "running": "run", "skipped": "skip"},
}

// gitLabMove looks for the status that p moves on: the newest of the same
// name, pipeline, ref and user, if it has not ended.
func gitLabMove(c *commit, p *post) *answer {
	for i := len(c.entries) - 1; i >= 0; i-- {
		e := c.entries[i]
		if e.Context != p.context || e.Ref != p.ref || e.user != p.user || e.pipeline != p.pipeline {
			continue
		}
		if e.State != "pending" && e.State != "running" {
			return nil
		}
		if event := transitions[e.State][p.state]; event != "" {
			return gitLabError(http.StatusBadRequest, fmt.Sprintf("Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via \"%[1]s\")", event, e.State))
		}
		p.id = e.id
		return nil
	}
	return nil
}

func gitLabStatus(sha string, e Entry) map[string]any {
	pipeline, _ := strconv.ParseInt(e.pipeline, 10, 64) // it was one when it was stored
	return map[string]any{
		"id": e.id, "pipeline_id": pipeline, "sha": sha, "ref": e.Ref, "status": e.State, "name": e.Context, "target_url": orNull(e.TargetURL),
		"description": orNull(e.Description), "created_at": stamp(e.At), "started_at": nil, "finished_at": nil,
		"allow_failure": false, "coverage": nil, "author": map[string]any{"id": 1, "username": "forge", "name": "Forge"},
	}
}

func gitLabList(_ callKind, c *commit, _, sha string) any {
	all := []any{}
	if c == nil {
		return all
	}
	newest := map[int64]bool{}
	for i := len(c.entries) - 1; i >= 0; i-- {
		if e := c.entries[i]; !newest[e.id] {
			newest[e.id] = true
			all = append(all, gitLabStatus(sha, e))
		}
	}
	return all
}

var gitLabFailures = map[int]string{
	http.StatusUnauthorized:        "401 Unauthorized",
	http.StatusForbidden:           "403 Forbidden",
	http.StatusNotFound:            "404 Commit Not Found",
	http.StatusConflict:            "Another update to this commit status is in progress",
	http.StatusUnprocessableEntity: "The number of jobs has exceeded the limit",
	http.StatusInternalServerError: "500 Internal Server Error",
}

func gitLabFailed(code int, _ post) answer {
	switch code {
	case http.StatusTooManyRequests:
		return answer{status: code, body: "Retry later\n"}
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return answer{status: code, header: map[string]string{"Content-Type": "text/html"}, body: fmt.Sprintf("<!DOCTYPE html><title>GitLab is not responding (%d)</title>\n", code)}
	}
	message := gitLabFailures[code]
	if message == "" {
		message = fmt.Sprintf("%d %s", code, http.StatusText(code))
	}
	return *gitLabError(code, message)
}
