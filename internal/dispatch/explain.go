package dispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// explain says what a failed request met, in words that need no knowledge of
// Go's errors.
func explain(err error) string {
	var (
		dns    *net.DNSError
		op     *net.OpError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		wrap   *url.Error
	)
	if errors.As(err, &wrap) {
		err = wrap.Err // the URL is shown beside it, masked
	}
	switch {
	case errors.Is(err, errShutdown):
		return "cut short by a shutdown"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("the host %s does not exist", dns.Name)
	case errors.As(err, &dns):
		return fmt.Sprintf("the host %s could not be looked up: %s", dns.Name, dns.Err)
	case errors.As(err, &cert):
		return "the certificate is not trusted: " + cert.Err.Error()
	case errors.As(err, &record):
		return "the target does not speak TLS"
	case errors.As(err, &op) && op.Op == "dial" && op.Addr != nil:
		return fmt.Sprintf("%s cannot be reached: %v", op.Addr, op.Err)
	case errors.As(err, &op) && op.Timeout():
		return "no answer in time"
	}
	return strings.TrimPrefix(err.Error(), "net/http: ")
}

// statusText returns "201 Created", or "299" when the status has no name.
func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// short returns d for people: "2s", "1m30s", "1h".
func short(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// cut returns s, or its first n bytes and how much is missing. It does not
// cut within a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return fmt.Sprintf("%s… (%d more bytes)", s[:n], len(s)-n)
}

// printable reports whether body is text, its last character possibly cut.
func printable(body []byte) bool {
	for i := 0; i < len(body); {
		r, size := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && size <= 1 && len(body)-i >= utf8.UTFMax {
			return false
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
		i += size
	}
	return true
}
