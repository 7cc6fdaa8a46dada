package logtoauth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
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

// Caddy logs an error that a handle_errors has answered at DEBUG, whatever its
// status; docs/sign-in.md says so.
func TestLevelOfFailedCallbacksInTheLogOfErrors(t *testing.T) {
	site := strings.Replace(shownInErrors, "BEFORE", "", 1)
	alone, routes, _ := strings.Cut(site, "\thandle_errors {")
	for name, test := range map[string]struct{ site, level string }{
		"with handle_errors":                {site, "debug"},
		"with handle_errors of other sites": {alone + "}\nother.example.com {\n\thandle_errors {" + routes, "debug"},
		"without":                           {alone + "}\n", "error"},
		"with one that fails":               {strings.Replace(site, "handle_errors {", "handle_errors {\n\t\terror again 500", 1), "error"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, test.site)
			p := m.browser()
			callback := p.callback(p.start("/page"), alice)
			m.tenant.SetTokenFault(devtenant.ServerError)
			if answer := p.fetch(callback); answer.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("%d %s", answer.StatusCode, answer.Body)
			}
			var levels []string
			eventually(t, "a line of Caddy's", func() bool {
				levels = nil
				for line := range strings.Lines(m.Logs()) {
					var entry struct{ Level, Logger string }
					if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Logger, "http.log.error") {
						levels = append(levels, entry.Level)
					}
				}
				return len(levels) > 0
			})
			if !slices.Equal(levels, []string{test.level}) {
				t.Errorf("levels %v, want %s", levels, test.level)
			}
		})
	}
}
