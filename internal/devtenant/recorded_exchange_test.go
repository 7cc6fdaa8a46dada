package devtenant_test

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

var exchangeSteps = map[string]func(*site) reply{
	"unknown client": func(s *site) reply { return answered(s.exchange("x", url.Values{"client_id": {"nobody"}})) },
	"wrong secret":   func(s *site) reply { return answered(s.exchange("x", url.Values{"client_secret": {"guess"}})) },
	"client_secret_basic": func(s *site) reply {
		form := url.Values{"grant_type": {"authorization_code"}, "code": {s.code(nil)}, "redirect_uri": {callback}, "code_verifier": {verifier}}
		return answered(post(s.t, s.http, s.Endpoint()+devtenant.TokenPath, form, func(r *http.Request) { r.SetBasicAuth(web, webSecret) }))
	},
	"client_secret_post": func(s *site) reply { return answered(s.exchange(s.code(nil), nil)) },
	"public client": func(s *site) reply {
		return answered(s.exchange(s.code(url.Values{"client_id": {spa}}), public))
	},
	"code after 60 s": func(s *site) reply {
		code := s.code(nil)
		s.advance(time.Minute)
		return answered(s.exchange(code, nil))
	},
	"code used twice": func(s *site) reply {
		code := s.code(nil)
		s.exchange(code, nil)
		return answered(s.exchange(code, nil))
	},
	"refresh after a code was used twice": func(s *site) reply {
		code := s.code(nil)
		_, first := s.exchange(code, nil)
		s.exchange(code, nil)
		return answered(s.refresh(first["refresh_token"].(string), nil))
	},
	"another tab's refresh after a code was used twice": func(s *site) reply {
		other := s.refreshToken(nil)
		code := s.code(nil)
		s.exchange(code, nil)
		s.exchange(code, nil)
		return answered(s.refresh(other, nil))
	},
	"two exchanges at the same time": func(s *site) reply {
		first, second := exchangeTwiceAtOnce(s, s.code(nil))
		if first.status != second.status {
			s.t.Errorf("answered %v and %v", first, second)
		}
		return second
	},
	"refresh after a second use that came later than the same time": func(s *site) reply {
		code := s.code(nil)
		first, _ := exchangeTwiceAtOnce(s, code)
		s.exchange(code, nil)
		return answered(s.refresh(first.body["refresh_token"].(string), nil))
	},
	"wrong verifier": func(s *site) reply {
		return answered(s.exchange(s.code(nil), url.Values{"code_verifier": {strings.Repeat("x", 43)}}))
	},
	"no verifier": func(s *site) reply {
		return answered(s.exchange(s.code(nil), url.Values{"code_verifier": nil}))
	},
	"wrong redirect_uri": func(s *site) reply {
		return answered(s.exchange(s.code(nil), url.Values{"redirect_uri": {bye}}))
	},
	"right verifier after a wrong one": func(s *site) reply {
		code := s.code(nil)
		s.exchange(code, url.Values{"code_verifier": {strings.Repeat("x", 43)}})
		return answered(s.exchange(code, nil))
	},
	"right resource after invalid_target": func(s *site) reply {
		code := s.code(nil)
		s.exchange(code, url.Values{"resource": {nobodysAPI}})
		return answered(s.exchange(code, url.Values{"resource": {api}}))
	},
	"redirect_uri left out at the token endpoint": func(s *site) reply {
		return answered(s.exchange(s.code(nil), url.Values{"redirect_uri": nil}))
	},
	"resource at the token endpoint only": func(s *site) reply {
		return answered(s.exchange(s.code(url.Values{"resource": nil}), url.Values{"resource": {api}}))
	},
}

// exchangeTwiceAtOnce sends two exchanges that have both arrived before either
// is answered.
func exchangeTwiceAtOnce(s *site, code string) (first, second reply) {
	s.t.Helper()
	s.SetTokenFault(devtenant.Slow)
	before := s.Counts().Exchanges
	replies := make(chan reply, 2)
	for range 2 {
		go func() { replies <- answered(s.exchange(code, nil)) }()
	}
	waitFor(s.t, s.Tenant, func(c devtenant.Counts) bool { return c.Exchanges == before+2 })
	s.SetTokenFault(nil)
	s.Release()
	return <-replies, <-replies
}
