package redact

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"strings"
)

const (
	// window is the length of the shortest piece of a secret that must not
	// show.
	window = 8
	// shortest is the length of the shortest secret that is looked for in
	// text: shorter ones would blank out ordinary words.
	shortest = 4
)

// A Masker replaces secrets in text by their value. It works on windows, not
// on whole secrets: any piece of a secret that is at least 8 bytes long is
// replaced, so a text that was cut within a secret, or a target that echoes
// half of one, shows nothing either. The zero value has no secrets. It is safe
// for concurrent use once nothing is added any more.
type Masker struct {
	windows map[uint64]struct{}
	whole   []string // secrets shorter than a window
	// filter has a bit for each window, so that most places of a text need no
	// look into the map.
	filter []uint64
	shift  uint
}

// Add makes m mask secret and the forms in which it usually comes back:
// URL-encoded, JSON- and HTML-escaped, hex, base64 on its own and base64
// within something longer (Basic credentials). Secrets of less than 4 bytes
// are not looked for.
func (m *Masker) Add(secret string) {
	if len(secret) < shortest {
		return
	}
	for _, form := range forms(secret) {
		m.addForm(form)
	}
	m.grow()
}

func (m *Masker) addForm(form string) {
	if len(form) < shortest {
		return
	}
	if len(form) < window {
		m.whole = append(m.whole, form)
		return
	}
	if m.windows == nil {
		m.windows = map[uint64]struct{}{}
	}
	for i := 0; i+window <= len(form); i++ {
		w := binary.LittleEndian.Uint64([]byte(form[i : i+window]))
		m.windows[w] = struct{}{}
		if m.filter != nil {
			m.note(w)
		}
	}
}

// grow keeps the filter sparse: 16 bits and more for each window.
func (m *Masker) grow() {
	size, bits := len(m.windows)*16, uint(12)
	if size <= len(m.filter)*64 {
		return
	}
	for 1<<bits < size*2 {
		bits++
	}
	m.filter, m.shift = make([]uint64, 1<<(bits-6)), 64-bits
	for w := range m.windows {
		m.note(w)
	}
}

func (m *Masker) slot(w uint64) uint64 { return (w * 0x9e3779b97f4a7c15) >> m.shift }

func (m *Masker) note(w uint64) {
	at := m.slot(w)
	m.filter[at/64] |= 1 << (at % 64)
}

func (m *Masker) has(w uint64) bool {
	at := m.slot(w)
	if m.filter[at/64]&(1<<(at%64)) == 0 {
		return false
	}
	_, ok := m.windows[w]
	return ok
}

func forms(secret string) []string {
	quoted, _ := json.Marshal(secret) // a string cannot fail
	list := []string{
		secret,
		url.QueryEscape(secret),
		url.PathEscape(secret),
		strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"),
		strings.Trim(string(quoted), `"`),
		html.EscapeString(secret),
		hex.EncodeToString([]byte(secret)),
		strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		list = append(list, enc.EncodeToString([]byte(secret)))
		// In "user:secret" the secret starts at any of three places within
		// base64's groups. The character it shares with what is before it
		// differs, those after it are always the same.
		for offset := 1; offset <= 2; offset++ {
			text := enc.EncodeToString([]byte(strings.Repeat("\x00", offset) + secret))
			list = append(list, text[offset+1:])
		}
	}
	return list
}

// Mask returns s with every secret replaced by [Stars]. A nil Masker returns s.
func (m *Masker) Mask(s string) string {
	if m == nil {
		return s
	}
	s, _ = m.mask(s)
	return s
}

func (m *Masker) mask(s string) (masked string, found int) {
	for _, short := range m.whole {
		if n := strings.Count(s, short); n > 0 {
			s, found = strings.ReplaceAll(s, short, Stars), found+n
		}
	}
	if len(m.windows) == 0 || len(s) < window {
		return s, found
	}
	var out strings.Builder
	kept, hidden := 0, -1 // s[:kept] is written; s[:hidden] has to be hidden
	var w uint64
	for i := range len(s) {
		w = w>>8 | uint64(s[i])<<56 // the window that ends here, little-endian
		if i+1 < window || !m.has(w) {
			continue
		}
		if start := i + 1 - window; start > hidden {
			out.WriteString(s[kept:start])
			out.WriteString(Stars)
			found++
		}
		kept, hidden = i+1, i+1
	}
	if hidden < 0 {
		return s, found
	}
	out.WriteString(s[kept:])
	return out.String(), found
}
