package lang

import (
	"strings"

	"github.com/tidwall/gjson"
)

// cursor reads a JSON text that [Scan] has accepted: it checks nothing, but it
// does not leave the text when it is wrong. gjson could do the same, but it
// decodes every string and parses every number that it passes.
type cursor struct {
	s string
	i int
}

// space skips white space and returns the next character, 0 at the end.
func (c *cursor) space() byte {
	for ; c.i < len(c.s); c.i++ {
		switch b := c.s[c.i]; b {
		case ' ', '\t', '\r', '\n':
		default:
			return b
		}
	}
	return 0
}

// next moves to the next member or item of the object or list that is being
// read. It returns false at its end.
func (c *cursor) next() bool {
	switch c.space() {
	case ',', ':', '{', '[':
		c.i++
		b := c.space()
		return b != '}' && b != ']' && b != 0
	}
	return false
}

// str reads a string and returns its value.
func (c *cursor) str() string {
	from := c.i
	c.skipString()
	raw := c.s[from:c.i]
	if len(raw) < 2 {
		return ""
	}
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	return gjson.Parse(raw).Str
}

// skipString moves behind the string that begins here.
func (c *cursor) skipString() {
	for j := c.i + 1; j < len(c.s); j++ {
		k := strings.IndexByte(c.s[j:], '"')
		if k < 0 {
			break
		}
		j += k
		slashes := 0
		for c.s[j-1-slashes] == '\\' && j-1-slashes > c.i {
			slashes++
		}
		if slashes%2 == 0 {
			c.i = j + 1
			return
		}
	}
	c.i = len(c.s)
}

// raw moves behind the value that begins here and returns its text.
func (c *cursor) raw() string {
	from := c.i
	switch c.space() {
	case '"':
		c.skipString()
	case '{', '[':
		c.skipNested()
	default:
		c.i = scalarEnd(c.s, c.i)
	}
	return c.s[from:c.i]
}

func (c *cursor) skipNested() {
	depth := 0
	for c.i < len(c.s) {
		switch c.s[c.i] {
		case '"':
			c.skipString()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				c.i++
				return
			}
		}
		c.i++
	}
}

func scalarEnd(s string, i int) int {
	for ; i < len(s); i++ {
		switch s[i] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return i
}

// value reads the value that begins here. Lists longer than limit are cut, and
// cut is set; limit 0 is none.
func (c *cursor) value(limit int, cut *bool) any {
	switch c.space() {
	case '"':
		return c.str()
	case '{':
		return c.object(limit, cut)
	case '[':
		return c.list(limit, cut)
	case 't':
		c.i = scalarEnd(c.s, c.i)
		return true
	case 'f':
		c.i = scalarEnd(c.s, c.i)
		return false
	case 'n', 0:
		c.i = scalarEnd(c.s, c.i)
		return nil
	}
	return number(c.raw())
}

func (c *cursor) list(limit int, cut *bool) any {
	out := []any{}
	for c.next() {
		at := c.i
		if limit > 0 && len(out) == limit {
			*cut = true
			c.raw()
		} else {
			if len(out) == 0 {
				out = make([]any, 0, 4) // one growth instead of three
			}
			out = append(out, c.value(limit, cut))
		}
		if c.i == at {
			break
		}
	}
	c.i++ // the bracket
	return out
}

func (c *cursor) object(limit int, cut *bool) any {
	out := map[string]any{}
	for c.next() {
		key := c.str()
		c.space()
		c.i++ // the colon
		at := c.i
		if _, twice := out[key]; twice {
			c.space()
			c.raw()
		} else {
			out[key] = c.value(limit, cut)
		}
		if c.i == at {
			break
		}
	}
	c.i++ // the bracket
	return out
}

// decode returns the value of a JSON text.
func decode(raw string, limit int, cut *bool) any {
	c := cursor{s: raw}
	return c.value(limit, cut)
}
