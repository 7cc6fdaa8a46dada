package devtenant_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestCookiesAreLogtos(t *testing.T) {
	s := newSite(t)
	s.SignInAs("")
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, s.request(nil), nil))
	if answer.Code != 303 || !strings.HasPrefix(answer.Header().Get("Location"), "/sign-in?") {
		t.Errorf("status %d, Location %s", answer.Code, answer.Header().Get("Location"))
	}
	want := map[string]struct {
		path     string
		httpOnly bool
	}{
		"_interaction": {"/", true}, "_interaction.sig": {"/", true},
		"_interaction_resume": {"/oidc/auth/", true}, "_interaction_resume.sig": {"/oidc/auth/", true},
		"_logto": {"/", false}, "_logto.sig": {"/", false},
	}
	for _, c := range answer.Result().Cookies() {
		w, known := want[c.Name]
		delete(want, c.Name)
		if !known || !strings.HasPrefix(c.Path, w.path) || c.HttpOnly != w.httpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure {
			t.Errorf("cookie %v", c)
		}
	}
	if len(want) > 0 {
		t.Errorf("not set: %v", want)
	}
}

// send sends one request with exactly these cookies.
func (s *site) send(method, address, body string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, address, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, r)
	return answer
}

func TestForgedSessionCookieIsNone(t *testing.T) {
	s := newSite(t)
	silent := s.request(url.Values{"prompt": {"none"}})
	cookies := s.send(http.MethodGet, s.request(nil), "").Result().Cookies()
	if location := s.send(http.MethodGet, silent, "", cookies...).Header().Get("Location"); !strings.Contains(location, "code=") {
		t.Errorf("Location %s", location)
	}
	for _, c := range cookies { // without its signature
		if location := s.send(http.MethodGet, silent, "", c).Header().Get("Location"); !strings.Contains(location, "error=login_required") {
			t.Errorf("%s alone: Location %s", c.Name, location)
		}
	}
}

// A sign-in changes the cookie, a sign-in without a page does not: tabs that
// open at once have all sent the same.
func TestSessionCookieChangesWithASignIn(t *testing.T) {
	s := newSite(t)
	silent := s.request(url.Values{"prompt": {"none"}})
	cookies := s.send(http.MethodGet, s.request(nil), "").Result().Cookies()
	for range 2 {
		if location := s.send(http.MethodGet, silent, "", cookies...).Header().Get("Location"); !strings.Contains(location, "code=") {
			t.Errorf("Location %s", location)
		}
	}
	s.send(http.MethodGet, s.request(url.Values{"prompt": {"login"}}), "", cookies...)
	if location := s.send(http.MethodGet, silent, "", cookies...).Header().Get("Location"); !strings.Contains(location, "error=login_required") {
		t.Errorf("the old cookie: Location %s", location)
	}
}

func TestSessionIsRenewedAtEachAuthorization(t *testing.T) {
	s := newSite(t)
	s.signIn(nil)
	for range 3 {
		s.advance(10 * 24 * time.Hour)
		if got := s.signIn(url.Values{"prompt": {"none"}}); !got.Has("code") {
			t.Fatalf("callback %v", got)
		}
	}
}

// What the page has decided is for the browser that it was shown to, once.
func TestReturnFromThePageIsTheBrowsersOwn(t *testing.T) {
	s := newSite(t)
	s.SignInAs("")
	cookies := s.send(http.MethodGet, s.request(nil), "").Result().Cookies()
	back := s.Endpoint() + s.send(http.MethodPost, s.Endpoint()+"/sign-in", "user="+alice, cookies...).Header().Get("Location")
	if answer := s.send(http.MethodGet, back, ""); answer.Code != 400 || object(answer.Body.Bytes())["code"] != "session.not_found" {
		t.Errorf("another browser: %d %s", answer.Code, answer.Body)
	}
	if answer := s.send(http.MethodGet, back, "", cookies...); !strings.Contains(answer.Header().Get("Location"), "code=") {
		t.Errorf("status %d, %s", answer.Code, answer.Header().Get("Location"))
	}
	if answer := s.send(http.MethodGet, back, "", cookies...); answer.Code != 400 {
		t.Errorf("a second time: %d, %s", answer.Code, answer.Header().Get("Location"))
	}
}

func TestPersonSuspendedAfterThePageSeesItAgain(t *testing.T) {
	s := newSite(t)
	s.SignInAs("")
	cookies := s.send(http.MethodGet, s.request(nil), "").Result().Cookies()
	back := s.Endpoint() + s.send(http.MethodPost, s.Endpoint()+"/sign-in", "user="+alice, cookies...).Header().Get("Location")
	s.Suspend(alice)
	if location := s.send(http.MethodGet, back, "", cookies...).Header().Get("Location"); !strings.HasPrefix(location, "/sign-in?") {
		t.Errorf("Location %s", location)
	}
}

func TestThePageExpires(t *testing.T) {
	s := newSite(t)
	s.SignInAs("")
	cookies := s.send(http.MethodGet, s.request(nil), "").Result().Cookies()
	for _, status := range []int{200, 400} {
		if got := s.send(http.MethodGet, s.Endpoint()+"/sign-in", "", cookies...).Code; got != status {
			t.Errorf("status %d, want %d", got, status)
		}
		s.advance(time.Hour)
	}
}

// Who would be signed in without a page, but may not be, sees the page.
func TestNobodySuspendedIsSignedInAutomatically(t *testing.T) {
	s := newSite(t)
	s.Suspend(alice)
	if page := s.browser.Open(s.request(nil)); page.Left != nil || page.URL.Path != "/sign-in" {
		t.Errorf("came to %v, left for %v", page.URL, page.Left)
	}
}
