package logtoauth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// revocableHandler is a site whose list of revocations has so many entries, of
// all kinds, about others.
func revocableHandler(tb testing.TB, tenant *cachedTenant, entries int) *Handler {
	tb.Helper()
	h := tenant.handler(tb)
	h.Revocation = &Revocation{Keep: caddy.Duration(time.Hour)}
	h.applyDefaults()
	app := new(App)
	tb.Cleanup(func() {
		if err := app.Cleanup(); err != nil {
			tb.Error(err)
		}
	})
	var err error
	if h.revocations, err = h.newRevocations(app, &keys.Config{Issuers: []string{tenant.Issuer()}}); err != nil {
		tb.Fatal(err)
	}
	list := h.revocations.list
	kinds := []session.EntryKind{session.BySubject, session.ByClient, session.ByMember, session.ByOrganization, session.ByToken, session.ByLogtoSession}
	for i := range entries {
		e := session.Entry{Kind: kinds[i%len(kinds)], Subject: fmt.Sprintf("somebody-%09d", i), NotBefore: time.Now(), Expires: time.Now().Add(time.Hour)}
		if e.Kind == session.ByMember {
			e.Organization = "acme"
		}
		_ = list.Add(ended, e) // there is no storage
	}
	if got := list.Len(); got != entries {
		tb.Fatalf("%d entries, not %d", got, entries)
	}
	return h
}

// BenchmarkServeRevocable measures requests with cached tokens by how many
// entries the list of revocations has.
func BenchmarkServeRevocable(b *testing.B) {
	tenant := newCachedTenant(b, "ES384", 10_000)
	tokens := tenant.tokens(16)
	b.Run("without revocation", func(b *testing.B) { benchServe(b, tenant.handler(b), http.StatusNoContent, tokens...) })
	for _, entries := range []int{0, 1, 100_000} {
		h := revocableHandler(b, tenant, entries)
		b.Run(fmt.Sprint(entries), func(b *testing.B) { benchServe(b, h, http.StatusNoContent, tokens...) })
	}
}

// The list costs a request no allocation.
func TestRevocationAllocatesNothing(t *testing.T) {
	if underRace {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	tenant := newCachedTenant(t, "EdDSA", 10)
	token := tenant.Token(devtenant.TokenRequest{Subject: alice, Resource: testAPI, Scope: "read:products"})
	bare := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://api.example.com/products", http.NoBody)
	server := new(caddyhttp.Server)
	allocations := func(h *Handler) float64 {
		if got := served(h, server, bare, []string{"Bearer " + token}); got != http.StatusNoContent {
			t.Fatal(got)
		}
		return testing.AllocsPerRun(200, func() { served(h, server, bare, []string{"Bearer " + token}) })
	}
	without := allocations(tenant.handler(t))
	for _, entries := range []int{0, 1000} {
		if got := allocations(revocableHandler(t, tenant, entries)); got > without {
			t.Errorf("with %d entries %v allocations, without %v", entries, got, without)
		}
	}
}
