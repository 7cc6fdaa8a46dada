package logtoauth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// A stranger can send tokens without end, each of which differs from all before.
// Nothing may be kept of any.
func TestFloodsOfRefusalsLeaveNothingInMemory(t *testing.T) {
	if underRace {
		t.Skip("the race detector keeps memory of its own")
	}
	const (
		requests = 1000
		most     = 16 // octets for each; a pointer and a hash would be more
	)
	tenant := newCachedTenant(t, "EdDSA", 10_000) // whose check is quick
	h := tenant.handler(t)
	thief := devtenant.New(devtenant.Options{Issuer: tenant.Issuer(), Algorithm: "EdDSA"})
	genuine := tenant.token("read:products")
	head, payload, signature := split(genuine)
	signed := func(by *devtenant.Tenant, header map[string]any, change devtenant.TokenRequest) func(i int) string {
		return func(i int) string {
			change.Resource, change.Subject = testAPI, fmt.Sprint("user-", i)
			return by.Sign(header, by.Claims(change))
		}
	}
	named := func(name string) func(i int) string {
		return func(i int) string {
			header := fmt.Sprintf(`{"alg":"EdDSA","typ":"at+jwt","kid":%q,%q:"made-up-%d"}`, tenant.SigningKID(), name, i)
			if name == "kid" {
				header = fmt.Sprintf(`{"alg":"EdDSA","typ":"at+jwt","kid":"made-up-%d"}`, i)
			}
			return encodeText(header) + "." + payload + "." + signature
		}
	}
	server, bare := new(caddyhttp.Server), httptest.NewRequestWithContext(t.Context(), http.MethodGet, testAPI+"/products", http.NoBody)
	for name, token := range map[string]func(i int) string{
		"no token":                func(int) string { return "" },
		"opaque":                  func(i int) string { return fmt.Sprintf("%040d", i) },
		"too large":               func(i int) string { return fmt.Sprintf("%s.%017000d.c", head, i) },
		"malformed":               func(i int) string { return fmt.Sprintf("%s.%0400d.%s", head, i, signature) },
		"an extension":            named("crit"),
		"another header":          named("x"),
		"unknown kid":             named("kid"),
		"wrong type":              signed(tenant.Tenant, map[string]any{"typ": "JWT"}, devtenant.TokenRequest{}),
		"wrong algorithm":         signed(tenant.Tenant, map[string]any{"alg": "HS256"}, devtenant.TokenRequest{}),
		"wrong issuer":            signed(tenant.Tenant, nil, devtenant.TokenRequest{Issuer: "https://other.example/oidc"}),
		"expired":                 signed(tenant.Tenant, nil, devtenant.TokenRequest{ExpiresIn: -time.Hour}),
		"forged":                  signed(thief, map[string]any{"kid": tenant.SigningKID()}, devtenant.TokenRequest{Scope: "read:products"}),
		"forged, the same claims": func(i int) string { return head + "." + payload + "." + encodeText(fmt.Sprintf("%064d", i)) },
	} {
		t.Run(name, func(t *testing.T) {
			flood := func(from, until int) {
				for i := from; i < until; i++ {
					authorization := []string{"Bearer " + token(i)}
					if authorization[0] == "Bearer " {
						authorization = nil
					}
					if got := served(h, server, bare, authorization); got != http.StatusUnauthorized {
						t.Fatalf("answered with %d: %q", got, authorization)
					}
				}
			}
			flood(0, 50) // what is made once
			before := heapInUse()
			flood(50, 50+requests)
			if grown := heapInUse() - before; grown > most*requests {
				t.Errorf("%d octets are left of each request", grown/requests)
			}
		})
	}
	if kept := tenant.cache.kept(); kept != 0 {
		t.Errorf("%d tokens are kept", kept)
	}
}
