// Package diag describes what is wrong with a file a person wrote, and where.
//
// Everything that reads mappings, hooks or configuration returns a list of
// Problems instead of the first error; printing them is this package's other
// half, so that all of cibridge complains in one voice.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a Problem keeps a file from being used.
type Severity string

// The severities. The zero value counts as SeverityError.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is one finding in one file.
type Problem struct {
	File string `json:"file,omitempty"` // as the user named it
	Line int    `json:"line,omitempty"` // from 1; 0 when the place is not known
	Col  int    `json:"col,omitempty"`  // in characters, from 1; 0 when it is not known
	// Width is the number of characters to underline; 0 counts as 1.
	Width int `json:"width,omitempty"`
	// Path is the place in the document's structure, "events[0].fields.url".
	Path     string   `json:"path,omitempty"`
	Code     string   `json:"code"` // stable: E1xx structure, E2xx expression or path, W… lint
	Message  string   `json:"message"`
	Help     string   `json:"help,omitempty"` // what to do about it
	Severity Severity `json:"severity"`
}

// Error returns the problem in one line: "file:line:col: message [code]".
// Parts that are not known are left out.
func (p Problem) Error() string {
	s := p.Message
	if at := p.place(); at != "" {
		s = at + ": " + s
	}
	if p.Code != "" {
		s += " [" + p.Code + "]"
	}
	return s
}

// Warning reports whether p leaves its file usable.
func (p Problem) Warning() bool { return p.Severity == SeverityWarning }

func (p Problem) place() string {
	var parts []string
	if p.File != "" {
		parts = append(parts, p.File)
	}
	if p.Line > 0 {
		parts = append(parts, fmt.Sprint(p.Line))
		if p.Col > 0 {
			parts = append(parts, fmt.Sprint(p.Col))
		}
	}
	return strings.Join(parts, ":")
}

// Problems is a list of findings. A nil list means that nothing is wrong.
type Problems []Problem

// Error returns all problems, one per line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err returns ps as an error, or nil when no problem is an error: a typed nil
// never gets into an error variable.
func (ps Problems) Err() error {
	if errs := ps.Errors(); len(errs) > 0 {
		return errs
	}
	return nil
}

// Errors returns the problems that keep a file from being used.
func (ps Problems) Errors() Problems {
	return ps.filter(func(p Problem) bool { return !p.Warning() })
}

// Warnings returns the problems that leave a file usable.
func (ps Problems) Warnings() Problems {
	return ps.filter(Problem.Warning)
}

func (ps Problems) filter(keep func(Problem) bool) Problems {
	var out Problems
	for _, p := range ps {
		if keep(p) {
			out = append(out, p)
		}
	}
	return out
}

// Sort orders ps by place, in place; problems of one place keep their order.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}
