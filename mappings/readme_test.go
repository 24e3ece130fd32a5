package mappings

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/lang"
	"cibridge/internal/mapping"
)

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var fence = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// Every YAML block of the README is a whole mapping with tests.
func TestReadmeExamples(t *testing.T) {
	blocks := fence.FindAllStringSubmatch(readme(t), -1)
	if len(blocks) < 5 {
		t.Fatalf("%d examples found", len(blocks))
	}
	for i, b := range blocks {
		name := fmt.Sprintf("example-%d.yaml", i+1)
		set, problems := mapping.Load([]mapping.File{{Name: name, Data: []byte(b[1])}})
		for _, p := range problems {
			t.Errorf("%s %v\n\t%s", p.Severity, p, p.Help)
		}
		for _, m := range set.Names() {
			t.Run(m, func(t *testing.T) {
				if runTests(t, set.Get(m)) == 0 {
					t.Error("the example has no tests")
				}
			})
		}
	}
}

// The tables of the README name everything that there is.
func TestReadmeNamesEverything(t *testing.T) {
	text := readme(t)
	words := map[string]bool{}
	for _, w := range regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*(\.[a-z_]+)*`).FindAllString(text, -1) {
		words[w] = true
	}
	var want []string
	for _, f := range bridge.Fields() {
		want = append(want, f.Name)
	}
	for _, l := range bridge.Lists() {
		want = append(want, l.Name)
		for _, f := range l.Fields {
			want = append(want, f.Name)
		}
	}
	for _, f := range lang.Functions() {
		if f != "omit" {
			want = append(want, f)
		}
	}
	for _, s := range bridge.Statuses() {
		want = append(want, string(s))
	}
	for _, name := range want {
		if !words[name] {
			t.Errorf("README.md does not name %s", name)
		}
	}
	if !strings.Contains(text, "omit()") {
		t.Error("README.md does not name omit()")
	}
}
