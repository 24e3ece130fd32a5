package template

import (
	"strings"
	"testing"
)

// TestHostsOfEvents are templates in which an event would choose where a
// request goes. None compiles.
func TestHostsOfEvents(t *testing.T) {
	const base = "application.source_provider.base_url"
	for _, src := range []string{
		"{{ " + base + " | default(run.url) }}/x",
		"{{ run.url ?? " + base + " }}/x",
		"{{ run.warnings ? run.url : " + base + " }}/x",
		`{{ "https://" + run.repo.host }}/x`,
		`{{ "https" }}://{{ run.repo.host }}/x`,
		"{{ run.variables.base }}/x",
		"{{ run.params.base }}",
		"{{ application.repository }}/x",
		"{{ " + base + " }}.evil.io/x",
		"{{ " + base + " }}@evil.io/x",
		"{{ " + base + " }}:8080/x",
		"{{ " + base + " }}\\evil.io/x",
		" https://{{ run.repo.host }}/x",
		"https:{{ run.url }}",
		"https:/{{ run.url }}",
		"https:\\\\{{ run.repo.host }}/x",
		"https:///{{ run.repo.host }}",
		"https://x.io:{{ run.number }}/x",
		"https://x.io:80{{ run.number }}/x",
		"https://{{ run.actor.login }}@x.io/x",
		"https://x.io{{ run.title }}",
		"https://x.io?{{ run.title }}",
		"https://x%2eevil.io/{{ run.title }}",
		"https://x.io%00.evil.io/{{ run.title }}",
		"https://x。evil.io/{{ run.title }}",
		"https://[fe80::1%25eth0]/{{ run.title }}",
		"https://x.io\t/{{ run.title }}",
		"https://x.io\r\nHost: evil.io/{{ run.title }}",
		"javascript:{{ run.title }}",
		"file:///{{ run.title }}",
		"gopher://x.io/{{ run.title }}",
	} {
		if u, ps := CompileURL(src); u != nil || ps.Err() == nil {
			t.Errorf("%q compiles", src)
		}
	}
}

// TestSegmentsOfEvents are values that would leave their place in a path. A
// segment takes none of them; one with urlquery() takes only what stays below.
func TestSegmentsOfEvents(t *testing.T) {
	values := map[string]bool{ // whether urlquery() takes it
		"..": false, ".": false, "../..": false, "a/..": false, "./a": false, "a/./b": false, "/": false, "//": false, "a//b": false, "/a": false, "a/": false,
		`\`: false, `..\..`: false, `a\b`: false, "a/b": true, "a/..b": true,
		"a\x00b": false, "\x00": false, "a\rb": false, "a\nb": false, "a\r\nHost: evil": false, "a\x7fb": false, "a\u0085b": false, "a\tb": false, "a\x1bb": false,
		"\xff": false, "a\xc0\xaeb": false, // an overlong dot
	}
	for value, slashes := range values {
		for _, filter := range []string{"", " | urlquery()"} {
			for _, src := range []string{"https://x.io/r/{{ run.title" + filter + " }}/s", "{{ application.source_provider.base_url }}/{{ run.title" + filter + " }}", "https://x.io/r/a{{ run.repo.owner }}{{ run.title" + filter + " }}"} {
				u, ps := CompileURL(src)
				if err := ps.Err(); err != nil {
					t.Fatal(err)
				}
				got, missing, err := u.Render(envOf("b", value), "https://x.io")
				if taken := err == nil && len(missing) == 0; taken != (filter != "" && slashes) {
					t.Errorf("%q in %s: got %v, %v, %v", value, src, got, missing, err)
				}
				if err != nil && strings.ContainsAny(err.Error(), "\r\n\x00\x1b") {
					t.Errorf("%q: the error has it raw: %q", value, err)
				}
			}
		}
	}
	// What only looks like a way out stays in its place, escaped.
	for value, want := range map[string]string{
		"%2e%2e": "%252e%252e", "%2f": "%252f", "..;": "..%3B", "a?b": "a%3Fb", "a#b": "a%23b", "a@b": "a@b", "a:b": "a:b", "a b": "a%20b", "…": "%E2%80%A6", "．．": "%EF%BC%8E%EF%BC%8E",
	} {
		u, _ := CompileURL("https://x.io/r/{{ run.title }}/s")
		got, _, err := u.Render(envOf("b", value), "")
		if err != nil || got.String() != "https://x.io/r/"+want+"/s" {
			t.Errorf("%q: got %v, %v, want %s", value, got, err, want)
		}
	}
}

// TestBasesThatAreNone: a base_url is configured, and checked all the same.
func TestBasesThatAreNone(t *testing.T) {
	u, ps := CompileURL("{{ application.source_provider.base_url }}/x/{{ run.title }}")
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"https://x.io/#", "https://x.io?", "https://u:p@x.io", "https://x.io\r\nHost: evil", "https://x.io\\@evil.io", "https://[", "mailto:x"} {
		got, _, err := u.Render(envOf("a", "b"), base)
		if err == nil && (got.Host != "x.io" || got.User != nil || got.Path != "/x/b" || got.ForceQuery || got.RawQuery != "") {
			t.Errorf("%q: got %s", base, got)
		}
	}
}

func TestUnescaped(t *testing.T) {
	tests := []struct {
		tree any
		want string
	}{
		{"a={{ run.title }}&b={{ run.url | urlquery() }}&c={{ run.title | lower() }}", "run.title run.title | lower()"},
		{"a={{ run.title|urlquery( ) }}", ""},
		{"plain", ""},
		{map[string]any{"a": "{{ run.title }}"}, ""},
		{`{"a": "{{ run.title }}"}`, ""},
	}
	for _, tt := range tests {
		b, ps := CompileBody(tt.tree)
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(b.Unescaped(), " "); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.tree, got, tt.want)
		}
	}
}
