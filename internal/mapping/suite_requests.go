package mapping

import (
	"errors"
	"os"
	"strings"
)

// Requests returns the requests of a test as [RunTests] sends them, those of a
// sequence in their order. Of opts only ReadFile counts. The error says which
// body cannot be had.
func (m *Mapping) Requests(t *Test, opts TestOptions) ([]Input, error) {
	if opts.ReadFile == nil {
		opts.ReadFile = os.ReadFile
	}
	r := &testRun{m: m, t: t, opts: opts}
	out := make([]Input, 0, len(t.steps))
	for i, s := range t.steps {
		in, ok := r.input(s, i)
		if !ok {
			return nil, errors.New(strings.Join(r.failures, "; "))
		}
		out = append(out, in)
	}
	return out, nil
}
