package redact

import (
	"context"
	"fmt"
	"log/slog"
)

// Log returns a handler that gives next every record without the secrets of r,
// which is asked for with each record: the secrets of a server change.
func Log(next slog.Handler, r func() *Redactor) slog.Handler { return &logHandler{next, r} }

type logHandler struct {
	slog.Handler
	redactor func() *Redactor
}

// Handle implements [slog.Handler].
func (h *logHandler) Handle(ctx context.Context, rec slog.Record) error {
	r := h.redactor()
	message, _ := r.Text(rec.Message)
	out := slog.NewRecord(rec.Time, rec.Level, message, rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(attr(r, a))
		return true
	})
	return h.Handler.Handle(ctx, out)
}

// WithAttrs implements [slog.Handler].
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	r := h.redactor()
	shown := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		shown[i] = attr(r, a)
	}
	return &logHandler{h.Handler.WithAttrs(shown), h.redactor}
}

// WithGroup implements [slog.Handler].
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.Handler.WithGroup(name), h.redactor}
}

func attr(r *Redactor, a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		shown, _ := r.Text(v.String())
		return slog.String(a.Key, shown)
	case slog.KindGroup:
		var group []slog.Attr
		for _, in := range v.Group() {
			group = append(group, attr(r, in))
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(group...)}
	case slog.KindAny:
		return slog.Any(a.Key, anyValue(r, v.Any()))
	}
	return a
}

// anyValue keeps what has nothing secret in it as it is, so that a handler
// writes it in its own way.
func anyValue(r *Redactor, v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case []string:
		out := make([]string, len(v))
		for i, text := range v {
			out[i], _ = r.Text(text)
		}
		return out
	case error:
		return textOr(r, v, v.Error())
	case fmt.Stringer:
		return textOr(r, v, v.String())
	}
	return textOr(r, v, fmt.Sprintf("%+v", v))
}

func textOr(r *Redactor, v any, text string) any {
	if shown, n := r.Text(text); n > 0 {
		return shown
	}
	return v
}
