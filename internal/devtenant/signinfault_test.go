package devtenant_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestFaultsOfTokenAnswers(t *testing.T) {
	claim := func(name string, want any) func(map[string]any) bool {
		return func(answer map[string]any) bool {
			_, payload := decode(t, answer["id_token"].(string))
			return payload[name] == want && payload["iat"] == 1795262400.0
		}
	}
	for name, test := range map[string]struct {
		fault  devtenant.Fault
		status int
		holds  func(answer map[string]any) bool
	}{
		"wrong nonce":   {devtenant.IDTokenClaim("nonce", "other"), 200, claim("nonce", "other")},
		"no nonce":      {devtenant.IDTokenClaim("nonce", nil), 200, claim("nonce", nil)},
		"other sub":     {devtenant.IDTokenClaim("sub", bob), 200, claim("sub", bob)},
		"no ID token":   {devtenant.NoIDToken, 200, func(answer map[string]any) bool { return answer["id_token"] == nil && answer["access_token"] != nil }},
		"token type":    {devtenant.TokenType("DPoP"), 200, func(answer map[string]any) bool { return answer["token_type"] == "DPoP" }},
		"500":           {devtenant.ServerError, 500, func(answer map[string]any) bool { return answer["access_token"] == nil }},
		"429":           {devtenant.TooManyRequests(3 * time.Second), 429, func(answer map[string]any) bool { return answer["message"] != nil }},
		"refused":       {devtenant.Refused(401, "invalid_client", "x"), 401, func(answer map[string]any) bool { return answer["error"] == "invalid_client" }},
		"for this app":  {devtenant.ForApp(web, devtenant.ServerError), 500, func(map[string]any) bool { return true }},
		"for another":   {devtenant.ForApp(spa, devtenant.ServerError), 200, func(answer map[string]any) bool { return answer["access_token"] != nil }},
		"for exchanges": {devtenant.ForGrant("authorization_code", devtenant.ServerError), 500, func(map[string]any) bool { return true }},
		"for refreshes": {devtenant.ForGrant("refresh_token", devtenant.ServerError), 200, func(map[string]any) bool { return true }},
		"200 organizations": {devtenant.ManyOrganizations(200), 200, func(answer map[string]any) bool {
			token := answer["id_token"].(string)
			_, payload := decode(t, token)
			return len(payload["organizations"].([]any)) == 200 && len(payload["organization_roles"].([]any)) == 200 && len(token) > 8<<10
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.SetTokenFault(test.fault)
			status, answer := s.exchange(s.code(nil), nil)
			if status != test.status || !test.holds(answer) {
				t.Errorf("status %d, %v", status, answer)
			}
		})
	}
}

// What a fault changes is signed by the tenant's key, or the signature would
// be what a client finds wrong.
func TestAlteredIDTokenIsSigned(t *testing.T) {
	s := newSite(t)
	s.SetTokenFault(devtenant.IDTokenClaim("sub", bob))
	_, answer := s.exchange(s.code(nil), nil)
	s.signIn(nil)
	hint, _ := answer["id_token"].(string)
	if page := s.browser.SignOut(s.endSession(url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}})); page.Left == nil {
		t.Errorf("no hint: %d %s", page.Status, page.Body)
	}
}

func TestErrorsAreNotAltered(t *testing.T) {
	s := newSite(t)
	s.SetTokenFault(devtenant.NoIDToken)
	if status, answer := s.exchange("x", nil); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("status %d, %v", status, answer)
	}
}

func TestFaultsOfCallbacks(t *testing.T) {
	for name, test := range map[string]struct {
		fault devtenant.Fault
		want  []string
	}{
		"none":   {nil, []string{"http://localhost:3001/oidc"}},
		"no iss": {devtenant.NoIssuer, nil},
		"other":  {devtenant.OtherIssuer("https://evil.example/oidc"), []string{"https://evil.example/oidc"}},
		"second": {devtenant.SecondIssuer("https://evil.example/oidc"), []string{"http://localhost:3001/oidc", "https://evil.example/oidc"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, automatic := range []string{alice, ""} {
				s := newSite(t)
				s.SignInAs(automatic)
				s.SetAuthorizationFault(test.fault)
				got := s.signIn(nil)
				if strings.Join(got["iss"], " ") != strings.Join(test.want, " ") || !got.Has("code") || got.Get("state") != "YmRG" {
					t.Errorf("callback %v, want iss %v", got, test.want)
				}
			}
		})
	}
}

// The tenant has done what was asked; only the client does not know.
func TestLostAnswers(t *testing.T) {
	s := newSite(t)
	code := s.code(nil)
	s.SetTokenFault(devtenant.Times(1, devtenant.Lost))
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier},
		"client_id": {web}, "client_secret": {webSecret},
	}
	response, err := s.http.PostForm(s.Endpoint()+devtenant.TokenPath, form)
	if err == nil {
		_ = response.Body.Close()
		t.Fatalf("answered %d", response.StatusCode)
	}
	if status, answer := s.exchange(code, nil); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("the second time: %d %v", status, answer)
	}
}

func TestFaultsOfOtherEndpoints(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(nil)
	s.SetRevocationFault(devtenant.Status(502))
	if answer := s.revoke(token, nil); answer.Code != 502 {
		t.Errorf("revocation: %d", answer.Code)
	}
	s.SetEndSessionFault(devtenant.Status(503))
	if page := s.browser.Open(s.endSession(nil)); page.Status != 503 {
		t.Errorf("end_session: %d", page.Status)
	}
	s.SetAuthorizationFault(devtenant.ForApp(web, devtenant.Status(504)))
	if page := s.browser.Open(s.request(nil)); page.Status != 504 {
		t.Errorf("authorization: %d", page.Status)
	}
	if page := s.browser.Open(s.request(url.Values{"client_id": {spa}})); page.Left == nil {
		t.Errorf("another app's authorization: %d", page.Status)
	}
	want := devtenant.Counts{Token: 1, Exchanges: 1, Authorization: 3, Revocation: 1, EndSession: 1}
	if got := s.Counts(); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	if status, _ := s.refresh(token, nil); status != 200 || s.Counts().Refreshes != 1 {
		t.Errorf("refresh: %d, counted %+v", status, s.Counts())
	}
}

func TestDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.SetJWKSFault(devtenant.Delayed(time.Minute))
		begin := time.Now()
		if err := attempt(t.Context(), s.http, s.Endpoint()+devtenant.JWKSPath); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("error %v after %v", err, time.Since(begin))
		}
		ctx, giveUp := context.WithTimeout(t.Context(), time.Second)
		defer giveUp()
		if err := attempt(ctx, s.http, s.Endpoint()+devtenant.JWKSPath); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestOversizedTokenAnswerIsRightOtherwise(t *testing.T) {
	s := newSite(t)
	code := s.code(nil)
	s.SetTokenFault(devtenant.Huge)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier}, "client_id": {web}, "client_secret": {webSecret}}
	response, err := s.http.PostForm(s.Endpoint()+devtenant.TokenPath, form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || len(body) < 10<<20 || object(body)["id_token"] == nil {
		t.Errorf("status %d, %d bytes, %v", response.StatusCode, len(body), err)
	}
}
