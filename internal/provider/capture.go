package provider

import (
	"bytes"
	"encoding/json"
)

// captured is a value of an answer that later requests for the same status
// send back: the pipeline that GitLab filed it under, say.
type captured struct{ from, into string }

// maxCaptured bounds what is kept of one answer, in bytes.
const maxCaptured = 512

// captureOf returns what later requests need of a delivered answer, as JSON
// object; "" when the profile needs nothing, or the answer has it not.
func (p *Profile) captureOf(a Answer) string {
	if len(p.capture) == 0 {
		return ""
	}
	answer, ok := decodeObject(a.Body)
	if !ok {
		return ""
	}
	kept := map[string]any{}
	for _, c := range p.capture {
		switch v := Lookup(answer, c.from).(type) {
		case string, json.Number:
			kept[c.into] = v
		}
	}
	text, err := json.Marshal(kept)
	if err != nil || len(kept) == 0 || len(text) > maxCaptured {
		return ""
	}
	return string(text)
}

// Fill returns the body of a delivery with what was captured of an answer to an
// earlier one. A member that the body has itself stays. profile is the
// delivery's, captured a [Class]'s; with "", or when either cannot be read,
// the body is returned as it is.
func (ps *Profiles) Fill(profile, body, captured string) string {
	p := ps.For(profile)
	if captured == "" || len(p.capture) == 0 {
		return body
	}
	values, ok := decodeObject([]byte(captured))
	members, isObject := decodeObject([]byte(body))
	if !ok || !isObject {
		return body
	}
	for _, c := range p.capture {
		_, own := members[c.into]
		if v := values[c.into]; !own && v != nil {
			members[c.into] = v
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(members) != nil {
		return body
	}
	return string(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

// decodeObject reads a JSON object, numbers digit by digit.
func decodeObject(text []byte) (map[string]any, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var m map[string]any
	err := d.Decode(&m)
	return m, err == nil && m != nil
}
