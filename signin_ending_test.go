package logtoauth

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// Who signs in again has other tabs, whose requests go on for a minute; the
// refresh token of the old session is not revoked, which would end the new one.
func TestSecondSignInOfTheSamePerson(t *testing.T) {
	p := newMembers(t, forTheAPI).browser()
	p.signIn("/", alice)
	ended := counting(t, metrics.sessionsEnded)
	tab := p.tabOf()
	p.open(p.callback(p.start("/.logto/sign-in"), alice))
	for _, step := range []struct {
		after  time.Duration
		status int
	}{{0, 200}, {58 * time.Second, 200}, {3 * time.Second, 401}} {
		pass(t, step.after)
		if answer := tab(); answer.StatusCode != step.status {
			t.Errorf("the old session, %s later: %d %s", step.after, answer.StatusCode, answer.Body)
		}
		if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
			t.Errorf("the new session: %d %s", answer.StatusCode, answer.Body)
		}
	}
	if !maps.Equal(ended(), map[string]float64{"replaced": 1}) || p.tenant.Counts().Revocation != 0 {
		t.Errorf("ended %v, %d revocations", ended(), p.tenant.Counts().Revocation)
	}
	pass(t, 2*time.Hour)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
		t.Errorf("the new session later: %d %s", answer.StatusCode, answer.Body)
	}
}

// On a shared computer, the one who was there before is out at once.
func TestAnotherPersonsSignInEndsTheSession(t *testing.T) {
	p := newMembers(t, forTheAPI).browser()
	p.signIn("/", alice)
	ended := counting(t, metrics.sessionsEnded)
	tab := p.tabOf()
	p.logto = p.browser().logto
	if page := p.open(p.callback(p.start("/.logto/sign-in"), bob)); page.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", page.StatusCode, page.Body)
	}
	if answer := tab(); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("Alice's: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.fetch("/"); answer.Body != "hello bob session at /" {
		t.Errorf("Bob's: %d %s", answer.StatusCode, answer.Body)
	}
	if !maps.Equal(ended(), map[string]float64{"other_person": 1}) || p.tenant.Counts().Revocation != 1 {
		t.Errorf("ended %v, %d revocations", ended(), p.tenant.Counts().Revocation)
	}
}

// A session that has ended at a sign_in with a short lifetime must not begin
// anew at one with a longer lifetime, when the short one is over.
func TestEndedSessionsStayEndedForTheLongestLifetime(t *testing.T) {
	p := newMembers(t, `
www.example.com {
	logto_auth /short/* {
		endpoint TENANT
		SIGN_IN {
			lifetime 1h
		}
	}
	logto_auth {
		endpoint TENANT
		SIGN_IN
	}
	respond "hello {http.auth.user.id}"
}
`).browser()
	p.signIn("/", alice)
	stolen := caddytest.Header("Cookie", p.cookieHeader())
	p.tenant.SetRevocationFault(devtenant.Status(http.StatusBadGateway))
	p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin"))
	for range 2 {
		if answer := p.fetch("/x", stolen); answer.Body != refusedWith("Session ended") {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
		pass(t, 2*time.Hour)
	}
}

// Whoever has a cookie that is past its lifetime must not keep the tenant busy.
func TestSignOutOfAnExpiredSessionIsRevokedOnce(t *testing.T) {
	p := newMembers(t, smallest).browser()
	p.signIn("/", alice)
	stolen := caddytest.Header("Cookie", p.cookieHeader())
	p.cookies = map[string]string{}
	pass(t, 8*24*time.Hour)
	for range 3 {
		p.fetch("/.logto/sign-out", stolen, caddytest.Method(http.MethodPost), caddytest.Header("Sec-Fetch-Site", "same-origin"))
	}
	if got := p.tenant.Counts().Revocation; got != 1 {
		t.Errorf("%d revocations, want 1", got)
	}
}
