package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"cibridge/bridge"
)

// Sizes of what is kept in the process. Redis has the truth; these save round
// trips.
const (
	cachedRuns       = 4096
	cachedDeliveries = 8192
	lockStripes      = 1024
)

// schemaVersion is the layout of the keys.
const schemaVersion = 2

const defaultPartitions = 16

// Store is cibridge's memory. It is safe for concurrent use, and any number of
// processes may use one Redis.
type Store struct {
	cfg      Config
	keyspace keyspace
	rdb      redis.UniversalClient
	packer   *packer
	guard    guard
	batch    *batcher
	locks    stripes
	runs     *lru[*storedRun] // taken out while a commit works on it
	// pipelines holds what the index says of a pipeline, so that not every run
	// writes it again.
	pipelines *lru[Pipeline]
	queue     *queue
	meta      *meta
	health    *health

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Open connects to Redis, checks that it is as durable as asked for, fixes the
// number of partitions if it is new, and starts what runs in the background.
// The caller has to Close the store. An error says what to change, where it is
// known.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if cfg.Ring == nil {
		return nil, errors.New("open store: there are no encryption keys: set CIBRIDGE_ENCRYPTION_KEYS")
	}
	// go-redis writes to stderr by itself; what matters of it comes back as
	// errors, and this package is the only one that uses it.
	logging.Disable()
	rdb, err := newClient(cfg.URL, cfg.MaxConnections)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{cfg: cfg, keyspace: keyspace{cfg.Prefix}, rdb: rdb, runs: newLRU[*storedRun](cachedRuns), pipelines: newLRU[Pipeline](cachedRuns), locks: newStripes(lockStripes)}
	if s.packer, err = newPacker(cfg.Ring, max(2, runtime.GOMAXPROCS(0))); err != nil {
		rdb.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.batch = &batcher{s: s, queue: make(chan *call, maxBatch)}
	s.queue = newQueue(s)
	s.meta = newMeta(s)
	s.health = &health{}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("open store at %s: %w", redacted(cfg.URL), err)
	}
	return s, nil
}

func (s *Store) start(ctx context.Context) error {
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.fixSchema(ctx); err != nil {
		return err
	}
	if err := s.meta.pulse(ctx); err != nil {
		return err
	}
	for range s.cfg.Pipelines {
		s.wg.Go(func() { s.batch.run(s.ctx) })
	}
	s.wg.Go(s.listen)
	s.wg.Go(s.queue.teller)
	for every, do := range map[*time.Duration]func(context.Context) error{
		&s.cfg.Every.Meta:       s.meta.pulse,
		&s.cfg.Every.Sweep:      s.Sweep,
		&s.cfg.Every.Janitor:    s.clean,
		&s.cfg.Every.Durability: s.checkServer,
	} {
		s.wg.Go(func() { s.repeat(*every, do) })
	}
	return nil
}

// repeat calls do at an interval until the store is closed. An error is
// logged, and once more when it is over.
func (s *Store) repeat(every time.Duration, do func(context.Context) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		err := do(s.ctx)
		if s.ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			s.cfg.Log.Warn("redis housekeeping fails", "error", err)
		}
		if err == nil && failing {
			s.cfg.Log.Info("redis housekeeping works again")
		}
		failing = err != nil
	}
}

// Close ends what runs in the background and closes the connections. Commits
// under way fail with CodeUnavailable. It may be called more than once.
func (s *Store) Close() error {
	s.cancel()
	s.wg.Wait()
	s.packer.close()
	err := s.rdb.Close()
	if errors.Is(err, redis.ErrClosed) {
		return nil
	}
	return err
}

// fixSchema writes the layout and the number of partitions at the first start
// and refuses to use a Redis that has others.
func (s *Store) fixSchema(ctx context.Context) error {
	key, want := s.keyspace.schema(), s.cfg.Partitions
	if want < 0 || want > bridge.MaxPartitions {
		return fmt.Errorf("%d partitions: want 1 to %d", want, bridge.MaxPartitions)
	}
	first := want
	if first == 0 {
		first = defaultPartitions
	}
	var all *redis.MapStringStringCmd
	err := s.read(ctx, "read the schema", func(p redis.Pipeliner) {
		p.HSetNX(ctx, key, "version", schemaVersion)
		p.HSetNX(ctx, key, "partitions", first)
		all = p.HGetAll(ctx, key)
	})
	if err != nil {
		return err
	}
	version, _ := strconv.Atoi(all.Val()["version"])
	have, _ := strconv.Atoi(all.Val()["partitions"])
	if version != schemaVersion {
		return fmt.Errorf("this Redis is used by a cibridge with schema version %d, this one has %d: use that version, another Redis, or another prefix", version, schemaVersion)
	}
	if want != 0 && want != have {
		return fmt.Errorf("this Redis has %d partitions and the configuration says %d: the number is fixed at the first start; set it to %d, or use another Redis or prefix", have, want, have)
	}
	s.cfg.Partitions = have
	return nil
}

// Partitions returns the number of partitions.
func (s *Store) Partitions() int { return s.cfg.Partitions }

// PartitionOf returns the partition of a partition key; "" is the default key.
func (s *Store) PartitionOf(key string) int {
	if key == "" {
		key = "main"
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % uint32(s.cfg.Partitions))
}

// usePartition makes the partition known to all replicas before anything is
// stored in it.
func (s *Store) usePartition(ctx context.Context, partition int) error {
	if s.meta.uses(partition) {
		return nil
	}
	err := s.read(ctx, "use partition", func(p redis.Pipeliner) { p.SAdd(ctx, s.keyspace.partitions(), partition) })
	if err != nil {
		return err
	}
	s.meta.use(partition)
	return nil
}

// listen receives the hints of other replicas. Losing one costs a poll
// interval.
func (s *Store) listen() {
	sub := s.rdb.Subscribe(s.ctx, s.keyspace.channel())
	defer sub.Close()
	messages := sub.Channel()
	for {
		select {
		case <-s.ctx.Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			s.heard(m.Payload)
		}
	}
}

// message is what this replica publishes: who says it, and what about.
func (s *Store) message(partition int) string { return s.queue.name + " " + strconv.Itoa(partition) }

const metaMessage = "meta"

func (s *Store) heard(message string) {
	from, about, _ := strings.Cut(message, " ")
	if from == s.queue.name {
		return
	}
	if about == metaMessage {
		if err := s.meta.pulse(s.ctx); err != nil {
			s.cfg.Log.Debug("cannot load settings, the next poll will", "error", err)
		}
		return
	}
	if partition, err := strconv.Atoi(about); err == nil {
		s.meta.use(partition)
		s.queue.look(partition, time.Time{})
		s.queue.signal()
	}
}

// stripes are locks by name: commits of one run in this process wait for each
// other.
type stripes []chan struct{}

func newStripes(n int) stripes {
	s := make(stripes, n)
	for i := range s {
		s[i] = make(chan struct{}, 1)
	}
	return s
}

// lock waits for the lock of a name, at most as long as ctx allows.
func (s stripes) lock(ctx context.Context, name string) (unlock func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(name))
	c := s[h.Sum32()%uint32(len(s))]
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
