package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
)

// inForce is how soon an entry counts at other replicas that read every two
// seconds.
const inForce = 3 * time.Second

// replica is a list of one process, with a clock that may be wrong.
func replica(t *testing.T, storage Storage, skew time.Duration) *testList {
	t.Helper()
	l := newTestList(t, storage)
	l.Interval = func() time.Duration { return 2 * time.Second }
	l.Now = func() time.Time { return time.Now().Add(skew) }
	l.begin(t)
	if err := l.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTwoReplicasOnOneFileStorage(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Minute, -time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storage := &certmagic.FileStorage{Path: t.TempDir()}
				one, other := replica(t, storage, 0), replica(t, storage, skew)
				// Each second around a full hour, at both clocks: directories change.
				time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour - 70*time.Second)))
				for i := range 20 {
					for _, pair := range [][2]*testList{{one, other}, {other, one}} {
						writer, reader := pair[0], pair[1]
						s := testSession(writer.Now())
						s.Subject = s.ID
						mustAdd(t, writer, EndSession(s, time.Time{}, writer.Now().Add(24*time.Hour)))
						mustAdd(t, writer, Entry{Kind: BySubject, Subject: "x" + s.ID, NotBefore: writer.Now(), Expires: writer.Now().Add(24 * time.Hour)})
						time.Sleep(inForce)
						if !reader.Ended(s) || !reader.Covers(BySubject, "x"+s.ID, "", s.SignedIn) {
							t.Fatalf("round %d: it does not count at the other replica after %s", i, inForce)
						}
						if err := reader.Remove(t.Context(), BySubject, "x"+s.ID, ""); err != nil {
							t.Fatal(err)
						}
						time.Sleep(inForce)
						if writer.Covers(BySubject, "x"+s.ID, "", s.SignedIn) {
							t.Fatalf("round %d: what was taken back counts at the other replica after %s", i, inForce)
						}
					}
				}
				for _, l := range []*testList{one, other} {
					if got := l.reported(); len(got) != 0 || l.Len() != 40 {
						t.Errorf("%d entries, reported is %q", l.Len(), got)
					}
				}
			})
		})
	}
}

// What somebody else has put into the folder hides no entry.
func TestGarbageInTheFileStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		storage := &certmagic.FileStorage{Path: dir}
		one, other := replica(t, storage, 0), replica(t, storage, 0)
		hourly := filepath.Join(dir, filepath.FromSlash(testPrefix), hourOf(time.Now()))
		if err := os.MkdirAll(filepath.Join(hourly, "00000000000000000000000000000003"), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"00000000000000000000000000000001": "\x00\xff",
			"00000000000000000000000000000002": "",
			"0123456789":                       "a temporary file that was left",
			".DS_Store":                        "x",
			"../readme":                        "x",
		} {
			if err := os.WriteFile(filepath.Join(hourly, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := testSession(time.Now())
		mustAdd(t, one, EndSession(s, time.Time{}, inAWeek()))
		time.Sleep(inForce)
		if !other.Ended(s) || other.Len() != 1 {
			t.Errorf("%d entries beside garbage", other.Len())
		}
		time.Sleep(time.Hour)
		// A directory with an entry's name is one that cannot be read yet.
		if got := other.reported(); !slices.Equal(got, []Event{EntryUnreadable, EntryUnreadable, ReadFailed}) {
			t.Errorf("reported is %q", got)
		}
	})
}

// readOnly is a storage that can be read. A folder without write permission
// would not do: root writes to it.
type readOnly struct {
	Storage
	off atomic.Bool
}

func (r *readOnly) Store(ctx context.Context, key string, value []byte) error {
	if r.off.Load() {
		return r.Storage.Store(ctx, key, value)
	}
	return errors.New("read-only file system")
}

func TestAReadOnlyStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := &certmagic.FileStorage{Path: t.TempDir()}
		storage := &readOnly{Storage: files}
		one, other := replica(t, storage, 0), replica(t, files, 0)
		mine, theirs := testSession(time.Now()), testSession(time.Now())
		if err := one.Add(t.Context(), EndSession(mine, time.Time{}, inAWeek())); err == nil || !one.Ended(mine) {
			t.Errorf("it counts here: %v, %v", one.Ended(mine), err)
		}
		mustAdd(t, other, EndSession(theirs, time.Time{}, inAWeek()))
		time.Sleep(inForce)
		if !one.Ended(theirs) || other.Ended(mine) {
			t.Errorf("read: %v, written: %v", one.Ended(theirs), other.Ended(mine))
		}
		storage.off.Store(true)
		time.Sleep(2 * inForce)
		if !other.Ended(mine) {
			t.Error("it is not written when it can be")
		}
		if got := one.reported(); !slices.Equal(got, []Event{WriteFailed, WriteRecovered}) {
			t.Errorf("reported is %q", got)
		}
	})
}

// A reload that makes the interval shorter counts at once, not after the longer
// one.
func TestAShorterInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage := newStore()
		one, other := startList(t, storage), newTestList(t, storage)
		var interval atomic.Int64
		interval.Store(int64(time.Hour))
		other.Interval = func() time.Duration { return time.Duration(interval.Load()) }
		other.begin(t)
		synctest.Wait()
		for round := range 3 {
			s := testSession(time.Now())
			mustAdd(t, one, EndSession(s, time.Time{}, inAWeek()))
			interval.Store(int64(2 * time.Second))
			if round == 0 {
				time.Sleep(inForce)
				if other.Ended(s) {
					t.Error("the storage is read although an hour has not passed")
				}
				for range 5 { // none of them waits
					other.Hurry()
				}
			}
			time.Sleep(inForce)
			if !other.Ended(s) {
				t.Errorf("round %d: it is not read", round)
			}
		}
	})
}
