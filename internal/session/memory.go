package session

import (
	"strings"
	"sync"
	"sync/atomic"
)

// memory remembers values under texts, bounded in number and octets. A hit
// takes no lock and writes nothing but, once, a mark.
//
// What is forgotten when it is full follows SIEVE, as in the cache for
// verified tokens: a hand goes from the oldest to the newest, spares those
// that were used since it last passed, and stops at the first that was not.
type memory[V any] struct {
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

func newMemory[V any](maxCount, maxBytes int) *memory[V] {
	return &memory[V]{maxCount: maxCount, maxBytes: maxBytes}
}

// get returns what is remembered under a key.
func (m *memory[V]) get(key string) (value V, ok bool) {
	found := m.load(key)
	if found == nil {
		return value, false
	}
	if !found.used.Load() {
		found.used.Store(true)
	}
	return found.value, true
}

func (m *memory[V]) load(key string) *remembered[V] {
	value, ok := m.items.Load(key)
	if !ok {
		return nil
	}
	found, _ := value.(*remembered[V])
	return found
}

// put remembers a value of so many octets, in place of an older one.
func (m *memory[V]) put(key string, value V, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	used := false
	if old := m.load(key); old != nil {
		used = old.used.Load()
		m.remove(old)
	}
	if m.maxCount <= 0 || bytes > m.maxBytes {
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

// sweep forgets what has to go.
func (m *memory[V]) sweep(gone func(V) bool) {
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
func (m *memory[V]) evict() {
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
func (m *memory[V]) remove(item *remembered[V]) {
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
	m.items.Delete(item.key)
}
