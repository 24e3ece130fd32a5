package store

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// script is a Lua script. It touches only keys that are in its KEYS and knows
// no clock but that of Redis.
type script struct {
	name, source, sha string
}

// newScript puts the functions that scripts share before the source.
func newScript(name, source string) script {
	source = luaShared + source
	sum := sha1.Sum([]byte(source)) // how Redis names scripts
	return script{name, source, hex.EncodeToString(sum[:])}
}

// call is a script with its arguments, and what became of it.
type call struct {
	ctx    context.Context // of the caller who waits for it
	script script
	keys   []string
	args   []any
	reply  []any
	err    error
	done   chan struct{}
}

// eval runs a script in its own exchange. It tries again where the first try
// may not have arrived: every script is idempotent or guarded by a fence.
func (s *Store) eval(ctx context.Context, sc script, keys []string, args ...any) ([]any, error) {
	for try := 0; ; try++ {
		if err := s.guard.allow(); err != nil {
			return nil, unavailable(sc.name, err)
		}
		reply, err := s.evalOnce(ctx, sc, keys, args)
		s.guard.saw(err)
		if err == nil || try > 0 || !notSent(err) || ctx.Err() != nil {
			return reply, unavailable(sc.name, err)
		}
	}
}

func (s *Store) evalOnce(ctx context.Context, sc script, keys []string, args []any) ([]any, error) {
	cmd := s.rdb.EvalSha(ctx, sc.sha, keys, args...)
	if isNoScript(cmd.Err()) {
		cmd = s.rdb.Eval(ctx, sc.source, keys, args...)
	}
	return replyOf(cmd)
}

func isNoScript(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }

// replyOf reads the answer of a script: all of them return lists.
func replyOf(cmd *redis.Cmd) ([]any, error) {
	v, err := cmd.Result()
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, fmt.Errorf("unexpected answer %T", v)
	}
	return list, nil
}

// str reads an element of a reply, "" when it is nil or beyond the end.
func str(reply []any, i int) string {
	if i >= len(reply) {
		return ""
	}
	switch v := reply[i].(type) {
	case string:
		return v
	case int64:
		return fmt.Sprint(v)
	}
	return ""
}

// read runs commands that only read, once more when the first try may not have
// arrived. fn gets a fresh pipeline.
func (s *Store) read(ctx context.Context, doing string, fn func(p redis.Pipeliner)) error {
	for try := 0; ; try++ {
		if err := s.guard.allow(); err != nil {
			return unavailable(doing, err)
		}
		_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { fn(p); return nil })
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		s.guard.saw(err)
		if err == nil || try > 0 || !notSent(err) || ctx.Err() != nil {
			return unavailable(doing, err)
		}
	}
}
