package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
)

func TestNativeReply(t *testing.T) {
	r := newRig(t, nil)
	key := "Bearer " + r.keys["native"]
	body := `{"type":"build","id":7,"state":"ok","app":"shop"}`
	first := r.send("POST", "/in/native", body, "Authorization", key)
	run := bridge.RunID(0, "native", "7")
	first.is(t, 202, `{"event":"evt_*","run":"`+run+`","outcome":"applied"}`)
	if got := first.header.Get("X-Cibridge-Event-Id"); !strings.Contains(first.body, `"event":"`+got+`"`) {
		t.Errorf("X-Cibridge-Event-Id = %q, body %s", got, first.body)
	}

	again := r.send("POST", "/in/native", body, "Authorization", key)
	again.is(t, 202, first.body)
	if got := again.header.Get("X-Cibridge-Duplicate-Of"); got != first.header.Get("X-Cibridge-Event-Id") {
		t.Errorf("X-Cibridge-Duplicate-Of = %q, want the first event", got)
	}
	if got := again.header.Get("X-Cibridge-Event-Id"); got == first.header.Get("X-Cibridge-Event-Id") || got == "" {
		t.Errorf("the duplicate has the id %q, want one of its own", got)
	}
	if e := r.last(); e.Outcome != bridge.Duplicate || e.ID != again.header.Get("X-Cibridge-Event-Id") {
		t.Errorf("ledger has %+v, want the duplicate under its own id", e)
	}

	r.send("POST", "/in/native", `{"type":"ping"}`, "Authorization", key).
		is(t, 202, `{"event":"evt_*","run":null,"outcome":"ignored","reason":"a ping"}`)
	if e := r.last(); e.Outcome != bridge.Ignored || e.Reason != "native/ping: a ping" {
		t.Errorf("ledger has %+v", e)
	}
	unknown := r.send("POST", "/in/native", `{"type":"what"}`, "Authorization", key)
	unknown.is(t, 202, `{"event":"evt_*","run":null,"outcome":"unmapped","reason":"no event of native takes this request*"}`)
	r.send("POST", "/in/native", `{"type":"what"}`, "Authorization", key).is(t, 202, unknown.body)
	r.send("POST", "/in/native", `{"type":"build","id":8,"state":"odd"}`, "Authorization", key).
		is(t, 202, `{"event":"evt_*","run":"run_*","outcome":"unmapped"}`)
	if e := r.last(); e.Outcome != bridge.Unmapped {
		t.Errorf("ledger has %+v, want unmapped", e)
	}
	if n := strings.Count(r.log.String(), "a mapping does not know this request"); n != 2 {
		t.Errorf("%d warnings of unknown requests, want one for each of the two kinds", n)
	}
}

func TestDialects(t *testing.T) {
	r := newRig(t, nil)
	sei := func(path, body string) answer {
		return r.send("POST", path, body, "Authorization", "Apikey "+r.keys["sei"])
	}
	job := `{"pipeline":"p","instance_name":"i","instance_guid":"g","job_full_name":"f","qualified_name":"q","result":"SUCCESS","build_number":1}`
	runs := `{"response_type":"JenkinsPluginJobRunCompleteResponse","payload":"{\"run_ids\":[\"run_*\"]}"}`
	sei("/v1/custom-cicd", job).is(t, 202, runs)
	sei("/v1/custom-cicd", job).is(t, 202, runs)
	sei("/gratis/sei/api/v1/custom-cicd", strings.Replace(job, `:1}`, `:2}`, 1)).is(t, 202, runs)
	sei("/v1/custom-cicd", `{}`).is(t, 400, `{"payload":"job_name/pipeline field is missing in request"}`)
	sei("/v1/custom-cicd", `{"job_name":"p" "x":1}`).is(t, 400, `{"payload":"invalid JSON at line 1 column 17"}`)
	sei("/v1/custom-cicd", strings.Replace(job, "SUCCESS", "EXPLODED", 1)).is(t, 422, `{"payload":"*EXPLODED*"}`)
	sei("/v1/generic-requests", `{"request_type":"JenkinsHeartbeat","payload":"{}"}`).
		is(t, 202, `{"response_type":"JenkinsHeartbeatResponse","payload":"{\"success\":true*"}`)
	sei("/v1/cicd/instances", `{"integration_id":"1","name":"n","type":"jenkins"}`).is(t, 200, `{"id":"*"}`)
	multipart := "--X\r\nContent-Disposition: form-data; name=\"json\"; filename=\"json\"\r\n\r\n" +
		`{"request_type":"JenkinsPluginJobRunComplete","payload":` + job + "}\r\n--X--\r\n"
	r.send("POST", "/v1/generic-requests/multipart", multipart, "Authorization", "ApiKey "+r.keys["sei"],
		"Content-Type", "multipart/mixed; boundary=X").is(t, 202, runs)

	r.codenow("shop", start("1", "shop")).is(t, 200, `{"status":"accepted"}`)
	for _, e := range r.ledger() {
		if e.Outcome == "" {
			t.Errorf("%s has no outcome: %+v", e.ID, e)
		}
	}
	if got, want := len(r.ledger()), 10; got != want {
		t.Errorf("%d entries in the ledger, want %d: one for each request", got, want)
	}
}

// TestRefusals has one row for each way in which an inbound request is
// refused, with the exact answer.
func TestRefusals(t *testing.T) {
	bound := func(c *Config) { c.MaxBody = 64 << 10 }
	for _, tc := range []struct {
		name    string
		send    func(r *rig) answer
		status  int
		body    string
		header  string // "Name: value" that the answer has
		outcome bridge.Outcome
	}{
		{
			name: "no comma", send: func(r *rig) answer { return r.codenow("account", "{\"type\":\"x\"\n \"pipelineId\":\"1\"}") },
			status: 400, outcome: bridge.Rejected,
			body: `{"type":"urn:cibridge:error:E001","title":"The body is not valid JSON","status":400,"code":"E001","detail":"line 2, column 2: *","line":2,"column":2,"event_id":"evt_*"}`,
		},
		{
			name: "empty", send: func(r *rig) answer { return r.codenow("account", "") },
			status: 400, outcome: bridge.Rejected,
			body: `{"type":"urn:cibridge:error:E001","title":"The body is not valid JSON","status":400,"code":"E001","detail":"*empty*","line":1,"column":1,"event_id":"evt_*"}`,
		},
		{
			name: "deep", send: func(r *rig) answer { return r.codenow("account", strings.Repeat("[", 30000)) },
			status: 400, outcome: bridge.Rejected,
			body: `{"type":"urn:cibridge:error:E001","title":"The body is not valid JSON","status":400,"code":"E001","detail":"line 1, column 65: *","line":1,"column":65,"event_id":"evt_*"}`,
		},
		{
			name: "form", send: func(r *rig) answer {
				return r.send("POST", "/ci/webhook", "a=b", "X-Codenow-Api-Key", r.keys["account"], "Content-Type", "application/x-www-form-urlencoded")
			},
			status: 415, outcome: bridge.Rejected, header: "Accept: application/json",
			body: `{"type":"urn:cibridge:error:E014","title":"The body has a type that cannot be read here","status":415,"code":"E014","detail":"the body is application/x-www-form-urlencoded; mapping codenow reads JSON: send it as application/json","event_id":"evt_*"}`,
		},
		{
			name: "xml", send: func(r *rig) answer {
				return r.send("POST", "/ci/webhook", "<a/>", "X-Codenow-Api-Key", r.keys["account"], "Content-Type", "text/xml; charset=utf-8")
			},
			status: 415, outcome: bridge.Rejected,
			body: `{"type":"urn:cibridge:error:E014","title":"*","status":415,"code":"E014","detail":"the body is text/xml; mapping codenow reads JSON: send it as application/json","event_id":"evt_*"}`,
		},
		{
			name: "unknown encoding", send: func(r *rig) answer {
				return r.send("POST", "/ci/webhook", "x", "X-Codenow-Api-Key", r.keys["account"], "Content-Encoding", "br")
			},
			status: 415, outcome: bridge.Rejected, header: "Accept-Encoding: gzip, identity",
			body: `{"type":"urn:cibridge:error:E014","title":"*","status":415,"code":"E014","detail":"the Content-Encoding is \"br\"; accepted are gzip and identity","event_id":"evt_*"}`,
		},
		{
			name: "not gzip", send: func(r *rig) answer {
				return r.send("POST", "/ci/webhook", "{}", "X-Codenow-Api-Key", r.keys["account"], "Content-Encoding", "gzip")
			},
			status: 400, outcome: bridge.Rejected,
			body: `{"type":"urn:cibridge:error:E015","title":"The body could not be read","status":400,"code":"E015","detail":"the Content-Encoding is gzip, but the body is not: *","event_id":"evt_*"}`,
		},
		{
			name: "unknown event", send: func(r *rig) answer { return r.codenow("account", `{"type":"codenow.ci.other","pipelineId":"1"}`) },
			status: 422, outcome: bridge.Unmapped,
			body: `{"type":"urn:cibridge:error:E305","title":"The mapping refuses the request","status":422,"code":"E305","detail":"no event of codenow takes this request*","mapping":"codenow.yaml:1","event_id":"evt_*"}`,
		},
		{
			name: "unknown word", send: func(r *rig) answer {
				return r.codenow("account", `{"type":"codenow.ci.end.event","pipelineId":"1","result":"EXPLODED"}`)
			},
			status: 422, outcome: bridge.Unmapped,
			body: `{"type":"urn:cibridge:error:E301","title":"The mapping refuses the request","status":422,"code":"E301","detail":"\"EXPLODED\" is not in the map*","field":"end.status","mapping":"codenow.yaml:*","event_id":"evt_*"}`,
		},
		{
			name: "no pipelineId", send: func(r *rig) answer { return r.codenow("account", `{"type":"codenow.ci.end.event"}`) },
			status: 400, outcome: bridge.Rejected,
			body: `{"type":"urn:cibridge:error:E304","title":"The mapping refuses the request","status":400,"code":"E304","detail":"pipelineId is missing","field":"pipelineId","mapping":"codenow.yaml:*","event_id":"evt_*"}`,
		},
		{
			name: "another start", send: func(r *rig) answer {
				r.codenow("account", start("1", "shop"))
				return r.codenow("account", strings.Replace(start("1", "shop"), "1.0.0", "2.0.0", 1))
			},
			status: 409, outcome: bridge.Rejected,
			body: `{"type":"urn:cibridge:error:E022","title":"It contradicts what is stored","status":409,"code":"E022","detail":"a different \"start\" event was already received for run 1; *","event_id":"evt_*"}`,
		},
		{
			name: "another component", send: func(r *rig) answer { return r.codenow("shop", start("1", "cart")) },
			status: 403, outcome: bridge.Rejected,
			body: `{"type":"urn:cibridge:error:E021","title":"Not allowed","status":403,"code":"E021","detail":"this key may write shop, not component \"cart\"","event_id":"evt_*"}`,
		},
		{
			name: "another component's run", send: func(r *rig) answer {
				r.codenow("account", start("1", "cart"))
				return r.codenow("shop", `{"type":"codenow.ci.end.event","pipelineId":"1","result":"FAILED"}`)
			},
			status: 403, outcome: bridge.Rejected,
			body: `{"type":"urn:cibridge:error:E021","title":"Not allowed","status":403,"code":"E021","detail":"this key may write component \"shop\" only, but the run belongs to component \"cart\"","event_id":"evt_*"}`,
		},
		{
			name: "another source's key", send: func(r *rig) answer { return r.codenow("sei", start("1", "cart")) },
			status: 403,
			body:   `{"type":"urn:cibridge:error:E021","title":"Not allowed","status":403,"code":"E021","detail":"this key belongs to source \"harness-sei\", which may not post here","event_id":"evt_*"}`,
		},
		{
			name: "too large", send: func(r *rig) answer { return r.codenow("account", strings.Repeat(" ", 64<<10+1)) },
			status: 413,
			body:   `{"type":"urn:cibridge:error:E012","title":"The body is too large","status":413,"code":"E012","detail":"the body is larger than the limit of 65536 bytes","event_id":"evt_*"}`,
		},
		{
			name: "too large, chunked", send: func(r *rig) answer {
				req, _ := http.NewRequest("POST", r.http.URL+"/ci/webhook", io.LimitReader(zeros{}, 300<<20))
				req.Header.Set("X-Codenow-Api-Key", r.keys["account"])
				return r.do(req)
			},
			status: 413,
			body:   `{"type":"urn:cibridge:error:E012","title":"The body is too large","status":413,"code":"E012","detail":"the body is larger than the limit of 65536 bytes","event_id":"evt_*"}`,
		},
		{
			name: "away", send: func(r *rig) answer {
				r.down = bridge.Errorf(bridge.CodeUnavailable, "Redis does not answer")
				return r.codenow("account", start("1", "shop"))
			},
			status: 503, header: "Retry-After: 2",
			body: `{"type":"urn:cibridge:error:E023","title":"The request could not be stored","status":503,"code":"E023","detail":"Redis does not answer","event_id":"evt_*"}`,
		},
		{
			name: "broken dependency", send: func(r *rig) answer {
				r.down = errors.New("dial unix /secret/path: refused")
				return r.codenow("account", start("1", "shop"))
			},
			status: 503, header: "Retry-After: 2",
			body: `{"type":"urn:cibridge:error:E023","title":"The request could not be stored","status":503,"code":"E023","detail":"a part that cibridge needs did not answer; try again","event_id":"evt_*"}`,
		},
		{
			name: "bad JSON while away", send: func(r *rig) answer {
				r.down = bridge.Errorf(bridge.CodeUnavailable, "Redis does not answer")
				return r.codenow("account", "{")
			},
			status: 503, header: "Retry-After: 2",
			body: `{"type":"urn:cibridge:error:E023","title":"The request could not be stored","status":503,"code":"E023","detail":"Redis does not answer","event_id":"evt_*"}`,
		},
		{
			name: "panic", send: func(r *rig) answer {
				r.panics = true
				return r.codenow("account", start("1", "shop"))
			},
			status: 500,
			body:   `{"type":"urn:cibridge:error:E099","title":"Something is wrong in cibridge","status":500,"code":"E099","detail":"the request was not handled; the log has the reason"}`,
		},
		{
			name: "unknown source", send: func(r *rig) answer { return r.send("POST", "/in/nobody", "{}") },
			status: 404,
			body:   `{"type":"urn:cibridge:error:E024","title":"There is no such thing","status":404,"code":"E024","detail":"there is no source \"nobody\""}`,
		},
		{
			name: "unknown path", send: func(r *rig) answer { return r.send("POST", "/ci/webhooks", "{}") },
			status: 404,
			body:   `{"type":"urn:cibridge:error:E010","title":"Nothing is served here","status":404,"code":"E010","detail":"POST /ci/webhooks is not a route; a source without a route of its own posts to /in/<source>"}`,
		},
		{
			name: "reserved path", send: func(r *rig) answer { return r.send("POST", "/api/ci/webhook", "{}") },
			status: 404,
			body:   `{"type":"urn:cibridge:error:E010","title":"Nothing is served here","status":404,"code":"E010","detail":"POST /api/ci/webhook is not a route"}`,
		},
		{
			name: "trailing slash", send: func(r *rig) answer { return r.send("POST", "/ci/webhook/", "{}") },
			status: 404, body: `{"type":"urn:cibridge:error:E010",*}`,
		},
		{
			name: "method of a mapping's route", send: func(r *rig) answer { return r.send("GET", "/ci/webhook", "") },
			status: 405, header: "Allow: POST",
			body: `{"type":"urn:cibridge:error:E011","title":"The method is not allowed here","status":405,"code":"E011","detail":"GET is not allowed on /ci/webhook; allowed is POST"}`,
		},
		{
			name: "method of a fixed route", send: func(r *rig) answer { return r.send("PUT", "/in/native", "") },
			status: 405, header: "Allow: POST",
			body: `{"type":"urn:cibridge:error:E011","title":"The method is not allowed here","status":405,"code":"E011","detail":"PUT is not allowed on /in/native; allowed is POST"}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, bound)
			a := tc.send(r)
			a.is(t, tc.status, tc.body)
			if want := "application/problem+json"; a.header.Get("Content-Type") != want {
				t.Errorf("Content-Type %q, want %q", a.header.Get("Content-Type"), want)
			}
			if name, want, ok := strings.Cut(tc.header, ": "); ok && a.header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, a.header.Get(name), want)
			}
			if got := r.last(); tc.outcome != "" && (got.Outcome != tc.outcome || got.ID != a.header.Get("X-Cibridge-Event-Id")) {
				t.Errorf("ledger has %+v, want %s", got, tc.outcome)
			} else if tc.outcome == "" && got.ID != "" {
				t.Errorf("ledger has %+v, want nothing", got)
			}
			if n := r.server.budget.used.Load(); n != 0 {
				t.Errorf("%d bytes are still held", n)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestResendAfterFix: what was refused is not remembered.
func TestResendAfterFix(t *testing.T) {
	r := newRig(t, nil)
	r.codenow("shop", `{"type":"codenow.ci.end.event"}`).is(t, 400, "*")
	r.codenow("shop", `{"type":"codenow.ci.end.event"}`).is(t, 400, "*")
	for range 2 {
		r.codenow("shop", `{"type":"codenow.ci.new.event","pipelineId":"1"}`).is(t, 422, "*")
		if e := r.last(); e.Outcome != bridge.Unmapped {
			t.Errorf("a strict mapping's unknown event is %s in the ledger, want unmapped", e.Outcome)
		}
	}
	r.down = bridge.Errorf(bridge.CodeUnavailable, "away")
	r.codenow("shop", start("1", "shop")).is(t, 503, "*")
	r.down = nil
	a := r.codenow("shop", start("1", "shop"))
	a.is(t, 200, `{"status":"accepted"}`)
	if dup := a.header.Get("X-Cibridge-Duplicate-Of"); dup != "" {
		t.Errorf("a first send is a duplicate of %s", dup)
	}
}

// TestScopeBeforeDedupe: a key learns nothing of a run outside its scope by
// repeating its request.
func TestScopeBeforeDedupe(t *testing.T) {
	r := newRig(t, nil)
	r.key("cart", bridge.Key{Source: "codenow", Components: []string{"cart"}})
	r.codenow("shop", start("1", "shop")).is(t, 200, "*")
	end := `{"type":"codenow.ci.end.event","pipelineId":"1","result":"FAILED"}`
	r.codenow("shop", end).is(t, 200, "*")
	r.codenow("cart", end).is(t, 403, "*may write component \\\"cart\\\" only*")
	r.codenow("cart", start("1", "shop")).is(t, 403, "*")
	again := r.codenow("shop", end)
	again.is(t, 200, "*")
	if again.header.Get("X-Cibridge-Duplicate-Of") == "" {
		t.Error("the same key's repetition is no duplicate")
	}
}

func TestLimit(t *testing.T) {
	wait := 90 * time.Second
	r := newRig(t, func(c *Config) {
		c.Limit = func(_ context.Context, source, key string) time.Duration {
			if source == "codenow" && key != "" {
				return wait
			}
			return 0
		}
	})
	a := r.codenow("account", start("1", "shop"))
	a.is(t, 429, `{"type":"urn:cibridge:error:E017","title":"Too many requests","status":429,"code":"E017","detail":"source codenow sends more than it may; try again in 1m30s","event_id":"evt_*"}`)
	if got := a.header.Get("Retry-After"); got != "90" {
		t.Errorf("Retry-After %q, want 90", got)
	}
	r.send("POST", "/in/none", `{"id":1}`).is(t, 202, "*")
	wait = 0
	r.codenow("account", start("1", "shop")).is(t, 200, "*")
}

// TestCommitTimeout: a store that hangs is given up within the time.
func TestCommitTimeout(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CommitTimeout = 20 * time.Millisecond })
	r.stalls = true
	began := time.Now()
	a := r.codenow("account", start("1", "shop"))
	a.is(t, 503, `*"detail":"a part that cibridge needs did not answer in time; try again"*`)
	if took := time.Since(began); took > time.Second {
		t.Errorf("the answer took %s", took)
	}
	if got := a.header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
}

func TestRequestIsKeptWithoutCredentials(t *testing.T) {
	r := newRig(t, nil)
	r.send("POST", "/query/hook?ticket=a+ticket+of+some+length&other=1&token=xyz", `{"id":1}`,
		"Cookie", "session=1", "Authorization", "Bearer abc", "X-Gitlab-Token", "t", "X-Kind", "push").
		is(t, 202, `{"event":*"outcome":"applied"}`)
	req := r.requests[0]
	if len(req.Query) != 1 || req.Query["other"] != "1" {
		t.Errorf("query %v, want only other", req.Query)
	}
	for _, name := range []string{"cookie", "authorization", "x-gitlab-token"} {
		if v, ok := req.Header[name]; ok {
			t.Errorf("%s is kept: %q", name, v)
		}
	}
	if req.Header["x-kind"] != "push" || req.Path != "/query/hook" || req.Method != "POST" || req.Remote != "127.0.0.1" {
		t.Errorf("request %+v", req)
	}
	run, err := r.Run(t.Context(), bridge.RunID(0, "query", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := run.Field("labels.ticket"); ok {
		t.Errorf("an expression sees the ticket: %v", v)
	}
	if v, _ := run.Field("labels.other"); v != "1" {
		t.Errorf("labels.other = %v, want 1", v)
	}
}

func TestHandshake(t *testing.T) {
	var fetched []string
	var fail error
	r := newRig(t, func(c *Config) {
		c.Confirm = func(_ context.Context, url string) error { fetched = append(fetched, url); return fail }
	})
	hello := func(host string) string { return `{"type":"hello","url":"https://` + host + `/c?t=1"}` }
	ledger := func(n int, outcome bridge.Outcome, reason string) {
		t.Helper()
		if got := r.ledger(); len(got) != n || got[n-1].Outcome != outcome || got[n-1].Reason != reason {
			t.Errorf("ledger %+v, want %d entries, the last %s: %s", got, n, outcome, reason)
		}
	}
	fail = errors.New("it answered 500 Internal Server Error")
	a := r.send("POST", "/in/handshake", hello("a.example.com"))
	a.is(t, 502, `*"code":"E027","detail":"the handshake with a.example.com failed; try again"*`)
	if a.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	ledger(1, bridge.Ignored, "handshake/confirm: a handshake with a.example.com failed: it answered 500 Internal Server Error")
	fail = nil
	r.send("POST", "/in/handshake", hello("a.example.com")).
		is(t, 202, `{"event":"evt_*","run":null,"outcome":"ignored","reason":"a handshake with a.example.com, confirmed"}`)
	ledger(2, bridge.Ignored, "handshake/confirm: a handshake with a.example.com, confirmed")
	if len(fetched) != 2 || fetched[1] != "https://a.example.com/c?t=1" {
		t.Errorf("fetched %q", fetched)
	}
	r.send("POST", "/in/handshake", hello("evil.test")).is(t, 422, `*"code":"E306"*`)
	r.send("POST", "/in/handshake", hello("b.example.com"), "X-Cibridge-Dry-Run", "1").is(t, 200, `*"outcome":"ignored"*`)
	if len(fetched) != 2 {
		t.Errorf("fetched %q, want nothing of evil.test and nothing for a dry run", fetched)
	}
	fail, r.down = errors.New("refused"), bridge.Errorf(bridge.CodeUnavailable, "Redis is away")
	r.send("POST", "/in/handshake", hello("b.example.com")).is(t, 503, `*"detail":"Redis is away"*`)
}

func TestDryRun(t *testing.T) {
	r := newRig(t, func(c *Config) {
		c.Preview = func(events []bridge.Event) []bridge.Delivery {
			return []bridge.Delivery{{ID: "dlv_1", Method: "POST", URL: "https://api.example/" + events[0].Name,
				Headers: []bridge.Header{{Name: "Authorization", Parts: []bridge.Part{{Text: "Bearer "}, {Ref: "application:a:access_token"}}}}, Body: `{"state":"pending"}`}}
		}
	})
	r.down = bridge.Errorf(bridge.CodeUnavailable, "a dry run needs no store")
	a := r.send("POST", "/ci/webhook", start("1", "shop"), "X-Codenow-Api-Key", r.keys["shop"], "X-Cibridge-Dry-Run", "1")
	a.is(t, 200, `{"dry_run":true,"source":"codenow","mapping":"codenow","outcome":"applied",*"run_key":"1"*"status":"running"*"component":"shop"*`)
	if strings.Contains(a.body, "hooks") {
		t.Errorf("a sender sees hooks: %s", a.body)
	}
	a = r.send("POST", "/ci/webhook", start("1", "shop"), "Authorization", "Bearer "+adminToken, "X-Cibridge-Dry-Run", "1")
	a.is(t, 200, `*"hooks":[{"id":"dlv_1"*"request":{"headers":{"Authorization":"Bearer ***"},"body":{"state":"pending"}}}]}`)
	r.send("POST", "/ci/webhook", `{"type":"codenow.ci.end.event","pipelineId":"1","result":"ODD"}`, "X-Codenow-Api-Key", r.keys["shop"], "X-Cibridge-Dry-Run", "1").
		is(t, 200, `*"outcome":"unmapped"*"problem":{"status":422,"code":"E301","field":"end.status"*`)
	r.send("POST", "/ci/webhook", start("1", "cart"), "X-Codenow-Api-Key", r.keys["shop"], "X-Cibridge-Dry-Run", "1").is(t, 403, "*")
	r.send("POST", "/ci/webhook", start("1", "shop"), "X-Cibridge-Dry-Run", "1").is(t, 401, "*")
	r.send("POST", "/ci/webhook", start("1", "shop"), "Authorization", "Bearer "+adminToken).is(t, 401, "*")
	if n := len(r.ledger()); n != 0 {
		t.Errorf("%d entries in the ledger after dry runs", n)
	}
}

func TestMetricsAndLog(t *testing.T) {
	r := newRig(t, nil)
	r.codenow("account", start("1", "shop"))
	r.codenow("account", "{")
	r.send("POST", "/ci/webhook", "{}", "X-Codenow-Api-Key", "cib_wrong")
	text := r.send("GET", "/metrics", "").body
	for _, want := range []string{
		`cibridge_requests_total{code="200",outcome="applied",source="codenow"} 1`,
		`cibridge_requests_total{code="400",outcome="rejected",source="codenow"} 1`,
		`cibridge_requests_total{code="401",outcome="refused",source=""} 1`,
		`cibridge_commit_duration_seconds_count{result="ok"} 2`,
		`cibridge_request_duration_seconds_count 3`,
		`cibridge_request_bytes_in_flight 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %s:\n%s", want, text)
		}
	}
	log := r.log.String()
	for _, key := range r.keys {
		if strings.Contains(log, key) || strings.Contains(log, key[17:60]) || strings.Contains(text, key) {
			t.Error("a key is in the log or the metrics")
		}
	}
	if !strings.Contains(log, "not an API key of the form") {
		t.Errorf("the log does not say why a key was refused:\n%s", log)
	}
	if n := strings.Count(log, "msg=request "); n != 3 {
		t.Errorf("%d lines for 3 requests:\n%s", n, log)
	}
}
