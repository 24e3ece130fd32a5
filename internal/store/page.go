package store

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// position is a place in a list, newest first: a time and, among equals, a
// text. It does not move when newer elements arrive.
type position struct {
	ms  int64
	tie string
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.ms, q.ms), cmp.Compare(p.tie, q.tie))
}

// cursor is how a client carries a position.
func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.ms, 10) + "," + p.tie))
}

// parseCursor reads a cursor; "" is the newest end.
func parseCursor(text string) (position, error) {
	if text == "" {
		return position{ms: 1 << 52}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	at, tie, _ := strings.Cut(string(raw), ",")
	n, err2 := strconv.ParseInt(at, 10, 64)
	if err != nil || err2 != nil {
		return position{}, bridge.Errorf(bridge.CodeInvalid, "%q is not a cursor that came with an earlier page", text)
	}
	return position{n, tie}, nil
}

// feed is one index to page through: a ZSET by score, or a STREAM by id whose
// field holds the value.
type feed struct {
	key       string
	field     string // "" for a ZSET
	partition int
}

// item is an element of a feed.
type item struct {
	position
	value     string
	partition int
	feed      string // its key
}

const (
	defaultLimit = 50
	maxLimit     = 500
)

func limitOf(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, maxLimit)
}

// newest merges feeds: the n newest elements before a position.
func (s *Store) newest(ctx context.Context, feeds []feed, before position, n int) ([]item, error) {
	var all []item
	want := n + 16
	for len(feeds) > 0 {
		pages, err := s.fetch(ctx, feeds, before, want)
		if err != nil {
			return nil, err
		}
		var again []feed
		for i, f := range feeds {
			fit := slices.DeleteFunc(slices.Clone(pages[i]), func(it item) bool { return it.compare(before) >= 0 })
			if len(pages[i]) == want && len(fit) < n {
				again = append(again, f) // more than a page of one and the same time
				continue
			}
			all = append(all, fit...)
		}
		feeds, want = again, 4*want
	}
	slices.SortFunc(all, func(a, b item) int { return b.compare(a.position) })
	return all[:min(n, len(all))], nil
}

// fetch reads the newest n elements of each feed that are not after a
// position.
func (s *Store) fetch(ctx context.Context, feeds []feed, from position, n int) ([][]item, error) {
	sets, streams := make([]*redis.ZSliceCmd, len(feeds)), make([]*redis.XMessageSliceCmd, len(feeds))
	err := s.read(ctx, "read an index", func(p redis.Pipeliner) {
		for i, f := range feeds {
			if f.field == "" {
				sets[i] = p.ZRevRangeByScoreWithScores(ctx, f.key, &redis.ZRangeBy{Max: strconv.FormatInt(from.ms, 10), Min: "-inf", Count: int64(n)})
				continue
			}
			end := strconv.FormatInt(from.ms, 10)
			if seq, _, ok := strings.Cut(from.tie, " "); ok {
				end += "-" + strings.TrimLeft(seq[:len(seq)-1], "0") + seq[len(seq)-1:]
			}
			streams[i] = p.XRevRangeN(ctx, f.key, end, "-", int64(n))
		}
	})
	if err != nil {
		return nil, err
	}
	pages := make([][]item, len(feeds))
	for i, f := range feeds {
		if f.field == "" {
			for _, z := range sets[i].Val() {
				member := z.Member.(string)
				pages[i] = append(pages[i], item{position{int64(z.Score), member}, member, f.partition, f.key})
			}
			continue
		}
		for _, m := range streams[i].Val() {
			at, seq, _ := strings.Cut(m.ID, "-")
			t, _ := strconv.ParseInt(at, 10, 64)
			value, _ := m.Values[f.field].(string)
			pages[i] = append(pages[i], item{position{t, fmt.Sprintf("%020s %s", seq, f.key)}, value, f.partition, f.key})
		}
	}
	return pages, nil
}

// errEnough ends a walk: what comes next is too old.
var errEnough = errors.New("enough")

// walk pages through feeds until keep has taken limit elements, or answers
// errEnough. It returns the cursor of the next page, "" at the end. It looks at no more than maxWalk
// elements, so that a page may be short although there is a next one.
func (s *Store) walk(ctx context.Context, feeds []feed, cursor string, limit int, keep func([]item) ([]bool, error)) (string, error) {
	before, err := parseCursor(cursor)
	if err != nil {
		return "", err
	}
	taken := 0
	for looked := 0; looked < maxWalk; {
		page, err := s.newest(ctx, feeds, before, limit+1)
		if err != nil {
			return "", err
		}
		more := len(page) > limit
		page = page[:min(len(page), limit)]
		if len(page) == 0 {
			return "", nil
		}
		// Only as many as fit, so that none is read and then left out.
		page = page[:min(len(page), limit-taken)]
		kept, err := keep(page)
		if errors.Is(err, errEnough) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		for _, k := range kept {
			if k {
				taken++
			}
		}
		looked += len(page)
		before = page[len(page)-1].position
		if taken == limit {
			rest, err := s.newest(ctx, feeds, before, 1)
			if err != nil || len(rest) == 0 {
				return "", err
			}
			return before.cursor(), nil
		}
		if !more && len(page) < limit-taken {
			return "", nil
		}
	}
	return before.cursor(), nil
}

// maxWalk bounds what one page looks at.
const maxWalk = 5000
