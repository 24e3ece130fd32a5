package bridge

import "testing"

func TestJoinKey(t *testing.T) {
	for _, tc := range []struct {
		parts []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"a"}, "a"},
		{[]string{"a/b%c"}, "a%2Fb%25c"},
		{[]string{"run", "7"}, "run/7"},
		{[]string{"", "", ""}, "//"},
		{[]string{"grün/weiß", "%2F", "///////////////////"}, "gr\u00fcn%2Fwei\u00df/%252F/%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F%2F"},
	} {
		if got := JoinKey(tc.parts...); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.parts, got, tc.want)
		}
	}
}
