package logtoauth

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// explainCaddyfileFrom asks a Caddyfile about a token, with keys from a file.
func explainCaddyfileFrom(t *testing.T, jwksFile, caddyfile, token string) *report {
	t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := explainConfig(config, token, nil, jwksFile, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// withCaddyfile is the same tenant with another config.
func (e explained) withCaddyfile(t *testing.T, caddyfile string) explained {
	t.Helper()
	e.config = filepath.Join(t.TempDir(), "Caddyfile")
	caddyfile = strings.ReplaceAll(caddyfile, "TENANT", "endpoint https://tenant.example.com\naudience "+testAPI)
	if err := os.WriteFile(e.config, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	return e
}

// A request that no site is for does not pass without a token: Caddy has
// nothing to answer it with, or is not even asked.
func TestExplainSaysThatNoSiteServesARequest(t *testing.T) {
	e := newExplained(t, "audience "+testAPI)
	token := e.tenant.Token(devtenant.TokenRequest{Resource: testAPI})
	const auth = "{\nlogto_auth {\nTENANT\n}\nrespond ok\n}\n"
	const other = "http://a.test:8080 " + auth + "http://b.test:9090 " + auth
	for _, test := range []struct {
		name, caddyfile, url string
		code                 int
		want                 string
	}{
		{"another host", other, "http://c.test:8080/", 1, "No site of this config serves http://c.test:8080. It has a.test:8080 and b.test:9090."},
		{"another port", other, "http://a.test/x", 1, "No site of this config serves http://a.test:80. It serves a.test on :8080."},
		{"the port of another site", other, "http://a.test:9090/", 1, "No site of this config serves http://a.test:9090. It serves a.test on :8080."},
		{"http instead of https", "a.test " + auth, "http://a.test/", 1, "No site of this config serves http://a.test:80. It serves a.test on :443."},
		{"a subdomain", "*.a.test:8443 " + auth, "https://a.test:8443/", 1, "No site of this config serves https://a.test:8443. It has *.a.test:8443."},
		{"an address with a path", "http://a.test/x* " + auth, "http://b.test/x", 1, "No site of this config serves http://b.test:80. It has a.test:80, path /x*."},
		{"the site", other, "http://b.test:9090/", 0, "logto_auth for b.test:9090\n"},
		{"capitals", other, "http://B.TEST:9090/", 0, "logto_auth for b.test:9090\n"},
		{"all hosts of a port", "http://:8080 " + auth, "http://any.test:8080/", 0, "logto_auth for :8080\n"},
		{"all hosts, some paths", "http://:8080 {\n@x path /x*\nlogto_auth @x {\nTENANT\n}\n}\n", "http://any.test:8080/x", 0, "logto_auth for :8080, path /x*\n"},
		{"a wildcard", "*.a.test:8443 " + auth, "https://b.a.test:8443/", 0, "logto_auth for *.a.test:8443\n"},
		{"two hosts", "http://a.test:8080, http://b.test:8080 " + auth, "http://b.test:8080/", 0, "logto_auth for a.test:8080 b.test:8080\n"},
		{"an address of its own", "http://a.test:8080 {\nbind 127.0.0.1 ::1\nlogto_auth {\nTENANT\n}\n}\n", "http://a.test:8080/", 0, "logto_auth for a.test:8080\n"},
		{"a socket file behind a proxy", "http://a.test {\nbind unix//run/caddy.sock\nlogto_auth {\nTENANT\n}\n}\n", "https://a.test/", 0, "logto_auth for a.test on unix//run/caddy.sock\n"},
		{"all hosts of a socket file", "http:// {\nbind unix//run/caddy.sock\nlogto_auth {\nTENANT\n}\n}\n", "https://a.test/", 0, "logto_auth for unix//run/caddy.sock\n"},
		{"a host within a site", "http://:8080 {\n@b host b.test\nlogto_auth @b {\nTENANT\n}\n}\n", "http://b.test:8080/", 0, "logto_auth for :8080, host b.test\n"},
		{"served without logto_auth", "http://a.test:8080 {\nrespond ok\n}\n", "http://a.test:8080/", 1, "No logto_auth and no logto_require is for this request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tell(t, token, e.withCaddyfile(t, test.caddyfile).arguments("--url", test.url), test.code, test.want)
		})
	}
}

// What a placeholder became is what the token was compared with.
func TestExplainShowsWhatPlaceholdersBecame(t *testing.T) {
	e := newExplained(t, "audience "+testAPI)
	token := e.tenant.Token(devtenant.TokenRequest{Resource: testAPI, OrganizationID: "rwheh3w247dn"})
	t.Setenv("ORGANIZATION", "from-env")
	for _, test := range []struct{ name, organization, url, want string }{
		{"a label of the host", "{http.request.host.labels.2}", "http://acme.a.test/", "FAIL  organization       rwheh3w247dn  (asked: acme, from {http.request.host.labels.2})"},
		{"as people write it", "{labels.2}", "http://acme.a.test/", "(asked: acme, from {http.request.host.labels.2})"},
		{"a part of an ID", "org-{http.request.uri.query.org}", "http://acme.a.test/?org=1", "(asked: org-1, from org-{http.request.uri.query.org})"},
		{"empty", "{http.request.uri.query.org}", "http://acme.a.test/", "(asked: none, from {http.request.uri.query.org})"},
		{"two", "org-1 {http.request.host.labels.2}", "http://acme.a.test/", "(asked: org-1 or acme, from {http.request.host.labels.2})"},
		{"of the environment", "{env.ORGANIZATION}", "http://acme.a.test/", "(asked: from-env)"},
		{"not known", "{http.request.header.X-Org}", "http://acme.a.test/", "(asked: {http.request.header.X-Org})"},
		{"not known without a URL", "{http.request.host.labels.2}", "", "(asked: {http.request.host.labels.2})"},
	} {
		t.Run(test.name, func(t *testing.T) {
			site := e.withCaddyfile(t, "http://*.a.test {\nlogto_auth {\nTENANT\norganization "+test.organization+"\n}\n}\n")
			arguments := site.arguments()
			if test.url != "" {
				arguments = site.arguments("--url", test.url)
			}
			tell(t, token, arguments, 1, test.want)
		})
	}
}

func TestExplainPrintsNoneForWhatIsEmpty(t *testing.T) {
	e := newExplained(t, "audience "+testAPI+"\nscopes read\nmax_age 1h\nclaim role admin")
	for _, test := range []struct {
		name, token string
		want        []string
	}{
		{"claims", e.tenant.Sign(nil, map[string]any{"sub": "", "iss": "", "aud": "", "scope": "", "exp": 1}), []string{
			"issuer             none\n", "sub none, client_id none\n", "from none until 1970", "age                none",
			"audience           none", "scopes             none", "required claims    role none  (asked: role admin)",
		}},
		{"header", e.tenant.Sign(map[string]any{"typ": nil, "kid": nil}, map[string]any{}), []string{"type               none", "key id             none"}},
		{"another value", e.tenant.Sign(nil, map[string]any{"role": "editor", "exp": 1}), []string{"role editor  (asked: role admin)"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := caddyCommand(t, test.token, e.arguments()...)
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			for _, want := range test.want {
				if !strings.Contains(stdout, want) && !strings.Contains(stdout, strings.TrimSuffix(want, "\n")+"  (asked") {
					t.Errorf("it does not tell %q\n%s%s", want, stdout, stderr)
				}
			}
		})
	}
}

// An organization's token at a site of an API is not one without organization.
func TestExplainShowsTheOrganizationOfEachToken(t *testing.T) {
	e := newExplained(t, "audience "+testAPI+"\norganization org-1")
	for kind, test := range map[string]struct {
		token devtenant.TokenRequest
		want  string
	}{
		"no organization":         {devtenant.TokenRequest{Resource: testAPI}, "organization       none  (asked: org-1)"},
		"an organization's token": {devtenant.TokenRequest{OrganizationID: "org-1"}, "organization       org-1 in aud only  (asked: org-1)"},
		"two organizations": {
			devtenant.TokenRequest{OrganizationID: "org-1", Extra: map[string]any{"organization_id": "org-2"}},
			"organization       org-1 and org-2  (asked: org-1)",
		},
		"not a string": {
			devtenant.TokenRequest{Resource: testAPI, Extra: map[string]any{"organization_id": []string{"org-1"}}},
			"organization       not a string  (asked: org-1)",
		},
	} {
		t.Run(kind, func(t *testing.T) { tell(t, e.tenant.Token(test.token), e.arguments(), 1, test.want) })
	}
}

// Path rules behind a rewrite see another path. Which directive that is tells
// the operator where to look.
func TestExplainNamesWhatMayChangeTheRequest(t *testing.T) {
	e := newExplained(t, "audience "+testAPI)
	token := e.tenant.Token(devtenant.TokenRequest{Resource: testAPI, Scope: "read"})
	for name, test := range map[string]struct{ lines, want string }{
		"try_files":   {"try_files {path} /index.html", "path /x* (try_files may change the request first)"},
		"rewrite":     {"rewrite * /x", "path /x* (rewrite may change the request first)"},
		"uri":         {"uri replace /a /b", "path /x* (uri may change the request first)"},
		"uri query":   {"uri query +a b", "path /x* (uri may change the request first)"},
		"two of them": {"@h header X-Old on\nrewrite @h /x\ntry_files {path} /index.html", "path /x* (rewrite or try_files may change the request first)"},
	} {
		t.Run(name, func(t *testing.T) {
			site := e.withCaddyfile(t, "http://a.test {\n"+test.lines+"\nlogto_auth {\nTENANT\n}\nlogto_require /x* read\nrespond ok\n}\n")
			tell(t, token, site.arguments("--url", "http://a.test/x"), 0, "not known here: whether the request matches "+test.want)
		})
	}
	t.Run("method", func(t *testing.T) {
		site := e.withCaddyfile(t, "http://a.test {\nmethod POST\nlogto_auth {\nTENANT\n}\n@g method GET\nlogto_require @g read\nlogto_require /x* read\nrespond ok\n}\n")
		tell(t, token, site.arguments("--url", "http://a.test/x"), 0,
			"not known here: whether the request matches method GET (method may change the request first)", "logto_require for a.test:80, path /x*\n  ok    scopes             read\n  => admits")
	})
	t.Run("handle_path", func(t *testing.T) {
		site := e.withCaddyfile(t, "http://a.test {\nhandle_path /api/* {\nlogto_auth {\nTENANT\n}\nlogto_require /x* read\nrespond ok\n}\n}\n")
		tell(t, token, site.arguments("--url", "http://a.test/api/x"), 0,
			"not known here: whether the request matches path /x* (handle_path or uri may change the request first)")
	})
	t.Run("the method stays", func(t *testing.T) {
		site := e.withCaddyfile(t, "http://a.test {\nrewrite * /x\nlogto_auth {\nTENANT\n}\n@w method POST\nlogto_require @w write\nrespond ok\n}\n")
		tell(t, token, site.arguments("--url", "http://a.test/x"), 0, "The token is admitted.")
		tell(t, token, site.arguments("--url", "http://a.test/x", "--method", "POST"), 1, "logto_require for a.test:80, method POST\n  FAIL")
	})
	t.Run("a header is in doubt anyway", func(t *testing.T) {
		site := e.withCaddyfile(t, "http://a.test {\nrewrite * /x\n@h header X-Tag on\nlogto_auth {\nTENANT\n}\nlogto_require @h read\nrespond ok\n}\n")
		tell(t, token, site.arguments("--url", "http://a.test/x"), 0, "not known here: whether the request matches header X-Tag on\n")
	})
}

// The command has no keys where Caddy may have stored some.
func TestExplainSaysThatACaddyMayHaveStoredKeys(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	token := tenant.Token(devtenant.TokenRequest{Resource: testAPI})
	tenant.SetFault(devtenant.Down)
	config := filepath.Join(t.TempDir(), "Caddyfile")
	caddyfile := fmt.Sprintf("http://a.test {\nlogto_auth {\nendpoint %s\naudience %s\n}\n}\n", tenant.URL, testAPI)
	if err := os.WriteFile(config, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	tell(t, token, []string{"explain", "--config", config}, 1, "503 keys_unavailable", "nothing answers there",
		"a Caddy that is running, or has run, may have stored keys (max_stale) and admit the token")
}
