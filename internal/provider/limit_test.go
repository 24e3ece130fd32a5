package provider

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestFit(t *testing.T) {
	type m = map[string]any
	long := strings.Repeat("ab", 30) // 60
	tests := []struct {
		name    string
		profile string
		body    m
		want    m
		notes   string
	}{
		{"what fits stays", "github", m{"description": "ok", "context": "ci/a", "n": 1}, m{"description": "ok", "context": "ci/a", "n": 1}, ""},
		{"cut", "github", m{"description": strings.Repeat("ü", 180)}, m{"description": strings.Repeat("ü", 139) + "…"}, "description cut to 140 of 180 characters"},
		{"an emoji is one character here", "github", m{"description": strings.Repeat("🙂", 140)}, m{"description": strings.Repeat("🙂", 140)}, ""},
		{"and two there", "bitbucket-dc", m{"description": strings.Repeat("🙂", 128)}, m{"description": strings.Repeat("🙂", 127) + "…"}, "description cut to 255 of 256 characters"},
		{"one line", "github", m{"description": "a\r\nb\x00c"}, m{"description": "a  b c"}, "description changed: control characters became spaces"},
		{"several lines", "gerrit", m{"message": "a\nb\x07c"}, m{"message": "a\nb c"}, "message changed: control characters became spaces"},
		{"numbers are texts", "github", m{"description": int64(7), "context": json.Number("4487150517")}, m{"description": "7", "context": "4487150517"}, ""},
		{"a key that fits", "bitbucket", m{"key": long[:40]}, m{"key": long[:40]}, ""},
		{"a key that does not", "bitbucket", m{"key": long}, m{"key": "ababababababababababababababababab"[:27] + "-d5e1b4d0a3a1"}, ""},
		{"a key with a line break", "bitbucket", m{"key": "a\nb"}, m{"key": "a-b-0000"}, ""},
		{"characters of a key", "harness-code", m{"identifier": "ci/größe"}, m{"identifier": "ci-gr--e-0000"}, ""},
		{"a plain key", "harness-code", m{"identifier": "ci.a-b_c$1"}, m{"identifier": "ci.a-b_c$1"}, ""},
		{"half an address is none", "gitlab", m{"target_url": "https://x/" + strings.Repeat("a", 300)}, m{}, "target_url left out: it has 310 characters, at most 255 are accepted"},
		{"no address", "gitlab", m{"target_url": "javascript:alert(1)"}, m{}, "target_url left out: it is no http or https address"},
		{"an address as people write it", "bitbucket", m{"url": " https://x.io/größe/a b?q={repository.full_name}#é "}, m{"url": "https://x.io/gr%C3%B6%C3%9Fe/a%20b?q=%7Brepository.full_name%7D#%C3%A9"}, ""},
		{"an address with a line break", "bitbucket", m{"url": "https://x.io/a\nb"}, m{}, "url left out: it is no http or https address"},
		{"a host beyond ASCII", "github", m{"target_url": "https://größe.de/"}, m{}, "target_url left out: it is no http or https address"},
		{"an address with an address in it", "github", m{"target_url": "https://[::1]:8080/a"}, m{"target_url": "https://[::1]:8080/a"}, ""},
		{"an address with a credential", "github", m{"target_url": "https://u:p@x/"}, m{}, "target_url left out: it is no http or https address"},
		{"nested", "azure-devops", m{"context": m{"name": "a", "genre": "b\n"}, "description": "x"}, m{"context": m{"name": "a", "genre": "b--0000"}, "description": "x"}, ""},
		{"not nested", "azure-devops", m{"context": "x"}, m{"context": "x"}, ""},
	}
	ps := load(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			notes := strings.Join(ps.Get(tt.profile).Fit(tt.body), "; ")
			if got, want := shape(tt.body), shape(tt.want); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if tt.notes != "" && notes != tt.notes {
				t.Errorf("notes: got %q, want %q", notes, tt.notes)
			}
			if strings.Contains(shape(tt.want), "-HASH") != strings.Contains(notes, "shortened to") {
				t.Errorf("notes: got %q", notes)
			}
		})
	}
}

// shape writes a body with the digits of its hashes replaced.
func shape(body map[string]any) string {
	text := fmt.Sprintf("%#v", body)
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return r == '"' }) {
		i := strings.LastIndexByte(field, '-')
		if digits := field[i+1:]; i > 0 && len(digits) >= 4 && strings.Trim(digits, "0123456789abcdef") == "" {
			text = strings.ReplaceAll(text, field, field[:i]+"-HASH")
		}
	}
	return text
}

// Two keys never become one, whatever they have in common, and one key is
// always the same.
func TestKeysStayApart(t *testing.T) {
	ps := load(t)
	field := map[string]string{"bitbucket": "key", "harness-code": "identifier", "github": "context", "gitlab": "name"}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"bitbucket", "harness-code", "github", "gitlab"}).Draw(t, "profile")
		p := ps.Get(name)
		prefix := rapid.StringN(0, 60, -1).Draw(t, "prefix")
		a, b := prefix+rapid.String().Draw(t, "a"), prefix+rapid.String().Draw(t, "b")
		fit := func(s string) string {
			body := map[string]any{field[name]: s}
			p.Fit(body)
			text, _ := body[field[name]].(string)
			return text
		}
		if (fit(a) == fit(b)) != (a == b) {
			t.Fatalf("%q and %q become %q and %q", a, b, fit(a), fit(b))
		}
		if fit(a) != fit(fit(a)) {
			t.Fatalf("%q becomes %q, and that %q", a, fit(a), fit(fit(a)))
		}
	})
}

// Whatever a text is, what is sent fits and is no half of a character.
func TestEverythingFits(t *testing.T) {
	ps := load(t)
	rapid.Check(t, func(t *rapid.T) {
		p := ps.Get(rapid.SampledFrom(statusProfiles).Draw(t, "profile"))
		l := rapid.SampledFrom(p.Limits).Draw(t, "limit")
		unit := rapid.SampledFrom([]string{"a", "ü", "🙂", "\n", "\"", "\x00", "e\u0301", "\xff"}).Draw(t, "unit")
		text := strings.Repeat(unit, rapid.IntRange(0, 3000).Draw(t, "n")) + rapid.String().Draw(t, "rest")
		if l.Address {
			text = "https://x.io/" + text
		}
		got, keep, note := l.fit(text)
		if !keep {
			if l.Over != Drop || note == "" {
				t.Fatalf("%s left %q out, noted as %q", l.Field, text, note)
			}
			return
		}
		n := utf8.RuneCountInString(got)
		if l.UTF16 {
			n = len(utf16.Encode([]rune(got)))
		}
		if n > l.Max || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x07") {
			t.Fatalf("%s became %q, %d characters", l.Field, got, n)
		}
		if (got != text) != (note != "") && utf8.ValidString(text) && !l.Address {
			t.Fatalf("%s: %q became %q, noted as %q", l.Field, text, got, note)
		}
	})
}

func TestCapture(t *testing.T) {
	ps := load(t)
	answer := func(status int, body string) Class {
		return ps.For("gitlab").Classify(Answer{Status: status, Body: []byte(body)})
	}
	kept := answer(201, `{"id":7,"pipeline_id":4487150517123,"ref":"main"}`).Captured
	if kept != `{"pipeline_id":4487150517123}` {
		t.Fatalf("kept %q", kept)
	}
	for _, body := range []string{`{"id":7}`, `{"pipeline_id":null}`, `{"pipeline_id":{}}`, `{"pipeline_id":"` + strings.Repeat("x", maxCaptured) + `"}`, `[]`, `<html>`, ``} {
		if got := answer(201, body).Captured; got != "" {
			t.Errorf("%.40s: kept %q", body, got)
		}
	}
	if got := answer(400, `{"message":"x","pipeline_id":7}`).Captured; got != "" {
		t.Errorf("kept %q of a refusal", got)
	}
	if got := ps.For("github").Classify(Answer{Status: 201, Body: []byte(`{"pipeline_id":7}`)}).Captured; got != "" {
		t.Errorf("github kept %q", got)
	}
	fills := []struct{ profile, body, captured, want string }{
		{"gitlab", `{"state":"success","n":4487150517123}`, kept, `{"n":4487150517123,"pipeline_id":4487150517123,"state":"success"}`},
		{"gitlab", `{"state":"<&>","pipeline_id":1}`, kept, `{"pipeline_id":1,"state":"<&>"}`},
		{"gitlab", `{"state":"x"}`, "", `{"state":"x"}`},
		{"gitlab", `{"state":"x"}`, `{"other":1}`, `{"state":"x"}`},
		{"gitlab", `{"state":"x"}`, `[`, `{"state":"x"}`},
		{"gitlab", `text`, kept, `text`},
		{"github", `{"state":"x"}`, kept, `{"state":"x"}`},
		{"", `{"state":"x"}`, kept, `{"state":"x"}`},
	}
	for _, tt := range fills {
		if got := ps.Fill(tt.profile, tt.body, tt.captured); got != tt.want {
			t.Errorf("%s %s with %s: got %s, want %s", tt.profile, tt.body, tt.captured, got, tt.want)
		}
	}
}
