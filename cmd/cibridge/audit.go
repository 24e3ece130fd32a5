package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"cibridge/internal/api"
	"cibridge/internal/store"
)

// Audit implements [api.Auditor].
func (a adapter) Audit(ctx context.Context, e api.AuditEntry) error {
	return a.Store.Audit(ctx, store.AuditEntry{At: e.At.UnixMilli(), Actor: e.Actor, Remote: e.Remote, Method: e.Method, Path: e.Path, Status: e.Status})
}

// AuditLog implements [api.Auditor].
func (a adapter) AuditLog(ctx context.Context, p api.Page) ([]api.AuditEntry, string, error) {
	found, next, err := a.Store.AuditLog(ctx, p.Limit, p.Cursor)
	out := make([]api.AuditEntry, len(found))
	for i, e := range found {
		out[i] = api.AuditEntry{At: time.UnixMilli(e.At), Actor: e.Actor, Remote: e.Remote, Method: e.Method, Path: e.Path, Status: e.Status}
	}
	return out, next, err
}

func newAudit() *cobra.Command {
	return resource{
		use: "audit", short: "what operators have changed, or were not allowed to: list", path: "/api/v1/audit", paged: true,
		columns: []string{"at", "actor", "method", "path", "status", "remote"},
		empty:   "nothing was changed yet",
	}.command(&clientFlags{})
}
