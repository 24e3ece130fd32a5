package store

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// redeliverScript puts a settled delivery back into its lane. A state that is
// older than what was delivered, or than what waits, is refused: sending it
// would show a stale state. Of a lane that keeps every delivery nothing is
// stale. A trial run changes nothing.
var redeliverScript = newScript("redeliver", `
local b = {name = ARGV[1], buckets = KEYS[1], due = KEYS[2], target = KEYS[3], inflight = KEYS[4],
  cap = tonumber(ARGV[3]), threshold = tonumber(ARGV[4])}
local queue, lane, delivery_key, dead = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local name, member, since, id, force = ARGV[2], ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1'
local n = now()
local r = redis.call('GET', delivery_key)
if not r then return {'gone'} end
local h = header(r)
local unforced = string.gsub(member, ':e(%d+)$', ':l%1')
if h.state == 'P' or redis.call('ZSCORE', queue, member) or redis.call('ZSCORE', queue, unforced) then return {'pending'} end
if not force and ordering(member) == 'l' then
  local l = redis.call('HMGET', lane, 'ls', 'lm')
  local newest = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')
  for _, other in ipairs({{l[2], l[1]}, {newest[1], newest[2]}}) do
    if other[1] and delivery(other[1]) ~= delivery(member) and older(tonumber(since), member, tonumber(other[2]), other[1]) then
      return {'superseded', other[1]}
    end
  end
end
if ARGV[12] == '1' then return {'ok'} end
h.state, h.due, h.reason = 'P', int(n), ARGV[9]
redis.call('SET', delivery_key, record(h, n))
redis.call('ZREM', dead, id)
redis.call('HDEL', lane, 'lh', 'n:' .. delivery(member), 'x:' .. delivery(member))
enqueue(b, lane, queue, name, member, since, n)
redis.call('PUBLISH', ARGV[10], ARGV[11])
return {'ok'}
`)

// Outcomes of a redelivery.
const (
	Redelivered    = "redelivered"
	StillPending   = "pending"    // it has not been settled yet
	NowSuperseded  = "superseded" // a newer state of the resource was delivered, or waits
	GoneRedelivery = "gone"       // it is not stored any more
)

// Redelivery is what became of the wish to send a delivery again.
type Redelivery struct {
	ID      string
	Outcome string // one of the above
	By      string // the newer delivery, when it is superseded
}

// err is the refusal in an error, nil when there is none.
func (r Redelivery) err() error {
	switch r.Outcome {
	case GoneRedelivery:
		return notFound("delivery", r.ID)
	case StillPending:
		return bridge.Errorf(bridge.CodeConflict, "delivery %s is still pending: it needs no redelivery", r.ID)
	case NowSuperseded:
		return bridge.Errorf(bridge.CodeConflict, "delivery %s is superseded: %s is a newer state of the same resource; force it to send the older state all the same", r.ID, r.By)
	}
	return nil
}

// RedeliverOptions say how to redeliver.
type RedeliverOptions struct {
	Force  bool // also what is older than what the resource shows
	DryRun bool // only say what would happen
}

// Redeliver sends a settled delivery again: a dead letter, or one that was
// delivered. It fails with CodeConflict while the delivery is still pending,
// and when a newer state of the resource was delivered or waits, unless force
// is set. It fails with CodeNotFound when the delivery is not stored any more.
func (s *Store) Redeliver(ctx context.Context, id string, force bool) error {
	st, err := s.Delivery(ctx, id)
	if err != nil {
		return err
	}
	r, err := s.redeliver(ctx, st.Delivery, RedeliverOptions{Force: force})
	if err != nil {
		return err
	}
	return r.err()
}

// RedeliverAll sends a list of deliveries again and says of each what became
// of it, in the order of the list. A trial run reckons with what it would have
// queued before. After an error the result is of those that were done.
func (s *Store) RedeliverAll(ctx context.Context, list []Status, opt RedeliverOptions) ([]Redelivery, error) {
	var done []Redelivery
	queued := map[string]bridge.Delivery{} // the newest of each lane, in a trial run
	for _, st := range list {
		d := st.Delivery
		r, err := s.redeliver(ctx, d, opt)
		if err != nil {
			return done, err
		}
		if opt.DryRun && r.Outcome == Redelivered {
			by, ok := queued[d.Lane]
			switch {
			case ok && by.ID == d.ID:
				r.Outcome = StillPending
			case ok && !opt.Force && d.Ordering == bridge.Latest && before(d, by):
				r.Outcome, r.By = NowSuperseded, by.ID
			case !ok || before(by, d):
				queued[d.Lane] = d
			}
		}
		done = append(done, r)
	}
	return done, nil
}

// before reports whether a comes before b in their lane.
func before(a, b bridge.Delivery) bool {
	return cmp.Or(cmp.Compare(a.Since, b.Since), strings.Compare(entry(a), entry(b))) < 0
}

func (s *Store) redeliver(ctx context.Context, d bridge.Delivery, opt RedeliverOptions) (Redelivery, error) {
	partition, _ := bridge.PartitionOf(d.ID)
	k, q := s.keyspace.in(partition), s.cfg.Queue
	member := entry(d)
	if opt.Force {
		member = forced(member)
	}
	reply, err := s.eval(ctx, redeliverScript,
		[]string{
			k.buckets(), k.due(d.Bucket), k.target(d.Bucket), k.inflight(d.Bucket), k.queue(d.Lane), k.lane(d.Lane), k.delivery(d.ID), k.dead(),
		},
		d.Bucket, d.Lane, q.limit(d.Bucket).PerBucket, q.BreakerFails, member, sinceOf(d), d.ID, flag(opt.Force), "redelivered on request",
		s.keyspace.channel(), s.message(partition), flag(opt.DryRun))
	if err != nil {
		return Redelivery{}, err
	}
	r := Redelivery{ID: d.ID, Outcome: str(reply, 0)}
	switch r.Outcome {
	case "superseded":
		r.By = deliveryOf(partition, str(reply, 1))
	case "ok":
		r.Outcome = Redelivered
		if !opt.DryRun {
			s.queue.push(spot{partition, d.Bucket, d.Lane})
			s.queue.look(partition, time.Time{})
			s.queue.signal()
		}
	}
	return r, nil
}

func notFound(what, id string) error {
	return bridge.Errorf(bridge.CodeNotFound, "there is no %s %s", what, id)
}

// Delivery returns a delivery and where it stands. It fails with CodeNotFound
// when there is none.
func (s *Store) Delivery(ctx context.Context, id string) (Status, error) {
	partition, ok := bridge.PartitionOf(id)
	if !ok || partition >= s.cfg.Partitions {
		return Status{}, notFound("delivery", id)
	}
	found, err := s.deliveries(ctx, partition, []string{id})
	if err != nil {
		return Status{}, err
	}
	if len(found) == 0 {
		return Status{}, notFound("delivery", id)
	}
	return found[0], nil
}

// Deliveries returns the deliveries of a run that are still stored, oldest
// first. It fails with CodeNotFound when there is no such run.
func (s *Store) Deliveries(ctx context.Context, run string) ([]Status, error) {
	r, err := s.loadKnown(ctx, run)
	if err != nil {
		return nil, err
	}
	return s.deliveries(ctx, r.Partition, r.runHead.Deliveries)
}

// deliveries reads deliveries of one partition, leaving out those that are no
// longer stored.
func (s *Store) deliveries(ctx context.Context, partition int, ids []string) ([]Status, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	k := s.keyspace.in(partition)
	records := make([]*redis.StringCmd, len(ids))
	err := s.read(ctx, "read deliveries", func(p redis.Pipeliner) {
		for i, id := range ids {
			records[i] = p.Get(ctx, k.delivery(id))
		}
	})
	if err != nil {
		return nil, err
	}
	var all []Status
	var pending []int
	for i, id := range ids {
		if errors.Is(records[i].Err(), redis.Nil) {
			continue
		}
		st, err := s.decodeDelivery(k, id, records[i].Val())
		if err != nil {
			return nil, err
		}
		if st.State == bridge.DeliveryPending {
			pending = append(pending, len(all))
		}
		all = append(all, st)
	}
	return all, s.findWaits(ctx, partition, all, pending)
}
