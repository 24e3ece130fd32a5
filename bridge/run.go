package bridge

import (
	"maps"
	"slices"
	"strings"
)

// Kind is what a field of a run holds, and so what a mapping may set it to.
type Kind int

// The kinds. Go values: Text string; Number int64 (or string, where the tool
// numbers with text); Flag bool; Time int64 (epoch ms, UTC); Duration int64
// (ms); Map map[string]any; List []any.
const (
	Text Kind = iota
	Number
	Flag
	Time
	Duration
	Map
	List
)

// Field describes a canonical field.
type Field struct {
	Name string
	Kind Kind
	// OwnAttempt marks a field that belongs to one attempt only: a re-run does
	// not inherit it.
	OwnAttempt bool
	Doc        string
}

// fields is the one list of what a mapping may set on a run.
var fields = []Field{
	{"pipeline.id", Text, false, "the tool's own id of the pipeline"},
	{"pipeline.name", Text, false, "its name for people"},
	{"pipeline.url", Text, false, "its page"},
	{"component", Text, false, "the component that is built; API keys are scoped by it"},
	{"kind", Text, false, "ci or cd"},
	{"number", Number, false, "the run's number for people"},
	{"warnings", Flag, true, "true when the run passed with warnings"},
	{"version", Text, false, "the version that is built"},
	{"title", Text, true, "what the run is about"},
	{"url", Text, false, "the run's page"},
	{"queued_at", Time, true, "when the attempt was queued"},
	{"started_at", Time, true, "when the attempt started"},
	{"finished_at", Time, true, "when the attempt ended"},
	{"duration_ms", Duration, true, "how long the attempt ran"},
	{"actor.login", Text, false, "who started it"},
	{"actor.name", Text, false, "the same, for people"},
	{"actor.email", Text, false, "their address"},
	{"repo.url", Text, false, "the repository; fills host, owner, name and full_name"},
	{"repo.host", Text, false, "host of the repository"},
	{"repo.owner", Text, false, "owner, or group path"},
	{"repo.name", Text, false, "name without its owner"},
	{"repo.full_name", Text, false, "owner/name"},
	{"repo.id", Text, false, "the provider's id of the repository"},
	{"repo.provider", Text, false, "github, gitlab, bitbucket, gitea, …"},
	{"commit.sha", Text, false, "7 to 64 hex digits"},
	{"commit.branch", Text, false, "branch"},
	{"commit.tag", Text, false, "tag"},
	{"commit.message", Text, false, "message"},
	{"commit.author", Text, false, "author"},
	{"commits", List, false, "shas or objects of all commits in the run"},
	{"pull_request.number", Number, false, "number of the pull or merge request"},
	{"pull_request.url", Text, false, "its page"},
	{"pull_request.title", Text, false, "its title"},
	{"instance.id", Text, false, "the CI server"},
	{"instance.name", Text, false, "its name"},
	{"instance.url", Text, false, "its page"},
	{"environment", Text, false, "where a deployment goes"},
	{"params", Map, false, "parameters of the run"},
	{"variables", Map, false, "hook_parsed_variables of Devopness"},
	{"labels", Map, false, "anything else worth keeping"},
	{"trigger_chain", List, false, "what caused the run, nearest first"},
}

// Fields lists the fields that a mapping may set on a run. A name that starts
// with "params.", "variables." or "labels." sets one entry of that map.
func Fields() []Field { return append([]Field(nil), fields...) }

// ListOf describes a list of a run: the fields of its items and their lists.
type ListOf struct {
	Name   string
	Fields []Field
	Lists  []ListOf
}

var stepFields = []Field{
	{"name", Text, false, "name"},
	{"status", Text, false, "canonical status"},
	{"started_at", Time, false, "start"},
	{"finished_at", Time, false, "end"},
	{"duration_ms", Duration, false, "duration"},
	{"url", Text, false, "page"},
}

var lists = []ListOf{
	{Name: "stages", Fields: stepFields, Lists: []ListOf{{Name: "steps", Fields: stepFields}}},
	{Name: "artifacts", Fields: []Field{
		{"kind", Text, false, "container, helm, maven, …"},
		{"name", Text, false, "name"},
		{"version", Text, false, "version or tag"},
		{"uri", Text, false, "where it is"},
		{"digest", Text, false, "content hash"},
		{"direction", Text, false, "in (consumed) or out (produced)"},
	}},
	{Name: "quality", Fields: []Field{{"system", Text, false, "SonarQube, …"}, {"url", Text, false, "report"}}},
	{Name: "links", Fields: []Field{{"title", Text, false, "title"}, {"url", Text, false, "target"}}},
}

// Lists lists the lists that a mapping may fill. An item's key defaults to all
// its field values.
func Lists() []ListOf { return append([]ListOf(nil), lists...) }

// fieldKinds looks a canonical name up.
var fieldKinds = func() map[string]Field {
	m := map[string]Field{}
	for _, f := range fields {
		m[f.Name] = f
	}
	return m
}()

// kindOf returns the kind of a field and whether each attempt has its own. An
// entry of a map ("params.x") has the map's kind.
func kindOf(name string) (Kind, bool) {
	if f, ok := fieldKinds[name]; ok {
		return f.Kind, f.OwnAttempt
	}
	root, _, _ := strings.Cut(name, ".")
	f := fieldKinds[root]
	return f.Kind, f.OwnAttempt
}

// attempt is what belongs to one execution of a run.
type attempt struct {
	Heads   heads
	Started int64
	Cells   cells
	Lists   map[string]itemSet
}

// Run is one execution of a pipeline, with its re-runs. The exported fields
// belong to those who store and plan; what events say of the run is read
// through its methods. A Run is not safe for concurrent use.
type Run struct {
	ID        string
	Source    string
	Key       string // native id
	Partition int
	Version   int64 // counts commits; 0 for a run that is not stored yet
	CreatedAt int64 // when its first event arrived here, epoch ms
	UpdatedAt int64 // when its last event arrived here, epoch ms
	Parked    []Parked
	Skips     []Skip

	order    Order
	fields   cells
	maps     map[string]cells
	requires []string
	attempts map[int64]*attempt // 0 holds what no event could tell the attempt of
	once     map[string]string  // event name -> fingerprint
	fired    Firing
	since    map[int64]int64
}

// NewRun returns a run without events, created at now (epoch ms).
func NewRun(partition int, source, key string, now int64) *Run {
	return &Run{
		ID: RunID(partition, source, key), Source: source, Key: key, Partition: partition,
		CreatedAt: now, UpdatedAt: now,
		maps: map[string]cells{}, attempts: map[int64]*attempt{}, once: map[string]string{}, since: map[int64]int64{},
	}
}

// head returns the run's head, none while no event had a status.
func (r *Run) head() place {
	best := place{attempt: -1}
	for n, a := range r.attempts {
		if h := a.Heads.under(r.order); !h.none() && n > best.attempt {
			best = place{n, h}
		}
	}
	return best
}

func (r *Run) hasHead() bool { return !r.head().none() }

// Attempt returns the attempt that the run shows: the head's, else the
// greatest seen, at least 1.
func (r *Run) Attempt() int64 {
	if h := r.head(); !h.none() {
		return max(h.attempt, 1)
	}
	return slices.Max(append(slices.Collect(maps.Keys(r.attempts)), 1))
}

// Status returns what the run is now: [Unknown] while no event had a known
// status, [Incomplete] for a succeeded run that lacks something required.
func (r *Run) Status() Status {
	h := r.head()
	switch {
	case h.none():
		return Unknown
	case h.status == Succeeded && len(r.Incomplete()) > 0:
		return Incomplete
	}
	return h.status
}

// Incomplete lists the requirements that the run does not meet yet, whatever
// its status; nil when it meets all.
func (r *Run) Incomplete() []string {
	var missing []string
	for _, need := range r.requires {
		if !slices.ContainsFunc(strings.Split(need, "|"), r.meets) {
			missing = append(missing, need)
		}
	}
	return missing
}

func (r *Run) meets(need string) bool {
	if kind, ok := strings.CutPrefix(need, "artifact."); ok {
		for _, a := range r.items("artifacts") {
			if c, _ := a.Cells.get("kind"); text(c.value) == kind {
				return true
			}
		}
		return false
	}
	_, ok := r.Field(need)
	return ok
}

// items joins the list of the shown attempt with the run-wide one.
func (r *Run) items(list string) itemSet {
	var own, wide itemSet
	if a := r.attempts[r.Attempt()]; a != nil {
		own = a.Lists[list]
	}
	if a := r.attempts[0]; a != nil {
		wide = a.Lists[list]
	}
	return merged(own, wide)
}

// Field returns the value of a canonical field as the run shows it: times as
// epoch ms. ok is false when no event set it.
func (r *Run) Field(name string) (value any, ok bool) {
	switch name {
	case "started_at", "finished_at", "duration_ms":
		t := r.timing()
		n := t.of(name)
		return n, n > 0 || name == "duration_ms" && n == 0 && t.finished > 0
	}
	if _, own := kindOf(name); own {
		return r.ownField(name)
	}
	if c, found := r.fields.get(name); found {
		return c.value, true
	}
	if root, entry, found := strings.Cut(name, "."); found {
		c, found := r.maps[root].get(entry)
		return c.value, found
	}
	return nil, false
}

func (r *Run) ownField(name string) (any, bool) {
	for _, n := range [...]int64{r.Attempt(), 0} {
		if a := r.attempts[n]; a != nil {
			if c, ok := a.Cells.get(name); ok {
				return c.value, true
			}
		}
	}
	return nil, false
}

// timing is when an attempt or an item ran, in epoch ms, 0 while that is not
// known, and for how long, in ms: -1 when neither sent nor computable.
type timing struct {
	started, finished, duration int64
}

func (t timing) of(name string) int64 {
	switch name {
	case "started_at":
		return t.started
	case "finished_at":
		return t.finished
	}
	return t.duration
}

// timing returns that of the shown attempt.
func (r *Run) timing() timing {
	var started int64
	for _, n := range [...]int64{r.Attempt(), 0} {
		if a := r.attempts[n]; a != nil {
			started = earliest(started, a.Started)
		}
	}
	h := r.head()
	return timingOf(started, h.head)
}

func timingOf(started int64, h head) timing {
	t := timing{started, h.finished, -1}
	switch {
	case !h.status.Terminal():
	case h.duration >= 0:
		t.duration = h.duration
	case started > 0 && h.finished >= started:
		t.duration = h.finished - started
	}
	return t
}

// PipelineName returns the canonical name "<source>/<pipeline.id>", or "" while
// no event named the pipeline.
func (r *Run) PipelineName() string {
	id, ok := r.Field("pipeline.id")
	if !ok {
		return ""
	}
	return r.Source + "/" + text(id)
}

// PipelineID returns the short id of the run's pipeline, pl_…, or "" while no
// event named the pipeline.
func (r *Run) PipelineID() string {
	if name := r.PipelineName(); name != "" {
		return PipelineID(name)
	}
	return ""
}

// maxSkew is how far a source's clock may run ahead: a later one would put its
// run before all others of the same commit for that long.
const maxSkew = 5 * 60 * 1000

// Since returns the place of an attempt among all runs that write one
// resource, in epoch ms: when it started, else when it was queued, else the
// time of its event, at most five minutes after now and at least 1 ms after
// the attempt before. The first answer is kept.
func (r *Run) Since(attempt, now int64) int64 {
	if at, ok := r.since[attempt]; ok {
		return at
	}
	at := r.timing().started
	if at == 0 {
		queued, _ := r.ownField("queued_at")
		at = millis(queued)
	}
	if at == 0 {
		at = r.head().at
	}
	if at <= 0 || at > now+maxSkew {
		at = now
	}
	for n, before := range r.since {
		if n < attempt {
			at = max(at, before+1)
		}
	}
	r.since[attempt] = at
	return at
}
