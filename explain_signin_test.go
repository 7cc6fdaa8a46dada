package logtoauth

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// signInSites are sites with sign_in that answer visitors in all ways.
const signInSites = `
identity.test {
	logto_auth {
		endpoint TENANT
		SIGN_IN {
			scopes email
		}
		claim roles reader
	}
	respond ok
}
api.test {
	logto_auth {
		endpoint TENANT
		audience https://api.example.com
		scopes read:products
		SIGN_IN {
			offline off
		}
	}
	logto_require /orders* write:orders
	respond ok
}
org.test {
	logto_auth {
		endpoint TENANT
		organization acme
		SIGN_IN
	}
	respond ok
}
never.test {
	logto_auth {
		endpoint TENANT
		SIGN_IN {
			unauthenticated 401
		}
	}
	respond ok
}
reporting.test {
	logto_auth {
		endpoint TENANT
		SIGN_IN
		report_only
	}
	logto_require /members
	respond ok
}
optional.test {
	logto_auth {
		endpoint TENANT
		SIGN_IN
		optional
	}
	logto_require /members
	respond ok
}
other.test {
	logto_auth {
		endpoint TENANT
		SIGN_IN {
			path /in
			base_url https://www.test
		}
	}
	respond ok
}
partly.test {
	logto_auth /members* {
		endpoint TENANT
		SIGN_IN
	}
	respond ok
}
moved.test {
	redir /old* /new
	uri strip_prefix /x
	logto_auth {
		endpoint TENANT
		SIGN_IN
	}
	respond ok
}
`

// The command must say what the site does. Each page is opened there, too.
func TestExplainSaysWhatVisitorsGet(t *testing.T) {
	m := newMembers(t, signInSites)
	caddyfile := m.text(signInSites)
	for _, test := range []struct{ target, method string }{
		{"identity.test/", "GET"},
		{"identity.test/", "POST"},
		{"identity.test/", "HEAD"},
		{"api.test/", "GET"},
		{"api.test/orders", "GET"},
		{"org.test/", "GET"},
		{"never.test/", "GET"},
		{"reporting.test/", "GET"},
		{"reporting.test/members", "GET"},
		{"optional.test/", "GET"},
		{"optional.test/members", "GET"},
		{"optional.test/members", "POST"},
		{"other.test/", "GET"},
		{"partly.test/members/x", "GET"},
		{"identity.test/.logto/session", "GET"},
		{"identity.test/.logto/session", "POST"},
		{"identity.test/.logto/x", "GET"},
		{"identity.test/.logto", "GET"},
		{"identity.test/.logto/callback", "PUT"},
		{"other.test/in/signed-out", "GET"},
		{"partly.test/.logto/signed-out", "GET"},
		{"moved.test/.logto/signed-out", "GET"},
		{"moved.test/x/.logto/signed-out", "GET"},
		{"identity.test/.logtos", "GET"},
	} {
		t.Run(test.method+" "+test.target, func(t *testing.T) {
			host, path, _ := strings.Cut(test.target, "/")
			answer := m.Get("/"+path, caddytest.Header("Host", host), caddytest.Method(test.method), navigation)
			said := explainCaddyfile(t, caddyfile, m.tenant.OpaqueToken(), "https://"+test.target, test.method)
			var visit *visitorAnswer
			endpoint := 0
			for _, told := range said.Handlers {
				if told.Visit != nil {
					visit = told.Visit
				}
				if told.Outcome == verdictEndpoint {
					endpoint = 200
					if told.Status != 0 {
						endpoint = told.Status
					}
				}
			}
			switch {
			case endpoint == 200 && strings.HasSuffix(path, "/session"):
				endpoint = http.StatusUnauthorized // nobody is signed in
				fallthrough
			case endpoint != 0:
				if answer.StatusCode != endpoint || visit != nil || said.Outcome != verdictEndpoint {
					t.Errorf("the endpoint answers %d, explain says %d and %+v", answer.StatusCode, endpoint, visit)
				}
			case visit == nil:
				t.Fatalf("explain says nothing; the site answers %d", answer.StatusCode)
			case visit.Page == visitPasses:
				if answer.StatusCode != http.StatusOK {
					t.Errorf("explain says that it passes; the site answers %d", answer.StatusCode)
				}
			case visit.Page == visitRefused:
				if answer.StatusCode != visit.Status || test.method != "HEAD" && answer.Body != refusedWith(visit.Error) {
					t.Errorf("explain says %+v; the site answers %d %s", visit, answer.StatusCode, answer.Body)
				}
			default:
				location, err := url.Parse(answer.Header.Get("Location"))
				if err != nil || answer.StatusCode != http.StatusFound {
					t.Fatalf("explain says %+v; the site answers %d", visit, answer.StatusCode)
				}
				if host == "other.test" { // first to base_url
					if location.Host != "www.test" || visit.RedirectURI != "https://www.test/in/callback" {
						t.Errorf("explain says %+v; the site sends to %s", visit, location)
					}
					return
				}
				query := location.Query()
				if !strings.HasPrefix(location.String(), visit.Issuer+"/auth?") || query.Get("client_id") != visit.ClientID ||
					query.Get("redirect_uri") != visit.RedirectURI || query.Get("scope") != strings.Join(visit.Scopes, " ") ||
					!slices.Equal(query["resource"], visit.Resources) {
					t.Errorf("explain says %+v; the site sends to %s", visit, location)
				}
			}
		})
	}
}

func TestExplainTellsOfSignInInWords(t *testing.T) {
	m := newMembers(t, signInSites)
	site := explained{config: writeCaddyfile(t, m.text(signInSites))}
	ask := func(address, method string) []string {
		return []string{"explain", "--config", site.config, "--url", address, "--method", method}
	}
	const text = "Authorization header is missing"
	for _, test := range []struct {
		address, method string
		code            int
		want            []string
	}{
		{"https://api.test/orders", "GET", 1, []string{
			"a page that nobody is signed in for: 302, sign in at " + m.tenant.Issuer() + " (scopes openid profile read:products write:orders, resources https://api.example.com)",
			"and come back to https://api.test/.logto/callback",
			`all else without a token: 401 no_session, "` + text + `"`,
		}},
		{"https://api.test/", "POST", 1, []string{`a page that nobody is signed in for: 401 no_session, "` + text + `" (POST opens no page)`}},
		{"https://never.test/", "GET", 1, []string{`401 no_session, "` + text + `" (unauthenticated 401)`}},
		{"https://reporting.test/", "GET", 0, []string{"passes without a token (report_only)"}},
		{"https://optional.test/", "GET", 1, []string{"passes without a token (optional)"}},
		{"https://api.test/.logto/callback", "GET", 1, []string{"GET /.logto/callback answers: it ends a sign-in", "logto_auth for api.test:443, path /.logto/*"}},
		{"https://api.test/.logto/callback", "POST", 1, []string{"POST /.logto/callback answers: 405, the endpoint takes GET"}},
	} {
		t.Run(test.method+" "+test.address, func(t *testing.T) {
			tell(t, "opaque", ask(test.address, test.method), test.code, test.want...)
		})
	}
	t.Run("over plain http", func(t *testing.T) {
		plain := writeCaddyfile(t, m.text("http://plain.test {\nlogto_auth {\nendpoint TENANT\nSIGN_IN\n}\n}\n"))
		tell(t, "opaque", []string{"explain", "--config", plain, "--url", "http://plain.test/"}, 1, "signed in for: 400, nobody can sign in over plain http", "trusted_proxies")
		tell(t, "opaque", []string{"explain", "--config", plain, "--url", "http://plain.test/.logto/callback"}, 1, "answers: 400, nobody can sign in over plain http")
	})
	t.Run("all requests", func(t *testing.T) {
		tell(t, "opaque", []string{"explain", "--config", site.config}, 1, "302, sign in at", "openid offline_access profile")
	})
}

// In identity mode no token is let in, so no hint may say how to get one.
func TestHintOfASiteThatTakesSessionsOnly(t *testing.T) {
	m := newMembers(t, signInSites)
	caddyfile := m.text(signInSites)
	for name, token := range map[string]string{
		"for an API": m.tenant.Token(devtenant.TokenRequest{Resource: testAPI}),
		"expired":    m.tenant.Token(devtenant.TokenRequest{Resource: testAPI, ExpiresIn: -1e12}),
		"opaque":     m.tenant.OpaqueToken(),
		"ID token":   m.tenant.IDToken(alice, testApp),
	} {
		t.Run(name, func(t *testing.T) {
			before := len(m.Logs())
			answer := m.Get("/", caddytest.Header("Host", "identity.test"), caddytest.Bearer(token))
			said := explainCaddyfile(t, caddyfile, token, "https://identity.test/", "")
			if answer.StatusCode != said.Handlers[0].Status {
				t.Errorf("the site answers %d, explain says %d", answer.StatusCode, said.Handlers[0].Status)
			}
			for _, check := range said.Handlers[0].Checks {
				if strings.Contains(check.Hint, "resource") || strings.Contains(check.Hint, "the client must") {
					t.Errorf("%s: %s", check.Check, check.Hint)
				}
			}
			const want = "takes sessions only, no tokens"
			if !strings.Contains(said.Handlers[0].Hint, want) {
				t.Errorf("explain says %q", said.Handlers[0].Hint)
			}
			lines := logLines(t, m.Logs()[before:], refusalMessage)
			if len(lines) != 1 {
				t.Fatalf("%d lines", len(lines))
			}
			for _, line := range lines {
				if !strings.Contains(fmt.Sprint(line["hint"]), want) {
					t.Errorf("the log says %q", line["hint"])
				}
			}
		})
	}
}

// writeCaddyfile writes a config to a file.
func writeCaddyfile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
