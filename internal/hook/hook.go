// Package hook compiles hooks and plans what they send.
//
// A hook is written in the words of Devopness, by the API or in a YAML file
// ([Load]). [Compile] checks all of it when it is saved: a hook that is saved
// renders. [NewSet] puts hooks and applications together, and [Set.Plan] turns
// one change of a run into deliveries, in the same commit that stores the
// change:
//
//	which hooks   pipeline, trigger, age of the hook, conditions, if
//	what is sent  URL, headers, body from the run as it was when it fired
//	in what order the lane: the resource that the request writes
//	what is left  parked (a value may still come) or skipped (with a reason)
//
// Nothing is lost silently: whatever a hook was asked about ends as a
// delivery, a [bridge.Parked] or a [bridge.Skip].
package hook

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/provider"
	"cibridge/internal/template"
)

// CodeHook is the code of problems with the definition of a hook. Those inside
// templates have the codes of packages template and lang.
const CodeHook = "E410"

// DefaultContext names the commit status of a hook with a profile.
const DefaultContext = "ci/cibridge"

// Hook is a compiled hook. It is immutable and safe for concurrent use.
type Hook struct {
	def     bridge.Hook
	profile *provider.Profile // nil when the hook names none

	url        *template.URL
	urlOwn     bool // the URL is written in the hook, not in its profile
	headers    []*template.Header
	signature  *bridge.Header // nil when the hook signs nothing
	parts      []*part        // its requests, at least one
	otherwise  *template.Body // members that the profile insists on; nil for none
	refuse     []refusal
	key        *template.Text // nil when the hook has no supersede key
	context    *template.Text
	conditions []condition
	when       *template.Condition // nil when the hook has no if

	readsApplication bool // anything of application.*, or its token
	needsApplication bool // in the URL, a header or the key
	sendsToken       bool
}

// part is one request of a hook. Most hooks have one, without a name.
type part struct {
	name   string
	index  int
	states []bridge.Status // nil: all
	body   *template.Body  // nil for an empty body
	when   *template.Condition
	once   bool // at most once for an attempt of a run
}

// refusal is a condition of the profile under which nothing is sent.
type refusal struct {
	when *template.Condition
	say  string
}

// Definition returns the hook as it was given, with what was left out filled
// in: method, action type, events, context.
func (h *Hook) Definition() bridge.Hook { return h.def }

// Compile checks and compiles h. The Path of a problem is the field in the
// words of Devopness, "settings.request_headers.0.value"; its Line and Col are
// those inside the field's text.
func Compile(h bridge.Hook, profiles *provider.Profiles) (*Hook, diag.Problems) {
	c := &compiling{hook: &Hook{def: h}, profiles: profiles}
	c.defaults()
	c.rules()
	c.target()
	c.requestHeaders()
	c.requestBody()
	c.secret()
	c.when()
	c.reads()
	if c.problems.Err() != nil {
		return nil, c.problems
	}
	return c.hook, c.problems
}

// Check returns what is wrong with h for people, by field; nil when nothing
// is.
func Check(h bridge.Hook, profiles *provider.Profiles) map[string][]string {
	_, problems := Compile(h, profiles)
	return Fields(problems)
}

// Fields groups the errors of problems by their field: the "errors" of a 422
// answer.
func Fields(problems diag.Problems) map[string][]string {
	var out map[string][]string
	for _, p := range problems.Errors() {
		message := p.Message
		if p.Help != "" {
			message += "; " + p.Help
		}
		if out == nil {
			out = map[string][]string{}
		}
		out[p.Path] = append(out[p.Path], message)
	}
	return out
}

// compiling is a hook on its way to be compiled.
type compiling struct {
	hook     *Hook
	profiles *provider.Profiles
	problems diag.Problems
}

func (c *compiling) fail(path, help, format string, args ...any) {
	c.problems = append(c.problems, diag.Problem{Path: path, Code: CodeHook, Message: fmt.Sprintf(format, args...), Help: help, Severity: diag.SeverityError})
}

// under adds problems of a template, which is the field at path.
func (c *compiling) under(path string, problems diag.Problems) {
	for _, p := range problems {
		if p.Path = strings.TrimSuffix(path+"."+p.Path, "."); path == "" {
			p.Path = strings.TrimPrefix(p.Path, ".")
		}
		c.problems = append(c.problems, p)
	}
}

func (c *compiling) defaults() {
	d := &c.hook.def
	d.ActionType = cmp.Or(d.ActionType, "deploy")
	d.Method = strings.ToUpper(d.Method)
	if d.Profile != "" {
		if c.hook.profile = c.profiles.Get(d.Profile); c.hook.profile == nil {
			c.fail("profile", didYouMean(d.Profile, c.profiles.Names()), "there is no profile %q", d.Profile)
		} else {
			d.Method = cmp.Or(d.Method, c.hook.profile.Method)
			d.Context = cmp.Or(d.Context, DefaultContext)
		}
	}
	d.Method = cmp.Or(d.Method, "POST")
	if len(d.TriggerWhen.Events) == 0 && c.hook.profile != nil {
		d.TriggerWhen.Events = slices.Clone(c.hook.profile.Events)
	}
	if len(d.TriggerWhen.Events) == 0 {
		d.TriggerWhen.Events = []bridge.Trigger{bridge.ActionStatusChanged}
	}
}

func didYouMean(word string, known []string) string {
	if near := diag.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "there are: " + strings.Join(known, ", ")
}

func (c *compiling) target() {
	h, source := c.hook, c.hook.def.TargetURL
	h.urlOwn = source != ""
	if source == "" && h.profile != nil {
		source = h.profile.URL
	}
	if source == "" {
		if h.def.Profile == "" {
			c.fail("target_url", "give a URL, or a profile that has one", "The target url field is required.")
		}
		return
	}
	var ps diag.Problems
	h.url, ps = template.CompileURL(source)
	c.under("target_url", ps)
}

// requestHeaders compiles the profile's headers and the hook's own, which win
// over those of the same name.
func (c *compiling) requestHeaders() {
	h := c.hook
	own := map[string]bool{}
	total := 0
	for i, hd := range h.def.Settings.RequestHeaders {
		path := "settings.request_headers." + strconv.Itoa(i)
		own[strings.ToLower(hd.Name)] = true
		total += len(hd.Name) + len(hd.Value)
		if fault := template.HeaderNameFault(hd.Name); fault != "" {
			c.fail(path+".name", "", "%s", fault)
			continue
		}
		t, ps := template.CompileHeaderValue(hd.Name, hd.Value)
		c.under(path+".value", ps)
		h.headers = append(h.headers, t)
	}
	if total > template.MaxHeader {
		c.fail("settings.request_headers", "", "the headers have %d bytes, at most %d are allowed", total, template.MaxHeader)
	}
	if h.profile == nil {
		return
	}
	for _, hd := range h.profile.Headers {
		if own[strings.ToLower(hd.Name)] {
			continue
		}
		t, ps := template.CompileHeaderValue(hd.Name, hd.Value)
		c.under("profile", ps)
		h.headers = append(h.headers, t)
	}
}

func (c *compiling) requestBody() {
	h := c.hook
	if h.profile == nil || len(h.profile.Parts) == 0 {
		var base any
		if h.profile != nil {
			base = h.profile.Body
		}
		h.parts = []*part{{body: c.body(base)}}
	} else {
		for i, p := range h.profile.Parts {
			compiled := &part{name: p.Name, index: i, states: p.States, body: c.body(p.Body), once: p.Once}
			compiled.when = c.ofProfile(p.When)
			h.parts = append(h.parts, compiled)
		}
	}
	c.insisted()
	var ps diag.Problems
	h.context, ps = template.CompileText(h.def.Context)
	c.under("context", ps)
	if h.def.SupersedeKey != "" {
		h.key, ps = template.CompileText(h.def.SupersedeKey)
		c.under("supersede_key", ps)
	}
}

// body compiles the hook's body. An object is laid over the profile's: its
// members win, the profile's others stay. It returns nil for no body.
func (c *compiling) body(profiles any) *template.Body {
	tree, path := c.hook.def.Settings.RequestBody, "settings.request_body"
	switch t := tree.(type) {
	case nil:
		tree = profiles
	case string:
	case map[string]any:
		if base, ok := profiles.(map[string]any); ok {
			merged := maps.Clone(base)
			maps.Copy(merged, t)
			tree = merged
		}
	case []any:
		if i := slices.IndexFunc(t, func(v any) bool { _, ok := v.(map[string]any); return !ok }); i >= 0 {
			c.fail(path+"."+strconv.Itoa(i), "", "a list as request_body has objects as its items")
			return nil
		}
	default:
		c.fail(path, "", "request_body is a text, an object or a list of objects, not %v", tree)
		return nil
	}
	if tree == nil {
		return nil
	}
	body, ps := template.CompileBody(tree)
	c.under(path, ps)
	if body != nil && body.Text() {
		c.textBody(path, body)
	}
	return body
}

// textBody refuses a text in which what is filled in could become more than a
// value: its header says how the receiver takes it apart.
func (c *compiling) textBody(path string, body *template.Body) {
	kind := ""
	for _, t := range c.hook.headers {
		if name, value := t.Literal(); strings.EqualFold(name, "Content-Type") {
			kind = strings.ToLower(value)
		}
	}
	unescaped := body.Unescaped()
	switch {
	case len(unescaped) == 0:
	case strings.Contains(kind, "x-www-form-urlencoded"):
		c.fail(path, fmt.Sprintf("write {{ %s | urlquery() }}", unescaped[0]), "in a form {{ %s }} could add fields of its own", unescaped[0])
	case strings.Contains(kind, "json"):
		c.fail(path, "give the body as an object", "in a text that is sent as JSON {{ %s }} could break out of its quotes", unescaped[0])
	}
}

// insisted compiles what the profile insists on besides its body.
func (c *compiling) insisted() {
	h := c.hook
	if h.profile == nil {
		return
	}
	if len(h.profile.Otherwise) > 0 {
		var ps diag.Problems
		h.otherwise, ps = template.CompileBody(h.profile.Otherwise)
		c.under("profile", ps)
	}
	for _, r := range h.profile.Refuse {
		h.refuse = append(h.refuse, refusal{c.ofProfile(r.If), r.Say})
	}
}

// ofProfile compiles a condition of the profile, nil for "".
func (c *compiling) ofProfile(src string) *template.Condition {
	if src == "" {
		return nil
	}
	compiled, ps := template.CompileCondition(src)
	c.under("profile", ps)
	return compiled
}

func (c *compiling) when() {
	h := c.hook
	for i, cond := range h.def.TriggerWhen.Conditions {
		c.condition("trigger_when.conditions."+strconv.Itoa(i), cond)
	}
	if h.def.If != "" {
		var ps diag.Problems
		h.when, ps = template.CompileCondition(h.def.If)
		c.under("if", ps)
	}
	if h.def.DeliveredWhen != "" {
		_, ps := compileAnswer(h.def.DeliveredWhen)
		c.under("delivered_when", ps)
	}
}

// reads finds out what the hook needs of an application.
func (c *compiling) reads() {
	h := c.hook
	if c.problems.Err() != nil {
		return
	}
	needs := slices.Concat(h.url.Reads(), h.context.Reads())
	if h.key != nil {
		needs = append(needs, h.key.Reads()...)
	}
	for _, hd := range h.headers {
		needs = append(needs, hd.Reads()...)
		h.sendsToken = h.sendsToken || hd.Secret()
	}
	others := []string{}
	for _, p := range h.parts {
		if p.body != nil {
			others = append(others, p.body.Reads()...)
		}
	}
	if h.otherwise != nil {
		others = append(others, h.otherwise.Reads()...)
	}
	if h.when != nil {
		others = append(others, h.when.Reads()...)
	}
	for _, cond := range h.conditions {
		others = append(others, cond.path.Reads()...)
	}
	h.needsApplication = slices.ContainsFunc(needs, ofApplication)
	// Without a profile of the hook's own, the application's provider says
	// what the words of state are.
	h.readsApplication = h.needsApplication || slices.ContainsFunc(others, ofApplication) ||
		h.profile == nil && slices.Contains(others, "state")
}

func ofApplication(name string) bool {
	return name == "application" || strings.HasPrefix(name, "application.")
}
