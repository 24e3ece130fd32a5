package mapping

import (
	"cibridge/bridge"
	"cibridge/internal/lang"
)

// The engine notes what it does where somebody wants to know: each method here
// returns at once when there is no recorder. [Mapping.Explain] puts the notes
// into words.

// recorder keeps the notes of one evaluation.
type recorder struct {
	body  *lang.Doc
	trace *lang.Trace
	notes map[noteKey][]note // in their order
	tried []tried
	made  []made
	items map[itemKey][]itemNote // in their order
}

func (r *recorder) begin(body *lang.Doc) {
	r.body, r.trace = body, body.Trace()
	r.notes, r.items = map[noteKey][]note{}, map[itemKey][]itemNote{}
}

// noteKey is a value and what its paths led into.
type noteKey struct {
	value *value
	doc   *lang.Doc
}

// itemKey is a list and what it was filled from.
type itemKey struct {
	list *listSpec
	in   *lang.Doc
}

// The steps of a value.
const (
	stepLiteral = "value"
	stepPath    = "path"
	stepFirst   = "first_of"
	stepOf      = "of"
	stepExpr    = "expr"
	stepDrop    = "drop_if"
	stepMap     = "map"
	stepElse    = "else"
	stepDefault = "default"
)

// note is what a value was after a step; nil is absent.
type note struct {
	step string
	x    any
}

func (s *state) note(v *value, w where, step string, x any) {
	if s.rec != nil {
		s.rec.note(noteKey{v, w.doc}, note{step, x})
	}
}

// note keeps the steps of the last time that a value was evaluated.
func (r *recorder) note(k noteKey, n note) {
	switch n.step {
	case stepPath, stepFirst, stepOf, stepLiteral:
		delete(r.notes, k)
	case stepExpr:
		if k.value.path == nil && k.value.firstOf == nil && k.value.of == nil {
			delete(r.notes, k)
		}
	}
	r.notes[k] = append(r.notes[k], n)
}

// tried is an event that was asked whether it takes the request.
type tried struct {
	event *event
	no    mismatch
}

func (s *state) tried(e *event, no mismatch) {
	if s.rec != nil {
		s.rec.tried = append(s.rec.tried, tried{e, no})
	}
}

// made is an event that was made of the request.
type made struct {
	event *event
	out   bridge.Event
}

func (s *state) made(e *event, out *bridge.Event) {
	if s.rec != nil {
		s.rec.made = append(s.rec.made, made{e, *out})
	}
}

// itemNote is an item of a list; why says why it was left out.
type itemNote struct {
	doc *lang.Doc
	out bridge.Item
	why string
}

func (s *state) item(l *listSpec, in, doc *lang.Doc, out bridge.Item, why string) {
	if s.rec != nil {
		k := itemKey{l, in}
		s.rec.items[k] = append(s.rec.items[k], itemNote{doc, out, why})
	}
}
