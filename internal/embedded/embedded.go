// Package embedded finds or starts the Redis of cibridge dev: the one that was
// named, else a child redis-server or valkey-server from the PATH, else one in
// memory.
package embedded

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Config says where to look.
type Config struct {
	URL     string // of a running Redis; "" starts one
	DataDir string // where a child keeps its data; it must exist
	Path    string // where to look for servers, as in the PATH variable; default that variable
	Log     *slog.Logger
}

// Server is a Redis that can be used until Close.
type Server struct {
	URL string
	// Durable reports that what is stored is there after a restart.
	Durable bool
	// Kind is "redis-server 7.0.15", "in memory" or "at <url>".
	Kind string

	stop func()
	once sync.Once
}

// String says what kind of server it is, for people.
func (s *Server) String() string { return s.Kind }

// Close ends a server that Start has started. It may be called more than once.
func (s *Server) Close() { s.once.Do(s.stop) }

// programs are tried in this order; both are configured alike.
var programs = []string{"redis-server", "valkey-server"}

// startTimeout bounds how long a child may take to load its data.
const startTimeout = time.Minute

// Start returns a Redis. A child writes to disk before it answers, as
// durability strict wants it. Only one Start at a time may use a data
// directory; the child of a process that was killed is shut down first.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.URL != "" {
		return &Server{URL: cfg.URL, Durable: true, Kind: "Redis at the configured URL", stop: func() {}}, nil
	}
	for _, name := range programs {
		if file := find(name, cmp.Or(cfg.Path, os.Getenv("PATH"))); file != "" {
			return startChild(ctx, cfg, file)
		}
	}
	return startMemory()
}

// find looks a program up in a list of directories; "" when it is in none.
func find(name, path string) string {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

func startChild(ctx context.Context, cfg Config, file string) (*Server, error) {
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	socket, err := socketPath(dir)
	if err == nil {
		err = endOrphan(ctx, socket, cfg.Log)
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("start redis: %w", err)
	}
	cmd := exec.Command(file, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--logfile", filepath.Join(dir, "redis.log"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C must not reach it before we are done
	if err := cmd.Start(); err != nil {
		unlock()
		return nil, fmt.Errorf("start redis: %w", err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }() // its exit code says no more than its log
	s := &Server{URL: "unix://" + socket, Durable: true, stop: func() {
		end(cmd.Process, done)
		_ = os.Remove(filepath.Dir(socket)) // empty now, unless the child was killed
		unlock()
	}}
	version, err := ready(ctx, socket, done)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("start redis: %w; its log is %s", err, filepath.Join(dir, "redis.log"))
	}
	s.Kind = fmt.Sprintf("%s %s (child, data in %s)", filepath.Base(file), version, cfg.DataDir)
	return s, nil
}

// end asks the child to write and stop, and kills it when it does not.
func end(p *os.Process, done <-chan struct{}) {
	_ = p.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = p.Kill()
		<-done
	}
}

// lock keeps two servers off one data directory; it ends with the process.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another cibridge uses the data directory %s: stop it, or name another one with CIBRIDGE_DATA_DIR", dir)
	}
	return func() { f.Close() }, nil
}

// socketPath returns the socket of a data directory. It lies in a short
// temporary path, because a socket's may have no more than about 100
// characters, and it is the same at every start, so that an orphan is found.
func socketPath(dataDir string) (string, error) {
	sum := sha256.Sum256([]byte(dataDir))
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("cibridge-%d-%s", os.Getuid(), hex.EncodeToString(sum[:6])))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	// In a shared directory somebody else may have made it before us.
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ok || int(owner.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s is not a directory that only you can use: remove it", dir)
	}
	return filepath.Join(dir, "redis.sock"), nil
}

// endOrphan shuts down the child of a process that was killed: it still has
// the data open.
func endOrphan(ctx context.Context, socket string, log *slog.Logger) error {
	if !listens(socket) {
		return nil // nobody there
	}
	db := open(socket)
	defer db.Close()
	log.Info("shutting down the redis-server that a killed process left behind")
	db.Shutdown(ctx) // answers by closing the connection
	deadline := time.Now().Add(startTimeout)
	for listens(socket) {
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("the redis-server at %s does not shut down", socket)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// open returns a client that does not try again by itself.
func open(socket string) *redis.Client {
	return redis.NewClient(&redis.Options{Network: "unix", Addr: socket, MaxRetries: -1, DisableIdentity: true})
}

// ready waits until the child has loaded its data and returns its version.
func ready(ctx context.Context, socket string, done <-chan struct{}) (string, error) {
	db := open(socket)
	defer db.Close()
	deadline := time.After(startTimeout)
	for {
		if listens(socket) && db.Ping(ctx).Err() == nil {
			return versionOf(ctx, db)
		}
		select {
		case <-done:
			return "", errors.New("it ended at once")
		case <-deadline:
			return "", fmt.Errorf("it does not answer within %s", startTimeout)
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// listens reports whether somebody listens at a socket. The client would log
// every failed attempt.
func listens(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func versionOf(ctx context.Context, db *redis.Client) (string, error) {
	info, err := db.InfoMap(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(cmp.Or(info["Server"]["valkey_version"], info["Server"]["redis_version"])), nil
}

// startMemory starts a Redis in this process. Its keys expire only when it is
// told that time goes by.
func startMemory() (*Server, error) {
	m := miniredis.NewMiniRedis()
	password := rand.Text() // other users of this machine can reach the port
	m.RequireAuth(password)
	if err := m.Start(); err != nil {
		return nil, fmt.Errorf("start redis in memory: %w", err)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.FastForward(time.Second)
			case <-done:
				return
			}
		}
	}()
	return &Server{URL: "redis://:" + password + "@" + m.Addr(), Kind: "in memory, nothing is kept", stop: func() {
		close(done)
		<-ended
		m.Close()
	}}, nil
}
