package examples_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// The app that people sign in to, as its examples take it from the environment.
const (
	signInApp    = "app"
	signInSecret = "a-secret-of-the-app-with-32-chars"
)

func setApp(t *testing.T) {
	t.Helper()
	t.Setenv("LOGTO_APP_ID", signInApp)
	t.Setenv("LOGTO_APP_SECRET", signInSecret)
}

// registerApp does what the headers of the examples say: people, and an app
// with the URIs of a host.
func registerApp(tenant *devtenant.Tenant, host string) {
	tenant.AddApp(devtenant.App{
		ID: signInApp, Secret: signInSecret,
		RedirectURIs:           []string{"https://" + host + "/.logto/callback"},
		PostLogoutRedirectURIs: []string{"https://" + host + "/.logto/signed-out"},
	})
	tenant.AddUser(devtenant.User{ID: "alice", Roles: []string{"editor"}, Permissions: []devtenant.Permission{
		{Resource: "https://api.example.com", Scopes: []string{"write:orders"}},
	}})
	tenant.AddUser(devtenant.User{ID: "bob"})
	tenant.AddResource("https://api.example.com")
}

// navigation are the headers of a browser whose person opens a page.
var navigation = http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-Site": {"none"}, "Accept": {"text/html"}}

// browser is a person's: it keeps the site's cookies, and goes to the tenant
// and back.
type browser struct {
	t       *testing.T
	server  *caddytest.Server
	host    string
	cookies map[string]string
	logto   *devtenanttest.Browser
}

func newBrowser(t *testing.T, server *caddytest.Server, tenant *devtenant.Tenant, host string) *browser {
	t.Helper()
	return &browser{t, server, host, map[string]string{}, devtenanttest.NewBrowser(t, tenant)}
}

// request sends a request with the cookies that the site has set.
func (b *browser) request(method, path string, header http.Header) *caddytest.Response {
	b.t.Helper()
	answer := b.server.Get(path, caddytest.Header("Host", b.host), caddytest.Method(method), func(r *http.Request) {
		r.Header = header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		for name, value := range b.cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	})
	for _, cookie := range answer.Cookies() {
		if cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		} else {
			b.cookies[cookie.Name] = cookie.Value
		}
	}
	return answer
}

func (b *browser) open(path string) *caddytest.Response {
	b.t.Helper()
	return b.request(http.MethodGet, path, navigation)
}

// signIn opens a page, signs in as this person and returns what comes then.
func (b *browser) signIn(path, person string) *caddytest.Response {
	b.t.Helper()
	start := b.open(path)
	if start.StatusCode != http.StatusFound {
		b.t.Fatalf("%s: %d %s, not sent to sign in", path, start.StatusCode, start.Body)
	}
	back := b.open(b.logto.SignIn(start.Header.Get("Location"), person).RequestURI())
	if back.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("callback: %d %s", back.StatusCode, back.Body)
	}
	return b.open(back.Header.Get("Location"))
}

// signOut presses the button of the pages and returns where it ends.
func (b *browser) signOut() *url.URL {
	b.t.Helper()
	left := b.request(http.MethodPost, "/.logto/sign-out", http.Header{"Origin": {"https://" + b.host}})
	if left.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("sign-out: %d %s", left.StatusCode, left.Body)
	}
	return b.logto.SignOut(left.Header.Get("Location")).Left
}

// expect fails the test if an answer is another one.
func (b *browser) expect(what string, answer *caddytest.Response, status int, body string) {
	b.t.Helper()
	if answer.StatusCode != status || !strings.Contains(answer.Body, body) {
		b.t.Errorf("%s: %d %s, want %d %s", what, answer.StatusCode, answer.Body, status, body)
	}
}

// endWithSignOut is how every example ends.
func (b *browser) endWithSignOut() {
	b.t.Helper()
	if left := b.signOut(); left == nil || left.String() != "https://"+b.host+"/.logto/signed-out" || len(b.cookies) != 0 {
		b.t.Errorf("signed out at %v with the cookies %v", left, b.cookies)
	}
	b.expect("signed out", b.open("/.logto/signed-out"), http.StatusOK, "You are signed out")
	b.expect("a page after that", b.open("/"), http.StatusFound, "")
}

// signIns are the examples with sign_in: their host, and what people do there.
var signIns = map[string]struct {
	host string
	do   func(*browser)
}{
	"static-site-sign-in": {"docs.example.com", func(b *browser) {
		b.expect("a page by its short name", b.signIn("/guide", "bob"), http.StatusOK, "The guide")
		b.expect("a draft, for Bob", b.open("/drafts/plan"), http.StatusForbidden, `{"error":"Claim requirement not met"}`)
		b.endWithSignOut()
		b.expect("a draft, for Alice", b.signIn("/drafts/plan", "alice"), http.StatusOK, "A draft")
	}},
	"spa-and-api": {"app.example.com", func(b *browser) {
		own := http.Header{"Origin": {"https://app.example.com"}, "Sec-Fetch-Site": {"same-origin"}}
		foreign := http.Header{"Origin": {"https://evil.example.com"}, "Sec-Fetch-Site": {"same-site"}}
		b.expect("a page of the app", b.signIn("/orders/7", "bob"), http.StatusOK, "/app.js")
		b.expect("its script", b.request(http.MethodGet, "/app.js", nil), http.StatusOK, "/.logto/sign-in?return_to=")
		b.expect("who is signed in", b.request(http.MethodGet, "/.logto/session", nil), http.StatusOK, `"sub":"bob"`)
		read := b.request(http.MethodGet, "/api/orders", nil)
		b.expect("the API", read, http.StatusOK, "Authorization: Bearer ey")
		if strings.Contains(read.Body, "Cookie") {
			b.t.Errorf("the API got a cookie:\n%s", read.Body)
		}
		b.expect("a write by Bob", b.request(http.MethodPost, "/api/orders", own), http.StatusForbidden, missingScopes)
		b.endWithSignOut()
		b.expect("a page of the app", b.signIn("/orders/7", "alice"), http.StatusOK, "/app.js")
		b.expect("a write by Alice", b.request(http.MethodPost, "/api/orders", own), http.StatusOK, "POST /api/orders")
		b.expect("a write by a foreign page", b.request(http.MethodPost, "/api/orders", foreign), http.StatusForbidden, "Cross-origin")
	}},
}

func TestPeopleSignInToExamples(t *testing.T) {
	for name, test := range signIns {
		t.Run(name, func(t *testing.T) {
			server, tenant := startExample(t, name)
			registerApp(tenant.Tenant, test.host)
			test.do(newBrowser(t, server, tenant.Tenant, test.host))
		})
	}
}
