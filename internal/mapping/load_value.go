package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/yamldoc"
)

// spec says what a value is for.
type spec struct {
	name   string // for messages: "start.status"
	kind   bridge.Kind
	status bool // the words of a status
	item   bool // inside a list: paths lead into the item
	value  bool // the expression sees value
}

func (s spec) sub(name string) spec { s.name += "." + name; return s }

// exprScope returns the names that an expression of s may use.
func (l *loader) exprScope(s spec) *lang.Scope {
	scope := l.scope
	if s.item {
		scope = scope.With("item", lang.Any()).With("index", lang.Leaf())
	}
	if s.value {
		scope = scope.With("value", lang.Any())
	}
	return scope
}

var valueKeys = []string{"value", "path", "expr", "first_of", "of", "drop_if", "map", "ignore_case", "else", "default", "required", "unit"}

// value compiles a value. It returns nil only after a problem.
func (l *loader) value(n *yamldoc.Node, s spec) *value {
	v := &value{at: placeOf(n), name: s.name}
	switch n.Kind {
	case yamldoc.List:
		l.errorf(n, codeStart, "for the first of several write {first_of: […]}; a path that begins with [ must be quoted", "%s is one value, this is a list", s.name)
		return nil
	case yamldoc.Map:
		if len(n.Pairs) == 1 && strings.HasPrefix(n.Pairs[0].Key.Text, "=") {
			l.errorf(n, codeSplit, "quote the expression: '…'", "YAML took an expression for a mapping")
			return nil
		}
		return l.valueMap(n, s, v)
	}
	if !l.bare(n, s, v) {
		return nil
	}
	return v
}

// bare compiles a scalar: a path, or an expression after "=".
func (l *loader) bare(n *yamldoc.Node, s spec, v *value) bool {
	switch {
	case n.Null():
		l.errorf(n, codeLiteral, "delete the line, or write =nil to set nothing", "%s is empty", s.name)
		return false
	case n.Type != "str":
		l.errorf(n, codeLiteral, "write {value: "+asWritten(n)+"}; for a field of the payload with that name write '"+n.Text+"' in quotes", "%s is a literal; a bare value here is a gjson path", n.Text)
		return false
	case strings.HasPrefix(n.Text, "="):
		v.expr = l.expr(n, s)
		return v.expr != nil
	}
	v.path = l.path(n, s)
	return v.path != nil
}

// asWritten returns the literal that stands for the text of n: in quotes where
// YAML would make another text of it, as of the version 1.10 or the date
// 2024-01-01.
func asWritten(n *yamldoc.Node) string {
	if fmt.Sprint(n.Value()) != n.Text || n.Type == "timestamp" {
		return quote(n.Text)
	}
	return n.Text
}

var bodyPath = regexp.MustCompile(`^body\.[A-Za-z_]`)

// path compiles a gjson path.
func (l *loader) path(n *yamldoc.Node, s spec) *lang.Path {
	if !l.is(n, yamldoc.Scalar, "a path") {
		return nil
	}
	if l.cut(n) {
		return nil
	}
	if strings.HasPrefix(n.Text, "$.") || strings.HasPrefix(n.Text, "$[") {
		l.errorf(n, lang.CodePath, "write it without the $: "+strings.TrimLeft(n.Text, "$."), "%s is JSONPath; paths here are gjson's", quote(n.Text))
		return nil
	}
	return l.compilePath(n)
}

// compilePath compiles the text of n, a value or a key.
func (l *loader) compilePath(n *yamldoc.Node) *lang.Path {
	p, err := lang.CompilePath(n.Text)
	if err != nil {
		l.langProblems(n, 0, err)
		return nil
	}
	l.paths[p] = n
	if bodyPath.MatchString(n.Text) {
		l.warnf(n, codeBodyPath, "write "+strings.TrimPrefix(n.Text, "body.")+", or ="+n.Text+" for an expression", "a path starts inside the body: %s looks for a field called body in it", quote(n.Text))
	}
	return p
}

// cutComment is the look of a path's query that YAML cut off.
var cutComment = regexp.MustCompile(`^#[(.\[|]`)

// cut reports a value of which YAML took the rest for a comment.
func (l *loader) cut(n *yamldoc.Node) bool {
	if n.Quoted || n.Block || !cutComment.MatchString(n.Comment) {
		return false
	}
	l.errorf(n, codeCut, "quote the value: '…'", "YAML took %s for a comment: it follows a space", n.Comment)
	return true
}

// expr compiles an expression; a leading "=" is not part of it.
func (l *loader) expr(n *yamldoc.Node, s spec) *expression {
	if !l.is(n, yamldoc.Scalar, "an expression") {
		return nil
	}
	if n.Null() || n.Type != "str" && n.Type != "bool" && n.Type != "int" {
		l.errorf(n, codeLiteral, "write it as text, such as =body.a + 1; quotes keep YAML from reading it as something else", "%s is no expression", quote(n.Text))
		return nil
	}
	if l.cut(n) {
		return nil
	}
	src, marked := strings.CutPrefix(n.Text, "=")
	offset := 0
	if marked {
		offset = 1
	}
	e, err := lang.Compile(strings.TrimRight(src, " \n"), l.exprScope(s))
	if err != nil {
		l.langProblems(n, offset, err)
		return nil
	}
	out := &expression{e: e, at: placeOf(n)}
	for _, root := range e.Roots() {
		out.names = append(out.names, nameOf(root, l.m.lets))
		if l.m.lets[root] != nil {
			out.lets = append(out.lets, root)
			l.letUse[root] = true
		}
	}
	l.exprs[out] = n
	l.headerReads(n, e)
	return out
}

// headerReads refuses headers in the expression e of n that would never be
// found.
func (l *loader) headerReads(n *yamldoc.Node, e *lang.Expr) {
	for _, read := range e.Reads() {
		if name, ok := strings.CutPrefix(read, "header."); ok && name != strings.ToLower(name) {
			l.headerCase(n, name)
		}
	}
}

// headerCase reports a header name with capitals in the text of n.
func (l *loader) headerCase(n *yamldoc.Node, name string) {
	p := withHelp(n.Problem(codeHeaderCase, "header names are lower-case here, "+quote(name)+" would never be found"), "write "+strings.ToLower(name))
	if i := strings.Index(n.Text, name); i >= 0 {
		p.Line, p.Col = n.At(1, utf8.RuneCountInString(n.Text[:i])+1)
		p.Width = utf8.RuneCountInString(name)
	}
	l.problems = append(l.problems, p)
}

// langProblems reports what package lang found in the text of n, which starts
// offset characters into it.
func (l *loader) langProblems(n *yamldoc.Node, offset int, err error) {
	for _, e := range lang.List(err) {
		col := e.Col
		if e.Line <= 1 {
			col += offset
		}
		p := n.Problem(e.Code, e.Message)
		p.Line, p.Col = n.At(e.Line, col)
		p.Width, p.Help = max(e.Width, 1), e.Help
		if n.Comment != "" && !n.Quoted && !n.Block && (e.Code == lang.CodeSyntax || e.Code == lang.CodePath) {
			p.Code, p.Help = codeCut, "YAML takes everything after a \" #\" for a comment; quote the value if "+quote(n.Comment)+" is part of it"
		} else if !n.Quoted && !n.Block && unbalanced(n.Text) && strings.ContainsAny(before(n), "{[") {
			p.Code, p.Help = codeSplit, "inside { } and [ ] YAML ends a value at a comma; quote the expression: '…'"
		}
		l.problems = append(l.problems, p)
	}
}

// before returns what stands before n in its line.
func before(n *yamldoc.Node) string {
	line := []rune(n.SourceLine())
	return string(line[:min(max(n.Col-1, 0), len(line))])
}

// unbalanced reports whether s looks like a part of something longer.
func unbalanced(s string) bool {
	return strings.Count(s, "(") != strings.Count(s, ")") || strings.Count(s, "[") != strings.Count(s, "]") || strings.Count(s, `"`)%2 == 1
}

// valueMap compiles the long form of a value.
func (l *loader) valueMap(n *yamldoc.Node, s spec, v *value) *value {
	before := len(l.problems.Errors())
	for _, p := range n.Pairs {
		if !slices.Contains(valueKeys, p.Key.Text) {
			l.unknownKey(n, p, "a value", valueKeys)
		}
	}
	l.sources(n, s, v)
	if d := n.Get("drop_if"); d != nil {
		v.dropIf = l.texts(d, "drop_if")
	}
	if c := n.Get("ignore_case"); c != nil {
		v.ignoreCase = l.flag(c, "ignore_case")
		if n.Get("map") == nil && n.Get("drop_if") == nil {
			l.errorf(c, codeTogether, "delete it, or add the map it is for", "ignore_case is for map and drop_if; there is none")
		}
	}
	l.mapStep(n, s, v)
	if d := n.Get("default"); d != nil {
		v.def = l.literalOr(d, s, "default")
	}
	if r := n.Get("required"); r != nil {
		v.required = l.flag(r, "required")
		if v.required && v.def != nil {
			l.warnf(r, codeRequiredDef, "drop one of them", "a value with a default is never missing")
		}
	}
	if u := n.Get("unit"); u != nil {
		l.unit(u, s, v)
	}
	if len(l.problems.Errors()) > before {
		return nil
	}
	return v
}

// sources compiles where the value comes from.
func (l *loader) sources(n *yamldoc.Node, s spec, v *value) {
	var found []string
	for _, key := range []string{"value", "path", "first_of", "of"} {
		if n.Get(key) != nil {
			found = append(found, key)
		}
	}
	expr := n.Get("expr")
	known := !slices.ContainsFunc(n.Keys(), func(k string) bool { return !slices.Contains(valueKeys, k) })
	switch {
	case len(found) > 1:
		l.errorf(n, codeTogether, "write one of them", "%s has both %s", s.name, strings.Join(found, " and "))
	case len(found) == 0 && expr == nil && known: // an unknown key may be the misspelt source
		l.errorf(n, codeMissing, "add one of path, expr, first_of, of, value", "%s does not say where it comes from", s.name)
	case len(found) == 1 && found[0] == "value" && expr != nil:
		l.errorf(expr, codeTogether, "write one of them", "%s has both value and expr", s.name)
	}
	if c := n.Get("value"); c != nil {
		v.literal, v.isLiteral = c.Value(), true
		if s.status {
			l.statusWord(c, v.literal)
		}
	}
	if c := n.Get("path"); c != nil && l.pathNode(c, s) {
		v.path = l.path(c, s)
	}
	plain := s
	plain.status, plain.kind = false, bridge.Text
	if c := n.Get("first_of"); c != nil && l.is(c, yamldoc.List, "first_of") {
		for _, item := range c.Items {
			if sub := l.value(item, plain); sub != nil {
				v.firstOf = append(v.firstOf, sub)
			}
		}
	}
	if c := n.Get("of"); c != nil && l.is(c, yamldoc.List, "of") {
		for _, item := range c.Items {
			if sub := l.value(item, plain); sub != nil {
				v.of = append(v.of, sub)
			}
		}
	}
	if expr != nil {
		if len(found) > 0 {
			s.value = true
		}
		v.expr = l.expr(expr, s)
	}
}

// pathNode refuses what YAML did not take for text, and expressions.
func (l *loader) pathNode(n *yamldoc.Node, s spec) bool {
	switch {
	case n.Kind == yamldoc.Scalar && strings.HasPrefix(n.Text, "="):
		l.errorf(n, codeLiteral, "write it as expr:, or without path:", "path takes a gjson path, this is an expression")
		return false
	case n.Kind == yamldoc.Scalar && n.Type != "str":
		return l.bare(n, s, &value{})
	}
	return true
}

func (l *loader) mapStep(n *yamldoc.Node, s spec, v *value) {
	m := n.Get("map")
	switch {
	case m == nil:
	case m.Kind == yamldoc.Scalar:
		l.mapUse[m.Text] = true
		v.words = l.maps[m.Text]
		if _, ok := l.maps[m.Text]; !ok {
			names := make([]string, 0, len(l.maps))
			for name := range l.maps {
				names = append(names, name)
			}
			slices.Sort(names)
			l.errorf(m, codeWord, didYouMean(m.Text, names), "there is no map %s under maps", quote(m.Text))
		}
	default:
		v.words = l.words(m, "map")
	}
	if v.words != nil && s.status {
		for _, e := range v.words.entries {
			l.statusWord(e.value, e.to)
		}
	}
	if e := n.Get("else"); e != nil {
		sub := s
		sub.value = true
		v.els = l.literalOr(e, sub, "else")
		if m == nil {
			l.errorf(e, codeTogether, "for a value that is absent write default", "else is for a word that map does not know; there is no map")
		}
	}
}

// statusWord checks a literal that is a status; null stands for none.
func (l *loader) statusWord(n *yamldoc.Node, v any) {
	word, isText := v.(string)
	if v != nil && (!isText || !slices.Contains(statusWords, word)) {
		for _, p := range l.problems { // a named map may be used twice
			if p.Line == n.Line && p.Col == n.Col && p.Code == codeWord {
				return
			}
		}
		l.errorf(n, codeWord, didYouMean(n.Text, statusWords), "%s is no status", quote(n.Text))
	}
}

var looksLikePath = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$`)

// literalOr compiles a default or else: a literal, or an expression after "=".
func (l *loader) literalOr(n *yamldoc.Node, s spec, what string) *value {
	v := &value{at: placeOf(n), name: s.name, isLiteral: true, literal: n.Value()}
	switch {
	case n.Kind == yamldoc.Scalar && n.Type == "str" && strings.HasPrefix(n.Text, "="):
		v.isLiteral, v.literal = false, nil
		if v.expr = l.expr(n, s); v.expr == nil {
			return nil
		}
		return v
	case n.Kind == yamldoc.Map && n.Get("value") != nil && len(n.Pairs) == 1:
		v.literal = n.Get("value").Value()
	case n.Kind == yamldoc.Map && slices.ContainsFunc(n.Keys(), func(k string) bool { return k == "path" || k == "expr" || k == "first_of" }):
		l.errorf(n, codeShape, "to try another value first, write {first_of: […]}", "%s takes a literal or an expression (=…)", what)
		return nil
	case n.Kind == yamldoc.Scalar && n.Type == "str" && looksLikePath.MatchString(n.Text):
		l.errorf(n, codeDefault, "for a path write {first_of: [the first path, "+n.Text+"]}; for the text write {value: "+n.Text+"}", "%s takes a literal, and %s looks like a path", what, quote(n.Text))
		return nil
	}
	if s.status {
		l.statusWord(n, v.literal)
	}
	return v
}

// units are the nanoseconds of a unit.
var units = map[string]int64{"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}

func (l *loader) unit(n *yamldoc.Node, s spec, v *value) {
	known := []string{"ns", "us", "ms", "s", "m", "h"}
	word := l.word(n, "unit of time", known)
	if s.kind != bridge.Duration {
		l.errorf(n, codeTogether, "delete it; duration_ms is the field that takes one", "unit is for durations, and %s is none", s.name)
	}
	v.unit = units[word]
}

// place is where something stands in the mapping.
type place struct {
	file      string
	line, col int
}

func placeOf(n *yamldoc.Node) place { return place{n.File, n.Line, n.Col} }
