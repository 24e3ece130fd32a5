package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"cibridge/internal/forge"
)

func newForge() *cobra.Command {
	var listen string
	var faults []string
	cmd := &cobra.Command{
		Use: "forge", Short: "a strict source provider to rehearse against", Args: cobra.NoArgs,
		Long: "forge takes commit statuses as GitHub, GitLab, Gitea, Bitbucket Cloud and Data Center, Azure DevOps, Harness Code and\n" +
			"Gerrit do, with their rules, limits and error answers, and shows what a person would see on each commit: as a page at /,\n" +
			"as JSON at /_forge/commits and /_forge/requests. Any token is accepted. It keeps everything in memory.\n\n" +
			"--fail makes it fail: <code|timeout|reset|late>[x<times>][:<state>]. 503x1:pending answers the first attempt at\n" +
			"the pending of each commit with 503.",
		Example: "  cibridge forge\n  cibridge forge --fail 503x1:pending --fail reset:success",
		RunE: func(cmd *cobra.Command, _ []string) error {
			parsed, err := forge.ParseFaults(faults)
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return failed(exitConfig, fmt.Errorf("listen: %w", err))
			}
			url := "http://" + l.Addr().String()
			fmt.Fprintf(cmd.OutOrStdout(), "forge listens on %s\n  what commits show   %s/\n  base URL            %s for every provider, %s/acme for azure-devops\n", url, url, url, url)
			return serveUntilDone(cmd.Context(), &http.Server{Handler: forge.New(forge.Config{Faults: parsed}), ReadHeaderTimeout: 5 * time.Second}, l)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8090", "host:port to listen on")
	cmd.Flags().StringArrayVar(&faults, "fail", nil, "a fault to rehearse (repeatable)")
	return cmd
}

// serveUntilDone serves until ctx ends; requests that hang are cut off.
func serveUntilDone(ctx context.Context, s *http.Server, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // closing twice is no harm
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
