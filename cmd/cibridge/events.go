package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// newEventsGet shows one request: what became of it, or how it arrived.
func newEventsGet(f *clientFlags) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use: "get ID", Short: "show one as JSON, or with --raw as it arrived", Args: cobra.ExactArgs(1),
		Long: "get shows what became of a request, as JSON.\n" +
			"With --raw it shows the request as it arrived: headers and body, without those of credentials and with *** in place of secrets.",
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/api/v1/events/" + url.PathEscape(args[0])
			if raw && !f.json {
				return showRaw(cmd, f, path+"/raw")
			}
			if raw {
				path += "/raw"
			}
			var got any
			if err := f.client().call(cmd.Context(), http.MethodGet, path, nil, &got); err != nil {
				return err
			}
			return printJSON(cmd.OutOrStdout(), got)
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "show the request as it arrived, without its secrets")
	return cmd
}

// showRaw prints a request as HTTP writes it. How much is missing goes to
// standard error, so that the body can be piped.
func showRaw(cmd *cobra.Command, f *clientFlags, path string) error {
	var got struct {
		Method, Path, Body string
		Query, Headers     map[string]string
		Redacted           int
	}
	if err := f.client().call(cmd.Context(), http.MethodGet, path, nil, &got); err != nil {
		return err
	}
	var query []string
	for _, name := range slices.Sorted(maps.Keys(got.Query)) {
		query = append(query, url.QueryEscape(name)+"="+url.QueryEscape(got.Query[name]))
	}
	line := got.Method + " " + got.Path
	if len(query) > 0 {
		line += "?" + strings.Join(query, "&")
	}
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, line)
	for _, name := range slices.Sorted(maps.Keys(got.Headers)) {
		fmt.Fprintf(out, "%s: %s\n", name, got.Headers[name])
	}
	if _, err := io.WriteString(out, "\n"+got.Body+"\n"); err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	if got.Redacted > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s shown as ***\n", counted(got.Redacted, "value"))
	}
	return nil
}
