package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"cibridge/bridge"
)

// maxSignedHeaders bounds what a sender that nobody knows yet can make us
// hash: a header of 30 KB, named 10,000 times, would be 300 MB.
const maxSignedHeaders = 32

// verifyHTTPSignature checks a signature as draft-cavage-http-signatures-12
// describes it, with the one algorithm hmac-sha256:
//
//	Signature: keyId="…",algorithm="hmac-sha256",signature="<base64>",headers="date digest"
//	Digest: SHA-256=<base64>
//	Date: Wed, 01 Jan 2020 00:00:00 GMT
//
// or the same in Authorization behind "Signature". Date must be signed, because
// it tells a recorded request from a new one, and Digest, because it stands for
// the body. The signature is checked before the body is read.
func verifyHTTPSignature(e evidence, secrets []bridge.Secret) (time.Time, error) {
	params, err := e.signatureParams()
	if err != nil {
		return time.Time{}, err
	}
	if a := params["algorithm"]; a != "" && a != "hmac-sha256" {
		return time.Time{}, denied("the algorithm is %q, not hmac-sha256", a)
	}
	mac, ok := decodeMAC("base64", params["signature"])
	if !ok {
		return time.Time{}, denied("signature is not the base64 of an HMAC-SHA256")
	}
	message, err := e.signingString(strings.Fields(params["headers"]))
	if err != nil {
		return time.Time{}, err
	}
	if !anyOf(secrets, func(secret string) bool { return signed(secret, [][]byte{mac}, []byte(message)) }) {
		return time.Time{}, denied("the signature fits none of %d secrets", len(secrets))
	}
	at, err := e.date()
	if err != nil {
		return time.Time{}, err
	}
	return at, e.digest()
}

// signatureParam is one of name="text" or name=123, and what ends it.
var signatureParam = regexp.MustCompile(`^\s*([A-Za-z]+)=(?:"([^"]*)"|([0-9]+))\s*(?:,|$)`)

// signatureParams reads the parameters of the signature. A repeated one, or
// text that is none, makes all of it worthless.
func (e evidence) signatureParams() (map[string]string, error) {
	text, err := e.only(e.spec.Header)
	if len(e.req.Header.Values(e.spec.Header)) == 0 {
		var scheme string
		text, err = e.only("Authorization")
		scheme, text, _ = strings.Cut(text, " ")
		if err == nil && !strings.EqualFold(scheme, "Signature") {
			err = denied("%s is absent", e.spec.Header)
		}
	}
	if err != nil {
		return nil, err
	}
	params := map[string]string{}
	for text != "" {
		m := signatureParam.FindStringSubmatch(text)
		if m == nil {
			return nil, denied("%s has another form", e.spec.Header)
		}
		if _, twice := params[m[1]]; twice {
			return nil, denied("%s is there twice in %s", m[1], e.spec.Header)
		}
		params[m[1]], text = m[2]+m[3], text[len(m[0]):]
	}
	return params, nil
}

// signingString is what was signed: a line "name: value" for each header.
func (e evidence) signingString(names []string) (string, error) {
	for _, need := range []string{"date", "digest"} {
		if !slices.Contains(names, need) {
			return "", denied("%s is not among the signed headers", need)
		}
	}
	if len(names) > maxSignedHeaders {
		return "", denied("%d headers are signed, at most %d can be", len(names), maxSignedHeaders)
	}
	lines := make([]string, len(names))
	for i, name := range names {
		value, err := e.signedValue(name)
		if err != nil {
			return "", err
		}
		lines[i] = name + ": " + value
	}
	return strings.Join(lines, "\n"), nil
}

func (e evidence) signedValue(name string) (string, error) {
	switch name {
	case "(request-target)":
		return strings.ToLower(e.req.Method) + " " + e.req.URL.RequestURI(), nil
	case "host":
		return e.req.Host, nil
	}
	return e.only(name)
}

// date returns the signed time, unless it is too far away.
func (e evidence) date() (time.Time, error) {
	text, err := e.only("Date")
	if err != nil {
		return time.Time{}, err
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}, denied("Date is not a time of HTTP")
	}
	return at, e.near(at)
}

// digest compares the body with its SHA-256 in Digest (RFC 3230), which may
// list others beside it.
func (e evidence) digest() error {
	text, err := e.only("Digest")
	if err != nil {
		return err
	}
	for _, entry := range strings.Split(text, ",") {
		algorithm, sum, _ := strings.Cut(strings.TrimSpace(entry), "=")
		if !strings.EqualFold(algorithm, "SHA-256") {
			continue
		}
		want, err := base64.StdEncoding.DecodeString(sum)
		if err != nil {
			return denied("the SHA-256 in Digest is not base64")
		}
		body, err := e.body()
		if err != nil {
			return err
		}
		if got := sha256.Sum256(body); subtle.ConstantTimeCompare(got[:], want) != 1 {
			return denied("the body does not fit its Digest")
		}
		return nil
	}
	return denied("Digest has no SHA-256")
}
