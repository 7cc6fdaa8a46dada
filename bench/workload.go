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

// hot are the few tokens that come again and again: what sites see most. Peers
// are measured with these.
var hot = []workload{
	{"hot, 16 tokens, ES384", "ES384", "", "", http.StatusOK, genuine(16)},
	{"hot, 16 tokens, ES256", "ES256", "", "", http.StatusOK, genuine(16)},
	{"hot, 16 tokens, RS256", "RS256", "", "", http.StatusOK, genuine(16)},
}

// yardsticks are Caddy's own directives in the place of this one: what any
// handler costs that adds the same Vary, or gives the same answer.
var yardsticks = []workload{
	{"Caddy's header directive", "ES384", "", "\theader Vary Authorization\n", http.StatusOK, genuine(16)},
	{"Caddy's respond with 401", "ES384", "", respond401, http.StatusUnauthorized, same("")},
}

var workloads = slices.Concat(yardsticks, hot, []workload{
	{"hot, 10,000 tokens, ES256", "ES256", "", "", http.StatusOK, genuine(10_000)},
	{"no token", "ES384", "", "", http.StatusUnauthorized, same("")},
	{"opaque token", "ES384", "", "", http.StatusUnauthorized, same(strings.Repeat("a", 43))},
	{"malformed", "ES384", "", "", http.StatusUnauthorized, same(strings.Repeat("a", 100) + "." + strings.Repeat("b", 400) + "." + strings.Repeat("c", 128))},
	{"wrong alg", "ES384", "", "", http.StatusUnauthorized, signed(map[string]any{"alg": "HS256"}, devtenant.TokenRequest{})},
	{"wrong typ", "ES384", "", "", http.StatusUnauthorized, signed(map[string]any{"typ": "JWT"}, devtenant.TokenRequest{})},
	{"wrong iss", "ES384", "", "", http.StatusUnauthorized, signed(nil, devtenant.TokenRequest{Issuer: "https://other.example/oidc"})},
	{"expired", "ES384", "", "", http.StatusUnauthorized, signed(nil, devtenant.TokenRequest{ExpiresIn: -time.Hour})},
	{"unknown kid", "ES384", "", "", http.StatusUnauthorized, unknownKeys},
	{"forged, ES384", "ES384", "", "", http.StatusUnauthorized, forged("ES384")},
	{"forged, ES256", "ES256", "", "", http.StatusUnauthorized, forged("ES256")},
	{"first sight, ES384", "ES384", keepsFewLines, "", http.StatusOK, genuine(firstSights)},
	{"first sight, ES256", "ES256", keepsFewLines, "", http.StatusOK, genuine(firstSights)},
	{"first sight, RS256", "RS256", keepsFewLines, "", http.StatusOK, genuine(firstSights)},
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
