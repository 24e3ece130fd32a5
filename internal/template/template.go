// Package template fills {{ }} in the URL, the headers and the body of a hook.
//
// Everything is compiled against one typed environment when a hook is saved:
// an unknown name is a problem with the nearest known one, never an empty
// string later. What is filled in cannot change what surrounds it:
//
//   - [URL]: a value takes its place inside one path segment or one query
//     value, escaped for it. Scheme and host are written out or configured.
//   - [Header]: a value has no control characters; names have no placeholders;
//     secrets stay references until the request is sent.
//   - [Body]: a JSON tree is filled leaf by leaf and encoded once. A leaf that
//     is exactly one placeholder keeps the type of its value; nothing that was
//     filled in is ever parsed again.
//
// A placeholder holds an expression of package lang: {{ run.commit.sha }},
// {{ run.title | truncate(140) }}. [Scope] lists the names, [NewEnv] fills
// them.
//
// Rendering says which values were absent, by the names that people know them
// by ("commit.sha"). What that means is the caller's: a body leaves its leaf
// out, a URL has to wait.
package template

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"cibridge/internal/diag"
	"cibridge/internal/lang"
)

// The problems of this package. Those inside an expression have the codes of
// package lang.
const (
	CodePlaceholder = "E401" // a {{ without its }}, or nothing in between
	CodeURL         = "E402" // a URL that is not allowed, or a placeholder in a place that is not
	CodeHeader      = "E403" // a header that is not allowed
	CodeBody        = "E404" // a body that cannot be filled
	CodeSecret      = "E405" // a secret where no secret may be
	CodeSize        = "E406" // too large
)

// The largest rendered parts, in bytes.
const (
	MaxURL    = 4 << 10
	MaxHeader = 8 << 10 // all headers, names included
	MaxBody   = 64 << 10
)

// secretName is the one name that only a header may use, alone in its
// placeholder.
const secretName = "application.source_provider.access_token"

// baseName is the one name that may stand for scheme and host of a URL.
const baseName = "application.source_provider.base_url"

// piece is literal text, or a placeholder.
type piece struct {
	text   string
	expr   *lang.Expr
	source string // of the expression, trimmed; "" for text
	col    int    // where the source begins in the template, in characters from 1
	line   int
	secret bool
	form   string // in which the secret is sent, "" as it is
}

func (p piece) literal() bool { return p.expr == nil && !p.secret }

// place says what a template is part of.
type place struct {
	omit    bool // omit() is allowed
	secrets bool // secretName is allowed
}

// parse cuts src into its pieces and compiles its placeholders. Problems have
// Line and Col inside src.
func parse(src string, in place) ([]piece, diag.Problems) {
	var out []piece
	var problems diag.Problems
	for at := 0; at < len(src); {
		open := strings.Index(src[at:], "{{")
		if open < 0 {
			out = append(out, piece{text: src[at:]})
			break
		}
		if open > 0 {
			out = append(out, piece{text: src[at : at+open]})
		}
		from := at + open + 2
		end := closing(src, from)
		line, col := position(src, from)
		if end < 0 {
			problems = append(problems, diag.Problem{Line: line, Col: col - 2, Width: 2, Code: CodePlaceholder, Severity: diag.SeverityError,
				Message: `"{{" has no "}}"`, Help: `close the placeholder; for the text itself write {{ "{{" }}`})
			break
		}
		p, ps := placeholder(src[from:end], in, line, col)
		problems = append(problems, ps...)
		out = append(out, p)
		at = end + 2
	}
	return out, problems
}

// closing returns where the "}}" of a placeholder stands whose expression
// begins at from, or -1. Braces and texts of the expression are skipped.
func closing(src string, from int) int {
	depth := 0
	for i := from; i < len(src); i++ {
		switch c := src[i]; c {
		case '"', '\'', '`':
			if i = stringEnd(src, i); i < 0 {
				return -1
			}
		case '{':
			depth++
		case '}':
			if depth == 0 {
				if strings.HasPrefix(src[i:], "}}") {
					return i
				}
				return -1
			}
			depth--
		}
	}
	return -1
}

// stringEnd returns where the text that opens at i ends, or -1.
func stringEnd(src string, i int) int {
	quote := src[i]
	for i++; i < len(src); i++ {
		switch {
		case src[i] == quote:
			return i
		case src[i] == '\\' && quote != '`':
			i++
		}
	}
	return -1
}

func placeholder(inner string, in place, line, col int) (piece, diag.Problems) {
	source := strings.TrimSpace(inner)
	lead := inner[:strings.Index(inner, source)]
	p := piece{source: source, line: line, col: col + utf8.RuneCountInString(lead)}
	if strings.Contains(lead, "\n") {
		p.line, p.col = line+strings.Count(lead, "\n"), utf8.RuneCountInString(lead[strings.LastIndex(lead, "\n")+1:])+1
	}
	fail := func(code, message, help string) (piece, diag.Problems) {
		return p, diag.Problems{{Line: p.line, Col: p.col, Width: max(1, utf8.RuneCountInString(source)), Code: code,
			Message: message, Help: help, Severity: diag.SeverityError}}
	}
	if source == "" {
		return fail(CodePlaceholder, "there is nothing between {{ and }}", "name a value, {{ run.commit.sha }}")
	}
	if mentionsSecret(source) {
		p.form, p.secret = secretForm(source)
		switch {
		case !in.secrets:
			return fail(CodeSecret, secretName+" may only be used in the value of a header", "send the token in a header: Authorization: Bearer {{ "+secretName+" }}")
		case !p.secret:
			return fail(CodeSecret, secretName+" must stand alone in its placeholder", "write {{ "+secretName+" }}, with | basic() or | authorization() behind it at the most: the token is put in when the request is sent, and no expression sees it")
		}
		return p, nil
	}
	expr, err := lang.Compile(source, scopeFor(in.omit))
	if err != nil {
		var ps diag.Problems
		for _, e := range lang.List(err) {
			ps = append(ps, diag.Problem{Line: p.line + e.Line - 1, Col: columnOf(p, e), Width: e.Width, Code: e.Code, Message: e.Message, Help: e.Help, Severity: diag.SeverityError})
		}
		return p, ps
	}
	p.expr = expr
	return p, nil
}

// secretForms are what may be done to the secret when it is sent, by package
// dispatch: no expression sees it.
var secretForms = []string{"", "basic", "authorization"}

var secretPipe = regexp.MustCompile(`^\s*\|\s*([a-z]+)\s*\(\s*\)$`)

// secretForm reads "<secretName>" and "<secretName> | form()".
func secretForm(source string) (form string, ok bool) {
	rest, ok := strings.CutPrefix(source, secretName)
	if rest == "" || !ok {
		return "", ok
	}
	m := secretPipe.FindStringSubmatch(rest)
	if m == nil || !slices.Contains(secretForms, m[1]) {
		return "", false
	}
	return m[1], true
}

var tokenMember = regexp.MustCompile(`\bsource_provider\s*\??\.\s*access_token\b`)

func mentionsSecret(source string) bool { return tokenMember.MatchString(source) }

func columnOf(p piece, e *lang.Error) int {
	if e.Line > 1 {
		return e.Col
	}
	return p.col + e.Col - 1
}

// position returns line and column of a byte offset, both from 1, the column
// in characters.
func position(src string, at int) (line, col int) {
	before := src[:at]
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:])
}

// eval runs a placeholder. A nil value comes with the names of what is absent,
// at least one.
func (p piece) eval(env Env) (value any, missing []string, err error) {
	v, err := p.expr.Run(env, time.Time{})
	if err == nil && v != nil {
		return v, nil, nil
	}
	missing = absent(p.expr, env)
	switch {
	case err != nil && len(missing) == 0:
		return nil, nil, fmt.Errorf("{{ %s }}: %w", p.source, err)
	case len(missing) == 0:
		missing = []string{p.source}
	}
	return nil, missing, nil
}

// Text is a template of one line of text, such as a supersede key.
type Text struct{ pieces []piece }

// CompileText compiles a text template.
func CompileText(src string) (*Text, diag.Problems) {
	pieces, problems := parse(src, place{})
	return &Text{pieces}, problems
}

// Render fills t. With missing values the text is "".
func (t *Text) Render(env Env) (text string, missing []string, err error) {
	var b strings.Builder
	for _, p := range t.pieces {
		if p.literal() {
			b.WriteString(p.text)
			continue
		}
		v, absent, err := p.eval(env)
		if err != nil {
			return "", nil, err
		}
		missing = append(missing, absent...)
		s, _ := lang.Text(v)
		b.WriteString(s)
	}
	if len(missing) > 0 {
		return "", missing, nil
	}
	return b.String(), nil, nil
}

// Reads lists the names that the placeholders of t read.
func (t *Text) Reads() []string { return reads(t.pieces) }

func reads(pieces []piece) []string {
	var out []string
	for _, p := range pieces {
		switch {
		case p.secret:
			out = append(out, secretName)
		case p.expr != nil:
			out = append(out, p.expr.Reads()...)
		}
	}
	return out
}

// Condition is an expression that is true or not.
type Condition struct {
	expr   *lang.Expr
	source string
}

// CompileCondition compiles an expression, with or without a "=" before it.
func CompileCondition(src string) (*Condition, diag.Problems) {
	source := strings.TrimPrefix(strings.TrimSpace(src), "=")
	if mentionsSecret(source) {
		return nil, diag.Problems{{Line: 1, Col: 1, Code: CodeSecret, Severity: diag.SeverityError, Message: secretName + " may only be used in the value of a header"}}
	}
	expr, err := lang.Compile(source, scopeFor(false))
	if err != nil {
		shift := strings.Index(src, source)
		var ps diag.Problems
		for _, e := range lang.List(err) {
			col := e.Col
			if e.Line == 1 {
				col += utf8.RuneCountInString(src[:shift])
			}
			ps = append(ps, diag.Problem{Line: e.Line, Col: col, Width: e.Width, Code: e.Code, Message: e.Message, Help: e.Help, Severity: diag.SeverityError})
		}
		return nil, ps
	}
	return &Condition{expr, source}, nil
}

// Holds reports whether c is true. An absent value counts as false. missing
// names what it reads and is absent, whatever the answer.
func (c *Condition) Holds(env Env) (ok bool, missing []string, err error) {
	v, err := c.expr.Run(env, time.Time{})
	missing = absent(c.expr, env)
	if err != nil {
		if len(missing) > 0 {
			return false, missing, nil
		}
		return false, nil, fmt.Errorf("%s: %w", c.source, err)
	}
	switch v := v.(type) {
	case nil:
		return false, missing, nil
	case bool:
		return v, missing, nil
	}
	text, _ := lang.Text(v)
	return false, missing, fmt.Errorf("%s: %w, it is %q", c.source, errNotBool, text)
}

var errNotBool = errors.New("the result must be true or false")

// Value returns what c's expression gives, for comparing; nil when absent.
func (c *Condition) Value(env Env) (value any, missing []string) {
	v, err := c.expr.Run(env, time.Time{})
	if err != nil {
		v = nil
	}
	return v, absent(c.expr, env)
}

// Reads lists the names that c reads.
func (c *Condition) Reads() []string { return c.expr.Reads() }
