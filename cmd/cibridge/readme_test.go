package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cibridge/internal/mapping"
)

// block is a fenced part of the README: ```sh setup.
type block struct{ language, name, text string }

func readmeBlocks(t *testing.T) []block {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]*) ?([a-z.]*)\n(.*?)^```").FindAllStringSubmatch(string(data), -1) {
		blocks = append(blocks, block{m[1], m[2], m[3]})
	}
	return blocks
}

// TestReadme does what the README says, line by line: only the two ports are
// others, so that the test disturbs nobody.
func TestReadme(t *testing.T) {
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "cb") // short, for the socket of the child redis
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(dir, "bin", "cibridge")); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	dev := startProcessIn(t, dir, env, "dev", "--listen", "127.0.0.1:0")
	forge := startProcessIn(t, dir, env, "forge", "--listen", "127.0.0.1:0")
	ports := strings.NewReplacer("http://127.0.0.1:8080", dev.url, "http://127.0.0.1:8090", forge.url)

	var script strings.Builder
	done := map[string]bool{}
	for _, b := range readmeBlocks(t) {
		switch {
		case b.language == "yaml" && b.name != "":
			if err := os.WriteFile(filepath.Join(dir, b.name), []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		case b.language == "sh" && b.name != "forge":
			done[b.name] = true
			script.WriteString("echo '== " + b.name + "'\n" + ports.Replace(b.text))
			if b.name == "send" {
				// a person who types is slower than the delivery
				script.WriteString("for i in $(seq 200); do curl -s " + forge.url + "/_forge/commits | grep -q missing && break; sleep 0.05; done\n")
			}
		}
	}
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script.String())
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(string(out), "== ") {
		name, text, _ := strings.Cut(part, "\n")
		parts[name] = text
	}
	for name, want := range map[string][]string{
		"setup":   {"application shop", "hook "},
		"send":    {"{\"status\":\"accepted\"}\n{\"status\":\"accepted\"}\n{\"status\":\"accepted\"}"},
		"look":    {"incomplete", "artifact.helm", "delivered", `"state": ?"success"`, "64be72b2c1f7d2a33082f98a40a848880fcdcd5e"},
		"sample":  {"05-end", "succeeded"},
		"mapping": {"no problems", "3 passed, 0 failed", "E203: a literal where a path is meant"},
	} {
		if !done[name] {
			t.Errorf("the README has no part %q", name)
		}
		for _, w := range want {
			if !regexp.MustCompile(w).MatchString(parts[name]) {
				t.Errorf("%s: want %q in\n%s", name, w, parts[name])
			}
		}
	}
}

// TestDevKeepsWhatItHad stops dev and starts it again: runs, keys and tokens
// are still there, and the lines that it prints work when pasted.
func TestDevKeepsWhatItHad(t *testing.T) {
	dir, err := os.MkdirTemp("", "cb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(dir, "bin", "cibridge")); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	dev := startProcessIn(t, dir, env, "dev", "--listen", "127.0.0.1:0")
	var pasted string
	eventually(t, 10*time.Second, func() error { // the banner goes on behind the line with the URL
		pasted = ""
		for line := range strings.Lines(dev.out.String()) {
			if strings.HasPrefix(line, "  curl ") || strings.HasPrefix(line, "  bin/cibridge ") {
				pasted += line
			}
		}
		if !strings.Contains(pasted, "runs list") {
			return os.ErrNotExist
		}
		return nil
	})
	bash := func(script string) string {
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	out := bash(pasted)
	for _, want := range []string{`{"status":"accepted"}`, "response_type", "codenow/shop", "harness-sei/shop/main"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	for _, mapping := range []string{"github-actions", "gitlab", "harness-sei"} {
		bash("bin/cibridge send sample " + mapping)
	}
	before := bash("bin/cibridge keys list --json; bin/cibridge runs list --limit 3 --json")
	if code := dev.terminate(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, dev.log)
	}
	startProcessIn(t, dir, env, "dev", "--listen", strings.TrimPrefix(dev.url, "http://"))
	if after := bash("bin/cibridge keys list --json; bin/cibridge runs list --limit 3 --json"); after != before {
		t.Errorf("after a restart\n%s\nwant\n%s", after, before)
	}
}

// The README lists the formats that ship, all of them and no others.
func TestReadmeFormats(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "## Formats")
	table, _, _ = strings.Cut(table, "\n## ")
	var listed []string
	tools := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| ([^|,]+)[^|]* \\| `([a-z-]+)` \\|").FindAllStringSubmatch(table, -1) {
		listed = append(listed, m[2])
		tools[regexp.MustCompile(` (by|\().*`).ReplaceAllString(strings.TrimSpace(m[1]), "")] = true
	}
	slices.Sort(listed)
	set, problems := mapping.Load(shippedFiles())
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(slices.Values(set.Names())); !slices.Equal(listed, names) {
		t.Errorf("the README lists %v\nand these ship %v", listed, names)
	}
	if other := regexp.MustCompile(`webhooks of (\d+) other tools`).FindStringSubmatch(string(data)); other == nil || other[1] != strconv.Itoa(len(tools)-2) {
		t.Errorf("the README speaks of %v other tools and lists %d: %v", other, len(tools)-2, slices.Sorted(maps.Keys(tools)))
	}
}
