package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// command runs a verb against a server, as an operator does.
func (s *stack) command(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), append(args, "--server", s.serve.url, "--token", adminToken), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// "events get --raw" shows what arrived, without its secrets.
func TestEventsGetRaw(t *testing.T) {
	const token = "8f21c0d94be7-a-token-of-gl"
	s, _ := newServer(t, map[string]string{"cibridge.yaml": "sources: [{id: gl, mapping: gitlab, secrets: [" + token + "]}]"})
	body := `{"object_kind":"pipeline","object_attributes":{"id":7,"status":"success","variables":[{"key":"REGION","value":"eu-1"}]},"project":{"path_with_namespace":"acme/shop"}}`
	if status, answer := s.do("POST", "/in/gl?n=1", map[string]string{"X-Gitlab-Token": token, "X-Gitlab-Event": "Pipeline Hook"}, []byte(body)); status != 202 {
		t.Fatalf("%d %s", status, answer)
	}
	var events list[struct{ ID string }]
	s.admin("GET", "/api/v1/events", nil, &events)
	id := events.Items[0].ID
	code, out, errs := s.command("events", "get", id, "--raw")
	if code != 0 || !strings.HasPrefix(out, "POST /in/gl?n=1\naccept-encoding: gzip\n") || !strings.Contains(out, "\nx-gitlab-event: Pipeline Hook\n\n"+strings.Replace(body, "eu-1", "***", 1)+"\n") {
		t.Errorf("%d %s", code, out)
	}
	if errs != "1 value shown as ***\n" {
		t.Errorf("stderr %q", errs)
	}
	_, out, _ = s.command("events", "get", id, "--raw", "--json")
	var got struct{ Redacted int }
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Redacted != 1 {
		t.Errorf("--json: %v %s", err, out)
	}
	if _, out, _ = s.command("events", "get", id); !strings.Contains(out, `"outcome": "applied"`) || strings.Contains(out, "eu-1") {
		t.Errorf("get: %s", out)
	}
	if code, _, errs = s.command("events", "get", "evt_x", "--raw"); code != exitServer || !strings.Contains(errs, "404") {
		t.Errorf("%d %s", code, errs)
	}
}
