// Package bridge holds the words of cibridge and its one state machine. It
// imports the standard library only and does no I/O: everything that has to be
// right about a run can be read, tested and fuzzed here.
//
// The tour, in the order in which an event travels:
//
//	POST
//	  api.receive          limit, authenticate on raw bytes, decode      Request
//	  mapping.Set.Apply    the format's YAML turns the request into      []Event
//	  store.Commit         load the Run, [Run.Apply] the event           Change
//	                       hook.Set.Plan renders what the change fires   []Delivery
//	                       one atomic script stores all of it            2xx
//	- Redis -
//	  dispatch             leases a lane, sends, classifies, settles     Lease, Settlement
//	  the source provider  shows the status on the commit
//
// Read event.go first (what a mapping makes of a request), then run.go (what
// is kept), apply.go (how an event changes a run and what that fires) and
// hook.go (what goes out).
package bridge
