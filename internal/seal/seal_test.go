package seal

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// named returns a fresh key under the given id.
func named(id string) string {
	_, key, _ := strings.Cut(NewKey(), ":")
	return id + ":" + key
}

func ring(t *testing.T, text string) *Ring {
	t.Helper()
	r, err := ParseRing(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealOpens(t *testing.T) {
	r := ring(t, named("k1"))
	for _, plain := range []string{"", "x", strings.Repeat("secret", 1000)} {
		sealed := r.Seal([]byte(plain), "hook:1")
		if len(plain) > 8 && bytes.Contains(sealed, []byte(plain[:8])) {
			t.Errorf("the sealed text shows its content")
		}
		got, err := r.Open(sealed, "hook:1")
		if err != nil || string(got) != plain {
			t.Errorf("Open: got %.20q, %v; want %.20q", got, err, plain)
		}
	}
	if a, b := r.Seal([]byte("x"), ""), r.Seal([]byte("x"), ""); bytes.Equal(a, b) {
		t.Errorf("two seals of one text are equal: the nonce is not random")
	}
}

func TestOpenRefuses(t *testing.T) {
	r := ring(t, named("k1"))
	sealed := r.Seal([]byte("secret"), "hook:1")
	tests := map[string]struct {
		sealed []byte
		aad    string
		want   string
	}{
		"moved":     {sealed, "hook:2", "moved"},
		"empty":     {nil, "hook:1", "not a sealed text"},
		"cut":       {sealed[:2], "hook:1", "not a sealed text"},
		"short":     {sealed[:10], "hook:1", "changed"},
		"other key": {ring(t, named("k2")).Seal([]byte("secret"), "hook:1"), "hook:1", `"k2", which is not in the ring (keys k1)`},
		"same name": {ring(t, named("k1")).Seal([]byte("secret"), "hook:1"), "hook:1", "another key"},
	}
	for name, test := range tests {
		got, err := r.Open(test.sealed, test.aad)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %q, %v; want an error with %q", name, got, err, test.want)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := r.Open(changed, "hook:1"); err == nil {
			t.Errorf("Open accepts a text whose byte %d was changed", i)
		}
	}
}

func TestRotation(t *testing.T) {
	k1, k2 := named("k1"), named("k2")
	before := ring(t, k1).Seal([]byte("old"), "a")
	both := ring(t, k2+", "+k1)
	if got, err := both.Open(before, "a"); err != nil || string(got) != "old" {
		t.Errorf("Open after rotation: got %q, %v; want old", got, err)
	}
	after := both.Seal([]byte("new"), "a")
	if got := KeyID(after); got != "k2" {
		t.Errorf("KeyID: got %q, want k2, the first of the ring", got)
	}
	if got := KeyID(before); got != "k1" {
		t.Errorf("KeyID: got %q, want k1", got)
	}
}

func TestParseRingTeaches(t *testing.T) {
	tests := map[string]string{
		"":                            "no encryption key",
		"c2VjcmV0":                    `want "id:key"`,
		"k 1:" + named("")[1:]:        "1 to 16 letters",
		"k1:not base64!":              "not base64",
		"k1:c2VjcmV0":                 "has 6 bytes, want 32",
		named("a") + "," + named("a"): "used twice",
	}
	for text, want := range tests {
		_, err := ParseRing(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRing(%q): got %v, want an error with %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("ParseRing(%q): the error shows the key: %v", text, err)
		}
	}
}

func TestRingShowsNoKey(t *testing.T) {
	text := named("k1")
	r := ring(t, text)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, r); got != "keys k1" {
			t.Errorf("%s prints %q, want the ids only", verb, got)
		}
	}
}
