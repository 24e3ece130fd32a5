package hook

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/provider"
	"cibridge/internal/yamldoc"
)

// The problems of hook files, besides those of hooks.
const (
	CodeFileKey  = "E101" // a key that hooks do not have
	CodeFileType = "E103" // a value of the wrong kind
	CodeFileRead = "E117" // a file or folder that cannot be read
)

// fileKind is the kind of a value in a hook file.
type fileKind int

const (
	textKind fileKind = iota
	flagKind
	numberKind
	freeKind  // anything
	freeList  // a list of anything
	textList  // a list of texts
	groupKind // a mapping with known keys
	groupList // a list of such mappings
)

var kindNames = map[fileKind]string{
	textKind: "a text", flagKind: "true or false", numberKind: "a whole number", freeList: "a list",
	textList: "a list of texts", groupKind: "a mapping", groupList: "a list of mappings",
}

// shape is what may stand in a place of a hook file.
type shape struct {
	kind    fileKind
	members map[string]shape
}

// hookShape has the fields of a hook that a file may set. Ids and times are
// not among them.
var hookShape = shape{groupKind, map[string]shape{
	"pipeline": {kind: textKind}, "name": {kind: textKind}, "action_type": {kind: textKind}, "target_url": {kind: textKind},
	"active": {kind: flagKind}, "verify_ssl": {kind: flagKind},
	"requires_secret": {kind: flagKind}, "secret_algorithm": {kind: textKind}, "secret_header_name": {kind: textKind}, "secret": {kind: textKind},
	"settings": {groupKind, map[string]shape{
		"request_headers": {groupList, map[string]shape{"name": {kind: textKind}, "value": {kind: textKind}}},
		"request_body":    {kind: freeKind},
	}},
	"trigger_when": {groupKind, map[string]shape{
		"events":     {kind: textList},
		"conditions": {groupList, map[string]shape{"path": {kind: textKind}, "accepted_values": {kind: freeList}}},
	}},
	"method": {kind: textKind}, "profile": {kind: textKind}, "if": {kind: textKind}, "delivered_when": {kind: textKind},
	"supersede_key": {kind: textKind}, "ordering": {kind: textKind}, "timeout_ms": {kind: numberKind}, "context": {kind: textKind},
}}

// Load reads the hooks of one YAML file: one hook, a list of hooks, or "hooks:"
// with a list. They are read-only and active unless they say otherwise, and
// their ids follow from file and the name of the hook, so that every replica
// that reads the same path gives them the same. Problems have their place in the file. Hooks are
// returned only when none is an error.
func Load(file string, data []byte, profiles *provider.Profiles) ([]bridge.Hook, diag.Problems) {
	doc, problems := yamldoc.Parse(file, data)
	if doc == nil {
		return nil, problems
	}
	l := &loading{file: file, profiles: profiles, problems: problems, names: map[string]int{}}
	for _, n := range l.hooksOf(doc) {
		l.hook(n)
	}
	l.problems.Sort()
	if l.problems.Err() != nil {
		return nil, l.problems
	}
	return l.hooks, l.problems
}

// LoadFiles reads the *.yaml and *.yml files of a folder with [Load], in the
// order of their names. A folder that is not there is an error.
func LoadFiles(dir string, profiles *provider.Profiles) ([]bridge.Hook, diag.Problems) {
	var hooks []bridge.Hook
	var problems diag.Problems
	unreadable := func(name string, err error) {
		problems = append(problems, diag.Problem{File: name, Code: CodeFileRead, Severity: diag.SeverityError, Message: fmt.Sprintf("cannot be read: %v", err)})
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		unreadable(dir, err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if ext := filepath.Ext(name); e.IsDir() || ext != ".yaml" && ext != ".yml" {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			unreadable(name, err)
			continue
		}
		hs, ps := Load(name, data, profiles)
		hooks, problems = append(hooks, hs...), append(problems, ps...)
	}
	return hooks, problems
}

type loading struct {
	file     string
	profiles *provider.Profiles
	problems diag.Problems
	hooks    []bridge.Hook
	names    map[string]int
}

func (l *loading) hooksOf(doc *yamldoc.Node) []*yamldoc.Node {
	if doc.Kind == yamldoc.List {
		return doc.Items
	}
	list := doc.Get("hooks")
	if doc.Kind != yamldoc.Map || list == nil {
		return []*yamldoc.Node{doc}
	}
	for _, pair := range doc.Pairs {
		if pair.Key.Text != "hooks" {
			p := pair.Key.Problem(CodeFileKey, fmt.Sprintf("unknown key %q beside hooks", pair.Key.Text))
			l.problems = append(l.problems, p)
		}
	}
	if list.Kind != yamldoc.List {
		l.problems = append(l.problems, list.Problem(CodeFileType, "hooks is a list, not "+list.Kind.String()))
		return nil
	}
	return list.Items
}

// hook reads, compiles and keeps one hook.
func (l *loading) hook(n *yamldoc.Node) {
	before := len(l.problems)
	l.check(n, hookShape, "a hook")
	if len(l.problems) > before {
		return
	}
	h := hookOf(n)
	l.names[h.Name]++
	h.ID = fileID(filepath.ToSlash(filepath.Clean(l.file)), h.Name, l.names[h.Name])
	if h.Pipeline == "" {
		p := n.Problem(CodeHook, "the hook names no pipeline")
		p.Help = `add pipeline: "*" for all, or "<source>/<pipeline.id>"`
		l.problems = append(l.problems, p)
	}
	if h.RequiresSecret && h.Secret == "" {
		l.problems = append(l.problems, n.Problem(CodeHook, "requires_secret needs a secret: nothing makes one for a hook in a file"))
	}
	if !h.VerifySSL {
		p := n.Get("verify_ssl").Problem(CodeHook, "verify_ssl cannot be false: certificates are always verified")
		p.Help = "add the provider's authority to those that this machine trusts (SSL_CERT_FILE)"
		l.problems = append(l.problems, p)
	}
	_, problems := Compile(h, l.profiles)
	for _, p := range problems {
		l.problems = append(l.problems, located(n, p))
	}
	l.hooks = append(l.hooks, h)
}

// check compares n with what may stand in its place.
func (l *loading) check(n *yamldoc.Node, s shape, what string) {
	wrong := func() {
		l.problems = append(l.problems, n.Problem(CodeFileType, fmt.Sprintf("%s is %s", what, kindNames[s.kind])))
	}
	switch {
	case s.kind == freeKind:
	case n.Null() && s.kind != groupKind:
		wrong()
	case s.kind == groupKind && n.Kind == yamldoc.Map:
		l.members(n, s)
	case s.kind == groupList && n.Kind == yamldoc.List:
		for _, item := range n.Items {
			l.check(item, shape{groupKind, s.members}, "an item of "+what)
		}
	case s.kind == textList && n.Kind == yamldoc.List:
		for _, item := range n.Items {
			l.check(item, shape{kind: textKind}, "an item of "+what)
		}
	case s.kind == freeList && n.Kind == yamldoc.List:
	case s.kind == textKind && n.Kind == yamldoc.Scalar:
	case s.kind == flagKind && n.Type == "bool" && n.Kind == yamldoc.Scalar:
	case s.kind == numberKind && n.Type == "int" && n.Kind == yamldoc.Scalar:
	default:
		wrong()
	}
}

func (l *loading) members(n *yamldoc.Node, s shape) {
	known := make([]string, 0, len(s.members))
	for k := range s.members {
		known = append(known, k)
	}
	slices.Sort(known)
	for _, pair := range n.Pairs {
		member, ok := s.members[pair.Key.Text]
		if !ok {
			p := pair.Key.Problem(CodeFileKey, fmt.Sprintf("unknown key %q", pair.Key.Text))
			p.Help = didYouMean(pair.Key.Text, known)
			l.problems = append(l.problems, p)
			continue
		}
		l.check(pair.Value, member, pair.Key.Text)
	}
}

// hookOf reads a checked node.
func hookOf(n *yamldoc.Node) bridge.Hook {
	text := func(key string) string { return scalar(n.Get(key)) }
	flag := func(key string, absent bool) bool {
		if v, ok := n.Get(key).Value().(bool); ok {
			return v
		}
		return absent
	}
	h := bridge.Hook{
		Pipeline: text("pipeline"), Name: text("name"), ActionType: text("action_type"), TargetURL: text("target_url"),
		Active: flag("active", true), VerifySSL: flag("verify_ssl", true),
		RequiresSecret: flag("requires_secret", false), SecretAlgorithm: text("secret_algorithm"),
		SecretHeaderName: text("secret_header_name"), Secret: bridge.Secret(text("secret")),
		Method: text("method"), Profile: text("profile"), If: text("if"), DeliveredWhen: text("delivered_when"),
		SupersedeKey: text("supersede_key"), Ordering: bridge.Ordering(text("ordering")), Context: text("context"),
		ReadOnly: true,
	}
	h.TimeoutMS, _ = n.Get("timeout_ms").Value().(int64)
	settings, when := n.Get("settings"), n.Get("trigger_when")
	h.Settings.RequestBody = settings.Get("request_body").Value()
	for _, item := range items(settings.Get("request_headers")) {
		h.Settings.RequestHeaders = append(h.Settings.RequestHeaders, bridge.HookHeader{Name: scalar(item.Get("name")), Value: scalar(item.Get("value"))})
	}
	for _, item := range items(when.Get("events")) {
		h.TriggerWhen.Events = append(h.TriggerWhen.Events, bridge.Trigger(item.Text))
	}
	for _, item := range items(when.Get("conditions")) {
		accepted, _ := item.Get("accepted_values").Value().([]any)
		h.TriggerWhen.Conditions = append(h.TriggerWhen.Conditions, bridge.Condition{Path: scalar(item.Get("path")), AcceptedValues: accepted})
	}
	return h
}

// scalar returns the text of n, "" when it is absent.
func scalar(n *yamldoc.Node) string {
	if n == nil {
		return ""
	}
	return n.Text
}

func items(n *yamldoc.Node) []*yamldoc.Node {
	if n == nil {
		return nil
	}
	return n.Items
}

// located gives a problem of the hook at n its place in the file.
func located(n *yamldoc.Node, p diag.Problem) diag.Problem {
	at := n
	for step := range strings.SplitSeq(p.Path, ".") {
		next := at.Get(step)
		if i, err := strconv.Atoi(step); err == nil && i < len(items(at)) {
			next = at.Items[i]
		}
		if next == nil {
			break
		}
		at = next
	}
	line, col := at.Line, at.Col
	if at.Kind == yamldoc.Scalar && p.Line > 0 {
		line, col = at.At(p.Line, p.Col)
	}
	p.File, p.Line, p.Col, p.Path = at.File, line, col, at.Path
	return p
}

// fileID derives the id of the nth hook of that name in a file, in the form of
// a UUID (RFC 9562, version 8).
func fileID(file, name string, nth int) string {
	sum := sha256.Sum256([]byte(file + "\x00" + name + "\x00" + strconv.Itoa(nth)))
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
