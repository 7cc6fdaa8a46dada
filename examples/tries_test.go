package examples_test

import (
	"net/http"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

const (
	missingToken  = `{"error":"Authorization header is missing"}`
	invalidToken  = `{"error":"Invalid token"}`
	wrongTenant   = `{"error":"Organization ID mismatch"}`
	missingScopes = `{"error":"Insufficient scope"}`
)

// user asks for a user's token for a resource.
func user(id, resource, scope string) *devtenant.TokenRequest {
	return &devtenant.TokenRequest{Subject: id, ClientID: "spa", Resource: resource, Scope: scope}
}

// member asks for a user's token for the API, in an organization.
func member(organization string) *devtenant.TokenRequest {
	return &devtenant.TokenRequest{Subject: "alice", ClientID: "spa", Resource: "https://api.example.com", OrganizationID: organization}
}

var staticSite = []try{
	{name: "public", target: "https://docs.example.com/robots.txt", status: 200, body: "Disallow"},
	{name: "no token", target: "https://docs.example.com/guide", status: 401, body: missingToken},
	{name: "no token for a page that does not exist", target: "https://docs.example.com/nothing", status: 401, body: missingToken},
	{name: "too few scopes", target: "https://docs.example.com/", token: user("alice", "https://docs.example.com", ""), status: 403, body: missingScopes},
	{name: "start page", target: "https://docs.example.com/", token: user("alice", "https://docs.example.com", "read:docs"), status: 200, body: "For readers only"},
	{name: "page by its short name", target: "https://docs.example.com/guide", token: user("alice", "https://docs.example.com", "read:docs"), status: 200, body: "The guide"},
	{name: "download without its scope", target: "https://docs.example.com/downloads/figures.txt", token: user("alice", "https://docs.example.com", "read:docs"), status: 403, body: missingScopes},
	{name: "download", target: "https://docs.example.com/downloads/figures.txt", token: user("alice", "https://docs.example.com", "read:docs read:downloads"), status: 200, body: "The figures"},
}

var forged = http.Header{"X-User": {"admin"}, "X-Acting-User": {"admin"}}

var identityHeaders = []try{
	{name: "public, with a forged identity", target: "https://api.example.com/healthz", header: forged, status: 200, body: "GET /healthz", not: "admin"},
	{name: "no token", target: "https://api.example.com/orders", header: forged, status: 401, body: missingToken},
	{
		name: "user", target: "https://api.example.com/orders", header: forged, token: user("alice", "https://api.example.com", "read:orders"),
		status: 200, body: "X-Client: spa\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: api.example.com\r\nX-Forwarded-Proto: http\r\nX-Scopes: read:orders\r\nX-User: alice\r\n", not: "Authorization",
	},
	{
		name: "impersonation", target: "https://api.example.com/orders", header: forged,
		token:  &devtenant.TokenRequest{Subject: "alice", Resource: "https://api.example.com", Actor: "support"},
		status: 200, body: "X-Acting-User: support",
	},
}

var (
	fromApp     = http.Header{"Origin": {"https://app.example.com"}}
	fromOther   = http.Header{"Origin": {"https://other.example.com"}}
	appCORS     = map[string]string{"Access-Control-Allow-Origin": "https://app.example.com", "Access-Control-Expose-Headers": "WWW-Authenticate"}
	otherNoCORS = map[string]string{"Access-Control-Allow-Origin": ""}
)

var spaCORS = []try{
	{
		name: "preflight", target: "https://api.example.com/orders", method: http.MethodOptions, status: 204,
		header: http.Header{"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"}},
		answers: map[string]string{
			"Access-Control-Allow-Origin": "https://app.example.com", "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
			"Access-Control-Allow-Headers": "Authorization, Content-Type", "Vary": "Origin, Authorization",
		},
	},
	{name: "OPTIONS that is no preflight", target: "https://api.example.com/orders", method: http.MethodOptions, header: fromApp, status: 401, body: missingToken},
	{name: "refusal that the app can read", target: "https://api.example.com/orders", header: fromApp, status: 401, body: missingToken, answers: appCORS},
	{name: "answer that the app can read", target: "https://api.example.com/orders", header: fromApp, token: user("alice", "https://api.example.com", ""), status: 200, body: "GET /orders", answers: appCORS},
	{name: "another app", target: "https://api.example.com/orders", header: fromOther, token: user("alice", "https://api.example.com", ""), status: 200, answers: otherNoCORS},
	{name: "write without its scope", target: "https://api.example.com/orders", method: http.MethodPost, header: fromApp, token: user("alice", "https://api.example.com", ""), status: 403, body: missingScopes, answers: appCORS},
	{name: "write", target: "https://api.example.com/orders", method: http.MethodPost, header: fromApp, token: user("alice", "https://api.example.com", "write:orders"), status: 200, body: "POST /orders"},
}

var tenantPerSubdomain = []try{
	{name: "own subdomain", target: "https://acme.example.com/", token: member("rwheh3w247dn"), status: 200, body: "X-Organization: rwheh3w247dn"},
	{name: "forged organization", target: "https://acme.example.com/", header: http.Header{"X-Organization": {"p7xv1b8t3hzn"}}, token: member("rwheh3w247dn"), status: 200, body: "X-Organization: rwheh3w247dn"},
	{name: "another one's subdomain", target: "https://globex.example.com/", token: member("rwheh3w247dn"), status: 403, body: wrongTenant},
	{name: "two subdomains in one host", target: "https://acme.example.com:.globex.example.com/", token: member("rwheh3w247dn"), status: 403, body: wrongTenant},
	{name: "port that is none", target: "https://acme.example.com:x/", token: member("rwheh3w247dn"), status: 403, body: wrongTenant},
	{name: "own subdomain with a port", target: "https://acme.example.com:8443/", token: member("rwheh3w247dn"), status: 200, body: "Host: acme.example.com:8443"},
	{name: "unknown subdomain", target: "https://other.example.com/", token: member("rwheh3w247dn"), status: 403, body: wrongTenant},
	{name: "organization named like the subdomain", target: "https://acme.example.com/", token: member("acme"), status: 403, body: wrongTenant},
	{name: "token of no organization", target: "https://acme.example.com/", token: member(""), status: 403, body: wrongTenant},
}

var tenantPerPath = []try{
	{name: "own path", target: "https://api.example.com/t/rwheh3w247dn/orders", token: member("rwheh3w247dn"), status: 200, body: "X-Organization: rwheh3w247dn"},
	{name: "another one's path", target: "https://api.example.com/t/p7xv1b8t3hzn/orders", token: member("rwheh3w247dn"), status: 403, body: wrongTenant},
	{name: "another one's path behind dots", target: "https://api.example.com/t/rwheh3w247dn/..%2fp7xv1b8t3hzn/orders", token: member("rwheh3w247dn"), status: 403, body: wrongTenant},
	{name: "no tenant", target: "https://api.example.com/orders", token: member("rwheh3w247dn"), status: 403, body: wrongTenant},
	{name: "no token", target: "https://api.example.com/t/rwheh3w247dn/orders", status: 401, body: missingToken},
}

var alice = user("alice", "https://api.example.com", "")

var cookieToken = []try{
	{
		name: "browser", target: "https://app.example.com/", cookie: alice, status: 200, body: "Cookie: theme=dark\r\n", not: "access_token",
		answers: map[string]string{"Cache-Control": "private, max-age=60", "Vary": "Authorization, Cookie"},
	},
	{name: "program", target: "https://app.example.com/", token: alice, status: 200, body: "X-User: alice", not: "Authorization", answers: map[string]string{"Cache-Control": "public, max-age=60"}},
	{name: "own form", target: "https://app.example.com/", method: http.MethodPost, cookie: alice, header: http.Header{"Origin": {"https://app.example.com"}}, status: 200, body: "X-User: alice"},
	{name: "form of a trusted origin", target: "https://app.example.com/", method: http.MethodPost, cookie: alice, header: http.Header{"Origin": {"https://admin.example.com"}}, status: 200},
	{name: "cross-site form", target: "https://app.example.com/", method: http.MethodPost, cookie: alice, header: http.Header{"Origin": {"https://evil.example.com"}}, status: 403, body: `{"error":"Cross-origin request refused"}`},
	{name: "cross-site WebSocket", target: "https://app.example.com/", cookie: alice, header: http.Header{"Origin": {"https://evil.example.com"}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, status: 403},
}

var optionalSignIn = []try{
	{name: "nobody", target: "https://www.example.com/", status: 200, body: "Hello. Please sign in."},
	{name: "user", target: "https://www.example.com/", cookie: alice, status: 200, body: "Hello alice."},
	{name: "expired", target: "https://www.example.com/", status: 401, body: invalidToken, token: &devtenant.TokenRequest{Subject: "alice", Resource: "https://api.example.com", ExpiresIn: -time.Hour}},
	{name: "nobody's account", target: "https://www.example.com/account", status: 401, body: missingToken},
	{name: "user's account", target: "https://www.example.com/account", cookie: alice, status: 200, body: "Hello alice."},
}

const mcpDocument = "/.well-known/oauth-protected-resource/mcp"

var mcpServer = []try{
	{
		name: "no token", target: "https://mcp.example.com/mcp", method: http.MethodPost, status: 401, body: missingToken,
		answers: map[string]string{
			"WWW-Authenticate":              `Bearer scope="mcp:tools", resource_metadata="https://mcp.example.com` + mcpDocument + `"`,
			"Access-Control-Expose-Headers": "WWW-Authenticate, Mcp-Session-Id",
		},
	},
	{name: "metadata", target: "https://mcp.example.com" + mcpDocument, status: 200, body: `"scopes_supported":["mcp:tools"],"bearer_methods_supported":["header"],"resource_name":"Example tools"`},
	{name: "token for another resource", target: "https://mcp.example.com/mcp", method: http.MethodPost, token: alice, status: 401, body: `{"error":"Invalid audience"}`},
	{name: "token", target: "https://mcp.example.com/mcp", method: http.MethodPost, token: user("alice", "https://mcp.example.com/mcp", "mcp:tools"), status: 200, body: "X-User: alice", not: "Authorization"},
}

var html = http.Header{"Accept": {"text/html,application/xhtml+xml"}}

var browserRedirect = []try{
	{name: "sign-in page", target: "https://app.example.com/sign-in?return_to=%2F", header: html, status: 200, body: "GET /sign-in"},
	{
		name: "page, signed out", target: "https://app.example.com/orders?page=2&return_to=https://evil.example.com", header: html, status: 302,
		answers: map[string]string{"Location": "/sign-in?return_to=%2Forders%3Fpage%3D2%26return_to%3Dhttps%3A%2F%2Fevil.example.com"},
	},
	{name: "page, signed in", target: "https://app.example.com/orders", header: html, cookie: alice, status: 200, body: "GET /orders"},
	{
		name: "program", target: "https://app.example.com/orders", status: 401, body: `{"error":"missing_token"}`,
		answers: map[string]string{"WWW-Authenticate": "Bearer", "Content-Type": "application/json", "Cache-Control": "no-store"},
	},
	{name: "form, signed out", target: "https://app.example.com/orders", method: http.MethodPost, header: html, status: 401, body: `{"error":"missing_token"}`},
	{name: "page with a token for another API", target: "https://app.example.com/orders", header: html, cookie: user("alice", "https://other.example.com", ""), status: 403, body: `{"error":"wrong_audience"}`},
}

var denyList = []try{
	{name: "user", target: "https://api.example.com/", token: alice, status: 200, body: "GET /"},
	{name: "locked user", target: "https://api.example.com/", token: user("w3n8c5v1b6zd", "https://api.example.com", ""), status: 403},
	{name: "locked client", target: "https://api.example.com/", token: &devtenant.TokenRequest{ClientID: "leaked-client", Resource: "https://api.example.com"}, status: 403},
	{name: "no token", target: "https://api.example.com/", status: 401, body: missingToken},
}

var staticSiteSignIn = []try{
	{name: "public", target: "https://docs.example.com/robots.txt", status: 200, body: "Disallow"},
	{name: "page in a browser", target: "https://docs.example.com/guide", header: navigation, status: 302},
	{name: "program", target: "https://docs.example.com/guide", status: 401, body: missingToken},
	{name: "program with a token", target: "https://docs.example.com/guide", token: alice, status: 403, body: `{"error":"Invalid audience"}`},
}

var spaAndAPI = []try{
	{name: "page in a browser", target: "https://app.example.com/orders/7", header: navigation, status: 302},
	{name: "script without a session", target: "https://app.example.com/api/orders", status: 401, body: missingToken},
	{name: "program", target: "https://app.example.com/api/orders", token: alice, status: 200, body: "Authorization: Bearer ey"},
	{name: "program that writes without the scope", target: "https://app.example.com/api/orders", method: http.MethodPost, token: alice, status: 403, body: missingScopes},
	{name: "program that writes", target: "https://app.example.com/api/orders", method: http.MethodPost, token: user("alice", "https://api.example.com", "write:orders"), status: 200, body: "POST /api/orders"},
}
