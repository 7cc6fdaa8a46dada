package session

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(time.Second)
		r := testRefresher(t, e)
		s := aged(time.Minute) // fresh, by its times
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				got, err := r.Replace(t.Context(), s, s.Target, s.Token)
				if err != nil || !strings.HasPrefix(got.Token.Value, "token 1 ") || !got.IsNewer || got.Session.Token != got.Token {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		group.Wait()
		first, err := r.Replace(t.Context(), s, s.Target, s.Token)
		if err != nil || !strings.HasPrefix(first.Token.Value, "token 1 ") || e.count() != 1 {
			t.Fatalf("who comes later gets %+v, %v after %d requests", first, err, e.count())
		}
		if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.Token != first.Token {
			t.Errorf("a request with the old cookie gets %+v, %v", got, err)
		}
		// The new one is refused as well.
		second, err := r.Replace(t.Context(), first.Session, s.Target, first.Token)
		if err != nil || !strings.HasPrefix(second.Token.Value, "token 2 ") || e.count() != 2 {
			t.Errorf("%+v, %v after %d requests", second, err, e.count())
		}
	})
}

// Whose refresh is under way does not matter, only what it brings.
func TestARefusedTokenIsReplacedByARefreshThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(time.Second)
		r := testRefresher(t, e)
		s := aged(past80)
		go func() { _, _ = r.Access(t.Context(), s, s.Target) }()
		synctest.Wait()
		got, err := r.Replace(t.Context(), s, s.Target, s.Token)
		if err != nil || !strings.HasPrefix(got.Token.Value, "token 1 ") || e.count() != 1 {
			t.Errorf("%+v, %v after %d requests", got, err, e.count())
		}
	})
}

// A tenant whose tokens live shorter now: the refused one, which would live
// longest, is still in the cookies of other tabs.
func TestWhatReplacesATokenMayLiveShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) {
			now := time.Now().Unix()
			return Grant{Subject: "82wtl6z03cep", Token: Token{Value: "short", IssuedAt: now, ExpiresAt: now + 600}}, nil
		}}
		r := testRefresher(t, e)
		s := aged(time.Minute)
		for range 3 {
			if got, err := r.Replace(t.Context(), s, s.Target, s.Token); err != nil || got.Token.Value != "short" || e.count() != 1 {
				t.Errorf("%+v, %v after %d requests", got, err, e.count())
			}
		}
	})
}

func TestARefusedTokenThatCannotBeReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		e        *endpoint
		change   func(*Session)
		want     Kind
		requests int
	}{
		"no refresh token":  {grants(0), func(s *Session) { s.RefreshToken = "" }, Expired, 0},
		"the tenant is off": {fails(errors.New("502")), func(*Session) {}, Unavailable, 1},
		"refused":           {fails(Failure(400, "invalid_grant", Target{})), func(*Session) {}, Refused, 1},
		"never asked for":   {fails(Failure(400, "invalid_target", Target{})), func(*Session) {}, NotAskedFor, 1},
		"the same token again": {&endpoint{answer: func(context.Context, RefreshRequest) (Grant, error) {
			return Grant{Subject: "82wtl6z03cep", Token: aged(time.Minute).Token}, nil
		}}, func(*Session) {}, Unavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := testRefresher(t, test.e)
				s := aged(time.Minute)
				test.change(s)
				// Another token of the session is alive.
				other := Target{Organization: "org-1"}
				r.Remember(s, other, testToken(time.Now(), "other"))
				if got, err := r.Replace(t.Context(), s, s.Target, s.Token); kindOf(t, err) != test.want || !got.Token.IsZero() || test.e.count() != test.requests {
					t.Errorf("%+v, %v after %d requests", got, err, test.e.count())
				}
				if test.want.EndsSession() && test.want != Expired {
					return
				}
				if got, err := r.Access(t.Context(), s, other); err != nil || got.Token.Value != "other" {
					t.Errorf("its other token: %+v, %v", got, err)
				}
			})
		})
	}
}

// The answer that had the new token was lost: the cookie's own one, which was
// refused before that, does not come back. One that another process got since
// does.
func TestARefusedTokenIsNotReplacedByOneFromBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(0)
		r := testRefresher(t, e)
		s := aged(time.Minute)
		first, err := r.Replace(t.Context(), s, s.Target, s.Token)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		other := first.Session.Renewed(time.Now())
		other.Token = testToken(time.Now(), "from elsewhere")
		if got, err := r.Replace(t.Context(), other, s.Target, first.Token); err != nil || got.Token != other.Token || e.count() != 1 {
			t.Errorf("with a newer cookie: %+v, %v after %d requests", got, err, e.count())
		}
		if got, err := r.Replace(t.Context(), s, s.Target, first.Token); err != nil || got.Token == s.Token || e.count() != 2 {
			t.Errorf("with the cookie from before: %+v, %v after %d requests", got, err, e.count())
		}
	})
}

// What the tenant takes away while it is replaced is gone for all.
func TestARefusedTokenIsForgottenIfThereIsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := testRefresher(t, fails(&TokenError{Kind: NotMember}))
		s, ours := aged(time.Minute), Target{Organization: "org-1"}
		token := testToken(time.Now(), "ours")
		r.Remember(s, ours, token)
		if got, err := r.Replace(t.Context(), s, ours, token); kindOf(t, err) != NotMember {
			t.Fatalf("%+v, %v", got, err)
		}
		if got, err := r.Access(t.Context(), s, ours); kindOf(t, err) != NotMember || !got.Token.IsZero() {
			t.Errorf("afterwards: %+v, %v", got, err)
		}
	})
}

func TestARefusedTokenIsNotReplacedInAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := fails(errors.New("502"))
		r := testRefresher(t, e)
		s := aged(past80)
		if got, err := r.Access(t.Context(), s, s.Target); err != nil || got.Token.Value != "old" {
			t.Fatalf("%+v, %v", got, err)
		}
		for range 3 {
			_, err := r.Replace(t.Context(), s, s.Target, s.Token)
			var failure *TokenError
			if !errors.As(err, &failure) || failure.Kind != Unavailable || failure.RetryAfter != pauseAfterFailure || e.count() != 1 {
				t.Errorf("%v after %d requests", err, e.count())
			}
		}
		time.Sleep(pauseAfterFailure)
		r.Endpoint = grants(0)
		if got, err := r.Replace(t.Context(), s, s.Target, s.Token); err != nil || got.Token.Value == "old" {
			t.Errorf("after the pause: %+v, %v", got, err)
		}
	})
}

func TestPeekAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := grants(0)
		r := testRefresher(t, e)
		s := aged(2 * expired)
		other := Target{Organization: "org-1"}
		if token, newest := r.Peek(s, s.Target); token != s.Token || newest != s {
			t.Errorf("of a cookie: %+v, %+v", token, newest)
		}
		if token, newest := r.Peek(s, other); !token.IsZero() || newest != s {
			t.Errorf("for another target: %+v, %+v", token, newest)
		}
		if e.count() != 0 {
			t.Fatalf("%d requests", e.count())
		}
		got, err := r.Access(t.Context(), s, s.Target)
		if err != nil {
			t.Fatal(err)
		}
		if token, newest := r.Peek(s, s.Target); token != got.Token || newest != got.Session || e.count() != 1 {
			t.Errorf("after a refresh: %+v, %+v", token, newest)
		}
	})
}
