package forge

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// gerrit follows "Set Review" of Gerrit. A vote of one user on one label is
// overwritten by the next; there is nothing besides votes. What a label may be
// voted is -1 to +1 here, as on Verified.
var gerrit = &dialect{
	name:    Gerrit,
	perUser: true,
	routes: []route{
		{http.MethodPost, gerritPath, callCreate},
		{http.MethodGet, gerritPath, callList},
	},
	auth: func(f *Forge, r *http.Request) (string, *answer) {
		_, _, basic := r.BasicAuth()
		token := f.credentials(r)
		switch {
		case !strings.HasPrefix(r.URL.Path, "/a/"):
			return "", gerritError(http.StatusForbidden, "Authentication required")
		case !basic || token == "":
			return "", gerritError(http.StatusUnauthorized, "Unauthorized")
		}
		return token, nil
	},
	read:  gerritRead,
	rules: gerritRules,
	stored: func(_ bool, p post, _ Entry) answer {
		return gerritJSON(map[string]any{"labels": gerritVotes(p)})
	},
	list: func(_ callKind, c *commit, _, _ string) any {
		return newestFirst(c, func(e Entry) any { return map[string]any{"label": e.Context, "value": e.State} })
	},
	wrongMethod: *gerritError(http.StatusMethodNotAllowed, "Method Not Allowed"),
	failed:      gerritFailed,
}

var gerritPath = regexp.MustCompile(`^(?:/a)?/changes/(?P<repo>[^/]+)/revisions/(?P<sha>[^/]+)/review$`)

// gerritError is an answer in plain text: Gerrit has no JSON for errors.
func gerritError(status int, message string) *answer {
	return &answer{status: status, body: message}
}

// gerritJSON is an answer that no script of another page can read.
func gerritJSON(v any) answer {
	text, err := json.Marshal(v)
	if err != nil {
		return *gerritError(http.StatusInternalServerError, "Internal server error")
	}
	return answer{status: http.StatusOK, header: map[string]string{"Content-Type": "application/json; charset=UTF-8"}, body: ")]}'\n" + string(text) + "\n"}
}

func gerritRead(_ *http.Request, body []byte, p *post) *answer {
	m, err := members(body)
	if err != nil {
		return gerritError(http.StatusBadRequest, "Expected JSON object: "+err.Error()) // unchecked wording
	}
	message, ok1 := text(m, "message")
	tag, ok2 := text(m, "tag")
	if !ok1 || !ok2 {
		return gerritError(http.StatusBadRequest, "message and tag are texts") // unchecked wording
	}
	if notify, ok := text(m, "notify"); !ok || notify != "" && !one(notify, "NONE OWNER OWNER_REVIEWERS ALL") {
		return gerritError(http.StatusBadRequest, fmt.Sprintf("invalid notify handling %v", m["notify"])) // unchecked wording
	}
	p.description, p.ref = strings.TrimSpace(message), tag
	labels, _ := m["labels"].(map[string]any)
	p.silent = len(labels) == 0
	for i, label := range slices.Sorted(maps.Keys(labels)) {
		word, refused := gerritVote(label, labels[label])
		if refused != nil {
			return refused
		}
		if i == 0 {
			p.context, p.state = label, word
		} else {
			p.also = append(p.also, vote{label, word})
		}
	}
	return nil
}

var gerritLabel = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)

// gerritVote reads a vote: a number, or a text that is one.
func gerritVote(label string, v any) (string, *answer) {
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	switch {
	case !gerritLabel.MatchString(label):
		return "", gerritError(http.StatusBadRequest, fmt.Sprintf("label %q is not a configured label", label))
	case err != nil || n != float64(int(n)) || n < -1 || n > 1:
		return "", gerritError(http.StatusBadRequest, fmt.Sprintf("label %q: %v is not a valid value", label, v))
	}
	return fmt.Sprintf("%+d", int(n)), nil
}

func gerritVotes(p post) map[string]any {
	out := map[string]any{}
	if !p.silent {
		for _, v := range append([]vote{{p.context, p.state}}, p.also...) {
			out[v.context], _ = strconv.Atoi(v.state)
		}
	}
	return out
}

func gerritRules(_ *commit, p *post) *answer {
	if !wholeSHA.MatchString(p.sha) {
		return gerritError(http.StatusNotFound, "Not found: "+p.sha)
	}
	if _, number, found := strings.Cut(p.repo, "~"); found && strings.Trim(number, "0123456789") != "" {
		return gerritError(http.StatusNotFound, "Not found: "+p.repo)
	}
	return nil
}

var gerritFailures = map[int]string{
	http.StatusForbidden:          `Applying label "Verified": 1 is restricted`,
	http.StatusConflict:           "change is closed",
	http.StatusServiceUnavailable: "Lock failure",
	http.StatusNotFound:           "Not found: change",
}

func gerritFailed(code int, _ post) answer {
	message := gerritFailures[code]
	if message == "" {
		message = http.StatusText(code)
	}
	return *gerritError(code, message)
}
