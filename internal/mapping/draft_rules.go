package mapping

import (
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cibridge/bridge"
	"cibridge/internal/lang"
)

// The guesses of a draft, as data. A name is the end of a path in words, the
// best first: "build number" fits build_number, buildNumber and build.number;
// "=url" fits only what is called url and nothing else.

// guess says where a value is looked for.
type guess struct {
	field  string
	names  []string
	not    []string               // words that must not be elsewhere in the path
	looks  func(*jsonNode) bool   // how every value looks
	yaml   func(l *leaf) string   // how the value is written; its path without it
	when   func(*draftEvent) bool // only then
	inList bool                   // the first item of a list will do
	note   string
}

// What belongs to somebody or something else than the run.
var (
	older     = []string{"previous", "prev", "before", "old", "base", "parent", "default", "upstream"}
	people    = []string{"user", "users", "author", "actor", "sender", "committer", "owner", "organization", "enterprise", "account", "team", "pusher", "creator", "installation", "member"}
	code      = []string{"repository", "repo", "project", "commit", "commits", "scm", "git"}
	requests  = []string{"pull", "merge", "pr", "mr", "issue", "request"}
	machinery = []string{"delivery", "webhook", "hook", "message", "trace", "span", "correlation", "runner", "agent", "node", "instance", "stage", "step", "artifact", "job", "task"}
)

// runKeyNames are what the id of a run is called; what comes after weakRunKeys
// is rather a number.
var (
	runKeyNames = []string{
		"workflow run id", "pipeline run id", "job run id", "run id", "build id", "pipeline execution id", "execution id", "run uuid", "build uuid",
		"pipeline id", "workflow id", "deployment id", "object attributes id", "job id", "task id", "uuid", "guid", "=id", "run", "build", "execution",
	}
	runNumberNames = []string{"build number", "run number", "pipeline number", "execution number", "build no", "build num", "=number", "=no", "=num", "=iid", "=seq", "number"}
	runKeyNot      = slices.Concat(older, people, code, requests, machinery)
	// ofJobs is runKeyNot for tools that call their runs jobs or tasks: they have
	// nothing else.
	ofJobs = slices.DeleteFunc(slices.Clone(runKeyNot), func(w string) bool { return w == "job" || w == "task" })
)

var statusNames = []string{
	"conclusion", "result", "outcome", "build status", "pipeline status", "run status", "build state", "status", "state", "phase", "detailed status", "success", "passed",
}

// finalNames are statuses that are there only in the end; the others say how it
// goes until then.
var finalNames = []string{"conclusion", "result", "outcome"}

var discriminatorNames = []string{
	"event type", "event name", "event key", "=event", "=type", "=kind", "object kind", "webhook event", "trigger event", "notification type", "hook type", "message type", "event kind", "=action",
}

// headerNames are headers that tell the kind of a request.
var headerNames = regexp.MustCompile(`(^|-)(event|kind|type|topic|hook)(-key|-name|-type)?$`)

// proofs are headers that say who sends, and how such a sender is declared.
var proofs = []struct {
	name *regexp.Regexp
	auth func(name, value string) string
	note string
}{
	{regexp.MustCompile(`^authorization$`), func(_, v string) string {
		if strings.HasPrefix(strings.ToLower(v), "basic ") {
			return "basic"
		}
		return "key"
	}, "by the header"},
	{regexp.MustCompile(`signature|hmac`), func(name, v string) string {
		prefix, _, found := strings.Cut(v, "=")
		if found && len(prefix) < 10 {
			return "{hmac: {header: " + yamlText(textproto.CanonicalMIMEHeaderKey(name)) + ", prefix: " + yamlText(prefix+"=") + ", encoding: hex}}"
		}
		return "{hmac: {header: " + yamlText(textproto.CanonicalMIMEHeaderKey(name)) + ", encoding: hex}}"
	}, "a signature of the body, in hex"},
	{regexp.MustCompile(`token|secret|key|auth|password`), func(name, _ string) string {
		return "{token: {header: " + yamlText(textproto.CanonicalMIMEHeaderKey(name)) + "}}"
	}, "a fixed token"},
}

// secretNames are members whose values do not belong into a file.
var secretNames = regexp.MustCompile(`(^| )(password|passwd|secret|secrets|token|api key|apikey|private key|access key|authorization|credentials?)$`)

// credentials are the user and password of an address.
var credentials = regexp.MustCompile(`://[^/@\s:]*:[^/@\s]+@`)

// statusTable are the words of most tools for our states.
var statusTable = []struct {
	status bridge.Status
	words  []string
}{
	{bridge.Queued, []string{"queued", "pending", "created", "scheduled", "requested"}},
	{bridge.Running, []string{"running", "in_progress", "started", "start", "building", "processing"}},
	{bridge.Waiting, []string{"waiting", "blocked", "paused", "manual", "action_required"}},
	{bridge.Succeeded, []string{"success", "succeeded", "successful", "passed", "ok"}},
	{bridge.Skipped, []string{"skipped", "not_run"}},
	{bridge.Canceled, []string{"canceled", "cancelled", "aborted", "stopped"}},
	{bridge.TimedOut, []string{"timed_out", "timeout", "timedout"}},
	{bridge.Failed, []string{"failed", "failure", "fail", "broken", "unstable"}},
	{bridge.Errored, []string{"error", "errored"}},
}

// statusOfWord returns the state that a word of a tool stands for, "" when it
// is none of those that most tools have.
func statusOfWord(word string) bridge.Status {
	word = strings.Join(wordsOf(word), "_")
	for _, row := range statusTable {
		if slices.Contains(row.words, word) {
			return row.status
		}
	}
	return ""
}

// overWords say that it is over, and not how it ended.
var overWords = []string{"completed", "complete", "finished", "done", "ended", "end", "closed"}

// inStatusTable reports whether a draft's map has this word already.
func inStatusTable(word string) bool {
	for _, row := range statusTable {
		if slices.Contains(row.words, strings.ToLower(word)) {
			return true
		}
	}
	return false
}

// atGuess is the time of the event.
var atGuess = guess{
	field: "at", looks: looksLikeTime, not: slices.Concat(older, people, code, requests),
	names: []string{
		"updated at", "changed at", "=changed", "event time", "event timestamp", "occurred at", "sent at", "notified at", "=timestamp", "=time", "=ts", "=date", "=updated",
		"finished at", "completed at", "ended at", "end time", "=finished", "=ended", "started at", "start time", "=started", "created at", "=created", "timestamp",
	},
	note: "when it happened",
}

var attemptGuess = guess{
	field: "attempt", looks: func(n *jsonNode) bool { return looksWhole(n) && n.text != "0" }, not: slices.Concat(older, people, machinery),
	names: []string{"run attempt", "attempt number", "=attempt"}, note: "grows when the same run is started again",
}

// fieldGuesses are tried in their order; a path is used once.
var fieldGuesses = []guess{
	{field: "pipeline.id", looks: looksLikeID, not: slices.Concat(older, people, requests),
		names: []string{"workflow id", "pipeline id", "definition id", "plan key", "job id", "project id", "pipeline key", "pipeline slug", "job full name"}, note: "the same for all runs of one pipeline"},
	{field: "pipeline.name", looks: looksLikeText, not: slices.Concat(older, people, requests, []string{"branch"}),
		names: []string{"pipeline name", "workflow name", "job name", "definition name", "plan name", "build type name", "project name", "=pipeline", "=workflow", "=job", "=project", "=app", "=application", "=component", "=service", "build name", "repository name", "repo name"}, note: "the same for all runs of one pipeline"},
	{field: "number", looks: looksWhole, not: slices.Concat(older, people, requests, machinery), names: append(slices.Clone(runNumberNames), "=build", "=run"), note: "the number that people see"},
	{field: "version", looks: looksLikeText, not: slices.Concat(older, people, []string{"api", "schema", "spec", "tool", "agent", "plugin", "event", "server"}),
		names: []string{"build version", "release version", "app version", "=version"}, note: "the version that is built"},
	{field: "title", looks: looksLikeText, not: slices.Concat(older, people, requests, code), names: []string{"display title", "=title", "=subject"}, note: "what the run is about"},
	{field: "url", looks: looksLikePage, not: slices.Concat(older, people, code, requests, machinery, []string{"avatar", "api"}),
		names: []string{"build url", "run url", "pipeline url", "execution url", "details url", "html url", "web url", "target url", "=url", "=link", "=href", "=page", "=permalink", "permalink", "page url"}, note: "the page of the run"},
	{field: "environment", looks: looksLikeText, not: older, names: []string{"environment name", "target environment", "deploy environment", "=environment", "=env"}, note: "where it goes"},
	{field: "queued_at", looks: looksLikeTime, not: slices.Concat(older, people, code, requests), names: []string{"queued at", "queued time", "scheduled at", "triggered at", "created at", "create time", "=created", "=queued"}, note: "by its name"},
	{field: "started_at", looks: looksLikeTime, not: slices.Concat(older, people, code, requests), names: []string{"run started at", "started at", "start time", "started on", "start date", "start timestamp", "began at", "=started", "=start", "=begin"}, note: "by its name"},
	{field: "finished_at", looks: looksLikeTime, not: slices.Concat(older, people, code, requests), names: []string{"finished at", "completed at", "ended at", "end time", "finish time", "completion time", "completed on", "end date", "end timestamp", "=finished", "=completed", "=ended", "=end"}, note: "by its name"},
	{field: "duration_ms", looks: looksLikeDuration, not: slices.Concat(older, []string{"queued", "timeout", "estimated"}), yaml: durationYAML,
		names: []string{"duration ms", "duration millis", "duration in millis", "elapsed ms", "duration seconds", "duration secs", "duration sec", "duration s", "=duration", "build duration", "run duration", "elapsed time", "=elapsed", "=took"}, note: "the unit, by its size"},
	{field: "actor.login", looks: looksLikeLogin, not: []string{"commit", "merge"}, note: "who started it",
		names: []string{"triggering actor login", "actor login", "sender login", "user login", "triggered by login", "user username", "actor username", "author username", "triggered by", "started by", "requested by", "=username", "=login", "user name", "=actor", "=user", "=by", "=initiator", "created by"}},
	{field: "actor.name", looks: looksLikeText, not: []string{"commit", "merge"}, names: []string{"actor name", "user display name", "user full name", "user name", "triggered by name", "triggered by"}, note: "who started it"},
	{field: "actor.email", looks: looksLikeEmail, not: []string{"commit", "merge"}, names: []string{"actor email", "user email", "triggered by email", "=email"}, note: "who started it"},
	{field: "repo.url", looks: looksLikeRepo, not: older, note: "an address of the repository",
		names: []string{"repository html url", "repository web url", "repository url", "repo url", "clone url", "git http url", "project web url", "git url", "scm url", "remote url", "ssh url", "=remote", "=repository", "=repo", "repository", "repo", "=git"}},
	{field: "repo.full_name", looks: func(n *jsonNode) bool { return looksLikeText(n) && fullName.MatchString(n.text) }, not: older, note: "owner/name",
		names: []string{"repository full name", "repo full name", "path with namespace", "=full name", "repository slug", "repo slug", "=repository", "=repo"}, when: func(e *draftEvent) bool { return !e.sets("repo.url") }},
	{field: "commit.sha", looks: looksLikeSHA, not: older, inList: true, note: "hex digits",
		names: []string{"head sha", "commit sha", "commit hash", "checkout sha", "git commit", "head commit id", "commit id", "git sha", "revision", "=sha", "=sha1", "=rev", "=after", "=commit", "=head", "=hash", "commit ids", "*"}},
	{field: "commit.branch", looks: looksLikeRef, not: slices.Concat(older, []string{"target", "tag"}), yaml: refYAML("is_tag(value) ? nil : strip_ref(value)"), note: "by its name",
		names: []string{"head branch", "source branch", "git branch", "branch name", "=branch", "ref name", "branch", "git ref", "=ref"}},
	{field: "commit.tag", looks: looksLikeRef, not: slices.Concat(older, []string{"image", "docker", "artifact"}), yaml: refYAML("is_tag(value) ? strip_ref(value) : nil"), note: "by its name",
		names: []string{"git tag", "tag name", "release tag", "=tag"}},
	{field: "commit.message", looks: looksLikeMessage, not: older, names: []string{"commit message", "commit title", "commit subject"}, note: "by its name"},
	{field: "commit.author", looks: looksLikeText, not: older, names: []string{"commit author name", "commit author login", "commit author"}, note: "by its name"},
	{field: "pull_request.number", looks: looksWhole, inList: true, note: "by its name",
		names: []string{"pull request number", "pull requests number", "merge request iid", "merge request number", "pull request id", "pr number", "pr id", "=pull request", "=pr"}},
	{field: "pull_request.url", looks: looksLikeURL, not: []string{"repo", "repository", "base", "head", "user"}, names: []string{"pull request html url", "merge request url", "pull request url", "pr url"}, note: "by its name"},
	{field: "pull_request.title", looks: looksLikeText, names: []string{"pull request title", "merge request title", "pr title"}, note: "by its name"},
}

func (e *draftEvent) sets(field string) bool {
	return slices.ContainsFunc(e.fields, func(f draftField) bool { return f.name == field })
}

var (
	fullName = regexp.MustCompile(`^[\w.~-]+(/[\w.~-]+)+$`)
	email    = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
)

func looksLikeText(n *jsonNode) bool {
	return n.kind == jsonText && len(n.text) <= 300 && strings.TrimSpace(n.text) != "" && !strings.ContainsAny(n.text, "\n\r")
}

func looksLikeMessage(n *jsonNode) bool { return n.kind == jsonText && len(n.text) <= 4000 }

func looksLikeLogin(n *jsonNode) bool {
	return looksLikeText(n) && len(n.text) <= 100 && !strings.ContainsAny(n.text, " @/")
}

func looksLikeEmail(n *jsonNode) bool { return n.kind == jsonText && email.MatchString(n.text) }

func looksWhole(n *jsonNode) bool {
	_, err := strconv.ParseUint(n.text, 10, 63)
	return err == nil && (n.kind == jsonNumber || n.kind == jsonText)
}

func looksLikeID(n *jsonNode) bool {
	return n.kind == jsonNumber || looksLikeText(n) && len(n.text) <= 200
}

func looksLikeWord(n *jsonNode) bool {
	return n.kind == jsonBool || looksLikeText(n) && len(n.text) <= 40
}

func looksLikeURL(n *jsonNode) bool {
	return looksLikeText(n) && (strings.HasPrefix(n.text, "https://") || strings.HasPrefix(n.text, "http://"))
}

var apiAddress = regexp.MustCompile(`^https?://(api\.|[^/]*/([^?#]*/)?api/)`)

// looksLikePage leaves out addresses for programs.
func looksLikePage(n *jsonNode) bool { return looksLikeURL(n) && !apiAddress.MatchString(n.text) }

func looksLikeRepo(n *jsonNode) bool {
	_, ok := lang.ParseRepo(n.text)
	return ok && looksLikeText(n) && strings.ContainsAny(n.text, ":@")
}

func looksLikeSHA(n *jsonNode) bool {
	return n.kind == jsonText && isSHA(n.text) && strings.ContainsAny(n.text, "0123456789")
}

func looksLikeRef(n *jsonNode) bool { return looksLikeText(n) && !strings.ContainsAny(n.text, " ") }

// looksLikeTime leaves out small numbers and years that nobody means.
func looksLikeTime(n *jsonNode) bool {
	if n.kind != jsonText && n.kind != jsonNumber || len(n.text) < 8 {
		return false
	}
	ms, ok, err := lang.Times{}.Parse(n.text)
	year := time.UnixMilli(ms).Year()
	return err == nil && ok && year > 2000 && year < 2100
}

func looksLikeDuration(n *jsonNode) bool {
	_, problem := duration(n.text, 0)
	return problem == "" && (n.kind == jsonNumber || n.kind == jsonText)
}

// durationYAML guesses the unit of a duration: what its name says, else
// seconds when it is small or has a fraction.
func durationYAML(l *leaf) string {
	for _, w := range strings.Fields(l.key) {
		switch w {
		case "ms", "millis", "milliseconds":
			return yamlText(l.path)
		case "s", "sec", "secs", "seconds":
			return "{path: " + yamlText(l.path) + ", unit: s}"
		}
	}
	small := l.some(func(n *jsonNode) bool {
		f, err := strconv.ParseFloat(n.text, 64)
		return err == nil && (f < 10_000 || strings.Contains(n.text, "."))
	})
	if small {
		return "{path: " + yamlText(l.path) + ", unit: s}"
	}
	return yamlText(l.path)
}

// refYAML is for what may be a full ref: refs/heads/main.
func refYAML(expr string) func(*leaf) string {
	return func(l *leaf) string {
		if l.some(func(n *jsonNode) bool { return strings.HasPrefix(n.text, "refs/") }) {
			return "{path: " + yamlText(l.path) + ", expr: " + yamlText(expr) + "}"
		}
		return yamlText(l.path)
	}
}
