package bridge

import (
	"encoding/json"
	"log/slog"
)

// Secret is a value that must not be shown: it prints as *** in every format,
// in JSON and in logs. Reveal is the only way to its text.
type Secret string

const masked = "***"

// String returns ***.
func (Secret) String() string { return masked }

// GoString returns ***.
func (Secret) GoString() string { return masked }

// MarshalJSON returns "***", or null for an empty secret.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return json.Marshal(masked)
}

// LogValue returns ***.
func (Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// Reveal returns the text of the secret.
func (s Secret) Reveal() string { return string(s) }

// Source is one configured sender.
type Source struct {
	ID      string `json:"id"`
	Mapping string `json:"mapping"`
	// Auth is the kind of authentication, one of those that the mapping
	// allows; "" is the mapping's first.
	Auth string `json:"auth,omitempty"`
	// Secrets are the live ones: any of them authenticates. Empty for sources
	// that use API keys.
	Secrets   []Secret       `json:"secrets,omitempty"`
	Vars      map[string]any `json:"vars,omitempty"`
	Partition string         `json:"partition,omitempty"` // expression; "" is the partition main
	// StaleAfter is after how long without an event a run that is not over is
	// closed as errored, in ms; 0 is never.
	StaleAfter int64 `json:"stale_after,omitempty"`
	CreatedAt  int64 `json:"created_at,omitempty"`
	// ReadOnly marks a source that comes from a file or ships with cibridge.
	ReadOnly bool `json:"read_only,omitempty"`
}

// Key is an API key. Its secret is not in it: only the SHA-256 is kept.
type Key struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Source string `json:"source"`
	// Account lets the key write every component of its source. When false,
	// Components lists those it may write, at least one.
	Account    bool     `json:"account"`
	Components []string `json:"components,omitempty"`
	Hash       []byte   `json:"hash"`
	ExpiresAt  int64    `json:"expires_at,omitempty"` // epoch ms; 0: never
	Suspended  bool     `json:"suspended,omitempty"`
	CreatedAt  int64    `json:"created_at"`
	LastUsed   int64    `json:"last_used,omitempty"`
}

// Scope lists the components the key may write; nil means all of them.
func (k Key) Scope() []string {
	if k.Account {
		return nil
	}
	return k.Components
}

// SourceProvider is where an application's code lives.
type SourceProvider struct {
	Name        string `json:"name"`     // a profile: github, gitlab, gitea
	BaseURL     string `json:"base_url"` // of its API
	AccessToken Secret `json:"access_token"`
}

// Application ties runs to a source provider and its token. All lists that are
// given must match a run; an empty list or "*" matches any.
type Application struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	Repositories   []string       `json:"repositories"`
	Pipelines      []string       `json:"pipelines"`
	Sources        []string       `json:"sources,omitempty"`
	Components     []string       `json:"components,omitempty"`
	SourceProvider SourceProvider `json:"source_provider"`
	CreatedAt      int64          `json:"created_at"`
	UpdatedAt      int64          `json:"updated_at"`
	ReadOnly       bool           `json:"read_only,omitempty"`
}
