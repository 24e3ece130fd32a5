package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/spf13/cobra"

	"cibridge/internal/config"
	"cibridge/internal/diag"
)

func newServe() *cobra.Command {
	var file, listen, profile string
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
			if s.admin != nil {
				fmt.Fprintf(cmd.OutOrStdout(), "operators reach it at http://%s\n", s.admin.Addr())
			}
			if cfg.PublicURL != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "senders reach it at %s\n", cfg.PublicURL)
			}
			log.Info("ready", "version", version, "listen", s.listener.Addr().String(), "durability", cfg.Redis.Durability, "mappings", len(s.files.names))
			stop, err := startProfile(profile)
			if err != nil {
				return err
			}
			return errors.Join(s.serve(cmd.Context()), stop())
		},
	}
	configFlags(cmd, &file, &listen)
	cmd.Flags().StringVar(&profile, "cpuprofile", "", "write a CPU profile to this file, until the end")
	return cmd
}

// startProfile begins a CPU profile and returns what ends it; an empty name
// profiles nothing.
func startProfile(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("--cpuprofile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("--cpuprofile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
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
