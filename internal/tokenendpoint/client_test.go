package tokenendpoint_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

// claimsOf are the claims of a JWT; nil of an opaque token.
func claimsOf(tb testing.TB, token string) map[string]any {
	tb.Helper()
	segments := strings.Split(token, ".")
	if len(segments) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	var claims map[string]any
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		tb.Fatalf("no JWT: %s", token)
	}
	return claims
}

func TestExchange(t *testing.T) {
	s := newSite(t)
	code := s.code()
	tokens, err := s.Exchange(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	if claims := claimsOf(t, tokens.AccessToken); claims["aud"] != api || claims["sub"] != alice || claims["scope"] != "read:products write:orders" {
		t.Errorf("access token of %v", claims)
	}
	if claims := claimsOf(t, tokens.IDToken); claims["aud"] != app || claims["sub"] != alice {
		t.Errorf("ID token of %v", claims)
	}
	if tokens.RefreshToken == "" {
		t.Error("no refresh token")
	}
	if want := (url.Values{
		"grant_type": {"authorization_code"}, "code": {code.Code}, "redirect_uri": {callback},
		"code_verifier": {verifier}, "resource": {api},
	}); !reflect.DeepEqual(s.sent.forms[0], want) {
		t.Errorf("sent %v, want %v", s.sent.forms[0], want)
	}
}

func TestExchangeWithoutResource(t *testing.T) {
	s := newSite(t)
	code := s.code()
	code.Resource = ""
	tokens, err := s.Exchange(t.Context(), code)
	if err != nil || tokens.AccessToken == "" || claimsOf(t, tokens.AccessToken) != nil || tokens.IDToken == "" {
		t.Errorf("tokens %v, error %v, want an opaque access token", tokens, err)
	}
	if s.sent.forms[0].Has("resource") {
		t.Errorf("sent %v", s.sent.forms[0])
	}
}

func TestRefusedExchanges(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*tokenendpoint.Code)
		code   string
	}{
		"another verifier":     {func(c *tokenendpoint.Code) { c.Verifier = strings.Repeat("x", 43) }, "invalid_grant"},
		"another redirect URI": {func(c *tokenendpoint.Code) { c.RedirectURI += "2" }, "invalid_grant"},
		"another code":         {func(c *tokenendpoint.Code) { c.Code += "2" }, "invalid_grant"},
		"another resource":     {func(c *tokenendpoint.Code) { c.Resource += "2" }, "invalid_target"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			code := s.code()
			test.change(&code)
			tokens, err := s.Exchange(t.Context(), code)
			if failure := failureOf(t, err); failure.Status != 400 || failure.Code != test.code || tokens != (tokenendpoint.Tokens{}) {
				t.Errorf("tokens %v, error %v with %d %q", tokens, err, failure.Status, failure.Code)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	for name, test := range map[string]struct {
		target session.Target
		form   url.Values
		aud    any
		org    any
	}{
		"identity":                {session.Target{}, url.Values{}, nil, nil},
		"resource":                {session.Target{Resource: api}, url.Values{"resource": {api}}, api, nil},
		"organization":            {session.Target{Organization: memberOrg}, url.Values{"organization_id": {memberOrg}}, "urn:logto:organization:" + memberOrg, nil},
		"organization's resource": {session.Target{Resource: api, Organization: memberOrg}, url.Values{"resource": {api}, "organization_id": {memberOrg}}, api, memberOrg},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			token := s.signIn().RefreshToken
			tokens, err := s.Refresh(t.Context(), session.RefreshRequest{RefreshToken: token, Target: test.target})
			if err != nil {
				t.Fatal(err)
			}
			claims := claimsOf(t, tokens.AccessToken)
			if claims["aud"] != test.aud || claims["organization_id"] != test.org || claimsOf(t, tokens.IDToken)["sub"] != alice || tokens.RefreshToken != token {
				t.Errorf("%v, access token of %v", tokens, claims)
			}
			// Never `scope`, or the ID token might be missing.
			test.form.Set("grant_type", "refresh_token")
			test.form.Set("refresh_token", token)
			if sent := s.sent.forms[1]; !reflect.DeepEqual(sent, test.form) {
				t.Errorf("sent %v, want %v", sent, test.form)
			}
		})
	}
}

func TestRevoke(t *testing.T) {
	s := newSite(t)
	token := s.signIn().RefreshToken
	if err := s.Revoke(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if want := (url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}); !reflect.DeepEqual(s.sent.forms[1], want) {
		t.Errorf("sent %v, want %v", s.sent.forms[1], want)
	}
	_, err := s.Refresh(t.Context(), session.RefreshRequest{RefreshToken: token})
	if failure := failureOf(t, err); failure.Code != "invalid_grant" {
		t.Errorf("refreshed after the revocation: %v", err)
	}
	// What is unknown is as good as revoked (RFC 7009 section 2.2).
	if err := s.Revoke(t.Context(), "unknown"); err != nil {
		t.Error(err)
	}
}

func TestRevocationFails(t *testing.T) {
	for name, fault := range map[string]devtenant.Fault{
		"no answer": devtenant.Down,
		"500":       devtenant.ServerError,
		"redirect":  devtenant.RedirectTo("/"),
		"too large": devtenant.Fault(func(e *devtenant.Exchange) {
			e.Answer()
			_, _ = e.Writer.Write(make([]byte, 1<<20))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.SetRevocationFault(fault)
			if err := s.Revoke(t.Context(), s.signIn().RefreshToken); err == nil {
				t.Error("counts as confirmed")
			}
		})
	}
}

// A sign-out waits for two seconds at most, whatever the timeout.
func TestRevocationTakesTooLong(t *testing.T) {
	for name, fault := range map[string]devtenant.Fault{"hang": devtenant.Hang, "slow": devtenant.Slow} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				token := s.signIn().RefreshToken
				s.SetRevocationFault(fault)
				start := time.Now()
				err := s.Revoke(t.Context(), token)
				if failure := failureOf(t, err); failure.Status != 0 || time.Since(start) != 2*time.Second {
					t.Errorf("after %s: %v", time.Since(start), err)
				}
			})
		})
	}
}

// IDs and secrets are encoded as in a form before they become credentials.
func TestClientAuthentication(t *testing.T) {
	for id, test := range map[string]struct{ secret, userPass string }{
		app:                      {secret, app + ":" + secret},
		"a:b":                    {"c:d", "a%3Ab:c%3Ad"},
		"100%":                   {"50%25", "100%25:50%2525"},
		"a+b c":                  {"d e+f", "a%2Bb+c:d+e%2Bf"},
		"https://app.example/?&": {"=;,/\\\"", "https%3A%2F%2Fapp.example%2F%3F%26:%3D%3B%2C%2F%5C%22"},
		"café":                   {"пароль🔑", "caf%C3%A9:%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C%F0%9F%94%91"},
		"-._~*":                  {"\r\n\x00", "-._~%2A:%0D%0A%00"},
	} {
		t.Run(id, func(t *testing.T) {
			s := siteOf(t, devtenant.App{ID: id, Secret: test.secret})
			token := s.signIn().RefreshToken
			if err := s.Revoke(t.Context(), token); err != nil {
				t.Error(err)
			}
			want := "Basic " + base64.StdEncoding.EncodeToString([]byte(test.userPass))
			for i, sent := range s.sent.requests {
				// One mechanism only (RFC 6749 section 2.3).
				if got := sent.Header["Authorization"]; len(got) != 1 || got[0] != want || s.sent.forms[i].Has("client_id") || s.sent.forms[i].Has("client_secret") {
					t.Errorf("sent %q, want %q, with %v", got, want, s.sent.forms[i])
				}
			}
		})
	}
}

func TestRequestHeader(t *testing.T) {
	s := newSite(t)
	s.signIn()
	sent := s.sent.requests[0]
	if want := "application/x-www-form-urlencoded"; sent.Header.Get("Content-Type") != want || sent.Method != http.MethodPost || sent.URL.RawQuery != "" {
		t.Errorf("sent %s %s, Content-Type %q, want %q", sent.Method, sent.URL, sent.Header.Get("Content-Type"), want)
	}
	if got := sent.Header.Get("Accept"); got != "application/json" {
		t.Errorf("Accept %q", got)
	}
}

// Unknown apps are 400 at Logto, wrong secrets 401.
func TestWrongClient(t *testing.T) {
	s := newSite(t)
	for name, test := range map[string]struct {
		app    devtenant.App
		status int
	}{
		"unknown app":  {devtenant.App{ID: "unknown", Secret: secret}, 400},
		"wrong secret": {devtenant.App{ID: app, Secret: secret + "2"}, 401},
	} {
		client := tokenendpoint.New(&http.Client{Transport: s.sent}, configOf(s.Endpoint(), test.app))
		_, exchanged := client.Exchange(t.Context(), s.code())
		_, refreshed := client.Refresh(t.Context(), session.RefreshRequest{RefreshToken: "unknown"})
		for what, err := range map[string]error{"exchange": exchanged, "refresh": refreshed, "revocation": client.Revoke(t.Context(), "unknown")} {
			if failure := failureOf(t, err); failure.Status != test.status || failure.Code != "invalid_client" {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}
