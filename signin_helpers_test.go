package logtoauth

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// The app and the people of tests that sign in.
const (
	testApp    = "web-app"
	appSecret  = "a-secret-of-the-web-app-32-chars"
	testHost   = "www.example.com"
	alice, bob = "alice", "bob"
)

// ahead is how far the clock of handlers and tenants is ahead in tests that let
// time pass. Such tests are not parallel, as none with a Caddy is.
var ahead atomic.Int64

func init() {
	systemClock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
}

// pass lets time pass until the test ends.
func pass(tb testing.TB, d time.Duration) {
	tb.Helper()
	ahead.Add(int64(d))
	tb.Cleanup(func() { ahead.Add(-int64(d)) })
}

// members is a site that people sign in to, the tenant, and its directory.
type members struct {
	*caddytest.Server
	tenant *devtenanttest.Server
	tb     testing.TB
}

// newMembers runs sites over TLS. In their text TENANT is the tenant's endpoint
// and SIGN_IN the directive with the app's id and secret.
func newMembers(tb testing.TB, sites string) *members {
	tb.Helper()
	return newMembersOver(tb, caddytest.StartTLS, sites)
}

// newMembersOver is newMembers for a Caddy that is started in another way.
func newMembersOver(tb testing.TB, start func(testing.TB, string) *caddytest.Server, sites string) *members {
	tb.Helper()
	m := &members{tenant: newPeople(tb), tb: tb}
	m.Server = start(tb, m.text(sites))
	return m
}

func (m *members) text(sites string) string {
	return strings.NewReplacer("TENANT", m.tenant.URL, "SIGN_IN", "sign_in "+testApp+" "+appSecret).Replace(sites)
}

// newPeople is a tenant with an app, Alice and Bob.
func newPeople(tb testing.TB) *devtenanttest.Server {
	tb.Helper()
	tenant := devtenanttest.NewServer(tb, devtenant.Options{Now: systemClock})
	tenant.AddApp(devtenant.App{
		ID: testApp, Secret: appSecret,
		RedirectURIs: []string{
			"https://" + testHost + "/.logto/callback", "https://other.example.com/.logto/callback",
			"https://" + testHost + "/app/.logto/callback",
		},
		PostLogoutRedirectURIs: []string{"https://" + testHost + "/.logto/signed-out", "https://" + testHost + "/bye"},
	})
	for _, id := range []string{alice, bob} {
		tenant.AddUser(devtenant.User{ID: id, Roles: []string{"reader"}, Permissions: []devtenant.Permission{
			{Resource: testAPI, Scopes: []string{"read:products", "write:orders"}},
			{OrganizationID: "acme", Scopes: []string{"read:docs"}},
			{Resource: testAPI, OrganizationID: "acme", Scopes: []string{"read:products"}},
		}})
	}
	return tenant
}

// browser is a person's browser: it keeps cookies and follows redirects to the
// tenant and back.
type person struct {
	*members
	host    string
	cookies map[string]string
	logto   *devtenanttest.Browser
}

func (m *members) browser() *person {
	m.tb.Helper()
	return &person{members: m, host: testHost, cookies: map[string]string{}, logto: devtenanttest.NewBrowser(m.tb, m.tenant.Tenant)}
}

// navigation are the headers of a person who opens a page.
func navigation(r *http.Request) {
	for name, value := range map[string]string{
		"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none",
		"Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
	} {
		if _, set := r.Header[http.CanonicalHeaderKey(name)]; !set {
			r.Header.Set(name, value)
		}
	}
}

// open navigates to a path and returns the answer, redirects not followed.
func (p *person) open(path string, options ...caddytest.Option) *caddytest.Response {
	p.tb.Helper()
	return p.fetch(path, append(options, navigation)...)
}

// fetch requests a path with the cookies, as a script does.
func (p *person) fetch(path string, options ...caddytest.Option) *caddytest.Response {
	p.tb.Helper()
	options = append([]caddytest.Option{caddytest.Header("Host", p.host)}, options...)
	if len(p.cookies) > 0 {
		options = append(options, caddytest.Header("Cookie", p.cookieHeader()))
	}
	answer := p.Get(path, options...)
	p.keep(answer)
	return answer
}

func (p *person) cookieHeader() string {
	pairs := make([]string, 0, len(p.cookies))
	for name, value := range p.cookies {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "; ")
}

func (p *person) keep(answer *caddytest.Response) {
	for _, cookie := range answer.Cookies() {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			delete(p.cookies, cookie.Name)
		} else {
			p.cookies[cookie.Name] = cookie.Value
		}
	}
}

// start opens a path and returns the authorization URL that it leads to.
func (p *person) start(path string) string {
	p.tb.Helper()
	answer := p.open(path)
	location := answer.Header.Get("Location")
	if answer.StatusCode != http.StatusFound || !strings.HasPrefix(location, p.tenant.Issuer()+"/auth?") {
		p.tb.Fatalf("%s: %d to %q, want a redirect to Logto: %s", path, answer.StatusCode, location, answer.Body)
	}
	return location
}

// callback lets a person sign in at the tenant and returns the callback's path
// and query.
func (p *person) callback(authorization, user string) string {
	p.tb.Helper()
	return pathOf(p.logto.SignIn(authorization, user))
}

func pathOf(u *url.URL) string { return u.RequestURI() }

// signIn opens a path, signs in and returns the page that was asked for.
func (p *person) signIn(path, user string) *caddytest.Response {
	p.tb.Helper()
	answer := p.open(p.callback(p.start(path), user))
	if answer.StatusCode != http.StatusSeeOther {
		p.tb.Fatalf("callback: %d %s", answer.StatusCode, answer.Body)
	}
	return p.open(answer.Header.Get("Location"))
}

// The cookies of testHost.
const (
	sessionCookie = "__Host-Http-logto-session"
	flowCookie    = "__Host-logto-flow"
)

// showsPage fails the test unless the answer is a page of ours with this status
// and reason, which hands no cookie over.
func showsPage(tb testing.TB, what string, answer *caddytest.Response, status int, reason Reason) {
	tb.Helper()
	if answer.StatusCode != status || !strings.Contains(answer.Body, "Reason: <code>"+string(reason)+"</code>") {
		tb.Errorf("%s: %d %q, want %d with the reason %s: %s", what, answer.StatusCode, answer.Header.Get("Location"), status, reason, answer.Body)
	}
	if cookies := answer.Header["Set-Cookie"]; len(cookies) > 0 {
		tb.Errorf("%s: the page sets cookies: %q", what, cookies)
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		tb.Errorf("%s: Cache-Control %q", what, got)
	}
}

// goesTo fails the test unless the answer redirects to exactly this address.
func goesTo(tb testing.TB, what string, answer *caddytest.Response, status int, location string) {
	tb.Helper()
	if got := answer.Header.Get("Location"); answer.StatusCode != status || got != location {
		tb.Errorf("%s: %d to %q, want %d to %q: %s", what, answer.StatusCode, got, status, location, answer.Body)
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		tb.Errorf("%s: Cache-Control %q", what, got)
	}
}

// startsSignIn reports whether the answer sends a browser to Logto.
func (m *members) startsSignIn(answer *caddytest.Response) bool {
	return answer.StatusCode == http.StatusFound && strings.HasPrefix(answer.Header.Get("Location"), m.tenant.Issuer()+"/auth?")
}

// withQuery changes the query of a path.
func withQuery(tb testing.TB, path string, change func(url.Values)) string {
	tb.Helper()
	u, err := url.Parse(path)
	if err != nil {
		tb.Fatal(err)
	}
	query := u.Query()
	change(query)
	u.RawQuery = query.Encode()
	return u.RequestURI()
}

// raw sends octets and reads the answer, for requests that net/http would
// change.
func (m *members) raw(octets string) *caddytest.Response {
	m.tb.Helper()
	dialer := tls.Dialer{Config: m.TLS("http/1.1")}
	connection, err := dialer.DialContext(m.tb.Context(), "tcp", m.Addr())
	if err != nil {
		m.tb.Fatal(err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, octets); err != nil {
		m.tb.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		m.tb.Fatalf("reading the answer to %q: %v", octets, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		m.tb.Fatal(err)
	}
	return &caddytest.Response{Response: answer, Body: string(body)}
}
