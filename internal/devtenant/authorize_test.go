package devtenant_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

func TestThePageAsksWhoItIs(t *testing.T) {
	s := newSite(t)
	s.SignInAs("")
	page := s.browser.Open(s.request(nil))
	if page.Status != 200 || page.URL.Path != "/sign-in" || page.URL.Query().Get("app_id") != web {
		t.Fatalf("status %d at %s", page.Status, page.URL)
	}
	for _, name := range []string{"alice", "bob"} {
		if !strings.Contains(page.Body, ">"+name+"</button>") {
			t.Errorf("no button for %s in %s", name, page.Body)
		}
	}
	left := s.browser.Submit(page, url.Values{"user": {bob}}).Left
	if left == nil || !strings.HasPrefix(left.String(), callback+"?") {
		t.Fatalf("came to %v", left)
	}
	_, answer := s.exchange(left.Query().Get("code"), nil)
	if _, payload := decode(t, answer["id_token"].(string)); payload["sub"] != bob {
		t.Errorf("signed %v in", payload["sub"])
	}
	// From now on the browser is signed in.
	if page := s.browser.Open(s.request(nil)); page.Left == nil {
		t.Errorf("the page asks again: %s", page.Body)
	}
}

func TestThePageGetsWhatTheAppAskedFor(t *testing.T) {
	s := newSite(t)
	s.SignInAs("")
	for changes, want := range map[string]string{
		"login_hint=a%40b":      "/sign-in?app_id=" + web + "&login_hint=a%40b",
		"ui_locales=de":         "/sign-in?app_id=" + web + "&ui_locales=de",
		"organization_id=x":     "/sign-in?app_id=" + web + "&organization_id=x",
		"first_screen=register": "/register?app_id=" + web,
	} {
		query, _ := url.ParseQuery(changes)
		if page := s.browser.Open(s.request(query)); page.URL.RequestURI() != want || page.Status != 200 {
			t.Errorf("%s: %d at %s, want %s", changes, page.Status, page.URL, want)
		}
	}
}

func TestWhoMayNotSignInStaysAtThePage(t *testing.T) {
	for name, test := range map[string]struct {
		before func(*site)
		user   string
		status int
	}{
		"suspended":           {func(s *site) { s.Suspend(alice) }, alice, 401},
		"unknown":             {func(*site) {}, "nobody", 422},
		"barred from the app": {func(s *site) { s.WithdrawApp(web, alice) }, alice, 403},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.SignInAs("")
			test.before(s)
			page := s.browser.Submit(s.browser.Open(s.request(nil)), url.Values{"user": {test.user}})
			if page.Left != nil || page.Status != test.status {
				t.Errorf("status %d, left %v", page.Status, page.Left)
			}
		})
	}
}

func TestBarredUserIsLetInAgain(t *testing.T) {
	s := newSite(t)
	s.WithdrawApp(web, alice)
	s.AllowApp(web, alice)
	s.code(nil)
	s.Suspend(alice)
	s.Reinstate(alice)
	s.code(nil)
}

// Suspension ends what there is for good.
func TestReinstatedUserSignsInAnew(t *testing.T) {
	s := newSite(t)
	token := s.refreshToken(nil)
	s.Suspend(alice)
	s.Reinstate(alice)
	if status, answer := s.refresh(token, nil); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("status %d, %v", status, answer)
	}
	if got := s.signIn(url.Values{"prompt": {"none"}}); got.Get("error") != "login_required" {
		t.Errorf("callback %v", got)
	}
}

func TestPromptsAndAges(t *testing.T) {
	for name, test := range map[string]struct {
		changes url.Values
		asks    bool
	}{
		"nothing":           {url.Values{"prompt": nil}, false},
		"consent":           {url.Values{"prompt": {"consent"}}, false},
		"login":             {url.Values{"prompt": {"login"}}, true},
		"login and consent": {url.Values{"prompt": {"login consent"}}, true},
		"young enough":      {url.Values{"max_age": {"60"}}, false},
		"too old":           {url.Values{"max_age": {"59"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.signIn(nil)
			s.SignInAs("")
			s.advance(time.Minute)
			if page := s.browser.Open(s.request(test.changes)); (page.Left == nil) != test.asks {
				t.Errorf("left for %v", page.Left)
			}
		})
	}
}

func TestAuthorizationRequestsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		changes url.Values
		want    string
	}{
		"unknown prompt":                  {url.Values{"prompt": {"create"}}, "invalid_request"},
		"none and more":                   {url.Values{"prompt": {"none login"}}, "invalid_request"},
		"no response type":                {url.Values{"response_type": nil}, "invalid_request"},
		"unknown response mode":           {url.Values{"response_mode": {"smoke"}}, "unsupported_response_mode"},
		"two states":                      {url.Values{"state": {"YmRG", "x"}}, "invalid_request"},
		"one of two resources":            {url.Values{"resource": {api + ",https://unknown.example"}}, "invalid_target"},
		"challenge without PKCE's length": {url.Values{"code_challenge": {"short"}}, "invalid_request"},
		"method without challenge":        {url.Values{"code_challenge": nil}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			got := newSite(t).signIn(test.changes)
			if got.Get("error") != test.want || got.Get("state") != "YmRG" || got.Get("iss") == "" || got.Has("code") {
				t.Errorf("callback %v, want %s", got, test.want)
			}
		})
	}
}

func TestResponseModes(t *testing.T) {
	s := newSite(t)
	if left := s.browser.SignIn(s.request(url.Values{"response_mode": {"fragment"}}), alice); left.RawQuery != "" || !strings.Contains(left.Fragment, "code=") {
		t.Errorf("fragment: %s", left)
	}
	if left := s.browser.SignIn(s.request(url.Values{"response_type": {"id_token token"}}), alice); !strings.Contains(left.Fragment, "error=unsupported_response_type") {
		t.Errorf("another response type: %s", left)
	}
	page := s.browser.Open(s.request(url.Values{"response_mode": {"form_post"}}))
	if page.Status != 200 || !strings.Contains(page.Body, `action="`+callback+`"`) || !strings.Contains(page.Body, `name="code"`) {
		t.Errorf("form: %d %s", page.Status, page.Body)
	}
}

func TestCallbackKeepsTheQueryOfTheRedirectURI(t *testing.T) {
	s := newSite(t)
	const uri = callback + "?tenant=1"
	s.AddApp(devtenant.App{ID: web, Secret: webSecret, RedirectURIs: []string{callback, uri}})
	if got := s.signIn(url.Values{"redirect_uri": {uri}}); got.Get("tenant") != "1" || !got.Has("code") {
		t.Errorf("callback %v", got)
	}
	// With two of them it may not be left out.
	if got := s.navigate(s.request(url.Values{"redirect_uri": nil})); got.status != 400 || got.body["error"] != "invalid_request" {
		t.Errorf("without: %v", got)
	}
}

func TestCommaSeparatedResources(t *testing.T) {
	s := newSite(t)
	code := s.code(url.Values{"resource": {orgsTarget + "," + api}})
	if status, answer := s.exchange(code, url.Values{"resource": {api}}); status != 200 {
		t.Errorf("status %d, %v", status, answer)
	}
}

// A page that is sent twice, by another browser, or too late gives no code.
func TestSignInIsTheBrowsersOwn(t *testing.T) {
	s := newSite(t)
	s.SignInAs("")
	page := s.browser.Open(s.request(nil))
	stranger := devtenanttest.NewBrowser(t, s.Tenant)
	if stolen := stranger.Submit(page, url.Values{"user": {alice}}); stolen.Left != nil || stolen.Status != 400 {
		t.Errorf("a stranger came to %v, %d", stolen.Left, stolen.Status)
	}
	if first := s.browser.Submit(page, url.Values{"user": {alice}}); first.Left == nil {
		t.Errorf("came to %s", first.URL)
	}
	if again := s.browser.Submit(page, url.Values{"user": {alice}}); again.Left != nil || again.Status != 400 {
		t.Errorf("a second time came to %v, %d", again.Left, again.Status)
	}
}

// Whoever signs in over another person's session signs that person out.
func TestAnotherPersonSignsInOver(t *testing.T) {
	s := newSite(t)
	s.backChannel(true)
	kept := s.refreshToken(nil)
	_, ended := s.exchange(s.code(url.Values{"client_id": {always}, "prompt": nil}), url.Values{"client_id": {always}})
	s.SignInAs(bob)
	bobs := s.refreshToken(url.Values{"prompt": {"login consent"}})
	if requests, err := s.Logouts(t.Context()); err != nil || len(requests) != 1 {
		t.Errorf("%d logout tokens, %v", len(requests), err)
	}
	for name, test := range map[string]struct {
		status int
		got    func() (int, map[string]any)
	}{
		"with offline_access": {200, func() (int, map[string]any) { return s.refresh(kept, nil) }},
		"without offline_access": {400, func() (int, map[string]any) {
			return s.refresh(ended["refresh_token"].(string), url.Values{"client_id": {always}})
		}},
		"the other person's": {200, func() (int, map[string]any) { return s.refresh(bobs, nil) }},
	} {
		if status, answer := test.got(); status != test.status {
			t.Errorf("%s: status %d, %v", name, status, answer)
		}
	}
	s.revoke(bobs, nil)
	if status, _ := s.refresh(kept, nil); status != 200 {
		t.Errorf("revoking bob's took alice's: %d", status)
	}
}

func TestDiscoveryFollowsTheHost(t *testing.T) {
	s := newSite(t)
	answer := s.navigate("http://logto:3001" + devtenant.DiscoveryPath)
	if answer.body["issuer"] != "http://localhost:3001/oidc" || answer.body["authorization_endpoint"] != "http://logto:3001/oidc/auth" {
		t.Errorf("issuer %v, authorization_endpoint %v", answer.body["issuer"], answer.body["authorization_endpoint"])
	}
}

func TestRegisteredFragmentNeverMatches(t *testing.T) {
	s := newSite(t)
	s.AddApp(devtenant.App{ID: web, Secret: webSecret, RedirectURIs: []string{callback + "#x"}})
	if got := s.navigate(s.request(url.Values{"redirect_uri": {callback + "#x"}})); got.body["error"] != "invalid_redirect_uri" {
		t.Errorf("%v", got)
	}
}
