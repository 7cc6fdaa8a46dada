package logtoauth_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// What these tests show is Caddy's doing: the order in which it runs the
// directives of a site, and the path that a matcher sees.
// docs/path-rules.md warns of it; a Caddy that changed it would make that wrong.

// orderTry is one request without a token, or with one, and its outcome.
type orderTry struct {
	path   string
	token  string // name of a token; empty sends none
	status int
	body   string // empty: any
	realm  string // of the challenge; empty: any
}

// orderTokens are the tokens of the tries, by name.
func orderTokens(tenant *devtenanttest.Server) map[string]string {
	issue := func(request devtenant.TokenRequest) string {
		request.Subject, request.ClientID = "alice", "app"
		return tenant.Token(request)
	}
	return map[string]string{
		"good":    issue(devtenant.TokenRequest{Resource: api}),
		"read":    issue(devtenant.TokenRequest{Resource: api, Scope: "read"}),
		"another": issue(devtenant.TokenRequest{Resource: "https://b.example.com"}),
		"both": issue(devtenant.TokenRequest{Resource: api, Extra: map[string]any{
			"aud": []string{api, "https://b.example.com"},
		}}),
	}
}

// siteFiles makes a folder with a page, a page for clients that were let in,
// and none for the routes of a single-page app.
func siteFiles(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{"index.html": "index", "app/report.html": "report"} {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.ToSlash(root)
}

// tryOrder serves a site in which $auth stands for the settings of a logto_auth
// and $root for a folder of files.
func tryOrder(t *testing.T, site string, tries []orderTry) {
	t.Helper()
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	tokens := orderTokens(tenant)
	site = os.Expand(site, func(name string) string {
		return map[string]string{"auth": "audience " + api, "api": api, "root": siteFiles(t)}[name]
	})
	server := caddytest.Start(t, fmt.Sprintf("{\n\tlogto_auth {\n\t\tendpoint %s\n\t}\n}\n\n:80 {\n%s\n}\n", tenant.URL, site))
	for _, try := range tries {
		var options []caddytest.Option
		if try.token != "" {
			options = append(options, caddytest.Bearer(tokens[try.token]))
		}
		got := server.Get(try.path, options...)
		challenge := got.Header.Get("WWW-Authenticate")
		switch {
		case got.StatusCode != try.status:
			t.Errorf("%s, token %q: got %d %s, want %d", try.path, try.token, got.StatusCode, got.Body, try.status)
		case try.body != "" && got.Body != try.body:
			t.Errorf("%s, token %q: got %q, want %q", try.path, try.token, got.Body, try.body)
		case try.realm != "" && !strings.HasPrefix(challenge, fmt.Sprintf("Bearer realm=%q", try.realm)):
			t.Errorf("%s, token %q: got %s, want realm %s", try.path, try.token, challenge, try.realm)
		}
	}
}

func TestAMatcherSeesThePathAfterRewriting(t *testing.T) {
	for name, test := range map[string]struct {
		site  string
		tries []orderTry
	}{
		"try_files leads out of the matcher": {
			site: `
				root * $root
				logto_auth /app/* {
					$auth
				}
				try_files {path} /index.html
				file_server`,
			tries: []orderTry{
				{path: "/app/report.html", status: 401},
				{path: "/app/anything", status: http.StatusOK, body: "index"},
			},
		},
		"rewrite leads out of the matcher": {
			site: `
				logto_auth /app/* {
					$auth
				}
				rewrite /app/* /v2{uri}
				respond "served {path}"`,
			tries: []orderTry{
				{path: "/app/report", status: http.StatusOK, body: "served /v2/app/report"},
			},
		},
		"uri leads out of the matcher": {
			site: `
				logto_auth /app/* {
					$auth
				}
				uri strip_prefix /app
				respond "served {path}"`,
			tries: []orderTry{
				{path: "/app/report", status: http.StatusOK, body: "served /report"},
			},
		},
		"a logto_require is led round, too": {
			site: `
				logto_auth {
					$auth
				}
				logto_require /app/* read
				rewrite /app/* /v2{uri}
				respond "served {path}"`,
			tries: []orderTry{
				{path: "/app/report", status: 401},
				{path: "/app/report", token: "good", status: http.StatusOK},
			},
		},

		"protecting the site and excepting paths is safe": {
			site: `
				root * $root
				@private not path /public/*
				logto_auth @private {
					$auth
				}
				try_files {path} /index.html
				file_server`,
			tries: []orderTry{
				{path: "/app/report.html", status: 401},
				{path: "/app/anything", status: 401},
				{path: "/public/anything", status: 401}, // it is /index.html that would be served
				{path: "/app/anything", token: "good", status: http.StatusOK, body: "index"},
			},
		},
		"try_files inside handle is safe": {
			site: `
				root * $root
				handle /app/* {
					logto_auth {
						$auth
					}
					try_files {path} /index.html
					file_server
				}
				respond "elsewhere"`,
			tries: []orderTry{
				{path: "/app/report.html", status: 401},
				{path: "/app/anything", status: 401},
				{path: "/app/anything", token: "good", status: http.StatusOK, body: "index"},
				{path: "/other", status: http.StatusOK, body: "elsewhere"},
			},
		},
		"try_files after logto_auth in a route is safe": {
			site: `
				root * $root
				route {
					logto_auth /app/* {
						$auth
					}
					try_files {path} /index.html
					file_server
				}`,
			tries: []orderTry{
				{path: "/app/report.html", status: 401},
				{path: "/app/anything", status: 401},
				{path: "/app/anything", token: "good", status: http.StatusOK, body: "index"},
				{path: "/other", status: http.StatusOK, body: "index"},
			},
		},
		"try_files before logto_auth in a route is not": {
			site: `
				root * $root
				route {
					try_files {path} /index.html
					logto_auth /app/* {
						$auth
					}
					file_server
				}`,
			tries: []orderTry{
				{path: "/app/anything", status: http.StatusOK, body: "index"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) { tryOrder(t, test.site, test.tries) })
	}
}

func TestAPathMatcherAndTheSpellingsOfAPath(t *testing.T) {
	for name, test := range map[string]struct {
		site  string
		tries []orderTry
	}{
		"/app/* leaves /app out": {
			site: `
				logto_auth /app/* {
					$auth
				}
				respond "open"`,
			tries: []orderTry{
				{path: "/app", status: http.StatusOK, body: "open"},
				{path: "/app/", status: 401},
				{path: "/app/report", status: 401},
			},
		},
		"/app* takes in /app and more": {
			site: `
				logto_auth /app* {
					$auth
				}
				respond "open"`,
			tries: []orderTry{
				{path: "/app", status: 401},
				{path: "/app/report", status: 401},
				{path: "/apple", status: 401},
			},
		},
		"other spellings of the path match, too": {
			site: `
				logto_auth /app/* {
					$auth
				}
				respond "open"`,
			tries: []orderTry{
				{path: "/APP/report", status: 401},
				{path: "//app/report", status: 401},
				{path: "/./app/report", status: 401},
				{path: "/x/../app/report", status: 401},
				{path: "/%61pp/report", status: 401},
				{path: "/app%2Freport", status: 401},
			},
		},
	} {
		t.Run(name, func(t *testing.T) { tryOrder(t, test.site, test.tries) })
	}
}

func TestSeveralLogtoAuthOnOneRequest(t *testing.T) {
	for name, test := range map[string]struct {
		site  string
		tries []orderTry
	}{
		"the longest path runs first, the one without a matcher last": {
			site: `
				logto_auth {
					$auth
					realm site
				}
				logto_auth /a/* {
					$auth
					realm short
				}
				logto_auth /a/b/* {
					$auth
					realm long
				}`,
			tries: []orderTry{
				{path: "/a/b/c", status: 401, realm: "long"},
				{path: "/a/c", status: 401, realm: "short"},
				{path: "/c", status: 401, realm: "site"},
			},
		},
		"each that matches must admit": {
			site: `
				logto_auth {
					$auth
					realm site
				}
				logto_auth /b/* {
					audience https://b.example.com
					realm b
				}
				respond "served"`,
			tries: []orderTry{
				{path: "/b/x", token: "good", status: 403, realm: "b"},
				{path: "/b/x", token: "another", status: 403, realm: "site"},
				{path: "/b/x", token: "both", status: http.StatusOK},
				{path: "/x", token: "another", status: 403, realm: "site"},
			},
		},
		"the last one decides what later handlers see": {
			site: `
				logto_auth {
					$auth
					optional
					token_from cookie session
				}
				logto_auth /b/* {
					$auth
				}
				logto_require /b/c/*
				respond "{http.auth.user.type} {http.auth.user.id}"`,
			tries: []orderTry{
				{path: "/b/x", token: "good", status: http.StatusOK, body: "anonymous "},
				{path: "/b/c/x", token: "good", status: 401},
			},
		},
	} {
		t.Run(name, func(t *testing.T) { tryOrder(t, test.site, test.tries) })
	}
}

func TestLogtoRequireRunsAfterLogtoAuth(t *testing.T) {
	for name, test := range map[string]struct {
		site  string
		tries []orderTry
	}{
		"in whatever order they are written": {
			site: `
				logto_require /app/* read
				logto_require read
				logto_auth {
					$auth
					realm site
				}
				respond "served"`,
			tries: []orderTry{
				{path: "/app/x", status: 401, realm: "site"},
				{path: "/app/x", token: "good", status: 403, realm: "site"},
				{path: "/app/x", token: "read", status: http.StatusOK, body: "served"},
				{path: "/x", token: "read", status: http.StatusOK, body: "served"},
			},
		},
		"in a route as they are written, and refusing if that is before": {
			site: `
				route /before {
					logto_require read
					logto_auth {
						$auth
					}
					respond "served"
				}
				route /after {
					logto_auth {
						$auth
					}
					logto_require read
					respond "served"
				}`,
			tries: []orderTry{
				{path: "/before", token: "read", status: 401},
				{path: "/after", token: "read", status: http.StatusOK, body: "served"},
				{path: "/after", token: "good", status: 403},
			},
		},
		"but before a logto_auth that stands in a handle, so it refuses": {
			site: `
				logto_require read
				handle /app/* {
					logto_auth {
						$auth
					}
					respond "served"
				}`,
			tries: []orderTry{
				{path: "/app/x", token: "read", status: 401},
			},
		},
	} {
		t.Run(name, func(t *testing.T) { tryOrder(t, test.site, test.tries) })
	}
}

func TestARedirectAnswersBeforeLogtoAuth(t *testing.T) {
	tryOrder(t, `
		logto_auth {
			$auth
		}
		redir /old /new
		respond "served"`,
		[]orderTry{
			{path: "/old", status: http.StatusFound},
			{path: "/new", status: 401},
		})
}

// The header directive runs before logto_auth, which knows the placeholders;
// with > it waits until the answer's header is written. Where no logto_auth ran
// nobody knows them.
func TestPlaceholdersExistOnlyAfterLogtoAuth(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	server := caddytest.Start(t, fmt.Sprintf(`
		:80 {
			header Early {http.auth.user.id}
			header >Late {http.auth.user.id}
			request_header Upstream {http.auth.user.id}
			@private not path /public
			logto_auth @private {
				endpoint %s
				audience %s
			}
			respond "{header.Upstream}"
		}`, tenant.URL, api))
	token := caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Subject: "alice", Resource: api}))
	const unknown = "{http.auth.user.id}"
	for path, want := range map[string]struct{ early, late, upstream string }{
		"/":       {unknown, "alice", "alice"},
		"/public": {unknown, unknown, unknown},
	} {
		got := server.Get(path, token)
		if early, late := got.Header.Get("Early"), got.Header.Get("Late"); early != want.early || late != want.late || got.Body != want.upstream {
			t.Errorf("%s: header: %q, header >: %q, request_header: %q; want %q", path, early, late, got.Body, want)
		}
	}
}
