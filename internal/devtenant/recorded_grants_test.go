package devtenant_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

var grantSteps = map[string]func(*site) reply{
	"revocation": func(s *site) reply {
		answer := s.revoke(s.refreshToken(nil), nil)
		return reply{answer.Code, object(answer.Body.Bytes())}
	},
	"refresh after another tab's was revoked": func(s *site) reply {
		first, second := s.refreshToken(nil), s.refreshToken(nil)
		s.revoke(first, nil)
		return answered(s.refresh(second, nil))
	},
	"code after a refresh token was revoked": func(s *site) reply {
		first, pending := s.refreshToken(nil), s.code(nil)
		s.revoke(first, nil)
		return answered(s.exchange(pending, nil))
	},
	"refresh in another browser after a revocation": func(s *site) reply {
		first := s.refreshToken(nil)
		s.browser = devtenanttest.NewBrowser(s.t, s.Tenant)
		second := s.refreshToken(nil)
		s.revoke(first, nil)
		return answered(s.refresh(second, nil))
	},
	"refresh after the sign-in that followed a revocation": func(s *site) reply {
		s.revoke(s.refreshToken(nil), nil)
		return answered(s.refresh(s.refreshToken(nil), nil))
	},
	"refresh of a grant from before Logto's sign-out, with offline_access": func(s *site) reply {
		token := s.refreshToken(nil)
		s.browser.SignOut(s.endSession(nil))
		return answered(s.refresh(token, nil))
	},
	"refresh after a revocation of what the browser got after Logto's sign-out": func(s *site) reply {
		before := s.refreshToken(nil)
		s.browser.SignOut(s.endSession(nil))
		s.revoke(s.refreshToken(nil), nil)
		return answered(s.refresh(before, nil))
	},
	"refresh after a revocation of what came after prompt=login consent": func(s *site) reply {
		before := s.refreshToken(nil)
		s.revoke(s.refreshToken(url.Values{"prompt": {"login consent"}}), nil)
		return answered(s.refresh(before, nil))
	},
	"refresh after an administrator ended the session": func(s *site) reply {
		token := s.refreshToken(nil)
		s.EndSessions(alice, false)
		return answered(s.refresh(token, nil))
	},
	"refresh after an administrator ended the session and revoked grants": func(s *site) reply {
		token := s.refreshToken(nil)
		s.EndSessions(alice, true)
		return answered(s.refresh(token, nil))
	},
}

var authorizationSteps = map[string]func(*site) reply{
	"redirect_uri left out of the authorization request": func(s *site) reply {
		return s.navigate(s.request(url.Values{"redirect_uri": nil}))
	},
	"no openid, unknown scopes":  func(s *site) reply { return s.navigate(s.request(url.Values{"scope": {"made:up"}})) },
	"state of 12,000 characters": func(s *site) reply { return s.navigate(s.request(url.Values{"state": {strings.Repeat("s", 12000)}})) },
	"authorization by an unknown client": func(s *site) reply {
		return s.navigate(s.request(url.Values{"client_id": {"nobody"}}))
	},
	"authorization with a redirect_uri that is not registered": func(s *site) reply {
		return s.navigate(s.request(url.Values{"redirect_uri": {callback + "/"}}))
	},
	"sign-out with a redirect URI that is not registered": func(s *site) reply {
		return s.navigate(s.endSession(url.Values{"client_id": {web}, "post_logout_redirect_uri": {callback}}))
	},
	"sign-out with a hint that cannot be decoded": func(s *site) reply {
		return s.navigate(s.endSession(url.Values{"id_token_hint": {"x.y.z"}, "post_logout_redirect_uri": {bye}}))
	},
}

// navigate sends one request without cookies.
func (s *site) navigate(address string) reply {
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, address, nil))
	return reply{answer.Code, object(answer.Body.Bytes())}
}
