package logtoauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// BenchmarkValidator measures what this module adds to a signature check: the
// check alone, this validator with and without its cache, and golang-jwt with
// keyfunc as they come.
func BenchmarkValidator(b *testing.B) {
	for _, algorithm := range []string{"ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA"} {
		tenant := devtenant.New(devtenant.Options{Algorithm: algorithm})
		token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI, Scope: "read write"})
		validate := func(b *testing.B, v *validator) {
			now := fixed(time.Now())
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := v.validate(b.Context(), token, now, nil); refusal != nil {
					b.Fatal(refusal.Reason)
				}
			}
		}
		uncached := validatorOf(cachingTenantOf(b, 0, tenant.JWKS(), tenant.Issuer()))
		b.Run(algorithm+"/signature alone", func(b *testing.B) {
			verify := rawVerification(b, token, uncached.keys.Current(time.Now()).Key(tenant.SigningKID()))
			b.ReportAllocs()
			for b.Loop() {
				if !verify() {
					b.Fatal("the signature does not hold")
				}
			}
		})
		b.Run(algorithm+"/validator", func(b *testing.B) { validate(b, uncached) })
		b.Run(algorithm+"/validator, forged", func(b *testing.B) {
			thief := devtenant.New(devtenant.Options{Algorithm: algorithm, Issuer: tenant.Issuer()})
			claims := tenant.Claims(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI, Scope: "read write"})
			forged, now := thief.Sign(map[string]any{"kid": tenant.SigningKID()}, claims), fixed(time.Now())
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := uncached.validate(b.Context(), forged, now, nil); reasonOf(refusal) != ReasonBadSignature {
					b.Fatal(reasonOf(refusal))
				}
			}
		})
		b.Run(algorithm+"/validator, cached", func(b *testing.B) { validate(b, validatorOf(tenantOf(b, tenant.JWKS(), tenant.Issuer()))) })
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

// BenchmarkFirstSight measures what a first sight takes over the bare signature
// check. The two take turns, so that a machine which is slower for a while slows
// both alike, and the fastest twentieths are compared: a check of ES384 takes a
// hundred times what is looked for.
func BenchmarkFirstSight(b *testing.B) {
	for _, algorithm := range []string{"ES256", "ES384", "RS256", "EdDSA"} {
		b.Run(algorithm, func(b *testing.B) {
			tenant := devtenant.New(devtenant.Options{Algorithm: algorithm})
			token := tenant.Token(devtenant.TokenRequest{Subject: "user-1", ClientID: "app-1", Resource: testAPI, Scope: "read write"})
			v, now := validatorOf(cachingTenantOf(b, 0, tenant.JWKS(), tenant.Issuer())), fixed(time.Now())
			verify := rawVerification(b, token, v.keys.Current(time.Now()).Key(tenant.SigningKID()))
			var alone, whole []time.Duration
			for b.Loop() {
				began := time.Now()
				held := verify()
				between := time.Now()
				_, refusal := v.validate(b.Context(), token, now, nil)
				alone, whole = append(alone, between.Sub(began)), append(whole, time.Since(between))
				if !held || refusal != nil {
					b.Fatal(held, refusal)
				}
			}
			undisturbed := func(durations []time.Duration) time.Duration {
				slices.Sort(durations)
				return durations[len(durations)/20]
			}
			b.ReportMetric(float64(undisturbed(whole)-undisturbed(alone)), "ns-over-signature")
		})
	}
}

// rawVerification is the signature check of a token with nothing around it but
// its hash.
func rawVerification(b *testing.B, token string, key *keys.Key) func() bool {
	b.Helper()
	header, payload, encoded := split(token)
	input, signature := []byte(header+"."+payload), decode(encoded)
	digest := func(hash crypto.Hash) []byte {
		h := hash.New()
		h.Write(input)
		return h.Sum(nil)
	}
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		hash := map[string]crypto.Hash{"P-256": crypto.SHA256, "P-384": crypto.SHA384, "P-521": crypto.SHA512}[key.Status().CRV]
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
	b.Fatalf("a key of type %T", key.Public())
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
