package hook

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/provider"
	"cibridge/internal/template"
)

// result is what became of one firing for one hook: a delivery if it fires,
// else a reason never to send it, or what is missing; all empty when the hook
// does not want it.
type result struct {
	fires    bool
	delivery bridge.Delivery
	skip     string
	missing  []string
}

// rendering is one hook's request on its way.
type rendering struct {
	h       *Hook
	app     *bridge.Application
	base    string            // what the application's base_url stands for
	profile *provider.Profile // the hook's own, or the one that the URL was recognised as
	env     template.Env
	missing []string

	url     *url.URL
	headers []bridge.Header
	tree    any    // the body's, nil for none
	key     string // of the hook's own supersede_key
	notes   []string
}

func (r *rendering) lacks(names ...string) {
	for _, n := range names {
		if r.app == nil && strings.HasPrefix(n, "application.") && len(r.missing) > 0 {
			continue // the application itself is missing, which says it better
		}
		if n == "hook.context" && len(r.missing) > 0 {
			continue // what the context lacks says it better
		}
		if !slices.Contains(r.missing, n) {
			r.missing = append(r.missing, n)
		}
	}
}

// render makes the request of h for f from the run as it was when f fired.
func (p *planning) render(h *Hook, f bridge.Firing, trigger bridge.Trigger) result {
	r := &rendering{h: h, profile: h.profile}
	if h.readsApplication {
		app, lacks := p.application()
		r.app = app
		if app == nil && h.needsApplication {
			r.lacks(lacks)
		}
	}
	if fault := r.provider(p.set.profiles); fault != "" {
		return result{skip: fault}
	}
	if fault := r.environment(p, f, trigger); fault != "" {
		return result{skip: fault}
	}
	wanted, unsure, err := r.wanted()
	if err != nil {
		return result{skip: err.Error()}
	}
	if !wanted && !unsure {
		return result{}
	}
	if fault := r.request(p, f); fault != "" && wanted {
		return result{skip: fault}
	}
	if len(r.missing) > 0 {
		// What is missing for the request may come with what is missing for
		// the conditions.
		return result{missing: r.missing}
	}
	if !wanted {
		return result{}
	}
	d, fault := r.delivery(p.run, f, trigger)
	if fault != "" {
		return result{skip: fault}
	}
	return result{fires: true, delivery: d}
}

// provider finds out where the application's provider is.
func (r *rendering) provider(profiles *provider.Profiles) (fault string) {
	if r.app == nil {
		return ""
	}
	sp := r.app.SourceProvider
	if r.h.profile != nil && sp.Name != "" && sp.Name != r.h.profile.Name {
		return fmt.Sprintf("the hook is for %s, but application %q is on %s", r.h.profile.Name, r.app.Name, sp.Name)
	}
	named := cmp.Or(r.h.profile, profiles.Get(sp.Name))
	if named == nil {
		named = profiles.For("")
	}
	// In a URL that the hook wrote itself, base_url is what was configured;
	// only a profile completes it.
	address := named.Base
	if r.h.urlOwn {
		address = named.Address
	}
	base, err := address(sp.BaseURL)
	if err != nil && (sp.BaseURL != "" || r.h.url.NeedsBase()) {
		return fmt.Sprintf("application %q: %v", r.app.Name, err)
	}
	r.base = base
	return ""
}

// environment fills the names that templates use.
func (r *rendering) environment(p *planning, f bridge.Firing, trigger bridge.Trigger) (fault string) {
	h := r.h
	of := template.Of{Hook: h.def, Trigger: trigger, Application: r.app, BaseURL: r.base}
	shared := p.env(f)
	var env template.Env // most contexts read nothing
	if len(h.context.Reads()) > 0 {
		env = shared.With(of)
	}
	context, missing, err := h.context.Render(env)
	if err != nil {
		return fmt.Sprintf("its context: %v", err)
	}
	r.lacks(missing...)
	of.Context = cmp.Or(context, DefaultContext)
	if len(missing) > 0 {
		of.Context = ""
	}
	words := r.profile
	if words == nil && r.app != nil {
		words = p.set.profiles.Get(r.app.SourceProvider.Name)
	}
	if words != nil {
		warnings, _ := p.run.Field("warnings")
		word, ok := words.State(f.Status, warnings == true)
		if !ok && h.profile != nil {
			return fmt.Sprintf("%s has no word for the status %q", words.Name, f.Status)
		}
		of.State = word
	}
	r.env = shared.With(of)
	return ""
}

// wanted evaluates conditions and if. unsure reports that the answer may
// become yes when more is known of the run.
func (r *rendering) wanted() (ok, unsure bool, err error) {
	for _, c := range r.h.conditions {
		holds, missing := c.holds(r.env)
		switch {
		case holds:
		case len(missing) > 0:
			unsure = true
			if slices.Contains(pipelineNames, c.name) {
				r.lacks("pipeline.id")
			}
		default:
			return false, false, nil
		}
	}
	if r.h.when != nil {
		holds, missing, err := r.h.when.Holds(r.env)
		switch {
		case err != nil:
			return false, false, fmt.Errorf("its if: %w", err)
		case holds:
		case len(missing) > 0:
			unsure = true
		default:
			return false, false, nil
		}
	}
	return !unsure, unsure, nil
}

// request fills URL, headers and body. It returns why they can never be sent,
// or "".
func (r *rendering) request(p *planning, f bridge.Firing) (fault string) {
	u, missing, err := r.h.url.Render(r.env, r.base)
	if err != nil {
		return fmt.Sprintf("its target_url: %v", err)
	}
	r.lacks(missing...)
	if u != nil {
		r.url = u
		if fault := r.tokenHost(p.set.profiles); fault != "" {
			return fault
		}
		r.recognise(p, f)
	}
	if fault := r.fillHeaders(); fault != "" {
		return fault
	}
	if r.h.key != nil {
		key, missing, err := r.h.key.Render(r.env)
		if err != nil {
			return fmt.Sprintf("its supersede_key: %v", err)
		}
		r.key = key
		r.lacks(missing...)
	}
	r.fillBody()
	return ""
}

// recognise finds the profile of a hook that names none, by its URL.
func (r *rendering) recognise(p *planning, f bridge.Firing) {
	if r.profile != nil {
		return
	}
	name, base := "", ""
	if r.app != nil {
		name, base = r.app.SourceProvider.Name, r.app.SourceProvider.BaseURL
	}
	r.profile = p.set.profiles.Recognise(r.h.def.Method, r.url, name, base)
	if _, known := r.env["state"]; r.profile != nil && !known {
		warnings, _ := p.run.Field("warnings")
		if word, ok := r.profile.State(f.Status, warnings == true); ok {
			r.env["state"] = word
		}
	}
}

// tokenHost refuses to send the application's token anywhere but to the
// application's own host.
func (r *rendering) tokenHost(profiles *provider.Profiles) (fault string) {
	if !r.h.sendsToken || r.app == nil {
		return ""
	}
	sp := r.app.SourceProvider
	own := []string{}
	for _, base := range []string{sp.BaseURL, r.completed(profiles, sp)} {
		if b, err := url.Parse(base); err == nil && b.Host != "" {
			own = append(own, provider.Origin(b))
		}
	}
	target := provider.Origin(r.url)
	if slices.Contains(own, target) {
		return ""
	}
	if len(own) == 0 {
		return fmt.Sprintf("the access token of application %q is for no host: set base_url of its source provider; the hook calls %s", r.app.Name, target)
	}
	return fmt.Sprintf("the access token of application %q is for %s only; the hook calls %s", r.app.Name, own[len(own)-1], target)
}

func (r *rendering) completed(profiles *provider.Profiles, sp bridge.SourceProvider) string {
	named := profiles.Get(sp.Name)
	if named == nil && sp.Name == "" {
		named = r.h.profile
	}
	if named == nil {
		return ""
	}
	base, err := named.Base(sp.BaseURL)
	if err != nil {
		return ""
	}
	return base
}

func (r *rendering) fillHeaders() (fault string) {
	ref, size := "", 0
	if r.app != nil {
		ref = TokenRef(r.app.ID)
	}
	for _, t := range r.h.headers {
		hd, missing, err := t.Render(r.env, ref)
		if err != nil {
			return err.Error()
		}
		r.lacks(missing...)
		size += len(hd.Name)
		for _, part := range hd.Parts {
			size += len(part.Text)
		}
		r.headers = append(r.headers, hd)
	}
	if size > template.MaxHeader {
		return fmt.Sprintf("its headers have %d bytes, at most %d are sent", size, template.MaxHeader)
	}
	if r.h.signature != nil {
		r.headers = append(r.headers, *r.h.signature)
	}
	return ""
}

// fillBody fills the body and applies the profile's limits. A value that tells
// apart which status is written must not be missing: without it the request
// would write another one.
func (r *rendering) fillBody() {
	if r.h.body == nil {
		return
	}
	tree, gaps := r.h.body.Render(r.env)
	r.tree = tree
	keys := r.keyFields()
	for _, g := range gaps {
		if len(g.Missing) > 0 && slices.Contains(keys, g.Path) {
			r.lacks(g.Missing...)
			continue
		}
		r.notes = append(r.notes, g.String())
	}
	if m, ok := tree.(map[string]any); ok && r.profile != nil {
		r.notes = append(r.notes, limit(m, r.profile.Limits)...)
	}
}

func (r *rendering) keyFields() []string {
	if r.h.key != nil || r.profile == nil {
		return nil
	}
	var out []string
	for _, k := range r.profile.Key {
		out = append(out, k.FirstOf...)
	}
	return out
}

// limit cuts or drops the members of body that are too long, and says so.
func limit(body map[string]any, limits []provider.Limit) (notes []string) {
	for _, l := range limits {
		text, ok := body[l.Field].(string)
		n := utf8.RuneCountInString(text)
		switch {
		case !ok || n <= l.Max:
		case l.Drop:
			delete(body, l.Field)
			notes = append(notes, fmt.Sprintf("%s left out: it has %d characters, at most %d are accepted", l.Field, n, l.Max))
		default:
			body[l.Field] = string([]rune(text)[:l.Max-1]) + "…"
			notes = append(notes, fmt.Sprintf("%s cut to %d of %d characters", l.Field, l.Max, n))
		}
	}
	return notes
}

// delivery puts the finished request together.
func (r *rendering) delivery(run *bridge.Run, f bridge.Firing, trigger bridge.Trigger) (d bridge.Delivery, fault string) {
	body, fault := r.encode()
	if fault != "" {
		return bridge.Delivery{}, fault
	}
	h := r.h.def
	d = bridge.Delivery{
		ID: bridge.DeliveryID(run.ID, h.ID, f), Hook: h.ID, Run: run.ID, Pipeline: run.PipelineID(), Firing: f, Trigger: trigger,
		Method: h.Method, URL: r.url.String(), Headers: r.headers, Body: body, Notes: r.notes,
		DeliveredWhen: h.DeliveredWhen, TimeoutMS: h.TimeoutMS,
	}
	if r.profile != nil {
		d.Profile = r.profile.Name
	}
	key, keyed := r.resource()
	d.Lane = laneName("hook", h.ID, run.ID)
	d.Ordering = cmp.Or(h.Ordering, bridge.Every)
	if keyed {
		d.Lane = laneName(append([]string{"resource", r.laneURL()}, key...)...)
		d.Ordering = bridge.Latest
		if r.profile != nil {
			d.Ordering = r.profile.Ordering
		}
		d.Ordering = cmp.Or(h.Ordering, d.Ordering)
	}
	d.Bucket = provider.Origin(r.url) + "|hook:" + h.ID
	if r.h.sendsToken {
		d.Bucket = provider.Origin(r.url) + "|application:" + r.app.ID
	}
	return d, ""
}

func (r *rendering) encode() (body, fault string) {
	if r.tree == nil {
		return "", ""
	}
	if text, ok := r.tree.(string); ok && r.h.body.Text() {
		body = text
		if !slices.ContainsFunc(r.headers, func(hd bridge.Header) bool { return strings.EqualFold(hd.Name, "Content-Type") }) {
			r.headers = append(r.headers, bridge.Header{Name: "Content-Type", Parts: []bridge.Part{{Text: "text/plain; charset=utf-8"}}})
		}
	} else {
		raw, err := template.EncodeJSON(r.tree)
		if err != nil {
			return "", fmt.Sprintf("its body cannot be written as JSON: %v", err)
		}
		body = string(raw)
	}
	if len(body) > template.MaxBody {
		return "", fmt.Sprintf("its body has %d bytes, at most %d are sent", len(body), template.MaxBody)
	}
	return body, ""
}

// resource returns what tells apart the resources of r's URL. keyed is false
// when nobody knows what the request writes.
func (r *rendering) resource() (key []string, keyed bool) {
	if r.h.key != nil {
		return []string{r.key}, true
	}
	if r.profile == nil {
		return nil, false
	}
	body, _ := r.tree.(map[string]any)
	query := r.url.Query()
	for _, part := range r.profile.Key {
		value := part.Default
		for _, name := range part.FirstOf {
			text, _ := lang.Text(body[name])
			if text = cmp.Or(text, query.Get(name)); text != "" {
				value = text
				break
			}
		}
		if part.Fold {
			value = strings.ToLower(value)
		}
		key = append(key, value)
	}
	return key, true
}

// laneURL names the resource's URL so that two spellings of it are one. What a
// profile's provider takes as query parameters is part of the key instead.
func (r *rendering) laneURL() string {
	s := provider.Origin(r.url) + strings.TrimRight(r.url.EscapedPath(), "/")
	if r.profile == nil {
		if r.url.RawQuery != "" {
			s += "?" + r.url.RawQuery
		}
		return s
	}
	if r.profile.FoldURL {
		s = strings.ToLower(s)
	}
	return s
}

// laneName names a lane: 128 bits of SHA-256 over length-prefixed parts.
func laneName(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)) + ":" + p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
