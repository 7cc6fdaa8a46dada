package logtoauth

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// smallest is the Caddyfile of the documentation, with a page that shows who it
// is for.
const smallest = `
www.example.com {
	logto_auth {
		endpoint TENANT
		SIGN_IN
	}
	respond "hello {http.auth.user.id} {http.auth.user.source} at {http.request.uri}"
}
`

func TestPersonGetsInAndOut(t *testing.T) {
	for _, protocol := range caddytest.Protocols {
		t.Run(protocol, func(t *testing.T) {
			m := newMembers(t, smallest)
			m.Server = m.Over(protocol)
			getsInAndOut(t, m.browser(), protocol)
		})
	}
}

func getsInAndOut(t *testing.T, p *person, protocol string) {
	t.Helper()
	page := p.signIn("/deep/page?a=1&b=2", alice)
	if page.StatusCode != http.StatusOK || page.Body != "hello alice session at /deep/page?a=1&b=2" || page.Proto != protocol {
		t.Fatalf("after signing in: %d %s over %s", page.StatusCode, page.Body, page.Proto)
	}
	if who := p.fetch("/.logto/session"); who.StatusCode != http.StatusOK || !strings.Contains(who.Body, `"sub":"alice"`) {
		t.Errorf("the session: %d %s", who.StatusCode, who.Body)
	}
	if again := p.fetch("/data"); again.Body != "hello alice session at /data" {
		t.Errorf("a script's request: %d %s", again.StatusCode, again.Body)
	}
	out := p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin"))
	if out.StatusCode != http.StatusSeeOther || !strings.HasPrefix(out.Header.Get("Location"), p.tenant.Issuer()+"/session/end?") {
		t.Fatalf("sign-out: %d to %s %s", out.StatusCode, out.Header.Get("Location"), out.Body)
	}
	if len(p.cookies) != 0 {
		t.Errorf("cookies are left: %v", p.cookies)
	}
	left := p.logto.SignOut(out.Header.Get("Location")).Left
	if left == nil || left.String() != "https://www.example.com/.logto/signed-out" {
		t.Fatalf("the sign-out ends at %v", left)
	}
	page = p.open("/.logto/signed-out")
	if page.StatusCode != http.StatusOK || !strings.Contains(page.Body, "/.logto/sign-in") || page.Header.Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("signed-out: %d %v %s", page.StatusCode, page.Header, page.Body)
	}
	if who := p.fetch("/.logto/session"); who.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session after signing out: %d %s", who.StatusCode, who.Body)
	}
	if answer := p.open("/"); answer.StatusCode != http.StatusFound {
		t.Errorf("after signing out: %d %s", answer.StatusCode, answer.Body)
	}
	if revoked := p.tenant.Counts().Revocation; revoked != 1 {
		t.Errorf("%d revocations", revoked)
	}
	if again := p.signIn("/.logto/sign-in?return_to=%2Fdata", alice); again.Body != "hello alice session at /data" {
		t.Errorf("signing in again: %d %s", again.StatusCode, again.Body)
	}
}

func TestRefreshIsOneRequestAndTheCookieIsWritten(t *testing.T) {
	p := newMembers(t, strings.Replace(smallest, "SIGN_IN", "audience https://api.example.com\n\t\tscopes read:products\n\t\tSIGN_IN", 1)).browser()
	p.signIn("/", alice)
	before := p.cookieHeader()
	pass(t, 50*time.Minute)
	page := p.fetch("/data")
	if page.StatusCode != http.StatusOK || page.Body != "hello alice session at /data" {
		t.Fatalf("past 80 %% of the token's life: %d %s", page.StatusCode, page.Body)
	}
	if got := p.tenant.Counts().Refreshes; got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
	if p.cookieHeader() == before {
		t.Error("no cookie was written on the response of a refresh")
	}
	if got := page.Header.Get("Cache-Control"); !strings.Contains(got, "private") {
		t.Errorf("Cache-Control: %q", got)
	}
	p.fetch("/data")
	if got := p.tenant.Counts().Refreshes; got != 1 {
		t.Errorf("%d refreshes after the next request, want 1", got)
	}
	p.tenant.Suspend(alice)
	pass(t, time.Hour)
	if answer := p.fetch("/data"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("a suspended person: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.open("/page"); answer.StatusCode != http.StatusFound {
		t.Errorf("a suspended person opens a page: %d %s", answer.StatusCode, answer.Body)
	}
}

func TestOrganizationOfTheSession(t *testing.T) {
	p := newMembers(t, `
www.example.com {
	logto_auth {
		endpoint TENANT
		organization {query.org}
		scopes read:docs
		SIGN_IN
	}
	respond "{http.auth.user.id} in {http.auth.user.organization_id} may {http.auth.user.scopes}"
}
`).browser()
	p.tenant.AddMember("acme", alice)
	page := p.signIn("/?org=acme", alice)
	if page.StatusCode != http.StatusOK || page.Body != "alice in acme may read:docs" {
		t.Fatalf("%d %s", page.StatusCode, page.Body)
	}
	if answer := p.open("/?org=globex"); answer.StatusCode != http.StatusForbidden || answer.Body != refusedWith("Organization ID mismatch") {
		t.Errorf("another organization: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.open("/?org=acme"); answer.StatusCode != http.StatusOK {
		t.Errorf("after that: %d %s", answer.StatusCode, answer.Body)
	}
}

func TestSessionEndpoint(t *testing.T) {
	p := newMembers(t, smallest).browser()
	if answer := p.fetch("/.logto/session"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Authorization header is missing") {
		t.Errorf("before: %d %s", answer.StatusCode, answer.Body)
	}
	p.signIn("/", alice)
	answer := p.fetch("/.logto/session")
	if answer.StatusCode != http.StatusOK || !strings.Contains(answer.Body, `"sub":"alice","type":"user","organization_id":null,"scopes":[],"expires_at":"`) {
		t.Errorf("%d %s", answer.StatusCode, answer.Body)
	}
}
