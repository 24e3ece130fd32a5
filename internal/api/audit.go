package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"cibridge/internal/redact"
)

// Auditor keeps the log of what operators have changed.
type Auditor interface {
	Audit(ctx context.Context, e AuditEntry) error
	// AuditLog returns a page, the last entry first.
	AuditLog(ctx context.Context, p Page) (entries []AuditEntry, next string, err error)
}

// AuditEntry is one thing that somebody has changed, or was not allowed to. It
// has no contents: those may be secret.
type AuditEntry struct {
	At     time.Time
	Actor  string // the name of the token; nobody without a valid one
	Remote string
	Method string
	Path   string
	Status int // of the answer
}

// nobody is the actor of requests without a valid token.
const nobody = "nobody"

// audit notes a change, whatever became of it. That it cannot be kept is said
// in the log, where the same line is, and does not undo the change.
func (s *Server) audit(c *gin.Context, request, actor string) {
	r := redact.Redactor{Known: s.known(), Names: true}
	path, _ := r.Text(c.Request.URL.Path)
	e := AuditEntry{
		At: s.cfg.Now(), Actor: actor, Remote: s.remote(c.Request), Method: c.Request.Method,
		Path: path[:min(len(path), maxAuditPath)], Status: c.Writer.Status(),
	}
	s.cfg.Log.Info("audit", "request", request, "actor", e.Actor, "method", e.Method, "path", e.Path, "status", e.Status, "remote", e.Remote)
	if s.cfg.Audit == nil || actor == nobody && !s.strangers.take(e.At) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), s.cfg.CommitTimeout)
	defer cancel()
	if err := s.cfg.Audit.Audit(ctx, e); err != nil {
		s.cfg.Log.Error("the audit log could not be written; this line stands for the entry", "request", request, "actor", e.Actor,
			"method", e.Method, "path", e.Path, "status", e.Status, "remote", e.Remote, "err", err)
	}
}

// maxAuditPath bounds the path of an entry, in bytes.
const maxAuditPath = 512

// strangers bounds how many entries requests without a valid token make: the
// audit log has room for so many, and a flood would wash the others out of it.
type strangers struct {
	mu    sync.Mutex
	since time.Time
	count int
}

const strangersPerMinute = 60

func (s *strangers) take(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.since) >= time.Minute {
		s.since, s.count = now, 0
	}
	s.count++
	return s.count <= strangersPerMinute
}

// auditShape is an entry as operators see it.
type auditShape struct {
	At     *string `json:"at"`
	Actor  string  `json:"actor"`
	Remote string  `json:"remote"`
	Method string  `json:"method"`
	Path   string  `json:"path"`
	Status int     `json:"status"`
}

// listAudit lists what was changed, the last change first.
func (s *Server) listAudit(c *gin.Context) error {
	if err := allowQuery(c, "limit", "cursor"); err != nil {
		return err
	}
	page, err := pageOf(c)
	if err != nil {
		return err
	}
	if s.cfg.Audit == nil {
		return writeList[auditShape](c, nil, "")
	}
	entries, next, err := s.cfg.Audit.AuditLog(c.Request.Context(), page)
	if err != nil {
		return err
	}
	items := make([]auditShape, len(entries))
	for i, e := range entries {
		items[i] = auditShape{rfc3339(e.At.UnixMilli()), e.Actor, e.Remote, e.Method, e.Path, e.Status}
	}
	return writeList(c, items, next)
}

// reads reports whether a request only looks.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }
