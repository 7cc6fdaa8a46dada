package logtoauth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// knownByClaims is a site without an audience.
const knownByClaims = `
www.example.com {
	logto_auth {
		endpoint TENANT
		claim roles reader
		forward_claim name X-Name
		SIGN_IN {
			scopes email
		}
	}
	logto_require /admin* {
		claim roles admin
	}
	logto_require /members* {
		claim organization_roles acme:member
	}
	respond "{http.auth.user.id} {http.auth.user.type} {http.auth.user.claims.email} {http.auth.user.claims.roles} {http.request.header.X-Name} [{http.auth.user.scopes}] [{http.auth.user.organization_id}]"
}
`

func TestIDTokenIsTheIdentity(t *testing.T) {
	p := newMembers(t, knownByClaims).browser()
	asked, err := url.Parse(p.start("/"))
	if err != nil {
		t.Fatal(err)
	}
	scopes := strings.Fields(asked.Query().Get("scope"))
	slices.Sort(scopes)
	want := "email offline_access openid profile roles urn:logto:scope:organization_roles"
	if got := strings.Join(scopes, " "); got != want || asked.Query().Has("resource") {
		t.Errorf("asked for %q and %q, want %q and no resource", got, asked.Query()["resource"], want)
	}
	const shown = "alice user alice@example.com [\"reader\"] alice [] []"
	if page := p.signIn("/", alice); page.StatusCode != http.StatusOK || page.Body != shown {
		t.Fatalf("%d %q", page.StatusCode, page.Body)
	}
	// A navigation, so that a sign-in without an end would be seen.
	for _, path := range []string{"/admin", "/members"} {
		if answer := p.open(path); answer.StatusCode != http.StatusForbidden || answer.Body != refusedWith("Claim requirement not met") {
			t.Errorf("%s: %d %s", path, answer.StatusCode, answer.Body)
		}
	}
	if answer := p.fetch("/"); answer.Body != shown {
		t.Errorf("after that: %d %s", answer.StatusCode, answer.Body)
	}
}

// An identity is as old as its ID token: a person loses a role at the next
// refresh, and so what needs it.
func TestRefreshedIDTokenIsTheIdentity(t *testing.T) {
	p := newMembers(t, knownByClaims).browser()
	p.signIn("/", alice)
	refreshes := p.recordRefreshes()
	p.tenant.AddUser(devtenant.User{ID: alice, Roles: []string{"reader", "admin"}})
	if answer := p.fetch("/admin"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("before the refresh: %d %s", answer.StatusCode, answer.Body)
	}
	pass(t, 50*time.Minute)
	if answer := p.fetch("/admin"); answer.StatusCode != http.StatusOK || !strings.Contains(answer.Body, `["reader","admin"]`) {
		t.Errorf("after the refresh: %d %s", answer.StatusCode, answer.Body)
	}
	p.tenant.AddUser(devtenant.User{ID: alice})
	pass(t, 50*time.Minute)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusForbidden || answer.Body != refusedWith("Claim requirement not met") {
		t.Errorf("without the role: %d %s", answer.StatusCode, answer.Body)
	}
	for _, form := range refreshes() {
		if form.Has("resource") || form.Has("scope") || form.Has("organization_id") {
			t.Errorf("a refresh has sent %v", form)
		}
	}
	if got := len(refreshes()); got != 2 {
		t.Errorf("%d refreshes, want 2", got)
	}
}

// With neither audience nor organization nothing says which access tokens a
// site may take, so it takes none; ID tokens are none, whatever the site says.
func TestTokensShownWhereOnlyPeopleSignIn(t *testing.T) {
	for _, settings := range []string{"", "token_type any", "optional"} {
		t.Run(settings, func(t *testing.T) {
			p := newMembers(t, strings.Replace(smallest, "SIGN_IN", settings+"\n\t\tSIGN_IN", 1)).browser()
			p.signIn("/.logto/sign-in", alice)
			for name, token := range map[string]string{
				"an access token":        p.tenant.Token(devtenant.TokenRequest{Subject: alice, ClientID: testApp, Resource: testAPI}),
				"for the app":            p.tenant.Token(devtenant.TokenRequest{Subject: alice, ClientID: testApp, Resource: testApp}),
				"an organization's":      p.tenant.Token(devtenant.TokenRequest{Subject: alice, ClientID: testApp, OrganizationID: "acme"}),
				"an ID token":            p.tenant.IDToken(alice, testApp),
				"an ID token, client_id": p.tenant.Sign(map[string]any{"typ": nil}, p.tenant.Claims(devtenant.TokenRequest{Subject: alice, ClientID: testApp, Resource: testApp})),
				"an opaque token":        p.tenant.OpaqueToken(),
			} {
				for _, from := range []*person{p, p.browser()} {
					answer := from.fetch("/", caddytest.Bearer(token))
					if answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusForbidden {
						t.Errorf("%s, with cookies %t: %d %s", name, len(from.cookies) > 0, answer.StatusCode, answer.Body)
					}
				}
			}
			if answer := p.fetch("/"); !strings.HasPrefix(answer.Body, "hello alice session") {
				t.Errorf("the session: %d %s", answer.StatusCode, answer.Body)
			}
		})
	}
}

// manyOrganizations is a site whose people are in so many organizations that
// their ID tokens do not fit into a cookie.
const manyOrganizations = `
www.example.com {
	logto_auth {
		endpoint TENANT
		claim roles reader
		SIGN_IN {
			scopes profile urn:logto:scope:organizations urn:logto:scope:organization_roles
			idle 30m
		}
	}
	respond "{http.auth.user.id} {http.auth.user.claims.roles} {http.auth.user.claims.name} [{http.auth.user.claims.organizations}] [{http.auth.user.claims.organization_roles}]"
}
`

func TestPersonIn200OrganizationsSignsIn(t *testing.T) {
	p := newMembers(t, manyOrganizations).browser()
	p.tenant.SetTokenFault(devtenant.ManyOrganizations(200))
	const shown = `alice ["reader"] alice [] []`
	if page := p.signIn("/", alice); page.StatusCode != http.StatusOK || page.Body != shown {
		t.Fatalf("%d %.300q", page.StatusCode, page.Body)
	}
	other := p.browser()
	if page := other.signIn("/", bob); page.StatusCode != http.StatusOK {
		t.Fatalf("Bob: %d %s", page.StatusCode, page.Body)
	}
	const message = "some claims of a person do not fit into the session's cookie and are left out; name those that the site needs in claim or forward_claim"
	lines := logLines(t, p.Logs(), message)
	if len(lines) != 1 {
		t.Fatalf("%d warnings, want 1", len(lines))
	}
	if claims, _ := json.Marshal(lines[0]["claims"]); lines[0]["level"] != "warn" || string(claims) != `["organizations","organization_roles"]` {
		t.Errorf("logged %v", lines[0])
	}
	// What the site sees is the same before and after a refresh, in the request
	// that refreshes and in those that follow, and in another process.
	pass(t, 20*time.Minute)
	p.fetch("/")
	pass(t, 29*time.Minute)
	for range 2 {
		if answer := p.fetch("/"); answer.Body != shown {
			t.Errorf("after a refresh: %d %.300q", answer.StatusCode, answer.Body)
		}
	}
}

// A session whose claims do not fit is renewed as any other one.
func TestPausesAreCountedWhereClaimsDoNotFit(t *testing.T) {
	p := newMembers(t, manyOrganizations).browser()
	p.tenant.SetTokenFault(devtenant.ManyOrganizations(200))
	p.signIn("/", alice)
	for minutes := 20; minutes <= 200; minutes += 20 {
		pass(t, 20*time.Minute)
		if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
			t.Fatalf("after %d minutes without a pause of 30: %d %s", minutes, answer.StatusCode, answer.Body)
		}
	}
	pass(t, 31*time.Minute)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("after a pause of 31 minutes: %d %s", answer.StatusCode, answer.Body)
	}
}

// In identity mode too, a token that the site finds too old is replaced.
func TestIdentityTooOldIsReplaced(t *testing.T) {
	p := newMembers(t, strings.Replace(manyOrganizations, "claim roles", "max_age 10m\n\t\tclaim roles", 1)).browser()
	p.tenant.SetTokenFault(devtenant.ManyOrganizations(200))
	p.signIn("/", alice)
	for range 3 {
		pass(t, 11*time.Minute)
		for range 2 {
			if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", answer.StatusCode, answer.Body)
			}
		}
	}
	if got := p.tenant.Counts().Refreshes; got != 3 {
		t.Errorf("%d refreshes, want 3", got)
	}
}
