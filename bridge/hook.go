package bridge

// Trigger is what a hook can wait for: Devopness's five.
type Trigger string

// The triggers. ActionStatusChanged comes with every change.
const (
	ActionQueued        Trigger = "action.queued"
	ActionStarted       Trigger = "action.started"
	ActionCompleted     Trigger = "action.completed"
	ActionFailed        Trigger = "action.failed"
	ActionStatusChanged Trigger = "action.status_changed"
)

// Triggers lists all triggers in the order in which a run passes them.
func Triggers() []Trigger {
	return []Trigger{ActionQueued, ActionStarted, ActionCompleted, ActionFailed, ActionStatusChanged}
}

// triggersOf says what a change to a status fires besides
// action.status_changed. Devopness has no canceled: it counts as failed, and
// the exact word is in run.status.
var triggersOf = map[Status]Trigger{
	Queued:     ActionQueued,
	Running:    ActionStarted,
	Succeeded:  ActionCompleted,
	Incomplete: ActionCompleted,
	Skipped:    ActionCompleted,
	Failed:     ActionFailed,
	Errored:    ActionFailed,
	TimedOut:   ActionFailed,
	Canceled:   ActionFailed,
}

// TriggersOf lists what a run fires when it enters s, the most specific first.
// It returns nil for Unknown and "".
func TriggersOf(s Status) []Trigger {
	if s == "" || s == Unknown {
		return nil
	}
	if t, ok := triggersOf[s]; ok {
		return []Trigger{t, ActionStatusChanged}
	}
	return []Trigger{ActionStatusChanged}
}

// Firing is one change of a run's head: what hooks are asked about.
type Firing struct {
	Attempt int64  `json:"attempt"`
	Status  Status `json:"status"`
	At      int64  `json:"at"`      // when it fired here, epoch ms
	Version int64  `json:"version"` // version of the run that fired it
}

// Parked is a firing that waits for a value the run does not have yet.
type Parked struct {
	Firing
	// Hook is the id of the hook that waits; "" stands for every hook of the
	// run's pipeline while that pipeline is not known.
	Hook    string `json:"hook,omitempty"`
	Missing string `json:"missing"` // what is waited for, for people: "commit.sha"
}

// Ordering says what a lane does with older entries.
type Ordering string

const (
	// Latest sends only the newest state of a resource; older ones that were
	// not yet sent are superseded.
	Latest Ordering = "latest"
	// Every sends all of them, in order.
	Every Ordering = "every"
)

// Part is a piece of a header value: text, or a reference to something that
// is resolved only when the request is sent (never both).
type Part struct {
	Text string `json:"t,omitempty"`
	// Ref is "application:<id>:access_token" or "hook:<id>:<name>". The first
	// may end in ":basic" or ":authorization", the form in which it is sent.
	Ref string `json:"r,omitempty"`
}

// Header is a request header of a delivery.
type Header struct {
	Name  string `json:"n"`
	Parts []Part `json:"p"`
}

// Delivery is one firing for one hook, rendered when the event was committed:
// an old state never carries new text.
type Delivery struct {
	ID       string   `json:"id"`       // dlv_…, derived from (run, attempt, status, version, hook)
	Hook     string   `json:"hook"`     // id of the hook
	Run      string   `json:"run"`      // run_…
	Pipeline string   `json:"pipeline"` // pl_…
	Firing   Firing   `json:"firing"`
	Trigger  Trigger  `json:"trigger"` // the hook's trigger that matched
	Lane     string   `json:"lane"`    // hash of the destination resource
	Bucket   string   `json:"bucket"`  // origin and credential: the unit of rate limit and breaker
	Ordering Ordering `json:"ordering"`
	Since    int64    `json:"since"` // place of the run's attempt in the lane, epoch ms
	Method   string   `json:"method"`
	URL      string   `json:"url"`
	Headers  []Header `json:"headers,omitempty"`
	Body     string   `json:"body,omitempty"`
	// Profile names the provider profile whose classifier reads the answer;
	// "" uses the general one.
	Profile string `json:"profile,omitempty"`
	// DeliveredWhen is an expression over the answer that overrides the
	// classifier when true; "" when the hook has none.
	DeliveredWhen string `json:"delivered_when,omitempty"`
	TimeoutMS     int64  `json:"timeout_ms,omitempty"` // 0: the default
	// Notes say what had to be left out or cut: "description cut to 140 of
	// 211 characters".
	Notes []string `json:"notes,omitempty"`
}

// Skip is a firing that a hook will never send, and why.
type Skip struct {
	Hook   string `json:"hook"`
	Firing Firing `json:"firing"`
	Reason string `json:"reason"`
}

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending    DeliveryState = "pending"    // waits for its turn or its next try
	DeliverySending    DeliveryState = "sending"    // leased by a worker
	DeliveryDelivered  DeliveryState = "delivered"  // the provider has it
	DeliverySuperseded DeliveryState = "superseded" // a newer state of the resource took its place
	DeliveryDead       DeliveryState = "dead"       // given up, redeliverable
)

// Lease is the right to send one delivery, until it expires. Fence makes a
// late settle of an expired lease a no-op.
type Lease struct {
	Partition  int
	Delivery   Delivery
	Member     string // the delivery's member in its lane
	Fence      int64
	Tries      int  // sends of this delivery that came before this one
	Confirming bool // the one re-send after an ambiguous attempt
	UntilMS    int64
	// Identical reports that the last settled delivery of the lane had this
	// very request: it need not be sent again unless Confirming.
	Identical bool
	// Memo is what the last settlement of this delivery left, "" before the
	// first one and after a redelivery was asked for.
	Memo string
	// Captured is what the last settlement in this lane left, "" when none
	// did.
	Captured string
}

// Verdict is what a settled attempt means for its delivery.
type Verdict string

// The verdicts.
const (
	VerdictDelivered Verdict = "delivered"
	VerdictRetry     Verdict = "retry"
	VerdictDead      Verdict = "dead"
)

// Settlement closes a lease.
type Settlement struct {
	Verdict Verdict
	// Outcome is what the attempt came to, for logs and counters: delivered,
	// transient, throttled, credential, permanent, …
	Outcome string
	Reason  string // for people: "201 Created", "503 Service Unavailable, retried in 2s"
	DelayMS int64  // before the next try, for VerdictRetry
	// Ambiguous reports that the request may have been applied although no
	// complete answer came.
	Ambiguous bool
	// ParkMS holds the whole bucket for that long (Retry-After, rate limits);
	// 0 leaves it open.
	ParkMS int64
	// TargetFailed counts against the bucket's breaker: no answer, or an
	// answer that says the target is not well.
	TargetFailed bool
	// Memo is kept with the delivery for its next lease, unread: how many
	// tries failed for which reason.
	Memo string
	// Captured is kept with the lane for its next leases, unread, in place of
	// what was kept before: what the provider said of the resource.
	Captured string
	Attempt  Attempt
}

// Attempt is the record of one HTTP try, credentials masked.
type Attempt struct {
	ID             string            `json:"id"`
	Delivery       string            `json:"delivery"`
	Hook           string            `json:"hook"`
	RetryOf        string            `json:"retry_of,omitempty"` // id of the first attempt of the delivery
	At             int64             `json:"at"`                 // epoch ms
	DurationMS     int64             `json:"duration_ms"`
	Method         string            `json:"method"`
	URL            string            `json:"url"`
	RequestHeaders map[string]string `json:"request_headers,omitempty"`
	RequestBody    string            `json:"request_body,omitempty"`
	Status         int               `json:"status,omitempty"` // 0 when no answer came
	Headers        map[string]string `json:"headers,omitempty"`
	Body           string            `json:"body,omitempty"`
	Remote         string            `json:"remote,omitempty"` // address that was dialled
	Error          string            `json:"error,omitempty"`
	Verdict        Verdict           `json:"verdict"`
	Reason         string            `json:"reason"`
}

// Hook is what to call on which trigger, in the words of Devopness. The
// fields below TriggerWhen are cibridge's own and all optional.
type Hook struct {
	ID         string `json:"id"`
	Pipeline   string `json:"pipeline"` // pl_…, "<source>/<pipeline.id>" or "*"
	Name       string `json:"name"`
	ActionType string `json:"action_type"`
	TargetURL  string `json:"target_url"`
	Active     bool   `json:"active"`
	VerifySSL  bool   `json:"verify_ssl"`

	RequiresSecret   bool   `json:"requires_secret"`
	SecretAlgorithm  string `json:"secret_algorithm,omitempty"`
	SecretHeaderName string `json:"secret_header_name,omitempty"`
	// Secret signs the body with HMAC when RequiresSecret is set.
	Secret Secret `json:"secret,omitempty"`

	Settings    HookSettings `json:"settings"`
	TriggerWhen TriggerWhen  `json:"trigger_when"`

	Method        string   `json:"method,omitempty"`         // default POST, or the profile's
	Profile       string   `json:"profile,omitempty"`        // github, gitlab, gitea, …
	If            string   `json:"if,omitempty"`             // expression; the hook fires only when it is true
	DeliveredWhen string   `json:"delivered_when,omitempty"` // expression over the answer
	SupersedeKey  string   `json:"supersede_key,omitempty"`  // template
	Ordering      Ordering `json:"ordering,omitempty"`
	TimeoutMS     int64    `json:"timeout_ms,omitempty"`
	Context       string   `json:"context,omitempty"` // name of the status with a profile; default "ci/cibridge"

	CreatedAt int64 `json:"created_at"`
	UpdatedAt int64 `json:"updated_at"`
	ReadOnly  bool  `json:"read_only,omitempty"` // comes from a YAML file
}

// HookSettings holds the templates of a hook's request.
type HookSettings struct {
	RequestHeaders []HookHeader `json:"request_headers,omitempty"`
	// RequestBody is a template: a string, an object or a list of objects.
	// Numbers are int64 where they are whole.
	RequestBody any `json:"request_body,omitempty"`
}

// HookHeader is a header template.
type HookHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TriggerWhen says when a hook fires: on one of Events, if all Conditions hold.
type TriggerWhen struct {
	Events     []Trigger   `json:"events"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// Condition compares a template variable loosely: 123 equals "123".
type Condition struct {
	Path           string `json:"path"`
	AcceptedValues []any  `json:"accepted_values"`
}
