package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"
)

// gitHub follows "Create a commit status" of GitHub's REST API. Statuses are
// appended, and the newest of a context wins, whatever its state.
var gitHub = &dialect{
	name:        GitHub,
	foldContext: true,
	routes: []route{
		{http.MethodPost, regexp.MustCompile(`^(?:/api/v3)?/repos/(?P<repo>[^/]+/[^/]+)/statuses/(?P<sha>[^/]+)$`), callCreate},
		{http.MethodGet, regexp.MustCompile(`^(?:/api/v3)?/repos/(?P<repo>[^/]+/[^/]+)/commits/(?P<sha>[^/]+)/status$`), callCombined},
		{http.MethodGet, regexp.MustCompile(`^(?:/api/v3)?/repos/(?P<repo>[^/]+/[^/]+)/commits/(?P<sha>[^/]+)/statuses$`), callList},
	},
	auth:        gitHubAuth,
	read:        gitHubRead,
	rules:       gitHubRules,
	stored:      created(gitHubCreated),
	list:        gitHubList,
	wrongMethod: answer{status: http.StatusNotFound, body: map[string]any{"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}},
	failed:      gitHubFailed,
}

const (
	gitHubDocs       = "https://docs.github.com/rest/commits/statuses#create-a-commit-status"
	gitHubMost       = 1000 // statuses per sha and context
	gitHubDescribing = 140  // characters of a description
)

func gitHubError(status int, message string) *answer {
	return &answer{status: status, body: map[string]any{"message": message, "documentation_url": gitHubDocs, "status": fmt.Sprint(status)}}
}

// gitHubInvalid is the 422 for one field; "" is none.
func gitHubInvalid(field, message string) *answer {
	problem := map[string]any{"resource": "Status", "code": "custom", "message": message}
	if field != "" {
		problem["field"] = field
	}
	return &answer{status: http.StatusUnprocessableEntity, body: map[string]any{
		"message": "Validation Failed", "errors": []any{problem}, "documentation_url": gitHubDocs, "status": "422",
	}}
}

func gitHubAuth(f *Forge, r *http.Request) (string, *answer) {
	if r.Header.Get("User-Agent") == "" {
		return "", &answer{status: http.StatusForbidden, body: "Request forbidden by administrative rules. Please make sure your request has a User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). Check https://developer.github.com for other possible causes.\n"}
	}
	token := bearer(r, "Bearer", "token")
	switch {
	case token == "":
		return "", gitHubError(http.StatusUnauthorized, "Requires authentication")
	case !f.accepts(token):
		return "", &answer{status: http.StatusUnauthorized, body: map[string]any{"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"}}
	}
	return token, nil
}

func gitHubRead(_ *http.Request, body []byte, p *post) *answer {
	var raw any
	if err := json.Unmarshal(body, &raw); err != nil {
		return gitHubError(http.StatusBadRequest, "Problems parsing JSON")
	}
	m, ok := raw.(map[string]any)
	if !ok {
		return gitHubError(http.StatusBadRequest, "Body should be a JSON object")
	}
	for name, to := range map[string]*string{"state": &p.state, "context": &p.context, "description": &p.description, "target_url": &p.targetURL} {
		s, ok := text(m, name)
		if !ok {
			return gitHubError(http.StatusUnprocessableEntity, fmt.Sprintf("Invalid request.\n\nFor 'properties/%s', %v is not a string.", name, m[name]))
		}
		*to = s
	}
	if p.context == "" {
		p.context = "default"
	}
	if p.state == "" {
		return gitHubError(http.StatusUnprocessableEntity, "Invalid request.\n\n\"state\" wasn't supplied.")
	}
	return nil
}

func gitHubRules(c *commit, p *post) *answer {
	switch {
	case !wholeSHA.MatchString(p.sha):
		return gitHubInvalid("sha", "sha must be a 40 character SHA1")
	case !strings.Contains(" error failure pending success ", " "+p.state+" "):
		return gitHubInvalid("state", "state is not included in the list") // unchecked wording
	case utf8.RuneCountInString(p.description) > gitHubDescribing:
		return gitHubInvalid("description", fmt.Sprintf("description is too long (maximum is %d characters)", gitHubDescribing))
	case utf8.RuneCountInString(p.context) > 255:
		return gitHubInvalid("context", "context is too long (maximum is 255 characters)") // unchecked
	case p.targetURL != "" && !isWeb(p.targetURL):
		return gitHubInvalid("target_url", "target_url must use http(s) scheme") // unchecked wording
	case len(c.of(p.context)) >= gitHubMost:
		return gitHubInvalid("", "This SHA and context has reached the maximum number of statuses.")
	}
	return nil
}

func gitHubStatus(repo, sha string, e Entry) map[string]any {
	return map[string]any{
		"url": "/repos/" + repo + "/statuses/" + sha, "id": e.Sequence, "node_id": fmt.Sprintf("SC_%d", e.Sequence),
		"state": e.State, "description": orNull(e.Description), "target_url": orNull(e.TargetURL), "context": e.Context,
		"created_at": stamp(e.At), "updated_at": stamp(e.At), "creator": map[string]any{"login": "forge", "id": 1, "type": "User"},
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func gitHubCreated(p post, e Entry) any { return gitHubStatus(p.repo, p.sha, e) }

func gitHubList(kind callKind, c *commit, repo, sha string) any {
	all := []any{}
	if c == nil {
		c = &commit{}
	}
	if kind == callList {
		for i := len(c.entries) - 1; i >= 0; i-- { // newest first
			all = append(all, gitHubStatus(repo, sha, c.entries[i]))
		}
		return all
	}
	for _, e := range c.shown() {
		all = append(all, gitHubStatus(repo, sha, e.Entry))
	}
	return map[string]any{"state": combined(c.shown()), "statuses": all, "sha": sha, "total_count": len(all), "repository": map[string]any{"full_name": repo}}
}

// combined is one word for all contexts: failure when one failed, pending when
// one is pending or there is none, else success.
func combined(shown []shownStatus) string {
	state := "success"
	if len(shown) == 0 {
		return "pending"
	}
	for _, e := range shown {
		switch e.State {
		case "failure", "error":
			return "failure"
		case "pending":
			state = "pending"
		}
	}
	return state
}

// gitHubFailures are the bodies that GitHub sends with a status.
var gitHubFailures = map[int]string{
	http.StatusUnauthorized:        "Bad credentials",
	http.StatusForbidden:           "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
	http.StatusNotFound:            "Not Found",
	http.StatusConflict:            "Conflict",
	http.StatusUnprocessableEntity: "No commit found for SHA: ",
	http.StatusTooManyRequests:     "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
	http.StatusInternalServerError: "Server Error",
	http.StatusBadGateway:          "Server Error",
	http.StatusServiceUnavailable:  "Service unavailable",
}

func gitHubFailed(code int, p post) answer {
	message := gitHubFailures[code]
	if message == "" {
		message = http.StatusText(code)
	}
	if code == http.StatusUnprocessableEntity {
		message += p.sha
	}
	return *gitHubError(code, message)
}
