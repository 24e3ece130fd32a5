package dispatch

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"cibridge/bridge"
)

// forbidden headers belong to the connection or to cibridge; a hook that
// sets one is wrong.
var forbidden = map[string]bool{
	"Host": true, "Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Te": true,
	"Trailer": true, "Upgrade": true, "Expect": true, "Keep-Alive": true,
}

func forbiddenHeader(name string) bool {
	return forbidden[name] || strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "Webhook-")
}

// A secretError says that a reference could not be resolved: not yet, it may
// be mended.
type secretError struct {
	header string
	err    error
}

func (e *secretError) Error() string {
	return fmt.Sprintf("the value of header %s is not available: %v", e.header, e.err)
}

// headers returns the headers of a delivery with that body, its references
// resolved now and known to m. The error is a *secretError when a later try may do better.
func (d *Dispatcher) headers(ctx context.Context, dl bridge.Delivery, m *masker, now time.Time) (http.Header, error) {
	h := http.Header{}
	for _, header := range dl.Headers {
		name := textproto.CanonicalMIMEHeaderKey(header.Name)
		if !httpguts.ValidHeaderFieldName(header.Name) || forbiddenHeader(name) {
			return nil, fmt.Errorf("a hook cannot set the header %q", header.Name)
		}
		var value strings.Builder
		for _, part := range header.Parts {
			text := part.Text
			if part.Ref != "" {
				var err error
				if text, err = d.reference(ctx, part.Ref, dl, m); err != nil {
					return nil, &secretError{name, err}
				}
			}
			value.WriteString(text)
		}
		if !httpguts.ValidHeaderFieldValue(value.String()) {
			return nil, fmt.Errorf("the value of header %s has a line break or another control character", name)
		}
		if secretName(name) {
			m.add(value.String())
			if _, rest, ok := strings.Cut(value.String(), " "); ok {
				m.add(rest)
			}
		}
		h[name] = append(h[name], value.String())
	}
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", "cibridge/"+d.cfg.Version) // GitHub refuses requests without one
	}
	if dl.Body != "" && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Webhook-Id", dl.ID)
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	// Not Set: in its canonical spelling net/http would take the header as
	// leave to send the request again on its own, behind the queue's back.
	delete(h, "Idempotency-Key")
	delete(h, "X-Idempotency-Key")
	h["idempotency-key"] = []string{dl.ID}
	return h, nil
}

// reference resolves ref, in the form that it asks for, and makes m mask what
// it finds.
func (d *Dispatcher) reference(ctx context.Context, ref string, dl bridge.Delivery, m *masker) (string, error) {
	if parts := strings.Split(ref, ":"); d.cfg.Sign != nil && len(parts) >= 3 && parts[2] == "hmac" {
		text, err := d.cfg.Sign(ctx, ref, []byte(dl.Body))
		if err == nil && text == "" {
			err = fmt.Errorf("%s gave an empty signature", ref)
		}
		return text, err
	}
	ref, form := cutForm(ref)
	if d.cfg.Permit != nil {
		if err := d.cfg.Permit(ref, dl.URL); err != nil {
			return "", err
		}
	}
	secret, err := d.cfg.Resolve(ctx, ref)
	if err != nil {
		return "", err
	}
	if secret == "" {
		return "", fmt.Errorf("%s is empty", ref)
	}
	m.add(secret.Reveal())
	return form(secret.Reveal()), nil
}

// secretForms are the forms in which a secret is sent, by the end of its
// reference. Package template lists the same.
var secretForms = map[string]func(secret string) string{
	":basic":         basic,
	":authorization": authorization,
}

func cutForm(ref string) (bare string, form func(string) string) {
	for end, form := range secretForms {
		if bare, ok := strings.CutSuffix(ref, end); ok {
			return bare, form
		}
	}
	return ref, func(secret string) string { return secret }
}

// basic returns the credentials of Basic for user:password; a token without a
// colon has no user.
func basic(secret string) string {
	if !strings.Contains(secret, ":") {
		secret = ":" + secret
	}
	return base64.StdEncoding.EncodeToString([]byte(secret))
}

// authorization returns scheme and credentials: a token never has a colon, and
// user:password always does.
func authorization(secret string) string {
	if strings.Contains(secret, ":") {
		return "Basic " + basic(secret)
	}
	return "Bearer " + secret
}
