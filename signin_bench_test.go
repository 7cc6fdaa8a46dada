package logtoauth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

// signInHandler is a site with sign_in, and the cookie of somebody who has
// signed in there: to an API, or in identity mode.
func signInHandler(tb testing.TB, identity bool) (h *Handler, cookie string) {
	tb.Helper()
	tenant := newCachedTenant(tb, "ES384", 10_000)
	h = tenant.handler(tb)
	if identity {
		h.Audiences, h.Scopes, h.OrganizationMode = nil, nil, ""
	}
	h.SignIn = &SignIn{ClientID: testApp, ClientSecret: appSecret}
	h.applyDefaults()
	var err error
	if h.requirements, err = h.newRequirements(); err != nil {
		tb.Fatal(err)
	}
	if h.origins, err = newOriginGuard(nil); err != nil {
		tb.Fatal(err)
	}
	h.vary = append(h.vary, "Cookie")
	app := new(App)
	tb.Cleanup(func() {
		if err := app.Cleanup(); err != nil {
			tb.Error(err)
		}
	})
	shared := sharedOf(tenant)
	h.signIn, err = h.newSignIn(app, h.applicationSettings(shared, keys.Config{Issuers: []string{tenant.Issuer()}, FetchTimeout: time.Second}))
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now().Unix()
	id := &idToken{AuthInfo: mustDecode(tb, fmt.Sprintf(`{"sub":"alice","iss":%q,"aud":%q,"exp":%d,"iat":%d,"name":"Alice","roles":["reader"]}`,
		tenant.Issuer(), testApp, now+3600, now))}
	state := session.State{Scopes: h.signIn.wanted().scopes, Resources: h.signIn.wanted().resources, Resource: h.signIn.wanted().resource, Identity: identity}
	fitted, err := h.signIn.newSession(tokenendpoint.Tokens{
		AccessToken:  tenant.Token(devtenant.TokenRequest{Subject: "alice", ClientID: testApp, Resource: testAPI, Scope: "read:products"}),
		RefreshToken: "vE3kq8mB5nW2xR7tY9uI4oP1aS6dF0gH",
	}, id, state, time.Unix(now, 0))
	if err != nil {
		tb.Fatal(err)
	}
	site, err := session.NewSite("localhost", false)
	if err != nil {
		tb.Fatal(err)
	}
	value, err := h.signIn.app.ring.SealSession(site, fitted)
	if err != nil {
		tb.Fatal(err)
	}
	return h, site.SessionName() + "=" + value
}

// BenchmarkServeSession measures requests with a session, beside those with
// the same access token in the Authorization header.
func BenchmarkServeSession(b *testing.B) {
	bare := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://localhost/products", http.NoBody)
	server := new(caddyhttp.Server)
	bench := func(name string, h caddyhttp.MiddlewareHandler, header string, credentials []string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := servedWith(h, server, bare, header, credentials); got != http.StatusNoContent {
					b.Fatal(got)
				}
			}
		})
	}
	bench("empty handler", empty{}, "", nil)
	tenant := newCachedTenant(b, "ES384", 10_000)
	bench("bearer", tenant.handler(b), "Authorization", []string{"Bearer " + tenant.token("read:products")})
	for name, identity := range map[string]bool{"session": false, "identity": true} {
		h, cookie := signInHandler(b, identity)
		bench(name, h, "Cookie", []string{cookie})
	}
}

// TestSessionsAllocateLittle bounds the allocations of a request with a
// session, over those of a handler that does nothing.
func TestSessionsAllocateLittle(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	bare := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/products", http.NoBody)
	server := new(caddyhttp.Server)
	none := testing.AllocsPerRun(200, func() { servedWith(empty{}, server, bare, "", nil) })
	for name, identity := range map[string]bool{"API": false, "identity": true} {
		h, cookie := signInHandler(t, identity)
		if status := servedWith(h, server, bare, "Cookie", []string{cookie}); status != http.StatusNoContent {
			t.Fatalf("%s: status %d", name, status)
		}
		got := testing.AllocsPerRun(200, func() { servedWith(h, server, bare, "Cookie", []string{cookie}) }) - none
		t.Logf("%s: %v", name, got)
		if most := 8.0; got > most {
			t.Errorf("%s: %v allocations, not at most %v", name, got, most)
		}
	}
}
