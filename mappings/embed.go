// Package mappings holds the mappings that ship with cibridge: one YAML file
// for each format, its tests beside it, and samples to send.
//
// README.md is the reference of the mapping language. A mapping is data: a new
// format adds files here and no Go.
package mappings

import (
	"embed"
	"io/fs"
	"slices"
	"strings"
)

//go:embed *.yaml samples
var files embed.FS

// File is a mapping, or the tests of one.
type File struct {
	Name string // "codenow.yaml", "codenow_test.yaml"
	Data []byte
}

// Files returns the mappings that ship and, after each of them, its tests.
func Files() []File {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(sortKey(a), sortKey(b)) })
	out := make([]File, 0, len(names))
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			panic(err) // the file is part of this program
		}
		out = append(out, File{Name: name, Data: data})
	}
	return out
}

// sortKey puts codenow_test.yaml right after codenow.yaml.
func sortKey(name string) string {
	base := strings.TrimSuffix(name, ".yaml")
	if tested, ok := strings.CutSuffix(base, "_test"); ok {
		return tested + " 2"
	}
	return base + " 1"
}
