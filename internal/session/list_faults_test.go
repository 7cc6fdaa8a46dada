package session

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// faulty is a storage in which single objects cannot be loaded.
type faulty struct {
	*store
	errs map[string]error
}

func (f *faulty) Load(ctx context.Context, key string) ([]byte, error) {
	f.mu.Lock()
	err := f.errs[path.Base(key)]
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.store.Load(ctx, key)
}

func TestOneObjectThatCannotBeLoaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := &faulty{store: newStore(), errs: make(map[string]error)}
		writer := startList(t, storage)
		var sessions []*Session
		for _, err := range []error{nil, errors.New("input/output error"), fs.ErrNotExist} {
			s := testSession(time.Now())
			e := EndSession(s, time.Time{}, inAWeek())
			mustAdd(t, writer, e)
			name, _, _ := encodeEntry(e)
			storage.errs[name] = err
			sessions = append(sessions, s)
		}
		l := startList(t, storage)
		if !l.Ended(sessions[0]) || l.Len() != 1 {
			t.Errorf("%d entries", l.Len())
		}
		if got := l.reported(); !slices.Equal(got, []Event{NeverRead}) {
			t.Errorf("reported is %q", got)
		}
		storage.set(func() { clear(storage.errs) })
		time.Sleep(11 * time.Second)
		if l.Len() != 3 {
			t.Errorf("%d entries afterwards", l.Len())
		}
		// One that is gone is no failure.
		name, _, _ := encodeEntry(EndSession(sessions[0], time.Time{}, inAWeek()))
		storage.set(func() { storage.errs[name] = fs.ErrNotExist })
		if again := startList(t, storage); len(again.reported()) != 0 {
			t.Errorf("reported is %q", again.reported())
		}
	})
}

// Whoever signs out again and again, with the storage up or down, leaves one
// object.
func TestAnEntryThatSaysNothingNewIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		end := inAWeek()
		s := testSession(time.Now())
		again := func(want int) {
			t.Helper()
			for range 100 {
				mustAdd(t, l, EndSession(s, time.Time{}, end))
				mustAdd(t, l, EndSession(s, time.Now().Add(time.Minute), end.Add(-time.Hour)))
				time.Sleep(time.Minute)
			}
			if storage.count() != want || !l.Ended(s) {
				t.Errorf("%d objects, ended: %v", storage.count(), l.Ended(s))
			}
		}
		again(1)
		// What says more is written, and holds for others.
		mustAdd(t, l, EndSession(s, time.Time{}, end.Add(time.Hour)))
		if again(2); !startList(t, storage).Ended(s) {
			t.Error("a restart does not know of it")
		}
		time.Sleep(time.Until(end))
		if !l.Ended(s) || !startList(t, storage).Ended(s) {
			t.Error("the longer life does not count")
		}
	})
}

// Two objects know of all that a third one says, but one of them goes first.
func TestAnEntryThatOnlyTwoOthersSayIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		now := time.Now()
		long := Entry{Kind: BySubject, Subject: "82wtl6z03cep", NotBefore: now.Add(-time.Hour), Expires: now.Add(72 * time.Hour)}
		short := long
		short.NotBefore, short.Expires = now, now.Add(time.Hour)
		mustAdd(t, l, short)
		time.Sleep(2 * time.Minute)
		mustAdd(t, l, long)
		both := long
		both.NotBefore = now
		mustAdd(t, l, both)
		if storage.count() != 3 {
			t.Errorf("%d objects", storage.count())
		}
	})
}

func TestTheSameEntryIsPendingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		storage.set(func() { storage.err = errors.New("disk full") })
		e := EndSession(testSession(time.Now()), time.Time{}, inAWeek())
		for range 100 {
			if err := l.Add(t.Context(), e); err == nil {
				t.Error("it is said to be written")
			}
		}
		l.mu.Lock()
		pending := len(l.pending)
		l.mu.Unlock()
		if pending != 1 {
			t.Errorf("%d entries are pending", pending)
		}
		storage.set(func() { storage.err = nil })
		time.Sleep(time.Minute)
		if storage.count() != 1 {
			t.Errorf("%d objects", storage.count())
		}
	})
}

// Whether another entry can be written is nothing to who signs out again.
func TestAnEntryThatIsWrittenWaitsForNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		written, other := EndSession(testSession(time.Now()), time.Time{}, inAWeek()), testSession(time.Now())
		other.Subject = "somebody-else"
		mustAdd(t, l, written)
		storage.set(func() { storage.err = errors.New("disk full") })
		if err := l.Add(t.Context(), EndSession(other, time.Time{}, inAWeek())); err == nil {
			t.Error("it is said to be written")
		}
		mustAdd(t, l, written)
	})
}

// Who has left the page has signed out nevertheless.
func TestAnEntryOfARequestThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		s := testSession(time.Now())
		storage.set(func() { storage.err = errors.New("disk full") })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Add(ctx, EndSession(s, time.Time{}, inAWeek())); err == nil || !l.Ended(s) {
			t.Errorf("ended: %v, %v", l.Ended(s), err)
		}
		storage.set(func() { storage.err = nil })
		time.Sleep(time.Minute)
		if storage.count() != 1 || !startList(t, storage).Ended(s) {
			t.Errorf("%d objects", storage.count())
		}
	})
}

func TestWhatIsPendingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		storage.set(func() { storage.err = errors.New("disk full") })
		add := func(e Entry) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_ = l.Add(ctx, e)
		}
		pending := func() int {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.pending)
		}
		short := testSession(time.Now())
		short.Subject = "somebody-else"
		add(EndSession(short, time.Time{}, time.Now().Add(time.Minute)))
		for range 10 * maxPerOwner {
			add(EndSession(testSession(time.Now()), time.Time{}, inAWeek()))
			time.Sleep(time.Millisecond)
		}
		if got := pending(); got != maxPerOwner+2 {
			t.Errorf("%d entries are pending, with one for all older ones and one of another person", got)
		}
		time.Sleep(time.Hour)
		if got := pending(); got != maxPerOwner+1 {
			t.Errorf("%d entries are pending after the first has expired", got)
		}
		storage.set(func() { storage.err = nil })
		time.Sleep(time.Minute)
		if got := pending(); got != 0 || storage.count() != maxPerOwner+1 {
			t.Errorf("%d entries are pending, %d objects written", got, storage.count())
		}
	})
}

func TestExpiredEntriesDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startList(t, newStore())
		for range 2 * maxPerOwner {
			mustAdd(t, l, EndSession(testSession(time.Now()), time.Time{}, time.Now().Add(20*time.Minute)))
			time.Sleep(time.Minute)
		}
		if got := l.reported(); len(got) != 0 || l.Len() > 26 {
			t.Errorf("%d entries, reported is %q", l.Len(), got)
		}
	})
}

// An entry about the same session, of which one is to last longer.
func TestTheLongestLifeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		var sessions []*Session
		for i := range maxPerOwner {
			s := testSession(time.Now())
			sessions = append(sessions, s)
			mustAdd(t, l, EndSession(s, time.Time{}, time.Now().Add(time.Hour)))
			if i == 3 {
				mustAdd(t, l, EndSession(s, time.Time{}, inAWeek()))
			}
		}
		if l.Len() != maxPerOwner {
			t.Errorf("%d entries", l.Len())
		}
		mustAdd(t, l, EndSession(testSession(time.Now()), time.Time{}, time.Now().Add(time.Hour)))
		time.Sleep(24 * time.Hour)
		if l.Len() != 1 || !l.Ended(sessions[3]) || storage.count() != 1 {
			t.Errorf("%d entries, %d objects", l.Len(), storage.count())
		}
	})
}

func TestWithoutAStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestList(t, nil)
		l.Storage = func() Storage { return nil }
		l.begin(t)
		s := testSession(time.Now())
		if err := l.Add(t.Context(), EndSession(s, time.Time{}, inAWeek())); !errors.Is(err, errNoStorage) || !l.Ended(s) {
			t.Errorf("ended is %v, %v", l.Ended(s), err)
		}
		if err := l.Add(t.Context(), Entry{Kind: ByLogtoSession, Expires: inAWeek()}); err == nil || l.Len() != 1 {
			t.Error("an entry about nothing is taken")
		}
		if err := l.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestDirectoriesAreDeletedOnlyWhenNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := &faulty{store: newStore(), errs: make(map[string]error)}
		l := startList(t, storage)
		mustAdd(t, l, EndSession(testSession(time.Now()), time.Time{}, time.Now().Add(time.Minute)))
		time.Sleep(30 * time.Minute)
		if storage.count() != 1 {
			t.Error("the directory of this hour is deleted")
		}
		// An object that this process has not read may be about anything.
		s := testSession(time.Now())
		name, object, err := encodeEntry(EndSession(s, time.Time{}, inAWeek()))
		if err != nil {
			t.Fatal(err)
		}
		storage.set(func() {
			storage.objects[path.Join(testPrefix, hourOf(time.Now()), name)] = object
			storage.errs[name] = errors.New("input/output error")
		})
		time.Sleep(5 * time.Hour)
		if storage.count() != 2 {
			t.Error("a directory is deleted that has not been read")
		}
		storage.set(func() { clear(storage.errs) })
		time.Sleep(time.Hour)
		if storage.count() != 2 || !l.Ended(s) {
			t.Error("an entry is lost")
		}
		// What could not be listed is not forgotten.
		storage.set(func() { storage.loads, storage.err = 0, errors.New("permission denied") })
		time.Sleep(time.Hour)
		storage.set(func() { storage.err = nil })
		time.Sleep(time.Hour)
		if storage.loaded() != 0 {
			t.Errorf("%d objects are read again", storage.loaded())
		}
	})
}

// The newest hours come first if there are too many objects.
func TestTooManyObjects(t *testing.T) {
	l := newTestList(t, nil)
	l.objects = maxObjects - 2
	got := l.unknown(map[string][]string{"2026112112": {"a", "b"}, "2026112114": {"c"}, "2026112113": {"d"}})
	want := []string{path.Join(testPrefix, "2026112114", "c"), path.Join(testPrefix, "2026112113", "d")}
	if !slices.Equal(got, want) || !slices.Equal(l.reported(), []Event{ListIsFull}) {
		t.Errorf("read are %q, reported is %q", got, l.reported())
	}
}

// A process that ends at once must not bring back who has just signed out, and
// no goroutine may write after it has ended.
func TestWhatIsPendingIsStoredAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		storage.set(func() { storage.err = errors.New("disk full") })
		over, cancel := context.WithCancel(t.Context())
		cancel()
		sessions := []*Session{testSession(time.Now()), testSession(time.Now()), testSession(time.Now())}
		for _, s := range sessions {
			_ = l.Add(over, EndSession(s, time.Time{}, inAWeek()))
		}
		synctest.Wait()
		storage.set(func() { storage.err = nil })
		l.stop()
		l.Join()
		if got := storage.count(); got != len(sessions) {
			t.Errorf("%d objects after the end, want %d", got, len(sessions))
		}
	})
}

func TestTheEndWaitsForNoStorageThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		storage.set(func() { storage.hangs = make(chan struct{}) })
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_ = l.Add(over, EndSession(testSession(time.Now()), time.Time{}, inAWeek()))
		synctest.Wait()
		l.stop()
		began := time.Now()
		l.Join()
		if waited := time.Since(began); waited > flushTimeout+time.Second {
			t.Errorf("the end waited %s", waited)
		}
		close(storage.hangs)
		synctest.Wait()
	})
}

func TestAListThatHasNothingToWriteEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		newTestList(t, newStore()).Join() // was never started
		started := startList(t, newStore())
		started.stop()
		started.Join()
		if waited := time.Since(began); waited > 0 {
			t.Errorf("the end waited %s", waited)
		}
	})
}

// The admin API and the command show these.
func TestWhatAdministratorsReadOfTheList(t *testing.T) {
	_, _, tooLarge := encodeEntry(Entry{Kind: ByToken, Subject: strings.Repeat("x", maxEntrySize)})
	for want, err := range map[string]error{
		"the list of revocations and ended sessions is full": ErrListFull,
		"nothing like this is in the list":                   ErrNotListed,
		"an entry that is as new was taken back":             ErrTakenBack,
		"the entry is too large":                             tooLarge,
		"the entry does not say what it is about":            storedEntry{}.check(),
		"the entry has an unknown kind":                      storedEntry{Kind: "x", Subject: "x"}.check(),
		"the entry takes back what stands for many":          storedEntry{Kind: BySessionsOf, Subject: "x", Void: true}.check(),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
