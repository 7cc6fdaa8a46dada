package session

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// Caddy's own storage: what it lists while others write, and what it deletes.
func TestWithFileStorage(t *testing.T) {
	dir := t.TempDir()
	storage := &certmagic.FileStorage{Path: dir}
	writer := startList(t, storage)
	const writers, each = 8, 20
	var (
		group    sync.WaitGroup
		mu       sync.Mutex
		sessions []*Session
	)
	for i := range writers {
		group.Go(func() {
			for j := range each {
				s := testSession(time.Now())
				s.Subject = fmt.Sprint(i, j)
				mu.Lock()
				sessions = append(sessions, s)
				mu.Unlock()
				if err := writer.Add(t.Context(), EndSession(s, time.Time{}, inAWeek())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// Each of these walks directories in which temporary files come and go.
	for range 10 {
		mu.Lock()
		before := len(sessions) - writers // those under way may come or not
		mu.Unlock()
		l := newTestList(t, storage)
		if err := l.read(t.Context(), true, time.Now()); err != nil || l.Len() < before {
			t.Errorf("%d of %d entries are read: %v", l.Len(), before, err)
		}
	}
	group.Wait()
	l := startList(t, storage)
	for _, s := range sessions {
		if !l.Ended(s) {
			t.Fatal("an entry is missed")
		}
	}
	if l.Len() != writers*each || len(l.reported()) != 0 {
		t.Errorf("%d entries, reported is %q", l.Len(), l.reported())
	}
	later := time.Now().Add(8 * 24 * time.Hour)
	l.Now = func() time.Time { return later }
	if err := l.read(t.Context(), true, later); err != nil || l.Len() != 0 {
		t.Errorf("%d entries after eight days: %v", l.Len(), err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, testPrefix)); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
