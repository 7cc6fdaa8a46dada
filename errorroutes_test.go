package logtoauth_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
)

// forwardsUser is a logto_auth that tells the service who the client is.
const forwardsUser = `logto_auth {
	endpoint ENDPOINT
	audience ` + api + `
	forward_claim sub X-User
}
`

// showsErrors leaves errors to the service.
const showsErrors = `handle_errors {
	reverse_proxy UPSTREAM
}
`

// forgeries are requests that Caddy or the site fails before any logto_auth.
var forgeries = []struct{ name, start string }{
	{"a host of dots", "POST / HTTP/1.1\r\nHost: ..\r\n"},
	{"no host", "POST / HTTP/1.1\r\nHost:\r\n"},
	{"a method of 40 letters", strings.Repeat("A", 40) + " / HTTP/1.1\r\nHost: x\r\n"},
	{"an error of the site", "POST /fail HTTP/1.1\r\nHost: x\r\n"},
}

// forge sends one of the forgeries, with the header in several spellings and
// as a trailer, and returns what the service takes for the user.
func forge(t *testing.T, s *site, start string) []string {
	t.Helper()
	got := arrivedRaw(t, s.Raw(start+"X-User: admin\r\nX_User: admin\r\nx.user: admin\r\nX-Other: kept\r\n"+
		"Transfer-Encoding: chunked\r\nTrailer: X-User, X-Checksum\r\nConnection: close, X-User\r\n\r\n"+
		"1\r\na\r\n0\r\nX-User: admin\r\nX_User: admin\r\nX-Checksum: 1\r\n\r\n"))
	if fmt.Sprint(got.Header["X-Other"], got.Trailer["X-Checksum"]) != "[kept] [1]" {
		t.Errorf("other headers did not arrive: %v, %v", got.Header, got.Trailer)
	}
	return named("X-User", got.Header, got.Trailer)
}

// Caddy runs error routes also for requests that no logto_auth has seen.
func TestForgedIdentityInErrorRoutes(t *testing.T) {
	const global = "{\norder error first\nservers {\nexpected_underscore_headers X_User\nexpected_dot_headers X.User\n}\n}\n"
	for _, test := range []struct{ name, site string }{
		{"beside it", forwardsUser + showsErrors},
		{"before it", showsErrors + forwardsUser},
		{"for some statuses", strings.Replace(showsErrors, "handle_errors", "handle_errors 4xx 500", 1) + forwardsUser},
		{"for other paths than its matcher's", strings.Replace(forwardsUser, "logto_auth", "logto_auth /api*", 1) + showsErrors},
		{"within handle", "handle /api* {\n" + forwardsUser + "}\n" + showsErrors},
		{"within handle_path within handle", "handle {\nhandle_path /api* {\n" + forwardsUser + "}\n}\n" + showsErrors},
		{"within route", "route {\n" + forwardsUser + "}\n" + showsErrors},
		{"within route within handle", "handle /api* {\nroute {\n" + forwardsUser + "}\n}\n" + showsErrors},
		{"beside a host matcher", "@x host x\nheader @x X-Here 1\n" + forwardsUser + showsErrors},
		{"two headers, set in two places", strings.Replace(forwardsUser, "X-User", "X-Actor", 1) + "route /api* {\n" + forwardsUser + "}\n" + showsErrors},
		{"within the error routes for one status", strings.Replace(showsErrors, "{", "404 {\n"+forwardsUser, 1) + showsErrors},
		{"within the error routes for all others", strings.Replace(showsErrors, "{", "4xx 500 {", 1) + strings.Replace(showsErrors, "{", "{\n"+forwardsUser, 1)},
		{"behind try_files", "root /nowhere\ntry_files {path} =404\n" + forwardsUser + showsErrors},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSite(t, global+":80 {\nerror /fail 500\n"+test.site+"}")
			for _, forgery := range forgeries {
				if values := forge(t, s, forgery.start); len(values) > 0 {
					t.Errorf("%s: arrived: %v", forgery.name, values)
				}
			}
		})
	}
}

// Caddy provisions named routes after the error routes.
func TestForgedIdentityInErrorRoutesOfANamedRoute(t *testing.T) {
	for _, errors := range []string{showsErrors, strings.Replace(showsErrors, "handle_errors", "handle_errors 4xx 500", 1)} {
		s := startSite(t, `{
			order error first
		}
		&(signed-in) {
			`+forwardsUser+`
		}
		:80 {
			error /fail 500
			invoke signed-in
			`+errors+`
		}`)
		for _, forgery := range forgeries {
			if values := forge(t, s, forgery.start); len(values) > 0 {
				t.Errorf("%s: arrived: %v", forgery.name, values)
			}
		}
	}
}

// Caddy runs the first error route that matches a request, which need not be
// that of the request's site.
func TestForgedIdentityInErrorRoutesOfANeighbour(t *testing.T) {
	const (
		fails = "error */fail 500\n"
		owner = "http://a.test {\n" + fails + forwardsUser + "}\n"
	)
	fail, long := "GET /fail", strings.Repeat("A", 40)+" /"
	for _, test := range []struct {
		name, sites, host string
		starts            []string
	}{
		{"a wildcard", owner + "http://*.test {\n" + showsErrors + "}", "a.test", []string{fail, long}},
		{"a wildcard, in another spelling", owner + "http://*.test, http://*.example {\n" + showsErrors + "}", "A.TEST:80", []string{fail, long}},
		{"a wildcard with a site", owner + "http://*.test {\nrespond wild\n" + showsErrors + "}", "a.test", []string{fail, long}},
		{"a wildcard with a forward_claim", owner + "http://*.test {\n" + strings.Replace(forwardsUser, "X-User", "X-Actor", 1) + showsErrors + "}", "a.test", []string{fail, long}},
		{"a wildcard, from within route within handle", "http://a.test {\n" + fails + "handle /api* {\nroute {\n" + forwardsUser + "}\n}\n}\nhttp://*.test {\n" + showsErrors + "}", "a.test", []string{fail, long}},
		{"the wildcard's own", "http://a.test {\n" + fails + "}\nhttp://*.test {\n" + forwardsUser + showsErrors + "}", "a.test", []string{fail, long}},
		{"the host of a path", strings.Replace(owner, "a.test", "a.test/api*", 1) + "http://a.test {\n" + showsErrors + "}", "a.test", []string{"GET /api/fail", long + "api"}},
		{"a path of the host", owner + "http://a.test/api* {\n" + showsErrors + "}", "a.test", []string{long + "api"}},
		{"the site for all others", owner + "http:// {\nrespond others\n" + showsErrors + "}", "a.test", []string{fail, long}},
		{"nobody", owner + "http:// {\n" + showsErrors + "}", "a.test", []string{fail, long}},
		{"nobody, for no site", owner + "http:// {\n" + showsErrors + "}", "elsewhere", []string{long}},
		{"nobody, for a host of dots", owner + "http:// {\n" + showsErrors + "}", "..", []string{"GET /"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSite(t, "{\norder error first\n}\n"+test.sites)
			for _, start := range test.starts {
				if values := forge(t, s, start+" HTTP/1.1\r\nHost: "+test.host+"\r\n"); len(values) > 0 {
					t.Errorf("%s: arrived: %v", start, values)
				}
			}
		})
	}
}

// A JSON config may have error routes in every subroute, and flat ones.
func TestForgedIdentityInErrorRoutesOfJSON(t *testing.T) {
	const (
		auth  = `{"handler":"logto_auth","endpoint":"ENDPOINT","audiences":["` + api + `"],"forward_claims":[{"claim":"sub","header":"X-User"}]}`
		proxy = `{"handler":"reverse_proxy","upstreams":[{"dial":"UPSTREAM"}]}`
		fail  = `{"handle":[{"handler":"error","status_code":500}]}`
	)
	for _, test := range []struct{ name, server string }{
		{"the server's", `"routes":[` + fail + `,{"handle":[` + auth + `]}],"errors":{"routes":[{"handle":[` + proxy + `]}]}`},
		{"the server's, with a matcher that asks for the header", `"routes":[` + fail + `,{"handle":[` + auth + `]}],
			"errors":{"routes":[{"match":[{"header":{"X-User":["admin"]}}],"handle":[{"handler":"static_response","body":"{\"header\":{\"X-User\":[\"admin\"]}}"}]},{"handle":[` + proxy + `]}]}`},
		{"the server's, of a site that a rewrite chooses", `"routes":[{"handle":[{"handler":"rewrite","uri":"/api"}]},
			{"match":[{"path":["/api"]}],"terminal":true,"handle":[{"handler":"subroute","routes":[` + fail + `,{"handle":[` + auth + `]}]}]},
			{"terminal":true,"handle":[{"handler":"static_response"}]}],"errors":{"routes":[{"handle":[` + proxy + `]}]}`},
		{"the server's, of a site that a variable chooses", `"routes":[{"match":[{"vars":{"{http.vars.x}":[""]}}],"terminal":true,
			"handle":[{"handler":"subroute","routes":[{"handle":[{"handler":"vars","x":"1"}]},` + fail + `,{"handle":[` + auth + `]}]}]},
			{"terminal":true,"handle":[{"handler":"static_response"}]}],"errors":{"routes":[{"handle":[` + proxy + `]}]}`},
		{"a subroute's", `"routes":[{"handle":[{"handler":"subroute","routes":[` + fail + `,{"handle":[` + auth + `]}],"errors":{"routes":[{"handle":[` + proxy + `]}]}}]}]`},
		{"an outer subroute's", `"routes":[{"handle":[{"handler":"subroute","errors":{"routes":[{"handle":[` + proxy + `]}]},"routes":[` + fail +
			`,{"handle":[{"handler":"subroute","routes":[{"handle":[` + auth + `]}]}]}]}]}]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startJSON(t, `{"apps":{"http":{"servers":{"srv0":{"listen":[":80"],`+test.server+`}}}}}`)
			got := arrived(t, s.Get("/", caddytest.Header("X-User", "admin")))
			if values := named("X-User", got.Header); len(values) > 0 {
				t.Errorf("arrived: %v", values)
			}
		})
	}
}

// startJSON is startSite with a JSON config.
func startJSON(t *testing.T, config string) *site {
	t.Helper()
	// The tenant and the service are those of a site that is replaced at once.
	var endpoint, upstream string
	s := startSite(t, `:80 {
		vars endpoint ENDPOINT
		vars upstream UPSTREAM
		respond "{vars.endpoint} {vars.upstream}"
	}`)
	endpoint, upstream, _ = strings.Cut(s.Get("/").Body, " ")
	if err := s.LoadJSON([]byte(strings.NewReplacer("ENDPOINT", endpoint, "UPSTREAM", upstream).Replace(config))); err != nil {
		t.Fatal(err)
	}
	return s
}

// Sites on one listener share the list of error routes.
func TestOtherSitesKeepTheirHeadersInErrorRoutes(t *testing.T) {
	s := startSite(t, `{
		order error first
	}
	http://a.test {
		error /fail 500
		`+forwardsUser+`
		`+showsErrors+`
	}
	http://b.test {
		error /fail 500
		`+showsErrors+`
	}
	http://c.test/path* {
		error 500
		`+strings.Replace(forwardsUser, "X-User", "X-Actor", 1)+`
		`+showsErrors+`
	}
	http://plain.test {
		error /fail 500
	}
	http://other.example {
		error /fail 500
	}
	http://*.test {
		error /fail 500
		`+strings.Replace(forwardsUser, "X-User", "X-Wild", 1)+`
		`+showsErrors+`
	}
	http:// {
		error /fail 500
		`+showsErrors+`
	}`)
	for _, test := range []struct {
		host, path string
		want       string
	}{
		// They are the wildcard's, too.
		{"a.test", "/fail", "X-Actor"},
		{"A.TEST:80", "/fail", "X-Actor"},
		{"b.test", "/fail", "X-Actor X-User"},
		{"c.test", "/path", "X-User"},
		{"c.test", "/path/fail", "X-User"},
		// It has no error routes and gets those of the next site that matches.
		{"plain.test", "/fail", "X-Actor X-User"},
		{"d.test", "/fail", "X-Actor X-User"},
		{"other.example", "/fail", "X-Actor X-User X-Wild"},
		{"elsewhere", "/fail", "X-Actor X-User X-Wild"},
	} {
		got := arrived(t, s.Get(test.path, caddytest.Header("Host", test.host),
			caddytest.Header("X-User", "1"), caddytest.Header("X-Actor", "1"), caddytest.Header("X-Wild", "1")))
		var arrived []string
		for _, name := range []string{"X-Actor", "X-User", "X-Wild"} {
			if got.Header[name] != nil {
				arrived = append(arrived, name)
			}
		}
		if strings.Join(arrived, " ") != test.want {
			t.Errorf("%s: arrived %v, want %s", test.host, arrived, test.want)
		}
	}
}

// What a token proved stays true when the service fails.
func TestVerifiedIdentityInErrorRoutes(t *testing.T) {
	s := startSite(t, ":80 {\n"+forwardsUser+"route {\nerror 502\n}\n"+showsErrors+"}")
	for _, connection := range []string{"close", "close, X-User"} {
		got := arrivedRaw(t, s.Raw("GET / HTTP/1.1\r\nHost: x\r\nX-User: admin\r\nAuthorization: Bearer "+s.alice(nil)+"\r\nConnection: "+connection+"\r\n\r\n"))
		if values := named("X-User", got.Header); !slices.Equal(values, []string{"alice"}) {
			t.Errorf("Connection: %s: arrived: %v, want alice alone", connection, values)
		}
	}
}

// With error routes Caddy answers and logs errors otherwise, so a site that
// has none must get none.
func TestASiteWithoutErrorRoutesGetsNone(t *testing.T) {
	s := startSite(t, ":80 {\nlog\n"+forwardsUser+"error 500\n}")
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		t.Fatal(err)
	}
	if server := app.(*caddyhttp.App).Servers["srv0"]; server.Errors != nil {
		t.Errorf("error routes: %v", server.Errors.Routes)
	}
	for _, test := range []struct {
		name, request string
		status        int
		level         string
	}{
		{"an error", "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + s.alice(nil) + "\r\nConnection: close\r\n\r\n", 500, "error"},
		{"a host of dots", "GET / HTTP/1.1\r\nHost: ..\r\nConnection: close\r\n\r\n", 400, "debug"},
	} {
		before := len(s.Logs())
		answer := s.Raw(test.request)
		if !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", test.status)) || !strings.HasSuffix(answer, "\r\n\r\n") {
			t.Errorf("%s: answered %q", test.name, answer)
		}
		var levels []string
		for line := range strings.Lines(s.Logs()[before:]) {
			var entry struct{ Level, Logger string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(entry.Logger, "http.log.error") {
				levels = append(levels, entry.Level)
			}
		}
		if !slices.Equal(levels, []string{test.level}) {
			t.Errorf("%s: error lines at %v, want one at %s", test.name, levels, test.level)
		}
	}
}

// The answers of error routes are as private as the others.
func TestSharedCacheCannotStoreAnErrorPage(t *testing.T) {
	public := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
	})
	s := startSiteBefore(t, public, `http:// {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			optional
			token_from header
			token_from header X-Token
			token_from cookie session
			token_from query access_token
		}
		route {
			error /plain 404
			error /proxied 502
			error /fails 500
		}
		handle_errors 404 {
			header Cache-Control "public, max-age=60"
			respond "not here"
		}
		handle_errors 502 {
			reverse_proxy UPSTREAM
		}
		handle_errors 500 {
			header Cache-Control "public, max-age=60"
			error 503
		}
	}
	http://plain.test {
		respond ok
	}`)
	for _, path := range []string{"/plain", "/proxied", "/fails"} {
		for place, want := range map[string]string{
			"header":     "public, max-age=60",
			"own header": "private, max-age=60",
			"cookie":     "private, max-age=60",
			"query":      "private, max-age=60",
			"nowhere":    "public, max-age=60",
		} {
			target, option := placed(place, s.alice(nil))
			if place == "nowhere" {
				option = func(*http.Request) {}
			}
			answer := s.Get(path+strings.TrimPrefix(target, "/"), option)
			if got := strings.Join(answer.Header.Values("Cache-Control"), " and "); got != want {
				t.Errorf("%s with the token in %s: Cache-Control is %q, want %q", path, place, got, want)
			}
		}
	}
}
