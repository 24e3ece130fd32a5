package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// process is a child that is killed when the bench ends.
type process struct {
	cmd   *exec.Cmd
	url   string
	quiet atomic.Bool // what it writes to standard error is not shown
}

// Write takes what the process writes to standard error.
func (p *process) Write(b []byte) (int, error) {
	if p.quiet.Load() {
		return len(b), nil
	}
	return os.Stderr.Write(b)
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may be gone already
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
}

var listening = regexp.MustCompile(`https?://[0-9.:]+`)

// start runs a server that prints its URL on standard output and waits for
// that line.
func start(ctx context.Context, env []string, name string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	p := &process{cmd: cmd}
	cmd.Stderr = p
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if p.url = listening.FindString(lines.Text()); p.url != "" {
			go func() {
				for lines.Scan() {
				}
			}()
			return p, nil
		}
	}
	p.stop()
	return nil, fmt.Errorf("%s ended without printing its URL", name)
}

// startRedis runs a private redis-server with the persistence of a durability.
func startRedis(ctx context.Context, dir, fsync string) (*process, *redis.Client, error) {
	socket := filepath.Join(dir, "r.sock")
	cmd := exec.CommandContext(ctx, "redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", fsync, "--maxmemory-policy", "noeviction", "--loglevel", "warning")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start redis-server: %w; install it, bench measures on a real one", err)
	}
	db := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	p := &process{cmd: cmd, url: "unix://" + socket}
	for range 100 {
		if db.Ping(ctx).Err() == nil {
			return p, db, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.stop()
	return nil, nil, fmt.Errorf("redis-server does not answer on %s", socket)
}
