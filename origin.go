package logtoauth

import (
	"net/http"
)

// isPreflight recognizes a genuine CORS preflight (Fetch standard section
// 4.8): browsers send these without credentials, so that one can only be
// answered, not authenticated. Anything that could make an upstream do more
// than answer it is none.
func isPreflight(r *http.Request, sources tokenSources) bool {
	if r.Method != http.MethodOptions || r.ContentLength != 0 || isUpgrade(r) ||
		len(r.Header["Origin"]) != 1 || r.Header.Get("Origin") == "" ||
		len(r.Header["Access-Control-Request-Method"]) != 1 || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	// Some servers do what these say, whatever the method is. A browser sends
	// no header of a page's own before the preflight has been answered.
	for _, name := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		if len(r.Header[name]) > 0 {
			return false
		}
	}
	for _, source := range sources {
		if len(source.values(r)) > 0 {
			return false
		}
	}
	return true
}

// isUpgrade tells whether a request asks to leave HTTP: by Upgrade in
// HTTP/1.1, by extended CONNECT later (RFC 8441, RFC 9220).
func isUpgrade(r *http.Request) bool {
	return len(r.Header["Upgrade"]) > 0 || r.Method == http.MethodConnect
}

// originGuard refuses cookie tokens that a foreign page makes a browser send.
type originGuard struct {
	protection http.CrossOriginProtection
}

// newOriginGuard trusts the site's own origin and those listed.
func newOriginGuard(trusted []string) (*originGuard, error) {
	guard := new(originGuard)
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
	if err := g.protection.Check(judged); err != nil {
		return refuseCrossOrigin()
	}
	return nil
}
