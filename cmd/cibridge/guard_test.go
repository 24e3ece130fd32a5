package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// cli runs a verb against the server.
func (p *inProcess) cli(token string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	server := p.url
	if p.system.admin != nil {
		server = "http://" + p.system.admin.Addr().String()
	}
	code = run(context.Background(), append(args, "--server", server, "--token", token), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// Senders and addresses get what the configuration allows, and everything
// while Redis cannot be asked.
func TestRateLimits(t *testing.T) {
	p := newInProcess(t, `
limits: {per_key: 2/h, per_address: 3/h burst 6}
trusted_proxies: [127.0.0.0/8]
sources:
  - {id: gl, mapping: gitlab, secrets: [`+gitlabSecret+`]}
  - {id: other, mapping: gitlab, secrets: [`+gitlabSecret+`]}
`)
	post := func(from, source, token string) int {
		t.Helper()
		status, answer := p.call("POST", "/in/"+source, map[string]string{"X-Gitlab-Token": token, "X-Forwarded-For": from}, `{"object_kind":"push"}`)
		if status == 429 && !strings.Contains(answer, `"code":"E017"`) {
			t.Errorf("answer %s", answer)
		}
		return status
	}
	is := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	is("first", post("198.51.100.1", "gl", gitlabSecret), 202)
	is("second", post("198.51.100.2", "gl", gitlabSecret), 202)
	is("third, from elsewhere", post("198.51.100.3", "gl", gitlabSecret), 429)
	is("another source", post("198.51.100.3", "other", gitlabSecret), 202)
	for i := range 6 {
		is(fmt.Sprint("guess ", i), post("198.51.100.9", "gl", "a wrong token"), 401)
	}
	is("guess 7", post("198.51.100.9", "gl", "a wrong token"), 429)
	is("the right one, too late", post("198.51.100.9", "other", gitlabSecret), 429)
	is("another address", post("198.51.100.10", "other", gitlabSecret), 202)
	for range 6 {
		post("2001:db8::1", "gl", "a wrong token")
	}
	is("the same /64", post("2001:db8::ffff:1", "gl", "a wrong token"), 429)
	is("another /64", post("2001:db8:0:1::1", "gl", "a wrong token"), 401)

	p.redis.Pause()
	defer p.redis.Resume()
	began := time.Now()
	is("a guess while Redis is away", post("198.51.100.9", "gl", "a wrong token"), 401)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the question took %s", took)
	}
}

// Everybody has a token of their own; who may only look cannot change
// anything; operators may have an address of their own; what they did is told.
func TestOperators(t *testing.T) {
	const read, maren = "a-token-that-reads-0123456789", "a-token-of-maren-0123456789"
	p := newInProcess(t, `
admin_listen: 127.0.0.1:0
read_token: `+read+`
tokens: [{name: maren, token: `+maren+`, scope: admin}]
`)
	if status, answer := p.call("GET", "/api/v1/runs", map[string]string{"Authorization": "Bearer " + maren}, ""); status != http.StatusNotFound {
		t.Errorf("operators are served among senders: %d %s", status, answer)
	}
	if status, _ := p.call("POST", "/ci/webhook", nil, "{}"); status != http.StatusUnauthorized {
		t.Errorf("senders: %d", status)
	}
	create := []string{"keys", "create", "--source", "codenow", "--account", "--name", "ci"}
	if code, _, errs := p.cli(read, create...); code != exitServer || !strings.Contains(errs, `answered 403: the token "read" may look and not change anything`) {
		t.Errorf("read token: %d %s", code, errs)
	}
	if code, out, errs := p.cli(read, "keys", "list"); code != exitOK || !strings.Contains(out, "no keys") {
		t.Errorf("read token: %d %s%s", code, out, errs)
	}
	if code, out, errs := p.cli(read, "audit", "list", "--limit", "1"); code != exitOK || !strings.Contains(out, "/api/v1/keys  403") {
		t.Errorf("audit: %d %s%s", code, out, errs)
	}
	code, key, errs := p.cli(maren, create...)
	if code != exitOK {
		t.Fatalf("%d %s", code, errs)
	}
	p.cli(adminToken, "keys", "revoke", strings.TrimSpace(key))
	code, out, _ := p.cli(read, "audit", "list")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitOK || len(lines) != 4 || !strings.HasPrefix(lines[0], "AT ") {
		t.Fatalf("audit: %d %s", code, out)
	}
	for i, want := range []string{" admin  DELETE  /api/v1/keys/cib_", " maren  POST    /api/v1/keys ", " read   POST    /api/v1/keys "} {
		if !strings.Contains(lines[i+1], want) {
			t.Errorf("line %d is %q, want %q in it", i+1, lines[i+1], want)
		}
	}
	if strings.Contains(out, strings.Split(strings.TrimSpace(key), "_")[2]) {
		t.Errorf("the audit log shows the key: %s", out)
	}
	if code, _, errs := p.cli(strings.TrimSpace(key), "audit", "list"); code != exitServer || !strings.Contains(errs, "401") {
		t.Errorf("an API key: %d %s", code, errs)
	}
}
