package logtoauth

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// isUpgrade tells whether a request asks to leave HTTP: by Upgrade in
// HTTP/1.1, by extended CONNECT later (RFC 8441, RFC 9220).
func isUpgrade(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 || r.Method == http.MethodConnect
}

// originGuard refuses cookie tokens that a foreign page makes a browser send.
type originGuard struct {
	protection http.CrossOriginProtection
	trusted    []string
}

// newOriginGuard trusts the site's own origin and those listed.
func newOriginGuard(trusted []string) (*originGuard, error) {
	guard := &originGuard{trusted: trusted}
	for _, origin := range trusted {
		if err := guard.protection.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return guard, nil
}

// check judges a request that was authorized by a cookie. A WebSocket
// handshake is a GET, which net/http takes for safe, but opens a channel in
// both directions: upgrades are judged as if they were a POST.
func (g *originGuard) check(r *http.Request) *Refusal {
	judged := r
	if isUpgrade(r) {
		asPost := *r
		asPost.Method = http.MethodPost
		judged = &asPost
	}
	if g.protection.Check(judged) != nil || g.hasOtherScheme(judged) {
		return refuseCrossOrigin()
	}
	return nil
}

// hasOtherScheme reports whether the page is of the site's host but not of its
// scheme. net/http compares hosts only, while whoever is on the way can make
// any page of `http://<host>`. Sec-Fetch-Site tells the two apart; browsers
// from before 2023 do not send it.
func (g *originGuard) hasOtherScheme(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" || r.Header.Get("Sec-Fetch-Site") != "" || slices.Contains(g.trusted, origin) {
		return false
	}
	switch scheme, _, _ := strings.Cut(origin, "://"); strings.ToLower(scheme) {
	case "https":
		// A site that looks like plain http may be behind a proxy that ends
		// TLS and does not say so.
		return false
	case "http":
		return servedOverTLS(r)
	}
	return true
}

// servedOverTLS reports whether the client uses https, to Caddy or to a proxy
// in front. That it does not is believed of a trusted proxy only
// (`trusted_proxies`, as in reverse_proxy); that it does, of anyone, since it
// only makes the check stricter.
func servedOverTLS(r *http.Request) bool {
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	forwarded = strings.ToLower(textproto.TrimString(forwarded))
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted && forwarded == "http" {
		return false
	}
	return r.TLS != nil || forwarded == "https"
}
