package diag

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxSnippet is the number of characters of a source line that is shown.
const maxSnippet = 160

// WriteText writes ps for a person, in the order they have:
//
//	error[E101]: unknown key "mapp"
//	  --> bad.yaml:10:7  run.status
//	   |
//	10 |       mapp: {success: succeeded}
//	   |       ^^^^
//	   = help: did you mean "map"?
//
// A problem without a help of its own has that of its code in the catalogue.
// src returns the text of a file for the snippet; a nil src, a nil text or a
// line that is not there leaves the snippet out. Control characters of the
// file are shown as "�", so that a file cannot drive the terminal.
func WriteText(w io.Writer, ps Problems, src func(file string) []byte, color bool) error {
	paint := plain
	if color {
		paint = ansi
	}
	var b bytes.Buffer
	for _, p := range ps {
		writeProblem(&b, p, src, paint)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteJSON writes ps as a JSON array, "[]" when there are none.
func WriteJSON(w io.Writer, ps Problems) error {
	out := make(Problems, len(ps))
	for i, p := range ps {
		if p.Severity == "" {
			p.Severity = SeverityError
		}
		p.Help = p.help()
		out[i] = p
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

type style string

const (
	red    style = "1;31"
	yellow style = "1;33"
	blue   style = "1;34"
	bold   style = "1"
)

func plain(_ style, s string) string { return s }

func ansi(c style, s string) string { return "\x1b[" + string(c) + "m" + s + "\x1b[0m" }

func writeProblem(b *bytes.Buffer, p Problem, src func(string) []byte, paint func(style, string) string) {
	word, colour := SeverityError, red
	if p.Warning() {
		word, colour = SeverityWarning, yellow
	}
	head := string(word)
	if p.Code != "" {
		head += "[" + p.Code + "]"
	}
	fmt.Fprintf(b, "%s%s\n", paint(colour, head), paint(bold, ": "+visible(p.Message)))

	line, found := sourceLine(p, src)
	number := fmt.Sprint(p.Line)
	margin := "  "
	if found {
		margin = strings.Repeat(" ", len(number))
	}
	if at := p.place(); at != "" || p.Path != "" {
		b.WriteString(margin + paint(blue, "--> ") + strings.TrimSpace(visible(at+"  "+p.Path)) + "\n")
	}
	bar := paint(blue, "|")
	if found {
		text, under := snippet(line, p.Col, p.Width)
		fmt.Fprintf(b, "%s %s\n%s %s %s\n", margin, bar, paint(blue, number), bar, text)
		fmt.Fprintf(b, "%s %s %s\n", margin, bar, paint(colour, under))
	}
	if help := p.help(); help != "" {
		help = strings.ReplaceAll(visible(help), "\n", "\n"+margin+"         ")
		fmt.Fprintf(b, "%s %s %s\n", margin, paint(blue, "="), "help: "+help)
	}
}

func sourceLine(p Problem, src func(string) []byte) (string, bool) {
	if src == nil || p.Line < 1 {
		return "", false
	}
	rest := src(p.File)
	if rest == nil {
		return "", false
	}
	for n := 1; ; n++ {
		line, after, more := bytes.Cut(rest, []byte("\n"))
		if n == p.Line {
			return strings.TrimSuffix(string(line), "\r"), true
		}
		if !more {
			return "", false
		}
		rest = after
	}
}

// snippet returns line, cut around col when it is very long, and the text that
// underlines width characters of it.
func snippet(line string, col, width int) (text, under string) {
	runes := []rune(visible(line))
	start := max(col, 1) - 1
	start = min(start, len(runes))
	from := 0
	if len(runes) > maxSnippet && start > maxSnippet/2 {
		from = start - maxSnippet/2
	}
	to := min(len(runes), from+maxSnippet)
	width = max(1, min(width, to-start))
	text = strings.TrimRight(string(runes[from:to]), " ")
	return text, strings.Repeat(" ", start-from) + strings.Repeat("^", width)
}

// visible replaces what would move the cursor; a tab becomes one space so that
// the underline stays below its place.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == '\n':
			return r
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029:
			return utf8.RuneError
		case r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069: // text direction overrides
			return utf8.RuneError
		}
		return r
	}, s)
}
