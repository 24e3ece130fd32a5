package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
	"cibridge/internal/mapping"
	"cibridge/internal/redact"
)

// This file keeps secrets out of what this package stores and shows. A request
// is stored as it came, sealed, and is redacted on every read. What a mapping
// made of it is redacted before it is committed: from there it goes to hooks,
// answers and logs.

// known returns the secrets of the server.
func (s *Server) known() *redact.Masker {
	if s.cfg.Known == nil {
		return nil
	}
	return s.cfg.Known()
}

// withoutSecrets takes the secrets out of what a mapping made of a request.
// What names the run stays: it is shown to nobody as it is.
func (s *Server) withoutSecrets(result *mapping.Result) {
	r := &redact.Redactor{Known: s.known(), Names: true, Prose: true}
	text := func(into *string) { *into, _ = r.Text(*into) }
	texts := func(list []string) {
		for i := range list {
			text(&list[i])
		}
	}
	for i := range result.Events {
		ev := &result.Events[i]
		redactFields(r, ev.Fields)
		redactLists(r, ev.Lists)
		text(&ev.Word)
		texts(ev.Warnings)
	}
	text(&result.Reason)
	texts(result.Warnings)
	if result.Problem != nil {
		p := *result.Problem
		text(&p.Message)
		result.Problem = &p
	}
}

// redactFields changes the map, but not what is in it: that may be a part of
// the document.
func redactFields(r *redact.Redactor, fields map[string]any) {
	for name, v := range fields {
		if shown, n := r.Value(name, v); n > 0 {
			fields[name] = shown
		}
	}
}

func redactLists(r *redact.Redactor, lists map[string][]bridge.Item) {
	for _, items := range lists {
		for i := range items {
			redactFields(r, items[i].Fields)
			redactLists(r, items[i].Lists)
		}
	}
}

// redactedWriter takes the secrets of the server out of a JSON answer, which
// is written at once.
type redactedWriter struct {
	gin.ResponseWriter
	redactor redact.Redactor
}

// Write implements [io.Writer].
func (w *redactedWriter) Write(p []byte) (int, error) {
	shown, n := w.redactor.JSON(p)
	if n == 0 {
		shown = p
	} else {
		w.Header().Del("Content-Length")
	}
	if _, err := w.ResponseWriter.Write(shown); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteString implements [io.StringWriter].
func (w *redactedWriter) WriteString(text string) (int, error) { return w.Write([]byte(text)) }

// rawShape is a request as it arrived, without its secrets.
type rawShape struct {
	ID          string            `json:"id"`
	Source      string            `json:"source"`
	Mapping     string            `json:"mapping"`
	Received    time.Time         `json:"received"`
	Method      string            `json:"method"`
	Path        string            `json:"path"`
	Query       map[string]string `json:"query"`
	Headers     map[string]string `json:"headers"` // those of credentials are not kept
	ContentType string            `json:"content_type"`
	Bytes       int               `json:"bytes"` // of the body as it is stored
	Body        string            `json:"body"`
	Redacted    int               `json:"redacted"` // how many values are shown as ***
}

// getRaw shows what arrived, for whoever writes a mapping for it.
func (s *Server) getRaw(c *gin.Context) error {
	if err := allowQuery(c); err != nil {
		return err
	}
	req, err := s.cfg.Ledger.Raw(c.Request.Context(), param(c, "id"))
	if err != nil {
		return err
	}
	r := redact.Redactor{Known: s.known(), Names: true, Paths: s.secretPlaces(req.Mapping)}
	shape := rawShape{
		ID: req.ID, Source: req.Source, Mapping: req.Mapping, Received: req.Received, Method: req.Method,
		ContentType: req.Header["content-type"], Bytes: len(req.Body),
	}
	var n [4]int
	shape.Body, n[0] = r.Body(shape.ContentType, req.Body)
	shape.Headers, n[1] = r.Pairs(req.Header)
	shape.Query, n[2] = r.Pairs(req.Query)
	shape.Path, n[3] = r.Text(req.Path)
	shape.Redacted = n[0] + n[1] + n[2] + n[3]
	writeJSON(c, http.StatusOK, "application/json", shape)
	return nil
}

// secretPlaces returns the paths that a mapping declares secret. Of one that
// is no longer there nobody knows them, so those of all others count.
func (s *Server) secretPlaces(name string) []redact.Path {
	set := s.mappings.Load()
	if m := set.Get(name); m != nil {
		return m.Redact()
	}
	var all []redact.Path
	for _, name := range set.Names() {
		all = slices.Concat(all, set.Get(name).Redact())
	}
	return all
}
