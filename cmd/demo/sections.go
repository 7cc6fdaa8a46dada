package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

const (
	api        = "https://api.example.com"
	anotherAPI = "https://billing.example.com"

	// acme is the ID that Caddyfile.example has for the subdomain acme.
	acme = "rwheh3w247dn"
)

// section is one site of Caddyfile.example and the requests to try there.
type section struct {
	title  string
	host   string // empty: the address itself
	checks []check

	// onlyCheck is what the guide says of a section that it cannot show with
	// curl lines.
	onlyCheck string
}

// check is a request and the answer to expect.
type check struct {
	name   string
	method string // empty: GET
	path   string

	// before changes the tenant before the request is sent, if not nil.
	before func(context.Context, *stack) error

	// token returns the token to send; nil sends none.
	token func(*stack) string

	// visit is what a browser does in place of a request, if not nil.
	visit func(context.Context, *stack) (answer, error)

	want answer
}

// answer is what matters of a response.
type answer struct {
	status    int
	body      string
	challenge string // WWW-Authenticate
}

// String is on one line, so that two answers are easy to compare.
func (a answer) String() string {
	return strings.TrimRight(fmt.Sprintf("%d  %s  %s", a.status, a.body, a.challenge), " ")
}

// sections is what the guide prints and what -check sends.
var sections = []section{
	{title: "A global API resource", checks: []check{
		{
			name: "a public path, no token",
			path: "/healthz",
			want: answer{200, "OK", ""},
		},
		{
			name: "no token",
			path: "/api/protected",
			want: answer{401, `{"error":"Authorization header is missing"}`, `Bearer`},
		},
		{
			name:  "a good token",
			path:  "/api/protected",
			token: admitted.token,
			want:  admitted.want,
		},
		{
			name:  "the scope that the route asks for",
			path:  "/api/products",
			token: issue(alice(devtenant.TokenRequest{Resource: api, Scope: "read:products"})),
			want:  answer{200, "Hello, alice", ""},
		},
		{
			name:  "a missing scope",
			path:  "/api/products",
			token: issue(alice(devtenant.TokenRequest{Resource: api})),
			want:  answer{403, `{"error":"Insufficient scope"}`, `Bearer error="insufficient_scope", scope="read:products"`},
		},
		{
			name:   "a missing scope for writing",
			method: "POST",
			path:   "/api/orders",
			token:  issue(alice(devtenant.TokenRequest{Resource: api, Scope: "read:products"})),
			want:   answer{403, `{"error":"Insufficient scope"}`, `Bearer error="insufficient_scope", scope="write:orders"`},
		},
		{
			name:  "another API's token",
			path:  "/api/protected",
			token: issue(alice(devtenant.TokenRequest{Resource: anotherAPI, Scope: "read:products"})),
			want:  answer{403, `{"error":"Invalid audience"}`, `Bearer error="invalid_token"`},
		},
		{
			name:  "an organization's token",
			path:  "/api/protected",
			token: issue(alice(devtenant.TokenRequest{Resource: api, OrganizationID: acme, Scope: "read:products"})),
			want:  answer{403, `{"error":"Organization token not accepted"}`, `Bearer error="invalid_token"`},
		},
		{
			name:  "an opaque token: the client did not ask for a resource",
			path:  "/api/protected",
			token: func(s *stack) string { return s.tenant.OpaqueToken() },
			want:  answer{401, `{"error":"Invalid token"}`, `Bearer error="invalid_token", error_description="The token is no JWT: request an access token for a resource"`},
		},
		{
			name:  "an ID token",
			path:  "/api/protected",
			token: func(s *stack) string { return s.tenant.IDToken("alice", "web-app") },
			want:  answer{401, `{"error":"Invalid token"}`, `Bearer error="invalid_token", error_description="The token is no access token"`},
		},
		{
			name:  "a forged token",
			path:  "/api/protected",
			token: forged,
			want:  answer{401, `{"error":"Invalid token"}`, `Bearer error="invalid_token", error_description="The token's signature is invalid"`},
		},
	}},
	{title: "Organization permissions", host: "org.localhost", checks: []check{
		{
			name:  "a good token of the organization acme",
			path:  "/api/protected",
			token: issue(alice(devtenant.TokenRequest{OrganizationID: acme, Scope: "read:members"})),
			want:  answer{200, `{"auth":{"sub":"alice","clientId":"web-app","organizationId":"rwheh3w247dn","scopes":["read:members"],"audience":["urn:logto:organization:rwheh3w247dn"]}}`, ""},
		},
		{
			name:  "one of the scopes that the route asks for",
			path:  "/api/members",
			token: issue(devtenant.TokenRequest{ClientID: "nightly-job", OrganizationID: acme, Scope: "read:members"}),
			want:  answer{200, "Hello, nightly-job", ""},
		},
		{
			name:  "a missing scope",
			path:  "/api/members",
			token: issue(alice(devtenant.TokenRequest{OrganizationID: acme, Scope: "invite:member"})),
			want:  answer{403, `{"error":"Insufficient organization scope"}`, `Bearer error="insufficient_scope", scope="read:members manage:members"`},
		},
		{
			name:  "an API's token",
			path:  "/api/protected",
			token: issue(alice(devtenant.TokenRequest{Resource: api, Scope: "read:products"})),
			want:  answer{403, `{"error":"Invalid audience for organization permissions"}`, `Bearer error="invalid_token"`},
		},
	}},
	{title: "An API resource with one organization's permissions", host: "acme.app.localhost", checks: []check{
		{
			name:  "a good token of the organization acme",
			path:  "/api/protected",
			token: issue(alice(devtenant.TokenRequest{Resource: api, OrganizationID: acme, Scope: "read:invoices"})),
			want:  answer{200, `{"auth":{"sub":"alice","clientId":"web-app","organizationId":"rwheh3w247dn","scopes":["read:invoices"],"audience":["https://api.example.com"]}}`, ""},
		},
		{
			name:  "the wrong organization",
			path:  "/api/protected",
			token: issue(alice(devtenant.TokenRequest{Resource: api, OrganizationID: "umbrella", Scope: "read:invoices"})),
			want:  answer{403, `{"error":"Organization ID mismatch"}`, `Bearer error="invalid_token"`},
		},
		{
			name:  "no organization",
			path:  "/api/protected",
			token: issue(alice(devtenant.TokenRequest{Resource: api, Scope: "read:invoices"})),
			want:  answer{403, `{"error":"Organization ID mismatch"}`, `Bearer error="invalid_token"`},
		},
		{
			name:  "a missing scope",
			path:  "/api/invoices",
			token: issue(alice(devtenant.TokenRequest{Resource: api, OrganizationID: acme})),
			want:  answer{403, `{"error":"Insufficient organization-level API scopes"}`, `Bearer error="insufficient_scope", scope="read:invoices"`},
		},
		{
			name:  "another API's token",
			path:  "/api/protected",
			token: issue(alice(devtenant.TokenRequest{Resource: anotherAPI, OrganizationID: acme})),
			want:  answer{403, `{"error":"Invalid audience for organization-level API resources"}`, `Bearer error="invalid_token"`},
		},
	}},
	{title: "People who sign in with a browser", onlyCheck: "Only -check does this with a program. Open the members' site and try it.", checks: []check{
		{name: "the start page, nobody signed in", visit: opens("/"), want: answer{200, "Welcome to the Rowing Club", ""}},
		{name: "a script asks who is signed in", visit: asksWho, want: answer{401, `{"error":"no_session"}`, ""}},
		{name: "the members' page leads to the tenant and back", visit: signsIn("/profile", "alice"), want: answer{200, "Hello, Alice", ""}},
		{name: "the next page", visit: opens("/"), want: answer{200, "Welcome back, Alice", ""}},
		{name: "a script asks again", visit: asksWho, want: answer{200, `{"sub":"alice","type":"user"}`, ""}},
		{name: "the board's page asks for a role, which Alice has", visit: opens("/board"), want: answer{200, "For the board only", ""}},
		{name: "Alice signs out", visit: signsOut, want: answer{200, "You are signed out", ""}},
		{name: "a script asks after that", visit: asksWho, want: answer{401, `{"error":"no_session"}`, ""}},
		{name: "Bob signs in, who lacks the role", visit: signsIn("/board", "bob"), want: answer{403, "This page is for the board", ""}},
		{name: "his own page", visit: opens("/profile"), want: answer{200, "Hello, Bob", ""}},
	}},
	{title: "Keys that rotate, and a tenant that stops for a while", onlyCheck: "Only -check does this: the tenant changes between the requests, and no good token is refused.", checks: []check{
		{
			name:   "a token of the first key",
			path:   "/api/protected",
			before: keepFirst,
			token:  first,
			want:   admitted.want,
		},
		{
			name:   "the tenant replaces its EC key by an RSA key: a new token, at once",
			path:   "/api/protected",
			before: rotate,
			token:  admitted.token,
			want:   admitted.want,
		},
		{
			name:  "a token of the key before, which the tenant still publishes",
			path:  "/api/protected",
			token: first,
			want:  admitted.want,
		},
		{
			name:   "the tenant is gone, and Caddy has asked for keys in vain: a new token",
			path:   "/api/protected",
			before: stopTenant,
			token:  admitted.token,
			want:   admitted.want,
		},
		{
			name:   "the tenant is back, with one more new key: a new token",
			path:   "/api/protected",
			before: restartTenant,
			token:  admitted.token,
			want:   admitted.want,
		},
		{
			name:  "a token of the first key, which the tenant no longer publishes",
			path:  "/api/protected",
			token: first,
			want:  answer{401, `{"error":"Invalid token"}`, `Bearer error="invalid_token", error_description="The token's signing key is unknown"`},
		},
	}},
}

// admitted is a request that is to be let in whatever happens to the tenant.
var admitted = check{
	path:  "/api/protected",
	token: issue(alice(devtenant.TokenRequest{Resource: api, Scope: "read:products"})),
	want:  answer{200, `{"auth":{"sub":"alice","clientId":"web-app","organizationId":null,"scopes":["read:products"],"audience":["https://api.example.com"]}}`, ""},
}

// alice makes a request for a token one of a user's.
func alice(request devtenant.TokenRequest) devtenant.TokenRequest {
	request.Subject, request.ClientID = "alice", "web-app"
	return request
}

// issue returns a new token.
func issue(request devtenant.TokenRequest) func(*stack) string {
	return func(s *stack) string { return s.tenant.Token(request) }
}

// first is the token that keepFirst has issued.
func first(s *stack) string { return s.first }

// forged has a good token's claims, signed with a stranger's key under the
// tenant's key ID.
func forged(s *stack) string {
	stranger := devtenant.New(devtenant.Options{Issuer: s.tenant.Issuer()})
	claims := s.tenant.Claims(alice(devtenant.TokenRequest{Resource: api, Scope: "read:products"}))
	return stranger.Sign(map[string]any{"kid": s.tenant.SigningKID()}, claims)
}
