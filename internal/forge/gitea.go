package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// gitea follows Gitea 1.22 (and Forgejo): statuses are appended, the newest of
// a context wins, and there are no limits on their texts.
var gitea = &dialect{
	name: Gitea,
	routes: []route{
		{http.MethodPost, regexp.MustCompile(`^/api/v1/repos/(?P<repo>[^/]+/[^/]+)/statuses/(?P<sha>[^/]+)$`), callCreate},
		{http.MethodGet, regexp.MustCompile(`^/api/v1/repos/(?P<repo>[^/]+/[^/]+)/commits/(?P<sha>[^/]+)/status$`), callCombined},
		{http.MethodGet, regexp.MustCompile(`^/api/v1/repos/(?P<repo>[^/]+/[^/]+)/(?:commits|statuses)/(?P<sha>[^/]+)(?:/statuses)?$`), callList},
	},
	auth:        giteaAuth,
	read:        giteaRead,
	rules:       giteaRules,
	stored:      created(func(p post, e Entry) any { return giteaStatus(p.repo, p.sha, e) }),
	list:        giteaList,
	wrongMethod: answer{status: http.StatusMethodNotAllowed},
	failed:      giteaFailed,
}

func giteaError(status int, message string) *answer {
	return &answer{status: status, body: map[string]any{"message": message, "url": "/api/swagger"}}
}

func giteaAuth(f *Forge, r *http.Request) (string, *answer) {
	token := bearer(r, "token", "Bearer")
	if _, password, ok := r.BasicAuth(); ok {
		token = password
	}
	for _, q := range []string{"token", "access_token"} {
		if v := r.URL.Query().Get(q); token == "" {
			token = v
		}
	}
	switch {
	case token == "":
		return "", giteaError(http.StatusUnauthorized, "token is required")
	case !f.accepts(token):
		return "", giteaError(http.StatusUnauthorized, "user does not exist [uid: 0, name: ]")
	}
	return token, nil
}

func giteaRead(_ *http.Request, body []byte, p *post) *answer {
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		return giteaError(http.StatusUnprocessableEntity, "[]: "+err.Error())
	}
	for name, to := range map[string]*string{"state": &p.state, "context": &p.context, "description": &p.description, "target_url": &p.targetURL} {
		s, ok := text(m, name)
		if !ok {
			return giteaError(http.StatusUnprocessableEntity, fmt.Sprintf("[]: json: cannot unmarshal into Go struct field CreateStatusOption.%s of type string", name))
		}
		*to = s
	}
	if p.context == "" {
		p.context = "default"
	}
	return nil
}

func giteaRules(_ *commit, p *post) *answer {
	switch {
	case !wholeSHA.MatchString(p.sha):
		return giteaError(http.StatusInternalServerError, fmt.Sprintf("GetCommit[%s]: object does not exist [id: %[1]s, rel_path: ]", p.sha))
	case !strings.Contains(" pending success error failure warning skipped ", " "+p.state+" "):
		return giteaError(http.StatusUnprocessableEntity, fmt.Sprintf("[State]: %q is not a commit status", p.state)) // unchecked wording
	}
	return nil
}

func giteaStatus(repo, sha string, e Entry) map[string]any {
	return map[string]any{
		"id": e.Sequence, "status": e.State, "target_url": e.TargetURL, "description": e.Description, "context": e.Context,
		"url": "/api/v1/repos/" + repo + "/statuses/" + sha, "created_at": stamp(e.At), "updated_at": stamp(e.At), "creator": map[string]any{"id": 1, "login": "forge"},
	}
}

func giteaList(kind callKind, c *commit, repo, sha string) any {
	all := []any{}
	if c == nil {
		c = &commit{}
	}
	if kind == callList {
		for i := len(c.entries) - 1; i >= 0; i-- { // newest first
			all = append(all, giteaStatus(repo, sha, c.entries[i]))
		}
		return all
	}
	for _, e := range c.shown() {
		all = append(all, giteaStatus(repo, sha, e.Entry))
	}
	return map[string]any{"state": combined(c.shown()), "statuses": all, "sha": sha, "total_count": len(all)}
}

var giteaFailures = map[int]string{
	http.StatusUnauthorized:        "token is required",
	http.StatusForbidden:           "token does not have at least one of required scope(s): [write:repository]",
	http.StatusNotFound:            "The target couldn't be found.",
	http.StatusInternalServerError: "GetCommit: object does not exist",
}

func giteaFailed(code int, _ post) answer {
	if code == http.StatusMethodNotAllowed {
		return answer{status: code}
	}
	message := giteaFailures[code]
	if message == "" {
		message = http.StatusText(code)
	}
	return *giteaError(code, message)
}
