package apikey

import (
	"errors"
	"strings"
	"testing"
)

func TestNewParses(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		text, id, hash := New()
		if seen[id] {
			t.Fatalf("id %s came twice", id)
		}
		seen[id] = true
		gotID, secret, err := Parse(text)
		if err != nil || gotID != id {
			t.Fatalf("Parse(New()) = %q, %v, want %q", gotID, err, id)
		}
		if !Match(hash, secret) {
			t.Fatal("the secret does not match its own hash")
		}
		if len(text) != textLen {
			t.Fatalf("len = %d, want %d", len(text), textLen)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good, _, _ := New()
	flipped := []byte(good)
	flipped[20] ^= 1
	for name, text := range map[string]string{
		"empty":          "",
		"other prefix":   "ghp" + good[3:],
		"cut":            good[:len(good)-1],
		"longer":         good + "0",
		"one bit":        string(flipped),
		"no underscores": strings.ReplaceAll(good, "_", "x"),
		"crc upper case": good[:len(good)-8] + strings.ToUpper("abcdef01"),
	} {
		if _, _, err := Parse(text); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: Parse = %v, want ErrMalformed", name, err)
		}
	}
}

func TestMatch(t *testing.T) {
	_, _, hash := New()
	text, _, _ := New()
	_, other, _ := Parse(text)
	if Match(hash, other) {
		t.Error("another key's secret matched")
	}
	if Match(nil, other) || Match([]byte{}, "") || Match(nil, "no key has this secret") {
		t.Error("an absent hash matched")
	}
}
