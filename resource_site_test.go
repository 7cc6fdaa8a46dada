package logtoauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

const wellKnown = "/.well-known/oauth-protected-resource"

func TestResourceMetadata(t *testing.T) {
	for _, test := range []struct {
		name, site, path, document string // ISSUER stands for the tenant's
	}{
		{
			"by default from the audience",
			`logto_auth {
				endpoint ENDPOINT
				audience https://api.example.com/
				resource_metadata
			}`,
			wellKnown,
			`{"resource":"https://api.example.com/","authorization_servers":["ISSUER"],"bearer_methods_supported":["header"]}`,
		},
		{
			"every line",
			`logto_auth {
				endpoint ENDPOINT
				audience urn:orders
				scopes read:orders offline_access
				token_from query access_token
				token_from header
				token_from cookie session
				resource_metadata {
					resource https://api.example.com/mcp
					scopes read:orders write:orders offline_access read:orders
					name "Orders & <more>"
					documentation https://docs.example.com/orders?v=1#top
				}
			}`,
			wellKnown + "/mcp",
			`{"resource":"https://api.example.com/mcp","authorization_servers":["ISSUER"],` +
				`"scopes_supported":["read:orders","write:orders"],"bearer_methods_supported":["query","header"],` +
				`"resource_name":"Orders \u0026 \u003cmore\u003e","resource_documentation":"https://docs.example.com/orders?v=1#top"}`,
		},
		{
			"outside of the matcher, of a path of its own, beside others",
			`logto_auth /mcp* {
				endpoint ENDPOINT
				audience https://api.example.com/a/b
				any_scope read write
				scopes admin
				resource_metadata
			}
			logto_auth {
				endpoint ENDPOINT
				audience https://api.example.com
			}`,
			wellKnown + "/a/b",
			`{"resource":"https://api.example.com/a/b","authorization_servers":["ISSUER"],` +
				`"scopes_supported":["admin","read","write"],"bearer_methods_supported":["header"]}`,
		},
		{
			"configured issuers",
			`logto_auth {
				endpoint ENDPOINT
				issuer https://auth.example.com/oidc ISSUER
				audience https://api.example.com
				resource_metadata
			}`,
			wellKnown,
			`{"resource":"https://api.example.com","authorization_servers":["https://auth.example.com/oidc","ISSUER"],"bearer_methods_supported":["header"]}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
			fill := strings.NewReplacer("ENDPOINT", tenant.URL, "ISSUER", tenant.Issuer())
			s := caddytest.Start(t, ":80 {\n"+fill.Replace(test.site)+"\nrespond hello\n}")
			want := fill.Replace(test.document)
			for _, path := range []string{test.path, test.path + "/", test.path + "?resource=https://evil.example.com"} {
				answer := s.Get(path, caddytest.Header("Host", "evil.example.com"), caddytest.Header("X-Forwarded-Host", "evil.example.com"),
					caddytest.Header("Origin", "https://evil.example.com"))
				if answer.StatusCode != http.StatusOK || answer.Body != want {
					t.Errorf("%s: %d %s, want %s", path, answer.StatusCode, answer.Body, want)
				}
				for header, value := range map[string]string{
					"Content-Type": "application/json", "Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*", "Vary": "",
				} {
					if got := answer.Header.Get(header); got != value {
						t.Errorf("%s: %s is %q", path, header, got)
					}
				}
			}
			for _, path := range []string{test.path + "/x", test.path + "x", strings.ToUpper(test.path), wellKnown + "/other"} {
				if answer := s.Get(path); strings.Contains(answer.Body, "authorization_servers") {
					t.Errorf("%s: %d %s", path, answer.StatusCode, answer.Body)
				}
			}
		})
	}
}

func TestResourceMetadataByMethod(t *testing.T) {
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience https://api.example.com
			resource_metadata
		}
		respond hello
	}`)
	head := s.Get(wellKnown, caddytest.Method(http.MethodHead))
	if head.StatusCode != http.StatusOK || head.Body != "" || head.ContentLength < 100 {
		t.Errorf("HEAD: %d %q, length %d", head.StatusCode, head.Body, head.ContentLength)
	}
	preflight := s.Get(wellKnown, caddytest.Method(http.MethodOptions), caddytest.Header("Origin", "https://app.example.com"),
		caddytest.Header("Access-Control-Request-Method", "GET"), caddytest.Header("Access-Control-Request-Headers", "mcp-protocol-version"))
	if preflight.StatusCode != http.StatusNoContent || preflight.Header.Get("Access-Control-Allow-Origin") != "*" ||
		preflight.Header.Get("Access-Control-Allow-Headers") != "*, Authorization" {
		t.Errorf("preflight: %d %v", preflight.StatusCode, preflight.Header)
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete, "PROPFIND"} {
		answer := s.Get(wellKnown, caddytest.Method(method), caddytest.Bearer(s.alice(nil)))
		if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %d %v", method, answer.StatusCode, answer.Header)
		}
	}
}

// The document needs nothing that only the tenant knows.
func TestResourceMetadataWhileTheTenantIsDown(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{Algorithm: "ES256"})
	tenant.CloseClientConnections()
	tenant.Close()
	t.Setenv("LOGTO_TEST_ENDPOINT", tenant.URL+"/")
	for settings, want := range map[string]string{
		"endpoint " + tenant.URL:             tenant.URL + "/oidc",
		"endpoint {env.LOGTO_TEST_ENDPOINT}": tenant.URL + "/oidc",
		"endpoint " + tenant.URL + "\nissuer https://auth.example.com/oidc https://b": `https://auth.example.com/oidc","https://b`,
	} {
		s := caddytest.Start(t, `:80 {
			logto_auth {
				`+settings+`
				audience https://api.example.com
				resource_metadata
			}
			respond hello
		}`)
		answer := s.Get(wellKnown)
		if answer.StatusCode != http.StatusOK || !strings.Contains(answer.Body, `"authorization_servers":["`+want+`"]`) {
			t.Errorf("with %q: %d %s", settings, answer.StatusCode, answer.Body)
		}
	}
}

func TestChallengesLeadToTheResourceMetadata(t *testing.T) {
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience https://api.example.com
			scopes read
			realm "orders"
			resource_metadata {
				resource https://api.example.com/mcp
			}
		}
		logto_require /admin admin
		respond hello
	}`)
	const metadata = `resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp"`
	reading := s.alice(map[string]any{"scope": "read"})
	for _, test := range []struct {
		name, path, authorization string
		status                    int
		challenge                 string
	}{
		{"no token", "/", "", 401, `Bearer realm="orders", scope="read", ` + metadata},
		{"another scheme", "/", "Basic YTpi", 401, `Bearer realm="orders", scope="read", ` + metadata},
		{"bad token", "/", "Bearer a.b.c", 401, `Bearer realm="orders", error="invalid_token", error_description="The token is not a well-formed JWT access token", scope="read", ` + metadata},
		{"wrong audience", "/", "Bearer " + s.tenant.Token(devtenant.TokenRequest{Resource: "https://other.example.com"}), 401, `Bearer realm="orders", error="invalid_token", scope="read", ` + metadata},
		{"too few scopes", "/", "Bearer " + s.alice(nil), 403, `Bearer realm="orders", error="insufficient_scope", scope="read", ` + metadata},
		{"too few scopes for a route", "/admin", "Bearer " + reading, 403, `Bearer realm="orders", error="insufficient_scope", scope="read admin", ` + metadata},
		{"several tokens", "/", "Bearer a", 400, `Bearer realm="orders", error="invalid_request"`},
	} {
		var options []caddytest.Option
		if test.authorization != "" {
			options = append(options, caddytest.Header("Authorization", test.authorization))
		}
		if test.status == http.StatusBadRequest {
			options = append(options, caddytest.Bearer("b"))
		}
		answer := s.Get(test.path, options...)
		if got := answer.Header.Get("Www-Authenticate"); answer.StatusCode != test.status || got != test.challenge {
			t.Errorf("%s: %d %s, want %s", test.name, answer.StatusCode, got, test.challenge)
		}
	}
}

// What a Caddyfile adds by itself is written out in JSON.
func TestExtraHandlersInJSON(t *testing.T) {
	t.Setenv("LOGTO_TEST_AUDIENCE", "https://api.example.com/mcp")
	s := startSite(t, ":80 {\nrespond hello\n}")
	settings := `"endpoint":"` + s.tenant.URL + `","audiences":["{env.LOGTO_TEST_AUDIENCE}"],"forward_claims":[{"claim":"sub","header":"X-User"}],"resource_metadata":{}`
	config := func(first string) []byte {
		return []byte(`{"apps":{"http":{"servers":{"srv0":{"routes":[{"handle":[` + first + `]},
			{"match":[{"path":["/api*"]}],"handle":[{"handler":"logto_auth",` + settings + `}]},
			{"handle":[{"handler":"static_response","body":"user {http.request.header.X-User}"}]}]}}}}}`)
	}
	strip := `{"handler":"logto_strip_identity","headers":["x_user"]}`
	document := `{"handler":"logto_resource_metadata","endpoint":"` + s.tenant.URL + `/","resource":"{env.LOGTO_TEST_AUDIENCE}","scopes":["read","offline_access"],` +
		`"token_sources":[{"from":"cookie","name":"c"},{"from":"header"}]}`
	if err := s.LoadJSON(config(document + "," + strip)); err != nil {
		t.Fatal(err)
	}
	want := `{"resource":"https://api.example.com/mcp","authorization_servers":["` + s.tenant.URL + `/oidc"],"scopes_supported":["read"],"bearer_methods_supported":["header"]}`
	if answer := s.Get(wellKnown + "/mcp"); answer.Body != want {
		t.Errorf("metadata: %d %s, want %s", answer.StatusCode, answer.Body, want)
	}
	forged := caddytest.Header("X-User", "admin")
	for path, want := range map[string]string{"/": "user ", "/api": "user alice"} {
		token := s.tenant.Token(devtenant.TokenRequest{Subject: "alice", Resource: "https://api.example.com/mcp"})
		if answer := s.Get(path, caddytest.Bearer(token), forged); answer.Body != want {
			t.Errorf("%s: %d %s, want %s", path, answer.StatusCode, answer.Body, want)
		}
	}
}

func TestMistakesInResourceMetadataInJSON(t *testing.T) {
	s := startSite(t, ":80 {\nrespond hello\n}")
	for settings, want := range map[string]string{
		`"resource":"https://a"`:                                                        "endpoint: no tenant is named",
		`"endpoint":"https://t"`:                                                        "resource: the URL is not absolute",
		`"endpoint":"https://t","resource":"http://a.example"`:                          "resource: http://a.example is plain http",
		`"endpoint":"{env.LOGTO_TEST_UNSET}","resource":"https://a"`:                    "LOGTO_TEST_UNSET",
		`"issuers":["https://t?x"],"resource":"https://a"`:                              "issuer: https://t?x has a query",
		`"endpoint":"https://t","resource":"https://a","scopes":["a b"]`:                `scopes: "a b" holds a space`,
		`"endpoint":"https://t","resource":"https://a","documentation":"docs"`:          "documentation: the URL is not absolute",
		`"endpoint":"https://t","resource":"https://a","token_sources":[{"from":"up"}]`: "token_from: ",
		`"endpoint":"https://t","resource":"https://a","audiences":["https://a"]`:       "audiences",
	} {
		config := `{"apps":{"http":{"servers":{"srv0":{"routes":[{"handle":[{"handler":"logto_resource_metadata",` + settings + `}]}]}}}}}`
		if err := s.LoadJSON([]byte(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", settings, err, want)
		}
	}
}

func TestWarningsAreToldOnce(t *testing.T) {
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience https://api.example.com
			report_only
			resource_metadata
		}
		respond hello
	}`)
	if got := strings.Count(s.Logs(), `"setting":"report_only"`); got != 1 {
		t.Errorf("a warning was logged %d times", got)
	}
}
