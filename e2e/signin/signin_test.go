//go:build e2e

// Package signin tests the sign-in of a browser: Chromium, against the engine
// inside Logto with Logto's settings, through a Caddy with `tls internal`. It
// also asks WHATWG's URL algorithm where return paths lead. Run it with
// `make e2e`.
package signin

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/e2e/internal/chromium"
	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

func TestMain(m *testing.M) { caddytest.Main(m) }

// TestScenarios plays what people do. Each name is one of scenarios.mjs.
func TestScenarios(t *testing.T) {
	executable := chromium.Executable(t)
	provider := startProvider(t)
	caddy := startCaddy(t, provider)
	b := startBrowser(t, executable, provider, caddy)

	t.Run("deep link", func(t *testing.T) { b.deepLink(t, "deep link", "https://api.example.com") })
	t.Run("deep link, identity alone", func(t *testing.T) { b.deepLink(t, "deep link, identity alone", "") })
	for _, test := range []struct{ name, want string }{
		{"reload after the access token expired", refreshedOnce},
		{"reload after the ID token expired, identity alone", refreshedOnce},
		{"two tabs reload at once after the access token expired", `{"statuses": [200, 200], "secret": true, "counts": {"authorizations": 0, "refreshes": 1}}`},
		{"another person signs in after a sign-out", `{"people": ["alice", "bob"]}`},
		{"signing in again from the signed-out page", `{"at": "/", "person": "bob"}`},
		{"a grant that was revoked at the tenant", `{
			"api": {"status": 401, "redirected": false, "type": "application/json", "body": "{\"error\":\"Session ended\"}"},
			"at": "/members/plan.html", "secret": true, "person": "alice"}`},
		{"fetch gets 401 and goes on after sign-in", `{
			"before": {"status": 401, "redirected": false, "type": "application/json", "body": "{\"error\":\"Authorization header is missing\"}"},
			"authorizations": 0,
			"after": {"status": 200, "redirected": false, "type": "text/plain; charset=utf-8", "body": "alice"}}`},
		{"iframe, image and prefetch are not redirected", `{
			"framed": 401, "frame": "{\"error\":\"Authorization header is missing\"}", "loaded": 401, "prefetch": 401, "authorizations": 0}`},
		{"sign-out by a foreign page", `{
			"neighbour": {"post": 403, "button": 1, "person": "alice"}, "stranger": {"post": 403, "button": 1, "person": "alice"},
			"revocations": 0, "signOuts": 0, "after": 401}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen any
			b.play(t, test.name, &seen)
			var wanted any
			decode(t, test.want, &wanted)
			if !reflect.DeepEqual(seen, wanted) {
				t.Errorf("want %s", encoded(t, wanted))
			}
		})
	}
	t.Run("two tabs sign in at once", func(t *testing.T) { b.tabs(t, "two tabs sign in at once", 1, 2) })
	t.Run("ten tabs come back out of order", func(t *testing.T) {
		b.tabs(t, "ten tabs come back out of order", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	})
	t.Run("ten restored tabs load at once", func(t *testing.T) {
		// Each may have lost its binding once to a tab that started after it.
		if seen := b.tabs(t, "ten restored tabs load at once", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9); seen.Authorizations > 20 || seen.Logins > 0 {
			t.Errorf("it took %d authorization requests, and %d times a person was asked who it is", seen.Authorizations, seen.Logins)
		}
	})
	t.Run("the session cookie is out of reach of scripts", b.sessionCookie)
	for _, name := range []string{
		"sign-out, then the back button and an old tab",
		"sign-out, then the back button to pages that the browser kept",
	} {
		t.Run(name, func(t *testing.T) { b.signOut(t, name) })
	}
	t.Run("a service worker script is not redirected", b.serviceWorker)
	t.Run("cookies are blocked", b.cookiesBlocked)
	t.Run("nothing secret is logged", func(t *testing.T) { logsNothingSecret(t, caddy.Logs()) })
}

// secrets are what a log line of the module must not have: a query of the
// callback, the beginning of every JWT, the app secret. Caddy's access log has
// the first two, until it is told to filter them.
var secrets = regexp.MustCompile(`[?&](code|state)=|eyJ[A-Za-z]|` + appSecret)

func logsNothingSecret(t *testing.T, logs string) {
	var lines int
	for line := range strings.Lines(logs) {
		if strings.Contains(line, `"logger":"http.log.access`) {
			continue
		}
		lines++
		if secrets.MatchString(line) {
			t.Errorf("logged: %s", line)
		}
	}
	if lines == 0 {
		t.Error("nothing was logged")
	}
}

const refreshedOnce = `{"statuses": [200, 200], "secret": true, "person": "alice", "counts": {"authorizations": 0, "refreshes": 1}}`

// deepLink signs in on the way to a page. The provider must have been asked for
// what Logto needs.
func (b browser) deepLink(t *testing.T, scenario, resource string) {
	var seen struct {
		Asked         bool
		At, Person    string
		Secret        bool
		Other         string
		Counts        map[string]int
		NewestRequest map[string]string
	}
	b.play(t, scenario, &seen)
	if want := "/members/plan.html?week=47&q=a%20b&next=//x"; !seen.Asked || seen.At != want || !seen.Secret || seen.Person != "alice" {
		t.Errorf("the person was asked: %v; came to %q, want %q, as %q", seen.Asked, seen.At, want, seen.Person)
	}
	if want := map[string]int{"authorizations": 1, "logins": 1, "codes": 1}; seen.Other != "/members/" || !reflect.DeepEqual(seen.Counts, want) {
		t.Errorf("after another page, %q, the provider has counted %v", seen.Other, seen.Counts)
	}
	request := seen.NewestRequest
	origin := site
	if resource == "" {
		origin = plain
	}
	for name, want := range map[string]string{
		"client_id": appID, "response_type": "code", "redirect_uri": origin + prefix + "/callback", "code_challenge_method": "S256",
		"prompt": "consent", "resource": resource,
	} {
		if request[name] != want {
			t.Errorf("%s is %q, want %q", name, request[name], want)
		}
	}
	for _, scope := range []string{"openid", "offline_access", "profile"} {
		if !slices.Contains(strings.Fields(request["scope"]), scope) {
			t.Errorf("scope is %q, without %s", request["scope"], scope)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(request[name]) < 22 { // 128 bits
			t.Errorf("%s is %q", name, request[name])
		}
	}
}

// tabsSeen is what became of several tabs.
type tabsSeen struct {
	At                     []string
	Secrets                []bool
	Authorizations, Logins int
}

// tabs plays a scenario in which every tab must come back to its own page.
func (b browser) tabs(t *testing.T, scenario string, numbers ...int) tabsSeen {
	var seen tabsSeen
	b.play(t, scenario, &seen)
	var want []string
	for _, number := range numbers {
		want = append(want, fmt.Sprintf("/members/plan.html?tab=%d", number))
	}
	if !slices.Equal(seen.At, want) || slices.Contains(seen.Secrets, false) {
		t.Errorf("the tabs are at %q, showing their pages: %v", seen.At, seen.Secrets)
	}
	return seen
}

func (b browser) sessionCookie(t *testing.T) {
	type cookie struct {
		Name, SameSite, Path, Domain string
		HTTPOnly, Secure             bool
	}
	var seen struct {
		Cookies           []cookie
		Readable, Planted string
		Elsewhere         []string
		Person            string
	}
	b.play(t, "the session cookie is out of reach of scripts", &seen)
	want := []cookie{{Name: "__Host-Http-logto-session", SameSite: "Lax", Path: "/", Domain: "www.example.com", HTTPOnly: true, Secure: true}}
	if !reflect.DeepEqual(seen.Cookies, want) {
		t.Errorf("cookies %+v, want %+v", seen.Cookies, want)
	}
	if seen.Readable != "" || seen.Planted != "" || len(seen.Elsewhere) > 0 {
		t.Errorf("scripts read %q, and %q after planting; other sites have %q", seen.Readable, seen.Planted, seen.Elsewhere)
	}
	if seen.Person != "alice" {
		t.Errorf("after planting the person is %q", seen.Person)
	}
}

// signOut must leave nothing that shows a protected page again, in any tab.
func (b browser) signOut(t *testing.T, scenario string) {
	var seen struct {
		Revocations, SignOuts, OldFetch int
		Cookies                         []string
		Back                            []struct {
			At     string
			Secret bool
		}
		Asked bool
	}
	b.play(t, scenario, &seen)
	if seen.Revocations != 1 || seen.SignOuts != 1 || len(seen.Cookies) > 0 {
		t.Errorf("%d grants were revoked, %d sessions ended at the provider; the site left %q", seen.Revocations, seen.SignOuts, seen.Cookies)
	}
	for _, page := range seen.Back {
		if page.Secret {
			t.Errorf("the back button shows the protected page at %s", page.At)
		}
	}
	if len(seen.Back) < 4 { // two pages and two before the first
		t.Errorf("the back button led to %+v", seen.Back)
	}
	if seen.OldFetch != 401 || !seen.Asked {
		t.Errorf("an old tab's fetch gets %d; its reload asks for a sign-in: %v", seen.OldFetch, seen.Asked)
	}
}

func (b browser) serviceWorker(t *testing.T) {
	var seen struct {
		Before, After  string
		Authorizations int
	}
	b.play(t, "a service worker script is not redirected", &seen)
	if !strings.Contains(seen.Before, "401") || seen.Authorizations != 0 {
		t.Errorf("without a session the browser says %q, after %d authorization requests", seen.Before, seen.Authorizations)
	}
	if want := "registered for /"; seen.After != want {
		t.Errorf("with a session it says %q, want %q", seen.After, want)
	}
}

// cookiesBlocked ends, after one more try, with a page that says so.
func (b browser) cookiesBlocked(t *testing.T) {
	var seen struct {
		Callbacks []int
		Text      string
		Cookies   []string
		Counts    map[string]int
	}
	b.play(t, "cookies are blocked", &seen)
	if want := []int{302, 400}; !slices.Equal(seen.Callbacks, want) {
		t.Errorf("the callbacks get %v, want %v", seen.Callbacks, want)
	}
	if want := map[string]int{"authorizations": 2, "logins": 1, "codes": 0}; !reflect.DeepEqual(seen.Counts, want) {
		t.Errorf("the provider has counted %v, want %v", seen.Counts, want)
	}
	if !strings.Contains(seen.Text, "Allow cookies for this site") || len(seen.Cookies) > 0 {
		t.Errorf("with the cookies %q the page says %q", seen.Cookies, seen.Text)
	}
}
