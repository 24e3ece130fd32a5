package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/lang"
	"cibridge/internal/mapping"
)

// requestFlags describe a request that never went over a wire.
type requestFlags struct {
	body, path, source, received string
	header, vars                 []string
}

func (f *requestFlags) register(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringVarP(&f.body, "body", "b", "", "file with the payload, - for standard input")
	p.StringArrayVarP(&f.header, "header", "H", nil, "a header, \"Name: value\" (repeatable)")
	p.StringVar(&f.path, "path", "", "where the request was posted, with its query (default /in/<source>)")
	p.StringVar(&f.source, "source", "", "id of the source (default: the name of the mapping)")
	p.StringArrayVar(&f.vars, "var", nil, "a setting of the source, name=value (repeatable)")
	p.StringVar(&f.received, "received-at", "", "when the request came (default now)")
}

// input makes the request.
func (f *requestFlags) input(cmd *cobra.Command) (mapping.Input, error) {
	body, err := f.read(cmd.InOrStdin())
	if err != nil {
		return mapping.Input{}, err
	}
	address, err := url.Parse(f.path)
	if err != nil {
		return mapping.Input{}, fmt.Errorf("--path %q is no path", f.path)
	}
	req := &bridge.Request{ID: "evt_explain", Received: time.Now(), Method: "POST", Path: address.Path, Query: map[string]string{}, Header: map[string]string{}, Body: body}
	for name, values := range address.Query() {
		req.Query[name] = values[0]
	}
	for _, h := range f.header {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return mapping.Input{}, fmt.Errorf("-H %q: write \"Name: value\"", h)
		}
		req.Header[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	source := bridge.Source{ID: f.source, Vars: map[string]any{}}
	for _, v := range f.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return mapping.Input{}, fmt.Errorf("--var %q: write name=value", v)
		}
		source.Vars[name] = value
	}
	if f.received != "" {
		ms, ok, err := lang.Times{}.ParseText(f.received)
		if err != nil || !ok {
			return mapping.Input{}, fmt.Errorf("--received-at %q is no time; write 2026-02-11T09:20:00Z", f.received)
		}
		req.Received = time.UnixMilli(ms)
	}
	return mapping.Input{Request: req, Source: source}, nil
}

// as returns in as a request of a mapping.
func as(in mapping.Input, name string) mapping.Input {
	if in.Source.ID == "" {
		in.Source.ID = name
	}
	in.Source.Mapping = name
	req := *in.Request
	req.Source, req.Mapping = in.Source.ID, name
	if req.Path == "" {
		req.Path = "/in/" + in.Source.ID
	}
	in.Request = &req
	return in
}

// maxPayload is what a server takes at most by default.
const maxPayload = 5 << 20

func (f *requestFlags) read(stdin io.Reader) ([]byte, error) {
	var from io.Reader
	switch f.body {
	case "":
		return nil, errors.New("-b FILE is missing: the payload, - for standard input")
	case "-":
		from = stdin
	default:
		file, err := os.Open(f.body)
		if err != nil {
			return nil, fmt.Errorf("-b: %w", err)
		}
		defer file.Close()
		from = file
	}
	body, err := io.ReadAll(io.LimitReader(from, maxPayload+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("-b: %w", err)
	case len(body) > maxPayload:
		return nil, fmt.Errorf("-b: the payload is larger than %d MiB", maxPayload>>20)
	}
	return body, nil
}

func newEval() *cobra.Command {
	f := &requestFlags{}
	var name string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "eval -b FILE VALUE [FILE|DIR]...", Short: "evaluate one value on a payload", Args: cobra.MinimumNArgs(1),
		Example: `  cibridge eval -b payload.json commit.id
  cibridge eval -b payload.json '=lower(body.result)'
  cibridge eval -b payload.json '{path: result, map: {ok: succeeded}, default: queued}'
  cibridge eval -b payload.json --mapping harness-sei =shas`,
		Long: `eval evaluates one value as it would stand in a mapping: a gjson path, an expression
that starts with "=", or the long form {path: …, map: …}. Texts are printed as they
are, everything else as JSON; warnings go to standard error.

With --mapping the payload is decoded as that mapping says, and expressions see its
lets. Mappings are those that ship, and those of the files and directories that are
named, else of mappings/ here.

It ends with 0 when there is a value, with 1 when it is absent or failed.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := f.input(cmd)
			if err != nil {
				return err
			}
			m, err := mappingOf(cmd, name, args[1:])
			if err != nil {
				return err
			}
			value, problems := mapping.Eval(m, as(in, cmp.Or(name, "eval")), args[0])
			if len(problems) > 0 {
				text := func(string) []byte { return []byte(args[0]) }
				diag.WriteText(cmd.ErrOrStderr(), problems, text, isTerminal(cmd.ErrOrStderr()))
				if problems.Err() != nil {
					return failed(exitUsage, errReported)
				}
			}
			return printEvaluation(cmd, value, asJSON)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&name, "mapping", "", "decode the payload as this mapping does, and see its lets")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the value with its steps as JSON")
	return cmd
}

// mappingOf finds a mapping by its name; nil for no name.
func mappingOf(cmd *cobra.Command, name string, args []string) (*mapping.Mapping, error) {
	if name == "" {
		if len(args) > 0 {
			return nil, errors.New("files are read only for --mapping NAME")
		}
		return nil, nil
	}
	set, err := explainable(cmd, args)
	if err != nil {
		return nil, err
	}
	m := set.Get(name)
	if m == nil {
		return nil, unknownMapping(name, set)
	}
	return m, nil
}

func unknownMapping(name string, set *mapping.Set) error {
	hint := "there are " + strings.Join(set.Names(), ", ")
	if near := diag.Nearest(name, set.Names()); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Errorf("--mapping %q: there is no such mapping; %s", name, hint)
}

func printEvaluation(cmd *cobra.Command, v mapping.Evaluation, asJSON bool) error {
	out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
	absent := v.Problem != nil || v.Value == nil
	if asJSON {
		if err := printJSON(out, v); err != nil {
			return err
		}
		if absent {
			return failed(exitFindings, errReported)
		}
		return nil
	}
	for _, w := range v.Warnings {
		fmt.Fprintf(errs, "warning: %s\n", printable(w))
	}
	switch {
	case v.Problem != nil && v.Problem.File == "" && v.Problem.Line > 0:
		return failed(exitFindings, fmt.Errorf("the payload, line %d, column %d: %s", v.Problem.Line, v.Problem.Col, v.Problem.Message))
	case v.Problem != nil:
		return failed(exitFindings, errors.New(printable(v.Problem.Message)))
	case v.Value == nil:
		return failed(exitFindings, fmt.Errorf("absent: %s", printable(v.Why)))
	}
	if text, ok := v.Value.(string); ok {
		fmt.Fprintln(out, printable(text))
		return nil
	}
	return printJSON(out, v.Value)
}
