package hook

import (
	"strings"
	"testing"

	"cibridge/bridge"
	"cibridge/internal/provider"
)

// A token goes to its application's own host and to no other, however the
// other is written.
func TestMayReceive(t *testing.T) {
	profiles, err := provider.Load()
	if err != nil {
		t.Fatal(err)
	}
	own := bridge.Application{Name: "shop", SourceProvider: bridge.SourceProvider{Name: "gitlab", BaseURL: "https://git.acme.example/gitlab"}}
	hosted := bridge.Application{Name: "shop", SourceProvider: bridge.SourceProvider{Name: "github"}}
	for _, tt := range []struct {
		app    bridge.Application
		target string
		ok     bool
	}{
		{own, "https://git.acme.example/gitlab/api/v4/projects/1/statuses/a", true},
		{own, "https://GIT.acme.example:443/x", true},
		{own, "http://git.acme.example/x", false},
		{own, "https://git.acme.example:8443/x", false},
		{own, "https://git.acme.example.evil.test/x", false},
		{own, "https://evil.test/git.acme.example", false},
		{own, "https://git.acme.example@evil.test/x", false},
		{own, "https://gitlab.com/x", false},
		{own, "://", false},
		{own, "", false},
		{hosted, "https://api.github.com/repos/acme/shop/statuses/a", true},
		{hosted, "https://evil.test/", false},
	} {
		if err := MayReceive(tt.app, tt.target, profiles); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want ok %v", tt.target, err, tt.ok)
		}
	}
	if err := MayReceive(own, "https://evil.test/?token=x", profiles); !strings.Contains(err.Error(), `"shop" is for https://git.acme.example:443, and no longer for https://evil.test:443`) {
		t.Errorf("the reason: %v", err)
	}
}
