package hook

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/dispatch"
	"cibridge/internal/forge"
	"cibridge/internal/lang"
	"cibridge/internal/provider"
)

// shop is a rehearsal of one source provider: what a hook renders is sent by
// the real dispatcher to the strict fake.
type shop struct {
	*lab
	forge    *forge.Forge
	dispatch *dispatch.Dispatcher
	captured map[string]string // by lane, as the store keeps it
}

// unused is a queue that nobody asks: the test holds the leases itself.
type unused struct{ dispatch.Queue }

// open starts a rehearsal with one hook on the profile; change edits the hook.
func open(t *testing.T, profile string, profiles *provider.Profiles, change func(*bridge.Hook)) *shop {
	t.Helper()
	f := forge.New(forge.Config{})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	base := server.URL
	if profile == "azure-devops" {
		base += "/acme"
	}
	h := bridge.Hook{ID: "h", Name: "ci", Pipeline: "*", Active: true, Profile: profile}
	if change != nil {
		change(&h)
	}
	s := &shop{lab: newLab(t, []bridge.Hook{h}, at(profile, base)), forge: f, captured: map[string]string{}}
	s.dispatch = dispatch.New(dispatch.Config{
		Queue: unused{}, Classify: profiles.Classify, Fill: profiles.Fill, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Resolve:     func(context.Context, string) (bridge.Secret, error) { return "s3cret-token", nil },
		EgressAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	})
	t.Cleanup(s.dispatch.Close)
	return s
}

// send sends deliveries as the queue would, and fails for every one that is
// not taken.
func (s *shop) send(ds []bridge.Delivery) {
	s.t.Helper()
	for _, d := range ds {
		got := s.dispatch.Deliver(s.t.Context(), bridge.Lease{Delivery: d, Captured: s.captured[d.Lane]})
		s.captured[d.Lane] = got.Captured
		if got.Verdict != bridge.VerdictDelivered {
			s.t.Errorf("%s %s %s\nis %s: %s", d.Method, d.URL, d.Body, got.Verdict, got.Reason)
		}
	}
}

// shows returns the states that a person sees on the only commit.
func (s *shop) shows() map[string]string {
	out := map[string]string{}
	for _, c := range s.forge.Commits(0) {
		for _, x := range c.Contexts {
			out[x.Context] = x.State
		}
	}
	return out
}

var statusProfiles = []string{"azure-devops", "bitbucket", "bitbucket-dc", "gerrit", "gitea", "github", "gitlab", "harness-code"}

// reachable are the states of a run, each with one that comes before it.
var reachable = []struct{ before, status bridge.Status }{
	{"", bridge.Queued}, {bridge.Queued, bridge.Running}, {bridge.Running, bridge.Waiting}, {bridge.Running, bridge.Succeeded},
	{bridge.Running, bridge.Failed}, {bridge.Running, bridge.Errored}, {bridge.Waiting, bridge.TimedOut}, {bridge.Running, bridge.Canceled},
	{bridge.Queued, bridge.Skipped}, {bridge.Running, bridge.Skipped}, {"", bridge.Succeeded},
}

// TestEveryStatusIsAccepted sends each state of a run to each provider: it is
// taken, and the commit shows the provider's word for it.
func TestEveryStatusIsAccepted(t *testing.T) {
	profiles := load(t)
	for _, name := range statusProfiles {
		for _, r := range reachable {
			t.Run(fmt.Sprintf("%s/%s after %s", name, r.status, r.before), func(t *testing.T) {
				s := open(t, name, profiles, nil)
				fields := with(repo(), "pull_request.number", int64(12))
				if r.before != "" {
					s.send(s.post(r.before, 1, fields))
				}
				s.send(s.post(r.status, 1, fields))
				want, _ := profiles.Get(name).State(r.status, false)
				if name == "gerrit" {
					want = map[string]string{"0": "+0", "1": "+1", "-1": "-1"}[want]
				}
				shows := s.shows()
				// GitLab never goes back from running to pending: it stays.
				if name == "gitlab" && r.status == bridge.Waiting {
					want = "running"
				}
				for context, state := range shows {
					if state != want {
						t.Errorf("shows %s on %s, want %s", state, context, want)
					}
				}
				if len(shows) != 1 {
					t.Errorf("shows %v", shows)
				}
			})
		}
	}
}

// extremes are texts that tools send, and some that only strangers do.
var extremes = map[string]string{
	"300 characters":  strings.Repeat("abcde ", 50),
	"300 emoji":       strings.Repeat("🙂", 300),
	"line breaks":     "one\r\ntwo\n\nthree\x00\x1b[31m",
	"quotes":          `"}, "state": "success", {"` + "`'\\",
	"markup":          `<script>alert(1)</script> {{ run.url }} ${x} {repository.full_name}`,
	"other scripts":   "größe 汉字 עברית \u202ereversed e\u0301",
	"5000 characters": strings.Repeat("ü", 5000),
	"invalid UTF-8":   "a\xffb\xc3",
	"blank":           "   ",
}

// TestExtremesAreAccepted sends texts to each provider that are longer than it
// takes, or hold what it does not take, in every place of a status.
func TestExtremesAreAccepted(t *testing.T) {
	profiles := load(t)
	for _, name := range statusProfiles {
		for what, text := range extremes {
			t.Run(name+"/"+what, func(t *testing.T) {
				s := open(t, name, profiles, func(h *bridge.Hook) {
					h.Context = "ci/{{ run.title }}"
					field := map[string]string{"harness-code": "summary", "gerrit": "message"}[name]
					if field == "" {
						field = "description"
					}
					h.Settings.RequestBody = map[string]any{field: "{{ run.title }}: {{ run.version }}"}
				})
				fields := with(with(repo(), "pull_request.number", int64(12)), "version", text)
				fields["title"], fields["url"] = text, "https://ci.acme.io/"+text
				s.send(s.post(bridge.Running, 1, fields))
				s.send(s.post(bridge.Failed, 1, fields))
				if shows := s.shows(); len(shows) != 1 || s.skips() != "" || s.parked() != "" {
					t.Errorf("shows %v, skips %s, parked %s", shows, s.skips(), s.parked())
				}
			})
		}
	}
}

// TestAddressesOfRepositories reads the addresses that tools have for a
// repository, and finds it at its provider.
func TestAddressesOfRepositories(t *testing.T) {
	bases := map[string]string{"azure-devops": "https://dev.azure.com/acme", "bitbucket-dc": "https://git.acme.io", "gerrit": "https://review.acme.io", "harness-code": "https://app.harness.io"}
	tests := []struct{ profile, repo, path string }{
		{"github", "git@github.com:acme/shop.git", "/repos/acme/shop/statuses/"},
		{"gitlab", "https://gitlab.com/acme/web/shop.git", "/api/v4/projects/acme%2Fweb%2Fshop/statuses/"},
		{"gitlab", "https://gitlab.com/acme/web/shop/-/tree/main", "/api/v4/projects/acme%2Fweb%2Fshop/statuses/"},
		{"bitbucket", "https://jo@bitbucket.org/acme/shop.git", "/2.0/repositories/acme/shop/commit/"},
		{"bitbucket-dc", "https://git.acme.io/scm/ACME/shop.git", "/rest/api/latest/projects/ACME/repos/shop/commits/"},
		{"bitbucket-dc", "ssh://git@git.acme.io:7999/ACME/shop.git", "/rest/api/latest/projects/ACME/repos/shop/commits/"},
		{"bitbucket-dc", "https://git.acme.io/projects/ACME/repos/shop", "/rest/api/latest/projects/ACME/repos/shop/commits/"},
		{"bitbucket-dc", "https://git.acme.io/scm/~jo/shop.git", "/rest/api/latest/projects/~jo/repos/shop/commits/"},
		{"azure-devops", "https://acme@dev.azure.com/acme/web/_git/shop", "/acme/web/_apis/git/repositories/shop/commits/"},
		{"azure-devops", "git@ssh.dev.azure.com:v3/acme/web/shop", "/acme/web/_apis/git/repositories/shop/commits/"},
		{"azure-devops", "https://dev.azure.com/acme/_git/shop", "/acme/shop/_apis/git/repositories/shop/commits/"},
		{"azure-devops", "https://acme.visualstudio.com/web/_git/shop", "/acme/web/_apis/git/repositories/shop/commits/"},
		{"azure-devops", "https://dev.azure.com/acme/My%20Web/_git/My%20Shop", "/acme/My%20Web/_apis/git/repositories/My%20Shop/commits/"},
		{"harness-code", "https://git.harness.io/Ac1/default/web/shop.git", "/code/api/v1/repos/shop/checks/commits/" + sha + "?accountIdentifier=Ac1&orgIdentifier=default&projectIdentifier=web"},
		{"harness-code", "https://git.acme.io/git/acme/web/shop.git", "/code/api/v1/repos/acme%2Fweb%2Fshop/checks/commits/" + sha + "?accountIdentifier=&orgIdentifier=&projectIdentifier="},
		{"gerrit", "https://review.acme.io/a/acme/shop", "/a/changes/acme%2Fshop~12/revisions/"},
		{"gerrit", "ssh://jo@review.acme.io:29418/acme/shop", "/a/changes/acme%2Fshop~12/revisions/"},
	}
	for _, tt := range tests {
		r, ok := lang.ParseRepo(tt.repo)
		if !ok {
			t.Fatalf("%s is no repository", tt.repo)
		}
		fields := with(repo(), "pull_request.number", int64(12))
		fields["repo.url"], fields["repo.host"], fields["repo.owner"], fields["repo.name"], fields["repo.full_name"] = r.URL, r.Host, r.Owner, r.Name, r.FullName
		h := two("h")
		h.Profile = tt.profile
		d, l := one(t, h, fields, at(tt.profile, bases[tt.profile]))
		if _, path, _ := strings.Cut(strings.TrimPrefix(d.URL, "https://"), "/"); !strings.HasPrefix("/"+path, tt.path) {
			t.Errorf("%s %s: got %s, want %s; skips %s", tt.profile, tt.repo, d.URL, tt.path, l.skips())
		}
	}
}

// What was cut is noted on the delivery, so that the API and the log say it.
func TestCuttingIsNoted(t *testing.T) {
	profiles := load(t)
	s := open(t, "bitbucket", profiles, func(h *bridge.Hook) {
		h.Context = "ci/{{ run.title }}"
		h.Settings.RequestBody = map[string]any{"description": "{{ run.title }}"}
	})
	fields := without("url")
	fields["title"] = strings.Repeat("ab ", 100)
	ds := s.post(bridge.Running, 1, fields)
	s.send(ds)
	notes := strings.Join(ds[0].Notes, "; ")
	for _, want := range []string{"description cut to 255 of 300 characters", "name cut to 255 of 303 characters", `key shortened to "ci/ab ab ab ab ab ab ab ab -`} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes %q lack %q", notes, want)
		}
	}
	if strings.Contains(notes, "url") || !strings.Contains(ds[0].Body, `"url":"https://bitbucket.org/acme/shop/commits/`+sha+`"`) {
		t.Errorf("body %s, notes %q: the address of the commit stands in for the run's", ds[0].Body, notes)
	}
}

// Members that a provider insists on are there, whatever the run lacks.
func TestInsisted(t *testing.T) {
	profiles := load(t)
	for name, want := range map[string]string{"bitbucket": "https://bitbucket.org/acme/shop/commits/" + sha, "bitbucket-dc": "/projects/acme/repos/shop/commits/" + sha} {
		for _, url := range []any{nil, "", "javascript:alert(1)", "https://x.io/" + strings.Repeat("a", 5000)} {
			s := open(t, name, profiles, nil)
			fields := without("url")
			if url != nil {
				fields["url"] = url
			}
			ds := s.post(bridge.Running, 1, fields)
			s.send(ds)
			if !strings.Contains(ds[0].Body, want+`"`) || strings.Contains(ds[0].Body, "rest/api") {
				t.Errorf("%s with %.30v: body %s, want %s", name, url, ds[0].Body, want)
			}
		}
	}
}

// The states of one GitLab status stay in one pipeline, whichever is the newest
// when they are sent.
func TestCapturedPipeline(t *testing.T) {
	s := open(t, "gitlab", load(t), nil)
	s.send(s.post(bridge.Running, 1, repo()))
	s.forge.NewPipeline("acme/shop", sha)
	s.send(s.post(bridge.Succeeded, 1, nil))
	if shows := s.shows(); len(shows) != 1 || shows["ci/cibridge"] != "success" {
		t.Errorf("shows %v", shows)
	}
	// Without what was captured the first one stays running for ever.
	s = open(t, "gitlab", load(t), nil)
	s.send(s.post(bridge.Running, 1, repo()))
	s.forge.NewPipeline("acme/shop", sha)
	clear(s.captured)
	s.send(s.post(bridge.Succeeded, 1, nil))
	if shows := s.shows(); len(shows) != 2 || shows["ci/cibridge"] != "running" {
		t.Errorf("shows %v: the rehearsal does not know pipelines", shows)
	}
}

// Two states that look the same are one request: it is not sent again.
func TestIdenticalStates(t *testing.T) {
	s := open(t, "github", load(t), func(h *bridge.Hook) {
		h.Settings.RequestBody = map[string]any{"description": "build {{ run.number }}"}
	})
	fields := with(repo(), "number", int64(7))
	queued, running := s.post(bridge.Queued, 1, fields), s.post(bridge.Running, 1, nil)
	a, b := queued[0], running[0]
	if a.Method != b.Method || a.URL != b.URL || a.Body != b.Body || a.Lane != b.Lane {
		t.Errorf("%s %s and %s %s differ", a.URL, a.Body, b.URL, b.Body)
	}
	before := len(s.forge.Requests())
	got := s.dispatch.Deliver(t.Context(), bridge.Lease{Delivery: b, Identical: true})
	if got.Verdict != bridge.VerdictDelivered || len(s.forge.Requests()) != before {
		t.Errorf("%s %s after %d requests", got.Verdict, got.Reason, len(s.forge.Requests()))
	}
}

// Azure slows requests down by half a minute before it refuses any.
func TestTimeoutOfProfile(t *testing.T) {
	for profile, want := range map[string]int64{"azure-devops": 35_000, "github": 0} {
		s := open(t, profile, load(t), nil)
		if ds := s.post(bridge.Running, 1, repo()); ds[0].TimeoutMS != want {
			t.Errorf("%s: %d ms, want %d", profile, ds[0].TimeoutMS, want)
		}
		s = open(t, profile, load(t), func(h *bridge.Hook) { h.TimeoutMS = 5000 })
		if ds := s.post(bridge.Running, 1, repo()); ds[0].TimeoutMS != 5000 {
			t.Errorf("%s: the hook's own time limit became %d", profile, ds[0].TimeoutMS)
		}
	}
}

// Two pipelines vote on one change of Gerrit, each on its own label, as the
// preset says.
func TestLabelsOfGerrit(t *testing.T) {
	data, err := os.ReadFile("../../configs/hooks/gerrit.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(data), "#   settings: ")
	line, _, _ = strings.Cut(line, "\n")
	own, problems := Load("gerrit.yaml", []byte("{name: lint, pipeline: '*', profile: gerrit, settings: "+line+"}"), load(t))
	if err := problems.Err(); err != nil || !found {
		t.Fatal(found, err)
	}
	s := open(t, "gerrit", load(t), nil)
	verified := bridge.Hook{ID: "v", Name: "ci", Pipeline: "*", Active: true, Profile: "gerrit", If: `run.pipeline.id == "build"`}
	own[0].If = `run.pipeline.id == "lint"`
	for pipeline, status := range map[string]bridge.Status{"build": bridge.Succeeded, "lint": bridge.Failed} {
		l := newLab(t, []bridge.Hook{verified, own[0]}, s.set.applications...)
		fields := with(repo(), "pull_request.number", int64(12))
		fields["pipeline.id"] = pipeline
		s.send(l.post(status, 1, fields))
	}
	if shows := s.shows(); len(shows) != 2 || shows["Verified"] != "+1" || shows["Lint"] != "-1" {
		t.Errorf("shows %v", shows)
	}
}
