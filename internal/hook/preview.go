package hook

import (
	"fmt"
	"strings"
	"time"

	"cibridge/bridge"
)

// Preview is what one hook would do on one firing.
type Preview struct {
	Delivery *bridge.Delivery // nil when nothing would be sent now
	Missing  []string         // what it would wait for: "commit.sha"
	Reason   string           // why it would send nothing, now or ever
}

// Preview renders one hook against run as it was when f fired, whether or not
// the hook is active, old enough or in s. s gives the applications. run is not
// changed, and secrets stay references.
func (s *Set) Preview(def bridge.Hook, run *bridge.Run, f bridge.Firing, now time.Time) (Preview, error) {
	def.Active, def.CreatedAt = true, 0
	h, problems := Compile(def, s.profiles)
	if err := problems.Err(); err != nil {
		return Preview{}, fmt.Errorf("preview hook %q: %w", def.Name, err)
	}
	state, err := run.MarshalState()
	if err != nil {
		return Preview{}, fmt.Errorf("preview hook %q: %w", def.Name, err)
	}
	shown, err := bridge.UnmarshalRun(run.Partition, run.Version, state)
	if err != nil {
		return Preview{}, fmt.Errorf("preview hook %q: %w", def.Name, err)
	}
	trigger, ok := h.listens(f)
	if !ok {
		return Preview{Reason: fmt.Sprintf("the hook does not wait for %s", f.Status)}, nil
	}
	p := &planning{set: s, run: shown, now: now}
	var r result
	for _, part := range h.parts {
		if r = p.render(h, part, f, trigger); r.fires || r.skip != "" || len(r.missing) > 0 {
			break // of several requests the first
		}
	}
	switch {
	case r.skip != "":
		return Preview{Reason: r.skip}, nil
	case len(r.missing) > 0:
		return Preview{Missing: r.missing, Reason: "it would wait for " + strings.Join(r.missing, ", ")}, nil
	case !r.fires:
		return Preview{Reason: "its conditions do not hold"}, nil
	}
	r.delivery.Since = shown.Since(f.Attempt, now.UnixMilli())
	return Preview{Delivery: &r.delivery}, nil
}
