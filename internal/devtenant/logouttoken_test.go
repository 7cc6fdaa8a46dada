package devtenant_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// logoutToken is the token that one request carries.
func logoutToken(t *testing.T, r *http.Request) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || len(form) != 1 {
		t.Fatalf("%s with %v: %q, %v", r.Method, r.Header, body, err)
	}
	return form.Get("logout_token")
}

func TestLogoutTokenIsTheOneRecorded(t *testing.T) {
	want := readRecorded(t).LogoutToken
	for _, required := range []bool{true, false} {
		s := newSite(t)
		s.backChannel(required)
		_, idToken := s.idToken(nil)
		s.browser.SignOut(s.endSession(url.Values{"client_id": {spa}})) // whichever app asks
		requests, err := s.Logouts(t.Context())
		if err != nil || len(requests) != 1 || requests[0].URL.String() != "http://localhost:8080/bcl" {
			t.Fatalf("%d logout tokens, %v", len(requests), err)
		}
		header, payload := decode(t, logoutToken(t, requests[0]))
		if !required {
			delete(want.Payload, "sid")
		}
		equalShapes(t, "header", header, want.Header)
		holds(t, "header", header, want.Header)
		equalShapes(t, "payload", payload, want.Payload)
		holds(t, "payload", payload, want.Payload)
		if payload["sid"] != idToken["sid"] {
			t.Errorf("sid %v, the ID token's %v", payload["sid"], idToken["sid"])
		}
		if life := payload["exp"].(float64) - payload["iat"].(float64); life != want.Lifetime {
			t.Errorf("lives %v s", life)
		}
		if again, err := s.Logouts(t.Context()); err != nil || len(again) != 0 {
			t.Errorf("%d more logout tokens, %v", len(again), err)
		}
	}
}

func TestNoLogoutTokenTellsOfWhatAnAdministratorDoes(t *testing.T) {
	s := newSite(t)
	s.backChannel(true)
	for _, end := range []func(){
		func() { s.EndSessions(alice, true) },
		func() { s.Suspend(alice); s.Reinstate(alice) },
		func() { s.DeleteUser(alice) },
	} {
		s.signIn(nil)
		end()
		if requests, err := s.Logouts(t.Context()); err != nil || len(requests) != 0 {
			t.Errorf("%d logout tokens, %v", len(requests), err)
		}
	}
}

func TestTenantSendsLogoutTokensItself(t *testing.T) {
	s := newSite(t)
	s.backChannel(true)
	received := make(chan string, 2)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- logoutToken(t, r)
		w.WriteHeader(http.StatusBadRequest) // nobody is told
	}))
	defer app.Close()
	s.AddApp(devtenant.App{ID: web, Secret: webSecret, RedirectURIs: []string{callback}, BackChannelLogoutURI: app.URL})
	s.AddApp(devtenant.App{ID: always, Secret: webSecret, RedirectURIs: []string{callback}, BackChannelLogoutURI: "http://127.0.0.1:1/nobody"})
	s.DeliverLogouts(app.Client())
	s.signIn(nil)
	s.signIn(url.Values{"client_id": {always}})
	if page := s.browser.SignOut(s.endSession(nil)); page.Status != 200 {
		t.Errorf("status %d", page.Status)
	}
	// It came before the browser went on.
	if len(received) != 1 {
		t.Fatalf("%d logout tokens", len(received))
	}
	if _, payload := decode(t, <-received); payload["aud"] != web || payload["sid"] != nil {
		t.Errorf("payload %v", payload)
	}
}

func TestLogoutTokenOfOnesOwn(t *testing.T) {
	s := newSite(t)
	header, payload := decode(t, s.LogoutToken(devtenant.LogoutTokenRequest{
		ClientID: web, Subject: alice, SessionID: "s", Extra: map[string]any{"nonce": "x", "events": nil},
	}))
	if header["typ"] != "logout+jwt" || payload["nonce"] != "x" || payload["events"] != nil || payload["sid"] != "s" {
		t.Errorf("header %v, payload %v", header, payload)
	}
}
