package logtoauth

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// Whatever a reload makes the site need, people who are signed in get by one
// round trip that they do not see; a script gets 403, and nobody a circle.
func TestReloadThatNeedsMore(t *testing.T) {
	const shows = "respond \"{http.auth.user.id} may {http.auth.user.scopes} in {http.auth.user.organization_id}\"\n}"
	identity := within("", "scopes profile email") + shows
	plain := within("audience "+testAPI, "scopes email") + shows
	for name, test := range map[string]struct {
		before, after string
		forbidden     string
		asked         []string
		resources     []string
		page          string
	}{
		"a scope": {
			plain, within("audience "+testAPI+"\nscopes read:products", "") + shows, "Insufficient scope",
			[]string{"email", "read:products"},
			[]string{testAPI},
			"alice may read:products in ",
		},
		"a scope of logto_require": {
			plain, within("audience "+testAPI, "") + "logto_require write:orders\n" + shows, "Insufficient scope",
			[]string{"email", "write:orders"},
			[]string{testAPI},
			"alice may write:orders in ",
		},
		"another scope of logto_require": { // the old ones are kept: the person may have another tab
			within("audience "+testAPI, "") + "logto_require read:products\n" + shows,
			within("audience "+testAPI, "") + "logto_require write:orders\n" + shows, "Insufficient scope",
			[]string{"read:products", "write:orders"},
			[]string{testAPI},
			"alice may read:products write:orders in ",
		},
		"an audience": {
			identity, within("audience "+testAPI+"\nscopes read:products", "") + shows, "Insufficient scope",
			[]string{"email", "read:products"},
			[]string{testAPI},
			"alice may read:products in ",
		},
		"an organization": {
			identity, within("organization acme\nscopes read:docs", "") + shows, "Insufficient organization scope",
			[]string{"email", "read:docs", scopeOrganizations},
			[]string{resourceOrganizations},
			"alice may read:docs in acme",
		},
		"an organization beside the API": {
			plain, within("audience "+testAPI+"\norganization acme", "") + shows, "Insufficient organization-level API scopes",
			[]string{"email", scopeOrganizations},
			[]string{testAPI},
			"alice may  in acme",
		},
		"a claim": {
			identity, within("claim roles reader", "") + shows, "Claim requirement not met",
			[]string{"email", "roles"},
			nil, "alice may  in ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newMembers(t, test.before).browser()
			p.tenant.AddMember("acme", alice)
			if page := p.signIn("/", alice); page.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", page.StatusCode, page.Body)
			}
			old := p.cookies[sessionCookie]
			if err := p.Load(p.text(test.after)); err != nil {
				t.Fatal(err)
			}
			if answer := p.fetch("/"); answer.StatusCode != http.StatusForbidden || answer.Body != refusedWith(test.forbidden) {
				t.Errorf("a script: %d %s", answer.StatusCode, answer.Body)
			}
			asked, err := url.Parse(p.start("/page?a=b"))
			if err != nil {
				t.Fatal(err)
			}
			scopes := strings.Fields(asked.Query().Get("scope"))
			slices.Sort(scopes)
			if want := slices.Sorted(slices.Values(append(test.asked, "openid", "profile", "offline_access"))); !slices.Equal(scopes, want) {
				t.Errorf("asked for %v, want %v", scopes, want)
			}
			if got := asked.Query()["resource"]; !slices.Equal(got, test.resources) {
				t.Errorf("asked for %v, want %v", got, test.resources)
			}
			p.tenant.SignInAs("") // Logto knows the person: it shows no page
			page, signIns := p.visit("/page?a=b", alice)
			if page.StatusCode != http.StatusOK || page.Body != test.page || signIns != 1 {
				t.Errorf("a page: %d %s after %d sign-ins", page.StatusCode, page.Body, signIns)
			}
			if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
				t.Errorf("a script after that: %d %s", answer.StatusCode, answer.Body)
			}
			if p.cookies[sessionCookie] == old {
				t.Error("it is the same session")
			}
		})
	}
}

// A session may have asked for an API that a reload no longer needs, and that
// the operator has deleted since. Logto then refuses every sign-in that asks for
// it as well, so that all who are signed in would be locked out.
func TestReloadAfterAnAPIWasDeleted(t *testing.T) {
	const old = "https://old.example.com"
	p := newMembers(t, within("audience "+old, "")+"respond ok\n}").browser()
	p.tenant.AddResource(old)
	if page := p.signIn("/", alice); page.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", page.StatusCode, page.Body)
	}
	p.tenant.DeleteResource(old)
	if err := p.Load(p.text(within("audience "+testAPI, "") + "respond ok\n}")); err != nil {
		t.Fatal(err)
	}
	requests := counting(t, metrics.requests)
	page, signIns := p.visit("/page?a=b", alice)
	if page.StatusCode != http.StatusOK || signIns != 2 {
		t.Errorf("%d %s after %d sign-ins", page.StatusCode, page.Body, signIns)
	}
	if want := map[string]float64{"redirected insufficient_scope": 1, "redirected ": 1, "admitted ": 1}; !maps.Equal(requests(), want) {
		t.Errorf("counted %v", requests())
	}
	if page, signIns = p.visit("/", alice); page.StatusCode != http.StatusOK || signIns != 0 {
		t.Errorf("later: %d after %d sign-ins", page.StatusCode, signIns)
	}
}

// Only that Logto does not know an API is a reason to ask for fewer: a person
// who may not use the app must not be sent there twice.
func TestSignInForMoreThatIsRefused(t *testing.T) {
	p := newMembers(t, within("audience https://old.example.com", "")+"respond ok\n}").browser()
	p.tenant.AddResource("https://old.example.com")
	p.signIn("/", alice)
	if err := p.Load(p.text(within("audience "+testAPI, "") + "respond ok\n}")); err != nil {
		t.Fatal(err)
	}
	asked, err := url.Parse(p.start("/"))
	if err != nil {
		t.Fatal(err)
	}
	query := url.Values{"state": {asked.Query().Get("state")}, "iss": {p.tenant.Issuer()}, "error": {"access_denied"}}
	if got := asked.Query()["resource"]; len(got) != 2 {
		t.Fatalf("asked for %v", got)
	}
	if page := p.open("/.logto/callback?" + query.Encode()); page.StatusCode != http.StatusBadRequest {
		t.Errorf("%d to %s", page.StatusCode, page.Header.Get("Location"))
	}
	query.Set("error", "invalid_target")
	if page := p.open("/.logto/callback?" + query.Encode()); !p.startsSignIn(page) {
		t.Errorf("an unknown API: %d %s", page.StatusCode, page.Body)
	}
}

// What the site itself needs and Logto does not know is asked for once, or
// twice if a session has asked for something else before.
func TestAPIThatLogtoDoesNotKnow(t *testing.T) {
	p := newMembers(t, within("audience "+testAPI, "")+"respond ok\n}").browser()
	p.signIn("/", alice)
	if err := p.Load(p.text(within("audience https://unknown.example.com", "") + "respond ok\n}")); err != nil {
		t.Fatal(err)
	}
	if page, signIns := p.visit("/", alice); page.StatusCode != http.StatusBadRequest || signIns != 2 {
		t.Errorf("with a session: %d after %d sign-ins", page.StatusCode, signIns)
	}
	if page, signIns := p.browser().visit("/", alice); page.StatusCode != http.StatusBadRequest || signIns != 1 {
		t.Errorf("without one: %d after %d sign-ins", page.StatusCode, signIns)
	}
}

// Callbacks come to the first logto_auth of a site, which needs another API than
// the one that a sign-in may have been for.
func TestAPIOfAnotherPartThatLogtoDoesNotKnow(t *testing.T) {
	part := func(path, api string) string {
		return "handle " + path + " {\nlogto_auth {\nendpoint TENANT\naudience " + api + "\nSIGN_IN\n}\nrespond " + api + "\n}\n"
	}
	p := newMembers(t, "www.example.com {\n"+part("/admin/*", "https://unknown.example.com")+part("/*", testAPI)+"}").browser()
	for _, test := range []struct {
		path            string
		status, signIns int
	}{
		{"/", http.StatusOK, 1},
		{"/admin/", http.StatusBadRequest, 2}, // with both, then alone
		{"/", http.StatusOK, 0},
		{"/admin/", http.StatusBadRequest, 2},
	} {
		if page, signIns := p.visit(test.path, alice); page.StatusCode != test.status || signIns != test.signIns {
			t.Errorf("%s: %d %s after %d sign-ins", test.path, page.StatusCode, page.Body, signIns)
		}
	}
}

// What was asked for and not granted is refused, and not asked for again.
func TestAskedForAndNotGranted(t *testing.T) {
	for name, settings := range map[string]string{
		"a scope":                  "audience " + testAPI + "\nscopes admin",
		"a scope of logto_require": "audience " + testAPI,
		"a claim":                  "claim roles admin",
	} {
		t.Run(name, func(t *testing.T) {
			text := within(settings, "")
			if strings.Contains(name, "require") {
				text += "logto_require admin\n"
			}
			p := newMembers(t, text+"respond ok\n}").browser()
			page, signIns := p.visit("/", alice)
			if page.StatusCode != http.StatusForbidden || signIns != 1 {
				t.Errorf("%d after %d sign-ins", page.StatusCode, signIns)
			}
			pass(t, 2*time.Hour)
			for range 3 {
				if page, signIns = p.visit("/", alice); page.StatusCode != http.StatusForbidden || signIns != 0 {
					t.Errorf("later: %d after %d sign-ins", page.StatusCode, signIns)
				}
			}
		})
	}
}

// The tenant may say itself that the sign-in was for less.
func TestRefreshThatNeedsMore(t *testing.T) {
	for _, code := range []string{"invalid_target", "invalid_scope", "insufficient_scope"} {
		t.Run(code, func(t *testing.T) {
			p := newMembers(t, forTheAPI).browser()
			p.signIn("/", alice)
			ended := counting(t, metrics.sessionsEnded)
			p.tenant.SetTokenFault(devtenant.ForGrant("refresh_token", devtenant.Refused(http.StatusBadRequest, code, "")))
			pass(t, time.Hour+time.Second)
			if answer := p.fetch("/"); answer.StatusCode != http.StatusForbidden || answer.Body != refusedWith("Insufficient scope") {
				t.Errorf("a script: %d %s", answer.StatusCode, answer.Body)
			}
			if len(ended()) != 0 {
				t.Errorf("ended: %v", ended())
			}
			page, signIns := p.visit("/", alice)
			if page.StatusCode != http.StatusOK || signIns != 1 {
				t.Errorf("a page: %d %s after %d sign-ins", page.StatusCode, page.Body, signIns)
			}
		})
	}
}

// Nobody whom a sign-in has just brought no token is sent to another one. Who had
// one is, however short it lived.
func TestRefreshThatNeedsMoreSoonAfterTheSignIn(t *testing.T) {
	insufficient := devtenant.ForGrant("refresh_token", devtenant.Refused(http.StatusForbidden, "insufficient_scope", ""))
	site := inOrganizations("organization acme", "")
	t.Run("no token yet", func(t *testing.T) {
		p := newMembers(t, site).browser()
		p.tenant.AddMember("acme", alice)
		p.tenant.SetTokenFault(insufficient)
		for _, want := range []struct {
			after   time.Duration
			signIns int
		}{{0, 1}, {0, 0}, {time.Minute, 1}} {
			pass(t, want.after)
			if page, signIns := p.visit("/", alice); page.StatusCode != http.StatusForbidden || signIns != want.signIns {
				t.Errorf("%d %s after %d sign-ins, want %d", page.StatusCode, page.Body, signIns, want.signIns)
			}
		}
	})
	t.Run("a token", func(t *testing.T) {
		p := newMembers(t, forTheAPI).browser()
		p.signIn("/", alice)
		p.tenant.SetTokenFault(insufficient)
		p.tenant.Rotate("")
		p.tenant.Rotate("")
		fresh := p.tenant.Token(devtenant.TokenRequest{Subject: bob, ClientID: testApp, Resource: testAPI})
		p.browser().fetch("/", caddytest.Bearer(fresh)) // makes the site fetch the keys
		if page, signIns := p.visit("/", alice); page.StatusCode != http.StatusOK || signIns != 1 {
			t.Errorf("%d %s after %d sign-ins", page.StatusCode, page.Body, signIns)
		}
	})
}

// Sessions that are good but sent for more are no loop, however many reloads of
// the config there are in a minute.
func TestSignInsForMoreAreNoLoop(t *testing.T) {
	site := func(scopes string) string { return within("audience "+testAPI+scopes, "") + "respond ok\n}" }
	m := newMembers(t, site(""))
	p := m.browser()
	p.signIn("/", alice)
	scopes := "\nscopes"
	for scope := range strings.FieldsSeq("a b c d e f g") {
		scopes += " " + scope
		if err := m.Load(m.text(site(scopes))); err != nil {
			t.Fatal(err)
		}
		if page, signIns := p.visit("/", alice); page.StatusCode != http.StatusForbidden || signIns != 1 {
			t.Fatalf("%s: %d %.80s after %d sign-ins", scope, page.StatusCode, page.Body, signIns)
		}
	}
}
