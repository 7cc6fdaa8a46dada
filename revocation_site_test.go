package logtoauth

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

func TestSuspendedPersonIsOutAtOnce(t *testing.T) {
	m := newMembers(t, revocable)
	p := m.browser()
	p.signIn("/", alice)
	token := m.tenant.Token(devtenant.TokenRequest{Subject: alice, ClientID: "other-app", Resource: testAPI})
	show := func() *caddytest.Response {
		return m.Get("/", caddytest.Header("Host", testHost), caddytest.Bearer(token))
	}
	if answer := show(); answer.StatusCode != http.StatusOK {
		t.Fatalf("before: %d %s", answer.StatusCode, answer.Body)
	}
	pass(t, time.Minute)
	m.tenant.Suspend(alice)
	if status := m.deliver(m.tenant.SuspensionEvent(alice)); status != http.StatusNoContent {
		t.Fatalf("webhook: %d", status)
	}
	if answer := show(); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Invalid token") {
		t.Errorf("a token that was verified before: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("the session: %d %s", answer.StatusCode, answer.Body)
	}
	m.tenant.Reinstate(alice)
	pass(t, time.Minute)
	token = m.tenant.Token(devtenant.TokenRequest{Subject: alice, ClientID: "other-app", Resource: testAPI})
	if answer := show(); answer.StatusCode != http.StatusOK {
		t.Errorf("a token that was issued later: %d %s", answer.StatusCode, answer.Body)
	}
	if page := p.signIn("/", alice); page.Body != "alice session" {
		t.Errorf("a new sign-in: %d %s", page.StatusCode, page.Body)
	}
}
