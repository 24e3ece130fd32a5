package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cibridge/internal/diag"
	"cibridge/internal/mapping"
)

func newLint() *cobra.Command {
	var format string
	var strict bool
	cmd := &cobra.Command{
		Use: "lint [FILE|DIR|DIR/...|GLOB]...", Short: "check mapping files",
		Example: "  cibridge lint mappings/\n  cibridge lint ./... --strict\n  cibridge lint 'ci/*.yaml' docs/ci.md --format github",
		Long: `lint checks mapping files and prints every problem at once. Without arguments it checks mappings/ here.

A directory stands for all YAML files below it, and for the ` + "```yaml" + ` blocks in its Markdown files that are whole
mappings. DIR/... leaves out what is no mapping, and folders named testdata or beginning with a point.

Errors keep a file from being used. Warnings are of what is right but doubtful: events, paths and status words that
no test reaches, events that are never tried, secrets that are kept. "cibridge help CODE" explains each of them.

It ends with 0 when there is no error, with 1 when there is one, or with --strict a warning, and with 2 when the
command line is wrong.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := lintFormats[format]
			if !ok {
				return fmt.Errorf("--format %q: want text, json, sarif or github", format)
			}
			in, err := readLint(args)
			if err != nil {
				return err
			}
			problems := in.problems()
			if err := write(cmd.OutOrStdout(), problems, in); err != nil {
				return err
			}
			if len(problems.Errors()) > 0 || strict && len(problems) > 0 {
				return failed(exitFindings, errReported)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json, sarif, or github (annotations of GitHub Actions)")
	cmd.Flags().BoolVar(&strict, "strict", false, "end with 1 for warnings, too")
	return cmd
}

var lintFormats = map[string]func(w io.Writer, ps diag.Problems, in *lintInput) error{
	"text": func(w io.Writer, ps diag.Problems, in *lintInput) error {
		diag.WriteText(w, ps, in.source, isTerminal(w))
		_, err := fmt.Fprintln(w, summary(ps, len(in.files)))
		return err
	},
	"json":   func(w io.Writer, ps diag.Problems, _ *lintInput) error { return diag.WriteJSON(w, ps) },
	"github": func(w io.Writer, ps diag.Problems, _ *lintInput) error { return diag.WriteGitHub(w, ps) },
	"sarif": func(w io.Writer, ps diag.Problems, _ *lintInput) error {
		return diag.WriteSARIF(w, ps, diag.Tool{Name: "cibridge", Version: version})
	},
}

// summary counts problems: "2 files, 1 error, 3 warnings".
func summary(ps diag.Problems, files int) string {
	parts := []string{counted(files, "file")}
	if n := len(ps.Errors()); n > 0 {
		parts = append(parts, counted(n, "error"))
	}
	if n := len(ps.Warnings()); n > 0 {
		parts = append(parts, counted(n, "warning"))
	}
	if len(ps) == 0 {
		return parts[0] + ", no problems"
	}
	return strings.Join(parts, ", ") + "; \"cibridge help " + ps[0].Code + "\" explains a code"
}

// lintInput is what lint was asked to check.
type lintInput struct {
	files  map[string][]byte // whole files by their names
	groups [][]mapping.File  // what is loaded together: all YAML files, and each block by itself
}

// readLint reads the files of the arguments. A Markdown file that is named
// itself must have a mapping in it.
func readLint(args []string) (*lintInput, error) {
	names, err := findFiles(args)
	if err != nil {
		return nil, err
	}
	in := &lintInput{files: map[string][]byte{}, groups: [][]mapping.File{nil}}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if !isMarkdown(name) {
			in.files[name] = data
			in.groups[0] = append(in.groups[0], mapping.File{Name: name, Data: data})
			continue
		}
		blocks := mappingBlocks(data)
		if len(blocks) == 0 && slices.Contains(args, name) {
			return nil, fmt.Errorf("%s: no ```yaml block in it is a mapping, with version and events at its top", name)
		}
		for _, block := range blocks {
			in.files[name] = data
			in.groups = append(in.groups, []mapping.File{{Name: name, Data: block}})
		}
	}
	return in, nil
}

func (in *lintInput) problems() diag.Problems {
	var all diag.Problems
	for _, files := range in.groups {
		all = append(all, mapping.Lint(files, mapping.TestOptions{})...)
	}
	all.Sort()
	return all
}

func (in *lintInput) source(name string) []byte { return in.files[name] }

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

// readMappings reads the YAML files of the arguments, see findFiles.
func readMappings(args []string) ([]mapping.File, error) {
	names, err := findFiles(args)
	if err != nil {
		return nil, err
	}
	var files []mapping.File
	for _, name := range names {
		if isMarkdown(name) {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, mapping.File{Name: name, Data: data})
	}
	return files, nil
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
