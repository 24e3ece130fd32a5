package diag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// sarifObjects are the essentials of the schema of SARIF 2.1.0: for each object
// that is written here, the properties that it may have (the schema allows no
// others), which of them it must have, and what they hold.
var sarifObjects = map[string]struct {
	required   []string
	properties map[string]string
}{
	"log":              {[]string{"version", "runs"}, map[string]string{"$schema": "uri", "version": "2.1.0", "runs": "[]run"}},
	"run":              {[]string{"tool"}, map[string]string{"tool": "tool", "results": "[]result", "columnKind": "utf16CodeUnits|unicodeCodePoints", "artifacts": "any", "originalUriBaseIds": "any"}},
	"tool":             {[]string{"driver"}, map[string]string{"driver": "driver", "extensions": "any"}},
	"driver":           {[]string{"name"}, map[string]string{"name": "text", "version": "text", "semanticVersion": "text", "informationUri": "uri", "rules": "[]rule"}},
	"rule":             {[]string{"id"}, map[string]string{"id": "text", "name": "text", "shortDescription": "string", "fullDescription": "string", "help": "string", "helpUri": "uri", "defaultConfiguration": "config"}},
	"config":           {nil, map[string]string{"level": "none|note|warning|error", "enabled": "any"}},
	"string":           {[]string{"text"}, map[string]string{"text": "text", "markdown": "text"}},
	"result":           {[]string{"message"}, map[string]string{"ruleId": "text", "ruleIndex": "-1", "level": "none|note|warning|error", "kind": "fail", "message": "message", "locations": "[]location", "partialFingerprints": "any"}},
	"message":          {[]string{"text"}, map[string]string{"text": "text", "markdown": "text", "id": "text"}},
	"location":         {nil, map[string]string{"id": "-1", "physicalLocation": "physical", "logicalLocations": "[]logical", "message": "message"}},
	"physical":         {[]string{"artifactLocation"}, map[string]string{"artifactLocation": "artifactLocation", "region": "region", "contextRegion": "region"}},
	"artifactLocation": {nil, map[string]string{"uri": "uri-reference", "uriBaseId": "text", "index": "-1"}},
	"region":           {nil, map[string]string{"startLine": "1", "startColumn": "1", "endLine": "1", "endColumn": "1", "snippet": "any"}},
	"logical":          {nil, map[string]string{"name": "text", "fullyQualifiedName": "text", "kind": "text", "index": "-1"}},
}

// sarifErrors says where v is not what the schema wants.
func sarifErrors(v any, kind, at string) []string {
	bad := func(format string, args ...any) []string { return []string{at + ": " + fmt.Sprintf(format, args...)} }
	if item, ok := strings.CutPrefix(kind, "[]"); ok {
		list, isList := v.([]any)
		if !isList {
			return bad("%v is no list", v)
		}
		var out []string
		for i, x := range list {
			out = append(out, sarifErrors(x, item, fmt.Sprintf("%s[%d]", at, i))...)
		}
		return out
	}
	if object, ok := sarifObjects[kind]; ok {
		members, isObject := v.(map[string]any)
		if !isObject {
			return bad("%v is no object", v)
		}
		var out []string
		for _, name := range object.required {
			if _, ok := members[name]; !ok {
				out = append(out, bad("%s is missing", name)...)
			}
		}
		for name, x := range members {
			if of, ok := object.properties[name]; ok {
				out = append(out, sarifErrors(x, of, at+"."+name)...)
			} else {
				out = append(out, bad("%s is no property of it", name)...)
			}
		}
		return out
	}
	text, isText := v.(string)
	switch kind {
	case "any":
	case "-1", "1":
		n, ok := v.(float64)
		if least := map[string]float64{"-1": -1, "1": 1}[kind]; !ok || n < least || n != float64(int(n)) {
			return bad("%v is no whole number from %s", v, kind)
		}
	case "text":
		if !isText || text == "" {
			return bad("%v is no text", v)
		}
	case "uri", "uri-reference":
		u, err := url.Parse(text)
		if !isText || err != nil || strings.ContainsAny(text, " \\") || kind == "uri" && !u.IsAbs() {
			return bad("%v is no %s", v, kind)
		}
	default:
		if !slices.Contains(strings.Split(kind, "|"), text) {
			return bad("%v is none of %s", v, kind)
		}
	}
	return nil
}

var formatProblems = Problems{
	{File: "maps/ä b.yaml", Line: 3, Col: 7, Width: 4, Path: "run.status", Code: "E101", Message: "unknown key \"mapp\"\x1b[2J", Help: "100% sure:\r\ndid you mean \"map\"?", Severity: SeverityError},
	{File: "maps/a,b:c.yaml", Line: 9, Code: "W108", Message: "no test payload has x, or y", Severity: SeverityWarning},
	{File: "/srv/x.yaml", Line: 1, Col: 1, Code: "E101", Message: "again"},
	{Code: "E999", Message: "nowhere, and of an unknown code"},
}

func TestWriteSARIF(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSARIF(&b, formatProblems, Tool{Name: "cibridge", Version: "1.2.3"}); err != nil {
		t.Fatal(err)
	}
	var log map[string]any
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	for _, e := range sarifErrors(log, "log", "log") {
		t.Error(e)
	}
	run := log["runs"].([]any)[0].(map[string]any)
	rules := run["tool"].(map[string]any)["driver"].(map[string]any)["rules"].([]any)
	if len(rules) != 3 {
		t.Errorf("got %d rules, want one for each code", len(rules))
	}
	results := run["results"].([]any)
	if len(results) != len(formatProblems) {
		t.Fatalf("got %d results, want %d", len(results), len(formatProblems))
	}
	for i, r := range results {
		r := r.(map[string]any)
		rule := rules[int(r["ruleIndex"].(float64))].(map[string]any)
		if r["ruleId"] != formatProblems[i].Code || rule["id"] != r["ruleId"] {
			t.Errorf("result %d has rule %v, at its index is %v, want %s", i, r["ruleId"], rule["id"], formatProblems[i].Code)
		}
	}
	for _, want := range []string{
		`"uri": "maps/%C3%A4%20b.yaml"`, `"uri": "file:///srv/x.yaml"`, `"startColumn": 7`, `"endColumn": 11`, `"fullyQualifiedName": "run.status"`,
		`"level": "warning"`, `did you mean \"map\"?`, `"text": "unknown key"`, `"version": "1.2.3"`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("want %s in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), `\u001b`) {
		t.Error("an escape got through")
	}
	if got := strings.Count(b.String(), `"startColumn"`); got != 2 {
		t.Errorf("got %d columns; a problem without one has none", got)
	}
}

// The validator itself sees what is wrong.
func TestSARIFErrors(t *testing.T) {
	for _, in := range []string{
		`{"runs":[]}`, `{"version":"2.0.0","runs":[]}`, `{"version":"2.1.0","runs":{}}`, `{"version":"2.1.0","runs":[{}]}`,
		`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"columnKind":"bytes"}]}`,
		`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[{"ruleId":"a"}]}]}`,
		`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[{"message":{"text":"x"},"level":"fatal"}]}]}`,
		`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"results":[{"message":{"text":"x"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"a b"},"region":{"startLine":0}}}]}]}]}`,
		`{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}},"more":1}]}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(in), &v); err != nil {
			t.Fatal(err)
		}
		if len(sarifErrors(v, "log", "log")) == 0 {
			t.Errorf("%s: no error found", in)
		}
	}
}

func TestWriteGitHub(t *testing.T) {
	var b bytes.Buffer
	if err := WriteGitHub(&b, formatProblems); err != nil {
		t.Fatal(err)
	}
	want := "::error file=maps/ä b.yaml,line=3,col=7,endColumn=11,title=E101 unknown key::unknown key \"mapp\"\uFFFD[2J%0Ahelp: 100%25 sure:\uFFFD%0Adid you mean \"map\"?\n" +
		"::warning file=maps/a%2Cb%3Ac.yaml,line=9,title=W108 a path that no test payload has::no test payload has x, or y%0Ahelp: add it to the payload of a test, or correct the path\n" +
		"::error file=/srv/x.yaml,line=1,col=1,endColumn=2,title=E101 unknown key::again\n" +
		"::error title=E999::nowhere, and of an unknown code\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	for _, p := range formatProblems {
		p.Code = "E1::x,file=/etc/passwd\n::set-output"
		b.Reset()
		if err := WriteGitHub(&b, Problems{p}); err != nil || strings.Count(b.String(), "\n") != 1 || strings.Contains(b.String(), ",file=/etc") {
			t.Errorf("a command got in: %s", b.String())
		}
	}
}

// A problem without a help of its own has that of its code, in every format.
func TestHelpOfTheCode(t *testing.T) {
	ps := Problems{{File: "a", Line: 1, Col: 1, Code: "E222", Message: "m"}, {File: "a", Line: 1, Col: 1, Code: "E222", Message: "m", Help: "its own"}}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"text":   func(b *bytes.Buffer) error { return WriteText(b, ps, nil, false) },
		"json":   func(b *bytes.Buffer) error { return WriteJSON(b, ps) },
		"sarif":  func(b *bytes.Buffer) error { return WriteSARIF(b, ps, Tool{Name: "x"}) },
		"github": func(b *bytes.Buffer) error { return WriteGitHub(b, ps) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(b.String(), "quote the value: '…'"); got != 1 {
			t.Errorf("%s: the help of E222 is there %d times, want once:\n%s", name, got, b.String())
		}
		if !strings.Contains(b.String(), "its own") {
			t.Errorf("%s: the own help is lost:\n%s", name, b.String())
		}
	}
	if ps[0].Help != "" {
		t.Error("writing changed the problem")
	}
}

func TestCatalogue(t *testing.T) {
	e, ok := Explain("E203")
	if !ok || e.Title != "a literal where a path is meant" || e.Help != "" || !strings.HasPrefix(e.Text, "A bare value is a path") {
		t.Errorf("E203: got %+v, %v", e, ok)
	}
	if got := e.Block("mistake"); got != "fields: {version: 1.10}\n" {
		t.Errorf("the mistake of E203 is %q", got)
	}
	if got := e.Block("nothing"); got != "" {
		t.Errorf("a block that is not there is %q", got)
	}
	if e, _ := Explain("W107"); !strings.Contains(e.Block("fix"), "\n  - {name: deploy") || strings.Contains(e.Block("fix"), "W108") {
		t.Errorf("the fix of W107 is %q", e.Block("fix"))
	}
	if _, ok := Explain("E000"); ok {
		t.Error("E000 is explained")
	}
	all := Catalogue()
	all[0].Code = "changed"
	if Catalogue()[0].Code != "E001" {
		t.Error("the catalogue can be changed from outside")
	}
}
