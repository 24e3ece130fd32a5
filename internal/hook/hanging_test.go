package hook

import (
	"strings"
	"testing"

	"cibridge/bridge"
)

func TestHanging(t *testing.T) {
	status := func(id string, change func(*bridge.Hook), events ...bridge.Trigger) bridge.Hook {
		h := bridge.Hook{
			ID: id, Name: id, Pipeline: "*", Active: true, TriggerWhen: bridge.TriggerWhen{Events: events},
			Settings: bridge.HookSettings{RequestBody: map[string]any{"state": "pending", "context": "ci/x"}},
		}
		if change != nil {
			change(&h)
		}
		return h
	}
	start := status("start", nil, bridge.ActionStarted)
	tests := []struct {
		name  string
		hooks []bridge.Hook
		want  string // the triggers that are missed
	}{
		{"alone", []bridge.Hook{start}, "action.failed action.completed"},
		{"three hooks", []bridge.Hook{start, status("f", nil, bridge.ActionFailed), status("c", nil, bridge.ActionCompleted)}, ""},
		{"no failed one", []bridge.Hook{start, status("c", nil, bridge.ActionCompleted)}, "action.failed"},
		{"no completed one", []bridge.Hook{start, status("f", nil, bridge.ActionFailed)}, "action.completed"},
		{"every change", []bridge.Hook{status("all", nil, bridge.ActionStatusChanged)}, ""},
		{"a profile", []bridge.Hook{{ID: "p", Active: true, Profile: "github", Pipeline: "*"}}, ""},
		{"a profile at the start only", []bridge.Hook{{ID: "p", Active: true, Profile: "github", Pipeline: "*", TriggerWhen: start.TriggerWhen}}, "action.failed action.completed"},
		{"switched off", []bridge.Hook{start, status("all", func(h *bridge.Hook) { h.Active = false }, bridge.ActionStatusChanged)}, "action.failed action.completed"},
		{"itself switched off", []bridge.Hook{status("s", func(h *bridge.Hook) { h.Active = false }, bridge.ActionStarted)}, ""},
		{"another context", []bridge.Hook{start, status("all", func(h *bridge.Hook) { h.Context = "ci/y" }, bridge.ActionStatusChanged)}, "action.failed action.completed"},
		{"another pipeline", []bridge.Hook{start, status("all", func(h *bridge.Hook) { h.Pipeline = "gh/shop" }, bridge.ActionStatusChanged)}, "action.failed action.completed"},
		{"the same pipeline", []bridge.Hook{
			status("s", func(h *bridge.Hook) { h.Pipeline = "gh/shop" }, bridge.ActionStarted),
			status("all", func(h *bridge.Hook) { h.Pipeline = bridge.PipelineID("gh/shop") }, bridge.ActionStatusChanged),
		}, ""},
		{"a message", []bridge.Hook{status("chat", func(h *bridge.Hook) { h.Settings.RequestBody = map[string]any{"text": "started"} }, bridge.ActionStarted)}, ""},
		{"queued", []bridge.Hook{status("q", nil, bridge.ActionQueued)}, "action.failed action.completed"},
	}
	for _, tt := range tests {
		got := Hanging(tt.hooks)
		want := strings.Fields(tt.want)
		if len(got) != len(want) {
			t.Errorf("%s: %+v, want %v", tt.name, got, want)
			continue
		}
		for i, w := range got {
			if w.Hook != tt.hooks[0].ID || !strings.Contains(w.Text, "no active hook with this context has "+want[i]) {
				t.Errorf("%s: %+v, want %s", tt.name, w, want[i])
			}
		}
	}
}
