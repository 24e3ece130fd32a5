package dispatch

import (
	"net/http"
	"strings"
	"testing"

	"cibridge/internal/redact"
)

// What the server knows is masked beside what the request itself used, also
// where a target names it.
func TestMaskKnown(t *testing.T) {
	known := &redact.Masker{}
	known.Add("another secret of the server")
	m := masker{known: &redact.Redactor{Known: known, Names: true}}
	m.add(token)
	in := `{"echo":"` + token + ` another secret of the server","password":"hunter22","url":"https://u:pw123456@h/"}`
	if got, want := m.maskBody("application/json", in), `{"echo":"*** ***","password":"***","url":"https://***@h/"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := m.mask("said another secret of the server, " + token); strings.Contains(got, "secret of") || got != "said ***, ***" {
		t.Errorf("got %s", got)
	}
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
		{"https://h/a?private%5Ftoken=short&acc%65ss_token=x", "https://h/a?private%5Ftoken=***&acc%65ss_token=***"},
	}
	for _, tt := range tests {
		if got := m.maskURL(tt.in); got != tt.want {
			t.Errorf("maskURL(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
