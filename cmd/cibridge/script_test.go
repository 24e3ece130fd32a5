package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the command line as people do: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: filepath.Join(repo, "testdata", "script"), UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(e *testscript.Env) error { e.Setenv("REPO", repo); return nil }})
}

// inScript is what "exec cibridge" runs in a script.
func inScript() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
