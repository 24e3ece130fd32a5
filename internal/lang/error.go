package lang

import (
	"errors"
	"fmt"
	"strings"
)

// The codes of errors. E2xx are found when a file is loaded, E31x when an
// expression runs.
const (
	CodeName    = "E201" // unknown name, member or function
	CodePath    = "E202" // a gjson path that is not right or not allowed
	CodeSyntax  = "E204" // cannot be read
	CodeRefused = "E205" // would be valid elsewhere, but is not allowed here
	CodeArgs    = "E206" // wrong number or kind of arguments
	CodeRun     = "E310" // the values do not fit
	CodeLimit   = "E311" // too much work, text or time
	CodeTime    = "E312" // a time that cannot be read
	CodeJSON    = "E001" // not valid JSON, or more than is accepted
)

// Error says what is wrong with a source text, or with the values it met, and
// where in the source text.
type Error struct {
	Line    int // from 1
	Col     int // in characters, from 1
	Width   int // characters to underline, at least 1
	Code    string
	Message string
	Help    string // what to do about it; may be empty
}

// Error returns the message and the help, without the place.
func (e *Error) Error() string {
	if e.Help == "" {
		return e.Message
	}
	return e.Message + "; " + e.Help
}

// Errors are several errors of one source text.
type Errors []*Error

// Error returns the errors, one per line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// List returns the errors in err, which came from this package: one, several,
// or none when err is nil. An error from elsewhere becomes one at line 1.
func List(err error) []*Error {
	var many Errors
	var one *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &many):
		return many
	case errors.As(err, &one):
		return []*Error{one}
	}
	return []*Error{{Line: 1, Col: 1, Width: 1, Code: CodeRun, Message: err.Error()}}
}

// fault is an error of a function or an operator. It gets its place from the
// call, unless it has its own.
type fault struct {
	code, message, help string
	from                int // rune offset in the source; -1: that of the call
}

func (f *fault) Error() string { return f.message }

func faultf(format string, args ...any) *fault {
	return &fault{code: CodeRun, message: fmt.Sprintf(format, args...), from: -1}
}

func (f *fault) withHelp(format string, args ...any) *fault {
	f.help = fmt.Sprintf(format, args...)
	return f
}

func limitf(format string, args ...any) *fault {
	f := faultf(format, args...)
	f.code = CodeLimit
	return f
}

// place returns line and column of a rune offset in src, both from 1.
func place(src string, offset int) (line, col int) {
	line, col = 1, 1
	n := 0
	for _, r := range src {
		if n == offset {
			break
		}
		n++
		if r == '\n' {
			line++
			col = 1
		} else {
			col++
		}
	}
	return line, col
}
