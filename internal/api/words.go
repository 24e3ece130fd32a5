package api

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"cibridge/internal/diag"
)

func contains(list []string, word string) bool { return slices.Contains(list, word) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// didYouMean returns `; did you mean "x"?` for the nearest known word, or "".
func didYouMean(word string, known []string) string {
	if near := diag.Nearest(word, known); near != "" {
		return `; did you mean "` + near + `"?`
	}
	return ""
}

// rfc3339 writes epoch ms for people; nil when there is none.
func rfc3339(ms int64) *string {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return &t
}
