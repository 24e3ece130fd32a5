package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// resource describes a collection of the API to the verbs that all
// collections share.
type resource struct {
	use, short string
	path       string   // of the collection: /api/v1/keys
	columns    []string // header and dotted name, "name" or "age=created_at"
	empty      string
	filters    []string // query parameters of the list
	paged      bool     // the list takes a limit
	get        bool
	delete     string // word for deleting, "" when it cannot be
}

// command builds "NAME list|get|delete" around the verbs of its own.
func (r resource) command(f *clientFlags, own ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: r.use, Short: r.short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	f.register(cmd)
	cmd.AddCommand(r.list(f))
	if r.get {
		cmd.AddCommand(r.getOne(f))
	}
	if r.delete != "" {
		cmd.AddCommand(r.remove(f))
	}
	cmd.AddCommand(own...)
	return cmd
}

func (r resource) list(f *clientFlags) *cobra.Command {
	filters := map[string]*string{}
	limit := 0
	cmd := &cobra.Command{Use: "list", Short: "list " + r.use, Args: cobra.NoArgs}
	for _, name := range r.filters {
		filters[name] = cmd.Flags().String(name, "", "only those with this "+name)
	}
	if r.paged {
		cmd.Flags().IntVar(&limit, "limit", 50, "how many at the most")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		if r.paged {
			q.Set("limit", fmt.Sprint(limit))
		}
		for name, v := range filters {
			if *v != "" {
				q.Set(name, *v)
			}
		}
		var got list[map[string]any]
		if err := f.client().call(cmd.Context(), http.MethodGet, r.path+"?"+q.Encode(), nil, &got); err != nil {
			return err
		}
		if f.json {
			return printJSON(cmd.OutOrStdout(), got)
		}
		empty := r.empty
		if q.Del("limit"); len(q) > 0 {
			empty = "none match " + q.Encode()
		}
		return printTable(cmd.OutOrStdout(), headers(r.columns), rows(r.columns, got.Items), empty)
	}
	return cmd
}

func headers(columns []string) []string {
	var out []string
	for _, c := range columns {
		name, _, _ := strings.Cut(c, "=")
		out = append(out, name)
	}
	return out
}

// rows reads the columns of each item; a column that ends in _at is shown as
// an age.
func rows(columns []string, items []map[string]any) [][]string {
	var out [][]string
	for _, item := range items {
		var row []string
		for _, c := range columns {
			name, path, named := strings.Cut(c, "=")
			if !named {
				path = name
			}
			text := field(item, path)
			if strings.HasSuffix(path, "_at") || path == "received" || path == "last_used" {
				text = age(text, time.Now())
			}
			row = append(row, text)
		}
		out = append(out, row)
	}
	return out
}

func (r resource) getOne(f *clientFlags) *cobra.Command {
	return &cobra.Command{Use: "get ID", Short: "show one as JSON", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		var got any
		if err := f.client().call(cmd.Context(), http.MethodGet, r.path+"/"+url.PathEscape(args[0]), nil, &got); err != nil {
			return err
		}
		return printJSON(cmd.OutOrStdout(), got)
	}}
}

func (r resource) remove(f *clientFlags) *cobra.Command {
	return &cobra.Command{Use: r.delete + " ID", Short: r.delete + " one", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		if err := f.client().call(cmd.Context(), http.MethodDelete, r.path+"/"+url.PathEscape(args[0]), nil, nil); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: gone\n", args[0])
		return nil
	}}
}

func newRuns() *cobra.Command {
	return resource{
		use: "runs", short: "runs: list, get", path: "/api/v1/runs", paged: true, get: true,
		columns: []string{"id", "status", "pipeline=pipeline.canonical", "number", "sha=commit.sha", "missing=incomplete", "updated=updated_at"},
		filters: []string{"status", "pipeline", "source", "sha", "branch"},
		empty:   "no runs yet; send one with \"cibridge send sample codenow\"",
	}.command(&clientFlags{})
}

func newEvents() *cobra.Command {
	var f clientFlags
	return resource{
		use: "events", short: "requests and what became of them: list, get", path: "/api/v1/events", paged: true,
		columns: []string{"id", "outcome", "source", "runs", "reason", "received"},
		filters: []string{"outcome", "source"},
		empty:   "no events yet",
	}.command(&f, newEventsGet(&f))
}

func newSources() *cobra.Command {
	var f clientFlags
	var in struct {
		ID      string   `json:"id"`
		Mapping string   `json:"mapping"`
		Auth    string   `json:"auth,omitempty"`
		Secrets []string `json:"secrets,omitempty"`
		Stale   string   `json:"stale_after,omitempty"`
	}
	var secretEnv string
	create := &cobra.Command{Use: "create", Short: "create a source", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if secretEnv != "" {
			value := os.Getenv(secretEnv)
			if value == "" {
				return fmt.Errorf("--secret-env: the variable %s is empty", secretEnv)
			}
			in.Secrets = append(in.Secrets, value)
		}
		var got map[string]any
		if err := f.client().call(cmd.Context(), http.MethodPost, "/api/v1/sources", in, &got); err != nil {
			return err
		}
		if f.json {
			return printJSON(cmd.OutOrStdout(), got)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "source %s takes %s events at POST /in/%s\n", in.ID, in.Mapping, in.ID)
		return nil
	}}
	create.Flags().StringVar(&in.ID, "id", "", "id, part of the URL /in/<id>")
	create.Flags().StringVar(&in.Mapping, "mapping", "", "name of the mapping: github-actions, gitlab, …")
	create.Flags().StringVar(&in.Auth, "auth", "", "kind of authentication, when the mapping allows several")
	create.Flags().StringVar(&secretEnv, "secret-env", "", "environment variable that holds the secret shared with the sender")
	create.Flags().StringVar(&in.Stale, "stale-after", "", "close runs as errored that had no event for so long: 24h")
	markRequired(create, "id", "mapping")
	return resource{
		use: "sources", short: "senders: list, get, create, delete", path: "/api/v1/sources", get: true, delete: "delete",
		columns: []string{"id", "mapping", "auth", "created=created_at"},
		empty:   "no sources",
	}.command(&f, create)
}

func newKeys() *cobra.Command {
	var f clientFlags
	var in struct {
		Source     string   `json:"source"`
		Name       string   `json:"name,omitempty"`
		Account    bool     `json:"account,omitempty"`
		Components []string `json:"components,omitempty"`
		ExpiresIn  string   `json:"expires_in,omitempty"`
	}
	create := &cobra.Command{
		Use: "create", Short: "create an API key; its text is shown once", Args: cobra.NoArgs,
		Example: "  cibridge keys create --source codenow --component shop --name ci --expires 90d",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.Account == (len(in.Components) > 0) {
				return errors.New("say what the key may write: --component NAME (repeatable), or --account for every component of the source")
			}
			var got map[string]any
			if err := f.client().call(cmd.Context(), http.MethodPost, "/api/v1/keys", in, &got); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), got)
			}
			fmt.Fprintln(cmd.OutOrStdout(), got["key"])
			fmt.Fprintf(cmd.ErrOrStderr(), "this is the only time the key is shown; it writes %s of source %s\n",
				cmp.Or(strings.Join(in.Components, ", "), "every component"), in.Source)
			return nil
		},
	}
	create.Flags().StringVar(&in.Source, "source", "", "source that the key sends for")
	create.Flags().StringVar(&in.Name, "name", "", "name, for people")
	create.Flags().StringSliceVar(&in.Components, "component", nil, "component that the key may write (repeatable)")
	create.Flags().BoolVar(&in.Account, "account", false, "the key may write every component of its source")
	create.Flags().StringVar(&in.ExpiresIn, "expires", "", "how long it lives: 90d, 12h (default: until it is revoked)")
	markRequired(create, "source")
	return resource{
		use: "keys", short: "API keys: list, create, revoke; rotate-encryption", path: "/api/v1/keys", get: true, delete: "revoke",
		columns: []string{"id", "name", "source", "components", "account", "expires=expires_at", "last_used"},
		empty:   "no keys; create one with \"cibridge keys create\"",
	}.command(&f, create, newRotate())
}

func newApplications() *cobra.Command {
	var f clientFlags
	type provider struct {
		Name        string `json:"name"`
		BaseURL     string `json:"base_url,omitempty"`
		AccessToken string `json:"access_token,omitempty"`
	}
	var in struct {
		Name         string   `json:"name"`
		Repositories []string `json:"repositories"`
		Pipelines    []string `json:"pipelines"`
		Provider     provider `json:"source_provider"`
	}
	var tokenEnv string
	create := &cobra.Command{
		Use: "create", Short: "tie repositories to a source provider and its token", Args: cobra.NoArgs,
		Example: "  cibridge applications create --name shop --repository acme/shop --provider github --token-env GITHUB_TOKEN",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.Provider.AccessToken = os.Getenv(tokenEnv); in.Provider.AccessToken == "" {
				return fmt.Errorf("--token-env: the variable %s is empty; it must hold the access token of the source provider", tokenEnv)
			}
			var got map[string]any
			if err := f.client().call(cmd.Context(), http.MethodPost, "/api/v1/applications", in, &got); err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), got)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "application %s (%v) covers %s\n", in.Name, got["id"], cmp.Or(strings.Join(in.Repositories, ", "), "every repository"))
			return nil
		},
	}
	create.Flags().StringVar(&in.Name, "name", "", "name, {{ application.name }} in templates")
	create.Flags().StringSliceVar(&in.Repositories, "repository", []string{}, "owner/name it covers (repeatable; none: every repository)")
	create.Flags().StringSliceVar(&in.Pipelines, "pipeline", []string{}, "pipeline it covers (repeatable; none: every pipeline)")
	create.Flags().StringVar(&in.Provider.Name, "provider", "github", "the profile that says how it is called: github, gitlab, gitea, bitbucket, bitbucket-dc, azure-devops, harness-code, gerrit")
	create.Flags().StringVar(&in.Provider.BaseURL, "base-url", "", "URL of its API (default: the provider's own)")
	create.Flags().StringVar(&tokenEnv, "token-env", "CIBRIDGE_PROVIDER_TOKEN", "environment variable that holds the access token")
	markRequired(create, "name")
	return resource{
		use: "applications", short: "repositories and their source provider: list, get, create, delete", path: "/api/v1/applications", get: true, delete: "delete",
		columns: []string{"id", "name", "repositories", "pipelines", "provider=source_provider.name", "base_url=source_provider.base_url"},
		empty:   "no applications; create one with \"cibridge applications create\"",
	}.command(&f, create)
}

func markRequired(cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was defined a few lines above
		}
	}
}
