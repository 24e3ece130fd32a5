package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"cibridge/internal/lang"
)

// bearer returns the token of an Authorization header, whatever the case of
// its scheme.
func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	token = strings.TrimSpace(token)
	return token, token != ""
}

// listOf is the shape of every list of /api/v1.
type listOf[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

func writeList[T any](c *gin.Context, items []T, next string) error {
	l := listOf[T]{Items: items}
	if l.Items == nil {
		l.Items = []T{}
	}
	if next != "" {
		l.Next = &next
	}
	writeJSON(c, http.StatusOK, "application/json", l)
	return nil
}

const (
	defaultLimit = 50
	maxLimit     = 200
)

// pageOf reads limit and cursor.
func pageOf(c *gin.Context) (Page, error) {
	p := Page{Limit: defaultLimit, Cursor: c.Query("cursor")}
	if v := c.Query("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxLimit {
			return Page{}, invalid("limit", "limit is %q; it is a number from 1 to %d", v, maxLimit)
		}
		p.Limit = n
	}
	return p, nil
}

// allowQuery refuses query parameters that a route does not know: a misspelt
// filter would answer with everything.
func allowQuery(c *gin.Context, known ...string) error {
	for name := range c.Request.URL.Query() {
		if !contains(known, name) {
			return invalid(name, "%q is not a parameter of this route, it knows %s%s", name, strings.Join(known, ", "), didYouMean(name, known))
		}
	}
	return nil
}

// invalid returns a 422 for one field of an operator's request.
func invalid(field, format string, args ...any) *problem {
	e := fieldErrors{}
	e.add(field, format, args...)
	return e.problem()
}

// fieldErrors collects what is wrong with a request, field by field.
type fieldErrors map[string][]string

func (e fieldErrors) add(field, format string, args ...any) {
	e[field] = append(e[field], fmt.Sprintf(format, args...))
}

// err returns nil when nothing is wrong. It must be used instead of problem
// where an error is returned: a nil *problem is not a nil error.
func (e fieldErrors) err() error {
	if len(e) == 0 {
		return nil
	}
	return e.problem()
}

func (e fieldErrors) problem() *problem {
	var all []string
	for _, field := range sortedKeys(e) {
		all = append(all, e[field]...)
	}
	p := problemf(codeInvalid, "%s", strings.Join(all, "; "))
	p.Errors = e
	return p
}

// readJSON decodes the body of an operator's request into v. Unknown fields
// are errors: a misspelt one would silently do nothing.
func (s *Server) readJSON(c *gin.Context, v any) error {
	raw, err := s.readAdmin(c)
	if err != nil {
		return err
	}
	return decodeJSON(raw, v, true)
}

// decodeJSON reads raw into v; strict refuses unknown fields.
func decodeJSON(raw []byte, v any, strict bool) error {
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(raw)) == 0 {
		return problemf(codeBadJSON, "the body is empty; a JSON object is expected")
	}
	if err := lang.Scan(raw, 0, 0); err != nil {
		return badJSON(err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if strict {
		dec.DisallowUnknownFields()
	}
	err := dec.Decode(v)
	if err == nil {
		return nil
	}
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		field := kind.Field
		if field == "" {
			field = "body"
		}
		return invalid(field, "%s is %s, but must be %s", field, article(kind.Value), article(typeWord(kind.Type.Kind().String())))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return invalid(name, "%q is not a field of this request", name)
	}
	return problemf(codeBadJSON, "the body cannot be read: %s", strings.TrimPrefix(err.Error(), "json: "))
}

// badJSON makes a problem of what [lang.Scan] found.
func badJSON(err error) *problem {
	p := problemf(codeBadJSON, "%v", err)
	var at *lang.Error
	if errors.As(err, &at) {
		p.Line, p.Column = at.Line, at.Col
		p.Detail = fmt.Sprintf("line %d, column %d: %s", at.Line, at.Col, at.Message)
	}
	return p
}

// typeWord names a Go kind in the words of JSON.
func typeWord(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"), strings.HasPrefix(kind, "float"):
		return "number"
	case kind == "slice":
		return "array"
	case kind == "struct", kind == "map":
		return "object"
	}
	return kind
}

func article(word string) string {
	if word != "" && strings.ContainsRune("aeiou", rune(word[0])) {
		return "an " + word
	}
	return "a " + word
}
