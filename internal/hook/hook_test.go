package hook

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/provider"
)

// profiles never change, and every test needs them.
var loadProfiles = sync.OnceValues(provider.Load)

func load(t testing.TB) *provider.Profiles {
	t.Helper()
	ps, err := loadProfiles()
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// guide is the guide's hook with everything that a hook may have.
func guide(change func(*bridge.Hook)) bridge.Hook {
	h := bridge.Hook{
		ID: "h1", Pipeline: "*", Name: "CI(build)", ActionType: "deploy", Active: true,
		TargetURL: "https://api.github.com/repos/{{ run.repo.owner }}/{{ run.repo.name }}/statuses/{{ action.triggered_from.hook_parsed_variables.commit_hash }}",
		Settings: bridge.HookSettings{
			RequestHeaders: []bridge.HookHeader{{Name: "Authorization", Value: "Bearer {{ application.source_provider.access_token }}"}},
			RequestBody:    map[string]any{"state": "{{ state }}", "context": "ci/x", "description": "{{ run.summary }}", "target_url": "{{ run.url }}"},
		},
		TriggerWhen: bridge.TriggerWhen{
			Events:     []bridge.Trigger{bridge.ActionStatusChanged},
			Conditions: []bridge.Condition{{Path: "run.source", AcceptedValues: []any{"gh", int64(7)}}},
		},
		RequiresSecret: true, SecretAlgorithm: "sha256", SecretHeaderName: "x-hub-signature-256", Secret: "0123456789abcdef",
		If: "run.attempt >= 1", DeliveredWhen: "status == 409", TimeoutMS: 5000, Method: "POST", Ordering: bridge.Latest,
	}
	if change != nil {
		change(&h)
	}
	return h
}

// fixture reads a hook of Devopness's guide as the API gets it.
func fixture(t testing.TB, name string) bridge.Hook {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "devopness", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var h bridge.Hook
	if err := json.Unmarshal(data, &h); err != nil {
		t.Fatal(err)
	}
	h.ID, h.Pipeline, h.Active = name, "*", true
	return h
}

func TestCompileGuide(t *testing.T) {
	ps := load(t)
	for _, name := range []string{"started", "completed", "failed", "pr-comment"} {
		if got := Check(fixture(t, name), ps); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := Check(guide(nil), ps); got != nil {
		t.Errorf("the baseline: %v", got)
	}
}

func TestDefaults(t *testing.T) {
	ps := load(t)
	h, problems := Compile(bridge.Hook{Name: "ci", Profile: "github"}, ps)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	d := h.Definition()
	if d.Method != http.MethodPost || d.ActionType != "deploy" || d.Context != DefaultContext || len(d.TriggerWhen.Events) != 1 || d.TriggerWhen.Events[0] != bridge.ActionStatusChanged {
		t.Errorf("got %+v", d)
	}
	h, _ = Compile(bridge.Hook{Name: "x", TargetURL: "https://x/", Method: "put"}, ps)
	if d := h.Definition(); d.Method != http.MethodPut || d.Context != "" {
		t.Errorf("got %+v", d)
	}
}

// TestRules breaks one thing of a valid hook at a time.
func TestRules(t *testing.T) {
	long := func(n int) string { return strings.Repeat("ä", n) }
	header := func(name, value string) func(*bridge.Hook) {
		return func(h *bridge.Hook) {
			h.Settings.RequestHeaders = append(h.Settings.RequestHeaders, bridge.HookHeader{Name: name, Value: value})
		}
	}
	condition := func(path string, accepted ...any) func(*bridge.Hook) {
		return func(h *bridge.Hook) {
			h.TriggerWhen.Conditions = []bridge.Condition{{Path: path, AcceptedValues: accepted}}
		}
	}
	tests := []struct {
		name   string
		change func(*bridge.Hook)
		field  string // "" for a change that is right
		want   string
	}{
		{"no name", func(h *bridge.Hook) { h.Name = " " }, "name", "The name field is required."},
		{"a long name", func(h *bridge.Hook) { h.Name = long(61) }, "name", "60 characters"},
		{"a name at the limit", func(h *bridge.Hook) { h.Name = long(60) }, "", ""},
		{"pipeline", func(h *bridge.Hook) { h.Pipeline = "7" }, "pipeline", "pl_"},
		{"canonical pipeline", func(h *bridge.Hook) { h.Pipeline = "gh/acme/shop" }, "", ""},
		{"short pipeline", func(h *bridge.Hook) { h.Pipeline = bridge.PipelineID("a/b") }, "", ""},
		{"action type", func(h *bridge.Hook) { h.ActionType = "deplay" }, "action_type", `"deploy"`},
		{"method", func(h *bridge.Hook) { h.Method = "POSTT" }, "method", `"POST"`},
		{"ordering", func(h *bridge.Hook) { h.Ordering = "lastest" }, "ordering", `"latest"`},
		{"timeout", func(h *bridge.Hook) { h.TimeoutMS = 1 }, "timeout_ms", "between"},
		{"timeout", func(h *bridge.Hook) { h.TimeoutMS = -1 }, "timeout_ms", "between"},
		{"profile", func(h *bridge.Hook) { h.Profile = "githup" }, "profile", `"github"`},
		{"no url", func(h *bridge.Hook) { h.TargetURL = "" }, "target_url", "required"},
		{"no url with a profile", func(h *bridge.Hook) { h.TargetURL, h.Profile = "", "github" }, "", ""},
		{"url", func(h *bridge.Hook) { h.TargetURL = "https://{{ run.repo.host }}/" }, "target_url", "host"},
		{"context", func(h *bridge.Hook) { h.Profile, h.Context = "github", long(256) }, "context", "255"},
		{"context", func(h *bridge.Hook) { h.Profile, h.Context = "github", "{{ run.compnent }}" }, "context", "run.component"},
		{"event", func(h *bridge.Hook) { h.TriggerWhen.Events = []bridge.Trigger{"action.strated"} }, "trigger_when.events.0", `"action.started"`},
		{"canceled is no event", func(h *bridge.Hook) { h.TriggerWhen.Events = []bridge.Trigger{bridge.ActionFailed, "action.canceled"} }, "trigger_when.events.1", "no event"},
		{"algorithm", func(h *bridge.Hook) { h.SecretAlgorithm = "sha1" }, "secret_algorithm", "sha256"},
		{"no algorithm", func(h *bridge.Hook) { h.SecretAlgorithm = "" }, "secret_algorithm", "required"},
		{"no secret header", func(h *bridge.Hook) { h.SecretHeaderName = "" }, "secret_header_name", "required"},
		{"secret header", func(h *bridge.Hook) { h.SecretHeaderName = "Content-Length" }, "secret_header_name", "cannot be set"},
		{"secret header", func(h *bridge.Hook) { h.SecretHeaderName = strings.Repeat("a", 65) }, "secret_header_name", "64"},
		{"no secret at all", func(h *bridge.Hook) { h.RequiresSecret, h.SecretAlgorithm, h.SecretHeaderName = false, "", "" }, "", ""},
		{"the signature's header", header("X-Hub-Signature-256", "x"), "settings.request_headers.1.name", "signature"},
		{"header name", header("Host", "x"), "settings.request_headers.1.name", "cannot be set"},
		{"no header name", header("", "x"), "settings.request_headers.1.name", "empty"},
		{"header value", header("X-A", "a\r\nb"), "settings.request_headers.1.value", "line break"},
		{"header value", header("X-A", "{{ run.nope }}"), "settings.request_headers.1.value", "no member nope"},
		{"headers", func(h *bridge.Hook) {
			for range 3 {
				header("X-A", strings.Repeat("a", 4000))(h)
			}
		}, "settings.request_headers", "at most 8192"},
		{"body", func(h *bridge.Hook) { h.Settings.RequestBody = 7 }, "settings.request_body", "a text, an object or a list of objects"},
		{"body list", func(h *bridge.Hook) { h.Settings.RequestBody = []any{map[string]any{}, "x"} }, "settings.request_body.1", "objects"},
		{"body leaf", func(h *bridge.Hook) {
			h.Settings.RequestBody = map[string]any{"a": map[string]any{"b": []any{"{{ run.comit }}"}}}
		}, "settings.request_body.a.b.0", "run.commit"},
		{"token in the body", func(h *bridge.Hook) {
			h.Settings.RequestBody = map[string]any{"a": "{{ application.source_provider.access_token }}"}
		}, "settings.request_body.a", "header"},
		{"body text", func(h *bridge.Hook) { h.Settings.RequestBody = "hello" }, "", ""},
		{"form", form("a={{ run.title | urlquery() }}&b=1"), "", ""},
		{"form that an event could add to", form("a=1&b={{ run.title }}"), "settings.request_body", "{{ run.title }} could add fields of its own; write {{ run.title | urlquery() }}"},
		{"text as JSON", func(h *bridge.Hook) { h.Settings.RequestBody = `"{{ run.title }}"` }, "", ""},
		{"text as JSON, said so", func(h *bridge.Hook) {
			h.Settings.RequestHeaders = append(h.Settings.RequestHeaders, bridge.HookHeader{Name: "content-type", Value: "application/json"})
			h.Settings.RequestBody = `"{{ run.title }}"`
		}, "settings.request_body", "break out of its quotes"},
		{"if", func(h *bridge.Hook) { h.If = "runn.x" }, "if", `"run"`},
		{"if with =", func(h *bridge.Hook) { h.If = "=run.attempt == 1" }, "", ""},
		{"delivered_when", func(h *bridge.Hook) { h.DeliveredWhen = "staus == 1" }, "delivered_when", `"status"`},
		{"supersede_key", func(h *bridge.Hook) { h.SupersedeKey = "{{ run.nope }}" }, "supersede_key", "no member nope"},
		{"condition", condition("run.nope", "x"), "trigger_when.conditions.0.path", "no member nope"},
		{"condition", condition("", "x"), "trigger_when.conditions.0.path", "required"},
		{"condition", condition("{{ run.url }}", "x"), "trigger_when.conditions.0.path", "without {{ }}"},
		{"condition", condition("run..url", "x"), "trigger_when.conditions.0.path", "no path"},
		{"condition", condition("application.source_provider.access_token", "x"), "trigger_when.conditions.0.path", "header"},
		{"condition", condition("run.url"), "trigger_when.conditions.0.accepted_values", "at least one"},
		{"condition", condition("run.url", []any{"x"}), "trigger_when.conditions.0.accepted_values.0", "a text, a number"},
		{"open map", condition("action.triggered_from.hook_parsed_variables.my-own.x", "x", nil, true, 1.5), "", ""},
	}
	ps := load(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Check(guide(tt.change), ps)
			if tt.field == "" {
				if got != nil {
					t.Errorf("got %v, want no problem", got)
				}
				return
			}
			if len(got) != 1 || !strings.Contains(strings.Join(got[tt.field], "\n"), tt.want) {
				t.Errorf("got %v, want one of %s with %q", got, tt.field, tt.want)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	got := Check(guide(func(h *bridge.Hook) {
		h.Name, h.TargetURL, h.If = "", "x", "y"
		h.Settings.RequestBody = map[string]any{"a": "{{ x }}", "b": "{{ y }}"}
	}), load(t))
	for _, field := range []string{"name", "target_url", "if", "settings.request_body.a", "settings.request_body.b"} {
		if len(got[field]) != 1 {
			t.Errorf("%s: got %v", field, got[field])
		}
	}
}

// form gives a hook a form as its body.
func form(body string) func(*bridge.Hook) {
	return func(h *bridge.Hook) {
		h.Settings.RequestHeaders = append(h.Settings.RequestHeaders, bridge.HookHeader{Name: "Content-Type", Value: "application/x-www-form-urlencoded; charset=utf-8"})
		h.Settings.RequestBody = body
	}
}
