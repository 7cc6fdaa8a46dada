package logtoauth

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

// surveySites warns of mistakes in whole sites when the first handler of ours
// in a config is provisioned: `caddy validate` does no more than provision.
// The sites are those of the HTTP app that is provisioned around the handler.
func surveySites(ctx caddy.Context) error {
	own, err := ctx.App(appName)
	if err != nil {
		return err
	}
	for _, module := range ctx.Modules() {
		if app, ok := module.(*caddyhttp.App); ok {
			own.(*App).survey(app)
		}
	}
	return nil
}

// survey warns once for each config.
func (a *App) survey(app *caddyhttp.App) {
	a.surveyed.Do(func() {
		for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
			for _, w := range surveyed(app.Servers[name]).warnings() {
				a.env.Logger.Warn(w.text, zap.String("setting", w.setting), zap.String("site", w.site))
			}
		}
	})
}

// surveyed gives the config of a server that is being provisioned.
func surveyed(server *caddyhttp.Server) *surveyedServer {
	s := &surveyedServer{
		Listen:      server.Listen,
		Routes:      routesOf(server.Routes),
		NamedRoutes: make(map[string]httproutes.Route, len(server.NamedRoutes)),
	}
	for name, route := range server.NamedRoutes {
		s.NamedRoutes[name] = routeOf(route)
	}
	if server.Errors != nil {
		s.Errors.Routes = routesOf(server.Errors.Routes)
	}
	return s
}

func routesOf(list caddyhttp.RouteList) []httproutes.Route {
	routes := make([]httproutes.Route, 0, len(list))
	for i := range list {
		routes = append(routes, routeOf(&list[i]))
	}
	return routes
}

// routeOf gives the config of a route. Caddy forgets the JSON of what it has
// loaded. That are the matchers of a server's routes, before any handler is
// loaded, and the handlers that come before the first one of ours. Their
// config is taken from the modules themselves.
func routeOf(route *caddyhttp.Route) httproutes.Route {
	config := httproutes.Route{Group: route.Group, Handle: route.HandlersRaw, Terminal: route.Terminal}
	for _, set := range route.MatcherSetsRaw {
		config.Match = append(config.Match, set)
	}
	if route.MatcherSetsRaw == nil {
		config.Match = setsOf(route.MatcherSets)
	}
	if route.HandlersRaw == nil {
		for _, handler := range route.Handlers {
			if module, ok := handler.(caddy.Module); ok {
				config.Handle = append(config.Handle, handlerOf(module))
			}
		}
	}
	return config
}

func setsOf(sets caddyhttp.MatcherSets) httproutes.MatcherSets {
	var config httproutes.MatcherSets
	for _, set := range sets {
		matchers := make(map[string]json.RawMessage)
		for _, matcher := range set {
			module, ok := matcher.(caddy.Module)
			if !ok {
				continue
			}
			var config any = module
			if readings, ok := matcher.(*AnyReading); ok {
				config = setsOf(readings.sets)
			}
			// What cannot be written as JSON is another module's, and no path.
			matchers[module.CaddyModule().ID.Name()] = caddyconfig.JSON(config, nil)
		}
		config = append(config, matchers)
	}
	return config
}

func handlerOf(module caddy.Module) json.RawMessage {
	var config any = module
	if subroute, ok := module.(*caddyhttp.Subroute); ok {
		nested := map[string]any{"routes": routesOf(subroute.Routes)}
		if subroute.Errors != nil {
			nested["errors"] = map[string]any{"routes": routesOf(subroute.Errors.Routes)}
		}
		config = nested
	}
	name := module.CaddyModule().ID.Name()
	if raw := caddyconfig.JSONModuleObject(config, "handler", name, nil); raw != nil {
		return raw
	}
	// Some module of another's that cannot be written as JSON.
	return caddyconfig.JSONModuleObject(struct{}{}, "handler", name, nil)
}
