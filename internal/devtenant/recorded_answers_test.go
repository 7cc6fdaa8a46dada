package devtenant_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// reply is a status and the members of a body of JSON.
type reply struct {
	status int
	body   map[string]any
}

func answered(status int, body map[string]any) reply { return reply{status, body} }

func TestAnswersAreThoseRecorded(t *testing.T) {
	steps := map[string]func(*site) reply{}
	for _, some := range []map[string]func(*site) reply{exchangeSteps, refreshSteps, grantSteps, authorizationSteps} {
		maps.Copy(steps, some)
	}
	observed(t, readRecorded(t).Answers, steps, func(t *testing.T, f fact, got reply) {
		code, _ := got.body["error"].(string)
		if got.status != f.Status || code != f.Error {
			t.Errorf("status %d, body %v, recorded %d %s", got.status, got.body, f.Status, f.Error)
		}
		if f.Description != "" && got.body["error_description"] != f.Description {
			t.Errorf("error_description %v, recorded %s", got.body["error_description"], f.Description)
		}
		if f.Members != nil {
			if names := slices.Sorted(maps.Keys(got.body)); !slices.Equal(names, f.Members) {
				t.Errorf("members %v, recorded %v", names, f.Members)
			}
		}
		if f.Error == "" {
			return
		}
		for _, name := range []string{"code", "message", "error", "error_description"} {
			if text, _ := got.body[name].(string); text == "" {
				t.Errorf("no %s in %v", name, got.body)
			}
		}
		if got.body["code"] != "oidc."+f.Error {
			t.Errorf("code %v", got.body["code"])
		}
	})
}

func TestCallbacksAreThoseRecorded(t *testing.T) {
	steps := map[string]func(*site) url.Values{
		"public client without PKCE": func(s *site) url.Values {
			return s.signIn(url.Values{"client_id": {spa}, "code_challenge": nil, "code_challenge_method": nil})
		},
		"plain PKCE":          func(s *site) url.Values { return s.signIn(url.Values{"code_challenge_method": {"plain"}}) },
		"PKCE without method": func(s *site) url.Values { return s.signIn(url.Values{"code_challenge_method": nil}) },
		"unknown resource":    func(s *site) url.Values { return s.signIn(url.Values{"resource": {"https://unknown.example"}}) },
		"unknown organization_id": func(s *site) url.Values {
			s.SignInAs("")
			return s.signIn(url.Values{"organization_id": {"unknown"}})
		},
		"prompt=none without session": func(s *site) url.Values { return s.signIn(url.Values{"prompt": {"none"}}) },
		"prompt=none with session": func(s *site) url.Values {
			s.signIn(nil)
			return s.signIn(url.Values{"prompt": {"none"}})
		},
		"prompt=none with a hint of another user": func(s *site) url.Values {
			s.signIn(nil)
			return s.signIn(url.Values{"prompt": {"none"}, "id_token_hint": {s.IDToken(bob, web)}})
		},
		"prompt=none of a suspended user": func(s *site) url.Values {
			s.signIn(nil)
			s.Suspend(alice)
			return s.signIn(url.Values{"prompt": {"none"}})
		},
		"prompt=none of a deleted user": func(s *site) url.Values {
			s.signIn(nil)
			s.DeleteUser(alice)
			return s.signIn(url.Values{"prompt": {"none"}})
		},
		"prompt=none after the app was taken away": func(s *site) url.Values {
			s.signIn(nil)
			s.WithdrawApp(web, alice)
			return s.signIn(url.Values{"prompt": {"none"}})
		},
		"confidential client without PKCE, state and nonce": func(s *site) url.Values {
			query := s.signIn(url.Values{"code_challenge": nil, "code_challenge_method": nil, "state": nil, "nonce": nil})
			if query.Has("state") {
				s.t.Errorf("a state in %v", query)
			}
			query.Set("state", "YmRG")
			return query
		},
	}
	observed(t, readRecorded(t).Callbacks, steps, func(t *testing.T, f fact, got url.Values) {
		if got.Get("error") != f.Error || got.Has("code") == (f.Error != "") {
			t.Errorf("callback %v, recorded error %q", got, f.Error)
		}
		if f.Description != "" && got.Get("error_description") != f.Description {
			t.Errorf("error_description %q, recorded %q", got.Get("error_description"), f.Description)
		}
		if iss := got["iss"]; len(iss) != 1 || iss[0] != "http://localhost:3001/oidc" || got.Get("state") != "YmRG" {
			t.Errorf("callback %v", got)
		}
	})
}

func TestTokenAnswersHaveTheMembersRecorded(t *testing.T) {
	steps := map[string]func(*site) reply{
		"exchange": func(s *site) reply { return answered(s.exchange(s.code(url.Values{"scope": {"openid"}}), nil)) },
		"exchange with offline_access and consent":      func(s *site) reply { return answered(s.exchange(s.code(url.Values{"prompt": {"login consent"}}), nil)) },
		"exchange with offline_access, without consent": func(s *site) reply { return answered(s.exchange(s.code(url.Values{"prompt": nil}), nil)) },
		"exchange of an app that always gets a refresh token": func(s *site) reply {
			return answered(s.exchange(s.code(url.Values{"client_id": {always}, "prompt": nil}), url.Values{"client_id": {always}}))
		},
		"refresh for a resource": func(s *site) reply {
			return answered(s.refresh(s.refreshToken(nil), url.Values{"resource": {api}}))
		},
		"refresh for a resource and a subset of its scopes": func(s *site) reply {
			return answered(s.refresh(s.refreshToken(nil), url.Values{"resource": {api}, "scope": {"read:products"}}))
		},
	}
	observed(t, readRecorded(t).TokenAnswers, steps, func(t *testing.T, f fact, got reply) {
		if names := slices.Sorted(maps.Keys(got.body)); got.status != 200 || !slices.Equal(names, f.Members) {
			t.Errorf("status %d with %v, recorded %v", got.status, names, f.Members)
		}
		if got.body["token_type"] != "Bearer" || got.body["expires_in"] != 3600.0 {
			t.Errorf("token_type %v, expires_in %v", got.body["token_type"], got.body["expires_in"])
		}
	})
}

func TestAccessTokensAreThoseRecorded(t *testing.T) {
	exchanged := func(authorization, token url.Values) func(*site) reply {
		return func(s *site) reply { return answered(s.exchange(s.code(authorization), token)) }
	}
	refreshed := func(authorization, token url.Values) func(*site) reply {
		return func(s *site) reply { return answered(s.refresh(s.refreshToken(authorization), token)) }
	}
	one := url.Values{"resource": {api}}
	steps := map[string]func(*site) reply{
		"no resource, no resource":                           exchanged(url.Values{"resource": nil}, nil),
		"resource, none":                                     exchanged(one, nil),
		"resource, resource":                                 exchanged(one, one),
		"resource, resource and organization":                exchanged(one, url.Values{"resource": {api}, "organization_id": {memberOrg}}),
		"any, organization":                                  exchanged(nil, url.Values{"organization_id": {memberOrg}}),
		"refresh, organization":                              refreshed(nil, url.Values{"organization_id": {memberOrg}}),
		"refresh, organization, organizations not asked for": refreshed(one, url.Values{"organization_id": {memberOrg}}),
		"refresh, organization and resource":                 refreshed(nil, url.Values{"organization_id": {memberOrg}, "resource": {api}}),
		"refresh, the resource of organizations":             refreshed(nil, url.Values{"resource": {orgsTarget}}),
	}
	observed(t, readRecorded(t).AccessTokens, steps, func(t *testing.T, f fact, got reply) {
		token, _ := got.body["access_token"].(string)
		if f.Opaque > 0 {
			if len(token) != f.Opaque || strings.Contains(token, ".") {
				t.Errorf("token %q, recorded an opaque one", token)
			}
			return
		}
		header, payload := decode(t, token)
		if header["typ"] != "at+jwt" || payload["sub"] != alice || payload["client_id"] != web {
			t.Errorf("header %v, payload %v", header, payload)
		}
		for name, want := range f.Claims {
			if payload[name] != want {
				t.Errorf("%s is %v, recorded %v", name, payload[name], want)
			}
		}
		if scope, _ := payload["scope"].(string); got.body["scope"] != scope {
			t.Errorf("the answer's scope is %v, the token's %q", got.body["scope"], scope)
		}
	})
}

// Two parts of a lifetime are looked at: right before its end and at it.
func TestLifetimesAreThoseRecorded(t *testing.T) {
	lifetimes := readRecorded(t).Lifetimes
	for name, alive := range map[string]func(s *site, after time.Duration) bool{
		"code": func(s *site, after time.Duration) bool {
			code := s.code(nil)
			s.advance(after)
			status, _ := s.exchange(code, nil)
			return status == 200
		},
		"interaction": func(s *site, after time.Duration) bool {
			s.SignInAs("")
			page := s.browser.Open(s.request(nil))
			s.advance(after)
			return s.browser.Submit(page, url.Values{"user": {alice}}).Left != nil
		},
		"session": func(s *site, after time.Duration) bool {
			s.signIn(nil)
			s.advance(after)
			return s.signIn(url.Values{"prompt": {"none"}}).Has("code")
		},
		"refresh token": func(s *site, after time.Duration) bool {
			token := s.refreshToken(nil)
			s.advance(after)
			status, _ := s.refresh(token, nil)
			return status == 200
		},
	} {
		t.Run(name, func(t *testing.T) {
			seconds, _ := lifetimes[name].(float64)
			life := time.Duration(seconds) * time.Second
			if life == 0 || !alive(newSite(t), life-time.Second) || alive(newSite(t), life) {
				t.Errorf("does not live %v", life)
			}
		})
	}
}
