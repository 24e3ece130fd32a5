package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/yamldoc"
)

// Load reads the settings: defaults, then file ("" reads none), then the
// environment, given as os.Environ returns it. All problems are returned at
// once; the Config is usable if none of them is an error, and nil otherwise.
func Load(file string, environ []string) (*Config, diag.Problems) {
	if file == "" {
		return Parse("", nil, environ)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		p := diag.Problem{File: file, Code: CodeMissing, Severity: diag.SeverityError, Message: "the configuration file cannot be read: " + err.Error()}
		if errors.Is(err, fs.ErrNotExist) {
			p.Message = "there is no such configuration file"
			p.Help = "leave the option out to start with the defaults and the environment"
		}
		return nil, diag.Problems{p}
	}
	return Parse(file, data, environ)
}

// Parse is Load for a file that was read already. data without anything but
// comments is a file that says nothing.
func Parse(file string, data []byte, environ []string) (*Config, diag.Problems) {
	c := Default()
	c.origins = map[string]string{}
	vars := env.ToMap(environ)
	d := &decoder{file: file, env: vars, used: map[string]bool{}, origins: c.origins, failed: map[string]bool{}}
	var doc *yamldoc.Node
	if !blank(data) {
		var ps diag.Problems
		if doc, ps = yamldoc.Parse(file, data); doc == nil {
			return nil, ps
		}
		d.decode(doc, reflect.ValueOf(c).Elem())
		delete(c.origins, "") // of the document
	}
	d.environment(c)
	d.problems = append(d.problems, c.validate(doc, d)...)
	d.problems.Sort()
	if d.problems.Err() != nil {
		return nil, d.problems
	}
	return c, d.problems
}

// blank reports whether data has comments and empty lines only.
func blank(data []byte) bool {
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// envFile is where a problem of the environment is said to be.
const envFile = "environment"

// clientVars are variables of cibridge that are no settings of a server.
var clientVars = []string{"CIBRIDGE_SERVER", "CIBRIDGE_TOKEN", "CIBRIDGE_CONFIG", "CIBRIDGE_SEND_SECRET", "CIBRIDGE_PROVIDER_TOKEN"}

// environment lets the environment override c. A variable that is set to ""
// counts as not set: compose files pass those on.
func (d *decoder) environment(c *Config) {
	params, err := env.GetFieldParams(c)
	if err != nil {
		panic(err) // the tags of Config are wrong, a test would see it
	}
	vars := map[string]string{}
	byField := map[string]string{}
	var known []string
	types, paths := map[string]reflect.Type{}, map[string]string{}
	walk(reflect.ValueOf(c).Elem(), "", func(path string, f reflect.StructField, _ reflect.Value) {
		if key := f.Tag.Get("env"); key != "" && key != "-" {
			types[key], paths[key] = f.Type, path
		}
	})
	for _, p := range params {
		if p.OwnKey == "" {
			continue
		}
		known = append(known, p.Key)
		if v := d.env[p.Key]; v != "" {
			vars[p.Key] = v
		}
		if types[p.Key] == reflect.TypeFor[bridge.Secret]() {
			known = append(known, p.Key+"_FILE")
			d.fromFile(p.Key, vars)
		}
		if _, ok := vars[p.Key]; ok {
			byField[paths[p.Key]] = p.Key
			// What the file says of it does not count, not even its mistakes.
			d.forgive(paths[p.Key])
		}
	}
	d.unknownVars(append(known, clientVars...))
	d.parseVars(c, vars)
	for path, key := range byField {
		if d.env[key] == "" {
			key += "_FILE"
		}
		c.origins[path] = key
	}
}

// fromFile sets key from the file that <key>_FILE names.
func (d *decoder) fromFile(key string, vars map[string]string) {
	file := d.env[key+"_FILE"]
	if file == "" {
		return
	}
	if vars[key] != "" {
		d.envProblem(key, CodeSecret, "unset one of them", "both %s and %s_FILE are set", key, key)
		return
	}
	value, err := readSecret(file)
	if err != nil {
		d.envProblem(key+"_FILE", CodeSecret, "", "%v", err)
		return
	}
	vars[key] = value
}

// parseVars reads vars into c.
func (d *decoder) parseVars(c *Config, vars map[string]string) {
	wrong := map[string]error{}
	at := "" // the variable that is being read
	funcs := map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[[]string]():        envList(func(s string) (string, error) { return s, nil }),
		reflect.TypeFor[[]netip.Prefix]():  envList(parsePrefix),
		reflect.TypeFor[[]time.Duration](): envList(parseDuration),
	}
	for t, parse := range parsers {
		if t != reflect.TypeFor[netip.Prefix]() {
			funcs[t] = env.ParserFunc(parse)
		}
	}
	for t, parse := range funcs {
		funcs[t] = func(s string) (any, error) {
			v, problem := parse(s)
			if problem != nil {
				wrong[at] = problem
				return reflect.Zero(t).Interface(), nil //nolint:nilerr // its place would be lost in the library's error
			}
			return v, nil
		}
	}
	err := env.ParseWithOptions(c, env.Options{Environment: vars, FuncMap: funcs, OnSet: func(key string, _ any, _ bool) { at = key }})
	if err != nil {
		d.envProblem("", CodeValue, "", "%v", err)
	}
	for _, key := range slices.Sorted(maps.Keys(wrong)) {
		d.envProblem(key, CodeValue, "", "%v", wrong[key])
	}
}

// envList returns a parser for items with commas between them.
func envList[T any](parse func(string) (T, error)) env.ParserFunc {
	return func(text string) (any, error) {
		var out []T
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			v, err := parse(item)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
}

// unknownVars warns of variables that nobody reads: mostly misspelt ones.
func (d *decoder) unknownVars(known []string) {
	for _, key := range slices.Sorted(maps.Keys(d.env)) {
		if !strings.HasPrefix(key, "CIBRIDGE_") || slices.Contains(known, key) || d.used[key] {
			continue
		}
		help := ""
		if near := diag.Nearest(key, known); near != "" {
			help = fmt.Sprintf("did you mean %s?", near)
		}
		d.problems = append(d.problems, diag.Problem{File: envFile, Path: key, Code: CodeKey, Help: help,
			Message: key + " is set, but cibridge reads no variable of that name", Severity: diag.SeverityWarning})
	}
}

// forgive drops the problems of a setting that is overridden.
func (d *decoder) forgive(path string) {
	d.problems = slices.DeleteFunc(d.problems, func(p diag.Problem) bool {
		return p.Path == path && p.Code != CodeKey
	})
	delete(d.failed, path)
}

func (d *decoder) envProblem(key, code, help, format string, args ...any) {
	d.problems = append(d.problems, diag.Problem{File: envFile, Path: key, Code: code, Help: help, Severity: diag.SeverityError,
		Message: strings.TrimPrefix(key+": "+fmt.Sprintf(format, args...), ": ")})
}

// A Setting is one line of what is in force.
type Setting struct {
	Path   string `json:"path"`
	Value  string `json:"value"` // *** for a secret that is set
	Origin string `json:"origin"`
}

// Origin says where the value of a setting comes from: "default",
// "cibridge.yaml:12", or the name of the environment variable.
func (c *Config) Origin(path string) string {
	if o := c.origins[path]; o != "" {
		return o
	}
	return "default"
}

// List returns all settings in the order of the file. Sources and
// applications are counted only.
func (c *Config) List() []Setting {
	var out []Setting
	walk(reflect.ValueOf(c).Elem(), "", func(path string, _ reflect.StructField, v reflect.Value) {
		out = append(out, Setting{path, show(v), c.Origin(path)})
	})
	return out
}

func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case bridge.Secret:
		if x == "" {
			return ""
		}
		return x.String()
	case time.Duration:
		return showDuration(x)
	case []time.Duration:
		items := make([]string, len(x))
		for i, d := range x {
			items[i] = showDuration(d)
		}
		return strings.Join(items, ", ")
	}
	if v.Kind() == reflect.Slice {
		if v.Type().Elem().Kind() == reflect.Struct && v.Type().Elem() != reflect.TypeFor[netip.Prefix]() {
			return fmt.Sprintf("%d in the file", v.Len())
		}
		items := make([]string, v.Len())
		for i := range items {
			items[i] = fmt.Sprint(v.Index(i).Interface())
		}
		return strings.Join(items, ", ")
	}
	return fmt.Sprint(v.Interface())
}
