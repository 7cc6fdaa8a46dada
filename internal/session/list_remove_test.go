package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// aRevocation is an entry about a person's tokens and sessions until now.
func aRevocation(now time.Time) Entry {
	return Entry{Kind: BySubject, Subject: "82wtl6z03cep", NotBefore: now, Expires: now.Add(24 * time.Hour)}
}

func TestAnEntryIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		one, other := startList(t, storage), startList(t, storage)
		now := time.Now()
		for _, e := range []Entry{
			{Kind: ByClient, Subject: "app-1"},
			{Kind: ByOrganization, Subject: "org-1"},
			{Kind: ByMember, Subject: "user-1", Organization: "org-1"},
			{Kind: ByMember, Subject: "user-1", Organization: "org-2"},
			{Kind: ByToken, Subject: "jti-1"},
			{Kind: ByLogtoSession, Subject: "sid-1", Owner: "user-1"},
			{Kind: BySession, Subject: "session-1", Owner: "user-1"},
			aRevocation(now),
		} {
			e.NotBefore, e.Expires = now, now.Add(24*time.Hour)
			mustAdd(t, one, e)
		}
		time.Sleep(time.Minute)
		if other.Len() != 8 {
			t.Fatalf("%d entries", other.Len())
		}
		for left := 7; left >= 0; left-- {
			e := other.Entries()[0]
			if err := other.Remove(t.Context(), e.Kind, e.Subject, e.Organization); err != nil {
				t.Errorf("%+v: %v", e, err)
			}
			if other.Len() != left || len(other.Entries()) != left || other.Covers(e.Kind, e.Subject, e.Organization, now) {
				t.Errorf("%+v: %d entries are left, %d shown", e, other.Len(), len(other.Entries()))
			}
			if err := other.Remove(t.Context(), e.Kind, e.Subject, e.Organization); !errors.Is(err, ErrNotListed) {
				t.Errorf("%+v, a second time: %v", e, err)
			}
		}
		if err := one.Remove(t.Context(), BySubject, "nobody", ""); !errors.Is(err, ErrNotListed) {
			t.Errorf("what is not in the list: %v", err)
		}
		time.Sleep(11 * time.Second)
		for name, l := range map[string]*testList{"the other replica": one, "a restart": startList(t, storage)} {
			if l.Len() != 0 || len(l.Entries()) != 0 || l.Covers(BySubject, "82wtl6z03cep", "", now) {
				t.Errorf("%s: %d entries", name, l.Len())
			}
		}
		time.Sleep(30 * time.Hour)
		if one.Any() || storage.count() != 0 {
			t.Errorf("a day later there is still something, with %d objects", storage.count())
		}
	})
}

func TestWhatIsAddedAfterwardsCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		old := aRevocation(time.Now())
		mustAdd(t, l, old)
		time.Sleep(time.Minute)
		remove := func(kind EntryKind, subject string) {
			t.Helper()
			if err := l.Remove(t.Context(), kind, subject, ""); err != nil {
				t.Fatal(err)
			}
		}
		remove(BySubject, old.Subject)
		// "Until now", in the same millisecond.
		mustAdd(t, l, aRevocation(time.Now()))
		if !l.Covers(BySubject, old.Subject, "", time.Now()) || l.Len() != 1 {
			t.Error("a revocation in the same millisecond does not count")
		}
		remove(BySubject, old.Subject)
		// The webhook comes again, or was made before it was taken back.
		time.Sleep(time.Minute)
		for _, before := range []time.Duration{61 * time.Second, 2 * time.Minute} {
			if err := l.Add(t.Context(), aRevocation(time.Now().Add(-before))); !errors.Is(err, ErrTakenBack) || l.Len() != 0 {
				t.Errorf("%d entries, %v", l.Len(), err)
			}
		}
		mustAdd(t, l, aRevocation(time.Now().Add(-30*time.Second)))
		time.Sleep(time.Second)
		for name, l := range map[string]*testList{"here": l, "after a restart": startList(t, storage)} {
			if !l.Covers(BySubject, old.Subject, "", time.Now().Add(-time.Minute)) || l.Covers(BySubject, old.Subject, "", time.Now()) {
				t.Errorf("%s: the newer one is not what counts", name)
			}
		}
	})
}

// What a replica whose clock is ahead has added is taken back; and an entry may
// say that it is about all that ever was.
func TestEntriesOfOtherTimesAreTakenBackOrAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startList(t, newStore())
		ahead := aRevocation(time.Now().Add(time.Minute))
		mustAdd(t, l, ahead)
		if err := l.Remove(t.Context(), ahead.Kind, ahead.Subject, ""); err != nil || l.Covers(ahead.Kind, ahead.Subject, "", time.Now()) {
			t.Errorf("of a clock that is ahead: %v", err)
		}
		mustAdd(t, l, Entry{Kind: ByToken, Subject: "jti-1", NotBefore: time.UnixMilli(0), Expires: inAWeek()})
		if !l.Covers(ByToken, "jti-1", "", time.UnixMilli(0)) {
			t.Error("of 1970: it does not count")
		}
	})
}

// Who signs out after an administrator has brought the session back is out.
func TestASessionIsEndedBroughtBackAndEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		s, end := testSession(time.Now()), inAWeek()
		time.Sleep(time.Minute)
		for round := range 3 {
			for range 3 { // the second and third say nothing new
				mustAdd(t, l, EndSession(s, time.Time{}, end))
			}
			if !l.Ended(s) || !l.Listed(s) || !startList(t, storage).Ended(s) {
				t.Fatalf("round %d: the sign-out does not count", round)
			}
			if err := l.Remove(t.Context(), BySession, s.ID, ""); err != nil {
				t.Fatal(err)
			}
			if l.Ended(s) || l.Listed(s) || startList(t, storage).Ended(s) {
				t.Fatalf("round %d: it is not brought back", round)
			}
			if want := 2 * (round + 1); storage.count() != want {
				t.Errorf("round %d: %d objects, want %d", round, storage.count(), want)
			}
			time.Sleep(time.Minute)
		}
	})
}

// Taking a person's entry back brings nobody back who has signed out.
func TestWhatManySignOutsBecameIsNotTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startList(t, newStore())
		var sessions []*Session
		for range 2 * maxPerOwner {
			s := testSession(time.Now())
			sessions = append(sessions, s)
			mustAdd(t, l, EndSession(s, time.Time{}, inAWeek()))
			time.Sleep(time.Second)
		}
		mustAdd(t, l, aRevocation(time.Now()))
		if err := l.Remove(t.Context(), BySubject, sessions[0].Subject, ""); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []EntryKind{BySessionsOf, BySubject} {
			if err := l.Remove(t.Context(), kind, sessions[0].Subject, ""); !errors.Is(err, ErrNotListed) {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if err := l.Remove(t.Context(), BySession, sessions[0].ID, ""); !errors.Is(err, ErrNotListed) {
			t.Errorf("one of them: %v", err)
		}
		for i, s := range sessions {
			if !l.Ended(s) {
				t.Errorf("session %d lives again", i)
			}
		}
		if l.Covers(BySubject, sessions[0].Subject, "", time.Now().Add(-time.Hour)) {
			t.Error("the person's tokens are still refused")
		}
		for _, object := range []string{
			`{"format":1,"kind":"sessions","subject":"x","not_before":5,"expires":9999999999999,"void":true}`,
			`{"format":1,"kind":"everything","subject":"x","not_before":5,"expires":9999999999999}`,
		} {
			if e, err := decodeEntry([]byte(object)); err == nil {
				t.Errorf("%s is %+v", object, e)
			}
		}
	})
}

func TestTakingBackIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		e := aRevocation(time.Now())
		mustAdd(t, l, e)
		storage.set(func() { storage.err = errors.New("read-only file system") })
		if err := l.Remove(t.Context(), e.Kind, e.Subject, ""); err == nil || l.Len() != 0 {
			t.Errorf("%d entries, %v", l.Len(), err)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		mustAddLater := Entry{Kind: ByToken, Subject: "jti-1", NotBefore: time.Now(), Expires: inAWeek()}
		if err := l.Add(over, mustAddLater); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		storage.set(func() { storage.err = nil })
		time.Sleep(time.Minute)
		if again := startList(t, storage); again.Len() != 1 || len(again.Entries()) != 1 {
			t.Errorf("%d entries after a restart", again.Len())
		}
		if got := l.reported(); !slices.Equal(got, []Event{WriteFailed, WriteRecovered}) && !slices.Contains(got, ReadFailed) {
			t.Errorf("reported is %q", got)
		}
	})
}

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startList(t, newStore())
		check := func(want map[EntryKind]int) {
			t.Helper()
			got, sum := l.Counts(), 0
			for _, kind := range kinds {
				if n, ok := got[kind]; !ok || n != want[kind] {
					t.Errorf("%d entries of %s, want %d", n, kind, want[kind])
				}
				sum += want[kind]
			}
			if len(got) != len(kinds) || l.Len() != sum {
				t.Errorf("%d kinds, %d entries", len(got), l.Len())
			}
		}
		if check(nil); l.Any() {
			t.Error("there is something")
		}
		now := time.Now()
		mustAdd(t, l, aRevocation(now))
		mustAdd(t, l, aRevocation(now.Add(-time.Hour)))
		expires := now.Add(time.Hour + time.Second/2) // the storage is read at whole seconds
		for range maxPerOwner + 3 {
			mustAdd(t, l, EndSession(testSession(time.Now()), time.Time{}, expires))
			time.Sleep(time.Second)
		}
		check(map[EntryKind]int{BySubject: 1, BySession: maxPerOwner, BySessionsOf: 1})
		if err := l.Remove(t.Context(), BySubject, aRevocation(now).Subject, ""); err != nil {
			t.Error(err)
		}
		if check(map[EntryKind]int{BySession: maxPerOwner, BySessionsOf: 1}); !l.Any() {
			t.Error("there is nothing")
		}
		// What has expired counts no more, also before the list forgets it.
		time.Sleep(time.Until(expires))
		if check(nil); l.marks.count.Load() == 1 {
			t.Error("it has been forgotten already")
		}
		time.Sleep(time.Hour)
		check(nil)
		time.Sleep(23 * time.Hour)
		if check(nil); l.Any() {
			t.Error("something is left")
		}
	})
}

// A token says when it was issued in whole seconds, rounded down, so an entry of
// the same second refuses it even if it is younger.
func TestATokenOfTheSameSecondIsRefused(t *testing.T) {
	l := newTestList(t, nil)
	at := time.Unix(1795191120, 0)
	l.Now = func() time.Time { return at.Add(time.Minute) }
	insertEach(t, l.List, []Entry{{Kind: BySubject, Subject: "user-1", NotBefore: at.Add(500 * time.Millisecond), Expires: at.Add(time.Hour)}})
	for _, test := range []struct {
		iat  int64
		over bool
	}{
		{at.Unix() - 1, true},
		{at.Unix(), true}, // it may have been issued before the entry or after it
		{at.Unix() + 1, false},
	} {
		if got := l.Covers(BySubject, "user-1", "", time.Unix(test.iat, 0)); got != test.over {
			t.Errorf("a token of %d is over: %v", test.iat, got)
		}
	}
	for _, test := range []struct {
		began time.Duration
		over  bool
	}{{499 * time.Millisecond, true}, {500 * time.Millisecond, true}, {501 * time.Millisecond, false}} {
		if got := l.Covers(BySubject, "user-1", "", at.Add(test.began)); got != test.over {
			t.Errorf("what began %s later is over: %v", test.began, got)
		}
	}
}
