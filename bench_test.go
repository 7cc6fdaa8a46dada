package logtoauth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// provisionedHandlers are the logto_auth and logto_require of the running
// Caddy, in their order.
func provisionedHandlers(tb testing.TB) []caddyhttp.MiddlewareHandler {
	tb.Helper()
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		tb.Fatal(err)
	}
	var found []caddyhttp.MiddlewareHandler
	var search func(caddyhttp.RouteList)
	search = func(routes caddyhttp.RouteList) {
		for _, route := range routes {
			for _, handler := range route.Handlers {
				switch h := handler.(type) {
				case *Handler:
					h.logger = zap.NewNop() // what is logged is measured elsewhere
					found = append(found, h)
				case *Require:
					h.logger = zap.NewNop()
					found = append(found, h)
				case *caddyhttp.Subroute:
					search(h.Routes)
				}
			}
		}
	}
	for _, server := range app.(*caddyhttp.App).Servers {
		search(server.Routes)
	}
	return found
}

// benchRequest runs handlers on a request as Caddy's server prepares it, which
// the baseline measures alone.
func benchRequest(b *testing.B, authorization string, handlers ...caddyhttp.MiddlewareHandler) {
	b.Helper()
	admitted := false
	last := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		admitted = true
		return nil
	})
	chain := caddyhttp.Handler(last)
	for _, handler := range handlers {
		next := chain
		chain = caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return handler.ServeHTTP(w, r, next) })
	}
	request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", http.NoBody)
	if authorization != "" {
		request.Header["Authorization"] = []string{authorization}
	}
	w, server := &discard{header: make(http.Header)}, new(caddyhttp.Server)
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		r := caddyhttp.PrepareRequest(request, caddy.NewReplacer(), w, server)
		if err := chain.ServeHTTP(w, r); err != nil {
			b.Fatal(err)
		}
	}
	if refused := strings.Contains(b.Name(), "refused"); admitted == refused {
		b.Fatalf("admitted is %v", admitted)
	}
}

func BenchmarkHandler(b *testing.B) {
	tenant := devtenanttest.NewServer(b, devtenant.Options{})
	site := func(b *testing.B, settings string) []caddyhttp.MiddlewareHandler {
		b.Helper()
		server := caddytest.Start(b, "http:// {\n\tlogto_auth {\n\t\tendpoint "+tenant.URL+"\n"+settings+"\n\t}\n}\n")
		// The keys are there before the clock starts.
		server.Get("/", caddytest.Bearer(tenant.Token(devtenant.TokenRequest{Resource: testAPI})))
		return provisionedHandlers(b)
	}
	token := func(extra map[string]any) string {
		return "Bearer " + tenant.Token(devtenant.TokenRequest{Subject: "user-1", Resource: testAPI, Scope: "read write", Extra: extra})
	}
	good := token(nil)
	header, payload, _ := split(good)
	api := "audience " + testAPI
	for _, bench := range []struct{ name, settings, authorization string }{
		{"admitted/cached", api, good},
		{"admitted/cached, scopes and a claim", api + "\nscopes read write\nclaim sub user-1", good},
		{"admitted/uncached", api + "\ncache_size 0", good},
		{"refused/missing_token", api, ""},
		{"refused/opaque_token", api, "Bearer " + tenant.OpaqueToken()},
		{"refused/unsupported_type", api, "Bearer " + tenant.IDToken("user-1", "app-1")},
		{"refused/expired", api, token(map[string]any{"exp": 1})},
		{"refused/wrong_issuer", api, token(map[string]any{"iss": "https://evil.example/oidc"})},
		{"refused/bad_signature", api, header + "." + payload + "." + encodeText(strings.Repeat("x", 96))},
		{"refused/wrong_audience", "audience https://other.example.com", good},
		{"refused/insufficient_scope", api + "\nscopes admin", good},
	} {
		b.Run(bench.name, func(b *testing.B) { benchRequest(b, bench.authorization, site(b, bench.settings)...) })
	}
	b.Run("baseline without a handler", func(b *testing.B) { benchRequest(b, good) })
}

// BenchmarkValidator measures what this module adds to a signature check: the
// check alone, this validator with and without its cache, and golang-jwt with
// keyfunc as they come.
func BenchmarkValidator(b *testing.B) {
	for _, algorithm := range []string{"ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"} {
		tenant := devtenant.New(devtenant.Options{Algorithm: algorithm})
		token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI, Scope: "read write"})
		validate := func(b *testing.B, v *validator) {
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := v.validate(context.Background(), token, now); refusal != nil {
					b.Fatal(refusal.Reason)
				}
			}
		}
		uncached := validatorOf(cachingKeySet(b, 0, tenant.JWKS(), tenant.Issuer()))
		b.Run(algorithm+"/signature alone", func(b *testing.B) {
			verify := rawVerification(b, token, uncached.keys.current(time.Now()).key(tenant.SigningKID()))
			b.ReportAllocs()
			for b.Loop() {
				if !verify() {
					b.Fatal("the signature does not hold")
				}
			}
		})
		b.Run(algorithm+"/validator", func(b *testing.B) { validate(b, uncached) })
		b.Run(algorithm+"/validator, cached", func(b *testing.B) { validate(b, validatorOf(keySetOf(b, tenant.JWKS(), tenant.Issuer()))) })
		b.Run(algorithm+"/golang-jwt and keyfunc", func(b *testing.B) {
			keys, err := keyfunc.NewJWKSetJSON(tenant.JWKS())
			if err != nil {
				b.Fatal(err)
			}
			parser := jwt.NewParser(jwt.WithValidMethods([]string{algorithm}), jwt.WithIssuer(tenant.Issuer()), jwt.WithAudience(testAPI), jwt.WithExpirationRequired())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parser.Parse(token, keys.Keyfunc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// rawVerification is the signature check of a token with nothing around it but
// its hash.
func rawVerification(b *testing.B, token string, key *verificationKey) func() bool {
	b.Helper()
	header, payload, encoded := split(token)
	input, signature := []byte(header+"."+payload), decode(encoded)
	digest := func(hash crypto.Hash) []byte {
		h := hash.New()
		h.Write(input)
		return h.Sum(nil)
	}
	switch public := key.public.(type) {
	case *ecdsa.PublicKey:
		hash := map[string]crypto.Hash{"P-256": crypto.SHA256, "P-384": crypto.SHA384, "P-521": crypto.SHA512}[key.crv]
		r, s := new(big.Int).SetBytes(signature[:len(signature)/2]), new(big.Int).SetBytes(signature[len(signature)/2:])
		return func() bool { return ecdsa.Verify(public, digest(hash), r, s) }
	case *rsa.PublicKey:
		if bytes.Contains(decode(header), []byte("PS256")) {
			return func() bool { return rsa.VerifyPSS(public, crypto.SHA256, digest(crypto.SHA256), signature, nil) == nil }
		}
		return func() bool { return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest(crypto.SHA256), signature) == nil }
	case ed25519.PublicKey:
		return func() bool { return ed25519.Verify(public, input, signature) }
	}
	b.Fatalf("a key of type %T", key.public)
	return nil
}

// BenchmarkPlaceholder measures what a later handler pays for what it asks.
func BenchmarkPlaceholder(b *testing.B) {
	r := caddyRequest(b, http.MethodGet, "/")
	stateOf(r).info = mustDecode(b, `{"exp":1795193579,"sub":"user-1","client_id":"app-1","scope":"read write","aud":"`+testAPI+`","roles":["admin"]}`)
	for _, key := range []string{"http.auth.user.id", "http.auth.user.claims.roles.0", "http.auth.user.info"} {
		b.Run(fmt.Sprintf("{%s}", key), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if expand(r, "{"+key+"}") == "" {
					b.Fatal("it is empty")
				}
			}
		})
	}
}
