package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// shows returns a piece of eight bytes of a secret that is in text, or "".
func shows(text, secret string) string {
	for i := 0; i+window <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+window]) {
			return secret[i : i+window]
		}
	}
	return ""
}

func TestMask(t *testing.T) {
	var m Masker
	m.Add("s3cr3t/with+odd chars&=%")
	m.Add("abcd")
	m.Add("xyz") // too short to look for
	m.Add("")
	tests := []struct{ in, want string }{
		{"", ""},
		{"nothing here", "nothing here"},
		{"s3cr3t/with+odd chars&=%", "***"},
		{"a s3cr3t/with+odd chars&=% b", "a *** b"},
		{"first half: s3cr3t/with+", "first half: ***"},
		{"s3cr3t/ is only seven bytes", "s3cr3t/ is only seven bytes"},
		{"two s3cr3t/with s3cr3t/with", "two *** ***"},
		{"?t=" + url.QueryEscape("s3cr3t/with+odd chars&=%"), "?t=***"},
		{"-abcd-xyz-", "-***-xyz-"},
	}
	for _, tt := range tests {
		if got := m.Mask(tt.in); got != tt.want {
			t.Errorf("mask(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// Many secrets make a masker large, not blind.
func TestMaskMany(t *testing.T) {
	var m Masker
	for i := range 500 {
		m.Add(fmt.Sprintf("secret-number-%d-of-many", i*7919))
	}
	for _, i := range []int{0, 1, 250, 499} {
		if got, want := m.Mask(fmt.Sprintf("a number-%d-of-many b", i*7919)), "a *** b"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	var none *Masker
	if got := none.Mask("text"); got != "text" {
		t.Errorf("no masker: %q", got)
	}
}

// No piece of eight bytes of a secret is left, in whatever form and however
// the text around it was cut.
func TestMaskLeavesNoPiece(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[!-~ é\n"<]{8,60}`).Draw(t, "secret")
		user := rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "user")
		quoted, _ := json.Marshal(secret)
		encodings := []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`),
			hex.EncodeToString([]byte(secret)),
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)),
			base64.StdEncoding.EncodeToString([]byte(user + ":" + secret)),
			base64.StdEncoding.EncodeToString([]byte(user + ":" + secret + "\n")),
		}
		var text strings.Builder
		for range rapid.IntRange(1, 5).Draw(t, "pieces") {
			form := rapid.SampledFrom(encodings).Draw(t, "form")
			from := rapid.IntRange(0, len(form)-1).Draw(t, "from")
			to := rapid.IntRange(from, len(form)).Draw(t, "to")
			text.WriteString(rapid.StringMatching(`[#|]{0,4}`).Draw(t, "before") + form[from:to] + "|")
		}
		var m Masker
		m.Add(secret)
		got := m.Mask(text.String())
		for _, form := range encodings[:7] {
			if piece := shows(got, strings.TrimRight(form, "=")); piece != "" && !strings.Contains(form, "|") && !strings.Contains(form, "#") {
				t.Fatalf("%q of %q shows in %q", piece, form, got)
			}
		}
		// Within "user:secret" all but the shared first and last characters.
		basic := strings.TrimRight(encodings[7], "=")
		if inner := basic[len(base64.RawStdEncoding.EncodeToString([]byte(user+":"))) : len(basic)-1]; shows(got, inner) != "" {
			t.Fatalf("%q of Basic credentials shows in %q", shows(got, inner), got)
		}
	})
}

func BenchmarkMask(b *testing.B) {
	var m Masker
	m.Add("a-token-of-some-length-0123456789")
	body := strings.Repeat("some ordinary answer of a provider ", 120)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		m.Mask(body)
	}
}
