package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxBatch and maxBatchBytes bound one pipeline, so that no commit waits long
// for the others of its batch.
const (
	maxBatch      = 128
	maxBatchBytes = 1 << 20
)

// batcher sends the calls that are waiting at the same time in one pipeline:
// Redis then reads, writes to disk and answers once for all of them. A lone
// call leaves at once, nothing waits for company.
type batcher struct {
	s     *Store
	queue chan *call
}

// run is one worker: as many pipelines are on their way as there are workers.
func (b *batcher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-b.queue:
			b.send(ctx, b.collect(first))
		}
	}
}

// collect takes what is waiting behind first.
func (b *batcher) collect(first *call) []*call {
	calls, bytes := []*call{first}, first.size()
	for len(calls) < maxBatch && bytes < maxBatchBytes {
		select {
		case c := <-b.queue:
			calls = append(calls, c)
			bytes += c.size()
		default:
			return calls
		}
	}
	return calls
}

func (c *call) size() int {
	n := 0
	for _, a := range c.args {
		switch v := a.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		}
	}
	return n
}

// send drops the calls that nobody waits for any more and sends the others.
func (b *batcher) send(ctx context.Context, calls []*call) {
	calls = slices.DeleteFunc(calls, func(c *call) bool { return c.ctx.Err() != nil })
	if len(calls) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	b.exec(ctx, calls, false)
	var unknown []*call
	for _, c := range calls {
		if isNoScript(c.err) {
			unknown = append(unknown, c)
		}
	}
	if len(unknown) > 0 {
		b.exec(ctx, unknown, true)
	}
	for _, c := range calls {
		close(c.done)
	}
}

// exec sends calls in one pipeline and fills in their answers.
func (b *batcher) exec(ctx context.Context, calls []*call, whole bool) {
	cmds := make([]*redis.Cmd, len(calls))
	var durable *redis.IntSliceCmd
	_, err := b.s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, c := range calls {
			if whole {
				cmds[i] = p.Eval(ctx, c.script.source, c.keys, c.args...)
			} else {
				cmds[i] = p.EvalSha(ctx, c.script.sha, c.keys, c.args...)
			}
		}
		if b.s.cfg.Durability == Replicated {
			durable = redis.NewIntSliceCmd(ctx, "waitaof", 1, 1, time.Second.Milliseconds())
			return p.Process(ctx, durable)
		}
		return nil
	})
	b.s.guard.saw(err)
	for i, c := range calls {
		c.reply, c.err = replyOf(cmds[i])
	}
	if durable == nil {
		return
	}
	if err := replicated(durable); err != nil {
		for _, c := range calls {
			if c.err == nil {
				c.reply, c.err = nil, err
			}
		}
	}
}

// replicated checks that the primary and one replica have written to disk.
func replicated(cmd *redis.IntSliceCmd) error {
	got, err := cmd.Result()
	if err != nil {
		return fmt.Errorf("waitaof: %w", err)
	}
	if len(got) != 2 || got[0] < 1 || got[1] < 1 {
		return fmt.Errorf("waitaof: written to disk by the primary and by replicas: %v, want at least 1 and 1 within a second", got)
	}
	return nil
}

// evalBatched is eval in company with other commits. The script has to be safe
// to run twice.
func (s *Store) evalBatched(ctx context.Context, sc script, w *writes) ([]any, error) {
	args := w.finish()
	for try := 0; ; try++ {
		if err := s.guard.allow(); err != nil {
			return nil, unavailable(sc.name, err)
		}
		c := &call{ctx: ctx, script: sc, keys: w.keys, args: args, done: make(chan struct{})}
		reply, err := s.batch.do(c)
		if err == nil || try > 0 || !notSent(err) || ctx.Err() != nil {
			return reply, unavailable(sc.name, err)
		}
	}
}

var errClosed = errors.New("the store is closed")

// do hands c to the workers and waits for its answer, at most as long as its
// context allows.
func (b *batcher) do(c *call) ([]any, error) {
	select {
	case b.queue <- c:
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	case <-b.s.ctx.Done():
		return nil, errClosed
	}
	select {
	case <-c.done:
		return c.reply, c.err
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	case <-b.s.ctx.Done():
		return nil, errClosed
	}
}
