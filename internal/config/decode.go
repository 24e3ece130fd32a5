package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/yamldoc"
)

// The problems of this package.
const (
	CodeKey     = "E120" // a key that does not exist
	CodeType    = "E121" // a value of the wrong kind
	CodeValue   = "E122" // a value that cannot be used
	CodeSecret  = "E123" // a reference that leads nowhere, or in the wrong place
	CodeMissing = "E124" // something that is needed is not there
)

// decoder fills a Config from the nodes of a file and collects all problems.
type decoder struct {
	file     string
	env      map[string]string
	used     map[string]bool // variables that the file refers to
	origins  map[string]string
	problems diag.Problems
	// failed holds the paths at which there is a problem already, so that
	// validation does not complain a second time.
	failed map[string]bool
}

func (d *decoder) problem(n *yamldoc.Node, code, help, format string, args ...any) {
	p := n.Problem(code, fmt.Sprintf(format, args...))
	p.Help = help
	d.problems = append(d.problems, p)
	d.failed[n.Path] = true
}

// decode fills v from n. An empty value leaves v at its default.
func (d *decoder) decode(n *yamldoc.Node, v reflect.Value) {
	if n.Null() {
		return
	}
	d.origins[n.Path] = fmt.Sprintf("%s:%d", d.file, n.Line)
	switch {
	case v.Type() == reflect.TypeFor[bridge.Secret]():
		d.secret(n, v)
	case parsers[v.Type()] != nil:
		d.scalar(n, v)
	case v.Kind() == reflect.Struct:
		d.structure(n, v)
	case v.Kind() == reflect.Slice:
		d.list(n, v)
	case n.Kind != yamldoc.Map: // map[string]any
		d.problem(n, CodeType, "", "%s is wanted here, this is %s", yamldoc.Map, n.Kind)
	default:
		v.Set(reflect.ValueOf(n.Value()))
	}
}

func (d *decoder) structure(n *yamldoc.Node, v reflect.Value) {
	if n.Kind != yamldoc.Map {
		d.problem(n, CodeType, "it has the keys "+strings.Join(keys(v.Type()), ", "), "%s is wanted here, this is %s", yamldoc.Map, n.Kind)
		return
	}
	for _, p := range n.Pairs {
		field, ok := fieldOf(v, p.Key.Text)
		if !ok {
			d.unknown(p.Key, v.Type())
			continue
		}
		d.decode(p.Value, field)
	}
}

func (d *decoder) unknown(key *yamldoc.Node, t reflect.Type) {
	known := keys(t)
	help := "there are: " + strings.Join(known, ", ")
	if home := homes(key.Text); len(home) > 0 {
		help = fmt.Sprintf("%s is where that goes", strings.Join(home, " or "))
	} else if near := diag.Nearest(key.Text, known); near != "" {
		help = fmt.Sprintf("did you mean %q?", near)
	}
	d.problem(key, CodeKey, help, "unknown key %q", key.Text)
}

func (d *decoder) list(n *yamldoc.Node, v reflect.Value) {
	if n.Kind != yamldoc.List {
		d.problem(n, CodeType, "write it as [a, b], or one item per line behind a -", "a list is wanted here, this is %s", n.Kind)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		if item.Null() {
			d.problem(item, CodeType, "", "this item is empty")
			continue
		}
		d.decode(item, out.Index(i))
	}
	if len(n.Items) == 0 {
		out = reflect.Zero(v.Type()) // [] is what is not said, too
	}
	v.Set(out)
}

func (d *decoder) scalar(n *yamldoc.Node, v reflect.Value) {
	if n.Kind != yamldoc.Scalar {
		d.problem(n, CodeType, "", "%s is wanted here, this is %s", yamldoc.Scalar, n.Kind)
		return
	}
	if reference.MatchString(n.Text) && strings.Contains(n.Text, "${") {
		d.problem(n, CodeSecret, overrides(n.Path), "references like %s are for secrets only", n.Text)
		return
	}
	value, err := parsers[v.Type()](n.Text)
	if err != nil {
		d.problem(n, CodeValue, "", "%v", err)
		return
	}
	v.Set(reflect.ValueOf(value))
}

func (d *decoder) secret(n *yamldoc.Node, v reflect.Value) {
	if n.Kind != yamldoc.Scalar {
		help := ""
		if n.Flow {
			help = `inside [ ] and { } a reference must be quoted: "${NAME}"`
		}
		d.problem(n, CodeType, help, "%s is wanted here, this is %s", yamldoc.Scalar, n.Kind)
		return
	}
	value, err := expand(n.Text, func(name string) string {
		d.used[name] = true
		return d.env[name]
	})
	if err != nil {
		d.problem(n, CodeSecret, "", "%v", err)
		return
	}
	v.SetString(value.Reveal())
}

// name returns the key of a field in the file, "" for those that have none.
func name(f reflect.StructField) string { return f.Tag.Get("yaml") }

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if name(v.Type().Field(i)) == key && key != "" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func keys(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		if key := name(t.Field(i)); key != "" {
			out = append(out, key)
		}
	}
	return out
}

// walk calls do for every setting below v that is not in a list of objects.
func walk(v reflect.Value, path string, do func(path string, f reflect.StructField, v reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := name(f)
		if key == "" {
			continue
		}
		at := strings.TrimPrefix(path+"."+key, ".")
		if f.Type.Kind() == reflect.Struct {
			walk(v.Field(i), at, do)
			continue
		}
		do(at, f, v.Field(i))
	}
}

// homes lists the paths that end in key: people often put a key one level too
// high or too low.
func homes(key string) []string {
	var out []string
	walk(reflect.ValueOf(Default()).Elem(), "", func(path string, _ reflect.StructField, _ reflect.Value) {
		if path[strings.LastIndexByte(path, '.')+1:] == key {
			out = append(out, path)
		}
	})
	slices.Sort(out)
	return out
}

// overrides says how to set path from the environment.
func overrides(path string) string {
	help := "write the value itself"
	walk(reflect.ValueOf(Default()).Elem(), "", func(p string, f reflect.StructField, _ reflect.Value) {
		if env := f.Tag.Get("env"); p == path && env != "" && env != "-" {
			help += ", or leave it out and set " + env
		}
	})
	return help
}
