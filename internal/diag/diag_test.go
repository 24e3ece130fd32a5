package diag

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestError(t *testing.T) {
	tests := []struct {
		p    Problem
		want string
	}{
		{Problem{File: "a.yaml", Line: 3, Col: 7, Code: "E101", Message: "no"}, "a.yaml:3:7: no [E101]"},
		{Problem{File: "a.yaml", Line: 3, Message: "no"}, "a.yaml:3: no"},
		{Problem{File: "a.yaml", Code: "E101", Message: "no"}, "a.yaml: no [E101]"},
		{Problem{Message: "no"}, "no"},
	}
	for _, tt := range tests {
		if got := tt.p.Error(); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.p, got, tt.want)
		}
	}
}

func TestProblems(t *testing.T) {
	ps := Problems{
		{File: "b", Line: 1, Message: "4"},
		{File: "a", Line: 2, Col: 9, Message: "3", Severity: SeverityWarning},
		{File: "a", Line: 2, Col: 1, Message: "1"},
		{File: "a", Line: 2, Col: 1, Message: "2", Severity: SeverityError},
	}
	ps.Sort()
	var order string
	for _, p := range ps {
		order += p.Message
	}
	if order != "1234" {
		t.Errorf("sorted: got %s, want 1234", order)
	}
	if got := len(ps.Errors()); got != 3 {
		t.Errorf("errors: got %d, want 3", got)
	}
	if got := ps.Warnings(); len(got) != 1 || got[0].Message != "3" {
		t.Errorf("warnings: got %v", got)
	}
	if err := ps.Warnings().Err(); err != nil {
		t.Errorf("warnings alone are an error: %v", err)
	}
	if err := ps.Err(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("errors: got %v, want three lines", err)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"map", "maps", "match", "body", "header", "received_at", "commit.sha"}
	tests := []struct{ word, want string }{
		{"mapp", "map"},
		{"boddy", "body"},
		{"bdy", "body"},
		{"Body", "body"},
		{"header", ""}, // it is known: nothing to say
		{"receivedAt", "received_at"},
		{"recevied_at", "received_at"},
		{"mpa", "map"},
		{"zzz", ""},
		{"x", ""},
		{"", ""},
		{"commit_sha", "commit.sha"},
		{"__", ""},
	}
	for _, tt := range tests {
		if got := Nearest(tt.word, known); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.word, got, tt.want)
		}
	}
}

const source = "name: x\r\nrun:\n      mapp: {success: succeeded}\nlast: ü\tjetzt"

func TestWriteText(t *testing.T) {
	src := func(string) []byte { return []byte(source) }
	tests := []struct {
		name string
		p    Problem
		want string
	}{
		{"snippet", Problem{File: "bad.yaml", Line: 3, Col: 7, Width: 4, Path: "run.status", Code: "E101", Message: `unknown key "mapp"`, Help: `did you mean "map"?`},
			"error[E101]: unknown key \"mapp\"\n --> bad.yaml:3:7  run.status\n  |\n3 |       mapp: {success: succeeded}\n  |       ^^^^\n  = help: did you mean \"map\"?\n"},
		{"carriage return is not shown", Problem{File: "bad.yaml", Line: 1, Col: 7, Message: "m", Severity: SeverityWarning},
			"warning: m\n --> bad.yaml:1:7\n  |\n1 | name: x\n  |       ^\n"},
		{"columns are characters", Problem{File: "bad.yaml", Line: 4, Col: 9, Width: 99, Message: "m"},
			"error: m\n --> bad.yaml:4:9\n  |\n4 | last: ü jetzt\n  |         ^^^^^\n"},
		{"behind the end of the line", Problem{File: "bad.yaml", Line: 2, Col: 40, Message: "m"},
			"error: m\n --> bad.yaml:2:40\n  |\n2 | run:\n  |     ^\n"},
		{"no such line", Problem{File: "bad.yaml", Line: 9, Message: "m"}, "error: m\n  --> bad.yaml:9\n"},
		{"no place", Problem{Message: "m", Help: "h"}, "error: m\n   = help: h\n"},
		{"no terminal codes", Problem{Message: "a\x1b[2Jb\u202ec"}, "error: a�[2Jb�c\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteText(&b, Problems{tt.p}, src, false); err != nil {
				t.Fatal(err)
			}
			if b.String() != tt.want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), tt.want)
			}
		})
	}
}

func TestWriteTextCutsLongLines(t *testing.T) {
	line := strings.Repeat("a", 5000) + "X" + strings.Repeat("b", 5000)
	var b bytes.Buffer
	if err := WriteText(&b, Problems{{File: "f", Line: 1, Col: 5001, Message: "m"}}, func(string) []byte { return []byte(line) }, false); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if len(lines[3]) > maxSnippet+10 {
		t.Fatalf("the snippet has %d characters", len(lines[3]))
	}
	if at := strings.Index(lines[4], "^"); lines[3][at] != 'X' {
		t.Errorf("the caret is below %q:\n%s", lines[3][at], b.String())
	}
}

func TestWriteTextColour(t *testing.T) {
	var b bytes.Buffer
	if err := WriteText(&b, Problems{{Message: "m", Code: "E1"}}, nil, true); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "\x1b[1;31merror[E1]\x1b[0m\x1b[1m: m\x1b[0m\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, nil); err != nil || strings.TrimSpace(b.String()) != "[]" {
		t.Errorf("no problems: got %q, %v, want []", b.String(), err)
	}
	b.Reset()
	in := Problems{{File: "f", Line: 1, Message: "a <b>"}}
	if err := WriteJSON(&b, in); err != nil {
		t.Fatal(err)
	}
	var out Problems
	if err := json.Unmarshal(b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out[0].Severity != SeverityError || out[0].Message != "a <b>" || in[0].Severity != "" {
		t.Errorf("got %+v from %+v", out, in)
	}
}

func FuzzWriteText(f *testing.F) {
	f.Add("a\nb", 2, 1, 1, "m")
	f.Add("", 1, 9, -4, "\x1b")
	f.Fuzz(func(t *testing.T, src string, line, col, width int, message string) {
		var b bytes.Buffer
		p := Problem{File: "f", Line: line, Col: col, Width: width, Message: message}
		if err := WriteText(&b, Problems{p}, func(string) []byte { return []byte(src) }, false); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsRune(b.Bytes(), 0x1b) {
			t.Errorf("an escape got through: %q", b.String())
		}
	})
}
