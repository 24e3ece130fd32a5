package lang

import (
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	berlin, err := NewTimes(nil, "Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	own, err := NewTimes([]string{"02.01.2006 15:04"}, "+02:00")
	if err != nil {
		t.Fatal(err)
	}
	utc, err := NewTimes(nil, "UTC")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		times Times
		in    any
		want  string // "" is absent
	}{
		{Times{}, "2020-10-05T16:33:24Z", "2020-10-05T16:33:24Z"},
		{Times{}, "2019-05-15T15:20:55+00:00", "2019-05-15T15:20:55Z"},
		{Times{}, "2016-09-19T13:03:26.4285528Z", "2016-09-19T13:03:26.428Z"},
		{Times{}, "2024-01-02T03:04:05.123456+02:00", "2024-01-02T01:04:05.123Z"},
		{Times{}, "2016-08-12 15:23:28 UTC", "2016-08-12T15:23:28Z"},
		{Times{}, "2016-08-12 15:23:28 +0200", "2016-08-12T13:23:28Z"},
		{Times{}, "20250812T000012-0300", "2025-08-12T03:00:12Z"},
		{Times{}, "2011-07-13T14:13:37.100+0000", "2011-07-13T14:13:37.1Z"},
		{Times{}, "Tue Aug 20 08:14:46 GMT 2024", "2024-08-20T08:14:46Z"},
		{Times{}, "Mon, 02 Jan 2006 15:04:05 GMT", "2006-01-02T15:04:05Z"},
		{berlin, "Aug 29, 2024, 3:59:18 PM", "2024-08-29T13:59:18Z"},
		{utc, "Sep 1, 2017 4:12:29 PM", "2017-09-01T16:12:29Z"},
		{utc, "2014-04-14 7:57 PM", "2014-04-14T19:57:00Z"},
		{berlin, "2024-01-02T03:04:05", "2024-01-02T02:04:05Z"},
		{berlin, "2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"}, // its own zone wins
		{own, "23.11.2024 12:00", "2024-11-23T10:00:00Z"},
		{Times{}, int64(1684912520), "2023-05-24T07:15:20Z"},
		{Times{}, int64(1684912520123), "2023-05-24T07:15:20.123Z"},
		{Times{}, int64(1684912520123456), "2023-05-24T07:15:20.123Z"},
		{Times{}, int64(1684912520123456789), "2023-05-24T07:15:20.123Z"},
		{Times{}, "1684912520123", "2023-05-24T07:15:20.123Z"},
		{Times{}, 1684912520.25, "2023-05-24T07:15:20.25Z"},
		{Times{}, "1684912520.25", "2023-05-24T07:15:20.25Z"},
		{Times{}, time.UnixMilli(1684912520123), "2023-05-24T07:15:20.123Z"},
		{Times{}, NewDoc(`"2020-10-05T16:33:24Z"`), "2020-10-05T16:33:24Z"},
		{Times{}, nil, ""},
		{Times{}, "", ""},
		{Times{}, "  ", ""},
		{Times{}, int64(0), ""},
		{Times{}, "0", ""},
		{Times{}, 0.0, ""},
		{Times{}, time.Time{}, ""},
	}
	for _, tt := range tests {
		ms, ok, err := tt.times.Parse(tt.in)
		got := ""
		if ok {
			got = FormatMS(ms)
		}
		if err != nil || got != tt.want {
			t.Errorf("%v: got %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestTimesErrors(t *testing.T) {
	odd := Times{Layouts: []string{"2006-01-02 15:04"}}
	tests := []struct {
		times Times
		in    any
		want  string
	}{
		{Times{}, "Aug 29, 2024, 3:59:18 PM", `"Aug 29, 2024, 3:59:18 PM" has no time zone; say which one the tool means in times.zone, for example UTC`},
		{Times{}, "2024-01-02T03:04:05", `"2024-01-02T03:04:05" has no time zone; say which one the tool means in times.zone, for example UTC`},
		{odd, "2024-01-02 03:04", `"2024-01-02 03:04" has no time zone; say which one the tool means in times.zone, for example UTC`},
		{Times{}, "tomorrow", `"tomorrow" is not a time that is known here; give its form in times.layouts, for example "2006-01-02 15:04:05"`},
		{Times{}, "2016-08-12 15:23:28 XYZ", `"2016-08-12 15:23:28 XYZ" is not a time that is known here; give its form in times.layouts, for example "2006-01-02 15:04:05"`},
		{Times{}, "20240102", `"20240102" could be a date or an epoch; add the layout "20060102" to times.layouts`},
		{Times{}, int64(-5), `-5 is before 1970 and so not the time of a run`},
		{Times{}, true, `true is not a time`},
		{Times{}, []any{}, `a list of 0 is not a time`},
	}
	for _, tt := range tests {
		_, ok, err := tt.times.Parse(tt.in)
		if err == nil || ok || err.Error() != tt.want {
			t.Errorf("%v: got %v, want %s", tt.in, err, tt.want)
		}
	}
	for _, bad := range []struct{ layout, zone, want string }{
		{"YYYY-MM-DD", "", `the layout "YYYY-MM-DD" does not name a year, a month and a day; write how the tool would show the 2nd of January 2006, 15:04:05, for example "2006-01-02 15:04:05"`},
		{"", "Berlin", `unknown time zone "Berlin"; write a name like Europe/Berlin, UTC, or an offset like +02:00`},
		{"", "Local", `unknown time zone "Local"; write a name like Europe/Berlin, UTC, or an offset like +02:00`},
	} {
		var layouts []string
		if bad.layout != "" {
			layouts = []string{bad.layout}
		}
		if _, err := NewTimes(layouts, bad.zone); err == nil || err.Error() != bad.want {
			t.Errorf("got %v, want %s", err, bad.want)
		}
	}
}

// The result must not depend on the zone of the machine.
func TestTimesIgnoreLocalZone(t *testing.T) {
	if _, ok, err := (Times{}).Parse("2016-08-12 15:23:28 CEST"); ok || err == nil {
		t.Errorf("an abbreviation was taken for a zone: %v, %v", ok, err)
	}
}

func FuzzTimes(f *testing.F) {
	for _, s := range []string{"2020-10-05T16:33:24Z", "1684912520", "Aug 29, 2024, 3:59:18 PM", "1e300", "-1"} {
		f.Add(s)
	}
	utc := Times{Zone: time.UTC}
	f.Fuzz(func(t *testing.T, s string) {
		ms, ok, err := utc.Parse(s)
		if err != nil && ok || !ok && ms != 0 {
			t.Fatalf("%q: got %d, %v, %v", s, ms, ok, err)
		}
	})
}
