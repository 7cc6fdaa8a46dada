package session

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever has no refresh token is out when the last token has expired, also if
// that one is in memory only.
func TestWhenASessionEndsWithItsToken(t *testing.T) {
	r := testRefresher(t, nil)
	now := time.Unix(1_800_000_000, 0)
	cookie := func(change func(*Session)) *Session {
		s := New("alice", now)
		s.Token = testToken(now, "t")
		change(s)
		return s
	}
	remembered := func(life time.Duration, change func(*Session)) *Session {
		s := cookie(change)
		r.Remember(s, Target{Resource: "other"}, Token{Value: "o", IssuedAt: now.Unix(), ExpiresAt: now.Add(life).Unix()})
		return s
	}
	nothing := func(*Session) {}
	for name, test := range map[string]struct {
		cookie *Session
		want   time.Duration // 0 for never, as far as is known
	}{
		"with a refresh token":            {cookie(func(s *Session) { s.RefreshToken = "r" }), 0},
		"with one, and another token":     {remembered(time.Hour, func(s *Session) { s.RefreshToken = "r" }), 0},
		"the token of its cookie":         {cookie(nothing), time.Hour},
		"a longer one in memory":          {remembered(2*time.Hour, nothing), 2 * time.Hour},
		"a shorter one in memory":         {remembered(time.Minute, nothing), time.Hour},
		"one that did not fit the cookie": {remembered(time.Minute, func(s *Session) { s.Token = Token{} }), time.Minute},
		"no token at all":                 {cookie(func(s *Session) { s.Token = Token{} }), 0},
	} {
		end, ok := r.EndsWithToken(test.cookie)
		if ok != (test.want != 0) || ok && !end.Equal(now.Add(test.want)) {
			t.Errorf("%s: %s, %v", name, end, ok)
		}
	}
}

// A person was asked about, refused, and let into the organization; another
// process has got the token.
func TestAFreshTokenServesWhateverTheTenantSaidBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := fails(&TokenError{Kind: NotMember})
		r := testRefresher(t, e)
		s, theirs := aged(0), Target{Organization: "theirs"}
		if _, err := r.Access(t.Context(), s, theirs); kindOf(t, err) != NotMember {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		other := s.Renewed(time.Now())
		other.Target, other.Token = theirs, testToken(time.Now(), "theirs")
		if got, err := r.Access(t.Context(), other, theirs); err != nil || got.Token != other.Token || e.count() != 1 {
			t.Errorf("%+v, %v after %d requests", got, err, e.count())
		}
	})
}

func TestTheTokenThatLivesLongestServes(t *testing.T) {
	r := testRefresher(t, nil)
	s, now := aged(time.Minute), time.Now().Unix()
	r.Remember(s, s.Target, Token{Value: "shorter", IssuedAt: now, ExpiresAt: now + 600})
	if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.Token != s.Token {
		t.Errorf("%+v, %v", got, err)
	}
}

// A failure with the refresh token that there was makes no new state.
func TestAFailureThatRotatesNothingIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := aged(past80)
		r := testRefresher(t, rotates(Grant{RefreshToken: s.RefreshToken}, errors.New("bad signature")))
		if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.IsNewer || got.Session != s {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
