package lang

import (
	"strings"
	"testing"
)

func TestParseRepo(t *testing.T) {
	tests := []struct{ in, url, host, owner, name string }{
		{"https://github.com/acme/shop", "https://github.com/acme/shop", "github.com", "acme", "shop"},
		{"https://github.com/acme/shop.git", "https://github.com/acme/shop", "github.com", "acme", "shop"},
		{"https://GitHub.com/Acme/Shop/", "https://github.com/Acme/Shop", "github.com", "Acme", "Shop"},
		{"https://user:pass@gitlab.acme.io:8443/group/sub/shop.git", "https://gitlab.acme.io:8443/group/sub/shop", "gitlab.acme.io:8443", "group/sub", "shop"},
		{"https://oauth2:tok@en@git.acme.io/a/b", "https://git.acme.io/a/b", "git.acme.io", "a", "b"},
		{"git@github.com:acme/shop.git", "https://github.com/acme/shop", "github.com", "acme", "shop"},
		{"github.com:acme/shop", "https://github.com/acme/shop", "github.com", "acme", "shop"},
		{"ssh://git@gitlab.acme.io:2222/group/shop.git", "https://gitlab.acme.io/group/shop", "gitlab.acme.io", "group", "shop"},
		{"git://github.com/acme/shop.git", "https://github.com/acme/shop", "github.com", "acme", "shop"},
		{"http://git.local:3000/acme/shop", "http://git.local:3000/acme/shop", "git.local:3000", "acme", "shop"},
		{"https://gitlab.com/g/s/p/-/merge_requests/1?x=1#n", "https://gitlab.com/g/s/p", "gitlab.com", "g/s", "p"},
		{"github.com/acme/shop", "https://github.com/acme/shop", "github.com", "acme", "shop"},
		{"https://git.acme.io/shop", "https://git.acme.io/shop", "git.acme.io", "", "shop"},
		{" https://github.com//acme//shop ", "https://github.com/acme/shop", "github.com", "acme", "shop"},
	}
	for _, tt := range tests {
		r, ok := ParseRepo(tt.in)
		full := strings.TrimPrefix(tt.owner+"/"+tt.name, "/")
		if want := (Repo{tt.url, tt.host, tt.owner, tt.name, full}); !ok || r != want {
			t.Errorf("%s: got %+v, want %+v", tt.in, r, want)
		}
	}
	for _, bad := range []string{"", "shop", "acme/shop", "https://", "https://github.com", "https://github.com/", "ftp://a.b/c/d", "https://a.b/../c", "git@:a/b", "https://a b/c", "file:///etc/passwd", "javascript:alert(1)//x.y/z"} {
		if r, ok := ParseRepo(bad); ok {
			t.Errorf("%q was read as %+v", bad, r)
		}
	}
}

// An address that is read without url.Parse is read in the same way.
func sameAsParsed(t *testing.T, s string, got Repo, ok bool) {
	rest, plain := strings.CutPrefix(s, "https://")
	if !plain || !plainText(rest) {
		return
	}
	if want, parsed := ParseRepo(s + "?"); parsed != ok || got != want {
		t.Fatalf("%q: got %+v, by url.Parse %+v", s, got, want)
	}
}

func FuzzParseRepo(f *testing.F) {
	f.Add("https://github.com/acme/shop")
	f.Add("https://github.com/acme/-/x/../y")
	f.Add("https://-/a//b.git/")
	f.Add("https://user:secret@github.com/acme/shop.git")
	f.Add("git@github.com:acme/shop.git")
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := ParseRepo(s)
		sameAsParsed(t, s, r, ok)
		if !ok {
			return
		}
		if strings.Contains(r.Host, "@") || r.Name == "" || r.Host == "" || strings.HasPrefix(r.FullName, "/") {
			t.Fatalf("%q: %+v", s, r)
		}
		// What we made of it is read the same way again.
		if again, ok := ParseRepo(r.URL); !strings.ContainsAny(r.FullName+r.Host, "%?#:") && (!ok || again.FullName != r.FullName && !strings.HasSuffix(r.FullName, ".git")) {
			t.Fatalf("%q: %+v, then %+v", s, r, again)
		}
	})
}
