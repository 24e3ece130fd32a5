package api

import (
	"cibridge/bridge"
)

// confirm fetches the address that a sender wants to be fetched before it
// sends anything. The mapping has pinned its host. A failure is in the ledger,
// too, and its answer makes the sender try again.
func (s *Server) confirm(in *inbound, req *bridge.Request) error {
	result := &in.result
	if s.cfg.Confirm == nil {
		result.Reason = "a handshake with " + result.Handshake.Host + " that this server does not answer"
		return nil
	}
	err := s.cfg.Confirm(in.c.Request.Context(), result.Handshake.URL)
	if err == nil {
		result.Reason = "a handshake with " + result.Handshake.Host + ", confirmed"
		return nil
	}
	failed := problemf(codeHandshake, "the handshake with %s failed; try again", result.Handshake.Host).
		because(err).after(retryUnavailable)
	// It is not remembered: the next try is a first one, not a duplicate.
	_, unstored := s.store(in, Submission{
		Request: *req, Dedupe: scoped(result.Dedupe, in.claim.scope), Outcome: bridge.Ignored, Warnings: result.Warnings, Code: failed.Status,
		Reason: result.Rule + ": a handshake with " + result.Handshake.Host + " failed: " + err.Error(),
	})
	if unstored != nil {
		return unstored
	}
	return failed
}
