package lang

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const sendJSON = "send a JSON document"

// explain turns a complaint into words. It is off the hot path.
func (s *scanner) explain(bad complaint) error {
	at := s.i
	message, help := "", ""
	switch bad {
	case tooDeep:
		message = fmt.Sprintf("the JSON is nested more than %d deep", s.maxDepth)
	case tooMany:
		message = fmt.Sprintf("the JSON has more than %d values", s.maxTokens)
	case badString:
		at, message, help = s.explainString()
	case badNumber:
		at = s.start
		message, help = explainNumber(string(s.around(s.start, isNumberish)))
		if m := explainStart(s.b[at:]); m != "" && len(s.open) == 0 {
			message, help = m, sendJSON
		}
	default:
		at, message, help = s.explainToken(bad)
	}
	line, col := position(s.b, at)
	return &Error{Line: line, Col: col, Width: 1, Code: CodeJSON, Message: message, Help: help}
}

// position returns line and column, in characters, of a byte offset.
func position(b []byte, at int) (line, col int) {
	before := b[:min(at, len(b))]
	line = bytes.Count(before, []byte("\n")) + 1
	last := before[bytes.LastIndexByte(before, '\n')+1:]
	return line, utf8.RuneCount(last) + 1
}

func (s *scanner) lineOf(at int) int {
	line, _ := position(s.b, at)
	return line
}

// around returns the run of characters from at on for which in holds, at most
// 40 bytes.
func (s *scanner) around(at int, in func(rune) bool) []byte {
	rest := s.b[at:min(len(s.b), at+40)]
	for i, r := range string(rest) {
		if !in(r) {
			return rest[:i]
		}
	}
	return rest
}

func isNumberish(r rune) bool {
	return r == '+' || r == '-' || r == '.' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// spelled are words of other languages.
var spelled = map[string]string{
	"True": "true", "TRUE": "true", "False": "false", "FALSE": "false", "None": "null", "NULL": "null", "Null": "null", "nil": "null", "undefined": "null",
	"NaN": "null", "Infinity": "null",
}

// explainToken handles a character that stands where another was expected.
func (s *scanner) explainToken(bad complaint) (at int, message, help string) {
	at = s.i
	if at >= len(s.b) {
		return s.explainEnd(bad)
	}
	r, _ := utf8.DecodeRune(s.b[at:])
	word := string(s.around(at, isNumberish))
	switch {
	case bad == wantValue && len(s.open) == 0:
		if m := explainStart(s.b[at:]); m != "" {
			return at, m, sendJSON
		}
	case bad == wantEnd:
		return at, "the JSON ends before this, but there is more text", ""
	}
	switch {
	case r == '“' || r == '”' || r == '„' || r == '‘' || r == '’' || r == '«' || r == '»':
		return at, fmt.Sprintf("%c is a typographic quote", r), `write the plain " instead`
	case r == '\'' || r == '`':
		return at, fmt.Sprintf("texts stand between double quotes, not %c", r), `write " instead`
	case r == '/' && at+1 < len(s.b) && (s.b[at+1] == '/' || s.b[at+1] == '*'), r == '#':
		return at, "JSON has no comments", "remove it"
	case r == utf8.RuneError || r == '\u00a0' || r == '\u200b' || r == '\ufeff':
		return at, fmt.Sprintf("an invisible or broken character (%U) stands here", r), "remove it"
	}
	switch bad {
	case wantColon:
		name := s.clip(s.start)
		if r == '=' {
			return at, fmt.Sprintf("after the name %s stands =", name), "write : instead"
		}
		return at, fmt.Sprintf("a colon is missing after the name %s", name), ""
	case wantComma:
		return s.explainComma(r)
	case wantName, wantNameOnly:
		return s.explainName(bad, r, word)
	}
	return s.explainValue(r, word)
}

func (s *scanner) explainComma(r rune) (int, string, string) {
	opened := s.open[len(s.open)-1]
	switch {
	case r == '"':
		return s.i, "a comma is missing before " + s.clip(s.i), ""
	case r == '}' || r == ']':
		return s.i, fmt.Sprintf("this %c cannot close the %c of line %d", r, s.b[opened], s.lineOf(opened)), fmt.Sprintf("close it with %c", closing(s.b[opened]))
	case r == ':' && s.b[opened] == '[':
		return s.i, "a name with a value stands in a list", "put { } around it, or make the list an object"
	case r == '=' || r == ';' || r == ':':
		return s.i, fmt.Sprintf("%c cannot stand here; a comma or %c is expected", r, closing(s.b[opened])), ""
	}
	word := s.around(s.i, func(r rune) bool { return !unicode.IsSpace(r) && !strings.ContainsRune("{}[],", r) })
	if len(word) == 0 {
		word = []byte("this " + string(r))
	}
	return s.i, "a comma is missing before " + string(word), ""
}

func (s *scanner) explainName(bad complaint, r rune, word string) (int, string, string) {
	switch {
	case bad == wantNameOnly && (r == '}' || r == ']'):
		return s.commaBefore(), fmt.Sprintf("the comma before the closing %c is one too many", r), "remove it"
	case r == ',':
		return s.i, "this comma is one too many", "remove it"
	case word != "":
		return s.i, fmt.Sprintf("the name %s needs double quotes", word), fmt.Sprintf("write %q", word)
	}
	return s.i, fmt.Sprintf("a name in double quotes is expected, not %c", r), ""
}

func (s *scanner) explainValue(r rune, word string) (int, string, string) {
	switch {
	case (r == '}' || r == ']') && s.previous() == ',':
		return s.commaBefore(), fmt.Sprintf("the comma before the closing %c is one too many", r), "remove it"
	case r == ',' && s.previous() == ',':
		return s.i, "this comma is one too many", "remove it"
	case r == ',' || r == '}' || r == ']':
		return s.i, fmt.Sprintf("a value is missing before this %c", r), "write null when there is none"
	case spelled[word] != "":
		return s.i, fmt.Sprintf("JSON does not know %s", word), "write " + spelled[word]
	case r == '+' || r == '.':
		m, h := explainNumber(word)
		return s.i, m, h
	case word != "":
		return s.i, fmt.Sprintf("%s is not a JSON value", word), fmt.Sprintf("write a text in double quotes, %q", word)
	case r == '$' || r == '%' || r == '<':
		return s.i, fmt.Sprintf("a value is expected, not %c", r), "was a placeholder not filled in?"
	}
	return s.i, fmt.Sprintf("a value is expected, not %c", r), ""
}

func (s *scanner) explainEnd(bad complaint) (int, string, string) {
	if len(bytes.TrimSpace(s.b)) == 0 {
		return len(s.b), "the body is empty", sendJSON
	}
	if n := len(s.open); n > 0 {
		at := s.open[n-1]
		return len(s.b), fmt.Sprintf("the JSON ends too early: the %c of line %d is not closed", s.b[at], s.lineOf(at)), "was the text cut off?"
	}
	return len(s.b), "the JSON ends too early", "was the text cut off?"
}

// explainStart recognises bodies that were never meant to be JSON.
func explainStart(b []byte) string {
	head := string(b[:min(len(b), 200)])
	name, _, isForm := strings.Cut(head, "=")
	switch {
	case head[0] == '<':
		return "this is XML or HTML, not JSON"
	case strings.HasPrefix(head, "--"):
		return "this is a multipart body, not JSON"
	case strings.HasPrefix(head, "\ufeff"):
		return "a byte order mark stands before the JSON"
	case isForm && name != "" && !strings.ContainsAny(name, " \t\r\n{}[]\":<>"):
		return "this is a form (" + quote(name+"=…") + "), not JSON"
	case strings.HasPrefix(head, "\x1f\x8b"):
		return "this is compressed with gzip, but no Content-Encoding says so"
	}
	return ""
}

func (s *scanner) explainString() (at int, message, help string) {
	if s.i >= len(s.b) {
		return s.start, "the text that begins here is not closed", `a " is missing`
	}
	c := s.b[s.i]
	switch {
	case c == '\n' || c == '\r':
		return s.start, "the text that begins here is not closed on its line", `a " is missing, or a line break that must be written \n`
	case c == '\t':
		return s.i, "a tab stands in a text", `write \t`
	case c < ' ':
		return s.i, fmt.Sprintf("the control character %U stands in a text", rune(c)), fmt.Sprintf(`write \u%04x`, c)
	case s.i+1 == len(s.b):
		return s.start, "the text that begins here is not closed", `a " is missing`
	case s.b[s.i+1] == 'u':
		return s.i, `\u needs four hex digits after it`, ""
	}
	r, _ := utf8.DecodeRune(s.b[s.i+1:])
	return s.i, fmt.Sprintf(`\%c is not an escape of JSON`, r), `for a backslash write \\`
}

func explainNumber(word string) (message, help string) {
	digits := strings.TrimLeft(word, "+-")
	message = fmt.Sprintf("%s is not a number in JSON", word)
	switch {
	case word == "-":
		return "- is not a number", ""
	case strings.HasPrefix(word, "+"):
		return message, "leave out the +"
	case strings.HasPrefix(digits, "."):
		return message, "write a 0 before the point"
	case strings.HasPrefix(digits, "0x") || strings.HasPrefix(digits, "0X"):
		return message, "write it in decimals, or as a text in double quotes"
	case len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9':
		return message, "leave out the zeros before it, or make it a text in double quotes"
	case strings.HasSuffix(word, "."):
		return message, "leave out the point, or write digits after it"
	}
	return message, fmt.Sprintf("write a text in double quotes, %q", word)
}

func closing(open byte) byte {
	if open == '{' {
		return '}'
	}
	return ']'
}

// previous returns the last character before s.i that is not white space.
func (s *scanner) previous() byte {
	if i := s.commaBefore(); i >= 0 {
		return s.b[i]
	}
	return 0
}

// commaBefore returns the offset of the last character before s.i that is not
// white space.
func (s *scanner) commaBefore() int {
	return len(bytes.TrimRight(s.b[:s.i], " \t\r\n")) - 1
}

// clip returns the string token at an offset, shortened.
func (s *scanner) clip(at int) string {
	end := quoteEnd(string(s.b[:min(len(s.b), at+60)]), at)
	if end < 0 {
		return string(s.around(at, func(r rune) bool { return r != '\n' })) + "…"
	}
	return string(s.b[at : end+1])
}
