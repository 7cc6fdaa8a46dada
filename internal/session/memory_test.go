package session

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// checkMemory fails if the books do not agree or a bound is broken.
func checkMemory(t *testing.T, m *memory[int]) {
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
	m := newMemory[int](20, 500)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		key := fmt.Sprint(random.IntN(60))
		switch random.IntN(20) {
		case 0:
			gone := random.IntN(10)
			m.sweep(func(value int) bool { return value%10 == gone })
		case 1, 2, 3, 4, 5, 6, 7, 8:
			m.get(key)
		default:
			m.put(key, i, random.IntN(100))
			if got, ok := m.get(key); !ok || got != i {
				t.Fatalf("%s is %d, %v", key, got, ok)
			}
		}
		checkMemory(t, m)
	}
	m.put("large", 1, 501)
	if _, ok := m.get("large"); ok {
		t.Error("a value that breaks the bound is kept")
	}
	m.put("large", 1, 500)
	if checkMemory(t, m); m.count != 1 {
		t.Errorf("%d values are kept beside one that fills it", m.count)
	}
	none := newMemory[int](0, 500)
	none.put("x", 1, 1)
	checkMemory(t, none)
}

// A flood of values that are seen once pushes out none that comes again and
// again.
func TestMemoryKeepsWhatIsUsed(t *testing.T) {
	m := newMemory[int](20, 1<<20)
	for i := range 1000 {
		m.put(fmt.Sprint(i), i, 1)
		if i == 0 {
			continue
		}
		if _, ok := m.get("0"); !ok {
			t.Fatalf("it is forgotten after %d others", i)
		}
	}
	m.put("0", 1, 1) // what replaces it is used as often
	for i := range 20 {
		m.put(fmt.Sprint("x", i), i, 1)
	}
	if value, ok := m.get("0"); !ok || value != 1 {
		t.Errorf("a value that was replaced is %d, %v", value, ok)
	}
}
