package logtoauth

import (
	"fmt"
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
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// benchHandler is a site of the global model with its defaults.
func (tenant *cachedTenant) handler(tb testing.TB) *Handler {
	tb.Helper()
	h := &Handler{Audiences: []string{"https://api.example.com"}, Scopes: []string{"read:products"}, logger: zap.NewNop(), now: time.Now}
	h.applyDefaults()
	var err error
	if h.requirements, err = h.newRequirements(); err != nil {
		tb.Fatal(err)
	}
	h.organizations = organizationIDs{static: wantedOrganizations{resolved: true}}
	h.sources = newTokenSources(h.TokenSources)
	h.vary = h.sources.vary()
	h.validator = *tenant.validator()
	h.responder.scopes = h.requirements.challengeScopes
	h.responder.prepare()
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
	return servedWith(h, server, bare, "Authorization", authorization)
}

// servedWith is served for credentials in any header.
func servedWith(h caddyhttp.MiddlewareHandler, server *caddyhttp.Server, bare *http.Request, name string, credentials []string) int {
	w := &discard{header: http.Header{"Server": []string{"Caddy"}}}
	request := *bare
	request.Header = http.Header{"User-Agent": []string{"bench"}}
	if credentials != nil {
		request.Header[name] = credentials
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
	}
}

// BenchmarkServeDistinct measures requests with cached tokens by how many
// different ones come in turn.
func BenchmarkServeDistinct(b *testing.B) {
	tenant := newCachedTenant(b, "ES256", defaultCacheSize)
	h, tokens := tenant.handler(b), tenant.tokens(defaultCacheSize)
	for _, distinct := range []int{1, 16, defaultCacheSize} {
		b.Run(strconv.Itoa(distinct), func(b *testing.B) { benchServe(b, h, http.StatusNoContent, tokens[:distinct]...) })
	}
}

// TestRequestsAllocateLittle bounds the allocations of a request over those of
// a handler that does nothing. A request needs a state, a provider of
// placeholders and a Vary header; what is more is told in the cases.
func TestRequestsAllocateLittle(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	tenant := newCachedTenant(t, "EdDSA", 10) // whose check allocates nothing
	uncached := newCachedTenant(t, "EdDSA", 0)
	thief := devtenant.New(devtenant.Options{Issuer: tenant.Issuer(), Algorithm: "EdDSA"})
	claims := thief.Claims(devtenant.TokenRequest{Resource: "https://api.example.com"})
	bare := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.example.com/products", http.NoBody)
	server := new(caddyhttp.Server)
	none := testing.AllocsPerRun(200, func() { served(empty{}, server, bare, nil) })
	h := tenant.handler(t)
	admitOne(t, h, tenant) // now its header is known
	for name, test := range map[string]struct {
		h     *Handler
		token string
		most  float64
	}{
		"cached":       {h, tenant.token("read:products"), 3},
		"first sight":  {uncached.handler(t), uncached.token("read:products"), 3 + 15}, // segments, claims, keyfunc, one check for all
		"no token":     {h, "", 3 + 2},                                                 // header lines, body
		"opaque":       {h, tenant.OpaqueToken(), 3 + 1},
		"wrong type":   {h, thief.Sign(map[string]any{"typ": "JWT"}, claims), 3 + 1 + 2}, // decoded header, normalized type
		"wrong alg":    {h, thief.Sign(map[string]any{"alg": "HS256"}, claims), 3 + 1 + 1},
		"unknown kid":  {tenant.coolingHandler(t), thief.Sign(map[string]any{"kid": "made-up"}, claims), 3 + 1 + 1},
		"wrong issuer": {h, tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com", Issuer: "https://other.example/oidc"}), 3 + 1 + 1},
		"expired":      {h, tenant.Token(devtenant.TokenRequest{Resource: "https://api.example.com", ExpiresIn: -time.Hour}), 3 + 1 + 1 + 4},
		"forged":       {h, thief.Sign(map[string]any{"kid": tenant.SigningKID()}, claims), 3 + 1 + 15},
	} {
		t.Run(name, func(t *testing.T) {
			h := test.h
			var authorization []string
			if test.token != "" {
				authorization = []string{"Bearer " + test.token}
			}
			served(h, server, bare, authorization)
			got := testing.AllocsPerRun(200, func() { served(h, server, bare, authorization) }) - none
			if got > test.most {
				t.Errorf("%v allocations, not at most %v", got, test.most)
			}
		})
	}
}

func BenchmarkServeRefused(b *testing.B) {
	tenant := newCachedTenant(b, "ES384", 10_000)
	h := tenant.handler(b)
	admitOne(b, h, tenant)
	sign := func(header map[string]any, change devtenant.TokenRequest) string {
		change.Resource = "https://api.example.com"
		return tenant.Sign(header, tenant.Claims(change))
	}
	for _, bench := range []struct {
		name  string
		token string
	}{
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
	b.Run("unknown kid", func(b *testing.B) {
		h, tokens := tenant.coolingHandler(b), make([]string, 100)
		for i := range tokens {
			tokens[i] = sign(map[string]any{"kid": "unknown " + strconv.Itoa(i)}, devtenant.TokenRequest{})
		}
		benchServe(b, h, http.StatusUnauthorized, tokens...)
	})
}

// admitOne shows a handler a good token, as every site in use has seen one.
func admitOne(tb testing.TB, h *Handler, tenant *cachedTenant) {
	tb.Helper()
	if _, refusal := h.validator.validate(tb.Context(), tenant.token("read:products"), time.Now, nil); refusal != nil {
		tb.Fatal(refusal.Reason)
	}
}

// coolingHandler is a handler whose key set has been asked for unknown keys
// twice, and now waits for the end of its refresh_cooldown.
func (tenant *cachedTenant) coolingHandler(tb testing.TB) *Handler {
	tb.Helper()
	h := tenant.handler(tb)
	h.validator.keys = tenantOf(tb, tenant.JWKS(), tenant.Issuer()).keys
	for range 2 {
		h.validator.keys.AwaitKey(tb.Context(), "unknown", keys.Nobody)
	}
	if !h.validator.keys.Excludes("unknown") {
		tb.Fatal("an unknown key may still have keys fetched")
	}
	return h
}

// BenchmarkTokenCache measures the cache alone. Module bench/caches does the
// same with others.
func BenchmarkTokenCache(b *testing.B) {
	const capacity = 10_000
	key := new(keys.Key)
	for _, distinct := range []int{1, 16, capacity / 2} {
		b.Run("hit/"+strconv.Itoa(distinct), func(b *testing.B) {
			c := newTokenCache(capacity)
			tokens := make([]string, distinct)
			for i := range tokens {
				tokens[i] = strings.Repeat("h", 694) + strconv.Itoa(100_000+i)
				remember(c, strings.Clone(tokens[i]), someInfo(key))
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					c.lookup(tokens[i%distinct])
				}
			})
		})
	}
	b.Run("insert", func(b *testing.B) {
		c := newTokenCache(capacity)
		padding := strings.Repeat("h", 700)
		info := someInfo(key)
		for i := range 2 * capacity {
			remember(c, padding+"-"+strconv.Itoa(i), info)
		}
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			remember(c, padding+strconv.Itoa(i), info)
		}
	})
}

// BenchmarkDistinctTokens measures what tokens of the usual size leave in
// memory when so many are shown in turn.
func BenchmarkDistinctTokens(b *testing.B) {
	for _, distinct := range []int{10_000, 1_000_000} {
		b.Run(strconv.Itoa(distinct), func(b *testing.B) {
			for range b.N {
				tenant := newCachedTenant(b, "ES256", defaultCacheSize)
				c := tenant.cache
				header, rest, _ := strings.Cut(tenant.token("read:products write:products"), ".")
				payload, signature, _ := strings.Cut(rest, ".")
				key := tenant.keys.Held().Key(tenant.SigningKID())
				before := heapInUse()
				for i := range distinct {
					// Another token of the same length: only the cache is measured.
					token := fmt.Sprintf("%s.%s.%s%06d", header, payload, signature[:len(signature)-6], i%1_000_000)
					c.verifyOnce(b.Context(), token, key, nil, func() *AuthInfo {
						decoded, _ := decodeSegment(payload)
						info, refusal := decodeClaims(decoded)
						if refusal != nil {
							b.Fatal(refusal)
						}
						info.key = key
						return info
					})
				}
				b.ReportMetric(float64(heapInUse()-before)/1e6, "heap-MB")
				b.ReportMetric(float64(c.kept()), "kept")
			}
		})
	}
}

// sharedOf is what sites of this tenant share.
func sharedOf(cached *cachedTenant) *tenant { return &tenant{cached.keys, cached.cache} }
