package hook

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/diag"
)

const validFile = `hooks:
  - name: ci
    pipeline: gh/build
    target_url: https://x.io/{{ run.commit.sha }}
    active: true
    method: PATCH
    ordering: every
    timeout_ms: 5000
    if: run.attempt == 1
    requires_secret: true
    secret: abc
    secret_algorithm: sha256
    secret_header_name: x-sig
    settings:
      request_headers:
        - {name: X-A, value: "v {{ run.number }}"}
      request_body:
        number: 4487150517
        nested: [{a: "{{ run.url }}"}, null, 1.5, yes]
    trigger_when:
      events: [action.failed]
      conditions:
        - {path: run.number, accepted_values: [1, "2", true, null]}
`

func TestLoad(t *testing.T) {
	hooks, problems := Load("a/hooks.yaml", []byte(validFile), load(t))
	if err := problems.Err(); err != nil || len(hooks) != 1 {
		t.Fatal(len(hooks), err)
	}
	h := hooks[0]
	if h.Pipeline != "gh/build" || !h.Active || !h.VerifySSL || !h.ReadOnly || h.Method != http.MethodPatch || h.TimeoutMS != 5000 || h.CreatedAt != 0 || h.Secret.Reveal() != "abc" {
		t.Errorf("got %+v", h)
	}
	body := h.Settings.RequestBody.(map[string]any)
	if body["number"] != int64(4487150517) || body["nested"].([]any)[1] != nil || body["nested"].([]any)[3] != "yes" {
		t.Errorf("body %#v", body)
	}
	if got := h.TriggerWhen.Conditions[0].AcceptedValues; !slices.Equal(got, []any{int64(1), "2", true, nil}) {
		t.Errorf("accepted %#v", got)
	}
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(h.ID) {
		t.Errorf("id %s", h.ID)
	}
	again, _ := Load("a/hooks.yaml", []byte("# moved\n"+validFile), load(t))
	other, _ := Load("b/hooks.yaml", []byte(validFile), load(t))
	if again[0].ID != h.ID || other[0].ID == h.ID {
		t.Error("an id is that of file and name")
	}
}

func TestLoadForms(t *testing.T) {
	one := "name: ci\npipeline: '*'\nprofile: github\n"
	list := "- {name: ci, pipeline: '*', profile: github}\n- {name: ci, pipeline: '*', profile: gitlab, active: false}\n"
	for text, n := range map[string]int{one: 1, list: 2, "hooks: []": 0} {
		hooks, problems := Load("h.yaml", []byte(text), load(t))
		if err := problems.Err(); err != nil || len(hooks) != n {
			t.Errorf("%q: got %d hooks, %v", text, len(hooks), err)
		}
		if n == 2 && (hooks[0].ID == hooks[1].ID || hooks[1].Active) {
			t.Errorf("%+v", hooks)
		}
	}
}

// TestLoadProblems breaks one line of a valid file at a time.
func TestLoadProblems(t *testing.T) {
	tests := []struct{ old, new, want string }{
		{"name: ci", "nam: ci", `h.yaml:2:5: unknown key "nam" [E101]`},
		{"name: ci", "name: ''", "h.yaml:2:11: The name field is required. [E410]"},
		{"events:", "evnts:", `h.yaml:21:7: unknown key "evnts" [E101]`},
		{"{name: X-A", "{nme: X-A", `h.yaml:16:12: unknown key "nme" [E101]`},
		{"run.commit.sha }}", "run.comit.sha }}", `h.yaml:4:37: run has no member comit [E201]`},
		{"run.url }}", "run.ur }}", `h.yaml:19:30: run has no member ur [E201]`},
		{"v {{ run.number", "v {{ runn.number", `h.yaml:16:36: unknown name runn [E201]`},
		{"if: run.attempt", "if: run.atempt", "h.yaml:9:13: run has no member atempt [E201]"},
		{"path: run.number", "path: run.nmber", "h.yaml:23:22: run has no member nmber [E201]"},
		{"[action.failed]", "[action.faild]", `h.yaml:21:16: there is no event "action.faild" [E410]`},
		{"[action.failed]", "action.failed", "h.yaml:21:15: events is a list of texts [E103]"},
		{"timeout_ms: 5000", "timeout_ms: 5s", "h.yaml:8:17: timeout_ms is a whole number [E103]"},
		{"active: true", "active: yes", "h.yaml:5:13: active is true or false [E103]"},
		{"pipeline: gh/build", "method: POST", "h.yaml:6:5"},
		{"    pipeline: gh/build\n", "", "h.yaml:2:5: the hook names no pipeline [E410]"},
		{"    secret: abc\n", "", "requires_secret needs a secret"},
		{"pipeline: gh/build", "pipeline: build", `h.yaml:3:15: "build" names no pipeline [E410]`},
		{"target_url: https://x.io/", "target_url: https://{{ run.repo.host }}/", "h.yaml:4:17: {{ run.repo.host }} would be part of the host"},
		{"hooks:", "hoks:", `unknown key "hoks"`},
		{"hooks:", "x: 1\nhooks:", `h.yaml:1:1: unknown key "x" beside hooks [E101]`},
		{"request_headers:", "request_headers: x\n      x:", "request_headers is a list of mappings"},
		{"name: ci", "name: {a: b}", "name is a text"},
		{"  - name", "  - &a\n    name", "anchor"},
	}
	for _, tt := range tests {
		if !strings.Contains(validFile, tt.old) {
			t.Fatalf("the file has no %q", tt.old)
		}
		hooks, problems := Load("h.yaml", []byte(strings.Replace(validFile, tt.old, tt.new, 1)), load(t))
		if len(hooks) > 0 || !slices.ContainsFunc(problems, func(p diag.Problem) bool { return strings.Contains(p.Error(), tt.want) }) {
			t.Errorf("%s: got %q, want one with %q", tt.new, problems.Error(), tt.want)
		}
	}
	for text, want := range map[string]string{
		"hooks: x": "hooks is a list", "": "nothing in it", "x": "a hook is a mapping", "- x": "a hook is a mapping", "a: [": "not YAML",
	} {
		if hooks, problems := Load("h.yaml", []byte(text), load(t)); len(hooks) > 0 || !strings.Contains(problems.Error(), want) {
			t.Errorf("%q: got %v, want a problem with %q", text, problems, want)
		}
	}
}

func TestLoadFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b.yaml": "name: b\npipeline: '*'\nprofile: github\n", "a.yml": "name: a\npipeline: '*'\nprofile: github\n", "c.txt": "x", "d.yaml": "nme: d"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hooks, problems := LoadFiles(dir, load(t))
	names := ""
	for _, h := range hooks {
		names += h.Name
	}
	if names != "ab" || len(problems) == 0 || !strings.Contains(problems[0].Error(), "d.yaml:1:1: ") {
		t.Errorf("got %s, %v", names, problems)
	}
	if _, problems := LoadFiles(filepath.Join(dir, "nope"), load(t)); len(problems) != 1 || problems[0].Code != CodeFileRead {
		t.Errorf("got %v", problems)
	}
}

// preset is what the hooks of a file do on a run that starts and succeeds.
var presets = map[string]struct {
	app  bridge.Application
	says []string // a part of each body, in order
}{
	"github.yaml":          {github, []string{`"state":"pending"`, `"state":"success"`}},
	"devopness-guide.yaml": {github, []string{`"state":"pending"`, `"state":"success"`}},
	"gitlab.yaml":          {at("gitlab", ""), []string{`"state":"running"`, `"state":"success"`}},
	"gitea.yaml":           {at("gitea", "https://git.acme.io"), []string{`"state":"pending"`, `"state":"success"`}},
	"bitbucket.yaml":       {at("bitbucket", ""), []string{`"state":"INPROGRESS"`, `"state":"SUCCESSFUL"`}},
	"bitbucket-dc.yaml":    {at("bitbucket-dc", "https://git.acme.io"), []string{`"state":"INPROGRESS"`, `"state":"SUCCESSFUL"`}},
	"azure-devops.yaml":    {at("azure-devops", "https://dev.azure.com/acme"), []string{`"state":"pending"`, `"state":"succeeded"`}},
	"harness-code.yaml":    {at("harness-code", "https://git.acme.io"), []string{`"status":"running"`, `"status":"success"`}},
	"gerrit.yaml":          {at("gerrit", "https://review.acme.io"), []string{`{"Verified":0}`, `{"Verified":1}`}},
	"codenow.yaml":         {at("codenow", ""), []string{"ci.start.event", "ci.start.event", "ci.result.event", `"result":"SUCCESSFUL"`}},
	"sei.yaml":             {at("sei", "https://app.harness.io/gratis/sei/api"), []string{`"result":"SUCCESS"`}},
	"cdevents.yaml":        {at("cdevents", "https://events.acme.io/in"), []string{"pipelinerun.started", "pipelinerun.finished"}},
}

func at(provider, base string) bridge.Application {
	return bridge.Application{ID: provider, Name: provider, SourceProvider: bridge.SourceProvider{Name: provider, BaseURL: base}}
}

// TestPresets loads what ships, one file for each profile, and plans with each.
func TestPresets(t *testing.T) {
	const dir = "../../configs/hooks"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	for _, e := range entries {
		if e.Name() == "README.md" {
			continue
		}
		files[e.Name()] = true
		want, known := presets[e.Name()]
		if !known {
			t.Errorf("%s: say what it should do", e.Name())
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			hooks, problems := Load(e.Name(), data, load(t))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			l := newLab(t, hooks, want.app)
			ds := append(l.post(bridge.Running, 1, with(repo(), "pull_request.number", int64(12))), l.post(bridge.Succeeded, 1, nil)...)
			if len(ds) != len(want.says) {
				t.Fatalf("planned %s, skips %s, parked %s", told(ds), l.skips(), l.parked())
			}
			for i, says := range want.says {
				if ds[i].Lane != ds[0].Lane || !strings.Contains(ds[i].Body, says) {
					t.Errorf("body %s in lane %s, want %s in %s", ds[i].Body, ds[i].Lane, says, ds[0].Lane)
				}
			}
			// The same without the comment signs: URL and header of its own.
			own := strings.ReplaceAll(string(data), "\n#   ", "\n    ")
			own = own[:strings.Index(own, "\nhooks:")] + "\n" // the block stands before the hook
			if !strings.Contains(own, "target_url") {
				return
			}
			block := own[strings.Index(own, "    target_url"):]
			hooks, problems = Load(e.Name(), append(data, block...), load(t))
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			l = newLab(t, hooks, github)
			ds = append(l.post(bridge.Running, 1, repo()), l.post(bridge.Succeeded, 1, nil)...)
			if len(ds) != len(want.says) || l.skips() != "" || !strings.HasPrefix(block, "    target_url: "+ds[0].URL+"\n") || strings.Contains(fmt.Sprint(ds[0].Headers), "access_token") {
				t.Errorf("with a URL of its own: planned %s %+v, skips %s", told(ds), ds, l.skips())
			}
		})
	}
	for name := range presets {
		if !files[name] {
			t.Errorf("%s is not there", name)
		}
	}
	for _, name := range load(t).Names() {
		if !files[name+".yaml"] {
			t.Errorf("the profile %s has no preset", name)
		}
	}
}
