package session

import (
	"fmt"
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
		if l.Ended(s) || l.Listed(s) || l.Covers(ByMember, s.Subject, "org-1", time.Time{}) {
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
	for _, n := range []int{0, 1, maxEntries} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, s := fullList(b, n), testSession(time.Now())
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if l.Ended(s) {
						b.Fatal("it has ended")
					}
				}
			})
		})
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
