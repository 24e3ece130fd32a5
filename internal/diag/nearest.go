package diag

import (
	"strings"
	"unicode/utf8"
)

// Nearest returns the known word that word was probably meant to be, or ""
// when none is near enough. Case, "_" and "-" count little; of equally near
// words the first wins.
func Nearest(word string, known []string) string {
	if word == "" {
		return ""
	}
	w := fold(word)
	// One slip per three characters: "mapp" finds "map", "x" finds nothing.
	best, bestDist := "", (utf8.RuneCountInString(w)+2)/3
	for _, k := range known {
		if k == word {
			continue
		}
		if d := distance(w, fold(k), bestDist); d < bestDist || d == bestDist && best == "" {
			best, bestDist = k, d
		}
	}
	if best != "" && utf8.RuneCountInString(w) <= bestDist {
		return "" // every character would differ
	}
	return best
}

var folder = strings.NewReplacer("_", "", "-", "")

func fold(s string) string {
	if f := folder.Replace(strings.ToLower(s)); f != "" {
		return f
	}
	return s
}

// distance returns the number of insertions, deletions, substitutions and
// swaps of neighbours between a and b, or anything above limit when it is
// above limit.
func distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if d := len(x) - len(y); d > limit || -d > limit {
		return limit + 1
	}
	before, prev, cur := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		cur[0] = i
		for j := 1; j <= len(y); j++ {
			same := 1
			if x[i-1] == y[j-1] {
				same = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+same)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(y)]
}
