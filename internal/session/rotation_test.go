package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// rotates answers first with what is given, and then with new tokens.
func rotates(answer Grant, err error) *endpoint {
	e := grants(0)
	grant := e.answer
	e.answer = func(ctx context.Context, request RefreshRequest) (Grant, error) {
		if e.count() == 1 {
			return answer, err
		}
		return grant(ctx, request)
	}
	return e
}

func (e *endpoint) sent() (tokens []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, request := range e.requests {
		tokens = append(tokens, request.RefreshToken)
	}
	return tokens
}

// The tenant has rotated the refresh token, and the rest of its answer is of no
// use: the old one would end the grant three seconds later.
func TestARotatedRefreshTokenIsNotLost(t *testing.T) {
	subject := testSession(testTime).Subject
	for name, test := range map[string]struct {
		answer Grant
		err    error
		kept   Kind // of the failure
	}{
		"it does not verify":         {Grant{RefreshToken: "rotated"}, errors.New("bad signature"), Unavailable},
		"it does not verify so far":  {Grant{Subject: subject, Token: Token{Value: "x"}, RefreshToken: "rotated"}, errors.New("bad signature"), Unavailable},
		"it has no token":            {Grant{Subject: subject, RefreshToken: "rotated"}, nil, Unavailable},
		"it is not what was granted": {Grant{RefreshToken: "rotated"}, &TokenError{Kind: NotAskedFor}, NotAskedFor},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := rotates(test.answer, test.err)
				r := testRefresher(t, e)
				s := aged(expired)
				came := time.Now()
				got, err := r.Access(t.Context(), s, s.Target)
				if kindOf(t, err) != test.kept || !got.Token.IsZero() {
					t.Fatalf("%+v, %v", got, err)
				}
				if !got.IsNewer || got.Session.RefreshToken != "rotated" || got.Session.Token != s.Token || got.Session.Target != s.Target {
					t.Errorf("the session is %+v, newer: %v", got.Session, got.IsNewer)
				}
				if r.Newest(s).RefreshToken != "rotated" || s.RefreshToken == "rotated" {
					t.Error("a sign-out would revoke another refresh token")
				}
				// Its cookie is offered as long as a request shows the old one, and
				// no longer.
				if again, _ := r.Access(t.Context(), s, s.Target); !again.IsNewer {
					t.Error("it is offered once only")
				}
				if again, _ := r.Access(t.Context(), got.Session, s.Target); again.IsNewer {
					t.Error("it is offered to who has it")
				}
				if !r.MayWrite(got.Session, got.Session.SealedAt, came, 503, false) {
					t.Error("it may not be written")
				}
				time.Sleep(2 * refusalKept)
				for _, cookie := range []*Session{s, got.Session, s.Renewed(time.Now())} {
					if next, err := r.Access(t.Context(), cookie, s.Target); err != nil || next.Session.RefreshToken != "rotated" {
						t.Errorf("afterwards: %+v, %v", next, err)
					}
				}
				if sent, want := e.sent(), []string{s.RefreshToken, "rotated"}; !slices.Equal(sent, want) {
					t.Errorf("sent were %q", sent)
				}
			})
		})
	}
}

func TestARotatedRefreshTokenWhileTheOldAccessTokenServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := rotates(Grant{RefreshToken: "rotated"}, errors.New("bad signature"))
		r := testRefresher(t, e)
		s := aged(past80)
		got, err := r.Access(t.Context(), s, s.Target)
		if err != nil || got.Token.Value != "old" || !got.IsNewer || got.Session.RefreshToken != "rotated" || got.Session.Token != s.Token {
			t.Errorf("%+v, %v", got, err)
		}
		time.Sleep(pauseAfterFailure)
		if got, err = r.Access(t.Context(), got.Session, s.Target); err != nil || got.Token.Value == "old" {
			t.Errorf("after the pause: %+v, %v", got, err)
		}
		if sent, want := e.sent(), []string{s.RefreshToken, "rotated"}; !slices.Equal(sent, want) {
			t.Errorf("sent were %q", sent)
		}
	})
}

// A stranger's refresh token must not get into the session.
func TestOfAStrangersAnswerNothingIsKept(t *testing.T) {
	for name, e := range map[string]*endpoint{
		"another person":            rotates(Grant{Subject: "somebody-else", Token: testToken(testTime, "t"), RefreshToken: "theirs"}, nil),
		"nobody":                    rotates(Grant{Token: testToken(testTime, "t"), RefreshToken: "theirs"}, nil),
		"another person, as it was": rotates(Grant{RefreshToken: "theirs"}, &TokenError{Kind: WrongSubject}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := testRefresher(t, e)
				s := aged(past80)
				got, err := r.Access(t.Context(), s, s.Target)
				if kindOf(t, err) != WrongSubject || got != (Access{}) {
					t.Errorf("%+v, %v", got, err)
				}
				if token, newest := r.Peek(s, s.Target); token != s.Token || newest != s {
					t.Errorf("kept are %+v, %+v", token, newest)
				}
				time.Sleep(overKept)
				_, _ = r.Access(t.Context(), s, s.Target)
				if sent, want := e.sent(), []string{s.RefreshToken, s.RefreshToken}; !slices.Equal(sent, want) {
					t.Errorf("sent were %q", sent)
				}
			})
		})
	}
}
