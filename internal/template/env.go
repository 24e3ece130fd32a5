package template

import (
	"maps"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// Env holds the values of the names of [Scope]. A name that is missing is
// absent.
type Env map[string]any

// variablesName is the open map in which Devopness's guide looks for what an
// incoming hook brought.
const variablesName = "action.triggered_from.hook_parsed_variables"

// alias is a name of Devopness for a value of a run.
type alias struct{ name, from string }

// aliases of "action". Values without a from are filled in by [NewEnv].
var aliases = []alias{
	{"id", "id"}, // a string here, run_…; Devopness numbers its actions
	{"pipeline.id", "pipeline.short_id"},
	{"pipeline.name", "pipeline.name"},
	{"pipeline_id", "pipeline.short_id"},
	{"status", ""},
	{"status_human_readable", ""},
	{"status_reason_code", ""},
	{"status_reason_human_readable", "summary"},
	{"type", ""},
	{"type_human_readable", ""},
	{"url_web_permalink", "url"},
	{"trigger_comment", "title"},
	{"action_data.release_name", "version"},
	{"action_data.commit.hash", "commit.sha"},
	{"action_data.commit.message", "commit.message"},
	{"action_data.commit.author_name", "commit.author"},
	{"action_data.commit.repository", "repo.full_name"},
	{"action_data.deployment.source_type", ""},
	{"action_data.deployment.source_ref", ""},
	{"action_data.deployment.repository", "repo.full_name"},
	{"action_data.deployment.provider_name", "repo.provider"},
	{"action_data.deployment.pipeline_id", "pipeline.short_id"},
	{"triggered_from.origin", "source"},
	{"triggered_from.name", "actor.name"},
	{"triggered_from.email", "actor.email"},
	{"environment.name", "environment"},
	{"started_at", "started_at"},
	{"completed_at", "finished_at"},
	{"created_at", "created_at"},
	{"updated_at", "updated_at"},
}

// parsedVariables are the members of [variablesName] that a run fills itself.
// Variables that the mapping sets go before them.
var parsedVariables = []alias{
	{"commit_hash", "commit.sha"},
	{"branch", "commit.branch"},
	{"tag", "commit.tag"},
	{"pull_request_id", "pull_request.number"},
	{"pull_request_title", "pull_request.title"},
	{"pipeline_id", "pipeline.id"},
}

// actionWords are Devopness's words for the states. It knows no others.
var actionWords = map[bridge.Status][3]string{ // status, human readable, reason code
	bridge.Queued:     {"queued", "Queued", "QUEUED"},
	bridge.Running:    {"in-progress", "In progress", "IN_PROGRESS"},
	bridge.Waiting:    {"waiting", "Waiting", "PENDING"},
	bridge.Succeeded:  {"completed", "Completed", "COMPLETED"},
	bridge.Incomplete: {"completed", "Completed", "COMPLETED"},
	bridge.Skipped:    {"skipped", "Skipped", "SKIPPED"},
	bridge.Failed:     {"failed", "Failed", "FAILED"},
	bridge.Errored:    {"failed", "Failed", "FAILED"},
	bridge.TimedOut:   {"failed", "Failed", "FAILED"},
	bridge.Canceled:   {"failed", "Failed", "FAILED"},
	bridge.Unknown:    {"pending", "Pending", "PENDING"},
}

// runExtras are what a run shows besides the fields that a mapping sets.
var runExtras = []string{
	"id", "source", "key", "parent", "attempt", "status", "summary", "created_at", "updated_at",
	"pipeline.short_id", "pipeline.canonical",
}

// others are the names beside run and action.
var others = map[string][]string{
	"application": {"id", "name", "repository", "repository_name", "repository_owner", "source_provider.name", "source_provider.base_url"},
	"pipeline":    {"id", "native_id", "name", "canonical", "url", "source"},
	"event":       {"trigger", "status", "attempt", "at"},
	"hook":        {"id", "name", "context", "action_type", "pipeline", "profile"},
}

// Scope returns the names that templates may use. Secrets are not among them.
func Scope() *lang.Scope { return scopeFor(false) }

func scopeFor(omit bool) *lang.Scope {
	if omit {
		return scopes.omit
	}
	return scopes.plain
}

// scopes never change after they were made.
var scopes = func() (s struct{ plain, omit *lang.Scope }) {
	roots := map[string]lang.Shape{"run": runShape(), "action": actionShape(), "state": lang.Leaf()}
	for name, members := range others {
		roots[name] = leaves(lang.Object(nil), members)
	}
	s.plain = lang.NewScope(roots)
	s.omit = s.plain.WithOmit()
	return s
}()

func leaves(s lang.Shape, paths []string) lang.Shape {
	for _, p := range paths {
		s = s.Add(p, lang.Leaf())
	}
	return s
}

func runShape() lang.Shape {
	s := leaves(lang.Object(nil), runExtras)
	for _, f := range bridge.Fields() {
		shape := lang.Leaf()
		switch f.Kind {
		case bridge.Map:
			shape = lang.Any()
		case bridge.List:
			shape = lang.ListOf(lang.Any())
		}
		s = s.Add(f.Name, shape)
	}
	s = s.Add("incomplete", lang.ListOf(lang.Leaf()))
	for _, l := range bridge.Lists() {
		s = s.Add(l.Name, listShape(l))
	}
	return s
}

func listShape(l bridge.ListOf) lang.Shape {
	item := leaves(lang.Object(nil), []string{"key"})
	for _, f := range l.Fields {
		item = item.Add(f.Name, lang.Leaf())
	}
	for _, sub := range l.Lists {
		item = item.Add(sub.Name, listShape(sub))
	}
	return lang.ListOf(item)
}

func actionShape() lang.Shape {
	s := lang.Object(nil)
	for _, a := range aliases {
		s = s.Add(a.name, lang.Leaf())
	}
	return s.Add(strings.TrimPrefix(variablesName, "action."), lang.Any())
}

// NewEnv returns the part of the environment that all hooks share: run is what
// [bridge.Run.ViewAs] returned for f.
func NewEnv(run map[string]any, f bridge.Firing) Env {
	return Env{
		"run":    run,
		"action": actionOf(run, f.Status),
		"pipeline": compact(map[string]any{
			"id": get(run, "pipeline.short_id"), "native_id": get(run, "pipeline.id"), "name": get(run, "pipeline.name"),
			"canonical": get(run, "pipeline.canonical"), "url": get(run, "pipeline.url"), "source": get(run, "source"),
		}),
		"event": map[string]any{
			"status": string(f.Status), "attempt": f.Attempt,
			"at": time.UnixMilli(f.At).UTC().Format("2006-01-02T15:04:05.999Z07:00"),
		},
	}
}

func actionOf(run map[string]any, status bridge.Status) map[string]any {
	action := map[string]any{}
	for _, a := range aliases {
		if a.from != "" {
			put(action, a.name, get(run, a.from))
		}
	}
	words, ok := actionWords[status]
	if !ok {
		words = actionWords[bridge.Unknown]
	}
	action["status"], action["status_human_readable"], action["status_reason_code"] = words[0], words[1], words[2]
	for _, ref := range []struct{ kind, from string }{{"tag", "commit.tag"}, {"branch", "commit.branch"}, {"commit", "commit.sha"}} {
		if v := get(run, ref.from); v != nil {
			put(action, "action_data.deployment.source_type", ref.kind)
			put(action, "action_data.deployment.source_ref", v)
			break
		}
	}
	variables := map[string]any{}
	for _, a := range parsedVariables {
		if v := get(run, a.from); v != nil {
			variables[a.name] = v
		}
	}
	if own, ok := run["variables"].(map[string]any); ok {
		maps.Copy(variables, own)
	}
	put(action, strings.TrimPrefix(variablesName, "action."), variables)
	return action
}

// Of is what one hook adds to the environment.
type Of struct {
	Hook    bridge.Hook
	Context string // the hook's context, rendered
	Trigger bridge.Trigger
	State   string // the profile's word for the status; "" when there is none
	// Application is nil while none is known. BaseURL is its configured one,
	// or the address that stands for an empty one.
	Application *bridge.Application
	BaseURL     string
}

// With returns a copy of e for one hook. e itself may be shared.
func (e Env) With(o Of) Env {
	out := maps.Clone(e)
	action, _ := e["action"].(map[string]any)
	action = maps.Clone(action)
	if o.Hook.ActionType != "" {
		action["type"] = o.Hook.ActionType
		action["type_human_readable"] = strings.ToUpper(o.Hook.ActionType[:1]) + strings.ReplaceAll(o.Hook.ActionType[1:], "_", " ")
	}
	event, _ := e["event"].(map[string]any)
	event = maps.Clone(event)
	event["trigger"] = string(o.Trigger)
	out["action"], out["event"] = action, event
	out["hook"] = compact(map[string]any{
		"id": o.Hook.ID, "name": o.Hook.Name, "context": o.Context, "action_type": o.Hook.ActionType,
		"pipeline": o.Hook.Pipeline, "profile": o.Hook.Profile,
	})
	if o.State != "" {
		out["state"] = o.State
	}
	if a := o.Application; a != nil {
		run, _ := e["run"].(map[string]any)
		out["application"] = applicationOf(a, o.BaseURL, run)
	}
	return out
}

func applicationOf(a *bridge.Application, base string, run map[string]any) map[string]any {
	full, _ := get(run, "repo.full_name").(string)
	if full == "" && len(a.Repositories) == 1 && !strings.Contains(a.Repositories[0], "*") {
		full = a.Repositories[0]
	}
	owner, name := "", full
	if i := strings.LastIndex(full, "/"); i >= 0 {
		owner, name = full[:i], full[i+1:]
	}
	return compact(map[string]any{
		"id": a.ID, "name": a.Name, "repository": full, "repository_owner": owner, "repository_name": name,
		"source_provider": compact(map[string]any{"name": a.SourceProvider.Name, "base_url": base}),
	})
}

// compact drops what is absent: nil and "".
func compact(m map[string]any) map[string]any {
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil || v == "" })
	return m
}

// get returns the value at a dotted path, nil when it is absent.
func get(m map[string]any, path string) any {
	for {
		first, rest, nested := strings.Cut(path, ".")
		if !nested {
			return m[first]
		}
		sub, ok := m[first].(map[string]any)
		if !ok {
			return nil
		}
		m, path = sub, rest
	}
}

// put sets the value at a dotted path; nil sets nothing.
func put(m map[string]any, path string, v any) {
	if v == nil {
		return
	}
	for {
		first, rest, nested := strings.Cut(path, ".")
		if !nested {
			m[first] = v
			return
		}
		sub, ok := m[first].(map[string]any)
		if !ok {
			sub = map[string]any{}
			m[first] = sub
		}
		m, path = sub, rest
	}
}

// absent names what e reads and env does not have, as people know it.
func absent(e *lang.Expr, env Env) []string {
	var out []string
	for _, path := range e.Reads() {
		if v := get(env, path); v == nil {
			if name := Name(path); !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// Name returns the name by which people know a value of the environment:
// "commit.sha" for run.commit.sha and for Devopness's name of it.
func Name(path string) string {
	if v, ok := strings.CutPrefix(path, variablesName+"."); ok {
		for _, a := range parsedVariables {
			if a.name == v {
				return a.from
			}
		}
		return "variables." + v
	}
	if v, ok := strings.CutPrefix(path, "action."); ok {
		for _, a := range aliases {
			if a.name == v && a.from != "" {
				return strings.Replace(a.from, "short_id", "id", 1)
			}
		}
		return path
	}
	path = strings.TrimPrefix(path, "run.")
	return strings.Replace(path, "pipeline.short_id", "pipeline.id", 1)
}

// Pipeline returns the ids that the run's pipeline has: short, canonical and
// the tool's own, as far as they are known.
func Pipeline(env Env) []any {
	var out []any
	run, _ := env["run"].(map[string]any)
	for _, path := range []string{"pipeline.short_id", "pipeline.canonical", "pipeline.id"} {
		if v := get(run, path); v != nil {
			out = append(out, v)
		}
	}
	return out
}
