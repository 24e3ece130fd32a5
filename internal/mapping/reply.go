package mapping

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/yamldoc"
)

// ReplyKind is the occasion of an answer.
type ReplyKind string

// The kinds. A mapping without the template of a kind uses the one that the
// kind falls back to: duplicate, ignored and unmapped to accepted, bad_json
// and conflict to rejected; unauthorized and forbidden have none.
const (
	ReplyAccepted     ReplyKind = "accepted"
	ReplyDuplicate    ReplyKind = "duplicate"
	ReplyIgnored      ReplyKind = "ignored"
	ReplyUnmapped     ReplyKind = "unmapped"
	ReplyRejected     ReplyKind = "rejected"
	ReplyBadJSON      ReplyKind = "bad_json"
	ReplyConflict     ReplyKind = "conflict"
	ReplyUnauthorized ReplyKind = "unauthorized"
	ReplyForbidden    ReplyKind = "forbidden"
)

// replyKinds lists the kinds with what they fall back to and the status they
// have without one in the file; 0 is that of the problem.
var replyKinds = []struct {
	kind, fallback ReplyKind
	status         int
}{
	{ReplyAccepted, "", 202},
	{ReplyDuplicate, ReplyAccepted, 202},
	{ReplyIgnored, ReplyAccepted, 202},
	{ReplyUnmapped, ReplyAccepted, 202},
	{ReplyRejected, "", 0},
	{ReplyBadJSON, ReplyRejected, 400},
	{ReplyConflict, ReplyRejected, 409},
	{ReplyUnauthorized, "", 401},
	{ReplyForbidden, "", 403},
}

// Reply returns the answer that the mapping declares for an occasion before
// or without a [Result], see [Result.Reply].
func (m *Mapping) Reply(kind ReplyKind, data map[string]any) (status int, contentType string, body []byte, ok bool) {
	return m.reply(kind, Result{}, data)
}

// Reply returns the answer that the mapping declares for an occasion: that of
// the event that took the request, else the mapping's. ok is false when there
// is none; the server then answers in its own words.
//
// The template sees the request and what data holds of event (id of the
// request), run, runs, outcome, message, field, line and column. The last four
// default to those of the result's problem. Where the template gives no status
// it is that of the kind; for a refusal that of the problem, or data's
// "status", an int.
func (r Result) Reply(kind ReplyKind, data map[string]any) (status int, contentType string, body []byte, ok bool) {
	if r.state == nil {
		return 0, "", nil, false
	}
	return r.state.m.reply(kind, r, data)
}

func (m *Mapping) reply(kind ReplyKind, res Result, data map[string]any) (int, string, []byte, bool) {
	spec := m.replySpec(kind, res.event)
	if spec == nil {
		return 0, "", nil, false
	}
	s := state{m: m, in: Input{Request: &bridge.Request{}}}
	if res.state != nil {
		s = *res.state
	}
	s.runner, s.lets, s.names, s.extra = lang.Runner{}, nil, nil, replyNames(res.Problem, data)
	var b bytes.Buffer
	if !spec.body.write(&s, &b) {
		b.WriteString("null")
	}
	return statusOf(kind, spec, res.Problem, data), "application/json", b.Bytes(), true
}

func (m *Mapping) replySpec(kind ReplyKind, e *event) *replySpec {
	var from []replies
	if e != nil {
		from = append(from, e.replies)
	}
	from = append(from, m.replies)
	for ; kind != ""; kind = fallback(kind) {
		for _, r := range from {
			if spec := r[kind]; spec != nil {
				return spec
			}
		}
	}
	return nil
}

func fallback(kind ReplyKind) ReplyKind {
	for _, k := range replyKinds {
		if k.kind == kind {
			return k.fallback
		}
	}
	return ""
}

func statusOf(kind ReplyKind, spec *replySpec, p *Problem, data map[string]any) int {
	status := 0
	for _, k := range replyKinds {
		if k.kind == kind {
			status = k.status
		}
	}
	given, _ := data["status"].(int)
	if status == 0 && p != nil {
		status = p.Status
	}
	return cmp.Or(spec.status, status, given, 400)
}

// templateNames are the names that only reply templates see.
var templateNames = []string{"event", "run", "outcome", "message", "field", "line", "column"}

func replyNames(p *Problem, data map[string]any) map[string]any {
	out := make(map[string]any, len(templateNames)+1)
	if p != nil {
		out["message"] = p.Message
		if p.Field != "" {
			out["field"] = p.Field
		}
		if p.File == "" && p.Line > 0 {
			out["line"], out["column"] = int64(p.Line), int64(p.Col)
		}
	}
	for _, name := range append([]string{"runs"}, templateNames...) {
		if v := data[name]; v != nil && (v != int64(0) || name != "line" && name != "column") {
			out[name] = v
		}
	}
	return out
}

type replies map[ReplyKind]*replySpec

type replySpec struct {
	status int // 0: that of the kind
	body   *tree
}

// tree is a JSON document whose leaves are literals or expressions.
type tree struct {
	literal any
	expr    *expression
	members []treeMember
	items   []*tree
	shape   yamldoc.Kind
}

type treeMember struct {
	name  string
	value *tree
}

// write writes t as JSON and reports whether it is there: an expression can
// leave out its key with omit(). One that fails is null.
func (t *tree) write(s *state, b *bytes.Buffer) bool {
	switch {
	case t.shape == yamldoc.Map:
		t.writeObject(s, b)
		return true
	case t.shape == yamldoc.List:
		b.WriteByte('[')
		first := true
		for _, item := range t.items {
			first = separate(b, first, func(b *bytes.Buffer) bool { return item.write(s, b) })
		}
		b.WriteByte(']')
		return true
	case t.expr == nil:
		return encode(b, t.literal)
	}
	v, err := s.run(t.expr, s.root())
	if err != nil {
		v = nil
	}
	if v == lang.Omit {
		return false
	}
	return encode(b, v)
}

func (t *tree) writeObject(s *state, b *bytes.Buffer) {
	b.WriteByte('{')
	first := true
	for _, m := range t.members {
		first = separate(b, first, func(b *bytes.Buffer) bool {
			encode(b, m.name)
			b.WriteByte(':')
			return m.value.write(s, b)
		})
	}
	b.WriteByte('}')
}

// separate writes a comma and what write writes, or nothing at all when that
// is left out. It reports whether the next one is still the first.
func separate(b *bytes.Buffer, first bool, write func(*bytes.Buffer) bool) bool {
	mark := b.Len()
	if !first {
		b.WriteByte(',')
	}
	if !write(b) {
		b.Truncate(mark)
		return first
	}
	return false
}

func encode(b *bytes.Buffer, v any) bool {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		b.WriteString("null")
		return true
	}
	b.Truncate(b.Len() - 1) // the newline
	return true
}

// readReplies compiles the replies of a file or an event. The short form
// {status, body} is that of accepted.
func (l *loader) readReplies(n *yamldoc.Node) replies {
	if !l.is(n, yamldoc.Map, "reply") {
		return nil
	}
	out := replies{}
	if n.Get("body") != nil || n.Get("status") != nil {
		out[ReplyAccepted] = l.reply(n)
		return out
	}
	var kinds []string
	for _, k := range replyKinds {
		kinds = append(kinds, string(k.kind))
	}
	for _, p := range n.Pairs {
		if !slices.Contains(kinds, p.Key.Text) {
			l.unknownKey(n, p, "reply", kinds)
			continue
		}
		out[ReplyKind(p.Key.Text)] = l.reply(p.Value)
	}
	return out
}

func (l *loader) reply(n *yamldoc.Node) *replySpec {
	out := &replySpec{body: &tree{}}
	ok := l.keys(n, "a reply", []keyOf{
		{"status", func(n *yamldoc.Node) {
			status, _ := n.Value().(int64)
			if out.status = int(status); status < 200 || status > 599 {
				l.errorf(n, codeShape, "write a number from 200 to 599", "%s is no HTTP status", quote(n.Text))
			}
		}},
		{"body", func(n *yamldoc.Node) {
			scope := l.scope
			defer func() { l.scope = scope }()
			l.scope = scope.WithOmit().With("runs", lang.Any())
			for _, name := range templateNames {
				l.scope = l.scope.With(name, lang.Leaf())
			}
			out.body = l.tree(n)
		}},
	})
	if ok {
		l.require(n, "body", "a reply", "write body: {…}")
	}
	return out
}

func (l *loader) tree(n *yamldoc.Node) *tree {
	t := &tree{shape: n.Kind}
	switch {
	case n.Kind == yamldoc.Map:
		for _, p := range n.Pairs {
			t.members = append(t.members, treeMember{p.Key.Text, l.tree(p.Value)})
		}
	case n.Kind == yamldoc.List:
		for _, item := range n.Items {
			t.items = append(t.items, l.tree(item))
		}
	case n.Type == "str" && len(n.Text) > 1 && n.Text[0] == '=':
		t.expr = l.expr(n, spec{name: "reply"})
	default:
		t.literal = n.Value()
	}
	return t
}
