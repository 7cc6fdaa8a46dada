package main

import (
	"context"
	"fmt"
	"strings"
)

const (
	api        = "https://api.example.com"
	anotherAPI = "https://billing.example.com"

	// acme is the ID that Caddyfile.example has for the subdomain acme.
	acme = "rwheh3w247dn"
)

// section is one site of Caddyfile.example and the requests to try there. Its
// curl lines fit one screen.
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

	// doing says what before does, while it does it.
	doing string

	// before changes the tenant before the request is sent, if not nil.
	before func(context.Context, *stack) error

	// token is the name of the held token to send; empty sends none.
	token string

	// newToken returns the token to send in place of a held one, if not nil.
	newToken func(*stack) string

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

// aliceInfo is what the sites answer of Alice's token for the API.
const aliceInfo = `{"auth":{"sub":"alice","clientId":"web-app","organizationId":null,"scopes":["read:products"],"audience":["https://api.example.com"]}}`

// admitted is the answer to that token, and to others like it.
var admitted = answer{200, aliceInfo, ""}

// revoked is the answer to a token that was taken back.
var revoked = answer{401, `{"error":"Invalid token"}`, `Bearer error="invalid_token", error_description="The token was revoked"`}

// ofAlice is a request with a token that is made for it.
func ofAlice(name string, token func(*stack) string, want answer) check {
	return check{name: name, path: "/api/protected", newToken: token, want: want}
}

// after is the check once something has happened. Nothing is said of what only
// prepares it.
func (c check) after(doing string, before func(context.Context, *stack) error) check {
	c.doing, c.before = doing, before
	return c
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
			token: "alice",
			want:  admitted,
		},
		{
			name:  "the scope that the route asks for",
			path:  "/api/products",
			token: "alice",
			want:  answer{200, "Hello, alice", ""},
		},
		{
			name:  "a missing scope",
			path:  "/api/products",
			token: "noscope",
			want:  answer{403, `{"error":"Insufficient scope"}`, `Bearer error="insufficient_scope", scope="read:products"`},
		},
		{
			name:   "a missing scope for writing",
			method: "POST",
			path:   "/api/orders",
			token:  "alice",
			want:   answer{403, `{"error":"Insufficient scope"}`, `Bearer error="insufficient_scope", scope="write:orders"`},
		},
		{
			name:   "the scope for writing",
			method: "POST",
			path:   "/api/orders",
			token:  "orders",
			want:   answer{200, "Hello, alice", ""},
		},
	}},
	{title: "Tokens that the API does not take", checks: []check{
		{
			name:  "another API's token",
			path:  "/api/protected",
			token: "billing",
			want:  answer{403, `{"error":"Invalid audience"}`, `Bearer error="invalid_token"`},
		},
		{
			name:  "an organization's token",
			path:  "/api/protected",
			token: "both",
			want:  answer{403, `{"error":"Organization token not accepted"}`, `Bearer error="invalid_token"`},
		},
		{
			name:  "an opaque token, of a client that named no resource",
			path:  "/api/protected",
			token: "opaque",
			want:  answer{401, `{"error":"Invalid token"}`, `Bearer error="invalid_token", error_description="The token is no JWT: request an access token for a resource"`},
		},
		{
			name:  "an ID token",
			path:  "/api/protected",
			token: "id",
			want:  answer{401, `{"error":"Invalid token"}`, `Bearer error="invalid_token", error_description="The token is no access token"`},
		},
		{
			name:  "a forged token",
			path:  "/api/protected",
			token: "forged",
			want:  answer{401, `{"error":"Invalid token"}`, `Bearer error="invalid_token", error_description="The token's signature is invalid"`},
		},
	}},
	{title: "Organization permissions", host: "org.localhost", checks: []check{
		{
			name:  "a good token of the organization acme",
			path:  "/api/protected",
			token: "acme",
			want:  answer{200, `{"auth":{"sub":"alice","clientId":"web-app","organizationId":"rwheh3w247dn","scopes":["read:members"],"audience":["urn:logto:organization:rwheh3w247dn"]}}`, ""},
		},
		{
			name:  "one of the scopes that the route asks for",
			path:  "/api/members",
			token: "job",
			want:  answer{200, "Hello, nightly-job", ""},
		},
		{
			name:  "a missing scope",
			path:  "/api/members",
			token: "guest",
			want:  answer{403, `{"error":"Insufficient organization scope"}`, `Bearer error="insufficient_scope", scope="read:members manage:members"`},
		},
		{
			name:  "an API's token",
			path:  "/api/protected",
			token: "alice",
			want:  answer{403, `{"error":"Invalid audience for organization permissions"}`, `Bearer error="invalid_token"`},
		},
	}},
	{title: "An API resource with one organization's permissions", host: "acme.app.localhost", checks: []check{
		{
			name:  "a good token of the organization acme",
			path:  "/api/protected",
			token: "both",
			want:  answer{200, `{"auth":{"sub":"alice","clientId":"web-app","organizationId":"rwheh3w247dn","scopes":["read:invoices"],"audience":["https://api.example.com"]}}`, ""},
		},
		{
			name:  "the wrong organization",
			path:  "/api/protected",
			token: "other",
			want:  answer{403, `{"error":"Organization ID mismatch"}`, `Bearer error="invalid_token"`},
		},
		{
			name:  "no organization",
			path:  "/api/protected",
			token: "alice",
			want:  answer{403, `{"error":"Organization ID mismatch"}`, `Bearer error="invalid_token"`},
		},
		{
			name:  "a missing scope",
			path:  "/api/invoices",
			token: "less",
			want:  answer{403, `{"error":"Insufficient organization-level API scopes"}`, `Bearer error="insufficient_scope", scope="read:invoices"`},
		},
		{
			name:  "another API's token",
			path:  "/api/protected",
			token: "billing",
			want:  answer{403, `{"error":"Invalid audience for organization-level API resources"}`, `Bearer error="invalid_token"`},
		},
	}},
	{title: "People who sign in with a browser", onlyCheck: "People sign in and out. You can do this yourself: open the members' site.", checks: []check{
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
	{title: "A person who is suspended", onlyCheck: "The tenant suspends Alice, and her token is refused at once. See above.", checks: []check{
		ofAlice("Alice's token", first, admitted).after("", keepFirst),
		ofAlice("the same token, at once", first, revoked).after("the tenant suspends Alice and sends a signed webhook", suspend),
		ofAlice("a new token of hers", another, admitted).after("the tenant reinstates Alice", reinstate),
		ofAlice("the token from before", first, revoked),
	}},
	{title: "Keys that rotate, and a tenant that stops for a while", onlyCheck: "The tenant changes its keys and stops. No good token is refused.", checks: []check{
		ofAlice("a token of the first key", first, admitted).after("", keepFirst),
		ofAlice("a new token, at once", another, admitted).after("the tenant replaces its EC key by an RSA key", rotate),
		ofAlice("a token of the key before, which the tenant still publishes", first, admitted),
		ofAlice("a new token while the tenant is gone", another, admitted).after("the tenant stops, and Caddy asks it for keys in vain", stopTenant),
		ofAlice("a new token, signed with the newest key", another, admitted).after("the tenant comes back with one more new key", restartTenant),
		ofAlice("a token of the first key, which the tenant no longer publishes", first,
			answer{401, `{"error":"Invalid token"}`, `Bearer error="invalid_token", error_description="The token's signing key is unknown"`}),
	}},
}
