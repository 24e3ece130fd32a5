package hook

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"cibridge/bridge"
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
	part    *part
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

// render makes one request of h for f from the run as it was when f fired.
func (p *planning) render(h *Hook, part *part, f bridge.Firing, trigger bridge.Trigger) result {
	r := &rendering{h: h, part: part, profile: h.profile}
	if part.states != nil && !slices.Contains(part.states, f.Status) {
		return result{}
	}
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
	if say, err := r.refused(); err != nil || say != "" {
		return result{skip: cmp.Or(say, fmt.Sprint(err))}
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

// refused evaluates the profile's own conditions: say is why nothing is sent.
func (r *rendering) refused() (say string, err error) {
	for _, refuse := range r.h.refuse {
		holds, _, err := refuse.when.Holds(r.env)
		if err != nil {
			return "", fmt.Errorf("the profile: %w", err)
		}
		if holds {
			return refuse.say, nil
		}
	}
	return "", nil
}

// wanted evaluates conditions and if. unsure reports that the answer may
// become yes when more is known of the run.
func (r *rendering) wanted() (ok, unsure bool, err error) {
	if r.part.when != nil {
		// What it reads is in the body, where an absent value is no reason to
		// wait.
		if holds, _, err := r.part.when.Holds(r.env); err != nil || !holds {
			return false, false, err
		}
	}
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

// delivery puts the finished request together.
func (r *rendering) delivery(run *bridge.Run, f bridge.Firing, trigger bridge.Trigger) (d bridge.Delivery, fault string) {
	body, fault := r.encode()
	if fault != "" {
		return bridge.Delivery{}, fault
	}
	h := r.h.def
	d = bridge.Delivery{
		ID: r.deliveryID(run, f), Hook: h.ID, Run: run.ID, Pipeline: run.PipelineID(), Firing: f, Trigger: trigger,
		Method: h.Method, URL: r.url.String(), Headers: r.headers, Body: body, Notes: r.notes,
		DeliveredWhen: h.DeliveredWhen, TimeoutMS: h.TimeoutMS,
	}
	if r.profile != nil {
		d.Profile = r.profile.Name
		d.TimeoutMS = cmp.Or(d.TimeoutMS, r.profile.Timeout.Milliseconds())
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

// deliveryID derives the id of this request. What is sent once for an attempt
// has the same id whichever change asks for it, and an id is planned once.
func (r *rendering) deliveryID(run *bridge.Run, f bridge.Firing) string {
	if r.part.name == "" {
		return bridge.DeliveryID(run.ID, r.h.def.ID, f)
	}
	if r.part.once {
		f = bridge.Firing{Attempt: f.Attempt}
	}
	return bridge.DeliveryID(run.ID, r.h.def.ID+"#"+r.part.name, f)
}
