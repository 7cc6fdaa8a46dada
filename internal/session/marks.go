package session

import (
	"hash/maphash"
	"iter"
	"maps"
	"sync/atomic"
	"time"
)

// shardCount divides what is copied when an entry comes.
const shardCount = 256

// marks is the list as requests see it: maps that are never changed, replaced
// one at a time. A look-up takes no lock and allocates nothing.
type marks struct {
	seed   maphash.Seed
	shards [shardCount]atomic.Pointer[map[markKey]mark]
	count  atomic.Int64 // of keys, also those of which all is void or has expired
}

// markKey is what an entry is about.
type markKey struct {
	kind                  EntryKind
	subject, organization string
}

// mark is what all entries about the same come to, in milliseconds since 1970.
type mark struct {
	notBefore, from, expires int64 // expires is 0 if there is no entry
	// void is when entries were taken back: those of that time or earlier do not
	// count. It is 0 if none were. The entries are kept, since the objects of the
	// storage come in any order.
	void, voidUntil int64
}

func keyOf(e Entry) markKey { return markKey{e.Kind, e.Subject, e.Organization} }

func markOf(e Entry) mark {
	if e.void {
		return mark{void: e.NotBefore.UnixMilli(), voidUntil: e.Expires.UnixMilli()}
	}
	m := mark{notBefore: e.NotBefore.UnixMilli(), expires: e.Expires.UnixMilli()}
	if !e.From.IsZero() && e.Kind != BySessionsOf {
		m.from = e.From.UnixMilli()
	}
	return m
}

// and is the mark for two entries about the same, the same in whatever order
// they come. It refuses all that either of them does, if not more: entries that
// take effect later are about single sessions, of which all begins are the same.
func (m mark) and(other mark) mark {
	void, voidUntil := max(m.void, other.void), max(m.voidUntil, other.voidUntil)
	switch {
	case !m.isEntry():
		m = other
	case other.isEntry():
		m = mark{notBefore: max(m.notBefore, other.notBefore), from: min(m.from, other.from), expires: max(m.expires, other.expires)}
	}
	m.void, m.voidUntil = void, voidUntil
	return m
}

// isEntry reports whether there is an entry, which may be void.
func (m mark) isEntry() bool { return m.expires != 0 }

// counts reports whether there is an entry that was not taken back.
func (m mark) counts() bool { return m.isEntry() && (m.void == 0 || m.notBefore > m.void) }

// at is what is left of a mark at a time. What takes entries back stays as long
// as there are any.
func (m mark) at(now time.Time) mark {
	at := now.UnixMilli()
	if m.expires <= at {
		m.notBefore, m.from, m.expires = 0, 0, 0
		if m.voidUntil <= at {
			m.void, m.voidUntil = 0, 0
		}
	}
	return m
}

// includes reports whether all that another mark refuses is refused by this
// one, about the same or more.
func (m mark) includes(other mark) bool {
	return m.notBefore >= other.notBefore && m.from <= other.from && m.expires >= other.expires
}

// covers reports whether what began at a time is over.
func (m mark) covers(began, now time.Time) bool {
	at := now.UnixMilli()
	return began.UnixMilli() <= m.notBefore && m.counts() && m.from <= at && at < m.expires
}

func newMarks() *marks { return &marks{seed: maphash.MakeSeed()} }

func (m *marks) shard(key markKey) int {
	return int(maphash.String(m.seed, key.subject) % shardCount)
}

func (m *marks) find(key markKey) (mark, bool) {
	if m.count.Load() == 0 {
		return mark{}, false
	}
	shard := m.shards[m.shard(key)].Load()
	if shard == nil {
		return mark{}, false
	}
	found, ok := (*shard)[key]
	return found, ok
}

// live goes through what counts at a time, in no order. What changes meanwhile
// may be there or not.
func (m *marks) live(now time.Time) iter.Seq2[markKey, mark] {
	return func(yield func(markKey, mark) bool) {
		for i := range m.shards {
			shard := m.shards[i].Load()
			if shard == nil {
				continue
			}
			for key, found := range *shard {
				if found.at(now).counts() && !yield(key, found) {
					return
				}
			}
		}
	}
}

// marksEdit is a number of changes, which are seen when they are committed.
// There is one at a time.
type marksEdit struct {
	marks   *marks
	changed map[int]map[markKey]mark
	count   int64
}

func (m *marks) edit() *marksEdit {
	return &marksEdit{marks: m, changed: make(map[int]map[markKey]mark), count: m.count.Load()}
}

// shard returns a map that may be changed.
func (e *marksEdit) shard(key markKey) map[markKey]mark {
	i := e.marks.shard(key)
	if e.changed[i] == nil {
		e.changed[i] = make(map[markKey]mark)
		if old := e.marks.shards[i].Load(); old != nil {
			e.changed[i] = maps.Clone(*old)
		}
	}
	return e.changed[i]
}

func (e *marksEdit) find(key markKey) (mark, bool) {
	if shard, ok := e.changed[e.marks.shard(key)]; ok {
		found, ok := shard[key]
		return found, ok
	}
	return e.marks.find(key)
}

func (e *marksEdit) set(key markKey, m mark) {
	shard := e.shard(key)
	if _, ok := shard[key]; !ok {
		e.count++
	}
	shard[key] = m
}

func (e *marksEdit) remove(key markKey) {
	if _, ok := e.find(key); ok {
		delete(e.shard(key), key)
		e.count--
	}
}

// removeEntry leaves what takes entries back.
func (e *marksEdit) removeEntry(key markKey) {
	if old, ok := e.find(key); ok && old.void != 0 {
		e.set(key, mark{void: old.void, voidUntil: old.voidUntil})
		return
	}
	e.remove(key)
}

// commit makes the changes seen. An entry is seen before the count says that
// there is one, and gone before it says that there is none; between the two
// nobody misses one that was there.
func (e *marksEdit) commit() {
	for i, shard := range e.changed {
		e.marks.shards[i].Store(&shard)
	}
	e.marks.count.Store(e.count)
}

// sweep removes what has expired.
func (m *marks) sweep(now time.Time) {
	e := m.edit()
	for i := range m.shards {
		shard := m.shards[i].Load()
		if shard == nil {
			continue
		}
		for key, found := range *shard {
			switch left := found.at(now); left {
			case found:
			case mark{}:
				e.remove(key)
			default:
				e.set(key, left)
			}
		}
	}
	e.commit()
}
