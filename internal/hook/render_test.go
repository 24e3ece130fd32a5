package hook

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cibridge/bridge"
)

// one plans a single hook on a finished run and returns its delivery.
func one(t testing.TB, h bridge.Hook, fields map[string]any, apps ...bridge.Application) (bridge.Delivery, *lab) {
	t.Helper()
	l := newLab(t, []bridge.Hook{h}, apps...)
	ds := l.post(bridge.Failed, 1, fields)
	if len(ds) == 0 {
		return bridge.Delivery{}, l
	}
	return ds[0], l
}

func with(fields map[string]any, name string, value any) map[string]any {
	fields[name] = value
	return fields
}

func TestProviders(t *testing.T) {
	gitlab := bridge.Application{ID: "gl", Name: "gl", SourceProvider: bridge.SourceProvider{Name: "gitlab", BaseURL: "https://git.acme.io"}}
	gitea := bridge.Application{ID: "gt", Name: "gt", SourceProvider: bridge.SourceProvider{Name: "gitea", BaseURL: "http://127.0.0.1:3000/"}}
	ghe := bridge.Application{ID: "ghe", Name: "ghe", SourceProvider: bridge.SourceProvider{Name: "github", BaseURL: "https://ghe.acme.io/api/v3"}}
	tests := []struct {
		profile string
		app     bridge.Application
		url     string
		header  string
		value   string
		state   string
	}{
		{"gitlab", gitlab, "https://git.acme.io/api/v4/projects/acme%2Fshop/statuses/" + sha, "PRIVATE-TOKEN", "<application:gl:access_token>", "failed"},
		{"gitea", gitea, "http://127.0.0.1:3000/api/v1/repos/acme/shop/statuses/" + sha, "Authorization", "token <application:gt:access_token>", "failure"},
		{"github", ghe, "https://ghe.acme.io/api/v3/repos/acme/shop/statuses/" + sha, "Authorization", "Bearer <application:ghe:access_token>", "failure"},
	}
	for _, tt := range tests {
		h := two("h")
		h.Profile = tt.profile
		d, l := one(t, h, repo(), tt.app)
		l.want("url", d.URL, tt.url)
		l.want("token", header(d, tt.header), tt.value)
		l.want("skips", l.skips(), "")
		if !strings.Contains(d.Body, `"state":"`+tt.state+`"`) {
			t.Errorf("%s: body %s", tt.profile, d.Body)
		}
	}
}

// TestToken: a token never leaves for a host that is not its application's.
func TestToken(t *testing.T) {
	token := func(url string) bridge.Hook {
		return plain("h", func(h *bridge.Hook) {
			h.TargetURL = url
			h.Settings.RequestHeaders = []bridge.HookHeader{{Name: "X-T", Value: "{{ application.source_provider.access_token }}"}}
		})
	}
	app := func(provider, base string) bridge.Application {
		return bridge.Application{ID: "a", Name: "shop", SourceProvider: bridge.SourceProvider{Name: provider, BaseURL: base}}
	}
	tests := []struct {
		url  string
		app  bridge.Application
		skip string // "" when it is sent
	}{
		{"https://api.github.com/x", app("github", ""), ""},
		{"https://API.GitHub.com:443/x", app("github", ""), ""},
		{"https://api.github.com/x", app("github", "https://github.com"), ""},
		{"https://ghe.io/x", app("github", "https://ghe.io/api/v3"), ""},
		{"https://git.io/x", app("gitlab", "https://git.io"), ""},
		{"{{ application.source_provider.base_url }}/x", app("gitlab", "https://git.io"), ""},
		{"{{ application.source_provider.base_url }}/x", app("github", "https://github.com/"), ""},
		{"https://own.io/x", app("else", "https://own.io"), ""},
		{"https://evil.io/x", app("github", ""), `the access token of application "shop" is for https://api.github.com:443 only; the hook calls https://evil.io:443`},
		{"https://api.github.com/x", app("github", "https://ghe.io/api/v3"), "for https://ghe.io:443 only; the hook calls https://api.github.com:443"},
		{"http://api.github.com/x", app("github", ""), "the hook calls http://api.github.com:80"},
		{"https://api.github.com:8443/x", app("github", ""), "the hook calls https://api.github.com:8443"},
		{"https://api.github.com.evil.io/x", app("github", ""), "evil.io"},
		{"https://gitlab.com/x", app("github", ""), "the hook calls https://gitlab.com:443"},
		{"https://x.io/x", app("gitea", ""), "is for no host"},
		{"https://x.io/x", app("", ""), "is for no host"},
		{"https://x.io/x", app("github", "https://u:p@x.io"), "holds a credential"},
	}
	for _, tt := range tests {
		d, l := one(t, token(tt.url), repo(), tt.app)
		switch {
		case tt.skip == "" && (l.skips() != "" || header(d, "X-T") != "<application:a:access_token>"):
			t.Errorf("%s with %+v: skips %q", tt.url, tt.app.SourceProvider, l.skips())
		case tt.skip != "" && (d.ID != "" || !strings.Contains(l.skips(), tt.skip)):
			t.Errorf("%s with %+v: got %q, want a skip with %q", tt.url, tt.app.SourceProvider, l.skips(), tt.skip)
		}
	}
	for base, want := range map[string]string{"": "https://gitlab.com/api/v4/x", "https://git.io/": "https://git.io/x"} {
		if d, _ := one(t, token("{{ application.source_provider.base_url }}/x"), repo(), app("gitlab", base)); d.URL != want {
			t.Errorf("base_url %q: got %s, want %s", base, d.URL, want)
		}
	}
	// Without the token any host will do.
	if d, _ := one(t, plain("h", nil), repo(), app("github", "")); d.ID == "" {
		t.Error("a hook without the token was refused")
	}
}

func TestProviderMismatch(t *testing.T) {
	h := two("h")
	h.Profile = "gitlab"
	_, l := one(t, h, repo(), github)
	l.want("skips", l.skips(), `h:failed the hook is for gitlab, but application "shop" is on github`)
	_, l = one(t, bridge.Hook{ID: "h", Name: "x", Pipeline: "*", Active: true, Profile: "gitea"}, repo(), bridge.Application{ID: "a", Name: "g", SourceProvider: bridge.SourceProvider{Name: "gitea"}})
	if !strings.Contains(l.skips(), "set base_url") {
		t.Errorf("skips %q", l.skips())
	}
}

func TestApplications(t *testing.T) {
	app := func(id string, change func(*bridge.Application)) bridge.Application {
		a := bridge.Application{ID: id, Name: id, SourceProvider: bridge.SourceProvider{Name: "github"}}
		change(&a)
		return a
	}
	repos := func(id string, patterns ...string) bridge.Application {
		return app(id, func(a *bridge.Application) { a.Repositories = patterns })
	}
	anyone := repos("any")
	star := repos("star", "*")
	exact := repos("exact", "acme/shop")
	host := repos("host", "github.com/acme/shop")
	org := repos("org", "acme/*")
	other := repos("other", "acme/other")
	pipe := app("pipe", func(a *bridge.Application) { a.Repositories, a.Pipelines = []string{"acme/shop"}, []string{"gh/build"} })
	pipeID := app("pipeid", func(a *bridge.Application) { a.Pipelines = []string{bridge.PipelineID("gh/build")} })
	wrongPipe := app("wrongpipe", func(a *bridge.Application) {
		a.Repositories, a.Pipelines = []string{"acme/shop"}, []string{"gh/test"}
	})
	source := app("source", func(a *bridge.Application) { a.Sources = []string{"gh"} })
	otherSource := app("othersource", func(a *bridge.Application) { a.Sources = []string{"gl"} })
	comp := app("comp", func(a *bridge.Application) { a.Components = []string{"web"} })
	full := with(repo(), "component", "web")
	tests := []struct {
		name   string
		fields map[string]any
		apps   []bridge.Application
		want   string
		wait   string
	}{
		{"none", full, nil, "", "an application for acme/shop"},
		{"none, no repo", map[string]any{}, nil, "", "an application for gh"},
		{"any", full, []bridge.Application{anyone}, "any", ""},
		{"star", full, []bridge.Application{star}, "star", ""},
		{"another repository", full, []bridge.Application{other}, "", "an application for acme/shop"},
		{"case", with(repo(), "repo.full_name", "ACME/Shop"), []bridge.Application{exact}, "exact", ""},
		{"exact before org", full, []bridge.Application{anyone, org, exact}, "exact", ""},
		{"org before any", full, []bridge.Application{star, org}, "org", ""},
		{"host before exact", full, []bridge.Application{exact, host}, "host", ""},
		{"pipeline among one repository", full, []bridge.Application{exact, pipe}, "pipe", ""},
		{"repository before pipeline", full, []bridge.Application{pipeID, exact}, "exact", ""},
		{"pipeline before any", full, []bridge.Application{anyone, pipeID}, "pipeid", ""},
		{"all lists must match", full, []bridge.Application{wrongPipe, anyone}, "any", ""},
		{"source", full, []bridge.Application{anyone, source, otherSource}, "source", ""},
		{"component", full, []bridge.Application{anyone, comp}, "comp", ""},
		{"the oldest of equals", full, []bridge.Application{app("b", func(*bridge.Application) {}), app("a", func(*bridge.Application) {})}, "a", ""},
		// What is not known yet may belong to somebody else.
		{"repository not known", map[string]any{"pipeline.id": "build"}, []bridge.Application{anyone, exact}, "", "repo.full_name"},
		{"repository not known, nobody else", map[string]any{"pipeline.id": "build"}, []bridge.Application{anyone, otherSource}, "any", ""},
		{"component not known", repo(), []bridge.Application{anyone, comp}, "", "component"},
		{"component not known, but settled", repo(), []bridge.Application{exact, comp}, "exact", ""},
		{"pipeline not known", without("pipeline.id"), []bridge.Application{exact, pipe}, "", "pipeline.id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, nil, tt.apps...)
			l.post(bridge.Failed, 1, tt.fields)
			a, wait := l.set.application(l.run)
			got := ""
			if a != nil {
				got = a.ID
			}
			if got != tt.want || wait != tt.wait {
				t.Errorf("got %q, wait for %q, want %q, %q", got, wait, tt.want, tt.wait)
			}
		})
	}
}

func TestApplicationComesLater(t *testing.T) {
	l := newLab(t, []bridge.Hook{two("h")})
	l.post(bridge.Running, 1, repo())
	l.want("parked", l.parked(), "h:running an application for acme/shop")
	l.set, _ = NewSet([]bridge.Hook{two("h")}, []bridge.Application{github}, load(t))
	l.want("planned", told(l.pass(time.Minute)), "h:running")
}

func TestApplicationInBodyOnly(t *testing.T) {
	h := plain("h", func(h *bridge.Hook) { h.Settings.RequestBody = map[string]any{"a": "{{ application.name }}", "b": "x"} })
	d, l := one(t, h, repo())
	l.want("body", d.Body, `{"b":"x"}`)
	l.want("notes", strings.Join(d.Notes, ";"), "a left out: no application.name")
	d, _ = one(t, h, repo(), github)
	l.want("body", d.Body, `{"a":"shop","b":"x"}`)
}

func TestLanes(t *testing.T) {
	status := func(url string, body any) bridge.Hook {
		return plain("h", func(h *bridge.Hook) { h.TargetURL, h.Settings.RequestBody = url, body })
	}
	gh := "https://api.github.com/repos/acme/shop/statuses/" + sha
	gl := "https://gitlab.com/api/v4/projects/7/statuses/" + sha
	type m = map[string]any
	bb := "https://api.bitbucket.org/2.0/repositories/acme/shop/commit/" + sha + "/statuses/build"
	az := "https://dev.azure.com/acme/web/_apis/git/repositories/shop/commits/" + sha + "/statuses?api-version=7.1"
	ge := "https://review.acme.io/a/changes/acme%2Fshop~12/revisions/" + sha + "/review"
	long := strings.Repeat("a", 40)
	same := []struct{ a, b bridge.Hook }{
		{status(bb, m{"key": long + "b", "state": "INPROGRESS"}), status(bb, m{"key": long + "b", "state": "FAILED"})},
		{status(bb, m{"key": "7"}), status(bb, m{"key": int64(7)})},
		{status(az, m{"context": m{"name": "a", "genre": "g"}, "state": "pending"}), status(az, m{"context": m{"name": "a", "genre": "g"}})},
		{status(ge, m{"labels": m{"Verified": int64(0)}}), status(ge, m{"labels": m{"Verified": int64(-1)}, "message": "x"})},
		{status(gh, m{"context": "CI", "state": "pending"}), status(gh, m{"context": "ci", "state": "success"})},
		{status(gh, m{}), status(gh, m{"context": "default"})},
		{status(gh, nil), status(gh, m{"context": ""})},
		{status(gh, m{}), status("https://API.github.com:443/repos/ACME/Shop/statuses/"+sha, m{})},
		{status(gh+"?a=1", m{}), status(gh, m{})},
		{status(gh, m{}), status(gh, `{"context": "default"}`)},
		{status(gl, m{"name": "x"}), status(gl, m{"context": "x"})},
		{status(gl+"?name=x&state=pending", m{}), status(gl+"?state=success", m{"name": "x"})},
		{status(gl, m{}), status(gl, m{"context": "default"})},
	}
	differ := []struct{ a, b bridge.Hook }{
		{status(bb, m{"key": long + "b"}), status(bb, m{"key": long + "c"})},
		{status(az, m{"context": m{"name": "a", "genre": "g"}}), status(az, m{"context": m{"name": "a"}})},
		{status(az, m{"context": m{"name": "a"}}), status(az, m{"context": m{"name": "b"}})},
		{status(ge, m{"labels": m{"Verified": int64(1)}}), status(ge, m{"labels": m{"Lint": int64(1)}})},
		{status(gh, m{"context": "a"}), status(gh, m{"context": "b"})},
		{status(gh, m{}), status("https://ghe.io/api/v3/repos/acme/shop/statuses/"+sha, m{})},
		{status(gh, m{}), status("https://api.github.com/repos/acme/shop/statuses/"+strings.Repeat("a", 40), m{})},
		{status(gl, m{"name": "x"}), status(gl, m{"name": "X"})},
		{status(gl, m{"name": "x"}), status(gl, m{"name": "x", "ref": "main"})},
	}
	for _, tt := range same {
		a, _ := one(t, tt.a, repo())
		b, _ := one(t, tt.b, repo())
		if a.Lane != b.Lane || a.Ordering != bridge.Latest || a.Lane == "" {
			t.Errorf("%s %s and %s %s are two lanes", a.URL, a.Body, b.URL, b.Body)
		}
	}
	for _, tt := range differ {
		a, _ := one(t, tt.a, repo())
		b, _ := one(t, tt.b, repo())
		if a.Lane == b.Lane {
			t.Errorf("%s %s and %s %s are one lane", a.URL, a.Body, b.URL, b.Body)
		}
	}
	// The method is no part of a lane, but only the profile's is recognised.
	put := status(gh, m{})
	put.Method = "PUT"
	if d, _ := one(t, put, repo()); d.Profile != "" || d.Ordering != bridge.Every {
		t.Errorf("got %+v, want a plain request", d)
	}
	// Any other hook: one lane for hook and run.
	a, l := one(t, plain("a", nil), repo())
	b, _ := one(t, plain("b", func(h *bridge.Hook) { h.TargetURL = "https://x.io/a" }), repo())
	if a.Lane == b.Lane || a.Ordering != bridge.Every {
		t.Error("two hooks share the lane of a run")
	}
	l.run = bridge.NewRun(0, "gh", "8", t0)
	if other := l.post(bridge.Failed, 1, repo()); other[0].Lane == a.Lane {
		t.Error("two runs share the lane of a hook")
	}
}

func TestSupersedeKey(t *testing.T) {
	keyed := func(id, url, key string) bridge.Hook {
		return plain(id, func(h *bridge.Hook) { h.TargetURL, h.SupersedeKey = url, key })
	}
	a, l := one(t, keyed("a", "https://x.io/s", "{{ run.commit.sha }}"), repo())
	b, _ := one(t, keyed("b", "https://x.io/s/", "{{ run.commit.sha }}"), repo())
	c, _ := one(t, keyed("c", "https://x.io/s", "x"), repo())
	q, _ := one(t, keyed("q", "https://x.io/s?a=1", "{{ run.commit.sha }}"), repo())
	l.want("ordering", string(a.Ordering), "latest")
	if a.Lane != b.Lane || a.Lane == c.Lane || a.Lane == q.Lane {
		t.Error("the lane is not URL and key")
	}
	every := keyed("e", "https://x.io/s", "k")
	every.Ordering = bridge.Every
	e, _ := one(t, every, repo())
	l.want("ordering", string(e.Ordering), "every")
	// It takes the place of the profile's key.
	h := two("h")
	h.SupersedeKey = "CI/cibridge"
	d, _ := one(t, h, repo(), github)
	p, _ := one(t, two("h"), repo(), github)
	if d.Lane == p.Lane || d.Profile != "github" {
		t.Error("the hook's own key is not used")
	}
	_, l = one(t, keyed("a", "https://x.io/s", "k-{{ run.version }}"), repo())
	l.want("parked", l.parked(), "a:failed version")
	_, l = one(t, keyed("a", "https://x.io/s", "{{ int(run.url) }}"), repo())
	if !strings.Contains(l.skips(), "its supersede_key") {
		t.Errorf("skips %q", l.skips())
	}
}

// A body field that says which status is written must be known.
func TestKeyFieldWaits(t *testing.T) {
	h := two("h")
	h.Settings.RequestBody = map[string]any{"context": "ci/{{ run.component }}", "description": "{{ run.version }}"}
	_, l := one(t, h, repo(), github)
	l.want("parked", l.parked(), "h:failed component")
	own := h
	own.SupersedeKey = "k"
	if d, _ := one(t, own, repo(), github); !strings.Contains(d.Body, `"context":"ci/"`) {
		t.Errorf("with a key of its own it has nothing to wait for: %+v", d)
	}
	d, _ := one(t, h, with(repo(), "component", "web"), github)
	l.want("notes", strings.Join(d.Notes, ";"), "description left out: no version")
}

func TestLimits(t *testing.T) {
	h := two("h")
	h.Settings.RequestBody = map[string]any{"description": "{{ run.title }}"}
	long := strings.Repeat("ü", 211)
	d, l := one(t, h, with(repo(), "title", long), github)
	var body struct{ Description string }
	if err := json.Unmarshal([]byte(d.Body), &body); err != nil || body.Description != strings.Repeat("ü", 139)+"…" {
		t.Errorf("got %q, %v", body.Description, err)
	}
	l.want("notes", strings.Join(d.Notes, ";"), "description cut to 140 of 211 characters")
	d, _ = one(t, h, with(repo(), "title", strings.Repeat("ü", 140)), github)
	l.want("notes at the limit", strings.Join(d.Notes, ";"), "")
	// A hook that is recognised has the same limits.
	guest := plain("h", func(h *bridge.Hook) {
		h.TargetURL = "https://gitlab.com/api/v4/projects/7/statuses/" + sha
		h.Settings.RequestBody = map[string]any{"target_url": "{{ run.url }}", "state": "{{ state }}"}
	})
	d, _ = one(t, guest, with(repo(), "url", "https://x/"+strings.Repeat("a", 250)))
	l.want("body", d.Body, `{"state":"failed"}`)
	l.want("notes", strings.Join(d.Notes, ";"), "target_url left out: it has 260 characters, at most 255 are accepted")
}

func TestStateWithoutProfile(t *testing.T) {
	h := plain("h", func(h *bridge.Hook) { h.Settings.RequestBody = map[string]any{"s": "{{ state }}"} })
	d, l := one(t, h, repo(), github)
	l.want("the application's provider", d.Body, `{"s":"failure"}`)
	d, _ = one(t, h, repo())
	l.want("nobody's", d.Body, `{}`)
}

func TestTooLarge(t *testing.T) {
	big := plain("h", func(h *bridge.Hook) { h.Settings.RequestBody = map[string]any{"t": "{{ run.title }}"} })
	_, l := one(t, big, with(repo(), "title", strings.Repeat("a", 65<<10)))
	if !strings.Contains(l.skips(), "at most 65536 are sent") {
		t.Errorf("skips %q", l.skips())
	}
	heads := plain("h", func(h *bridge.Hook) {
		h.Settings.RequestHeaders = []bridge.HookHeader{{Name: "X-A", Value: "{{ run.title }}"}}
	})
	_, l = one(t, heads, with(repo(), "title", strings.Repeat("a", 9000)))
	if !strings.Contains(l.skips(), "at most 8192 are sent") {
		t.Errorf("skips %q", l.skips())
	}
	_, l = one(t, heads, with(repo(), "title", "a\r\nX-Evil: 1"))
	if !strings.Contains(l.skips(), "{{ run.title }} cannot be in the header X-A: it has a line break") {
		t.Errorf("skips %q", l.skips())
	}
	_, l = one(t, heads, repo())
	l.want("parked", l.parked(), "h:failed title")
}

func TestBodies(t *testing.T) {
	h := plain("h", func(h *bridge.Hook) { h.Settings.RequestBody = "{{ run.repo.name }}: {{ run.status }}" })
	d, l := one(t, h, repo())
	l.want("text", d.Body+" "+header(d, "Content-Type"), "shop: failed text/plain; charset=utf-8")
	h.Settings.RequestHeaders = []bridge.HookHeader{{Name: "content-type", Value: "text/markdown"}}
	d, _ = one(t, h, repo())
	l.want("own type", header(d, "Content-Type"), "text/markdown")
	h.Settings.RequestBody = `{"a": "{{ run.repo.name }}"}`
	d, _ = one(t, h, repo())
	l.want("JSON text", d.Body, `{"a":"shop"}`)
	h.Settings.RequestBody = []any{map[string]any{"n": "{{ run.attempt }}"}}
	d, _ = one(t, h, repo())
	l.want("list", d.Body, `[{"n":1}]`)
	d, _ = one(t, plain("h", nil), repo())
	l.want("none", d.Body, "")
}

func TestSignature(t *testing.T) {
	h := plain("h", func(h *bridge.Hook) {
		h.RequiresSecret, h.SecretAlgorithm, h.SecretHeaderName, h.Secret = true, "sha256", "X-Hub-Signature-256", "key"
		h.DeliveredWhen, h.TimeoutMS = "status == 409", 7000
	})
	d, l := one(t, h, repo())
	l.want("signature", header(d, "X-Hub-Signature-256"), "sha256=<hook:h:hmac:sha256>")
	l.want("bucket", d.Bucket, "https://x.io:443|hook:h")
	l.want("delivered_when", d.DeliveredWhen, "status == 409")
	if d.TimeoutMS != 7000 {
		t.Errorf("timeout %d", d.TimeoutMS)
	}
	// RFC 4231 has no such short key; this is HMAC_SHA256("key", "The quick …")
	// of https://en.wikipedia.org/wiki/HMAC#Examples.
	got, err := Sign("hook:h:hmac:sha256", "key", []byte("The quick brown fox jumps over the lazy dog"))
	if err != nil || got != "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8" {
		t.Errorf("got %s, %v", got, err)
	}
	for ref, secret := range map[string]bridge.Secret{"hook:h:hmac:sha256": "", "hook:h:hmac:md5": "k", "hook:h:token": "k"} {
		if _, err := Sign(ref, secret, nil); err == nil {
			t.Errorf("%s with %q was signed", ref, secret.Reveal())
		}
	}
}

func TestNewSetLeavesBrokenHooksOut(t *testing.T) {
	broken := plain("broken", func(h *bridge.Hook) { h.TargetURL = "x" })
	set, problems := NewSet([]bridge.Hook{broken, plain("fine", nil)}, nil, load(t))
	if len(problems) != 1 || !strings.HasPrefix(problems[0].Path, "broken: target_url") {
		t.Errorf("problems %v", problems)
	}
	l := &lab{t: t, run: bridge.NewRun(0, "gh", "7", t0), set: set, now: t0}
	l.want("planned", told(l.post(bridge.Running, 1, repo())), "fine:running")
}

func TestPreview(t *testing.T) {
	l := newLab(t, nil, github)
	l.post(bridge.Running, 1, without("commit.sha"))
	f := bridge.Firing{Attempt: 1, Status: bridge.Running, At: l.now, Version: 1}
	before, _ := l.run.MarshalState()
	tests := []struct {
		name string
		hook bridge.Hook
		want Preview
	}{
		{"missing", two("h"), Preview{Missing: []string{"commit.sha"}, Reason: "it would wait for commit.sha"}},
		{"not its event", fixture(t, "failed"), Preview{Reason: "the hook does not wait for running"}},
		{"not its condition", plain("h", func(h *bridge.Hook) { h.If = "run.attempt > 1" }), Preview{Reason: "its conditions do not hold"}},
		{"never", plain("h", func(h *bridge.Hook) { h.If = "run.url" }), Preview{Reason: "its if: run.url: the result must be true or false, it is \"https://ci.acme.io/7\""}},
	}
	for _, tt := range tests {
		got, err := l.set.Preview(tt.hook, l.run, f, time.UnixMilli(l.now))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
	off := plain("h", func(h *bridge.Hook) { h.Active, h.CreatedAt = false, l.now+minute })
	got, err := l.set.Preview(off, l.run, f, time.UnixMilli(l.now))
	if err != nil || got.Delivery == nil || got.Delivery.URL != "https://x.io/h" || got.Delivery.Since == 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := l.set.Preview(plain("h", func(h *bridge.Hook) { h.Name = "" }), l.run, f, time.Now()); err == nil {
		t.Error("a broken hook was shown")
	}
	if after, _ := l.run.MarshalState(); string(after) != string(before) {
		t.Error("the run was changed")
	}
}

// TestInjection checks the finished delivery: no value of an event changes
// where a request goes, which headers it has, or the structure of its body.
func TestInjection(t *testing.T) {
	hooks := []bridge.Hook{two("p"), plain("x", func(h *bridge.Hook) {
		h.TargetURL = "https://api.github.com/x/{{ run.title }}/y?q={{ run.version }}"
		h.Settings.RequestHeaders = []bridge.HookHeader{{Name: "X-A", Value: "v {{ run.version }}"}, {Name: "X-T", Value: "{{ application.source_provider.access_token }}"}}
		h.Settings.RequestBody = `{"state": "{{ run.title }}", "l": ["{{ run.version }} b"]}`
	})}
	set, problems := NewSet(hooks, []bridge.Application{{ID: "a", Name: "a", SourceProvider: bridge.SourceProvider{Name: "github"}}}, load(t))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	value := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"..", "/", "@evil.io", "//evil.io/", "a\r\nHost: evil", `","state":"success`, "?x=y", "#", "%2f", "{{ run.url }}", "\\"}))
	rapid.Check(t, func(rt *rapid.T) {
		fields := repo()
		for _, name := range []string{"repo.owner", "repo.name", "title", "version", "url"} {
			fields[name] = value.Draw(rt, name)
		}
		l := &lab{t: t, run: bridge.NewRun(0, "gh", "7", t0), set: set, now: t0}
		for _, d := range l.post(bridge.Running, 1, fields) {
			if !strings.HasPrefix(d.URL, "https://api.github.com/") || strings.ContainsAny(d.URL, "\r\n #\\") {
				rt.Fatalf("URL %q", d.URL)
			}
			path, _, _ := strings.Cut(strings.TrimPrefix(d.URL, "https://api.github.com/"), "?")
			parts := strings.Split(path, "/")
			if d.Hook == "p" && (len(parts) != 5 || parts[0] != "repos" || parts[3] != "statuses" || parts[4] != sha) ||
				d.Hook == "x" && (len(parts) != 3 || parts[0] != "x" || parts[2] != "y") {
				rt.Fatalf("path %q", path)
			}
			if want := map[string]int{"p": 3, "x": 2}[d.Hook]; len(d.Headers) != want {
				rt.Fatalf("headers %+v", d.Headers)
			}
			for _, h := range d.Headers {
				for _, p := range h.Parts {
					if strings.ContainsAny(p.Text, "\r\n\x00") || p.Ref != "" && p.Ref != "application:a:access_token" {
						rt.Fatalf("header %+v", h)
					}
				}
			}
			var body map[string]any
			if err := json.Unmarshal([]byte(d.Body), &body); err != nil {
				rt.Fatalf("body %s: %v", d.Body, err)
			}
			for k := range body {
				if !strings.Contains(" state context description target_url l ", " "+k+" ") {
					rt.Fatalf("body %s", d.Body)
				}
			}
			if d.Hook == "p" && body["state"] != "pending" {
				rt.Fatalf("body %s", d.Body)
			}
		}
	})
}
