package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
)

// code is a stable name of a kind of error. Clients may branch on it; its
// number never gets another meaning.
type code string

// The codes of this package. E001 and the E3xx come from the mappings.
const (
	codeBadJSON         code = "E001"
	codeNoRoute         code = "E010"
	codeMethod          code = "E011"
	codeTooLarge        code = "E012"
	codeTooSlow         code = "E013"
	codeMediaType       code = "E014"
	codeBadEncoding     code = "E015"
	codeBusy            code = "E016"
	codeTooMany         code = "E017"
	codeUnauthenticated code = "E020"
	codeForbidden       code = "E021"
	codeConflict        code = "E022"
	codeUnavailable     code = "E023"
	codeNotFound        code = "E024"
	codeInvalid         code = "E025"
	codeRejected        code = "E026"
	codeHandshake       code = "E027"
	codeInternal        code = "E099"
)

// kinds gives every code its status and its title, which never change from
// one occurrence to the next.
var kinds = map[code]struct {
	status int
	title  string
}{
	codeBadJSON:         {http.StatusBadRequest, "The body is not valid JSON"},
	codeNoRoute:         {http.StatusNotFound, "Nothing is served here"},
	codeMethod:          {http.StatusMethodNotAllowed, "The method is not allowed here"},
	codeTooLarge:        {http.StatusRequestEntityTooLarge, "The body is too large"},
	codeTooSlow:         {http.StatusRequestTimeout, "The body came too slowly"},
	codeMediaType:       {http.StatusUnsupportedMediaType, "The body has a type that cannot be read here"},
	codeBadEncoding:     {http.StatusBadRequest, "The body could not be read"},
	codeBusy:            {http.StatusServiceUnavailable, "The server is busy"},
	codeTooMany:         {http.StatusTooManyRequests, "Too many requests"},
	codeUnauthenticated: {http.StatusUnauthorized, "Not authenticated"},
	codeForbidden:       {http.StatusForbidden, "Not allowed"},
	codeConflict:        {http.StatusConflict, "It contradicts what is stored"},
	codeUnavailable:     {http.StatusServiceUnavailable, "The request could not be stored"},
	codeNotFound:        {http.StatusNotFound, "There is no such thing"},
	codeInvalid:         {http.StatusUnprocessableEntity, "The request is not valid"},
	codeRejected:        {http.StatusUnprocessableEntity, "The mapping refuses the request"},
	codeHandshake:       {http.StatusBadGateway, "The handshake failed"},
	codeInternal:        {http.StatusInternalServerError, "Something is wrong in cibridge"},
}

// problem is an error that a client reads as application/problem+json (RFC
// 9457). The unexported cause is for the log only.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   code   `json:"code"`
	Detail string `json:"detail,omitempty"`
	// Line and Column point into the request's body, from 1.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Field and Mapping point into the mapping: the field that could not be
	// filled and its file:line.
	Field   string `json:"field,omitempty"`
	Mapping string `json:"mapping,omitempty"`
	EventID string `json:"event_id,omitempty"`
	// Errors holds what is wrong with each field of an operator's request.
	Errors map[string][]string `json:"errors,omitempty"`

	retryAfter time.Duration
	header     http.Header
	cause      error
}

// problemf returns a problem of a kind; the text is its detail.
func problemf(c code, format string, args ...any) *problem {
	k := kinds[c]
	return &problem{
		Type: problemType(string(c)), Title: k.title, Status: k.status, Code: c,
		Detail: fmt.Sprintf(format, args...),
	}
}

func problemType(c string) string { return "urn:cibridge:error:" + c }

// Error returns the detail, with the cause.
func (p *problem) Error() string {
	if p.cause != nil {
		return p.Detail + ": " + p.cause.Error()
	}
	return p.Detail
}

// Unwrap returns the cause, or nil.
func (p *problem) Unwrap() error { return p.cause }

// after says when the same request may be tried again.
func (p *problem) after(d time.Duration) *problem { p.retryAfter = d; return p }

// because notes the cause for the log.
func (p *problem) because(err error) *problem { p.cause = err; return p }

// with sets a header of the answer.
func (p *problem) with(name, value string) *problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

// codeOf says which kind of answer an error of the bridge's words deserves.
var codeOf = map[bridge.Code]code{
	bridge.CodeInvalid:     codeInvalid,
	bridge.CodeForbidden:   codeForbidden,
	bridge.CodeNotFound:    codeNotFound,
	bridge.CodeConflict:    codeConflict,
	bridge.CodeUnavailable: codeUnavailable,
}

// retryUnavailable is how long a client should wait when Redis cannot commit.
const retryUnavailable = 2 * time.Second

// asProblem makes a problem of any error. A *bridge.Error may be read by the
// client; every other error comes from a dependency, whose text stays in the
// log, and is answered with 503: the same request may succeed later.
func asProblem(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var be *bridge.Error
	if errors.As(err, &be) {
		c, known := codeOf[be.Code]
		if !known {
			c = codeInternal
		}
		p = problemf(c, "%s", be.Message).because(be.Err)
		if c == codeUnavailable {
			p = p.after(retryUnavailable)
		}
		return p
	}
	detail := "a part that cibridge needs did not answer; try again"
	if errors.Is(err, context.DeadlineExceeded) {
		detail = "a part that cibridge needs did not answer in time; try again"
	}
	return problemf(codeUnavailable, "%s", detail).because(err).after(retryUnavailable)
}

// writeHeader sets the headers of the problem, without the status.
func (p *problem) writeHeader(c *gin.Context) {
	h := c.Writer.Header()
	for name, values := range p.header {
		h[name] = values
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", retryAfter(p.retryAfter))
	}
}

// write answers with the problem.
func (p *problem) write(c *gin.Context) {
	p.writeHeader(c)
	writeJSON(c, p.Status, "application/problem+json", p)
}

// retryAfter writes a duration in whole seconds, at least 1.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

// writeJSON answers with v as JSON. v must be encodable.
func writeJSON(c *gin.Context, status int, contentType string, v any) {
	body, err := encode(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	c.Data(status, contentType, body)
}

// encode writes v as JSON without escaping <, > and &, so that URLs stay
// readable, and without the newline that json.Encoder adds.
func encode(v any) ([]byte, error) {
	var b jsonBuffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b[:len(b)-1], nil
}

type jsonBuffer []byte

func (b *jsonBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}
