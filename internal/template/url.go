package template

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cibridge/internal/diag"
	"cibridge/internal/lang"
)

// URL is the template of a target URL.
type URL struct {
	origin   string // "https://host:port"; "" when the URL begins with the application's base
	segments []part // of the path, after its leading "/"
	query    []param
}

// part is a segment of the path or a value of the query.
type part []urlPiece

type urlPiece struct {
	piece
	// slashes lets the value have several segments, its "/" sent as %2F: the
	// placeholder ended in "| urlquery()".
	slashes bool
}

type param struct {
	key   string // as it is written
	value part
	bare  bool // without "="
}

// escapedAlready is the filter that escapes for a URL. Escaping depends on the
// place, so the place does it: the filter only says that "/" is meant.
var escapedAlready = regexp.MustCompile(`\|\s*urlquery\s*\(\s*\)$`)

// urlPieces parses src, taking a last urlquery() off each placeholder.
func urlPieces(src string) ([]urlPiece, diag.Problems) {
	pieces, problems := parse(src, place{})
	out := make([]urlPiece, len(pieces))
	for i, p := range pieces {
		out[i] = urlPiece{piece: p}
		if p.expr == nil || !escapedAlready.MatchString(p.source) {
			continue
		}
		bare, ps := placeholder(escapedAlready.ReplaceAllString(p.source, ""), place{}, p.line, p.col)
		problems = append(problems, ps...)
		out[i] = urlPiece{bare, true}
	}
	return out, problems
}

// urlProblem is a problem with a literal part of a URL.
func urlProblem(message, help string) diag.Problem {
	return diag.Problem{Line: 1, Col: 1, Code: CodeURL, Message: message, Help: help, Severity: diag.SeverityError}
}

// CompileURL compiles the template of a URL. Scheme and host must be written
// out, or be {{ application.source_provider.base_url }} at the very start.
func CompileURL(src string) (*URL, diag.Problems) {
	src = strings.TrimSpace(src)
	pieces, problems := urlPieces(src)
	if len(problems) > 0 {
		return nil, problems
	}
	if len(pieces) == 0 {
		return nil, diag.Problems{urlProblem("the URL is empty", "write https:// and a host")}
	}
	u := &URL{}
	rest, p := u.compileOrigin(pieces)
	if p != nil {
		return nil, diag.Problems{*p}
	}
	if problems = u.compileRest(rest); len(problems) > 0 {
		return nil, problems
	}
	if len(src) > MaxURL {
		return nil, diag.Problems{{Line: 1, Col: 1, Code: CodeSize, Message: fmt.Sprintf("the URL has %d bytes, at most %d are allowed", len(src), MaxURL), Severity: diag.SeverityError}}
	}
	return u, nil
}

// compileOrigin takes scheme and host off pieces.
func (u *URL) compileOrigin(pieces []urlPiece) ([]urlPiece, *diag.Problem) {
	fail := func(message, help string) ([]urlPiece, *diag.Problem) {
		p := urlProblem(message, help)
		return nil, &p
	}
	first := pieces[0]
	if !first.literal() {
		if first.source != baseName {
			return fail("a URL cannot begin with {{ "+first.source+" }}: the host of a request never comes from an event", "write the host out, or begin with {{ "+baseName+" }}")
		}
		if len(pieces) > 1 && (!pieces[1].literal() || !strings.ContainsAny(pieces[1].text[:1], "/?")) {
			return fail("{{ "+baseName+" }} must be followed by /", "write {{ "+baseName+" }}/path")
		}
		return pieces[1:], nil
	}
	scheme, after, ok := strings.Cut(first.text, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "https" && scheme != "http" {
		return fail(fmt.Sprintf("%q does not begin with https:// or http://", cut(first.text)), "write scheme and host out: https://api.github.com/…")
	}
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		if len(pieces) > 1 {
			return fail("{{ "+pieces[1].source+" }} would be part of the host: a host never comes from an event", "write the host out and put a / before the placeholder")
		}
		end = len(after)
	}
	host := after[:end]
	parsed, err := url.Parse(scheme + "://" + host)
	switch {
	case strings.Contains(host, "@"):
		return fail("the URL holds a credential", "send it in a header instead; what is in a URL ends up in logs")
	case err != nil || parsed.Host == "" || parsed.Hostname() == "" || !plainHost.MatchString(host):
		return fail(fmt.Sprintf("%q is no host", cut(host)), "write it like api.github.com or 10.0.0.7:8080")
	}
	u.origin = scheme + "://" + strings.ToLower(host)
	first.text = after[end:]
	rest := slices.Clone(pieces)
	rest[0] = first
	if first.text == "" {
		rest = rest[1:]
	}
	return rest, nil
}

var plainHost = regexp.MustCompile(`^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?)(:[0-9]{1,5})?$`)

// compileRest cuts path and query into their parts.
func (u *URL) compileRest(pieces []urlPiece) diag.Problems {
	var problems diag.Problems
	add := func(message, help string) { problems = append(problems, urlProblem(message, help)) }
	inQuery := false
	for _, p := range pieces {
		if !p.literal() {
			switch {
			case p.source == baseName:
				add("{{ "+baseName+" }} may only begin a URL", "")
			case !inQuery:
				u.extendSegment(p)
			case u.query[len(u.query)-1].bare:
				add("{{ "+p.source+" }} would be the name of a query parameter", "a placeholder may be the value of one: ?name={{ "+p.source+" }}")
			default:
				last := &u.query[len(u.query)-1]
				last.value = append(last.value, p)
			}
			continue
		}
		if message, help := literalFault(p.text); message != "" {
			add(message, help)
			continue
		}
		inQuery = u.literal(escapeLiteral(p.text), inQuery)
	}
	for _, s := range u.segments {
		if s.fixed() {
			if fault := segmentFault(unescape(s.literalText()), true); fault != "" && s.literalText() != "" {
				add("the path "+fault, "")
			}
		}
	}
	for _, q := range u.query {
		if slices.Contains(secretParams, strings.ToLower(q.key)) {
			add(fmt.Sprintf("the query parameter %q holds a credential", q.key), "send it in a header instead; what is in a URL ends up in logs")
		}
	}
	return problems
}

// secretParams are query parameters whose only use is to hold a credential
// that a header can hold as well.
var secretParams = []string{"access_token", "private_token", "client_secret", "password"}

func (p part) fixed() bool {
	return !slices.ContainsFunc(p, func(u urlPiece) bool { return !u.literal() })
}

func (p part) literalText() string {
	var b strings.Builder
	for _, u := range p {
		b.WriteString(u.text)
	}
	return b.String()
}

// literal adds literal text and returns whether the query has begun.
func (u *URL) literal(text string, inQuery bool) bool {
	path, query := text, ""
	if inQuery {
		path, query = "", text
	} else if before, after, ok := strings.Cut(text, "?"); ok {
		path, query, inQuery = before, after, true
		u.query = append(u.query, param{bare: true})
	}
	for i, s := range strings.Split(path, "/") {
		if i > 0 {
			u.segments = append(u.segments, part{})
		}
		if s != "" {
			u.extendSegment(urlPiece{piece: piece{text: s}})
		}
	}
	if inQuery {
		u.literalQuery(query)
	}
	return inQuery
}

func (u *URL) extendSegment(p urlPiece) {
	if len(u.segments) == 0 {
		u.segments = append(u.segments, part{})
	}
	last := len(u.segments) - 1
	u.segments[last] = append(u.segments[last], p)
}

func (u *URL) literalQuery(text string) {
	for i, pair := range strings.Split(text, "&") {
		if i > 0 {
			u.query = append(u.query, param{bare: true})
		}
		last := &u.query[len(u.query)-1]
		if last.bare {
			key, value, eq := strings.Cut(pair, "=")
			last.key += key
			last.bare, pair = !eq, value
		}
		if pair != "" && !last.bare {
			last.value = append(last.value, urlPiece{piece: piece{text: pair}})
		}
	}
}

var badEscape = regexp.MustCompile(`%(?:[^0-9A-Fa-f]|[0-9A-Fa-f](?:[^0-9A-Fa-f]|$)|$)`)

// literalFault says what is wrong with literal text of path or query.
func literalFault(text string) (message, help string) {
	switch {
	case strings.ContainsRune(text, '#'):
		return "a URL cannot have a fragment (#…): it would not be sent", "write %23 for the character itself"
	case strings.ContainsRune(text, '\\'):
		return `a URL cannot have a \`, "write /"
	case strings.ContainsFunc(text, unicode.IsControl), strings.ContainsRune(text, ' '), !utf8.ValidString(text):
		return "a URL cannot have spaces or control characters", "write %20 for a space"
	case badEscape.MatchString(text):
		return "a % in a URL must be followed by two hex digits", "write %25 for the character itself"
	}
	return "", ""
}

// escapeLiteral escapes what an author may write and a URL may not hold.
func escapeLiteral(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c >= utf8.RuneSelf || strings.IndexByte(`"<>^`+"`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unescape(text string) string {
	if s, err := url.PathUnescape(text); err == nil {
		return s
	}
	return text
}

// segmentFault says why a decoded path segment may not be sent, "" when it
// may. With slashes it may hold several.
func segmentFault(s string, slashes bool) string {
	segments := []string{s}
	if slashes {
		segments = strings.Split(s, "/")
	}
	for _, seg := range segments {
		switch {
		case seg == "":
			return "has an empty segment"
		case seg == "." || seg == "..":
			return fmt.Sprintf("has the segment %q", seg)
		case strings.ContainsAny(seg, `/\`):
			return fmt.Sprintf("has a / or \\ inside the segment %q", cut(seg))
		case strings.ContainsFunc(seg, unicode.IsControl), !utf8.ValidString(seg):
			return "has a control character"
		}
	}
	return ""
}

// NeedsBase reports whether u begins with the application's base_url.
func (u *URL) NeedsBase() bool { return u.origin == "" }

// Reads lists the names that u reads.
func (u *URL) Reads() []string {
	var out []string
	if u.NeedsBase() {
		out = append(out, baseName)
	}
	for _, s := range u.segments {
		out = append(out, s.reads()...)
	}
	for _, q := range u.query {
		out = append(out, q.value.reads()...)
	}
	return out
}

func (p part) reads() []string {
	var out []string
	for _, u := range p {
		if u.expr != nil {
			out = append(out, u.expr.Reads()...)
		}
	}
	return out
}

// Render fills u. base is the address that the application's base_url stands
// for, without a "/" at its end; only a URL that NeedsBase uses it. With
// missing values the URL is nil. The error says, for people, which value
// cannot be in a URL.
func (u *URL) Render(env Env, base string) (out *url.URL, missing []string, err error) {
	origin := u.origin
	if u.NeedsBase() {
		if base == "" {
			return nil, []string{baseName}, nil
		}
		origin = base
	}
	var b strings.Builder
	b.WriteString(origin)
	for _, s := range u.segments {
		b.WriteByte('/')
		text, absent, err := s.render(env, false)
		if err != nil {
			return nil, nil, err
		}
		missing = append(missing, absent...)
		b.WriteString(text)
	}
	for i, q := range u.query {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(q.key)
		if q.bare {
			continue
		}
		text, absent, err := q.value.render(env, true)
		if err != nil {
			return nil, nil, err
		}
		missing = append(missing, absent...)
		b.WriteString("=" + text)
	}
	if len(missing) > 0 {
		return nil, missing, nil
	}
	out, err = confirm(b.String(), origin)
	return out, nil, err
}

// confirm reads the finished URL again: nothing that was filled in may have
// become scheme, host, credential or fragment.
func confirm(text, origin string) (*url.URL, error) {
	if len(text) > MaxURL {
		return nil, fmt.Errorf("the URL has %d bytes, at most %d are sent", len(text), MaxURL)
	}
	want, err := url.Parse(origin)
	if err != nil {
		return nil, errors.New("the address that the URL begins with is no URL") // it may hold a credential
	}
	if want.RawQuery != "" || want.ForceQuery || want.Fragment != "" || want.User != nil {
		return nil, errors.New("the address that the URL begins with has a query, a fragment or a credential")
	}
	got, err := url.Parse(text)
	if err != nil || got.Scheme != want.Scheme || got.Host != want.Host || got.User != nil || got.Fragment != "" || got.Opaque != "" {
		return nil, errors.New("the finished URL is not the one that the template describes")
	}
	return got, nil
}

// render fills one segment or query value, escaped for its place.
func (p part) render(env Env, query bool) (text string, missing []string, err error) {
	var escaped, decoded strings.Builder
	slashes := false
	for _, u := range p {
		if u.literal() {
			escaped.WriteString(u.text)
			decoded.WriteString(unescape(u.text))
			slashes = slashes || strings.Contains(unescape(u.text), "/")
			continue
		}
		v, absent, err := u.eval(env)
		if err != nil {
			return "", nil, err
		}
		if len(absent) > 0 {
			missing = append(missing, absent...)
			continue
		}
		s, ok := scalar(v)
		if !ok {
			return "", nil, fmt.Errorf("{{ %s }} is a list or an object; a URL takes a single value", u.source)
		}
		if s == "" && !query { // a path cannot say "nothing": it has to wait
			missing = append(missing, u.names()...)
			continue
		}
		slashes = slashes || u.slashes
		if fault := segmentFault(s, u.slashes); fault != "" && !query {
			return "", nil, fmt.Errorf("{{ %s }} cannot be in the path of a URL: it %s", u.source, fault)
		}
		decoded.WriteString(s)
		if query {
			escaped.WriteString(url.QueryEscape(s))
		} else {
			escaped.WriteString(url.PathEscape(s))
		}
	}
	if len(missing) > 0 {
		return "", missing, nil
	}
	if fault := segmentFault(decoded.String(), slashes); fault != "" && !query && !p.fixed() {
		return "", nil, fmt.Errorf("the path of the URL %s", fault)
	}
	return escaped.String(), nil, nil
}

// names lists what p reads, as people know it.
func (p piece) names() []string {
	var out []string
	for _, path := range p.expr.Reads() {
		out = append(out, Name(path))
	}
	if len(out) == 0 {
		out = []string{p.source}
	}
	return out
}

// scalar returns a single value as text.
func scalar(v any) (string, bool) {
	switch v.(type) {
	case []any, map[string]any, map[string]string:
		return "", false
	}
	return lang.Text(v)
}

func cut(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		return string([]rune(s)[:most-1]) + "…"
	}
	return s
}
