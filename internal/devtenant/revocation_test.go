package devtenant_test

import (
	"net/url"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestRevocationsThatRevokeNothing(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(nil)
	for name, test := range map[string]struct {
		token       string
		credentials url.Values
		status      int
		code        any
	}{
		"unknown":              {"unknown", nil, 200, nil},
		"none":                 {"", nil, 400, "invalid_request"},
		"a JWT":                {s.Token(devtenant.TokenRequest{Resource: api}), nil, 400, "unsupported_token_type"},
		"another app's":        {token, url.Values{"client_id": {always}}, 400, "invalid_request"},
		"another public app's": {token, public, 200, nil},
		"wrong secret":         {token, url.Values{"client_secret": {"guess"}}, 401, "invalid_client"},
		"unknown client":       {token, url.Values{"client_id": {"nobody"}}, 400, "invalid_client"},
	} {
		answer := s.revoke(test.token, test.credentials)
		if answer.Code != test.status || object(answer.Body.Bytes())["error"] != test.code {
			t.Errorf("%s: status %d, %s", name, answer.Code, answer.Body)
		}
	}
	if status, answer := s.refresh(token, nil); status != 200 {
		t.Errorf("the refresh token answers %d %v", status, answer)
	}
}

func TestRevokedGrantIsOneAppsOnly(t *testing.T) {
	s := newSite(t)
	other := s.refreshToken(url.Values{"client_id": {spa}})
	s.revoke(s.refreshToken(nil), nil)
	if status, _ := s.refresh(other, public); status != 200 {
		t.Errorf("status %d", status)
	}
}
