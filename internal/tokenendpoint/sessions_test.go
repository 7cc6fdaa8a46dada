package tokenendpoint_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

// accept believes what tokens say.
func accept(t *testing.T) tokenendpoint.Verify {
	t.Helper()
	return func(_ context.Context, tokens tokenendpoint.Tokens, target session.Target) (string, session.Token, error) {
		subject, _ := claimsOf(t, tokens.IDToken)["sub"].(string)
		claims := claimsOf(t, tokens.AccessToken)
		if claims["aud"] != target.Resource {
			t.Errorf("access token of %v for %v", claims, target)
		}
		return subject, session.Token{
			Value: tokens.AccessToken, IssuedAt: int64(claims["iat"].(float64)), ExpiresAt: int64(claims["exp"].(float64)),
		}, nil
	}
}

func TestSessionRefreshes(t *testing.T) {
	s := newSite(t)
	token := s.signIn().RefreshToken
	request := session.RefreshRequest{RefreshToken: token, Target: session.Target{Resource: api}}
	grant, err := s.ForSessions(accept(t)).Refresh(t.Context(), request)
	if err != nil || grant.Subject != alice || claimsOf(t, grant.Token.Value)["sub"] != alice {
		t.Errorf("%v, error %v", grant, err)
	}
	if grant.RefreshToken != "" {
		t.Errorf("refresh token %q, want none: it stays the same", grant.RefreshToken)
	}
	s.SetTokenFault(devtenant.AlterTokens(func(response map[string]any) { response["refresh_token"] = "another" }))
	if grant, err = s.ForSessions(accept(t)).Refresh(t.Context(), request); err != nil || grant.RefreshToken != "another" {
		t.Errorf("%v, error %v", grant, err)
	}
	s.SetTokenFault(devtenant.AlterTokens(func(response map[string]any) { delete(response, "refresh_token") }))
	if grant, err = s.ForSessions(accept(t)).Refresh(t.Context(), request); err != nil || grant.RefreshToken != "" {
		t.Errorf("%v, error %v", grant, err)
	}
}

func TestSessionRefreshIsNotVerified(t *testing.T) {
	s := newSite(t)
	token := s.signIn().RefreshToken
	want := errors.New("the ID token does not verify")
	endpoint := s.ForSessions(func(context.Context, tokenendpoint.Tokens, session.Target) (string, session.Token, error) {
		return alice, session.Token{Value: "x"}, want
	})
	if grant, err := endpoint.Refresh(t.Context(), session.RefreshRequest{RefreshToken: token}); !errors.Is(err, want) || grant != (session.Grant{}) {
		t.Errorf("%v, error %v", grant, err)
	}
}

// Logto rotates the refresh token past 70 % of its life. If we cannot verify
// the rest of that answer, the old one would end the grant.
func TestSessionRefreshIsNotVerifiedButRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		signedIn := s.signIn()
		signedInAt := time.Now()
		time.Sleep(14 * 24 * time.Hour * 8 / 10)
		verify, failures := accept(t), 1
		endpoint := s.ForSessions(func(ctx context.Context, tokens tokenendpoint.Tokens, target session.Target) (string, session.Token, error) {
			if failures--; failures >= 0 {
				return "", session.Token{}, errors.New("the ID token does not verify")
			}
			return verify(ctx, tokens, target)
		})
		refresher := session.NewRefresher(t.Context(), session.RefresherOptions{
			Endpoint: endpoint, Gate: session.NewGate(), Timeout: timeout, Now: time.Now,
		})
		cookie := session.New(alice, signedInAt)
		cookie.RefreshToken = signedIn.RefreshToken
		target := session.Target{Resource: api}
		got, err := refresher.Access(t.Context(), cookie, target)
		if err == nil || !got.IsNewer || got.Session.RefreshToken == signedIn.RefreshToken {
			t.Fatalf("%+v, %v", got, err)
		}
		time.Sleep(time.Minute)
		for range 2 {
			got, err = refresher.Access(t.Context(), cookie, target)
			if err != nil || claimsOf(t, got.Token.Value)["sub"] != alice {
				t.Fatalf("a minute later: %+v, %v", got, err)
			}
			time.Sleep(2 * time.Hour)
		}
	})
}

func TestSessionRefreshFails(t *testing.T) {
	organization := session.Target{Resource: api, Organization: otherOrg}
	for name, test := range map[string]struct {
		fault      devtenant.Fault
		target     session.Target
		kind       session.Kind
		retryAfter time.Duration
	}{
		"not a member":         {devtenant.None, organization, session.NotMember, 0},
		"resource":             {devtenant.None, session.Target{Resource: api + "/other"}, session.NotAskedFor, 0},
		"invalid_grant":        {devtenant.Refused(400, "invalid_grant", "x"), session.Target{}, session.Refused, 0},
		"app withdrawn":        {devtenant.Refused(400, "access_denied", "x"), organization, session.Refused, 0},
		"insufficient_scope":   {devtenant.Refused(403, "insufficient_scope", "x"), organization, session.NotAskedFor, 0},
		"unknown app":          {devtenant.Refused(400, "invalid_client", "x"), session.Target{}, session.WrongClient, 0},
		"wrong secret":         {devtenant.Refused(401, "invalid_client", "x"), session.Target{}, session.WrongClient, 0},
		"a proxy's 400":        {devtenant.Status(400), session.Target{}, session.Unavailable, 0},
		"a redirect":           {devtenant.RedirectLoop, session.Target{}, session.Unavailable, 0},
		"500":                  {devtenant.ServerError, session.Target{}, session.Unavailable, 0},
		"503 of invalid_grant": {devtenant.Refused(503, "invalid_grant", "x"), session.Target{}, session.Unavailable, 0},
		"200 of invalid_grant": {devtenant.Refused(200, "invalid_grant", "x"), session.Target{}, session.Unavailable, 0},
		"302 of invalid_grant": {devtenant.Refused(302, "invalid_grant", "x"), session.Target{}, session.Unavailable, 0},
		"429":                  {devtenant.TooManyRequests(30 * time.Second), session.Target{}, session.Unavailable, 30 * time.Second},
		"a login page":         {devtenant.HTML, session.Target{}, session.Unavailable, 0},
		"DPoP":                 {devtenant.TokenType("DPoP"), session.Target{}, session.Unavailable, 0},
		"no answer":            {devtenant.Hang, session.Target{}, session.Unavailable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				token := s.signIn().RefreshToken
				s.SetTokenFault(test.fault)
				grant, err := s.ForSessions(accept(t)).Refresh(t.Context(), session.RefreshRequest{RefreshToken: token, Target: test.target})
				var failure *session.TokenError
				if !errors.As(err, &failure) || failure.Kind != test.kind || failure.RetryAfter != test.retryAfter || grant != (session.Grant{}) {
					t.Errorf("%v, error %v, want %v", grant, err, test.kind)
				}
			})
		})
	}
}
