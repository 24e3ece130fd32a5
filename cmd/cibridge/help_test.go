package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cibridge/internal/diag"
	"cibridge/internal/mapping"
)

// codesInSource lists the codes that the program can print, each with a place
// where it is written. They are literals: "E203".
func codesInSource(t *testing.T) map[string]string {
	t.Helper()
	code := regexp.MustCompile(`^[EW]\d{3}$`)
	found := map[string]string{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			if err == nil && d.IsDir() && d.Name() == "testdata" {
				return fs.SkipDir
			}
			return err
		}
		src, err := os.ReadFile(name) // here, so that the test cache sees the file
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && code.MatchString(text) {
					found[text] = set.Position(lit.Pos()).String()
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The catalogue explains every code that there is, and no other.
func TestCatalogueIsComplete(t *testing.T) {
	source := codesInSource(t)
	if len(source) < 50 {
		t.Fatalf("only %d codes found in the source", len(source))
	}
	var last string
	seen := map[string]bool{}
	for _, e := range diag.Catalogue() {
		if seen[e.Code] || e.Code < last {
			t.Errorf("%s is in the catalogue twice, or not in its order", e.Code)
		}
		seen[e.Code], last = true, e.Code
		if source[e.Code] == "" {
			t.Errorf("%s is in the catalogue, and nothing prints it", e.Code)
		}
		if e.Title == "" || len(e.Title) > 80 || e.Text == "" {
			t.Errorf("%s: a title in one line and a text are needed", e.Code)
		}
		if (e.Block("mistake") == "") != (e.Block("fix") == "") {
			t.Errorf("%s has a mistake without a fix, or the other way round", e.Code)
		}
		if !slices.ContainsFunc(codeFamilies, func(f struct{ prefix, title string }) bool { return strings.HasPrefix(e.Code, f.prefix) }) {
			t.Errorf("%s is of no family", e.Code)
		}
	}
	for code, at := range source {
		if !seen[code] {
			t.Errorf("%s: %s is not in the catalogue: write a section in internal/diag/codes.txt", at, code)
		}
	}
}

// Each mistake of the catalogue is one, and its fix is none.
func TestCatalogueExamples(t *testing.T) {
	checked := 0
	for _, e := range diag.Catalogue() {
		if e.Block("mistake") == "" {
			continue
		}
		checked++
		t.Run(e.Code, func(t *testing.T) {
			mistake, fix := codesOf(t, e.Block("mistake")), codesOf(t, e.Block("fix"))
			if !slices.Contains(mistake, e.Code) {
				t.Errorf("the mistake gives %v", mistake)
			}
			if slices.Contains(fix, e.Code) {
				t.Errorf("the fix gives it, too: %v", fix)
			}
			if i := slices.IndexFunc(fix, func(c string) bool { return c[0] == 'E' }); i >= 0 {
				t.Errorf("the fix gives %v", fix)
			}
		})
	}
	if checked < 30 {
		t.Errorf("only %d examples checked", checked)
	}
}

// codesOf lists the codes that a piece of a mapping gives: those of lint, and
// those that its tests want and get as the reason of a refusal. What every mapping needs and the
// piece does not have is added behind it.
func codesOf(t *testing.T, piece string) []string {
	t.Helper()
	for _, line := range []string{"version: 1", "name: example", "receive: {auth: [key]}", "run_key: id", "events: [{name: build}]"} {
		key, _, _ := strings.Cut(line, ":")
		if !regexp.MustCompile("(?m)^" + key + ":").MatchString(piece) {
			piece += line + "\n"
		}
	}
	files := []mapping.File{{Name: "example.yaml", Data: []byte(piece)}}
	var codes []string
	for _, p := range mapping.Lint(files, mapping.TestOptions{}) {
		codes = append(codes, p.Code)
	}
	set, _ := mapping.Load(files)
	m := set.Get("example")
	if m == nil {
		return codes
	}
	for _, r := range mapping.RunTests(m, mapping.TestOptions{}) {
		if !r.Passed() {
			t.Errorf("%s: %v\n%s", r.Name, r.Failures, piece)
		}
	}
	for _, refused := range regexp.MustCompile(`expect_error: (E\d{3})`).FindAllStringSubmatch(piece, -1) {
		codes = append(codes, refused[1])
	}
	return codes
}
