package logtoauth

import (
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// requesterOf returns who waits if this request has to wait for keys: the client
// as Caddy knows it. Behind a proxy that trusted_proxies does not name, that is
// the proxy, and everyone behind it has one share of the places.
func requesterOf(r *http.Request) keys.Requester {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	address, err := netip.ParseAddr(text)
	if err != nil { // "@" or nothing on a Unix socket
		return keys.Nobody
	}
	return keys.RequesterAt(address)
}
