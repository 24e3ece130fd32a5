package hook

import (
	"net/http"
	"strings"
	"testing"

	"cibridge/internal/provider"
)

func TestDelivered(t *testing.T) {
	as := NewAnswers()
	a := provider.Answer{Status: 409, Header: http.Header{"X-State": {"a", "b"}}, Body: []byte(`{"ok":true,"n":4487150517,"list":[1]}`)}
	tests := []struct {
		src   string
		a     provider.Answer
		want  bool
		wrong bool
	}{
		{"status == 409", a, true, false},
		{"=status == 201", a, false, false},
		{`header["x-state"] == "a"`, a, true, false},
		{"body.ok", a, true, false},
		{"body.n == 4487150517", a, true, false},
		{"body.nope", a, false, false},
		{`text contains "list"`, a, true, false},
		{`body == "Retry later"`, provider.Answer{Body: []byte("Retry later")}, true, false},
		{`len(text) == 4096`, provider.Answer{Body: []byte(strings.Repeat("a", 5000))}, true, false},
		{`status`, a, false, false},
		{`int(text) == 1`, a, false, true},
		{`nope`, a, false, true},
	}
	for range 2 { // compiled, then kept
		for _, tt := range tests {
			got, err := as.Delivered(tt.src, tt.a)
			if got != tt.want || (err != nil) != tt.wrong {
				t.Errorf("%s: got %t, %v", tt.src, got, err)
			}
		}
	}
	for i := range maxCompiled + 5 {
		if ok, err := as.Delivered("status == "+itoa(i), provider.Answer{Status: i}); !ok || err != nil {
			t.Fatalf("%d: got %t, %v", i, ok, err)
		}
	}
	if n := len(as.compiled); n > maxCompiled {
		t.Errorf("%d expressions are kept", n)
	}
}
