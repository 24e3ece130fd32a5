package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"cibridge/bridge"
)

// Input is one authenticated request.
type Input struct {
	// Request is only read. The events that come out of it share the memory of
	// its Body, so that must never change.
	Request *bridge.Request
	Source  bridge.Source
	// SignedAt is the time that the signature vouches for; zero when the
	// format signs none.
	SignedAt time.Time

	seen func(part, found any) // learns what the request reaches; see coverage.go
}

// Result is what became of a request.
type Result struct {
	// Outcome is "" when Events are to be committed; else ignored, unmapped
	// or rejected, and there are no events.
	Outcome bridge.Outcome
	Events  []bridge.Event
	// Dedupe names the request within its source, whatever became of it. It
	// is at most 200 characters.
	Dedupe string
	// Rule is what decided: "codenow/ping", the mapping and the event.
	Rule string
	// Reason says why there are no events, for people.
	Reason string
	// Problem is set when the request is rejected, or unmapped; its Status is
	// 0 when an unmapped request is acknowledged all the same.
	Problem  *Problem
	Warnings []string
	// Unmapped reports that fields are to be applied although a status word
	// was not known.
	Unmapped  bool
	Handshake *Handshake

	state *state // for the reply
	event *event // the first one that took the request
}

// Handshake is an address that the sender wants to be fetched, checked against
// the host that the mapping allows.
type Handshake struct {
	URL  string
	Host string // of the URL
	Rule string
}

// Apply turns a request into events. It is pure: the same input gives the same
// result. It never panics.
func (m *Mapping) Apply(in Input) Result { return m.apply(in, nil) }

func (m *Mapping) apply(in Input, rec *recorder) (res Result) {
	s := &state{m: m, in: in, rec: rec}
	defer func() {
		if p := recover(); p != nil {
			res = Result{Outcome: bridge.Rejected, Dedupe: s.bodyHash(), Rule: m.Name, Reason: "internal error",
				Problem: &Problem{Status: 422, Code: CodeExpression, Message: fmt.Sprintf("the mapping %s failed on this request: %v", m.Name, p), File: m.File, Line: 1, Col: 1}}
		}
		res.state, res.Warnings = s, s.warnings
	}()
	if problem := s.document(); problem != nil {
		return s.refuse(bridge.Rejected, nil, problem)
	}
	return s.events()
}

func (s *state) refuse(outcome bridge.Outcome, e *event, p *Problem) Result {
	res := Result{Outcome: outcome, Rule: s.rule(e), Reason: p.Message, Problem: p, event: e}
	res.Dedupe = s.dedupe(e)
	return res
}

func (s *state) rule(e *event) string {
	if e == nil {
		return s.m.Name
	}
	return s.m.Name + "/" + e.name
}

// events tries the events in their order.
func (s *state) events() Result {
	var res Result
	var failed *Problem
	taken := 0
	for _, e := range s.m.events {
		no := e.match.takes(s)
		s.tried(e, no)
		if no.what != "" {
			continue
		}
		if s.in.seen != nil {
			s.in.seen(e, true)
		}
		if taken++; taken == 1 {
			res.event, res.Rule, res.Dedupe = e, s.rule(e), s.dedupe(e)
		}
		if e.ignore != "" || e.confirm != nil {
			if len(res.Events) == 0 && failed == nil {
				return s.withoutRun(e)
			}
			break
		}
		for _, checks := range [][]check{s.m.checks, e.checks} {
			if problem := s.check(checks); problem != nil {
				return s.refuse(bridge.Rejected, e, problem)
			}
		}
		ev, problem := s.make(e, res.Dedupe, taken-1)
		switch {
		case problem != nil && s.m.Strict:
			return s.refuse(outcomeOf(problem), e, problem)
		case problem != nil:
			s.warn(problem.Error())
			if failed == nil {
				failed = problem
			}
		default:
			res.Unmapped = res.Unmapped || ev.Word != ""
			res.Events = append(res.Events, ev)
		}
		if !e.cont {
			break
		}
	}
	switch {
	case len(res.Events) > 0:
		return res
	case failed != nil:
		if failed.Code == CodeWord {
			failed.Status = 0
		}
		return s.refuse(outcomeOf(failed), res.event, failed)
	}
	return s.noEvent()
}

// outcomeOf tells a word that nobody knows from a request that lacks
// something.
func outcomeOf(p *Problem) bridge.Outcome {
	if p.Code == CodeWord {
		return bridge.Unmapped
	}
	return bridge.Rejected
}

// noEvent is the result of a request that no event takes. What it lacks says
// more than that, so the checks come first.
func (s *state) noEvent() Result {
	if problem := s.check(s.m.checks); problem != nil {
		return s.refuse(bridge.Rejected, nil, problem)
	}
	p := &Problem{Code: CodeNoEvent, Message: "no event of " + s.m.Name + " takes this request", File: s.m.File, Line: 1, Col: 1}
	if kind := s.describe(); kind != "" {
		p.Message += " (" + kind + ")"
	}
	if s.m.Strict {
		p.Status = 422
	}
	return s.refuse(bridge.Unmapped, nil, p)
}

// withoutRun is the result of an event that makes no run.
func (s *state) withoutRun(e *event) Result {
	res := Result{Outcome: bridge.Ignored, Rule: s.rule(e), Reason: e.ignore, Dedupe: s.dedupe(e), event: e}
	if e.confirm == nil {
		return res
	}
	res.Reason = "a handshake"
	x, f := e.confirm.get.eval(s, s.root())
	text, _ := scalar(x)
	address, err := url.Parse(text)
	if f != nil || err != nil || address.Scheme != "https" || address.User != nil || address.Port() != "" || !glob(e.confirm.host, strings.ToLower(address.Hostname())) {
		return s.refuse(bridge.Rejected, e, &Problem{Status: 422, Code: CodeHandshake, Field: e.name + ".confirm", File: e.place.file, Line: e.place.line, Col: e.place.col,
			Message: "the address to confirm is not an https address of " + e.confirm.host})
	}
	res.Handshake = &Handshake{URL: address.String(), Host: address.Hostname(), Rule: res.Rule}
	return res
}

// make makes one event. The problem is why it cannot be made.
func (s *state) make(e *event, dedupe string, index int) (bridge.Event, *Problem) {
	before := len(s.warnings)
	w := s.root()
	ev := bridge.Event{
		ID: dedupe + "/" + e.name + "#" + strconv.Itoa(index), Source: s.in.Source.ID, Name: e.name, Order: e.order,
		Received: s.in.Request.Received.UnixMilli(), Fields: make(map[string]any, len(e.fields)), Requires: s.m.requires,
	}
	var f *fault
	if ev.RunKey, f = e.runKey.eval(s, w); f != nil {
		return ev, f.problem()
	}
	s.parent(e, &ev)
	if f := s.attempt(e, &ev); f != nil {
		return ev, f.problem()
	}
	if f := s.status(e, &ev); f != nil {
		return ev, f.problem()
	}
	for _, field := range e.fields {
		if f := field.set(s, w, ev.Fields); f != nil {
			return ev, f.problem()
		}
	}
	s.complete(ev.Fields, e)
	s.at(e, &ev)
	settleTimes(&ev)
	ev.Lists = s.fill(e.lists, w)
	ev.Once = s.fingerprint(e)
	ev.Warnings = slices.Clone(s.warnings[min(before, len(s.warnings)):])
	s.made(e, &ev)
	return ev, nil
}

func (f *fault) problem() *Problem {
	return &Problem{Status: 422, Code: f.code, Field: f.name, Message: f.what(), File: f.at.file, Line: f.at.line, Col: f.at.col}
}

func (s *state) parent(e *event, ev *bridge.Event) {
	if e.parent == nil {
		return
	}
	var f *fault
	if ev.Parent, f = e.parent.eval(s, s.root()); f != nil && f.code == CodeExpression {
		s.warn(f.Error())
	}
}

// attempt sets the attempt: the declared one; 1 for an event that declares a
// status; none for an event that only adds to the run.
func (s *state) attempt(e *event, ev *bridge.Event) *fault {
	if e.runWide {
		return nil
	}
	if e.status != nil {
		ev.Attempt = 1
	}
	if e.attempt == nil {
		return nil
	}
	n, f := s.attemptOf(e.attempt, s.root())
	if f == nil && n > 0 {
		ev.Attempt = n
	}
	return f
}

func (s *state) attemptOf(v *value, w where) (int64, *fault) {
	x, f := v.eval(s, w)
	if f != nil {
		return 0, f
	}
	if x == nil {
		return 0, nil
	}
	number, problem := coercion{s: s, v: v}.number(x)
	n, whole := number.(int64)
	if number != nil && !whole {
		problem = describe(x) + " is not a whole number"
	}
	if problem != "" {
		return 0, v.fault(CodeExpression, "%s", problem)
	}
	return max(n, 0), nil
}

// status sets the status. A word that nobody knows is refused by a strict
// mapping; another one keeps it and applies the rest.
func (s *state) status(e *event, ev *bridge.Event) *fault {
	if e.status == nil {
		return nil
	}
	x, f := e.status.eval(s, s.root())
	if f == nil && x != nil {
		word, ok := scalar(x)
		if ok && slices.Contains(statusWords, word) {
			ev.Status = bridge.Status(word)
			return nil
		}
		f = e.status.fault(CodeWord, "%s is no status", describe(x))
		f.word = clip(word, 200)
	}
	if f == nil || f.code != CodeWord || s.m.Strict {
		return f
	}
	ev.Word = f.word
	if ev.Word == "" {
		ev.Word = "?"
	}
	s.warn(f.Error())
	return nil
}

func (s *state) at(e *event, ev *bridge.Event) {
	ev.At = ev.Received
	if e.at == nil {
		return
	}
	x, f := e.at.eval(s, s.root())
	if f != nil {
		s.warn(f.Error())
		return
	}
	if x == nil {
		return
	}
	ms, problem := coercion{s: s, v: e.at}.time(x)
	if problem != "" {
		s.warn(e.at.fault("", "%s", problem).Error())
	}
	if n, ok := ms.(int64); ok {
		ev.At = n
	}
}

// settleTimes drops the times that the status of ev cannot have and fills in
// those that follow from the time of the event.
func settleTimes(ev *bridge.Event) {
	if ev.Status == bridge.Queued {
		delete(ev.Fields, "started_at")
	}
	if !ev.Status.Terminal() {
		delete(ev.Fields, "finished_at")
		delete(ev.Fields, "duration_ms")
	}
	started, hasStart := ev.Fields["started_at"].(int64)
	finished, hasEnd := ev.Fields["finished_at"].(int64)
	took, hasDuration := ev.Fields["duration_ms"].(int64)
	switch {
	case ev.Status == bridge.Running && !hasStart:
		ev.Fields["started_at"] = ev.At
	case !ev.Status.Terminal():
	case !hasEnd && hasStart && hasDuration:
		ev.Fields["finished_at"] = started + took
	case !hasEnd:
		finished = ev.At
		ev.Fields["finished_at"] = finished
	}
	if ev.Status.Terminal() && !hasStart && hasDuration && finished > took {
		ev.Fields["started_at"] = finished - took
	}
}

// fingerprint is what makes two once-only events the same.
func (s *state) fingerprint(e *event) string {
	if len(e.once) == 0 {
		return ""
	}
	values := make([]any, len(e.once))
	for i, v := range e.once {
		x, f := v.eval(s, s.root())
		if f == nil {
			values[i] = full(x)
		}
	}
	b, err := json.Marshal(values)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return e.name + ":" + hex.EncodeToString(sum[:12])
}

// dedupe names the request: the event's own key, the mapping's, or the hash of
// the body.
func (s *state) dedupe(e *event) string {
	k := s.m.dedupe
	if e != nil {
		k = e.dedupe
	}
	if k == nil || s.body == nil {
		return s.bodyHash()
	}
	id, f := k.eval(s, s.root())
	if f != nil {
		if f.code == CodeExpression {
			s.warn(f.Error())
		}
		return s.bodyHash()
	}
	if len(id) > 200 || strings.ContainsFunc(id, func(r rune) bool { return r < ' ' }) {
		return hash([]byte(id))
	}
	return id
}

func (s *state) bodyHash() string {
	if s.hash == "" {
		s.hash = hash(s.in.Request.Body)
	}
	return s.hash
}

// hash returns the SHA-256 of b in hex.
func hash(b []byte) string {
	var text [2 * sha256.Size]byte
	sum := sha256.Sum256(b)
	hex.Encode(text[:], sum[:])
	return string(text[:])
}
