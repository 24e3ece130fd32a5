package yamldoc

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"cibridge/internal/diag"
)

// yaml.v3 reports "yaml: line 7: what", without the line for the first one,
// and one line off for some mistakes.
var reportedLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// trap is a mistake that newcomers make, recognised by the look of its line.
type trap struct {
	code    string
	like    *regexp.Regexp // the first group that matches is what to underline
	message string
	help    string // %s is what is underlined
}

const (
	inBrackets   = "an expression inside { } or [ ] must be quoted: YAML takes its commas, brackets and colons for its own"
	colonInside  = "%s with ': ' in it must be quoted: YAML takes the colon for the end of a key"
	notAllowed   = "YAML does not allow a value that starts with "
	quoteIt      = "quote it: '%s'"
	writeIt      = "write it as '%s'"
	goesOnBehind = "this text goes on behind its closing quote"
)

// syntaxTraps are tried in order on the lines around the reported one.
var syntaxTraps = []trap{
	{CodeSyntax, regexp.MustCompile(`^(\s*\t)`), "YAML does not allow tabs for indentation", "indent with spaces"},
	{CodeStart, regexp.MustCompile(`[\[{,:]\s+(@[^,}\]#]*)|[\[{](@[^,}\]#]*)|^\s*-\s+(@.*)`), notAllowed + "@", quoteIt},
	{CodeStart, regexp.MustCompile("[\\[{,:-]\\s*(`[^,}\\]#]*)"), notAllowed + "`", quoteIt},
	{CodeStart, regexp.MustCompile(`[\[{,:-]\s+(%[^,}\]#]*)`), notAllowed + "%", quoteIt},
	{CodeStart, regexp.MustCompile(`[\[{,:-]\s*(\*[\w.@#-]+)`), "YAML reads a leading * as an alias, and aliases are not supported", quoteIt},
	{CodeSplit, regexp.MustCompile(`[\[{](?:[^'"]*[ ,:])?(=[^'"].*[\[\]{}?].*|=[\[{].*)[\]}]`), inBrackets, "put it in single quotes, from the = to its end"},
	{CodeSplit, regexp.MustCompile(`[\[{,]\s*(?:expr|if|when):\s+([^'"\s][^'"]*[\[\]{}?(].*?)[\]}]`), inBrackets, "put it in single quotes"},
	{CodeColon, regexp.MustCompile(`^\s*(?:- )?[^:'"]+:\s+(=[^'"].*: .*)$`), fmt.Sprintf(colonInside, "an expression"), writeIt},
	{CodeColon, regexp.MustCompile(`^\s*-\s+(=.*: .*)$`), fmt.Sprintf(colonInside, "an expression"), writeIt},
	{CodeStart, regexp.MustCompile(`:\s+(\[\w*\][.\w]+.*)$`), "YAML reads a leading [ as a list", quoteIt},
	{CodeStart, regexp.MustCompile(`:\s+(\{\{.*\}\}.*)$`), "YAML reads a leading { as a mapping", quoteIt},
	{CodeSyntax, regexp.MustCompile(`[:,\[{-]\s+'[^']*('[^'\s,}\]#:].*)$`), goesOnBehind, "inside '…' write ' as ''; or put one pair of quotes around all of it"},
	{CodeSyntax, regexp.MustCompile(`[:,\[{-]\s+(?:'[^']*'|"(?:[^"\\]|\\.)*")\s*([^'\s,}\]#:].*)$`), goesOnBehind, "put one pair of quotes around all of it"},
	{CodeColon, regexp.MustCompile(`^\s*[^'"#]*?:\s+([^'"{\[#|>\s][^'"]*: .*)$`), fmt.Sprintf(colonInside, "a value"), writeIt},
}

// complaints puts what yaml.v3 says into words that help. The first text that
// is in its message wins.
var complaints = []struct{ says, message, help string }{
	{"found unexpected end of stream", "the quote that opens here is not closed", "close it; the file ends inside the text"},
	{"expected ',' or ']'", "the [ in this line is not closed, or a comma is missing between its values", "write [a, b]"},
	{"expected ',' or '}'", "the { in this line is not closed, or a comma is missing between its values", "write {a: 1, b: 2}"},
	{"mapping values are not allowed", "a key stands where none can be", "the line above has a value already, or lacks its colon and space; or this line is indented too far"},
	{"did not find expected key", "the lines after this one are indented in a way that fits no line above", "keys of one mapping begin in the same column, and so do the - of one list"},
	{"expected '-' indicator", "the list that begins here is followed by a key at the same indentation", "indent the list below its key, or put - before each item"},
	{"could not find expected ':'", "this line is neither a key with its colon nor part of the text above", "write key: value, or indent it as the text above"},
	{"found unknown escape character", "a backslash in double quotes begins an escape, and this is none", "use single quotes, in which \\ is just a character"},
	{"<document start>", "a closing bracket is one too many", "remove it"},
	{"expected node content", "a value is missing here, or a bracket is not closed", "quote a value that has brackets or commas in it"},
	{"cannot start any token", "a value cannot begin with this character", "quote the value"},
	{"control characters are not allowed", "the file has control characters in it", "save it as text in UTF-8"},
	{"UTF-8", "the file is not text in UTF-8", "save it as UTF-8"},
}

// syntax turns an error of yaml.v3 into a problem with the best place that can
// be found.
func (p *parser) syntax(err error) diag.Problem {
	var several severalDocuments
	if errors.As(err, &several) {
		return diag.Problem{File: p.file, Line: several.line, Col: 1, Code: CodeDocuments, Severity: diag.SeverityError,
			Message: "the file has more than one YAML document", Help: "put each document in a file of its own"}
	}
	line, what := 1, err.Error()
	if m := reportedLine.FindStringSubmatch(what); m != nil {
		what = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	out := diag.Problem{File: p.file, Line: min(line, len(p.lines)), Col: 1, Code: CodeSyntax, Severity: diag.SeverityError, Message: "this is not YAML: " + what}
	if name, ok := strings.CutPrefix(what, "unknown anchor '"); ok {
		line = p.find("*" + strings.TrimSuffix(name, "' referenced"))
		out.Line = line
	}
	for _, at := range []int{line, line + 1, line - 1} {
		if at < 1 || at > len(p.lines) {
			continue
		}
		if p.trap(&out, at) {
			return out
		}
	}
	for _, c := range complaints {
		if strings.Contains(what, c.says) {
			out.Message, out.Help = "this is not YAML: "+c.message, c.help
			break
		}
	}
	if strings.Contains(what, "end of stream") {
		p.openQuote(&out)
		return out
	}
	text := p.lines[out.Line-1]
	out.Col = 1 + len(text) - len(strings.TrimLeft(text, " "))
	return out
}

var quoted = regexp.MustCompile(`(?:[:,\[{]|^\s*-)\s+('(?:[^']|'')*$|"(?:[^"\\]|\\.)*$)`)

// openQuote moves out to the last quote that its line does not close.
func (p *parser) openQuote(out *diag.Problem) {
	for i, l := range p.lines {
		if m := quoted.FindStringSubmatchIndex(l); m != nil {
			out.Line, out.Col, out.Width = i+1, 1+runeLen(l[:m[2]]), runeLen(strings.TrimRight(l[m[2]:], " \r"))
		}
	}
}

// trap fills in out when the line looks like a known trap.
func (p *parser) trap(out *diag.Problem, at int) bool {
	text := strings.TrimSuffix(p.lines[at-1], "\r")
	for _, t := range syntaxTraps {
		m := t.like.FindStringSubmatchIndex(text)
		if m == nil {
			continue
		}
		from, to := m[2], m[3]
		for i := 4; from < 0 && i+1 < len(m); i += 2 {
			from, to = m[i], m[i+1]
		}
		found := strings.TrimRight(text[from:to], " ")
		out.Line, out.Col, out.Width = at, 1+runeLen(text[:from]), max(runeLen(found), 1)
		out.Code, out.Message, out.Help = t.code, t.message, t.help
		if strings.Contains(t.help, "%s") {
			out.Help = fmt.Sprintf(t.help, strings.ReplaceAll(found, "'", "''"))
		}
		return true
	}
	return false
}

// find returns the first line that has text in it, or 1.
func (p *parser) find(text string) int {
	for i, l := range p.lines {
		if strings.Contains(l, text) {
			return i + 1
		}
	}
	return 1
}
