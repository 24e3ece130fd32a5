package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/mapping"
)

// vector is a request that a vendor's documentation shows to be right, or that
// was signed by openssl as the documentation says.
type vector struct {
	name   string
	source string // the page
	spec   mapping.AuthSpec
	target string // of the request, "/" by default
	secret bridge.Secret
	body   string
	header [][2]string
	at     int64 // when it was signed; 0 when the scheme does not say
	proof  string
	// unsigned bodies: the scheme vouches for the sender only.
	anyBody bool
}

const slackBody = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"

func vectors() []vector {
	hub := func(name string) mapping.AuthSpec {
		return mapping.AuthSpec{Kind: "hmac", Header: name, Prefix: "sha256=", Encoding: "hex", Message: "{body}"}
	}
	standard := mapping.AuthSpec{Kind: "standard-webhooks"}
	draft := mapping.AuthSpec{Kind: "http-signature", Header: "Signature"}
	const newYear2020 = 1577836800 // Wed, 01 Jan 2020 00:00:00 GMT
	digest := [2]string{"Digest", "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="}
	date := [2]string{"Date", "Wed, 01 Jan 2020 00:00:00 GMT"}
	return []vector{
		{
			name: "GitHub", source: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation",
			spec: hub("X-Hub-Signature-256"), secret: "It's a Secret to Everybody", body: "Hello, World!", proof: "X-Hub-Signature-256",
			header: [][2]string{{"X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		},
		{
			name: "Bitbucket Cloud", source: "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
			spec: hub("X-Hub-Signature"), secret: "It's a Secret to Everybody", body: "Hello World!", proof: "X-Hub-Signature",
			header: [][2]string{{"X-Hub-Signature", "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"}},
		},
		{
			name: "CircleCI", source: "https://circleci.com/docs/webhooks/#validate-webhooks",
			spec:   mapping.AuthSpec{Kind: "hmac", Header: "circleci-signature", Pick: "v1", Encoding: "hex", Message: "{body}"},
			secret: "secret", body: "hello world", proof: "circleci-signature",
			header: [][2]string{{"circleci-signature", "v1=734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"}},
		},
		{
			name: "Slack", source: "https://api.slack.com/authentication/verifying-requests-from-slack#making__validating-a-request",
			spec:   mapping.AuthSpec{Kind: "hmac", Header: "X-Slack-Signature", Prefix: "v0=", Encoding: "hex", Message: "v0:{timestamp}:{body}", Timestamp: "X-Slack-Request-Timestamp"},
			secret: "8f742231b10e8888abcd99yyyzzz85a5", body: slackBody, at: 1531420618, proof: "X-Slack-Signature",
			header: [][2]string{{"X-Slack-Request-Timestamp", "1531420618"}, {"X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}},
		},
		{
			name: "Buildkite", source: "https://buildkite.com/docs/apis/webhooks/pipelines#webhook-signature", // its example is not a real signature
			spec:   mapping.AuthSpec{Kind: "hmac", Header: "X-Buildkite-Signature", Format: "timestamp={timestamp},signature={signature}", Encoding: "hex", Message: "{timestamp}.{body}"},
			secret: "309c9c842d8565adec5d7469160059f9", body: `{"event":"ping"}`, at: 1619071700, proof: "X-Buildkite-Signature",
			header: [][2]string{{"X-Buildkite-Signature", "timestamp=1619071700,signature=f198d52203067206f98906b6f5e1d5b1397e9bd0ba6a1a13021a7e5ebf57e144"}},
		},
		{
			name: "Standard Webhooks", source: "https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py",
			spec: standard, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", body: `{"test": 2432232314}`, at: 1614265330, proof: "webhook-signature",
			header: [][2]string{{"webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"}, {"webhook-timestamp", "1614265330"}, {"webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}},
		},
		{
			name: "GitLab, signing token", source: "https://gitlab.com/gitlab-org/gitlab/-/merge_requests/231325", // the token; no page shows a signature
			spec: standard, secret: "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=", body: `{"object_kind":"pipeline"}`, at: 1614265330, proof: "webhook-signature",
			header: [][2]string{{"webhook-id", "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"}, {"webhook-timestamp", "1614265330"}, {"webhook-signature", "v1,n956oGHZwDcyZA+Sf+1d1miM2BR+nLV1HAi6JIqhNpY="}},
		},
		{
			name: "Drone", source: "https://docs.drone.io/webhooks/overview/ (secret, date); draft-cavage-http-signatures-12, appendix C (body and digest)",
			spec: draft, secret: "bea26a2221fd8090ea38720fc445eca6", body: `{"hello": "world"}`, at: newYear2020, proof: "Signature",
			header: [][2]string{date, digest, {"Signature", `keyId="hmac-key",algorithm="hmac-sha256",signature="+mcWQCyA+sc3Vs0icGG5fbir8BJEpvo2+EzD8cuPwm0=",headers="date digest"`}},
		},
		{
			name: "Drone, in Authorization", source: "https://docs.drone.io/webhooks/overview/",
			spec: draft, secret: "bea26a2221fd8090ea38720fc445eca6", body: `{"hello": "world"}`, at: newYear2020, proof: "Authorization",
			header: [][2]string{date, digest, {"Authorization", `Signature keyId="hmac-key",algorithm="hmac-sha256",signature="+mcWQCyA+sc3Vs0icGG5fbir8BJEpvo2+EzD8cuPwm0=",headers="date digest"`}},
		},
		{
			name: "HTTP signature of target and host", source: "draft-cavage-http-signatures-12, section 2.3",
			spec: draft, secret: "bea26a2221fd8090ea38720fc445eca6", body: `{"hello": "world"}`, at: newYear2020, proof: "Signature", target: "/in/drone?x=1",
			header: [][2]string{date, digest, {"Signature", `keyId="hmac-key", headers="(request-target) host date digest", signature="PydeNN497kIsNdEv7yPfZXLwBlwnCW48pP424hv2HN0="`}},
		},
		{
			name: "GitLab, secret token", source: "https://docs.gitlab.com/user/project/integrations/webhooks/#custom-headers",
			spec: mapping.AuthSpec{Kind: "token", Header: "X-Gitlab-Token"}, secret: "mysecret", proof: "X-Gitlab-Token", anyBody: true,
			header: [][2]string{{"X-Gitlab-Token", "mysecret"}},
		},
		{
			name: "Bearer", source: "RFC 6750, section 2.1",
			spec: mapping.AuthSpec{Kind: "token", Header: "Authorization", Prefix: "Bearer "}, secret: "mF_9.B5f-4.1JqM", proof: "Authorization", anyBody: true,
			header: [][2]string{{"Authorization", "bearer mF_9.B5f-4.1JqM"}},
		},
		{
			name: "Basic", source: "RFC 7617, section 2",
			spec: mapping.AuthSpec{Kind: "basic"}, secret: "Aladdin:open sesame", proof: "Authorization", anyBody: true,
			header: [][2]string{{"Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}},
		},
	}
}

// verified runs the verifier of the vector's kind alone: some vectors have
// secrets that are too short for a source.
func (v vector) verified() error {
	target := v.target
	if target == "" {
		target = "/"
	}
	r := httptest.NewRequest(http.MethodPost, "http://ci.example"+target, nil)
	r.Header.Del("Authorization")
	for _, h := range v.header {
		r.Header.Add(h[0], h[1])
	}
	e := evidence{spec: v.spec, req: r, now: time.Unix(v.at, 0), body: func() ([]byte, error) { return []byte(v.body), nil }}
	at, err := schemes[v.spec.Kind].verify(e, []bridge.Secret{v.secret})
	if want := time.Unix(v.at, 0); err == nil && v.at != 0 && !at.Equal(want) {
		return fmt.Errorf("signed at %s, want %s", at, want)
	}
	if err == nil && v.at == 0 && !at.IsZero() {
		return fmt.Errorf("signed at %s, but nothing signs a time", at)
	}
	return err
}

// with returns the vector with other values of a header.
func (v vector) with(name string, values ...string) vector {
	var header [][2]string
	for _, h := range v.header {
		if !strings.EqualFold(h[0], name) {
			header = append(header, h)
		}
	}
	for _, value := range values {
		header = append(header, [2]string{name, value})
	}
	v.header = header
	return v
}

func (v vector) value(name string) string {
	for _, h := range v.header {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

func TestVectors(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.name, func(t *testing.T) {
			if v.source == "" {
				t.Error("no page is named")
			}
			if err := v.verified(); err != nil {
				t.Fatalf("the vector of %s is refused: %v", v.source, err)
			}
			proof := v.value(v.proof)
			refused := map[string]vector{
				"the proof is absent": v.with(v.proof), "the proof is empty": v.with(v.proof, ""),
				"the proof is doubled": v.with(v.proof, proof, proof), "only the scheme or prefix": v.with(v.proof, regexp.MustCompile(`[ =,].*`).ReplaceAllString(proof, "$0")[:2]),
				"one character is missing": v.with(v.proof, proof[:len(proof)-1]), "one is changed": v.with(v.proof, changeLast(proof)),
			}
			other := v
			other.secret = v.secret[:len(v.secret)-4] + "AAAA"
			refused["another secret"] = other
			other = v
			other.body += " "
			if v.anyBody {
				if err := other.verified(); err != nil {
					t.Errorf("the body counts: %v", err)
				}
			} else {
				refused["one byte more in the body"] = other
				other.body = strings.Replace(v.body, "e", "f", 1)
				refused["another byte in the body"] = other
				other.body = ""
				refused["no body"] = other
			}
			for _, h := range v.header {
				refused[h[0]+" is doubled"] = v.with(h[0], h[1], h[1])
				refused[h[0]+" is doubled by another"] = v.with(h[0], h[1], "x")
				refused[h[0]+" is absent"] = v.with(h[0])
			}
			for what, v := range refused {
				if err := v.verified(); !errors.Is(err, errDenied) {
					t.Errorf("%s: got %v, want it denied", what, err)
				}
			}
		})
	}
}

// changeLast changes the last letter or digit of a proof.
func changeLast(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if c := s[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			// In base64 the neighbours of the last character may be the same
			// bytes, and in hex the other case is.
			next := byte('0')
			if c == '0' {
				next = '7'
			}
			return s[:i] + string(next) + s[i+1:]
		}
	}
	return s
}

// TestReplay: a request that was recorded is refused outside the tolerance, in
// both directions, and taken within.
func TestReplay(t *testing.T) {
	for _, v := range vectors() {
		if v.at == 0 {
			continue
		}
		for _, tc := range []struct {
			late      time.Duration
			tolerance time.Duration
			ok        bool
		}{
			{5 * time.Minute, 0, true}, {5*time.Minute + time.Second, 0, false},
			{-5 * time.Minute, 0, true}, {-5*time.Minute - time.Second, 0, false},
			{2 * time.Minute, time.Minute, false}, {-2 * time.Minute, time.Minute, false},
			{50 * time.Minute, time.Hour, true}, {20 * 365 * 24 * time.Hour, time.Hour, false},
		} {
			v := v
			v.spec.Tolerance = tc.tolerance
			r := httptest.NewRequest(http.MethodPost, "http://ci.example"+v.target, nil)
			for _, h := range v.header {
				r.Header.Add(h[0], h[1])
			}
			e := evidence{spec: v.spec, req: r, now: time.Unix(v.at, 0).Add(tc.late), body: func() ([]byte, error) { return []byte(v.body), nil }}
			if _, err := schemes[v.spec.Kind].verify(e, []bridge.Secret{v.secret}); (err == nil) != tc.ok || err != nil && !errors.Is(err, errDenied) {
				t.Errorf("%s, %s late with tolerance %s: got %v, want ok %v", v.name, tc.late, tc.tolerance, err, tc.ok)
			}
		}
	}
}

// TestSeveralSecrets: each live secret counts, and one that is no secret does
// not.
func TestSeveralSecrets(t *testing.T) {
	for _, v := range vectors() {
		if len(v.secret) < minSecret {
			continue
		}
		r := httptest.NewRequest(http.MethodPost, "http://ci.example"+v.target, nil)
		for _, h := range v.header {
			r.Header.Add(h[0], h[1])
		}
		e := evidence{spec: v.spec, req: r, now: time.Unix(v.at, 0), body: func() ([]byte, error) { return []byte(v.body), nil }}
		for _, tc := range []struct {
			name    string
			secrets []bridge.Secret
			ok      bool
		}{
			{"first", []bridge.Secret{v.secret, "another:secret of some length"}, true},
			{"second", []bridge.Secret{"another:secret of some length", v.secret}, true},
			{"behind an empty one", []bridge.Secret{"", v.secret}, true},
			{"not there", []bridge.Secret{"another:secret of some length"}, false},
			{"nothing but an empty one", []bridge.Secret{""}, false},
			{"none", nil, false},
		} {
			if _, err := verify(e, tc.secrets); (err == nil) != tc.ok || err != nil && !errors.Is(err, errDenied) {
				t.Errorf("%s, %s: got %v, want ok %v", v.name, tc.name, err, tc.ok)
			}
		}
	}
}

// TestForms: what else a sender may write, and what it may not.
func TestForms(t *testing.T) {
	byName := map[string]vector{}
	for _, v := range vectors() {
		byName[v.name] = v
	}
	hub, circle, slack, kite := byName["GitHub"], byName["CircleCI"], byName["Slack"], byName["Buildkite"]
	standard, drone := byName["Standard Webhooks"], byName["Drone"]
	sig, _ := strings.CutPrefix(hub.value("X-Hub-Signature-256"), "sha256=")
	draft := drone.value("Signature")
	query := vector{spec: mapping.AuthSpec{Kind: "token", Query: "ticket"}, secret: "a ticket of some length", target: "/?ticket=a+ticket+of+some+length"}
	twice := query
	twice.target += "&ticket=x"
	for _, tc := range []struct {
		name string
		v    vector
		ok   bool
	}{
		{"hex in upper case", hub.with("X-Hub-Signature-256", "sha256="+strings.ToUpper(sig)), true},
		{"the prefix in upper case", hub.with("X-Hub-Signature-256", "SHA256="+sig), false},
		{"no prefix", hub.with("X-Hub-Signature-256", sig), false},
		{"another prefix", hub.with("X-Hub-Signature-256", "sha1="+sig), false},
		{"white space around", hub.with("X-Hub-Signature-256", " sha256="+sig+" "), true},
		{"white space within", hub.with("X-Hub-Signature-256", "sha256= "+sig), false},
		{"base64 for hex", hub.with("X-Hub-Signature-256", "sha256=dXEH6g6yUJ/CESIczpmEuKN1cLbXWGwixG9DecuLBD4X"), false},
		{"another version", circle.with("circleci-signature", "v2=734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"), false},
		{"with another version", circle.with("circleci-signature", circle.value("circleci-signature")+",v2=x"), true},
		{"the second of the version", circle.with("circleci-signature", "v1="+sig+", v1=734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"), true},
		{"a time that is not signed", slack.with("X-Slack-Request-Timestamp", "1531420619"), false},
		{"a time with a sign", slack.with("X-Slack-Request-Timestamp", "+1531420618"), false},
		{"no number", slack.with("X-Slack-Request-Timestamp", "now"), false},
		{"an absurd time", slack.with("X-Slack-Request-Timestamp", "9223372036854775807"), false},
		{"an absurd past", slack.with("X-Slack-Request-Timestamp", "-9223372036854775808"), false},
		{"more behind the format", kite.with("X-Buildkite-Signature", kite.value("X-Buildkite-Signature")+",x=1"), false},
		{"one of a list", standard.with("webhook-signature", "v1a,AAAA v1,"+strings.Repeat("A", 43)+"= "+standard.value("webhook-signature")), true},
		{"a list of others", standard.with("webhook-signature", "v1a,AAAA v2,"+strings.TrimPrefix(standard.value("webhook-signature"), "v1,")), false},
		{"another id", standard.with("webhook-id", "msg_2"), false},
		{"another algorithm", drone.with("Signature", strings.Replace(draft, "hmac-sha256", "rsa-sha256", 1)), false},
		{"digest is not signed", drone.with("Signature", strings.Replace(draft, "date digest", "date", 1)), false},
		{"date is not signed", drone.with("Signature", strings.Replace(draft, "date digest", "digest", 1)), false},
		{"no headers", drone.with("Signature", strings.Replace(draft, `,headers="date digest"`, "", 1)), false},
		{"a parameter twice", drone.with("Signature", draft+`,headers="date digest"`), false},
		{"a parameter without quotes", drone.with("Signature", draft+`,created=1577836800`), true},
		{"something else", drone.with("Signature", draft+`,!`), false},
		{"another date", drone.with("Date", "Wed, 01 Jan 2020 00:00:01 GMT"), false},
		{"a digest beside it", drone.with("Digest", "SHA-512=x, "+drone.value("Digest")), false}, // it is signed, too
		{"another digest", drone.with("Digest", "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), false},
		{"a header that is not there", drone.with("Signature", strings.Replace(draft, "date digest", "date digest x", 1)), false},
		{"another scheme", byName["Drone, in Authorization"].with("Authorization", "HMAC "+draft), false},
		{"Basic instead", drone.with("Signature").with("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), false},
		{"in the query", query, true},
		{"twice in the query", twice, false},
		{"Bearer is missing", byName["Bearer"].with("Authorization", "mF_9.B5f-4.1JqM"), false},
		{"another scheme", byName["Bearer"].with("Authorization", "Digest mF_9.B5f-4.1JqM"), false},
		{"Bearer and nothing", byName["Bearer"].with("Authorization", "Bearer "), false},
		{"no scheme of Basic", byName["Basic"].with("Authorization", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), false},
	} {
		if err := tc.v.verified(); (err == nil) != tc.ok || err != nil && !errors.Is(err, errDenied) {
			t.Errorf("%s: got %v, want ok %v", tc.name, err, tc.ok)
		}
	}
}

// TestSignedDigest: the digest is compared with the body only after the
// signature fits, and one that is signed beside others counts.
func TestSignedDigest(t *testing.T) {
	read := false
	body := func() ([]byte, error) { read = true; return []byte(`{"hello": "world"}`), nil }
	sign := func(digest string) evidence {
		r := httptest.NewRequest(http.MethodPost, "http://ci.example/", nil)
		r.Header.Set("Date", "Wed, 01 Jan 2020 00:00:00 GMT")
		r.Header.Set("Digest", digest)
		r.Header.Set("Signature", `signature="`+base64MAC("the shared secret", "date: Wed, 01 Jan 2020 00:00:00 GMT\ndigest: "+digest)+`",headers="date digest"`)
		return evidence{spec: mapping.AuthSpec{Kind: "http-signature", Header: "Signature"}, req: r, now: time.Unix(1577836800, 0), body: body}
	}
	const right = "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
	for digest, ok := range map[string]bool{
		right: true, "sha-512=x, " + right: true, strings.Replace(right, "SHA", "sha", 1): true,
		"SHA-512=x": false, "SHA-256=": false, "SHA-256=!": false, "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=": false,
	} {
		if _, err := verify(sign(digest), []bridge.Secret{"the shared secret"}); (err == nil) != ok || err != nil && !errors.Is(err, errDenied) {
			t.Errorf("%s: got %v, want ok %v", digest, err, ok)
		}
	}
	read = false
	if _, err := verify(sign(right), []bridge.Secret{"another shared secret"}); !errors.Is(err, errDenied) || read {
		t.Errorf("got %v, and the body was read: %v", err, read)
	}
}

// TestWhatMustBeSigned: a right signature of too little is none.
func TestWhatMustBeSigned(t *testing.T) {
	const date, digest = "Wed, 01 Jan 2020 00:00:00 GMT", "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
	for names, tc := range map[string]struct {
		message string
		ok      bool
	}{
		"date digest": {"date: " + date + "\ndigest: " + digest, true},
		"digest date": {"digest: " + digest + "\ndate: " + date, true},
		"date":        {"date: " + date, false},
		"digest":      {"digest: " + digest, false},
		"":            {"date: " + date, false}, // the default of the draft
	} {
		v := vector{spec: mapping.AuthSpec{Kind: "http-signature", Header: "Signature"}, secret: "the shared secret", body: `{"hello": "world"}`, at: 1577836800}
		v.header = [][2]string{{"Date", date}, {"Digest", digest}, {"Signature", `signature="` + base64MAC("the shared secret", tc.message) + `",headers="` + names + `"`}}
		if err := v.verified(); (err == nil) != tc.ok || err != nil && !errors.Is(err, errDenied) {
			t.Errorf("%q: got %v, want ok %v", names, err, tc.ok)
		}
	}
}

// TestManySignedHeaders: a sender that nobody knows yet cannot have the same
// header hashed ten thousand times.
func TestManySignedHeaders(t *testing.T) {
	for n, ok := range map[int]bool{maxSignedHeaders - 2: true, maxSignedHeaders - 1: false} {
		v := vector{spec: mapping.AuthSpec{Kind: "http-signature", Header: "Signature"}, secret: "the shared secret", body: `{"hello": "world"}`, at: 1577836800}
		const date, digest = "Wed, 01 Jan 2020 00:00:00 GMT", "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
		message := "date: " + date + "\ndigest: " + digest + strings.Repeat("\nx: y", n)
		v.header = [][2]string{{"Date", date}, {"Digest", digest}, {"X", "y"},
			{"Signature", `signature="` + base64MAC("the shared secret", message) + `",headers="date digest` + strings.Repeat(" x", n) + `"`}}
		if err := v.verified(); (err == nil) != ok || err != nil && !errors.Is(err, errDenied) {
			t.Errorf("%d headers: got %v, want ok %v", n+2, err, ok)
		}
	}
}

// TestKeyTwice: of two keys none counts, whichever header they are in.
func TestKeyTwice(t *testing.T) {
	r := newRig(t, nil)
	good := r.keys["account"]
	for name, header := range map[string]http.Header{
		"own":           {"X-Codenow-Api-Key": {good, good}},
		"own and other": {"X-Codenow-Api-Key": {"x", "y"}, "Authorization": {"Bearer " + good}},
		"authorization": {"Authorization": {"Bearer " + good, "Bearer " + good}},
	} {
		req, err := http.NewRequest(http.MethodPost, r.http.URL+"/ci/webhook", strings.NewReader(start("1", "shop")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		if a := r.do(req); a.status != http.StatusUnauthorized {
			t.Errorf("%s: status %d, want 401", name, a.status)
		}
	}
}
