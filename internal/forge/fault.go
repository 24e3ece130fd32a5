package forge

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
)

// Fault is something that goes wrong with the statuses that are posted.
type Fault struct {
	kind    faultKind
	code    int    // for answers
	times   int    // 0: always
	percent int    // 0: all of them
	state   string // "": every state
}

type faultKind string

const (
	faultCode    faultKind = "code"
	faultTimeout faultKind = "timeout"
	faultDrop    faultKind = "drop"
	faultReset   faultKind = "reset"
	faultLate    faultKind = "late"
)

// ParseFault reads a fault:
//
//	<kind>[x<n>][%<p>][:<state>]
//
// The kind is one of
//
//	400 … 599  this status is answered, with the provider's body for it;
//	           nothing is applied
//	timeout    no answer comes; nothing is applied
//	drop       the connection is cut; nothing is applied
//	reset      the status is applied, then the connection is cut
//	late       no answer comes; the status is applied after the client gave up
//
// x<n> limits it to the first n attempts to write one state of one context of
// one commit, %<p> to p percent of the attempts (the same ones every time), and
// :<state> to one state in the provider's words. So 503x1:pending answers the
// first pending of every context of every commit with 503, and late%5 applies
// one status in twenty late.
func ParseFault(s string) (Fault, error) {
	bad := func(format string, args ...any) (Fault, error) {
		return Fault{}, fmt.Errorf("fault %q: %s; write 503, 503x1, 503x1:pending, 500%%15, timeout, drop, reset or late", s, fmt.Sprintf(format, args...))
	}
	var f Fault
	rest, state, hasState := strings.Cut(strings.TrimSpace(s), ":")
	if f.state = strings.ToLower(state); hasState && f.state == "" {
		return bad("the state after : is missing")
	}
	var err error
	rest, percent, hasPercent := strings.Cut(rest, "%")
	if f.percent, err = strconv.Atoi(percent); hasPercent && (err != nil || f.percent < 1 || f.percent > 100) {
		return bad("%q is not a percentage from 1 to 100", percent)
	}
	kind, times, hasTimes := strings.Cut(rest, "x")
	if f.times, err = strconv.Atoi(times); hasTimes && (err != nil || f.times < 1) {
		return bad("%q is not a number of attempts from 1 on", times)
	}
	switch f.kind = faultKind(kind); f.kind {
	case faultTimeout, faultDrop, faultReset, faultLate:
		return f, nil
	}
	f.kind = faultCode
	if f.code, err = strconv.Atoi(kind); err != nil {
		return bad("%q is neither a status code nor timeout, drop, reset or late", kind)
	}
	if f.code < 400 || f.code > 599 {
		return bad("%d is not a status from 400 to 599", f.code)
	}
	return f, nil
}

// ParseFaults reads several faults. The error is that of the first bad one.
func ParseFaults(list []string) ([]Fault, error) {
	var out []Fault
	for _, s := range list {
		f, err := ParseFault(s)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// String returns f as ParseFault reads it.
func (f Fault) String() string {
	s := string(f.kind)
	if f.kind == faultCode {
		s = strconv.Itoa(f.code)
	}
	if f.times > 0 {
		s += fmt.Sprintf("x%d", f.times)
	}
	if f.percent > 0 {
		s += fmt.Sprintf("%%%d", f.percent)
	}
	if f.state != "" {
		s += ":" + f.state
	}
	return s
}

// rule is a fault with what it has seen.
type rule struct {
	Fault
	seen map[string]int // attempts per provider, repo, sha, context and state
}

func rules(faults []Fault) []*rule {
	var out []*rule
	for _, f := range faults {
		out = append(out, &rule{Fault: f, seen: map[string]int{}})
	}
	return out
}

// maxSeen bounds what a rule remembers; beyond it the counting begins anew.
const maxSeen = 200_000

// hits counts an attempt and reports whether the fault applies to it.
func (r *rule) hits(p post) bool {
	if r.state != "" && !strings.EqualFold(r.state, p.state) {
		return false
	}
	if len(r.seen) >= maxSeen {
		r.seen = map[string]int{}
	}
	key := strings.Join([]string{p.provider, p.repo, p.sha, p.context, p.state}, "\x00")
	r.seen[key]++
	if r.times > 0 && r.seen[key] > r.times {
		return false
	}
	return r.percent == 0 || dice(r.String()+"\x00"+key, r.seen[key]) < r.percent
}

// dice returns 0 to 99, always the same for one attempt at one fault, so that a
// failing rehearsal can be repeated. Each fault has dice of its own: with the
// same ones the first in the list would take all that another is meant to hit.
func dice(key string, attempt int) int {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s\x00%d", key, attempt)
	return int(h.Sum32() % 100)
}

// pick returns the fault for a status that is about to be written.
func (f *Forge) pick(p post) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.faults {
		if r.hits(p) {
			return r.Fault, true
		}
	}
	return Fault{}, false
}

// retryAfter are the statuses of faults that come with the header.
var retryAfter = map[int]bool{http.StatusForbidden: true, http.StatusTooManyRequests: true}
