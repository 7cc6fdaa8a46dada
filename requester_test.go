package logtoauth

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestRequesterIsTheClientThatCaddyKnows(t *testing.T) {
	for address, want := range map[string]requester{
		"192.0.2.1":   requesterFrom("192.0.2.1"),
		"2001:db8::7": requesterFrom("2001:db8::"),
		"@":           nobody, // a proxy on a Unix socket that names no client
		"":            nobody,
	} {
		r := caddyhttp.PrepareRequest(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), caddy.NewReplacer(), nil, nil)
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, address)
		if got := requesterOf(r); got != want {
			t.Errorf("%q is %v, not %v", address, got, want)
		}
	}
	if got := requesterOf(new(http.Request)); got != nobody {
		t.Errorf("without Caddy it is %v", got)
	}
}
