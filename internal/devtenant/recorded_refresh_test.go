package devtenant_test

import (
	"net/url"
	"time"
)

var refreshSteps = map[string]func(*site) reply{
	"refresh for a scope beyond what was granted": func(s *site) reply {
		return answered(s.refresh(s.refreshToken(nil), url.Values{"scope": {"openid phone"}}))
	},
	"refresh for a resource that was not asked for": func(s *site) reply {
		return answered(s.refresh(s.refreshToken(nil), url.Values{"resource": {nobodysAPI}}))
	},
	"refresh by another client": func(s *site) reply {
		return answered(s.refresh(s.refreshToken(nil), url.Values{"client_id": {always}}))
	},
	"two refreshes of a confidential client at once": func(s *site) reply {
		token := s.refreshToken(nil)
		s.advance(13 * 24 * time.Hour) // also when it rotates
		first, _ := s.refresh(token, nil)
		second, body := s.refresh(token, nil)
		if first != 200 {
			s.t.Errorf("the first answered %d", first)
		}
		return answered(second, body)
	},
	"rotated refresh token after 3 s": func(s *site) reply { return rotated(s, 3*time.Second) },
	"rotated refresh token after 4 s": func(s *site) reply { return rotated(s, 4*time.Second) },
	"newest refresh token after a rotated one was used": func(s *site) reply {
		token := s.refreshToken(url.Values{"client_id": {spa}})
		_, newer := s.refresh(token, public)
		s.advance(4 * time.Second)
		s.refresh(token, public)
		return answered(s.refresh(newer["refresh_token"].(string), public))
	},
	"organization token without the scope": func(s *site) reply {
		token := s.refreshToken(url.Values{"scope": {"openid offline_access read:members"}})
		return answered(s.refresh(token, url.Values{"organization_id": {memberOrg}}))
	},
	"organization token of no member": func(s *site) reply {
		return answered(s.refresh(s.refreshToken(nil), url.Values{"organization_id": {foreignOrg}}))
	},
	"refresh of a suspended user": func(s *site) reply {
		token := s.refreshToken(nil)
		s.Suspend(alice)
		return answered(s.refresh(token, nil))
	},
	"refresh of a deleted user": func(s *site) reply {
		token := s.refreshToken(nil)
		s.DeleteUser(alice)
		return answered(s.refresh(token, nil))
	},
	"refresh after the app was taken away": func(s *site) reply {
		token := s.refreshToken(nil)
		s.WithdrawApp(web, alice)
		return answered(s.refresh(token, nil))
	},
}

func rotated(s *site, after time.Duration) reply {
	token := s.refreshToken(url.Values{"client_id": {spa}})
	s.refresh(token, public)
	s.advance(after)
	return answered(s.refresh(token, public))
}
