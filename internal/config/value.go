package config

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cibridge/bridge"
)

// Size is a number of bytes. It is written as a number with a unit: "5MiB".
type Size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1}}

// String returns the size with the largest unit that makes it a whole number.
func (s Size) String() string {
	for _, u := range sizeUnits[:3] {
		if s > 0 && int64(s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(s)/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(s))
}

func parseSize(text string) (Size, error) {
	number, unit := text, int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size; write it like 5MiB, 64KiB or 1048576", text)
	}
	return Size(n * unit), nil
}

// Rate is how many requests are allowed, as people write it: "50/s", "600/m
// burst 100". "" allows all.
type Rate string

var rateForm = regexp.MustCompile(`^(\d{1,9})\s*/\s*(s|m|h)(?:\s+burst\s+(\d{1,9}))?$`)

var ratePer = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// maxRate bounds both numbers of a rate.
const maxRate = 1_000_000

// Limit returns count requests in each per, of which burst may come at once;
// count is 0 where all are allowed.
func (r Rate) Limit() (count int, per time.Duration, burst int) {
	m := rateForm.FindStringSubmatch(string(r))
	if m == nil {
		return 0, 0, 0
	}
	count, _ = strconv.Atoi(m[1]) // at most nine digits
	if burst = count; m[3] != "" {
		burst, _ = strconv.Atoi(m[3])
	}
	return count, ratePer[m[2]], burst
}

func parseRate(text string) (Rate, error) {
	r := Rate(strings.TrimSpace(text))
	switch count, _, burst := r.Limit(); {
	case r == "":
		return "", nil
	case !rateForm.MatchString(string(r)):
		return "", fmt.Errorf("%q is not a rate; write it like 50/s, 600/m or 100/s burst 200", text)
	case count < 1 || count > maxRate || burst < 1 || burst > maxRate:
		return "", fmt.Errorf("%q is not a rate: both numbers are between 1 and %d; leave it out to allow all", text, maxRate)
	}
	return r, nil
}

var days = regexp.MustCompile(`^(\d+)d(.*)$`)

// parseDuration reads what time.ParseDuration reads, and days: "7d", "1d12h".
func parseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is not a duration; write it like 15s, 10m, 96h or 7d", text)
	rest, d := text, time.Duration(0)
	if m := days.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > int(math.MaxInt64/day) {
			return 0, wrong
		}
		d, rest = time.Duration(n)*day, m[2]
		if rest == "" {
			return d, nil
		}
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || d+more < 0 {
		return 0, wrong
	}
	return d + more, nil
}

// showDuration is the inverse of parseDuration, as people would write it.
func showDuration(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parsePrefix reads a CIDR; an address stands for itself alone.
func parsePrefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.Prefix{}, fmt.Errorf("%q is not a prefix; write it like 10.20.0.0/16 or fd00:1::/32", text)
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

func parseInt(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

// parsers read a scalar of a type, in the file and in the environment. A
// bridge.Secret is in neither place literal only, see expand.
var parsers = map[reflect.Type]func(string) (any, error){
	reflect.TypeFor[string]():        func(s string) (any, error) { return s, nil },
	reflect.TypeFor[bool]():          func(s string) (any, error) { return parseBool(s) },
	reflect.TypeFor[int]():           func(s string) (any, error) { return parseInt(s) },
	reflect.TypeFor[time.Duration](): func(s string) (any, error) { return parseDuration(s) },
	reflect.TypeFor[Rate]():          func(s string) (any, error) { return parseRate(s) },
	reflect.TypeFor[Size]():          func(s string) (any, error) { return parseSize(s) },
	reflect.TypeFor[netip.Prefix]():  func(s string) (any, error) { return parsePrefix(s) },
	reflect.TypeFor[bridge.Secret](): func(s string) (any, error) { return bridge.Secret(s), nil },
}

var (
	reference = regexp.MustCompile(`\$\$|\$\{([^}]*)\}`)
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Expand replaces the references in the text of a secret: ${NAME} by that
// environment variable, ${file:/path} by the content of that file without the
// line end; $$ is a $. A variable that is not set, or empty, is an error, and
// so is an empty file: a secret that is silently empty protects nothing.
func Expand(text string, env map[string]string) (bridge.Secret, error) {
	return expand(text, func(name string) string { return env[name] })
}

func expand(text string, lookup func(string) string) (bridge.Secret, error) {
	var failed error
	out := reference.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		value, err := referred(match[2:len(match)-1], lookup)
		if err != nil && failed == nil {
			failed = err
		}
		return value
	})
	if failed != nil {
		return "", failed
	}
	return bridge.Secret(out), nil
}

func referred(name string, lookup func(string) string) (string, error) {
	if file, ok := strings.CutPrefix(name, "file:"); ok {
		return readSecret(file)
	}
	if !envName.MatchString(name) {
		return "", fmt.Errorf("${%s} is no reference; write ${NAME} for an environment variable or ${file:/path} for a file", name)
	}
	value := lookup(name)
	if value == "" {
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	return value, nil
}

// maxSecret bounds the file of a secret, in bytes.
const maxSecret = 64 << 10

func readSecret(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", fmt.Errorf("read the file of a secret: %w", err)
	}
	if info.IsDir() || info.Size() > maxSecret {
		return "", fmt.Errorf("%s is not the file of a secret: it is a directory or larger than 64 KiB", file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the file of a secret: %w", err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("the file %s of a secret is empty", file)
	}
	return text, nil
}
