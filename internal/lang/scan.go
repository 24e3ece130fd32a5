package lang

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// Scan reports what is wrong with a JSON text, in one pass and without
// recursion: it must be one valid JSON value, nested at most maxDepth deep, of
// at most maxTokens values, names and brackets. A limit of 0 or less stands
// for the default, [MaxDepth] or [MaxTokens]. A byte order mark is not part of
// JSON; the caller strips it.
//
// The error is an [*Error] with the code E001 and with line and column in the
// text. Its message is for the person who wrote the sender.
func Scan(json []byte, maxDepth, maxTokens int) error {
	s := newScanner(json, maxDepth, maxTokens)
	defer s.release()
	if bad := s.scan(); bad != fine {
		return s.explain(bad)
	}
	return nil
}

func newScanner(json []byte, maxDepth, maxTokens int) *scanner {
	if maxDepth <= 0 {
		maxDepth = MaxDepth
	}
	if maxTokens <= 0 {
		maxTokens = MaxTokens
	}
	s := scanners.Get().(*scanner)
	s.b, s.maxDepth, s.maxTokens = json, maxDepth, maxTokens
	return s
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

// keepNodes is the longest index for which a scanner keeps its room.
const keepNodes = 16 << 10

// release gives s back without the text.
func (s *scanner) release() {
	open, nodes := s.open[:0], s.nodes[:0]
	if cap(nodes) > keepNodes {
		nodes = nil
	}
	*s = scanner{open: open, nodes: nodes}
	scanners.Put(s)
}

// complaint is what the scanner expected and did not find.
type complaint int

const (
	fine complaint = iota
	wantValue
	wantName     // or } right after {
	wantNameOnly // after a comma
	wantColon
	wantComma // or the closing bracket
	wantEnd   // of the text
	badString // at s.i, in the string that begins at s.start
	badNumber // that begins at s.start
	tooDeep
	tooMany
)

// scanner walks a JSON text. On a complaint i is where it stands and start is
// where the string or number begins that it was reading.
type scanner struct {
	b                   []byte
	i, start            int
	open                []int // offsets of the open brackets
	tokens              int
	maxDepth, maxTokens int
	afterValue          bool

	indexing bool   // nodes are wanted
	nodes    []node // of the values met
	parent   int32  // the node of the innermost open bracket
	key      int32  // the name of the member whose value comes next
	escaped  bool   // some name is written with a backslash
	slash    bool   // the last string had a backslash
}

func (s *scanner) scan() complaint {
	if bad := s.value(); bad != fine {
		return bad
	}
	for len(s.open) > 0 {
		var bad complaint
		if s.b[s.open[len(s.open)-1]] == '{' {
			bad = s.inObject()
		} else {
			bad = s.inList()
		}
		if bad != fine {
			return bad
		}
	}
	if s.space(); s.i < len(s.b) {
		return wantEnd
	}
	return fine
}

// inObject reads from one member to the next bracket that opens or closes.
func (s *scanner) inObject() complaint {
	for {
		c := s.space()
		switch {
		case c == '}' && !s.afterValue:
			s.close()
			return fine
		case s.afterValue && c == ',':
			s.i++
			if c = s.space(); c != '"' {
				return wantNameOnly
			}
		case s.afterValue:
			if c == '}' {
				s.close()
				return fine
			}
			return wantComma
		case c != '"':
			return wantName
		}
		s.key = int32(s.i)
		s.slash = false
		if bad := s.str(); bad != fine {
			return bad
		}
		s.escaped = s.escaped || s.slash
		if s.space() != ':' {
			return wantColon
		}
		s.i++
		depth := len(s.open)
		if bad := s.value(); bad != fine || len(s.open) > depth {
			return bad
		}
	}
}

// inList reads from one item to the next bracket that opens or closes.
func (s *scanner) inList() complaint {
	for {
		c := s.space()
		switch {
		case c == ']':
			s.close()
			return fine
		case s.afterValue && c == ',':
			s.i++
		case s.afterValue:
			return wantComma
		}
		depth := len(s.open)
		s.key = 0
		if bad := s.value(); bad != fine || len(s.open) > depth {
			return bad
		}
	}
}

// value reads a scalar, or opens a bracket. After a scalar, afterValue says
// that the next thing must be a comma or the end.
func (s *scanner) value() complaint {
	c := s.space()
	from := s.i
	switch {
	case c == '"':
		if bad := s.str(); bad != fine {
			return bad
		}
	case c == '{' || c == '[':
		if len(s.open) == s.maxDepth {
			return tooDeep
		}
		s.enter()
		s.open = append(s.open, s.i)
		s.i++
		s.afterValue = false
		return s.count()
	case c == '-' || c >= '0' && c <= '9':
		if bad := s.number(); bad != fine {
			return bad
		}
	case c == 't' && s.word("true"), c == 'f' && s.word("false"), c == 'n' && s.word("null"):
	default:
		return wantValue
	}
	s.afterValue = true
	if s.indexing {
		s.nodes = append(s.nodes, node{key: s.key, start: int32(from), end: int32(s.i), next: int32(len(s.nodes)) + 1})
	}
	return s.count()
}

// enter begins the node of the object or list that begins here. Until leave
// ends it, its next is the node around it.
func (s *scanner) enter() {
	if s.indexing {
		s.nodes = append(s.nodes, node{key: s.key, start: int32(s.i), next: s.parent})
		s.parent = int32(len(s.nodes)) - 1
	}
}

func (s *scanner) leave() {
	if s.indexing {
		n := &s.nodes[s.parent]
		s.parent, n.next, n.end = n.next, int32(len(s.nodes)), int32(s.i)
	}
}

func (s *scanner) close() {
	s.i++
	s.leave()
	s.open = s.open[:len(s.open)-1]
	s.afterValue = true
}

func (s *scanner) count() complaint {
	if s.tokens++; s.tokens > s.maxTokens {
		return tooMany
	}
	return fine
}

// space skips white space and returns the next character, 0 at the end.
func (s *scanner) space() byte {
	for i := s.i; i < len(s.b); i++ {
		switch c := s.b[i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			s.i = i
			return c
		}
	}
	s.i = len(s.b)
	return 0
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	if end := s.i + len(w); end < len(s.b) && isWord(s.b[end]) {
		return false
	}
	s.i += len(w)
	return true
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

// str reads a string; s.i is at its quote.
func (s *scanner) str() complaint {
	s.start = s.i
	s.i++
	for {
		s.plain()
		if s.i >= len(s.b) {
			return badString
		}
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return fine
		case c != '\\': // a control character
			return badString
		case s.i+1 < len(s.b) && escapable[s.b[s.i+1]]:
			s.i += 2
			s.slash = true
		case s.i+5 < len(s.b) && s.b[s.i+1] == 'u' && hex4(s.b[s.i+2:s.i+6]):
			s.i += 6
			s.slash = true
		default:
			return badString
		}
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain moves s.i to the next quote, backslash or control character, eight
// bytes at a time.
func (s *scanner) plain() {
	b := s.b
	i := s.i
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		if hit := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & highs; hit != 0 {
			s.i = i + bits.TrailingZeros64(hit)/8
			return
		}
	}
	for ; i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\'; i++ {
	}
	s.i = i
}

var escapable = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

func hex4(b []byte) bool {
	for _, c := range b {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// number reads a number; s.i is at its first character.
func (s *scanner) number() complaint {
	s.start = s.i
	if s.b[s.i] == '-' {
		s.i++
	}
	switch c := s.peek(); {
	case c == '0':
		s.i++
	case s.digits() == 0:
		return badNumber
	}
	if s.peek() == '.' {
		s.i++
		if s.digits() == 0 {
			return badNumber
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if s.digits() == 0 {
			return badNumber
		}
	}
	if c := s.peek(); isWord(c) || c == '.' {
		return badNumber
	}
	return fine
}

func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) digits() int {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i - from
}
