package api

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/diag"
	"cibridge/internal/mapping"
)

// setOf compiles mappings, each behind "---".
func setOf(t *testing.T, text string) *mapping.Set {
	t.Helper()
	var files []mapping.File
	for _, part := range strings.Split(text, "---\n") {
		name, _, _ := strings.Cut(strings.SplitN(part, "name: ", 2)[1], "\n")
		files = append(files, mapping.File{Name: name + ".yaml", Data: []byte(part)})
	}
	set, problems := mapping.Load(files)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return set
}

// TestGenerations: what is in use, since when, why newer files are not, and
// which sources lost their mapping.
func TestGenerations(t *testing.T) {
	r := newRig(t, nil)
	r.snap.Sources = []bridge.Source{
		{ID: "native", Mapping: "native"}, {ID: "basic", Mapping: "basic", Secrets: []bridge.Secret{"ci:long enough"}},
		{ID: "weak", Mapping: "basic", Secrets: []bridge.Secret{"short"}}, {ID: "other", Mapping: "native", Auth: "hmac"},
	}
	const weak = `"weak":"the secret has 5 bytes; at least 8 are needed"`
	const other = `"other":"mapping native allows key, not \"hmac\""`
	r.send("GET", "/readyz", "").is(t, 200, `*"generation":1,"loaded_at":"2026-03-01T12:00:00.000Z","count":*,"last_error":null,"unusable_sources":{`+other+`,`+weak+`}}}`)

	r.clock = r.clock.Add(time.Minute)
	problems := diag.Problems{{File: "acme.yaml", Line: 4, Col: 3, Code: "E101", Message: `unknown key "mapp"`, Severity: diag.SeverityError}}
	for range 29 {
		problems = append(problems, problems[0])
	}
	if got := r.server.KeepMappings(problems); got != 1 {
		t.Errorf("generation %d stays in use, want 1", got)
	}
	a := r.send("GET", "/readyz", "")
	a.is(t, 200, `{"ready":true,"reasons":["mappings: the newest files cannot be used, generation 1 stays; the first of the problems (30) is acme.yaml:4:3: unknown key \"mapp\" [E101]",*`+
		`"last_error":{"at":"2026-03-01T12:01:00.000Z","count":30,"problems":[{"file":"acme.yaml","line":4,"col":3,"code":"E101","message":"unknown key \"mapp\"","severity":"error"},*`)
	if n := strings.Count(a.body, `"line":4`); n != maxShownProblems {
		t.Errorf("%d problems are shown, want %d", n, maxShownProblems)
	}

	r.clock = r.clock.Add(time.Minute)
	if got := r.server.SetMappings(setOf(t, "version: 1\nname: basic\nreceive: {auth: [basic]}\nrun_key: id\nevents: [{name: build}]\n")); got != 2 {
		t.Errorf("generation %d came into use, want 2", got)
	}
	r.send("GET", "/readyz", "").is(t, 200, `{"ready":true,"reasons":["source \"native\" receives nothing: mapping \"native\" is not loaded",*`+
		`"mappings":{"generation":2,"loaded_at":"2026-03-01T12:02:00.000Z","count":1,"last_error":null,"unusable_sources":{"native":"mapping \"native\" is not loaded",*`)
	r.admin("GET", "/api/v1/mappings", "").is(t, 200, `{"items":[{"name":"basic",*"sources":["basic","weak"],"tests":0}],"next":null,"generation":2,*"unusable_sources":{*}}`)
	r.admin("GET", "/api/v1/mappings?limit=3", "").is(t, 422, "*")
}

// TestMappingTests: the tests that stand beside a mapping count, too.
func TestMappingTests(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MappingTests = func() map[string]int { return map[string]int{"codenow": 12} } })
	r.admin("GET", "/api/v1/mappings", "").is(t, 200, `*"name":"codenow",*"tests":12}*`)
}

// TestPublicURL: whoever sets up a sender sees the whole address.
func TestPublicURL(t *testing.T) {
	r := newRig(t, func(c *Config) { c.PublicURL = "https://ci.acme.example/bridge/" })
	r.admin("GET", "/api/v1/sources/codenow", "").is(t, 200, `*"urls":["https://ci.acme.example/bridge/ci/webhook","https://ci.acme.example/bridge/in/codenow"],*`)
}

// TestWarnsAgain: what an old set did not know is worth a new warning when the
// new one does not either.
func TestWarnsAgain(t *testing.T) {
	r := newRig(t, nil)
	post := func(want int) {
		t.Helper()
		r.send("POST", "/in/native", `{"type":"party","id":1}`, "X-Codenow-Api-Key", r.keys["native"]).is(t, 202, `*"unmapped"*`)
		if got := strings.Count(r.log.String(), "does not know this request"); got != want {
			t.Errorf("%d warnings, want %d", got, want)
		}
	}
	post(1)
	post(1)
	r.server.SetMappings(r.server.mappings.Load())
	post(2)
}

// TestRequestKeepsItsMappings: a request whose body still comes when the
// mappings change is answered by those it started with.
func TestRequestKeepsItsMappings(t *testing.T) {
	r := newRig(t, nil)
	set := func(word string) *mapping.Set {
		return setOf(t, "version: 1\nname: none\nreceive:\n  auth: [none]\n  routes: [POST /old/hook]\n  reply: {accepted: {status: 200, body: {set: "+word+"}}}\nrun_key: id\nevents: [{name: build, status: {value: failed}}]\n")
	}
	r.server.SetMappings(set("old"))
	body, rest := io.Pipe()
	req, err := http.NewRequest(http.MethodPost, r.http.URL+"/in/none", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue") // the server says so when it reads the body
	reading := make(chan struct{})
	req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(reading) }}))
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	answered := make(chan answer)
	go func() {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			answered <- answer{body: err.Error()}
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answered <- answer{status: resp.StatusCode, body: string(text)}
	}()
	<-reading
	r.server.SetMappings(set("new"))
	if _, err := rest.Write([]byte(`{"id":1}`)); err != nil {
		t.Fatal(err)
	}
	rest.Close()
	(<-answered).is(t, 200, `{"set":"old"}`)
	r.send("POST", "/in/none", `{"id":2}`).is(t, 200, `{"set":"new"}`)
}
