package api

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"cibridge/bridge"
)

// defaultTolerance is how far a signed time may be from now.
const defaultTolerance = 5 * time.Minute

// sameText compares two texts in a time that depends on neither.
func sameText(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// anyOf reports whether match holds for one of the secrets; all are tried.
func anyOf(secrets []bridge.Secret, match func(secret string) bool) bool {
	found := false
	for _, secret := range secrets {
		if match(secret.Reveal()) {
			found = true
		}
	}
	return found
}

// only returns the value of a header that is there once. A proof that comes
// twice proves nothing: who verifies it and who uses it could each take
// another one, for instance of two webhook-ids.
func (e evidence) only(name string) (string, error) {
	return single(name, e.req.Header.Values(name))
}

func single(name string, values []string) (string, error) {
	switch {
	case len(values) > 1:
		return "", denied("%s is there %d times", name, len(values))
	case len(values) == 0 || strings.TrimSpace(values[0]) == "":
		return "", denied("%s is absent", name)
	}
	return strings.TrimSpace(values[0]), nil
}

// verifyToken checks a shared token in a header or a query parameter. The
// prefix is a scheme such as "Bearer ", in any case (RFC 9110, section 11.1).
func verifyToken(e evidence, secrets []bridge.Secret) (time.Time, error) {
	got, err := e.only(e.spec.Header)
	if e.spec.Query != "" {
		got, err = single(e.spec.Query, e.req.URL.Query()[e.spec.Query])
	}
	if err != nil {
		return time.Time{}, err
	}
	n := len(e.spec.Prefix)
	if len(got) < n || !strings.EqualFold(got[:n], e.spec.Prefix) {
		return time.Time{}, denied("the token does not start with %q", e.spec.Prefix)
	}
	if !anyOf(secrets, func(secret string) bool { return sameText(got[n:], secret) }) {
		return time.Time{}, denied("the token fits none of %d secrets", len(secrets))
	}
	return time.Time{}, nil
}

// verifyBasic checks user and password; a secret is user:password.
func verifyBasic(e evidence, secrets []bridge.Secret) (time.Time, error) {
	if _, err := e.only("Authorization"); err != nil {
		return time.Time{}, err
	}
	user, password, ok := e.req.BasicAuth()
	if !anyOf(secrets, func(secret string) bool { return sameText(user+":"+password, secret) }) || !ok {
		return time.Time{}, denied("user or password are absent or wrong")
	}
	return time.Time{}, nil
}

// verifyHMAC checks an HMAC-SHA256 of the body as the mapping describes it.
func verifyHMAC(e evidence, secrets []bridge.Secret) (time.Time, error) {
	header, err := e.only(e.spec.Header)
	if err != nil {
		return time.Time{}, err
	}
	stamp, signatures := e.signatures(header)
	if e.spec.Timestamp != "" {
		if stamp, err = e.only(e.spec.Timestamp); err != nil {
			return time.Time{}, err
		}
	}
	if len(signatures) == 0 {
		return time.Time{}, denied("%s has another form", e.spec.Header)
	}
	before, after, signsBody := strings.Cut(cmp.Or(e.spec.Message, "{body}"), "{body}")
	if !signsBody {
		return time.Time{}, denied("the mapping's message does not sign the body")
	}
	var at time.Time
	if strings.Contains(before+after, "{timestamp}") {
		if at, err = e.fresh(stamp); err != nil {
			return time.Time{}, err
		}
		before = strings.ReplaceAll(before, "{timestamp}", stamp)
		after = strings.ReplaceAll(after, "{timestamp}", stamp)
	}
	body, err := e.body()
	if err != nil {
		return time.Time{}, err
	}
	ok := anyOf(secrets, func(secret string) bool {
		return signed(secret, signatures, []byte(before), body, []byte(after))
	})
	if !ok {
		return time.Time{}, denied("the signature fits none of %d secrets", len(secrets))
	}
	return at, nil
}

// signatures reads the signed time and the decoded signatures out of the
// header: "sha256=<hex>", "timestamp=1,signature=<hex>", "v1=<hex>,v2=<hex>".
func (e evidence) signatures(header string) (stamp string, signatures [][]byte) {
	texts := []string{header}
	switch {
	case e.spec.Format != "":
		values, ok := unformat(e.spec.Format, header)
		if !ok {
			return "", nil
		}
		stamp, texts = values["timestamp"], []string{values["signature"]}
	case e.spec.Pick != "":
		texts = nil
		for _, entry := range strings.Split(header, ",") {
			name, value, ok := strings.Cut(strings.TrimSpace(entry), "=")
			if ok && name == e.spec.Pick {
				texts = append(texts, value)
			}
		}
	}
	for _, text := range texts {
		if !strings.HasPrefix(text, e.spec.Prefix) {
			continue
		}
		if raw, ok := decodeMAC(e.spec.Encoding, text[len(e.spec.Prefix):]); ok {
			signatures = append(signatures, raw)
		}
	}
	return stamp, signatures
}

// unformat reads the values of the {names} of a format out of text. A value
// ends where the literal text behind its name begins.
func unformat(format, text string) (map[string]string, bool) {
	values := map[string]string{}
	for format != "" {
		literal, rest, placeholder := strings.Cut(format, "{")
		var ok bool
		if text, ok = strings.CutPrefix(text, literal); !ok {
			return nil, false
		}
		if !placeholder {
			break
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return nil, false
		}
		next, _, _ := strings.Cut(after, "{")
		end := len(text)
		if next != "" {
			if end = strings.Index(text, next); end < 0 {
				return nil, false
			}
		}
		values[name], text, format = text[:end], text[end:], after
	}
	return values, text == ""
}

func decodeMAC(encoding, text string) ([]byte, bool) {
	var raw []byte
	var err error
	if encoding == "base64" {
		raw, err = base64.StdEncoding.DecodeString(text)
	} else {
		raw, err = hex.DecodeString(text)
	}
	return raw, err == nil && len(raw) == sha256.Size
}

// signed reports whether one of the signatures is the HMAC-SHA256 of the
// parts.
func signed(secret string, signatures [][]byte, parts ...[]byte) bool {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, part := range parts {
		mac.Write(part)
	}
	want, found := mac.Sum(nil), false
	for _, got := range signatures {
		if hmac.Equal(got, want) {
			found = true
		}
	}
	return found
}

// fresh reads a signed time in seconds or milliseconds since 1970 and refuses
// one that is too far from now: the request may have been recorded.
func (e evidence) fresh(stamp string) (time.Time, error) {
	n, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return time.Time{}, denied("the signed time is absent or not a number")
	}
	at := time.Unix(n, 0)
	if n > 1e11 {
		at = time.UnixMilli(n)
	}
	return at, e.near(at)
}

// near refuses a signed time that is further from now than the tolerance, in
// the past or in the future.
func (e evidence) near(at time.Time) error {
	tolerance := e.spec.Tolerance
	if tolerance <= 0 {
		tolerance = defaultTolerance
	}
	if off := e.now.Sub(at).Abs(); off > tolerance {
		return denied("the signed time is %s away, allowed is %s", off.Round(time.Second), tolerance)
	}
	return nil
}

// verifyStandard checks a signature as https://www.standardwebhooks.com
// describes it: HMAC-SHA256 in base64 over "<id>.<timestamp>.<body>", any of
// several "v1,<signature>" separated by spaces.
func verifyStandard(e evidence, secrets []bridge.Secret) (time.Time, error) {
	headers := [3]string{"webhook-id", "webhook-timestamp", "webhook-signature"}
	for i, name := range headers {
		var err error
		if headers[i], err = e.only(name); err != nil {
			return time.Time{}, err
		}
	}
	id, stamp := headers[0], headers[1]
	at, err := e.fresh(stamp)
	if err != nil {
		return time.Time{}, err
	}
	var signatures [][]byte
	for _, entry := range strings.Fields(headers[2]) {
		if text, ok := strings.CutPrefix(entry, "v1,"); ok {
			if raw, ok := decodeMAC("base64", text); ok {
				signatures = append(signatures, raw)
			}
		}
	}
	if len(signatures) == 0 {
		return time.Time{}, denied("webhook-signature has no v1 signature")
	}
	body, err := e.body()
	if err != nil {
		return time.Time{}, err
	}
	ok := anyOf(secrets, func(secret string) bool {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		return err == nil && len(key) >= 16 && signed(string(key), signatures, []byte(id+"."+stamp+"."), body)
	})
	if !ok {
		return time.Time{}, denied("the signature fits none of %d secrets", len(secrets))
	}
	return at, nil
}
