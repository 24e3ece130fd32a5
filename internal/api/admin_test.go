package api

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
)

// unprocessable is the 422 of an operator's request with one field that is
// wrong.
func unprocessable(field, detail string) string {
	return `{"type":"urn:cibridge:error:E025","title":"The request is not valid","status":422,"code":"E025","detail":"` + detail +
		`","errors":{"` + field + `":["` + detail + `"]}}`
}

func TestSources(t *testing.T) {
	r := newRig(t, nil)
	shown := `{"id":"gh","mapping":"github-actions","auth":"hmac","secrets":1,"vars":{},"stale_after":"","routes":["POST /in/gh"],"urls":[],"read_only":false,"created_at":"2026-03-01T12:00:00.000Z"}`
	a := r.admin("POST", "/api/v1/sources", `{"id":"gh","mapping":"github-actions","secrets":["a good secret"]}`)
	a.is(t, 201, shown)
	if got := a.header.Get("Location"); got != "/api/v1/sources/gh" {
		t.Errorf("Location %q", got)
	}
	r.admin("GET", "/api/v1/sources/gh", "").is(t, 200, shown)
	if body := r.admin("GET", "/api/v1/sources", "").body; strings.Contains(body, "secret\"") || strings.Contains(body, githubSecret) || !strings.Contains(body, shown) {
		t.Errorf("list %s", body)
	}
	r.send("POST", "/in/gh", "{}", "X-Hub-Signature-256", "sha256="+hexMAC("a good secret", "{}")).is(t, 202, "*")
	r.admin("GET", "/api/v1/sources/codenow", "").is(t, 200, `{"id":"codenow",*"auth":"key","secrets":0,"vars":{},"stale_after":"","routes":["POST /ci/webhook","POST /in/codenow"],"urls":[],"read_only":true,*}`)

	// An update without secrets keeps them.
	r.admin("PUT", "/api/v1/sources/gh", `{"mapping":"github-actions","vars":{"x":1}}`).is(t, 200, strings.Replace(shown, `"vars":{}`, `"vars":{"x":1}`, 1))
	r.send("POST", "/in/gh", `{"a":1}`, "X-Hub-Signature-256", "sha256="+hexMAC("a good secret", `{"a":1}`)).is(t, 202, "*")
	r.admin("PUT", "/api/v1/sources/gh", `{"mapping":"github-actions","secrets":["another secret"]}`).is(t, 200, shown)
	r.send("POST", "/in/gh", "{}", "X-Hub-Signature-256", "sha256="+hexMAC("a good secret", "{}")).is(t, 401, "*")

	for _, tc := range []struct{ body, field, detail string }{
		{`{"id":"Gh","mapping":"none"}`, "id", `the id is \"Gh\"; *`},
		{`{"id":"x","mapping":"github-action","secrets":["a good secret"]}`, "mapping", `there is no mapping \"github-action\", there are *; did you mean \"github-actions\"?`},
		{`{"id":"x","mapping":"gitlab","auth":"hmac","secrets":["a good secret"]}`, "auth", `mapping gitlab allows token, standard-webhooks, not \"hmac\"`},
		{`{"id":"x","mapping":"gitlab"}`, "secrets", `auth token needs at least one secret: the token that the sender puts in its header`},
		{`{"id":"x","mapping":"gitlab","secrets":[]}`, "secrets", `auth token needs at least one secret: *`},
		{`{"id":"x","mapping":"gitlab","secrets":["a good secret",""]}`, "secrets.1", `the secret has 0 bytes; at least 8 are needed`},
		{`{"id":"x","mapping":"gitlab","secrets":["short"]}`, "secrets.0", `the secret has 5 bytes; at least 8 are needed`},
		{`{"id":"x","mapping":"gitlab","auth":"standard-webhooks","secrets":["no base64 at all"]}`, "secrets.0", `auth standard-webhooks needs the signing secret, *`},
		{`{"id":"x","mapping":"basic","secrets":["no password"]}`, "secrets.0", `auth basic needs user:password, with at least 8 bytes of password`},
		{`{"id":"x","mapping":"codenow","secrets":["a good secret"]}`, "secrets", `auth key takes no secrets`},
		{`{"id":"x","mapping":"none","secret":"a good secret"}`, "secret", `\"secret\" is not a field of this request`},
		{`{"id":"x","mapping":"none","stale_after":"soon"}`, "stale_after", `\"soon\" is not a duration of at least 1m0s; write it as \"24h\" or \"90m\", or \"\" for never`},
		{`{"id":"x","mapping":"none","stale_after":"1s"}`, "stale_after", `\"1s\" is not a duration *`},
		{`{"id":"x","mapping":"none","vars":"x"}`, "vars", `vars is a string, but must be an object`},
	} {
		r.admin("POST", "/api/v1/sources", tc.body).is(t, 422, unprocessable(tc.field, tc.detail))
	}
	r.admin("PUT", "/api/v1/sources/gh", `{"mapping":"github-actions","stale_after":"36h"}`).is(t, 200, `*"stale_after":"36h0m0s"*`)
	r.admin("POST", "/api/v1/sources", `{"id":"gh","mapping":"none"}`).is(t, 409, `*"detail":"source \"gh\" exists already; PUT /api/v1/sources/gh changes it"*`)
	r.admin("PUT", "/api/v1/sources/gh", `{"id":"other","mapping":"none"}`).is(t, 422, `*`)
	r.admin("PUT", "/api/v1/sources/codenow", `{"mapping":"none"}`).is(t, 403, `*"detail":"source \"codenow\" ships with cibridge or comes from a file and cannot be changed here"*`)
	r.admin("DELETE", "/api/v1/sources/native", "").is(t, 409, `*"detail":"source \"native\" still has the keys *: delete them first"*`)
	r.admin("DELETE", "/api/v1/sources/gh", "").is(t, 204, "")
	r.admin("GET", "/api/v1/sources/gh", "").is(t, 404, `*"code":"E024","detail":"there is no source \"gh\"*`)
	r.admin("POST", "/api/v1/sources", `{"id":`).is(t, 400, `*"code":"E001","detail":"line 1, column *"line":1,"column":*}`)
}

func TestKeyRoutes(t *testing.T) {
	r := newRig(t, nil)
	a := r.admin("POST", "/api/v1/keys", `{"source":"codenow","components":["shop"],"name":"ci","expires_in":"90d"}`)
	a.is(t, 201, `{"key":"cib_*","id":"*","name":"ci","source":"codenow","account":false,"components":["shop"],"status":"active","expires_at":"2026-05-30T12:00:00.000Z","created_at":"2026-03-01T12:00:00.000Z","last_used":null}`)
	made := a.json(t)
	text, id := made["key"].(string), made["id"].(string)
	r.keys["made"] = text
	r.codenow("made", start("1", "shop")).is(t, 200, "*")
	r.codenow("made", start("2", "cart")).is(t, 403, "*")
	list := r.admin("GET", "/api/v1/keys?source=codenow", "").body
	if strings.Contains(list, text) || strings.Contains(list, `"hash"`) || strings.Contains(list, `"key"`) || !strings.Contains(list, id) || strings.Contains(list, "harness-sei") {
		t.Errorf("list %s", list)
	}
	r.admin("GET", "/api/v1/keys/"+id, "").is(t, 200, `{"id":"`+id+`",*"last_used":"2023-11-14T22:13:20.000Z"}`)

	r.admin("POST", "/api/v1/keys/"+id+"/suspend", "").is(t, 200, `*"status":"suspended"*`)
	r.codenow("made", start("3", "shop")).is(t, 401, "*")
	r.admin("POST", "/api/v1/keys/"+id+"/resume", "").is(t, 200, `*"status":"active"*`)
	r.codenow("made", start("3", "shop")).is(t, 200, "*")
	r.clock = r.clock.Add(90 * 24 * time.Hour)
	r.codenow("made", start("4", "shop")).is(t, 401, "*")
	r.admin("GET", "/api/v1/keys/"+id, "").is(t, 200, `*"status":"expired"*`)
	r.admin("DELETE", "/api/v1/keys/"+id, "").is(t, 204, "")
	r.admin("DELETE", "/api/v1/keys/"+id, "").is(t, 404, `*"detail":"there is no key \"`+id+`\""*`)

	for _, tc := range []struct{ body, field, detail string }{
		{`{"source":"codenow"}`, "components", `name the components that the key may write, or say \"account\": true for all of them`},
		{`{"source":"codenow","account":true,"components":["shop"]}`, "account", `a key has either \"account\": true, for all components, or \"components\", not both`},
		{`{"source":"codenow","components":["*"]}`, "components.0", `a component has a name; \"account\": true is for all of them`},
		{`{"source":"codenow","components":[" "]}`, "components.0", `a component has a name; \"account\": true is for all of them`},
		{`{"source":"codenov","account":true}`, "source", `there is no source \"codenov\"; did you mean \"codenow\"?`},
		{`{"source":"gitlab","account":true}`, "source", `source \"gitlab\" authenticates by token, not by API keys`},
		{`{"source":"codenow","account":true,"expires_in":"soon"}`, "expires_in", `expires_in is \"soon\"; write a time like \"90d\", \"12w\" or \"36h\", at most ten years`},
		{`{"source":"codenow","account":true,"expires_in":"-1h"}`, "expires_in", `*`},
		{`{"source":"codenow","account":true,"expires_in":"281474976710657d"}`, "expires_in", `*`},
	} {
		r.admin("POST", "/api/v1/keys", tc.body).is(t, 422, unprocessable(tc.field, tc.detail))
	}
	r.admin("POST", "/api/v1/keys", `{"source":"codenow","account":true}`).is(t, 201, `*"account":true,"components":[],"status":"active","expires_at":null*`)
}

func TestApplications(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.CheckURL = func(_ context.Context, u string) error {
			if strings.Contains(u, "//10.") {
				return errors.New("a private address")
			}
			return nil
		}
	})
	a := r.admin("POST", "/api/v1/applications", `{"name":"shop","repositories":["acme/shop"],"pipelines":["*"],"source_provider":{"name":"github","base_url":"https://git.example/api/v3/","access_token":"ghp_secret"}}`)
	shown := `{"id":"app_*","name":"shop","repositories":["acme/shop"],"pipelines":["*"],"sources":[],"components":[],"source_provider":{"name":"github","base_url":"https://git.example/api/v3","access_token":"***"},"read_only":false,"created_at":"2026-03-01T12:00:00.000Z","updated_at":"*"}`
	a.is(t, 201, shown)
	id := a.json(t)["id"].(string)
	path := "/api/v1/applications/" + id
	token := func() string { return r.server.lookup().applications[id].SourceProvider.AccessToken.Reveal() }
	if token() != "ghp_secret" {
		t.Fatalf("the stored token has %d bytes", len(token()))
	}
	r.admin("GET", path, "").is(t, 200, shown)
	if body := r.admin("GET", "/api/v1/applications", "").body; strings.Contains(body, "ghp_") || !like(body, `{"items":[`+shown+`],"next":null}`) {
		t.Errorf("list %s", body)
	}

	provider := func(base, token string) string {
		return `{"name":"shop","source_provider":{"name":"github","base_url":"` + base + `"` + token + `}}`
	}
	r.admin("PUT", path, provider("https://git.example/other", "")).is(t, 200, `*"repositories":[]*"base_url":"https://git.example/other","access_token":"***"*`)
	r.admin("PUT", path, provider("https://git.example/other", `,"access_token":"***"`)).is(t, 200, "*")
	if token() != "ghp_secret" {
		t.Error("an update without a token lost it")
	}
	again := "the provider or its address has changed: send the token again, so that it cannot be led to another host"
	r.admin("PUT", path, provider("https://evil.test", "")).is(t, 422, unprocessable("source_provider.access_token", again))
	r.admin("PUT", path, provider("https://evil.test", `,"access_token":"***"`)).is(t, 422, unprocessable("source_provider.access_token", again))
	r.admin("PUT", path, strings.Replace(provider("https://git.example/other", ""), "github", "gitlab", 1)).is(t, 422, unprocessable("source_provider.access_token", again))
	r.admin("PUT", path, provider("https://other.example", `,"access_token":"ghp_new"`)).is(t, 200, "*")
	if token() != "ghp_new" {
		t.Error("the new token was not stored")
	}

	for _, tc := range []struct{ body, field, detail string }{
		{`{"source_provider":{"name":"github","access_token":"x"}}`, "name", "the name is missing"},
		{`{"name":"x","source_provider":{"name":"githup","access_token":"x"}}`, "source_provider.name", `the source provider is \"githup\"; known are *; did you mean \"github\"?`},
		{`{"name":"x","source_provider":{"name":"github"}}`, "source_provider.access_token", "the token is missing"},
		{`{"name":"x","source_provider":{"name":"github","access_token":"***"}}`, "source_provider.access_token", "the token is missing"},
		{`{"name":"x","source_provider":{"name":"github","access_token":"a\nb"}}`, "source_provider.access_token", "the token holds a line break or another control character"},
		{`{"name":"x","source_provider":{"name":"github","base_url":"git.example","access_token":"x"}}`, "source_provider.base_url", "the address is not one like *"},
		{`{"name":"x","source_provider":{"name":"github","base_url":"https://u:p@git.example","access_token":"x"}}`, "source_provider.base_url", "the address is not one like *"},
		{`{"name":"x","source_provider":{"name":"github","base_url":"http://10.0.0.1/","access_token":"x"}}`, "source_provider.base_url", "a private address"},
	} {
		r.admin("POST", "/api/v1/applications", tc.body).is(t, 422, unprocessable(tc.field, tc.detail))
	}
	r.admin("DELETE", path, "").is(t, 204, "")
	r.admin("GET", path, "").is(t, 404, "*")
	if log := r.log.String(); strings.Contains(log, "ghp_") || !strings.Contains(log, "method=DELETE path="+path+" status=204") {
		t.Errorf("log:\n%s", log)
	}
}

func TestReads(t *testing.T) {
	r := newRig(t, nil)
	r.codenow("account", start("1", "shop"))
	r.codenow("account", `{"type":"codenow.ci.end.event","pipelineId":"1","result":"FAILED","createdAt":"2026-03-01T11:05:00Z"}`)
	r.codenow("account", start("2", "shop"))
	first, pipeline := bridge.RunID(0, "codenow", "1"), bridge.PipelineID("codenow/shop")

	run := `{"artifacts":[],"attempt":1,"component":"shop","created_at":"2026-03-01T12:00:00Z","duration_ms":300000,"finished_at":"2026-03-01T11:05:00Z","id":"` + first + `",*"status":"failed"*}`
	r.admin("GET", "/api/v1/runs?status=failed", "").is(t, 200, `{"items":[`+run+`],"next":null}`)
	r.admin("GET", "/api/v1/runs?limit=1", "").is(t, 200, `{"items":[{*}],"next":"more"}`)
	r.admin("GET", "/api/v1/runs/"+first, "").is(t, 200, `*"id":"`+first+`"*"parked":[]*"skipped_hooks":[]*`)
	r.admin("GET", "/api/v1/runs/run_x", "").is(t, 404, `{"type":"urn:cibridge:error:E024","title":"There is no such thing","status":404,"code":"E024","detail":"there is no run \"run_x\""}`)
	r.admin("GET", "/api/v1/runs?status=fialed", "").is(t, 422, unprocessable("status", `status is \"fialed\"; it is one of queued, running, *incomplete; did you mean \"failed\"?`))
	r.admin("GET", "/api/v1/runs?state=failed", "").is(t, 422, unprocessable("state", `\"state\" is not a parameter of this route, it knows status, *; did you mean \"status\"?`))
	r.admin("GET", "/api/v1/runs?limit=201", "").is(t, 422, unprocessable("limit", `limit is \"201\"; it is a number from 1 to 200`))

	event := r.ledger()[0]
	shown := `{"id":"` + event.ID + `","source":"codenow","mapping":"codenow","received":"2026-03-01T12:00:00Z","method":"POST","path":"/ci/webhook","outcome":"applied","runs":["` + first + `"],"bytes":*}`
	r.admin("GET", "/api/v1/events/"+event.ID, "").is(t, 200, shown)
	r.admin("GET", "/api/v1/runs/"+first+"/events", "").is(t, 200, `{"items":[`+shown+`,{*}],"next":null}`)
	r.admin("GET", "/api/v1/events?outcome=rejected", "").is(t, 200, `{"items":[],"next":null}`)
	r.codenow("account", "{")
	r.admin("GET", "/api/v1/events?outcome=rejected", "").is(t, 200, `{"items":[{*"outcome":"rejected","reason":"E001: *","code":400,"runs":[],*}],"next":null}`)
	r.admin("GET", "/api/v1/pipelines", "").is(t, 200, `{"items":[{"id":"`+pipeline+`","name":"codenow/shop","source":"codenow","last_run":"*"},*],"next":null}`)
	r.admin("GET", "/api/v1/mappings", "").is(t, 200, `*{"name":"codenow","title":"CodeNOW external CI events (start, result, end)","file":"codenow.yaml","shipped":true,"strict":true,"auth":["key"],`+
		`"routes":["POST /ci/webhook"],"events":["start",*],"sources":["codenow"],"tests":0}*],"next":null,"generation":1,*`)
}

func TestDeliveries(t *testing.T) {
	r := newRig(t, nil)
	r.codenow("account", start("1", "shop"))
	run := bridge.RunID(0, "codenow", "1")
	delivery := bridge.Delivery{
		ID: "dlv_1", Run: run, Hook: "h", Pipeline: "pl_1", Trigger: bridge.ActionStarted, Firing: bridge.Firing{Attempt: 1, Status: bridge.Running},
		Method: "POST", URL: "https://api.example/x", Body: `{"a":1}`, Headers: []bridge.Header{{Name: "Private-Token", Parts: []bridge.Part{{Text: "plain"}}}},
	}
	r.letters["dlv_1"] = &DeliveryStatus{Delivery: delivery, State: bridge.DeliveryDead, Reason: "401 Unauthorized", Tries: 1, Updated: r.clock}
	superseded := delivery
	superseded.ID = "dlv_2"
	r.letters["dlv_2"] = &DeliveryStatus{Delivery: superseded, State: bridge.DeliverySuperseded, Next: r.clock}
	r.attempts = []bridge.Attempt{{ID: "att_1", Delivery: "dlv_1", At: r.clock.UnixMilli(), DurationMS: 12, Status: 401, Body: "no", Verdict: bridge.VerdictDead, Reason: "401 Unauthorized"}}

	shown := `"id":"dlv_1","run":"` + run + `","hook":"h","pipeline":"pl_1","trigger":"action.started","attempt":1,"status":"running","state":"dead","reason":"401 Unauthorized","tries":1,"next_try_at":null,"waits_for":null,"updated_at":"2026-03-01T12:00:00.000Z","method":"POST","url":"https://api.example/x","notes":[]`
	r.admin("GET", "/api/v1/deliveries?state=dead", "").is(t, 200, `{"items":[{`+shown+`}],"next":null}`)
	r.admin("GET", "/api/v1/deliveries", "").is(t, 200, `{"items":[{`+shown+`},{"id":"dlv_2",*}],"next":null}`)
	r.admin("GET", "/api/v1/deliveries?state=superseded", "").is(t, 200, `{"items":[{"id":"dlv_2",*"next_try_at":"2026-03-01T12:00:00.000Z"*}],"next":null}`)
	r.admin("GET", "/api/v1/runs/"+run+"/deliveries", "").is(t, 200, `{"items":[{`+shown+`},{"id":"dlv_2",*}],"next":null}`)
	r.admin("GET", "/api/v1/deliveries/dlv_1", "").is(t, 200, `{`+shown+`,"request":{"headers":{"Private-Token":"***"},"body":{"a":1}},"attempts":[{"id":"att_1","at":"2026-03-01T12:00:00.000Z","duration_ms":12,"method":"","url":"","request_headers":{},"request_body":null,"response_status_code":401,"response_headers":{},"response_body":"no","verdict":"dead","reason":"401 Unauthorized"}],"curl":"curl -g -X POST https://api.example/x -H \"Private-Token: $PRIVATE_TOKEN\" -H 'Content-Type: application/json' --data-raw '{\"a\":1}'"}`)
	r.admin("GET", "/api/v1/deliveries/dlv_3", "").is(t, 404, "*")
	r.admin("GET", "/api/v1/deliveries?state=lost", "").is(t, 422, "*")
	r.admin("POST", "/api/v1/deliveries/dlv_1/redeliver", "").is(t, 202, `*"state":"pending"*`)
	r.admin("POST", "/api/v1/deliveries/dlv_2/redeliver", "").is(t, 409, `*"code":"E022","detail":"a newer state was delivered"*`)
	r.admin("POST", "/api/v1/deliveries/dlv_2/redeliver?force=true", "").is(t, 202, "*")
	r.admin("POST", "/api/v1/deliveries/dlv_3/redeliver", "").is(t, 404, "*")
}

func TestHealth(t *testing.T) {
	health := Health{Ready: true, Facts: map[string]any{"redis": "7.2.4"}}
	r := newRig(t, func(c *Config) { c.Health = func(context.Context) Health { return health } })
	const inUse = `{"generation":1,"loaded_at":"2026-03-01T12:00:00.000Z","count":*,"last_error":null,"unusable_sources":{}}`
	r.send("GET", "/healthz", "").is(t, 200, `{"status":"ok"}`)
	r.send("GET", "/readyz", "").is(t, 200, `{"ready":true,"reasons":[],"facts":{"redis":"7.2.4"},"mappings":`+inUse+`}`)
	health = Health{Reasons: []string{"Redis does not answer"}}
	a := r.send("GET", "/readyz", "")
	a.is(t, 503, `{"ready":false,"reasons":["Redis does not answer"],"mappings":`+inUse+`}`)
	if got := a.header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
	health = Health{Ready: true}
	r.server.Drain()
	r.send("GET", "/readyz", "").is(t, 503, `{"ready":false,"reasons":["the server is shutting down"],"mappings":`+inUse+`}`)
	r.send("GET", "/healthz", "").is(t, 200, "*")
	r.send("HEAD", "/readyz", "").is(t, 503, "")
}

// TestNewNeedsEverything: a part that is missing is named at the start, not
// found by the first request.
func TestNewNeedsEverything(t *testing.T) {
	_, err := New(Config{})
	if err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("New of nothing: %v", err)
	}
}

// TestNoSecretInAnswers: what JSON shows of configuration never holds a
// secret, whichever route shows it.
func TestNoSecretInAnswers(t *testing.T) {
	r := newRig(t, nil)
	secrets := []string{"tok_application_1", "the hook's own secret", "header_credential_1", githubSecret, gitlabToken, adminToken}
	if err := r.PutApplication(t.Context(), bridge.Application{ID: "a", Name: "a", SourceProvider: bridge.SourceProvider{AccessToken: bridge.Secret(secrets[0])}}); err != nil {
		t.Fatal(err)
	}
	if err := r.PutHook(t.Context(), bridge.Hook{ID: "h", Name: "h", Pipeline: "codenow/shop", Secret: bridge.Secret(secrets[1]),
		Settings: bridge.HookSettings{RequestHeaders: []bridge.HookHeader{{Name: "Authorization", Value: "Bearer " + secrets[2]}}}}); err != nil {
		t.Fatal(err)
	}
	for _, row := range table() {
		if row.method != "GET" {
			continue
		}
		for _, id := range []string{"a", "h", "gitlab", "github-actions", "codenow%2Fshop"} {
			body := r.admin("GET", strings.NewReplacer(":id", id, ":type", "outgoing").Replace(row.path), "").body
			for _, secret := range secrets {
				if strings.Contains(body, secret) {
					t.Errorf("GET %s with %s shows %q", row.path, id, secret)
				}
			}
		}
	}
}
