package diag

import (
	_ "embed"
	"regexp"
	"strings"
	"sync"
)

// catalogueText has a section for each code. A section begins with the code
// and its title at the start of a line, then "help: …" on one line where one
// line can say what to do, then text for people. The blocks "mistake:" and
// "fix:" are pieces of a mapping, and tests hold them to it.
//
//go:embed codes.txt
var catalogueText string

// Entry is what the catalogue says of one code.
type Entry struct {
	Code  string
	Title string // what is wrong in a few words
	Help  string // what to do about it, in one line; "" when that depends on the case
	Text  string // what it means, with an example of the mistake and the fix
}

// Explain returns the entry of a code. ok is false for a code that does not
// exist.
func Explain(code string) (e Entry, ok bool) {
	for _, e := range entries() {
		if e.Code == code {
			return e, true
		}
	}
	return Entry{}, false
}

// Catalogue lists the entries of all codes, sorted by code within a family: E0
// requests, E1 structure, E2 expressions and paths, E3 mappings at run time,
// E4 hooks and templates, E5 delivery, W warnings of lint.
func Catalogue() []Entry { return append([]Entry(nil), entries()...) }

// Block returns the lines of a block of the text, such as "mistake", without
// their indentation; "" when there is no such block.
func (e Entry) Block(name string) string {
	_, after, found := strings.Cut("\n"+e.Text+"\n", "\n"+name+":\n")
	if !found {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(after) {
		text, inside := strings.CutPrefix(line, "    ")
		if !inside && strings.TrimSpace(line) != "" {
			break
		}
		b.WriteString(text)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

var sectionHead = regexp.MustCompile(`(?m)^([EW]\d{3}) (.+)\n(?:help: (.+)\n)?`)

// entries reads the catalogue once.
var entries = sync.OnceValue(func() []Entry {
	var out []Entry
	heads := sectionHead.FindAllStringSubmatchIndex(catalogueText, -1)
	for i, h := range heads {
		end := len(catalogueText)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		part := func(group int) string {
			if h[2*group] < 0 {
				return ""
			}
			return catalogueText[h[2*group]:h[2*group+1]]
		}
		out = append(out, Entry{Code: part(1), Title: part(2), Help: part(3), Text: strings.TrimSpace(catalogueText[h[1]:end])})
	}
	return out
})

// help returns what to do about p: its own help, else that of its code.
func (p Problem) help() string {
	if p.Help != "" {
		return p.Help
	}
	e, _ := Explain(p.Code)
	return e.Help
}
