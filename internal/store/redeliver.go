package store

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"cibridge/bridge"
)

// redeliverScript puts a settled delivery back into its lane. A delivery that
// is older than what was delivered, or than what waits, is refused: sending it
// would show a stale state.
var redeliverScript = newScript("redeliver", `
local b = {name = ARGV[1], buckets = KEYS[1], due = KEYS[2], target = KEYS[3], inflight = KEYS[4],
  cap = tonumber(ARGV[3]), threshold = tonumber(ARGV[4])}
local queue, lane, delivery_key, dead = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local name, member, since, id, force = ARGV[2], ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1'
local n = now()
local r = redis.call('GET', delivery_key)
if not r then return {'gone'} end
local h = header(r)
if h.state == 'P' or redis.call('ZSCORE', queue, member) then return {'pending'} end
if not force then
  local l = redis.call('HMGET', lane, 'ls', 'lm')
  local newest = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')
  for _, other in ipairs({{l[2], l[1]}, {newest[1], newest[2]}}) do
    if other[1] and delivery(other[1]) ~= delivery(member) and older(tonumber(since), member, tonumber(other[2]), other[1]) then
      return {'superseded', other[1]}
    end
  end
end
h.state, h.due, h.reason = 'P', int(n), ARGV[9]
redis.call('SET', delivery_key, record(h, n))
redis.call('ZREM', dead, id)
redis.call('HDEL', lane, 'lh', 'n:' .. delivery(member), 'x:' .. delivery(member))
enqueue(b, lane, queue, name, member, since, n)
redis.call('PUBLISH', ARGV[10], ARGV[11])
return {'ok'}
`)

// Redeliver sends a settled delivery again: a dead letter, or one that was
// delivered. It fails with CodeConflict while the delivery is still pending,
// and when a newer state of the resource was delivered or waits, unless force
// is set. It fails with CodeNotFound when the delivery is not stored any more.
func (s *Store) Redeliver(ctx context.Context, id string, force bool) error {
	st, err := s.Delivery(ctx, id)
	if err != nil {
		return err
	}
	d := st.Delivery
	partition, _ := bridge.PartitionOf(id)
	k, q := s.keyspace.in(partition), s.cfg.Queue
	member := entry(d)
	if force {
		member = forced(member)
	}
	reply, err := s.eval(ctx, redeliverScript,
		[]string{
			k.buckets(), k.due(d.Bucket), k.target(d.Bucket), k.inflight(d.Bucket), k.queue(d.Lane), k.lane(d.Lane), k.delivery(id), k.dead(),
		},
		d.Bucket, d.Lane, q.PerBucket, q.BreakerFails, member, sinceOf(d), id, flag(force), "redelivered on request",
		s.keyspace.channel(), s.message(partition))
	if err != nil {
		return err
	}
	switch str(reply, 0) {
	case "gone":
		return notFound("delivery", id)
	case "pending":
		return bridge.Errorf(bridge.CodeConflict, "delivery %s is still pending: it needs no redelivery", id)
	case "superseded":
		return bridge.Errorf(bridge.CodeConflict, "delivery %s is superseded: %s is a newer state of the same resource; force it to send the older state all the same", id, deliveryOf(partition, str(reply, 1)))
	}
	s.queue.push(spot{partition, d.Bucket, d.Lane})
	s.queue.look(partition, time.Time{})
	s.queue.signal()
	return nil
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
	return all, s.findSending(ctx, partition, all, pending)
}

// findSending asks the lanes which of the pending deliveries are leased.
func (s *Store) findSending(ctx context.Context, partition int, all []Status, pending []int) error {
	if len(pending) == 0 {
		return nil
	}
	leases := make([]*redis.SliceCmd, len(pending))
	err := s.read(ctx, "read lanes", func(p redis.Pipeliner) {
		for i, at := range pending {
			leases[i] = p.HMGet(ctx, s.keyspace.in(partition).lane(all[at].Delivery.Lane), "o", "m")
		}
	})
	if err != nil {
		return err
	}
	for i, at := range pending {
		lease := leases[i].Val()
		if len(lease) == 2 && lease[0] == "1" {
			if member, ok := lease[1].(string); ok && deliveryOf(partition, member) == all[at].Delivery.ID {
				all[at].State = bridge.DeliverySending
			}
		}
	}
	return nil
}
