package redact

import "net/url"

// Value returns a decoded JSON value without its secrets. name is where it
// stands: what has a secret name is secret. v is not changed; what has nothing
// secret in it is returned as it is.
func (r *Redactor) Value(name string, v any) (redacted any, found int) {
	switch v := v.(type) {
	case string:
		if v == "" {
			return v, 0
		}
		if r.Names && Name(name) {
			return Stars, 1
		}
		return r.Text(v)
	case map[string]any:
		return r.members(v)
	case []any:
		return r.items(name, v)
	case bool, nil:
		return v, 0
	}
	if r.Names && Name(name) {
		return Stars, 1
	}
	return v, 0
}

func (r *Redactor) members(m map[string]any) (any, int) {
	var out map[string]any
	found := 0
	for name, v := range m {
		shown, n := r.Value(name, v)
		if n == 0 {
			continue
		}
		if out == nil {
			out = make(map[string]any, len(m))
			for k, v := range m {
				out[k] = v
			}
		}
		out[name] = shown
		found += n
	}
	if out == nil {
		return m, 0
	}
	return out, found
}

func (r *Redactor) items(name string, list []any) (any, int) {
	var out []any
	found := 0
	for i, v := range list {
		shown, n := r.Value(name, v)
		if n == 0 {
			continue
		}
		if out == nil {
			out = append(out, list...)
		}
		out[i] = shown
		found += n
	}
	if out == nil {
		return list, 0
	}
	return out, found
}

// Pairs returns headers, parameters or variables without their secrets, and
// how many were taken out.
func (r *Redactor) Pairs(pairs map[string]string) (redacted map[string]string, found int) {
	redacted = make(map[string]string, len(pairs))
	for name, v := range pairs {
		shown, n := v, 0
		switch {
		case v == "":
		case r.Names && Name(name):
			shown, n = Stars, 1
		default:
			shown, n = r.Text(v)
		}
		redacted[name] = shown
		found += n
	}
	return redacted, found
}

// URL returns a URL without its credentials and without the values of
// parameters whose names are secret.
func (r *Redactor) URL(rawURL string) string {
	strict := *r
	strict.Names, strict.Prose = true, false
	out, _ := strict.Text(rawURL)
	if u, err := url.PathUnescape(out); err == nil && u != out {
		// A name that is written with escapes: ?acc%65ss_token=.
		if shown, n := strict.Text(u); n > 0 {
			return shown
		}
	}
	return out
}
