package session

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// world is what a list is asked about in tests of properties: a few people,
// their sessions, tokens of any age.
type world struct {
	*rand.Rand
	now      time.Time
	sessions []*Session
}

const (
	people     = 2
	someTokens = 12
)

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 14)), now: testTime}
	for i := range people * 60 {
		s := testSession(w.now.Add(-time.Duration(w.IntN(90)) * time.Second))
		s.ID, s.Subject, s.LogtoSession = fmt.Sprint("session-", i), fmt.Sprint("user-", i%people), fmt.Sprint("sid-", i%people, w.IntN(20))
		w.sessions = append(w.sessions, s)
	}
	return w
}

// entry is one that the product makes: what is about one session lasts as long
// as that would, and one that begins later lasts longer.
func (w *world) entry() Entry {
	s := w.sessions[w.IntN(len(w.sessions))]
	life := time.Duration(1+w.IntN(3)) * time.Hour
	e := Entry{NotBefore: w.now.Add(-time.Duration(w.IntN(100)) * time.Second), Expires: w.now.Add(life)}
	switch w.IntN(12) {
	default:
		var from time.Time
		if w.IntN(4) == 0 {
			from = w.now.Add(time.Minute)
		}
		return EndSession(s, from, s.SignedIn.Add(life))
	case 0:
		e.Kind, e.Subject, e.Owner, e.Expires = ByLogtoSession, s.LogtoSession, s.Subject, e.NotBefore.Add(2*time.Hour)
	case 1:
		e.Kind, e.Subject = BySubject, s.Subject
	case 2:
		e.Kind, e.Subject, e.Organization = ByMember, s.Subject, fmt.Sprint("org-", w.IntN(2))
	case 3:
		e.Kind, e.Subject = ByToken, fmt.Sprint("jti-", w.IntN(2))
	case 4:
		e.Kind, e.Subject, e.NotBefore = BySessionsOf, s.Subject, s.SignedIn.Add(-time.Minute)
	case 5: // as it is after one was taken back
		e = EndSession(s, time.Time{}, s.SignedIn.Add(4*time.Hour))
		e.NotBefore = s.SignedIn.Add(time.Duration(w.IntN(60)) * time.Second)
	}
	return e
}

// void takes back what there may be.
func (w *world) void() Entry {
	for {
		if e := w.entry(); e.Kind != BySessionsOf {
			e.void, e.Owner, e.From = true, "", time.Time{}
			e.NotBefore, e.Expires = w.now.Add(-time.Duration(w.IntN(100))*time.Second), w.now.Add(3*time.Hour)
			return e
		}
	}
}

// over is all that is over at some times, of all that can be asked.
func (w *world) over(l *List) (over []bool) {
	now := l.Now
	defer func() { l.Now = now }()
	for _, later := range []time.Duration{0, time.Minute, 65 * time.Minute, 119 * time.Minute, 170 * time.Minute} {
		at := now().Add(later)
		l.Now = func() time.Time { return at }
		for _, s := range w.sessions {
			over = append(over, l.Ended(s), l.Listed(s))
		}
		for age := range someTokens {
			iat := w.now.Add(-time.Duration(age*10) * time.Second)
			for i := range 2 {
				user := fmt.Sprint("user-", i)
				over = append(over, l.Covers(BySubject, user, "", iat), l.Covers(ByToken, fmt.Sprint("jti-", i), "", iat),
					l.Covers(ByMember, user, "org-0", iat), l.Covers(ByMember, user, "org-1", iat))
			}
		}
	}
	return over
}

// Replicas read the same objects in any order, and agree.
func TestTheOrderOfObjectsDoesNotMatter(t *testing.T) {
	for seed := range uint64(40) {
		w := newWorld(seed)
		var objects []Entry
		for range 20 + w.IntN(150) {
			objects = append(objects, w.entry())
		}
		for range w.IntN(20) {
			objects = append(objects, w.void())
		}
		objects = append(objects, objects[:10]...) // some twice
		var (
			first   []bool
			entries map[EntryKind]int
		)
		for order := range 4 {
			l := newTestList(t, nil)
			l.Now = func() time.Time { return w.now }
			insertEach(t, l.List, objects)
			over := w.over(l.List)
			if order == 0 {
				first, entries = over, l.Counts()
			}
			if !slices.Equal(over, first) || fmt.Sprint(l.Counts()) != fmt.Sprint(entries) {
				t.Fatalf("seed %d: order %d gives another list: %v, not %v", seed, order, l.Counts(), entries)
			}
			checkOwners(t, l.List)
			w.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		}
	}
}

func checkOwners(t *testing.T, l *List) {
	t.Helper()
	for _, o := range l.owners {
		if len(o.entries) > maxPerOwner || len(o.superfluous) > maxSuperfluous {
			t.Fatalf("%d entries of one owner, %d superfluous objects", len(o.entries), len(o.superfluous))
		}
	}
}

// Revoking more never admits more, whatever was revoked, taken back, or has
// expired before.
func TestRevokingMoreNeverAdmitsMore(t *testing.T) {
	var folds, refused int
	for seed := range uint64(10) {
		w := newWorld(seed)
		l := newTestList(t, nil)
		l.Now = func() time.Time { return w.now }
		for range 150 {
			switch w.IntN(10) {
			case 0:
				insertEach(t, l.List, []Entry{w.void()})
			case 1:
				w.now = w.now.Add(time.Duration(w.IntN(120)) * time.Second)
			case 2:
				l.marks.sweep(w.now)
			}
			before := w.over(l.List)
			e := w.entry()
			l.mu.Lock()
			raised, err := l.raise(e)
			if err == nil {
				if _, known := l.known(raised); !known {
					_, err = l.enter(raised)
				}
			} else {
				refused++
			}
			l.mu.Unlock()
			if err != nil && !errors.Is(err, ErrTakenBack) {
				t.Fatal(err)
			}
			for i, over := range w.over(l.List) {
				if before[i] && !over {
					t.Fatalf("seed %d: adding %+v admits what was over (%d)", seed, e, i)
				}
			}
			if err == nil && e.Expires.After(w.now) && e.Kind == BySession && !l.Listed(w.sessionOf(e)) {
				t.Fatalf("seed %d: %+v does not count", seed, e)
			}
		}
		checkOwners(t, l.List)
		folds += l.Counts()[BySessionsOf]
	}
	if folds == 0 || refused == 0 {
		t.Errorf("%d folds, %d refused: this proves little", folds, refused)
	}
}

func (w *world) sessionOf(e Entry) *Session {
	return w.sessions[slices.IndexFunc(w.sessions, func(s *Session) bool { return s.ID == e.Subject })]
}
