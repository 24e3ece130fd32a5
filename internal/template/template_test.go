package template

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/diag"
)

var firing = bridge.Firing{Attempt: 1, Status: bridge.Failed, At: 1_700_000_000_000, Version: 3}

// fields of the run that most tests use.
func fields() map[string]any {
	return map[string]any{
		"pipeline.id": "build", "repo.owner": "acme", "repo.name": "shop", "repo.full_name": "acme/shop",
		"commit.sha": "64be72bab3d31ab1ab32c4bd5c5d0e1e5a5ba1c0", "commit.branch": "feature/x", "number": int64(4487150517),
		"url": "https://ci.acme.io/1?a=b&c=d", "title": `fix "it" </b>`, "warnings": true,
		"params": map[string]any{"list": []any{int64(1), "b"}, "empty": ""},
	}
}

func run(t *testing.T, fields map[string]any) *bridge.Run {
	t.Helper()
	r := bridge.NewRun(0, "gh", "7", 1)
	_, err := r.Apply(bridge.Event{ID: "e#0", Source: "gh", Name: "end", RunKey: "7", Attempt: 1, At: 1000, Received: 1000, Status: bridge.Failed,
		Fields: fields, Lists: map[string][]bridge.Item{"artifacts": {{Key: "a", Fields: map[string]any{"kind": "helm", "name": "chart"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func env(t *testing.T, fields map[string]any) Env {
	t.Helper()
	return NewEnv(run(t, fields).ViewAs(firing), firing).With(Of{
		Hook:    bridge.Hook{ID: "h1", Name: "ci", ActionType: "rotate_key", Pipeline: "*"},
		Trigger: bridge.ActionFailed, State: "failure", Context: "ci/x",
		Application: &bridge.Application{ID: "a1", Name: "shop", SourceProvider: bridge.SourceProvider{Name: "github", AccessToken: "s3cret-token"}},
		BaseURL:     "https://api.github.com",
	})
}

func text(t *testing.T, src string, e Env) string {
	t.Helper()
	c, ps := CompileText(src)
	if err := ps.Err(); err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	out, missing, err := c.Render(e)
	if err != nil || len(missing) > 0 {
		t.Fatalf("%s: missing %v, %v", src, missing, err)
	}
	return out
}

func TestText(t *testing.T) {
	e := env(t, fields())
	id := run(t, fields()).ID
	tests := []struct{ src, want string }{
		{"plain", "plain"},
		{"", ""},
		{"{{ run.number }}", "4487150517"},
		{"a {{run.repo.owner}}/{{ run.repo.name }} b", "a acme/shop b"},
		{`{{ {"failed":"failure"}[run.status] ?? "pending" }}`, "failure"},
		{`{{ {"a":{"b":"c"}}.a.b }}`, "c"},
		{`{{ "}}" }}`, "}}"},
		{`{{ "{{" }}`, "{{"},
		{`{{ '\'}}' }}`, "'}}"},
		{"{{ `a}}` }}", "a}}"},
		{"a } b }} c", "a } b }} c"},
		{"{{ run.title | truncate(3) }}", "fi…"},
		{`{{ run.version | default("none") }}`, "none"},
		{`{{ run.repo.full_name | urlquery() }}`, "acme%2Fshop"},
		{`{{ "abc" | sha1() }}`, "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{`{{ "ABC" | lower() }}`, "abc"},
		{"{{ action.id }}", id},
		{"{{ action.status }} {{ action.status_human_readable }} {{ action.status_reason_code }}", "failed Failed FAILED"},
		{"{{ action.pipeline.id }}", bridge.PipelineID("gh/build")},
		{"{{ action.type }} {{ action.type_human_readable }}", "rotate_key Rotate key"},
		{"{{ action.triggered_from.hook_parsed_variables.commit_hash | truncate(8) }}", "64be72b…"},
		{"{{ action.action_data.deployment.source_type }} {{ action.action_data.deployment.source_ref }}", "branch feature/x"},
		{"{{ application.name }} {{ application.repository_owner }} {{ application.source_provider.base_url }}", "shop acme https://api.github.com"},
		{"{{ pipeline.id }} {{ pipeline.canonical }} {{ pipeline.native_id }}", bridge.PipelineID("gh/build") + " gh/build build"},
		{"{{ event.trigger }} {{ event.status }} {{ event.at }}", "action.failed failed 2023-11-14T22:13:20Z"},
		{"{{ hook.name }} {{ hook.context }} {{ state }}", "ci ci/x failure"},
		{"{{ run.artifacts[0].kind }}", "helm"},
		{`{{ run.params.list }}`, `[1,"b"]`},
	}
	for _, tt := range tests {
		if got := text(t, tt.src, e); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.src, got, tt.want)
		}
	}
}

func TestActionStatus(t *testing.T) {
	words := map[bridge.Status]string{
		bridge.Queued: "queued", bridge.Running: "in-progress", bridge.Waiting: "waiting", bridge.Succeeded: "completed",
		bridge.Incomplete: "completed", bridge.Skipped: "skipped", bridge.Failed: "failed", bridge.Errored: "failed",
		bridge.TimedOut: "failed", bridge.Canceled: "failed", bridge.Unknown: "pending",
	}
	for status, want := range words {
		f := firing
		f.Status = status
		e := NewEnv(run(t, fields()).ViewAs(f), f)
		if got := text(t, "{{ action.status }} {{ run.status }}", e); got != want+" "+string(status) {
			t.Errorf("%s: got %q, want %q", status, got, want+" "+string(status))
		}
	}
}

// TestScopeCoversView renders every name that a full run shows: what a run
// has, a template may use.
func TestScopeCoversView(t *testing.T) {
	all := map[string]any{}
	for _, f := range bridge.Fields() {
		switch f.Kind {
		case bridge.Map:
			all[f.Name] = map[string]any{"k": "v"}
		case bridge.List:
			all[f.Name] = []any{"x"}
		case bridge.Text:
			all[f.Name] = "x"
		case bridge.Flag:
			all[f.Name] = true
		default:
			all[f.Name] = int64(1000)
		}
	}
	r := bridge.NewRun(0, "gh", "7", 1)
	if _, err := r.Apply(bridge.Event{ID: "e", Source: "gh", RunKey: "7", Parent: "6", Attempt: 1, At: 1, Received: 1, Status: bridge.Succeeded, Fields: all}); err != nil {
		t.Fatal(err)
	}
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		if m, ok := v.(map[string]any); ok {
			for k, member := range m {
				walk(prefix+"."+k, member)
			}
			return
		}
		if _, ps := CompileText("{{ " + prefix + " }}"); ps.Err() != nil {
			t.Errorf("%s: %v", prefix, ps)
		}
	}
	view := r.View()
	walk("run", view)
	for _, f := range bridge.Fields() {
		if get(view, f.Name) == nil {
			t.Errorf("the view has no %s", f.Name)
		}
	}
	// And every alias leads somewhere.
	e := NewEnv(view, bridge.Firing{Attempt: 1, Status: bridge.Succeeded})
	for _, a := range aliases {
		if a.from != "" && get(e["action"].(map[string]any), a.name) == nil {
			t.Errorf("action.%s is absent", a.name)
		}
	}
	for _, a := range parsedVariables {
		if get(e, variablesName+"."+a.name) == nil {
			t.Errorf("%s.%s is absent", variablesName, a.name)
		}
	}
}

func TestWithLeavesTheSharedAlone(t *testing.T) {
	shared := NewEnv(run(t, fields()).ViewAs(firing), firing)
	shared.With(Of{Hook: bridge.Hook{ID: "h", ActionType: "deploy"}, Trigger: bridge.ActionFailed, State: "x", Application: &bridge.Application{ID: "a"}})
	for _, name := range []string{"action.type", "event.trigger", "hook", "state", "application"} {
		if v := get(shared, name); v != nil {
			t.Errorf("%s of one hook is in the shared environment: %v", name, v)
		}
	}
}

func TestVariablesOfMappingWin(t *testing.T) {
	f := fields()
	f["variables"] = map[string]any{"commit_hash": "other", "own": "x"}
	if got := text(t, "{{ action.triggered_from.hook_parsed_variables.commit_hash }} {{ action.triggered_from.hook_parsed_variables.own }}", env(t, f)); got != "other x" {
		t.Errorf("got %q, want the mapping's own variables", got)
	}
}

func TestProblems(t *testing.T) {
	tests := []struct {
		src  string
		col  int
		code string
		want string // in message or help
	}{
		{"{{ run.comit.sha }}", 8, "E201", "run.commit"},
		{"ü {{ runn.x }}", 6, "E201", `"run"`},
		{"{{ run.commit.sh }}", 15, "E201", `"run.commit.sha"`},
		{"{{ run.status.x }}", 15, "E201", "single value"},
		{"{{ application.nme }}", 16, "E201", "application.name"},
		{"{{ hook.secret }}", 9, "E201", "no member"},
		{"{{ action.triggered_from.hook_parsed_variables }} {{ x }}", 54, "E201", "x"},
		{"{{ }}", 3, CodePlaceholder, "nothing between"},
		{"a {{ run.url", 3, CodePlaceholder, `no "}}"`},
		{"a {{ run.url }", 3, CodePlaceholder, `no "}}"`},
		{`{{ "a }}`, 1, CodePlaceholder, `no "}}"`},
		{"{{ now() }}", 4, "E205", "not allowed"},
		{"{{ omit() }}", 4, "E205", "omit"},
		{"{{ run.url + }}", 0, "E204", ""},
		{"{{ application.source_provider.access_token }}", 4, CodeSecret, "value of a header"},
	}
	for _, tt := range tests {
		_, ps := CompileText(tt.src)
		if len(ps) == 0 {
			t.Errorf("%s: no problem", tt.src)
			continue
		}
		p := ps[0]
		if p.Code != tt.code || tt.col > 0 && p.Col != tt.col || !strings.Contains(p.Message+" "+p.Help, tt.want) {
			t.Errorf("%s: got %d %s %q %q, want col %d, %s, %q", tt.src, p.Col, p.Code, p.Message, p.Help, tt.col, tt.code, tt.want)
		}
	}
}

func TestProblemsOfSeveralLines(t *testing.T) {
	_, ps := CompileText("a\n{{ run.url }} {{\n  run.nope }}")
	if len(ps) != 1 || ps[0].Line != 3 || ps[0].Col != 7 {
		t.Errorf("got %+v, want one at 3:7", ps)
	}
}

func TestMissing(t *testing.T) {
	e := env(t, map[string]any{"title": "x"})
	tests := []struct {
		src  string
		want []string
	}{
		{"{{ run.commit.sha }}", []string{"commit.sha"}},
		{"{{ action.triggered_from.hook_parsed_variables.commit_hash }}", []string{"commit.sha"}},
		{"{{ action.triggered_from.hook_parsed_variables.pull_request_id }}", []string{"pull_request.number"}},
		{"{{ action.triggered_from.hook_parsed_variables.own }}", []string{"variables.own"}},
		{"{{ action.url_web_permalink }} {{ run.version }}", []string{"url", "version"}},
		{"{{ action.pipeline.id }}", []string{"pipeline.id"}},
		{"{{ run.commit.branch ?? run.commit.tag }}", []string{"commit.branch", "commit.tag"}},
		{`{{ split(run.commit.branch, "/")[1] }}`, []string{"commit.branch"}},
		{`{{ "v" + run.version }}`, []string{"version"}}, // an error, because it is absent
		{"{{ nil }}", []string{"nil"}},
		{"{{ run.commit.branch ?? run.title }}", nil},
	}
	for _, tt := range tests {
		c, ps := CompileText(tt.src)
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		_, missing, err := c.Render(e)
		if err != nil || !slices.Equal(missing, tt.want) {
			t.Errorf("%s: got %v, %v, want %v", tt.src, missing, err, tt.want)
		}
	}
}

func TestEvalError(t *testing.T) {
	c, ps := CompileText(`{{ int(run.title) }}`)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	_, missing, err := c.Render(env(t, fields()))
	if err == nil || len(missing) > 0 || !strings.Contains(err.Error(), "int(run.title)") {
		t.Errorf("got %v, %v, want an error that names the expression", missing, err)
	}
}

func TestCondition(t *testing.T) {
	e := env(t, fields())
	tests := []struct {
		src     string
		want    bool
		missing int
		wrong   bool
	}{
		{`run.commit.branch == "feature/x"`, true, 0, false},
		{`=run.commit.branch == "main"`, false, 0, false},
		{` = run.number > 5`, true, 0, false},
		{`run.commit.tag == "v1"`, false, 1, false},
		{`run.warnings`, true, 0, false},
		{`run.version`, false, 1, false},
		{`run.version > 3`, false, 1, false},
		{`run.commit.tag == nil`, true, 1, false},
		{`run.title`, false, 0, true},
	}
	for _, tt := range tests {
		c, ps := CompileCondition(tt.src)
		if err := ps.Err(); err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		ok, missing, err := c.Holds(e)
		if ok != tt.want || len(missing) != tt.missing || (err != nil) != tt.wrong {
			t.Errorf("%s: got %t, missing %v, %v", tt.src, ok, missing, err)
		}
	}
	_, ps := CompileCondition(" =run.nope")
	if len(ps) != 1 || ps[0].Col != 7 {
		t.Errorf("got %+v, want one problem at column 7", ps)
	}
	if _, ps := CompileCondition(`application.source_provider.access_token == "x"`); len(ps) != 1 || ps[0].Code != CodeSecret {
		t.Errorf("got %+v, want %s", ps, CodeSecret)
	}
}

func TestURL(t *testing.T) {
	e := env(t, fields())
	sha := fields()["commit.sha"].(string)
	tests := []struct{ src, base, want string }{
		{"https://api.github.com/repos/{{ run.repo.owner }}/{{ run.repo.name }}/statuses/{{ run.commit.sha }}", "", "https://api.github.com/repos/acme/shop/statuses/" + sha},
		{"HTTPS://API.github.com:8443/a", "", "https://api.github.com:8443/a"},
		{"{{ application.source_provider.base_url }}/x/{{ run.number }}", "https://ghe.io/api/v3", "https://ghe.io/api/v3/x/4487150517"},
		{"{{application.source_provider.base_url}}?a={{ run.number }}", "https://ghe.io", "https://ghe.io?a=4487150517"},
		{"https://x/a-{{ run.repo.owner }}.b/c", "", "https://x/a-acme.b/c"},
		{"https://x/?q={{ run.commit.branch }}&r={{ run.url }}&s&t=", "", "https://x/?q=feature%2Fx&r=https%3A%2F%2Fci.acme.io%2F1%3Fa%3Db%26c%3Dd&s&t="},
		{"https://x/p/{{ run.repo.full_name | urlquery() }}/s", "", "https://x/p/acme%2Fshop/s"},
		{"https://x/p?q={{ run.repo.full_name | urlquery() }}", "", "https://x/p?q=acme%2Fshop"},
		{"https://x/grüße/{{ run.repo.name }}", "", "https://x/gr%C3%BC%C3%9Fe/shop"},
		{"https://x/a%2Fb/{{ run.repo.name }}/", "", "https://x/a%2Fb/shop/"},
		{"https://x", "", "https://x"},
		{"http://[::1]:80/a", "", "http://[::1]:80/a"},
	}
	for _, tt := range tests {
		u, ps := CompileURL(tt.src)
		if err := ps.Err(); err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		got, missing, err := u.Render(e, tt.base)
		if err != nil || len(missing) > 0 || got.String() != tt.want {
			t.Errorf("%s: got %s, %v, %v, want %s", tt.src, got, missing, err, tt.want)
		}
	}
}

func TestURLValues(t *testing.T) {
	refused := []string{"..", ".", "a/b", `a\b`, "a\nb", "a\x00", "/", "a\u0085b", "\xff"}
	for _, v := range refused {
		e := env(t, fields())
		e["run"].(map[string]any)["title"] = v
		for _, src := range []string{"https://x/a/{{ run.title }}/b", "https://x/a/{{ run.title }}"} {
			u, ps := CompileURL(src)
			if err := ps.Err(); err != nil {
				t.Fatal(err)
			}
			if got, _, err := u.Render(e, ""); err == nil || got != nil {
				t.Errorf("%q in %s: got %v, want an error", v, src, got)
			}
		}
	}
	// Together they may be what none is alone.
	e := env(t, fields())
	e["run"].(map[string]any)["title"] = "."
	for _, src := range []string{"https://x/{{ run.title }}{{ run.title }}/b", "https://x/.{{ run.title }}/b", "https://x/%2e{{ run.title }}/b", "https://x/a%2F{{ run.title }}/b"} {
		u, ps := CompileURL(src)
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		if got, _, err := u.Render(e, ""); err == nil {
			t.Errorf("%s: got %s, want an error", src, got)
		}
	}
	// Beside an escaped slash a value is still one segment, and no dots.
	for _, src := range []string{"https://x/a%2F{{ run.title }}/b", "https://x/..%2F{{ run.repo.name }}/b", "https://x/{{ run.repo.name }}%2F/b"} {
		e["run"].(map[string]any)["title"] = "b/c"
		u, ps := CompileURL(src)
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		if got, _, err := u.Render(e, ""); err == nil {
			t.Errorf("%s: got %s, want an error", src, got)
		}
	}
	// urlquery() lets a value be several segments, none of them a dot.
	for v, ok := range map[string]bool{"a/b": true, "a/../b": false, "a//b": false, "/a": false, "a/.": false} {
		e["run"].(map[string]any)["title"] = v
		u, _ := CompileURL("https://x/{{ run.title | urlquery() }}/b")
		if got, _, err := u.Render(e, ""); (err == nil) != ok {
			t.Errorf("%q: got %s, %v", v, got, err)
		}
	}
	// An empty value may still come; a list never fits.
	u, _ := CompileURL("https://x/{{ run.params.empty }}/b")
	if _, missing, err := u.Render(env(t, fields()), ""); err != nil || len(missing) != 1 {
		t.Errorf("empty: got %v, %v, want it missing", missing, err)
	}
	u, _ = CompileURL("https://x/?a={{ run.params.list }}")
	if _, _, err := u.Render(env(t, fields()), ""); err == nil {
		t.Error("a list got into a URL")
	}
	e["run"].(map[string]any)["title"] = strings.Repeat("a", MaxURL)
	u, _ = CompileURL("https://x/{{ run.title }}")
	if _, _, err := u.Render(e, ""); err == nil {
		t.Error("a URL over the limit was rendered")
	}
}

func TestURLProblems(t *testing.T) {
	tests := []struct{ src, want string }{
		{"", "empty"},
		{"api.github.com/x", "does not begin with https://"},
		{"ftp://x/y", "does not begin with https://"},
		{"//x/y", "does not begin with https://"},
		{"https://", "no host"},
		{"https:///x", "no host"},
		{"https://x y/", "no host"},
		{"https://x:99999999/", "no host"},
		{"https://-x/", "no host"},
		{"https://user:pw@x/", "credential"},
		{"https://x@y/{{ run.url }}", "credential"},
		{"https://{{ run.repo.host }}/x", "part of the host"},
		{"https://api.{{ run.repo.host }}/x", "part of the host"},
		{"https://api.github.com{{ run.repo.host }}/x", "part of the host"},
		{"https://api.github.com:{{ run.number }}/x", "part of the host"},
		{"{{ run.url }}", "host of a request never comes from an event"},
		{"{{ run.url }}/x", "host of a request never comes from an event"},
		{"{{ run.url }}://x/y", "host of a request never comes from an event"},
		{"{{ application.source_provider.base_url }}x/y", "must be followed by /"},
		{"{{ application.source_provider.base_url }}{{ run.url }}", "must be followed by /"},
		{"https://x/{{ application.source_provider.base_url }}", "may only begin"},
		{"https://x/?{{ run.url }}=1", "name of a query parameter"},
		{"https://x/?a=1&{{ run.url }}", "name of a query parameter"},
		{"https://x/a#b", "fragment"},
		{"https://x/a#{{ run.url }}", "fragment"},
		{`https://x/a\b`, `\`},
		{"https://x/a b", "spaces"},
		{"https://x/a\nb", "spaces"},
		{"https://x/a%zz", "two hex digits"},
		{"https://x/%2{{ run.number }}", "two hex digits"},
		{"https://x/a%", "two hex digits"},
		{"https://x/../y", `".."`},
		{"https://x/%2E%2e/y", `".."`},
		{"https://x/a%2F..%2Fb", `".."`},
		{"https://x/?access_token={{ run.url }}", "holds a credential"},
		{"https://x/{{ application.source_provider.access_token }}", "value of a header"},
		{"https://x/{{ run.nope }}", "no member nope"},
		{"https://x/" + strings.Repeat("a", MaxURL), "at most"},
	}
	for _, tt := range tests {
		u, ps := CompileURL(tt.src)
		if u != nil || ps.Err() == nil || !strings.Contains(ps.Error(), tt.want) {
			t.Errorf("%s: got %v, want a problem with %q", cut(tt.src), ps, tt.want)
		}
		if strings.Contains(ps.Error(), "pw") {
			t.Errorf("the problem shows the credential: %v", ps)
		}
	}
}

func TestHeader(t *testing.T) {
	e := env(t, fields())
	h, ps := CompileHeaderValue("Authorization", "Bearer {{ application.source_provider.access_token }} x{{ run.number }}")
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	got, missing, err := h.Render(e, "application:a1:access_token")
	want := bridge.Header{Name: "Authorization", Parts: []bridge.Part{{Text: "Bearer "}, {Ref: "application:a1:access_token"}, {Text: " x4487150517"}}}
	if err != nil || len(missing) > 0 || !reflect.DeepEqual(got, want) || !h.Secret() {
		t.Errorf("got %+v, %v, %v, want %+v", got, missing, err, want)
	}
	h, _ = CompileHeaderValue("X-A", "{{ run.version }}")
	if _, missing, _ := h.Render(e, ""); !slices.Equal(missing, []string{"version"}) || h.Secret() {
		t.Errorf("got %v, want version missing", missing)
	}
	h, _ = CompileHeaderValue("X-A", "a {{ run.title }}")
	for _, v := range []string{"a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "a\x7fb"} {
		e["run"].(map[string]any)["title"] = v
		if got, _, err := h.Render(e, ""); err == nil || len(got.Parts) > 0 {
			t.Errorf("%q: got %+v, want an error", v, got)
		}
	}
	e["run"].(map[string]any)["title"] = "tab\tand ü"
	if got, _, err := h.Render(e, ""); err != nil || got.Parts[0].Text != "a tab\tand ü" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestHeaderProblems(t *testing.T) {
	for _, name := range []string{"", "a b", "a:b", "ü", "Host", "content-length", "Transfer-Encoding", "connection", "TE", "Trailer", "Upgrade", "Expect",
		"Keep-Alive", "Proxy-Authorization", "proxy-x", "webhook-id", "Idempotency-Key", "X-{{ run.url }}", strings.Repeat("a", MaxHeaderName+1), "a\r\nb"} {
		if HeaderNameFault(name) == "" {
			t.Errorf("the name %q was accepted", cut(name))
		}
	}
	for _, name := range []string{"Authorization", "PRIVATE-TOKEN", "X-GitHub-Api-Version", "accept", "User-Agent", strings.Repeat("a", MaxHeaderName)} {
		if fault := HeaderNameFault(name); fault != "" {
			t.Errorf("%s: %s", name, fault)
		}
	}
	tests := []struct{ value, want string }{
		{"a\r\nb", "line break"},
		{"a\x00", "control characters"},
		{strings.Repeat("a", MaxHeaderValue+1), "at most"},
		{"{{ application.source_provider.access_token | lower() }}", "alone in its placeholder"},
		{`{{ "x" + application.source_provider?.access_token }}`, "alone in its placeholder"},
		{`{{ application.source_provider["access_token"] }}`, "no member"},
		{"{{ run.nope }}", "no member"},
	}
	for _, tt := range tests {
		if _, ps := CompileHeaderValue("X-A", tt.value); ps.Err() == nil || !strings.Contains(ps.Error(), tt.want) {
			t.Errorf("%s: got %v, want a problem with %q", cut(tt.value), ps, tt.want)
		}
	}
}

func renderBody(t *testing.T, tree any, e Env) (string, []string) {
	t.Helper()
	b, ps := CompileBody(tree)
	if err := ps.Err(); err != nil {
		t.Fatalf("%v: %v", tree, err)
	}
	v, gaps := b.Render(e)
	notes := []string{}
	for _, g := range gaps {
		notes = append(notes, g.String())
	}
	if s, ok := v.(string); ok && b.Text() {
		return s, notes
	}
	raw, err := EncodeJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), notes
}

func TestBody(t *testing.T) {
	e := env(t, fields())
	type m = map[string]any
	tests := []struct {
		name  string
		tree  any
		want  string
		notes []string
	}{
		{"types stay", m{"n": "{{ run.number }}", "b": "{{ run.warnings }}", "l": "{{ run.params.list }}", "s": "{{ run.number }}!"}, `{"b":true,"l":[1,"b"],"n":4487150517,"s":"4487150517!"}`, nil},
		{"literals stay", m{"n": int64(4487150517), "x": nil, "t": true, "f": 1.5, "s": "a"}, `{"f":1.5,"n":4487150517,"s":"a","t":true,"x":null}`, nil},
		{"no escape of html", m{"t": "{{ run.title }}"}, `{"t":"fix \"it\" </b>"}`, nil},
		{"absent leaf", m{"a": "{{ run.version }}", "b": "x"}, `{"b":"x"}`, []string{"a left out: no version"}},
		{"absent in mixed", m{"a": "v {{ run.version }}!"}, `{"a":"v !"}`, []string{"a filled in part: no version"}},
		{"absent item", []any{m{"a": []any{"{{ run.version }}", "x"}}}, `[{"a":["x"]}]`, []string{"0.a.0 left out: no version"}},
		{"omit", m{"a": `{{ run.warnings ? omit() : "x" }}`, "b": `{{ run.version ?? omit() }}`, "c": "1{{ omit() }}2"}, `{"c":"12"}`, nil},
		{"failing leaf", m{"a": "{{ int(run.title) }}"}, `{}`, []string{"a left out: {{ int(run.title) }}"}},
		{"no second filling", m{"a": `{{ "{{ run.url }}" }}`}, `{"a":"{{ run.url }}"}`, nil},
		{"text", "hello {{ run.repo.name }}", "hello shop", nil},
		{"text of one placeholder", "{{ run.repo }}", `map`, nil},
		{"JSON text", ` {"a": "{{ run.title }}", "n": 4487150517}`, `{"a":"fix \"it\" </b>","n":4487150517}`, nil},
		{"JSON list text", `[{"a": "{{ run.number }}"}]`, `[{"a":4487150517}]`, nil},
		{"text with brackets", "[build] {{ run.repo.name }}", "[build] shop", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "text of one placeholder" {
				got, _ := renderBody(t, tt.tree, e)
				if !strings.Contains(got, `"full_name":"acme/shop"`) {
					t.Errorf("got %s", got)
				}
				return
			}
			got, notes := renderBody(t, tt.tree, e)
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if len(notes) != len(tt.notes) {
				t.Fatalf("notes: got %q, want %q", notes, tt.notes)
			}
			for i := range notes {
				if !strings.HasPrefix(notes[i], tt.notes[i]) {
					t.Errorf("note: got %q, want %q", notes[i], tt.notes[i])
				}
			}
		})
	}
}

func TestBodyProblems(t *testing.T) {
	type m = map[string]any
	deep := any("x")
	for range maxBodyDepth + 2 {
		deep = []any{deep}
	}
	tests := []struct {
		name string
		tree any
		path string
		want string
	}{
		{"unknown name", m{"a": []any{m{"b": "{{ run.nope }}"}}}, "a.0.b", "no member nope"},
		{"placeholder in a name", m{"a{{ run.url }}": 1}, "", "cannot have placeholders"},
		{"secret", m{"a": "{{ application.source_provider.access_token }}"}, "a", "value of a header"},
		{"JSON with bare placeholders", `{"n": {{ run.number }}}`, "", "in quotes"},
		{"JSON with bare placeholders", `["a", {{ run.number }}]`, "", "in quotes"},
		{"two values", `{"a": 1} {"b": 2}`, "", "after its end"},
		{"deep", deep, "", "levels deep"},
		{"large", m{"a": strings.Repeat("x", MaxBody)}, "", "at most"},
	}
	for _, tt := range tests {
		_, ps := CompileBody(tt.tree)
		ok := slices.ContainsFunc(ps, func(p diag.Problem) bool {
			return (p.Path == tt.path || tt.name == "deep") && strings.Contains(p.Message+" "+p.Help, tt.want)
		})
		if !ok {
			t.Errorf("%s: got %+v, want one at %q with %q", tt.name, ps, tt.path, tt.want)
		}
	}
}

func TestFormsOfTheSecret(t *testing.T) {
	e := env(t, fields())
	tests := []struct{ value, ref string }{
		{"{{ application.source_provider.access_token }}", "r"},
		{"{{ application.source_provider.access_token | basic() }}", "r:basic"},
		{"{{application.source_provider.access_token|authorization()}}", "r:authorization"},
	}
	for _, tt := range tests {
		h, ps := CompileHeaderValue("X-A", "a "+tt.value)
		if err := ps.Err(); err != nil {
			t.Errorf("%s: %v", tt.value, err)
			continue
		}
		got, _, err := h.Render(e, "r")
		if want := (bridge.Header{Name: "X-A", Parts: []bridge.Part{{Text: "a "}, {Ref: tt.ref}}}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", tt.value, got, err, want)
		}
		if got, _, _ := h.Render(e, ""); got.Parts[1].Ref != "" {
			t.Errorf("%s without an application: %+v", tt.value, got)
		}
	}
	for _, filter := range []string{" | sha1()", " | basic(1)", " | basic() | lower()", " | basic", ".x", " + run.url", " | omit()"} {
		if _, ps := CompileHeaderValue("X-A", "{{ application.source_provider.access_token"+filter+" }}"); len(ps) != 1 || ps[0].Code != CodeSecret {
			t.Errorf("%s: got %+v, want %s", filter, ps, CodeSecret)
		}
	}
}
