package api

import (
	"context"
	"time"

	"cibridge/bridge"
)

// This file is what the package needs from others. Each interface is as small
// as its user; one adapter around the store satisfies all of them.
//
// Errors: a *bridge.Error is shown to the client with the status of its code
// (CodeNotFound 404, CodeConflict 409, CodeForbidden 403, CodeUnavailable
// 503). Every other error is logged and answered with 503.

// Committer stores what a request became, atomically and durably: when Commit
// returns without an error, the request is acknowledged.
type Committer interface {
	// Commit answers within two seconds, with CodeUnavailable when nothing
	// could be stored. CodeConflict and CodeForbidden mean that the events
	// contradict what is stored: no run has changed, and the request is in
	// the ledger as rejected.
	Commit(ctx context.Context, sub Submission) (Receipt, error)
}

// Submission is one authenticated request and what became of it.
type Submission struct {
	Request bridge.Request
	// Dedupe names the request within its source. A request with the Dedupe
	// of a remembered one, and the same body, is a duplicate.
	Dedupe string
	Events []bridge.Event
	// Outcome is what became of a request without events: ignored, unmapped
	// or rejected. With events it is "" (the commit finds it out), or
	// unmapped when only a part of the request was understood.
	Outcome  bridge.Outcome
	Reason   string // why it has this outcome, for people
	Warnings []string
	// Remember is false for a request that the sender should correct and send
	// again: the next one is then a first one, not a duplicate.
	Remember bool
	// Code is the status of a refused request, for the ledger.
	Code int
}

// Receipt says what was stored.
type Receipt struct {
	Event   string   // id of this request
	Runs    []string // ids of the runs that it belongs to
	Outcome bridge.Outcome
	Reason  string
	// DuplicateOf is the id of the first request with the same dedupe id;
	// Runs and FirstOutcome are then those of the first: the duplicate is
	// answered as the first one was.
	DuplicateOf  string
	FirstOutcome bridge.Outcome
}

// Snapshot is everything that operators configure, as it was at Version.
// Nobody changes a snapshot after it was handed out.
type Snapshot struct {
	Version      int64
	Sources      []bridge.Source
	Keys         []bridge.Key
	Applications []bridge.Application
	Hooks        []bridge.Hook
	// Files names the file of each read-only source, application or hook, by
	// its id.
	Files map[string]string
}

// Registry holds what operators configure.
type Registry interface {
	// Snapshot returns the newest one that this process knows. It does no
	// I/O, never returns nil, and returns the same pointer until something
	// changes: it is asked for with every request.
	Snapshot() *Snapshot

	PutSource(ctx context.Context, s bridge.Source) error
	DeleteSource(ctx context.Context, id string) error
	PutApplication(ctx context.Context, a bridge.Application) error
	DeleteApplication(ctx context.Context, id string) error
	PutHook(ctx context.Context, h bridge.Hook) error
	DeleteHook(ctx context.Context, id string) error
}

// Keys holds the API keys; [Snapshot] lists them.
type Keys interface {
	PutKey(ctx context.Context, k bridge.Key) error
	DeleteKey(ctx context.Context, id string) error
	// TouchKey notes that a key was used now. This package calls it at most
	// once a minute for one key.
	TouchKey(ctx context.Context, id string, at time.Time) error
	// KeysUsed returns when each key was last used, epoch ms; a key that never
	// was is not in it.
	KeysUsed(ctx context.Context) (map[string]int64, error)
}

// Page asks for a part of a list: at most Limit items after Cursor, which is
// the next of the page before or "".
type Page struct {
	Limit  int
	Cursor string
}

// RunFilter selects runs; an empty field selects all.
type RunFilter struct {
	Status   bridge.Status
	Pipeline string // id or canonical name
	Source   string
	Repo     string // owner/name
	SHA      string
	Branch   string
	Page
}

// Runs reads runs, newest first.
type Runs interface {
	Run(ctx context.Context, id string) (*bridge.Run, error)
	Runs(ctx context.Context, f RunFilter) (runs []*bridge.Run, next string, err error)
	Pipelines(ctx context.Context, p Page) (pipelines []Pipeline, next string, err error)
}

// Pipeline is a pipeline that had a run.
type Pipeline struct {
	ID      string `json:"id"`
	Name    string `json:"name"` // canonical: <source>/<pipeline.id>
	Title   string `json:"title,omitempty"`
	Source  string `json:"source,omitempty"`
	LastRun string `json:"last_run,omitempty"`
}

// EventFilter selects requests; an empty field selects all.
type EventFilter struct {
	Outcome bridge.Outcome
	Source  string
	Run     string // id of a run that the request belongs to
	Page
}

// Ledger reads what became of requests, newest first.
type Ledger interface {
	Event(ctx context.Context, id string) (Entry, error)
	Events(ctx context.Context, f EventFilter) (entries []Entry, next string, err error)
	// Raw returns a request as it arrived, without its credentials but with
	// whatever secrets its body has. CodeNotFound when it is no longer kept.
	Raw(ctx context.Context, id string) (bridge.Request, error)
}

// Entry is a request in the ledger. Its raw body is not in it.
type Entry struct {
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Mapping     string         `json:"mapping,omitempty"`
	Received    time.Time      `json:"received"`
	Method      string         `json:"method,omitempty"`
	Path        string         `json:"path,omitempty"`
	Outcome     bridge.Outcome `json:"outcome"`
	Reason      string         `json:"reason,omitempty"`
	Code        int            `json:"code,omitempty"`
	Runs        []string       `json:"runs"`
	DuplicateOf string         `json:"duplicate_of,omitempty"`
	Warnings    []string       `json:"warnings,omitempty"`
	Bytes       int            `json:"bytes,omitempty"`
}

// DeliveryFilter selects deliveries; an empty field selects all.
type DeliveryFilter struct {
	State bridge.DeliveryState
	Run   string
	Hook  string
	// Since and Until bound when the state last changed: for a dead letter,
	// when it was given up. Zero is no bound.
	Since, Until time.Time
	Page
}

// Deliveries reads deliveries, newest first, and sends some again.
type Deliveries interface {
	Delivery(ctx context.Context, id string) (DeliveryStatus, error)
	Deliveries(ctx context.Context, f DeliveryFilter) (list []DeliveryStatus, next string, err error)
	// Redeliver queues a delivery that was given up or delivered. It answers
	// CodeConflict when a newer state of the same resource was delivered,
	// unless force is set.
	Redeliver(ctx context.Context, id string, force bool) error
	// RedeliverAll does so with a page of the deliveries that f selects, and
	// says of each what became of it.
	RedeliverAll(ctx context.Context, f DeliveryFilter, how RedeliverOptions) (done []Redelivery, next string, err error)
}

// RedeliverOptions say how deliveries are sent again.
type RedeliverOptions struct {
	Force  bool // also what is older than what the resource shows
	DryRun bool // only say what would happen
}

// Redelivery is what became of the wish to send one delivery again.
type Redelivery struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`      // redelivered, superseded, pending or gone
	By      string `json:"by,omitempty"` // the newer delivery, when it is superseded
}

// DeliveryStatus is a delivery and where it stands.
type DeliveryStatus struct {
	Delivery bridge.Delivery
	State    bridge.DeliveryState
	Reason   string    // the last attempt's, or why it was superseded or given up
	Tries    int       // attempts so far
	Next     time.Time // next try; zero when there is none
	Updated  time.Time
	Waits    *Wait // nil unless it is pending or being sent
}

// Wait says what a delivery waits for.
type Wait struct {
	For    string    // next_try, quarantine, confirm, breaker, rate_limit, behind, lease or turn
	Until  time.Time // zero when it is not known
	Behind string    // the delivery before it in its lane, for behind
	Text   string    // all of it, for people
}

// Attempts reads the log of HTTP tries, newest first. Credentials are masked
// in it.
type Attempts interface {
	Attempt(ctx context.Context, id string) (bridge.Attempt, error)
	// HookAttempts lists the tries of one hook, and how many there are.
	HookAttempts(ctx context.Context, hook string, offset, limit int) (list []bridge.Attempt, total int, err error)
	// DeliveryAttempts lists the tries of one delivery.
	DeliveryAttempts(ctx context.Context, delivery string) ([]bridge.Attempt, error)
}

// Health is the answer of /readyz.
type Health struct {
	Ready bool `json:"ready"`
	// Reasons say what is wrong and how to fix it; there may be some although
	// the server is ready (durability relaxed).
	Reasons []string `json:"reasons"`
	// Facts are the versions and settings that were found.
	Facts map[string]any `json:"facts,omitempty"`
}
