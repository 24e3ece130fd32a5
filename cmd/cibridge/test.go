package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cibridge/internal/diag"
	"cibridge/internal/mapping"
)

// testFlags are the flags of the test verb.
type testFlags struct {
	run         string
	verbose     bool
	update      bool
	junit       string
	coverage    bool
	coverageMin float64
}

func newTest() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use: "test [FILE|DIR]...", Short: "run the tests of mapping files",
		Example: "  cibridge test mappings/\n  cibridge test acme.yaml -v --run \"a failed build\"\n  cibridge test acme.yaml --coverage-min 90 --junit report.xml",
		Long: `test runs the tests inside mapping files and beside them (<name>_test.yaml), without a server.
Without arguments it tests mappings/ here.

A test may name a golden file, with everything that becomes of its requests: --update writes those that
are missing or differ, and nothing else. --coverage lists the events, fields and map entries that no test
reached.

It ends with 1 when a test fails, when none is there, and when the coverage of a mapping is below
--coverage-min.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := readMappings(args)
			if err != nil {
				return err
			}
			f.coverage = f.coverage || cmd.Flags().Changed("coverage-min")
			set, problems := mapping.Load(files)
			if errs := problems.Errors(); len(errs) > 0 {
				diag.WriteText(cmd.ErrOrStderr(), errs, sourceOf(files), isTerminal(cmd.ErrOrStderr()))
				return failed(exitFindings, errReported)
			}
			return runTests(cmd.OutOrStdout(), set, f)
		},
	}
	cmd.Flags().StringVar(&f.run, "run", "", "only tests with this text in their name, in any case")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "name the tests that pass, too")
	cmd.Flags().BoolVar(&f.update, "update", false, "rewrite the golden files")
	cmd.Flags().StringVar(&f.junit, "junit", "", "write the results to this `FILE` as JUnit XML, for GitLab, Jenkins and others")
	cmd.Flags().BoolVar(&f.coverage, "coverage", false, "list what no test reached")
	cmd.Flags().Float64Var(&f.coverageMin, "coverage-min", 0, "the least coverage of each mapping, in `PERCENT`; implies --coverage")
	return cmd
}

// tested is what came of the tests of one mapping.
type tested struct {
	mapping  *mapping.Mapping
	results  []mapping.TestResult
	coverage *mapping.Coverage // nil unless it was asked for
	took     time.Duration
}

func runTests(out io.Writer, set *mapping.Set, f testFlags) error {
	start := time.Now()
	var all []tested
	for _, name := range set.Names() {
		t := testMapping(set.Get(name), f)
		t.print(out, f.verbose)
		all = append(all, t)
	}
	passed, bad, written := count(all)
	below := printCoverage(out, all, f.coverageMin)
	if written > 0 {
		fmt.Fprintf(out, "%d golden files written\n", written)
	}
	fmt.Fprintf(out, "%d passed, %d failed in %s\n", passed, bad, time.Since(start).Round(time.Millisecond))
	if f.junit != "" {
		if err := writeJUnit(f.junit, all); err != nil {
			return err
		}
	}
	switch {
	case bad > 0 || below:
		return failed(exitFindings, errReported)
	case passed == 0 && f.run != "":
		return failed(exitFindings, fmt.Errorf("no test has %q in its name", f.run))
	case passed == 0:
		return failed(exitFindings, fmt.Errorf("there are no tests; write some under tests, see mappings/README.md"))
	}
	return nil
}

func testMapping(m *mapping.Mapping, f testFlags) tested {
	t := tested{mapping: m}
	if f.coverage {
		t.coverage = mapping.NewCoverage(m)
	}
	start := time.Now()
	t.results = mapping.RunTests(m, mapping.TestOptions{Run: f.run, Update: f.update, Coverage: t.coverage})
	t.took = time.Since(start)
	return t
}

func (t tested) print(out io.Writer, verbose bool) {
	for _, r := range t.results {
		if r.Written != "" {
			fmt.Fprintf(out, "WROTE %s\n", r.Written)
		}
		switch {
		case !r.Passed():
			fmt.Fprintf(out, "FAIL  %s: %s\n      %s\n", r.File, r.Name, strings.ReplaceAll(strings.Join(r.Failures, "\n"), "\n", "\n      "))
		case verbose:
			fmt.Fprintf(out, "PASS  %s: %s (%s)\n", r.File, r.Name, r.Took.Round(time.Microsecond))
		}
	}
}

func count(all []tested) (passed, bad, written int) {
	for _, t := range all {
		for _, r := range t.results {
			if r.Passed() {
				passed++
			} else {
				bad++
			}
			if r.Written != "" {
				written++
			}
		}
	}
	return passed, bad, written
}

// unreached are the words for a part that no test reached.
var unreached = map[mapping.PartKind]string{
	mapping.PartEvent: "no test has the event %s",
	mapping.PartField: "no test sets the field %s",
	mapping.PartWord:  "no test uses the map entry %q",
}

// printCoverage lists what no test reached. It reports whether some mapping is
// below the least percentage.
func printCoverage(out io.Writer, all []tested, least float64) (below bool) {
	for _, t := range all {
		if t.coverage == nil {
			continue
		}
		parts := t.coverage.Parts()
		percent, text := coverageOf(parts)
		fmt.Fprintf(out, "%s: coverage %.1f%% (%s)\n", t.mapping.Name, percent, text)
		for _, p := range parts {
			if !p.Reached {
				fmt.Fprintf(out, "  %s:%d:%d: "+unreached[p.Kind]+"\n", p.File, p.Line, p.Col, p.Name)
			}
		}
		if percent < least {
			below = true
			fmt.Fprintf(out, "FAIL  %s: the coverage is %.1f%%, at least %g%% are wanted\n", t.mapping.File, percent, least)
		}
	}
	return below
}

// coverageOf returns how much of a mapping was reached, and the same by kinds.
func coverageOf(parts []mapping.Part) (percent float64, text string) {
	total, reached := map[mapping.PartKind]int{}, map[mapping.PartKind]int{}
	sum := 0
	for _, p := range parts {
		total[p.Kind]++
		if p.Reached {
			reached[p.Kind]++
			sum++
		}
	}
	text = fmt.Sprintf("events %d/%d, fields %d/%d, map entries %d/%d", reached[mapping.PartEvent], total[mapping.PartEvent],
		reached[mapping.PartField], total[mapping.PartField], reached[mapping.PartWord], total[mapping.PartWord])
	return 100 * float64(sum) / float64(max(len(parts), 1)), text
}

func writeJUnit(name string, all []tested) error {
	data, err := junitReport(all)
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}
