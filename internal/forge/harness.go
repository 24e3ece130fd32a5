package forge

import (
	"fmt"
	"net/http"
	"regexp"
	"unicode/utf8"
)

// harnessCode follows the status checks of Gitness, the open source edition of
// Harness Code. A check is overwritten by the next of its identifier.
var harnessCode = &dialect{
	name:     HarnessCode,
	unwanted: "/+",
	routes: []route{
		{http.MethodPut, harnessPath, callCreate},
		{http.MethodGet, harnessPath, callList},
	},
	auth: func(f *Forge, r *http.Request) (string, *answer) {
		for _, token := range []string{r.Header.Get("x-api-key"), f.credentials(r)} {
			if f.accepts(token) {
				return token, nil
			}
		}
		return "", harnessError(http.StatusUnauthorized, "Unauthorized")
	},
	read:  harnessRead,
	rules: harnessRules,
	stored: func(_ bool, _ post, e Entry) answer {
		return answer{status: http.StatusOK, body: harnessCheck(e)}
	},
	list: func(_ callKind, c *commit, _, _ string) any {
		return newestFirst(c, func(e Entry) any { return harnessCheck(e) })
	},
	wrongMethod: *harnessError(http.StatusMethodNotAllowed, "Method Not Allowed"),
	failed: func(code int, _ post) answer {
		if code == http.StatusNotFound {
			return *harnessError(code, "revision not found")
		}
		return *harnessError(code, http.StatusText(code))
	},
}

var harnessPath = regexp.MustCompile(`/api/v1/repos/(?P<repo>[^/]+|.+/\+)/checks/commits/(?P<sha>[^/]+)$`)

func harnessError(status int, message string) *answer {
	return &answer{status: status, body: map[string]any{"message": message}}
}

const (
	harnessIdentifier = "^[0-9a-zA-Z-_.$]{1,127}$"
	harnessTextMost   = 2048
)

var isHarnessIdentifier = regexp.MustCompile(harnessIdentifier)

func harnessRead(_ *http.Request, body []byte, p *post) *answer {
	m, err := members(body)
	if err != nil {
		return harnessError(http.StatusBadRequest, "Invalid Request Body: "+err.Error())
	}
	for _, field := range []string{"identifier", "status", "summary", "link"} {
		s, ok := text(m, field)
		if !ok {
			return harnessError(http.StatusBadRequest, fmt.Sprintf("Invalid Request Body: %s is no text.", field)) // unchecked wording
		}
		*map[string]*string{"identifier": &p.context, "status": &p.state, "summary": &p.description, "link": &p.targetURL}[field] = s
	}
	payload, _ := m["payload"].(map[string]any)
	if kind, ok := text(payload, "kind"); !ok || !one(kind, "raw markdown pipeline") && kind != "" {
		return harnessError(http.StatusBadRequest, "Invalid value provided for the payload kind")
	}
	return nil
}

func harnessRules(_ *commit, p *post) *answer {
	switch {
	case p.context == "":
		return harnessError(http.StatusBadRequest, "Identifier is missing")
	case !isHarnessIdentifier.MatchString(p.context):
		return harnessError(http.StatusBadRequest, "Identifier must match the regular expression: "+harnessIdentifier)
	case !one(p.state, "pending running success failure error"):
		return harnessError(http.StatusBadRequest, "Invalid value provided for status check status")
	case utf8.RuneCountInString(p.description) > harnessTextMost:
		return harnessError(http.StatusBadRequest, fmt.Sprintf("Summary can be at most %d characters long", harnessTextMost)) // unchecked wording
	case utf8.RuneCountInString(p.targetURL) > harnessTextMost, p.targetURL != "" && !isWeb(p.targetURL):
		return harnessError(http.StatusBadRequest, "Link is not valid") // unchecked wording
	case !wholeSHA.MatchString(p.sha):
		return harnessError(http.StatusBadRequest, "invalid commit SHA provided")
	}
	return nil
}

func harnessCheck(e Entry) map[string]any {
	return map[string]any{
		"id": e.Sequence, "identifier": e.Context, "status": e.State, "summary": e.Description, "link": e.TargetURL,
		"created": e.At.UnixMilli(), "updated": e.At.UnixMilli(), "payload": map[string]any{"kind": "", "version": "1", "data": map[string]any{}},
	}
}
