package logtoauth

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// benchHandler is a site of the global model with its defaults.
func (tenant *cachedTenant) handler(tb testing.TB) *Handler {
	tb.Helper()
	h := &Handler{Audiences: []string{"https://api.example.com"}, Scopes: []string{"read:products"}, logger: zap.NewNop(), now: time.Now}
	h.applyDefaults()
	var err error
	if h.requirements, err = newRequirements(h.Scopes, h.AnyScopes, h.Claims); err != nil {
		tb.Fatal(err)
	}
	h.requirements.audiences, h.requirements.audienceStatus = h.Audiences, h.AudienceMismatch
	h.requirements.organization = organizationRule{mode: h.OrganizationMode}
	h.organizations = organizationIDs{static: wantedOrganizations{resolved: true}}
	h.sources = newTokenSources(h.TokenSources)
	h.vary = h.sources.vary()
	h.validator = *tenant.validator()
	h.responder.scopes = h.requirements.challengeScopes
	return h
}

// discard is a response that nobody reads.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// served sends one request through a handler as Caddy's server prepares it and
// returns the status.
func served(h caddyhttp.MiddlewareHandler, server *caddyhttp.Server, bare *http.Request, authorization []string) int {
	w := &discard{header: http.Header{"Server": []string{"Caddy"}}}
	request := *bare
	request.Header = http.Header{"User-Agent": []string{"bench"}}
	if authorization != nil {
		request.Header["Authorization"] = authorization
	}
	r := caddyhttp.PrepareRequest(&request, caddy.NewReplacer(), w, server)
	if err := h.ServeHTTP(w, r, passed); err != nil {
		return 500
	}
	return w.status
}

var passed = caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
})

// empty is the handler that others are compared with.
type empty struct{}

func (empty) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

// benchServe measures requests that show these tokens in turn; none at all
// without tokens.
func benchServe(b *testing.B, h caddyhttp.MiddlewareHandler, want int, tokens ...string) {
	b.Helper()
	bare := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://api.example.com/products", http.NoBody)
	server := new(caddyhttp.Server)
	shown := make([][]string, max(1, len(tokens)))
	for i, token := range tokens {
		shown[i] = []string{"Bearer " + token}
	}
	for _, authorization := range shown { // so that what can be cached is
		served(h, server, bare, authorization)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if got := served(h, server, bare, shown[i%len(shown)]); got != want {
				b.Errorf("status %d, not %d", got, want)
				return
			}
		}
	})
}

func (tenant *cachedTenant) tokens(n int) []string {
	tokens := make([]string, 0, n)
	for range n {
		tokens = append(tokens, tenant.token("read:products write:products"))
	}
	return tokens
}

func BenchmarkServe(b *testing.B) {
	b.Run("empty handler", func(b *testing.B) { benchServe(b, empty{}, http.StatusNoContent) })
	for _, algorithm := range []string{"ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"} {
		tenant := newCachedTenant(b, algorithm, 10_000)
		h, tokens := tenant.handler(b), tenant.tokens(16)
		thief := devtenant.New(devtenant.Options{Issuer: tenant.Issuer(), Algorithm: algorithm})
		claims := thief.Claims(devtenant.TokenRequest{Resource: "https://api.example.com", Scope: "read:products"})
		b.Run(algorithm+"/cached", func(b *testing.B) { benchServe(b, h, http.StatusNoContent, tokens...) })
		b.Run(algorithm+"/first sight", func(b *testing.B) {
			uncached := newCachedTenant(b, algorithm, 0)
			benchServe(b, uncached.handler(b), http.StatusNoContent, uncached.tokens(16)...)
		})
		b.Run(algorithm+"/forged", func(b *testing.B) {
			forged := thief.Sign(map[string]any{"kid": tenant.SigningKID()}, claims)
			benchServe(b, h, http.StatusUnauthorized, forged)
		})
		b.Run(algorithm+"/signature", func(b *testing.B) { benchSignature(b, tenant) })
	}
}

// benchSignature measures the standard library's check alone.
func benchSignature(b *testing.B, tenant *cachedTenant) {
	b.Helper()
	parsed, refusal := parseJWS(tenant.token("read:products"))
	if refusal != nil {
		b.Fatal(refusal)
	}
	key := tenant.keys.held.Load().key(parsed.keyID)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if !parsed.verifiedBy(key) {
				b.Error("the signature does not hold")
				return
			}
		}
	})
}

func BenchmarkServeRefused(b *testing.B) {
	tenant := newCachedTenant(b, "ES384", 10_000)
	h := tenant.handler(b)
	sign := func(header map[string]any, change devtenant.TokenRequest) string {
		change.Resource = "https://api.example.com"
		return tenant.Sign(header, tenant.Claims(change))
	}
	for _, bench := range []struct {
		name  string
		token string
	}{
		{"unknown kid", sign(map[string]any{"kid": "unknown"}, devtenant.TokenRequest{})},
		{"malformed", strings.Repeat("a", 300) + "." + strings.Repeat("b", 300) + "." + strings.Repeat("c", 128)},
		{"opaque", tenant.OpaqueToken()},
		{"wrong alg", sign(map[string]any{"alg": "HS256"}, devtenant.TokenRequest{})},
		{"wrong typ", sign(map[string]any{"typ": "JWT"}, devtenant.TokenRequest{})},
		{"wrong iss", sign(nil, devtenant.TokenRequest{Issuer: "https://other.example/oidc"})},
		{"expired", sign(nil, devtenant.TokenRequest{ExpiresIn: -time.Hour})},
	} {
		b.Run(bench.name, func(b *testing.B) { benchServe(b, h, http.StatusUnauthorized, bench.token) })
	}
	b.Run("no token", func(b *testing.B) { benchServe(b, h, http.StatusUnauthorized) })
}

func BenchmarkTokenCache(b *testing.B) {
	key := new(verificationKey)
	for _, distinct := range []int{1, 16, 10_000} {
		c := newTokenCache(10_000)
		tokens := make([]string, distinct)
		for i := range tokens {
			tokens[i] = strings.Repeat("h", 600) + strconv.Itoa(i)
			remember(c, strings.Clone(tokens[i]), someInfo(key))
		}
		b.Run("hit/"+strconv.Itoa(distinct), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if c.lookup(tokens[i%distinct]) == nil {
						b.Error("not found")
						return
					}
				}
			})
		})
	}
}
