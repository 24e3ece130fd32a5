package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"cibridge/internal/provider"
	"cibridge/internal/seal"
	"cibridge/internal/store"
)

// newRotate seals what is stored with the active key. It talks to Redis and
// not to a server, because the keys never leave the places where servers run.
func newRotate() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "rotate-encryption", Short: "seal everything in Redis with the first encryption key", Args: cobra.NoArgs,
		Long: "rotate-encryption seals everything that is stored with the first of CIBRIDGE_ENCRYPTION_KEYS.\n" +
			"To rotate: put a new key in front, restart all servers, run this with the same settings as a server,\n" +
			"take the old key out, restart. Servers may run meanwhile; running it twice does no harm.",
		Example: "  CIBRIDGE_ENCRYPTION_KEYS=\"k2:$(openssl rand -base64 32),$CIBRIDGE_ENCRYPTION_KEYS\"\n  cibridge keys rotate-encryption -c cibridge.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, file, "")
			if err != nil {
				return err
			}
			ring, err := seal.ParseRing(cfg.EncryptionKeys.Reveal())
			if err != nil {
				return failed(exitConfig, fmt.Errorf("CIBRIDGE_ENCRYPTION_KEYS: %w", err))
			}
			if cfg.Redis.URL == "" {
				return failed(exitConfig, fmt.Errorf("there is no Redis: set CIBRIDGE_REDIS_URL to the one that the servers use"))
			}
			profiles, err := provider.Load()
			if err != nil {
				return err
			}
			log := newLog(cmd.ErrOrStderr(), cfg.Log.Format, cfg.Log.Level)
			s, err := store.Open(cmd.Context(), storeConfig(cfg, ring, newRegistry(fixed{}, profiles, log), log))
			if err != nil {
				return failed(exitServer, err)
			}
			defer s.Close()
			err = reseal(cmd, s, ring)
			if err != nil {
				return failed(exitServer, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", os.Getenv("CIBRIDGE_CONFIG"), "configuration file of the servers (CIBRIDGE_CONFIG)")
	return cmd
}

func reseal(cmd *cobra.Command, s *store.Store, ring *seal.Ring) error {
	report := func(store.Resealed) {}
	if isTerminal(cmd.ErrOrStderr()) {
		report = func(r store.Resealed) {
			fmt.Fprintf(cmd.ErrOrStderr(), "\r%d looked at, %d sealed", r.Looked, r.Sealed)
		}
	}
	done, err := s.Reseal(cmd.Context(), report)
	if isTerminal(cmd.ErrOrStderr()) {
		fmt.Fprintln(cmd.ErrOrStderr())
	}
	if err != nil {
		return fmt.Errorf("%w\n%d were sealed with the key %q before; mend that and run it again", err, done.Sealed, ring.Active())
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%d of %d records are newly sealed; all of them have the key %q now\n", done.Sealed, done.Looked, ring.Active())
	return nil
}
