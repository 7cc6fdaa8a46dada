package session

import (
	"fmt"
	"path"
	"runtime"
	"sync"
	"testing"
	"time"
)

// fullList is a list with so many entries of ended sessions.
func fullList(tb testing.TB, n int) *List {
	tb.Helper()
	l := NewList(ListOptions{Now: time.Now})
	edit := l.marks.edit()
	for i := range n {
		e := Entry{Kind: BySession, Subject: fmt.Sprintf("session-%016d", i), NotBefore: time.Now(), Expires: time.Now().Add(time.Hour)}
		edit.set(keyOf(e), markOf(e))
	}
	edit.commit()
	return l
}

func TestLookingUpAllocatesNothing(t *testing.T) {
	l, s := fullList(t, maxEntries), testSession(time.Now())
	if l.Len() != maxEntries {
		t.Fatalf("%d entries", l.Len())
	}
	if got := testing.AllocsPerRun(100, func() {
		if !l.Any() || l.Ended(s) || l.Listed(s) || l.Covers(ByMember, s.Subject, "org-1", time.Time{}) {
			t.Fatal("it has ended")
		}
	}); got != 0 {
		t.Errorf("it allocates %v times", got)
	}
}

// Requests look while entries come and go, and miss none.
func TestLookingUpWhileTheListChanges(t *testing.T) {
	l := NewList(ListOptions{Now: time.Now, Report: func(Event, error) {}})
	there := testSession(time.Now())
	add := func(s *Session) {
		l.mu.Lock()
		defer l.mu.Unlock()
		edit := l.marks.edit()
		_, _ = l.insert(edit, EndSession(s, time.Time{}, time.Now().Add(time.Hour)), "")
		edit.commit()
	}
	add(there)
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !l.Ended(there) {
					t.Error("an entry is missed")
					return
				}
			}
		})
	}
	for i := range 2000 {
		s := testSession(time.Now())
		s.Subject = fmt.Sprint(i)
		add(s)
		if !l.Ended(s) {
			t.Fatal("a new entry is missed")
		}
		if i%100 == 0 {
			l.mu.Lock()
			l.marks.sweep(time.Now())
			l.mu.Unlock()
		}
	}
	close(stop)
	group.Wait()
}

func BenchmarkEnded(b *testing.B) {
	s := testSession(time.Now())
	benchmarkLookingUp(b, func(l *List) bool { return l.Ended(s) })
}

// A token is looked up by its person and by its application.
func BenchmarkCovers(b *testing.B) {
	iat := time.Now()
	benchmarkLookingUp(b, func(l *List) bool {
		return l.Any() && (l.Covers(BySubject, "82wtl6z03cep", "", iat) || l.Covers(ByClient, testApp, "", iat))
	})
}

func benchmarkLookingUp(b *testing.B, over func(*List) bool) {
	b.Helper()
	for _, n := range []int{0, 1, 1000, maxEntries} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := fullList(b, n)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if over(l) {
						b.Fatal("it is over")
					}
				}
			})
		})
	}
}

// A scrape asks for it.
func BenchmarkCounts(b *testing.B) {
	l := fullList(b, maxEntries)
	b.ReportAllocs()
	for b.Loop() {
		_ = l.Counts()
	}
}

// What the list takes when it is full: each entry as it is after it was read,
// with its owner and its object.
func TestMemoryOfAnEntry(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	for _, test := range []struct {
		name  string
		bound uint64 // octets for each
		entry func(i int) Entry
	}{
		{"a revoked person", 400, func(i int) Entry { return Entry{Kind: BySubject, Subject: fmt.Sprintf("person-%05d", i)} }},
		{"an ended session", 800, func(i int) Entry {
			return Entry{Kind: BySession, Subject: fmt.Sprintf("%043d", i), Owner: fmt.Sprintf("person-%05d", i/4)}
		}},
	} {
		before := heap()
		l := NewList(ListOptions{Prefix: testPrefix, Now: time.Now, Report: func(Event, error) {}})
		results := make([]loaded, 0, maxEntries)
		for i := range maxEntries {
			e := test.entry(i)
			e.NotBefore, e.Expires = time.Now(), time.Now().Add(time.Hour)
			name, object, err := encodeEntry(e)
			if err != nil {
				t.Fatal(err)
			}
			if e, err = decodeEntry(object); err != nil {
				t.Fatal(err)
			}
			results = append(results, loaded{path: path.Join(testPrefix, hourOf(time.Now()), name), entry: e})
		}
		l.insertAll(results)
		clear(results)
		each := (heap() - before) / maxEntries
		if l.Len() != maxEntries || each > test.bound {
			t.Errorf("%s: %d octets for each of %d entries, more than %d", test.name, each, l.Len(), test.bound)
		}
		t.Logf("%s: %d octets for each of %d entries", test.name, each, l.Len())
	}
}

func BenchmarkAdd(b *testing.B) {
	l := fullList(b, maxEntries-1)
	e := Entry{Kind: BySession, Subject: "the last one", NotBefore: time.Now(), Expires: time.Now().Add(time.Hour)}
	for b.Loop() {
		edit := l.marks.edit()
		_, _ = l.insert(edit, e, "")
		edit.commit()
	}
}
