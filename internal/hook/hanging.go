package hook

import (
	"fmt"
	"slices"
	"strings"

	"cibridge/bridge"
)

// Warning is what is wrong with a hook among the others, although it works.
type Warning struct {
	Hook string // its id
	Text string // for people: what is missing, and what to do
}

// ends are the triggers that end a status, with what goes wrong without.
var ends = []struct {
	trigger bridge.Trigger
	without string
}{
	{bridge.ActionFailed, "a run that fails"},
	{bridge.ActionCompleted, "a run that succeeds"},
}

// Hanging finds hooks that set a status when a run starts while no hook of the
// same pipeline and context ends it: commits would show it as pending for
// ever. Hooks that are switched off count as absent.
func Hanging(hooks []bridge.Hook) []Warning {
	var warnings []Warning
	for _, h := range hooks {
		if !h.Active || !firesOn(h, bridge.ActionStarted) && !firesOn(h, bridge.ActionQueued) || !setsStatus(h) {
			continue
		}
		for _, end := range ends {
			same := func(other bridge.Hook) bool {
				return other.Active && firesOn(other, end.trigger) && contextOf(other) == contextOf(h) && covers(other.Pipeline, h.Pipeline)
			}
			if slices.ContainsFunc(hooks, same) {
				continue
			}
			warnings = append(warnings, Warning{h.ID, fmt.Sprintf(
				"hook %q starts the status %q and no active hook with this context has %s: %s leaves it pending; add one, or use %s",
				h.Name, contextOf(h), end.trigger, end.without, bridge.ActionStatusChanged)})
		}
	}
	return warnings
}

func firesOn(h bridge.Hook, t bridge.Trigger) bool {
	events := h.TriggerWhen.Events
	return len(events) == 0 || slices.Contains(events, t) || slices.Contains(events, bridge.ActionStatusChanged)
}

// covers reports whether a hook for one pipeline is asked about another's runs.
func covers(one, other string) bool {
	short := func(name string) string {
		if strings.Contains(name, "/") {
			return bridge.PipelineID(name)
		}
		return name
	}
	return one == "*" || short(one) == short(other)
}

// contextOf names the status that a hook sets, as it is written: the same text
// is the same status. It is "" when nothing names one.
func contextOf(h bridge.Hook) string {
	if h.Context != "" {
		return h.Context
	}
	body, _ := h.Settings.RequestBody.(map[string]any)
	for _, member := range []string{"context", "key", "name"} {
		if text, ok := body[member].(string); ok && text != "" {
			return text
		}
	}
	if h.Profile != "" {
		return DefaultContext
	}
	return ""
}

// setsStatus reports whether a hook writes a status, rather than a message.
func setsStatus(h bridge.Hook) bool {
	body, _ := h.Settings.RequestBody.(map[string]any)
	_, state := body["state"]
	return (h.Profile != "" || state) && contextOf(h) != ""
}
