// Package importtest keeps the rules about packages that no compiler keeps:
// who may import whom, that every package says what it is, and which names
// and habits are not wanted.
//
// It reads the files themselves and not the output of go list, so that the
// test cache notices when one of them changes.
package importtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "cibridge/"

// allowed lists, for every package of the module, what it may import beyond
// the standard library: packages of the module by their folder, others by
// their path or a path above. A package that is missing here fails the test.
//
// Arrows point from below to above: words, work, wires, main.
var allowed = map[string][]string{
	// Words.
	"bridge": {},

	// Work: each does one thing and knows no other's storage or transport.
	"internal/apikey":   {},
	"internal/redact":   {},
	"internal/seal":     {},
	"internal/diag":     {},
	"internal/yamldoc":  {"internal/diag", "gopkg.in/yaml.v3"},
	"internal/lang":     {"internal/diag", "github.com/expr-lang/expr", "github.com/tidwall/gjson"},
	"internal/mapping":  {"bridge", "internal/diag", "internal/lang", "internal/redact", "internal/yamldoc"},
	"internal/template": {"bridge", "internal/diag", "internal/lang"},
	"internal/provider": {"bridge", "internal/diag", "internal/yamldoc"},
	"mappings":          {},

	// Wires: api, store and dispatch do not know each other.
	"internal/hook":            {"bridge", "internal/diag", "internal/lang", "internal/provider", "internal/template", "internal/yamldoc"},
	"internal/store":           {"bridge", "internal/seal", "github.com/redis/go-redis/v9", "github.com/klauspost/compress"},
	"internal/store/storetest": {},
	"internal/dispatch":        {"bridge", "internal/provider", "internal/redact", "code.dny.dev/ssrf", "github.com/prometheus/client_golang", "golang.org/x/net/http/httpguts"},
	"internal/api":             {"bridge", "internal/apikey", "internal/diag", "internal/lang", "internal/mapping", "internal/redact", "github.com/gin-gonic/gin", "github.com/google/uuid", "github.com/prometheus/client_golang"},
	"internal/config":          {"bridge", "internal/diag", "internal/seal", "internal/yamldoc", "github.com/caarlos0/env/v11"},
	"internal/embedded":        {"github.com/alicebob/miniredis/v2", "github.com/redis/go-redis/v9"},
	"internal/forge":           {"bridge", "internal/diag"},

	// Main.
	"cmd/cibridge": {
		"bridge", "mappings", "internal/api", "internal/apikey", "internal/config", "internal/diag", "internal/dispatch", "internal/embedded", "internal/forge",
		"internal/hook", "internal/lang", "internal/mapping", "internal/provider", "internal/redact", "internal/seal", "internal/store", "internal/template",
		"github.com/spf13/cobra", "github.com/prometheus/client_golang", "github.com/fsnotify/fsnotify", "github.com/mattn/go-isatty",
	},
	// bench measures the server from outside, beside a floor of its own: a
	// bare gin handler and one Redis script.
	"cmd/bench": {"github.com/gin-gonic/gin", "github.com/redis/go-redis/v9"},
}

// unwanted are names that say nothing of what is in a package.
var unwanted = []string{"util", "utils", "common", "helper", "helpers", "models", "model", "types", "manager", "misc", "base", "shared", "lib"}

func TestImports(t *testing.T) {
	for dir, p := range packages(t) {
		may, listed := allowed[dir]
		if !listed {
			t.Errorf("%s is not in the table: say what it may import", dir)
			continue
		}
		for _, f := range p.files {
			for _, spec := range f.ast.Imports {
				imp, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if !permitted(imp, may) {
					t.Errorf("%s imports %s: %s may not, see the table", f.name, imp, dir)
				}
				if spec.Name != nil && (spec.Name.Name == "." || spec.Name.Name == "_" && imp != "embed") {
					t.Errorf("%s imports %s as %q: no import for its side effects, none without a name", f.name, imp, spec.Name.Name)
				}
			}
		}
	}
	for dir := range allowed {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(dir))); err != nil {
			t.Errorf("%s is in the table and does not exist", dir)
		}
	}
}

func permitted(imp string, may []string) bool {
	ours, rest := strings.HasPrefix(imp, module), strings.TrimPrefix(imp, module)
	if first, _, _ := strings.Cut(imp, "/"); !ours && !strings.Contains(first, ".") {
		return true // standard library
	}
	return slices.ContainsFunc(may, func(m string) bool { return rest == m || !ours && strings.HasPrefix(imp, m+"/") })
}

// The table itself: nothing below may reach up, and the three that must not
// know each other do not.
func TestTable(t *testing.T) {
	levels := map[string]int{"bridge": 0, "mappings": 1, "internal/hook": 2, "internal/store": 2, "internal/store/storetest": 2, "internal/dispatch": 2, "internal/api": 2, "internal/config": 2, "internal/embedded": 2, "internal/forge": 2}
	level := func(dir string) int {
		if l, ok := levels[dir]; ok {
			return l
		}
		if strings.HasPrefix(dir, "cmd/") {
			return 3
		}
		return 1
	}
	only := map[string][]string{ // who else may import what has one home
		"github.com/expr-lang/expr":        {"internal/lang"},
		"github.com/tidwall/gjson":         {"internal/lang"},
		"gopkg.in/yaml.v3":                 {"internal/yamldoc"},
		"github.com/redis/go-redis/v9":     {"internal/store", "internal/embedded", "cmd/bench"},
		"github.com/gin-gonic/gin":         {"internal/api", "cmd/bench"},
		"github.com/alicebob/miniredis/v2": {"internal/embedded"},
		"code.dny.dev/ssrf":                {"internal/dispatch"},
	}
	for dir, may := range allowed {
		for _, imp := range may {
			if _, ours := allowed[imp]; ours && (level(imp) > level(dir) || level(imp) == 2 && level(dir) == 2) {
				t.Errorf("the table lets %s import %s, which is beside or above it", dir, imp)
			}
			if homes, ok := only[imp]; ok && !slices.Contains(homes, dir) {
				t.Errorf("the table lets %s import %s, which has its home in %v", dir, imp, homes)
			}
		}
	}
	if got := allowed["bridge"]; len(got) > 0 {
		t.Errorf("bridge imports %v: it is the standard library only", got)
	}
}

func TestPackageComments(t *testing.T) {
	for dir, p := range packages(t) {
		want := "Package " + p.name + " "
		if p.name == "main" {
			want = "Command " + path.Base(dir) + " "
		}
		var found []string
		for _, f := range p.files {
			if f.ast.Doc != nil {
				found = append(found, f.name)
				if text := f.ast.Doc.Text(); !strings.HasPrefix(text, want) {
					t.Errorf("%s: the package comment begins with %.30q, want %q", f.name, text, want)
				}
			}
		}
		if len(found) != 1 {
			t.Errorf("%s has %d package comments %v, want one that begins with %q", dir, len(found), found, want)
		}
	}
}

func TestNames(t *testing.T) {
	for dir, p := range packages(t) {
		if slices.Contains(unwanted, p.name) || slices.Contains(unwanted, path.Base(dir)) {
			t.Errorf("%s: a package is named after what it does, not %q", dir, p.name)
		}
		if p.name != "main" && p.name != path.Base(dir) {
			t.Errorf("%s holds package %s: a package is called as its folder", dir, p.name)
		}
		for _, f := range p.files {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s has an init function: nothing happens because a package was imported", f.name)
				}
			}
		}
	}
}

// pkg is the Go files of one folder without its tests.
type pkg struct {
	name  string
	files []file
}

type file struct {
	name string
	ast  *ast.File
}

var root = filepath.Join("..", "..")

// packages reads the packages of the module by their folders. Folders that
// hold tests only are none.
func packages(t *testing.T) map[string]*pkg {
	t.Helper()
	all := map[string]*pkg{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base == "testdata" || base == "vendor" || base == "node_modules" || name != "." && strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if all[dir] == nil {
			all[dir] = &pkg{name: f.Name.Name}
		}
		if all[dir].name != f.Name.Name {
			t.Errorf("%s holds the packages %s and %s", dir, all[dir].name, f.Name.Name)
		}
		all[dir].files = append(all[dir].files, file{name, f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("only %d packages found: is %s the root of the module?", len(all), root)
	}
	return all
}
