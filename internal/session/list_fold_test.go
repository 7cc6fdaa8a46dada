package session

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// foldedList is a list with one entry more of a person than are kept.
func foldedList(t *testing.T, storage Storage, end time.Time) (l *testList, sessions []*Session) {
	t.Helper()
	l = startList(t, storage)
	for range maxPerOwner + 1 {
		time.Sleep(time.Minute)
		sessions = append(sessions, testSession(time.Now()))
	}
	for _, s := range sessions {
		_ = l.Add(t.Context(), EndSession(s, time.Time{}, end))
	}
	return l, sessions
}

// What ends an old session for longer makes the one for all last longer, for
// other processes too.
func TestWhatManyBecameLastsAsLongAsItsLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, end := newStore(), inAWeek()
		l, sessions := foldedList(t, storage, end)
		mustAdd(t, l, EndSession(sessions[0], time.Time{}, end.Add(time.Hour)))
		l.stop()
		time.Sleep(time.Until(end))
		if !l.Ended(sessions[0]) || !startList(t, storage).Ended(sessions[0]) {
			t.Error("it lives again")
		}
	})
}

// An entry that needs not be written, since another says all of it, is stored
// when that is.
func TestWhoIsPartOfManyLearnsWhetherTheyAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elsewhere, end := testSession(time.Now()), inAWeek()
		l, _ := foldedList(t, &readOnly{Storage: newStore()}, end)
		if err := l.Add(t.Context(), EndSession(elsewhere, time.Time{}, end.Add(-time.Hour))); err == nil || !l.Ended(elsewhere) {
			t.Errorf("ended: %v, %v", l.Ended(elsewhere), err)
		}
	})
}

// Each entry goes with its own object: that of a later logout of the same session
// at Logto stays.
func TestTheObjectOfALaterLogoutStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		l := startList(t, storage)
		first := time.Now()
		time.Sleep(time.Minute)
		between := testSession(time.Now())
		logout := Entry{Kind: ByLogtoSession, Subject: between.LogtoSession, Owner: between.Subject, NotBefore: first, Expires: inAWeek()}
		mustAdd(t, l, logout)
		logout.NotBefore = time.Now().Add(time.Minute)
		mustAdd(t, l, logout)
		time.Sleep(time.Hour)
		for range maxPerOwner - 1 {
			s := testSession(time.Now())
			s.LogtoSession = ""
			mustAdd(t, l, EndSession(s, time.Time{}, inAWeek()))
			time.Sleep(time.Second)
		}
		if l.Counts()[BySessionsOf] != 1 || !startList(t, storage).Ended(between) {
			t.Errorf("%v: it lives again after a restart", l.Counts())
		}
	})
}

// Only live entries make many.
func TestExpiredEntriesAreNotCountedAmongMany(t *testing.T) {
	now := testTime
	l := newTestList(t, nil)
	l.Now = func() time.Time { return now }
	for range maxPerOwner {
		insertEach(t, l.List, []Entry{EndSession(testSession(now), time.Time{}, now.Add(time.Minute))})
	}
	now = now.Add(2 * time.Minute)
	for range maxPerOwner {
		insertEach(t, l.List, []Entry{EndSession(testSession(now), time.Time{}, now.Add(time.Minute))})
	}
	insertEach(t, l.List, []Entry{EndSession(testSession(now.Add(-time.Hour)), time.Time{}, now)}) // as a restart reads it
	if l.Counts()[BySessionsOf] != 0 || len(l.reported()) != 0 {
		t.Errorf("%v, reported is %q", l.Counts(), l.reported())
	}
}

// What is folded again and again is told once.
func TestFoldingIsReportedOnce(t *testing.T) {
	now := testTime
	l := newTestList(t, nil)
	l.Now = func() time.Time { return now }
	for range 3 * maxPerOwner {
		now = now.Add(time.Second)
		insertEach(t, l.List, []Entry{EndSession(testSession(now), time.Time{}, now.Add(time.Hour))})
	}
	if got := l.reported(); !slices.Equal(got, []Event{EntriesFolded}) {
		t.Errorf("reported is %q", got)
	}
}

func TestAnEntryForManyIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		s := testSession(time.Now())
		mustAdd(t, startList(t, storage), Entry{Kind: BySessionsOf, Subject: s.Subject, NotBefore: time.Now(), Expires: inAWeek()})
		if !startList(t, storage).Ended(s) {
			t.Error("a restart does not know of it")
		}
	})
}

// The paths of what is superfluous are bounded, and none is empty: the storage
// would delete everything.
func TestSuperfluousObjectsAreBounded(t *testing.T) {
	o := &owner{}
	o.notNeeded("", "a", "")
	for i := range 2 * maxSuperfluous {
		o.notNeeded(fmt.Sprint(i))
	}
	if len(o.superfluous) != maxSuperfluous || slices.Contains(o.superfluous, "") {
		t.Errorf("%d: %q", len(o.superfluous), o.superfluous)
	}
}
