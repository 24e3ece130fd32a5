package lang

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// Expr is a compiled expression. It is safe for concurrent use.
type Expr struct {
	src   string
	start step
	slots int  // of the values of let
	name  bool // the expression is nothing but a name
	roots []string
	reads []string
	times Times
}

// Compile checks and compiles an expression that may use the names of scope.
// The error is an [*Error], or [Errors] when several things are wrong; [List]
// handles both. Their places are lines and columns of src.
func Compile(src string, scope *Scope) (*Expr, error) {
	if scope == nil {
		scope = NewScope(nil)
	}
	if err := checkSource(src); err != nil {
		return nil, err
	}
	config := newConfig()
	tree, err := parser.ParseWithConfig(src, config)
	if err != nil {
		return nil, syntaxError(src, err)
	}
	c := newCheck(src, scope)
	c.node(tree.Node, false)
	if len(c.errs) > 0 {
		return nil, c.failure()
	}
	_, name := tree.Node.(*ast.IdentifierNode)
	w := &rewriter{regexps: c.regexps}
	tree.Node = w.value(tree.Node)
	config.MaxNodes = 0
	if _, err := checker.Check(tree, config); err != nil {
		return nil, syntaxError(src, err)
	}
	a := &assembler{roots: c.rootNames()}
	first := a.step(tree.Node)
	return &Expr{src: src, start: first, slots: a.slots, name: name, roots: a.roots, reads: c.readPaths(), times: scope.times}, nil
}

// String returns the source of e.
func (e *Expr) String() string { return e.src }

// Roots lists the names of its scope that e uses, sorted. The caller of Run
// need not provide others.
func (e *Expr) Roots() []string { return slices.Clone(e.roots) }

// Reads lists the dotted member paths that e reads, each once, the longest
// that is known when it is compiled: "run.commit.sha", but "body.builds" for
// body.builds[index].id.
func (e *Expr) Reads() []string { return slices.Clone(e.reads) }

func newConfig() *conf.Config {
	c := conf.New(map[string]any{})
	c.Strict = false // names are checked here, with better words
	c.Optimize = false
	c.DisableIfOperator = true
	c.MaxNodes = maxNodes
	for name := range c.Builtins {
		c.Disabled[name] = true
	}
	for name := range natives {
		c.Functions[name] = &builtin.Function{Name: name}
	}
	return c
}

func checkSource(src string) error {
	bad := func(message, help string) error {
		return &Error{Line: 1, Col: 1, Width: 1, Code: CodeSyntax, Message: message, Help: help}
	}
	switch {
	case len(src) > maxSource:
		return bad(fmt.Sprintf("this expression has %d bytes; at most %d are allowed", len(src), maxSource), "split it with let")
	case strings.TrimSpace(src) == "":
		return bad("this expression is empty", "write nil for a value that is always absent")
	case !utf8.ValidString(src):
		return bad("this expression is not valid UTF-8", "")
	}
	return nil
}

// syntaxes explains what the parser says. The first pattern that fits wins;
// $1 stands for its group.
var syntaxes = []struct {
	pattern       *regexp.Regexp
	message, help string
}{
	{regexp.MustCompile(`exceeds maximum allowed nodes`), fmt.Sprintf("this expression is too large: it has more than %d parts", maxNodes), "split it with let"},
	{regexp.MustCompile(`unexpected token EOF`), "the expression ends too early", ""},
	{regexp.MustCompile(`unexpected end of expression`), "the expression ends too early", ""},
	{regexp.MustCompile(`unexpected token Operator\("="\)`), "= does not compare", "write == to compare"},
	{regexp.MustCompile(`unexpected token Operator\("(contains|startsWith|endsWith|matches|in)"\)`), "$1 stands between two values", "write a $1 b"},
	{regexp.MustCompile(`unexpected token Operator\("let"\)`), "let is not allowed inside another value", "put it at the start: let x = …; x + 1"},
	{regexp.MustCompile(`unexpected token Operator\("(#|\.)"\)`), "$1 stands for an item, and only inside the condition of any, all, find, filter, map, count", ""},
	{regexp.MustCompile(`unexpected token Operator\(":"\)`), ": cannot stand here", "an object inside a condition needs parentheses: map(list, ({a: 1}))"},
	{regexp.MustCompile(`unexpected token Operator\("(.*)"\)`), "$1 cannot stand here", ""},
	{regexp.MustCompile(`unexpected token Bracket\("(.*)"\)`), "$1 cannot stand here", ""},
	{regexp.MustCompile(`unexpected token (?:Identifier|Number)\("(.*)"\)`), "$1 cannot stand here", "an operator is missing before it, or a comma"},
	{regexp.MustCompile(`unexpected token String\("(.*)"\)`), "the text \"$1\" cannot stand here", "an operator is missing before it, or a comma"},
	{regexp.MustCompile(`unrecognized character: U\+(?:201[89A-F]|00AB|00BB) '(.)'`), "$1 is a typographic quote", `write ' or "`},
	{regexp.MustCompile(`unrecognized character: (.*)`), "the character $1 cannot stand here", ""},
	{regexp.MustCompile(`cannot be mixed`), "?? beside another operator needs parentheses", "write (a ?? b) == c"},
	{regexp.MustCompile(`expected at least (\d) arguments`), "an argument is missing", "write any(list, condition)"},
	{regexp.MustCompile(`wrap predicate with brackets`), "; is not allowed in a condition", ""},
	{regexp.MustCompile(`a map key must be`), "the name of a member is missing", `write {"name": value}`},
	{regexp.MustCompile(`expected name`), "a name is missing after the point", ""},
	{regexp.MustCompile(`bad number syntax: "(.*)"`), "$1 is not a number", ""},
	{regexp.MustCompile(`invalid (?:integer|hex|binary|octal|float) literal|literal is too large`), "this number is too large", ""},
}

var usesIf = regexp.MustCompile(`^\s*if\b`)

// syntaxError puts an error of the parser into words.
func syntaxError(src string, err error) error {
	e := &Error{Line: 1, Col: 1, Width: 1, Code: CodeSyntax, Message: err.Error()}
	var fe *file.Error
	if errors.As(err, &fe) {
		e.Line, e.Col, e.Message = max(fe.Line, 1), fe.Column+1, fe.Message
		e.Width = max(1, fe.To-fe.From)
	}
	if open, at, ok := unclosed(src); ok && (strings.Contains(e.Message, "EOF") || strings.Contains(e.Message, "not terminated")) {
		e.Line, e.Col = place(src, at)
		e.Width, e.Message, e.Help = 1, fmt.Sprintf("the %c here is not closed", open), ""
		return e
	}
	if usesIf.MatchString(src) {
		e.Message, e.Help = "there is no if", "write condition ? a : b"
		return e
	}
	for _, s := range syntaxes {
		if m := s.pattern.FindStringSubmatch(e.Message); m != nil {
			group := ""
			if len(m) > 1 {
				group = m[1]
			}
			e.Message, e.Help = strings.ReplaceAll(s.message, "$1", group), strings.ReplaceAll(s.help, "$1", group)
			return e
		}
	}
	return e
}

// unclosed returns the quote or the last bracket of src that nothing closes
// and its offset in characters.
func unclosed(src string) (open rune, at int, ok bool) {
	type bracket struct {
		r  rune
		at int
	}
	var stack []bracket
	var quoted rune
	escaped := false
	for i, r := range []rune(src) {
		switch {
		case escaped:
			escaped = false
		case quoted != 0:
			escaped = r == '\\' && quoted != '`'
			if r == quoted {
				quoted = 0
				stack = stack[:len(stack)-1]
			}
		case r == '\'' || r == '"' || r == '`':
			quoted = r
			stack = append(stack, bracket{r, i})
		case strings.ContainsRune("([{", r):
			stack = append(stack, bracket{r, i})
		case strings.ContainsRune(")]}", r) && len(stack) > 0:
			stack = stack[:len(stack)-1]
		}
	}
	if len(stack) == 0 {
		return 0, 0, false
	}
	last := stack[len(stack)-1]
	return last.r, last.at, true
}
