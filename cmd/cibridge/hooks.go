package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"
)

// newHooks is the verb for outgoing hooks. They live under their pipeline, as
// in the Devopness API, so it is no plain resource.
func newHooks() *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{Use: "hooks", Short: "outgoing hooks: list, get, create, delete, requests", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	f.register(cmd)
	cmd.AddCommand(hooksList(&f), hooksGet(&f), hooksCreate(&f), hooksDelete(&f), hooksRequests(&f))
	return cmd
}

func hooksList(f *clientFlags) *cobra.Command {
	var pipeline string
	cmd := &cobra.Command{Use: "list", Short: "list hooks", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		path := "/api/v1/hooks"
		if pipeline != "" {
			path += "?" + url.Values{"pipeline": {pipeline}}.Encode()
		}
		var got list[map[string]any]
		if err := f.client().call(cmd.Context(), http.MethodGet, path, nil, &got); err != nil {
			return err
		}
		if f.json {
			return printJSON(cmd.OutOrStdout(), got)
		}
		for _, h := range got.Items {
			if h["pipeline_id"] == nil {
				h["pipeline_id"] = "*"
			}
			if field(h, "trigger_when.events") == "" {
				h["trigger_when"] = map[string]any{"events": "every change"}
			}
		}
		columns := []string{"id", "name", "pipeline=pipeline_id", "profile", "events=trigger_when.events", "active", "updated=updated_at"}
		return printTable(cmd.OutOrStdout(), headers(columns), rows(columns, got.Items), "no hooks; create one with \"cibridge hooks create --profile github --name ci\"")
	}}
	cmd.Flags().StringVar(&pipeline, "pipeline", "", "only those of this pipeline (pl_…, <source>/<pipeline.id> or *)")
	return cmd
}

func hooksGet(f *clientFlags) *cobra.Command {
	return &cobra.Command{Use: "get ID", Short: "show one as JSON", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		var got any
		if err := f.client().call(cmd.Context(), http.MethodGet, "/hooks/outgoing/"+url.PathEscape(args[0]), nil, &got); err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), got)
	}}
}

func hooksCreate(f *clientFlags) *cobra.Command {
	var pipeline, file, name, profile, context string
	cmd := &cobra.Command{
		Use: "create", Short: "create a hook, from flags or from a JSON file", Args: cobra.NoArgs,
		Example: "  cibridge hooks create --profile github --name ci\n  cibridge hooks create --pipeline codenow/shop --file hook.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			hook := map[string]any{}
			if file != "" {
				data, err := readInput(cmd.InOrStdin(), file)
				if err != nil {
					return err
				}
				if err := json.Unmarshal(data, &hook); err != nil {
					return fmt.Errorf("--file %s: %w; it must hold one hook as a JSON object", file, err)
				}
			}
			for key, v := range map[string]string{"name": name, "profile": profile, "context": context} {
				if v != "" {
					hook[key] = v
				}
			}
			if hook["name"] == nil {
				return errors.New("a hook needs a --name")
			}
			var got map[string]any
			if err := f.client().call(cmd.Context(), http.MethodPost, "/pipelines/"+url.PathEscape(pipeline)+"/hooks/outgoing", hook, &got); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), got)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "hook %v created for pipeline %s\n", got["id"], pipeline)
			return nil
		},
	}
	cmd.Flags().StringVar(&pipeline, "pipeline", "*", "pl_…, <source>/<pipeline.id>, or * for every pipeline")
	cmd.Flags().StringVarP(&file, "file", "f", "", "JSON file with the hook, in the shape of the Devopness API (- reads standard input)")
	cmd.Flags().StringVar(&name, "name", "", "name of the hook")
	cmd.Flags().StringVar(&profile, "profile", "", "says everything else: github, gitlab, gitea, bitbucket, bitbucket-dc, azure-devops, harness-code, gerrit, codenow, sei or cdevents")
	cmd.Flags().StringVar(&context, "context", "", "name of the commit status (default ci/cibridge)")
	return cmd
}

// readInput reads a file, or standard input when its name is "-".
func readInput(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

func hooksDelete(f *clientFlags) *cobra.Command {
	return &cobra.Command{Use: "delete ID", Short: "delete one", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		if err := f.client().call(cmd.Context(), http.MethodDelete, "/hooks/outgoing/"+url.PathEscape(args[0]), nil, nil); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: gone\n", args[0])
		return nil
	}}
}

func hooksRequests(f *clientFlags) *cobra.Command {
	return &cobra.Command{Use: "requests ID", Short: "what a hook sent, newest first", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		var got []map[string]any
		if err := f.client().call(cmd.Context(), http.MethodGet, "/hooks/outgoing/"+url.PathEscape(args[0])+"/requests?per_page=100", nil, &got); err != nil {
			return err
		}
		if f.json {
			return printJSON(cmd.OutOrStdout(), got)
		}
		columns := []string{"id", "retry_of", "ip_address", "created=created_at"}
		return printTable(cmd.OutOrStdout(), headers(columns), rows(columns, got), "this hook has sent nothing yet")
	}}
}
