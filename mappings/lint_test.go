package mappings

import (
	"testing"

	"cibridge/internal/mapping"
)

// What ships gives lint nothing to say: no error, and no warning of an event,
// a path or a status word that no test reaches.
func TestLint(t *testing.T) {
	var in []mapping.File
	for _, f := range Files() {
		in = append(in, mapping.File{Name: f.Name, Data: f.Data})
	}
	for _, p := range mapping.Lint(in, mapping.TestOptions{}) {
		t.Errorf("%s %v\n\t%s", p.Severity, p, p.Help)
	}
}
