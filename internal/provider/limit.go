package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Limit is what one field of the body may hold: always text.
type Limit struct {
	Field string // "description", "context.name"
	Max   int    // characters; 0: any number
	Over  Over
	// UTF16 counts as Java and C# do, in which an emoji is two.
	UTF16 bool
	// Line makes one line of it: control characters become spaces.
	Line bool
	// Address lets only http and https addresses through.
	Address bool
	// Chars are the characters that it may have besides letters and digits of
	// ASCII; "" is any.
	Chars string
}

// Over is what happens to a text that does not fit.
type Over string

// What happens to a text that does not fit.
const (
	Cut  Over = "cut"  // it is cut and ends in "…"
	Drop Over = "drop" // it is left out: half of it would be wrong
	Hash Over = "hash" // a readable beginning, and a hash of the whole: no two become one
)

type limitFile struct {
	Max     int    `json:"max"`
	Over    Over   `json:"over"`
	Count   string `json:"count"`
	Line    bool   `json:"line"`
	Address bool   `json:"address"`
	Chars   string `json:"chars"`
}

func (f limitFile) limit(field string) (Limit, error) {
	l := Limit{field, f.Max, f.Over, f.Count == "utf16", f.Line, f.Address, f.Chars}
	switch {
	case f.Over != Cut && f.Over != Drop && f.Over != Hash || f.Max < 0 || f.Max == 0 && !f.Address:
		return Limit{}, errors.New("it needs max, and over: cut, drop or hash")
	case f.Over == Hash && f.Max < 2*hashLength:
		return Limit{}, fmt.Errorf("a hash needs a max of at least %d", 2*hashLength)
	case f.Count != "" && f.Count != "utf16":
		return Limit{}, errors.New("count is utf16, or left out for characters")
	case f.Chars != "" && f.Over != Hash, f.Address && f.Over != Drop:
		return Limit{}, errors.New("chars go with over: hash, address with over: drop")
	}
	return l, nil
}

// Fit makes the fields of body fit the profile's limits, and says for people
// what that changed: "description cut to 140 of 211 characters". Cutting never
// makes two keys of one.
func (p *Profile) Fit(body map[string]any) (notes []string) {
	for _, l := range p.Limits {
		parent, name := body, l.Field
		if i := strings.LastIndexByte(l.Field, '.'); i >= 0 {
			parent, _ = Lookup(body, l.Field[:i]).(map[string]any)
			name = l.Field[i+1:]
		}
		text, ok := asText(parent[name])
		if !ok {
			continue
		}
		fitted, keep, note := l.fit(text)
		if !keep {
			delete(parent, name)
		} else {
			parent[name] = fitted
		}
		if note != "" {
			notes = append(notes, l.Field+" "+note)
		}
	}
	return notes
}

// Lookup returns the value at a dotted path of a body, nil when it is absent.
func Lookup(body map[string]any, path string) any {
	first, rest, nested := strings.Cut(path, ".")
	if !nested {
		return body[first]
	}
	sub, _ := body[first].(map[string]any)
	if sub == nil {
		return nil
	}
	return Lookup(sub, rest)
}

// asText returns a scalar as text: a provider that wants text refuses a number.
func asText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool, int, int64, float64, json.Number:
		return fmt.Sprint(v), true
	}
	return "", false
}

func (l Limit) fit(text string) (fitted string, keep bool, note string) {
	if l.Address {
		if text = escapeAddress(text); !isAddress(text) {
			return "", false, "left out: it is no http or https address"
		}
	}
	if l.Over == Hash {
		return l.hash(text)
	}
	text = strings.ToValidUTF8(text, "\ufffd")
	clean := strings.Map(l.character, text)
	n := l.count(clean)
	switch {
	case l.Max == 0 || n <= l.Max:
	case l.Over == Drop:
		return "", false, fmt.Sprintf("left out: it has %d characters, at most %d are accepted", n, l.Max)
	default:
		return l.head(clean, l.Max-1) + "…", true, fmt.Sprintf("cut to %d of %d characters", l.Max, n)
	}
	if clean != text {
		note = "changed: control characters became spaces"
	}
	return clean, true, note
}

// character returns what is sent for r. No provider takes a NUL, and none
// shows the other control characters.
func (l Limit) character(r rune) rune {
	if unicode.IsControl(r) && (l.Line || r != '\n' && r != '\t') {
		return ' '
	}
	return r
}

const (
	hashDigits = 12
	hashLength = 1 + hashDigits // "-" and the digits
)

// hash keeps a text that fits. Of another it keeps the readable beginning and
// appends a hash of all of it.
func (l Limit) hash(text string) (fitted string, keep bool, note string) {
	if l.count(text) <= l.Max && utf8.ValidString(text) && !strings.ContainsFunc(text, l.refused) {
		return text, true, ""
	}
	sum := sha256.Sum256([]byte(text))
	readable := strings.Map(func(r rune) rune {
		if l.refused(r) || r == utf8.RuneError {
			return '-'
		}
		return r
	}, text)
	fitted = l.head(readable, l.Max-hashLength) + "-" + hex.EncodeToString(sum[:hashDigits/2])
	return fitted, true, fmt.Sprintf("shortened to %q", fitted)
}

func (l Limit) refused(r rune) bool {
	plain := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return unicode.IsControl(r) || l.Chars != "" && !plain && !strings.ContainsRune(l.Chars, r)
}

// count returns the length of s as the provider counts it.
func (l Limit) count(s string) int {
	if !l.UTF16 {
		return utf8.RuneCountInString(s)
	}
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// head returns at most n characters of s, never half of one.
func (l Limit) head(s string, n int) string {
	for i, r := range s {
		size := 1
		if l.UTF16 {
			size = utf16.RuneLen(r)
		}
		if n -= size; n < 0 {
			return s[:i]
		}
	}
	return s
}

// isAddress reports whether s is an http or https address that providers take.
func isAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && plainHost.MatchString(u.Host)
}

// plainHost is a host in ASCII, with or without a port.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9._-]+(:[0-9]+)?$|^\[[0-9A-Fa-f:.]+\](:[0-9]+)?$`)

// escapeAddress escapes what people write into addresses and not every provider
// takes: spaces, letters beyond ASCII, and braces, which are places for values
// at Bitbucket. A line break or another control character stays: who has one
// has no address.
func escapeAddress(s string) string {
	var b strings.Builder
	for _, c := range []byte(strings.TrimSpace(s)) {
		if c >= utf8.RuneSelf || strings.IndexByte(" \"<>\\^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
