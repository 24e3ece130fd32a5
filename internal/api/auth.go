package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/apikey"
	"cibridge/internal/mapping"
)

// authKey is the kind of authentication in which the credential itself says
// which source sends. With every other kind the source is known first.
const authKey = "key"

// claim is who sent a request, proven.
type claim struct {
	source   bridge.Source
	key      string    // id of the API key, "" with other schemes
	scope    []string  // components that the sender may write; nil means all
	signedAt time.Time // when it was signed; zero when the scheme does not say
	operator bool      // a dry run by an operator, who needs no other proof
}

// evidence is what a scheme decides on.
type evidence struct {
	spec mapping.AuthSpec
	req  *http.Request
	body func() ([]byte, error) // exact bytes; only schemes that sign ask for them
	now  time.Time
}

// scheme is one kind of authentication.
type scheme struct {
	// secret says what its secrets look like, "" when it has none.
	secret string
	// check reports whether a secret has the form it needs; nil takes any.
	check func(secret string) bool
	// verify returns when the request was signed. It gets all live secrets and
	// always compares with each of them. errDenied and errors that wrap it
	// mean that the sender is not who it says; other errors come from reading
	// the body.
	verify func(e evidence, secrets []bridge.Secret) (time.Time, error)
	// ask tells a sender what is expected.
	ask func(spec mapping.AuthSpec) string
	// challenge is the WWW-Authenticate header of a 401.
	challenge string
}

// schemes has one row per kind of authentication.
var schemes = map[string]scheme{
	authKey: {
		ask: func(spec mapping.AuthSpec) string {
			return "a valid API key in " + keyHeader(spec) + ", or in Authorization as Bearer or ApiKey"
		},
		challenge: `Bearer realm="cibridge"`,
	},
	"token": {
		secret: "the token that the sender puts in its header", verify: verifyToken,
		ask: func(spec mapping.AuthSpec) string {
			if spec.Query != "" {
				return "the source's token in the query parameter " + spec.Query
			}
			return "the source's token in " + spec.Header + behind(spec.Prefix)
		},
		challenge: `Token realm="cibridge"`,
	},
	"basic": {
		secret: "user:password, with at least 8 bytes of password", check: isUserPassword, verify: verifyBasic,
		ask:       func(mapping.AuthSpec) string { return "the source's user and password in Authorization, as Basic" },
		challenge: `Basic realm="cibridge"`,
	},
	"hmac": {
		secret: "the secret that the sender signs with", verify: verifyHMAC,
		ask:       func(spec mapping.AuthSpec) string { return "a signature of the body in " + spec.Header },
		challenge: `Signature realm="cibridge"`,
	},
	"standard-webhooks": {
		secret: `the signing secret, "whsec_" and base64 of at least 16 bytes`, check: isStandardSecret, verify: verifyStandard,
		ask: func(mapping.AuthSpec) string {
			return "a signature in webhook-id, webhook-timestamp and webhook-signature"
		},
		challenge: `Signature realm="cibridge"`,
	},
	"http-signature": {
		secret: "the secret that the sender signs with", verify: verifyHTTPSignature,
		ask: func(spec mapping.AuthSpec) string {
			return "an HTTP signature (hmac-sha256) of date and digest in " + spec.Header
		},
		challenge: `Signature realm="cibridge",headers="date digest"`,
	},
	"none": {
		verify: func(evidence, []bridge.Secret) (time.Time, error) { return time.Time{}, nil },
		ask:    func(mapping.AuthSpec) string { return "nothing" },
	},
}

func behind(prefix string) string {
	if prefix == "" {
		return ""
	}
	return ", behind " + strconv.Quote(strings.TrimSpace(prefix))
}

// errDenied says that a request does not prove who sent it.
var errDenied = errors.New("not authenticated")

func denied(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errDenied}, args...)...)
}

// pick returns the spec of a kind, or the first one when no kind is asked for.
func pick(specs []mapping.AuthSpec, kind string) (mapping.AuthSpec, bool) {
	for _, spec := range specs {
		if kind == "" || spec.Kind == kind {
			return spec, true
		}
	}
	return mapping.AuthSpec{}, false
}

// schemeOf returns the one scheme that a source uses.
func (s *Server) schemeOf(src bridge.Source) (mapping.AuthSpec, error) {
	m := s.mappings.Load().Get(src.Mapping)
	if m == nil {
		return mapping.AuthSpec{}, fmt.Errorf("mapping %q of source %q is not loaded", src.Mapping, src.ID)
	}
	spec, ok := pick(m.Auth(), src.Auth)
	if !ok {
		return mapping.AuthSpec{}, fmt.Errorf("mapping %q does not allow auth %q of source %q", src.Mapping, src.Auth, src.ID)
	}
	return spec, nil
}

// authenticate finds out which of the sources that may post here sent the
// request. There is no falling back: each source has exactly one scheme.
func (s *Server) authenticate(e evidence, m *mapping.Mapping, sources []bridge.Source) (claim, error) {
	reason := errors.New("no source has mapping " + m.Name)
	var asked mapping.AuthSpec
	for _, src := range sources {
		spec, ok := pick(m.Auth(), src.Auth)
		if !ok {
			continue
		}
		e.spec = spec
		var c claim
		var err error
		if spec.Kind == authKey {
			c, err = s.byKey(e, sources)
		} else {
			c.source = src
			c.signedAt, err = verify(e, src.Secrets)
		}
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, errDenied) {
			return claim{}, err
		}
		reason, asked = err, spec
		if spec.Kind == authKey {
			break // the key was looked at for all sources
		}
	}
	if asked.Kind == "" {
		asked, _ = pick(m.Auth(), "")
	}
	kind := schemes[asked.Kind]
	return claim{}, problemf(codeUnauthenticated, "expected is %s", kind.ask(asked)).
		because(reason).with("WWW-Authenticate", kind.challenge)
}

// verify refuses secrets that are too short whatever a file or an old version
// let pass: an empty secret signs everything.
func verify(e evidence, secrets []bridge.Secret) (time.Time, error) {
	kind := schemes[e.spec.Kind]
	if kind.secret == "" {
		return kind.verify(e, nil)
	}
	var live []bridge.Secret
	for _, secret := range secrets {
		if len(secret.Reveal()) >= minSecret {
			live = append(live, secret)
		}
	}
	if len(live) == 0 {
		return time.Time{}, denied("the source has no usable secret")
	}
	return kind.verify(e, live)
}

// byKey finds the source by the API key of the request. Whatever is wrong with
// a key, the sender gets the same answer; the log has the reason.
func (s *Server) byKey(e evidence, sources []bridge.Source) (claim, error) {
	text := keyText(e.req, e.spec)
	if text == "" {
		return claim{}, denied("no API key was sent")
	}
	id, secret, err := apikey.Parse(text)
	if err != nil {
		return claim{}, denied("%w", err)
	}
	k, known := s.lookup().keys[id]
	switch matches := apikey.Match(k.Hash, secret); {
	case !known:
		return claim{}, denied("key %s is unknown", id)
	case !matches:
		return claim{}, denied("key %s has another secret", id)
	case k.Suspended:
		return claim{}, denied("key %s is suspended", id)
	case s.expired(k):
		return claim{}, denied("key %s has expired", id)
	}
	for _, src := range sources {
		if src.ID != k.Source {
			continue
		}
		if !k.Account && len(k.Components) == 0 {
			// A nil scope means every component: never by accident.
			return claim{}, problemf(codeForbidden, "this key may write no component")
		}
		return claim{source: src, key: k.ID, scope: k.Scope()}, nil
	}
	return claim{}, problemf(codeForbidden, "this key belongs to source %q, which may not post here", k.Source)
}

// keyHeader is where an API key is looked for besides Authorization.
func keyHeader(spec mapping.AuthSpec) string { return cmp.Or(spec.Header, "X-Codenow-Api-Key") }

// keyText returns the key of a request, from the key's own header or from
// Authorization with the scheme Bearer or ApiKey in any case; "" when it is
// absent, or there twice.
func keyText(r *http.Request, spec mapping.AuthSpec) string {
	e, name := evidence{req: r}, keyHeader(spec)
	own, err := e.only(name)
	switch {
	case len(r.Header.Values(name)) > 1:
		return ""
	case err == nil && !strings.EqualFold(name, "Authorization"):
		return own
	}
	shared, err := e.only("Authorization")
	if err != nil {
		return ""
	}
	kind, text, ok := strings.Cut(shared, " ")
	if !ok || !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "ApiKey") {
		return ""
	}
	return strings.TrimSpace(text)
}
