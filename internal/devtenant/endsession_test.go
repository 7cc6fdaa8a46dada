package devtenant_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

func TestSignOut(t *testing.T) {
	s := newSite(t)
	_, answer := s.exchange(s.code(nil), nil)
	hint, _ := answer["id_token"].(string)
	for name, test := range map[string]struct {
		query url.Values
		left  string // empty: the tenant's own page
	}{
		"client_id":     {url.Values{"client_id": {web}, "post_logout_redirect_uri": {bye}}, bye},
		"state":         {url.Values{"client_id": {web}, "post_logout_redirect_uri": {bye}, "state": {"xyz"}}, bye + "?state=xyz"},
		"hint":          {url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {bye}, "state": {"xyz"}}, bye + "?state=xyz"},
		"hint and ID":   {url.Values{"id_token_hint": {hint}, "client_id": {web}, "post_logout_redirect_uri": {bye}}, bye},
		"nothing":       {nil, ""},
		"URI of nobody": {url.Values{"post_logout_redirect_uri": {bye}}, ""},
		"state, no URI": {url.Values{"client_id": {web}, "state": {"xyz"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			s.browser = devtenanttest.NewBrowser(t, s.Tenant)
			s.signIn(nil)
			form := s.browser.Open(s.endSession(test.query))
			if form.Status != 200 || !strings.Contains(form.Body, `<body onload=`) || !strings.Contains(form.Body, `action="/oidc/session/end/confirm"`) ||
				!strings.Contains(form.Body, `name="logout" value="yes"`) {
				t.Fatalf("status %d: %s", form.Status, form.Body)
			}
			if got := s.signIn(url.Values{"prompt": {"none"}}); !got.Has("code") {
				t.Errorf("the form alone signs out: %v", got)
			}
			page := s.browser.SignOut(s.endSession(test.query))
			switch {
			case test.left == "" && (page.Left != nil || page.URL.Path != "/oidc/session/end/success" || page.Status != 200):
				t.Errorf("came to %v, %d", page.Left, page.Status)
			case test.left != "" && (page.Left == nil || page.Left.String() != test.left):
				t.Errorf("left for %v, want %s", page.Left, test.left)
			}
			if got := s.signIn(url.Values{"prompt": {"none"}}); got.Get("error") != "login_required" {
				t.Errorf("callback %v after the sign-out", got)
			}
		})
	}
}

func TestSignOutOfNobody(t *testing.T) {
	s := newSite(t)
	page := s.browser.SignOut(s.endSession(url.Values{"client_id": {web}, "post_logout_redirect_uri": {bye}}))
	if page.Left == nil || page.Left.String() != bye {
		t.Errorf("left for %v, status %d", page.Left, page.Status)
	}
	if requests, err := s.Logouts(t.Context()); err != nil || len(requests) != 0 {
		t.Errorf("%d logout tokens, %v", len(requests), err)
	}
}

// A page elsewhere can send the browser to the form, but not send it.
func TestSignOutTakesTheForm(t *testing.T) {
	s := newSite(t)
	s.signIn(nil)
	confirm := devtenanttest.Page{URL: mustParse(t, s.Issuer()+"/session/end/confirm")}
	if page := s.browser.Submit(confirm, url.Values{"xsrf": {""}}); page.Status != 400 {
		t.Errorf("without a form: status %d", page.Status)
	}
	form := s.browser.Open(s.endSession(nil))
	form.Body = strings.Replace(form.Body, `name="xsrf"`, `name="other"`, 1)
	if page := s.browser.Submit(form, nil); page.Status != 400 {
		t.Errorf("status %d", page.Status)
	}
	if got := s.signIn(url.Values{"prompt": {"none"}}); !got.Has("code") {
		t.Errorf("callback %v", got)
	}
	stranger := devtenanttest.NewBrowser(t, s.Tenant)
	if page := stranger.Submit(s.browser.Open(s.endSession(nil)), nil); page.Status != 400 {
		t.Errorf("another browser: status %d", page.Status)
	}
}

func TestSignOutsThatAreRefused(t *testing.T) {
	s := newSite(t)
	_, answer := s.exchange(s.code(nil), nil)
	hint, _ := answer["id_token"].(string)
	for name, query := range map[string]url.Values{
		"unknown app":     {"client_id": {"nobody"}},
		"another's hint":  {"id_token_hint": {hint}, "client_id": {spa}},
		"two states":      {"state": {"a", "b"}},
		"URI and a slash": {"client_id": {web}, "post_logout_redirect_uri": {bye + "/"}},
	} {
		if got := s.navigate(s.endSession(query)); got.status != 400 || got.body["error"] == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSignOutByPostAndTheCookieItClears(t *testing.T) {
	s := newSite(t)
	s.signIn(nil)
	page := s.browser.Submit(devtenanttest.Page{URL: mustParse(t, s.Issuer()+"/session/end")}, url.Values{"client_id": {web}, "post_logout_redirect_uri": {bye}})
	if page.Status != 200 || !strings.Contains(page.Body, `name="xsrf"`) {
		t.Fatalf("status %d: %s", page.Status, page.Body)
	}
	if left := s.browser.Submit(page, nil).Left; left == nil || left.String() != bye {
		t.Errorf("left for %v", left)
	}

	// The same by hand, for the header.
	signIn := httptest.NewRecorder()
	s.ServeHTTP(signIn, httptest.NewRequest(http.MethodGet, s.request(nil), nil))
	ask := httptest.NewRequest(http.MethodGet, s.endSession(nil), nil)
	for _, c := range signIn.Result().Cookies() {
		ask.AddCookie(c)
	}
	form := httptest.NewRecorder()
	s.ServeHTTP(form, ask)
	_, value, _ := strings.Cut(form.Body.String(), `name="xsrf" value="`)
	value, _, _ = strings.Cut(value, `"`)
	confirm := httptest.NewRequest(http.MethodPost, s.Issuer()+"/session/end/confirm", strings.NewReader("logout=yes&xsrf="+value))
	confirm.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	confirm.Header["Cookie"] = ask.Header["Cookie"]
	done := httptest.NewRecorder()
	s.ServeHTTP(done, confirm)
	if cookies := strings.Join(done.Header()["Set-Cookie"], "\n"); done.Code != 303 || !strings.Contains(cookies, "_session=; Path=/; Expires=Thu, 01 Jan 1970") {
		t.Errorf("status %d, cookies %s", done.Code, cookies)
	}
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// The page, the form and their steps are no requests of their own.
func TestOneSignInAndOutCountsOnce(t *testing.T) {
	s := newSite(t)
	s.SignInAs("")
	s.signIn(nil)
	s.browser.SignOut(s.endSession(nil))
	if got, want := s.Counts(), (devtenant.Counts{Authorization: 1, EndSession: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}
