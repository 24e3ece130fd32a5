package api

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
)

// budget bounds the bytes of all request bodies that are in memory at once.
// It is safe for concurrent use.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes and reports whether there was room for them.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// errBusy says that the budget is used up.
var errBusy = errors.New("too many request bodies in flight")

// body reads the body of one request, once, when it is first asked for: a
// sender that is refused by its headers costs no memory. It is used by the
// request's goroutine alone; release must be called when the request is done.
type body struct {
	budget *budget
	limit  int64
	held   int64

	done  bool
	bytes []byte
	err   error
}

// raw returns the bytes as they arrived. The error is a *problem.
func (b *body) raw(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if b.done {
		return b.bytes, b.err
	}
	b.done = true
	if r.Body == nil {
		return nil, nil
	}
	// MaxBytesReader also tells the server to close the connection, so that
	// the rest of a body that is too large is never read.
	in := http.MaxBytesReader(w, r.Body, b.limit)
	b.bytes, b.err = b.readAll(in, r.ContentLength)
	if b.err != nil {
		b.bytes, b.err = nil, b.explain(b.err)
	}
	return b.bytes, b.err
}

// readAll reads in to its end and reserves what it reads as it grows, so that
// a body that is announced but does not come holds nothing.
func (b *body) readAll(in io.Reader, announced int64) ([]byte, error) {
	const first, step = 4 << 10, 256 << 10
	size := int64(first)
	if announced > 0 {
		size = min(announced, step) + 1 // + 1 to see the end without growing
	}
	if !b.take(size) {
		return nil, errBusy
	}
	buf := make([]byte, 0, size)
	for {
		if len(buf) == cap(buf) {
			grow := min(int64(cap(buf)), b.limit)
			if !b.take(grow) {
				return nil, errBusy
			}
			buf = append(make([]byte, 0, int64(cap(buf))+grow), buf...)
		}
		n, err := in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (b *body) take(n int64) bool {
	if !b.budget.take(n) {
		return false
	}
	b.held += n
	return true
}

// release gives back what the body holds. The bytes must not be used after.
func (b *body) release() {
	b.budget.give(b.held)
	b.held, b.bytes = 0, nil
}

// decoded returns the body without its Content-Encoding. Only gzip is taken,
// and only up to the same limit, whatever it claims to unpack to.
func (b *body) decoded(encoding string, raw []byte) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return raw, nil
	case "gzip", "x-gzip":
	default:
		return nil, problemf(codeMediaType, "the Content-Encoding is %q; accepted are gzip and identity", encoding).
			with("Accept-Encoding", "gzip, identity")
	}
	zip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, problemf(codeBadEncoding, "the Content-Encoding is gzip, but the body is not: %v", err)
	}
	out, err := b.readAll(io.LimitReader(zip, b.limit+1), 0)
	switch {
	case errors.Is(err, errBusy):
		return nil, b.explain(err)
	case err != nil:
		return nil, problemf(codeBadEncoding, "the gzip body is damaged: %v", err)
	case int64(len(out)) > b.limit:
		return nil, b.explain(&http.MaxBytesError{Limit: b.limit})
	}
	return out, nil
}

// explain makes a problem of a failed read.
func (b *body) explain(err error) *problem {
	var tooLarge *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &tooLarge):
		return tooLargeProblem(b.limit)
	case errors.Is(err, errBusy):
		return problemf(codeBusy, "too many request bodies are being read at once; try again").
			because(err).after(time.Second)
	case errors.As(err, &slow) && slow.Timeout():
		return problemf(codeTooSlow, "the body was not complete within the time for reading a request").
			because(err).with("Connection", "close")
	default:
		return problemf(codeBadEncoding, "the body ended early: its length does not fit what was announced").
			because(err).with("Connection", "close")
	}
}

func tooLargeProblem(limit int64) *problem {
	return problemf(codeTooLarge, "the body is larger than the limit of %d bytes", limit).with("Connection", "close")
}

// announcedTooLarge refuses a request by its Content-Length, before a byte of
// its body is read. A chunked body announces nothing and is cut while reading.
func announcedTooLarge(r *http.Request, limit int64) *problem {
	if r.ContentLength > limit {
		return tooLargeProblem(limit)
	}
	return nil
}

// readAdmin reads the body of an operator's request, with the limit of the
// inbound bodies.
func (s *Server) readAdmin(c *gin.Context) ([]byte, error) {
	if p := announcedTooLarge(c.Request, s.cfg.MaxBody); p != nil {
		return nil, p
	}
	b := &body{budget: &s.budget, limit: s.cfg.MaxBody}
	defer b.release()
	raw, err := b.raw(c.Writer, c.Request)
	if err != nil {
		return nil, err
	}
	return b.decoded(c.GetHeader("Content-Encoding"), raw)
}
