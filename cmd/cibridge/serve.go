package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"cibridge/internal/config"
	"cibridge/internal/diag"
)

func newServe() *cobra.Command {
	var file, listen string
	cmd := &cobra.Command{
		Use: "serve", Short: "run for real (needs a Redis URL, encryption keys and an admin token)", Args: cobra.NoArgs,
		Long: "serve takes events, keeps runs in Redis and sends commit statuses, until it gets SIGTERM.\n" +
			"Settings come from the file and from the environment, which wins; configs/cibridge.yaml explains all of them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, file, listen)
			if err != nil {
				return err
			}
			if problems := cfg.ServeProblems(); len(problems) > 0 {
				return configProblems(cmd, problems)
			}
			log := newLog(cmd.ErrOrStderr(), cfg.Log.Format, cfg.Log.Level)
			s, err := start(cmd.Context(), cfg, log)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cibridge %s listens on http://%s\n", version, s.listener.Addr())
			log.Info("ready", "version", version, "listen", s.listener.Addr().String(), "durability", cfg.Redis.Durability, "mappings", len(s.mappings.Names()))
			return s.serve(cmd.Context())
		},
	}
	configFlags(cmd, &file, &listen)
	return cmd
}

func configFlags(cmd *cobra.Command, file, listen *string) {
	cmd.Flags().StringVarP(file, "config", "c", os.Getenv("CIBRIDGE_CONFIG"), "configuration file (CIBRIDGE_CONFIG)")
	cmd.Flags().StringVar(listen, "listen", "", "host:port to listen on (CIBRIDGE_LISTEN)")
}

// loadConfig reads file and environment and prints every problem.
func loadConfig(cmd *cobra.Command, file, listen string) (*config.Config, error) {
	cfg, problems := config.Load(file, os.Environ())
	if len(problems.Errors()) > 0 {
		return nil, configProblems(cmd, problems.Errors())
	}
	if listen != "" {
		cfg.Listen = listen
	}
	return cfg, nil
}

func configProblems(cmd *cobra.Command, problems diag.Problems) error {
	diag.WriteText(cmd.ErrOrStderr(), problems, readFile, isTerminal(cmd.ErrOrStderr()))
	return failed(exitConfig, errors.New("the configuration is not valid"))
}
