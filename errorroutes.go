package logtoauth

import (
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
// and answers errors in another way. All this works on routes that Caddy has
// not provisioned yet, so that it then compiles the guard with them.
func guardErrorRoutes(ctx caddy.Context, names headerNames) (guarded bool, err error) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if ok && server != nil && server.Errors != nil && len(server.Errors.Routes) > 0 {
		switch site := provisioning(server.Routes); {
		case site >= 0:
			guarded = true
			err = guardServer(ctx, server, site, names)
		case provisioning(server.Errors.Routes) >= 0:
			// The handler is inside an error route, which is its block.
		default:
			_, guarded = guardOf(&server.Errors.Routes[0])
			err = guardProvisioned(ctx, server.Errors.Routes, names)
		}
	}
	for _, parent := range ctx.Modules() {
		subroute, ok := parent.(*caddyhttp.Subroute)
		if ok && subroute.Errors != nil && provisioning(subroute.Routes) >= 0 {
			guardAll(subroute.Errors, !guarded).add(names)
			guarded = true
		}
	}
	return guarded, err
}

// provisioning returns the index of the route whose handlers Caddy is loading,
// or -1. Caddy loads the routes in their order, those of a server before its
// error routes and these before named routes, and then clears what it loaded
// them from.
func provisioning(routes caddyhttp.RouteList) int {
	return slices.IndexFunc(routes, func(route caddyhttp.Route) bool { return len(route.HandlersRaw) > 0 })
}

// guardServer guards all error routes of a server, and deletes the headers in
// those of one site. The Caddyfile adapter makes a site a terminal route, and
// a terminal error route with the same matchers; a site that has the server
// for itself is neither. An error route that belongs to no site may serve any.
func guardServer(ctx caddy.Context, server *caddyhttp.Server, site int, names headerNames) error {
	all := guardAll(server.Errors, true)
	if len(names) == 0 {
		return nil
	}
	var own []*caddyhttp.Route
	for i := range server.Errors.Routes[1:] {
		route := &server.Errors.Routes[1+i]
		foreign, err := isAnotherSites(ctx, route, server.Routes, site)
		if err != nil {
			return err
		}
		if !foreign {
			own = append(own, route)
		}
	}
	if len(own) == len(server.Errors.Routes)-1 {
		all.add(names) // before matchers that might look at the headers
		return nil
	}
	for _, route := range own {
		guardRoute(route).add(names)
	}
	return nil
}

// isAnotherSites reports whether an error route serves another site than that
// of the server's route with the index site.
func isAnotherSites(ctx caddy.Context, errorRoute *caddyhttp.Route, routes caddyhttp.RouteList, site int) (bool, error) {
	if !errorRoute.Terminal || !routes[site].Terminal {
		return false, nil
	}
	// Of the routes Caddy has kept the provisioned matchers only.
	provisioned := caddyhttp.Route{MatcherSetsRaw: slices.Clone(errorRoute.MatcherSetsRaw)}
	if err := provisioned.ProvisionMatchers(ctx); err != nil {
		return false, err
	}
	if sameMatchers(provisioned.MatcherSets, routes[site].MatcherSets) {
		return false, nil
	}
	return slices.ContainsFunc(routes, func(route caddyhttp.Route) bool {
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

// guardProvisioned guards error routes that Caddy has compiled, for handlers
// in named routes, which it provisions last. A subroute, which every
// `handle_errors` is, is compiled anew for each request. A named route may be
// invoked by every site of the server, so the headers are deleted in all.
func guardProvisioned(ctx caddy.Context, routes caddyhttp.RouteList, names headerNames) error {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *errorGuard:
				handler.add(names)
			case *caddyhttp.Subroute:
				guard := new(errorGuard)
				guard.add(names)
				first := caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{guard}}
				if err := first.ProvisionHandlers(ctx, nil); err != nil {
					return err
				}
				handler.Routes = slices.Insert(handler.Routes, 0, first)
			}
		}
	}
	return nil
}

// guardAll returns the guard of all error routes, which is in the first one.
func guardAll(errors *caddyhttp.HTTPErrorConfig, last bool) *errorGuard {
	if len(errors.Routes) > 0 {
		if guard, ok := guardOf(&errors.Routes[0]); ok {
			return guard
		}
	}
	guard := &errorGuard{last: last}
	errors.Routes = slices.Insert(errors.Routes, 0, caddyhttp.Route{Handlers: []caddyhttp.MiddlewareHandler{guard}})
	return guard
}

// guardRoute returns the guard of one error route, which is its first handler.
func guardRoute(route *caddyhttp.Route) *errorGuard {
	if guard, ok := guardOf(route); ok {
		return guard
	}
	guard := new(errorGuard)
	route.Handlers = slices.Insert(route.Handlers, 0, caddyhttp.MiddlewareHandler(guard))
	return guard
}

func guardOf(route *caddyhttp.Route) (*errorGuard, bool) {
	if len(route.Handlers) == 0 {
		return nil, false
	}
	guard, ok := route.Handlers[0].(*errorGuard)
	return guard, ok
}
