package lang

import (
	"regexp"
	"slices"
	"strings"
)

// function is a function of the language.
type function struct {
	usage    string // shown when a call is wrong
	min, max int    // arguments; max -1: any number
	regex    bool   // the second argument is a constant pattern
	shape    Shape  // of the result
	run      operation
}

var repoShape = Object(map[string]Shape{"url": Leaf(), "host": Leaf(), "owner": Leaf(), "name": Leaf(), "full_name": Leaf()})

// functions are all functions besides the predicates. Where nothing else is
// said an absent first argument makes the result absent.
var functions = map[string]*function{
	"len":          {usage: "len(x)", min: 1, max: 1, run: fnLen},
	"lower":        {usage: "lower(text)", min: 1, max: 1, run: onText("lower", strings.ToLower)},
	"upper":        {usage: "upper(text)", min: 1, max: 1, run: onText("upper", strings.ToUpper)},
	"trim":         {usage: `trim(text) or trim(text, "characters")`, min: 1, max: 2, run: fnTrim},
	"trimPrefix":   {usage: `trimPrefix(text, "start")`, min: 2, max: 2, run: onTexts("trimPrefix", strings.TrimPrefix)},
	"trimSuffix":   {usage: `trimSuffix(text, "end")`, min: 2, max: 2, run: onTexts("trimSuffix", strings.TrimSuffix)},
	"hasPrefix":    {usage: `hasPrefix(text, "start")`, min: 2, max: 2, run: textTest("hasPrefix", strings.HasPrefix)},
	"hasSuffix":    {usage: `hasSuffix(text, "end")`, min: 2, max: 2, run: textTest("hasSuffix", strings.HasSuffix)},
	"split":        {usage: `split(text, ",")`, min: 2, max: 2, run: fnSplit},
	"join":         {usage: `join(list, ", ")`, min: 1, max: 2, run: fnJoin},
	"replace":      {usage: `replace(text, "old", "new")`, min: 3, max: 3, run: fnReplace},
	"indexOf":      {usage: `indexOf(text, "part")`, min: 2, max: 2, run: fnIndexOf},
	"truncate":     {usage: "truncate(text, 140)", min: 2, max: 2, run: fnTruncate},
	"regex":        {usage: `regex(text, "pattern")`, min: 2, max: 3, regex: true, run: fnRegex},
	"strip_ref":    {usage: "strip_ref(ref)", min: 1, max: 1, run: onText("strip_ref", stripRef)},
	"is_tag":       {usage: "is_tag(ref)", min: 1, max: 1, run: fnIsTag},
	"last_segment": {usage: `last_segment(text) or last_segment(text, ":")`, min: 1, max: 2, run: fnLastSegment},
	"urlquery":     {usage: "urlquery(text)", min: 1, max: 1, run: fnURLQuery},
	"string":       {usage: "string(x)", min: 1, max: 1, run: fnString},
	"int":          {usage: "int(x)", min: 1, max: 1, run: fnInt},
	"float":        {usage: "float(x)", min: 1, max: 1, run: fnFloat},
	"coalesce":     {usage: "coalesce(a, b, …)", min: 1, max: -1, run: fnCoalesce},
	"default":      {usage: "default(x, value) or x | default(value)", min: 2, max: 2, run: fnCoalesce},
	"first":        {usage: "first(list)", min: 1, max: 1, run: nth("first", 0)},
	"last":         {usage: "last(list)", min: 1, max: 1, run: nth("last", -1)},
	"min":          {usage: "min(list) or min(a, b, …)", min: 1, max: -1, run: extreme("min", func(c int) bool { return c < 0 })},
	"max":          {usage: "max(list) or max(a, b, …)", min: 1, max: -1, run: extreme("max", func(c int) bool { return c > 0 })},
	"sort":         {usage: "sort(list)", min: 1, max: 1, run: fnSort},
	"reverse":      {usage: "reverse(list)", min: 1, max: 1, run: fnReverse},
	"uniq":         {usage: "uniq(list)", min: 1, max: 1, run: fnUniq},
	"concat":       {usage: "concat(list, list, …)", min: 1, max: -1, run: fnConcat},
	"keys":         {usage: "keys(object)", min: 1, max: 1, run: fnKeys},
	"toPairs":      {usage: "toPairs(object)", min: 1, max: 1, run: fnToPairs},
	"fromPairs":    {usage: "fromPairs(map(list, [.name, .value]))", min: 1, max: 1, run: fnFromPairs},
	"ms":           {usage: "ms(time)", min: 1, max: 1, run: fnMS},
	"unix":         {usage: "unix(time)", min: 1, max: 1, run: fnUnix},
	"iso":          {usage: "iso(time)", min: 1, max: 1, run: fnISO},
	"human_time":   {usage: "human_time(milliseconds)", min: 1, max: 1, run: fnHumanTime},
	"repo":         {usage: "repo(url)", min: 1, max: 1, shape: repoShape, run: fnRepo},
	"sha1":         {usage: "sha1(text)", min: 1, max: 1, run: fnSHA1},
	"uuid":         {usage: "uuid(text)", min: 1, max: 1, run: fnUUID},
	"sha256":       {usage: "sha256(text)", min: 1, max: 1, run: fnSHA256},
	"hmac_sha256":  {usage: "hmac_sha256(key, text)", min: 2, max: 2, run: fnHMAC},
	"omit":         {usage: "omit()", min: 0, max: 0, run: func(*run, []any) (any, error) { return Omit, nil }},
}

// Functions lists the names of all functions, sorted, for completion and
// documentation.
func Functions() []string {
	var names []string
	for name := range functions {
		names = append(names, name)
	}
	for name := range predicates {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Usage returns how a function is called, "" when there is none of that name.
func Usage(name string) string {
	if f := functions[name]; f != nil {
		return f.usage
	}
	return predicates[name]
}

func regexpError(err error) string {
	return "this is not a regular expression: " + strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error parsing regexp: "), "regexp: ")
}

// textArg returns v as text; present is false when it is absent. Numbers count
// as text: tools write an id as either.
func (r *run) textArg(name string, v any) (s string, present bool, err error) {
	v = norm(v)
	if v == nil {
		return "", false, nil
	}
	s, ok := scalarText(v)
	if !ok {
		return "", false, faultf("%s needs a text, not %s", name, describe(v))
	}
	return s, true, r.spend(len(s))
}

// listArg returns v as a list; present is false when it is absent.
func (r *run) listArg(name string, v any) (list []any, present bool, err error) {
	v = norm(v)
	if v == nil {
		return nil, false, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, false, faultf("%s needs a list, not %s", name, describe(v))
	}
	if len(list) > maxItems {
		r.truncated = true
		list = list[:maxItems]
	}
	return list, true, r.spend(len(list))
}

// onText makes a function of one text.
func onText(name string, f func(string) string) operation {
	return func(r *run, a []any) (any, error) {
		s, ok, err := r.textArg(name, a[0])
		if !ok || err != nil {
			return nil, err
		}
		out := f(s)
		if was, ok := a[0].(string); ok && was == out {
			return a[0], r.made(len(out)) // no new any for it
		}
		return out, r.made(len(out))
	}
}

// onTexts makes a function of two texts; when the second is absent the first
// is returned.
func onTexts(name string, f func(s, t string) string) operation {
	return func(r *run, a []any) (any, error) {
		s, ok, err := r.textArg(name, a[0])
		if !ok || err != nil {
			return nil, err
		}
		t, ok, err := r.textArg(name, a[1])
		if !ok || err != nil {
			return s, err
		}
		return f(s, t), nil
	}
}

func fnTrim(r *run, a []any) (any, error) {
	if len(a) == 1 {
		return onText("trim", strings.TrimSpace)(r, a)
	}
	return onTexts("trim", strings.Trim)(r, a)
}

var refPrefixes = []string{"refs/heads/", "refs/tags/", "refs/remotes/origin/", "origin/"}

// stripRef returns the branch or tag name of a git ref.
func stripRef(ref string) string {
	for _, p := range refPrefixes {
		if s, ok := strings.CutPrefix(ref, p); ok {
			return s
		}
	}
	return ref
}

func fnRegex(r *run, a []any) (any, error) {
	s, ok, err := r.textArg("regex", a[0])
	if !ok || err != nil {
		return nil, err
	}
	re, err := r.search("regex", s, a[1])
	if err != nil {
		return nil, err
	}
	group := min(1, re.NumSubexp())
	if len(a) == 3 {
		if group, err = regexGroup(re, norm(a[2])); err != nil {
			return nil, err
		}
	}
	m := re.FindStringSubmatchIndex(s)
	if m == nil || m[2*group] < 0 {
		return nil, nil
	}
	return s[m[2*group]:m[2*group+1]], nil
}

func regexGroup(re *regexp.Regexp, v any) (int, error) {
	switch v := v.(type) {
	case int64:
		if v >= 0 && v <= int64(re.NumSubexp()) {
			return int(v), nil
		}
	case string:
		if i := re.SubexpIndex(v); i > 0 {
			return i, nil
		}
	}
	return 0, faultf("the pattern has no group %s; it has %d", describe(v), re.NumSubexp())
}
