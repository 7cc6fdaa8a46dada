package devtenant_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// fact is something that was recorded of a live Logto.
type fact struct {
	Name        string         `json:"name"`
	Seen        string         `json:"seen"` // words of testdata/logto/sign-in.md
	Status      int            `json:"status"`
	Error       string         `json:"error"`
	Description string         `json:"error_description"`
	Members     []string       `json:"members"`
	Opaque      int            `json:"opaque"`
	Claims      map[string]any `json:"claims"`
}

// recorded are the facts of testdata/sign-in.json.
type recorded struct {
	Answers      []fact `json:"answers"`
	Callbacks    []fact `json:"callbacks"`
	TokenAnswers []fact `json:"token_answers"`
	AccessTokens []fact `json:"access_tokens"`
	IDToken      struct {
		Header       map[string]any `json:"header"`
		Payload      map[string]any `json:"payload"`
		NotByDefault []string       `json:"not_by_default"`
	} `json:"id_token"`
	LogoutToken struct {
		Header   map[string]any `json:"header"`
		Payload  map[string]any `json:"payload"`
		Lifetime float64        `json:"lifetime"`
	} `json:"logout_token"`
	Webhooks  map[string]any `json:"webhooks"`
	Lifetimes map[string]any `json:"lifetimes"`
}

func readRecorded(t *testing.T) recorded {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "sign-in.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	unmarshal(t, text, &r)
	return r
}

// Every fact that the tests of this package compare with quotes the record.
func TestFactsAreThoseOfTheRecord(t *testing.T) {
	record, err := os.ReadFile(filepath.Join("..", "..", "testdata", "logto", "sign-in.md"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "sign-in.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all any
	unmarshal(t, text, &all)
	oneLine := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	quotes := 0
	var visit func(any)
	visit = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, member := range value {
				visit(member)
			}
		case map[string]any:
			if seen, quotesRecord := value["seen"].(string); quotesRecord {
				quotes++
				if !strings.Contains(oneLine(string(record)), oneLine(seen)) {
					t.Errorf("%v: the record does not say %q", value["name"], seen)
				}
			}
			for _, member := range value {
				visit(member)
			}
		}
	}
	visit(all)
	if quotes < 70 {
		t.Errorf("%d quotes", quotes)
	}
}

// observed runs one step per fact, and fails for facts without a step and
// steps without a fact.
func observed[T any](t *testing.T, facts []fact, steps map[string]func(*site) T, compare func(*testing.T, fact, T)) {
	t.Helper()
	missing := maps.Clone(steps)
	for _, f := range facts {
		step := steps[f.Name]
		if step == nil {
			t.Errorf("nothing is observed of %q", f.Name)
			continue
		}
		delete(missing, f.Name)
		t.Run(f.Name, func(t *testing.T) { compare(t, f, step(newSite(t))) })
	}
	for name := range missing {
		t.Errorf("nothing is recorded of %q", name)
	}
}

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

// holds fails unless got has the members of want, at any depth; empty texts
// and ones stand for any.
func holds(t *testing.T, what string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		members, _ := got.(map[string]any)
		for name := range want {
			if _, given := members[name]; !given {
				t.Errorf("%s has no %s", what, name)
			}
			holds(t, what+"."+name, members[name], want[name])
		}
	case string, float64:
		if sameType := fmt.Sprintf("%T", got) == fmt.Sprintf("%T", want); !sameType || want != "" && want != 1.0 && got != want {
			t.Errorf("%s is %v, recorded %v", what, got, want)
		}
	default:
		if g, w := text(t, got), text(t, want); g != w {
			t.Errorf("%s is %s, recorded %s", what, g, w)
		}
	}
}

func text(t *testing.T, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
