package embedded

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func needsRedis(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, s *Server) *redis.Client {
	t.Helper()
	opt, err := redis.ParseURL(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	opt.MaxRetries = -1
	db := redis.NewClient(opt)
	t.Cleanup(func() { db.Close() })
	return db
}

func TestAChildKeepsItsData(t *testing.T) {
	needsRedis(t)
	ctx, cfg := context.Background(), Config{DataDir: t.TempDir()}
	first := start(t, cfg)
	if !first.Durable || !strings.HasPrefix(first.Kind, "redis-server ") {
		t.Errorf("got %+v", first)
	}
	db := client(t, first)
	for setting, want := range map[string]string{"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"} {
		if got := db.ConfigGet(ctx, setting).Val()[setting]; got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if err := db.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(ctx, cfg); err == nil || !strings.Contains(err.Error(), "another cibridge uses the data directory") {
		t.Errorf("a second server on one directory: %v", err)
	}
	first.Close()
	if err := db.Ping(ctx).Err(); err == nil {
		t.Error("the child still answers after Close")
	}
	socket := strings.TrimPrefix(first.URL, "unix://")
	if _, err := os.Stat(filepath.Dir(socket)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of the socket is left behind: %v", err)
	}
	if got := client(t, start(t, cfg)).Get(ctx, "k").Val(); got != "v" {
		t.Errorf("after a restart k is %q", got)
	}
}

// TestAnOrphanIsShutDown leaves a child behind as kill -9 does: the lock is
// gone, the child is not.
func TestAnOrphanIsShutDown(t *testing.T) {
	needsRedis(t)
	ctx, dir := context.Background(), t.TempDir()
	socket, err := socketPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	orphan := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--appendonly", "yes", "--logfile", filepath.Join(dir, "log"))
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { orphan.Wait(); close(done) }()
	t.Cleanup(func() { orphan.Process.Kill(); <-done })
	if _, err := ready(ctx, socket, done); err != nil {
		t.Fatal(err)
	}
	old := open(socket)
	old.Set(ctx, "k", "v", 0)
	old.Close()
	s := start(t, Config{DataDir: dir})
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("the orphan still runs")
	}
	if got := client(t, s).Get(ctx, "k").Val(); got != "v" {
		t.Errorf("k is %q, want what the orphan had", got)
	}
}

func TestMemoryIsTheLastResort(t *testing.T) {
	ctx := context.Background()
	s := start(t, Config{DataDir: t.TempDir(), Path: t.TempDir()})
	if s.Durable {
		t.Error("memory claims to be durable")
	}
	db := client(t, s)
	if err := db.Set(ctx, "k", "v", time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for db.Exists(ctx, "k").Val() == 1 {
		if time.Now().After(deadline) {
			t.Fatal("a key of one second does not expire")
		}
		time.Sleep(50 * time.Millisecond)
	}
	bare, _, _ := strings.Cut(strings.TrimPrefix(s.URL, "redis://:"), "@")
	open := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(s.URL, "redis://:"+bare+"@"), MaxRetries: -1})
	defer open.Close()
	if errors.Is(open.Get(ctx, "k").Err(), redis.Nil) {
		t.Error("anybody on this machine can read it")
	}
}

func TestAnExplicitURLIsUsedAsItIs(t *testing.T) {
	s := start(t, Config{URL: "redis://example.test:1"})
	if s.URL != "redis://example.test:1" || !s.Durable {
		t.Errorf("got %+v", s)
	}
}

func TestASocketDirectoryOfSomebodyElseIsRefused(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	socket, err := socketPath("/data")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(socket), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := socketPath("/data"); err == nil || !strings.Contains(err.Error(), "only you can use") {
		t.Errorf("got %v", err)
	}
}
