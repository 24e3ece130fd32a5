package bridge

import "fmt"

// Code says what kind of answer an error deserves; api turns it into an HTTP
// status.
type Code string

// The codes.
const (
	CodeInvalid     Code = "invalid"     // the request cannot be understood
	CodeForbidden   Code = "forbidden"   // the key does not cover it
	CodeNotFound    Code = "not_found"   // there is no such thing
	CodeConflict    Code = "conflict"    // it contradicts what is stored
	CodeUnavailable Code = "unavailable" // Redis cannot commit now: try again
)

// Error is an error that a client may read. Err is the cause for the log and
// never reaches the client.
type Error struct {
	Code    Code
	Message string
	Err     error
}

// Error returns the message, with the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an *Error without a cause.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
