package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit codes, for scripts.
const (
	exitOK       = 0 // done
	exitFindings = 1 // lint found problems, or tests failed
	exitUsage    = 2 // the command line is wrong
	exitServer   = 3 // the server is not there, or it refused
	exitConfig   = 4 // the configuration is invalid
)

// exitError is an error that knows its exit code. An error without one is a
// usage error: that is what cobra's own are.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// failed returns err with the exit code that scripts see.
func failed(code int, err error) error { return &exitError{code, err} }

// errReported ends a command whose findings were already printed.
var errReported = errors.New("")

// run is the whole program: it returns the exit code instead of ending the
// process, so that tests can call it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	code := exitUsage
	var e *exitError
	if errors.As(err, &e) {
		code = e.code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(stderr, "cibridge: %s\n", text)
	}
	if code == exitUsage {
		fmt.Fprintf(stderr, "see %s --help\n", cmd.CommandPath())
	}
	return code
}

// The groups of the help text.
const (
	groupStart   = "start"
	groupMapping = "mapping"
	groupWatch   = "watch"
	groupOperate = "operate"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "cibridge",
		Short:         "turns CI events of any format into runs, and runs into commit statuses",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddGroup(
		&cobra.Group{ID: groupStart, Title: "Start:"},
		&cobra.Group{ID: groupMapping, Title: "Write mappings:"},
		&cobra.Group{ID: groupWatch, Title: "Send and watch:"},
		&cobra.Group{ID: groupOperate, Title: "Operate:"},
	)
	root.SetHelpCommand(newHelp())
	root.SetHelpCommandGroupID(groupOperate)
	root.SetCompletionCommandGroupID(groupOperate)
	for group, cmds := range map[string][]*cobra.Command{
		groupStart:   {newDev(), newServe(), newForge()},
		groupMapping: {newNew(), newLint(), newTest(), newEval(), newExplain()},
		groupWatch:   {newSend(), newRuns(), newEvents(), newDeliveries(), newHooks()},
		groupOperate: {newMappings(), newSources(), newKeys(), newApplications(), newAudit(), newConfig(), newVersion()},
	} {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	return root
}
