package api

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"

	"cibridge/bridge"
	"cibridge/internal/mapping"
)

// nativeReply is what a sender gets whose mapping declares no reply.
type nativeReply struct {
	Event   string         `json:"event"`
	Run     *string        `json:"run"`            // null when the request belongs to no run
	Runs    []string       `json:"runs,omitempty"` // when there are several
	Outcome bridge.Outcome `json:"outcome"`
	Reason  string         `json:"reason,omitempty"` // why it changes no run
}

// replyAccepted acknowledges a request that was committed. A duplicate gets
// the answer of the first one, and says so in a header.
func (in *inbound) replyAccepted(receipt Receipt) {
	// The mapping gives the same reason every time, unlike the receipt: so the
	// answer to a duplicate is the first one's to the byte.
	reply := nativeReply{Event: receipt.Event, Runs: receipt.Runs, Outcome: receipt.Outcome, Reason: in.result.Reason}
	if receipt.DuplicateOf != "" {
		in.c.Header(headerDuplicateOf, receipt.DuplicateOf)
		reply.Event, reply.Outcome = receipt.DuplicateOf, receipt.FirstOutcome
	}
	if len(reply.Runs) > 0 {
		reply.Run = &reply.Runs[0]
	}
	data := map[string]any{"event": reply.Event, "outcome": string(reply.Outcome), "runs": anyList(reply.Runs)}
	if reply.Run != nil {
		data["run"] = *reply.Run
	}
	if in.dialect(acceptedKind(reply.Outcome, receipt.DuplicateOf != ""), data) {
		return
	}
	if len(reply.Runs) == 1 {
		reply.Runs = nil
	}
	writeJSON(in.c, http.StatusAccepted, "application/json", reply)
}

// acceptedKind is the occasion of an answer to a request that was kept.
// Without a template of its own a kind falls back to accepted.
func acceptedKind(outcome bridge.Outcome, repeated bool) mapping.ReplyKind {
	switch {
	case outcome == bridge.Ignored:
		return mapping.ReplyIgnored
	case outcome == bridge.Unmapped:
		return mapping.ReplyUnmapped
	case repeated || outcome == bridge.Duplicate:
		return mapping.ReplyDuplicate
	}
	return mapping.ReplyAccepted
}

// replyRefused answers a request that the mapping refuses: in the dialect's
// own words where it has some, else with a problem.
func (in *inbound) replyRefused() error {
	p := refusal(in.result.Problem)
	kind := mapping.ReplyRejected
	if in.result.Problem.Code == mapping.CodeBadJSON {
		kind = mapping.ReplyBadJSON
	}
	if in.dialect(kind, map[string]any{"event": in.id, "outcome": string(in.outcome)}) {
		return nil
	}
	if kind == mapping.ReplyBadJSON {
		if other := in.otherType(); other != nil {
			return other
		}
	}
	return p
}

// dialect answers in the words of the mapping, if it has some for kind.
func (in *inbound) dialect(kind mapping.ReplyKind, data map[string]any) bool {
	status, contentType, body, ok := in.result.Reply(kind, data)
	if !ok {
		status, contentType, body, ok = in.mapping.Reply(kind, data)
	}
	if ok {
		in.c.Data(status, contentType, body)
	}
	return ok
}

// refusalKinds are the problems that a dialect may have words for.
var refusalKinds = map[code]mapping.ReplyKind{
	codeUnauthenticated: mapping.ReplyUnauthorized,
	codeForbidden:       mapping.ReplyForbidden,
	codeConflict:        mapping.ReplyConflict,
	codeInvalid:         mapping.ReplyRejected,
}

// refuse answers with a problem that is not the mapping's.
func (in *inbound) refuse(p *problem) {
	kind, ok := refusalKinds[p.Code]
	if !ok {
		p.write(in.c)
		return
	}
	p.writeHeader(in.c)
	if !in.dialect(kind, map[string]any{"event": in.id, "outcome": string(in.outcome), "message": p.Detail, "status": p.Status}) {
		p.write(in.c)
	}
}

// refusal makes a problem of a mapping's.
func refusal(mp *mapping.Problem) *problem {
	p := problemf(codeRejected, "%s", mp.Message)
	p.Code, p.Type, p.Status, p.Field = code(mp.Code), problemType(mp.Code), mp.Status, mp.Field
	if mp.Code == mapping.CodeBadJSON {
		p.Title = kinds[codeBadJSON].title
	}
	if mp.File != "" {
		p.Mapping = fmt.Sprintf("%s:%d", mp.File, mp.Line)
		return p
	}
	p.Line, p.Column = mp.Line, mp.Col
	if mp.Line > 0 && !strings.HasPrefix(p.Detail, "line ") {
		p.Detail = fmt.Sprintf("line %d, column %d: %s", mp.Line, mp.Col, p.Detail)
	}
	return p
}

// otherType returns a 415 for a body that is no JSON and does not claim to be:
// its type is what is wrong then, not a comma. A Content-Type decides nothing
// else, since many senders set a wrong one.
func (in *inbound) otherType() *problem {
	header := in.c.GetHeader("Content-Type")
	kind, _, unreadable := mime.ParseMediaType(header)
	raw, cut := in.raw()
	text := strings.TrimSpace(string(raw[:min(len(raw), 64)]))
	if unreadable != nil || cut != nil || !clearlyNotJSON(kind) || strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		return nil //nolint:nilerr // an unreadable type or body is another problem's business
	}
	return problemf(codeMediaType, "the body is %s; mapping %s reads JSON: send it as application/json", kind, in.mapping.Name).
		with("Accept", "application/json")
}

func clearlyNotJSON(kind string) bool {
	switch kind {
	case "application/x-www-form-urlencoded", "application/xml", "application/pdf", "application/zip", "application/x-yaml", "application/yaml":
		return true
	}
	major, minor, _ := strings.Cut(kind, "/")
	switch major {
	case "image", "audio", "video", "font", "multipart":
		return true
	case "text":
		return minor != "plain" && minor != "json"
	}
	return strings.HasSuffix(minor, "+xml") || strings.HasSuffix(minor, "+yaml")
}

func anyList(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

// onceOnly remembers what was warned of, up to a bound: after that it says
// nothing, since the ledger has everything.
type onceOnly struct {
	mu   sync.Mutex
	seen map[string]bool
}

const maxWarnings = 1000

// first reports whether key is new.
func (o *onceOnly) first(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[key] || len(o.seen) >= maxWarnings {
		return false
	}
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	o.seen[key] = true
	return true
}

// forget makes everything new again.
func (o *onceOnly) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = nil
}

// warnUnmapped warns once for every kind of request that a mapping does not
// know.
func (s *Server) warnUnmapped(in *inbound, reason string) {
	if s.warned.first(in.mapping.Name + "\x00" + reason) {
		s.cfg.Log.Warn("a mapping does not know this request; it is kept, and changes no run",
			"mapping", in.mapping.Name, "source", in.claim.source.ID, "event", in.id, "reason", reason)
	}
}
