package logtoauth

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

func TestRequesterIsTheClientThatCaddyKnows(t *testing.T) {
	for address, want := range map[string]keys.Requester{
		"192.0.2.1":   keys.RequesterAt(netip.MustParseAddr("192.0.2.1")),
		"2001:db8::7": keys.RequesterAt(netip.MustParseAddr("2001:db8::")),
		"@":           keys.Nobody, // a proxy on a Unix socket that names no client
		"":            keys.Nobody,
	} {
		r := caddyhttp.PrepareRequest(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), caddy.NewReplacer(), nil, nil)
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, address)
		if got := requesterOf(r); got != want {
			t.Errorf("%q is %v, not %v", address, got, want)
		}
	}
	if got := requesterOf(new(http.Request)); got != keys.Nobody {
		t.Errorf("without Caddy it is %v", got)
	}
}
