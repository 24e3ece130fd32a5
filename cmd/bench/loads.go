package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// githubSecret signs the GitHub load.
const githubSecret = "bench-secret-of-the-github-source"

// template is a payload of testdata whose ids are replaced for each event.
type template struct {
	body []byte
	id   string // as it stands in the payload
	sha  string
}

const payloadSHA = "3f9d1c5ab7e24680c1d5f0a9e8b7c6d5e4f30211"

func readTemplate(file, id string) (template, error) {
	body, err := os.ReadFile(filepath.Join("testdata", "payloads", file))
	if err != nil {
		return template{}, fmt.Errorf("%w; run bench from the root of the project", err)
	}
	if !bytes.Contains(body, []byte(id)) {
		return template{}, fmt.Errorf("%s does not hold the id %s", file, id)
	}
	return template{body, id, payloadSHA}, nil
}

// fill returns the payload of run n. Its length is the template's.
func (t template) fill(n int64) []byte {
	id := fmt.Sprintf("1%0*d", len(t.id)-1, n) // JSON numbers have no leading zero
	sum := sha256.Sum256([]byte(id))
	b := bytes.ReplaceAll(t.body, []byte(t.id), []byte(id))
	return bytes.ReplaceAll(b, []byte(t.sha), []byte(hex.EncodeToString(sum[:20])))
}

// seiLoad posts finished SEI jobs, each another build.
func seiLoad(key string) (load, error) {
	t, err := readTemplate("harness-sei/flat-new-names.json", "5190442817")
	return load{"SEI, one event a run", func(n int64) post {
		return post{"/v1/custom-cicd", map[string]string{"Authorization": "Bearer " + key, "Content-Type": "application/json"}, t.fill(n)}
	}}, err
}

// githubLoad posts requested, in_progress and completed of one workflow run
// after the other.
func githubLoad() (load, error) {
	var phases []template
	for _, phase := range []string{"requested", "in_progress", "completed-success"} {
		t, err := readTemplate("github/workflow_run."+phase+".json", "19408812734")
		if err != nil {
			return load{}, err
		}
		phases = append(phases, t)
	}
	return load{"GitHub, three events a run", func(n int64) post {
		body := phases[n%3].fill(n / 3)
		mac := hmac.New(sha256.New, []byte(githubSecret))
		mac.Write(body)
		return post{"/in/gh", map[string]string{
			"Content-Type": "application/json", "X-GitHub-Event": "workflow_run", "X-GitHub-Delivery": fmt.Sprintf("%08x-bench-%d", n, n%3),
			"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(mac.Sum(nil)),
		}, body}
	}}, nil
}

// codenowLoad posts start, git-revision, container, helm and end of one build
// after the other.
func codenowLoad(key string) (load, error) {
	var steps []template
	for _, step := range []string{"start", "result.git-revision", "result.container", "result.helm", "end.successful"} {
		t, err := readTemplate("codenow/"+step+".json", "shop-checkout-2041")
		if err != nil {
			return load{}, err
		}
		steps = append(steps, t)
	}
	return load{"CodeNOW, five events a run", func(n int64) post {
		return post{"/ci/webhook", map[string]string{"X-Codenow-Api-Key": key, "Content-Type": "application/vnd.codenow.v1+json"}, steps[n%5].fill(n / 5)}
	}}, nil
}
