package forge

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// bitbucket follows "Create a build status for a commit" of Bitbucket Cloud. A
// status is overwritten by the next of its key.
var bitbucket = &dialect{
	name: Bitbucket,
	routes: []route{
		{http.MethodPost, regexp.MustCompile(`^/2\.0/repositories/(?P<repo>[^/]+/[^/]+)/commit/(?P<sha>[^/]+)/statuses/build/?$`), callCreate},
		{http.MethodGet, regexp.MustCompile(`^/2\.0/repositories/(?P<repo>[^/]+/[^/]+)/commit/(?P<sha>[^/]+)/statuses$`), callList},
	},
	auth: func(f *Forge, r *http.Request) (string, *answer) {
		if token := f.credentials(r); token != "" {
			return token, nil
		}
		return "", bitbucketError(http.StatusUnauthorized, "Token is invalid, expired, or not supported for this endpoint.", nil)
	},
	read:  bitbucketRead,
	rules: bitbucketRules,
	stored: func(known bool, p post, e Entry) answer {
		a := answer{status: http.StatusCreated, body: bitbucketStatus(p.repo, p.sha, e)}
		if known {
			a.status = http.StatusOK // unchecked
		}
		return a
	},
	list: func(_ callKind, c *commit, repo, sha string) any {
		all := newestFirst(c, func(e Entry) any { return bitbucketStatus(repo, sha, e) })
		return map[string]any{"page": 1, "pagelen": 30, "size": len(all), "values": all}
	},
	wrongMethod: *bitbucketError(http.StatusMethodNotAllowed, "Method not allowed", nil),
	failed:      bitbucketFailed,
}

// bitbucketError is an answer with what is wrong by field, nil for none.
func bitbucketError(status int, message string, fields map[string][]string) *answer {
	problem := map[string]any{"message": message}
	if len(fields) > 0 {
		problem["fields"] = fields
	}
	return &answer{status: status, body: map[string]any{"type": "error", "error": problem}}
}

func bitbucketInvalid(field, problem string) *answer {
	return bitbucketError(http.StatusBadRequest, field+": "+problem, map[string][]string{field: {problem}})
}

func bitbucketRead(_ *http.Request, body []byte, p *post) *answer {
	m, err := members(body)
	if err != nil {
		return bitbucketError(http.StatusBadRequest, "Bad request", nil) // unchecked wording
	}
	for _, name := range []string{"key", "state", "url"} {
		if m[name] == nil {
			return bitbucketInvalid(name, "required key not provided")
		}
	}
	name := ""
	for field, to := range map[string]*string{"key": &p.context, "state": &p.state, "url": &p.targetURL, "description": &p.description, "name": &name} {
		s, ok := text(m, field)
		if !ok {
			return bitbucketInvalid(field, fmt.Sprintf("expected str, not %v", m[field])) // unchecked wording
		}
		*to = s
	}
	if n := utf8.RuneCountInString(name); n > bitbucketTextMost {
		return bitbucketInvalid("name", bitbucketLong(bitbucketTextMost, n)) // unchecked
	}
	return nil
}

const (
	bitbucketKeyMost  = 40
	bitbucketTextMost = 255 // unchecked
)

func bitbucketLong(most, n int) string {
	return fmt.Sprintf("Ensure this value has at most %d characters (it has %d).", most, n)
}

func bitbucketRules(_ *commit, p *post) *answer {
	key, description := utf8.RuneCountInString(p.context), utf8.RuneCountInString(p.description)
	switch {
	case !wholeSHA.MatchString(p.sha):
		return bitbucketError(http.StatusNotFound, "Commit not found", nil)
	case key == 0:
		return bitbucketInvalid("key", "This field cannot be blank.") // unchecked wording
	case key > bitbucketKeyMost:
		return bitbucketInvalid("key", bitbucketLong(bitbucketKeyMost, key))
	case !one(p.state, "INPROGRESS SUCCESSFUL FAILED STOPPED"):
		return bitbucketInvalid("state", fmt.Sprintf("%q is not a valid choice.", p.state)) // unchecked wording
	case !isWeb(p.targetURL):
		return bitbucketInvalid("url", "Enter a valid URL.")
	case description > bitbucketTextMost:
		return bitbucketInvalid("description", bitbucketLong(bitbucketTextMost, description)) // unchecked
	}
	return nil
}

func bitbucketStatus(repo, sha string, e Entry) map[string]any {
	return map[string]any{
		"type": "build", "key": e.Context, "state": e.State, "name": e.Context, "url": e.TargetURL, "description": e.Description,
		"created_on": stamp(e.At), "updated_on": stamp(e.At), "commit": map[string]any{"hash": sha}, "repository": map[string]any{"full_name": repo},
	}
}

var bitbucketFailures = map[int]string{
	http.StatusUnauthorized: "Token is invalid, expired, or not supported for this endpoint.",
	http.StatusForbidden:    "Your credentials lack one or more required privilege scopes.",
	http.StatusNotFound:     "Commit not found",
}

func bitbucketFailed(code int, _ post) answer {
	if code == http.StatusTooManyRequests {
		return answer{status: code, body: "Rate limit for this resource has been exceeded"}
	}
	message := bitbucketFailures[code]
	if message == "" {
		message = http.StatusText(code)
	}
	return *bitbucketError(code, message, nil)
}

// bitbucketDC follows the build status of Bitbucket Data Center 7.4 and newer.
// A status is overwritten by the next of its key.
var bitbucketDC = &dialect{
	name:     BitbucketDC,
	unwanted: "/repos/",
	routes: []route{
		{http.MethodPost, regexp.MustCompile(`/rest/api/(?:latest|1\.0)/projects/(?P<repo>[^/]+/repos/[^/]+)/commits/(?P<sha>[^/]+)/builds$`), callCreate},
		{http.MethodGet, regexp.MustCompile(`/rest/api/(?:latest|1\.0)/projects/(?P<repo>[^/]+/repos/[^/]+)/commits/(?P<sha>[^/]+)/builds$`), callList},
	},
	auth: func(f *Forge, r *http.Request) (string, *answer) {
		if token := f.credentials(r); token != "" {
			return token, nil
		}
		return "", bitbucketDCError(http.StatusUnauthorized, "", "Authentication failed. Please check your credentials and try again.", "com.atlassian.bitbucket.auth.IncorrectPasswordAuthenticationException")
	},
	read:   bitbucketDCRead,
	rules:  bitbucketDCRules,
	stored: func(bool, post, Entry) answer { return answer{status: http.StatusNoContent} },
	list: func(_ callKind, c *commit, _, _ string) any {
		return map[string]any{"isLastPage": true, "values": newestFirst(c, func(e Entry) any {
			return map[string]any{"key": e.Context, "state": e.State, "url": e.TargetURL, "description": e.Description, "createdDate": e.At.UnixMilli()}
		})}
	},
	wrongMethod: *bitbucketDCError(http.StatusMethodNotAllowed, "", "HTTP 405 Method Not Allowed", ""),
	failed:      bitbucketDCFailed,
}

// bitbucketDCError is an answer with one error; field and exception may be "".
func bitbucketDCError(status int, field, message, exception string) *answer {
	return &answer{status: status, body: map[string]any{"errors": []any{map[string]any{
		"context": orNull(field), "message": message, "exceptionName": orNull(exception),
	}}}}
}

// bitbucketDCMost are the longest values, in units of UTF-16.
var bitbucketDCMost = map[string]int{"key": 255, "name": 255, "description": 255, "url": 450} // unchecked

func bitbucketDCRead(_ *http.Request, body []byte, p *post) *answer {
	m, err := members(body)
	if err != nil {
		return bitbucketDCError(http.StatusBadRequest, "", "The request body could not be read: "+err.Error(), "") // unchecked wording
	}
	for _, field := range []string{"key", "name", "description", "url", "state"} {
		s, ok := text(m, field)
		required := slices.Contains([]string{"key", "url", "state"}, field)
		switch most := bitbucketDCMost[field]; {
		case !ok:
			return bitbucketDCError(http.StatusBadRequest, field, "the value is no text", "") // unchecked wording
		case required && strings.TrimSpace(s) == "":
			return bitbucketDCError(http.StatusBadRequest, field, "A value for "+field+" is required", "") // unchecked wording
		case most > 0 && units(s) > most:
			return bitbucketDCError(http.StatusBadRequest, field, fmt.Sprintf("Please enter a non-empty value less than %d characters", most), "") // unchecked wording
		}
		*map[string]*string{"key": &p.context, "name": new(string), "description": &p.description, "url": &p.targetURL, "state": &p.state}[field] = s
	}
	return nil
}

func bitbucketDCRules(_ *commit, p *post) *answer {
	switch {
	case !wholeSHA.MatchString(p.sha):
		return bitbucketDCError(http.StatusNotFound, "", fmt.Sprintf("Commit '%s' does not exist in repository '%s'.", p.sha, p.repo), "com.atlassian.bitbucket.commit.NoSuchCommitException")
	case !one(p.state, "INPROGRESS SUCCESSFUL FAILED CANCELLED UNKNOWN"):
		return bitbucketDCError(http.StatusBadRequest, "state", fmt.Sprintf("%q is no build state", p.state), "") // unchecked wording
	case !isWeb(p.targetURL):
		return bitbucketDCError(http.StatusBadRequest, "url", "The URL is not valid", "") // unchecked wording
	}
	return nil
}

var bitbucketDCFailures = map[int]string{
	http.StatusUnauthorized:    "You are not permitted to access this resource",
	http.StatusForbidden:       "You are not permitted to access this resource",
	http.StatusNotFound:        "Commit does not exist in repository",
	http.StatusTooManyRequests: "You have exceeded your rate limit. Please wait before trying again.",
}

func bitbucketDCFailed(code int, _ post) answer {
	message := bitbucketDCFailures[code]
	if message == "" {
		message = http.StatusText(code)
	}
	return *bitbucketDCError(code, "", message, "")
}
