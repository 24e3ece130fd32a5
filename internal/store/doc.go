// Package store keeps runs, requests, deliveries and settings in Redis. It is
// the only package that speaks with Redis.
//
// # Partitions
//
// Everything that one commit touches has one hash tag, {cb:07}, so that a
// commit is one atomic script in one slot of a cluster. The partition comes
// from a partition key that is the constant "main" unless a source says
// otherwise. Sources, keys, applications and hooks live under {cb:meta}.
//
// # Commit
//
// [Store.Commit] applies the events of a request to their runs in Go, plans
// the deliveries and hands all of it to one script: it looks for a duplicate,
// compares the version of the run, and writes run, request, deliveries, lanes
// and indexes, or nothing. If the run has moved on, the script returns it and
// Go applies the event again. Commit answers only after that script did, so
// what is acknowledged is as safe as the chosen [Durability].
//
// # Queue
//
// A delivery waits in the lane of the resource that it writes; a lane waits in
// the due queue of its bucket (origin and credential); buckets wait in one
// queue per partition. [Store.Next] leases the entry of a lane that is due,
// [Store.Settle] says what became of it.
//
//	bkts ZSET ---- due:<bucket> ZSET ---- q:<lane> ZSET ---- dlv_… STRING
//	               tgt:<bucket> HASH      lane:<lane> HASH
//	               infl:<bucket> ZSET
//
// All times in scripts are those of Redis (TIME), so the clocks of replicas do
// not matter.
package store
