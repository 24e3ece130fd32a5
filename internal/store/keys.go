package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"cibridge/bridge"
)

// keyspace names every key. All keys of one partition share a hash tag, so a
// script may touch any of them in a cluster.
type keyspace struct {
	prefix string // of the whole installation, "" by default
}

// in returns the keys of one partition.
func (k keyspace) in(partition int) keys {
	return keys{fmt.Sprintf("%s{cb:%02d}:", k.prefix, partition)}
}

func (k keyspace) meta(name string) string { return k.prefix + "{cb:meta}:" + name }

// schema: HASH version, partitions. Written at the first start, never changed.
func (k keyspace) schema() string { return k.meta("schema") }

// version: STRING integer, counts the changes of sources, keys, applications
// and hooks.
func (k keyspace) version() string { return k.meta("version") }

// partitions: SET of the numbers of the partitions that hold something.
func (k keyspace) partitions() string { return k.meta("partitions") }

// settings: HASH id -> sealed JSON, one for each kind: source, key,
// application, hook.
func (k keyspace) settings(kind string) string { return k.meta(kind) }

// alert: STRING, there while something that people were told of keeps
// happening; expires when it has not for a while.
func (k keyspace) alert(what string) string {
	sum := sha256.Sum256([]byte(what))
	return k.meta("alert:" + hex.EncodeToString(sum[:12]))
}

// used: HASH id of an API key -> epoch ms of its last use.
func (k keyspace) used() string { return k.meta("used") }

// audit: STREAM of what operators have changed (field a: JSON), for all
// partitions; expires with Retention.Runs after the last entry.
func (k keyspace) audit() string { return k.meta("audit") }

// channel: PUBLISH channel. Messages: "<partition>" when deliveries were added
// there, "meta" when settings changed.
func (k keyspace) channel() string { return k.prefix + "cb:wake" }

// keys names the keys of one partition.
type keys struct{ tag string }

// request: STRING "<outcome letter><id of the first, for a duplicate>\n"
// followed by the sealed request; expires with Retention.Requests.
func (k keys) request(id string) string { return k.tag + id }

// seen: STRING of a dedupe id: what was answered, see answer; expires with
// Retention.Dedupe.
func (k keys) seen(hash string) string { return k.tag + "d:" + hash }

// run: STRING "<version>\n" and the sealed state; expires with Retention.Runs.
// While a replica has claimed it the first line is "<version> <replica> <until>".
func (k keys) run(id string) string { return k.tag + id }

// outcomes: STREAM of request ids (field e) that had this outcome.
func (k keys) outcomes(o bridge.Outcome) string { return k.tag + "outcome:" + string(o) }

// status: ZSET of the runs in a status, score: created, epoch ms.
func (k keys) status(s bridge.Status) string { return k.tag + "status:" + string(s) }

// sha: ZSET "<first 16 of the sha>:<run>", score: created. One for each first
// four digits of a sha, so that few keys hold many commits.
func (k keys) sha(sha string) string { return k.tag + "sha:" + sha[:4] }

// pipelineRuns: ZSET of the runs of a pipeline, score: created. No stream: an
// empty one takes 4 KB, and there are many pipelines.
func (k keys) pipelineRuns(pl string) string { return k.tag + "runs:" + pl }

// pipelines: HASH pl_… -> sealed JSON of its names.
func (k keys) pipelines() string { return k.tag + "pipelines" }

// parked: ZSET of the runs with parked firings, score: when to try again.
func (k keys) parked() string { return k.tag + "parked" }

// open: ZSET of the runs of a source that are not over, score: when they
// began, or their last event when the sweeper has looked at it;
// expires with Retention.Runs after the last one.
func (k keys) open(source string) string { return k.tag + "open:" + source }

// rate: STRING of an allowance: when it is whole again, in microseconds; expires
// then.
func (k keys) rate(hash string) string { return k.tag + "rate:" + hash }

// delivery: STRING "<state>|<tries>|<updated>|<next>|<reason>\n", the sealed
// delivery and its attempts; no expiry while pending, else Retention.Attempts.
func (k keys) delivery(id string) string { return k.tag + id }

// queue: ZSET of a lane's entries, score: since, member: see entry.
func (k keys) queue(lane string) string { return k.tag + "q:" + lane }

// lane: HASH of a lane, see the fields in lua.go; expires some time after its
// last entry has gone.
func (k keys) lane(lane string) string { return k.tag + "lane:" + lane }

// buckets: ZSET of the buckets with work, score: when the earliest can start.
func (k keys) buckets() string { return k.tag + "bkts" }

// due: ZSET of a bucket's lanes, score: when the lane is ready; of a leased
// lane the end of the lease.
func (k keys) due(bucket string) string { return k.tag + "due:" + bucket }

// target: HASH of a bucket: until (parked until), fails, open (breaker open
// until), wait (for how long it was opened last), since (when it was opened
// first), and with a rate tat (when all
// requests so far are paid for, ms) and next (when the next one may go).
func (k keys) target(bucket string) string { return k.tag + "tgt:" + bucket }

// inflight: ZSET of a bucket's leased lanes, score: end of the lease.
func (k keys) inflight(bucket string) string { return k.tag + "infl:" + bucket }

// superseded: ZSET of entries that left their lane superseded and whose
// delivery does not say so yet, score: when.
func (k keys) superseded() string { return k.tag + "superseded" }

// dead: ZSET of dead deliveries, score: when they died.
func (k keys) dead() string { return k.tag + "dlq" }

// attempts: STREAM of a hook's attempt ids (field a); expires with
// Retention.Attempts after the last one.
func (k keys) attempts(hook string) string { return k.tag + "log:" + hook }
