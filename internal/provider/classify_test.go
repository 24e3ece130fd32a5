package provider

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestEveryStatus walks every HTTP status through every profile.
func TestEveryStatus(t *testing.T) {
	ps := load(t)
	profiles := []struct {
		name      string
		delivered string       // statuses, "2xx" for all of them
		own       map[int]Kind // where it differs from the general one
	}{
		{"general", "2xx", nil},
		{"github", "200 201", map[int]Kind{404: NotFoundYet}},
		{"gitlab", "200 201", map[int]Kind{404: NotFoundYet, 409: Transient}},
		{"gitea", "200 201", map[int]Kind{404: NotFoundYet}},
		{"bitbucket", "200 201", map[int]Kind{404: NotFoundYet}},
		{"bitbucket-dc", "200 201 204", map[int]Kind{404: NotFoundYet, 409: Transient}},
		{"azure-devops", "200 201", map[int]Kind{203: Credential, 404: NotFoundYet}},
		{"harness-code", "200 201", map[int]Kind{404: NotFoundYet}},
		{"gerrit", "200", map[int]Kind{404: NotFoundYet, 409: Transient}},
		{"codenow", "2xx", map[int]Kind{409: Delivered}},
		{"sei", "2xx", nil},
		{"cdevents", "2xx", nil},
	}
	if len(profiles) != len(ps.Names())+1 {
		t.Errorf("%d profiles are in the table, %d are there", len(profiles)-1, len(ps.Names()))
	}
	for _, p := range profiles {
		for status := 100; status < 600; status++ {
			want := Permanent
			switch {
			case p.own[status] != "":
				want = p.own[status]
			case status < 200, status >= 500, status == 408, status == 425:
				want = Transient
			case status < 300 && p.delivered == "2xx", strings.Contains(p.delivered, fmt.Sprint(status)):
				want = Delivered
			case status == 401, status == 403, status == 407:
				want = Credential
			case status == 429:
				want = Throttled
			}
			c := ps.For(p.name).Classify(Answer{Status: status, Header: http.Header{}})
			if c.Kind != want {
				t.Errorf("%s %d: got %s, want %s", p.name, status, c.Kind, want)
			}
			if !strings.HasPrefix(c.Reason, fmt.Sprint(status)) {
				t.Errorf("%s %d: reason %q", p.name, status, c.Reason)
			}
			if !slices.Contains(kinds, c.Kind) || c.Ambiguous {
				t.Errorf("%s %d: %+v", p.name, status, c)
			}
		}
	}
}

func TestClassify(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name    string
		profile string
		status  int
		header  string // "name: value" lines
		body    string
		want    Kind
		wait    time.Duration
		reason  string
	}{
		{"gitlab pending again", "gitlab", 400, "", `{"message":"Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via \"enqueue\")"}`, Delivered, 0, "already shows"},
		{"gitlab pending after running", "gitlab", 400, "", `{"message":"Cannot transition status via :enqueue from :running"}`, Delivered, 0, ""},
		{"gitlab running again", "gitlab", 400, "", `{"message":"Cannot transition status via :run from :running"}`, Delivered, 0, ""},
		{"gitlab skip of a running one", "gitlab", 400, "", `{"message":"Cannot transition status via :skip from :running"}`, Permanent, 0, "via :skip"},
		{"another 400 of gitlab", "gitlab", 400, "", `{"message":{"target_url":["is blocked"]}}`, Permanent, 0, "is blocked"},
		{"the same text from github", "github", 400, "", `Cannot transition status via :run from :running`, Permanent, 0, ""},
		{"gitlab lock", "gitlab", 409, "", `{"message":"409 Another update to this commit status is in progress"}`, Transient, 0, ""},
		{"gitlab plain 429", "gitlab", 429, "", "Retry later", Throttled, time.Minute, ""},
		{"gitlab reset", "gitlab", 429, "RateLimit-Remaining: 0\nRateLimit-Reset: " + fmt.Sprint(at.Unix()+30), "", Throttled, 30 * time.Second, ""},
		{"gitlab commit", "gitlab", 404, "", `{"message":"404 Commit Not Found"}`, NotFoundYet, 0, "Commit Not Found"},

		{"github description", "github", 422, "", `{"message":"Validation Failed","errors":[{"message":"description is too long (maximum is 140 characters)"}]}`, Permanent, 0, "Validation Failed: description is too long"},
		{"github commit", "github", 422, "", `{"message":"No commit found for SHA: abc"}`, NotFoundYet, 0, ""},
		{"github 1000", "github", 422, "", `{"message":"Validation Failed","errors":[{"message":"This SHA and context has reached the maximum number of statuses."}]}`, Permanent, 0, "1000"},
		{"github forbidden", "github", 403, "", `{"message":"Resource not accessible by personal access token"}`, Credential, 0, "not accessible"},
		{"github primary limit", "github", 403, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: " + fmt.Sprint(at.Unix()+1234), "{}", Throttled, 1234 * time.Second, ""},
		{"github limit without reset", "github", 403, "X-RateLimit-Remaining: 0", "{}", Throttled, time.Minute, ""},
		{"github remaining is not zero", "github", 403, "X-RateLimit-Remaining: 10", "{}", Credential, 0, ""},
		{"a reset before the limit is reached", "github", 429, "X-RateLimit-Remaining: 10\nX-RateLimit-Reset: " + fmt.Sprint(at.Unix()+1234), "", Throttled, time.Minute, ""},
		{"github retry-after", "github", 403, "Retry-After: 97", "{}", Throttled, 97 * time.Second, ""},
		{"github secondary", "github", 403, "", `{"message":"You have exceeded a secondary rate limit"}`, Throttled, time.Minute, ""},
		{"retry-after goes before reset", "github", 429, "Retry-After: 5\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 9999999999", "", Throttled, 5 * time.Second, ""},
		{"a wait is at most one hour", "github", 403, "Retry-After: 86400", "", Throttled, time.Hour, ""},
		{"a date", "general", 503, "Retry-After: Mon, 23 Nov 2026 12:02:00 GMT", "", Throttled, 2 * time.Minute, ""},
		{"a date by the server's clock", "general", 503, "Retry-After: Mon, 23 Nov 2026 15:02:00 GMT\nDate: Mon, 23 Nov 2026 15:00:00 GMT", "", Throttled, 2 * time.Minute, ""},
		{"a date that is over", "general", 429, "Retry-After: Mon, 23 Nov 2026 11:00:00 GMT", "", Throttled, 0, ""},
		{"no time at all", "general", 429, "Retry-After: soon", "", Throttled, 0, ""},
		{"reset as seconds", "general", 429, "RateLimit-Remaining: 0\nRateLimit-Reset: 17", "", Throttled, 17 * time.Second, ""},
		{"503", "general", 503, "", "", Transient, 0, ""},

		{"gitea commit", "gitea", 500, "", `{"message":"GetCommit[abc]: object does not exist"}`, NotFoundYet, 0, ""},
		{"gitea 500", "gitea", 500, "", "", Transient, 0, ""},
		{"gitea scope", "gitea", 403, "", `{"message":"token does not have at least one of required scope(s): [write:repository]"}`, Credential, 0, "required scope"},

		{"github sha", "github", 422, "", `{"message":"Validation Failed","errors":[{"resource":"Status","code":"custom","field":"sha","message":"sha must be a 40 character SHA1"}]}`, Permanent, 0, "sha must be"},
		{"github bad token", "github", 401, "", `{"message":"Bad credentials"}`, Credential, 0, "Bad credentials"},
		{"github private", "github", 404, "", `{"message":"Not Found"}`, NotFoundYet, 0, "the token cannot see it"},
		{"gitlab references", "gitlab", 404, "", `{"message":"404 References for commit Not Found"}`, NotFoundYet, 0, "References"},
		{"gitlab jobs", "gitlab", 422, "", `{"message":"The number of jobs has exceeded the limit"}`, Permanent, 0, "exceeded the limit"},
		{"gitlab forbidden", "gitlab", 403, "", `{"message":"403 Forbidden"}`, Credential, 0, ""},
		{"gitlab name taken", "gitlab", 400, "", `{"message":{"name":["has already been taken"]}}`, Permanent, 0, "taken"},
		{"gitea token", "gitea", 401, "", `{"message":"token is required"}`, Credential, 0, "token is required"},
		{"gitea user", "gitea", 401, "", `{"message":"user does not exist [uid: 0, name: ]"}`, Credential, 0, "user does not exist"},
		{"gitea target", "gitea", 404, "", `{"message":"The target couldn't be found."}`, NotFoundYet, 0, "couldn't be found"},
		{"gitea method", "gitea", 405, "", "", Permanent, 0, "405 Method Not Allowed"},

		{"bitbucket key", "bitbucket", 400, "", `{"type":"error","error":{"message":"key: Ensure this value has at most 40 characters (it has 48).","fields":{"key":["Ensure this value has at most 40 characters (it has 48)."]}}}`, Permanent, 0, `("key: Ensure this value has at most 40 characters (it has 48).")`},
		{"bitbucket without url", "bitbucket", 400, "", `{"type":"error","error":{"message":"url: required key not provided"}}`, Permanent, 0, "url: required"},
		{"bitbucket scope", "bitbucket", 403, "", `{"type":"error","error":{"message":"Your credentials lack one or more required privilege scopes."}}`, Credential, 0, "privilege scopes"},
		{"bitbucket commit", "bitbucket", 404, "", `{"type":"error","error":{"message":"Commit not found"}}`, NotFoundYet, 0, "Commit not found"},
		{"bitbucket limit", "bitbucket", 429, "Content-Type: text/plain", "Rate limit for this resource has been exceeded", Throttled, 2 * time.Minute, "has been exceeded"},
		{"bitbucket updated", "bitbucket", 200, "", `{"state":"SUCCESSFUL"}`, Delivered, 0, ""},

		{"bitbucket-dc stored", "bitbucket-dc", 204, "", "", Delivered, 0, ""},
		{"bitbucket-dc accepted only", "bitbucket-dc", 202, "", "", Permanent, 0, "answered with 204"},
		{"bitbucket-dc commit", "bitbucket-dc", 404, "", `{"errors":[{"context":null,"message":"Commit 'abc' does not exist in repository 'shop'.","exceptionName":"com.atlassian.bitbucket.commit.NoSuchCommitException"}]}`, NotFoundYet, 0, "Commit 'abc' does not exist"},
		{"bitbucket-dc two faults", "bitbucket-dc", 400, "", `{"errors":[{"context":"key","message":"is too long"},{"context":"url","message":"is required"}]}`, Permanent, 0, "is too long: is required"},
		{"bitbucket-dc permission", "bitbucket-dc", 401, "", `{"errors":[{"message":"You are not permitted to access this resource"}]}`, Credential, 0, "not permitted"},
		{"bitbucket-dc limit", "bitbucket-dc", 429, "Retry-After: 12\nX-RateLimit-Remaining: 0", "", Throttled, 12 * time.Second, ""},

		{"azure signed out", "azure-devops", 203, "Content-Type: text/html", "<html>", Credential, 0, "sign in"},
		{"azure sent to sign in", "azure-devops", 302, "Location: https://spsprodweu1.vssps.visualstudio.com/_signin?realm=dev.azure.com", "", Credential, 0, "sign in"},
		{"azure sent elsewhere", "azure-devops", 302, "Location: https://acme.io/", "", Permanent, 0, "redirects are never followed"},
		{"azure usage", "azure-devops", 429, "Retry-After: 25", `{"$id":"1","message":"TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'Concurrency' in namespace 'User'."}`, Throttled, 25 * time.Second, "TF400733"},
		{"azure usage as 503", "azure-devops", 503, "", `{"message":"TF400733: The request has been canceled"}`, Throttled, time.Minute, "TF400733"},
		{"azure repository", "azure-devops", 404, "", `{"$id":"1","innerException":null,"message":"TF401019: The Git repository with name or identifier web does not exist or you do not have permissions for the operation you are attempting.","typeKey":"GitRepositoryNotFoundException"}`, NotFoundYet, 0, "TF401019"},
		{"azure permission", "azure-devops", 403, "", `{"message":"TF401027: You need the Git 'GenericContribute' permission to perform this action."}`, Credential, 0, "TF401027"},
		{"azure commit", "azure-devops", 400, "", `{"message":"TF401175:The version descriptor <Commit: abc > could not be resolved to a version in the repository web"}`, NotFoundYet, 0, "TF401175"},
		{"azure state", "azure-devops", 400, "", `{"message":"The value is not valid for GitStatusState."}`, Permanent, 0, "GitStatusState"},

		{"harness identifier", "harness-code", 400, "", `{"message":"Identifier must match the regular expression: ^[0-9a-zA-Z-_.$]{1,127}$"}`, Permanent, 0, "must match"},
		{"harness token", "harness-code", 401, "", `{"message":"Unauthorized"}`, Credential, 0, ""},
		{"harness commit", "harness-code", 404, "", `{"message":"revision not found"}`, NotFoundYet, 0, "revision not found"},

		{"gerrit stored", "gerrit", 200, "Content-Type: application/json", ")]}'\n{\"labels\":{\"Verified\":1}}", Delivered, 0, ""},
		{"gerrit closed", "gerrit", 409, "Content-Type: text/plain; charset=utf-8", "change is closed\n", Permanent, 0, "nobody can vote"},
		{"gerrit merged", "gerrit", 409, "Content-Type: text/plain", "change is merged", Permanent, 0, "change is merged"},
		{"gerrit lock", "gerrit", 503, "Content-Type: text/plain", "Lock failure", Transient, 0, "Lock failure"},
		{"gerrit vote", "gerrit", 403, "Content-Type: text/plain", "Applying label \"Verified\": 1 is restricted", Permanent, 0, "may not cast"},
		{"gerrit password", "gerrit", 401, "Content-Type: text/plain", "Unauthorized", Credential, 0, ""},
		{"gerrit change", "gerrit", 404, "Content-Type: text/plain", "Not found: acme%2Fshop~12", NotFoundYet, 0, "Not found"},
		{"gerrit label", "gerrit", 400, "Content-Type: text/plain", "label \"Verified\" is not a configured label", Permanent, 0, "configured label"},
		{"gerrit json error", "gerrit", 400, "", ")]}'\n{\"message\":\"bad\"}", Permanent, 0, `("bad")`},

		{"codenow again", "codenow", 409, "", `{"code":"conflict"}`, Delivered, 0, "already"},
		{"codenow limit", "codenow", 429, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 41", "", Throttled, 41 * time.Second, ""},
		{"sei field", "sei", 400, "", `{"payload":"result field is missing in request"}`, Permanent, 0, "400"},

		{"a login page", "github", 200, "Content-Type: text/html; charset=utf-8", "<html>", Permanent, 0, "web page"},
		{"an html 502", "github", 502, "Content-Type: text/html", "<html>", Transient, 0, "502 Bad Gateway"},
		{"a redirect", "github", 301, "Location: http://169.254.169.254/", "", Permanent, 0, "to http://169.254.169.254/"},
		{"control characters", "general", 302, "Location: /a\x1bb", "", Permanent, 0, "to /a b"},
	}
	ps := load(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for line := range strings.SplitSeq(tt.header, "\n") {
				if name, value, ok := strings.Cut(line, ": "); ok {
					h.Set(name, value)
				}
			}
			c := ps.For(tt.profile).Classify(Answer{Status: tt.status, Header: h, Body: []byte(tt.body), At: at})
			if c.Kind != tt.want || c.RetryAfter != tt.wait || !strings.Contains(c.Reason, tt.reason) {
				t.Errorf("got %+v, want %s after %s because of %q", c, tt.want, tt.wait, tt.reason)
			}
		})
	}
}

func TestClassifyWithoutAnswer(t *testing.T) {
	ps := load(t)
	inner := errors.New("connection reset by peer")
	err := &url.Error{Op: "Post", URL: "https://x/secret", Err: inner}
	for _, wrote := range []bool{true, false} {
		c := ps.For("github").Classify(Answer{Err: err, WroteRequest: wrote})
		want := Class{Kind: Transient, Reason: "no answer: connection reset by peer", Ambiguous: wrote}
		if c != want {
			t.Errorf("got %+v, want %+v", c, want)
		}
	}
	// A status with an error is an answer that broke off: its status counts
	// for nothing.
	c := ps.For("").Classify(Answer{Status: 201, Err: inner, WroteRequest: true})
	if c.Kind != Transient || !c.Ambiguous {
		t.Errorf("got %+v, want transient and ambiguous", c)
	}
	if c := ps.For("").Classify(Answer{}); c.Kind != Transient {
		t.Errorf("got %+v, want transient", c)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add("github", 403, "Retry-After", "9e99", `{"message":1}`)
	f.Add("gitlab", 400, "Ratelimit-Reset", "NaN", `{"message":{"a":["b"]},"errors":[1]}`)
	f.Add("", -1, "X-Ratelimit-Remaining", "0", "\xff")
	ps, err := Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, profile string, status int, header, value, body string) {
		c := ps.For(profile).Classify(Answer{Status: status, Header: http.Header{header: {value}}, Body: []byte(body)})
		if !slices.Contains(kinds, c.Kind) || c.RetryAfter < 0 || c.RetryAfter > MaxWait || strings.ContainsAny(c.Reason, "\n\r\x00\x1b") {
			t.Errorf("got %+v", c)
		}
	})
}

func TestExhausted(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		header map[string]string
		want   time.Duration
	}{
		{map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000090"}, 90 * time.Second},
		{map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "30", "Retry-After": "5"}, 30 * time.Second},
		{map[string]string{"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "1700000090"}, 0},
		{map[string]string{"X-RateLimit-Remaining": "0"}, 0},
		{map[string]string{"Retry-After": "5"}, 0},
		{nil, 0},
	} {
		h := http.Header{}
		for k, v := range tt.header {
			h.Set(k, v)
		}
		if tt.header == nil {
			h = nil
		}
		if got := Exhausted(Answer{Status: 201, Header: h, At: at}); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.header, got, tt.want)
		}
	}
}
