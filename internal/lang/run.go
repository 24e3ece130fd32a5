package lang

import (
	"errors"
	"fmt"
	"time"
)

// DefaultTimeout bounds a run for which the caller gives no deadline. The
// limits on work come first except on a machine that is overloaded.
const DefaultTimeout = 50 * time.Millisecond

// Result is the value of an expression and what is to be known about it.
type Result struct {
	Value any // nil: absent
	// Truncated reports that a list was longer than the 1000 items that
	// expressions see.
	Truncated bool
}

// Run evaluates e. env holds the values of the names of the scope; one that is
// missing is absent, and a [*Doc] stands for its value. env is only read. A
// zero deadline is DefaultTimeout from now.
//
// The value is nil (absent), bool, int64, float64, string, []any or
// map[string]any; or Omit. The error is an [*Error]: the values did not fit,
// or a limit was reached.
func (e *Expr) Run(env map[string]any, deadline time.Time) (any, error) {
	r, err := e.Eval(env, deadline)
	return r.Value, err
}

// Eval is Run with more to tell.
func (e *Expr) Eval(env map[string]any, deadline time.Time) (Result, error) {
	roots := make([]any, len(e.roots))
	for i, name := range e.roots {
		roots[i] = env[name]
	}
	r := Runner{Deadline: deadline}
	return r.Eval(e, roots)
}

// Runner runs many expressions, one after the other, without anew making what
// they need to run. It belongs to one goroutine and keeps values of its last
// run alive.
type Runner struct {
	Deadline time.Time // of all runs; the zero one is DefaultTimeout from now for each
	frame    frame
}

// Eval is [Expr.Eval] with the values of [Expr.Roots] in their order. They are
// only read.
func (r *Runner) Eval(e *Expr, roots []any) (res Result, err error) {
	if e.name {
		if d, ok := roots[0].(*Doc); ok {
			v := d.Value()
			return Result{Value: v, Truncated: d.Truncated()}, nil
		}
		return Result{Value: norm(roots[0])}, nil
	}
	f := &r.frame
	f.roots, f.run, f.stack = roots, run{times: &e.times, deadline: r.Deadline}, f.stack[:0]
	if f.vars == nil {
		f.vars, f.stack = f.varsRoom[:], f.stackRoom[:0]
	}
	if len(f.vars) < e.slots {
		f.vars = make([]any, e.slots)
	}
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Line: 1, Col: 1, Width: 1, Code: CodeRun, Message: fmt.Sprintf("this expression failed: %v", p)}
		}
	}()
	out, err := e.start(f)
	if err != nil {
		return Result{}, e.runError(err)
	}
	if out != Omit {
		out = norm(out)
	}
	return Result{Value: out, Truncated: f.run.truncated || truncated(roots)}, nil
}

// truncated reports whether a document that was read was cut.
func truncated(roots []any) bool {
	for _, v := range roots {
		if d, ok := v.(*Doc); ok && d.Truncated() {
			return true
		}
	}
	return false
}

// run is the state of one evaluation: what it has used up.
type run struct {
	times     *Times
	deadline  time.Time
	work      int // steps and bytes
	growth    int // bytes of texts made
	checked   int // work at the last look at the clock
	truncated bool
}

// spend accounts for n units of work.
func (r *run) spend(n int) error {
	r.work += n
	if r.work > maxWork {
		return limitf("this expression has too much to do with these values; it was stopped")
	}
	if r.work-r.checked < 1<<15 {
		return nil
	}
	r.checked = r.work
	if r.deadline.IsZero() {
		r.deadline = time.Now().Add(DefaultTimeout)
		return nil
	}
	if time.Now().After(r.deadline) {
		return limitf("this expression took too long; it was stopped")
	}
	return nil
}

// made accounts for a text of n bytes that a function is about to make.
func (r *run) made(n int) error {
	if n > maxText {
		return limitf("the text would have %d bytes; an expression may make texts of up to %d", n, maxText)
	}
	if r.growth += n; r.growth > maxGrowth {
		return limitf("this expression makes more than %d bytes of text", maxGrowth)
	}
	return r.spend(n)
}

// holds accounts for a list or an object that was made. It may hold another one
// twice, and that another one: then it is small in memory, but not for who
// writes it or compares it.
func (r *run) holds(v any) error {
	left := maxParts
	if !countParts(v, &left) {
		return limitf("this value would hold more than %d values", maxParts)
	}
	return r.spend(maxParts - left)
}

// countParts takes the values in v off left. It reports whether there were
// enough.
func countParts(v any, left *int) bool {
	*left--
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if !countParts(x, left) {
				return false
			}
		}
	case map[string]any:
		for _, x := range v {
			if !countParts(x, left) {
				return false
			}
		}
	}
	return *left >= 0
}

// runError puts an error of a step into words and in its place.
func (e *Expr) runError(err error) error {
	out := &Error{Line: 1, Col: 1, Width: 1, Code: CodeRun, Message: "this expression failed: " + err.Error()}
	var l *located
	if errors.As(err, &l) {
		out.Line, out.Col = place(e.src, l.at.From)
		out.Width = max(1, l.at.To-l.at.From)
	}
	var timeErr *Error
	if errors.As(err, &timeErr) {
		out.Code, out.Message, out.Help = timeErr.Code, timeErr.Message, timeErr.Help
	}
	var f *fault
	if errors.As(err, &f) {
		out.Code, out.Message, out.Help = f.code, f.message, f.help
		if f.from >= 0 {
			out.Line, out.Col = place(e.src, f.from)
			out.Width = 1
		}
	}
	return out
}
