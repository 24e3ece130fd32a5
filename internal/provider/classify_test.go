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
	special := map[string]map[int]Kind{
		"general": {},
		"github":  {404: NotFoundYet},
		"gitlab":  {404: NotFoundYet, 409: Transient},
		"gitea":   {404: NotFoundYet},
	}
	for name, own := range special {
		for status := 100; status < 600; status++ {
			want := Permanent
			switch {
			case own[status] != "":
				want = own[status]
			case status < 200, status >= 500, status == 408, status == 425:
				want = Transient
			case status < 300 && name == "general", status == 200, status == 201:
				want = Delivered
			case status == 401, status == 403, status == 407:
				want = Credential
			case status == 429:
				want = Throttled
			}
			c := ps.For(name).Classify(Answer{Status: status, Header: http.Header{}})
			if c.Kind != want {
				t.Errorf("%s %d: got %s, want %s", name, status, c.Kind, want)
			}
			if !strings.HasPrefix(c.Reason, fmt.Sprint(status)) {
				t.Errorf("%s %d: reason %q", name, status, c.Reason)
			}
			if !slices.Contains(kinds, c.Kind) || c.Ambiguous {
				t.Errorf("%s %d: %+v", name, status, c)
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
