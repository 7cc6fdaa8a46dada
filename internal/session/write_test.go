package session

import (
	"testing"
	"time"
)

func TestWhoMayWriteTheCookie(t *testing.T) {
	sound := Write{Came: testTime, Now: testTime.Add(time.Second), Status: 200, Base: testTime, Newest: testTime}
	for name, test := range map[string]struct {
		change func(*Write)
		want   bool
	}{
		"a page":                     {func(*Write) {}, true},
		"an error page":              {func(w *Write) { w.Status = 503 }, true},
		"a redirect":                 {func(w *Write) { w.Status = 303 }, true},
		"early hints":                {func(w *Write) { w.Status = 103 }, false},
		"a protocol switch":          {func(w *Write) { w.Status = 101 }, false},
		"the first one":              {func(w *Write) { w.Newest = time.Time{} }, true},
		"an older one":               {func(w *Write) { w.Newest = testTime.Add(time.Millisecond) }, false},
		"after ten seconds":          {func(w *Write) { w.Now = testTime.Add(10 * time.Second) }, true},
		"after more":                 {func(w *Write) { w.Now = testTime.Add(10*time.Second + time.Nanosecond) }, false},
		"of a session that is ended": {func(w *Write) { w.Listed = true }, false},
	} {
		write := sound
		test.change(&write)
		if write.Allowed() != test.want {
			t.Errorf("%s: %v", name, write.Allowed())
		}
	}
}

func TestAnOlderCookieIsNotWrittenOverANewerOne(t *testing.T) {
	r := testRefresher(t, nil)
	s := testSession(r.Now())
	older, newer := s.Renewed(s.SealedAt.Add(time.Second)), s.Renewed(s.SealedAt.Add(2*time.Second))
	for _, step := range []struct {
		name string
		s    *Session
		want bool
	}{
		{"a newer one", newer, true},
		{"an older one afterwards", older, false},
		{"the same again", newer, true},
		{"another session's", testSession(s.SealedAt), true},
	} {
		if got := r.MayWrite(step.s, step.s.SealedAt, r.Now(), 200, false); got != step.want {
			t.Errorf("%s: %v", step.name, got)
		}
	}
	if r.MayWrite(newer, newer.SealedAt, r.Now(), 200, true) || r.MayWrite(newer, newer.SealedAt, r.Now().Add(-time.Minute), 200, false) {
		t.Error("it may be written for an ended session, or late")
	}
}
