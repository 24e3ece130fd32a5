package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var tutorialBlock = regexp.MustCompile("(?ms)^```(json|yaml|sh) ([a-z.]+)\n(.*?)^```")

// TestTutorial does what mappings/README.md tells a newcomer to do, in its
// order: from a payload to a run. Only the port is another one.
func TestTutorial(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "mappings", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## From a payload to a mapping\n")
	if !ok {
		t.Fatal("the README has no tutorial")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "cb") // short, for the socket of the child redis
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bin := t.TempDir()
	if err := os.Symlink(path, filepath.Join(bin, "cibridge")); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	wants := map[string][]string{
		"new":   {"1 file", "no problems|0 errors|warning", "1 passed, 0 failed"},
		"check": {"no problems", "PASS .* a whole build", `foundry: coverage 100\.0%`, "4 passed, 0 failed"},
		"use":   {"foundry", `"outcome": ?"applied"`, "succeeded"},
	}
	url := ""
	for _, b := range tutorialBlock.FindAllStringSubmatch(section, -1) {
		language, name, content := b[1], b[2], b[3]
		if language != "sh" {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if name == "use" {
			url = startProcessIn(t, dir, append(env, "CIBRIDGE_MAPPINGS_DIRS=."), "dev", "--listen", "127.0.0.1:0").url
		}
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", strings.ReplaceAll(content, "http://127.0.0.1:8080", url))
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		for _, want := range wants[name] {
			if !regexp.MustCompile(want).Match(out) {
				t.Errorf("%s: want %q in\n%s", name, want, out)
			}
		}
		delete(wants, name)
		if name == "new" {
			draft, err := os.ReadFile(filepath.Join(dir, "foundry.yaml"))
			if err != nil || !strings.Contains(string(draft), "GREEN: unknown,  # guess: ") {
				t.Errorf("the draft does not say what the tutorial says: %v\n%s", err, draft)
			}
		}
	}
	if len(wants) > 0 {
		t.Errorf("the tutorial has no steps %v", wants)
	}
}
