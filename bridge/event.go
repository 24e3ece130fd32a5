package bridge

import "time"

// Status is the canonical state of a run, a stage or a step.
type Status string

// The canonical states. Incomplete is derived, never sent by a mapping: a
// succeeded run that lacks something its format requires. Unknown is a run of
// which no event had a known status word yet.
const (
	Queued     Status = "queued"
	Running    Status = "running"
	Waiting    Status = "waiting"
	Succeeded  Status = "succeeded"
	Failed     Status = "failed"
	Errored    Status = "errored"
	Canceled   Status = "canceled"
	Skipped    Status = "skipped"
	TimedOut   Status = "timed_out"
	Incomplete Status = "incomplete"
	Unknown    Status = "unknown"
)

// statusFacts orders the states: rank first, severity among equals.
var statusFacts = map[Status]struct{ rank, severity int }{
	Queued:    {1, 0},
	Running:   {2, 0},
	Waiting:   {2, 1},
	Succeeded: {3, 0},
	Skipped:   {3, 1},
	Canceled:  {3, 2},
	TimedOut:  {3, 3},
	Failed:    {3, 4},
	Errored:   {3, 5},
}

// Statuses lists the states that a mapping may set, in the order in which a
// run passes them.
func Statuses() []Status {
	return []Status{Queued, Running, Waiting, Succeeded, Skipped, Canceled, TimedOut, Failed, Errored, Unknown}
}

// Terminal reports whether s ends a run.
func (s Status) Terminal() bool { return s.rank() == 3 }

func (s Status) rank() int {
	if s == Incomplete {
		s = Succeeded
	}
	return statusFacts[s].rank
}

// Order says how the events of one attempt are ordered.
type Order string

const (
	// ByRank orders queued before running before terminal, and by time only
	// within one rank: real tools send equal or second-granular times.
	ByRank Order = ""
	// ByTime orders by time first, for tools that re-open a run without any
	// number (Buildkite, CodePipeline).
	ByTime Order = "time"
)

// Request is what arrived: the unit that is acknowledged, deduplicated and
// listed with exactly one outcome.
type Request struct {
	ID       string            // evt_…, unique per arrival
	Source   string            // id of the source that authenticated it
	Mapping  string            // name of the mapping of that source
	Received time.Time         // when the last byte had arrived
	Method   string            // of the HTTP request
	Path     string            // of the HTTP request, without the query
	Query    map[string]string // first value of each query parameter, credentials removed
	Header   map[string]string // lower-case names, credentials removed
	Body     []byte            // exact bytes as they arrived
	Remote   string            // peer address
}

// Event is what a mapping made of (a part of) a request.
type Event struct {
	// ID is the dedupe id of the request plus the index of the event in it.
	// It never depends on the order of arrival.
	ID      string
	Source  string
	Name    string // the mapping's name of the event: "start", "workflow_run"
	RunKey  string // native id of the run, see [JoinKey]
	Parent  string // RunKey of the run that caused this one, or ""
	Attempt int64  // 1, 2, …; 0 when the event cannot know it and joins run-wide
	Order   Order
	At      int64 // the source's clock, epoch ms; only orders events of one rank
	// Received is when the request had arrived, epoch ms: the clock of what the
	// event fires. It never decides what a run shows.
	Received int64
	Status   Status // "" when the event says nothing of the run's state
	Word     string // the raw status word that no map knows, else ""
	// Fields are keyed by the canonical names of [Fields] and hold values of
	// the kinds named there; an absent name leaves the run's value alone.
	Fields map[string]any
	Lists  map[string][]Item // keyed by the names of [Lists]
	// Requires names what a succeeded run must have to be complete:
	// "artifact.helm" (an artifact of that kind), "commit.sha|commit.tag"
	// (one of the fields).
	Requires []string
	// Once, when not empty, is the fingerprint of an event that may come only
	// once per run: the same again is a duplicate, another one a conflict.
	Once string
	// Scope lists the components that the sender may write; nil means all. A
	// scope of one component fixes the component of the run.
	Scope []string
	// Warnings say which fields could not be used and why, with the place in
	// the mapping.
	Warnings []string
}

// Item is one entry of a list: a stage, a step, an artifact. Items with the
// same key are one item; the greater Attempt wins as a whole.
type Item struct {
	Key     string
	Attempt int64
	Fields  map[string]any
	Lists   map[string][]Item
}

// Outcome is what became of a request. Every acknowledged request has
// exactly one.
type Outcome string

// The outcomes. Late is an event with a status that is older than what the run
// already knows: its fields count, it fires nothing.
const (
	Applied   Outcome = "applied"
	Duplicate Outcome = "duplicate"
	Ignored   Outcome = "ignored"
	Unmapped  Outcome = "unmapped"
	Rejected  Outcome = "rejected"
	Late      Outcome = "late"
)
