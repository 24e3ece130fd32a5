package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/hook"
	"cibridge/internal/mapping"
	"cibridge/internal/provider"
)

// explained is an explanation with the hooks that it would call.
type explained struct {
	mapping.Explanation
	Hooks []hookCall `json:"hooks,omitempty"`
}

// hookCall is what a hook would do on the triggers of an event.
type hookCall struct {
	Event  string `json:"event"`
	Hook   string `json:"hook"`
	Method string `json:"method,omitempty"`
	URL    string `json:"url,omitempty"`
	Waits  string `json:"waits_for,omitempty"`
	Skips  string `json:"skipped,omitempty"`
}

func newExplain() *cobra.Command {
	f := &requestFlags{}
	var name, hooks string
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use: "explain -b FILE [FILE|DIR]...", Short: "say which mapping takes a payload, and what it makes of it",
		Example: `  cibridge explain -b payload.json
  cibridge explain -b payload.json -H 'X-GitHub-Event: workflow_run'
  cibridge explain -b payload.json --mapping acme acme.yaml --hooks configs/hooks
  curl … | cibridge explain -b - --path /v1/custom-cicd --json`,
		Long: `explain says which mapping takes a request and why each other one does not; then, value
by value, the path in the payload, what was found there, what the steps made of it and
where the mapping says so; then what in the payload no value has read, and which
triggers a new run would fire. It needs no server and sends nothing.

Mappings are those that ship, and those of the files and directories that are named,
else of mappings/ here. A mapping that is named like one that ships takes its place.
An object or a list that an expression takes as a whole counts as read.

It ends with 1 when no mapping takes the request.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := f.input(cmd)
			if err != nil {
				return err
			}
			set, err := explainable(cmd, args)
			if err != nil {
				return err
			}
			chosen, err := chosenMappings(set, name, f.path, in.Request)
			if err != nil {
				return err
			}
			planner, err := hookSet(cmd, hooks)
			if err != nil {
				return err
			}
			var all []explained
			for _, m := range chosen {
				in := as(in, m.Name)
				all = append(all, explained{m.Explain(in), planner.calls(m.Apply(in).Events)})
			}
			// What takes the request comes first.
			slices.SortStableFunc(all, func(a, b explained) int { return rank(a) - rank(b) })
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), all)
			} else if p := unreadable(all); p != nil {
				return failed(exitFindings, fmt.Errorf("the payload, line %d, column %d: %s", p.Line, p.Col, p.Message))
			} else {
				err = printExplanations(cmd.OutOrStdout(), all, verbose || len(all) == 1)
			}
			if err == nil && rank(all[0]) > taken {
				return failed(exitFindings, errors.New("no mapping takes this request"))
			}
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&name, "mapping", "", "ask only this mapping")
	cmd.Flags().StringVar(&hooks, "hooks", "", "file or directory of hooks: name the requests they would send")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "also name each event of the mappings that do not take it")
	return cmd
}

// unreadable returns what is wrong with a payload that no mapping can read.
func unreadable(all []explained) *mapping.Problem {
	for _, e := range all {
		if e.Problem == nil || e.Problem.Code != mapping.CodeBadJSON {
			return nil
		}
	}
	return all[0].Problem
}

// The ranks of an explanation.
const (
	taken   = 1 // events, or ignored on purpose
	refused = 2 // an event takes it, but something is missing
)

func rank(e explained) int {
	switch {
	case e.Outcome == bridge.Applied || e.Outcome == bridge.Unmapped && len(e.Events) > 0:
		return 0
	case e.Takes:
		return taken
	case slices.ContainsFunc(e.Tried, func(m mapping.ExplainedMatch) bool { return m.Takes }):
		return refused
	}
	return 3
}

// explainable loads the mappings that ship and those of args, else those of
// mappings/ here.
func explainable(cmd *cobra.Command, args []string) (*mapping.Set, error) {
	var own []mapping.File
	if _, err := os.Stat("mappings"); len(args) > 0 || err == nil {
		if own, err = readMappings(args); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	set, problems := mapping.Load(own)
	files := own
	for _, f := range shippedFiles() {
		if set.Get(strings.TrimSuffix(f.Name, ".yaml")) == nil {
			files = append(files, f)
		}
	}
	set, more := mapping.Load(files)
	if errs := append(problems, more...).Errors(); len(errs) > 0 {
		diag.WriteText(cmd.ErrOrStderr(), more.Errors(), sourceOf(files), isTerminal(cmd.ErrOrStderr()))
		return nil, failed(exitFindings, errReported)
	}
	return set, nil
}

// chosenMappings are the one that is named, the one that has the path, or all.
func chosenMappings(set *mapping.Set, name, path string, req *bridge.Request) ([]*mapping.Mapping, error) {
	if name != "" {
		m := set.Get(name)
		if m == nil {
			return nil, unknownMapping(name, set)
		}
		return []*mapping.Mapping{m}, nil
	}
	if path != "" {
		if m, ok := set.Match(req.Method, req.Path); ok {
			return []*mapping.Mapping{m}, nil
		}
	}
	var all []*mapping.Mapping
	for _, name := range set.Names() {
		all = append(all, set.Get(name))
	}
	return all, nil
}

// hookPlanner says what hooks would do.
type hookPlanner struct {
	set   *hook.Set
	names map[string]string // by id
}

// hookSet loads hooks; none for no name.
func hookSet(cmd *cobra.Command, name string) (hookPlanner, error) {
	if name == "" {
		return hookPlanner{}, nil
	}
	profiles, err := provider.Load()
	if err != nil {
		return hookPlanner{}, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return hookPlanner{}, fmt.Errorf("--hooks: %w", err)
	}
	var hooks []bridge.Hook
	var problems diag.Problems
	if info.IsDir() {
		hooks, problems = hook.LoadFiles(name, profiles)
	} else {
		hooks, problems = hook.Load(name, readFile(name), profiles)
	}
	set, more := hook.NewSet(hooks, nil, profiles)
	if errs := append(problems, more...).Errors(); len(errs) > 0 {
		diag.WriteText(cmd.ErrOrStderr(), errs, readFile, isTerminal(cmd.ErrOrStderr()))
		return hookPlanner{}, failed(exitFindings, errReported)
	}
	p := hookPlanner{set: set, names: map[string]string{"": "all hooks"}}
	for _, h := range hooks {
		p.names[h.ID] = h.Name
	}
	return p, nil
}

// calls plans the deliveries of each event on a run that is new.
func (p hookPlanner) calls(events []bridge.Event) []hookCall {
	if p.set == nil {
		return nil
	}
	var out []hookCall
	for _, ev := range events {
		run := bridge.NewRun(0, ev.Source, ev.RunKey, ev.Received)
		change, err := run.Apply(ev)
		if err != nil || change.Firing == nil {
			continue
		}
		for _, d := range p.set.Plan(run, change.Firing, time.UnixMilli(ev.Received)) {
			out = append(out, hookCall{Event: ev.Name, Hook: p.names[d.Hook], Method: d.Method, URL: d.URL})
		}
		for _, waiting := range run.Parked {
			out = append(out, hookCall{Event: ev.Name, Hook: p.names[waiting.Hook], Waits: waiting.Missing})
		}
		for _, skip := range run.Skips {
			out = append(out, hookCall{Event: ev.Name, Hook: p.names[skip.Hook], Skips: skip.Reason})
		}
	}
	return out
}
