package hook

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cibridge/bridge"
)

// rowsOf reads the tables of the page about hooks: profile -> cells.
func rowsOf(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("../../configs/hooks/README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|(.*)\\|$").FindAllStringSubmatch(string(data), -1) {
		rows[m[1]] = strings.Split(m[2], "|")
	}
	return rows
}

// quotedIn returns what is in backquotes.
func quotedIn(cell string) []string {
	var out []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		out = append(out, m[1])
	}
	return out
}

// TestHooksPage compares the page about hooks with the profiles.
func TestHooksPage(t *testing.T) {
	profiles, rows := load(t), rowsOf(t)
	for _, name := range profiles.Names() {
		if rows[name] == nil {
			t.Errorf("the page does not know %s", name)
		}
	}
	order := []bridge.Status{bridge.Queued, bridge.Running, bridge.Succeeded, bridge.Failed, bridge.Errored, bridge.Canceled, bridge.Skipped}
	tokens := map[string]string{":basic": "token", ":authorization": "token or user:password", "": "token"}
	for name, cells := range rows {
		p := profiles.Get(name)
		if p == nil {
			t.Errorf("the page has %s, which is no profile", name)
			continue
		}
		if len(cells) == 2 { // a format
			var events []string
			for _, e := range p.Events {
				events = append(events, string(e))
			}
			if got := quotedIn(cells[1]); !slices.Equal(got, events) {
				t.Errorf("%s is sent on %v, the page says %v", name, events, got)
			}
			continue
		}
		base, err := p.Base("")
		switch said := quotedIn(cells[1]); {
		case err == nil && !slices.Equal(said, []string{base}):
			t.Errorf("%s is at %s, the page says %v", name, base, said)
		case err != nil && !strings.Contains(cells[1], "address") && !strings.Contains(cells[1], "organization"):
			t.Errorf("%s needs an address, the page says %s", name, cells[1])
		}
		var words []string
		for _, status := range order {
			word, _ := p.State(status, false)
			words = append(words, word)
		}
		if got := quotedIn(cells[3]); !slices.Equal(got, words) {
			t.Errorf("%s shows %v, the page says %v", name, words, got)
		}
		form := ""
		for _, h := range p.Headers {
			if m := regexp.MustCompile(`access_token \| ([a-z]+)\(\)`).FindStringSubmatch(h.Value); m != nil {
				form = ":" + m[1]
			}
		}
		want := tokens[form]
		if name == "gerrit" {
			want = "user:password" // it has no tokens
		}
		if strings.TrimSpace(cells[2]) != want {
			t.Errorf("%s takes %s, the page says %s", name, want, cells[2])
		}
		for a, b := range map[bridge.Status]bridge.Status{bridge.Waiting: bridge.Queued, bridge.TimedOut: bridge.Errored, bridge.Incomplete: bridge.Succeeded} {
			x, _ := p.State(a, false)
			if y, _ := p.State(b, false); x != y {
				t.Errorf("%s shows %s as %s, not as %s", name, a, x, b)
			}
		}
		if (p.WarningState != "") != (name == "gitea" || name == "azure-devops") {
			t.Errorf("%s: its word for warnings is %q", name, p.WarningState)
		}
	}
}
