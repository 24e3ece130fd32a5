package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cibridge/internal/diag"
	"cibridge/internal/lang"
	"cibridge/internal/yamldoc"
)

// loader reads one file and collects everything that is wrong with it.
type loader struct {
	file     File
	root     *yamldoc.Node
	problems diag.Problems
	// Where the compiled parts stand, for Lint.
	paths map[*lang.Path]*yamldoc.Node
	exprs map[*expression]*yamldoc.Node

	m      *Mapping
	maps   map[string]*words
	mapUse map[string]bool
	times  lang.Times
	scope  *lang.Scope // of expressions outside lists
	letUse map[string]bool

	tables map[string][]string // the keys of each object that was read, where a test asks for them
}

func newLoader(f File) *loader {
	return &loader{file: f, maps: map[string]*words{}, mapUse: map[string]bool{}, letUse: map[string]bool{},
		paths: map[*lang.Path]*yamldoc.Node{}, exprs: map[*expression]*yamldoc.Node{}}
}

func (l *loader) parse() { l.root, l.problems = yamldoc.Parse(l.file.Name, l.file.Data) }

func (l *loader) errorf(n *yamldoc.Node, code, help, format string, args ...any) {
	l.problems = append(l.problems, withHelp(n.Problem(code, fmt.Sprintf(format, args...)), help))
}

func (l *loader) warnf(n *yamldoc.Node, code, help, format string, args ...any) {
	p := withHelp(n.Problem(code, fmt.Sprintf(format, args...)), help)
	p.Severity = diag.SeverityWarning
	l.problems = append(l.problems, p)
}

// shapeHelp shows how the shapes are written.
var shapeHelp = map[yamldoc.Kind]string{
	yamldoc.Scalar: "write one value",
	yamldoc.Map:    "write it as {key: value}, or one key per line with its value behind a colon",
	yamldoc.List:   "write it as [a, b], or one item per line behind a -",
}

// is reports whether n has the shape; if not, it is a problem.
func (l *loader) is(n *yamldoc.Node, kind yamldoc.Kind, what string) bool {
	if n.Kind == kind {
		return true
	}
	found := n.Kind.String()
	if n.Null() {
		found = "empty"
	} else if n.Kind == yamldoc.Scalar {
		found = quote(n.Text)
	}
	l.errorf(n, codeShape, shapeHelp[kind], "%s must be %s, this is %s", what, kind, found)
	return false
}

// keys checks that n is a mapping with known keys only and calls the function
// of each key that is there, in the order of the table.
func (l *loader) keys(n *yamldoc.Node, what string, known []keyOf) bool {
	if !l.is(n, yamldoc.Map, what) {
		return false
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = k.name
	}
	if l.tables != nil {
		l.tables[what] = names
	}
	for _, p := range n.Pairs {
		if !slices.Contains(names, p.Key.Text) {
			l.unknownKey(n, p, what, names)
		}
	}
	for _, k := range known {
		if v := n.Get(k.name); v != nil && k.read != nil {
			k.read(v)
		}
	}
	return true
}

// keyOf is a key of a mapping and the function that reads its value.
type keyOf struct {
	name string
	read func(*yamldoc.Node)
}

func (l *loader) unknownKey(n *yamldoc.Node, p yamldoc.Pair, what string, known []string) {
	key := p.Key.Text
	if n.Flow && p.Value.Null() && !p.Key.Quoted && p.Value.Text == "" && strings.ContainsAny(key, "()]+\"") {
		l.errorf(p.Key, codeSplit, "quote the expression: '…'", "%s is not a key: YAML took an unquoted expression apart at its comma", quote(key))
		return
	}
	help := otherKeys[key]
	if help == "" || !slices.Contains(known, "match") {
		help = didYouMean(key, known)
	}
	l.errorf(p.Key, codeUnknownKey, help, "unknown key %s in %s", quote(key), what)
}

// otherKeys are what other tools call parts of an event, and what to write.
var otherKeys = map[string]string{
	"when": "the conditions of an event stand under match: {all: [=…]}", "if": "the conditions of an event stand under match: {all: [=…]}",
	"header": "write match: {header: {…}}", "body": "write match: {body: {…}}", "stages": "write lists: {stages: {…}}", "artifacts": "write lists: {artifacts: {…}}",
	"phase": "what an event is follows from its status: delete it", "provider": "nothing needs it: delete it", "tests": "tests stand at the top of the file",
	"map": "write status: {path: …, map: {…}}",
}

// text reads a non-empty text.
func (l *loader) text(n *yamldoc.Node, what string) string {
	if !l.is(n, yamldoc.Scalar, what) {
		return ""
	}
	if n.Text == "" {
		l.errorf(n, codeShape, "write a text, or delete the line", "%s is empty", what)
	}
	return n.Text
}

// word reads one word of a list.
func (l *loader) word(n *yamldoc.Node, what string, known []string) string {
	if !l.is(n, yamldoc.Scalar, what) {
		return ""
	}
	if !slices.Contains(known, n.Text) {
		l.errorf(n, codeWord, didYouMean(n.Text, known), "%s is no %s", quote(n.Text), what)
	}
	return n.Text
}

func (l *loader) flag(n *yamldoc.Node, what string) bool {
	if !l.is(n, yamldoc.Scalar, what) {
		return false
	}
	b, ok := n.Value().(bool)
	if !ok {
		l.errorf(n, codeShape, "write true or false", "%s is true or false, this is %s", what, quote(n.Text))
	}
	return b
}

// list returns the items of a list; a single value is a list of one.
func list(n *yamldoc.Node) []*yamldoc.Node {
	if n.Kind == yamldoc.List {
		return n.Items
	}
	return []*yamldoc.Node{n}
}

// texts reads a list of texts; one text is a list of one.
func (l *loader) texts(n *yamldoc.Node, what string) []string {
	var out []string
	for _, item := range list(n) {
		if l.is(item, yamldoc.Scalar, what) {
			out = append(out, item.Text)
		}
	}
	return out
}

// mustHave is a key that must be there, and how it is written.
type mustHave struct{ key, help string }

// require reports a key that must be there and is not.
func (l *loader) require(n *yamldoc.Node, key, what, help string) {
	l.requireAll(n, what, mustHave{key, help})
}

// requireAll reports the keys that must be there and are not, in one problem.
func (l *loader) requireAll(n *yamldoc.Node, what string, needs ...mustHave) {
	var keys, help []string
	for _, need := range needs {
		if n.Kind == yamldoc.Map && n.Get(need.key) == nil {
			keys, help = append(keys, need.key), append(help, need.help)
		}
	}
	if len(keys) > 0 {
		l.errorf(n, codeMissing, strings.Join(help, "\n"), "%s needs %s", what, strings.Join(keys, ", "))
	}
}

func (l *loader) nameNode() *yamldoc.Node {
	if n := l.root.Get("name"); n != nil {
		return n
	}
	return l.root
}

// needed are the keys that every file has, and how they are written.
var needed = []mustHave{
	{"version", "write version: 1"},
	{"name", "write name: acme; it is what a source refers to"},
	{"receive", "say how senders authenticate: receive: {auth: [key]}"},
	{"events", "say what the requests are: events: [{name: build, run_key: build.id, …}]"},
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// mapping compiles the file; nil when it has errors.
func (l *loader) mapping() *Mapping {
	if l.root == nil {
		return nil
	}
	l.m = &Mapping{File: l.file.Name, ReadOnly: l.file.ReadOnly, lets: map[string]*let{}}
	defaults := &eventDefaults{}
	node := func(into **yamldoc.Node) func(*yamldoc.Node) { return func(n *yamldoc.Node) { *into = n } }
	var receive, lets, checks, events, tests, maps, requires *yamldoc.Node
	ok := l.is(l.root, yamldoc.Map, "the file") && l.keys(l.root, "a mapping", []keyOf{
		{"version", func(n *yamldoc.Node) {
			if n.Text != "1" {
				l.errorf(n, codeWord, "write version: 1", "version %s of the language is not known", quote(n.Text))
			}
		}},
		{"name", func(n *yamldoc.Node) {
			l.m.Name = l.text(n, "name")
			if l.m.Name != "" && !nameForm.MatchString(l.m.Name) {
				l.errorf(n, codeShape, "use lower-case letters, digits, -, _ and .", "%s cannot be the name of a mapping", quote(l.m.Name))
			}
		}},
		{"title", func(n *yamldoc.Node) { l.m.Title = l.text(n, "title") }},
		{"strict", func(n *yamldoc.Node) { l.m.Strict = l.flag(n, "strict") }},
		{"receive", node(&receive)},
		{"maps", node(&maps)},
		{"times", l.readTimes},
		{"let", node(&lets)},
		{"fields", node(&defaults.fields)},
		{"run_key", node(&defaults.runKey)},
		{"parent", node(&defaults.parent)},
		{"attempt", node(&defaults.attempt)},
		{"order", node(&defaults.order)},
		{"at", node(&defaults.at)},
		{"dedupe", node(&defaults.dedupe)},
		{"status", node(&defaults.status)},
		{"requires", node(&requires)},
		{"checks", node(&checks)},
		{"events", node(&events)},
		{"tests", node(&tests)},
	})
	if !ok {
		return nil
	}
	l.requireAll(l.root, "a mapping", needed...)
	l.readMaps(maps)
	l.readLets(lets)
	l.readReceive(receive)
	l.readRequires(requires)
	l.m.checks = l.readChecks(checks)
	l.readEvents(events, defaults)
	l.m.tests = l.readTests(tests, l.m.Name)
	l.unused(maps, lets)
	l.dropRepeated()
	if len(l.problems.Errors()) > 0 {
		return nil
	}
	return l.m
}

func (l *loader) readTimes(n *yamldoc.Node) {
	var layouts []string
	var zone string
	ok := l.keys(n, "times", []keyOf{
		{"layouts", func(n *yamldoc.Node) { layouts = l.texts(n, "a layout") }},
		{"zone", func(n *yamldoc.Node) { zone = l.text(n, "zone") }},
	})
	if !ok {
		return
	}
	t, err := lang.NewTimes(layouts, zone)
	if err != nil {
		l.errorf(n, codeWord, "layouts are written as Go writes them, 2006-01-02 15:04:05; zones as Europe/Berlin", "%s", err)
		return
	}
	l.times, l.m.times = t, t
}

// unused warns of what nothing in the file refers to.
func (l *loader) unused(maps, lets *yamldoc.Node) {
	if maps != nil {
		for _, p := range maps.Pairs {
			if !l.mapUse[p.Key.Text] {
				l.warnf(p.Key, codeUnused, "delete it", "no value uses the map %s", quote(p.Key.Text))
			}
		}
	}
	if lets != nil {
		for _, p := range lets.Pairs {
			if l.m.lets[p.Key.Text] != nil && !l.letUse[p.Key.Text] {
				l.warnf(p.Key, codeUnused, "delete it", "no expression uses %s", quote(p.Key.Text))
			}
		}
	}
}

// dropRepeated drops what was reported before: shared values are compiled once
// for each event.
func (l *loader) dropRepeated() {
	type at struct {
		line, col int
		code      string
	}
	seen := map[at]bool{}
	l.problems = slices.DeleteFunc(l.problems, func(p diag.Problem) bool {
		k := at{p.Line, p.Col, p.Code}
		twice := seen[k]
		seen[k] = true
		return twice
	})
}
