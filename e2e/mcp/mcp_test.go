//go:build e2e

// Package mcp tests resource metadata with the official MCP SDK: its client
// meets a 401, finds the tenant by itself, and calls a tool of a server that
// knows nothing of tokens. Run it with `make e2e`.
package mcp

import (
	"encoding/json"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	_ "github.com/caddy-logto/caddy-logto-auth"
	"github.com/caddy-logto/caddy-logto-auth/e2e/internal/npm"
	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

const (
	clientID     = "agent"
	clientSecret = "agent-secret"
	wellKnown    = "/.well-known/oauth-protected-resource"
)

// protect starts the SDK's server behind Caddy, with settings of logto_auth
// and directives after it, and returns the address of the MCP endpoint.
func protect(t *testing.T, tenant *devtenanttest.Server, path, settings, directives string) string {
	t.Helper()
	server := npm.Start(t, "server.mjs")
	// A resource is known by its address, and Caddy's is known only when it
	// runs with that resource: so something stands in front.
	var caddy *url.URL
	front := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(caddy)
			r.Out.Host = r.In.Host
		},
	})
	t.Cleanup(front.Close)
	resource := front.URL + path
	tenant.RegisterClient(clientID, clientSecret, devtenant.Permission{Resource: resource, Scopes: []string{"mcp:tools", "mcp:session"}})
	s := caddytest.Start(t, `:80 {
		logto_auth {
			endpoint `+tenant.URL+`
			audience `+resource+`
			resource_metadata
			forward_claim sub X-User
			forward_claim scope X-Scopes
			strip_token
			`+settings+`
		}
		`+directives+`
		reverse_proxy `+server.ReadLine(t)+` {
			flush_interval -1
		}
	}`)
	var err error
	if caddy, err = url.Parse(s.URL); err != nil {
		t.Fatal(err)
	}
	return resource
}

// report is what client.mjs prints.
type report struct {
	Tools    []string `json:"tools"`
	Answer   string   `json:"answer"`
	Error    string   `json:"error"`
	Requests []string `json:"requests"`
}

func call(t *testing.T, resource, issuer string) report {
	t.Helper()
	client := npm.Start(t, "client.mjs", resource, clientID, clientSecret, issuer)
	var got report
	if err := json.Unmarshal([]byte(client.ReadLine(t)), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// begins fails unless these are the first requests.
func (r report) begins(t *testing.T, want ...string) {
	t.Helper()
	if len(r.Requests) < len(want) || !slices.Equal(r.Requests[:len(want)], want) {
		t.Errorf("requests:\n%s\nwant first:\n%s", strings.Join(r.Requests, "\n"), strings.Join(want, "\n"))
	}
}

func TestClientFindsTheTenantByItself(t *testing.T) {
	for _, path := range []string{"/mcp", "/", "/a/b"} {
		t.Run(path, func(t *testing.T) {
			tenant := devtenanttest.NewServer(t, devtenant.Options{})
			resource := protect(t, tenant, path, "scopes mcp:tools", "")
			got := call(t, resource, tenant.Issuer())
			if got.Error != "" || !slices.Equal(got.Tools, []string{"whoami"}) || got.Answer != `{"user":"agent","scopes":"mcp:tools"}` {
				t.Errorf("error %q, tools %q, answer %s", got.Error, got.Tools, got.Answer)
			}
			got.begins(
				t,
				"POST "+path+" 401",
				"GET "+wellKnown+strings.TrimSuffix(path, "/")+" 200",
				"GET /.well-known/oauth-authorization-server/oidc 404",
				"GET /.well-known/openid-configuration/oidc 404",
				"GET /oidc/.well-known/openid-configuration 200",
				"POST /oidc/token 200",
				"POST "+path+" 200",
			)
		})
	}
}

// A refusal for missing scopes names them all, so that the client can ask for
// a better token and go on.
func TestClientAsksForTheScopesOfARoute(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	resource := protect(t, tenant, "/mcp", "scopes mcp:tools", `@session header Mcp-Session-Id *
		logto_require @session mcp:session`)
	got := call(t, resource, tenant.Issuer())
	if got.Error != "" || got.Answer != `{"user":"agent","scopes":"mcp:tools mcp:session"}` {
		t.Errorf("error %q, answer %s, requests:\n%s", got.Error, got.Answer, strings.Join(got.Requests, "\n"))
	}
	if !slices.Contains(got.Requests, "POST /mcp 403") {
		t.Errorf("no request was refused:\n%s", strings.Join(got.Requests, "\n"))
	}
}

func TestClientWithoutTheScopeIsRefused(t *testing.T) {
	tenant := devtenanttest.NewServer(t, devtenant.Options{})
	resource := protect(t, tenant, "/mcp", "scopes mcp:admin", "")
	got := call(t, resource, tenant.Issuer())
	if !strings.Contains(got.Error, "403") || got.Answer != "" {
		t.Errorf("error %q, answer %s", got.Error, got.Answer)
	}
}
