package mapping

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// maxText is the longest text of a field, in bytes; maxItems the most items of
// a list.
const (
	maxText  = 16 << 10
	maxItems = 1000
)

// field is a compiled field of a run or an item.
type field struct {
	name  string
	kind  bridge.Kind
	value *value
}

// set evaluates f and puts it into out, unless it is absent. A fault is a
// warning; it is returned only for a value that is required.
func (f field) set(s *state, w where, out map[string]any) *fault {
	x, fault := f.value.eval(s, w)
	if fault != nil {
		if f.value.required {
			return fault
		}
		s.warn(fault.Error())
		return nil
	}
	if x == nil {
		return nil
	}
	c := coercion{s: s, v: f.value}
	v, problem := c.to(f.kind, x)
	if problem != "" {
		fault := f.value.fault(CodeRequired, "%s", problem)
		if f.value.required {
			return fault
		}
		s.warn(fault.Error())
		return nil
	}
	if v != nil {
		out[f.name] = v
	}
	return nil
}

// coercion gives a value the kind of its field.
type coercion struct {
	s *state
	v *value
}

// to returns x as the Go type that bridge.Kind names, nil when it is absent.
// problem says why x does not fit.
func (c coercion) to(kind bridge.Kind, x any) (v any, problem string) {
	switch kind {
	case bridge.Text:
		return c.text(x)
	case bridge.Number:
		return c.number(x)
	case bridge.Flag:
		return truth(x)
	case bridge.Time:
		return c.time(x)
	case bridge.Duration:
		return duration(x, c.v.unit)
	case bridge.Map:
		if m, ok := full(x).(map[string]any); ok {
			return c.capped(m), ""
		}
		return nil, describe(x) + " is not an object"
	case bridge.List:
		if l, ok := full(x).([]any); ok {
			return c.capped(l), ""
		}
		return nil, describe(x) + " is not a list"
	}
	if text, ok := full(x).(string); ok {
		return c.text(text)
	}
	return c.capped(full(x)), ""
}

// full returns x with all items of its lists.
func full(x any) any {
	if d, ok := x.(*lang.Doc); ok {
		return d.Full()
	}
	return x
}

// text returns a text; an empty one says nothing and is absent.
func (c coercion) text(x any) (any, string) {
	text, ok := scalar(x)
	switch {
	case !ok:
		return nil, describe(x) + " is not text"
	case text == "":
		return nil, ""
	}
	return c.cutAny(x, text), ""
}

// cutAny is cut for a text that comes from x. It returns x itself where it can:
// a string that becomes an any is an allocation, and there are many.
func (c coercion) cutAny(x any, text string) any {
	cut := c.s.own(c.cut(text))
	if _, ok := x.(string); ok && !c.s.copies() && len(cut) == len(text) && cut == text {
		return x
	}
	return cut
}

// ownAbove is the size of a body from which on its texts are copied. They lie
// in the body, and a run that keeps one of them would keep all of it.
const ownAbove = 16 << 10

func (s *state) copies() bool { return len(s.in.Request.Body) > ownAbove }

// own returns a text that may be kept.
func (s *state) own(text string) string {
	if s.copies() {
		return strings.Clone(text)
	}
	return text
}

func (c coercion) cut(text string) string {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	if len(text) <= maxText {
		return text
	}
	c.s.warn(c.v.fault("", "cut to %d of %d bytes", maxText, len(text)).Error())
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// capped cuts the texts and lists in v.
func (c coercion) capped(v any) any {
	switch x := v.(type) {
	case string:
		return c.cutAny(v, x)
	case map[string]any:
		if c.s.copies() {
			return c.copied(x)
		}
		for k := range x {
			x[k] = c.capped(x[k])
		}
	case []any:
		if len(x) > maxItems {
			c.s.warn(c.v.fault("", "cut to %d of %d items", maxItems, len(x)).Error())
			x = x[:maxItems]
			v = x
		}
		for i := range x {
			x[i] = c.capped(x[i])
		}
	}
	return v
}

// copied is capped for an object whose names are not to be kept.
func (c coercion) copied(x map[string]any) map[string]any {
	out := make(map[string]any, len(x))
	for k, v := range x {
		out[strings.Clone(k)] = c.capped(v)
	}
	return out
}

// number returns an int64 for a whole number, in figures or as text; another
// number or text stays text.
func (c coercion) number(x any) (any, string) {
	switch p := plain(x); p.(type) {
	case int64:
		return p, ""
	case bool, map[string]any, []any:
		return nil, describe(x) + " is not a number"
	}
	text, _ := scalar(x)
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, ""
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && text[0] != '+' && (text[0] != '0' || text == "0") {
		return n, ""
	}
	return c.s.own(c.cut(text)), ""
}

func truth(x any) (any, string) {
	switch text, _ := scalar(x); strings.ToLower(text) {
	case "true":
		return true, ""
	case "false":
		return false, ""
	case "":
		return nil, ""
	}
	return nil, describe(x) + " is neither true nor false"
}

func (c coercion) time(x any) (any, string) {
	var ms int64
	var ok bool
	var err error
	if text, is := textOf(x); is {
		ms, ok, err = c.s.m.times.ParseText(text)
	} else {
		ms, ok, err = c.s.m.times.Parse(plain(x))
	}
	switch {
	case err != nil:
		return nil, err.Error()
	case !ok:
		return nil, ""
	}
	return sameInt(x, ms), ""
}

// textOf returns a text that needs no new any: that of a string or of a Doc.
func textOf(x any) (string, bool) {
	switch x := x.(type) {
	case string:
		return x, true
	case *lang.Doc:
		return x.Text()
	}
	return "", false
}

// sameInt returns n as an any; x itself when it is that, since a new one is an
// allocation.
func sameInt(x any, n int64) any {
	if was, ok := x.(int64); ok && was == n {
		return x
	}
	return n
}

// longest is the longest duration that is believed, in ms: ten years.
const longest = 10 * 365 * 24 * 3600 * 1000

// duration returns milliseconds. unit is in nanoseconds, 0 stands for ms.
func duration(x any, unit int64) (any, string) {
	if unit == 0 {
		unit = 1e6
	}
	var ms float64
	x = plain(x)
	switch p := x.(type) {
	case int64:
		ms = float64(p) * float64(unit) / 1e6
	case float64:
		ms = p * float64(unit) / 1e6
	case string:
		text := strings.TrimSpace(p)
		if text == "" {
			return nil, ""
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			ms = f * float64(unit) / 1e6
		} else if d, ok := clock(text); ok {
			ms = float64(d) / 1e6
		} else {
			return nil, describe(x) + " is not a duration"
		}
	default:
		return nil, describe(x) + " is not a duration"
	}
	switch {
	case math.IsNaN(ms) || ms > longest:
		return nil, describe(x) + " is longer than ten years"
	case ms < 0:
		return nil, describe(x) + " is negative"
	}
	return sameInt(x, int64(math.Round(ms))), ""
}

// clock reads "1m30s" and "[d.]hh:mm:ss[.fff]".
func clock(text string) (time.Duration, bool) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, true
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return 0, false
	}
	days := 0.0
	if d, h, ok := strings.Cut(parts[0], "."); ok {
		f, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			return 0, false
		}
		days, parts[0] = float64(f), h
	}
	h, err1 := strconv.ParseUint(parts[0], 10, 16)
	m, err2 := strconv.ParseUint(parts[1], 10, 8)
	sec, err3 := strconv.ParseFloat(parts[2], 64)
	if err1 != nil || err2 != nil || err3 != nil || m > 59 || sec < 0 || sec >= 60 {
		return 0, false
	}
	return time.Duration((((days*24+float64(h))*60+float64(m))*60 + sec) * float64(time.Second)), true
}

// complete fills in what follows from other fields and drops what cannot be:
// the parts of repo.url, a sha that is none.
func (s *state) complete(out map[string]any, e *event) {
	if sha, ok := out["commit.sha"].(string); ok {
		if isSHA(sha) {
			out["commit.sha"] = strings.ToLower(sha)
		} else {
			delete(out, "commit.sha")
			for _, f := range e.fields {
				if f.name == "commit.sha" {
					s.warn(f.value.fault("", "%s is not a commit sha: it needs 7 to 64 hex digits", quote(clip(sha, 60))).Error())
				}
			}
		}
	}
	if address, ok := out["repo.url"].(string); ok {
		out["repo.url"] = withoutCredentials(address)
		if r, ok := lang.ParseRepo(address); ok {
			out["repo.url"] = r.URL // the page, whatever the spelling
			setDefault(out, "repo.host", r.Host)
			if out["repo.full_name"] == nil && out["repo.owner"] == nil && out["repo.name"] == nil {
				setDefault(out, "repo.full_name", r.FullName)
			}
		}
	}
	name, _ := out["repo.full_name"].(string)
	owner, _ := out["repo.owner"].(string)
	short, _ := out["repo.name"].(string)
	if i := strings.LastIndexByte(name, '/'); i > 0 && i < len(name)-1 {
		setDefault(out, "repo.owner", name[:i])
		setDefault(out, "repo.name", name[i+1:])
	} else if name != "" {
		setDefault(out, "repo.name", name)
	} else if owner != "" && short != "" {
		out["repo.full_name"] = owner + "/" + short
	}
}

// withoutCredentials drops user and password from an address. The user of an
// ssh address is part of it.
func withoutCredentials(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		return address
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	i := strings.LastIndexByte(authority, '@')
	if i < 0 {
		return address
	}
	user := ""
	if name, _, secret := strings.Cut(authority[:i], ":"); strings.Contains(scheme, "ssh") && (!secret || name == "git") {
		user = name + "@"
	}
	return scheme + "://" + user + authority[i+1:] + path
}

func setDefault(out map[string]any, name, v string) {
	if out[name] == nil && v != "" {
		out[name] = v
	}
}

func isSHA(s string) bool {
	if len(s) < 7 || len(s) > 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
