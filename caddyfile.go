package logtoauth

import (
	"cmp"
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
)

const (
	authDirective    = "logto_auth"
	requireDirective = "logto_require"
)

func init() {
	httpcaddyfile.RegisterDirective(authDirective, parseAuth)
	httpcaddyfile.RegisterDirective(requireDirective, parseRequire)
	httpcaddyfile.RegisterGlobalOption(authDirective, parseGlobal)

	// Each lands right before basic_auth, so the second one stands after the
	// first: every logto_require runs after every logto_auth.
	httpcaddyfile.RegisterDirectiveOrder(authDirective, httpcaddyfile.Before, "basic_auth")
	httpcaddyfile.RegisterDirectiveOrder(requireDirective, httpcaddyfile.Before, "basic_auth")
}

// UnmarshalCaddyfile sets the handler up from Caddyfile tokens. Syntax:
//
//	logto_auth [<matcher>] {
//	    endpoint              <url>
//	    issuer                <iss...>
//	    jwks_uri              <url>
//	    jwks_file             <path>
//	    audience              <indicator...>
//	    scopes                <scope...>
//	    any_scope             <scope...>
//	    organization          <id...>|any|forbid|ignore
//	    claim                 <path> <value...>
//	    max_age               <duration>
//	    token_from            header [<name>]|cookie <name>|query <name>
//	    optional
//	    bypass_cors_preflight
//	    trusted_origins       <origin...>
//	    forward_claim         <path> <header>
//	    strip_token
//	    sign_in <app id> <app secret> {
//	        path            <prefix>
//	        scopes          <scope...>
//	        offline         on|off
//	        lifetime        <duration>
//	        idle            <duration>
//	        prompt          login|consent|select_account
//	        ui_locales      <language...>
//	        unauthenticated auto|401
//	        forward_token
//	        base_url        <url>
//	        signed_out      <path|url>
//	        session_key     <base64...>
//	    }
//	    resource_metadata {
//	        resource      <url>
//	        scopes        <scope...>
//	        name          <text>
//	        documentation <url>
//	    }
//	    audience_mismatch     401|403
//	    errors                json|handle_errors
//	    realm                 <text>
//	    algorithms            <alg...>
//	    token_type            <typ...>|any
//	    leeway                <duration>
//	    cache_size            <n>
//	    refresh_interval      <duration>
//	    refresh_cooldown      <duration>
//	    max_stale             <duration>
//	    fetch_timeout         <duration>
//	    trusted_ca_file       <path>
//	    insecure_http
//	    revocation {
//	        keep           <duration>
//	        webhook_secret <key>
//	        path           <prefix>
//	    }
//	    report_only
//	}
//
// claim, token_from and forward_claim may be repeated; the blocks of sign_in
// and resource_metadata and each of their lines may be left out.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return h.unmarshal(d, positions{})
}

func (h *Handler) unmarshal(d *caddyfile.Dispenser, written positions) error {
	d.Next() // consume directive name
	if d.NextArg() {
		return d.Errf("%s takes a matcher and a block; write %q as a subdirective", authDirective, d.Val())
	}
	if err := unmarshalBlock(d, h, handlerSettings, "", written); err != nil {
		return err
	}
	return endOfDirective(d)
}

// UnmarshalCaddyfile sets the handler up from Caddyfile tokens. Syntax:
//
//	logto_require [<matcher>] [<scope...>] {
//	    scopes       <scope...>
//	    any_scope    <scope...>
//	    organization <id...>|any|forbid
//	    claim        <path> <value...>
//	}
//
// Scopes on the first line and in the block add up. claim may be repeated. A
// scope that begins with a slash or an at sign would be taken for a matcher on
// the first line, so it belongs in the block.
func (q *Require) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return q.unmarshal(d, positions{})
}

func (q *Require) unmarshal(d *caddyfile.Dispenser, written positions) error {
	d.Next() // consume directive name
	q.Scopes = d.RemainingArgs()
	if err := unmarshalBlock(d, q, requireBlock, "", written); err != nil {
		return err
	}
	return endOfDirective(d)
}

// parseAuth turns one logto_auth directive into its routes.
func parseAuth(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	matcher, err := extractMatcher(h)
	if err != nil {
		return nil, err
	}
	handler, written := new(Handler), positions{}
	if err := handler.unmarshal(h.Dispenser, written); err != nil {
		return nil, err
	}
	if global, ok := h.Option(authDirective).(*globalOption); ok {
		handler.inherit(global.settings)
		written.inherit(global.written)
	}
	if err := written.locate(handler.problems(adapting), firstToken(h.Dispenser)); err != nil {
		return nil, err
	}
	return authRoutes(h, handler, matcher), nil
}

// authRoutes gives the routes that a logto_auth directive stands for, in the
// order in which Caddy sorts them among those of other logto_auth directives of
// the block: longer paths first, routes without a matcher last, all else as
// written. Those that serve requests which the directive's matcher leaves out
// have a path of their own, so that they neither fall behind the directive
// whose matcher might look at an identity header, nor change the order of the
// others.
func authRoutes(h httpcaddyfile.Helper, handler *Handler, matcher caddy.ModuleMap) []httpcaddyfile.ConfigValue {
	order := orderOf(h, authDirective)
	var routes []httpcaddyfile.ConfigValue
	if handler.ResourceMetadata != nil {
		const pattern = metadataPath + "*"
		route := pathMatcher(pattern)
		order.add(pattern, route)
		routes = append(routes, newRoute(route, metadataName, handler.metadata()))
	}
	if path := handler.endpointsPath(); path != "" {
		// First: with a path, or for one that a rewrite has changed, other
		// logto_auth directives of the block might refuse a callback.
		route := caddy.ModuleMap{endpointsName: caddyconfig.JSON(MatchEndpoints{Path: path}, nil)}
		order.addFirst(route)
		routes = append(routes, newRoute(route, endpointsName, handler))
	}
	auth := newRoute(underAnyReading(matcher, order), authDirective, handler)
	if len(handler.ForwardClaims) > 0 {
		strip := new(StripIdentity)
		for _, forward := range handler.ForwardClaims {
			strip.Headers = append(strip.Headers, forward.Header)
		}
		stripping := newRoute(pathMatcher("*"), stripName, strip)
		if httproutes.OnlyPath(matcher) != "" {
			auth, stripping = stripping, auth
		}
		routes = append(routes, stripping)
	}
	routes = append(routes, auth)
	if handler.SignIn != nil && len(matcher) > 0 {
		// Behind the directive, whose matcher may look at cookies.
		routes = append(routes, newRoute(nil, stripName, &StripIdentity{SignInCookies: true}))
	}
	return routes
}

// endpointsPath is the path below which the handler has endpoints of its own, or
// "". Defaults need not be applied.
func (h *Handler) endpointsPath() string {
	switch {
	case h.SignIn != nil:
		return cmp.Or(h.SignIn.Path, defaultSignInPath)
	case h.Revocation.takesWebhooks():
		return cmp.Or(h.Revocation.Path, defaultSignInPath)
	}
	return ""
}

func pathMatcher(pattern string) caddy.ModuleMap {
	return caddy.ModuleMap{"path": caddyconfig.JSON(caddyhttp.MatchPath{pattern}, nil)}
}

// parseRequire turns one logto_require directive into its route.
func parseRequire(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	matcher, err := extractMatcher(h)
	if err != nil {
		return nil, err
	}
	handler, written := new(Require), positions{}
	if err := handler.unmarshal(h.Dispenser, written); err != nil {
		return nil, err
	}
	if err := written.locate(handler.problems(adapting), firstToken(h.Dispenser)); err != nil {
		return nil, err
	}
	matcher = underAnyReading(matcher, orderOf(h, requireDirective))
	return []httpcaddyfile.ConfigValue{newRoute(matcher, requireDirective, handler)}, nil
}

// extractMatcher takes the matcher off the directive's line. The adapter's own
// wrapper for handlers does the same but reports an undefined matcher without
// its file and line.
func extractMatcher(h httpcaddyfile.Helper) (caddy.ModuleMap, error) {
	h.Next() // consume directive name
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, h.WrapErr(err)
	}
	if len(matcher) == 0 && h.IsNamedRoute() {
		// Where all directives of a named route have no matcher, the adapter
		// of Caddy 2.11.9 makes one route of them and keeps only its first
		// handler: the others, which may be ours, are gone without a word. A
		// matcher for all requests keeps the routes apart.
		return pathMatcher("*"), nil
	}
	return matcher, nil
}

// newRoute gives a route that runs one handler on the requests that match.
func newRoute(matcher caddy.ModuleMap, name string, handler any) httpcaddyfile.ConfigValue {
	route := caddyhttp.Route{
		HandlersRaw: []json.RawMessage{caddyconfig.JSONModuleObject(handler, "handler", name, nil)},
	}
	if matcher != nil {
		route.MatcherSetsRaw = []caddy.ModuleMap{matcher}
	}
	return httpcaddyfile.ConfigValue{Class: "route", Value: route}
}

// globalOption holds what the global option logto_auth sets for every
// directive of that name.
type globalOption struct {
	settings *Handler
	written  positions
}

// parseGlobal reads the global option logto_auth. Its settings are judged here
// as far as they can be without the site's, so that a mistake is reported once
// and where it stands.
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next() // consume option name
	name := d.Token()
	if existing != nil {
		return nil, d.Errf("the global option %s is given twice; write all defaults in one block", authDirective)
	}
	if d.NextArg() {
		return nil, d.Errf("the global option %s takes a block only", authDirective)
	}
	global := &globalOption{settings: new(Handler), written: positions{}}
	if err := unmarshalBlock(d, global.settings, globalBlock, "", global.written); err != nil {
		return nil, err
	}
	if err := endOfDirective(d); err != nil {
		return nil, err
	}
	if err := global.written.locate(global.settings.problems(sharing), name); err != nil {
		return nil, err
	}
	return global, nil
}

// inherit takes from the global option what the site leaves out. Endpoint,
// issuers and the places of the keys go together: a site that names its own
// tenant must not be given the keys or issuers of another one.
func (h *Handler) inherit(global *Handler) {
	if !h.namesTenant() {
		h.Endpoint = global.Endpoint
		h.Issuers = global.Issuers
		h.JWKSURI = global.JWKSURI
		h.JWKSFile = global.JWKSFile
	}
	if h.Algorithms == nil {
		h.Algorithms = global.Algorithms
	}
	if h.TokenTypes == nil {
		h.TokenTypes = global.TokenTypes
	}
	h.TrustedCAFile = cmp.Or(h.TrustedCAFile, global.TrustedCAFile)
	h.InsecureHTTP = h.InsecureHTTP || global.InsecureHTTP
	h.Leeway = cmp.Or(h.Leeway, global.Leeway)
	h.RefreshInterval = cmp.Or(h.RefreshInterval, global.RefreshInterval)
	h.RefreshCooldown = cmp.Or(h.RefreshCooldown, global.RefreshCooldown)
	h.MaxStale = cmp.Or(h.MaxStale, global.MaxStale)
	h.FetchTimeout = cmp.Or(h.FetchTimeout, global.FetchTimeout)
	h.CacheSize = cmp.Or(h.CacheSize, global.CacheSize)
	h.Realm = cmp.Or(h.Realm, global.Realm)
	h.Errors = cmp.Or(h.Errors, global.Errors)
	if global.Revocation != nil {
		h.Revocation = h.Revocation.inherit(global.Revocation)
	}
}

// namesTenant reports whether any of the settings that name a tenant is set.
func (h *Handler) namesTenant() bool {
	return h.Endpoint != "" || len(h.Issuers) > 0 || h.JWKSURI != "" || h.JWKSFile != ""
}

// Interface guards.
var (
	_ caddyfile.Unmarshaler = (*Handler)(nil)
	_ caddyfile.Unmarshaler = (*Require)(nil)
)
