//go:build linux

package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// resource is the API that the measured site is.
const resource = "https://api.example.com"

// workload is what clients send, to the site with the directive and to the
// one without it.
type workload struct {
	name      string
	algorithm string

	// lines are added to the directive.
	lines string

	// instead stands in the directive's place, for comparison.
	instead string

	// status is the answer of the site with the directive; the other one
	// answers everything with 200.
	status int

	// tokens makes what the requests show in turn; an empty one is not shown.
	tokens func(tenant *devtenant.Tenant) []string

	// page says that the site behind is a page from a file.
	page bool

	// people sign in, in place of tokens, and identity says that the site asks
	// for no access token of theirs.
	people   int
	identity bool
}

// directive is what stands in the protected site.
func (w workload) directive(tenant *devtenant.Tenant) string {
	if w.instead != "" {
		return w.instead
	}
	asks, signIn := "\t\taudience "+resource+"\n\t\tscopes read:products\n", ""
	if w.identity {
		asks = ""
	}
	if w.people > 0 {
		signIn = signInLine
	}
	return "\tlogto_auth {\n\t\tendpoint " + tenant.Endpoint() + "\n" + asks + w.lines + signIn + "\t}\n"
}

// answer is what stands behind the directive.
func (w workload) answer() string {
	if w.page {
		return servePage
	}
	return respondOK
}

// In the workloads of first sights far more tokens come in turn than are kept,
// so that hardly any is found.
const (
	firstSights   = 4000
	keepsFewLines = "\t\tcache_size 100\n"
)

// respond401 is the answer to a missing token, given by Caddy itself.
const respond401 = "\theader {\n\t\tCache-Control no-store\n\t\tVary Authorization\n\t\tWWW-Authenticate Bearer\n\t\tContent-Type application/json\n\t}\n" +
	"\trespond `{\"error\":\"Authorization header is missing\"}` 401\n"

// forSession is what an answer to a session's request differs in, and the route
// for the endpoints of sign_in, made of Caddy's own directives.
const forSession = "\theader {\n\t\tVary Authorization\n\t\t+Vary Cookie\n\t\tCache-Control private\n\t}\n" +
	"\t@endpoints path /.logto /.logto/*\n\trespond @endpoints 404\n"

// hot are the few tokens that come again and again: what sites see most. Peers
// are measured with these.
var hot = []workload{
	{name: "hot, 16 tokens, ES384", algorithm: "ES384", status: http.StatusOK, tokens: genuine(16)},
	{name: "hot, 16 tokens, ES256", algorithm: "ES256", status: http.StatusOK, tokens: genuine(16)},
	{name: "hot, 16 tokens, RS256", algorithm: "RS256", status: http.StatusOK, tokens: genuine(16)},
}

// yardsticks are Caddy's own directives in the place of this one: what any
// handler costs that adds the same Vary, or gives the same answer.
var yardsticks = []workload{
	{name: "Caddy's header directive", algorithm: "ES384", instead: "\theader Vary Authorization\n", status: http.StatusOK, tokens: genuine(16)},
	{name: "Caddy's header and route", algorithm: "ES384", instead: forSession, status: http.StatusOK, tokens: genuine(16)},
	{name: "Caddy's respond with 401", algorithm: "ES384", instead: respond401, status: http.StatusUnauthorized, tokens: same("")},
}

// signedIn are browsers with a session each: to a site that asks who it is, to
// one that asks for an access token, and to both with a page from a file behind.
var signedIn = []workload{
	{name: "session, 16 people", algorithm: "ES384", status: http.StatusOK, people: 16, identity: true},
	{name: "session, API, 16 people", algorithm: "ES384", status: http.StatusOK, people: 16},
	{name: "session, 16 people, a page", algorithm: "ES384", status: http.StatusOK, people: 16, identity: true, page: true},
	{name: "session, API, 16 people, a page", algorithm: "ES384", status: http.StatusOK, people: 16, page: true},
}

var workloads = slices.Concat(yardsticks, hot, signedIn, []workload{
	{name: "hot, 10,000 tokens, ES256", algorithm: "ES256", status: http.StatusOK, tokens: genuine(10_000)},
	{name: "no token", algorithm: "ES384", status: http.StatusUnauthorized, tokens: same("")},
	{name: "opaque token", algorithm: "ES384", status: http.StatusUnauthorized, tokens: same(strings.Repeat("a", 43))},
	{name: "malformed", algorithm: "ES384", status: http.StatusUnauthorized, tokens: same(strings.Repeat("a", 100) + "." + strings.Repeat("b", 400) + "." + strings.Repeat("c", 128))},
	{name: "wrong alg", algorithm: "ES384", status: http.StatusUnauthorized, tokens: signed(map[string]any{"alg": "HS256"}, devtenant.TokenRequest{})},
	{name: "wrong typ", algorithm: "ES384", status: http.StatusUnauthorized, tokens: signed(map[string]any{"typ": "JWT"}, devtenant.TokenRequest{})},
	{name: "wrong iss", algorithm: "ES384", status: http.StatusUnauthorized, tokens: signed(nil, devtenant.TokenRequest{Issuer: "https://other.example/oidc"})},
	{name: "expired", algorithm: "ES384", status: http.StatusUnauthorized, tokens: signed(nil, devtenant.TokenRequest{ExpiresIn: -time.Hour})},
	{name: "unknown kid", algorithm: "ES384", status: http.StatusUnauthorized, tokens: unknownKeys},
	{name: "forged, ES384", algorithm: "ES384", status: http.StatusUnauthorized, tokens: forged("ES384")},
	{name: "forged, ES256", algorithm: "ES256", status: http.StatusUnauthorized, tokens: forged("ES256")},
	{name: "first sight, ES384", algorithm: "ES384", lines: keepsFewLines, status: http.StatusOK, tokens: genuine(firstSights)},
	{name: "first sight, ES256", algorithm: "ES256", lines: keepsFewLines, status: http.StatusOK, tokens: genuine(firstSights)},
	{name: "first sight, RS256", algorithm: "RS256", lines: keepsFewLines, status: http.StatusOK, tokens: genuine(firstSights)},
})

// same is one token again and again.
func same(token string) func(*devtenant.Tenant) []string {
	return func(*devtenant.Tenant) []string { return []string{token} }
}

// genuine are n tokens that the site admits.
func genuine(n int) func(*devtenant.Tenant) []string {
	return func(tenant *devtenant.Tenant) []string {
		tokens := make([]string, n)
		for i := range tokens {
			tokens[i] = tenant.Token(devtenant.TokenRequest{Resource: resource, Subject: "user-" + strconv.Itoa(i), Scope: "read:products write:products"})
		}
		return tokens
	}
}

// signed are tokens that the tenant has signed and the site must refuse.
func signed(header map[string]any, request devtenant.TokenRequest) func(*devtenant.Tenant) []string {
	request.Resource = resource
	return func(tenant *devtenant.Tenant) []string {
		return []string{tenant.Sign(header, tenant.Claims(request))}
	}
}

// forged are tokens under the tenant's kid that somebody else has signed.
func forged(algorithm string) func(*devtenant.Tenant) []string {
	return func(tenant *devtenant.Tenant) []string {
		thief := devtenant.New(devtenant.Options{Issuer: tenant.Issuer(), Algorithm: algorithm})
		tokens := make([]string, 500)
		for i := range tokens {
			claims := thief.Claims(devtenant.TokenRequest{Resource: resource, Subject: "user-" + strconv.Itoa(i), Scope: "read:products"})
			tokens[i] = thief.Sign(map[string]any{"kid": tenant.SigningKID()}, claims)
		}
		return tokens
	}
}

// unknownKeys are tokens each of which names another key that nobody has.
func unknownKeys(tenant *devtenant.Tenant) []string {
	tokens := genuine(1)(tenant)
	_, unsigned, _ := strings.Cut(tokens[0], ".")
	tokens = make([]string, 5000)
	for i := range tokens {
		tokens[i] = encode(fmt.Sprintf(`{"alg":"ES384","typ":"at+jwt","kid":"made-up-%035d"}`, i)) + "." + unsigned
	}
	return tokens
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
