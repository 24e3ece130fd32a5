package lang

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScanErrors(t *testing.T) {
	tests := []struct{ src, want string }{
		{"{\n  \"branch_name\": \"main\"\n  \"project_name\": \"x\"\n}", `3:3 a comma is missing before "project_name"`},
		{`[1 2]`, `1:4 a comma is missing before 2`},
		{`[{} {}]`, `1:5 a comma is missing before this {`},
		{`{"a":1,}`, `1:7 the comma before the closing } is one too many; remove it`},
		{"[1,\n]", `1:3 the comma before the closing ] is one too many; remove it`},
		{`[1,,2]`, `1:4 this comma is one too many; remove it`},
		{`{,"a":1}`, `1:2 this comma is one too many; remove it`},
		{`{"a":1,,"b":2}`, `1:8 this comma is one too many; remove it`},
		{`{"a":}`, `1:6 a value is missing before this }; write null when there is none`},
		{`{"a":,"b":1}`, `1:6 a value is missing before this ,; write null when there is none`},
		{`{"a" 1}`, `1:6 a colon is missing after the name "a"`},
		{`{"a"="x"}`, `1:5 after the name "a" stands =; write : instead`},
		{`{"a":1 : 2}`, `1:8 : cannot stand here; a comma or } is expected`},
		{`["a":1]`, `1:5 a name with a value stands in a list; put { } around it, or make the list an object`},
		{`{"a":[1}`, `1:8 this } cannot close the [ of line 1; close it with ]`},
		{`{"a":1`, `1:7 the JSON ends too early: the { of line 1 is not closed; was the text cut off?`},
		{"{\n\"a\":[1,\n", `3:1 the JSON ends too early: the [ of line 2 is not closed; was the text cut off?`},
		{`{"a":"x`, `1:6 the text that begins here is not closed; a " is missing`},
		{"{\"a\":\"x\n\"}", `1:6 the text that begins here is not closed on its line; a " is missing, or a line break that must be written \n`},
		{"[\"a\tb\"]", `1:4 a tab stands in a text; write \t`},
		{"[\"a\x01b\"]", `1:4 the control character U+0001 stands in a text; write \u0001`},
		{`["a\qb"]`, `1:4 \q is not an escape of JSON; for a backslash write \\`},
		{`["\u12g4"]`, `1:3 \u needs four hex digits after it`},
		{`["\`, `1:2 the text that begins here is not closed; a " is missing`},
		{`{a:1}`, `1:2 the name a needs double quotes; write "a"`},
		{`{'a':1}`, `1:2 texts stand between double quotes, not '; write " instead`},
		{`{“a”:1}`, `1:2 “ is a typographic quote; write the plain " instead`},
		{`["a”]`, `1:2 the text that begins here is not closed; a " is missing`},
		{`[main]`, `1:2 main is not a JSON value; write a text in double quotes, "main"`},
		{`[True]`, `1:2 JSON does not know True; write true`},
		{`[NaN]`, `1:2 JSON does not know NaN; write null`},
		{`[undefined]`, `1:2 JSON does not know undefined; write null`},
		{`[truex]`, `1:2 truex is not a JSON value; write a text in double quotes, "truex"`},
		{`[01]`, `1:2 01 is not a number in JSON; leave out the zeros before it, or make it a text in double quotes`},
		{`[+1]`, `1:2 +1 is not a number in JSON; leave out the +`},
		{`[.5]`, `1:2 .5 is not a number in JSON; write a 0 before the point`},
		{`[1.]`, `1:2 1. is not a number in JSON; leave out the point, or write digits after it`},
		{`[-]`, `1:2 - is not a number`},
		{`[0x1F]`, `1:2 0x1F is not a number in JSON; write it in decimals, or as a text in double quotes`},
		{`[1.2.3]`, `1:2 1.2.3 is not a number in JSON; write a text in double quotes, "1.2.3"`},
		{`[64be72b]`, `1:2 64be72b is not a number in JSON; write a text in double quotes, "64be72b"`},
		{`[$BUILD]`, `1:2 a value is expected, not $; was a placeholder not filled in?`},
		{"[1, // one\n2]", `1:5 JSON has no comments; remove it`},
		{"{\"a\":1 # one\n}", `1:8 JSON has no comments; remove it`},
		{`{"a":1} x`, `1:9 the JSON ends before this, but there is more text`},
		{`{}{}`, `1:3 the JSON ends before this, but there is more text`},
		{``, `1:1 the body is empty; send a JSON document`},
		{"\n ", `2:2 the body is empty; send a JSON document`},
		{`<html>`, `1:1 this is XML or HTML, not JSON; send a JSON document`},
		{`payload=%7B%7D`, `1:1 this is a form ("payload=…"), not JSON; send a JSON document`},
		{"--boundary\r\n", `1:1 this is a multipart body, not JSON; send a JSON document`},
		{"\x1f\x8b\x08", `1:1 this is compressed with gzip, but no Content-Encoding says so; send a JSON document`},
		{"\ufeff{}", `1:1 a byte order mark stands before the JSON; send a JSON document`},
		{"[\u00a01]", `1:2 an invisible or broken character (U+00A0) stands here; remove it`},
		{"{\"ü\":1\n \"b\":2}", `2:2 a comma is missing before "b"`},
		{`{"ü" "b"}`, `1:6 a colon is missing after the name "ü"`},
		{`[[[`, `1:4 the JSON ends too early: the [ of line 1 is not closed; was the text cut off?`},
	}
	for _, tt := range tests {
		err := Scan([]byte(tt.src), 0, 0)
		if err == nil {
			t.Errorf("%q was accepted", tt.src)
			continue
		}
		if got, want := spell(err), strings.Replace(tt.want, " ", " E001 ", 1); got != want {
			t.Errorf("%q\ngot  %s\nwant %s", tt.src, got, want)
		}
		if json.Valid([]byte(tt.src)) {
			t.Errorf("%q is valid", tt.src)
		}
	}
}

func TestScanLimits(t *testing.T) {
	if err := Scan([]byte(`[[1]]`), 2, 0); err != nil {
		t.Error(err)
	}
	if err := Scan([]byte(`[[[1]]]`), 2, 0); err == nil || spell(err) != "1:3 E001 the JSON is nested more than 2 deep" {
		t.Errorf("depth: got %v", err)
	}
	if err := Scan([]byte(`[1,2]`), 0, 3); err != nil {
		t.Error(err)
	}
	if err := Scan([]byte(`[1,2,3]`), 0, 3); err == nil || err.Error() != "the JSON has more than 3 values" {
		t.Errorf("tokens: got %v", err)
	}
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	if err := Scan([]byte(deep), 100, 0); err != nil {
		t.Errorf("a greater depth than the default: %v", err)
	}
}

// Every real payload that we have is accepted.
func TestScanAcceptsFixtures(t *testing.T) {
	n := 0
	for _, file := range fixtures(t) {
		if err := Scan(file, 0, 0); (err == nil) != json.Valid(file) {
			t.Errorf("%.60s…: %v", file, err)
		}
		n++
	}
	t.Logf("%d payloads", n)
}

// fixtures returns the payloads of the repository's testdata, and one of this
// file where there are none.
func fixtures(t testing.TB) [][]byte {
	t.Helper()
	out := [][]byte{[]byte(sample)}
	root := filepath.Join("..", "..", "testdata", "payloads")
	if _, err := os.Stat(root); err != nil {
		return out
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".json" {
			return err
		}
		b, err := os.ReadFile(path)
		out = append(out, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{sample, `[1,2`, `{"a":"\u00e9\n"}`, `[1e5,-0.5,true,null]`, "[\"\x00\"]", `[1,]`, `{"a":{"b":[]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		err := Scan(src, 10_000, 1_000_000)
		if valid := json.Valid(src); valid != (err == nil) {
			t.Fatalf("valid is %v, got %v", valid, err)
		}
		if err == nil {
			return
		}
		e := List(err)[0]
		if e.Line < 1 || e.Col < 1 || e.Message == "" || e.Line > strings.Count(string(src), "\n")+1 {
			t.Fatalf("bad error %+v", e)
		}
	})
}
