package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"cibridge/bridge"
	"cibridge/internal/apikey"
	"cibridge/internal/config"
	"cibridge/internal/embedded"
	"cibridge/internal/seal"
)

// defaultDataDir is where dev keeps its Redis, its key and its credentials.
const defaultDataDir = ".cibridge"

func newDev() *cobra.Command {
	var file, listen string
	cmd := &cobra.Command{
		Use: "dev", Short: "everything in one process, no setup", Args: cobra.NoArgs,
		Long: "dev starts a server with a Redis of its own: a redis-server or valkey-server from the PATH, which keeps its data in\n" +
			defaultDataDir + ", else one in memory. It makes an admin token and a key for each kind of sender, and prints lines to paste.\n" +
			"The other commands find it when they are started in the same directory. Hooks may reach this machine.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, file, listen)
			if err != nil {
				return err
			}
			return dev(cmd, cfg)
		},
	}
	configFlags(cmd, &file, &listen)
	return cmd
}

func dev(cmd *cobra.Command, cfg *config.Config) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	log := newLog(cmd.ErrOrStderr(), cfg.Log.Format, cfg.Log.Level)
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return failed(exitConfig, fmt.Errorf("data directory: %w", err))
	}
	redis, err := embedded.Start(ctx, embedded.Config{URL: cfg.Redis.URL.Reveal(), DataDir: cfg.DataDir, Log: log})
	if err != nil {
		return failed(exitServer, err)
	}
	defer redis.Close()
	cfg.Redis.URL = bridge.Secret(redis.URL)
	if !redis.Durable {
		cfg.Redis.Durability = "relaxed"
	}
	cfg.EgressAllow = append(cfg.EgressAllow, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	cfg.AdminListen = "" // one address, which the other commands find
	creds, err := devCredentials(cfg)
	if err != nil {
		return failed(exitConfig, err)
	}
	s, err := start(ctx, cfg, log)
	if err != nil {
		return err
	}
	creds.Server = "http://" + reachable(s.listener.Addr())
	if err := s.seed(ctx, &creds); err != nil {
		return err
	}
	if err := writePrivate(filepath.Join(cfg.DataDir, credentialsFile), creds); err != nil {
		return err
	}
	banner(out, creds, redis)
	return s.serve(ctx)
}

// devCredentials fills in what serve would ask for, the same at every start:
// an encryption key, without which stored secrets could not be read again, and
// an admin token.
func devCredentials(cfg *config.Config) (credentials, error) {
	creds := readCredentials(filepath.Join(cfg.DataDir, credentialsFile))
	if creds.Keys == nil {
		creds.Keys = map[string]string{}
	}
	if cfg.EncryptionKeys == "" {
		ring, err := devRing(filepath.Join(cfg.DataDir, "encryption-keys"))
		if err != nil {
			return creds, err
		}
		cfg.EncryptionKeys = bridge.Secret(ring)
	}
	if cfg.AdminToken == "" {
		if creds.Token == "" {
			creds.Token = randomHex(24)
		}
		cfg.AdminToken = bridge.Secret(creds.Token)
	}
	creds.Token = cfg.AdminToken.Reveal()
	return creds, nil
}

func devRing(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err == nil {
		return string(data), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	ring := seal.NewKey()
	return ring, os.WriteFile(file, []byte(ring), 0o600)
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b)
}

// reachable is where this machine reaches a listener: one on all addresses is
// reached on loopback.
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return a.String()
}

// devSources are sources for the formats that need a secret instead of a key.
var devSources = []string{"github-actions", "gitlab"}

// seed makes a key or a secret for each kind of sender, unless an earlier
// start did and it still is in Redis.
func (s *system) seed(ctx context.Context, creds *credentials) error {
	for _, source := range seedSources {
		if !slices.Contains(s.files.names, source.Mapping) || s.hasKey(creds.Keys[source.ID]) {
			continue
		}
		text, id, hash := apikey.New()
		key := bridge.Key{ID: id, Name: "dev", Source: source.ID, Account: true, Hash: hash, CreatedAt: time.Now().UnixMilli()}
		if err := s.store.PutKey(ctx, key); err != nil {
			return err
		}
		creds.Keys[source.ID] = text
	}
	for _, id := range devSources {
		if creds.Keys[id] == "" {
			creds.Keys[id] = randomHex(24)
		}
		if !slices.Contains(s.files.names, id) || s.hasSource(id, bridge.Secret(creds.Keys[id])) {
			continue
		}
		source := bridge.Source{ID: id, Mapping: id, Secrets: []bridge.Secret{bridge.Secret(creds.Keys[id])}, CreatedAt: time.Now().UnixMilli()}
		if err := s.store.PutSource(ctx, source); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) hasKey(text string) bool {
	id, _, err := apikey.Parse(text)
	if err != nil {
		return false
	}
	for _, k := range s.store.Snapshot().Keys {
		if k.ID == id && !k.Suspended {
			return true
		}
	}
	return false
}

func (s *system) hasSource(id string, secret bridge.Secret) bool {
	return slices.ContainsFunc(s.store.Snapshot().Sources, func(src bridge.Source) bool {
		return src.ID == id && slices.Contains(src.Secrets, secret)
	})
}

// writePrivate replaces a file that only its owner may read.
func writePrivate(file string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	next := file + ".new"
	if err := os.WriteFile(next, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, file)
}

func banner(out io.Writer, c credentials, redis *embedded.Server) {
	fmt.Fprintf(out, "cibridge %s  %s\n", version, c.Server)
	fmt.Fprintf(out, "store    %s\n", redis)
	if !redis.Durable {
		fmt.Fprintf(out, "         WARNING: everything is in memory and is lost at the end; install redis-server to keep it\n")
	}
	fmt.Fprintf(out, "token    in %s; the other commands find it here\n\n", filepath.Join(defaultDataDir, credentialsFile))
	fmt.Fprintf(out, "Senders and their credentials:\n")
	for _, row := range [][3]string{
		{"codenow", "POST /ci/webhook", "X-Codenow-Api-Key: "}, {"harness-sei", "POST /v1/custom-cicd", "Authorization: Bearer "},
		{"github-actions", "POST /in/github-actions", "secret "}, {"gitlab", "POST /in/gitlab", "X-Gitlab-Token: "},
	} {
		fmt.Fprintf(out, "  %-15s %-25s %s%s\n", row[0], row[1], row[2], c.Keys[row[0]])
	}
	fmt.Fprintf(out, `
Try it:
  bin/cibridge send sample codenow
  curl -sS -H 'X-Codenow-Api-Key: %s' -H 'Content-Type: application/json' -d '{"type":"codenow.ci.start.event","version":"application/vnd.codenow.v1+json","pipelineId":"1","componentId":"shop","buildVersion":"1.0.0"}' %s/ci/webhook
  curl -sS -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '{"pipeline":"shop","instance_name":"ci","instance_guid":"1","job_full_name":"shop/main","qualified_name":"shop/main","result":"success","build_number":1,"start_time":1767225600000,"duration":60000}' %s/v1/custom-cicd
  bin/cibridge runs list

`, c.Keys["codenow"], c.Server, c.Keys["harness-sei"], c.Server)
}
