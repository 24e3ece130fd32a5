// Package storetest starts a private redis-server for a test: a real one, on a
// unix socket in a short temporary path, with the settings that durability
// strict needs.
package storetest

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a redis-server that belongs to one test.
type Server struct {
	t       testing.TB
	dir     string
	options []string
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
}

// Redis starts a redis-server that ends with the test. Options are given to it
// behind the usual ones: "--appendfsync", "everysec". Without a redis-server
// on PATH the test is skipped, and fails where CI is set.
func Redis(t testing.TB, options ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("redis-server is not installed: apt-get install redis-server")
		}
		t.Skip("redis-server is not installed: apt-get install redis-server")
	}
	dir, err := os.MkdirTemp("", "cb") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, options: options}
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(dir)
	})
	s.Start()
	return s
}

// URL returns where the server listens, for store.Config.
func (s *Server) URL() string { return "unix://" + s.Socket() }

// Socket returns the path of the unix socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, "s") }

// Start starts the server again after Kill or Stop, with the data it had
// written, and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	args := append([]string{
		"--port", "0", "--unixsocket", s.Socket(), "--dir", s.dir, "--save", "", "--appendonly", "yes",
		"--appendfsync", "always", "--maxmemory-policy", "noeviction", "--logfile", filepath.Join(s.dir, "log"),
	}, s.options...)
	s.cmd = exec.Command("redis-server", args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("start redis-server: %v", err)
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() {
		cmd.Wait()
		close(done)
	}()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := s.ping()
		if err == nil {
			return
		}
		select {
		case <-done:
			s.t.Fatalf("redis-server ended: %s", s.log())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("redis-server does not answer: %v\n%s", err, s.log())
		}
	}
}

// ping fails while the server is away or loads its data.
func (s *Server) ping() error {
	answer, err := s.Do("PING")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "+PONG") {
		return fmt.Errorf("%s", answer)
	}
	return nil
}

// Do sends one command, words separated by spaces, and returns the raw answer.
func (s *Server) Do(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.Socket())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return "", err
	}
	buf := make([]byte, 1<<16)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

// Written returns all that was ever written to the server, as it is on its
// disk: every key and every value, and what it has logged.
func (s *Server) Written() string {
	s.t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return all.String()
}

func (s *Server) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text)
}

// Kill ends the server with SIGKILL, as a crash does.
func (s *Server) Kill() {
	if s.done == nil {
		return // it never started
	}
	s.signal(syscall.SIGKILL)
	<-s.done
}

// Pause stops the server with SIGSTOP: it accepts and does not answer.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	select {
	case <-s.done:
	default:
		s.cmd.Process.Signal(sig)
	}
}
