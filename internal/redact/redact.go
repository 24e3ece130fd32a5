// Package redact takes secrets out of what people are shown: stored requests,
// the answers of the API, the log of attempts, the server's own log.
//
// There are three ways to know a secret. By value: a [Masker] holds those that
// the server itself uses, and finds each piece of one in whatever encoding. By
// rule: the credentials of a URL, the value of a member, parameter or variable
// whose name says that it is secret, see [Name]. By place: a mapping lists the
// paths of its documents whose values are secret, see [Path].
//
// The package is pure and its work is linear in the text. What it does not
// understand it treats as text: it never fails.
package redact

import (
	"bytes"
	"mime"
	"net/url"
	"strings"
)

// Stars stand where a secret was.
const Stars = "***"

// A Redactor takes secrets out of text. The zero value knows the rules for
// URLs, private keys and API keys only. It is safe for concurrent use.
type Redactor struct {
	// Known are secrets to find by value; nil has none.
	Known *Masker
	// Names makes the values of secret names secret: members of JSON,
	// parameters, assignments, headers.
	Names bool
	// Prose is for text that people write, where "token: wrong" is no
	// assignment: only names that no sentence has count before a colon.
	Prose bool
	// Paths are the secret places of JSON documents.
	Paths []Path
}

// Body returns the body of a request without its secrets, and how many were
// taken out. contentType is a hint: a body is read as what it looks like.
func (r *Redactor) Body(contentType string, body []byte) (text string, redacted int) {
	return r.body(contentType, string(bytes.ToValidUTF8(body, []byte("�"))), 0)
}

// maxNested bounds how many documents are read inside of one another: JSON in
// a field of a form, base64 in a member, and so on.
const maxNested = 4

func (r *Redactor) body(contentType, text string, nested int) (string, int) {
	kind, params, _ := mime.ParseMediaType(contentType)
	trimmed := strings.TrimLeft(text, " \t\r\n\ufeff")
	switch {
	case strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "["):
		return r.document(text, nested)
	case strings.HasPrefix(kind, "multipart/") && params["boundary"] != "":
		return r.parts(params["boundary"], text, nested)
	case kind == "application/x-www-form-urlencoded" || looksLikeForm(trimmed):
		return r.form(text, nested)
	}
	return r.Text(text)
}

// looksLikeForm reports whether text can only be a form or nothing readable.
func looksLikeForm(text string) bool {
	return strings.Contains(text, "=") && !strings.ContainsAny(text, " \t\r\n\"'<>{}")
}

func (r *Redactor) form(text string, nested int) (string, int) {
	pairs, n := strings.Split(text, "&"), 0
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(value)
		if err != nil {
			plain = value
		}
		plainName, err := url.QueryUnescape(name)
		if err != nil {
			plainName = name
		}
		shown, found := Stars, 1
		if !r.Names || !Name(plainName) {
			shown, found = r.inner(plain, nested)
		}
		if found > 0 {
			pairs[i] = name + "=" + strings.ReplaceAll(url.QueryEscape(shown), "%2A%2A%2A", Stars) // readable, and right
			n += found
		}
	}
	// The name of a parameter may be secret, too.
	out, more := r.known(strings.Join(pairs, "&"))
	return out, n + more
}

// parts redacts each part of a multipart body on its own.
func (r *Redactor) parts(boundary, text string, nested int) (string, int) {
	parts, n := strings.Split(text, "--"+boundary), 0
	for i, part := range parts {
		head, body, ok := strings.Cut(part, "\r\n\r\n")
		gap := "\r\n\r\n"
		if !ok {
			head, body, ok = strings.Cut(part, "\n\n")
			gap = "\n\n"
		}
		head, inHead := r.Text(head)
		n += inHead
		if !ok {
			parts[i] = head
			continue
		}
		body, inBody := r.inner(body, nested)
		n += inBody
		parts[i] = head + gap + body
	}
	return strings.Join(parts, "--"+boundary), n
}

// inner redacts what was found inside of something else.
func (r *Redactor) inner(text string, nested int) (string, int) {
	if nested >= maxNested {
		return r.Text(text)
	}
	if looksLikeForm(text) {
		return r.Text(text) // a URL, mostly; a form in a form is nobody's
	}
	return r.body("", text, nested+1)
}

// known replaces the secrets that are known by value.
func (r *Redactor) known(text string) (string, int) {
	if r.Known == nil {
		return text, 0
	}
	return r.Known.mask(text)
}
