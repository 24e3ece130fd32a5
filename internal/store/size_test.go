package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"cibridge/bridge"
	"cibridge/internal/store/storetest"
)

// A payload of a test is one of testdata with every name, id and sha in it
// replaced, so that the dictionary knows its shape and nothing else.
var (
	shas    = regexp.MustCompile(`[0-9a-f]{40}`)
	numbers = regexp.MustCompile(`[0-9]{4,}`)
	names   = []string{"Codertocat", "Hello-World", "octo-org", "octo-repo", "my-pipeline-id", "my-component-id", "url-to-the", "johnsmith", "John Smith", "My Pipeline"}
)

func variant(t testing.TB, file string, run int) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(uint64(run), 7))
	replaced := map[string]string{}
	replace := func(old string, fresh func() string) string {
		if _, ok := replaced[old]; !ok {
			replaced[old] = fresh()
		}
		return replaced[old]
	}
	text := shas.ReplaceAllStringFunc(string(data), func(s string) string {
		return replace(s, func() string { return fmt.Sprintf("%016x%016x%08x", r.Uint64(), r.Uint64(), r.Uint32()) })
	})
	text = numbers.ReplaceAllStringFunc(text, func(s string) string {
		if len(s) > 19 || strings.HasPrefix(s, "202") {
			return s
		}
		return replace(s, func() string { return strconv.FormatUint(r.Uint64(), 10)[:len(s)] })
	})
	for _, name := range names {
		text = strings.ReplaceAll(text, name, fmt.Sprintf("n%x-x%d", r.Uint32(), r.IntN(100)))
	}
	return []byte(text)
}

var githubHeaders = map[string]string{
	"content-type": "application/json", "user-agent": "GitHub-Hookshot/44b6e5f", "accept": "*/*", "x-github-event": "workflow_run",
	"x-github-hook-id": "292430182", "x-hub-signature-256": "sha256=d57c68ca6f92289e6987922ff26938930f6e66a2d161ef06abdf1859230aa23c",
}

var codenowHeaders = map[string]string{
	"content-type": "application/vnd.codenow.v1+json", "user-agent": "curl/8.5.0", "accept": "application/vnd.codenow.v1+json", "x-codenow-api-key": "secret",
}

// sampleRun is the submissions of one finished run.
func sampleRun(t testing.TB, files []string, run int, headers map[string]string, fill func(i int, body map[string]any, ev *bridge.Event)) []Submission {
	t.Helper()
	var subs []Submission
	key := strconv.Itoa(30433642 + run)
	for i, file := range files {
		body := variant(t, file, run)
		if headers["x-github-event"] != "" { // as GitHub sends it
			var compact bytes.Buffer
			if err := json.Compact(&compact, body); err != nil {
				t.Fatal(err)
			}
			body = compact.Bytes()
		}
		var doc map[string]any
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		dedupe := fmt.Sprintf("%08x-e5e0-11ee-%04x-%012x", rand.Uint32(), i, rand.Uint64()>>16)
		ev := bridge.Event{ID: dedupe + "/workflow_run#0", Source: "sample", Name: "workflow_run", RunKey: key, Attempt: 1, At: now.UnixMilli(), Received: now.UnixMilli()}
		fill(i, doc, &ev)
		header := maps.Clone(headers)
		if _, github := header["x-github-event"]; github {
			header["x-github-delivery"] = dedupe
		}
		subs = append(subs, Submission{
			Request: bridge.Request{ID: bridge.NewRequestID(now), Source: "sample", Mapping: "sample", Received: now, Method: "POST", Path: "/in/sample",
				Remote: "140.82.115.1:40123", Body: body, Header: header},
			Dedupe: dedupe, Events: []bridge.Event{ev},
		})
	}
	return subs
}

func githubRun(t testing.TB, run int) []Submission {
	files := []string{"workflow_run.requested.json", "workflow_run.requested.json", "workflow_run.completed.json"}
	statuses := []bridge.Status{bridge.Queued, bridge.Running, bridge.Succeeded}
	return sampleRun(t, files, run, githubHeaders, func(i int, body map[string]any, ev *bridge.Event) {
		wr, repo := body["workflow_run"].(map[string]any), body["repository"].(map[string]any)
		owner := repo["owner"].(map[string]any)["login"]
		ev.Status = statuses[i]
		ev.Fields = map[string]any{
			"pipeline.id": "154", "pipeline.name": wr["name"], "number": int64(run), "title": wr["display_title"], "url": wr["html_url"],
			"queued_at": ev.At - 5000, "started_at": ev.At - 4000, "actor.login": owner,
			"repo.url": repo["html_url"], "repo.host": "github.com", "repo.owner": owner, "repo.name": repo["name"], "repo.full_name": repo["full_name"],
			"repo.id": fmt.Sprintf("%.0f", repo["id"]), "repo.provider": "github", "commit.sha": wr["head_sha"], "commit.branch": wr["head_branch"],
			"commit.message": "Create the build of the shop", "commit.author": owner,
		}
		if i == 2 {
			ev.Fields["finished_at"], ev.Fields["duration_ms"] = ev.At, int64(61_000)
		}
	})
}

func codenowRun(t testing.TB, run int) []Submission {
	files := []string{"codenow-start.json", "codenow-result-git-revision.json", "codenow-result-container.json", "codenow-result-helm.json", "codenow-end.json"}
	sha := fmt.Sprintf("%040x", rand.Uint64())
	return sampleRun(t, files, run, codenowHeaders, func(i int, _ map[string]any, ev *bridge.Event) {
		ev.Requires = []string{"artifact.container", "artifact.helm", "commit.sha|commit.tag"}
		item := func(kind string) map[string][]bridge.Item {
			return map[string][]bridge.Item{"artifacts": {{Key: kind + "/shop/0.0.1", Fields: map[string]any{
				"kind": kind, "name": "shop", "version": fmt.Sprintf("0.0.%d", run), "uri": fmt.Sprintf("https://registry.acme.io/shop/%s:0.0.%d", kind, run)}}}}
		}
		switch i {
		case 0:
			ev.Status, ev.Once = bridge.Running, fmt.Sprintf("%x", rand.Uint64())
			ev.Fields = map[string]any{"pipeline.id": "shop", "component": "shop", "pipeline.name": "Build shop", "version": fmt.Sprintf("0.0.%d", run),
				"actor.login": "johnsmith", "actor.name": "John Smith", "url": fmt.Sprintf("https://my-dashboard.com/%d", run)}
		case 1:
			ev.Fields = map[string]any{"repo.url": "https://github.com/acme/shop", "repo.host": "github.com", "repo.owner": "acme", "repo.name": "shop",
				"repo.full_name": "acme/shop", "commit.sha": sha, "commit.branch": "main"}
		case 2:
			ev.Lists = item("container")
		case 3:
			ev.Lists = item("helm")
		case 4:
			ev.Status = bridge.Succeeded
			ev.Fields = map[string]any{"finished_at": ev.At}
		}
	})
}

// statusHooks delivers every firing as a commit status of the run's sha, as a
// hook with the github profile does.
func statusHooks(run *bridge.Run, f *bridge.Firing) []bridge.Delivery {
	sha, known := run.Field("commit.sha")
	if f == nil && len(run.Parked) > 0 && known {
		f = &run.Parked[0].Firing
		run.Parked = nil
	}
	if f == nil {
		return nil
	}
	if !known {
		run.Parked = append(run.Parked, bridge.Parked{Firing: *f, Hook: "h", Missing: "commit.sha"})
		return nil
	}
	url := fmt.Sprintf("https://api.github.com/repos/acme/shop/statuses/%s", sha)
	return []bridge.Delivery{{
		ID: bridge.DeliveryID(run.ID, "h", *f), Hook: "0198-hook", Run: run.ID, Pipeline: run.PipelineID(), Firing: *f, Trigger: bridge.ActionStatusChanged,
		Lane: seenHash("lane", url), Bucket: "https://api.github.com#1a2b3c4d", Ordering: bridge.Latest, Since: run.Since(f.Attempt, f.At),
		Method: "POST", URL: url, Profile: "github",
		Headers: []bridge.Header{{Name: "Authorization", Parts: []bridge.Part{{Text: "Bearer "}, {Ref: "application:shop:access_token"}}}, {Name: "Accept", Parts: []bridge.Part{{Text: "application/vnd.github+json"}}}},
		Body:    fmt.Sprintf(`{"state":%q,"target_url":"https://ci.example/runs/%s","description":"Running","context":"ci/cibridge"}`, f.Status, run.Key),
	}}
}

// TestMemoryOfARun measures what finished runs take in Redis, with their raw
// requests, dedupe ids and indexes, as Redis itself counts it.
func TestMemoryOfARun(t *testing.T) {
	const runs = 200
	for _, test := range []struct {
		name string
		make func(testing.TB, int) []Submission
		max  int
	}{
		{"github", githubRun, 12 << 10},
		{"codenow", codenowRun, 6 << 10},
	} {
		for _, hooks := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/hooks=%v", test.name, hooks), func(t *testing.T) {
				b := &backend{t: t, real: storetest.Redis(t, "--appendfsync", "no"), ring: newRing(t)}
				var p Planner
				if hooks {
					p = plan(statusHooks)
				}
				s := b.open(func(c *Config) { c.Planner, c.Durability = p, Relaxed })
				commit := func(run int) {
					for _, sub := range test.make(t, run) {
						commitTo(t, s, sub)
						if hooks {
							deliverAll(t, s)
						}
					}
				}
				commit(-1) // indexes, scripts, connections
				before := usedMemory(t, b.real)
				for run := range runs {
					commit(run)
				}
				each := (usedMemory(t, b.real) - before) / runs
				t.Logf("%d bytes of Redis for a run of %s", each, test.name)
				if each > test.max {
					t.Errorf("%d bytes for a run, want at most %d", each, test.max)
				}
			})
		}
	}
}

// deliverAll settles everything that is due.
func deliverAll(t *testing.T, s *Store) {
	t.Helper()
	for {
		l, _, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if l == nil {
			return
		}
		d := l.Delivery
		settleWith(t, s, l, bridge.Settlement{Verdict: bridge.VerdictDelivered, Reason: "201 Created", Attempt: bridge.Attempt{
			At: time.Now().UnixMilli(), DurationMS: 87, Method: d.Method, URL: d.URL, RequestBody: d.Body, Status: 201, Remote: "140.82.112.5:443",
			RequestHeaders: map[string]string{"Authorization": "Bearer ***", "Accept": "application/vnd.github+json", "webhook-id": d.ID},
			Headers:        map[string]string{"Content-Type": "application/json; charset=utf-8", "X-Ratelimit-Remaining": "4987"},
			Body:           fmt.Sprintf(`{"url":%q,"id":%d,"state":"success","context":"ci/cibridge"}`, d.URL, rand.Uint32()), Verdict: bridge.VerdictDelivered, Reason: "201 Created",
		}})
	}
}

var memoryLine = regexp.MustCompile(`(?m)^(used_memory|mem_clients_normal|mem_aof_buffer):(\d+)`)

// usedMemory is what the keys take: without the buffers of connections and of
// the append-only file, which come and go.
func usedMemory(t *testing.T, r *storetest.Server) int {
	t.Helper()
	info, err := r.Do("INFO memory")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, m := range memoryLine.FindAllStringSubmatch(info, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		if m[1] != "used_memory" {
			n = -n
		}
		sum += n
	}
	return sum
}

func TestPackRoundTrip(t *testing.T) {
	p, err := newPacker(newRing(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("secret-token "), 500), variant(t, "workflow_run.requested.json", 3)} {
		packed := p.pack(requests1, "head\n", plain, "key")
		head, rest, _ := bytes.Cut(packed, []byte("\n"))
		if string(head) != "head" || bytes.Contains(rest, []byte("secret-token")) {
			t.Errorf("pack: got %.40q", packed)
		}
		got, err := p.unpack(rest, "key")
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unpack: got %.20q, %v; want %.20q", got, err, plain)
		}
		if _, err := p.unpack(rest, "another key"); err == nil {
			t.Errorf("a record opens in another place")
		}
	}
	if _, err := p.unpack([]byte{9}, ""); err == nil || !strings.Contains(err.Error(), "newer cibridge") {
		t.Errorf("an unknown version: got %v", err)
	}
}
