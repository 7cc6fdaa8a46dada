// Package memory remembers values under texts, bounded in number and octets:
// opened cookies, what is known of sessions, identities. A hit takes no lock.
package memory

import (
	"strings"
	"sync"
	"sync/atomic"
)

// Memory remembers values under texts, bounded in number and octets. Methods
// may be called concurrently. A hit takes no lock and writes nothing but, once,
// a mark.
//
// What is forgotten when it is full follows SIEVE (Zhang et al., NSDI 2024): a
// hand goes from the oldest to the newest, spares those that were used since it
// last passed, and stops at the first that was not. So a flood of values that
// are asked for once does not push out those that come again and again.
type Memory[V any] struct {
	maxCount, maxBytes int

	items sync.Map // text → *remembered[V]; changed under mu

	mu             sync.Mutex // guards all below; never taken for a hit
	newest, oldest *remembered[V]
	hand           *remembered[V] // where the next search begins; nil for the oldest
	count, bytes   int
}

// remembered is one value in the order in which they came.
type remembered[V any] struct {
	key          string
	value        V
	bytes        int
	used         atomic.Bool
	newer, older *remembered[V]
}

// New makes a memory for so many values, which together need so many octets.
func New[V any](maxCount, maxBytes int) *Memory[V] {
	return &Memory[V]{maxCount: maxCount, maxBytes: maxBytes}
}

// Get returns what is remembered under a key.
func (m *Memory[V]) Get(key string) (value V, ok bool) {
	found := m.load(key)
	if found == nil {
		return value, false
	}
	// Only the first hit writes: the processors would otherwise take the memory
	// of a popular value from each other at every request.
	if !found.used.Load() {
		found.used.Store(true)
	}
	return found.value, true
}

func (m *Memory[V]) load(key string) *remembered[V] {
	value, ok := m.items.Load(key)
	if !ok {
		return nil
	}
	found, _ := value.(*remembered[V])
	return found
}

// Put remembers a value that takes so many octets, in place of an older one.
// One that is too large alone is not remembered, nor is the older one then.
// Meanwhile Get returns one of the two: who found neither would take a session
// for one that nothing is known of, and refresh it with a token that has been
// replaced.
func (m *Memory[V]) Put(key string, value V, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	used := false
	if old := m.load(key); old != nil {
		used = old.used.Load()
		m.unlink(old)
	}
	if m.maxCount <= 0 || bytes > m.maxBytes {
		m.items.Delete(key)
		return
	}
	for m.count >= m.maxCount || m.bytes+bytes > m.maxBytes {
		m.evict()
	}
	// The key may be part of a longer header, which must not be kept alive.
	item := &remembered[V]{key: strings.Clone(key), value: value, bytes: bytes, older: m.newest}
	item.used.Store(used)
	if m.newest != nil {
		m.newest.newer = item
	} else {
		m.oldest = item
	}
	m.newest = item
	m.count++
	m.bytes += bytes
	m.items.Store(item.key, item)
}

// Size returns how many values are remembered, and how many octets they take.
func (m *Memory[V]) Size() (count, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count, m.bytes
}

// Sweep forgets the values that have to go.
func (m *Memory[V]) Sweep(gone func(V) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for item := m.oldest; item != nil; {
		next := item.newer
		if gone(item.value) {
			m.remove(item)
		}
		item = next
	}
}

// evict forgets one value. The caller holds mu and knows that there is one.
func (m *Memory[V]) evict() {
	candidate := m.hand
	if candidate == nil {
		candidate = m.oldest
	}
	// One round at most: requests may mark values as fast as the hand unmarks
	// them.
	for range m.count {
		if !candidate.used.Swap(false) {
			break
		}
		if candidate = candidate.newer; candidate == nil {
			candidate = m.oldest
		}
	}
	m.hand = candidate
	m.remove(candidate)
}

// remove forgets a value. The caller holds mu.
func (m *Memory[V]) remove(item *remembered[V]) {
	m.unlink(item)
	m.items.Delete(item.key)
}

// unlink takes a value out of the order. The caller holds mu.
func (m *Memory[V]) unlink(item *remembered[V]) {
	if m.hand == item {
		m.hand = item.newer
	}
	if item.newer != nil {
		item.newer.older = item.older
	} else {
		m.newest = item.older
	}
	if item.older != nil {
		item.older.newer = item.newer
	} else {
		m.oldest = item.newer
	}
	m.count--
	m.bytes -= item.bytes
}
