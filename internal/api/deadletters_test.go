package api

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
)

func TestRedeliverMany(t *testing.T) {
	r := newRig(t, nil)
	r.letters["dlv_1"] = &DeliveryStatus{Delivery: bridge.Delivery{ID: "dlv_1", Hook: "h"}, State: bridge.DeliveryDead}
	r.admin("POST", "/api/v1/deliveries/redeliver", `{"hook":"h","since":"2h","until":"2026-03-01T11:30:00Z","force":true,"dry_run":true,"limit":7,"cursor":"c"}`).is(t, 200,
		`{"dry_run":true,"counts":{"gone":0,"pending":0,"redelivered":1,"superseded":0},"items":[{"id":"dlv_1","outcome":"redelivered"}],"next":"more"}`)
	want := DeliveryFilter{
		State: bridge.DeliveryDead, Hook: "h", Since: r.clock.Add(-2 * time.Hour), Until: time.Date(2026, 3, 1, 11, 30, 0, 0, time.UTC), Page: Page{Limit: 7, Cursor: "c"},
	}
	if r.asked != want || r.how != (RedeliverOptions{Force: true, DryRun: true}) {
		t.Errorf("asked for %+v %+v, want %+v", r.asked, r.how, want)
	}
	r.admin("POST", "/api/v1/deliveries/redeliver", `{"hook":"h"}`).is(t, 200, "*")
	if r.asked.State != bridge.DeliveryDead || r.asked.Limit != 50 || r.how != (RedeliverOptions{}) {
		t.Errorf("by default asked for %+v %+v", r.asked, r.how)
	}
	for _, tc := range []struct{ body, field, detail string }{
		{`{}`, "hook", `say which deliveries: those of a \"hook\", or those \"since\" a time like \"2h\", or both`},
		{`{"hook":"h","state":"pending"}`, "state", `state is \"pending\"; it is one of dead, delivered, superseded*`},
		{`{"hook":"h","since":"yesterday"}`, "since", `since is \"yesterday\"; write how long ago, like \"2h\" or \"7d\", or a time like *`},
		{`{"hook":"h","limit":201}`, "limit", "limit is 201; it is a number from 1 to 200"},
		{`{"hok":"h"}`, "hok", `\"hok\" is not a field of this request`},
	} {
		r.admin("POST", "/api/v1/deliveries/redeliver", tc.body).is(t, 422, unprocessable(tc.field, tc.detail))
	}
	r.admin("GET", "/api/v1/deliveries?since=soon", "").is(t, 422, unprocessable("since", "since is *"))
}

func TestWaitsFor(t *testing.T) {
	got := shapeParked([]bridge.Parked{{Hook: "h", Missing: "commit.sha"}})
	if len(got) != 1 || got[0].Hook != "h" || got[0].WaitsFor != "parked for commit.sha: an event that says it sends this" {
		t.Errorf("a parked firing waits for %+v", got)
	}
	r := newRig(t, nil)
	r.letters["dlv_1"] = &DeliveryStatus{
		Delivery: bridge.Delivery{ID: "dlv_1"}, State: bridge.DeliveryPending,
		Waits: &Wait{For: "breaker", Until: r.clock, Text: "the breaker is open"},
	}
	r.admin("GET", "/api/v1/deliveries/dlv_1", "").is(t, 200, `*"waits_for":{"for":"breaker","until":"2026-03-01T12:00:00.000Z","text":"the breaker is open"}*`)
}

// TestCurl runs the commands through a shell: what arrives is what cibridge
// would send, whatever is in it, and the variables are the secrets.
func TestCurl(t *testing.T) {
	var got *http.Request
	var body string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got, body = r, string(raw)
	}))
	defer s.Close()
	nasty := "it's \"$HOME\" `id` $(id) \\ \n!! %s & ; | * ~ é \x01 ${TOKEN}"
	tests := []struct {
		name, url string
		headers   []bridge.Header
		body      string
		shown     string // a part of the command
		header    map[string]string
		path      string
	}{
		{
			"a commit status", "/repos/acme/shop/statuses/64be",
			[]bridge.Header{
				{Name: "Authorization", Parts: []bridge.Part{{Text: "Bearer "}, {Ref: "application:app1:access_token"}}},
				{Name: "X-Signature", Parts: []bridge.Part{{Text: "sha256="}, {Ref: "hook:h1:hmac:sha256"}}},
			},
			`{"state":"success"}`, `-H "Authorization: Bearer $TOKEN" -H "X-Signature: sha256=$HMAC_SHA256"`,
			map[string]string{"Authorization": "Bearer s3cret", "X-Signature": "sha256=5igned", "Content-Type": "application/json"}, "",
		},
		{
			"literal credentials", "/x?private_token=leaked&a=1",
			[]bridge.Header{
				{Name: "PRIVATE-TOKEN", Parts: []bridge.Part{{Text: "leaked"}}},
				{Name: "authorization", Parts: []bridge.Part{{Text: "Basic leaked"}}},
				{Name: "Content-Type", Parts: []bridge.Part{{Text: "text/plain"}}},
			},
			"x", "", map[string]string{"Private-Token": "pr1vate", "Authorization": "Basic auth0", "Content-Type": "text/plain"}, "/x?private_token=pr1vate&a=1",
		},
		{
			"nasty", "/a'b$(id)[1-3]{x}?q=`id`&b=$HOME", []bridge.Header{
				{Name: "X-Nasty", Parts: []bridge.Part{{Text: `it's "$HOME" $(id) !!`}}},
				{Name: "X-Mixed", Parts: []bridge.Part{{Text: `"$HOME" `}, {Ref: "application:app1:access_token"}, {Text: "after"}}},
				{Name: "X-Empty", Parts: []bridge.Part{{Text: ""}}},
			},
			nasty, "", map[string]string{"X-Nasty": `it's "$HOME" $(id) !!`, "X-Mixed": `"$HOME" s3cretafter`, "X-Empty": ""}, "",
		},
		{"a body like a file", "/", nil, "@/etc/passwd", "", nil, ""},
		{"a body with a zero", "/", nil, "a\x00b\\0101'%d", "", nil, ""},
		{"line breaks", "/", nil, "a\r\nb\n\n", "", nil, ""},
		{"a name goes on", "/", []bridge.Header{{Name: "X-A", Parts: []bridge.Part{{Ref: "application:a:access_token"}, {Text: "S"}}}}, "", `"X-A: ${TOKEN}S"`, map[string]string{"X-A": "s3cretS"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := bridge.Delivery{Method: "PUT", URL: s.URL + tt.url, Headers: tt.headers, Body: tt.body}
			command := curlOf(d)
			if strings.Contains(command, "leaked") || !strings.Contains(command, tt.shown) {
				t.Errorf("%s\nwant %s in it", command, tt.shown)
			}
			got, body = nil, ""
			sh := exec.CommandContext(t.Context(), "sh", "-euc", command+" -sS")
			sh.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "TOKEN=s3cret", "HMAC_SHA256=5igned", "PRIVATE_TOKEN=pr1vate", "AUTHORIZATION=auth0", "HOME=/wrong"}
			var stderr bytes.Buffer
			sh.Stderr = &stderr
			if err := sh.Run(); err != nil || got == nil {
				t.Fatalf("%v %s\n%s", err, stderr.String(), command)
			}
			path := tt.path
			if path == "" {
				path = tt.url
			}
			if got.RequestURI != path || got.Method != "PUT" || body != tt.body {
				t.Errorf("%s\nsent %s %s %q, want PUT %s %q", command, got.Method, got.RequestURI, body, path, tt.body)
			}
			for name, want := range tt.header {
				if v, sent := got.Header[name]; !sent || v[0] != want {
					t.Errorf("%s\nheader %s: %q, want %q", command, name, v, want)
				}
			}
		})
	}
}
