package logtoauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

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

// Another site's image or frame must not empty the cache that browsers have of
// this site.
func TestSignedOutEmptiesTheCacheForPeopleOnly(t *testing.T) {
	p := newMembers(t, smallest).browser()
	for destination, want := range map[string]string{"document": `"cache"`, "": `"cache"`, "image": "", "iframe": "", "empty": ""} {
		sent := options()
		if destination != "" {
			sent = options(headers("Sec-Fetch-Dest", destination))
		}
		answer := p.fetch("/.logto/signed-out", sent...)
		if got := answer.Header.Get("Clear-Site-Data"); got != want || answer.StatusCode != http.StatusOK {
			t.Errorf("%q: %d, Clear-Site-Data %q, want %q", destination, answer.StatusCode, got, want)
		}
	}
}
