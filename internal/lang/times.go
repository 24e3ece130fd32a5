package lang

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Times reads times as CI tools write them. The zero Times reads every form
// that carries its zone, and epochs.
type Times struct {
	// Layouts are tried first, in their order; they are written as Go's
	// reference time, "Jan 2, 2006, 3:04:05 PM".
	Layouts []string
	// Zone is that of times without one. With a nil Zone such a time is an
	// error: nobody can know what it means.
	Zone *time.Location
}

// zoned are the forms with a zone that CI tools were seen to send. RFC 3339
// with any number of digits in the fraction is tried before them.
var zoned = []string{
	"2006-01-02T15:04:05.999999999Z0700", // GoCD
	"2006-01-02 15:04:05 MST",            // GitLab, Buildkite
	"2006-01-02 15:04:05 -0700",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 -0700 MST",
	"20060102T150405.999999999Z0700", // TeamCity
	"Mon Jan _2 15:04:05 MST 2006",   // Harness
	"Mon Jan _2 15:04:05 -0700 2006",
	time.RFC1123Z, time.RFC1123, time.RFC850,
}

// unzoned are the forms that need Times.Zone.
var unzoned = []string{
	"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02 3:04 PM",
	"20060102T150405", "Jan 2, 2006, 3:04:05 PM", "Jan 2, 2006 3:04:05 PM", "Mon Jan _2 15:04:05 2006", "2006-01-02",
}

// Epochs are told apart by magnitude: 1e11 seconds are the year 5138, 1e11
// milliseconds are 1973; 1e14 and 1e17 divide milli- from micro- and those
// from nanoseconds.
const (
	msFrom = 100_000_000_000
	usFrom = 100_000_000_000_000
	nsFrom = 100_000_000_000_000_000
)

// NewTimes returns a Times after checking its parts. zone is a name of the
// IANA database, "UTC", an offset "+02:00", or "" for none.
func NewTimes(layouts []string, zone string) (Times, error) {
	t := Times{Layouts: layouts}
	for _, l := range layouts {
		if err := checkLayout(l); err != nil {
			return Times{}, err
		}
	}
	loc, err := loadZone(zone)
	if err != nil {
		return Times{}, err
	}
	t.Zone = loc
	return t, nil
}

func loadZone(zone string) (*time.Location, error) {
	if zone == "" {
		return nil, nil
	}
	if at, err := time.Parse("Z07:00", zone); err == nil {
		_, offset := at.Zone()
		return time.FixedZone(zone, offset), nil
	}
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return nil, fmt.Errorf("unknown time zone %q; write a name like Europe/Berlin, UTC, or an offset like +02:00", zone)
	}
	return loc, nil
}

// checkLayout refuses a layout in which no year would be read: it was written
// as "YYYY-MM-DD" or with an example time.
func checkLayout(layout string) error {
	probe := time.Date(2001, time.November, 23, 17, 35, 59, 0, time.UTC)
	got, err := time.Parse(layout, probe.Format(layout))
	if err != nil || got.Year() != 2001 || got.Month() != time.November || got.Day() != 23 {
		return fmt.Errorf("the layout %q does not name a year, a month and a day; write how the tool would show the 2nd of January 2006, 15:04:05, for example %q", layout, "2006-01-02 15:04:05")
	}
	return nil
}

// Parse returns the time in v as milliseconds since 1970 in UTC. v is a text, a
// number or a [time.Time]. ok is false when v is absent: nil, "", 0 or "0".
// The error says why a v that is there cannot be read; it is an [*Error].
func (t Times) Parse(v any) (ms int64, ok bool, err error) {
	switch v := v.(type) {
	case time.Time:
		return v.UnixMilli(), !v.IsZero(), nil
	case *time.Location:
		return 0, false, nil
	}
	switch v := norm(v).(type) {
	case nil:
		return 0, false, nil
	case int64:
		return epoch(v)
	case float64:
		return epochFloat(v)
	case string:
		return t.ParseText(v)
	default:
		return 0, false, timeError("%s is not a time", describe(v))
	}
}

// ParseText is Parse of a text.
func (t Times) ParseText(s string) (ms int64, ok bool, err error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false, nil
	}
	if len(s) > 64 {
		return 0, false, timeError("%s is too long for a time", quote(s))
	}
	for _, l := range t.Layouts {
		if at, err := time.ParseInLocation(l, s, t.zone()); err == nil {
			if t.Zone == nil && !zoneIn(l) {
				return 0, false, noZone(s)
			}
			return at.UnixMilli(), true, nil
		}
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.UnixMilli(), true, nil
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		if len(s) == 8 && s[0] == '2' {
			return 0, false, timeError("%s could be a date or an epoch; add the layout %q to times.layouts", quote(s), "20060102")
		}
		return epoch(i)
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return epochFloat(f)
	}
	return t.parseForms(s)
}

func (t Times) parseForms(s string) (int64, bool, error) {
	for _, l := range zoned {
		// An abbreviation that Go does not know would silently count as UTC.
		if at, err := time.Parse(l, s); err == nil && knownZone(at) {
			return at.UnixMilli(), true, nil
		}
	}
	for _, l := range unzoned {
		if at, err := time.ParseInLocation(l, s, t.zone()); err == nil {
			if t.Zone == nil {
				return 0, false, noZone(s)
			}
			return at.UnixMilli(), true, nil
		}
	}
	return 0, false, timeError("%s is not a time that is known here; give its form in times.layouts, for example %q", quote(s), "2006-01-02 15:04:05")
}

func (t Times) zone() *time.Location {
	if t.Zone == nil {
		return time.UTC
	}
	return t.Zone
}

func zoneIn(layout string) bool {
	return strings.Contains(layout, "MST") || strings.Contains(layout, "Z07") || strings.Contains(layout, "-07")
}

func knownZone(at time.Time) bool {
	name, offset := at.Zone()
	return offset != 0 || name == "UTC" || name == "GMT" || name == "" || name == "Z"
}

func noZone(s string) error {
	return timeError("%s has no time zone; say which one the tool means in times.zone, for example UTC", quote(s))
}

func timeError(format string, args ...any) error {
	return &Error{Line: 1, Col: 1, Width: 1, Code: CodeTime, Message: fmt.Sprintf(format, args...)}
}

func epoch(n int64) (int64, bool, error) {
	switch {
	case n == 0:
		return 0, false, nil
	case n < 0:
		return 0, false, timeError("%d is before 1970 and so not the time of a run", n)
	case n < msFrom:
		return n * 1000, true, nil
	case n < usFrom:
		return n, true, nil
	case n < nsFrom:
		return n / 1000, true, nil
	}
	return n / 1_000_000, true, nil
}

func epochFloat(f float64) (int64, bool, error) {
	if math.IsNaN(f) || f >= math.MaxInt64 || f <= math.MinInt64 {
		return 0, false, timeError("%v is not a time", f)
	}
	if f >= 1 && f < msFrom {
		return int64(math.Round(f * 1000)), true, nil
	}
	return epoch(int64(f))
}

// FormatMS returns an epoch in milliseconds as RFC 3339 in UTC, with a
// fraction only where there is one.
func FormatMS(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00")
}
