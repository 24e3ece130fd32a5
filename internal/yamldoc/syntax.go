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
	like    *regexp.Regexp // group 1 is what to underline
	message string
	help    string // %s is group 1
}

// syntaxTraps are tried in order on the lines around the reported one.
var syntaxTraps = []trap{
	{regexp.MustCompile(`^(\s*\t)`), "YAML does not allow tabs for indentation", "indent with spaces"},
	{regexp.MustCompile(`[\[{,:]\s+(@[^,}\]#]*)|[\[{](@[^,}\]#]*)`), "YAML does not allow a value that starts with @", "quote it: '%s'"},
	{regexp.MustCompile("[\\[{,:-]\\s*(`[^,}\\]#]*)"), "YAML does not allow a value that starts with `", "quote it: '%s'"},
	{regexp.MustCompile(`[\[{,:-]\s+(%[^,}\]#]*)`), "YAML does not allow a value that starts with %%", "quote it: '%s'"},
	{regexp.MustCompile(`[\[{,:-]\s*(\*[\w.@#-]+)`), "YAML reads a leading * as an alias, and aliases are not supported", "quote it: '%s'"},
	{regexp.MustCompile(`[\[{](?:[^'"]*[ ,:])?(=[^'"].*[\[\]{}?].*|=[\[{].*)[\]}]`), "an expression inside { } or [ ] must be quoted: YAML takes its commas, brackets and colons for its own", "put it in single quotes, from the = to its end"},
	{regexp.MustCompile(`[\[{,]\s*(?:expr|if|when):\s+([^'"\s][^'"]*[\[\]{}?(].*?)[\]}]`), "an expression inside { } or [ ] must be quoted: YAML takes its commas, brackets and colons for its own", "put it in single quotes"},
	{regexp.MustCompile(`^\s*(?:- )?[^:'"]+:\s+(=[^'"].*: .*)$`), "an expression with ': ' in it must be quoted: YAML takes the colon for its own", "write it as '%s'"},
	{regexp.MustCompile(`^\s*-\s+(=.*: .*)$`), "an expression with ': ' in it must be quoted: YAML takes the colon for its own", "write it as '%s'"},
	{regexp.MustCompile(`:\s+(\[\w*\][.\w]+.*)$`), "YAML reads a leading [ as a list", "quote it: '%s'"},
	{regexp.MustCompile(`:\s+(\{\{.*\}\}.*)$`), "YAML reads a leading { as a mapping", "quote it: '%s'"},
	{regexp.MustCompile(`^\s*[^'"#]*?:\s+([^'"{\[#|>\s][^'"]*: .*)$`), "a value with ': ' in it must be quoted: YAML takes the colon for its own", "write it as '%s'"},
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
	text := p.lines[out.Line-1]
	out.Col = 1 + len(text) - len(strings.TrimLeft(text, " "))
	return out
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
		out.Message = strings.ReplaceAll(t.message, "%%", "%")
		out.Help = t.help
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
