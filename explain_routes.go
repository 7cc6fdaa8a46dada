package logtoauth

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// someURL stands for the URL in a question about all requests.
var someURL = &url.URL{Scheme: "https", Host: "localhost", Path: "/"}

// siteConfig is what there is to know of a config: its HTTP servers and their
// routes, and its storage.
type siteConfig struct {
	Apps struct {
		HTTP struct {
			Servers map[string]siteServer `json:"servers"`
		} `json:"http"`
	} `json:"apps"`
	StorageRaw json.RawMessage `json:"storage" caddy:"namespace=caddy.storage inline_key=module"`
}

// position is where a request stands on its way through the handlers.
type position struct {
	ended   bool     // an answer was given; nothing behind it runs
	depends []string // on what it depends that a request gets here
	where   []string // the matchers on the way here

	// rewritten are the directives that may have changed the request.
	rewritten rewriters

	// auth is the logto_auth that ran last.
	auth *examination

	// before are the directives that may have answered a request for which
	// there is no file.
	before []string
}

// maxNesting bounds how deep routes may nest: named routes can invoke each
// other in a circle.
const maxNesting = 100

// walker follows a request through a config and lets every handler of ours
// on the way say what it thinks of a token.
type walker struct {
	question
	token   string
	adjust  func(map[string]json.RawMessage) error // the settings of a logto_auth before they are loaded
	clock   clock
	server  siteServer
	nesting int
	told    []*explanation
	answers []string // the directives that answer, in the order they are met
}

// servers follows the request through the servers that listen on its port. If
// none of them has a site for it, unserved says so.
func (e *walker) servers(config *siteConfig) (unserved string, err error) {
	all := config.Apps.HTTP.Servers
	served := e.original == nil
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e.server = all[name]
		if e.original != nil {
			port := cmp.Or(e.original.URL.Port(), keys.DefaultPort(e.original.URL.Scheme))
			serves, err := e.serves(e.server)
			if err != nil {
				return "", err
			}
			if !serves || !e.server.listensOn(port) {
				continue
			}
			served = true
		}
		if _, err := e.routes(e.server.Routes, position{}); err != nil {
			return "", err
		}
	}
	for _, told := range e.told {
		told.addHints()
	}
	if !served {
		return e.unserved(all)
	}
	return "", nil
}

// routes follows the request through a list of routes.
func (e *walker) routes(routes []httproutes.Route, at position) (position, error) {
	if e.nesting++; e.nesting > maxNesting {
		return at, fmt.Errorf("routes are nested more than %d deep", maxNesting)
	}
	defer func() { e.nesting-- }()
	taken := make(map[string]certainty) // groups that an earlier route has taken
	before := make(map[string]position) // groups, as they were before their first route
	for _, route := range routes {
		if at.ended {
			break
		}
		matched, depends, err := e.match(route.Match, at.rewritten)
		if err != nil {
			return at, err
		}
		if first := answersFirst(route.Match); first != "" && matched != no {
			at.before = append(slices.Clone(at.before), at.placed(first))
		}
		entry := at
		if route.Group != "" {
			matched = min(matched, taken[route.Group].not())
			if first, ok := before[route.Group]; ok {
				entry.auth, entry.rewritten = first.auth, first.rewritten
			} else {
				before[route.Group] = at
			}
		}
		if matched == no {
			continue
		}
		taken[route.Group] = max(taken[route.Group], matched)
		inside, err := e.handlers(route.Handle, entry.into(depends, e.whereabouts(route)))
		if err != nil {
			return at, err
		}
		at = at.after(inside, matched, depends, route.Terminal)
	}
	return at, nil
}

// into is the position inside a route that matches.
func (p position) into(depends []string, where string) position {
	p.depends = slices.Concat(p.depends, depends)
	if where != "" {
		p.where = append(slices.Clone(p.where), where)
	}
	return p
}

// whereabouts tells which requests a route is for; the outermost routes are
// those of the sites.
func (e *walker) whereabouts(route httproutes.Route) string {
	if e.nesting == 1 {
		return e.server.name(route.Match)
	}
	return route.Match.String()
}

// after is the position behind a route, given the one at its end.
func (p position) after(inside position, matched certainty, depends []string, terminal bool) position {
	switch {
	case matched == yes && terminal:
		p.ended = true
		return p
	case matched == yes:
		p.ended, p.rewritten, p.auth, p.depends, p.before = inside.ended, inside.rewritten, inside.auth, inside.depends, inside.before
		return p
	}
	p.before = inside.before
	if !terminal {
		p.rewritten = p.rewritten.with(inside.rewritten)
		if inside.auth != nil {
			p.auth = inside.auth
		}
		if !inside.ended {
			return p // requests come here whether or not they matched
		}
	}
	p.depends = slices.Concat(p.depends, depends)
	return p
}

// handlers follows the request through the handlers of one route.
func (e *walker) handlers(handlers []json.RawMessage, at position) (position, error) {
	for _, raw := range handlers {
		if at.ended {
			break
		}
		var settings map[string]json.RawMessage
		var kind struct {
			Handler  string             `json:"handler"`
			Routes   []httproutes.Route `json:"routes"`
			Name     string             `json:"name"`
			PassThru bool               `json:"pass_thru"`
		}
		if err := json.Unmarshal(raw, &settings); err != nil {
			return at, fmt.Errorf("a handler: %w", err)
		}
		if err := json.Unmarshal(settings["handler"], &kind.Handler); err != nil {
			return at, fmt.Errorf("a handler without name: %w", err)
		}
		var err error
		switch kind.Handler {
		case authDirective, requireDirective, endpointsName:
			at, err = e.ask(kind.Handler, settings, at)
		case "subroute":
			if err = json.Unmarshal(raw, &kind); err == nil {
				at, err = e.within(kind.Routes, at)
			}
		case "invoke":
			if err = json.Unmarshal(raw, &kind); err == nil {
				at, err = e.within([]httproutes.Route{e.server.NamedRoutes[kind.Name]}, at)
			}
		case "rewrite":
			at.rewritten = at.rewritten.with(rewritersOf(settings))
		case "file_server":
			if err = json.Unmarshal(raw, &kind); err == nil && !kind.PassThru {
				at = e.end(at, kind.Handler, settings)
			}
		case "static_response", "reverse_proxy", "error":
			at = e.end(at, kind.Handler, settings) // they answer, and what comes behind them never runs
		}
		if err != nil {
			return at, err
		}
	}
	return at, nil
}

// rewritersOf tells which directives may stand in a Caddyfile for the settings
// of a rewrite.
func rewritersOf(settings map[string]json.RawMessage) rewriters {
	found := rewriters{}
	for name, value := range settings {
		switch {
		case name == "handler":
		case name == "method":
			found[methodPart] = append(found[methodPart], "method")
		case name == "uri" && strings.Contains(string(value), "{http.matchers.file."):
			found[urlPart] = append(found[urlPart], "try_files")
		case name == "uri":
			found[urlPart] = append(found[urlPart], "rewrite")
		case name == "strip_path_prefix":
			found[urlPart] = append(found[urlPart], "handle_path", "uri")
		default:
			found[urlPart] = append(found[urlPart], "uri")
		}
	}
	return found
}

// within follows the request through nested routes.
func (e *walker) within(routes []httproutes.Route, at position) (position, error) {
	end, err := e.routes(routes, at)
	end.where = at.where
	return end, err
}

// ask lets one handler of ours say what it thinks.
func (e *walker) ask(directive string, settings map[string]json.RawMessage, at position) (position, error) {
	delete(settings, "handler")
	written := ""
	if directive != requireDirective {
		raw, err := json.Marshal(settings)
		if err != nil {
			return at, err
		}
		if before := new(Handler); json.Unmarshal(raw, before) == nil {
			written = before.asWritten() // by which its logto_require lines are found
		}
		if err := e.adjust(settings); err != nil {
			return at, err
		}
	}
	raw, err := json.Marshal(settings)
	if err != nil {
		return at, err
	}
	module, err := e.ctx.LoadModuleByID("http.handlers."+directive, raw)
	if err != nil {
		return at, err
	}
	var told *explanation
	switch handler := module.(type) {
	case *Endpoints:
		at, _ = e.askEndpoint(&handler.Handler, at)
		return at, nil
	case *Handler:
		handler.now, handler.written = e.clock, written
		if answered, ok := e.askEndpoint(handler, at); ok {
			return answered, nil
		}
		r := e.request()
		at.auth, told = handler.explain(r, e.token, handler.organizations.asked(r, e.unknownAt(at)))
		told.Visit, at.auth.visitor = handler.visited(e.request(), e.original != nil)
	case *Require:
		r := e.request()
		told = handler.explain(r, at.auth, handler.organizations.asked(r, e.unknownAt(at)), e.original != nil && len(at.depends) == 0)
		told.Visit = handler.visited(e.request(), at.auth, e.original != nil)
	}
	e.tell(told, at)
	return at, nil
}

// tell notes what a handler says at a position.
func (e *walker) tell(told *explanation, at position) {
	told.Where = strings.Join(at.where, ", ")
	if e.original != nil {
		for _, on := range at.depends {
			told.Depends = append(told.Depends, "whether the request matches "+on)
		}
	}
	e.told = append(e.told, told)
}

// end notes a handler that answers, behind which nothing runs.
func (e *walker) end(at position, kind string, settings map[string]json.RawMessage) position {
	at.ended = true
	e.answers = append(e.answers, at.placed(answererName(kind, settings)))
	return at
}

// unknownAt names placeholders that the request does not decide at a position;
// those that it decides have no name.
func (e *walker) unknownAt(at position) func(placeholder string) string {
	return func(placeholder string) string {
		decided, changed := e.decides(placeholder, at.rewritten)
		text := "{" + placeholder + "}"
		switch {
		case decided:
			return ""
		case changed != fixedPart:
			return at.rewritten.doubt(text, changed)
		}
		return text
	}
}
