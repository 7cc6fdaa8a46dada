package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// store is a storage in memory, with faults.
type store struct {
	mu      sync.Mutex
	objects map[string][]byte
	loads   int
	err     error         // of everything
	hangs   chan struct{} // everything waits for it, whatever the context says
	obeys   bool          // everything hangs until the context ends
	changes int           // so many times a directory is not there as it is walked
}

func newStore() *store { return &store{objects: make(map[string][]byte)} }

func (s *store) visit(ctx context.Context) error {
	s.mu.Lock()
	hangs, obeys, err := s.hangs, s.obeys, s.err
	s.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	if obeys {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (s *store) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// count is how many objects there are.
func (s *store) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.objects)
}

// loaded is how often one was loaded.
func (s *store) loaded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads
}

func (s *store) Store(ctx context.Context, key string, value []byte) error {
	if err := s.visit(ctx); err != nil {
		return err
	}
	s.set(func() { s.objects[key] = value })
	return nil
}

func (s *store) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.visit(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	value, ok := s.objects[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return value, nil
}

func (s *store) Delete(ctx context.Context, key string) error {
	if !strings.HasPrefix(key, testPrefix+"/") {
		panic("the list deletes " + key + ", which is not its own")
	}
	if err := s.visit(ctx); err != nil {
		return err
	}
	s.set(func() {
		maps.DeleteFunc(s.objects, func(object string, _ []byte) bool { return object == key || strings.HasPrefix(object, key+"/") })
	})
	return nil
}

func (s *store) List(ctx context.Context, directory string, recursive bool) ([]string, error) {
	if err := s.visit(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(key, directory+"/") && (recursive || path.Dir(key) == directory) {
			found = append(found, key)
		}
	}
	if s.changes > 0 {
		s.changes--
		return found[:len(found)/2], fs.ErrNotExist
	}
	if len(found) == 0 {
		return nil, fs.ErrNotExist
	}
	return found, nil
}

// testList is a list over a storage, with the events that it reports.
type testList struct {
	*List
	stop context.CancelFunc

	reports sync.Mutex
	events  []Event
}

const testPrefix = "logto_auth/ended/x"

func newTestList(t *testing.T, storage Storage) *testList {
	t.Helper()
	l := &testList{}
	l.List = NewList(ListOptions{
		Prefix: testPrefix, Now: time.Now,
		Storage:  func() Storage { return storage },
		Interval: func() time.Duration { return 10 * time.Second },
		Report: func(event Event, _ error) {
			l.reports.Lock()
			defer l.reports.Unlock()
			l.events = append(l.events, event)
		},
	})
	return l
}

// startList starts a list and waits until it has been read.
func startList(t *testing.T, storage Storage) *testList {
	t.Helper()
	l := newTestList(t, storage)
	l.begin(t)
	if err := l.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *testList) begin(t *testing.T) {
	t.Helper()
	life, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	l.stop = cancel
	l.Start(life)
}

func (l *testList) reported() []Event {
	l.reports.Lock()
	defer l.reports.Unlock()
	return slices.Clone(l.events)
}

func mustAdd(t *testing.T, l *testList, e Entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.Add(ctx, e); err != nil {
		t.Fatal(err)
	}
}

func inAWeek() time.Time { return time.Now().Add(7 * 24 * time.Hour) }

func TestWhatAnEntryEnds(t *testing.T) {
	now := testTime
	s := testSession(now.Add(-time.Hour))
	other := testSession(now.Add(-time.Hour))
	later := testSession(now)
	for _, test := range []struct {
		name    string
		entry   Entry
		session *Session
		listed  bool
		ended   bool
	}{
		{"its own session", EndSession(s, time.Time{}, now.Add(time.Hour)), s, true, true},
		{"no other session", EndSession(s, time.Time{}, now.Add(time.Hour)), other, false, false},
		{"from a minute later on", EndSession(s, now.Add(time.Minute), now.Add(time.Hour)), s, true, false},
		{"from a minute earlier on", EndSession(s, now.Add(-time.Minute), now.Add(time.Hour)), s, true, true},
		{"a person's sessions", Entry{Kind: BySubject, Subject: s.Subject, NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour)}, s, true, true},
		{"not those after it", Entry{Kind: BySubject, Subject: s.Subject, NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour)}, later, false, false},
		{"those at the same time", Entry{Kind: BySubject, Subject: s.Subject, NotBefore: now, Expires: now.Add(time.Hour)}, later, true, true},
		{"nobody else's", Entry{Kind: BySubject, Subject: "x", NotBefore: now, Expires: now.Add(time.Hour)}, s, false, false},
		{"Logto's session", Entry{Kind: ByLogtoSession, Subject: s.LogtoSession, NotBefore: now, Expires: now.Add(time.Hour)}, s, true, true},
		{"another kind with the same id", Entry{Kind: ByToken, Subject: s.ID, NotBefore: now, Expires: now.Add(time.Hour)}, s, false, false},
		{"a member of an organization", Entry{Kind: ByMember, Subject: s.Subject, Organization: "org-1", NotBefore: now, Expires: now.Add(time.Hour)}, s, false, false},
	} {
		l := newTestList(t, nil)
		l.Now = func() time.Time { return now }
		edit := l.marks.edit()
		if _, err := l.insert(edit, test.entry, ""); err != nil {
			t.Fatal(err)
		}
		edit.commit()
		if l.Listed(test.session) != test.listed || l.Ended(test.session) != test.ended {
			t.Errorf("%s: listed %v, ended %v", test.name, l.Listed(test.session), l.Ended(test.session))
		}
		e := test.entry
		if covered := l.Covers(e.Kind, e.Subject, e.Organization, e.NotBefore); covered != (e.Expires.After(now) && !e.From.After(now)) {
			t.Errorf("%s: what it is about is over: %v", test.name, covered)
		}
		if got := l.Entries(); len(got) != 1 || !got[0].From.Equal(e.From) || !got[0].NotBefore.Equal(e.NotBefore) || !got[0].Expires.Equal(e.Expires) {
			t.Errorf("%s: it is shown as %+v", test.name, got)
		}
		if l.Covers(e.Kind, e.Subject, e.Organization, e.NotBefore.Add(time.Millisecond)) || l.Covers(e.Kind, e.Subject, "org-2", e.NotBefore) {
			t.Errorf("%s: what it is not about is over", test.name)
		}
		l.Now = func() time.Time { return now.Add(time.Hour) }
		if l.Ended(test.session) || len(l.Entries()) != 0 {
			t.Errorf("%s: it does not expire", test.name)
		}
	}
}

func TestALaterEntryDoesNotWeakenAnEarlierOne(t *testing.T) {
	now := testTime
	s := testSession(now.Add(-time.Hour))
	atOnce, later := EndSession(s, time.Time{}, now.Add(time.Hour)), EndSession(s, now.Add(time.Minute), now.Add(2*time.Hour))
	for _, entries := range [][]Entry{{atOnce, later}, {later, atOnce}} {
		l := newTestList(t, nil)
		l.Now = func() time.Time { return now }
		edit := l.marks.edit()
		for _, e := range entries {
			if _, err := l.insert(edit, e, ""); err != nil {
				t.Fatal(err)
			}
		}
		edit.commit()
		if !l.Ended(s) || l.Len() != 1 {
			t.Error("it does not end the session")
		}
		if got := l.Entries(); len(got) != 1 || !got[0].Expires.Equal(later.Expires) {
			t.Errorf("it is %+v", got)
		}
	}
}

func TestReplicasAndRestartsKnowOfAnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		one, other := startList(t, storage), startList(t, storage)
		s := testSession(time.Now())
		mustAdd(t, one, EndSession(s, time.Time{}, inAWeek()))
		if !one.Ended(s) || other.Ended(s) {
			t.Error("it is not known at once here, or too soon there")
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if !other.Ended(s) {
			t.Error("the replica does not know after its next reading")
		}
		one.stop()
		other.stop()
		time.Sleep(3 * time.Hour) // its directory is an old one now
		if !startList(t, storage).Ended(s) {
			t.Error("it is not known after a restart")
		}
	})
}

// An entry that comes into an old directory, from a process whose clock is
// behind or by hand, is found by the next full reading.
func TestOldDirectoriesAreReadEveryFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		s := testSession(time.Now())
		name, object, err := encodeEntry(EndSession(s, time.Time{}, inAWeek()))
		if err != nil {
			t.Fatal(err)
		}
		old := path.Join(testPrefix, hourOf(time.Now().Add(-5*time.Hour)), name)
		storage.set(func() { storage.objects[old] = object })
		time.Sleep(4 * time.Minute)
		if l.Ended(s) {
			t.Error("an old directory is read all the time")
		}
		time.Sleep(90 * time.Second)
		if !l.Ended(s) {
			t.Error("it is not read")
		}
		time.Sleep(time.Hour)
		if storage.loaded() != 1 {
			t.Errorf("the object is loaded %d times", storage.loaded())
		}
		if got := l.reported(); len(got) != 0 {
			t.Errorf("reported is %q", got)
		}
	})
}

func TestTheHourBeforeIsAmongTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it begins at a full hour
		storage := newStore()
		one, other := startList(t, storage), startList(t, storage)
		time.Sleep(time.Hour - 11*time.Second)
		s := testSession(time.Now())
		time.Sleep(9 * time.Second)
		mustAdd(t, one, EndSession(s, time.Time{}, inAWeek()))
		time.Sleep(11 * time.Second)
		if !other.Ended(s) {
			t.Error("an entry of the last second of an hour is missed")
		}
	})
}

func TestExpiredDirectoriesAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		short, long := testSession(time.Now()), testSession(time.Now())
		mustAdd(t, l, EndSession(short, time.Time{}, time.Now().Add(30*time.Minute)))
		mustAdd(t, l, EndSession(long, time.Time{}, time.Now().Add(24*time.Hour)))
		time.Sleep(2 * time.Hour)
		mustAdd(t, l, EndSession(testSession(time.Now()), time.Time{}, time.Now().Add(time.Hour)))
		synctest.Wait()
		if l.Len() != 2 || storage.count() != 3 {
			t.Errorf("%d entries, %d objects after two hours", l.Len(), storage.count())
		}
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		if !l.Ended(long) || storage.count() != 2 {
			t.Errorf("after six hours %d objects are left", storage.count())
		}
		time.Sleep(19 * time.Hour)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.Len() != 0 || storage.count() != 0 || l.objects != 0 || len(l.directories) != 0 || len(l.owners) != 0 {
			t.Errorf("after a day %d entries, %d objects, %d known in %d directories, %d owners are left",
				l.Len(), storage.count(), l.objects, len(l.directories), len(l.owners))
		}
	})
}

func TestForeignObjectsAreNoEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		s := testSession(time.Now())
		name, object, err := encodeEntry(EndSession(s, time.Time{}, inAWeek()))
		if err != nil {
			t.Fatal(err)
		}
		at := hourOf(time.Now())
		for _, foreign := range []string{
			testPrefix + "/" + name, testPrefix + "/" + at + "/1234567890", testPrefix + "/" + at + "/x/" + name,
			testPrefix + "/2026-11-21/" + name, testPrefix + "x/" + at + "/" + name, testPrefix + "/" + at + "/" + strings.ToUpper(name),
		} {
			storage.objects[foreign] = object
		}
		for i, bad := range []string{"", "{", `{"format":2}`, `{"format":1,"kind":"session"}`, strings.Repeat(" ", maxEntrySize) + string(object)} {
			storage.objects[fmt.Sprintf("%s/%s/%032x", testPrefix, at, i)] = []byte(bad)
		}
		l := startList(t, storage)
		time.Sleep(time.Hour)
		if l.Ended(s) || l.Len() != 0 {
			t.Errorf("%d entries", l.Len())
		}
		if want := slices.Repeat([]Event{EntryUnreadable}, 5); !slices.Equal(l.reported(), want) {
			t.Errorf("reported is %q", l.reported())
		}
	})
}

func TestTheFirstReading(t *testing.T) {
	wait := func(t *testing.T, l *testList) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return l.Wait(ctx)
	}
	t.Run("a storage that fails is an empty list and one warning", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := newStore()
			s := testSession(time.Now())
			mustAdd(t, startList(t, storage), EndSession(s, time.Time{}, inAWeek()))
			storage.set(func() { storage.err = errors.New("permission denied") })
			l := startList(t, storage)
			time.Sleep(time.Hour)
			if want := []Event{NeverRead}; l.Ended(s) || !slices.Equal(l.reported(), want) {
				t.Errorf("reported is %q", l.reported())
			}
			storage.set(func() { storage.err = nil })
			time.Sleep(11 * time.Second)
			if want := []Event{NeverRead, ReadRecovered}; !l.Ended(s) || !slices.Equal(l.reported(), want) {
				t.Errorf("then reported is %q", l.reported())
			}
			storage.set(func() { storage.err = errors.New("permission denied") })
			time.Sleep(time.Hour)
			if want := []Event{NeverRead, ReadRecovered, ReadFailed}; !l.Ended(s) || !slices.Equal(l.reported(), want) {
				t.Errorf("the last list does not serve on, or reported is %q", l.reported())
			}
		})
	})
	t.Run("nobody knows what a storage that hangs holds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := newStore()
			storage.hangs = make(chan struct{})
			l := newTestList(t, storage)
			l.begin(t)
			for range 20 {
				if err := wait(t, l); !errors.Is(err, ErrListUnread) {
					t.Errorf("a request gets %v", err)
				}
			}
			if want := []Event{NeverAnswered}; !slices.Equal(l.reported(), want) {
				t.Errorf("reported is %q", l.reported())
			}
			storage.set(func() { storage.err = errors.New("permission denied") })
			close(storage.hangs)
			time.Sleep(time.Minute)
			if err := wait(t, l); err != nil {
				t.Error(err)
			}
			if want := []Event{NeverAnswered, NeverRead}; !slices.Equal(l.reported(), want) {
				t.Errorf("then reported is %q", l.reported())
			}
		})
	})
	t.Run("nor one that gives up in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := newStore()
			storage.obeys = true
			l := newTestList(t, storage)
			l.begin(t)
			for range 20 {
				if err := wait(t, l); !errors.Is(err, ErrListUnread) {
					t.Errorf("a request gets %v", err)
				}
			}
			storage.set(func() { storage.obeys = false })
			time.Sleep(time.Minute)
			if err := wait(t, l); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("no storage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := startList(t, nil)
			l.Storage = func() Storage { return nil }
			if want := []Event{NeverRead}; !slices.Equal(l.reported(), want) {
				t.Errorf("reported is %q", l.reported())
			}
		})
	})
	t.Run("a directory that changes while it is walked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			storage := newStore()
			writer := startList(t, storage)
			sessions := []*Session{testSession(time.Now()), testSession(time.Now()), testSession(time.Now())}
			for _, s := range sessions {
				mustAdd(t, writer, EndSession(s, time.Time{}, inAWeek()))
			}
			writer.stop()
			storage.set(func() { storage.changes = 2 })
			l := startList(t, storage)
			for _, s := range sessions {
				if !l.Ended(s) {
					t.Error("an entry is missed")
				}
			}
		})
	})
}

func TestAnEntryThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		storage.set(func() { storage.err = errors.New("disk full") })
		sessions := []*Session{testSession(time.Now()), testSession(time.Now()), testSession(time.Now())}
		for _, s := range sessions {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			if err := l.Add(ctx, EndSession(s, time.Time{}, inAWeek())); err == nil {
				t.Error("no error")
			}
			cancel()
			if !l.Ended(s) {
				t.Error("it does not hold here")
			}
		}
		time.Sleep(time.Hour)
		storage.set(func() { storage.err = nil })
		time.Sleep(time.Minute)
		l.stop()
		restarted := startList(t, storage)
		for _, s := range sessions {
			if !restarted.Ended(s) {
				t.Error("it is not written")
			}
		}
		got := l.reported()
		for _, event := range []Event{WriteFailed, WriteRecovered} {
			if n := len(slices.DeleteFunc(slices.Clone(got), func(e Event) bool { return e != event })); n != 1 {
				t.Errorf("%s is reported %d times", event, n)
			}
		}
	})
}

func TestAStorageThatHangsHoldsUpNoSignOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		hangs := make(chan struct{})
		storage.set(func() { storage.hangs = hangs })
		s := testSession(time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := l.Add(ctx, EndSession(s, time.Time{}, inAWeek())); !errors.Is(err, context.DeadlineExceeded) || !l.Ended(s) {
			t.Errorf("it ends: %v, %v", l.Ended(s), err)
		}
		storage.set(func() { storage.hangs = nil })
		close(hangs)
		time.Sleep(time.Minute)
		synctest.Wait()
		if pending := l.firstPending(); pending != nil || storage.count() != 1 {
			t.Errorf("%+v is pending", pending)
		}
	})
}

func TestManyEntriesOfOnePersonBecomeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		var sessions []*Session
		elsewhere := testSession(time.Now()) // in another browser
		for range maxPerOwner + 1 {
			time.Sleep(time.Minute)
			sessions = append(sessions, testSession(time.Now()))
		}
		current := testSession(time.Now().Add(time.Millisecond))
		stranger := testSession(time.Now())
		stranger.Subject = "somebody-else"
		mustAdd(t, l, EndSession(stranger, time.Time{}, inAWeek()))
		for i, s := range sessions {
			if i == maxPerOwner && (l.Len() != maxPerOwner+1 || l.Ended(elsewhere)) {
				t.Fatalf("%d entries before the last", l.Len())
			}
			// The last two replace a session by a new one.
			from := time.Time{}
			if i >= maxPerOwner-1 {
				from = time.Now().Add(time.Minute)
			}
			mustAdd(t, l, EndSession(s, from, inAWeek()))
		}
		check := func(l *testList) {
			t.Helper()
			if l.Len() != maxPerOwner+2 {
				t.Errorf("%d entries", l.Len())
			}
			for i, s := range append(sessions, elsewhere, stranger) {
				if !l.Ended(s) {
					t.Errorf("session %d lives on", i)
				}
			}
			if l.Ended(current) || l.Listed(current) {
				t.Error("the session that was just signed in to has ended")
			}
			if l.Covers(BySubject, current.Subject, "", sessions[0].SignedIn) {
				t.Error("tokens of that person are refused, which nobody has revoked")
			}
		}
		time.Sleep(time.Minute)
		check(l)
		if storage.count() != maxPerOwner+2 {
			t.Errorf("%d objects", storage.count())
		}
		if got := l.reported(); !slices.Equal(got, []Event{EntriesFolded}) {
			t.Errorf("reported is %q", got)
		}
		// Signing out of one of them again adds nothing.
		mustAdd(t, l, EndSession(sessions[0], time.Time{}, inAWeek().Add(-time.Hour)))
		check(l)
		check(startList(t, storage))
		for range 3 * maxPerOwner {
			mustAdd(t, l, EndSession(testSession(time.Now()), time.Time{}, inAWeek()))
			time.Sleep(time.Minute)
		}
		for _, l := range []*testList{l, startList(t, storage)} {
			if l.Len() != maxPerOwner+2 || !l.Ended(current) {
				t.Errorf("later %d entries", l.Len())
			}
		}
		if storage.count() != maxPerOwner+2 {
			t.Errorf("later %d objects", storage.count())
		}
	})
}

// Objects are read in any order: an entry about all of a person's older sessions
// may come before or after those that it replaces.
func TestAnEntryForManyReplacesThoseBefore(t *testing.T) {
	now := testTime
	old, recent := testSession(now.Add(-time.Hour)), testSession(now.Add(-time.Minute))
	one := func(s *Session) Entry { return EndSession(s, time.Time{}, now.Add(time.Hour)) }
	for _, test := range []struct {
		name string
		all  Entry
		left int
	}{
		{"it replaces the older one", Entry{NotBefore: old.SignedIn, Expires: now.Add(time.Hour)}, 2},
		{"it lasts as long as that", Entry{NotBefore: old.SignedIn, Expires: now.Add(time.Minute)}, 2},
		{"it replaces both", Entry{NotBefore: recent.SignedIn, Expires: now.Add(time.Minute)}, 1},
		{"it replaces none", Entry{NotBefore: old.SignedIn.Add(-time.Millisecond), Expires: now.Add(time.Hour)}, 3},
	} {
		test.all.Kind, test.all.Subject = BySessionsOf, old.Subject
		for _, entries := range [][]Entry{{test.all, one(old), one(recent)}, {one(old), one(recent), test.all}} {
			l := newTestList(t, nil)
			l.Now = func() time.Time { return now }
			insertEach(t, l.List, entries)
			if l.Len() != test.left || len(l.owners[old.Subject].entries) != test.left-1 {
				t.Errorf("%s: %d entries, %d of the owner", test.name, l.Len(), len(l.owners[old.Subject].entries))
			}
			l.Now = func() time.Time { return now.Add(59 * time.Minute) }
			if !l.Ended(old) || !l.Ended(recent) || l.Ended(testSession(now)) {
				t.Errorf("%s: it ends something else", test.name)
			}
		}
	}
}

// insertEach puts entries into a list as if they were read, one at a time.
func insertEach(t *testing.T, l *List, entries []Entry) {
	t.Helper()
	for _, e := range entries {
		edit := l.marks.edit()
		if _, err := l.insert(edit, e, ""); err != nil {
			t.Fatal(err)
		}
		edit.commit()
	}
}

// Two replicas fold what they have written together.
func TestEntriesOfTwoReplicasBecomeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		one, other := startList(t, storage), startList(t, storage)
		for range 20 {
			mustAdd(t, one, EndSession(testSession(time.Now()), time.Time{}, inAWeek()))
			mustAdd(t, other, EndSession(testSession(time.Now()), time.Time{}, inAWeek()))
		}
		time.Sleep(time.Minute)
		for _, l := range []*testList{one, other} {
			if l.Len() > maxPerOwner || !l.Ended(testSession(time.Now().Add(-time.Hour))) {
				t.Errorf("%d entries", l.Len())
			}
		}
	})
}

func TestAFullListTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startList(t, newStore())
		edit := l.marks.edit()
		for i := range maxEntries {
			edit.set(markKey{kind: ByToken, subject: fmt.Sprint(i)}, mark{expires: time.Now().Add(time.Hour).UnixMilli()})
		}
		edit.commit()
		for range 3 {
			if err := l.Add(t.Context(), EndSession(testSession(time.Now()), time.Time{}, inAWeek())); !errors.Is(err, ErrListFull) {
				t.Errorf("the error is %v", err)
			}
		}
		if got := l.reported(); !slices.Equal(got, []Event{ListIsFull}) {
			t.Errorf("reported is %q", got)
		}
		// An entry about something that is in the list is no new one.
		mustAdd(t, l, Entry{Kind: ByToken, Subject: "1", NotBefore: time.Now(), Expires: inAWeek()})
		time.Sleep(time.Hour + fullInterval + 20*time.Second)
		if l.Len() != 1 {
			t.Errorf("%d entries are left", l.Len())
		}
		mustAdd(t, l, EndSession(testSession(time.Now()), time.Time{}, inAWeek()))
	})
}

func TestStoredEntriesAreWhatTheyWere(t *testing.T) {
	for _, e := range []Entry{
		EndSession(testSession(testTime), time.Time{}, testTime.Add(time.Hour)),
		EndSession(testSession(testTime), testTime.Add(time.Minute), testTime.Add(time.Hour)),
		{Kind: ByMember, Subject: "user-1", Organization: "org-1", NotBefore: testTime, Expires: testTime.Add(time.Hour)},
	} {
		name, object, err := encodeEntry(e)
		if err != nil || !isEntryName(name) {
			t.Fatalf("%q, %v", name, err)
		}
		if got, err := decodeEntry(object); err != nil || got != e {
			t.Errorf("%+v becomes %+v, %v", e, got, err)
		}
	}
	for _, e := range []Entry{{Kind: ByLogtoSession, Expires: testTime}, {Subject: "user-1", Expires: testTime}} {
		if _, _, err := encodeEntry(e); err == nil {
			t.Errorf("%+v is an entry", e)
		}
	}
	if _, _, err := encodeEntry(Entry{Kind: ByToken, Subject: strings.Repeat("x", maxEntrySize)}); err == nil {
		t.Error("an entry that nobody would read is written")
	}
}
