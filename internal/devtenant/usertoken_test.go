package devtenant_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestAppsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		changes url.Values
		status  int
		code    string
	}{
		"public client with a secret": {url.Values{"client_id": {spa}}, 401, "invalid_client"},
		"no secret":                   {url.Values{"client_secret": nil}, 401, "invalid_client"},
		"nobody":                      {url.Values{"client_id": nil, "client_secret": nil}, 400, "invalid_request"},
		"a machine":                   {url.Values{"client_id": {machine}, "client_secret": {secret}}, 400, "invalid_request"},
		"no code":                     {url.Values{"code": nil}, 400, "invalid_request"},
		"two codes":                   {url.Values{"code": {"a", "b"}}, 400, "invalid_request"},
		"another app's code":          {url.Values{"client_id": {always}}, 400, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.RegisterClient(machine, secret)
			if status, answer := s.exchange(s.code(nil), test.changes); status != test.status || answer["error"] != test.code {
				t.Errorf("status %d, %v, want %d %s", status, answer, test.status, test.code)
			}
		})
	}
}

func TestBasicThatIsWrongIsChallenged(t *testing.T) {
	s := newSite(t)
	for name, test := range map[string]struct {
		form          url.Values
		authorization string
		status        int
		challenge     string
	}{
		"secret":   {nil, basic("guess"), 401, `Basic realm="http://localhost:3001/oidc", error="invalid_client", error_description="client authentication failed"`},
		"two ways": {url.Values{"client_secret": {webSecret}}, basic(webSecret), 400, ""},
		"two IDs":  {url.Values{"client_id": {spa}}, basic(webSecret), 400, ""},
		"scheme":   {url.Values{"client_id": {web}}, "Bearer x", 400, ""},
		"good":     {url.Values{"client_id": {web}}, basic(webSecret), 400, ""}, // the refresh token is missing
		"no Basic": {url.Values{"client_id": {web}, "client_secret": {"guess"}}, "", 401, ""},
	} {
		form := change(url.Values{"grant_type": {"refresh_token"}}, test.form)
		r := httptest.NewRequest(http.MethodPost, s.Endpoint()+devtenant.TokenPath, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if test.authorization != "" {
			r.Header.Set("Authorization", test.authorization)
		}
		answer := httptest.NewRecorder()
		s.ServeHTTP(answer, r)
		if answer.Code != test.status || answer.Header().Get("WWW-Authenticate") != test.challenge {
			t.Errorf("%s: %d, %s: %s", name, answer.Code, answer.Header().Get("WWW-Authenticate"), answer.Body)
		}
	}
}

// basic is client_secret_basic of the web app.
func basic(secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(web+":"+secret))
}

// Scopes are those that the person has now, of those that were granted then.
func TestScopesNarrowAtARefreshAndWidenAtASignIn(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(nil)
	scope := func(token string) any {
		_, answer := s.refresh(token, url.Values{"resource": {api}})
		return answer["scope"]
	}
	if got := scope(token); got != "read:products write:orders" {
		t.Errorf("at first %v", got)
	}
	s.SetPermissions(alice, devtenant.Permission{Resource: api, Scopes: []string{"write:orders", "delete:orders"}})
	if got := scope(token); got != "write:orders" {
		t.Errorf("after a change %v", got)
	}
	if got := scope(s.refreshToken(nil)); got != "write:orders delete:orders" {
		t.Errorf("after a new sign-in %v", got)
	}
}

func TestPermissionsOfAnOrganizationEndWithTheMembership(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(nil)
	s.RemoveMember(memberOrg, alice)
	if _, answer := s.refresh(token, url.Values{"resource": {api}}); answer["scope"] != "read:products" {
		t.Errorf("scope %v", answer["scope"])
	}
	status, answer := s.refresh(token, url.Values{"organization_id": {memberOrg}})
	if status != 403 || answer["error"] != "access_denied" {
		t.Errorf("status %d, %v", status, answer)
	}
	if status, _ := s.refresh(token, url.Values{"organization_id": {otherOrg}}); status != 200 {
		t.Errorf("the other organization: %d", status)
	}
}

func TestRefreshOfASubset(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(nil)
	if _, answer := s.refresh(token, url.Values{"resource": {api}, "scope": {"write:orders"}}); answer["scope"] != "write:orders" {
		t.Errorf("scope %v", answer["scope"])
	}
	// The next refresh has all of them again.
	if _, answer := s.refresh(token, url.Values{"resource": {api}}); answer["scope"] != "read:products write:orders" {
		t.Errorf("scope %v", answer["scope"])
	}
}

// Each refresh token keeps its own resources although the grant is one.
func TestRefreshTokensKeepTheirOwnResources(t *testing.T) {
	s := newSite(t)
	narrow := s.refreshToken(url.Values{"resource": {orgsTarget}})
	s.refreshToken(nil)
	if status, answer := s.refresh(narrow, url.Values{"resource": {api}}); status != 400 || answer["error"] != "invalid_target" {
		t.Errorf("status %d, %v", status, answer)
	}
}

func TestOneResourceWithoutOpenidNeedsNoMention(t *testing.T) {
	s := newSite(t)
	_, answer := s.exchange(s.code(url.Values{"scope": {"read:products"}, "resource": {api}}), nil)
	if _, payload := decode(t, answer["access_token"].(string)); payload["aud"] != api || answer["id_token"] != nil {
		t.Errorf("payload %v, ID token %v", payload, answer["id_token"])
	}
	status, answer := s.exchange(s.code(nil), url.Values{"resource": {api, orgsTarget}})
	if status != 400 || answer["error"] != "invalid_target" {
		t.Errorf("two resources: %d %v", status, answer)
	}
}

// Without offline_access a refresh token ends with the browser's session.
func TestRefreshTokenOfASessionEndsWithIt(t *testing.T) {
	mine := url.Values{"client_id": {always}}
	for name, end := range map[string]func(*site){
		"sign-out":      func(s *site) { s.browser.SignOut(s.endSession(nil)) },
		"administrator": func(s *site) { s.EndSessions(alice, false) },
		"age":           func(s *site) { s.advance(14*24*time.Hour - time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			code := s.code(url.Values{"client_id": {always}, "prompt": nil})
			s.advance(time.Second) // so that the session is the older of the two
			_, answer := s.exchange(code, mine)
			token := answer["refresh_token"].(string)
			if status, _ := s.refresh(token, mine); status != 200 {
				t.Fatalf("status %d before the end", status)
			}
			end(s)
			if status, answer := s.refresh(token, mine); status != 400 || answer["error"] != "invalid_grant" {
				t.Errorf("status %d, %v", status, answer)
			}
		})
	}
}
