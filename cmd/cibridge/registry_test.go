package main

import (
	"io"
	"log/slog"
	"maps"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/provider"
	"cibridge/internal/store"
)

// The limits after which runs are closed are those of all sources, wherever
// these come from, and follow changes.
func TestStaleAfter(t *testing.T) {
	profiles, err := provider.Load()
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Hour.Milliseconds()
	r := newRegistry(fixed{sources: []bridge.Source{{ID: "file", StaleAfter: hour}, {ID: "never"}}}, profiles, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if got, want := r.StaleAfter(), map[string]time.Duration{"file": time.Hour}; !maps.Equal(got, want) {
		t.Errorf("from the file %v, want %v", got, want)
	}
	r.changed(&store.Snapshot{Sources: []bridge.Source{{ID: "file", StaleAfter: 5 * hour}, {ID: "stored", StaleAfter: 2 * hour}}})
	if got, want := r.StaleAfter(), (map[string]time.Duration{"file": time.Hour, "stored": 2 * time.Hour}); !maps.Equal(got, want) {
		t.Errorf("with a stored one %v, want %v", got, want)
	}
}
