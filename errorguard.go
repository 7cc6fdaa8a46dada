package logtoauth

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// errorGuard runs before error routes. What the handlers did to the request
// and to the response writer does not reach these: Caddy calls them with its
// own, after it has put the original URL back, and also for requests that no
// handler has seen.
type errorGuard struct {
	// names are headers that only a logto_auth of the site may set.
	names headerNames

	// last says that no other error routes run if these fail.
	last bool
}

// add adds names to the headers that are deleted.
func (g *errorGuard) add(names headerNames) {
	for _, name := range names {
		if !g.names.contain(name) {
			g.names = append(g.names, name)
		}
	}
}

// ServeHTTP passes the request on as the handlers left it.
func (g *errorGuard) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	// Looked up when they are over: a logto_auth among the error routes may be
	// the first one that sees the request.
	defer func() {
		if state, ok := knownState(r); ok && (err == nil || g.last) {
			state.concludeErrorRoutes(r.Context())
		}
	}()
	takeOutForged(r, g.names)
	state, ok := knownState(r)
	if ok && state.unfinished != nil {
		state.unfinished.stripAgain(r)
	}
	if ok && state.private {
		return servePrivately(w, r, next)
	}
	return next.ServeHTTP(w, r)
}

// Interface guard.
var _ caddyhttp.MiddlewareHandler = (*errorGuard)(nil)
