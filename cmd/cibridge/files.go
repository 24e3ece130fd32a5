package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cibridge/internal/diag"
	"cibridge/internal/mapping"
)

// maxFile bounds a file of mappings or hooks, in bytes.
const maxFile = 4 << 20

// codeFile is the code of a file or directory that cannot be read.
const codeFile = "E103"

func noFile(name, message string) diag.Problems {
	return diag.Problems{{File: name, Code: codeFile, Message: message, Severity: diag.SeverityError}}
}

// readTree reads the .yaml and .yml files below the roots, each once, in the
// order of the roots and their names. A root may be a file, or a link. Hidden
// files and directories are left out: they are what editors and the ConfigMaps
// of Kubernetes work with. So is a link that leads nowhere, which is a file
// that goes away in this moment.
//
// A directory without such files is a problem when some is asked for: it is
// one that is being filled, or not mounted yet.
func readTree(roots []string, some bool) ([]mapping.File, diag.Problems) {
	t := tree{seen: map[string]bool{}}
	for _, root := range roots {
		t.found = 0
		info, err := os.Stat(root)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			t.problems = append(t.problems, noFile(root, "there is no such file or directory")...)
		case err != nil:
			t.problems = append(t.problems, noFile(root, "it cannot be read: "+err.Error())...)
		case info.IsDir():
			t.walk(root)
		default:
			t.read(filepath.Clean(root))
			continue
		}
		if some && t.found == 0 && len(t.problems) == 0 {
			t.problems = noFile(root, "there are no .yaml files in it")
		}
	}
	return t.files, t.problems
}

type tree struct {
	files    []mapping.File
	problems diag.Problems
	seen     map[string]bool
	found    int // in the root that is being read
}

func (t *tree) walk(root string) {
	top := withoutLink(root)
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(top, path)
		name := filepath.Join(root, rel)
		hidden := rel != "." && strings.HasPrefix(d.Name(), ".")
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			t.problems = append(t.problems, noFile(name, "it cannot be read: "+err.Error())...)
		case d.IsDir() && hidden:
			return fs.SkipDir
		case d.IsDir() || hidden:
		case filepath.Ext(name) == ".yaml" || filepath.Ext(name) == ".yml":
			t.read(name)
		}
		return nil
	})
}

func (t *tree) read(name string) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	t.found++
	switch {
	case t.seen[name]:
		return
	case err == nil && !info.Mode().IsRegular():
		return // a directory behind a link; a pipe, which would never end
	case err == nil && info.Size() > maxFile:
		t.problems = append(t.problems, noFile(name, "it is larger than 4 MiB")...)
		return
	}
	t.seen[name] = true
	data, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		t.problems = append(t.problems, noFile(name, "it cannot be read: "+err.Error())...)
	default:
		t.files = append(t.files, mapping.File{Name: name, Data: data})
	}
}
