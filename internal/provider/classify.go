package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Kind is what an answer means for the delivery.
type Kind string

// The kinds.
const (
	Delivered   Kind = "delivered"     // the provider has it
	Transient   Kind = "transient"     // the same request may succeed later
	Permanent   Kind = "permanent"     // it never will
	Throttled   Kind = "throttled"     // too many requests with this credential
	Credential  Kind = "credential"    // the credential was refused
	NotFoundYet Kind = "not_found_yet" // the commit may not have arrived yet
)

var kinds = []Kind{Delivered, Transient, Permanent, Throttled, Credential, NotFoundYet}

// Answer is what came back on a request.
type Answer struct {
	Status int // 0 when no complete answer came
	Header http.Header
	Body   []byte    // as much of it as was read
	At     time.Time // when it came; zero is now
	Err    error     // why no complete answer came, or nil
	// WroteRequest reports that the request, or a part of it, may have
	// reached the target.
	WroteRequest bool
}

// Class is the meaning of an answer.
type Class struct {
	Kind   Kind
	Reason string // for people: "403 Forbidden: rate limit"
	// RetryAfter is how long the provider asks to wait, at most MaxWait; 0
	// when it does not say.
	RetryAfter time.Duration
	// Ambiguous reports that the request may have been applied although no
	// complete answer came.
	Ambiguous bool
	// Captured is what later deliveries to the same resource need of this
	// answer; [Profiles.Fill] puts it in. "" is nothing.
	Captured string
}

// MaxWait bounds the RetryAfter of a Class.
const MaxWait = time.Hour

// Classify says what a means. It never fails: what no rule knows is permanent
// for an answer and transient without one. Reasons may quote the answer;
// masking secrets in them is the caller's.
func (p *Profile) Classify(a Answer) Class {
	if a.Err != nil || a.Status == 0 {
		c := Class{Kind: Transient, Reason: "no answer", Ambiguous: a.WroteRequest}
		if a.Err != nil {
			c.Reason = "no answer: " + rootCause(a.Err)
		}
		return c
	}
	for _, r := range p.rules {
		if !r.fits(a) {
			continue
		}
		c := Class{Kind: r.is, Reason: reason(a, r)}
		switch r.is {
		case Throttled, Transient:
			c.RetryAfter = waitOf(a, r.wait)
		case Delivered:
			c.Captured = p.captureOf(a)
		}
		return c
	}
	return Class{Kind: Permanent, Reason: statusText(a.Status)}
}

// Classify says what a means for a delivery with the profile of that name; see
// [Profiles.For] and [Profile.Classify].
func (ps *Profiles) Classify(profile string, a Answer) Class { return ps.For(profile).Classify(a) }

// rootCause returns the innermost error: the outer ones repeat the URL.
func rootCause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// rule fits an answer if everything it names does.
type rule struct {
	name   string
	status []statusRange
	header map[string]*regexp.Regexp // canonical names
	body   *regexp.Regexp
	is     Kind
	say    string
	wait   time.Duration // when the answer names no time
}

type statusRange struct{ from, to int }

type ruleFile struct {
	Name   string            `json:"name"`
	Status []any             `json:"status"`
	Header map[string]string `json:"header"`
	Body   string            `json:"body"`
	Is     Kind              `json:"is"`
	Say    string            `json:"say"`
	Wait   string            `json:"wait"`
}

func (f ruleFile) compile() (rule, error) {
	r := rule{name: f.Name, is: f.Is, say: f.Say, header: map[string]*regexp.Regexp{}}
	if f.Name == "" || len(f.Status) == 0 {
		return rule{}, errors.New("a rule needs a name and a status")
	}
	if !slices.Contains(kinds, f.Is) {
		return rule{}, fmt.Errorf("%q is no kind of answer; there are %v", f.Is, kinds)
	}
	for _, s := range f.Status {
		sr, err := newStatusRange(fmt.Sprint(s))
		if err != nil {
			return rule{}, err
		}
		r.status = append(r.status, sr)
	}
	for name, text := range f.Header {
		re, err := regexp.Compile(text)
		if err != nil {
			return rule{}, fmt.Errorf("header %s: %w", name, err)
		}
		r.header[textproto.CanonicalMIMEHeaderKey(name)] = re
	}
	var err error
	if f.Body != "" {
		if r.body, err = regexp.Compile(f.Body); err != nil {
			return rule{}, fmt.Errorf("body: %w", err)
		}
	}
	if f.Wait != "" {
		if r.wait, err = time.ParseDuration(f.Wait); err != nil {
			return rule{}, fmt.Errorf("wait: %w", err)
		}
	}
	return r, nil
}

var statusPattern = regexp.MustCompile(`^([1-5])(\d\d|xx)$`)

// newStatusRange reads "404" or "4xx".
func newStatusRange(s string) (statusRange, error) {
	m := statusPattern.FindStringSubmatch(s)
	if m == nil {
		return statusRange{}, fmt.Errorf("status %q is neither like 404 nor like 4xx", s)
	}
	if class, ok := strings.CutSuffix(s, "xx"); ok {
		n, _ := strconv.Atoi(class) // one digit, by the pattern
		return statusRange{n * 100, n*100 + 99}, nil
	}
	n, _ := strconv.Atoi(s) // three digits, by the pattern
	return statusRange{n, n}, nil
}

func (r rule) fits(a Answer) bool {
	if !slices.ContainsFunc(r.status, func(s statusRange) bool { return a.Status >= s.from && a.Status <= s.to }) {
		return false
	}
	for name, re := range r.header {
		if values := a.Header.Values(name); len(values) == 0 || !re.MatchString(values[0]) {
			return false
		}
	}
	return r.body == nil || r.body.Match(a.Body)
}

// waitOf reads how long the provider asks to wait: Retry-After, else the reset
// of an exhausted rate limit, else the rule's own time.
func waitOf(a Answer, fallback time.Duration) time.Duration {
	now := a.At
	if now.IsZero() {
		now = time.Now()
	}
	// Times in an answer are the server's: its own clock tells how far away
	// they are.
	if d, err := http.ParseTime(a.Header.Get("Date")); err == nil {
		now = d
	}
	if wait, ok := retryAfter(a.Header.Get("Retry-After"), now); ok {
		return wait
	}
	for _, prefix := range []string{"X-Ratelimit-", "Ratelimit-"} {
		if a.Header.Get(prefix+"Remaining") != "0" {
			continue
		}
		if wait, ok := resetAfter(a.Header.Get(prefix+"Reset"), now); ok {
			return wait
		}
	}
	return fallback
}

func retryAfter(text string, now time.Time) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if s, err := strconv.ParseFloat(text, 64); err == nil && s >= 0 {
		return clamp(s), true
	}
	if t, err := http.ParseTime(text); err == nil {
		return clamp(t.Sub(now).Seconds()), true
	}
	return 0, false
}

// resetAfter reads a reset header: an epoch second, or seconds from now.
func resetAfter(text string, now time.Time) (time.Duration, bool) {
	s, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || s < 0 {
		return 0, false
	}
	const someEpoch = 1e9 // 2001: no one asks to wait for 30 years
	if s > someEpoch {
		s -= float64(now.Unix())
	}
	return clamp(s), true
}

// clamp turns seconds into a duration between 0 and MaxWait.
func clamp(seconds float64) time.Duration {
	if math.IsNaN(seconds) || seconds <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(min(seconds, MaxWait.Seconds()))) * time.Second
}

func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// reason is one line: the status, what the rule says of it, and what the
// provider says of itself.
func reason(a Answer, r rule) string {
	s := statusText(a.Status)
	if r.is == Delivered && r.say == "" {
		return s
	}
	if loc := a.Header.Get("Location"); loc != "" && a.Status/100 == 3 {
		s += " to " + oneLine(loc)
	}
	if r.say != "" {
		s += ": " + r.say
	} else if !strings.Contains(strings.ToLower(s), r.name) {
		s += ": " + r.name
	}
	if said := messageOf(a); said != "" {
		s += fmt.Sprintf(" (%q)", said)
	}
	return s
}

// antiHijack stands before the JSON of some servers, so that no script of
// another page can read it.
const antiHijack = ")]}'"

// messageOf returns what an answer says went wrong: the message of a JSON
// object in one of the usual shapes, or a short plain text. It is "" when
// there is none.
func messageOf(a Answer) string {
	body := bytes.TrimSpace(bytes.TrimPrefix(a.Body, []byte(antiHijack)))
	var m struct {
		Message any `json:"message"`
		Error   any `json:"error"`
		Errors  any `json:"errors"`
	}
	if json.Unmarshal(body, &m) != nil {
		if strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
			return oneLine(string(body))
		}
		return "" // a page, or a body of another shape
	}
	said := []string{}
	for _, v := range []any{m.Message, m.Error, m.Errors} {
		said = appendMessages(said, v)
	}
	return oneLine(strings.Join(said, ": "))
}

// appendMessages adds what v says: a text, the message of an object, or of
// each object of a list. Another object is shown as it is.
func appendMessages(said []string, v any) []string {
	switch v := v.(type) {
	case nil:
	case string:
		if v != "" {
			said = append(said, v)
		}
	case []any:
		for _, item := range v {
			if m, ok := item.(map[string]any); ok && m["message"] == nil {
				continue
			}
			said = appendMessages(said, item)
		}
	case map[string]any:
		if message, ok := v["message"].(string); ok {
			return append(said, message)
		}
		if text, err := json.Marshal(v); err == nil {
			said = append(said, string(text))
		}
	}
	return said
}

// oneLine cuts s to a length that fits a line, without control characters.
func oneLine(s string) string {
	const most = 200
	out := []rune{}
	for _, r := range s {
		if unicode.IsControl(r) {
			r = ' '
		}
		if out = append(out, r); len(out) > most {
			return string(out[:most-1]) + "…"
		}
	}
	return string(out)
}
