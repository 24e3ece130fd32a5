package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Blocks keep their lines; what is no whole mapping, or not closed, is no block.
func TestMappingBlocks(t *testing.T) {
	const m = "version: 1\nevents: []\n"
	for _, tc := range []struct {
		name, in string
		lines    []int // on which the versions of the blocks stand
	}{
		{"one", "# x\n```yaml\n" + m + "```\n", []int{3}},
		{"two, with a file name", "```yaml acme.yaml\n" + m + "```\n\n~~~yml\n\n" + m + "~~~\n", []int{2, 8}},
		{"another language", "```json\n" + m + "```\n```\n" + m + "```\n", nil},
		{"no events", "```yaml\nversion: 1\n```\n", nil},
		{"not at the top", "```yaml\nx:\n  version: 1\n  events: []\n```\n", nil},
		{"indented", "- x\n\n  ```yaml\n  version: 1\n  events: []\n  ```\n", []int{4}},
		{"a fence inside", "````yaml\nversion: 1\ntitle: |\n  ```yaml\n  ```\nevents: []\n````\n", []int{2}},
		{"a mapping inside a block that shows Markdown", "````md\n```yaml\n" + m + "```\n````\n", nil},
		{"not closed", "```yaml\n" + m, nil},
		{"line ends of Windows", "```YAML\r\nversion: 1\r\nevents: []\r\n```\r\n", []int{2}},
		{"nothing", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			blocks := mappingBlocks([]byte(tc.in))
			if len(blocks) != len(tc.lines) {
				t.Fatalf("got %d blocks %q, want %d", len(blocks), blocks, len(tc.lines))
			}
			for i, b := range blocks {
				lines := strings.Split(string(b), "\n")
				at := tc.lines[i] - 1
				if len(lines) <= at || !strings.HasPrefix(strings.TrimSpace(lines[at]), "version:") || strings.TrimSpace(strings.Join(lines[:at], "")) != "" {
					t.Errorf("block %d is %q, want its version on line %d", i, b, tc.lines[i])
				}
			}
		})
	}
}

// Whatever the text, a block never reaches behind its end.
func TestMappingBlocksStayInside(t *testing.T) {
	line := rapid.SampledFrom([]string{"```yaml", "```", "````yml", "````", "~~~yaml", "~~~", "  ```yaml", "version: 1", "  version: 1", "events: []", "  events:", "", "# x", "\t```"})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(line).Draw(t, "lines"), "\n")
		for _, b := range mappingBlocks([]byte(text)) {
			if strings.Count(string(b), "\n") > strings.Count(text, "\n") {
				t.Fatalf("%q has more lines than %q", b, text)
			}
			if body := strings.TrimLeft(string(b), "\n"); !strings.Contains(text, body) {
				t.Fatalf("%q does not stand in %q", body, text)
			}
		}
	})
}
