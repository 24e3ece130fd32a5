package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAFileHereDoesNotGetTheToken: whoever works in a directory of somebody
// else must not send a token of their own to the server that a file names.
func TestAFileHereDoesNotGetTheToken(t *testing.T) {
	const own, other = "http://127.0.0.1:7777", "http://203.0.113.9:80"
	for _, tc := range []struct {
		name                   string
		file                   string // server in the file
		server, token          string // in the environment
		wantServer, wantsToken string
	}{
		{"dev alone", own, "", "", own, "dev"},
		{"a token of mine", own, "", "mine", defaultServer, "mine"},
		{"a server of mine", own, "https://ci.example", "", "https://ci.example", ""},
		{"both mine", own, "https://ci.example", "mine", "https://ci.example", "mine"},
		{"dev, by its name", own, own + "/", "", own, "dev"},
		{"not this machine", other, "", "", defaultServer, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			t.Setenv("CIBRIDGE_SERVER", tc.server)
			t.Setenv("CIBRIDGE_TOKEN", tc.token)
			if err := os.Mkdir(defaultDataDir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := writePrivate(filepath.Join(defaultDataDir, credentialsFile), credentials{Server: tc.file, Token: "dev"}); err != nil {
				t.Fatal(err)
			}
			c := (&clientFlags{}).client()
			if c.server != tc.wantServer || c.token != tc.wantsToken {
				t.Errorf("token %q goes to %s, want %q to %s", c.token, c.server, tc.wantsToken, tc.wantServer)
			}
		})
	}
}
