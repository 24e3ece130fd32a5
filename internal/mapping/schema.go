package mapping

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"cibridge/bridge"
)

// schema is a JSON Schema, or a part of one.
type schema map[string]any

// MappingSchema returns the JSON Schema of a mapping file, for editors. It
// names every key that [Load] knows and no other; what only the compiler can
// tell, paths and expressions above all, is left to lint.
func MappingSchema() []byte {
	return document("A mapping of cibridge", "One CI tool's format: how its requests become events of runs.", "mapping")
}

// TestFileSchema returns the JSON Schema of a <name>_test.yaml.
func TestFileSchema() []byte {
	return document("Tests of a mapping of cibridge", "The tests of the mapping <name>.yaml beside this file.", "test_file")
}

// document returns a schema file whose root is one of the definitions, with
// those that it needs.
func document(title, description, root string) []byte {
	all := definitions()
	out := maps.Clone(all[root])
	out["$schema"] = "http://json-schema.org/draft-07/schema#" // what editors know best
	out["title"], out["description"] = title, description
	needed := schema{}
	collect(out, all, needed)
	out["definitions"] = needed
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		panic(err) // it is made of maps, lists and texts
	}
	return b.Bytes()
}

const definitionPrefix = "#/definitions/"

// collect adds the definitions that v refers to.
func collect(v any, all map[string]schema, needed schema) {
	switch v := v.(type) {
	case schema:
		for k, x := range v {
			if name, ok := x.(string); ok && k == "$ref" {
				name = strings.TrimPrefix(name, definitionPrefix)
				if _, done := needed[name]; !done {
					needed[name] = all[name]
					collect(all[name], all, needed)
				}
			}
			collect(x, all, needed)
		}
	case []schema:
		for _, x := range v {
			collect(x, all, needed)
		}
	}
}

// definitions are the parts of both files by their names.
func definitions() map[string]schema {
	out := map[string]schema{
		"text":        {"type": []string{"string", "number", "boolean"}},
		"texts":       {"anyOf": []schema{ref("text"), {"type": "array", "items": ref("text")}}},
		"path":        {"type": "string", "minLength": 1, "description": "a gjson path into the payload; in a list, into the item"},
		"expression":  {"type": []string{"string", "boolean", "integer"}, "description": "an expression; see Expressions in mappings/README.md"},
		"literal_or":  {"description": "a literal, or an expression after ="},
		"scalar":      {"type": []string{"string", "number", "boolean", "null"}},
		"status_word": {"enum": append(slices.Clone(anyTexts(statusWords)), nil), "description": "one of ours; null says nothing"},
		"words":       {"type": "object", "minProperties": 1, "additionalProperties": ref("scalar"), "description": "the tool's words and what they stand for; a key may have * in it"},
		"status_words": {"type": "object", "minProperties": 1, "additionalProperties": ref("status_word"),
			"description": "the tool's words and the status that they stand for; a key may have * in it"},
		"key":        keySchema(),
		"duration":   {"type": "string", "description": "5m, 300s"},
		"routes":     oneOrList(schema{"type": "string", "pattern": "^(" + strings.Join(methods, "|") + ") /.*[^/]$"}),
		"auth":       oneOrList(authSchema()),
		"decode":     oneOrList(decodeSchema()),
		"replies":    repliesSchema(),
		"values":     oneOrList(ref("value")),
		"patterns":   {"type": "object", "additionalProperties": ref("texts")},
		"lets":       {"type": "object", "additionalProperties": ref("value")},
		"maps":       {"type": "object", "additionalProperties": ref("words")},
		"fields":     fieldsSchema(bridge.Fields(), "value", "value"),
		"expect_run": expectSchema(runWords),
		"expect":     {"anyOf": []schema{ref("expect_event"), {"type": "array", "items": ref("expect_event")}}},
		"expect_any": {"anyOf": []schema{ref("expect"), ref("expect_run")}, "description": "what becomes of the request; of a sequence: the run that it leaves"},
		"names":      oneOrList(schema{"type": "string"}),
	}
	out["expect_event"] = expectSchema(eventWords)
	out["value"] = schema{"anyOf": []schema{{"type": "string"}, valueSchema("words", schema{})}, "description": "a gjson path, an expression after =, or the long form"}
	out["status"] = schema{"anyOf": []schema{{"type": "string"}, valueSchema("status_words", ref("status_word"))}, "description": "where the status comes from, and which of the tool's words stands for which of ours"}
	addLists(out, bridge.Lists(), "lists")
	for _, o := range objects() {
		out[o.name] = o.schema()
	}
	return out
}

func ref(name string) schema { return schema{"$ref": definitionPrefix + name} }

// oneOrList is one thing, or a list of them.
func oneOrList(of schema) schema {
	return schema{"anyOf": []schema{of, {"type": "array", "items": of}}}
}

// described adds a description to a schema, which may be a reference: beside
// one, draft 7 reads nothing.
func described(s schema, doc string) schema {
	if _, isRef := s["$ref"]; isRef {
		return schema{"allOf": []schema{s}, "description": doc}
	}
	out := maps.Clone(s)
	out["description"] = doc
	return out
}

// schema is the object with its keys and no others.
func (o object) schema() schema {
	properties := schema{}
	for _, k := range o.keys {
		properties[k.name] = described(k.is, k.doc)
	}
	out := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(o.required) > 0 {
		out["required"] = o.required
	}
	return out
}

func keySchema() schema {
	list := schema{"type": "array", "minItems": 1, "items": ref("value")}
	several := schema{"type": "object", "properties": schema{"first_of": schema{"type": "array", "items": schema{"anyOf": []schema{ref("value"), list}}}},
		"required": []string{"first_of"}, "additionalProperties": false}
	return schema{"anyOf": []schema{ref("value"), list, several}, "description": "one value or a list; first_of takes the first list whose values are all there"}
}

// valueSchema is the long form of a value with this kind of map and literal.
func valueSchema(words string, literal schema) schema {
	of := map[string]schema{
		"value": literal, "path": ref("path"), "expr": ref("expression"), "first_of": {"type": "array", "items": ref("value")},
		"of": {"type": "array", "items": ref("value")}, "drop_if": ref("texts"), "map": {"anyOf": []schema{{"type": "string"}, ref(words)}},
		"ignore_case": {"type": "boolean"}, "else": ref("literal_or"), "default": ref("literal_or"), "required": {"type": "boolean"},
		"unit": {"enum": anyTexts(unitWords)},
	}
	properties := schema{}
	for _, key := range valueKeys {
		properties[key] = described(of[key], valueDocs[key])
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// authSchema is a kind of authentication: a word, or a word with its settings.
func authSchema() schema {
	properties, words := schema{}, []any{}
	for _, kind := range authKinds {
		settings := schema{"type": "null"}
		if name := "auth_" + strings.ReplaceAll(kind, "-", "_"); slices.ContainsFunc(objects(), func(o object) bool { return o.name == name }) {
			settings = schema{"anyOf": []schema{{"type": "null"}, ref(name)}}
		}
		properties[kind] = described(settings, authDocs[kind])
		if kind != "token" && kind != "hmac" {
			words = append(words, kind)
		}
	}
	return schema{"anyOf": []schema{{"enum": words}, {"type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1, "maxProperties": 1}}}
}

func decodeSchema() schema {
	properties := schema{}
	for _, kind := range decodeKinds {
		if kind != "json" && kind != "cloudevents" {
			properties[kind] = schema{"type": "string", "minLength": 1, "description": decodeDocs[kind]}
		}
	}
	return schema{"anyOf": []schema{{"enum": []any{"json", "cloudevents"}, "description": decodeDocs["cloudevents"]},
		{"type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1, "maxProperties": 1}}}
}

// repliesSchema is a reply for each occasion, or the short form for accepted.
func repliesSchema() schema {
	properties := schema{}
	for _, k := range replyKinds {
		properties[string(k.kind)] = described(ref("reply"), replyDocs[k.kind])
	}
	return schema{"anyOf": []schema{ref("reply"), {"type": "object", "properties": properties, "additionalProperties": false}}}
}

// openMaps are the fields that have entries of any name.
const openMaps = `^(params|variables|labels)\..`

func fieldsSchema(fields []bridge.Field, value, open string) schema {
	properties := schema{}
	for _, f := range fields {
		properties[f.Name] = described(ref(value), f.Doc)
	}
	out := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if open != "" {
		out["patternProperties"] = schema{openMaps: described(ref(open), "an entry of this map")}
	}
	return out
}

// addLists adds the schema of these lists under name, and those of the lists
// of their items.
func addLists(out map[string]schema, lists []bridge.ListOf, name string) {
	properties := schema{}
	for _, l := range lists {
		item := name + "_" + l.Name
		o := listObject(item, l)
		fields := fieldsSchema(l.Fields, "value", "")
		if p := fields["properties"].(schema); p["status"] != nil {
			p["status"] = described(ref("status"), "its status")
		}
		out[item+"_fields"] = fields
		if len(l.Lists) > 0 {
			addLists(out, l.Lists, item+"_lists")
		} else {
			o.keys = slices.DeleteFunc(o.keys, func(k objectKey) bool { return k.name == "lists" })
		}
		out[item] = o.schema()
		properties[l.Name] = described(oneOrList(ref(item)), listDocs[l.Name])
	}
	out[name] = schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// expectSchema is what can be expected: these words, the fields and the lists.
// Their values are compared as they are written.
func expectSchema(words []string) schema {
	properties := schema{}
	for _, f := range bridge.Fields() {
		properties[f.Name] = schema{"description": f.Doc}
		for i := range f.Name { // commit: {sha: …} is the same as commit.sha: …
			if f.Name[i] == '.' {
				properties[f.Name[:i]] = schema{"type": []string{"object", "null"}}
			}
		}
	}
	for _, l := range bridge.Lists() {
		properties[l.Name] = schema{"type": []string{"array", "null"}, "description": listDocs[l.Name]}
	}
	for _, w := range words {
		properties[w] = schema{"description": expectDocs[w]}
	}
	status := append(slices.Clone(statusWords), string(bridge.Incomplete)) // the second is of runs only
	if slices.Contains(words, "outcome") {
		status = statusWords
	}
	properties["status"] = schema{"enum": append(anyTexts(status), nil), "description": expectDocs["status"]}
	return schema{"type": "object", "properties": properties, "patternProperties": schema{openMaps: schema{}}, "additionalProperties": false}
}
