// Package dispatch sends deliveries to source providers. It is the only
// package that opens outgoing connections.
//
// One delivery's way through it:
//
//	Run      a picker leases one delivery at a time, workers send it
//	Deliver  headers and secrets are resolved, the request is sent once
//	guard    every address is checked after it was resolved, at each dial
//	outcome  the answer's class becomes a verdict and a delay, by a table
//	record   what happened, with every secret masked
//	Run      the queue settles the lease
//
// A delivery is sent at least once. What keeps an old status from
// landing on a newer one (lanes, fences, quarantine, the confirming re-send)
// is the queue's; dispatch tells it exactly whether a request may have been
// applied although no answer came.
package dispatch
