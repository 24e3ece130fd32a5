package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// findFiles lists the files that the arguments of lint and test stand for,
// sorted: files, directories, DIR/... and globs that the shell left alone. A
// test file brings its mapping along and the other way round. Without
// arguments it is mappings/.
func findFiles(args []string) ([]string, error) {
	if len(args) == 0 {
		args = []string{"mappings"}
	}
	var names []string
	for _, arg := range args {
		found, err := filesOf(arg)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func filesOf(arg string) ([]string, error) {
	if root, ok := strings.CutSuffix(arg, "..."); ok {
		return mappingsBelow(filepath.Clean(root), arg)
	}
	info, err := os.Stat(arg)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(arg, "*?["):
		return globbed(arg)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: there is no such file or directory", arg)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return withPartner(arg), nil
	}
	names, err := below(arg, func(fs.DirEntry) bool { return false })
	if err == nil && !slices.ContainsFunc(names, isYAML) {
		return nil, fmt.Errorf("%s: no .yaml files in it", arg)
	}
	return names, err
}

func globbed(pattern string) ([]string, error) {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("%s: this is not a pattern: %w", pattern, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: no file matches; folder/... stands for all mappings below it", pattern)
	}
	var names []string
	for _, name := range found {
		more, err := filesOf(name)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	return names, nil
}

// below lists the YAML and Markdown files below a folder, without those of the
// folders that skip chooses.
func below(root string, skip func(fs.DirEntry) bool) ([]string, error) {
	var names []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && skip(d):
			return fs.SkipDir
		case !d.IsDir() && (isYAML(path) || isMarkdown(path)):
			names = append(names, path)
		}
		return nil
	})
	return names, err
}

// topKeys are the lines that only a mapping has.
var topKeys = regexp.MustCompile(`(?m)^(receive|events|run_key):`)

// mappingsBelow lists the files below a folder that are mappings, with their
// tests, and the Markdown files.
func mappingsBelow(root, arg string) ([]string, error) {
	all, err := below(root, func(d fs.DirEntry) bool {
		return strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		if isMarkdown(name) {
			names = append(names, name)
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if topKeys.Match(data) {
			names = append(names, withPartner(name)...)
		}
	}
	if !slices.ContainsFunc(names, isYAML) {
		return nil, fmt.Errorf("%s: no mapping in it", arg)
	}
	return names, nil
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}

func isMarkdown(name string) bool { return strings.HasSuffix(name, ".md") }

// fence is the line that opens or closes a block of code: its indentation, the
// fence, and the language.
var fence = regexp.MustCompile("^([ \t]*)(`{3,}|~{3,})[ \t]*([^\\s`]*)")

// mappingBlocks returns the ```yaml blocks of a Markdown text that are whole
// mappings. Each stands behind as many empty lines as the text has lines before
// it, so that places in it are those of the text.
func mappingBlocks(text []byte) [][]byte {
	var out [][]byte
	var block []byte
	open, language := "", ""
	number := 0
	for line := range bytes.Lines(text) {
		m := fence.FindSubmatch(line)
		switch {
		case open == "" && m != nil:
			open, language = string(m[2]), strings.ToLower(string(m[3]))
			block = bytes.Repeat([]byte("\n"), number+1)
		case open != "" && m != nil && strings.HasPrefix(string(m[2]), open) && len(m[3]) == 0:
			if (language == "yaml" || language == "yml") && wholeMapping(block) {
				out = append(out, block)
			}
			open = ""
		case open != "":
			block = append(block, line...)
		}
		number++
	}
	return out
}

// wholeMapping reports whether a block has version and events at the
// indentation of its first line.
func wholeMapping(block []byte) bool {
	first := bytes.TrimLeft(block, "\r\n")
	indent := string(first[:len(first)-len(bytes.TrimLeft(first, " "))])
	for _, key := range []string{"version:", "events:"} {
		if !bytes.Contains(block, []byte("\n"+indent+key)) {
			return false
		}
	}
	return true
}
