package dispatch

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMask(t *testing.T) {
	var m masker
	m.add("s3cr3t/with+odd chars&=%")
	m.add("abcd")
	m.add("xyz") // too short to look for
	m.add("")
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
		if got := m.mask(tt.in); got != tt.want {
			t.Errorf("mask(%q) = %q, want %q", tt.in, got, tt.want)
		}
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
		var m masker
		m.add(secret)
		got := m.mask(text.String())
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

func TestMaskHeader(t *testing.T) {
	var m masker
	m.add(token)
	got := m.maskHeader(http.Header{
		"Authorization": {"Bearer " + token}, "Private-Token": {token}, "X-Custom": {"anything"}, "Content-Type": {"application/json"},
		"X-Ratelimit-Remaining": {"17"}, "X-Request-Token": {"abc"}, "Set-Cookie": {"a=b", "c=d"}, "idempotency-key": {"dlv_1"},
		"X-Github-Request-Id": {"id of " + token},
	})
	want := map[string]string{
		"Authorization": "Bearer ***", "Private-Token": "***", "X-Custom": "***", "Content-Type": "application/json",
		"X-Ratelimit-Remaining": "17", "X-Request-Token": "***", "Set-Cookie": "***", "Idempotency-Key": "dlv_1",
		"X-Github-Request-Id": "id of ***",
	}
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s: got %q, want %q", name, got[name], v)
		}
	}
	if got := m.maskHeader(http.Header{"Authorization": {"odd " + token}})["Authorization"]; got != "***" {
		t.Errorf("unknown scheme: got %q", got)
	}
}

func TestMaskURL(t *testing.T) {
	var m masker
	m.add(token)
	tests := []struct{ in, want string }{
		{"https://h/a/b", "https://h/a/b"},
		{"https://h/" + token + "/b?x=" + token, "https://h/***/b?x=***"},
		{"https://h/a?page=2&private_token=short&sig=ab#frag", "https://h/a?page=2&private_token=***&sig=***#frag"},
	}
	for _, tt := range tests {
		if got := m.maskURL(tt.in); got != tt.want {
			t.Errorf("maskURL(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func BenchmarkMask(b *testing.B) {
	var m masker
	m.add(token)
	body := strings.Repeat("some ordinary answer of a provider ", 120)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		m.mask(body)
	}
}
