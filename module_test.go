package logtoauth

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// visit is a request and the answer that it must get.
type visit struct {
	name    string
	target  string
	options []caddytest.Option
	status  int
	body    string
}

func visitAll(t *testing.T, server *caddytest.Server, visits []visit) {
	t.Helper()
	for _, v := range visits {
		got := server.Get(v.target, v.options...)
		if got.StatusCode != v.status || got.Body != v.body {
			t.Errorf("%s: %d %q, not %d %q", v.name, got.StatusCode, got.Body, v.status, v.body)
		}
	}
}

// Several logto_auth on one request: every one must admit, and the last one
// decides what placeholders and logto_require see.
func TestSeveralHandlersOnOneRequest(t *testing.T) {
	server, tenant := serve(t, `
http:// {
	logto_auth /admin* {
		audience https://admin.example.com
		realm admin
	}
	logto_auth /guests* {
		audience https://api.example.com
	}
	logto_auth {
		audience https://api.example.com
		optional
		token_from cookie session
		token_from header
	}
	logto_require /members*
	respond "{http.auth.user.id}|{http.auth.user.type}|{http.auth.logto.reason}"
}
http://cleared.example {
	route {
		logto_auth {
			audience https://api.example.com
		}
		logto_auth {
			audience https://api.example.com
			optional
			token_from cookie session
		}
		logto_require /members*
		respond "{http.auth.user.id}{http.auth.user.claims.sub}{http.auth.user.info}|{http.auth.user.type}"
	}
}
http://replaced.example {
	route {
		logto_auth {
			audience https://api.example.com
		}
		logto_auth {
			audience https://api.example.com
			token_from cookie session
		}
		respond "{http.auth.user.id}"
	}
}
http://refused.example {
	route {
		logto_auth {
			audience https://api.example.com
		}
		logto_auth {
			audience https://other.example.com
			errors handle_errors
		}
		respond "hello"
	}
	handle_errors {
		respond "{http.auth.user.id}|{http.auth.logto.reason}" {err.status_code}
	}
}
http://reported.example {
	route {
		logto_auth {
			audience https://other.example.com
			report_only
		}
		logto_auth {
			audience https://api.example.com
			optional
		}
		respond "{http.auth.user.id}|{http.auth.logto.reason}"
	}
}
`)
	host := func(name string) caddytest.Option { return caddytest.Header("Host", name+".example") }
	token := func(user string, audience ...string) string {
		return tenant.Token(devtenant.TokenRequest{Subject: user, Resource: testAPI, Extra: map[string]any{"aud": audience}})
	}
	user1 := token("user-1", testAPI)
	admin := token("admin", testAPI, "https://admin.example.com")
	cookie := func(token string) caddytest.Option { return caddytest.Header("Cookie", "session="+token) }
	visitAll(t, server, []visit{
		{"neither matcher", "/", options(caddytest.Bearer(user1)), 200, "user-1|user|"},
		{"both admit", "/admin", options(caddytest.Bearer(admin)), 200, "admin|user|"},
		{"the first refuses", "/admin", options(caddytest.Bearer(user1)), 403, refusedWith("Invalid audience")},
		{"the first refuses, the last would take no token", "/admin", nil, 401, refusedWith("Authorization header is missing")},
		{"only the last sees the cookie's user", "/guests", options(caddytest.Bearer(user1), cookie(token("user-2", testAPI))), 200, "user-2|user|"},
		{"the last refuses what the first admits", "/guests", options(caddytest.Bearer(user1), cookie("x.y.z")), 401, refusedWith("Invalid token")},

		{"an anonymous last one clears the user", "/", options(host("cleared"), caddytest.Bearer(user1)), 200, "|anonymous"},
		{"an anonymous last one clears the user for logto_require", "/members", options(host("cleared"), caddytest.Bearer(user1)), 401, refusedWith("Authorization header is missing")},
		{"the last one replaces the user", "/", options(host("replaced"), caddytest.Bearer(user1), cookie(token("user-2", testAPI))), 200, "user-2"},
		{"a refusing last one clears the user", "/", options(host("refused"), caddytest.Bearer(user1)), 403, "|wrong_audience"},
		{"a report is cleared by the last one", "/", options(host("reported"), caddytest.Bearer(user1)), 200, "user-1|"},
	})
}

func TestSeveralIssuersAndTenants(t *testing.T) {
	first := devtenanttest.NewServer(t, devtenant.Options{Issuer: "https://tenant.example/oidc"})
	second := devtenanttest.NewServer(t, devtenant.Options{})
	server := caddytest.Start(t, fmt.Sprintf(`
http://domains.example {
	logto_auth {
		issuer https://tenant.example/oidc https://auth.example.com/oidc
		jwks_uri %[1]s/oidc/jwks
		audience https://api.example.com
	}
	respond {http.auth.user.issuer}
}
http://internal.example {
	logto_auth {
		endpoint %[1]s/
		issuer https://tenant.example/oidc
		audience https://api.example.com
	}
	respond {http.auth.user.issuer}
}
http://second.example {
	logto_auth {
		endpoint %[2]s/oidc
		audience https://api.example.com
	}
	respond {http.auth.user.issuer}
}
`, first.URL, second.URL))
	host := func(name string) caddytest.Option { return caddytest.Header("Host", name+".example") }
	issued := func(tenant *devtenanttest.Server, issuer string) caddytest.Option {
		return caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Resource: testAPI, Issuer: issuer}))
	}
	invalid := refusedWith("Invalid token")
	visitAll(t, server, []visit{
		{"the tenant's domain", "/", options(host("domains"), issued(first, "")), 200, "https://tenant.example/oidc"},
		{"its custom domain", "/", options(host("domains"), issued(first, "https://auth.example.com/oidc")), 200, "https://auth.example.com/oidc"},
		{"a domain that is not listed", "/", options(host("domains"), issued(first, "https://evil.example/oidc")), 401, invalid},
		{"another tenant's key under a listed issuer", "/", options(host("domains"), issued(second, "https://tenant.example/oidc")), 401, invalid},
		{"another tenant", "/", options(host("domains"), issued(second, "")), 401, invalid},
		{"an internal endpoint", "/", options(host("internal"), issued(first, "")), 200, "https://tenant.example/oidc"},
		{"an internal endpoint's own name", "/", options(host("internal"), issued(first, first.URL+"/oidc")), 401, invalid},
		{"an internal endpoint, not its custom domain", "/", options(host("internal"), issued(first, "https://auth.example.com/oidc")), 401, invalid},
		{"the second tenant's site", "/", options(host("second"), issued(second, "")), 200, second.Issuer()},
		{"the first tenant's token at the second's site", "/", options(host("second"), issued(first, "")), 401, invalid},
		{"the first tenant's token with the second's issuer", "/", options(host("second"), issued(first, second.Issuer())), 401, invalid},
	})
}

// The organization that is asked for is the one that later handlers act on.
func TestOrganizationOfTheRequest(t *testing.T) {
	server, tenant := serve(t, `
http://*.tenants.example {
	logto_auth {
		organization {labels.2}
	}
	respond "{labels.2} {http.auth.user.organization_id}"
}
http://header.example {
	logto_auth {
		audience https://api.example.com
		organization {header.X-Org}
	}
	respond "{header.X-Org} {http.auth.user.organization_id} [{header.Connection}]"
}
http://path.example {
	logto_auth /orgs/* {
		audience https://api.example.com
		organization {http.request.uri.path.1}
	}
	respond "{http.request.uri.path.1} {http.auth.user.organization_id}"
}
http://map.example {
	map {header.X-Plan} {org} {
		gold org-1
		~(.*)-echo "${1}"
		none ""
	}
	logto_auth {
		organization {org}
	}
	respond "{org} {http.auth.user.organization_id}"
}
http://require.example {
	logto_auth {
		audience https://api.example.com
		organization any
	}
	logto_require {
		organization {header.X-Org}
	}
	respond "{header.X-Org} {http.auth.user.organization_id}"
}
http://any.example {
	logto_auth {
		organization any
	}
	respond "{http.auth.user.organization_id}"
}
`)
	host := func(name string) caddytest.Option { return caddytest.Header("Host", name+".example") }
	header := func(value string) caddytest.Option { return caddytest.Header("X-Org", value) }
	plan := func(value string) caddytest.Option { return caddytest.Header("X-Plan", value) }
	organization := func(id string) caddytest.Option {
		return caddytest.Bearer(tenant.Token(devtenant.TokenRequest{OrganizationID: id}))
	}
	api := func(id string) caddytest.Option {
		return caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Resource: testAPI, OrganizationID: id}))
	}
	mismatch := refusedWith("Organization ID mismatch")
	t.Setenv("LOGTO_AUTH_TEST_ORG", "org-1")
	visitAll(t, server, []visit{
		{"subdomain", "/", options(host("org-1.tenants"), organization("org-1")), 200, "org-1 org-1"},
		{"another subdomain", "/", options(host("org-2.tenants"), organization("org-1")), 403, mismatch},
		{"subdomain called like a keyword", "/", options(host("any.tenants"), organization("org-1")), 403, mismatch},

		{"header", "/", options(host("header"), header("org-1"), api("org-1")), 200, "org-1 org-1 []"},
		{"header and Connection", "/", options(host("header"), header("org-1"), api("org-1"), caddytest.Header("Connection", "X-Org")), 200, "org-1 org-1 []"},
		{"another header", "/", options(host("header"), header("org-2"), api("org-1")), 403, mismatch},
		{"no header", "/", options(host("header"), api("org-1")), 403, mismatch},
		{"empty header", "/", options(host("header"), header(""), api("org-1")), 403, mismatch},
		{"header called like a keyword", "/", options(host("header"), header("any"), api("org-1")), 403, mismatch},
		{"header that asks not to check", "/", options(host("header"), header("ignore"), api("org-1")), 403, mismatch},
		{"two headers", "/", options(host("header"), header("org-1"), header("org-2"), api("org-1")), 403, mismatch},
		{"header that is a placeholder", "/", options(host("header"), header("{env.LOGTO_AUTH_TEST_ORG}"), api("org-1")), 403, mismatch},
		{"header that is a placeholder and so is the organization", "/", options(host("header"), header("{env.LOGTO_AUTH_TEST_ORG}"), api("{env.LOGTO_AUTH_TEST_ORG}")), 200, "{env.LOGTO_AUTH_TEST_ORG} {env.LOGTO_AUTH_TEST_ORG} []"},
		{"header and a global token", "/", options(host("header"), header("org-1"), caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Resource: testAPI}))), 403, mismatch},

		{"path", "/orgs/org-1/x", options(host("path"), api("org-1")), 200, "org-1 org-1"},
		{"another path", "/orgs/org-2/x", options(host("path"), api("org-1")), 403, mismatch},
		{"path that climbs", "/orgs/org-1/../org-2/x", options(host("path"), api("org-1")), 403, mismatch},
		{"path that climbs, encoded", "/orgs/org-1/%2e%2e/org-2/x", options(host("path"), api("org-1")), 403, mismatch},
		{"path with an encoded slash", "/orgs/org-1%2f..%2forg-2", options(host("path"), api("org-1")), 403, mismatch},
		{"path with an empty segment", "/orgs//org-2/org-1", options(host("path"), api("org-1")), 403, mismatch},
		{"path that stops short", "/orgs/", options(host("path"), api("org-1")), 403, mismatch},

		{"map", "/", options(host("map"), plan("gold"), organization("org-1")), 200, "org-1 org-1"},
		{"map, another organization", "/", options(host("map"), plan("gold"), organization("org-2")), 403, mismatch},
		{"map without a match", "/", options(host("map"), plan("lead"), organization("org-1")), 403, mismatch},
		{"map to nothing", "/", options(host("map"), plan("none"), organization("org-1")), 403, mismatch},
		{"map of what the client says", "/", options(host("map"), plan("{env.LOGTO_AUTH_TEST_ORG}-echo"), organization("org-1")), 403, mismatch},
		{"map beside a path that climbs", "/a/%2e%2e/b", options(host("map"), plan("gold"), organization("org-1")), 403, mismatch},

		{"logto_require", "/", options(host("require"), header("org-1"), api("org-1")), 200, "org-1 org-1"},
		{"logto_require, another one", "/", options(host("require"), header("org-2"), api("org-1")), 403, mismatch},
		{"logto_require without the header", "/", options(host("require"), api("org-1")), 403, mismatch},

		{"any", "/", options(host("any"), organization("org-9")), 200, "org-9"},
		{"any, but no path", "/", options(host("any"), organization("../admin")), 403, mismatch},
	})
}

// What a later handler is told about an admitted client.
func TestPlaceholdersReachLaterHandlers(t *testing.T) {
	t.Setenv("LOGTO_AUTH_TEST_SECRET", "s3cret")
	server, tenant := serve(t, `
http:// {
	logto_auth {
		audience https://api.example.com
		organization ignore
		optional
	}
	respond <<TEXT
		{http.auth.user.id}
		{http.auth.user.client_id}
		{http.auth.user.organization_id}
		{http.auth.user.scopes}
		{http.auth.user.type}
		{http.auth.user.actor}
		{http.auth.user.claims.nested.list.1}
		{http.auth.user.claims.dotted\.name}
		{http.auth.user.claims.evil}
		{http.auth.user.claims.nested}
		{http.auth.user.claims.control}
		{http.auth.user.claims.none}
		{http.auth.user.info}
		{http.vars.logto_auth}
		TEXT
}
`)
	token := tenant.Token(devtenant.TokenRequest{
		Subject: "user-1", ClientID: "app-1", Resource: testAPI, OrganizationID: "org-1", Scope: "read write", Actor: "actor-1",
		Extra: map[string]any{
			"nested": map[string]any{"list": []any{"a", 2}}, "dotted.name": "d", "evil": "{env.LOGTO_AUTH_TEST_SECRET}", "control": "a\r\nb",
		},
	})
	want := strings.Join([]string{
		"user-1", "app-1", "org-1", "read write", "user", "actor-1", "2", "d", "{env.LOGTO_AUTH_TEST_SECRET}", `{"list":["a",2]}`, "a\ufffd\ufffdb", "",
		`{"sub":"user-1","clientId":"app-1","organizationId":"org-1","scopes":["read","write"],"audience":["https://api.example.com"]}`, "logto_auth",
	}, "\n")
	if got := server.Get("/", caddytest.Bearer(token)); got.Body != want {
		t.Errorf("admitted: %s\nnot %s", got.Body, want)
	}
	want = strings.Repeat("\n", 4) + "anonymous" + strings.Repeat("\n", 9) + "logto_auth"
	if got := server.Get("/"); got.Body != want {
		t.Errorf("anonymous: %q\nnot %q", got.Body, want)
	}
}

// whoami is a handler of somebody else's, in Go, that asks who the client is.
type whoami struct{}

func (whoami) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.logto_test_whoami", New: func() caddy.Module { return new(whoami) }}
}

func (whoami) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	info, ok := FromContext(r.Context())
	if !ok {
		_, err := io.WriteString(w, "nobody")
		return err
	}
	role, _ := info.Claim("role")
	return json.NewEncoder(w).Encode([]any{info.Subject, info.ClientID, info.OrganizationID, info.Scopes, info.IsApp(), role})
}

func init() {
	caddy.RegisterModule(whoami{})
	httpcaddyfile.RegisterHandlerDirective("logto_test_whoami", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return whoami{}, nil
	})
}

func TestFromContextInALaterHandler(t *testing.T) {
	server, tenant := serve(t, `
http:// {
	route {
		logto_auth {
			organization any
			optional
		}
		logto_test_whoami
	}
}
http://reported.example {
	route {
		logto_auth {
			organization org-9
			report_only
		}
		logto_test_whoami
	}
}
http://unprotected.example {
	route {
		logto_test_whoami
	}
}
http://errors.example {
	route {
		logto_auth {
			organization org-9
			errors handle_errors
		}
	}
	handle_errors {
		route {
			logto_test_whoami
		}
	}
}
http://denied.example {
	route {
		logto_auth {
			organization org-1
			errors handle_errors
		}
		logto_require admin
	}
	handle_errors {
		route {
			logto_test_whoami
		}
	}
}
`)
	host := func(name string) caddytest.Option { return caddytest.Header("Host", name+".example") }
	token := caddytest.Bearer(tenant.Token(devtenant.TokenRequest{
		Subject: "user-1", ClientID: "app-1", OrganizationID: "org-1", Scope: "read", Extra: map[string]any{"role": "admin"},
	}))
	const who = `["user-1","app-1","org-1",["read"],false,"admin"]` + "\n"
	visitAll(t, server, []visit{
		{"admitted", "/", options(token), 200, who},
		{"anonymous", "/", nil, 200, "nobody"},
		{"a refusal that report_only lets pass", "/", options(host("reported"), token), 200, "nobody"},
		{"no logto_auth", "/", options(host("unprotected"), token), 200, "nobody"},
		{"refused, in an error route", "/", options(host("errors"), token), 200, "nobody"},
		{"admitted, then refused by logto_require", "/", options(host("denied"), token), 200, who},
	})
}

// The log that operators look at first names the client.
func TestAccessLogNamesTheUser(t *testing.T) {
	server, tenant := serve(t, `
http:// {
	log
	logto_auth {
		audience https://api.example.com
		scopes read
	}
	logto_require /admin* admin
	respond hello
}
`)
	token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", Resource: testAPI, Scope: "read"})
	poor := tenant.Token(devtenant.TokenRequest{Subject: "user-2", Resource: testAPI})
	for _, test := range []struct{ path, token, user, reason string }{
		{"/", token, "user-1", ""},
		{"/admin", token, "user-1", "insufficient_scope"},
		{"/", poor, "", "insufficient_scope"},
	} {
		before := len(server.Logs())
		// Caddy writes the line before it closes the connection.
		server.Raw("GET " + test.path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + test.token + "\r\n\r\n")
		lines := logLines(t, server.Logs()[before:], "handled request")
		if len(lines) != 1 {
			t.Fatalf("%s: there are %d lines", test.path, len(lines))
		}
		if user, _ := lines[0]["user_id"].(string); user != test.user {
			t.Errorf("%s: the user is %q, not %q", test.path, user, test.user)
		}
		if reason, _ := lines[0]["logto_reason"].(string); reason != test.reason {
			t.Errorf("%s: the reason is %q, not %q", test.path, reason, test.reason)
		}
	}
}

// Tokens of a real Logto, through a running Caddy that reads its keys from a
// file.
func TestCapturedTokensThroughCaddy(t *testing.T) {
	keys, err := filepath.Abs(filepath.Join("testdata", "logto", "jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	server := caddytest.Start(t, `
(keys) {
	issuer http://localhost:3001/oidc
	jwks_file `+keys+`
	audience https://longlived.example.com
}
http://global.example {
	logto_auth {
		import keys
		scopes read:products
	}
	logto_require /orders* write:orders
	respond "{http.auth.user.id} {http.auth.user.type} {http.auth.user.scopes}"
}
http://acme.example {
	logto_auth {
		import keys
		organization 3fmepazdyzhi
	}
	logto_require /orders* write:orders
	respond "{http.auth.user.id} {http.auth.user.type} {http.auth.user.organization_id}"
}
`)
	tokens := capturedTokens(t)
	bearer := func(name string) caddytest.Option { return caddytest.Bearer(tokens[name].Token) }
	global, acme := caddytest.Header("Host", "global.example"), caddytest.Header("Host", "acme.example")
	visitAll(t, server, []visit{
		{"machine", "/", options(global, bearer("longlived-m2m-global-api")), 200, "fli25dl6v8abam5izzvqt app read:products write:orders api:read api:write"},
		{"machine, orders", "/orders", options(global, bearer("longlived-m2m-global-api")), 200, "fli25dl6v8abam5izzvqt app read:products write:orders api:read api:write"},
		{"machine without scopes", "/", options(global, bearer("longlived-m2m-noscope")), 403, refusedWith("Insufficient scope")},
		{"user", "/", options(global, bearer("longlived-user-global-api")), 200, "lqol6yjl1lkv user read:products api:read"},
		{"user, orders", "/orders", options(global, bearer("longlived-user-global-api")), 403, refusedWith("Insufficient scope")},
		{"organization at the global site", "/", options(global, bearer("longlived-user-org-api")), 403, refusedWith("Organization token not accepted")},
		{"user of the organization", "/", options(acme, bearer("longlived-user-org-api")), 200, "lqol6yjl1lkv user 3fmepazdyzhi"},
		{"user of the organization, orders", "/orders", options(acme, bearer("longlived-user-org-api")), 200, "lqol6yjl1lkv user 3fmepazdyzhi"},
		{"machine of the organization", "/", options(acme, bearer("longlived-m2m-org-api")), 200, "fli25dl6v8abam5izzvqt app 3fmepazdyzhi"},
		{"machine of the organization, orders", "/orders", options(acme, bearer("longlived-m2m-org-api")), 403, refusedWith("Insufficient organization-level API scopes")},
		{"global user at the organization's site", "/", options(acme, bearer("longlived-user-global-api")), 403, refusedWith("Organization ID mismatch")},
		{"ID token", "/", options(global, bearer("user-id-token")), 401, refusedWith("Invalid token")},
		{"opaque token", "/", options(global, bearer("user-authcode-initial-access-token")), 401, refusedWith("Invalid token")},
	})
}
