package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"cibridge/internal/diag"
)

// newMappings is the verb for the mappings of a server. Those of files are
// checked with lint and test.
func newMappings() *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{Use: "mappings", Short: "mappings that the server uses: list", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	f.register(cmd)
	cmd.AddCommand(&cobra.Command{
		Use: "list", Short: "list mappings, and why newer files are not in use", Args: cobra.NoArgs,
		Long: "list shows the mappings that the server uses, their generation, and the sources that receive nothing.\n" +
			"When the newest files have mistakes, those of before stay in use: the mistakes are printed, and list ends with 1.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var got mappingList
			if err := f.client().call(cmd.Context(), http.MethodGet, "/api/v1/mappings", nil, &got); err != nil {
				return err
			}
			if err := got.write(cmd.OutOrStdout(), f.json); err != nil {
				return err
			}
			if got.LastError != nil {
				return failed(exitFindings, errReported)
			}
			return nil
		},
	})
	return cmd
}

// mappingList is the answer of the API.
type mappingList struct {
	Items      []map[string]any `json:"items"`
	Next       *string          `json:"next"`
	Generation int64            `json:"generation"`
	LoadedAt   string           `json:"loaded_at"`
	Count      int              `json:"count"`
	LastError  *struct {
		At       string        `json:"at"`
		Count    int           `json:"count"`
		Problems diag.Problems `json:"problems"`
	} `json:"last_error"`
	Unusable map[string]string `json:"unusable_sources"`
}

func (l mappingList) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, l)
	}
	columns := []string{"name", "auth", "routes", "sources", "tests", "file", "title"}
	if err := printTable(w, headers(columns), rows(columns, l.Items), "no mappings; name a directory with mappings.dirs"); err != nil {
		return err
	}
	fmt.Fprintf(w, "\ngeneration %d, loaded %s\n", l.Generation, age(l.LoadedAt, time.Now()))
	for _, id := range slices.Sorted(maps.Keys(l.Unusable)) {
		fmt.Fprintf(w, "source %s receives nothing: %s\n", id, l.Unusable[id])
	}
	if l.LastError == nil {
		return nil
	}
	fmt.Fprintf(w, "\nNewer files are not in use, since %s, they have %s:\n\n", age(l.LastError.At, time.Now()), counted(l.LastError.Count, "problem"))
	return diag.WriteText(w, l.LastError.Problems, readFile, isTerminal(w))
}
