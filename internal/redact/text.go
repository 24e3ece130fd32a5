package redact

import (
	"strings"
)

// Text returns a text without its secrets, and how many were taken out.
func (r *Redactor) Text(text string) (redacted string, found int) {
	c := copier{s: text}
	for i := 0; i < len(text); {
		next := 0
		switch text[i] {
		case ':', '=':
			next = r.separator(&c, i)
		case ' ':
			next = r.space(&c, i)
		case '%':
			next = c.encodedURL(i)
		case 'c':
			next = c.apiKey(i)
		case '-':
			next = c.privateKey(i)
		}
		i = max(i+1, next)
	}
	out := c.done()
	out, more := r.known(out)
	return out, c.found + more
}

// copier copies a text and leaves spans out. Spans come in their order.
type copier struct {
	s     string
	out   strings.Builder
	kept  int // s[:kept] was copied or left out
	found int

	runEnd, runAt int // see lastAt
}

// hide leaves out s[from:to] and returns to.
func (c *copier) hide(from, to int) int {
	if from < c.kept || from >= to {
		return max(c.kept, to)
	}
	c.out.WriteString(c.s[c.kept:from])
	c.out.WriteString(Stars)
	c.kept = to
	c.found++
	return to
}

func (c *copier) done() string {
	if c.found == 0 {
		return c.s
	}
	c.out.WriteString(c.s[c.kept:])
	return c.out.String()
}

// Each rule looks at one place of the text and returns from where to go on; 0
// where it found nothing.

// separator is a : or = at i: of a URL, or between a name and its value.
func (r *Redactor) separator(c *copier, i int) int {
	if c.s[i] == ':' {
		if rest := c.s[i+1:]; strings.HasPrefix(rest, "//") {
			return c.url(i + 3)
		} else if strings.HasPrefix(rest, `\/\/`) {
			return c.url(i + 5)
		}
	}
	if !r.Names {
		return 0
	}
	name, quoted := nameBefore(c.s, i)
	if !Name(name) {
		return 0
	}
	if r.Prose && !quoted && !assigns(c.s, i, name) {
		return 0
	}
	from := i + 1
	from += len(c.s[from:]) - len(strings.TrimLeft(c.s[from:], " \t"))
	return c.assigned(name, from)
}

// assigns reports whether the : or = at i is that of an assignment also where
// people write sentences, or code: "token: wrong" and "token == nil" are none.
func assigns(s string, i int, name string) bool {
	if s[i] == ':' {
		return strings.ContainsAny(name, "-_") || strings.EqualFold(name, "authorization")
	}
	rest := s[i+1:]
	return isName(s[i-1]) && rest != "" && strings.IndexByte(" \t", rest[0]) < 0 && !strings.HasPrefix(rest, "= ")
}

// nameBefore returns the name that ends before i, without quotes.
func nameBefore(s string, i int) (name string, quoted bool) {
	end := i
	for end > 0 && (s[end-1] == ' ' || s[end-1] == '\t') && i-end < 8 {
		end--
	}
	if end > 0 && (s[end-1] == '"' || s[end-1] == '\'') {
		end--
		quoted = true
		if end > 0 && s[end-1] == '\\' {
			end--
		}
	}
	start := end
	for start > 0 && isName(s[start-1]) && end-start <= maxName {
		start--
	}
	return s[start:end], quoted
}

// assigned hides the value at from: to its closing quote, or to the end of the
// word. Of an Authorization the rest of the line is secret.
func (c *copier) assigned(name string, from int) int {
	s := c.s
	if from >= len(s) || from < c.kept {
		return 0
	}
	quote := ""
	switch {
	case s[from] == '"' || s[from] == '\'':
		quote = s[from : from+1]
	case strings.HasPrefix(s[from:], `\"`):
		quote = `\"`
	}
	if quote != "" {
		from += len(quote)
		return c.hide(from, quoteEnd(s, from, quote))
	}
	stop := " \t\r\n\"'<>&"
	if last, _ := lastWords(name); last == "authorization" || last == "cookie" || last == "cookies" {
		stop = "\r\n\"'<>"
		if scheme, rest, two := strings.Cut(s[from:min(len(s), from+16)], " "); two && isScheme(scheme) && rest != "" {
			from += len(scheme) + 1
		}
	}
	return c.hide(from, endOf(s, from, stop))
}

// endOf returns where the first byte of stop is, from a place on.
func endOf(s string, from int, stop string) int {
	if n := strings.IndexAny(s[from:], stop); n >= 0 {
		return from + n
	}
	return len(s)
}

// quoteEnd returns where a quoted text ends that begins at from.
func quoteEnd(s string, from int, quote string) int {
	for i := from; i < len(s); i++ {
		if strings.HasPrefix(s[i:], quote) {
			return i
		}
		if s[i] == '\\' {
			i++
		}
	}
	return len(s)
}

// maxUser is the length of the longest user name without a password that
// stays: that of ssh://git@host. Longer ones may be tokens.
const maxUser = 7

// url hides the credentials of a URL whose authority begins at from. A
// password with a slash in it makes the URL wrong and is a password still.
func (c *copier) url(from int) int {
	s := c.s
	authority := s[from:endOf(s, from, urlStop+"/?#\\")]
	last := strings.LastIndexByte(authority, '@')
	if _, port, ok := strings.Cut(authority, ":"); last < 0 && ok && strings.Trim(port, "0123456789") != "" && !strings.HasPrefix(authority, "[") {
		last = c.lastAt(from) - from
	}
	if last < 0 || last <= maxUser && !strings.Contains(authority[:min(last, len(authority))], ":") {
		return from
	}
	return c.hide(from, from+last)
}

// urlStop ends a URL in a text.
const urlStop = " \t\r\n\"'<>`|{}"

// lastAt returns where the last @ of the run of URL characters around from is;
// -1 when there is none behind from. It looks at each run once.
func (c *copier) lastAt(from int) int {
	if from >= c.runEnd {
		c.runEnd = endOf(c.s, from, urlStop)
		c.runAt = strings.LastIndexByte(c.s[:c.runEnd], '@')
	}
	if c.runAt < from {
		return -1
	}
	return c.runAt
}

// encodedURL is a % at i, perhaps of a URL within a URL.
func (c *copier) encodedURL(i int) int {
	const slashes, slash, at = "%3A%2F%2F", "%2F", "%40"
	if !hasFold(c.s[i:], slashes) {
		return 0
	}
	from, last := i+len(slashes), -1
	for j := from; j < len(c.s) && strings.IndexByte(urlStop+"&", c.s[j]) < 0 && !hasFold(c.s[j:], slash); j++ {
		if hasFold(c.s[j:], at) {
			last = j
		}
	}
	return c.hide(from, max(from, last))
}

func hasFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

var authSchemes = []string{"bearer", "basic", "token", "apikey", "digest", "negotiate"}

func isScheme(word string) bool {
	for _, s := range authSchemes {
		if strings.EqualFold(s, word) {
			return true
		}
	}
	return false
}

// minBare is the length of the shortest token that is one without a name.
const minBare = 16

// space is a blank at i: between a scheme and its token, or an option and its
// value.
func (r *Redactor) space(c *copier, i int) int {
	start := i
	for start > 0 && isName(c.s[start-1]) && i-start <= maxName {
		start--
	}
	word := c.s[start:i]
	end := endOf(c.s, i+1, " \t\r\n\"'<>\\,;")
	value := c.s[i+1 : end]
	switch {
	case len(word) > 10 && !strings.HasPrefix(word, "-"), word == "":
		return 0
	case strings.EqualFold(word, "bearer") || strings.EqualFold(word, "basic"):
		if len(value) >= minBare && strings.ContainsAny(value, "0123456789+/=") {
			return c.hide(i+1, end)
		}
	case r.Names && strings.HasPrefix(word, "-") && Name(strings.TrimLeft(word, "-")) && !strings.HasPrefix(value, "-"):
		return c.hide(i+1, endOf(c.s, i+1, " \t\r\n"))
	}
	return 0
}

// apiKey is a c at i, perhaps of a key of this server: cib_<id>_<secret>_<crc>.
// The id is no secret.
func (c *copier) apiKey(i int) int {
	if !strings.HasPrefix(c.s[i:], "cib_") {
		return 0
	}
	end := i
	for end < len(c.s) && (isName(c.s[end]) && c.s[end] != '.' && c.s[end] != '-') {
		end++
	}
	id := strings.IndexByte(c.s[i+4:end], '_')
	if id < 0 || end-i < 24 {
		return 0
	}
	return c.hide(i+4+id+1, end)
}

// privateKey is a - at i, perhaps of a key in PEM.
func (c *copier) privateKey(i int) int {
	const begin, end = "-----BEGIN ", "-----END "
	if !strings.HasPrefix(c.s[i:], begin) {
		return 0
	}
	title, _, ok := strings.Cut(c.s[i+len(begin):min(len(c.s), i+len(begin)+64)], "-----")
	if !ok || !strings.HasSuffix(title, "PRIVATE KEY") {
		return 0
	}
	from := i + len(begin) + len(title) + 5
	if n := strings.Index(c.s[from:], end); n >= 0 {
		return c.hide(from, from+n)
	}
	return c.hide(from, len(c.s))
}
