package provider

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"cibridge/bridge"
)

func load(t *testing.T) *Profiles {
	t.Helper()
	ps, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func TestLoad(t *testing.T) {
	ps := load(t)
	names := append(slices.Clone(statusProfiles), dialects...)
	slices.Sort(names)
	if got := ps.Names(); !slices.Equal(got, names) {
		t.Errorf("names: got %v, want %v", got, names)
	}
	if ps.Get("general") != nil || ps.Get("nope") != nil {
		t.Error("general and nope are no profiles to choose")
	}
	for _, name := range []string{"", "nope", "general"} {
		if got := ps.For(name); got == nil || got.Name != "general" {
			t.Errorf("For(%q): got %v, want the general one", name, got)
		}
	}
	fires := slices.DeleteFunc(append(bridge.Statuses(), bridge.Incomplete), func(s bridge.Status) bool { return s == bridge.Unknown })
	for _, name := range statusProfiles {
		p := ps.Get(name)
		if p.Method == "" || p.URL == "" || len(p.Headers) == 0 || p.Body == nil || p.Ordering != bridge.Latest || len(p.Key) == 0 || len(p.recognise) == 0 {
			t.Errorf("%s lacks a part: %+v", name, p)
		}
		for _, s := range fires { // every state that fires has a word
			if _, ok := p.State(s, false); !ok {
				t.Errorf("%s has no word for %s", name, s)
			}
		}
		good, _ := p.State(bridge.Succeeded, false)
		if word, _ := p.State(bridge.Incomplete, false); word != good {
			t.Errorf("%s: incomplete is %q, want %q", name, word, good)
		}
	}
	for _, name := range dialects {
		p := ps.Get(name)
		if p.Method == "" || p.URL == "" || len(p.Headers) == 0 || p.Ordering != bridge.Every || len(p.Key) == 0 || len(p.Events) == 0 || len(p.Refuse) == 0 || p.recognise != nil {
			t.Errorf("%s lacks a part: %+v", name, p)
		}
		for _, s := range fires { // what the dialect is told of has a word
			asked := slices.ContainsFunc(bridge.TriggersOf(s), func(t bridge.Trigger) bool { return slices.Contains(p.Events, t) })
			if _, ok := p.State(s, false); ok != asked {
				t.Errorf("%s: a word for %s is %t, its events are %v", name, s, ok, p.Events)
			}
		}
	}
}

// statusProfiles write what a commit shows, dialects send runs on.
var (
	statusProfiles = []string{"azure-devops", "bitbucket", "bitbucket-dc", "gerrit", "gitea", "github", "gitlab", "harness-code"}
	dialects       = []string{"cdevents", "codenow", "sei"}
)

// TestStateMaps is the table of words, one line for each state of a run.
func TestStateMaps(t *testing.T) {
	table := [][]string{ // in the order of statusProfiles
		{"queued", "pending", "INPROGRESS", "INPROGRESS", "0", "pending", "pending", "pending", "pending"},
		{"running", "pending", "INPROGRESS", "INPROGRESS", "0", "pending", "pending", "running", "running"},
		{"waiting", "pending", "INPROGRESS", "INPROGRESS", "0", "pending", "pending", "pending", "pending"},
		{"succeeded", "succeeded", "SUCCESSFUL", "SUCCESSFUL", "1", "success", "success", "success", "success"},
		{"incomplete", "succeeded", "SUCCESSFUL", "SUCCESSFUL", "1", "success", "success", "success", "success"},
		{"warnings", "partiallySucceeded", "SUCCESSFUL", "SUCCESSFUL", "1", "warning", "success", "success", "success"},
		{"failed", "failed", "FAILED", "FAILED", "-1", "failure", "failure", "failed", "failure"},
		{"errored", "error", "FAILED", "FAILED", "-1", "error", "error", "failed", "error"},
		{"timed_out", "error", "FAILED", "FAILED", "-1", "error", "error", "failed", "error"},
		{"canceled", "error", "STOPPED", "CANCELLED", "-1", "error", "error", "canceled", "error"},
		{"skipped", "notApplicable", "SUCCESSFUL", "SUCCESSFUL", "0", "success", "success", "success", "success"},
	}
	ps := load(t)
	for _, line := range table {
		status, warnings := bridge.Status(line[0]), false
		if line[0] == "warnings" {
			status, warnings = bridge.Succeeded, true
		}
		for i, name := range statusProfiles {
			if got, _ := ps.Get(name).State(status, warnings); got != line[i+1] {
				t.Errorf("%s, %s: got %q, want %q", line[0], name, got, line[i+1])
			}
		}
	}
}

func TestState(t *testing.T) {
	ps := load(t)
	tests := []struct {
		profile  string
		status   bridge.Status
		warnings bool
		want     string
	}{
		{"github", bridge.Waiting, false, "pending"},
		{"github", bridge.Succeeded, true, "success"},
		{"github", bridge.Canceled, false, "error"},
		{"gitlab", bridge.Running, false, "running"},
		{"gitlab", bridge.TimedOut, false, "failed"},
		{"gitlab", bridge.Canceled, false, "canceled"},
		{"gitea", bridge.Succeeded, true, "warning"},
		{"gitea", bridge.Failed, true, "failure"},
		{"github", bridge.Unknown, false, ""},
	}
	for _, tt := range tests {
		if got, _ := ps.Get(tt.profile).State(tt.status, tt.warnings); got != tt.want {
			t.Errorf("%s %s: got %q, want %q", tt.profile, tt.status, got, tt.want)
		}
	}
}

func TestBase(t *testing.T) {
	ps := load(t)
	tests := []struct{ profile, in, want, wrong string }{
		{"github", "", "https://api.github.com", ""},
		{"github", "https://github.com/", "https://api.github.com", ""},
		{"github", "https://ghe.acme.io/api/v3/", "https://ghe.acme.io/api/v3", ""},
		{"gitlab", "", "https://gitlab.com/api/v4", ""},
		{"gitlab", "https://git.acme.io/lab", "https://git.acme.io/lab/api/v4", ""},
		{"gitlab", "https://git.acme.io/api/v4/", "https://git.acme.io/api/v4", ""},
		{"gitea", "http://127.0.0.1:3000", "http://127.0.0.1:3000/api/v1", ""},
		{"gitea", "", "", "no public service"},
		{"bitbucket", "", "https://api.bitbucket.org/2.0", ""},
		{"bitbucket", "https://bitbucket.org", "https://api.bitbucket.org/2.0", ""},
		{"bitbucket", "https://api.bitbucket.org/2.0/", "https://api.bitbucket.org/2.0", ""},
		{"bitbucket-dc", "https://acme.io/bitbucket", "https://acme.io/bitbucket/rest/api/latest", ""},
		{"bitbucket-dc", "", "", "no public service"},
		{"azure-devops", "https://dev.azure.com/acme/", "https://dev.azure.com/acme", ""},
		{"azure-devops", "", "", "no public service"},
		{"harness-code", "https://app.harness.io", "https://app.harness.io/code/api/v1", ""},
		{"harness-code", "https://git.acme.io", "https://git.acme.io/api/v1", ""},
		{"gerrit", "https://review.acme.io", "https://review.acme.io/a", ""},
		{"codenow", "", "https://api.cloud.codenow.com", ""},
		{"sei", "https://app.harness.io/gratis/sei/api", "https://app.harness.io/gratis/sei/api", ""},
		{"github", "api.github.com", "", "https://"},
		{"github", "ftp://api.github.com", "", "https://"},
		{"github", "https://user:pw@ghe.acme.io", "", "credential"},
		{"github", "https://ghe.acme.io?x=1", "", "query"},
		{"github", "https://[", "", "no URL"},
	}
	for _, tt := range tests {
		got, err := ps.Get(tt.profile).Base(tt.in)
		if got != tt.want || (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s %q: got %q, %v, want %q and an error with %q", tt.profile, tt.in, got, err, tt.want, tt.wrong)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("the error shows the credential: %v", err)
		}
	}
}

func TestRecognise(t *testing.T) {
	ps := load(t)
	tests := []struct{ method, url, preferred, base, want string }{
		{"POST", "https://api.github.com/repos/a/b/statuses/abc", "", "", "github"},
		{"POST", "https://API.github.com:443/repos/a/b/statuses/abc", "", "", "github"},
		{"GET", "https://api.github.com/repos/a/b/statuses/abc", "", "", ""},
		{"POST", "https://api.github.com/repos/a/b/issues/7/comments", "", "", ""},
		{"POST", "https://api.github.com/repos/a/b/statuses/abc/x", "", "", ""},
		{"POST", "https://api.github.com/repos/a/b/statuses/", "", "", ""},
		{"POST", "https://ghe.acme.io/api/v3/repos/a/b/statuses/abc", "", "", "github"},
		{"POST", "https://acme.io/ghe/api/v3/repos/a/b/statuses/abc", "", "", "github"},
		{"POST", "http://127.0.0.1:4000/repos/a/b/statuses/abc", "", "", "github"},
		{"POST", "https://git.acme.io/api/v1/repos/a/b/statuses/abc", "", "", "gitea"},
		{"POST", "https://gitlab.com/api/v4/projects/acme%2Fshop/statuses/abc", "", "", "gitlab"},
		{"POST", "https://acme.io/lab/api/v4/projects/7/statuses/abc?state=x", "", "", "gitlab"},
		{"POST", "https://acme.io/lab/api/v4/projects/a/b/statuses/abc", "", "", ""},
		{"POST", "https://proxy.acme.io/gh/repos/a/b/statuses/abc", "github", "https://proxy.acme.io/gh", "github"},
		{"POST", "https://proxy.acme.io/gh/repos/a/b/statuses/abc", "github", "https://proxy.acme.io/g", ""},
		{"POST", "https://proxy.acme.io/gh/repos/a/b/statuses/abc", "github", "http://proxy.acme.io/gh", ""},
		{"POST", "https://proxy.acme.io/gh/repos/a/b/statuses/abc", "", "", ""},
		{"POST", "https://api.bitbucket.org/2.0/repositories/a/b/commit/abc/statuses/build", "", "", "bitbucket"},
		{"POST", "https://api.bitbucket.org/2.0/repositories/a/b/commit/abc/comments", "", "", ""},
		{"POST", "https://acme.io/bb/rest/api/latest/projects/P/repos/b/commits/abc/builds", "", "", "bitbucket-dc"},
		{"POST", "https://dev.azure.com/acme/shop/_apis/git/repositories/b/commits/abc/statuses?api-version=7.1", "", "", "azure-devops"},
		{"POST", "https://dev.azure.com/acme/shop/_apis/git/repositories/b/pullRequests/7/statuses", "", "", ""},
		{"PUT", "https://app.harness.io/code/api/v1/repos/b/checks/commits/abc?accountIdentifier=x", "", "", "harness-code"},
		{"PUT", "https://git.acme.io/api/v1/repos/a/b/+/checks/commits/abc", "", "", "harness-code"},
		{"POST", "https://git.acme.io/api/v1/repos/a/b/+/checks/commits/abc", "", "", ""},
		{"POST", "https://review.acme.io/a/changes/12/revisions/abc/review", "", "", "gerrit"},
		{"POST", "https://review.acme.io/a/changes/12/revisions/abc/submit", "", "", ""},
		// The application's provider is asked first.
		{"POST", "https://x.io/repos/a/b/statuses/abc", "gitea", "https://x.io", "github"},
		{"POST", "https://x.io/api/v1/repos/a/b/statuses/abc", "github", "https://x.io/api/v1", "github"},
		{"POST", "https://hooks.slack.com/services/T/B/x", "", "", ""},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if p := ps.Recognise(tt.method, u, tt.preferred, tt.base); p != nil {
			got = p.Name
		}
		if got != tt.want {
			t.Errorf("%s %s (%s %s): got %q, want %q", tt.method, tt.url, tt.preferred, tt.base, got, tt.want)
		}
	}
}

func TestOrigin(t *testing.T) {
	tests := []struct{ in, want string }{
		{"https://API.github.com/x", "https://api.github.com:443"},
		{"HTTP://a:80", "http://a:80"},
		{"http://a:8080", "http://a:8080"},
		{"https://[::1]/", "https://[::1]:443"},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Origin(u); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

// valid is a profile that parses; each case breaks one line of it.
const valid = `name: x
method: POST
url: https://x/
timeout: 35s
events: [action.failed]
states: {queued: pending}
limits: {description: {max: 1, over: cut}, key: {max: 40, over: hash, chars: "-"}, link: {max: 9, over: drop, address: true}}
parts:
  - {name: end, states: [failed], body: {a: 1}}
classify:
  - {name: a, status: [4xx], is: permanent}
`

func TestParseRefuses(t *testing.T) {
	if _, err := parse("x.yaml", []byte(valid)); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ old, new, want string }{
		{"name: x", "name: y", `its name is "y"`},
		{"method:", "methd:", "methd"},
		{"queued:", "quoted:", `"quoted" is no status`},
		{"max: 1,", "max: 0,", "limits"},
		{"over: cut", "over: it", "limits"},
		{"max: 40", "max: 20", "at least 26"},
		{"max: 9", "max: 9, count: bytes", "count is utf16"},
		{"over: drop", "over: cut", "address with over: drop"},
		{"over: hash", "over: cut", "chars go with"},
		{"35s", "soon", "timeout"},
		{"[action.failed]", "[action.faild]", `no event "action.faild"`},
		{"states: [failed]", "states: [faild]", `"faild" is no status`},
		{"{name: end,", "{name: '',", "parts[0] needs"},
		{"parts:", "body: {a: b}\nparts:", "a body or parts"},
		{"is: permanent", "is: never", "no kind"},
		{"[4xx]", "[6xx]", `status "6xx"`},
		{"[4xx]", "[]", "needs a name and a status"},
		{"is: permanent", "is: permanent, body: '('", "body"},
		{"is: permanent", "is: permanent, wait: 1", "wait"},
		{"is: permanent", "is: permanent, header: {a: '('}", "header a"},
		{"name: x", "name: &a x", "anchor"},
	}
	for _, tt := range tests {
		_, err := parse("x.yaml", []byte(strings.Replace(valid, tt.old, tt.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.new, err, tt.want)
		}
	}
}
