package mapping

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"regexp"
	"strings"

	"cibridge/internal/lang"
)

// decodeStep is one step from the bytes of a request to its JSON document.
// form and multipart look at the bytes, whatever the Content-Type says, and
// leave a body alone that is JSON already. unwrap and base64 leave a document
// alone that does not have what they look for.
type decodeStep struct {
	kind string     // json, form, multipart, unwrap, base64 or cloudevents
	name string     // field or part
	path *lang.Path // of unwrap and base64
}

const maxParts = 100

// document finds the JSON document of the request. The problem has status 400.
func (s *state) document() *Problem {
	raw := bytes.TrimPrefix(s.in.Request.Body, []byte("\xef\xbb\xbf"))
	for _, step := range s.m.decode {
		var err error
		switch step.kind {
		case "form":
			raw, err = formField(raw, step.name)
		case "multipart":
			raw, err = multipartPart(raw, s.in.Request.Header["content-type"], step.name)
		}
		if err != nil {
			return &Problem{Status: 400, Code: CodeBadBody, Message: err.Error()}
		}
	}
	doc, problem := s.parse(raw)
	if problem != nil {
		return problem
	}
	s.body, s.envelope = doc, doc
	for _, step := range s.m.decode {
		s.unwrap(step)
	}
	if s.rec != nil {
		s.rec.begin(s.body)
	}
	return nil
}

// parse scans a JSON text. A document that is a JSON text inside a JSON string
// is parsed once more.
func (s *state) parse(raw []byte) (*lang.Doc, *Problem) {
	doc, err := lang.Parse(raw, 0, 0)
	if err != nil {
		p := &Problem{Status: 400, Code: CodeBadJSON, Message: err.Error(), Line: 1, Col: 1}
		var e *lang.Error
		if errors.As(err, &e) {
			p.Message, p.Line, p.Col = e.Message, e.Line, e.Col
		}
		return nil, p
	}
	if text, ok := doc.Text(); ok {
		if inner := inside(text); inner != nil {
			return inner, nil
		}
	}
	return doc, nil
}

// inside returns the document in a text that is a JSON object or list, nil for
// any other text.
func inside(text string) *lang.Doc {
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
	if text == "" || text[0] != '{' && text[0] != '[' {
		return nil
	}
	doc, err := lang.Parse([]byte(text), 0, 0)
	if err != nil {
		return nil
	}
	return doc
}

// unwrap follows one step of the document into what it wraps.
func (s *state) unwrap(step decodeStep) {
	switch step.kind {
	case "cloudevents":
		s.cloudEvent()
		return
	case "unwrap", "base64":
	default:
		return
	}
	found := step.path.Find(s.body)
	if found.IsObject() {
		s.body = found
		return
	}
	text, ok := scalar(found)
	if !ok || !strings.HasPrefix(found.Raw(), `"`) {
		return
	}
	if step.kind == "base64" {
		text = string(decode64(text))
	}
	if inner := inside(text); inner != nil {
		s.body = inner
	}
}

// decode64 reads base64 in either alphabet, padded or not; nil when it is
// neither.
func decode64(text string) []byte {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(text); err == nil {
			return b
		}
	}
	return nil
}

// jsonStart reports whether raw begins as a JSON document does. A multipart
// body never does.
func jsonStart(raw []byte) bool {
	t := bytes.TrimLeft(raw, " \t\r\n")
	return len(t) > 0 && strings.IndexByte(`{["`, t[0]) >= 0
}

// formStart is how a form begins: with the name of a field. No JSON document
// and no multipart body does.
var formStart = regexp.MustCompile(`^[\w.%+*\[\]~-]*[\w%\]]=`)

func formField(raw []byte, name string) ([]byte, error) {
	if !formStart.Match(raw) {
		return raw, nil
	}
	for pair := range strings.SplitSeq(string(raw), "&") {
		k, v, _ := strings.Cut(pair, "=")
		if k, err := url.QueryUnescape(k); err != nil || k != name {
			continue
		}
		text, err := url.QueryUnescape(v)
		if err != nil {
			return nil, fmt.Errorf("the form field %q is not URL-encoded: %w", name, err)
		}
		return []byte(text), nil
	}
	return nil, fmt.Errorf("the form has no field %q", name)
}

func multipartPart(raw []byte, contentType, name string) ([]byte, error) {
	if jsonStart(raw) || !bytes.Contains(raw[:min(len(raw), 4096)], []byte("--")) {
		return raw, nil
	}
	boundary := ""
	if kind, params, err := mime.ParseMediaType(contentType); err == nil && strings.HasPrefix(kind, "multipart/") {
		boundary = params["boundary"]
	}
	if boundary == "" {
		line, _, _ := bytes.Cut(bytes.TrimLeft(raw, "\r\n"), []byte("\n"))
		text, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "--")
		if !ok || text == "" || len(text) > 70 {
			return raw, nil
		}
		boundary = text
	}
	r := multipart.NewReader(bytes.NewReader(raw), boundary)
	for range maxParts {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the multipart body is damaged: %w", err)
		}
		if partName(part) != name {
			continue
		}
		b, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("the multipart body ends inside part %q: %w", name, err)
		}
		return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), nil
	}
	return nil, fmt.Errorf("the multipart body has no part %q", name)
}

// partName is the name of a part, whatever its disposition: multipart/mixed
// has names, too.
func partName(p *multipart.Part) string {
	_, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
	if err != nil {
		return p.FormName()
	}
	return params["name"]
}

// cloudEvent puts the attributes of a CloudEvent beside its data, as ce: those
// of the headers in binary mode, those of the document in structured mode.
func (s *state) cloudEvent() {
	attributes := map[string]any{}
	for name, v := range s.in.Request.Header {
		if attribute, ok := strings.CutPrefix(name, "ce-"); ok {
			attributes[attribute] = v
		}
	}
	data := s.body
	if len(attributes) == 0 {
		if s.body.Member("specversion").Absent() || s.body.Member("type").Absent() {
			return
		}
		data = nil
		for _, e := range s.body.Entries() {
			switch e.Key {
			case "data":
				data = e.Value
			case "data_base64":
				if text, ok := e.Value.Value().(string); ok {
					data = inside(string(decode64(text)))
				}
			default:
				attributes[e.Key] = e.Value.Value()
			}
		}
		if text, ok := data.Value().(string); ok {
			data = inside(text)
		}
	}
	ce, err := json.Marshal(attributes)
	if err != nil {
		return
	}
	s.body = withMember(data, "ce", string(ce))
}

// withMember returns an object with one more member, in front. What is no
// object becomes its member data.
func withMember(d *lang.Doc, name, raw string) *lang.Doc {
	var b strings.Builder
	b.WriteString(`{"` + name + `":` + raw)
	switch {
	case d.IsObject() && len(d.Entries()) > 0:
		b.WriteString("," + strings.TrimLeft(d.Raw(), " \t\r\n")[1:])
	case d.IsObject():
		b.WriteString("}")
	case d.Absent():
		b.WriteString("}")
	default:
		b.WriteString(`,"data":` + d.Raw() + "}")
	}
	return lang.NewDoc(b.String())
}
