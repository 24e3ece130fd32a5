package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"cibridge/bridge"
)

// fakeQueue is a queue in memory with the contract of Queue. Leases come in
// the order in which they were added.
type fakeQueue struct {
	mu       sync.Mutex
	due      []bridge.Lease
	down     bool
	fenced   bool
	calls    int
	settled  []bridge.Settlement
	released []bridge.Lease
	wake     chan struct{}
	wait     time.Duration
	done     chan struct{} // gets a value for every settled lease
}

var errDown = errors.New("connection refused")

func newFakeQueue() *fakeQueue {
	return &fakeQueue{wake: make(chan struct{}, 1), wait: time.Second, done: make(chan struct{}, 1000)}
}

func (q *fakeQueue) add(leases ...bridge.Lease) {
	q.mu.Lock()
	q.due = append(q.due, leases...)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *fakeQueue) setDown(down bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.down = down
}

func (q *fakeQueue) state() (settled []bridge.Settlement, released []bridge.Lease, calls int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]bridge.Settlement(nil), q.settled...), append([]bridge.Lease(nil), q.released...), q.calls
}

func (q *fakeQueue) Next(context.Context) (*bridge.Lease, time.Duration, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls++
	if q.down {
		return nil, 0, errDown
	}
	if len(q.due) == 0 {
		return nil, q.wait, nil
	}
	l := q.due[0]
	q.due = q.due[1:]
	return &l, 0, nil
}

func (q *fakeQueue) Settle(_ context.Context, _ bridge.Lease, s bridge.Settlement) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down {
		return false, errDown
	}
	if q.fenced {
		return false, nil
	}
	q.settled = append(q.settled, s)
	q.done <- struct{}{}
	return true, nil
}

func (q *fakeQueue) Release(_ context.Context, l bridge.Lease) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down {
		return errDown
	}
	q.released = append(q.released, l)
	return nil
}

func (q *fakeQueue) Wake() <-chan struct{} { return q.wake }
