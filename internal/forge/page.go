package forge

import (
	"bytes"
	_ "embed" // for the page
	"encoding/json"
	"html/template"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"short": func(sha string) string { return sha[:min(len(sha), 10)] },
	"clock": func(t time.Time) string { return t.Format("15:04:05.000") },
	"kind":  kindOf,
	"icon":  func(state string) string { return icons[kindOf(state)] },
}).Parse(pageSource))

// kinds are the colours of states, by the words of all providers.
var kinds = map[string]string{
	"pending": "pending", "running": "running", "success": "good", "failure": "bad", "failed": "bad", "error": "bad",
	"warning": "warn", "canceled": "idle", "skipped": "idle",
	"INPROGRESS": "pending", "SUCCESSFUL": "good", "FAILED": "bad", "STOPPED": "idle", "CANCELLED": "idle", // Bitbucket
	"succeeded": "good", "partiallySucceeded": "warn", "notApplicable": "idle", // Azure DevOps
	"+1": "good", "+0": "pending", "-1": "bad", // Gerrit
}

var icons = map[string]string{"pending": "●", "running": "◐", "good": "✓", "bad": "✗", "warn": "!", "idle": "○"}

func kindOf(state string) string {
	if k := kinds[state]; k != "" {
		return k
	}
	return "idle"
}

// CommitView is what a person sees of a commit, and how it came to that.
type CommitView struct {
	Provider string        `json:"provider"`
	Repo     string        `json:"repository"`
	SHA      string        `json:"sha"`
	Contexts []ContextView `json:"contexts"`
}

// ContextView is one line of a commit: the status that it shows now and all
// that were applied to it, oldest first.
type ContextView struct {
	Context     string    `json:"context"`
	State       string    `json:"state"`
	Description string    `json:"description,omitempty"`
	TargetURL   string    `json:"target_url,omitempty"`
	At          time.Time `json:"at"`
	History     []Entry   `json:"history"`
}

// Commits returns at most limit commits (0: all), the one that was written
// last first.
func (f *Forge) Commits(limit int) []CommitView {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.commits.byLastWrite()
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	out := make([]CommitView, len(list))
	for i, c := range list {
		out[i] = CommitView{Provider: c.provider, Repo: c.repo, SHA: c.sha}
		for _, s := range c.shown() {
			out[i].Contexts = append(out[i].Contexts, ContextView{s.Context, s.State, s.Description, s.TargetURL, s.At, s.history})
		}
	}
	return out
}

// ownRoutes are the pages and the calls of the Forge itself.
var ownRoutes = map[string]func(f *Forge, w http.ResponseWriter, r *http.Request){
	"GET /":                  (*Forge).servePage,
	"GET /favicon.ico":       noContent,
	"GET /_forge/commits":    (*Forge).serveCommits,
	"GET /_forge/requests":   (*Forge).serveRequests,
	"POST /_forge/faults":    (*Forge).serveFaults,
	"POST /_forge/pipelines": (*Forge).servePipelines,
	"POST /_forge/reset": func(f *Forge, w http.ResponseWriter, r *http.Request) {
		f.Reset()
		noContent(f, w, r)
	},
}

func noContent(_ *Forge, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// serveOwn answers the pages and calls of the Forge itself. It returns false
// for the paths of the providers.
func (f *Forge) serveOwn(w http.ResponseWriter, r *http.Request) bool {
	serve := ownRoutes[r.Method+" "+r.URL.Path]
	if serve == nil {
		return false
	}
	// What is shown came from strangers: no scripts, no framing, no sniffing.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	serve(f, w, r)
	return true
}

// queryLimit reads ?limit=, def when it is absent or not a number.
func queryLimit(r *http.Request, def int) int {
	if n, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && n >= 0 {
		return n
	}
	return def
}

const (
	pageCommits  = 50
	pageRequests = 100
)

func (f *Forge) servePage(w http.ResponseWriter, r *http.Request) {
	lost, lostStatuses := f.Dropped()
	var b bytes.Buffer
	err := page.Execute(&b, map[string]any{
		"Commits": f.Commits(queryLimit(r, pageCommits)), "Requests": f.newest(pageRequests), "Faults": f.faultNames(),
		"Dropped": lost, "DroppedStatuses": lostStatuses, "Host": r.Host,
	})
	if err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the client may be gone
}

// newest returns the newest n requests, newest first.
func (f *Forge) newest(n int) []Request {
	all := f.Requests()
	var out []Request
	for i := len(all) - 1; i >= 0 && len(out) < n; i-- {
		out = append(out, all[i])
	}
	return out
}

func (f *Forge) faultNames() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []string{}
	for _, r := range f.faults {
		out = append(out, r.Fault.String())
	}
	return out
}

// serveCommits lists commits; ?sha=, ?repository= and ?limit= narrow it.
func (f *Forge) serveCommits(w http.ResponseWriter, r *http.Request) {
	sha, repo := r.URL.Query().Get("sha"), r.URL.Query().Get("repository")
	limit := queryLimit(r, 0)
	items := []CommitView{}
	for _, c := range f.Commits(0) {
		if sha != "" && !strings.EqualFold(c.SHA, sha) || repo != "" && !strings.EqualFold(c.Repo, repo) {
			continue
		}
		if items = append(items, c); len(items) == limit {
			break
		}
	}
	_, lost := f.Dropped()
	writeJSON(w, http.StatusOK, map[string]any{"items": items, "next": nil, "dropped": lost})
}

// serveRequests lists the journal, oldest first; ?limit= keeps the newest.
func (f *Forge) serveRequests(w http.ResponseWriter, r *http.Request) {
	all := f.Requests()
	if n := queryLimit(r, 0); n > 0 && len(all) > n {
		all = all[len(all)-n:]
	}
	lost, _ := f.Dropped()
	writeJSON(w, http.StatusOK, map[string]any{"items": append([]Request{}, all...), "next": nil, "dropped": lost})
}

func (f *Forge) serveFaults(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Faults []string `json:"faults"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	var faults []Fault
	if err == nil {
		faults, err = ParseFaults(in.Faults)
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]any{"message": err.Error()})
		return
	}
	f.SetFaults(faults...)
	writeJSON(w, http.StatusOK, map[string]any{"faults": f.faultNames()})
}

// servePipelines makes a new pipeline for a commit on GitLab.
func (f *Forge) servePipelines(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Repo string `json:"repository"`
		SHA  string `json:"sha"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil || in.Repo == "" || !wholeSHA.MatchString(in.SHA) {
		writeJSON(w, http.StatusBadRequest, map[string]any{"message": "name a repository and the whole sha of a commit"})
		return
	}
	f.NewPipeline(in.Repo, in.SHA)
	noContent(f, w, r)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
