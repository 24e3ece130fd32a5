package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// AuditEntry is one thing that an operator has changed, or was not allowed to.
// It says what was touched and never with which contents: those may be secret.
type AuditEntry struct {
	At     int64  `json:"at"`    // epoch ms
	Actor  string `json:"actor"` // which token: its name, never its text
	Remote string `json:"remote"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Status int    `json:"status"` // of the answer
}

// maxAudit bounds the audit log.
const maxAudit = 100_000

// Audit adds an entry to the audit log. It is kept for Retention.Runs.
func (s *Store) Audit(ctx context.Context, e AuditEntry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	key := s.keyspace.audit()
	return s.read(ctx, "write the audit log", func(p redis.Pipeliner) {
		p.XAdd(ctx, &redis.XAddArgs{Stream: key, MaxLen: maxAudit, Approx: true, Values: []string{auditField, string(text)}})
		p.PExpire(ctx, key, s.cfg.Retention.Runs)
	})
}

const auditField = "a"

// AuditLog returns a page of the audit log, the last entry first, and the cursor
// of the next page, "" at the end. limit is 50 by default and at most 500.
func (s *Store) AuditLog(ctx context.Context, limit int, cursor string) ([]AuditEntry, string, error) {
	var all []AuditEntry
	oldest := time.Now().Add(-s.cfg.Retention.Runs).UnixMilli()
	next, err := s.walk(ctx, []feed{{s.keyspace.audit(), auditField, 0}}, cursor, limitOf(limit), func(page []item) ([]bool, error) {
		kept := make([]bool, len(page))
		for i, it := range page {
			var e AuditEntry
			if err := json.Unmarshal([]byte(it.value), &e); err != nil {
				return nil, fmt.Errorf("read the audit log: %w", err)
			}
			if kept[i] = e.At >= oldest; kept[i] {
				all = append(all, e)
			}
		}
		return kept, nil
	})
	return all, next, err
}
