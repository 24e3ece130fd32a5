package store

import (
	"container/list"
	"sync"
)

// lru keeps the most recently used values. It is safe for concurrent use.
type lru[V any] struct {
	mu    sync.Mutex
	size  int
	order *list.List // front: most recent
	at    map[string]*list.Element
}

type lruEntry[V any] struct {
	key   string
	value V
}

func newLRU[V any](size int) *lru[V] {
	return &lru[V]{size: size, order: list.New(), at: map[string]*list.Element{}}
}

// take removes and returns the value of a key.
func (c *lru[V]) take(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[key]
	if !ok {
		var zero V
		return zero, false
	}
	c.order.Remove(e)
	delete(c.at, key)
	return e.Value.(lruEntry[V]).value, true
}

// get returns the value of a key and keeps it.
func (c *lru[V]) get(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.at[key]
	if !ok {
		var zero V
		return zero, false
	}
	c.order.MoveToFront(e)
	return e.Value.(lruEntry[V]).value, true
}

// put sets the value of a key and drops the least recently used one when there
// are too many.
func (c *lru[V]) put(key string, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[key]; ok {
		e.Value = lruEntry[V]{key, v}
		c.order.MoveToFront(e)
		return
	}
	c.at[key] = c.order.PushFront(lruEntry[V]{key, v})
	if c.order.Len() > c.size {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.at, last.Value.(lruEntry[V]).key)
	}
}
