package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const deliveriesPath = "/api/v1/deliveries"

// newDeliveries is what went out, and how to send it again.
func newDeliveries() *cobra.Command {
	var f clientFlags
	cmd := &cobra.Command{
		Use: "deliveries", Short: "what went out: list, get, redeliver, curl", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.register(cmd)
	r := resource{
		use: "deliveries", path: deliveriesPath, paged: true,
		columns: []string{"id", "state", "hook", "run", "status", "tries", "reason", "waits_for=waits_for.text", "updated=updated_at"},
		filters: []string{"state", "hook", "run", "since", "until"},
		empty:   "no deliveries yet",
	}
	list := r.list(&f)
	list.Example = "  cibridge deliveries list --state dead --hook 0198c0de-0000-4000-8000-000000000001 --since 2h"
	cmd.AddCommand(list, getDelivery(&f), redeliver(&f), curlDelivery(&f))
	return cmd
}

// delivery is what get shows of the API's answer.
type delivery struct {
	ID, Run, Hook, Trigger, Status, State, Reason string
	Tries                                         int
	Attempt                                       int
	Method, URL, Curl                             string
	Notes                                         []string
	NextTry                                       string                `json:"next_try_at"`
	WaitsFor                                      struct{ Text string } `json:"waits_for"`
	Request                                       message
	Attempts                                      []struct {
		ID, At, Remote, Error, Verdict, Reason string
		DurationMS                             int64             `json:"duration_ms"`
		RequestHeaders                         map[string]string `json:"request_headers"`
		RequestBody                            json.RawMessage   `json:"request_body"`
		Status                                 int               `json:"response_status_code"`
		ResponseHeaders                        map[string]string `json:"response_headers"`
		ResponseBody                           string            `json:"response_body"`
	}
}

type message struct {
	Headers map[string]string
	Body    json.RawMessage
}

func getDelivery(f *clientFlags) *cobra.Command {
	return &cobra.Command{Use: "get ID", Short: "show one with every attempt", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		var raw json.RawMessage
		if err := f.client().call(cmd.Context(), http.MethodGet, deliveriesPath+"/"+url.PathEscape(args[0]), nil, &raw); err != nil {
			return err
		}
		if f.json {
			return printJSON(cmd.OutOrStdout(), raw)
		}
		var d delivery
		if err := json.Unmarshal(raw, &d); err != nil {
			return failed(exitServer, fmt.Errorf("the answer is not a delivery: %w", err))
		}
		d.print(cmd.OutOrStdout())
		return nil
	}}
}

// print shows a delivery as a person reads it: where it stands, what happens
// next and why, and what went over the wire.
func (d delivery) print(w io.Writer) {
	fmt.Fprintf(w, "%s  %s\n", d.ID, d.State)
	for _, line := range [][2]string{
		{"because", d.Reason}, {"waits for", d.WaitsFor.Text}, {"next try", d.NextTry},
		{"run", fmt.Sprintf("%s, attempt %d %s", d.Run, d.Attempt, d.Status)}, {"hook", d.Hook + " on " + d.Trigger},
		{"note", strings.Join(d.Notes, "; ")}, {"request", d.Method + " " + d.URL},
	} {
		if line[1] != "" {
			fmt.Fprintf(w, "  %-10s %s\n", line[0], line[1])
		}
	}
	printMessage(w, "  ", d.Request.Headers, text(d.Request.Body))
	for i, a := range d.Attempts {
		fmt.Fprintf(w, "\nattempt %d of %d, %s, %d ms", len(d.Attempts)-i, len(d.Attempts), a.At, a.DurationMS)
		if a.Remote != "" {
			fmt.Fprintf(w, ", to %s", a.Remote)
		}
		fmt.Fprintf(w, ": %s\n  because    %s\n", a.Verdict, a.Reason)
		printMessage(w, "  > ", a.RequestHeaders, text(a.RequestBody))
		if a.Status == 0 {
			fmt.Fprintf(w, "  < no answer: %s\n", a.Error)
			continue
		}
		fmt.Fprintf(w, "  < %d %s\n", a.Status, http.StatusText(a.Status))
		printMessage(w, "  < ", a.ResponseHeaders, a.ResponseBody)
	}
}

// text is a body as it stands in an answer: text, or JSON.
func text(raw json.RawMessage) string {
	var plain string
	if json.Unmarshal(raw, &plain) == nil {
		return plain
	}
	return string(bytes.TrimSpace(raw))
}

func printMessage(w io.Writer, prefix string, headers map[string]string, body string) {
	for _, name := range sortedNames(headers) {
		fmt.Fprintf(w, "%s%s: %s\n", prefix, name, printable(headers[name]))
	}
	if body != "" {
		for line := range strings.Lines(body) {
			fmt.Fprintf(w, "%s%s\n", prefix, printable(strings.TrimRight(line, "\r\n")))
		}
	}
}

func sortedNames(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func curlDelivery(f *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "curl ID", Short: "print the request as a shell command", Args: cobra.ExactArgs(1),
		Long: "Print the request of a delivery as a curl command. Secrets are shell variables: set TOKEN to the access token before you run it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var d delivery
			if err := f.client().call(cmd.Context(), http.MethodGet, deliveriesPath+"/"+url.PathEscape(args[0]), nil, &d); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), d.Curl)
			return nil
		},
	}
}

// bulk is what one call asks for; the answer has the cursor of the next one.
type bulk struct {
	Hook   string `json:"hook,omitempty"`
	State  string `json:"state,omitempty"`
	Since  string `json:"since,omitempty"`
	Until  string `json:"until,omitempty"`
	Force  bool   `json:"force,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
	Cursor string `json:"cursor,omitempty"`
}

type bulkAnswer struct {
	DryRun bool           `json:"dry_run"`
	Counts map[string]int `json:"counts"`
	Items  []bulkItem     `json:"items"`
	Next   *string        `json:"next"`
}

type bulkItem struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	By      string `json:"by,omitempty"`
}

func redeliver(f *clientFlags) *cobra.Command {
	var in bulk
	cmd := &cobra.Command{
		Use: "redeliver [ID...]", Short: "send some again: by id, or dead letters by hook and time",
		Long: "Send deliveries again. One that is older than what its resource shows, or than what waits for it, is left as it is (superseded) unless --force is given.",
		Example: "  cibridge deliveries redeliver dlv_01abc\n" +
			"  cibridge deliveries redeliver --hook 0198c0de-0000-4000-8000-000000000001 --since 2h --dry-run",
		RunE: func(cmd *cobra.Command, ids []string) error {
			selects := in.Hook != "" || in.Since != "" || in.Until != ""
			switch {
			case len(ids) > 0 && (selects || in.DryRun || in.State != ""):
				return errors.New("give either ids, or --hook and --since")
			case len(ids) > 0:
				return redeliverEach(cmd, f, ids, in.Force)
			case in.Hook == "" && in.Since == "":
				return errors.New("say which deliveries: ids, or --hook, or --since")
			}
			return redeliverMany(cmd, f, in)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&in.Hook, "hook", "", "those of this hook")
	flags.StringVar(&in.State, "state", "", "those in this state: dead (default), delivered or superseded")
	flags.StringVar(&in.Since, "since", "", "those given up since then: 2h, 7d, or 2026-03-01T12:00:00Z")
	flags.StringVar(&in.Until, "until", "", "and not after that")
	flags.BoolVar(&in.Force, "force", false, "also send states that are older than what the resource shows")
	flags.BoolVar(&in.DryRun, "dry-run", false, "only say what would happen")
	return cmd
}

// redeliverEach sends each id again. It goes on after a refusal and then ends
// with the first one.
func redeliverEach(cmd *cobra.Command, f *clientFlags, ids []string, force bool) error {
	var first error
	for _, id := range ids {
		err := f.client().call(cmd.Context(), http.MethodPost, fmt.Sprintf("%s/%s/redeliver?force=%t", deliveriesPath, url.PathEscape(id), force), nil, nil)
		if err != nil {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", id, err)
			first = cmp.Or(first, err)
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: queued\n", id)
	}
	if first != nil {
		return failed(exitServer, errReported)
	}
	return nil
}

// redeliverMany calls until there is no next page.
func redeliverMany(cmd *cobra.Command, f *clientFlags, in bulk) error {
	all := bulkAnswer{DryRun: in.DryRun, Counts: map[string]int{}, Items: []bulkItem{}}
	for {
		var got bulkAnswer
		if err := f.client().call(cmd.Context(), http.MethodPost, deliveriesPath+"/redeliver", in, &got); err != nil {
			return err
		}
		all.Items = append(all.Items, got.Items...)
		for outcome, n := range got.Counts {
			all.Counts[outcome] += n
		}
		if got.Next == nil {
			break
		}
		in.Cursor = *got.Next
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), all)
	}
	var table [][]string
	for _, item := range all.Items {
		table = append(table, []string{item.ID, item.Outcome, item.By})
	}
	if err := printTable(cmd.OutOrStdout(), []string{"id", "outcome", "by"}, table, "none match"); err != nil {
		return err
	}
	var sum []string
	for _, outcome := range []string{"redelivered", "superseded", "pending", "gone"} {
		sum = append(sum, fmt.Sprintf("%d %s", all.Counts[outcome], outcome))
	}
	verb := ""
	if in.DryRun {
		verb = "would be: "
	}
	fmt.Fprintln(cmd.OutOrStdout(), verb+strings.Join(sum, ", "))
	return nil
}
