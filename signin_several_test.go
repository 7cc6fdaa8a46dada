package logtoauth

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// Several logto_auth of one app have one session, and a token each.
func TestSeveralHandlersShareTheSession(t *testing.T) {
	p := newMembers(t, `
www.example.com {
	logto_auth /acme* {
		endpoint TENANT
		organization acme
		scopes read:docs
		SIGN_IN
	}
	logto_auth {
		endpoint TENANT
		audience https://api.example.com
		SIGN_IN
	}
	respond "{http.auth.user.id} {http.auth.user.source} {http.auth.user.audience}"
}
`).browser()
	p.tenant.AddMember("acme", alice)
	p.tenant.AddMember("acme", bob)
	if page, signIns := p.visit("/", alice); page.Body != "alice session "+testAPI || signIns != 1 {
		t.Fatalf("%d %s after %d sign-ins", page.StatusCode, page.Body, signIns)
	}
	if answer := p.fetch("/acme"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a script that needs more: %d %s", answer.StatusCode, answer.Body)
	}
	refreshes := p.recordRefreshes()
	if page, signIns := p.visit("/acme", alice); page.Body != "alice session "+testAPI || signIns != 1 {
		t.Fatalf("%d %s after %d sign-ins", page.StatusCode, page.Body, signIns)
	}
	for range 3 {
		p.fetch("/acme")
		p.fetch("/")
	}
	asked := func() string {
		var targets []string
		for _, form := range refreshes() {
			targets = append(targets, form.Get("resource")+" "+form.Get("organization_id"))
		}
		return strings.Join(targets, ", ")
	}
	if got := asked(); got != " acme" && got != " acme, "+testAPI+" " {
		t.Errorf("asked for %q", got)
	}
	before := len(refreshes())
	pass(t, 50*time.Minute)
	for range 3 {
		if answer := p.fetch("/acme"); answer.StatusCode != http.StatusOK || len(answer.Cookies()) > 1 {
			t.Errorf("%d %s, %d cookies", answer.StatusCode, answer.Body, len(answer.Cookies()))
		}
	}
	if got := len(refreshes()) - before; got != 2 {
		t.Errorf("%d refreshes, want one for each: %s", got, asked())
	}
	// One sign-out ends it for both.
	tab := p.tabOf()
	p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin"))
	if answer := tab(); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the sign-out: %d %s", answer.StatusCode, answer.Body)
	}
	// Who begins with the longer path gets both, too.
	other := p.browser()
	if page, signIns := other.visit("/acme", bob); page.Body != "bob session "+testAPI || signIns > 2 {
		t.Errorf("%d %s after %d sign-ins", page.StatusCode, page.Body, signIns)
	}
}

// The callback comes to the first logto_auth, which may need something else than
// the one that started the sign-in.
func TestIdentityBesideAnAPIWithoutARefreshToken(t *testing.T) {
	const auth = "logto_auth PATH {\nendpoint TENANT\nSETTINGS\nSIGN_IN {\noffline off\n}\n}\n"
	an := func(path, settings string) string {
		return strings.NewReplacer("PATH", path, "SETTINGS", settings).Replace(auth)
	}
	for name, directives := range map[string]string{
		"the API first":      an("/api/*", "audience "+testAPI) + an("/page", ""),
		"the identity first": an("/page", "") + an("/api/*", "audience "+testAPI),
	} {
		for _, path := range []string{"/page", "/api/x"} {
			p := newMembers(t, "www.example.com {\n"+directives+"respond \"hello {http.auth.user.id}\"\n}\n").browser()
			page, signIns := p.visit(path, alice)
			if page.StatusCode != http.StatusOK || page.Body != "hello alice" || signIns != 1 {
				t.Errorf("%s, %s: %d %s after %d sign-ins", name, path, page.StatusCode, page.Body, signIns)
			}
		}
	}
}

// Whichever logto_auth writes the cookie, the claims that another one needs are
// not left out for those that none does.
func TestClaimsThatAnotherLogtoAuthNamesAreKept(t *testing.T) {
	const auth = "logto_auth PATH {\nendpoint TENANT\nSETTINGS\nSIGN_IN\n}\n"
	an := func(path, settings string) string {
		return strings.NewReplacer("PATH", path, "SETTINGS", settings).Replace(auth)
	}
	needs := an("/roles*", "claim organization_roles organization1:member")
	for name, directives := range map[string]string{
		"an identity first": an("/page", "") + needs, "an identity last": needs + an("/page", ""),
		"an API first": an("/page", "audience "+testAPI) + needs, "an API last": needs + an("/page", "audience "+testAPI),
		"logto_require": an("", "") + an("/page", "") + "logto_require /roles* {\nclaim organization_roles organization1:member\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newMembers(t, "www.example.com {\n"+directives+"respond ok\n}\n").browser()
			p.tenant.SetTokenFault(devtenant.ManyOrganizations(90)) // of which the cookie holds the roles or the names
			if page, _ := p.visit("/roles", alice); page.StatusCode != http.StatusOK {
				t.Errorf("signed in: %d %s", page.StatusCode, page.Body)
			}
			pass(t, 50*time.Minute)
			p.visit("/page", alice)
			if answer := p.fetch("/roles"); answer.StatusCode != http.StatusOK {
				t.Errorf("after a refresh: %d %s", answer.StatusCode, answer.Body)
			}
		})
	}
}

// A host's cookies cannot tell two apps apart.
func TestTwoAppsInOneSiteAreAnError(t *testing.T) {
	m := newMembers(t, smallest)
	text := strings.Replace(m.text(smallest), "respond", "logto_auth /other* {\n\t\tendpoint "+m.tenant.URL+"\n\t\tsign_in another-app "+appSecret+"\n\t}\n\trespond", 1)
	if err := m.Load(text); err == nil || !strings.Contains(err.Error(), "two sign_in apps in one site: ") {
		t.Errorf("loaded with %v", err)
	}
}

// What seals a session and what refreshes it is the same in all of a site: two
// that do not know of each other would send one refresh token twice.
func TestSignInsOfOneSiteShareTheSession(t *testing.T) {
	m := newMembers(t, smallest)
	site := func(first, second string) string {
		directive := func(path, setting string) string {
			line, inside, _ := strings.Cut(setting, "|")
			return "logto_auth " + path + " {\n\t\tendpoint TENANT\n\t\t" + line + "\n\t\tSIGN_IN {\n\t\t\t" + inside + "\n\t\t}\n\t}\n"
		}
		return m.text("www.example.com {\n" + directive("/a/*", first) + directive("/b/*", second) + "}\n")
	}
	key := func(octet string) string {
		return "|session_key " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(octet, 32)))
	}
	for first, second := range map[string]string{
		"leeway 5s": "", "cache_size 5": "", "fetch_timeout 4s": "fetch_timeout 5001ms", "algorithms ES384": "",
		key("a"): "", key("b"): key("c"),
	} {
		if err := m.Load(site(first, second)); err == nil || !strings.Contains(err.Error(), "they share each session") {
			t.Errorf("%q and %q: loaded with %v", first, second, err)
		}
	}
	for first, second := range map[string]string{"": "fetch_timeout 5s", key("a"): key("a"), "|lifetime 1h": "|scopes email", "max_age 1h": "|idle 10m"} {
		if err := m.Load(site(first, second)); err != nil {
			t.Errorf("%q and %q: %v", first, second, err)
		}
	}
}

// Each sign_in judges a session by its own lifetime, in whatever order they come.
func TestEachSignInHasItsOwnLifetime(t *testing.T) {
	const first, second = "lifetime 1h", "lifetime 7d"
	for _, test := range []struct{ everywhere, admin string }{{second, first}, {first, second}} {
		p := newMembers(t, `
www.example.com {
	route {
		logto_auth {
			endpoint TENANT
			optional
			SIGN_IN {
				`+test.everywhere+`
			}
		}
		logto_auth /admin/* {
			endpoint TENANT
			optional
			SIGN_IN {
				`+test.admin+`
			}
		}
		respond "{http.auth.user.type}"
	}
}
`).browser()
		p.signIn("/.logto/sign-in", alice)
		p.cookies = map[string]string{}
		p.signIn("/.logto/sign-in", alice)
		pass(t, 2*time.Hour)
		kind := map[string]string{first: "anonymous", second: "user"}
		if answer := p.fetch("/x"); answer.Body != kind[test.everywhere] {
			t.Errorf("%s: %s", test.everywhere, answer.Body)
		}
		if answer := p.fetch("/admin/x"); answer.Body != kind[test.admin] {
			t.Errorf("%s behind %s: %s", test.admin, test.everywhere, answer.Body)
		}
	}
}
