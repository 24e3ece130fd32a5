package lang

import (
	"testing"
	"time"
)

// The value is that of uuid.uuid5(uuid.NAMESPACE_URL, "https://ci.example/7")
// in Python.
func TestUUID(t *testing.T) {
	e, err := Compile(`uuid(x)`, NewScope(map[string]Shape{"x": Any()}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Run(map[string]any{"x": "https://ci.example/7"}, time.Time{})
	if want := "198ed557-e79d-54e5-8b41-c80e320d17ad"; err != nil || got != want {
		t.Errorf("got %v (%v), want %s", got, err, want)
	}
	if got, err := e.Run(nil, time.Time{}); err != nil || got != nil {
		t.Errorf("of an absent text: got %v (%v), want nothing", got, err)
	}
}
