package memory

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// checkMemory fails if the books do not agree or a bound is broken.
func checkMemory(t *testing.T, m *Memory[int]) {
	t.Helper()
	count, bytes, handFound := 0, 0, m.hand == nil
	var older *remembered[int]
	for item := m.oldest; item != nil; older, item = item, item.newer {
		if item.older != older || m.load(item.key) != item {
			t.Fatal("the list and the map differ")
		}
		handFound = handFound || m.hand == item
		count++
		bytes += item.bytes
	}
	mapped := 0
	m.items.Range(func(any, any) bool { mapped++; return true })
	if m.newest != older || !handFound || count != m.count || mapped != count || bytes != m.bytes {
		t.Fatalf("%d listed, %d mapped, %d counted; %d octets, %d counted", count, mapped, m.count, bytes, m.bytes)
	}
	if count > m.maxCount || bytes > m.maxBytes {
		t.Fatalf("%d values of %d octets break a bound", count, bytes)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := New[int](20, 500)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		key := fmt.Sprint(random.IntN(60))
		switch random.IntN(20) {
		case 0:
			gone := random.IntN(10)
			m.Sweep(func(value int) bool { return value%10 == gone })
		case 1, 2, 3, 4, 5, 6, 7, 8:
			m.Get(key)
		default:
			m.Put(key, i, random.IntN(100))
			if got, ok := m.Get(key); !ok || got != i {
				t.Fatalf("%s is %d, %v", key, got, ok)
			}
		}
		checkMemory(t, m)
	}
	m.Put("large", 1, 501)
	if _, ok := m.Get("large"); ok {
		t.Error("a value that breaks the bound is kept")
	}
	m.Put("large", 1, 500)
	if checkMemory(t, m); m.count != 1 {
		t.Errorf("%d values are kept beside one that fills it", m.count)
	}
	if count, bytes := m.Size(); count != 1 || bytes != 500 {
		t.Errorf("%d values of %d octets are counted", count, bytes)
	}
	none := New[int](0, 500)
	none.Put("x", 1, 1)
	checkMemory(t, none)
}

// All of them are marked as used all the time.
func TestMemoryForgetsThoughAllAreInUse(t *testing.T) {
	m := New[int](3, 1<<20)
	for i := range 100 {
		for earlier := range i {
			m.Get(fmt.Sprint(earlier))
		}
		m.Put(fmt.Sprint(i), i, 1)
		checkMemory(t, m)
	}
}

func TestMemoryUnderConcurrentUse(t *testing.T) {
	m := New[int](20, 500)
	var workers sync.WaitGroup
	for worker := range uint64(4) {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(worker, 1))
			for i := range 2000 {
				key := random.IntN(40)
				switch random.IntN(20) {
				case 0:
					gone := random.IntN(10)
					m.Sweep(func(value int) bool { return value/40%10 == gone })
				case 1, 2, 3, 4, 5, 6, 7, 8:
					m.Put(fmt.Sprint(key), 40*i+key, random.IntN(100))
				default:
					if value, ok := m.Get(fmt.Sprint(key)); ok && value%40 != key {
						t.Errorf("%d is remembered as %d", value, key)
					}
				}
			}
		})
	}
	workers.Wait()
	checkMemory(t, m)
}

// A text may be a small part of what a client has sent, which must not be kept
// alive by it.
func TestMemoryKeepsItsOwnTexts(t *testing.T) {
	m := New[int](1, 100)
	header := strings.Repeat("x", 20)
	m.Put(header[7:], 1, 1)
	if kept := m.oldest.key; unsafe.StringData(kept) == unsafe.StringData(header[7:]) {
		t.Error("it keeps the header")
	}
}

// A flood of values that are seen once pushes out none that comes again and
// again.
func TestMemoryKeepsWhatIsUsed(t *testing.T) {
	m := New[int](20, 1<<20)
	for i := range 1000 {
		m.Put(fmt.Sprint(i), i, 1)
		if i == 0 {
			continue
		}
		if _, ok := m.Get("0"); !ok {
			t.Fatalf("it is forgotten after %d others", i)
		}
	}
	m.Put("0", 1, 1) // what replaces it is used as often
	for i := range 20 {
		m.Put(fmt.Sprint("x", i), i, 1)
	}
	if value, ok := m.Get("0"); !ok || value != 1 {
		t.Errorf("a value that was replaced is %d, %v", value, ok)
	}
}

// While a value takes another one's place, one of the two is found.
func TestPutLeavesNoGap(t *testing.T) {
	m := New[int](3, 1<<20)
	m.Put("key", 0, 1)
	var done atomic.Bool
	var puts sync.WaitGroup
	puts.Go(func() {
		defer done.Store(true)
		for i := range 200_000 {
			m.Put("key", i, 1+i%7)
		}
	})
	for last := 0; !done.Load(); {
		got, ok := m.Get("key")
		if !ok || got < last {
			t.Errorf("%d, %v after %d", got, ok, last)
			break
		}
		last = got
	}
	puts.Wait()
	checkMemory(t, m)
}
