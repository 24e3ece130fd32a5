package lang

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
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
func (e *Expr) Eval(env map[string]any, deadline time.Time) (res Result, err error) {
	m := machines.Get().(*machine)
	defer m.release()
	for _, name := range e.roots {
		m.env[name] = env[name]
		if d, ok := env[name].(*Doc); ok {
			m.doc = d // truncation is noted there
		}
	}
	m.run = run{times: &e.times, deadline: deadline}
	m.env[runName] = &m.run
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Line: 1, Col: 1, Width: 1, Code: CodeRun, Message: fmt.Sprintf("this expression failed: %v", p)}
		}
	}()
	out, err := m.vm.Run(e.program, m.env)
	if err != nil {
		return Result{}, e.runError(err)
	}
	if out != Omit {
		out = norm(out)
	}
	return Result{Value: out, Truncated: m.run.truncated || m.doc.Truncated()}, nil
}

// runName is the name under which functions find the state of their run. A
// source text cannot contain it: the lexer knows no § in names.
const runName = "§run"

// machine is what a run needs and what is used again by the next one.
type machine struct {
	vm  vm.VM
	env map[string]any
	run run
	doc *Doc
}

var machines = sync.Pool{New: func() any { return &machine{env: make(map[string]any, 8)} }}

// release gives m back without the data of the run.
func (m *machine) release() {
	clear(m.env)
	clear(m.vm.Stack[:cap(m.vm.Stack)])
	clear(m.vm.Variables)
	m.run, m.doc = run{}, nil
	machines.Put(m)
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

// runError puts an error of the machine into words and in its place.
func (e *Expr) runError(err error) error {
	out := &Error{Line: 1, Col: 1, Width: 1, Code: CodeRun, Message: "this expression failed: " + err.Error()}
	var fe *file.Error
	if errors.As(err, &fe) {
		out.Line, out.Col = max(fe.Line, 1), fe.Column+1
		out.Width = max(1, fe.To-fe.From)
		out.Message = "this expression failed: " + fe.Message
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
