package logtoauth

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

// A survey looks at whole sites, for mistakes that no directive can see alone.
// What a variable is set from is in survey_sources.go.
// It only warns: what a handler of another module does inside is not known.

// surveyedServer is what a survey looks at of one server.
type surveyedServer struct {
	Listen      []string                    `json:"listen"`
	Routes      []httproutes.Route          `json:"routes"`
	NamedRoutes map[string]httproutes.Route `json:"named_routes"`
	Errors      struct {
		Routes []httproutes.Route `json:"routes"`
	} `json:"errors"`
}

// siteWarning is a warning about a site.
type siteWarning struct {
	site string
	warning
}

// surveyedSite is one site of a server: its routes on one level, and all that
// is somewhere below them.
type surveyedSite struct {
	name   string
	hosts  []string // none: all
	routes []httproutes.Route
	below  contents
}

// warnings lists the mistakes in all sites of a server.
func (s *surveyedServer) warnings() []siteWarning {
	var found []siteWarning
	sites := s.sites()
	shared := sites[len(sites)-1].below
	all := s.contentsOf(s.Routes...)
	for _, site := range sites {
		add := func(setting, text string) {
			found = append(found, siteWarning{site.name, warning{setting, text}})
		}
		if site.below.uses(requireDirective) && !site.below.uses(authDirective) && !shared.uses(authDirective) {
			add(requireDirective, "logto_require refuses every request, because the site has no logto_auth that could admit one; add logto_auth to the site")
		}
		if site.below.leavesErrors && !site.below.answersErrors && !s.answersErrors(site.hosts) {
			add("errors", "errors handle_errors leaves refusals to handle_errors, which the site does not have: clients get an answer without a body; add handle_errors, or remove the line")
		}
		for _, text := range httproutes.RewriteWarnings(site.routes, authDirective, requireDirective) {
			add("matcher", text)
		}
		if doubtful := site.below.doubtfulOrganizations(all.sources); len(doubtful) > 0 {
			names := strings.Join(doubtful, ", ")
			add("organization", "nobody can tell what sets "+names+", or it is set from a header, a query parameter, a cookie or the TLS server name. A client can send two of them, and the application may use the other one. "+
				"Set "+names+" from the host or the path, or write the placeholder itself, such as {header.X-Org}, in place of "+names)
		}
		if !site.below.uses(authDirective) && !shared.uses(authDirective) || site.below.uses("authentication") || shared.uses("authentication") {
			continue // its placeholders are another module's, too
		}
		texts := slices.Concat(site.below.texts, s.errorContents(site.hosts).texts)
		for _, name := range unknownUserPlaceholders(texts) {
			add("placeholder", "logto_auth knows no placeholder {"+userPrefix+name+"}"+similarUserPlaceholder(name))
		}
	}
	return found
}

// sites takes the routes of a server apart as the Caddyfile adapter has put
// them together: a terminal route with one subroute for each site, or, for the
// only site of a server, all its routes. The last one holds what is no site's
// own and runs for the requests of each.
func (s *surveyedServer) sites() []surveyedSite {
	var sites []surveyedSite
	shared := surveyedSite{name: strings.Join(s.Listen, " ")}
	for _, route := range s.Routes {
		hosts := route.Hosts()
		var kind struct {
			Handler string             `json:"handler"`
			Routes  []httproutes.Route `json:"routes"`
		}
		whole := len(route.Handle) == 1 && json.Unmarshal(route.Handle[0], &kind) == nil && kind.Handler == "subroute"
		switch {
		case whole && (len(hosts) > 0 || route.Terminal):
			site := surveyedSite{name: strings.Join(hosts, " "), hosts: hosts, routes: kind.Routes}
			if site.name == "" {
				site.name = shared.name
			}
			site.below = s.contentsOf(route)
			sites = append(sites, site)
		case len(hosts) > 0:
			sites = append(sites, surveyedSite{strings.Join(hosts, " "), hosts, []httproutes.Route{route}, s.contentsOf(route)})
		default:
			shared.routes = append(shared.routes, route)
		}
	}
	shared.below = s.contentsOf(shared.routes...)
	return append(sites, shared)
}

// answersErrors reports whether the server has error routes that answer
// requests for one of the hosts.
func (s *surveyedServer) answersErrors(hosts []string) bool {
	return slices.ContainsFunc(s.errorContents(hosts).handlers, func(name string) bool {
		// Ours only tidy up, a subroute alone does nothing.
		return !strings.HasPrefix(name, "logto_") && name != "subroute"
	})
}

// errorContents gives what is below the error routes that may run for one of
// the hosts: the first terminal one with a matching host is the last, be it that
// of another site.
func (s *surveyedServer) errorContents(hosts []string) contents {
	if len(hosts) == 0 {
		return s.contentsOf(s.Errors.Routes...)
	}
	var routes []httproutes.Route
	hosts = slices.Clone(hosts)
	for _, route := range s.Errors.Routes {
		own := route.Hosts()
		runs := func(host string) bool { return len(own) == 0 || hostMatches(own, host) }
		if !slices.ContainsFunc(hosts, runs) {
			continue
		}
		routes = append(routes, route)
		if route.Terminal && !slices.ContainsFunc(route.Match, func(set map[string]json.RawMessage) bool {
			return len(set) != 1 || set["host"] == nil
		}) {
			hosts = slices.DeleteFunc(hosts, runs)
		}
	}
	return s.contentsOf(routes...)
}

// hostMatches reports whether one of the patterns matches a host, which may be
// a pattern itself.
func hostMatches(patterns []string, host string) bool {
	ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer())
	request := (&http.Request{Host: host}).WithContext(ctx)
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		// One at a time: Caddy searches long lists as if they were sorted, which
		// provisioning does.
		ok, _ := caddyhttp.MatchHost{pattern}.MatchWithError(request) // it never fails
		return ok || pattern == host
	})
}

// contents is all that is below some routes, however deep and inside whatever
// handlers.
type contents struct {
	handlers      []string // their names
	texts         []string // all strings
	organizations []string // the IDs that logto_auth and logto_require ask for
	leavesErrors  bool     // a logto_auth has `errors handle_errors`
	answersErrors bool     // a subroute has error routes of its own
	sources       sources
}

func (c *contents) uses(handler string) bool { return slices.Contains(c.handlers, handler) }

// contentsOf gives what is below routes, the named routes they invoke
// included.
func (s *surveyedServer) contentsOf(routes ...httproutes.Route) contents {
	c := contents{sources: make(sources)}
	invoked := make(map[string]bool)
	for _, route := range routes {
		c.addRoute(s, route, invoked)
	}
	return c
}

func (c *contents) addRoute(s *surveyedServer, route httproutes.Route, invoked map[string]bool) {
	for _, set := range route.Match {
		for name, raw := range set {
			var settings any
			if json.Unmarshal(raw, &settings) == nil {
				c.add(s, map[string]any{name: settings}, invoked)
			}
		}
	}
	for _, raw := range route.Handle {
		c.addJSON(s, raw, invoked)
	}
}

func (c *contents) addJSON(s *surveyedServer, raw json.RawMessage, invoked map[string]bool) {
	var value any
	if json.Unmarshal(raw, &value) == nil {
		c.add(s, value, invoked)
	}
}

// add notes one JSON value, which may be a handler or hold some.
func (c *contents) add(s *surveyedServer, value any, invoked map[string]bool) {
	switch v := value.(type) {
	case string:
		c.texts = append(c.texts, v)
	case []any:
		for _, element := range v {
			c.add(s, element, invoked)
		}
	case map[string]any:
		if name, ok := v["handler"].(string); ok {
			c.addHandler(s, name, v, invoked)
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			c.texts = append(c.texts, name)
			c.sources.addMatcher(name, v[name])
			c.add(s, v[name], invoked)
		}
	}
}

func (c *contents) addHandler(s *surveyedServer, name string, settings map[string]any, invoked map[string]bool) {
	c.handlers = append(c.handlers, name)
	c.sources.addHandler(name, settings)
	switch name {
	case requireDirective:
		c.organizations = append(c.organizations, textsIn(settings["organizations"])...)
	case authDirective:
		c.organizations = append(c.organizations, textsIn(settings["organizations"])...)
		c.leavesErrors = c.leavesErrors || settings["errors"] == errorsHandleErrors
	case "subroute":
		c.answersErrors = c.answersErrors || settings["errors"] != nil
	case "invoke":
		// Named routes can invoke each other in a circle.
		if route, ok := settings["name"].(string); ok && !invoked[route] {
			invoked[route] = true
			c.addRoute(s, s.NamedRoutes[route], invoked)
		}
	}
}

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
			return own.(*App).survey(app)
		}
	}
	return nil
}

// survey warns once for each config. It returns an error for what cannot work
// at all.
func (a *App) survey(app *caddyhttp.App) error {
	a.surveyed.Do(func() {
		for _, name := range slices.Sorted(maps.Keys(app.Servers)) {
			server := surveyed(app.Servers[name])
			auths, unmet := server.findAuths()
			for _, w := range slices.Concat(server.warnings(), unmet, conflictingWebhooks(auths)) {
				a.env.Logger.Warn(w.text, zap.String("setting", w.setting), zap.String("site", w.site))
			}
			a.auths = append(a.auths, auths...)
			if a.surveyErr == nil {
				a.surveyErr = conflictingSignIns(auths)
			}
		}
	})
	return a.surveyErr
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

// routeOf gives the config of a route. Caddy drops the JSON of each module that
// it has loaded. When the first handler of ours is provisioned, these are all
// matchers of the server's own routes and the handlers before ours: their
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
