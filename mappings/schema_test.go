package mappings

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"cibridge/internal/mapping"
	"cibridge/internal/yamldoc"
)

var schemaFiles = map[string]func() []byte{"mapping.schema.json": mapping.MappingSchema, "mapping-test.schema.json": mapping.TestFileSchema}

// The committed schemas are those of the program. UPDATE=1 rewrites them.
func TestSchemaFiles(t *testing.T) {
	for name, generate := range schemaFiles {
		want := generate()
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not that of the program: cibridge config schema prints it, and so does UPDATE=1 go test ./mappings -run SchemaFiles", name)
		}
	}
}

// Editors find the schema by the first line of each file.
func TestModelines(t *testing.T) {
	for _, f := range Files() {
		line, _, _ := strings.Cut(string(f.Data), "\n")
		if want := "# yaml-language-server: $schema=" + schemaOf(f.Name); line != want {
			t.Errorf("%s begins with %q, want %q", f.Name, line, want)
		}
	}
}

func schemaOf(file string) string {
	if strings.HasSuffix(file, "_test.yaml") {
		return "mapping-test.schema.json"
	}
	return "mapping.schema.json"
}

func compiled(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	out := map[string]*jsonschema.Schema{}
	for name, generate := range schemaFiles {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(generate()))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft7)
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
		if out[name], err = c.Compile(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// instance reads a YAML text as editors do.
func instance(t *testing.T, name string, data []byte) any {
	t.Helper()
	root, problems := yamldoc.Parse(name, data)
	if root == nil {
		t.Fatal(problems)
	}
	text, err := json.Marshal(root.Value())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// What the loader takes, the schema takes: all that ships, the examples of the
// README and the files that the loader is tested with.
func TestSchemaTakesWhatLoads(t *testing.T) {
	schemas := compiled(t)
	files := Files()
	for _, b := range fence.FindAllStringSubmatch(readme(t), -1) {
		files = append(files, File{Name: "README.yaml", Data: []byte(b[1])})
	}
	names, err := filepath.Glob(filepath.Join("..", "internal", "mapping", "testdata", "ok", "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{Name: name, Data: data})
	}
	for _, f := range files {
		if err := schemas[schemaOf(f.Name)].Validate(instance(t, f.Name, f.Data)); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

// What is wrong in its shape is shown in the editor already.
func TestSchemaRefusesWrongShapes(t *testing.T) {
	const good = `version: 1
name: good
receive: {auth: [{hmac: {header: X-Sig, encoding: hex}}], decode: [{unwrap: a}, cloudevents], routes: POST /a}
events:
  - name: e
    match: {body: {a: [b, c]}}
    run_key: [{value: a}, {path: b, map: {a: b}}]
    status: {path: s, map: {ok: succeeded, no: ~}}
    fields: {labels.a: b, duration_ms: {path: c, unit: s}}
    lists: {stages: [{each: s, fields: {status: {path: s, map: {ok: failed}}}, lists: {steps: {each: t, fields: {name: n}}}}]}
tests:
  - {name: t, body: {}, expect: {labels.a: b, commit: {sha: 1}, status: failed}}
  - {name: s, sequence: [{body: {}, expect: [{event: e}]}], runs: {a: {status: incomplete}}, triggers: [action.failed]}
`
	schema := compiled(t)["mapping.schema.json"]
	if err := schema.Validate(instance(t, "good.yaml", []byte(good))); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"version: 1", "version: 2"},
		{"name: good", "name: Good One"},
		{"auth: [{hmac", "auht: [{hmac"},
		{"encoding: hex", "encoding: hax"},
		{"{hmac: {header: X-Sig, encoding: hex}}", "hmac"},
		{"POST /a", "POST a"},
		{"{unwrap: a}", "{unzip: a}"},
		{"{body: {a: [b, c]}}", "{bdy: {a: [b, c]}}"},
		{"run_key:", "runkey:"},
		{"{path: b, map: {a: b}}", "{pth: b, map: {a: b}}"},
		{"ok: succeeded", "ok: success"},
		{"labels.a: b, duration", "lables.a: b, duration"},
		{"unit: s", "unit: sec"},
		{"lists: {stages", "lists: {stage"},
		{"{each: s, fields: {status: {path: s, map: {ok: failed}}}", "{each: s, fields: {status: {path: s, map: {ok: falied}}}"},
		{"{steps: {each: t, fields: {name: n}}}", "{steps: {each: t, fields: {nme: n}}}"},
		{"expect: {labels.a: b", "expect: {label.a: b"},
		{"status: failed}}", "status: faild}}"},
		{"expect: [{event: e}]", "expect: [{evnt: e}]"},
		{"runs: {a: {status", "runs: {a: {staus"},
		{"action.failed", "action.failing"},
		{"events:", "evnts:"},
	} {
		text := strings.Replace(good, change[0], change[1], 1)
		if text == good {
			t.Fatalf("%q is not there", change[0])
		}
		if err := schema.Validate(instance(t, "bad.yaml", []byte(text))); err == nil {
			t.Errorf("%s is taken", change[1])
		}
	}
}
