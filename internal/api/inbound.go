package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"cibridge/bridge"
	"cibridge/internal/mapping"
)

const (
	headerEvent       = "X-Cibridge-Event-Id"
	headerDuplicateOf = "X-Cibridge-Duplicate-Of"
	headerDryRun      = "X-Cibridge-Dry-Run"
)

// inbound is one request of a CI tool on its way through this package.
type inbound struct {
	c       *gin.Context
	id      string // evt_…
	began   time.Time
	mapping *mapping.Mapping
	body    body
	claim   claim
	result  mapping.Result // zero until the mapping has seen the request
	outcome bridge.Outcome // "" until it is known
	reason  string
	runs    []string
}

// raw returns the bytes of the body as they arrived.
func (in *inbound) raw() ([]byte, error) { return in.body.raw(in.c.Writer, in.c.Request) }

// receiveSource takes POST /in/{source}.
func (s *Server) receiveSource(c *gin.Context) error {
	id, ix := param(c, "source"), s.lookup()
	src, ok := ix.sources[id]
	if !ok {
		if p := s.tooMany(c.Request); p != nil {
			return p
		}
		return problemf(codeNotFound, "there is no source %q", id)
	}
	m := s.mappings.Load().Get(src.Mapping)
	if m == nil {
		return problemf(codeUnavailable, "mapping %q of source %q is not loaded", src.Mapping, id).after(retryUnavailable)
	}
	s.receive(c, m, []bridge.Source{src})
	return nil
}

// receiveRoute takes a route that a mapping declares; any source with that
// mapping may post there.
func (s *Server) receiveRoute(c *gin.Context, m *mapping.Mapping) {
	s.receive(c, m, s.lookup().byMapping[m.Name])
}

// receive takes a request from its headers to its reply, and leaves one line
// in the log and one count in the metrics.
func (s *Server) receive(c *gin.Context, m *mapping.Mapping, sources []bridge.Source) {
	in := &inbound{c: c, began: s.cfg.Now(), mapping: m, body: body{budget: &s.budget, limit: s.cfg.MaxBody}}
	defer in.body.release()
	in.id = bridge.NewRequestID(in.began)
	c.Header(headerEvent, in.id)
	err := s.process(in, sources)
	if err != nil {
		p := asProblem(err)
		p.EventID = in.id
		in.refuse(p)
	}
	s.note(in, err)
}

// process is the order of an inbound request. An error that it returns was
// not answered yet.
func (s *Server) process(in *inbound, sources []bridge.Source) error {
	r := in.c.Request
	if p := s.tooMany(r); p != nil {
		return p
	}
	if p := announcedTooLarge(r, s.cfg.MaxBody); p != nil {
		return p
	}
	dry := r.Header.Get(headerDryRun) == "1"
	if err := s.identify(in, sources, dry); err != nil {
		return err
	}
	if wait := s.wait(in); wait > 0 {
		return problemf(codeTooMany, "source %s sends more than it may; try again in %s", in.claim.source.ID, wait.Round(time.Second)).after(wait)
	}
	raw, err := in.raw()
	if err != nil {
		return err
	}
	req, err := s.request(in, raw)
	if err != nil {
		return s.reject(in, req, "", err, dry)
	}
	in.result = in.mapping.Apply(mapping.Input{
		Request: req, Source: in.claim.source, SignedAt: in.claim.signedAt,
	})
	s.withoutSecrets(&in.result)
	result := in.result
	if err := within(in.claim.scope, result.Events); err != nil {
		return s.reject(in, req, result.Dedupe, err, dry)
	}
	if dry {
		return s.dryRun(in)
	}
	for i := range result.Events {
		ev := &result.Events[i]
		ev.Scope, ev.ID = in.claim.scope, scoped(ev.ID, in.claim.scope)
	}
	if result.Handshake != nil {
		if err := s.confirm(in, req); err != nil {
			return err
		}
	}
	return s.commit(in, req)
}

// wait returns how long the sender has to wait; 0 is not at all.
func (s *Server) wait(in *inbound) time.Duration {
	if s.cfg.Limit == nil {
		return 0
	}
	return s.cfg.Limit(in.c.Request.Context(), in.claim.source.ID, in.claim.key)
}

// identify authenticates the sender. For a dry run an operator's token is
// proof enough: nothing is stored.
func (s *Server) identify(in *inbound, sources []bridge.Source, dry bool) error {
	r := in.c.Request
	if token, ok := bearer(r); ok && dry && s.isAdmin(token) && len(sources) > 0 {
		in.claim = claim{source: sources[0], operator: true}
		return nil
	}
	var err error
	in.claim, err = s.authenticate(evidence{req: r, body: in.raw, now: in.began}, in.mapping, sources)
	return err
}

// request makes the bridge's words of the HTTP request: decompressed, without
// credentials. The request is usable even when there is an error.
func (s *Server) request(in *inbound, raw []byte) (*bridge.Request, error) {
	r := in.c.Request
	req := &bridge.Request{
		ID: in.id, Source: in.claim.source.ID, Mapping: in.mapping.Name, Received: s.cfg.Now(),
		Method: r.Method, Path: r.URL.Path, Body: raw, Remote: s.remote(r),
		Query: map[string]string{}, Header: map[string]string{},
	}
	secret := slices.Clone(credentialHeaders)
	secretQuery := []string{"token", "access_token", "api_key", "apikey", "key", "secret"}
	for _, spec := range in.mapping.Auth() {
		if spec.Header != "" {
			secret = append(secret, strings.ToLower(spec.Header))
		}
		if spec.Query != "" {
			secretQuery = append(secretQuery, spec.Query)
		}
	}
	for name, values := range r.URL.Query() {
		if !slices.Contains(secretQuery, name) {
			req.Query[name] = values[0]
		}
	}
	for name, values := range r.Header {
		if lower := strings.ToLower(name); !slices.Contains(secret, lower) {
			req.Header[lower] = strings.Join(values, ", ")
		}
	}
	body, err := in.body.decoded(r.Header.Get("Content-Encoding"), raw)
	if err != nil {
		return req, err
	}
	req.Body = body
	delete(req.Header, "content-encoding")
	return req, nil
}

// within refuses events of components that the sender may not write, before
// anything is looked up: not even a duplicate of another's event is told. The
// commit checks the runs' components again.
func within(scope []string, events []bridge.Event) error {
	if scope == nil {
		return nil
	}
	for _, ev := range events {
		if comp, ok := ev.Fields["component"].(string); ok && comp != "" && !slices.Contains(scope, comp) {
			return problemf(codeForbidden, "this key may write %s, not component %q", strings.Join(scope, ", "), comp)
		}
	}
	return nil
}

// reject puts a refused request in the ledger and returns the error to answer
// with: err, unless the ledger could not be written.
func (s *Server) reject(in *inbound, req *bridge.Request, dedupe string, err error, dry bool) error {
	p := asProblem(err)
	if dry || p.Status == http.StatusServiceUnavailable || p.Status == http.StatusRequestEntityTooLarge {
		return p
	}
	_, storeErr := s.store(in, Submission{
		Request: *req, Dedupe: dedupe, Outcome: bridge.Rejected, Reason: p.Detail, Code: p.Status,
	})
	if storeErr != nil {
		return storeErr
	}
	return p
}

// commit stores what the mapping made of the request, and replies.
func (s *Server) commit(in *inbound, req *bridge.Request) error {
	result := in.result
	refused := result.Problem != nil && result.Problem.Status >= http.StatusBadRequest
	sub := Submission{
		Request: *req, Dedupe: scoped(result.Dedupe, in.claim.scope), Events: result.Events, Outcome: result.Outcome,
		Reason: result.Reason, Warnings: result.Warnings, Remember: !refused,
	}
	if result.Unmapped && sub.Outcome == "" {
		sub.Outcome = bridge.Unmapped
	}
	if sub.Outcome == bridge.Ignored {
		sub.Reason = result.Rule + ": " + result.Reason
	}
	if result.Problem != nil {
		sub.Reason = result.Problem.Error()
		sub.Code = result.Problem.Status
	}
	receipt, err := s.store(in, sub)
	if err != nil {
		return err
	}
	s.used(in)
	if sub.Outcome == bridge.Unmapped {
		s.warnUnmapped(in, sub.Reason)
	}
	if refused {
		return in.replyRefused()
	}
	in.replyAccepted(receipt)
	return nil
}

// scoped keeps requests apart that were sent with different scopes. Otherwise
// a sender who repeats another's request would be told what became of it, where
// the commit would have refused him.
func scoped(id string, scope []string) string {
	if scope == nil {
		return id
	}
	sorted := slices.Sorted(slices.Values(scope))
	return id + "\x00" + strings.Join(sorted, "\x00")
}

// store commits within the time that is allowed for it, whether or not the
// client still waits: what was read completely is worth keeping.
func (s *Server) store(in *inbound, sub Submission) (Receipt, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(in.c.Request.Context()), s.cfg.CommitTimeout)
	defer cancel()
	began := time.Now()
	receipt, err := s.cfg.Commit.Commit(ctx, sub)
	result := "ok"
	if err != nil {
		result = "error"
	}
	s.metrics.commit.WithLabelValues(result).Observe(time.Since(began).Seconds())
	var be *bridge.Error
	switch {
	case err == nil:
		in.outcome, in.reason, in.runs = receipt.Outcome, receipt.Reason, receipt.Runs
	case errors.As(err, &be) && be.Code != bridge.CodeUnavailable:
		in.outcome, in.reason = bridge.Rejected, be.Message
	}
	return receipt, err
}

// used notes that the key of the request was used, at most once a minute for
// each key. Losing such a note harms nobody.
func (s *Server) used(in *inbound) {
	if in.claim.key == "" {
		return
	}
	if last, ok := s.touched.Load(in.claim.key); ok && in.began.Sub(last.(time.Time)) < time.Minute {
		return
	}
	s.touched.Store(in.claim.key, in.began)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(in.c.Request.Context()), s.cfg.CommitTimeout)
	defer cancel()
	if err := s.cfg.Keys.TouchKey(ctx, in.claim.key, in.began); err != nil {
		s.cfg.Log.Debug("note the use of a key", "key", in.claim.key, "err", err)
	}
}

// note leaves the request's line in the log and its count in the metrics.
func (s *Server) note(in *inbound, err error) {
	status, took := in.c.Writer.Status(), s.cfg.Now().Sub(in.began)
	outcome := string(in.outcome)
	if outcome == "" {
		outcome = "refused" // not authenticated, too large, not stored
	}
	s.metrics.request(in.claim.source.ID, outcome, status, took)
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	ctx := in.c.Request.Context()
	if !s.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("event", in.id), slog.String("source", in.claim.source.ID), slog.String("mapping", in.mapping.Name),
		slog.String("outcome", outcome), slog.Int("status", status), slog.Int64("ms", took.Milliseconds()),
		slog.String("remote", s.remote(in.c.Request)),
	}
	if in.claim.key != "" {
		attrs = append(attrs, slog.String("key", in.claim.key))
	}
	if len(in.runs) > 0 {
		attrs = append(attrs, slog.Any("runs", in.runs))
	}
	if in.reason != "" {
		attrs = append(attrs, slog.String("reason", in.reason))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	s.cfg.Log.LogAttrs(ctx, level, "request", attrs...)
}
