package lang

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

func fnLen(r *run, a []any) (any, error) {
	switch v := norm(a[0]).(type) {
	case nil:
		return int64(0), nil
	case string:
		return int64(utf8.RuneCountInString(v)), r.spend(len(v))
	case []any:
		return int64(len(v)), nil
	case map[string]any:
		return int64(len(v)), nil
	case map[string]string:
		return int64(len(v)), nil
	default:
		return nil, faultf("len needs a text, a list or an object, not %s", describe(v))
	}
}

func fnSplit(r *run, a []any) (any, error) {
	s, ok, err := r.textArg("split", a[0])
	if !ok || err != nil {
		return nil, err
	}
	sep, _, err := r.textArg("split", a[1])
	if err != nil {
		return nil, err
	}
	if err := r.takeApart("split", s); err != nil {
		return nil, err
	}
	parts := strings.SplitN(s, sep, maxItems+1)
	if len(parts) > maxItems {
		parts = parts[:maxItems]
		r.truncated = true
	}
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out, nil
}

func fnJoin(r *run, a []any) (any, error) {
	list, ok, err := r.listArg("join", a[0])
	if !ok || err != nil {
		return nil, err
	}
	sep := ""
	if len(a) == 2 {
		if sep, _, err = r.textArg("join", a[1]); err != nil {
			return nil, err
		}
	}
	var parts []string
	size := 0
	for _, v := range list {
		s, ok, err := r.text(v)
		if err != nil {
			return nil, err
		}
		if ok {
			parts = append(parts, s)
			size += len(s) + len(sep)
		}
		if size > maxText {
			break
		}
	}
	if err := r.made(size); err != nil {
		return nil, err
	}
	return strings.Join(parts, sep), nil
}

func fnReplace(r *run, a []any) (any, error) {
	s, ok, err := r.textArg("replace", a[0])
	if !ok || err != nil {
		return nil, err
	}
	before, _, err := r.textArg("replace", a[1])
	if err != nil {
		return nil, err
	}
	after, _, err := r.textArg("replace", a[2])
	if err != nil {
		return nil, err
	}
	if before == "" {
		return s, nil
	}
	if err := r.takeApart("replace", s); err != nil {
		return nil, err
	}
	// Known before it is made: a text of 100 KB could become 100 MB.
	size := len(s) + strings.Count(s, before)*(len(after)-len(before))
	if err := r.made(size); err != nil {
		return nil, err
	}
	return strings.ReplaceAll(s, before, after), nil
}

func fnIndexOf(r *run, a []any) (any, error) {
	s, ok, err := r.textArg("indexOf", a[0])
	if !ok || err != nil {
		return nil, err
	}
	part, ok, err := r.textArg("indexOf", a[1])
	if !ok || err != nil {
		return nil, err
	}
	i := strings.Index(s, part)
	if i > 0 {
		i = utf8.RuneCountInString(s[:i])
	}
	return int64(i), nil
}

// fnTruncate cuts a text to a number of characters; the last one then is "…".
func fnTruncate(r *run, a []any) (any, error) {
	s, ok, err := r.textArg("truncate", a[0])
	if !ok || err != nil {
		return nil, err
	}
	most, ok := norm(a[1]).(int64)
	if !ok || most < 1 {
		return nil, faultf("truncate needs the number of characters to keep, not %s", describe(a[1]))
	}
	return Truncate(s, int(min(most, math.MaxInt32))), nil
}

// Truncate cuts s to most characters; the last one is "…" when s is longer.
func Truncate(s string, most int) string {
	if len(s) <= most || utf8.RuneCountInString(s) <= most {
		return s
	}
	if most < 1 {
		return ""
	}
	n := 0
	for i := range s {
		if n++; n == most {
			return strings.TrimRight(s[:i], " \t\r\n") + "…"
		}
	}
	return s
}

func fnIsTag(r *run, a []any) (any, error) {
	s, _, err := r.textArg("is_tag", a[0])
	return strings.HasPrefix(s, "refs/tags/"), err
}

func fnLastSegment(r *run, a []any) (any, error) {
	s, ok, err := r.textArg("last_segment", a[0])
	if !ok || err != nil {
		return nil, err
	}
	sep := "/"
	if len(a) == 2 {
		if sep, _, err = r.textArg("last_segment", a[1]); err != nil {
			return nil, err
		}
	}
	if sep == "" {
		return s, nil
	}
	s = strings.TrimSuffix(s, sep)
	if i := strings.LastIndex(s, sep); i >= 0 {
		s = s[i+len(sep):]
	}
	return s, nil
}

func fnURLQuery(r *run, a []any) (any, error) {
	s, ok, err := r.textArg("urlquery", a[0])
	if !ok || err != nil {
		return nil, err
	}
	if err := r.made(3 * len(s)); err != nil {
		return nil, err
	}
	return url.QueryEscape(s), nil
}

// fnString makes a text of any value; of an absent one it is absent.
func fnString(r *run, a []any) (any, error) {
	x := norm(a[0])
	if _, ok := x.(string); ok {
		return x, nil
	}
	s, ok, err := r.text(x)
	if !ok || err != nil {
		return nil, err
	}
	return s, r.made(len(s))
}

// text is the function text with a limit: a list or an object is measured
// before it is written as JSON.
func (r *run) text(v any) (s string, ok bool, err error) {
	v = norm(v)
	switch v.(type) {
	case []any, map[string]any, map[string]string:
		left := maxText
		if !fits(v, &left) {
			return "", false, limitf("a text of this value would have more than %d bytes", maxText)
		}
	}
	s, ok = text(v)
	return s, ok, r.spend(16 + len(s))
}

// fits reports whether v has at most left bytes as JSON, roughly, and takes
// them off.
func fits(v any, left *int) bool {
	*left -= 8
	switch v := v.(type) {
	case string:
		*left -= len(v)
	case []any:
		for _, x := range v {
			if !fits(x, left) {
				return false
			}
		}
	case map[string]any:
		for k, x := range v {
			if *left -= len(k); !fits(x, left) {
				return false
			}
		}
	case map[string]string:
		for k, x := range v {
			*left -= len(k) + len(x)
		}
	}
	return *left >= 0
}

func fnInt(_ *run, a []any) (any, error) {
	v := norm(a[0])
	if v == nil || v == "" {
		return nil, nil
	}
	n, ok := numeric(v)
	if !ok {
		return nil, faultf("%s is not a number", describe(v))
	}
	f, fraction := n.(float64)
	if !fraction {
		return n, nil
	}
	if math.Abs(f) >= math.MaxInt64 || math.IsNaN(f) {
		return nil, faultf("%s does not fit into 64 bits", describe(v))
	}
	return int64(f), nil
}

func fnFloat(_ *run, a []any) (any, error) {
	v := norm(a[0])
	if v == nil || v == "" {
		return nil, nil
	}
	n, ok := numeric(v)
	if !ok {
		return nil, faultf("%s is not a number", describe(v))
	}
	return asFloat(n), nil
}

// fnCoalesce returns the first value that is there and not "". The rewriter
// takes a "" that is written as the last argument for the default.
func fnCoalesce(_ *run, a []any) (any, error) {
	for _, v := range a {
		if v = norm(v); v != nil && v != "" {
			return v, nil
		}
	}
	return nil, nil
}

func fnMS(r *run, a []any) (any, error) {
	ms, ok, err := r.times.Parse(a[0])
	if !ok || err != nil {
		return nil, err
	}
	return ms, nil
}

func fnUnix(r *run, a []any) (any, error) {
	ms, ok, err := r.times.Parse(a[0])
	if !ok || err != nil {
		return nil, err
	}
	return ms / 1000, nil
}

func fnISO(r *run, a []any) (any, error) {
	ms, ok, err := r.times.Parse(a[0])
	if !ok || err != nil {
		return nil, err
	}
	return FormatMS(ms), nil
}

// fnHumanTime shows a duration: "1h 2m", "1m 12s", "12s", "0.4s".
func fnHumanTime(_ *run, a []any) (any, error) {
	v := norm(a[0])
	if v == nil || v == "" {
		return nil, nil
	}
	n, ok := numeric(v)
	if !ok {
		return nil, faultf("human_time needs a number of milliseconds, not %s", describe(v))
	}
	f := asFloat(n)
	if f < 0 || f > float64(math.MaxInt64/int64(time.Millisecond)) {
		return nil, faultf("%s is not a duration", describe(v))
	}
	d := time.Duration(f * float64(time.Millisecond))
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h > 0:
		return fmt.Sprintf("%dh %dm", h, m), nil
	case m > 0:
		return fmt.Sprintf("%dm %ds", m, s), nil
	case s > 0:
		return fmt.Sprintf("%ds", s), nil
	}
	return fmt.Sprintf("%.1fs", d.Seconds()), nil
}

func fnRepo(r *run, a []any) (any, error) {
	s, ok, err := r.textArg("repo", a[0])
	if !ok || err != nil || s == "" {
		return nil, err
	}
	repo, ok := ParseRepo(s)
	if !ok {
		return nil, faultf("%s is not the address of a repository", quote(s))
	}
	return repo.object(), nil
}

// bytesArg returns v as the bytes to hash.
func (r *run) bytesArg(name string, v any) ([]byte, bool, error) {
	if b, ok := v.([]byte); ok {
		return b, true, r.spend(len(b) / 8)
	}
	v = norm(v)
	if v == nil {
		return nil, false, nil
	}
	s, ok := scalarText(v)
	if !ok {
		return nil, false, faultf("%s needs a text, not %s", name, describe(v)).withHelp("write string(x)")
	}
	return []byte(s), true, r.spend(len(s) / 8) // hashing is fast, and a whole body may be hashed
}

func fnSHA1(r *run, a []any) (any, error) {
	b, ok, err := r.bytesArg("sha1", a[0])
	if !ok || err != nil {
		return nil, err
	}
	sum := sha1.Sum(b) // short names for statuses, not a signature
	return hex.EncodeToString(sum[:]), nil
}

func fnSHA256(r *run, a []any) (any, error) {
	b, ok, err := r.bytesArg("sha256", a[0])
	if !ok || err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func fnHMAC(r *run, a []any) (any, error) {
	key, ok, err := r.bytesArg("hmac_sha256", a[0])
	if !ok || err != nil {
		return nil, err
	}
	b, ok, err := r.bytesArg("hmac_sha256", a[1])
	if !ok || err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(b)
	return hex.EncodeToString(mac.Sum(nil)), nil
}
