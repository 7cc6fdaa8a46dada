package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Alice's tokens of all sites and her session end, and nobody else's.
func TestSuspensionEndsWhatAliceHas(t *testing.T) {
	keepEnvironment(t)
	err := withStack(t.Context(), example, func(s *stack) error {
		if _, err := signsIn("/profile", "alice")(t.Context(), s); err != nil {
			return err
		}
		before, _ := s.wallet.token("alice")
		press(t, s, "/demo/suspend")
		for _, test := range []struct {
			host, path, token string
			want              int
		}{
			{"", "/api/products", "alice", 401},
			{"org.localhost", "/api/members", "acme", 401},
			{"acme.app.localhost", "/api/invoices", "both", 401},
			{"org.localhost", "/api/members", "job", 200},
		} {
			got, err := check{path: test.path, token: test.token}.do(t.Context(), s, test.host)
			if err != nil {
				return err
			}
			if got.status != test.want {
				t.Errorf("%s at %s%s: %v, want %d", test.token, test.host, test.path, got, test.want)
			}
		}
		if who, err := asksWho(t.Context(), s); err != nil || who.status != http.StatusUnauthorized {
			t.Errorf("her session: %v %v", who, err)
		}
		press(t, s, "/demo/reinstate")
		for token, want := range map[string]answer{before: revoked, another(s): {200, aliceInfo, ""}} {
			if got, err := send(t.Context(), s, "", check{path: "/api/protected"}, token); err != nil || got != want {
				t.Errorf("reinstated: %v %v, want %v", got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// press presses one of the page's buttons.
func press(t *testing.T, s *stack, path string) {
	t.Helper()
	got, err := send(t.Context(), s, "", check{method: http.MethodPost, path: path}, "")
	if err != nil || got.status != http.StatusOK {
		t.Fatalf("%s: %v %v", path, got, err)
	}
}

// The command of the guide asks the demo's admin API.
func TestAdminAPITakesRevocations(t *testing.T) {
	keepEnvironment(t)
	err := withStack(t.Context(), example, func(s *stack) error {
		response, err := s.client.Post("http://"+s.admin+"/logto_auth/revocations", "application/json", strings.NewReader(`{"sub":"alice"}`))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		got, err := check{path: "/api/protected", token: "alice"}.do(t.Context(), s, "")
		if response.StatusCode != http.StatusOK || got != revoked {
			t.Errorf("%s, then %v", response.Status, got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPageTellsOfARevokedToken(t *testing.T) {
	keepEnvironment(t)
	err := withStack(t.Context(), example, func(s *stack) error {
		press(t, s, "/demo/suspend")
		_, came := pressSend(t, s, url.Values{"method": {"GET"}, "path": {"/api/products"}, "token": {"alice"}}, http.Header{})
		if came.Status != http.StatusUnauthorized || came.Reason != "revoked" || came.Hint == "" {
			t.Errorf("it shows %+v", came)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
