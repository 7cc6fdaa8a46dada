package devtenant_test

import (
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// idToken is the ID token of a sign-in.
func (s *site) idToken(changes url.Values) (header, payload map[string]any) {
	s.t.Helper()
	status, answer := s.exchange(s.code(changes), nil)
	token, _ := answer["id_token"].(string)
	if status != 200 || token == "" {
		s.t.Fatalf("status %d, no ID token in %v", status, answer)
	}
	return decode(s.t, token)
}

// backChannel lets the web app ask for logout tokens.
func (s *site) backChannel(sessionRequired bool) {
	s.AddApp(devtenant.App{
		ID: web, Secret: webSecret, RedirectURIs: []string{callback}, PostLogoutRedirectURIs: []string{bye},
		BackChannelLogoutURI: "http://localhost:8080/bcl", BackChannelLogoutSessionRequired: sessionRequired,
	})
}

func TestIDTokenIsTheOneRecorded(t *testing.T) {
	want := readRecorded(t).IDToken
	s := newSite(t)
	s.backChannel(true)
	header, payload := s.idToken(url.Values{"max_age": {"3600"}})
	equalShapes(t, "header", header, want.Header)
	equalShapes(t, "payload", payload, want.Payload)
	holds(t, "payload", payload, want.Payload)
	if payload["nonce"] != "bm9u" {
		t.Errorf("nonce %v", payload["nonce"])
	}
	if iat, exp := payload["iat"].(float64), payload["exp"].(float64); exp-iat != 3600 {
		t.Errorf("lives %v s", exp-iat)
	}

	_, payload = newSite(t).idToken(nil)
	for _, name := range want.NotByDefault {
		if payload[name] != nil {
			t.Errorf("%s is %v without having been asked for", name, payload[name])
		}
	}
}

func TestIDTokenHasSidOnlyWhereTheSessionIsRequired(t *testing.T) {
	for _, required := range []bool{true, false} {
		s := newSite(t)
		s.backChannel(required)
		_, first := s.idToken(nil)
		_, second := s.idToken(nil)
		if sid, _ := first["sid"].(string); (sid != "") != required || second["sid"] != first["sid"] {
			t.Errorf("required %t: sid %v, then %v", required, first["sid"], second["sid"])
		}
	}
}

func TestIDTokenHasTheClaimsOfItsScopes(t *testing.T) {
	always := []string{"aud", "exp", "iat", "iss", "nonce", "sub"}
	for scope, claims := range map[string][]string{
		"openid":              {},
		"openid email":        {"email", "email_verified"},
		"openid phone":        {"phone_number", "phone_number_verified"},
		"openid roles":        {"roles"},
		"openid " + orgsScope: {"organizations"},
		"openid urn:logto:scope:organization_roles": {"organization_roles"},
		"openid profile": {"created_at", "name", "picture", "preferred_username", "updated_at", "username"},
		// Userinfo only.
		"openid custom_data identities": {},
	} {
		s := newSite(t)
		s.AddUser(devtenant.User{ID: alice, Phone: "+4930123456"})
		_, payload := s.idToken(url.Values{"scope": {scope}})
		want := slices.Sorted(slices.Values(append(claims, always...)))
		if got := slices.Sorted(maps.Keys(payload)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", scope, got, want)
		}
	}
}

func TestRefreshedIDTokenHasTheSameNonceAndTheClaimsOfToday(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(nil)
	s.advance(time.Hour)
	s.AddMember(foreignOrg, alice, "guest")
	_, answer := s.refresh(token, nil)
	_, payload := decode(t, answer["id_token"].(string))
	if payload["nonce"] != "bm9u" || payload["iat"] != float64(s.Now().Unix()) || len(payload["organizations"].([]any)) != 3 {
		t.Errorf("payload %v", payload)
	}
}

// An ID token that devtenant did not sign is no hint.
func TestForgedHintIsNoHint(t *testing.T) {
	s := newSite(t)
	s.signIn(nil)
	forged := devtenant.New(devtenant.Options{}).IDToken(alice, web)
	if got := s.signIn(url.Values{"prompt": {"none"}, "id_token_hint": {forged}}); got.Get("error") != "login_required" {
		t.Errorf("callback %v", got)
	}
}
