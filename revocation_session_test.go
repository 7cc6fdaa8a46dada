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

// sessionIsOver fails the test unless the answer tells of a session that ended.
func sessionIsOver(tb testing.TB, what string, answer *caddytest.Response) {
	tb.Helper()
	if answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		tb.Errorf("%s: %d %s", what, answer.StatusCode, answer.Body)
	}
}

// awaitRevocations waits for so many refresh tokens to be revoked at the tenant.
func (m *members) awaitRevocations(want int) {
	m.tb.Helper()
	if err := m.tenant.Wait(m.tb.Context(), func(c devtenant.Counts) bool { return c.Revocation >= want }); err != nil {
		m.tb.Fatal(err)
	}
}

// A session is judged by its sign-in: a refresh after the entry does not help.
// Its refresh token is revoked once, however many requests come.
func TestRevokedSession(t *testing.T) {
	for name, entry := range map[string]revocation{"sub": {Subject: alice}, "client_id": {ClientID: testApp}} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, revocable)
			p := m.browser()
			p.signIn("/", alice)
			pass(t, 30*time.Minute)
			at := rfc3339(systemClock())
			pass(t, 30*time.Minute)
			isIn(t, "refreshed", p.fetch("/"))
			if got := m.tenant.Counts().Refreshes; got != 1 {
				t.Fatalf("%d refreshes", got)
			}
			entry.NotBefore = at // its token is younger
			ended := counting(t, metrics.sessionsEnded)
			revoke(t, entry)
			tab := p.tabOf()
			together(5, func(int) { sessionIsOver(t, "afterwards", tab()) })
			m.awaitRevocations(1)
			if answer := p.open("/"); !m.startsSignIn(answer) {
				t.Errorf("a page: %d %s", answer.StatusCode, answer.Body)
			}
			if page := p.signIn("/", alice); page.Body != "alice session" {
				t.Errorf("a new sign-in: %d %s", page.StatusCode, page.Body)
			}
			if got := m.tenant.Counts(); got.Revocation != 1 || got.Refreshes != 1 {
				t.Errorf("%d revocations, %d refreshes", got.Revocation, got.Refreshes)
			}
			if got := ended(); !maps.Equal(got, map[string]float64{"revoked": 1}) {
				t.Errorf("ended %v", got)
			}
		})
	}
}

// Logto knows its refresh token no more, so it would end a little later in any
// case.
func TestRevokedSessionDoesNotComeBack(t *testing.T) {
	m := newMembers(t, revocable)
	p, unseen := m.browser(), m.browser()
	p.signIn("/", alice)
	unseen.signIn("/", alice)
	pass(t, time.Second)
	revoke(t, revocation{Subject: alice})
	sessionIsOver(t, "revoked", p.fetch("/"))
	takeBack(t, revocation{Subject: alice})
	sessionIsOver(t, "taken back", p.fetch("/"))
	if answer := p.fetch("/.logto/session"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session's endpoint: %d", answer.StatusCode)
	}
	isIn(t, "who asked for nothing meanwhile", unseen.fetch("/"))
	if page := p.signIn("/", alice); page.Body != "alice session" {
		t.Errorf("a new sign-in: %d %s", page.StatusCode, page.Body)
	}
}

// The tokens of a sign-in that is under way may be older than the entry.
func TestRevocationDuringASignIn(t *testing.T) {
	m := newMembers(t, revocable)
	p := m.browser()
	callback := p.callback(p.start("/"), alice)
	m.tenant.SetTokenFault(devtenant.Slow)
	answers := make(chan *caddytest.Response, 1)
	header := p.cookieHeader()
	go func() {
		answers <- p.Get(callback, caddytest.Header("Host", testHost), caddytest.Header("Cookie", header))
	}()
	if err := m.tenant.Wait(t.Context(), func(c devtenant.Counts) bool { return c.Exchanges == 1 }); err != nil {
		t.Fatal(err)
	}
	pass(t, time.Second)
	revoke(t, revocation{Subject: alice})
	pass(t, time.Second)
	m.tenant.SetTokenFault(nil)
	m.tenant.Release()
	answer := <-answers
	goesTo(t, "the callback", answer, http.StatusSeeOther, "/")
	p.keep(answer)
	sessionIsOver(t, "signed in", p.fetch("/"))
}

// A session counts once as ended: one that was signed out is not counted again
// when its entry has expired and a revocation ends it as well. Nor is one that
// has expired.
func TestRevokedSessionThatHadEnded(t *testing.T) {
	m := newMembers(t, revocable)
	signedOut, expired := m.browser(), m.browser()
	signedOut.signIn("/", alice)
	expired.signIn("/", alice)
	stolen, late := signedOut.tabOf(), expired.tabOf()
	pass(t, time.Minute)
	ended := counting(t, metrics.sessionsEnded)
	signedOut.open("/.logto/sign-out", headers("Sec-Fetch-Site", "same-origin"))
	revoke(t, revocation{Subject: alice})
	pass(t, 2*time.Hour)
	sessionIsOver(t, "signed out", stolen())
	pass(t, 24*time.Hour-2*time.Hour)
	sessionIsOver(t, "expired", late())
	if got := ended(); !maps.Equal(got, map[string]float64{"signed_out": 1}) {
		t.Errorf("ended %v", got)
	}
}

// The refresh token of a session that another sign-in of the person has replaced
// is of one grant with the new one's, which has to live on.
func TestRevokedSessionThatWasReplaced(t *testing.T) {
	m := newMembers(t, revocable)
	p := m.browser()
	p.signIn("/", alice)
	old := p.tabOf()
	pass(t, time.Minute)
	goesTo(t, "again", p.open(p.callback(p.start("/.logto/sign-in"), alice)), http.StatusSeeOther, "/")
	pass(t, 2*time.Minute)
	sessionIsOver(t, "the replaced one", old())
	revoke(t, revocation{Subject: alice, NotBefore: rfc3339(systemClock().Add(-150 * time.Second))})
	sessionIsOver(t, "the replaced one, revoked", old())
	pass(t, time.Hour)
	isIn(t, "the new one, refreshed", p.fetch("/"))
	if got := m.tenant.Counts().Revocation; got != 0 {
		t.Errorf("%d revocations", got)
	}
}

// A session ends everywhere, at a site without revocation as well.
func TestRevokedSessionAtASiteWithoutRevocation(t *testing.T) {
	m := newMembers(t, smallest)
	p := m.browser()
	p.signIn("/", alice)
	stays := m.browser()
	stays.signIn("/", bob)
	pass(t, time.Second)
	revoke(t, revocation{Subject: alice})
	sessionIsOver(t, "Alice", p.fetch("/"))
	isIn(t, "Bob", stays.fetch("/"))
}

// Who leaves an organization has no token of it any more, and stays signed in.
// Who stays in it gets a new token, once.
func TestSessionsOfAnOrganization(t *testing.T) {
	site := strings.Replace(inOrganizations("organization {http.request.header.X-Org}", ""), "SIGN_IN", "revocation {\nwebhook_secret "+hookKey+"\n}\nSIGN_IN", 1)
	m := newMembers(t, site)
	people := map[string]*person{}
	at := func(user, organization string) *caddytest.Response {
		return people[user].fetch("/", caddytest.Header("X-Org", organization))
	}
	for _, user := range []string{alice, bob} {
		m.tenant.AddMember("acme", user)
		m.tenant.AddMember("globex", user)
		m.tenant.SetPermissions(user, devtenant.Permission{OrganizationID: "acme", Scopes: []string{"read:docs"}}, devtenant.Permission{OrganizationID: "globex", Scopes: []string{"read:docs"}})
		people[user] = m.browser()
		goesTo(t, user, people[user].open(people[user].callback(people[user].start("/.logto/sign-in"), user)), http.StatusSeeOther, "/")
		isIn(t, user, at(user, "acme"))
		isIn(t, user, at(user, "globex"))
	}
	pass(t, time.Minute)
	m.tenant.RemoveMember("acme", alice)
	m.tenant.SetPermissions(alice, devtenant.Permission{OrganizationID: "globex", Scopes: []string{"read:docs"}})
	// This one does not say who has left.
	if got := m.deliver(m.tenant.MembershipEvent("acme", nil, nil)); got != http.StatusNoContent {
		t.Fatal(got)
	}
	pass(t, 2*time.Second)
	before := m.tenant.Counts().Refreshes
	for range 3 {
		notAMember(t, at(alice, "acme"))
		isIn(t, "Alice at globex", at(alice, "globex"))
		isIn(t, "Bob at acme", at(bob, "acme"))
		isIn(t, "Bob at globex", at(bob, "globex"))
	}
	if got := m.tenant.Counts().Refreshes - before; got != 2 {
		t.Errorf("%d refreshes, want one for each", got)
	}
	if got := m.tenant.Counts().Revocation; got != 0 {
		t.Errorf("%d revocations", got)
	}
}

// A token that is refreshed within the second of the entry is on the list as
// well. The session survives that, and has another one a moment later.
func TestOrganizationTokenOfTheSameSecond(t *testing.T) {
	site := strings.Replace(inOrganizations("organization acme", ""), "SIGN_IN", "revocation\nSIGN_IN", 1)
	m := newMembers(t, site)
	p := m.browser()
	m.tenant.AddMember("acme", alice)
	p.signIn("/", alice)
	pass(t, time.Minute)
	ended := counting(t, metrics.sessionsEnded)
	// As at a tenant whose clock is behind.
	m.tenant.SetTokenFault(devtenant.AlterTokens(func(response map[string]any) {
		response["access_token"] = m.token(devtenant.TokenRequest{
			Subject: alice, ClientID: testApp, OrganizationID: "acme", Scope: "read:docs",
			Extra: map[string]any{"iat": systemClock().Add(-5 * time.Second).Unix()},
		})
	}))
	revoke(t, revocation{OrganizationID: "acme"})
	before, began := m.tenant.Counts().Refreshes, time.Now()
	for range 5 {
		isOut(t, "within the second", p.fetch("/"))
	}
	// On a machine that needs longer, a second token is asked for.
	if asked := m.tenant.Counts().Refreshes - before; asked == 0 || asked > 1 && time.Since(began) < pauseInVain {
		t.Errorf("asked for %d other tokens", asked)
	}
	m.tenant.SetTokenFault(nil)
	pass(t, 2*time.Second)
	isIn(t, "later", p.fetch("/"))
	if got := ended(); !maps.Equal(got, map[string]float64{}) {
		t.Errorf("ended %v", got)
	}
}
