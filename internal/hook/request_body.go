package hook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/template"
)

// fillBody fills the body and applies the profile's limits. A value that tells
// apart which status is written must not be missing: without it the request
// would write another one.
func (r *rendering) fillBody() {
	if r.part.body == nil {
		return
	}
	tree, gaps := r.part.body.Render(r.env)
	r.tree = tree
	body, _ := tree.(map[string]any)
	insisted := r.insisted(body)
	keys := r.keyFields()
	for _, g := range gaps {
		switch {
		case len(g.Missing) > 0 && slices.Contains(keys, g.Path):
			r.lacks(g.Missing...)
		case insisted[g.Path] == nil:
			r.notes = append(r.notes, g.String())
		}
	}
	if body == nil || r.profile == nil {
		return
	}
	maps.Copy(body, insisted)
	r.notes = append(r.notes, r.profile.Fit(body)...)
	if more := r.insisted(body); len(more) > 0 { // what did not fit was left out
		maps.Copy(body, more)
		r.notes = append(r.notes, r.profile.Fit(body)...)
	}
}

// insisted returns the members that body lacks and the profile insists on.
func (r *rendering) insisted(body map[string]any) map[string]any {
	if r.h.otherwise == nil || body == nil {
		return nil
	}
	tree, _ := r.h.otherwise.Render(r.env)
	members, _ := tree.(map[string]any)
	maps.DeleteFunc(members, func(name string, _ any) bool { v, there := body[name]; return there && v != nil && v != "" })
	return members
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

func (r *rendering) encode() (body, fault string) {
	if r.tree == nil {
		return "", ""
	}
	if text, ok := r.tree.(string); ok && r.part.body.Text() {
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
