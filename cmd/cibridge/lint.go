package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cibridge/internal/diag"
	"cibridge/internal/mapping"
)

func newLint() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "lint [FILE|DIR]...", Short: "check mapping files", Example: "  cibridge lint mappings/\n  cibridge lint acme.yaml --format json",
		Long: "lint checks mapping files and prints every problem at once. Without arguments it checks mappings/ here.\nIt ends with 1 when there is a problem.",
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := lintFormats[format]
			if !ok {
				return fmt.Errorf("--format %q: want text or json", format)
			}
			files, err := readMappings(args)
			if err != nil {
				return err
			}
			_, problems := mapping.Load(files)
			if err := write(cmd, problems, files); err != nil {
				return err
			}
			if len(problems) > 0 {
				return failed(exitFindings, errReported)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

var lintFormats = map[string]func(cmd *cobra.Command, ps diag.Problems, files []mapping.File) error{
	"text": func(cmd *cobra.Command, ps diag.Problems, files []mapping.File) error {
		diag.WriteText(cmd.OutOrStdout(), ps, sourceOf(files), isTerminal(cmd.OutOrStdout()))
		if len(ps) == 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "%d files, no problems\n", len(files))
		}
		return nil
	},
	"json": func(cmd *cobra.Command, ps diag.Problems, _ []mapping.File) error {
		return diag.WriteJSON(cmd.OutOrStdout(), ps)
	},
}

func sourceOf(files []mapping.File) func(string) []byte {
	return func(name string) []byte {
		i := slices.IndexFunc(files, func(f mapping.File) bool { return f.Name == name })
		if i < 0 {
			return nil
		}
		return files[i].Data
	}
}

// isTerminal reports whether colours make sense: w is a terminal and NO_COLOR
// (https://no-color.org) is not set.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// readMappings reads files, and the .yaml files below directories; a test
// file brings its mapping along and the other way round.
func readMappings(args []string) ([]mapping.File, error) {
	if len(args) == 0 {
		args = []string{"mappings"}
	}
	var names []string
	for _, arg := range args {
		found, err := yamlFiles(strings.TrimSuffix(arg, "..."))
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	var files []mapping.File
	for _, name := range slices.Compact(names) {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, mapping.File{Name: name, Data: data})
	}
	return files, nil
}

func yamlFiles(root string) ([]string, error) {
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: there is no such file or directory", root)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return withPartner(root), nil
	}
	var names []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".yml")) {
			names = append(names, path)
		}
		return err
	})
	if err == nil && len(names) == 0 {
		return nil, fmt.Errorf("%s: no .yaml files in it", root)
	}
	return names, err
}

// withPartner adds shop_test.yaml to shop.yaml, and the other way round.
func withPartner(name string) []string {
	base, tested := strings.CutSuffix(strings.TrimSuffix(name, ".yaml"), "_test")
	partner := base + "_test.yaml"
	if tested {
		partner = base + ".yaml"
	}
	if _, err := os.Stat(partner); err != nil {
		return []string{name}
	}
	return []string{name, partner}
}
