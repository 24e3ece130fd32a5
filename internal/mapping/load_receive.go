package mapping

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/redact"
	"cibridge/internal/yamldoc"
)

func (l *loader) readReceive(n *yamldoc.Node) {
	if n == nil {
		return
	}
	l.keys(n, "receive", []keyOf{
		{"routes", l.readRoutes},
		{"auth", l.readAuth},
		{"decode", l.readDecode},
		{"reply", func(n *yamldoc.Node) { l.m.replies = l.readReplies(n) }},
		{"redact", l.readRedact},
	})
	l.require(n, "auth", "receive", "say how senders authenticate: key, token, basic, hmac, standard-webhooks, http-signature or none")
}

var methods = []string{"POST", "PUT", "GET"}

func (l *loader) readRoutes(n *yamldoc.Node) {
	for _, item := range list(n) {
		if !l.is(item, yamldoc.Scalar, "a route") {
			continue
		}
		method, path, ok := strings.Cut(item.Text, " ")
		switch {
		case !ok || !slices.Contains(methods, method) || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " ?#{}*:") || strings.HasSuffix(path, "/"):
			l.errorf(item, codeShape, "write it as POST /some/path", "%s is no route", quote(item.Text))
		case reserved(path):
			l.errorf(item, codeTaken, "the first part of the path cannot be "+strings.Join(reservedRoots, ", "), "the server keeps %s for itself", path)
		case slices.ContainsFunc(l.m.routes, func(r Route) bool { return r.Method == method && r.Path == path }):
			l.errorf(item, codeTaken, "delete one of them", "the route %s is there twice", item.Text)
		default:
			l.m.routes = append(l.m.routes, Route{Method: method, Path: path, Mapping: l.m})
		}
	}
}

func (l *loader) routeNode(i int) *yamldoc.Node {
	text := l.m.routes[i].Method + " " + l.m.routes[i].Path
	for _, item := range list(l.root.Get("receive").Get("routes")) {
		if item.Text == text {
			return item
		}
	}
	return l.root
}

// authKinds are the kinds and whether they need settings.
var authKinds = []string{"key", "token", "basic", "hmac", "standard-webhooks", "http-signature", "none"}

const defaultTolerance = 5 * time.Minute

func (l *loader) readAuth(n *yamldoc.Node) {
	if n.Kind == yamldoc.List && len(n.Items) == 0 {
		l.errorf(n, codeMissing, "write auth: [none] to let anyone send", "auth has nothing in it")
	}
	for _, item := range list(n) {
		kind, settings := item.Text, (*yamldoc.Node)(nil)
		if item.Kind == yamldoc.Map && len(item.Pairs) == 1 {
			kind, settings = item.Pairs[0].Key.Text, item.Pairs[0].Value
		} else if item.Kind != yamldoc.Scalar || item.Null() {
			l.errorf(item, codeShape, "for example {token: {header: X-Token}}", "a kind of authentication is one word, or one word with its settings")
			continue
		}
		if !slices.Contains(authKinds, kind) {
			l.errorf(item, codeWord, didYouMean(kind, authKinds), "%s is no kind of authentication", quote(kind))
			continue
		}
		spec := AuthSpec{Kind: kind}
		l.authSettings(item, settings, &spec)
		if slices.ContainsFunc(l.m.auth, func(a AuthSpec) bool { return a == spec }) {
			l.errorf(item, codeTaken, "delete one of them", "this kind of authentication is there twice")
		}
		l.m.auth = append(l.m.auth, spec)
	}
}

func (l *loader) authSettings(item, n *yamldoc.Node, spec *AuthSpec) {
	str := func(into *string, what string) func(*yamldoc.Node) {
		return func(n *yamldoc.Node) { *into = l.text(n, what) }
	}
	tolerance := keyOf{"tolerance", func(n *yamldoc.Node) {
		d, err := time.ParseDuration(n.Text)
		if err != nil || d <= 0 {
			l.errorf(n, codeShape, "write it as 5m or 300s", "%s is no duration", quote(n.Text))
		}
		spec.Tolerance = d
	}}
	known := map[string][]keyOf{
		"key":               {{"header", str(&spec.Header, "header")}},
		"token":             {{"header", str(&spec.Header, "header")}, {"query", str(&spec.Query, "query")}, {"prefix", str(&spec.Prefix, "prefix")}},
		"standard-webhooks": {tolerance},
		"http-signature":    {tolerance},
		"hmac": {
			{"header", str(&spec.Header, "header")},
			{"encoding", func(n *yamldoc.Node) { spec.Encoding = l.word(n, "encoding", []string{"hex", "base64"}) }},
			{"prefix", str(&spec.Prefix, "prefix")}, {"format", str(&spec.Format, "format")}, {"pick", str(&spec.Pick, "pick")},
			{"message", func(n *yamldoc.Node) { spec.Message = l.text(n, "message") }},
			{"timestamp", str(&spec.Timestamp, "timestamp")}, tolerance,
		},
	}[spec.Kind]
	if n != nil && !n.Null() && !l.keys(n, spec.Kind, known) {
		return
	}
	switch spec.Kind {
	case "token":
		if (spec.Header == "") == (spec.Query == "") {
			l.errorf(item, codeMissing, "for example {token: {header: X-Token}}", "token needs either header or query")
		}
	case "hmac":
		l.hmacSettings(item, spec)
	case "standard-webhooks", "http-signature":
		if spec.Kind == "http-signature" {
			spec.Header = "Signature"
		}
		if spec.Tolerance == 0 {
			spec.Tolerance = defaultTolerance
		}
	}
}

// placeholder is what stands for a part of the request in message and format.
var placeholder = regexp.MustCompile(`\{\w*\}`)

func (l *loader) hmacSettings(item *yamldoc.Node, spec *AuthSpec) {
	if spec.Header == "" {
		l.errorf(item, codeMissing, `for example {hmac: {header: X-Signature, encoding: hex, message: "{body}"}}`, "hmac needs header")
	}
	if spec.Encoding == "" {
		spec.Encoding = "hex"
	}
	if spec.Message == "" {
		spec.Message = "{body}"
	}
	if !strings.Contains(spec.Message, "{body}") {
		l.errorf(item, codeShape, `write message: "{body}", or "{timestamp}.{body}"`, "the signed message must have {body} in it, this is %s", quote(spec.Message))
	}
	for _, text := range []string{spec.Message, spec.Format} {
		for _, m := range placeholder.FindAllString(text, -1) {
			if m != "{timestamp}" && m != "{body}" && m != "{signature}" {
				l.errorf(item, codeWord, "known are {body}, {timestamp} and, in format, {signature}", "%s stands for nothing", m)
			}
		}
	}
	if spec.Format != "" && !strings.Contains(spec.Format, "{signature}") {
		l.errorf(item, codeShape, `for example format: "t={timestamp},v1={signature}"`, "format must have {signature} in it, this is %s", quote(spec.Format))
	}
	if n := btoi(spec.Prefix != "") + btoi(spec.Format != "") + btoi(spec.Pick != ""); n > 1 {
		l.errorf(item, codeTogether, "each of them says where in the header the signature is: write one of them", "hmac takes one of prefix, format and pick")
	}
	inFormat := strings.Contains(spec.Format, "{timestamp}")
	if inFormat && spec.Timestamp != "" {
		l.errorf(item, codeTogether, "write one of them", "the timestamp is in the format and in a header of its own")
	}
	if spec.Timestamp != "" && !strings.Contains(spec.Message, "{timestamp}") {
		l.errorf(item, codeTogether, `for example message: "{timestamp}.{body}"`, "a timestamp that is not in the signed message protects nothing")
	}
	if strings.Contains(spec.Message, "{timestamp}") {
		if !inFormat && spec.Timestamp == "" {
			l.errorf(item, codeTogether, `for example format: "timestamp={timestamp},signature={signature}", or timestamp: X-Timestamp for a header of its own`, "the message has {timestamp} in it, but neither format nor timestamp says where it is")
		}
		if spec.Tolerance == 0 {
			spec.Tolerance = defaultTolerance
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// decodeKinds say how a step is written.
var decodeKinds = []string{"json", "form", "multipart", "unwrap", "base64", "cloudevents"}

// decodeExamples are what a step may take.
var decodeExamples = map[string]string{"form": "payload", "multipart": "json", "unwrap": "Message", "base64": "message.data"}

func (l *loader) readDecode(n *yamldoc.Node) {
	for _, item := range list(n) {
		step := decodeStep{kind: item.Text}
		var arg *yamldoc.Node
		if item.Kind == yamldoc.Map && len(item.Pairs) == 1 {
			step.kind, arg = item.Pairs[0].Key.Text, item.Pairs[0].Value
		}
		if !slices.Contains(decodeKinds, step.kind) {
			l.errorf(item, codeWord, didYouMean(step.kind, decodeKinds), "%s is no way to decode", quote(step.kind))
			continue
		}
		alone := step.kind == "json" || step.kind == "cloudevents"
		switch {
		case alone && arg != nil:
			l.errorf(arg, codeShape, "write "+step.kind+" without a colon", "%s takes nothing", step.kind)
		case !alone && arg == nil:
			l.errorf(item, codeMissing, "write {"+step.kind+": "+decodeExamples[step.kind]+"}", "%s needs to know where: the name of a field or part, or a path", step.kind)
		case step.kind == "unwrap" || step.kind == "base64":
			step.path = l.path(arg, spec{name: step.kind})
		case !alone:
			step.name = l.text(arg, step.kind)
		}
		l.m.decode = append(l.m.decode, step)
	}
}

func (l *loader) readRequires(n *yamldoc.Node) {
	if n == nil {
		return
	}
	for _, item := range list(n) {
		if !l.is(item, yamldoc.Scalar, "a requirement") {
			continue
		}
		for _, name := range strings.Split(item.Text, "|") {
			kind, isArtifact := strings.CutPrefix(name, "artifact.")
			if _, known := kindOf(name); !known && (!isArtifact || kind == "") {
				l.errorf(item, codeField, didYouMean(name, fieldNames()), "%s is neither a field nor artifact.<kind>", quote(name))
			}
		}
		l.m.requires = append(l.m.requires, item.Text)
	}
}

// readRedact reads where a document has secrets that no rule knows.
func (l *loader) readRedact(n *yamldoc.Node) {
	for _, item := range list(n) {
		if !l.is(item, yamldoc.Scalar, "a path") {
			continue
		}
		p, err := redact.ParsePath(item.Text)
		if err != nil {
			l.errorf(item, codeShape, "for example build.parameters, or variables.#.value for each item of a list", "%s cannot be redacted: %v", quote(item.Text), err)
			continue
		}
		l.m.redact = append(l.m.redact, p)
	}
}

// kindOf returns the kind of a canonical field; an entry of a map is known by
// its map.
func kindOf(name string) (bridge.Kind, bool) {
	for _, f := range bridge.Fields() {
		if f.Name == name {
			return f.Kind, true
		}
	}
	for _, root := range []string{"params.", "variables.", "labels."} {
		if len(name) > len(root) && strings.HasPrefix(name, root) {
			return anyKind, true
		}
	}
	return 0, false
}

// anyKind is that of an entry of a map: whatever the value is.
const anyKind bridge.Kind = -1

func fieldNames() []string {
	var names []string
	for _, f := range bridge.Fields() {
		names = append(names, f.Name)
	}
	return names
}
