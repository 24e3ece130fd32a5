package template

import (
	"fmt"
	"net/textproto"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/lang"
)

// The largest header templates, in characters: Devopness's.
const (
	MaxHeaderName  = 256
	MaxHeaderValue = 4096
)

// Header is the template of a request header.
type Header struct {
	name   string
	pieces []piece
}

// ownHeaders belong to the connection or are set when a request is sent.
var ownHeaders = map[string]bool{
	"Host": true, "Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Keep-Alive": true,
	"Te": true, "Trailer": true, "Upgrade": true, "Expect": true, "Idempotency-Key": true, "X-Idempotency-Key": true,
}

// HeaderNameFault says why a hook may not set the header name, "" when it may.
func HeaderNameFault(name string) string {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case name == "":
		return "the name of the header is empty"
	case len(name) > MaxHeaderName:
		return fmt.Sprintf("the name of the header has %d characters, at most %d are allowed", len(name), MaxHeaderName)
	case strings.Contains(name, "{{"):
		return "the name of a header cannot have placeholders"
	case !token(name):
		return fmt.Sprintf("%q is no name of a header: letters, digits and - are", cut(name))
	case ownHeaders[canonical], strings.HasPrefix(canonical, "Proxy-"), strings.HasPrefix(canonical, "Webhook-"):
		return fmt.Sprintf("the header %s cannot be set by a hook: it is set when the request is sent", name)
	}
	return ""
}

// token reports whether s is a token of RFC 9110.
func token(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// CompileHeaderValue compiles the value of the header name, which
// [HeaderNameFault] has nothing against. It may have the access token of the
// application's source provider alone in a placeholder, as it is or
//
//	… | basic()          the credentials of Basic: base64 of user:password, the
//	                     user being empty for a token without a colon
//	… | authorization()  "Basic …" for user:password, "Bearer …" for any other
func CompileHeaderValue(name, value string) (*Header, diag.Problems) {
	if len(value) > MaxHeaderValue {
		return nil, diag.Problems{{Line: 1, Col: 1, Code: CodeSize, Severity: diag.SeverityError,
			Message: fmt.Sprintf("the value of the header has %d bytes, at most %d are allowed", len(value), MaxHeaderValue)}}
	}
	pieces, problems := parse(value, place{secrets: true})
	for _, p := range pieces {
		if p.literal() && valueFault(p.text) != "" {
			problems = append(problems, diag.Problem{Line: 1, Col: 1, Code: CodeHeader, Severity: diag.SeverityError,
				Message: "the value of a header " + valueFault(p.text)})
		}
	}
	return &Header{name, pieces}, problems
}

// valueFault says why s cannot be in the value of a header, "" when it can.
func valueFault(s string) string {
	for _, c := range []byte(s) {
		switch {
		case c == '\r' || c == '\n':
			return "cannot have a line break"
		case c < ' ' && c != '\t' || c == 0x7f:
			return "cannot have control characters"
		}
	}
	return ""
}

// Literal returns the name of h and what is written out of its value.
func (h *Header) Literal() (name, value string) {
	for _, p := range h.pieces {
		value += p.text
	}
	return h.name, value
}

// Reads lists the names that h reads.
func (h *Header) Reads() []string { return reads(h.pieces) }

// Secret reports whether h has the access token in it.
func (h *Header) Secret() bool {
	for _, p := range h.pieces {
		if p.secret {
			return true
		}
	}
	return false
}

// Render fills h. ref stands for the access token; the form in which it is sent
// is appended to it, "<ref>:basic". With missing values the
// header is empty. The error says, for people, which value cannot be in a
// header.
func (h *Header) Render(env Env, ref string) (out bridge.Header, missing []string, err error) {
	out.Name = h.name
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			out.Parts = append(out.Parts, bridge.Part{Text: b.String()})
			b.Reset()
		}
	}
	for _, p := range h.pieces {
		switch {
		case p.secret:
			flush()
			part := bridge.Part{Ref: ref}
			if p.form != "" && ref != "" {
				part.Ref += ":" + p.form
			}
			out.Parts = append(out.Parts, part)
			continue
		case p.literal():
			b.WriteString(p.text)
			continue
		}
		v, absent, err := p.eval(env)
		if err != nil {
			return bridge.Header{}, nil, err
		}
		missing = append(missing, absent...)
		text, _ := lang.Text(v)
		if fault := valueFault(text); fault != "" {
			return bridge.Header{}, nil, fmt.Errorf("{{ %s }} cannot be in the header %s: it %s", p.source, h.name, strings.Replace(fault, "cannot have", "has", 1))
		}
		b.WriteString(text)
	}
	if len(missing) > 0 {
		return bridge.Header{}, missing, nil
	}
	flush()
	return out, nil, nil
}
