package logtoauth

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// headers sets request headers, replacing those that are there; a value of ""
// takes a header away.
func headers(pairs ...string) caddytest.Option {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] == "" {
				delete(r.Header, pairs[i])
			} else {
				r.Header[pairs[i]] = []string{pairs[i+1]}
			}
		}
	}
}

// fetched are the headers of a request that a browser makes with this mode and
// destination.
func fetched(mode, destination string) caddytest.Option {
	return headers("Sec-Fetch-Mode", mode, "Sec-Fetch-Dest", destination, "Sec-Fetch-Site", "same-origin")
}

// Only a page that a person opens is redirected; all else gets 401.
func TestOnlyNavigationsAreRedirected(t *testing.T) {
	m := navigationServer(t)
	const html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	page := fetched("navigate", "document")
	for name, test := range map[string]struct {
		options    []caddytest.Option
		redirected bool
	}{
		"a page":                         {options(page), true},
		"a page, by a foreign link":      {options(page, headers("Sec-Fetch-Site", "cross-site")), true},
		"a page, by the address bar":     {options(page, headers("Sec-Fetch-Site", "none", "Sec-Fetch-User", "?1")), true},
		"a page, any Accept":             {options(page, headers("Accept", "*/*")), true},
		"a page, no Accept":              {options(page, headers("Accept", "")), true},
		"a page, through a worker":       {options(page, headers("Service-Worker-Navigation-Preload", "true")), true},
		"an iframe":                      {options(fetched("navigate", "iframe"), headers("Accept", html)), false},
		"a frame":                        {options(fetched("navigate", "frame"), headers("Accept", html)), false},
		"an object":                      {options(fetched("navigate", "object"), headers("Accept", html)), false},
		"an embed":                       {options(fetched("navigate", "embed"), headers("Accept", html)), false},
		"an image":                       {options(fetched("no-cors", "image"), headers("Accept", "image/avif,*/*;q=0.8")), false},
		"a script":                       {options(fetched("no-cors", "script")), false},
		"a style":                        {options(fetched("no-cors", "style")), false},
		"a font":                         {options(fetched("cors", "font")), false},
		"a manifest":                     {options(fetched("cors", "manifest")), false},
		"fetch()":                        {options(fetched("cors", "empty"), headers("Accept", html)), false},
		"fetch(), same-origin":           {options(fetched("same-origin", "empty"), headers("Accept", html)), false},
		"a worker":                       {options(fetched("same-origin", "worker")), false},
		"a service worker":               {options(fetched("same-origin", "serviceworker"), headers("Service-Worker", "script")), false},
		"a service worker's page":        {options(page, headers("Service-Worker", "script")), false},
		"document without navigate":      {options(fetched("no-cors", "document")), false},
		"navigate without a destination": {options(headers("Sec-Fetch-Mode", "navigate", "Accept", html)), false},
		"a destination without a mode":   {options(headers("Sec-Fetch-Dest", "document", "Accept", html)), false},
		"a site without a mode":          {options(headers("Sec-Fetch-Site", "none", "Accept", html)), false},
		"navigate twice":                 {options(page, caddytest.Header("Sec-Fetch-Mode", "navigate")), false},
		"a document and an iframe":       {options(page, caddytest.Header("Sec-Fetch-Dest", "iframe")), false},
		"a prefetch":                     {options(page, headers("Sec-Purpose", "prefetch")), false},
		"a prerendering":                 {options(page, headers("Sec-Purpose", "prefetch;prerender")), false},
		"an anonymous prefetch":          {options(page, headers("Sec-Purpose", "prefetch;anonymous-client-ip")), false},
		"an older prefetch":              {options(page, headers("Purpose", "prefetch")), false},
		"a prefetch in upper case":       {options(page, headers("Purpose", "Prefetch")), false},
		"an old browser's prefetch":      {options(headers("Accept", html, "X-Moz", "prefetch")), false},
		"an old browser's preview":       {options(headers("Accept", html, "X-Purpose", "preview")), false},
		"X-Requested-With":               {options(page, headers("X-Requested-With", "XMLHttpRequest")), false},
		"X-Requested-With of an app":     {options(page, headers("X-Requested-With", "com.example.app")), false},
		"an upgrade":                     {options(page, headers("Connection", "Upgrade", "Upgrade", "websocket")), false},
		"HEAD":                           {options(page, caddytest.Method("HEAD")), false},
		"POST":                           {options(page, caddytest.Method("POST")), false},
		"OPTIONS":                        {options(page, caddytest.Method("OPTIONS")), false},
		"QUERY":                          {options(page, caddytest.Method("QUERY")), false},
		"get":                            {options(page, caddytest.Method("get")), false},
		"Accept html":                    {options(headers("Accept", html)), true},
		"Accept text/html":               {options(headers("Accept", "text/html")), true},
		"Accept with a parameter":        {options(headers("Accept", "application/json, text/HTML ;q=0.9")), true},
		"Accept in a second line":        {options(headers("Accept", "*/*"), caddytest.Header("Accept", "text/html")), true},
		"Accept anything":                {options(headers("Accept", "*/*")), false},
		"Accept any text":                {options(headers("Accept", "text/*")), false},
		"Accept JSON":                    {options(headers("Accept", "application/json")), false},
		"Accept text/html5":              {options(headers("Accept", "text/html5")), false},
		"Accept, in a parameter":         {options(headers("Accept", `application/json;x="text/html"`)), false},
		"no Accept":                      {nil, false},
		"Accept html by HEAD":            {options(headers("Accept", html), caddytest.Method("HEAD")), false},
	} {
		p := m.browser()
		answer := p.fetch("/page", test.options...)
		switch {
		case test.redirected && !m.startsSignIn(answer):
			t.Errorf("%s: %d %s, want a redirect", name, answer.StatusCode, answer.Body)
		case test.redirected:
			goesTo(t, name, answer, http.StatusFound, answer.Header.Get("Location"))
			if len(p.cookies) != 1 || p.cookies[flowCookie] == "" {
				t.Errorf("%s: cookies %v", name, p.cookies)
			}
		case answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("WWW-Authenticate") != "Bearer":
			t.Errorf("%s: %d %q", name, answer.StatusCode, answer.Header.Get("WWW-Authenticate"))
		case answer.Body != refusedWith("Authorization header is missing") && answer.Request.Method != http.MethodHead:
			t.Errorf("%s: %s", name, answer.Body)
		case len(answer.Header["Set-Cookie"]) > 0:
			t.Errorf("%s: %q", name, answer.Header["Set-Cookie"])
		}
	}
}

// navigationSites are of one app, each with another way to refuse.
const navigationSites = smallest + `
errors.example.com {
	logto_auth {
		endpoint TENANT
		errors handle_errors
		SIGN_IN
	}
	respond "hello"
	handle_errors {
		respond "{err.status_code} {http.auth.logto.reason} {http.auth.logto.sign_in_url}"
	}
}
never.example.com {
	logto_auth {
		endpoint TENANT
		SIGN_IN {
			unauthenticated 401
		}
	}
	respond "hello"
}
report.example.com {
	logto_auth {
		endpoint TENANT
		report_only
		SIGN_IN
	}
	respond "hello {http.auth.user.id}"
}
optional.example.com {
	logto_auth {
		endpoint TENANT
		optional
		SIGN_IN
	}
	logto_require /members*
	respond "hello {http.auth.user.id} {http.auth.logto.sign_in_url}"
}
other.example.com {
	log
	logto_auth {
		endpoint TENANT
		SIGN_IN
	}
	respond "hello"
}
metrics.example.com {
	metrics
}
`

// navigationServer is shared by the rows of a table.
func navigationServer(t *testing.T) *members {
	t.Helper()
	return newMembers(t, navigationSites)
}

// tokenFor asks for a person's access token.
func tokenFor(user string) devtenant.TokenRequest {
	return devtenant.TokenRequest{Subject: user, ClientID: testApp, Resource: testAPI}
}

// metric reads one counter.
func (m *members) metric(name string) float64 {
	m.tb.Helper()
	for line := range strings.Lines(m.Get("/metrics", caddytest.Header("Host", "metrics.example.com")).Body) {
		if rest, ok := strings.CutPrefix(line, "caddy_logto_auth_"+name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				m.tb.Fatal(err)
			}
			return value
		}
	}
	return 0
}

// Credentials of the client's own are never answered with a sign-in: whoever
// sends them is a program, or wants to know what is wrong with them.
func TestCredentialsOfTheClientAreNotRedirected(t *testing.T) {
	m := navigationServer(t)
	signedIn := m.browser()
	signedIn.signIn("/", alice)
	const otherScheme = `Authorization header must start with "Bearer "`
	for name, test := range map[string]struct{ authorization, text, withSession string }{
		"another scheme":   {"Basic eDp5", otherScheme, ""},
		"Bearer alone":     {"Bearer", otherScheme, ""},
		"an empty header":  {"", "Authorization header is missing", ""},
		"a broken token":   {"Bearer x", "Invalid token", "Invalid token"},
		"an opaque token":  {"Bearer " + m.tenant.OpaqueToken(), "Invalid token", "Invalid token"},
		"the ID token":     {"Bearer " + m.tenant.IDToken(alice, testApp), "Invalid token", "Invalid token"},
		"Negotiate, empty": {"Negotiate", otherScheme, ""},
	} {
		authorization := func(r *http.Request) { r.Header["Authorization"] = []string{test.authorization} }
		if answer := m.browser().open("/page", authorization); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith(test.text) {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
		answer := signedIn.open("/page", authorization)
		if test.withSession == "" {
			if answer.Body != "hello alice session at /page" {
				t.Errorf("%s, signed in: %d %s", name, answer.StatusCode, answer.Body)
			}
		} else if answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith(test.withSession) {
			t.Errorf("%s, signed in: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
}

// Where the ID token is the identity, no access token is let in, a true one
// neither: nothing says whom it was issued for.
func TestAccessTokensAreNoIdentity(t *testing.T) {
	m := navigationServer(t)
	p := m.browser()
	for _, token := range []string{m.tenant.Token(tokenFor(alice)), m.tenant.Token(devtenant.TokenRequest{Subject: alice, ClientID: testApp, OrganizationID: "acme"})} {
		for _, request := range []func(string, ...caddytest.Option) *caddytest.Response{p.open, p.fetch} {
			if answer := request("/page", caddytest.Bearer(token)); answer.StatusCode != http.StatusForbidden {
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
		}
	}
}

// report_only lets all pass, `unauthenticated 401` redirects nobody, and
// optional redirects only who needs a session.
func TestSitesThatDoNotRedirect(t *testing.T) {
	m := navigationServer(t)
	at := func(host string) *person {
		p := m.browser()
		p.host = host
		return p
	}
	if answer := at("never.example.com").open("/page"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Authorization header is missing") {
		t.Errorf("unauthenticated 401: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := at("report.example.com").open("/page"); answer.Body != "hello " {
		t.Errorf("report_only: %d %s", answer.StatusCode, answer.Body)
	}
	const encoded = "/.logto/sign-in?return_to=%2Fpage%3Fa%3D1%26b%3D%252F"
	if answer := at("optional.example.com").open("/page?a=1&b=%2F"); answer.Body != "hello  "+encoded {
		t.Errorf("optional: %d %s", answer.StatusCode, answer.Body)
	}
	members := at("optional.example.com")
	if answer := members.open("/members/x?y"); !m.startsSignIn(answer) {
		t.Errorf("optional, then logto_require: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := members.fetch("/members/x?y"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Authorization header is missing") {
		t.Errorf("optional, then logto_require, a script: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := at("optional.example.com").open("/members", headers("Authorization", "Basic eDp5")); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("optional, then logto_require, another scheme: %d %s", answer.StatusCode, answer.Body)
	}
}

// Error pages are told how to sign in. A redirect is none of theirs.
func TestErrorPagesKnowWhereToSignIn(t *testing.T) {
	m := navigationServer(t)
	p := m.browser()
	p.host = "errors.example.com"
	if answer := p.open("/page"); !m.startsSignIn(answer) {
		t.Errorf("a page: %d %s", answer.StatusCode, answer.Body)
	}
	for what, test := range map[string]struct{ path, want string }{
		"a script":          {"/a/b?c=d&e", "401 no_session /.logto/sign-in?return_to=%2Fa%2Fb%3Fc%3Dd%26e"},
		"an encoded path":   {"/%C3%A4%2F", "401 no_session /.logto/sign-in?return_to=%2F%25C3%25A4%252F"},
		"two slashes":       {"//evil.example", "401 no_session /.logto/sign-in?return_to=%2F"},
		"a long path":       {"/" + strings.Repeat("a", 2048), "401 no_session /.logto/sign-in?return_to=%2F"},
		"another's session": {"/.logto/session", "401 no_session /.logto/sign-in?return_to=%2F"},
	} {
		if answer := p.fetch(test.path); !strings.HasPrefix(answer.Body, test.want) {
			t.Errorf("%s: %d %s, want %s", what, answer.StatusCode, answer.Body, test.want)
		}
	}
	if answer := p.fetch("/form", caddytest.Method("POST")); answer.Body != "401 no_session /.logto/sign-in?return_to=%2F" {
		t.Errorf("a POST: %d %s", answer.StatusCode, answer.Body)
	}
	answer := p.fetch("/.logto/sign-out", caddytest.Method("POST"), headers("Sec-Fetch-Site", "cross-site"))
	if answer.Body != "403 cross_origin /.logto/sign-in?return_to=%2F" {
		t.Errorf("a foreign sign-out: %d %s", answer.StatusCode, answer.Body)
	}
}

// What became of a navigation is counted and stands in the access log.
func TestRedirectsAreCountedAndLogged(t *testing.T) {
	m := navigationServer(t)
	p := m.browser()
	p.host = "other.example.com"
	const redirected = `requests_total{outcome="redirected",reason="no_session"}`
	const refused = `requests_total{outcome="refused",reason="no_session"}`
	before, refusedBefore := m.metric(redirected), m.metric(refused)
	p.start("/page")
	if got := m.metric(redirected) - before; got != 1 {
		t.Errorf("%v redirects are counted", got)
	}
	if got := m.metric(refused) - refusedBefore; got != 0 {
		t.Errorf("%v refusals are counted", got)
	}
	p.fetch("/data")
	if got := m.metric(refused) - refusedBefore; got != 1 {
		t.Errorf("%v refusals are counted", got)
	}
	lines := logLines(t, m.Logs(), "handled request")
	if len(lines) != 2 || lines[0]["logto_reason"] != "no_session" || lines[1]["logto_reason"] != "no_session" {
		t.Errorf("the access log says %v", lines)
	}
	start := `requests_total{outcome="redirected",reason=""}`
	before = m.metric(start)
	p.open("/.logto/sign-in")
	if got := m.metric(start) - before; got != 1 {
		t.Errorf("%v starts are counted", got)
	}
	p = m.browser()
	callback := p.callback(p.start("/"), alice)
	results := map[string]func(){
		"ok":              func() { p.open(callback) },
		"sign_in_refused": func() { p.open(withQuery(t, callback, func(q url.Values) { q.Del("iss") })) },
		"sign_in_state":   func() { m.browser().open(withQuery(t, callback, func(q url.Values) { q.Set("state", "x") })) },
		"sign_in_loop": func() {
			for range 5 {
				answer := p.open("/")
				if !m.startsSignIn(answer) {
					showsPage(t, "loop", answer, http.StatusBadRequest, ReasonSignInLoop)
					return
				}
				p.open(p.callback(answer.Header.Get("Location"), alice))
				delete(p.cookies, sessionCookie)
			}
		},
	}
	for _, result := range []string{"ok", "sign_in_refused", "sign_in_state", "sign_in_loop"} {
		name := `sign_ins_total{result="` + result + `"}`
		before := m.metric(name)
		if result == "sign_in_loop" {
			delete(p.cookies, sessionCookie)
		}
		results[result]()
		if got := m.metric(name) - before; got != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}
