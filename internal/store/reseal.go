package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"cibridge/internal/seal"
)

// Resealed counts what [Store.Reseal] has done.
type Resealed struct {
	Looked int64 // at sealed texts
	Sealed int64 // those that were sealed with another key than the active one
}

// scanBatch is how many keys a step of Reseal looks at.
const scanBatch = 256

// swapScript replaces a text that nobody has changed meanwhile. KEYS[1] is a
// string, or a hash when ARGV[3] names a field of it.
var swapScript = newScript("swap", `
local field = ARGV[3]
if field ~= '' then
  if redis.call('HGET', KEYS[1], field) ~= ARGV[1] then return {'changed'} end
  redis.call('HSET', KEYS[1], field, ARGV[2])
else
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'changed'} end
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
end
return {'ok'}
`)

// Reseal seals everything that is stored with the active key, so that the
// others can be taken out of the ring. It walks through all keys of Redis and
// may take minutes; servers may run meanwhile, and all of them must have the
// active key by then. What it has done stays done when it fails: call it again.
// progress, which may be nil, is called after every few hundred keys, one call
// at a time.
func (s *Store) Reseal(ctx context.Context, progress func(Resealed)) (Resealed, error) {
	r := &resealer{s: s, progress: progress}
	for _, kind := range settingKinds {
		if err := r.hash(ctx, s.keyspace.settings(kind), func(id string) string { return settingName(kind, id) }); err != nil {
			return r.sum(), err
		}
	}
	for _, partition := range s.meta.used() {
		k := s.keyspace.in(partition)
		if err := r.hash(ctx, k.pipelines(), func(id string) string { return id }); err != nil {
			return r.sum(), err
		}
		if err := r.partition(ctx, k); err != nil {
			return r.sum(), err
		}
	}
	return r.sum(), nil
}

// resealer is one Reseal under way.
type resealer struct {
	s              *Store
	looked, sealed atomic.Int64
	reporting      sync.Mutex
	progress       func(Resealed)
}

func (r *resealer) sum() Resealed { return Resealed{r.looked.Load(), r.sealed.Load()} }

func (r *resealer) report() {
	if r.progress != nil {
		r.reporting.Lock()
		defer r.reporting.Unlock()
		r.progress(r.sum())
	}
}

// hash reseals the fields of a hash; aad names each for the seal.
func (r *resealer) hash(ctx context.Context, key string, aad func(field string) string) error {
	all, err := r.s.rdb.HGetAll(ctx, key).Result()
	if err != nil {
		return fmt.Errorf("reseal %s: %w", key, err)
	}
	for field := range all {
		read := func() (string, error) { return r.s.rdb.HGet(ctx, key, field).Result() }
		if err := r.swap(ctx, key, field, read, func(text string) ([]byte, error) { return r.packed([]byte(text), aad(field)) }); err != nil {
			return err
		}
	}
	r.report()
	return nil
}

// partition reseals the records of a partition, on every server that has some
// of them.
func (r *resealer) partition(ctx context.Context, k keys) error {
	scan := func(ctx context.Context, c redis.Cmdable) error {
		it := c.ScanType(ctx, 0, globbed(k.tag)+"*", scanBatch, "string").Iterator()
		for n := 1; it.Next(ctx); n++ {
			if err := r.record(ctx, it.Val(), strings.TrimPrefix(it.Val(), k.tag)); err != nil {
				return err
			}
			if n%scanBatch == 0 {
				r.report()
			}
		}
		return it.Err()
	}
	defer r.report()
	if cluster, ok := r.s.rdb.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return scan(ctx, c) })
	}
	return scan(ctx, r.s.rdb)
}

// globbed escapes what a pattern of SCAN would understand.
func globbed(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}

// sealedParts says how the records of each kind are sealed, by how their names
// start: what is behind their first line.
var sealedParts = map[string]func(r *resealer, text, key string) ([]byte, error){
	"run_": (*resealer).one,
	"evt_": (*resealer).one,
	"dlv_": (*resealer).segments,
}

func (r *resealer) record(ctx context.Context, key, name string) error {
	seal, ok := sealedParts[name[:min(len(name), len("run_"))]]
	if !ok {
		return nil
	}
	read := func() (string, error) { return r.s.rdb.Get(ctx, key).Result() }
	return r.swap(ctx, key, "", read, func(text string) ([]byte, error) {
		head, rest, _ := strings.Cut(text, "\n")
		sealed, err := seal(r, rest, key)
		if sealed == nil || err != nil {
			return nil, err
		}
		return append([]byte(head+"\n"), sealed...), nil
	})
}

func (r *resealer) one(text, key string) ([]byte, error) { return r.packed([]byte(text), key) }

// segments reseals the parts of a delivery's record; nil when none needs it.
func (r *resealer) segments(text, key string) ([]byte, error) {
	var out []byte
	changed := false
	for text != "" {
		part, more, err := nextSegment(text)
		if err != nil {
			return nil, err
		}
		again, err := r.packed([]byte(part), key)
		if err != nil {
			return nil, err
		}
		if changed = changed || again != nil; again == nil {
			again = []byte(part)
		}
		out = append(fmt.Appendf(out, "%d:", len(again)), again...)
		text = more
	}
	if !changed {
		return nil, nil
	}
	return out, nil
}

// packed seals a packed text again; nil when the active key has sealed it.
func (r *resealer) packed(packed []byte, aad string) ([]byte, error) {
	r.looked.Add(1)
	ring := r.s.packer.ring
	if len(packed) < 2 || seal.KeyID(packed[1:]) == ring.Active() {
		return nil, nil
	}
	small, err := ring.Open(packed[1:], aad)
	if err != nil {
		return nil, fmt.Errorf("reseal %s: %w", aad, err)
	}
	r.sealed.Add(1)
	return ring.Append(bytes.Clone(packed[:1]), small, aad), nil
}

// swap replaces a text by what change makes of it, unless that is nil. A text
// that is gone, or that servers keep changing, needs nothing: they seal with
// the active key.
func (r *resealer) swap(ctx context.Context, key, field string, read func() (string, error), change func(string) ([]byte, error)) error {
	for range 3 {
		text, err := read()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reseal %s: %w", key, err)
		}
		again, err := change(text)
		if again == nil || err != nil {
			return err
		}
		reply, err := r.s.eval(ctx, swapScript, []string{key}, text, again, field)
		if err != nil {
			return err
		}
		if str(reply, 0) == "ok" {
			return nil
		}
	}
	return nil
}
