package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cibridge/internal/diag"
	"cibridge/internal/mapping"
)

func newTest() *cobra.Command {
	var pattern string
	var verbose bool
	cmd := &cobra.Command{
		Use: "test [FILE|DIR]...", Short: "run the tests of mapping files", Example: "  cibridge test mappings/\n  cibridge test acme.yaml -v --run \"a failed build\"",
		Long: "test runs the tests inside mapping files and beside them (<name>_test.yaml), without a server.\nWithout arguments it tests mappings/ here. It ends with 1 when a test fails.",
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := readMappings(args)
			if err != nil {
				return err
			}
			set, problems := mapping.Load(files)
			if errs := problems.Errors(); len(errs) > 0 {
				diag.WriteText(cmd.ErrOrStderr(), errs, sourceOf(files), isTerminal(cmd.ErrOrStderr()))
				return failed(exitFindings, errReported)
			}
			return runTests(cmd, set, pattern, verbose)
		},
	}
	cmd.Flags().StringVar(&pattern, "run", "", "only tests whose name contains this")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "name the tests that pass, too")
	return cmd
}

func runTests(cmd *cobra.Command, set *mapping.Set, pattern string, verbose bool) error {
	out := cmd.OutOrStdout()
	start, passed, bad := time.Now(), 0, 0
	for _, name := range set.Names() {
		m := set.Get(name)
		for _, r := range mapping.RunTests(m, mapping.TestOptions{Run: pattern}) {
			if len(r.Failures) > 0 {
				bad++
				fmt.Fprintf(out, "FAIL  %s: %s\n      %s\n", r.File, r.Name, strings.ReplaceAll(strings.Join(r.Failures, "\n"), "\n", "\n      "))
				continue
			}
			passed++
			if verbose {
				fmt.Fprintf(out, "PASS  %s: %s (%s)\n", r.File, r.Name, r.Took.Round(time.Microsecond))
			}
		}
	}
	fmt.Fprintf(out, "%d passed, %d failed in %s\n", passed, bad, time.Since(start).Round(time.Millisecond))
	switch {
	case bad > 0:
		return failed(exitFindings, errReported)
	case passed == 0:
		return failed(exitFindings, fmt.Errorf("no test matches; --run %q", pattern))
	}
	return nil
}
