package logtoauth

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

// asked is what the logto_require handlers ask for that run behind a
// logto_auth.
type asked struct {
	scopes       []string // those of any_scope included
	organization bool     // one of them asks for an organization
	claims       []string // the paths
}

func (a *asked) add(q *Require) {
	a.scopes = mergeScopes(a.scopes, q.Scopes, q.AnyScopes)
	a.organization = a.organization || len(q.Organizations) > 0 || q.OrganizationMode == organizationAny
	for _, claim := range q.Claims {
		if !slices.Contains(a.claims, claim.Path) {
			a.claims = append(a.claims, claim.Path)
		}
	}
}

func (a *asked) merge(b asked) {
	a.add(&Require{Scopes: b.scopes})
	a.organization = a.organization || b.organization
	for _, path := range b.claims {
		a.add(&Require{Claims: []ClaimRequirement{{Path: path}}})
	}
}

// foundAuth is a logto_auth in the routes of a server.
type foundAuth struct {
	written  string   // see Handler.written
	settings *Handler // as they are written: nothing is expanded
	server   *surveyedServer
	reach    reach
	behind   asked
}

// reach tells for which hosts a route may run. The first ones of some routes
// take hosts away from those behind them: `*.example.com` does not run for
// a.example.com if that is a site of its own.
type reach struct {
	hosts []string // none: all
	gone  []string
	where []string // the matchers on the way, from the outermost, without hosts
}

// within returns the part of the reach that a route for these hosts has.
func (r reach) within(hosts []string) reach {
	if len(r.hosts) == 0 {
		r.hosts = hosts
		return r
	}
	var both []string
	for _, host := range hosts {
		if hostMatches(r.hosts, host) {
			both = append(both, host)
		}
	}
	if len(both) > 0 {
		r.hosts = both
	}
	return r
}

// without returns the reach behind a route that takes these hosts away.
func (r reach) without(hosts []string) reach {
	r.gone = slices.Concat(r.gone, hosts)
	return r
}

// behind returns the reach behind matchers, which it names.
func (r reach) behind(sets httproutes.MatcherSets) reach {
	var others httproutes.MatcherSets
	for _, set := range sets {
		set = maps.Clone(set)
		delete(set, "host")
		if len(set) == 0 {
			return r // every request to one of the hosts
		}
		others = append(others, set)
	}
	if text := others.String(); text != "" {
		r.where = append(slices.Clone(r.where), text)
	}
	return r
}

// meets reports whether some host is in both.
func (r reach) meets(other reach) bool {
	if len(r.hosts) == 0 && len(other.hosts) == 0 {
		return true
	}
	return slices.ContainsFunc(slices.Concat(r.hosts, other.hosts), func(host string) bool {
		return r.includes(host) && other.includes(host)
	})
}

func (r reach) includes(host string) bool {
	return (len(r.hosts) == 0 || hostMatches(r.hosts, host)) && !hostMatches(r.gone, host)
}

// findAuths lists every logto_auth of a server with what runs behind it. Of
// handlers that other modules have inside, such as handle_response, all is
// taken to run.
func (s *surveyedServer) findAuths() (auths []*foundAuth, unmet []siteWarning) {
	f := &authFinder{server: s}
	f.routes(s.Routes, reach{}, nil)
	// An error may come from any route.
	f.routes(s.Errors.Routes, reach{}, f.auths)
	return f.auths, f.unmet
}

// authFinder follows the routes in the order in which requests do.
type authFinder struct {
	server   *surveyedServer
	auths    []*foundAuth
	unmet    []siteWarning
	invoking []string // named routes can invoke each other in a circle
}

// routes follows routes for requests for which the handlers in before may have
// run. It returns these and those that may run in the routes.
func (f *authFinder) routes(routes []httproutes.Route, r reach, before []*foundAuth) []*foundAuth {
	var (
		ran       = slices.Clone(before)
		ranIn     = make(map[string][]*foundAuth) // by group, of which one route runs
		takenFrom = make(map[string][]string)     // hosts, by group
	)
	for _, route := range routes {
		hosts := hostsOf(route.Match)
		inside := r.without(takenFrom[route.Group]).within(hosts).behind(route.Match)
		earlier := slices.DeleteFunc(slices.Clone(ran), func(auth *foundAuth) bool {
			return slices.Contains(ranIn[route.Group], auth)
		})
		added := f.handlers(route.Handle, inside, earlier)[len(earlier):]
		if !route.Terminal {
			ran = append(ran, added...)
		}
		if route.Group != "" {
			ranIn[route.Group] = append(ranIn[route.Group], added...)
		}
		if len(hosts) > 0 && onlyHosts(route.Match) {
			if route.Terminal {
				r = r.without(hosts)
			} else if route.Group != "" {
				takenFrom[route.Group] = append(takenFrom[route.Group], hosts...)
			}
		}
	}
	return ran
}

// handlers follows the handlers of one route, as routes does.
func (f *authFinder) handlers(handlers []json.RawMessage, r reach, ran []*foundAuth) []*foundAuth {
	for _, raw := range handlers {
		var kind struct {
			Handler string             `json:"handler"`
			Name    string             `json:"name"`
			Routes  []httproutes.Route `json:"routes"`
			Errors  struct {
				Routes []httproutes.Route `json:"routes"`
			} `json:"errors"`
		}
		var settings any
		if json.Unmarshal(raw, &settings) != nil {
			continue
		}
		if json.Unmarshal(raw, &kind) != nil || kind.Handler != "subroute" && kind.Handler != "invoke" {
			ran = f.inside(settings, authDirective, r, ran)
			ran = f.inside(settings, requireDirective, r, ran)
			continue
		}
		if kind.Handler == "subroute" {
			first := len(f.auths)
			ran = f.routes(kind.Routes, r, ran)
			f.routes(kind.Errors.Routes, r, slices.Concat(ran, f.auths[first:]))
		} else if !slices.Contains(f.invoking, kind.Name) {
			f.invoking = append(f.invoking, kind.Name)
			ran = f.routes([]httproutes.Route{f.server.NamedRoutes[kind.Name]}, r, ran)
			f.invoking = f.invoking[:len(f.invoking)-1]
		}
	}
	return ran
}

// inside looks for handlers of ours with one name, in JSON.
func (f *authFinder) inside(value any, name string, r reach, ran []*foundAuth) []*foundAuth {
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			ran = f.inside(element, name, r, ran)
		}
	case map[string]any:
		if v["handler"] == name {
			raw, _ := json.Marshal(v) // it comes from JSON
			return f.handler(raw, name, r, ran)
		}
		for _, member := range slices.Sorted(maps.Keys(v)) {
			ran = f.inside(v[member], name, r, ran)
		}
	}
	return ran
}

// handler notes a logto_auth or a logto_require. What does not decode fails to
// load and says why.
func (f *authFinder) handler(raw json.RawMessage, name string, r reach, ran []*foundAuth) []*foundAuth {
	if name == authDirective {
		settings := new(Handler)
		if json.Unmarshal(raw, settings) != nil {
			return ran
		}
		auth := &foundAuth{written: settings.asWritten(), settings: settings, server: f.server, reach: r}
		f.auths = append(f.auths, auth)
		return append(ran, auth)
	}
	require := new(Require)
	if json.Unmarshal(raw, require) != nil {
		return ran
	}
	var decisive []*foundAuth
	for _, auth := range ran {
		if auth.reach.meets(r) {
			auth.behind.add(require)
			decisive = append(decisive, auth)
		}
	}
	if w, ok := unmetBehind(decisive, require); ok {
		// A named route may be invoked more than once.
		if found := (siteWarning{f.server.siteName(r), w}); !slices.Contains(f.unmet, found) {
			f.unmet = append(f.unmet, found)
		}
	}
	return ran
}

// hostsOf returns the hosts to which matchers are limited, or none.
func hostsOf(sets httproutes.MatcherSets) []string {
	var all []string
	for _, set := range sets {
		hosts := httproutes.Route{Match: httproutes.MatcherSets{set}}.Hosts()
		var wrapped httproutes.MatcherSets
		if raw, ok := set[httproutes.AnyReadingName]; ok && len(hosts) == 0 && json.Unmarshal(raw, &wrapped) == nil {
			hosts = hostsOf(wrapped)
		}
		if len(hosts) == 0 {
			return nil
		}
		all = append(all, hosts...)
	}
	return all
}

// onlyHosts reports whether matchers look at nothing but hosts.
func onlyHosts(sets httproutes.MatcherSets) bool {
	return !slices.ContainsFunc(sets, func(set map[string]json.RawMessage) bool {
		return len(set) != 1 || set["host"] == nil
	})
}

// asWritten is the text of the settings, by which a handler that is provisioned
// is found among those in the config.
func (h *Handler) asWritten() string {
	text, _ := json.Marshal(h) // its fields can all be written
	return string(text)
}

// requiredBy returns what the logto_require handlers ask for that run behind a
// logto_auth. If its place in the config is not known, all of them count. It is
// known once surveySites has run.
func (a *App) requiredBy(h *Handler) asked {
	var own, all asked
	found := false
	for _, auth := range a.auths {
		all.merge(auth.behind)
		if auth.written == h.written {
			own.merge(auth.behind)
			found = true
		}
	}
	if !found {
		return all
	}
	return own
}

// claimsBeside are the claims that the sign_in of h's app name where the ID token
// is the identity, h's own included. A browser has one cookie for all of them.
func (a *App) claimsBeside(h *Handler) []string {
	own := slices.IndexFunc(a.auths, func(auth *foundAuth) bool { return auth.written == h.written })
	if own < 0 {
		return nil
	}
	var names []string
	for _, auth := range a.auths {
		if auth.settings.identityMode() && auth.settings.SignIn.ClientID == a.auths[own].settings.SignIn.ClientID {
			names = mergeScopes(names, auth.settings.namedClaims(auth.behind.claims))
		}
	}
	return names
}
