package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// Snapshot is all settings at one version. It is shared: nobody may change it.
type Snapshot struct {
	Version      int64
	Sources      []bridge.Source      // by id
	Keys         []bridge.Key         // by id; LastUsed is not in them, see [Store.KeysUsed]
	Applications []bridge.Application // by id
	Hooks        []bridge.Hook        // by id
}

// The kinds of settings, each a HASH.
const (
	kindSource      = "source"
	kindKey         = "key"
	kindApplication = "application"
	kindHook        = "hook"
)

// settingKinds lists the kinds of settings.
var settingKinds = []string{kindSource, kindKey, kindApplication, kindHook}

// meta holds the settings of this process.
type meta struct {
	s        *Store
	snapshot atomic.Pointer[Snapshot]

	loading sync.Mutex // one loads or changes the snapshot at a time
	watch   []func(*Snapshot)

	mu      sync.Mutex
	parts   map[int]bool
	touched map[string]time.Time // key id -> last TouchKey that was written
}

func newMeta(s *Store) *meta {
	m := &meta{s: s, parts: map[int]bool{}, touched: map[string]time.Time{}}
	m.snapshot.Store(&Snapshot{Version: -1})
	return m
}

// Snapshot returns the settings as this process knows them: its own changes at
// once, those of other replicas within Every.Meta.
func (s *Store) Snapshot() *Snapshot { return s.meta.snapshot.Load() }

// OnChange calls f with the present snapshot, and again after every change,
// before the Put or Delete that made it returns. Calls do not overlap; f must
// not change settings itself.
func (s *Store) OnChange(f func(*Snapshot)) {
	m := s.meta
	m.loading.Lock()
	defer m.loading.Unlock()
	m.watch = append(m.watch, f)
	f(m.snapshot.Load())
}

// publish makes next the snapshot; m.loading is held.
func (m *meta) publish(next *Snapshot) {
	m.snapshot.Store(next)
	for _, f := range m.watch {
		f(next)
	}
}

func (m *meta) used() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.parts))
}

func (m *meta) uses(partition int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.parts[partition]
}

func (m *meta) use(partition int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if partition >= 0 && partition < m.s.cfg.Partitions {
		m.parts[partition] = true
	}
}

// pulse looks for changes of settings and for partitions that came into use.
func (m *meta) pulse(ctx context.Context) error {
	var version *redis.StringCmd
	var parts *redis.StringSliceCmd
	err := m.s.read(ctx, "look for changed settings", func(p redis.Pipeliner) {
		version = p.Get(ctx, m.s.keyspace.version())
		parts = p.SMembers(ctx, m.s.keyspace.partitions())
	})
	if err != nil {
		return err
	}
	for _, text := range parts.Val() {
		if partition, err := strconv.Atoi(text); err == nil {
			m.use(partition)
		}
	}
	v, _ := version.Int64()
	if v == m.snapshot.Load().Version {
		return nil
	}
	m.loading.Lock()
	defer m.loading.Unlock()
	return m.load(ctx)
}

// load reads all settings; m.loading is held.
func (m *meta) load(ctx context.Context) error {
	var version *redis.StringCmd
	sealed := map[string]*redis.MapStringStringCmd{}
	_, err := m.s.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		version = p.Get(ctx, m.s.keyspace.version())
		for _, kind := range settingKinds {
			sealed[kind] = p.HGetAll(ctx, m.s.keyspace.settings(kind))
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return unavailable("load settings", err)
	}
	next := &Snapshot{}
	next.Version, _ = version.Int64()
	if next.Version == m.snapshot.Load().Version {
		return nil // another caller was faster
	}
	next.Sources = openAll(m, kindSource, sealed, sourceFrom)
	next.Keys = openAll(m, kindKey, sealed, keyFrom)
	next.Applications = openAll(m, kindApplication, sealed, applicationFrom)
	next.Hooks = openAll(m, kindHook, sealed, hookFrom)
	m.publish(next)
	return nil
}

// openAll opens the settings of one kind, by id. One that does not open is
// left out and logged: the others have to go on working.
func openAll[S, T any](m *meta, kind string, sealed map[string]*redis.MapStringStringCmd, from func(S) T) []T {
	all := sealed[kind].Val()
	list := make([]T, 0, len(all))
	for _, id := range slices.Sorted(maps.Keys(all)) {
		plain, err := m.s.packer.unpack([]byte(all[id]), settingName(kind, id))
		var stored S
		if err == nil {
			err = unmarshal(plain, &stored)
		}
		if err != nil {
			m.s.cfg.Log.Error("a setting cannot be read and is left out", "kind", kind, "id", id, "error", err)
			continue
		}
		list = append(list, from(stored))
	}
	return list
}

// settingName is the additional data under which a setting is sealed.
func settingName(kind, id string) string { return kind + ":" + id }

// putScript changes one setting and counts the change.
var putScript = newScript("put", `
if ARGV[2] == '' then
  if redis.call('HDEL', KEYS[2], ARGV[1]) == 0 then return {'gone'} end
else
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
local v = redis.call('INCR', KEYS[1])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return {'ok', v}
`)

// change stores one setting, or deletes it when sealed is nil, and brings the
// snapshot up to date: by edit when nobody else changed anything meanwhile,
// else from Redis.
func (m *meta) change(ctx context.Context, kind, id string, sealed []byte, edit func(*Snapshot)) error {
	m.loading.Lock()
	defer m.loading.Unlock()
	reply, err := m.s.eval(ctx, putScript, []string{m.s.keyspace.version(), m.s.keyspace.settings(kind)},
		id, sealed, m.s.keyspace.channel(), m.s.queue.name+" "+metaMessage)
	if err != nil {
		return err
	}
	if str(reply, 0) == "gone" {
		return notFound(kind, id)
	}
	now := m.snapshot.Load()
	v, _ := strconv.ParseInt(str(reply, 1), 10, 64)
	if v != now.Version+1 {
		return m.load(ctx)
	}
	next := *now
	next.Version = v
	edit(&next)
	m.publish(&next)
	return nil
}

// put stores a setting of any kind.
func put[S, T any](ctx context.Context, s *Store, kind, id string, value T, to func(T) S, from func(S) T, list func(*Snapshot) *[]T, idOf func(T) string) error {
	if id == "" {
		return bridge.Errorf(bridge.CodeInvalid, "a %s needs an id", kind)
	}
	stored := to(value)
	plain, err := json.Marshal(stored)
	if err != nil {
		return bridge.Errorf(bridge.CodeInvalid, "%s %s cannot be written as JSON: %v", kind, id, err)
	}
	// What is read back is what other replicas will see.
	var again S
	if err := unmarshal(plain, &again); err != nil {
		return fmt.Errorf("read back %s %s: %w", kind, id, err)
	}
	sealed := s.packer.pack(records1, "", plain, settingName(kind, id))
	return s.meta.change(ctx, kind, id, sealed, func(next *Snapshot) {
		items := slices.Clone(*list(next))
		at, found := slices.BinarySearchFunc(items, id, func(item T, id string) int { return cmp.Compare(idOf(item), id) })
		if found {
			items[at] = from(again)
		} else {
			items = slices.Insert(items, at, from(again))
		}
		*list(next) = items
	})
}

// drop deletes a setting of any kind.
func drop[T any](ctx context.Context, s *Store, kind, id string, list func(*Snapshot) *[]T, idOf func(T) string) error {
	return s.meta.change(ctx, kind, id, nil, func(next *Snapshot) {
		*list(next) = slices.DeleteFunc(slices.Clone(*list(next)), func(item T) bool { return idOf(item) == id })
	})
}
