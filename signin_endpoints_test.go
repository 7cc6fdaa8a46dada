package logtoauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// behind is a site that shows what reaches its later handlers.
const behind = `
www.example.com {
	logto_auth {
		endpoint TENANT
		optional
		SIGN_IN
	}
	respond "reached {http.request.uri}" 299
}
`

var allMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "get"}

// Every method at every endpoint.
func TestMethodsOfEndpoints(t *testing.T) {
	m := newMembers(t, behind)
	for name, allowed := range map[string]string{
		"sign-in": "GET", "callback": "GET", "session": "GET, HEAD", "sign-out": "GET, POST", "signed-out": "GET, HEAD",
	} {
		for _, method := range allMethods {
			answer := m.browser().fetch("/.logto/"+name, caddytest.Method(method))
			refused := !slices.Contains(strings.Split(allowed, ", "), method)
			if got := answer.StatusCode == http.StatusMethodNotAllowed; got != refused {
				t.Errorf("%s %s: %d", method, name, answer.StatusCode)
			}
			if got := answer.Header.Get("Allow"); refused && got != allowed || !refused && got != "" {
				t.Errorf("%s %s: Allow %q", method, name, got)
			}
			if got := answer.Header["Cache-Control"]; !slices.Equal(got, []string{"no-store"}) {
				t.Errorf("%s %s: Cache-Control %q", method, name, got)
			}
			if method == "HEAD" && answer.Body != "" {
				t.Errorf("%s %s: %s", method, name, answer.Body)
			}
			if strings.Contains(answer.Body, "reached") {
				t.Errorf("%s %s reaches later handlers", method, name)
			}
		}
	}
}

// Nothing below the prefix reaches later handlers, in whatever spelling: what
// they made of it would be mistaken for ours.
func TestNothingBelowThePrefixReachesLaterHandlers(t *testing.T) {
	m := newMembers(t, behind)
	signedIn := m.browser()
	signedIn.signIn("/.logto/sign-in", alice)
	raw := func(p *person, target string) *caddytest.Response {
		return m.raw(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: close\r\n\r\n", target, testHost, p.cookieHeader()))
	}
	for target, status := range map[string]int{
		"/.logto": 404, "/.logto/": 404, "/.logto//": 404, "/.logto/x": 404, "/.logto/session/": 404, "/.logto/session/x": 404,
		"/.logto/Session": 404, "/.logto/callback/": 404, "/.logto//session": 404, "/.logto/./session": 404, "/.logto/../x": 404,
		"/.logto/..": 404, "/.logto/x/../session": 404, "/.logto/%2e%2e/x": 404, "/.logto%2f": 404, "/.logto%2f..%2fx": 404, `/.logto\session`: 404,
		"/.logto/session%00": 404, "/.logto/session;x=1": 404, "/.logto?x": 404, "/.logto/session%3f": 404,
		"/.logto/session": 200, "/%2elogto/session": 200, "/.logto%2fsession": 200, "/.logto/%73ession?x=1": 200,
		"//.logto/session": 404, "/./.logto/session": 404, "/x/../.logto/session": 404, "/x/%2e%2e/.logto/session": 404, "/x/..%2f.logto/session": 404,
		"/x/../.logto": 404, "//.logto": 404,
		"/.logtox": 299, "/.logto2/session": 299, "/x/.logto/session": 299, "/logto/session": 299, "/x/../.logtox": 299,
	} {
		for who, p := range map[string]*person{"a stranger": m.browser(), "Alice": signedIn} {
			want := status
			if who == "a stranger" && status == http.StatusOK {
				want = http.StatusUnauthorized
			}
			if answer := raw(p, target); answer.StatusCode != want {
				t.Errorf("%s: %s: %d %.200s, want %d", who, target, answer.StatusCode, answer.Body, want)
			}
		}
	}
	if answer := raw(signedIn, "https://"+testHost+"/.logto/x"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("in absolute form: %d", answer.StatusCode)
	}
}

// sessionAnswer is what the session endpoint says.
type sessionAnswer struct {
	Subject          string   `json:"sub"`
	Type             string   `json:"type"`
	OrganizationID   *string  `json:"organization_id"`
	Scopes           []string `json:"scopes"`
	ExpiresAt        string   `json:"expires_at"`
	SessionExpiresAt string   `json:"session_expires_at"`
}

func TestSessionEndpointSaysExactlyThis(t *testing.T) {
	acme := "acme"
	for name, test := range map[string]struct {
		settings string
		want     sessionAnswer
	}{
		"an identity":     {"", sessionAnswer{Scopes: []string{}}},
		"an API":          {"audience https://api.example.com\nscopes read:products", sessionAnswer{Scopes: []string{"read:products"}}},
		"an organization": {"organization acme\nscopes read:docs", sessionAnswer{Scopes: []string{"read:docs"}, OrganizationID: &acme}},
		"an organization's API": {
			"audience https://api.example.com\norganization acme\nscopes read:products",
			sessionAnswer{Scopes: []string{"read:products"}, OrganizationID: &acme},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, strings.Replace(smallest, "SIGN_IN", test.settings+"\n\t\tSIGN_IN", 1))
			m.tenant.AddMember("acme", alice)
			p := m.browser()
			before := systemClock()
			if page := p.signIn("/", alice); page.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", page.StatusCode, page.Body)
			}
			answer := p.fetch("/.logto/session", headers("Origin", "https://evil.example", "Sec-Fetch-Mode", "cors"))
			var got sessionAnswer
			decoder := json.NewDecoder(strings.NewReader(answer.Body))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&got); err != nil || answer.StatusCode != http.StatusOK || decoder.More() {
				t.Fatalf("%d %s: %v", answer.StatusCode, answer.Body, err)
			}
			if got.Subject != alice || got.Type != "user" || !slices.Equal(got.Scopes, test.want.Scopes) || got.Scopes == nil ||
				(got.OrganizationID == nil) != (test.want.OrganizationID == nil) || got.OrganizationID != nil && *got.OrganizationID != "acme" {
				t.Errorf("%s", answer.Body)
			}
			for text, in := range map[string]time.Duration{got.ExpiresAt: time.Hour, got.SessionExpiresAt: 24 * time.Hour} {
				at, err := time.Parse(time.RFC3339, text)
				if off := at.Sub(before.Add(in)).Abs(); err != nil || off > 10*time.Second || !strings.HasSuffix(text, "Z") {
					t.Errorf("%s is not in %v: %v", text, in, err)
				}
			}
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin", "Content-Type": "application/json",
				"X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "", "Set-Cookie": "",
			} {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s %q, want %q", name, got, want)
				}
			}
			head := p.fetch("/.logto/session", caddytest.Method("HEAD"))
			if head.StatusCode != http.StatusOK || head.Body != "" || head.ContentLength != int64(len(answer.Body)) {
				t.Errorf("HEAD: %d %q %d", head.StatusCode, head.Body, head.ContentLength)
			}
		})
	}
}

// A page that asks every minute keeps no session alive and no token fresh, and
// is told the truth when the session is over.
func TestSessionEndpointIsNoActivity(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "audience https://api.example.com\n\t\tSIGN_IN", 1))
	p := m.browser()
	p.signIn("/", alice)
	for range 5 {
		pass(t, 5*time.Hour)
		answer := p.fetch("/.logto/session")
		if cookies := answer.Header["Set-Cookie"]; len(cookies) > 0 {
			t.Errorf("%q", cookies)
		}
		if ahead.Load() < int64(24*time.Hour) {
			if answer.StatusCode != http.StatusOK || !strings.Contains(answer.Body, `"expires_at":null,`) {
				t.Errorf("after %v: %d %s", time.Duration(ahead.Load()), answer.StatusCode, answer.Body)
			}
		} else if answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
			t.Errorf("after %v: %d %s", time.Duration(ahead.Load()), answer.StatusCode, answer.Body)
		}
	}
	if got := m.tenant.Counts().Refreshes; got != 0 {
		t.Errorf("%d refreshes", got)
	}
}

// Nobody else signs a person out: no form of another site, no link, no
// prefetch.
func TestForeignPagesSignNobodyOut(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "trusted_origins https://trusted.example\n\t\tSIGN_IN", 1))
	p := m.browser()
	p.signIn("/", alice)
	post := caddytest.Method(http.MethodPost)
	for name, options := range map[string][]caddytest.Option{
		"a foreign form":                  options(post, headers("Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")),
		"a foreign form, older browser":   options(post, headers("Origin", "https://evil.example")),
		"a form of no origin":             options(post, headers("Origin", "null")),
		"a sandboxed form":                options(post, headers("Origin", "null", "Sec-Fetch-Site", "cross-site")),
		"a sibling's form":                options(post, headers("Origin", "https://app.example.com", "Sec-Fetch-Site", "same-site")),
		"a sibling's form, older browser": options(post, headers("Origin", "https://app.example.com")),
		"a trusted origin's form":         options(post, headers("Origin", "https://trusted.example", "Sec-Fetch-Site", "cross-site")),
		"a trusted origin's, older":       options(post, headers("Origin", "https://trusted.example")),
		"a form over plain http":          options(post, headers("Origin", "http://"+testHost)),
		"a form of another port":          options(post, headers("Origin", "https://"+testHost+":8443")),
	} {
		answer := p.fetch("/.logto/sign-out", options...)
		if answer.StatusCode != http.StatusForbidden || answer.Body != refusedWith("Cross-origin request refused") {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
	page := fetched("navigate", "document")
	for name, options := range map[string][]caddytest.Option{
		"a foreign link":        options(page, headers("Sec-Fetch-Site", "cross-site")),
		"a sibling's link":      options(page, headers("Sec-Fetch-Site", "same-site")),
		"an image":              options(fetched("no-cors", "image")),
		"an iframe":             options(fetched("navigate", "iframe")),
		"fetch()":               options(fetched("cors", "empty")),
		"a prefetch":            options(page, headers("Sec-Purpose", "prefetch")),
		"a prerendering":        options(page, headers("Sec-Purpose", "prefetch;prerender")),
		"an older prefetch":     options(page, headers("Purpose", "prefetch")),
		"a browser that is old": options(headers("Accept", "text/html")),
		"no mode":               options(headers("Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "document")),
		"no destination":        options(headers("Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate")),
		"two sites":             options(page, caddytest.Header("Sec-Fetch-Site", "cross-site")),
	} {
		answer := p.fetch("/.logto/sign-out", options...)
		if answer.StatusCode != http.StatusOK || !strings.Contains(answer.Body, `<form method="post" action="/.logto/sign-out">`) || len(answer.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s: %d %q %s", name, answer.StatusCode, answer.Header["Set-Cookie"], answer.Body)
		}
	}
	if page := p.fetch("/x"); page.Body != "hello alice session at /x" || m.tenant.Counts().Revocation != 0 {
		t.Errorf("she is not signed in any more: %d %s", page.StatusCode, page.Body)
	}
}

// What signs a person out: a link or a form of this site, a bookmark, and a
// program that sends neither Origin nor Sec-Fetch-Site.
func TestOwnPagesSignOut(t *testing.T) {
	m := newMembers(t, smallest)
	post := caddytest.Method(http.MethodPost)
	page := fetched("navigate", "document")
	want := m.tenant.Issuer() + "/session/end?" + url.Values{
		"client_id": {testApp}, "post_logout_redirect_uri": {"https://" + testHost + "/.logto/signed-out"},
	}.Encode()
	for name, options := range map[string][]caddytest.Option{
		"the button":               options(post, headers("Origin", "https://"+testHost, "Sec-Fetch-Site", "same-origin")),
		"the button, older":        options(post, headers("Origin", "https://"+testHost)),
		"neither":                  options(post),
		"a bookmark, by a program": options(post, headers("Sec-Fetch-Site", "none")),
		"a link":                   options(page),
		"the address bar":          options(page, headers("Sec-Fetch-Site", "none")),
	} {
		p := m.browser()
		p.signIn("/", alice)
		p.start("/.logto/sign-in") // so that there are both cookies
		old := p.cookieHeader()
		before := m.tenant.Counts().Revocation
		answer := p.fetch("/.logto/sign-out", options...)
		goesTo(t, name, answer, http.StatusSeeOther, want)
		if len(p.cookies) > 0 || len(answer.Header["Set-Cookie"]) != 2 {
			t.Errorf("%s: %q", name, answer.Header["Set-Cookie"])
		}
		for _, cookie := range answer.Header["Set-Cookie"] {
			if !strings.Contains(cookie, "=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax") {
				t.Errorf("%s: %q", name, cookie)
			}
		}
		if got := m.tenant.Counts().Revocation - before; got != 1 {
			t.Errorf("%s: %d revocations", name, got)
		}
		if answer := m.Get("/x", caddytest.Header("Host", testHost), caddytest.Header("Cookie", old)); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
			t.Errorf("%s: the old cookie: %d %s", name, answer.StatusCode, answer.Body)
		}
		// Once more, by a browser that has kept its cookies.
		again := m.Get("/.logto/sign-out", caddytest.Header("Host", testHost), caddytest.Header("Cookie", old), post)
		goesTo(t, name+", again", again, http.StatusSeeOther, want)
		if got := m.tenant.Counts().Revocation - before; got != 1 {
			t.Errorf("%s, again: %d revocations", name, got)
		}
	}
	goesTo(t, "a stranger", m.browser().fetch("/.logto/sign-out", post), http.StatusSeeOther, want)
}

// A sign-out does not wait for Logto for longer than two seconds, and ends the
// session whatever Logto says.
func TestSignOutWhenLogtoFails(t *testing.T) {
	m := newMembers(t, smallest)
	for name, fault := range map[string]devtenant.Fault{"hangs": devtenant.Hang, "fails": devtenant.ServerError, "is down": devtenant.Down} {
		p := m.browser()
		p.signIn("/", alice)
		old := p.cookieHeader()
		m.tenant.SetRevocationFault(fault)
		began := time.Now()
		if answer := p.fetch("/.logto/sign-out", caddytest.Method(http.MethodPost)); answer.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
		if answer := m.Get("/x", caddytest.Header("Host", testHost), caddytest.Header("Cookie", old)); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: the old cookie: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
}

func TestWhereASignOutEnds(t *testing.T) {
	for setting, test := range map[string]struct{ ends, origin string }{
		"":                                        {"https://" + testHost + "/.logto/signed-out", ""},
		"signed_out /bye":                         {"https://" + testHost + "/bye", ""},
		"signed_out /bye?x=1&y=%2F":               {"https://" + testHost + "/bye?x=1&y=%2F", ""},
		"signed_out https://bye.example/x":        {"https://bye.example/x", " https://bye.example"},
		"signed_out https://bye.example:8443":     {"https://bye.example:8443", " https://bye.example:8443"},
		"base_url https://other.example.com":      {"https://other.example.com/.logto/signed-out", ""},
		"path /in":                                {"https://" + testHost + "/in/signed-out", ""},
		"base_url https://o.example.com\npath /i": {"https://o.example.com/i/signed-out", ""},
	} {
		m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "SIGN_IN {\n"+setting+"\n}", 1))
		prefix := "/.logto"
		if _, path, ok := strings.Cut(setting, "path "); ok {
			prefix = path
		}
		answer := m.browser().fetch(prefix+"/sign-out", caddytest.Method(http.MethodPost))
		u, err := url.Parse(answer.Header.Get("Location"))
		if err != nil || u.Query().Get("post_logout_redirect_uri") != test.ends {
			t.Errorf("%s: %s", setting, answer.Header.Get("Location"))
		}
		for _, page := range []string{"/sign-out", "/signed-out", "/nothing"} {
			answer := m.browser().fetch(prefix + page)
			want := "default-src 'none'; style-src " + pageStyleHash + "; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + m.tenant.URL + test.origin
			if got := answer.Header["Content-Security-Policy"]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s%s: %q, want %q", setting, page, got, want)
			}
			for name, want := range map[string]string{"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8"} {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s%s: %s %q", setting, page, name, got)
				}
			}
		}
	}
}

// shownInErrors is a site whose error page shows what it can see of a request.
const shownInErrors = `
www.example.com {
	BEFORE
	logto_auth {
		endpoint TENANT
		errors handle_errors
		SIGN_IN
	}
	respond "reached"
	handle_errors {
		respond "{err.status_code}|{http.auth.logto.reason}|{err.message}|{http.request.uri}|{http.request.orig_uri}|{http.request.orig_uri.query}|{http.request.orig_uri.prefixed_query}|{http.request.uri.query}|{http.request.uri.query.code}|{query.state}|{http.request.uri.prefixed_query}|{uri}|{orig_uri}|{http.request.header.Cookie}|{http.request.header.Referer}"
	}
}
`

// With `errors handle_errors` pages of 4xx and 5xx are errors, and error routes
// see nothing of the callback's query, where a code is.
func TestErrorRoutesGetPagesWithoutTheQuery(t *testing.T) {
	for name, before := range map[string]string{
		"alone": "", "behind a rewrite": "rewrite * /index.html?{query}&copied", "behind uri": "uri strip_suffix x", "behind tracing": "tracing {\n\t\tspan x\n\t}", "behind vars": "vars x y",
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, strings.Replace(shownInErrors, "BEFORE", before, 1))
			m.tenant.SetTokenFault(devtenant.ServerError)
			p := m.browser()
			callback := p.callback(p.start("/page"), alice)
			mark := "kept-from-error-pages"
			marked := func(q url.Values) { q.Set("state", mark); q.Set("code", mark) }
			for what, test := range map[string]struct {
				path   string
				method string
				want   string
			}{
				"the token endpoint fails": {callback + "&x=" + mark, "GET", "503|tenant_unavailable|Sign-in is temporarily unavailable|/.logto/callback|/.logto/callback|"},
				"no iss":                   {withQuery(t, callback, func(q url.Values) { marked(q); q.Del("iss") }), "GET", "400|sign_in_refused|This answer is not from our sign-in service|/.logto/callback|/.logto/callback|"},
				"a state that is none":     {withQuery(t, callback, marked), "GET", "400|sign_in_state|This sign-in did not start here|/.logto/callback|/.logto/callback|"},
				"another method":           {withQuery(t, callback, marked), "POST", "405||This page cannot be used this way|/.logto/callback|/.logto/callback|"},
				"another endpoint":         {withQuery(t, callback+"&", marked), "PUT", "405||This page cannot be used this way|/.logto/callback|/.logto/callback|"},
				"a slash too many":         {strings.Replace(withQuery(t, callback, marked), "?", "/?", 1), "GET", "404||There is no such page|/.logto/callback/|/.logto/callback/|"},
			} {
				answer := p.fetch(test.path, caddytest.Method(test.method))
				if !strings.HasPrefix(answer.Body, test.want) {
					t.Errorf("%s: %d %s, want %s", what, answer.StatusCode, answer.Body, test.want)
				}
				if strings.Contains(answer.Body, mark) || strings.Contains(answer.Body, "code=") || strings.Contains(answer.Body, "logto-flow") {
					t.Errorf("%s: the error page sees the query or a cookie: %s", what, answer.Body)
				}
				if got := answer.Header.Get("Cache-Control"); got != "no-store" {
					t.Errorf("%s: Cache-Control %q", what, got)
				}
				if test.method != "GET" && answer.Header.Get("Allow") != "GET" {
					t.Errorf("%s: Allow %q", what, answer.Header.Get("Allow"))
				}
			}
			for path, status := range map[string]int{"/.logto/signed-out": 200, "/.logto/sign-out": 200} {
				if answer := p.fetch(path); answer.StatusCode != status || !strings.Contains(answer.Body, "<h1>") {
					t.Errorf("%s: %d %s", path, answer.StatusCode, answer.Body)
				}
			}
		})
	}
}

// Where the directive may be written, and what may run before it.
func TestEndpointsWhereverTheDirectiveIs(t *testing.T) {
	const auth = "logto_auth MATCHER {\n\t\tendpoint TENANT\n\t\tSIGN_IN\n\t}\n"
	for name, text := range map[string]string{
		"plain":             auth + "respond \"hello {http.auth.user.id}\"",
		"a matcher":         strings.Replace(auth, "MATCHER", "/private*", 1) + "respond \"hello {http.auth.user.id}\"",
		"a named matcher":   "@x header X-Never 1\n" + strings.Replace(auth, "MATCHER", "@x", 1) + strings.Replace(auth, "MATCHER", "/private*", 1) + "respond \"hello {http.auth.user.id}\"",
		"a rewrite":         "rewrite * /index.html\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"a rewrite of some": "rewrite /.logto/* /elsewhere\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"uri":               "uri replace logto xxx\nuri strip_prefix /.xxx\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"try_files":         "root * /nonexistent\ntry_files {path} /index.html\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"route":             "route {\n" + auth + "respond \"hello {http.auth.user.id}\"\n}",
		"route, a rewrite":  "route {\nrewrite * /x\n" + auth + "respond \"hello {http.auth.user.id}\"\n}",
		"handle":            "handle {\n" + auth + "respond \"hello {http.auth.user.id}\"\n}",
		"two of one app":    auth + strings.Replace(auth, "MATCHER", "/private*", 1) + "respond \"hello {http.auth.user.id}\"",
		"behind another":    "logto_auth /api* {\nendpoint TENANT\naudience https://api.example.com\n}\n" + auth + "respond \"hello {http.auth.user.id}\"",
		"before another":    auth + "logto_auth /api* {\nendpoint TENANT\naudience https://api.example.com\n}\nrespond \"hello {http.auth.user.id}\"",
		"logto_require":     auth + "logto_require\nrespond \"hello {http.auth.user.id}\"",
		"forward_claim":     strings.Replace(auth, "SIGN_IN", "forward_claim sub X-User\nSIGN_IN", 1) + "respond \"hello {http.auth.user.id}\"",
		"a named route":     "invoke members",
	} {
		t.Run(name, func(t *testing.T) {
			site := "www.example.com {\n" + text + "\n}\n"
			if name == "a named route" {
				site = "&(members) {\n" + auth + "respond \"hello {http.auth.user.id}\"\n}\n" + site
			}
			p := newMembers(t, strings.ReplaceAll(site, "MATCHER", "")).browser()
			checkSignInAndOut(t, p, "/private/x", "/.logto")
		})
	}
	t.Run("handle_path", func(t *testing.T) {
		p := newMembers(t, "www.example.com {\nhandle_path /app/* {\n"+strings.Replace(strings.Replace(auth, "MATCHER", "", 1), "SIGN_IN", "SIGN_IN {\npath /app/.logto\n}", 1)+
			"respond \"hello {http.auth.user.id}\"\n}\nrespond outside\n}").browser()
		checkSignInAndOut(t, p, "/app/private/x", "/app/.logto")
		if answer := p.fetch("/.logto/session"); answer.Body != "outside" {
			t.Errorf("outside of it: %s", answer.Body)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		m := newMembers(t, smallest)
		config := caddytest.Adapt(t, m.text(smallest))
		adapted := string(config)
		if strings.Count(adapted, `"handler":"logto_sign_in"`) != 1 || strings.Count(adapted, `"handler":"logto_auth"`) != 1 {
			t.Fatalf("%s", adapted)
		}
		// Only the handler itself, as JSON users write it.
		if err := m.LoadJSON([]byte(withoutHandler(t, adapted, "logto_sign_in"))); err != nil {
			t.Fatal(err)
		}
		checkSignInAndOut(t, m.browser(), "/private/x", "/.logto")
	})
}

// withoutHandler takes the routes with a handler out of a config.
func withoutHandler(tb testing.TB, config, handler string) string {
	tb.Helper()
	var tree any
	if err := json.Unmarshal([]byte(config), &tree); err != nil {
		tb.Fatal(err)
	}
	var prune func(any) any
	prune = func(value any) any {
		switch value := value.(type) {
		case map[string]any:
			for name := range value {
				value[name] = prune(value[name])
			}
		case []any:
			kept := []any{}
			for _, element := range value {
				text, _ := json.Marshal(element)
				if route, ok := element.(map[string]any); ok && route["handle"] != nil && strings.Contains(string(text), handler) && !strings.Contains(string(text), "logto_auth") {
					continue
				}
				kept = append(kept, prune(element))
			}
			return kept
		}
		return value
	}
	pruned, err := json.Marshal(prune(tree))
	if err != nil || strings.Contains(string(pruned), `"handler":"`+handler+`"`) {
		tb.Fatalf("%s: %v", pruned, err)
	}
	return string(pruned)
}

func checkSignInAndOut(t *testing.T, p *person, page, prefix string) {
	t.Helper()
	if answer := p.open(prefix + "/nothing"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown name: %d %s", answer.StatusCode, answer.Body)
	}
	answer := p.open(p.callback(p.start(page), alice))
	goesTo(t, "the callback", answer, http.StatusSeeOther, page)
	if answer := p.open(page); !strings.HasPrefix(answer.Body, "hello alice") {
		t.Errorf("signed in: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.fetch(prefix + "/session"); answer.StatusCode != http.StatusOK || !strings.Contains(answer.Body, `"sub":"alice"`) {
		t.Errorf("session: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.fetch(prefix+"/sign-out", caddytest.Method(http.MethodPost)); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("sign-out: %d %s", answer.StatusCode, answer.Body)
	}
	p.start(page)
}
