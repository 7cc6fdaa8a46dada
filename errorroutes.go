package logtoauth

import (
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Caddy loads the modules of a server in this order: its routes, its error
// routes, its named routes. A handler of ours may be in each of them, and in
// subroutes with error routes of their own. While it is provisioned, the JSON of
// what Caddy has not loaded yet is still there, which tells where it is; see
// provisioning. What Caddy has loaded is compiled, and only the subroutes in it
// can still be changed, since these are compiled for each request.

// guardErrorRoutes puts an errorGuard in front of the error routes that may
// run for a request of the handler that is being provisioned. Nobody else can:
// Caddy runs error routes also for requests that it fails before any route,
// the Caddyfile adapter takes no error route from a directive inside `route`,
// and it sorts `handle_errors` with statuses before one without.
//
// What is forbidden is deleted from requests for the enclosing site only. It
// reports whether a guard concludes the request when the handler returns an
// error.
//
// A server or subroute without error routes gets none: with them Caddy logs
// and answers errors in another way.
func guardErrorRoutes(ctx caddy.Context, forbidden reserved) (guarded bool, err error) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if ok && server != nil && server.Errors != nil && len(server.Errors.Routes) > 0 {
		if guarded, err = guardServer(ctx, server, forbidden); err != nil {
			return false, err
		}
	}
	for _, parent := range ctx.Modules() {
		subroute, ok := parent.(*caddyhttp.Subroute)
		if ok && subroute.Errors != nil && provisioning(subroute.Routes) >= 0 {
			insertGuard(&subroute.Errors.Routes, !guarded).add(nil, forbidden)
			guarded = true
		}
	}
	return guarded, nil
}

// guardServer guards the error routes of a server and deletes the headers
// there, for requests that may be for the site that the handler is in. It
// reports whether there is a guard in front of all of them.
func guardServer(ctx caddy.Context, server *caddyhttp.Server, forbidden reserved) (guarded bool, err error) {
	if index := provisioning(server.Routes); index >= 0 {
		insertGuard(&server.Errors.Routes, true).add(siteAt(server.Routes, index), forbidden)
		return true, nil
	}
	routes := server.Errors.Routes
	first, guarded := guardOf(routes)
	if index := provisioning(routes); index >= 0 && routes[index].Terminal {
		// The handler is inside this error route, and no other one runs for
		// the same requests.
		return guarded, guardRoute(ctx, &routes[index], forbidden)
	}
	// It is inside an error route that others run beside, or inside a named
	// route, which any site may invoke.
	if guarded {
		first.add(nil, forbidden)
		return true, nil
	}
	for i := range routes {
		if err := guardRoute(ctx, &routes[i], forbidden); err != nil {
			return false, err
		}
	}
	return false, nil
}

// provisioning returns the index of the route whose handlers Caddy is loading,
// or -1. Caddy loads the routes in their order, those of a server before its
// error routes and these before named routes, and then clears what it loaded
// them from.
func provisioning(routes caddyhttp.RouteList) int {
	return slices.IndexFunc(routes, func(route caddyhttp.Route) bool { return len(route.HandlersRaw) > 0 })
}

// siteAt returns the route of a server if it is a site, or nil if it may run
// for any request: one that is no site, or that comes behind one, where a
// handler may have changed the host or the path. Error routes see the original
// path.
func siteAt(routes caddyhttp.RouteList, index int) *caddyhttp.Route {
	for i := range routes[:index+1] {
		if !isSite(&routes[i]) {
			return nil
		}
	}
	return &routes[index]
}

// isSite reports whether a route of a server is as the Caddyfile adapter makes
// those of sites: terminal, and chosen by host and path alone, which error
// routes see as the site did.
func isSite(route *caddyhttp.Route) bool {
	return route.Terminal && !slices.ContainsFunc(route.MatcherSets, func(set caddyhttp.MatcherSet) bool {
		return slices.ContainsFunc(set, func(matcher any) bool {
			switch matcher.(type) {
			case *caddyhttp.MatchHost, *caddyhttp.MatchPath:
				return false
			}
			return true
		})
	})
}

// insertGuard returns the guard in front of all error routes. They must not be
// provisioned yet, since Caddy compiles them then.
func insertGuard(routes *caddyhttp.RouteList, last bool) *errorGuard {
	if guard, ok := guardOf(*routes); ok {
		return guard
	}
	guard := &errorGuard{last: last}
	*routes = slices.Insert(*routes, 0, caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{guard}})
	return guard
}

// guardOf returns the guard in front of all routes, if there is one.
func guardOf(routes caddyhttp.RouteList) (*errorGuard, bool) {
	if len(routes) == 0 || len(routes[0].Handlers) != 1 || len(routes[0].MatcherSets)+len(routes[0].MatcherSetsRaw) > 0 {
		return nil, false
	}
	guard, ok := routes[0].Handlers[0].(*errorGuard)
	return guard, ok
}

// guardRoute deletes the headers before one error route. Of one that Caddy has
// compiled only the subroutes can be guarded, which every `handle_errors` is:
// Caddy compiles these anew for each request.
func guardRoute(ctx caddy.Context, route *caddyhttp.Route, forbidden reserved) error {
	if len(route.Handlers) > 0 {
		if guard, ok := route.Handlers[0].(*errorGuard); ok {
			guard.add(nil, forbidden)
			return nil
		}
	}
	if len(route.HandlersRaw) > 0 {
		// Caddy puts those that it loads behind it.
		guard := new(errorGuard)
		guard.add(nil, forbidden)
		route.Handlers = []caddyhttp.MiddlewareHandler{guard}
		return nil
	}
	for _, handler := range route.Handlers {
		subroute, ok := handler.(*caddyhttp.Subroute)
		if !ok {
			continue
		}
		insertGuard(&subroute.Routes, false).add(nil, forbidden)
		if err := subroute.Routes[0].ProvisionHandlers(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// errorGuard runs before error routes. What the handlers did to the request
// and to the response writer does not reach these: Caddy calls them with its
// own, after it has put the original URL back, and also for requests that no
// handler has seen.
type errorGuard struct {
	// reserved is what to delete, for each site.
	reserved []reservedAt

	// last says that no other error routes run if these fail.
	last bool
}

// reserved is what belongs to the handlers of a site, and no client and no
// other handler may have.
type reserved struct {
	headers headerNames // which only a logto_auth may set
	cookies bool        // those of sign_in
}

type reservedAt struct {
	site *caddyhttp.Route // nil: any
	reserved
}

// add adds to what is deleted from requests for the site.
func (g *errorGuard) add(site *caddyhttp.Route, forbidden reserved) {
	if len(forbidden.headers) > 0 || forbidden.cookies {
		g.reserved = append(g.reserved, reservedAt{site, forbidden})
	}
}

// forbiddenIn gives what to delete from a request. Whose error routes will
// run does not matter: a site that has none gets those of any other one with
// matchers that match. So a request for two sites (`a.test` and `*.test`) loses
// the headers of both, and a request for none those of all.
func (g *errorGuard) forbiddenIn(r *http.Request) reserved {
	var forbidden reserved
	if len(g.reserved) == 0 {
		return forbidden
	}
	forNone := !forSomeSite(r)
	for _, at := range g.reserved {
		if forNone || at.site == nil || matches(at.site, r) {
			forbidden.headers = append(forbidden.headers, at.headers...)
			forbidden.cookies = forbidden.cookies || at.cookies
		}
	}
	return forbidden
}

// forSomeSite reports whether the server has a site for the request.
func forSomeSite(r *http.Request) bool {
	server, ok := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return ok && slices.ContainsFunc(server.Routes, func(route caddyhttp.Route) bool {
		return isSite(&route) && matches(&route, r)
	})
}

func matches(site *caddyhttp.Route, r *http.Request) bool {
	ok, _ := site.MatcherSets.AnyMatchWithError(r) // matchers of hosts and paths never fail
	return ok
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
	forbidden := g.forbiddenIn(r)
	takeOutForged(r, forbidden.headers)
	if forbidden.cookies {
		dropSignInCookies(r)
	}
	state, ok := knownState(r)
	if ok && state.unfinished != nil {
		state.unfinished.stripAgain(r)
	}
	if ok && state.private {
		return servePrivately(w, r, next, state.browser)
	}
	return next.ServeHTTP(w, r)
}

// Interface guard.
var _ caddyhttp.MiddlewareHandler = (*errorGuard)(nil)
