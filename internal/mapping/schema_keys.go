package mapping

import "cibridge/bridge"

// object is a mapping node with fixed keys, as the loader reads it.
type object struct {
	name     string // of its definition
	keys     []objectKey
	required []string
}

// objectKey is a key, what people read about it, and what its value is.
type objectKey struct {
	name, doc string
	is        schema
}

// perEvent are the keys that stand in an event, and at the top for all events.
var perEvent = []objectKey{
	{"run_key", "the run: one value or a list of values; the source is always part of it", ref("key")},
	{"parent", "the run_key of the run that caused this one", ref("key")},
	{"attempt", "the number of a re-run under the same key; none: the event joins all of them", ref("value")},
	{"order", "time: the tool opens a finished run again without a number, so time decides before state", schema{"enum": []any{"time", "rank"}}},
	{"at", "the time of the event; received_at when it is absent", ref("value")},
	{"dedupe", "the same id again is a duplicate; default a hash of the body", ref("key")},
	{"status", "where the status comes from; an event without one moves no run", ref("status")},
	{"fields", "what the event says of its run", ref("fields")},
	{"checks", "what must be in the payload, and what the sender reads when it is not", schema{"type": "array", "items": ref("check")}},
}

// objects lists every object of the language with its keys. A test compares it
// with what the loader reads.
func objects() []object {
	text, texts, flag := ref("text"), ref("texts"), schema{"type": "boolean"}
	header := objectKey{"header", "the header with it", text}
	tolerance := objectKey{"tolerance", "the greatest age of the signed time; 5m without it", ref("duration")}
	return []object{
		{"mapping", append([]objectKey{
			{"version", "the version of the language", schema{"enum": []any{1, "1"}}},
			{"name", "what a source refers to", schema{"type": []string{"string", "integer"}, "pattern": nameForm.String()}},
			{"title", "the tool, for people", text},
			{"strict", "what the mapping does not know is refused with 422, for senders that read the answer", flag},
			{"receive", "how requests come in", ref("receive")},
			{"maps", "named word maps, for map: <name>", ref("maps")},
			{"times", "further forms of times", ref("times")},
			{"let", "named values, for expressions", ref("lets")},
			{"requires", "what a succeeded run must have: artifact.<kind> or a field; | is or", texts},
			{"events", "tried in their order; the first that matches takes the request", schema{"type": "array", "minItems": 1, "items": ref("event")}},
			{"tests", "requests, and what becomes of them", schema{"type": "array", "items": ref("test")}},
		}, perEvent...), []string{"version", "name", "receive", "events"}},
		{"receive", []objectKey{
			{"routes", "fixed addresses of the format: POST /some/path", ref("routes")},
			{"auth", "how senders can authenticate; a source picks one", ref("auth")},
			{"decode", "where the JSON is; without it the body is JSON", ref("decode")},
			{"reply", "the answers, where the sender expects its own words", ref("replies")},
			{"redact", "paths of the document whose values are shown to nobody: build.parameters, variables.#.value", ref("names")},
		}, []string{"auth"}},
		{"auth_key", []objectKey{{"header", "a header besides Authorization", text}}, nil},
		{"auth_token", []objectKey{header, {"query", "the query parameter with it", text}, {"prefix", "text before the token: \"Bearer \"", text}}, nil},
		{"auth_standard_webhooks", []objectKey{tolerance}, nil},
		{"auth_http_signature", []objectKey{tolerance}, nil},
		{"auth_hmac", []objectKey{header,
			{"encoding", "of the signature; hex without it", schema{"enum": []any{"hex", "base64"}}},
			{"prefix", "text before the signature: sha256=", text},
			{"format", "the whole header: timestamp={timestamp},signature={signature}", text},
			{"pick", "which entry of v1=…,v2=… is the signature: v1", text},
			{"message", "what is signed: {body}, or text with {body} and {timestamp}", text},
			{"timestamp", "the header with the signed time, when it is not in format", text},
			tolerance}, []string{"header"}},
		{"times", []objectKey{
			{"layouts", "as Go writes them: 02.01.2006 15:04", texts},
			{"zone", "of times that name none: UTC, Europe/Prague", text}}, nil},
		{"event", append([]objectKey{
			{"name", "of the event, unique in the file", text},
			{"match", "which requests it takes: all of this has to fit; without it, every one", ref("match")},
			{"ignore", "no run; the request is listed as ignored, for this reason", text},
			{"continue", "the search goes on: one request may be several events", flag},
			{"confirm", "a handshake: an address in the payload that is fetched", ref("confirm")},
			{"once", "fields that must be the same when the event comes again; others are answered 409", ref("values")},
			{"lists", "stages, artifacts, quality and links", ref("lists")},
			{"reply", "the answer to this event", ref("replies")},
		}, perEvent...), []string{"name"}},
		{"match", []objectKey{
			{"path", "of the request; a list of which one fits, * for any text", texts},
			{"header", "header names in lower case and what they must be", ref("patterns")},
			{"query", "query parameters and what they must be", ref("patterns")},
			{"body", "gjson paths and what they must lead to", ref("patterns")},
			{"all", "expressions that must be true", schema{"anyOf": []schema{ref("expression"), {"type": "array", "items": ref("expression")}}}}}, nil},
		{"confirm", []objectKey{{"get", "the path of the address", ref("value")}, {"host", "the host that it must have; * for any text", text}}, []string{"get", "host"}},
		{"check", []objectKey{
			{"missing", "a value that must be there; of a list, one of them", ref("values")},
			{"say", "what the sender reads", text},
			{"status", "of the answer; 400 without it", schema{"type": "integer", "minimum": 400, "maximum": 499}}}, []string{"missing", "say"}},
		{"reply", []objectKey{
			{"status", "of the answer", schema{"type": "integer", "minimum": 200, "maximum": 599}},
			{"body", "JSON whose texts that begin with = are expressions", schema{}}}, []string{"body"}},
		{"test_file", []objectKey{
			{"version", "the version of the language", schema{"enum": []any{1, "1"}}},
			{"tests", "requests, and what becomes of them", schema{"type": "array", "items": ref("test")}}}, []string{"tests"}},
		{"test", append([]objectKey{
			{"name", "of the test, unique in the file", text},
			{"sequence", "requests, one after the other; then expect is the run that they leave", schema{"type": "array", "items": ref("request")}},
			{"runs", "the runs that a sequence leaves, by their keys", schema{"type": "object", "additionalProperties": ref("expect_run")}},
			{"triggers", "what a sequence fires in the written order", schema{"type": "array", "items": schema{"enum": triggerWords()}}},
			{"golden", "a .json file with all that became of the test; cibridge test --update writes it", schema{"type": "string", "pattern": `\.json$`}},
		}, requestKeys("expect_any")...), []string{"name"}},
		{"request", requestKeys("expect"), nil},
		{"expect_reply", []objectKey{
			{"status", "of the answer", text},
			{"body", "the answer of the mapping; what is not named is not compared", schema{}}}, nil},
	}
}

// requestKeys are the keys that say what is sent and what becomes of it.
func requestKeys(expect string) []objectKey {
	texts := schema{"type": "object", "additionalProperties": ref("text")}
	return []objectKey{
		{"body", "the payload; text is sent as it is, everything else as JSON", schema{}},
		{"body_file", "a file with the payload, from the folder of this one", schema{"type": "string"}},
		{"form", "a form, as URL-encoded fields", schema{"type": "object"}},
		{"multipart", "the parts of a multipart body", schema{"type": "object"}},
		{"base64", "the bytes of the body", schema{"type": "string"}},
		{"headers", "of the request", texts},
		{"query", "parameters of the request", texts},
		{"method", "of the request; POST, or that of the first route", ref("text")},
		{"path", "of the request", ref("text")},
		{"received_at", "when it arrives", ref("text")},
		{"signed_at", "when it was signed", ref("text")},
		{"vars", "the settings of the source", schema{"type": "object"}},
		{"expect", "what becomes of it; what is not named is not compared, null is absent; a list for several events", ref(expect)},
		{"expect_absent", "fields that must not be set", ref("names")},
		{"expect_error", "a part of the message that refuses the request", ref("text")},
		{"expect_reply", "the answer", ref("expect_reply")},
	}
}

// listObject is a list of a run or of an item.
func listObject(name string, l bridge.ListOf) object {
	return object{name: name, keys: []objectKey{
		{"each", "a path to a list; an object is a list of one, @this is the payload itself", ref("value")},
		{"entries", "a path to an object: its members as items {key, value}", ref("value")},
		{"when", "an expression; other items are left out", ref("expression")},
		{"key", "what makes an item the same one in later events; default all its fields", ref("key")},
		{"attempt", "a greater one replaces the item: the id of a retried job", ref("value")},
		{"fields", "of the item; paths lead into it", ref(name + "_fields")},
		{"lists", "of the item", ref(name + "_lists")},
	}}
}

func triggerWords() []any {
	var out []any
	for _, t := range bridge.Triggers() {
		out = append(out, string(t))
	}
	return out
}

var valueDocs = map[string]string{
	"value":       "a literal",
	"path":        "a gjson path into the payload; in a list, into the item",
	"expr":        "an expression; beside another source it sees value, and runs only when there is one",
	"first_of":    "the first value that is there: not absent, not null, not empty",
	"of":          "the values joined with /, to map several words at once",
	"drop_if":     "these texts count as absent",
	"map":         "translates the word: a map, or the name of one under maps",
	"ignore_case": "for map and drop_if",
	"else":        "for a word that map does not know: a literal, or =… which sees value",
	"default":     "for what is absent: a literal, or =…",
	"required":    "absent is an error: the request is refused",
	"unit":        "of a duration; ms without it",
}

// unitWords are the units of time, in the order of their length.
var unitWords = []string{"ns", "us", "ms", "s", "m", "h"}

var authDocs = map[string]string{
	"key":               "our API keys: X-Codenow-Api-Key, or Authorization: Bearer",
	"token":             "a fixed text in a header or a query parameter",
	"basic":             "user and password",
	"hmac":              "a signature in a header",
	"standard-webhooks": "https://www.standardwebhooks.com",
	"http-signature":    "HTTP signatures with hmac-sha256, over date and digest at least",
	"none":              "anyone",
}

var decodeDocs = map[string]string{
	"json":        "the body is JSON",
	"form":        "in this field of a form",
	"multipart":   "in this part of a multipart body",
	"unwrap":      "at this path, as an object or as text",
	"base64":      "at this path, in base64",
	"cloudevents": "binary: the ce- headers become ce.*; structured: data, with the rest as ce.*",
}

var replyDocs = map[ReplyKind]string{
	ReplyAccepted:     "the request was taken",
	ReplyDuplicate:    "it came before; that of accepted without it",
	ReplyIgnored:      "it makes no run; that of accepted without it",
	ReplyUnmapped:     "nothing in the mapping knows it; that of accepted without it",
	ReplyRejected:     "it is refused",
	ReplyBadJSON:      "it is no JSON; that of rejected without it",
	ReplyConflict:     "it contradicts what was said before; that of rejected without it",
	ReplyUnauthorized: "the sender did not authenticate",
	ReplyForbidden:    "the key does not cover it",
}

var listDocs = map[string]string{
	"stages":    "stages or jobs of the run",
	"steps":     "steps of the stage",
	"artifacts": "what the run made or used",
	"quality":   "reports about the code",
	"links":     "further pages",
}

var expectDocs = map[string]string{
	"event":      "the name of the event",
	"key":        "the key of the run, its parts joined with /",
	"attempt":    "the number of the re-run; 0 joins all",
	"at":         "the time of the event",
	"outcome":    "applied, duplicate, ignored, unmapped, rejected or late",
	"status":     "one of ours",
	"word":       "the word that the map does not know",
	"parent":     "the run that caused it",
	"dedupe":     "the id of the request",
	"order":      "time, when the mapping says so",
	"once":       "the fingerprint of a once-only event",
	"requires":   "what the run must have",
	"rule":       "what decided: mapping/event",
	"reason":     "why there is no event",
	"warnings":   "the flag of the run, or parts of what could not be mapped",
	"incomplete": "what a succeeded run lacks",
	"summary":    "the run in one line",
}
