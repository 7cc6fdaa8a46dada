package logtoauth

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// namedSites are sites of one tenant that name it otherwise than the site that
// people sign in to: with a custom domain first, and with that domain alone.
const namedSites = revocable + `
named.example.com {
	logto_auth {
		endpoint TENANT
		issuer https://auth.example.com/oidc TENANT/oidc
		audience https://api.example.com
		revocation {
			webhook_secret a-signing-key-of-32-characters-xx
			keep 48h
		}
	}
	respond ok
}
custom.example.com {
	logto_auth {
		issuer https://auth.example.com/oidc
		jwks_uri TENANT/oidc/jwks
		audience https://api.example.com
		revocation
	}
	respond ok
}
`

// A tenant has several names. What it tells one site holds at all of them.
func TestRevocationsOfATenantWithSeveralNames(t *testing.T) {
	for _, told := range []string{testHost, "named.example.com"} {
		t.Run(told, func(t *testing.T) {
			m := newMembers(t, namedSites)
			p := m.browser()
			p.signIn("/", alice)
			tokens := map[string]string{
				testHost:            m.token(devtenant.TokenRequest{Subject: alice}),
				"named.example.com": m.token(devtenant.TokenRequest{Subject: alice}),
				"custom.example.com": m.token(devtenant.TokenRequest{
					Subject: alice, Extra: map[string]any{"iss": "https://auth.example.com/oidc"},
				}),
			}
			for host, token := range tokens {
				isIn(t, host, m.show(host, token))
			}
			pass(t, time.Minute)
			octets := encoded(t, m.tenant.DeletionEvent(alice))
			answer := m.Get("/.logto/webhook", caddytest.Method(http.MethodPost), caddytest.Header("Host", told),
				caddytest.Header(signatureHeader, hookSignature(octets)), body(octets))
			if answer.StatusCode != http.StatusNoContent {
				t.Fatalf("the webhook: %d %s", answer.StatusCode, answer.Body)
			}
			for host, token := range tokens {
				isOut(t, host, m.show(host, token))
			}
			sessionIsOver(t, "the session", p.fetch("/"))
			// The entry lives as long as that session could have.
			_, all := askRevocations(t, http.MethodGet, "")
			if want := rfc3339(systemClock().Add(7 * 24 * time.Hour).Truncate(time.Hour))[:11]; strings.Count(all, `"sub"`) != 1 || !strings.Contains(all, `"expires":"`+want) {
				t.Errorf("listed are %s, want one until %s", all, want)
			}
		})
	}
}

// Tenants that share no name have lists of their own.
func TestTenantListsAreJoinedByName(t *testing.T) {
	m := newMembers(t, namedSites+`
stranger.example.com {
	logto_auth {
		issuer https://stranger.example.com/oidc
		jwks_uri TENANT/oidc/other-jwks
		audience https://api.example.com
		revocation
	}
	respond ok
}
`)
	lists := startedLists()
	if len(lists) != 3 {
		t.Fatalf("%d lists", len(lists))
	}
	app := lists[0].configs.Current()
	for name, want := range map[string]int{
		m.tenant.Issuer():                   2,
		"https://auth.example.com/oidc":     2,
		m.tenant.URL + "/oidc/jwks":         2,
		"https://stranger.example.com/oidc": 1,
	} {
		if got := len(app.signIn.tenants[name].all()); got != want {
			t.Errorf("%s has %d lists, want %d", name, got, want)
		}
	}
	for _, of := range lists {
		keep, stranger := of.keep(), of.issuer == "https://stranger.example.com/oidc"
		if want := 48 * time.Hour; !stranger && keep < want || stranger && keep >= want {
			t.Errorf("%s keeps entries for %v", of.issuer, keep)
		}
	}
}
