package logtoauth

import (
	"maps"
	"net/http"
	"strings"
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

// byAnotherName are the ways to end Alice's sessions by another name of the
// tenant than that of the site that she is signed in to, so on another list.
var byAnotherName = map[string]func(t *testing.T, m *members){
	"a webhook": func(t *testing.T, m *members) {
		if got := m.deliverTo("named.example.com", m.tenant.DeletionEvent(alice)); got != http.StatusNoContent {
			t.Errorf("the webhook: %d", got)
		}
	},
	"a back-channel logout": func(t *testing.T, m *members) {
		token := m.tenant.LogoutToken(devtenant.LogoutTokenRequest{ClientID: testApp, Subject: alice, Extra: map[string]any{"iss": otherIssuer}})
		isTaken(t, "the logout", m.logOutAt("named.example.com", token), true)
	},
	"the admin API, by person": func(t *testing.T, _ *members) {
		revoke(t, revocation{Issuer: otherIssuer, Subject: alice})
	},
	"the admin API, by app": func(t *testing.T, _ *members) {
		revoke(t, revocation{Issuer: otherIssuer, ClientID: testApp})
	},
}

// waiting sends a request whose session has to be refreshed by a tenant that
// waits for Release. The function that it returns waits for the answer.
func (p *person) waiting(t *testing.T) (answer func() *caddytest.Response) {
	t.Helper()
	p.tenant.SetTokenFault(devtenant.Slow)
	before := p.tenant.Counts().Refreshes
	tab, came := p.tabOf(), make(chan *caddytest.Response, 1)
	go func() { came <- tab() }()
	if err := p.tenant.Wait(t.Context(), func(c devtenant.Counts) bool { return c.Refreshes > before }); err != nil {
		t.Fatal(err)
	}
	return func() *caddytest.Response {
		t.Helper()
		select {
		case got := <-came:
			return got
		case <-t.Context().Done():
			t.Fatal("no answer")
			return nil
		}
	}
}

// endsWithoutCookie fails the test unless the answer tells of a session that
// ended, and does not renew it.
func endsWithoutCookie(t *testing.T, answer *caddytest.Response) {
	t.Helper()
	sessionIsOver(t, "the request that waited", answer)
	if cookies := answer.Header["Set-Cookie"]; len(cookies) != 0 {
		t.Errorf("it sets %.60q", cookies)
	}
}

// A session that is ended by another name of the tenant, while a request of it
// waits for its refresh, is over for that very request.
func TestSessionEndsByAnotherNameWhileItRefreshes(t *testing.T) {
	for name, end := range byAnotherName {
		t.Run(name, func(t *testing.T) {
			p := newMembers(t, namedSites).browser()
			p.signIn("/", alice)
			pass(t, 2*time.Hour)
			requests := counting(t, metrics.requests)
			answer := p.waiting(t)
			end(t, p.members)
			p.tenant.Release()
			endsWithoutCookie(t, answer())
			p.awaitRevocations(1) // its refresh token, which nobody may come back with
			if got := requests(); got["refused session_ended"] != 1 {
				t.Errorf("counted %v", got)
			}
			sessionIsOver(t, "the next one", p.fetch("/"))
		})
	}
}

// Nor does the answer to a request that was admitted before renew it.
func TestSessionEndsByAnotherNameWhileItIsAnswered(t *testing.T) {
	test := func(end func(t *testing.T, m *members), writes bool) func(*testing.T) {
		return func(t *testing.T) {
			m := newMembers(t, namedSites)
			loadSlow(t, m, m.text(namedSites), `{"body":"{http.auth.user.id} {http.auth.user.source}"`)
			p := m.browser()
			p.signIn("/", alice)
			pass(t, 50*time.Minute) // so that the slow request refreshes
			answer := p.slowly("/slow", func() { end(t, m) })
			isIn(t, "the slow request", answer)
			if got := answer.Header["Set-Cookie"]; len(got) > 0 != writes {
				t.Errorf("it writes %.60q", got)
			}
		}
	}
	for name, end := range byAnotherName {
		t.Run(name, test(end, false))
	}
	t.Run("by its own name, by app", test(func(t *testing.T, m *members) {
		revoke(t, revocation{Issuer: m.tenant.Issuer(), ClientID: testApp})
	}, false))
	t.Run("not ended", test(func(*testing.T, *members) {}, true))
}

// A request that waits while the config is replaced has the lists that the new
// config joins.
func TestSessionEndsByAnotherNameDuringAReload(t *testing.T) {
	for name, before := range map[string]string{"joined before": namedSites, "joined since": revocable} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, before)
			p := m.browser()
			p.signIn("/", alice)
			pass(t, 2*time.Hour)
			own := listOf(t, m.tenant.Issuer())
			old := own.configs.Current()
			answer := p.waiting(t)
			reloaded := make(chan error, 1)
			go func() { reloaded <- m.Load(m.text(strings.Replace(namedSites, "respond ok", "respond fine", 1))) }()
			eventually(t, "the new config", func() bool { return own.configs.Current() != old })
			revoke(t, revocation{Issuer: otherIssuer, Subject: alice})
			m.tenant.Release()
			endsWithoutCookie(t, answer())
			if err := <-reloaded; err != nil {
				t.Fatal(err)
			}
			sessionIsOver(t, "the next one", p.fetch("/"))
		})
	}
}
