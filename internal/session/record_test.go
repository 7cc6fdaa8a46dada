package session

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Whichever state came last, from whatever clock, a refreshed one is newer.
func TestARefreshedSessionIsTheNewest(t *testing.T) {
	sent := testSession(testTime)
	for name, known := range map[string]*record{
		"nothing is known":              nil,
		"this process has written one":  {written: testTime.Add(time.Hour)},
		"this process has refreshed it": {newest: sent.Renewed(testTime.Add(time.Hour))},
	} {
		grant := Grant{Token: testToken(testTime, "new")}
		changed := known.clone()
		if known == nil || known.tokens == nil {
			changed.tokens, changed.refusals = map[Target]Token{}, map[Target]refusal{}
		}
		got := changed.withGrant(sent, sent.Target, grant, testTime)
		if !got.newest.SealedAt.After(sent.SealedAt) || !got.newest.SealedAt.After(got.written) || known != nil && !got.newest.SealedAt.After(newestSeal(known.newest)) {
			t.Errorf("%s: it is sealed at %s", name, got.newest.SealedAt)
		}
		if got.newest.RefreshToken != sent.RefreshToken || got.replaced != "" {
			t.Errorf("%s: the refresh token has changed", name)
		}
		if got.newer(sent) != got.newest {
			t.Errorf("%s: the cookie is taken for newer", name)
		}
		if later := sent.Renewed(testTime.Add(2 * time.Hour)); got.newer(later) != later {
			t.Errorf("%s: a cookie that is newer is taken for older", name)
		}
	}
}

func TestHowLongARecordIsKept(t *testing.T) {
	s := testSession(testTime)
	for name, test := range map[string]struct {
		known *record
		want  time.Duration
	}{
		"a token":                 {(*record)(nil).withToken(s.Target, testToken(testTime, "t")), time.Hour},
		"a written cookie":        {&record{written: testTime}, writeWindow},
		"a refresh":               {&record{newest: s}, writeWindow},
		"a rotated refresh token": {&record{newest: s, replaced: "r"}, replacedKept},
		"a failure":               {(*record)(nil).withFailure(s.Target, &TokenError{Kind: Unavailable}, testTime), pauseAfterFailure},
		"a longer pause":          {(*record)(nil).withFailure(s.Target, &TokenError{Kind: Unavailable, RetryAfter: 30 * time.Second}, testTime), 30 * time.Second},
		"a very long pause":       {(*record)(nil).withFailure(s.Target, &TokenError{Kind: Unavailable, RetryAfter: time.Hour}, testTime), time.Minute},
		"a refusal":               {(*record)(nil).withFailure(s.Target, &TokenError{Kind: NotMember}, testTime), refusalKept},
		"an end":                  {(*record)(nil).withFailure(s.Target, &TokenError{Kind: Refused}, testTime), overKept},
	} {
		if got := test.known.expires().Sub(testTime).Round(time.Second); got != test.want {
			t.Errorf("%s is kept for %s", name, got)
		}
	}
}

// While the tenant is not to be reached for any reason, the old token serves.
func TestTheOldTokenServesThroughTrouble(t *testing.T) {
	for _, kind := range []Kind{Unavailable, Busy, WrongClient} {
		synctest.Test(t, func(t *testing.T) {
			r := testRefresher(t, fails(&TokenError{Kind: kind}))
			s := aged(past80)
			if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.Token.Value != "old" {
				t.Errorf("%s: %+v, %v", kind, got, err)
			}
		})
	}
}

// What waits in the queue learns from the one before it.
func TestAFailureHoldsForTheQueue(t *testing.T) {
	for _, kind := range []Kind{Unavailable, Refused} {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) {
				time.Sleep(time.Second)
				return Grant{}, &TokenError{Kind: kind}
			}}
			r := testRefresher(t, e)
			s := aged(expired)
			for _, organization := range []string{"org-1", "org-2", "org-3"} {
				go func() {
					if _, err := r.Access(t.Context(), s, Target{Organization: organization}); kindOf(t, err) != kind {
						t.Errorf("%s: %v", organization, err)
					}
				}()
			}
			time.Sleep(10 * time.Second)
			if e.count() != 1 {
				t.Errorf("%s: %d requests", kind, e.count())
			}
		})
	}
}

// A cookie that is written while a refresh is under way is not forgotten.
func TestWhatHappensDuringARefreshIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRefresher(t, grants(3*time.Second))
		s := aged(expired)
		go func() { _, _ = r.Access(t.Context(), s, s.Target) }()
		time.Sleep(time.Second)
		written := s.Renewed(time.Now().Add(time.Minute))
		if !r.MayWrite(written, written.SealedAt, time.Now(), 200, false) {
			t.Error("it may not be written")
		}
		time.Sleep(3 * time.Second)
		if r.MayWrite(s, s.SealedAt, time.Now(), 200, false) || !r.Newest(s).SealedAt.After(written.SealedAt) {
			t.Error("what was written is forgotten")
		}
	})
}

func TestATokenThatHasExpiredOnArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRefresher(t, &endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) {
			return Grant{Subject: "82wtl6z03cep", Token: testToken(time.Now().Add(-2*time.Hour), "t")}, nil
		}})
		s := aged(expired)
		if got, err := r.Access(t.Context(), s, s.Target); kindOf(t, err) != Unavailable || !strings.Contains(err.Error(), "expired already") {
			t.Errorf("%+v, %v", got, err)
		}
		r.Endpoint = &endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) { return Grant{Subject: "82wtl6z03cep"}, nil }}
		other := aged(expired)
		if got, err := r.Access(t.Context(), other, other.Target); kindOf(t, err) != Unavailable || !strings.Contains(err.Error(), "no token") {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// Requests read a record while another takes its place.
func TestARecordIsNeverChanged(t *testing.T) {
	target, other := Target{Organization: "org-1"}, Target{Organization: "org-2"}
	before := (*record)(nil).withToken(target, testToken(testTime, "t")).withFailure(other, &TokenError{Kind: NotMember}, testTime)
	before.withToken(other, testToken(testTime, "u"))
	before.withFailure(target, &TokenError{Kind: NotMember}, testTime)
	if len(before.tokens) != 1 || len(before.refusals) != 1 || before.refused(other, testTime) == nil {
		t.Errorf("it is now %+v", before)
	}
	if after := before.withToken(other, testToken(testTime, "u")); after.refused(other, testTime) != nil {
		t.Error("what was refused, and then given, is refused")
	}
}

// What takes the place of its own older one pushes nothing else out.
func TestAFullRecordKeepsTheOthers(t *testing.T) {
	var known *record
	target := func(i int) Target { return Target{Organization: fmt.Sprint("org-", i)} }
	for range 2 {
		for i := range maxTokens {
			known = known.withToken(target(i), testToken(testTime, "t")).withFailure(target(maxTokens+i), &TokenError{Kind: NotMember}, testTime)
		}
		if len(known.tokens) != maxTokens || len(known.refusals) != maxTokens {
			t.Errorf("%d tokens, %d refusals", len(known.tokens), len(known.refusals))
		}
	}
	for range 20 { // in any order
		if got := firstToGo(map[Target]int64{target(3): 3, target(0): 0, target(2): 2}, func(end int64) int64 { return end }); got != target(0) {
			t.Errorf("%+v goes first", got)
		}
	}
}

// A tenant that repeats the refresh token has not replaced it.
func TestARepeatedRefreshTokenIsNotReplaced(t *testing.T) {
	sent := testSession(testTime)
	grant := Grant{Token: testToken(testTime, "new"), RefreshToken: sent.RefreshToken}
	if got := (*record)(nil).withGrant(sent, sent.Target, grant, testTime); got.replaced != "" || got.newest.RefreshToken != sent.RefreshToken {
		t.Errorf("%q is replaced by %q", got.replaced, got.newest.RefreshToken)
	}
}

// What is known of sessions is bounded in octets: a record is counted with all
// that it keeps alive.
func TestWhatARecordKeepsIsCounted(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	known := &record{
		replaced: text(2001), newest: &Session{Subject: text(2002)},
		tokens:   map[Target]Token{{Resource: text(2003), Organization: text(2004)}: {Value: text(2005)}},
		refusals: map[Target]refusal{{Resource: text(2006), Organization: text(2007)}: {}},
	}
	const texts = 7*2000 + 28
	if got := known.size(); got < texts || got > texts+2000 {
		t.Errorf("%d octets are counted for texts of %d", got, texts)
	}
	r, s := testRefresher(t, nil), testSession(time.Now())
	r.Remember(s, s.Target, s.Token)
	if _, got := r.known.Size(); got != r.record(s.ID).size()+len(s.ID) {
		t.Errorf("%d octets are counted", got)
	}
}
