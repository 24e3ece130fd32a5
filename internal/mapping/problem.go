package mapping

import (
	"fmt"
	"strconv"
	"strings"

	"cibridge/internal/diag"
	"cibridge/internal/yamldoc"
)

// The problems that Load and Lint find. E11x are those of package yamldoc; E201, E202
// and the rest of E2xx those of package lang.
const (
	codeUnknownKey = "E101" // a key that is not known here
	codeMissing    = "E102" // a key that must be there
	codeShape      = "E103" // a list where a mapping is needed, …
	codeWord       = "E104" // a word that is not in a fixed list
	codeTaken      = "E105" // a name or route that is taken
	codeTogether   = "E106" // keys that do not go together
	codeField      = "E107" // a field that a run does not have
	codeCycle      = "E108" // lets that need each other
	codeFile       = "E109" // a test file without its mapping
	codeRead       = "E117" // a payload of a test that cannot be read

	codeLiteral    = "E203" // a literal where a path is meant
	codeDefault    = "E220" // a default that looks like a path
	codeSplit      = yamldoc.CodeSplit
	codeCut        = "E222" // a value that YAML cut at a " #"
	codeHeaderCase = "E223" // a header name with capitals
	codeStart      = yamldoc.CodeStart

	codeJobAttempt  = "W101" // attempt has a constant default on job events
	codeUnreachable = "W102" // an event that is never tried
	codeUnused      = "W103" // a let or map that nothing uses
	codeRequiredDef = "W104" // required and default together
	codeBodyPath    = "W105" // a path that starts with body
	codeSecret      = "W106" // a value that looks like a secret is kept
	codeUntested    = "W107" // an event without a test
	codeUnseen      = "W108" // a path that no test payload has
	codeUntestWord  = "W109" // a status word without a test
)

// The problems of requests.
const (
	CodeBadJSON    = "E001" // the body is not JSON
	CodeBadBody    = "E002" // a form or multipart body lacks the part with the JSON
	CodeWord       = "E301" // a word that the map does not know
	CodeRequired   = "E302" // a required value is absent
	CodeExpression = "E303" // an expression failed that the event cannot do without
	CodeCheck      = "E304" // one of the checks
	CodeNoEvent    = "E305" // no event takes the request
	CodeHandshake  = "E306" // a handshake with a host that the mapping does not allow
)

// Problem is why a request is refused, or not known.
type Problem struct {
	// Status is the HTTP status to refuse with, 400 or 422; 0 when the
	// request is acknowledged although it is not known.
	Status int    `json:"status,omitempty"`
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"` // what could not be set: "end.status", or ""
	// Message is for the sender: the text of a check, or what is wrong.
	Message string `json:"message"`
	// File, Line and Col are the place in the mapping; for invalid JSON, Line
	// and Col are the place in the body and File is "".
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"column,omitempty"`
}

// Error returns code, field, place and message in one line.
func (p *Problem) Error() string {
	s := p.Code
	if p.Field != "" {
		s += " " + p.Field
	}
	if p.File != "" {
		s += fmt.Sprintf(" (%s:%d)", p.File, p.Line)
	}
	return s + ": " + p.Message
}

func quote(s string) string { return strconv.Quote(s) }

func withHelp(p diag.Problem, help string) diag.Problem {
	p.Help = help
	return p
}

// didYouMean is the help for a wrong word: the nearest one, else all of them.
func didYouMean(word string, known []string) string {
	if near := diag.Nearest(word, known); near != "" {
		return "did you mean " + quote(near) + "?"
	}
	if len(known) == 0 || len(known) > 24 {
		return ""
	}
	return "known are " + strings.Join(known, ", ")
}
