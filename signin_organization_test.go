package logtoauth

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// inOrganizations is a site of the organizations that a line asks for.
func inOrganizations(organization, signIn string) string {
	return within(organization+"\nscopes read:docs", signIn) +
		"\trespond \"{http.auth.user.id} in {http.auth.user.organization_id} may {http.auth.user.scopes}\"\n}"
}

// notAMember is what a person gets who is in none of the organizations.
func notAMember(tb testing.TB, answer *caddytest.Response) {
	tb.Helper()
	if answer.StatusCode != http.StatusForbidden || answer.Body != refusedWith("Organization ID mismatch") {
		tb.Errorf("%d %s", answer.StatusCode, answer.Body)
	}
}

// Of several organizations the first one counts that the person is in.
func TestFirstOrganizationThatThePersonIsIn(t *testing.T) {
	p := newMembers(t, inOrganizations("organization initech globex acme umbrella", "")).browser()
	p.tenant.AddMember("acme", alice)
	p.tenant.AddMember("umbrella", alice)
	refreshes := p.recordRefreshes()
	if page, signIns := p.visit("/", alice); page.Body != "alice in acme may read:docs" || signIns != 1 {
		t.Fatalf("%d %s after %d sign-ins", page.StatusCode, page.Body, signIns)
	}
	asked := func(from int) string {
		var ids []string
		for _, form := range refreshes()[from:] {
			if form.Has("resource") || form.Has("scope") {
				t.Errorf("sent %v", form)
			}
			ids = append(ids, form.Get("organization_id"))
		}
		return strings.Join(ids, " ")
	}
	if got := asked(0); got != "initech globex acme" {
		t.Errorf("asked for %s", got)
	}
	// "Not a member" is known for a minute, here and in what later requests ask.
	p.tenant.AddMember("initech", alice)
	p.tenant.SetPermissions(alice, devtenant.Permission{OrganizationID: "acme", Scopes: []string{"read:docs"}},
		devtenant.Permission{OrganizationID: "initech", Scopes: []string{"read:docs"}})
	pass(t, 58*time.Second)
	if answer := p.fetch("/"); !strings.HasPrefix(answer.Body, "alice in acme") || asked(3) != "" {
		t.Errorf("within a minute: %s, asked for %q", answer.Body, asked(3))
	}
	pass(t, 3*time.Second)
	if answer := p.fetch("/"); !strings.HasPrefix(answer.Body, "alice in initech") || asked(3) != "initech" {
		t.Errorf("after a minute: %s, asked for %q", answer.Body, asked(3))
	}
}

// Who leaves an organization keeps the session and loses the organization, at
// the latest when its token is refreshed.
func TestMemberWhoLeaves(t *testing.T) {
	p := newMembers(t, inOrganizations("organization {query.org}", "")).browser()
	p.tenant.AddMember("acme", alice)
	p.tenant.AddMember("globex", alice)
	p.tenant.SetPermissions(alice, devtenant.Permission{OrganizationID: "acme", Scopes: []string{"read:docs"}},
		devtenant.Permission{OrganizationID: "globex", Scopes: []string{"read:docs", "write:docs"}})
	if page, _ := p.visit("/?org=acme", alice); page.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", page.StatusCode, page.Body)
	}
	if answer := p.fetch("/?org=globex"); answer.Body != "alice in globex may read:docs write:docs" && answer.Body != "alice in globex may read:docs" {
		t.Errorf("%d %s", answer.StatusCode, answer.Body)
	}
	ended := counting(t, metrics.sessionsEnded)
	p.tenant.RemoveMember("acme", alice)
	pass(t, 50*time.Minute)
	for range 3 {
		notAMember(t, p.fetch("/?org=acme"))
		notAMember(t, p.open("/?org=acme"))
		if answer := p.fetch("/?org=globex"); answer.StatusCode != http.StatusOK {
			t.Errorf("the other organization: %d %s", answer.StatusCode, answer.Body)
		}
	}
	if got := p.tenant.Counts().Refreshes; got != 4 { // 2, then one for each
		t.Errorf("%d refreshes, want 4", got)
	}
	if len(ended()) != 0 {
		t.Errorf("ended: %v", ended())
	}
}

// What a request names is not asked for if no organization can be meant.
func TestOrganizationThatARequestNames(t *testing.T) {
	p := newMembers(t, inOrganizations("organization {query.org}", "")).browser()
	p.tenant.AddMember("acme", alice)
	p.visit("/?org=acme", alice)
	before := p.tenant.Counts().Refreshes
	for _, path := range []string{"/", "/?org="} {
		notAMember(t, p.fetch(path))
	}
	if got := p.tenant.Counts().Refreshes; got != before {
		t.Errorf("%d refreshes for no organization", got-before)
	}
	for _, org := range []string{"any", "globex", "acme globex", "acme&organization_id=globex", "{http.request.host}"} {
		notAMember(t, p.fetch("/?org="+url.QueryEscape(org)))
	}
	if answer := p.fetch("/?org=acme"); answer.StatusCode != http.StatusOK {
		t.Errorf("after that: %d %s", answer.StatusCode, answer.Body)
	}
}

// A tenant per host: each host has a session of its own, for its organization.
func TestOrganizationOfTheHost(t *testing.T) {
	text := strings.Replace(inOrganizations("organization {http.request.host.labels.2}", ""), "www.example.com", "*.example.com", 1)
	m := newMembers(t, text)
	m.tenant.AddMember("www", alice)
	m.tenant.SetPermissions(alice, devtenant.Permission{OrganizationID: "www", Scopes: []string{"read:docs"}})
	p := m.browser()
	if page, _ := p.visit("/", alice); page.Body != "alice in www may read:docs" {
		t.Fatalf("%d %s", page.StatusCode, page.Body)
	}
	other := *p
	other.host = "other.example.com"
	if answer := other.fetch("/"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("www's session at another host: %d %s", answer.StatusCode, answer.Body)
	}
	other.cookies = map[string]string{}
	page, signIns := other.visit("/", alice)
	if notAMember(t, page); signIns != 1 {
		t.Errorf("%d sign-ins", signIns)
	}
}

// An API's organization token is asked for with both, the API and the
// organization.
func TestOrganizationOfAnAPI(t *testing.T) {
	p := newMembers(t, within("audience "+testAPI+"\norganization acme\nscopes read:products", "")+
		"\trespond \"{http.auth.user.id} in {http.auth.user.organization_id} may {http.auth.user.scopes} at {http.auth.user.audience}\"\n}").browser()
	p.tenant.AddMember("acme", alice)
	refreshes := p.recordRefreshes()
	if page, _ := p.visit("/", alice); page.Body != "alice in acme may read:products at "+testAPI {
		t.Fatalf("%d %s", page.StatusCode, page.Body)
	}
	for _, form := range refreshes() {
		if form.Get("organization_id") != "acme" || form.Get("resource") != testAPI || form.Has("scope") {
			t.Errorf("sent %v", form)
		}
	}
	if got := len(refreshes()); got != 1 {
		t.Errorf("%d refreshes", got)
	}
}

// Organization tokens come by refreshes only. Without a refresh token there is
// none, and signing in again would not help.
func TestOrganizationWithoutARefreshToken(t *testing.T) {
	for name, organization := range map[string]string{
		"organization": "organization acme",
		"of an API":    "audience " + testAPI + "\norganization acme",
	} {
		t.Run(name, func(t *testing.T) {
			p := newMembers(t, inOrganizations(organization, "offline off")).browser()
			p.tenant.AddMember("acme", alice)
			page, signIns := p.visit("/", alice)
			if notAMember(t, page); signIns != 1 {
				t.Errorf("%d sign-ins", signIns)
			}
			requests := counting(t, metrics.requests)
			notAMember(t, p.open("/"))
			if want := map[string]float64{"refused missing_organization": 1}; !maps.Equal(requests(), want) {
				t.Errorf("counted %v, want %v", requests(), want)
			}
			if !strings.Contains(p.Logs(), "refresh token") {
				t.Error("the log does not say why")
			}
			pass(t, 2*time.Hour)
			notAMember(t, p.open("/"))
			// The console can give one to every sign-in.
			p.tenant.AddApp(devtenant.App{ID: testApp, Secret: appSecret, RedirectURIs: []string{"https://" + testHost + "/.logto/callback"}, AlwaysIssueRefreshToken: true})
			other := p.browser()
			if page, _ := other.visit("/", alice); page.StatusCode != http.StatusOK && organization == "organization acme" {
				t.Errorf("with a refresh token: %d %s", page.StatusCode, page.Body)
			}
		})
	}
}

// Any number of organizations is asked for with one session, and few are known
// at a time.
func TestManyOrganizationsOfOneSession(t *testing.T) {
	p := newMembers(t, strings.Replace(inOrganizations("organization {query.org}", ""), "\nscopes read:docs", "", 1)).browser()
	name := func(i int) string { return "org" + strings.Repeat("x", i) }
	for i := range 40 {
		p.tenant.AddMember(name(i), alice)
	}
	p.visit("/?org=org", alice)
	for range 2 {
		for i := range 40 {
			if answer := p.fetch("/?org=" + name(i)); answer.Body != "alice in "+name(i)+" may " {
				t.Fatalf("%s: %d %s", name(i), answer.StatusCode, answer.Body)
			}
			if size := len(p.cookieHeader()); size > 5000 {
				t.Fatalf("the cookies have %d octets", size)
			}
		}
	}
	before := p.tenant.Counts().Refreshes
	if before <= 40 {
		t.Errorf("%d refreshes in two rounds: all 40 tokens are kept", before)
	}
	p.fetch("/?org=" + name(39)) // the last one is known
	if got := p.tenant.Counts().Refreshes; got != before {
		t.Errorf("%d refreshes for the last one", got-before)
	}
}
