package forge

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// azureDevOps follows "Statuses - Create" of Azure DevOps. Statuses are
// appended, and the newest of a genre and name wins.
var azureDevOps = &dialect{
	name:     AzureDevOps,
	unwanted: "/_apis/git/repositories/",
	routes: []route{
		{http.MethodPost, regexp.MustCompile(`/(?P<repo>[^/]+/_apis/git/repositories/[^/]+)/commits/(?P<sha>[^/]+)/statuses$`), callCreate},
		{http.MethodGet, regexp.MustCompile(`/(?P<repo>[^/]+/_apis/git/repositories/[^/]+)/commits/(?P<sha>[^/]+)/statuses$`), callList},
	},
	auth:   azureAuth,
	read:   azureRead,
	rules:  azureRules,
	stored: created(func(_ post, e Entry) any { return azureStatus(e) }),
	list: func(_ callKind, c *commit, _, _ string) any {
		all := newestFirst(c, func(e Entry) any { return azureStatus(e) })
		return map[string]any{"count": len(all), "value": all}
	},
	wrongMethod: *azureError(http.StatusMethodNotAllowed, "The requested resource does not support http method.", ""),
	failed:      azureFailed,
}

func azureError(status int, message, key string) *answer {
	return &answer{status: status, body: map[string]any{
		"$id": "1", "innerException": nil, "message": message, "typeKey": orNull(key), "errorCode": 0, "eventId": 3000,
	}}
}

const azureSignIn = "<html><head><title>Azure DevOps Services | Sign In</title></head></html>"

// azureAuth sends who brings no token to the page to sign in, and shows that
// page to who brings a wrong one.
func azureAuth(f *Forge, r *http.Request) (string, *answer) {
	html := map[string]string{"Content-Type": "text/html; charset=utf-8"}
	switch token := f.credentials(r); {
	case token != "":
		return token, nil
	case r.Header.Get("Authorization") == "":
		html["Location"] = "https://spsprodeus1.vssps.visualstudio.com/_signin?realm=dev.azure.com"
		return "", &answer{status: http.StatusFound, header: html, body: azureSignIn}
	}
	return "", &answer{status: http.StatusNonAuthoritativeInfo, header: html, body: azureSignIn}
}

func azureRead(r *http.Request, body []byte, p *post) *answer {
	if r.URL.Query().Get("api-version") == "" {
		return azureError(http.StatusBadRequest, `No api-version was supplied for the "POST" request. The version must be supplied either as part of the Accept header (e.g. "application/json; api-version=1.0") or as a query parameter (e.g. "?api-version=1.0").`, "VssVersionNotSpecifiedException")
	}
	m, err := members(body)
	if err != nil {
		return azureError(http.StatusBadRequest, "Value cannot be null.\r\nParameter name: gitCommitStatusToCreate", "ArgumentNullException") // unchecked wording
	}
	context, _ := m["context"].(map[string]any)
	name, ok1 := text(context, "name")
	genre, ok2 := text(context, "genre")
	for field, to := range map[string]*string{"state": &p.state, "description": &p.description, "targetUrl": &p.targetURL} {
		s, ok := text(m, field)
		if !ok {
			return azureInvalid(field, "it is no text")
		}
		*to = s
	}
	if !ok1 || !ok2 || name == "" {
		return azureInvalid("context.name", "it is required")
	}
	p.context = strings.TrimPrefix(genre+"/"+name, "/")
	for field, s := range map[string]string{"context.name": name, "context.genre": genre, "description": p.description} {
		if units(s) > azureTextMost {
			return azureInvalid(field, fmt.Sprintf("it has more than %d characters", azureTextMost))
		}
	}
	return nil
}

const azureTextMost = 256 // unchecked

func azureInvalid(field, problem string) *answer {
	return azureError(http.StatusBadRequest, fmt.Sprintf("The value of %s is not valid: %s.", field, problem), "InvalidArgumentValueException") // unchecked wording
}

func azureRules(_ *commit, p *post) *answer {
	switch {
	case !wholeSHA.MatchString(p.sha):
		return azureError(http.StatusNotFound, fmt.Sprintf("TF401175: The version descriptor <Commit: %s > could not be resolved to a version in the repository", p.sha), "GitUnresolvableToCommitException")
	case !one(p.state, "notSet pending succeeded failed error notApplicable partiallySucceeded"):
		return azureInvalid("state", fmt.Sprintf("%q is no state", p.state))
	case p.targetURL != "" && !isWeb(p.targetURL):
		return azureInvalid("targetUrl", "it is no address")
	}
	return nil
}

func azureStatus(e Entry) map[string]any {
	genre, name, found := strings.Cut(e.Context, "/")
	if !found {
		genre, name = "", e.Context
	}
	return map[string]any{
		"id": e.Sequence, "state": e.State, "description": e.Description, "targetUrl": e.TargetURL,
		"context": map[string]any{"name": name, "genre": genre}, "creationDate": stamp(e.At), "updatedDate": stamp(e.At),
	}
}

var azureFailures = map[int][2]string{
	http.StatusUnauthorized:       {"TF400813: The user '' is not authorized to access this resource.", "UnauthorizedRequestException"},
	http.StatusForbidden:          {"TF401027: You need the Git 'GenericContribute' permission to perform this action.", "GitNeedsPermissionException"},
	http.StatusNotFound:           {"TF401019: The Git repository with name or identifier shop does not exist or you do not have permissions for the operation you are attempting.", "GitRepositoryNotFoundException"},
	http.StatusTooManyRequests:    {"TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'Concurrency' in namespace 'User'.", "RequestBlockedException"},
	http.StatusServiceUnavailable: {"TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'Concurrency' in namespace 'User'.", "RequestBlockedException"},
}

func azureFailed(code int, _ post) answer {
	f := azureFailures[code]
	if f[0] == "" {
		f[0] = http.StatusText(code)
	}
	return *azureError(code, f[0], f[1])
}
