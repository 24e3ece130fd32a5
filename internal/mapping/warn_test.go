package mapping

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cibridge/internal/diag"
)

// Whatever text fits a covered pattern fits one of those that cover it.
func TestCoversAll(t *testing.T) {
	pattern := rapid.StringMatching(`[ab*]{0,5}`)
	rapid.Check(t, func(t *rapid.T) {
		patterns, others := rapid.SliceOfN(pattern, 1, 3).Draw(t, "patterns"), rapid.SliceOfN(pattern, 1, 2).Draw(t, "others")
		if !coversAll(patterns, others) {
			return
		}
		for _, o := range others {
			text := o
			for strings.Contains(text, "*") {
				text = strings.Replace(text, "*", rapid.StringMatching(`[abc]{0,3}`).Draw(t, "star"), 1)
			}
			if !fits(patterns, text) {
				t.Fatalf("%q fits %q, but none of %q", text, o, patterns)
			}
		}
	})
	for _, tc := range []struct {
		patterns, others []string
		want             bool
	}{
		{[]string{"a*"}, []string{"ab", "a*c"}, true},
		{[]string{"a", "b"}, []string{"b"}, true},
		{[]string{"a"}, []string{"a*"}, false},
		{[]string{"a*"}, []string{"*a"}, false},
		{[]string{"*"}, []string{"*", "x"}, true},
	} {
		if got := coversAll(tc.patterns, tc.others); got != tc.want {
			t.Errorf("%q covers %q: got %v, want %v", tc.patterns, tc.others, got, tc.want)
		}
	}
}

func TestLooksSecret(t *testing.T) {
	for _, path := range []string{"token", "auth.apiToken", "API_TOKEN", "x.db-password", "header.authorization", "PRIVATE_KEY", "aws.secretAccessKey", "client.secret", "apikey", "env.GH_TOKEN", "set.cookie", "credentials.user"} {
		if !looksSecret(path) {
			t.Errorf("%s is taken for harmless", path)
		}
	}
	for _, path := range []string{"token_count", "title", "secretary", "keys", "key", "job.tokenized", "sort_key", "commit.author", "auth", "authorized", "passwords_changed", ""} {
		if looksSecret(path) {
			t.Errorf("%s is taken for a secret", path)
		}
	}
}

const unreachedMapping = `version: 1
name: unreached
receive: {auth: none}
events:
  - {name: a, match: {body: {kind: a}}, run_key: id, fields: {title: titel}}
  - {name: b, match: {body: {kind: b}}, run_key: id}
`

// What tests do not reach is lint's business: a server that loads the same
// file says nothing of it.
func TestLoadDoesNotRunTests(t *testing.T) {
	files := []File{{Name: "m/unreached.yaml", Data: []byte(unreachedMapping)}, {Name: "m/unreached_test.yaml", Data: []byte("tests: [{name: a, body_file: a.json, expect: {event: a}}]\n")}}
	if _, problems := Load(files); len(problems) > 0 {
		t.Errorf("Load: got %v", problems)
	}
	var asked []string
	problems := Lint(files, TestOptions{ReadFile: func(name string) ([]byte, error) {
		asked = append(asked, name)
		return []byte(`{"kind": "a", "id": 7, "name": "x"}`), nil
	}})
	if want := []string{"W108", "W107"}; !slices.Equal(codesIn(problems), want) {
		t.Errorf("Lint: got %v, want %v", problems, want)
	}
	if len(asked) == 0 || asked[0] != "m/a.json" {
		t.Errorf("read %v, want m/a.json", asked)
	}
	problems = Lint(files, TestOptions{ReadFile: func(string) ([]byte, error) { return nil, errors.New("it burnt down") }})
	if len(problems) != 1 || problems[0].Warning() || !strings.Contains(problems[0].Message, "it burnt down") || problems[0].File != "m/unreached_test.yaml" {
		t.Errorf("a payload that cannot be read: got %v", problems)
	}
}

// A payload that is nothing but odd neither panics nor counts.
func TestLintOddPayloads(t *testing.T) {
	for _, body := range []string{`'{'`, `""`, "null", "[]", "7", "[[[]]]", `{"": {"": null}}`, "{kind: {}, id: []}"} {
		text := unreachedMapping + "tests: [{name: odd, body: " + body + ", expect: {outcome: unmapped}}]\n"
		for _, p := range Lint([]File{{Name: "x.yaml", Data: []byte(text)}}, TestOptions{}) {
			if p.Code != "W107" {
				t.Errorf("%s: %v", body, p)
			}
		}
	}
}

func codesIn(ps diag.Problems) []string {
	var codes []string
	for _, p := range ps {
		codes = append(codes, p.Code)
	}
	return codes
}

// No file makes lint panic, or say something without a code and a place.
func FuzzLint(f *testing.F) {
	f.Add([]byte(unreachedMapping))
	for _, name := range []string{"untested", "covered", "secrets", "doubtful", "values"} {
		data, err := os.ReadFile("testdata/err/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range Lint([]File{{Name: "x.yaml", Data: data}}, TestOptions{ReadFile: func(string) ([]byte, error) { return []byte("{}"), nil }}) {
			if p.Code == "" || p.Message == "" || p.Line < 1 {
				t.Errorf("got %#v", p)
			}
		}
	})
}
