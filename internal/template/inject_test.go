package template

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cibridge/bridge"
)

// hostile draws texts that try to be more than a value.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{"..", ".", "/", `\`, "//evil.io", "@evil.io", ":80", "?a=b", "#x", "&a=b", "%2e%2e", "%2f..", "%", "\r\nX-Evil: 1", "\x00", "{{ run.url }}",
			`"`, `","state":"success`, `\"`, "</script>", "null", "1e5", "a: b", "true", "\u2028", "\xff\xfe", "evil.io/", "a/../b"}),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{".", "/", `\`, "%", "2", "e", "f", "?", "#", "&", "=", "@", ":", "\n", `"`, "{", "}", "a", " ", "+"}), 0, 8),
			func(parts []string) string { return strings.Join(parts, "") }),
	)
}

// compiled templates of the properties below: every kind of place once.
func mustURL(t *rapid.T, src string) *URL {
	u, ps := CompileURL(src)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	return u
}

func envOf(owner, title string) Env {
	return Env{"run": map[string]any{"title": title, "repo": map[string]any{"owner": owner}}}
}

// TestURLInjection checks that no value changes scheme, host, literal segments,
// the number of segments, or the names of query parameters.
func TestURLInjection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		owner, title := hostile().Draw(t, "owner"), hostile().Draw(t, "title")
		filter := rapid.SampledFrom([]string{"", " | urlquery()"}).Draw(t, "filter")
		src := "{{ application.source_provider.base_url }}/repos/{{ run.repo.owner" + filter + " }}/x-{{ run.title }}/statuses?state={{ run.title }}&b={{ run.repo.owner }}c&d"
		got, missing, err := mustURL(t, src).Render(envOf(owner, title), "https://api.acme.io/v3")
		if err != nil || len(missing) > 0 {
			if got != nil {
				t.Fatalf("a URL beside %v %v: %s", missing, err, got)
			}
			return
		}
		// What a server reads, not what we wrote.
		req, err := http.NewRequest(http.MethodPost, got.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		line := "POST " + req.URL.RequestURI() + " HTTP/1.1"
		if strings.ContainsAny(line[5:len(line)-9], " \r\n\x00") {
			t.Fatalf("the request line is %q", line)
		}
		seen, err := url.ParseRequestURI(req.URL.RequestURI())
		if err != nil {
			t.Fatal(err)
		}
		if req.URL.Scheme != "https" || req.URL.Host != "api.acme.io" || req.URL.User != nil || seen.Fragment != "" {
			t.Fatalf("the address became %s", got)
		}
		segments := strings.Split(seen.EscapedPath(), "/")
		if len(segments) != 6 || segments[1] != "v3" || segments[2] != "repos" || !strings.HasPrefix(segments[4], "x-") || segments[5] != "statuses" {
			t.Fatalf("the segments became %q", segments)
		}
		for _, s := range strings.Split(seen.Path, "/")[1:] {
			if s == "" || s == "." || s == ".." {
				t.Fatalf("the path decodes to %q", seen.Path)
			}
		}
		decoded, err := url.PathUnescape(segments[3])
		if err != nil || decoded != owner {
			t.Fatalf("the owner %q became %q", owner, decoded)
		}
		q, err := url.ParseQuery(seen.RawQuery)
		want := url.Values{"state": {title}, "b": {owner + "c"}, "d": {""}}
		if err != nil || !reflect.DeepEqual(q, want) {
			t.Fatalf("the query became %q, want %q", q, want)
		}
	})
}

// TestBodyInjection checks that no value breaks out of its leaf.
func TestBodyInjection(t *testing.T) {
	trees := []any{
		map[string]any{"a": "{{ run.title }}", "b": "x {{ run.title }} y{{ run.repo.owner }}", "c": []any{"{{ run.repo.owner }}", int64(1)}, "d": "z"},
		`{"a": "{{ run.title }}", "b": "x {{ run.title }} y{{ run.repo.owner }}", "c": ["{{ run.repo.owner }}", 1], "d": "z"}`,
	}
	rapid.Check(t, func(t *rapid.T) {
		owner, title := hostile().Draw(t, "owner"), hostile().Draw(t, "title")
		b, ps := CompileBody(rapid.SampledFrom(trees).Draw(t, "tree"))
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		v, gaps := b.Render(envOf(owner, title))
		raw, err := EncodeJSON(v)
		if err != nil || len(gaps) > 0 {
			t.Fatal(err, gaps)
		}
		var got any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		valid := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
		want := map[string]any{"a": title, "b": "x " + title + " y" + owner, "c": []any{owner, 1.0}, "d": "z"}
		m, ok := got.(map[string]any)
		if !ok || len(m) != len(want) {
			t.Fatalf("got %s", raw)
		}
		for k := range want {
			if s, ok := want[k].(string); ok {
				// JSON has no invalid UTF-8: each such byte is replaced.
				if g, _ := m[k].(string); valid(g) != strings.Map(func(r rune) rune { return r }, s) {
					t.Fatalf("%s: got %q, want %q", k, m[k], s)
				}
			}
		}
		if m["d"] != "z" || len(m["c"].([]any)) != 2 {
			t.Fatalf("got %s", raw)
		}
	})
}

// TestHeaderInjection checks that no value adds a header.
func TestHeaderInjection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		title := hostile().Draw(t, "title")
		h, ps := CompileHeaderValue("X-Title", "a {{ run.title }} {{ application.source_provider.access_token }}")
		if err := ps.Err(); err != nil {
			t.Fatal(err)
		}
		got, _, err := h.Render(envOf("o", title), "application:a:access_token")
		if err != nil {
			if got.Name != "" || got.Parts != nil {
				t.Fatalf("a header beside an error: %+v", got)
			}
			return
		}
		want := []bridge.Part{{Text: "a " + title + " "}, {Ref: "application:a:access_token"}}
		if !reflect.DeepEqual(got.Parts, want) {
			t.Fatalf("got %+v, want %+v", got.Parts, want)
		}
		var wire strings.Builder
		if err := (http.Header{got.Name: {got.Parts[0].Text}}).Write(&wire); err != nil {
			t.Fatal(err)
		}
		if strings.Count(wire.String(), "\r\n") != 1 || strings.ContainsAny(got.Parts[0].Text, "\r\n\x00") {
			t.Fatalf("on the wire: %q", wire.String())
		}
	})
}

func FuzzCompileURL(f *testing.F) {
	for _, s := range []string{"https://x/{{ run.title }}", "{{ application.source_provider.base_url }}/a?b={{ run.title }}", "http://[::1]%00/", "https://x\\@evil/", "https://x:/{{`}}`}}"} {
		f.Add(s, "v")
	}
	f.Fuzz(func(t *testing.T, src, value string) {
		u, ps := CompileURL(src)
		if u == nil {
			if ps.Err() == nil {
				t.Error("neither a URL nor a problem")
			}
			return
		}
		a, _, err := u.Render(envOf("a", "a"), "https://base.io")
		b, _, err2 := u.Render(envOf("b", value), "https://base.io")
		if err == nil && err2 == nil && a != nil && b != nil && (a.Scheme != b.Scheme || a.Host != b.Host) {
			t.Errorf("%q: a value changed the host from %s to %s", src, a.Host, b.Host)
		}
	})
}
