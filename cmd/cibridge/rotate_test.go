package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cibridge/internal/seal"
)

// TestRotateEncryption does what the help of the command says, on a run that is
// under way: afterwards the old key is not needed for anything.
func TestRotateEncryption(t *testing.T) {
	s := newStack(t)
	s.application("github", s.forge.url)
	s.hook(map[string]any{"name": "ci", "profile": "github"})
	events := codenow(s.key("codenow"), "rotated")
	for _, e := range []string{"start", "revision"} {
		s.post(events[e])
	}
	at := slices.IndexFunc(s.env, func(v string) bool { return strings.HasPrefix(v, "CIBRIDGE_ENCRYPTION_KEYS=") })
	old := s.env[at]
	fresh := "CIBRIDGE_ENCRYPTION_KEYS=" + seal.NewKey()

	s.env[at] = fresh + "," + strings.TrimPrefix(old, "CIBRIDGE_ENCRYPTION_KEYS=")
	s.serve.terminate()
	s.restart()
	rotate := func() string {
		path, err := program()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, "keys", "rotate-encryption")
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, s.env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if out := rotate(); !regexp.MustCompile(`^[1-9]\d* of \d+ records are newly sealed; all of them have the key "k\w+" now\n$`).MatchString(out) {
		t.Errorf("the command says %q", out)
	}
	if out := rotate(); !strings.HasPrefix(out, "0 of ") {
		t.Errorf("the second time it says %q", out)
	}

	s.env[at] = fresh
	s.serve.terminate()
	s.restart()
	for _, e := range []string{"container", "helm", "end"} {
		s.post(events[e])
	}
	eventually(t, 10*time.Second, func() error {
		if got := s.shown(shaOf("rotated")); got.State != "success" {
			return fmt.Errorf("the commit shows %+v, want success", got)
		}
		return nil
	})
}
