package main

import (
	"net/url"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/api"
	"cibridge/internal/config"
	"cibridge/internal/redact"
)

// configSecrets are the secrets that a configuration has besides those of its
// sources and applications.
func configSecrets(cfg *config.Config) []bridge.Secret {
	out := []bridge.Secret{cfg.AdminToken, cfg.ReadToken}
	for _, t := range cfg.Tokens {
		out = append(out, t.Token)
	}
	for _, key := range strings.Split(cfg.EncryptionKeys.Reveal(), ",") {
		_, text, _ := strings.Cut(key, ":")
		out = append(out, bridge.Secret(strings.TrimSpace(text)))
	}
	if u, err := url.Parse(cfg.Redis.URL.Reveal()); err == nil && u.User != nil {
		password, _ := u.User.Password()
		out = append(out, bridge.Secret(password))
	}
	return out
}

// knownSecrets returns a masker of all secrets that the server uses.
func knownSecrets(fixed []bridge.Secret, s *api.Snapshot) *redact.Masker {
	m := &redact.Masker{}
	add := func(secret bridge.Secret) {
		text := secret.Reveal()
		m.Add(text)
		// A scheme, a user name or a mark of what it is stands before some.
		for _, mark := range []string{" ", ":", "whsec_"} {
			if _, rest, ok := strings.Cut(text, mark); ok {
				m.Add(rest)
			}
		}
	}
	for _, secret := range fixed {
		add(secret)
	}
	for _, src := range s.Sources {
		for _, secret := range src.Secrets {
			add(secret)
		}
	}
	for _, a := range s.Applications {
		add(a.SourceProvider.AccessToken)
	}
	for _, h := range s.Hooks {
		add(h.Secret)
		_, query, _ := strings.Cut(h.TargetURL, "?")
		for _, pair := range strings.Split(query, "&") {
			if name, value, _ := strings.Cut(pair, "="); redact.Name(name) && !strings.Contains(value, "{{") {
				add(bridge.Secret(value))
			}
		}
		for _, header := range h.Settings.RequestHeaders {
			if redact.Name(header.Name) && !strings.Contains(header.Value, "{{") {
				add(bridge.Secret(header.Value))
			}
		}
	}
	return m
}

// known returns the secrets of this moment.
func (r *registry) known() *redact.Masker { return r.secrets.Load() }

// redactor returns what takes secrets out of the log and the log of attempts.
func (r *registry) redactor() *redact.Redactor {
	return &redact.Redactor{Known: r.known(), Names: true, Prose: true}
}
