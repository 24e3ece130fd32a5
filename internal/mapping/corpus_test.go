package mapping

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cibridge/internal/diag"
)

var update = flag.Bool("update", false, "rewrite testdata/err/*.out")

// Every file in testdata/err has its problems beside it, as lint prints them.
func TestBadFiles(t *testing.T) {
	for _, name := range glob1(t, "testdata/err/*.yaml") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			short := filepath.Base(name)
			problems := Lint([]File{{Name: short, Data: data}}, TestOptions{ReadFile: func(name string) ([]byte, error) {
				return os.ReadFile(filepath.Join("testdata", "err", name))
			}})
			if len(problems) == 0 {
				t.Error("got no problem")
			}
			for _, p := range problems {
				if e, _ := diag.Explain(p.Code); p.Help == "" && e.Help == "" {
					t.Errorf("%v: it says what is wrong, and not what to write", p)
				}
			}
			var got bytes.Buffer
			if err := diag.WriteText(&got, problems, func(string) []byte { return data }, false); err != nil {
				t.Fatal(err)
			}
			out := strings.TrimSuffix(name, ".yaml") + ".out"
			if *update {
				if err := os.WriteFile(out, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s\n(-update rewrites it)", got.String(), want)
			}
		})
	}
}

// Every code that lint can print has a case in testdata/err. E12x are of the
// configuration.
func TestEveryCodeHasACase(t *testing.T) {
	var all strings.Builder
	for _, name := range glob1(t, "testdata/err/*.out") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	for _, e := range diag.Catalogue() {
		if family := e.Code[:2]; family != "E1" && family != "E2" && family[0] != 'W' || strings.HasPrefix(e.Code, "E12") {
			continue
		}
		if !strings.Contains(all.String(), "["+e.Code+"]: ") {
			t.Errorf("testdata/err has no case for %s (%s)", e.Code, e.Title)
		}
	}
}

// Every file in testdata/ok loads without a problem, and its tests pass.
func TestGoodFiles(t *testing.T) {
	for _, name := range glob1(t, "testdata/ok/*.yaml") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			set, problems := Load([]File{{Name: name, Data: data}})
			for _, p := range problems {
				t.Errorf("%v\n\t%s", p, p.Help)
			}
			for _, m := range set.Names() {
				results := RunTests(set.Get(m), TestOptions{})
				if len(results) == 0 {
					t.Error("the file has no tests")
				}
				for _, r := range results {
					for _, f := range r.Failures {
						t.Errorf("%s: %s", r.Name, f)
					}
				}
			}
		})
	}
}

func glob1(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: no files (%v)", pattern, err)
	}
	return names
}
