package logtoauth

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// What a client says of the address that it was reached by is believed of
// trusted_proxies only, and of them only if they say it once and clearly. The
// name is never theirs to change.
func TestForgedForwardedHeaders(t *testing.T) {
	const block = `
http:// {
	logto_auth {
		endpoint TENANT
		SIGN_IN
	}
	respond "hello"
}
`
	https := func(r *http.Request) { r.Header["X-Forwarded-Proto"] = []string{"https"} }
	values := func(name string, values ...string) caddytest.Option {
		return func(r *http.Request) { r.Header[name] = values }
	}
	for _, trusted := range []bool{false, true} {
		sites := block
		if trusted {
			sites = "{\n\tservers {\n\t\ttrusted_proxies static 127.0.0.1/32 ::1/128\n\t}\n}\n" + block
		}
		m := newMembersOver(t, caddytest.Start, sites)
		for name, test := range map[string]struct {
			option caddytest.Option
			works  bool // if the proxy is trusted
		}{
			"https":                 {https, true},
			"nothing":               {values("X-Other", "x"), false},
			"https twice":           {values("X-Forwarded-Proto", "https", "https"), false},
			"https and http":        {values("X-Forwarded-Proto", "https", "http"), false},
			"a list":                {values("X-Forwarded-Proto", "https, https"), false},
			"a list with http":      {values("X-Forwarded-Proto", "https,http"), false},
			"upper case":            {values("X-Forwarded-Proto", "HTTPS"), false},
			"a space":               {values("X-Forwarded-Proto", "https "), true}, // which net/http takes away
			"another name":          {values("Forwarded", "proto=https"), false},
			"an older name":         {values("X-Forwarded-Ssl", "on"), false},
			"another older name":    {values("Front-End-Https", "on"), false},
			"an underscore":         {values("X_Forwarded_Proto", "https"), false},
			"wss":                   {values("X-Forwarded-Proto", "wss"), false},
			"an empty value before": {values("X-Forwarded-Proto", "", "https"), false},
		} {
			p := m.browser()
			answer := p.open("/page", test.option, values("X-Forwarded-Host", "evil.example"), values("X-Forwarded-Port", "444"))
			what := fmt.Sprintf("%s, trusted %t", name, trusted)
			if !trusted || !test.works {
				showsPage(t, what, answer, http.StatusBadRequest, ReasonSignInRefused)
				continue
			}
			u, err := url.Parse(answer.Header.Get("Location"))
			if err != nil || u.Query().Get("redirect_uri") != "https://"+testHost+"/.logto/callback" {
				t.Errorf("%s: %d, redirect_uri %q", what, answer.StatusCode, u.Query().Get("redirect_uri"))
			}
			if cookie := answer.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, flowCookie+"=") || !strings.Contains(cookie, "; Secure") {
				t.Errorf("%s: %q", what, cookie)
			}
		}
	}
}

// The Host is part of what is sealed, so nobody gains by sending another one.
func TestForgedHostStartsASignInThatEndsNowhere(t *testing.T) {
	m := newMembersOver(t, caddytest.StartTLS, strings.Replace(smallest, "www.example.com {", "https:// {", 1))
	p := m.browser()
	p.host = "evil.example"
	location, err := url.Parse(p.start("/"))
	if err != nil {
		t.Fatal(err)
	}
	if page := p.logto.Open(location.String()); page.Left != nil || page.Status != http.StatusBadRequest {
		t.Errorf("Logto lets the browser go to %v", page.Left)
	}
	for _, host := range []string{"www.example.com/x", "www.example.com\\x", "a b", "www.example.com:0443", "www.example.com:99999", "[::1", "ex%61mple.com"} {
		octets := fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nConnection: close\r\n\r\n", host)
		if answer := p.raw(octets); answer.StatusCode != http.StatusBadRequest || len(answer.Header["Set-Cookie"]) > 0 {
			t.Errorf("%s: %d %s", host, answer.StatusCode, answer.Header)
		}
	}
}

// Over plain http no cookie of ours would be safe, except on this machine.
func TestPlainHTTPSignsInOnLoopbackOnly(t *testing.T) {
	m := newMembersOver(t, caddytest.Start, `
http:// {
	logto_auth {
		endpoint TENANT
		audience https://api.example.com
		SIGN_IN
	}
	respond "hello {http.auth.user.id}"
}
`)
	p := m.browser()
	for _, path := range []string{"/page", "/.logto/sign-in", "/.logto/callback?code=x&state=y&iss=" + m.tenant.Issuer(), "/.logto/session", "/.logto/sign-out", "/.logto/signed-out"} {
		answer := p.open(path)
		showsPage(t, path, answer, http.StatusBadRequest, ReasonSignInRefused)
		if !strings.Contains(answer.Body, "<code>trusted_proxies</code>") {
			t.Errorf("%s: the page does not name trusted_proxies: %s", path, answer.Body)
		}
	}
	showsPage(t, "sign-out", p.fetch("/.logto/sign-out", caddytest.Method("POST")), http.StatusBadRequest, ReasonSignInRefused)
	if answer := p.fetch("/data"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Authorization header is missing") {
		t.Errorf("a script: %d %s", answer.StatusCode, answer.Body)
	}
	token := m.tenant.Token(tokenFor(alice))
	if answer := p.fetch("/data", caddytest.Bearer(token)); answer.Body != "hello alice" {
		t.Errorf("a token: %d %s", answer.StatusCode, answer.Body)
	}
	for host, secure := range map[string]bool{"localhost": true, "127.0.0.1": true, "127.9.9.9:8080": true, "[::1]:80": true, "localhost.example.com": false, "[::2]": false, "10.0.0.1": false, "sub.localhost": true} {
		p := m.browser()
		p.host = host
		answer := p.open("/page")
		if m.startsSignIn(answer) != secure {
			t.Errorf("%s: %d %s", host, answer.StatusCode, answer.Body)
		}
		if cookie := answer.Header.Get("Set-Cookie"); secure && (!strings.HasPrefix(cookie, "logto-flow") || strings.Contains(cookie, "Secure")) {
			t.Errorf("%s: %q", host, cookie)
		}
	}
}

// base_url is the site's one origin: a start elsewhere goes there first.
func TestBaseURL(t *testing.T) {
	for base, want := range map[string]string{
		"https://www.example.com": "https://www.example.com", "https://WWW.Example.com/": "https://www.example.com",
		"https://www.example.com:443": "https://www.example.com", "https://www.example.com:8443": "https://www.example.com:8443",
	} {
		t.Run(base, func(t *testing.T) {
			m := newMembers(t, `
https:// {
	logto_auth {
		endpoint TENANT
		SIGN_IN {
			base_url `+base+`
		}
	}
	respond "hello"
}
`)
			p := m.browser()
			p.host = "preview.example.com"
			goesTo(t, "a page", p.open("/a/b?c=d"), http.StatusFound, want+"/a/b?c=d")
			goesTo(t, "sign-in", p.open("/.logto/sign-in?return_to=%2Fx"), http.StatusFound, want+"/.logto/sign-in?return_to=%2Fx")
			if len(p.cookies) > 0 {
				t.Errorf("cookies at the other host: %v", p.cookies)
			}
			p.host = strings.TrimPrefix(want, "https://")
			location, err := url.Parse(p.start("/a/b"))
			if err != nil || location.Query().Get("redirect_uri") != want+"/.logto/callback" {
				t.Errorf("redirect_uri %q", location.Query().Get("redirect_uri"))
			}
			p.host = strings.ToUpper(p.host)
			p.start("/a/b")
		})
	}
}

// The scheme of base_url is not believed where the request is not https.
func TestBaseURLMakesNoRequestSecure(t *testing.T) {
	m := newMembersOver(t, caddytest.Start, `
http:// {
	logto_auth {
		endpoint TENANT
		SIGN_IN {
			base_url https://www.example.com
		}
	}
	respond "hello"
}
`)
	showsPage(t, "its host", m.browser().open("/"), http.StatusBadRequest, ReasonSignInRefused)
	p := m.browser()
	p.host = "preview.example.com"
	showsPage(t, "another host", p.open("/"), http.StatusBadRequest, ReasonSignInRefused)
}
