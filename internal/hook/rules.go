package hook

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/template"
)

// actionTypes are Devopness's.
var actionTypes = []string{
	"check_provisioned", "configure", "delete", "deploy", "get_status", "provision",
	"reload", "remove", "restart", "rotate_key", "start", "stop",
}

var methods = []string{"POST", "PUT", "PATCH", "GET", "DELETE"}

// AnyPipeline is the pipeline of hooks that listen to all of them.
const AnyPipeline = "*"

const (
	maxName       = 60 // Devopness's, as the two below
	maxAlgorithm  = 20
	maxSecretName = 64
	maxContext    = 255
	minTimeout    = 100
	maxTimeout    = 120_000
	maxConditions = 20
	maxAccepted   = 100
)

var shortID = regexp.MustCompile(`^pl_[0-9a-z]{24}$`)

// rules checks the fields that are no templates.
func (c *compiling) rules() {
	d := c.hook.def
	switch n := utf8.RuneCountInString(d.Name); {
	case strings.TrimSpace(d.Name) == "":
		c.fail("name", "", "The name field is required.")
	case n > maxName:
		c.fail("name", "", "The name must not be greater than %d characters; it has %d.", maxName, n)
	}
	if d.Pipeline != "" && d.Pipeline != AnyPipeline && !shortID.MatchString(d.Pipeline) && !canonical(d.Pipeline) {
		c.fail("pipeline", `write its id (pl_…), "<source>/<pipeline.id>", or "*" for all`, "%q names no pipeline", d.Pipeline)
	}
	c.oneOf("action_type", d.ActionType, actionTypes)
	c.oneOf("method", d.Method, methods)
	if d.Ordering != "" {
		c.oneOf("ordering", string(d.Ordering), []string{string(bridge.Latest), string(bridge.Every)})
	}
	if d.TimeoutMS != 0 && (d.TimeoutMS < minTimeout || d.TimeoutMS > maxTimeout) {
		c.fail("timeout_ms", "", "timeout_ms is between %d and %d, or 0 for the default; it is %d", minTimeout, maxTimeout, d.TimeoutMS)
	}
	if n := utf8.RuneCountInString(d.Context); n > maxContext {
		c.fail("context", "", "context has %d characters, at most %d are allowed", n, maxContext)
	}
	c.events(d.TriggerWhen.Events)
}

func canonical(s string) bool {
	source, id, ok := strings.Cut(s, "/")
	return ok && source != "" && id != ""
}

func (c *compiling) oneOf(path, word string, known []string) {
	if !slices.Contains(known, word) {
		c.fail(path, didYouMean(word, known), "%s cannot be %q", path, word)
	}
}

func (c *compiling) events(events []bridge.Trigger) {
	known := make([]string, 0, len(bridge.Triggers()))
	for _, t := range bridge.Triggers() {
		known = append(known, string(t))
	}
	for i, e := range events {
		if !slices.Contains(known, string(e)) {
			c.fail("trigger_when.events."+itoa(i), didYouMean(string(e), known), "there is no event %q", e)
		}
	}
	if len(c.hook.def.TriggerWhen.Conditions) > maxConditions {
		c.fail("trigger_when.conditions", "", "a hook has at most %d conditions", maxConditions)
	}
}

// algorithms that a hook may sign with; SHA-1 is no longer safe for it.
var algorithms = []string{"sha256", "sha512"}

// secret checks what a signed hook needs. The secret itself may be elsewhere.
func (c *compiling) secret() {
	d := c.hook.def
	if !d.RequiresSecret {
		return
	}
	if d.SecretAlgorithm == "" {
		c.fail("secret_algorithm", "", "The secret algorithm field is required when requires secret is true.")
	} else if len(d.SecretAlgorithm) > maxAlgorithm || !slices.Contains(algorithms, d.SecretAlgorithm) {
		c.fail("secret_algorithm", "there are: "+strings.Join(algorithms, ", "), "secret_algorithm cannot be %q", d.SecretAlgorithm)
	}
	switch fault := template.HeaderNameFault(d.SecretHeaderName); {
	case d.SecretHeaderName == "":
		c.fail("secret_header_name", "", "The secret header name field is required when requires secret is true.")
	case len(d.SecretHeaderName) > maxSecretName:
		c.fail("secret_header_name", "", "The secret header name must not be greater than %d characters.", maxSecretName)
	case fault != "":
		c.fail("secret_header_name", "", "%s", fault)
	}
	for i, hd := range d.Settings.RequestHeaders {
		if strings.EqualFold(hd.Name, d.SecretHeaderName) {
			c.fail("settings.request_headers."+itoa(i)+".name", "", "the header %s carries the signature", hd.Name)
		}
	}
	c.hook.signature = &bridge.Header{Name: d.SecretHeaderName, Parts: []bridge.Part{
		{Text: d.SecretAlgorithm + "="},
		{Ref: SignatureRef(d.ID, d.SecretAlgorithm)},
	}}
}

// condition is one of trigger_when.conditions.
type condition struct {
	path     *template.Condition
	name     string
	accepted []string // as text
	orAbsent bool     // null is among the accepted values
}

var memberName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (c *compiling) condition(at string, cond bridge.Condition) {
	parts := strings.Split(cond.Path, ".")
	if cond.Path == "" {
		c.fail(at+".path", "name a value: action.status, run.commit.branch", "The path field is required.")
		return
	}
	if !memberName.MatchString(parts[0]) || slices.Contains(parts, "") {
		c.fail(at+".path", "write it without {{ }}: run.commit.branch", "%q is no path", cond.Path)
		return
	}
	source := parts[0]
	for _, p := range parts[1:] {
		if memberName.MatchString(p) {
			source += "." + p
		} else {
			source += "[" + quoted(p) + "]"
		}
	}
	compiled, ps := template.CompileCondition(source)
	c.under(at+".path", ps)
	out := condition{path: compiled, name: cond.Path}
	switch n := len(cond.AcceptedValues); {
	case n == 0:
		c.fail(at+".accepted_values", "", "accepted_values needs at least one value")
	case n > maxAccepted:
		c.fail(at+".accepted_values", "", "accepted_values has %d values, at most %d are allowed", n, maxAccepted)
	}
	for i, v := range cond.AcceptedValues {
		switch v.(type) {
		case []any, map[string]any:
			c.fail(at+".accepted_values."+itoa(i), "", "an accepted value is a text, a number, true, false or null")
			continue
		}
		text, ok := lang.Text(v)
		if !ok {
			out.orAbsent = true
			continue
		}
		out.accepted = append(out.accepted, text)
	}
	c.hook.conditions = append(c.hook.conditions, out)
}

// pipelineNames are the paths that hold an id of the run's pipeline. Devopness
// has one id for a pipeline; here it has a short one, a canonical name and the
// tool's own, and a condition may be written with any of them.
var pipelineNames = []string{
	"action.triggered_from.hook_parsed_variables.pipeline_id", "action.pipeline.id", "action.pipeline_id",
	"pipeline.id", "pipeline.native_id", "pipeline.canonical", "run.pipeline.id", "run.pipeline.short_id", "run.pipeline.canonical",
}

// holds reports whether c's value is one of the accepted ones, 123 being
// "123". Of a list, one item is enough. missing names what is absent.
func (c condition) holds(env template.Env) (ok bool, missing []string) {
	v, missing := c.path.Value(env)
	var values []any
	switch v := v.(type) {
	case nil:
		return c.orAbsent, missing
	case []any:
		values = v
	default:
		values = []any{v}
	}
	if slices.Contains(pipelineNames, c.name) {
		values = append(values, template.Pipeline(env)...)
	}
	return slices.ContainsFunc(values, func(v any) bool {
		text, ok := lang.Text(v)
		return ok && slices.Contains(c.accepted, text)
	}), nil
}

// quoted returns s as a text of an expression.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
