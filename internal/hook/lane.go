package hook

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cibridge/internal/lang"
	"cibridge/internal/provider"
)

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
			if text := cmp.Or(keyText(body, name, part.Names), query.Get(name)); text != "" {
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

// keyText returns the value of a field of body as text, or the names of its
// members.
func keyText(body map[string]any, field string, names bool) string {
	v := provider.Lookup(body, field)
	if m, ok := v.(map[string]any); ok && names {
		return strings.Join(slices.Sorted(maps.Keys(m)), ",")
	}
	text, _ := lang.Text(v)
	return text
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
