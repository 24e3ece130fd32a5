package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"cibridge/internal/yamldoc"
)

func validate(t *testing.T, text string) error {
	t.Helper()
	c := jsonschema.NewCompiler()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	root, problems := yamldoc.Parse("c.yaml", []byte(text))
	if root == nil {
		t.Fatal(problems)
	}
	data, err := json.Marshal(root.Value())
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(instance)
}

func TestSchemaTakesTheExample(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", "cibridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, string(text)); err != nil {
		t.Error(err)
	}
	if err := validate(t, "sources: [{id: a, mapping: b, secrets: [c], vars: {d: [1]}}]\napplications: [{name: a, source_provider: {name: github, access_token: x}}]\nlimits: {body: 1048576}\n"); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"lisen: a", "redis: {durability: strickt}", "dispatch: {workers: many}", "sources: {id: a}", "sources: [{id: a, secret: x}]", "mappings: {builtin: ja}", "limits: {read_timeout: 15}", "dispatch: {breaker: {open: 1}}"} {
		if validate(t, wrong) == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

// Every setting has its line for people, and no line is about nothing. A word
// of the schema is one that the server takes.
func TestSchemaDescribesEverySetting(t *testing.T) {
	var paths []string
	var collect func(reflect.Type, string)
	collect = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if name(f) == "" {
				continue
			}
			at := path + name(f)
			paths = append(paths, at)
			switch {
			case parsers[f.Type] != nil:
			case f.Type.Kind() == reflect.Struct:
				collect(f.Type, at+".")
			case f.Type.Kind() == reflect.Slice && parsers[f.Type.Elem()] == nil:
				collect(f.Type.Elem(), at+"[].")
			}
		}
	}
	collect(reflect.TypeFor[Config](), "")
	for _, p := range paths {
		if settings[p].doc == "" {
			t.Errorf("%s has no description", p)
		}
	}
	for p, s := range settings {
		if !slices.Contains(paths, p) {
			t.Errorf("%s is described and does not exist", p)
		}
		section, key, _ := strings.Cut(p, ".")
		for _, word := range s.words {
			mustParse(t, fmt.Sprintf("%s: {%s: %s}\n", section, key, word))
		}
		if s.words != nil {
			if _, ps := parse(t, fmt.Sprintf("%s: {%s: other}\n", section, key)); len(ps) == 0 {
				t.Errorf("%s takes other words than %v", p, s.words)
			}
		}
	}
}

func TestSchemaShowsDefaults(t *testing.T) {
	text := string(Schema())
	for _, want := range []string{`"default": "127.0.0.1:8080"`, `"default": "5MiB"`, `"default": "7d"`, `"default": "strict"`, `"default": true`, "CIBRIDGE_LISTEN overrides it"} {
		if !strings.Contains(text, want) {
			t.Errorf("want %s in the schema", want)
		}
	}
}
