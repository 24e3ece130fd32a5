package lang

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Members is an object whose members are made when they are read. A member
// that is nil is absent.
type Members interface {
	Member(name string) any
	Members() []string // the names of all of them
}

// all returns an object with all its members.
func all(m Members) map[string]any {
	out := map[string]any{}
	for _, name := range m.Members() {
		if v := norm(m.Member(name)); v != nil {
			out[name] = v
		}
	}
	return out
}

// norm returns v as one of the kinds that expressions know: nil, bool, int64,
// float64, string, []any, map[string]any or map[string]string. Whole floats
// become int64. Anything else is returned as it is.
func norm(v any) any {
	switch v := v.(type) {
	case nil, bool, int64, string, []any, map[string]any, map[string]string:
		return v
	case *Doc:
		return v.Value()
	case Members:
		return all(v)
	case int:
		return int64(v)
	case float64:
		return wholeFloat(v)
	case []byte:
		return string(v)
	case json.Number:
		return number(string(v))
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	}
	return normReflect(v)
}

func normReflect(v any) any {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		return r.String()
	case reflect.Bool:
		return r.Bool()
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int, reflect.Int64:
		return r.Int()
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint, reflect.Uint64:
		if u := r.Uint(); u <= math.MaxInt64 {
			return int64(u)
		}
		return strconv.FormatUint(r.Uint(), 10)
	case reflect.Float32:
		return wholeFloat(r.Float())
	case reflect.Slice:
		out := make([]any, r.Len())
		for i := range out {
			out[i] = norm(r.Index(i).Interface())
		}
		return out
	case reflect.Map:
		if r.Type().Key().Kind() != reflect.String {
			break
		}
		out := make(map[string]any, r.Len())
		for it := r.MapRange(); it.Next(); {
			out[it.Key().String()] = norm(it.Value().Interface())
		}
		return out
	}
	return v
}

// exact is the greatest whole number below which every float64 is exact.
const exact = 1 << 53

func wholeFloat(f float64) any {
	if f == math.Trunc(f) && math.Abs(f) < exact {
		return int64(f)
	}
	return f
}

// number returns the value of a JSON number: int64 when it is whole and fits,
// the exact digits as text when it is whole and does not fit, else float64. A
// number that float64 cannot hold stays text, too.
func number(raw string) any {
	if i, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return i
	}
	if !strings.ContainsAny(raw, ".eE") {
		return raw
	}
	f, err := strconv.ParseFloat(raw, 64)
	if err != nil || math.IsInf(f, 0) {
		return raw
	}
	return wholeFloat(f)
}

// text returns v as text, for joining and printing: numbers without exponent,
// lists and objects as JSON. ok is false when v is absent.
func text(v any) (s string, ok bool) {
	switch v := norm(v).(type) {
	case nil:
		return "", false
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v), true
		}
		return string(b), true
	}
}

// Text returns v as text as string() does in an expression. ok is false when
// v is absent.
func Text(v any) (s string, ok bool) { return text(v) }

// numeric returns v as int64 or float64 when it is a number or a text that is
// one.
func numeric(v any) (any, bool) {
	switch v := norm(v).(type) {
	case int64, float64:
		return v, true
	case string:
		s := strings.TrimSpace(v)
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return i, true
		}
		if s == "" || strings.ContainsAny(s, "xXpP_nN") { // hex, NaN, Inf: not numbers in JSON
			return nil, false
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && !math.IsInf(f, 0) {
			return wholeFloat(f), true
		}
	}
	return nil, false
}

func asFloat(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return math.NaN()
}

// describe names a value in a message: `the text "abc"`, `a list of 3`.
func describe(v any) string {
	switch v := norm(v).(type) {
	case nil:
		return "absent"
	case string:
		return "the text " + quote(v)
	case bool:
		return strconv.FormatBool(v)
	case int64, float64:
		s, _ := text(v)
		return "the number " + s
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	case map[string]any, map[string]string:
		return "an object"
	default:
		return fmt.Sprintf("a %T", v)
	}
}

// quote returns s in quotes, cut to a length that fits a message.
func quote(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return strconv.Quote(s)
}
