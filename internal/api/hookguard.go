package api

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"cibridge/bridge"
	"cibridge/internal/redact"
)

// This file keeps the credentials of a hook with the host that they are for.

var placeholder = regexp.MustCompile(`\{\{.*?\}\}`)

// literal returns the text of a header's value beside its placeholders, and
// without the scheme before them.
func literal(value string) string {
	text := strings.TrimSpace(placeholder.ReplaceAllString(value, ""))
	if scheme, rest, ok := strings.Cut(text, " "); ok && len(scheme) < minSecret {
		return strings.TrimSpace(rest)
	}
	return text
}

// maskQuery masks the values of parameters of a URL whose names say that they
// are secret. Placeholders stay readable.
func maskQuery(target string) string {
	base, query, ok := strings.Cut(target, "?")
	if !ok {
		return target
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil {
			plain = name
		}
		if ok && value != "" && redact.Name(plain) && !strings.Contains(value, "{{") {
			pairs[i] = name + "=" + maskedToken
		}
	}
	return base + "?" + strings.Join(pairs, "&")
}

// moves reports whether an update leads a hook to another host. An address
// without a host is wherever an application's is.
func moves(h bridge.Hook, in hookInput) bool {
	return in.TargetURL != nil && *in.TargetURL != maskQuery(h.TargetURL) && targetOrigin(*in.TargetURL) != targetOrigin(h.TargetURL)
}

// checkCredentials refuses masked values in place of real ones, and
// credentials of a hook whose host is not its own: whoever may change an
// application could have them sent to himself.
func checkCredentials(h bridge.Hook, e fieldErrors) {
	elsewhere := !strings.HasPrefix(targetOrigin(h.TargetURL), "http")
	masked := maskTemplates(h.Settings.RequestHeaders)
	for i, header := range h.Settings.RequestHeaders {
		field := fmt.Sprintf("settings.request_headers.%d.value", i)
		switch {
		case strings.Contains(header.Value, maskedToken):
			e.add(field, "the value is masked: send the value itself")
		case elsewhere && header.Value != masked[i].Value:
			e.add(field, "%s is a credential, and the host that it is for is not in target_url: write the host there, or send the application's {{ application.source_provider.access_token }}", header.Name)
		}
	}
	if _, query, _ := strings.Cut(h.TargetURL, "?"); strings.Contains(query, "="+maskedToken) {
		e.add("target_url", "a value in it is masked: send the value itself")
	}
}
