package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"cibridge/internal/diag"
)

// newHelp is help for commands, as cobra has it, and for the codes of problems.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND|CODE]", Short: "help about a command, or about a code such as E203",
		Example: "  cibridge help lint\n  cibridge help E203\n  cibridge help codes",
		Long:    "help shows how a command is used, or explains the code of a problem: what it means, an example of the mistake, the fix.\n\"help codes\" lists all codes.",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var out []cobra.Completion
			for _, c := range cmd.Root().Commands() {
				out = append(out, cobra.CompletionWithDesc(c.Name(), c.Short))
			}
			for _, e := range diag.Catalogue() {
				out = append(out, cobra.CompletionWithDesc(e.Code, e.Title))
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && args[0] == "codes":
				return listCodes(cmd.OutOrStdout())
			case len(args) == 1 && codeForm.MatchString(args[0]):
				return explainCode(cmd.OutOrStdout(), strings.ToUpper(args[0]))
			}
			about, rest, err := cmd.Root().Find(args)
			if err != nil || about == nil || len(rest) > 0 {
				return fmt.Errorf("there is no command and no code %q", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// codeForm is what the code of a problem looks like.
var codeForm = regexp.MustCompile(`^[A-Za-z]\d+$`)

func explainCode(w io.Writer, code string) error {
	e, ok := diag.Explain(code)
	if !ok {
		var codes []string
		for _, e := range diag.Catalogue() {
			codes = append(codes, e.Code)
		}
		if near := diag.Nearest(code, codes); near != "" {
			return fmt.Errorf("there is no code %s; did you mean %s? \"cibridge help codes\" lists them", code, near)
		}
		return fmt.Errorf("there is no code %s; \"cibridge help codes\" lists them", code)
	}
	fmt.Fprintf(w, "%s: %s\n\n%s\n", e.Code, e.Title, e.Text)
	if e.Help != "" {
		fmt.Fprintf(w, "\nWhat to do: %s\n", e.Help)
	}
	return nil
}

// codeFamilies are what the first two characters of a code say.
var codeFamilies = []struct{ prefix, title string }{
	{"E0", "Requests"}, {"E1", "Structure of files"}, {"E2", "Expressions and paths"}, {"E3", "Mappings at run time"},
	{"E4", "Hooks and templates"}, {"E5", "Delivery"}, {"W", "Warnings of lint"},
}

func listCodes(w io.Writer) error {
	for _, f := range codeFamilies {
		title := f.title + ":\n"
		for _, e := range diag.Catalogue() {
			if strings.HasPrefix(e.Code, f.prefix) {
				fmt.Fprintf(w, "%s  %s  %s\n", title, e.Code, e.Title)
				title = ""
			}
		}
	}
	return nil
}
