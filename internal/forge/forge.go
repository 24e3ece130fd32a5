// Package forge is a strict fake source provider to rehearse against: it
// answers commit statuses as GitHub, GitLab, Gitea, Bitbucket, Azure DevOps,
// Harness Code and Gerrit do, refuses what they refuse with their own error
// bodies, fails on request, and shows what a person would see on each commit.
//
// The calls it knows:
//
//	GitHub  POST /repos/{owner}/{repo}/statuses/{sha}          also under /api/v3
//	        GET  /repos/{owner}/{repo}/commits/{sha}/status    and …/statuses
//	GitLab  POST /api/v4/projects/{id or escaped path}/statuses/{sha}
//	        GET  /api/v4/projects/{id}/repository/commits/{sha}/statuses
//	Gitea   POST /api/v1/repos/{owner}/{repo}/statuses/{sha}
//	        GET  /api/v1/repos/{owner}/{repo}/commits/{sha}/status    and …/statuses
//	Bitbucket Cloud
//	        POST /2.0/repositories/{workspace}/{repo}/commit/{sha}/statuses/build
//	        GET  /2.0/repositories/{workspace}/{repo}/commit/{sha}/statuses
//	Bitbucket Data Center
//	        POST and GET …/rest/api/latest/projects/{project}/repos/{repo}/commits/{sha}/builds
//	Azure DevOps
//	        POST and GET /{organization}/{project}/_apis/git/repositories/{repo}/commits/{sha}/statuses
//	Harness Code
//	        PUT and GET …/api/v1/repos/{escaped path}/checks/commits/{sha}
//	Gerrit  POST and GET /a/changes/{project}~{number}/revisions/{sha}/review
//
// Every repository exists, and so does every commit with a whole sha. People
// look at / and programs at /_forge/commits and /_forge/requests; POST
// /_forge/faults {"faults": [...]} replaces the faults, POST /_forge/pipelines
// {"repository", "sha"} makes a new pipeline on GitLab, and POST /_forge/reset
// forgets everything. See [ParseFault] for what can be made to fail.
//
// Where the providers' documents are silent the rule is marked "unchecked" in
// the code: do not take it for the provider's.
package forge

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// The names of the providers.
const (
	GitHub      = "github"
	GitLab      = "gitlab"
	Gitea       = "gitea"
	Bitbucket   = "bitbucket"
	BitbucketDC = "bitbucket-dc"
	AzureDevOps = "azure-devops"
	HarnessCode = "harness-code"
	Gerrit      = "gerrit"
)

// Config says how a Forge behaves. The zero Config is a provider in good
// health that accepts any token.
type Config struct {
	// Token is the only one that is accepted; "" accepts every token that is
	// not empty.
	Token string
	// Faults come from [ParseFaults]; the first that applies is used.
	Faults []Fault
	// Hang is how long a request that is left without an answer is held when
	// its client does not give up before. Defaults to 60 seconds.
	Hang time.Duration
	// Late is how long after its client gave up a late request is applied.
	// Defaults to 300 milliseconds.
	Late time.Duration
	// RetryAfter is told with faults that have the header. Defaults to 1
	// second, the smallest that can be told.
	RetryAfter time.Duration
	// MaxRequests bounds the journal and MaxStatuses the statuses that are
	// kept; the oldest requests and commits are dropped, and counted. Default
	// to 50,000 and 100,000.
	MaxRequests, MaxStatuses int
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

// Request is one request that a Forge received. Credentials are not in it.
type Request struct {
	Number   int64     `json:"number"` // from 1, in the order of arrival
	At       time.Time `json:"at"`     // when it arrived
	Provider string    `json:"provider,omitempty"`
	Method   string    `json:"method"`
	Path     string    `json:"path"`   // escaped, without the query
	Status   int       `json:"answer"` // that was sent; 0 when none was
	Message  string    `json:"message,omitempty"`
	Fault    string    `json:"fault,omitempty"` // that was injected
	Applied  bool      `json:"applied"`         // whether it changed what a person sees
	Repo     string    `json:"repository,omitempty"`
	SHA      string    `json:"sha,omitempty"`
	Context  string    `json:"context,omitempty"`
	State    string    `json:"state,omitempty"`
	// ID is the delivery's own: the webhook-id or Idempotency-Key header.
	ID string `json:"id,omitempty"`
}

// Entry is one status that was applied to a commit.
type Entry struct {
	Number      int64     `json:"number"`   // of the request that wrote it
	Sequence    int64     `json:"sequence"` // in which statuses were applied
	At          time.Time `json:"at"`       // when it was applied
	Context     string    `json:"context"`
	State       string    `json:"state"`
	Description string    `json:"description,omitempty"`
	TargetURL   string    `json:"target_url,omitempty"`
	Ref         string    `json:"ref,omitempty"` // GitLab's ref, Gerrit's tag
	user        string    // fingerprint of the token that wrote it
	pipeline    string    // that GitLab filed it under
	id          int64     // GitLab moves a status on under one id
}

// Forge is a fake source provider. It is an http.Handler and safe for
// concurrent use.
type Forge struct {
	cfg Config

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced with every change
	faults   []*rule
	journal  journal
	number   int64
	sequence int64
	commits  commits
}

// New returns a Forge without any commits.
func New(cfg Config) *Forge {
	setDefault(&cfg.Hang, time.Minute)
	setDefault(&cfg.Late, 300*time.Millisecond)
	setDefault(&cfg.RetryAfter, time.Second)
	setDefault(&cfg.MaxRequests, 50_000)
	setDefault(&cfg.MaxStatuses, 100_000)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &Forge{cfg: cfg, changed: make(chan struct{}), faults: rules(cfg.Faults)}
	f.clear()
	return f
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (f *Forge) clear() {
	f.journal = journal{max: f.cfg.MaxRequests}
	f.commits = commits{max: f.cfg.MaxStatuses, byKey: map[commitKey]*commit{}}
}

// Reset forgets all requests and commits and lets every fault begin anew.
func (f *Forge) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clear()
	for _, r := range f.faults {
		r.seen = map[string]int{}
	}
	f.wake()
}

// SetFaults replaces the faults. None makes the provider well again.
func (f *Forge) SetFaults(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = rules(faults)
}

// Requests returns the journal in the order in which requests were settled;
// see Dropped.
func (f *Forge) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.journal.all()
}

// Dropped returns how many requests are no longer in the journal, and how many
// statuses are no longer kept.
func (f *Forge) Dropped() (requests, statuses int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.journal.dropped, f.commits.dropped
}

// Status returns what a person sees on a commit: the state of each context.
// It is empty when the commit has no status.
func (f *Forge) Status(provider, repo, sha string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]string{}
	if c := f.commits.get(provider, repo, sha); c != nil {
		for _, s := range c.shown() {
			out[s.Context] = s.State
		}
	}
	return out
}

// History returns all statuses that were applied to one context of a commit in
// their order; with the context "" those of all contexts.
func (f *Forge) History(provider, repo, sha, context string) []Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.commits.get(provider, repo, sha)
	if c == nil {
		return nil
	}
	var out []Entry
	for _, e := range c.entries {
		if context == "" || c.fold(e.Context) == c.fold(context) {
			out = append(out, e)
		}
	}
	return out
}

// Wait returns when done reports true. It asks at once and again whenever a
// request was settled, or returns the error of ctx.
func (f *Forge) Wait(ctx context.Context, done func() bool) error {
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wake tells all who wait; f.mu is held.
func (f *Forge) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// ServeHTTP answers as the provider whose path it is.
func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.serveOwn(w, r) {
		return
	}
	for _, d := range dialects {
		if c, ok := d.route(r.Method, r.URL.EscapedPath()); ok {
			f.serve(w, r, d, c)
			return
		}
	}
	f.begin(r, nil, call{}).finish(w, answer{status: http.StatusNotFound, body: map[string]any{
		"message": "Not Found",
		"forge":   "this path belongs to none of the providers; GET / shows what they are",
	}})
}
