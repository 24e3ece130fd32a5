package mapping

import "cibridge/internal/lang"

// recorder notes what an evaluation does.
type recorder struct {
	body *lang.Trace
}
