package logtoauth

import (
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

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
