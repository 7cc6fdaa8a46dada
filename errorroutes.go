package logtoauth

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// guardErrorRoutes puts an errorGuard in front of the error routes that may
// run for a request of the handler that is being provisioned. Nobody else can:
// Caddy runs error routes also for requests that it fails before any route,
// the Caddyfile adapter takes no error route from a directive inside `route`,
// and it sorts `handle_errors` with statuses before one without.
//
// names are headers to delete, in the error routes of the enclosing site only.
// It reports whether a guard concludes the request when the handler returns an
// error.
//
// A server or subroute without error routes gets none: with them Caddy logs
// and answers errors in another way.
func guardErrorRoutes(ctx caddy.Context, names headerNames) (guarded bool, err error) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if ok && server != nil && server.Errors != nil && len(server.Errors.Routes) > 0 {
		if guarded, err = guardServer(ctx, server, names); err != nil {
			return false, err
		}
	}
	for _, parent := range ctx.Modules() {
		subroute, ok := parent.(*caddyhttp.Subroute)
		if ok && subroute.Errors != nil && provisioning(subroute.Routes) >= 0 {
			insertGuard(&subroute.Errors.Routes, !guarded).add(names)
			guarded = true
		}
	}
	return guarded, nil
}

// guardServer guards all error routes of a server, and deletes the headers in
// those of the site that the handler is in. It reports whether there is a
// guard in front of all of them.
func guardServer(ctx caddy.Context, server *caddyhttp.Server, names headerNames) (guarded bool, err error) {
	isOwn := func(*caddyhttp.Route) (bool, error) { return true, nil }
	if site := provisioning(server.Routes); site >= 0 {
		insertGuard(&server.Errors.Routes, true)
		isOwn = func(route *caddyhttp.Route) (bool, error) { return servesSite(ctx, route, server.Routes, site) }
	} else if site := provisioning(server.Errors.Routes); site >= 0 {
		// The handler is inside this error route, which may be its site.
		block := &server.Errors.Routes[site]
		isOwn = func(route *caddyhttp.Route) (bool, error) { return !block.Terminal || route == block, nil }
	} // Else it is inside a named route, which any site may invoke.

	routes := server.Errors.Routes
	first, guarded := guardOf(routes)
	if guarded {
		routes = routes[1:]
	}
	var own []*caddyhttp.Route
	for i := range routes {
		switch ok, err := isOwn(&routes[i]); {
		case err != nil:
			return false, err
		case ok:
			own = append(own, &routes[i])
		}
	}
	if guarded && len(own) == len(routes) {
		first.add(names) // before matchers that might look at the headers
		return true, nil
	}
	for _, route := range own {
		if err := guardRoute(ctx, route, names); err != nil {
			return false, err
		}
	}
	return guarded, nil
}

// provisioning returns the index of the route whose handlers Caddy is loading,
// or -1. Caddy loads the routes in their order, those of a server before its
// error routes and these before named routes, and then clears what it loaded
// them from.
func provisioning(routes caddyhttp.RouteList) int {
	return slices.IndexFunc(routes, func(route caddyhttp.Route) bool { return len(route.HandlersRaw) > 0 })
}

// servesSite reports whether an error route may run for the requests of the
// server's route with the index site. The Caddyfile adapter makes a site a
// terminal route, and a terminal error route with the same matchers; a site
// that has the server for itself is neither. An error route that belongs to no
// site may run for any.
func servesSite(ctx caddy.Context, errorRoute *caddyhttp.Route, routes caddyhttp.RouteList, site int) (bool, error) {
	if !errorRoute.Terminal || !routes[site].Terminal {
		return true, nil
	}
	// Of the routes Caddy has kept the provisioned matchers only.
	provisioned := caddyhttp.Route{MatcherSetsRaw: slices.Clone(errorRoute.MatcherSetsRaw)}
	if err := provisioned.ProvisionMatchers(ctx); err != nil {
		return false, err
	}
	if sameMatchers(provisioned.MatcherSets, routes[site].MatcherSets) {
		return true, nil
	}
	return !slices.ContainsFunc(routes, func(route caddyhttp.Route) bool {
		return route.Terminal && sameMatchers(provisioned.MatcherSets, route.MatcherSets)
	}), nil
}

// sameMatchers compares matchers. Those of one set come in any order, since
// they are a map in JSON.
func sameMatchers(a, b caddyhttp.MatcherSets) bool {
	return slices.EqualFunc(a, b, func(a, b caddyhttp.MatcherSet) bool {
		return len(a) == len(b) && !slices.ContainsFunc(a, func(matcher any) bool {
			return !slices.ContainsFunc(b, func(other any) bool { return reflect.DeepEqual(matcher, other) })
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
func guardRoute(ctx caddy.Context, route *caddyhttp.Route, names headerNames) error {
	if len(route.Handlers) > 0 {
		if guard, ok := route.Handlers[0].(*errorGuard); ok {
			guard.add(names)
			return nil
		}
	}
	if len(route.HandlersRaw) > 0 {
		// Caddy puts those that it loads behind it.
		guard := new(errorGuard)
		guard.add(names)
		route.Handlers = []caddyhttp.MiddlewareHandler{guard}
		return nil
	}
	for _, handler := range route.Handlers {
		subroute, ok := handler.(*caddyhttp.Subroute)
		if !ok {
			continue
		}
		insertGuard(&subroute.Routes, false).add(names)
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
