package logtoauth

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(new(Handler))
	caddy.RegisterModule(new(Require))
}

// Handler is a middleware that admits a request only with a valid access
// token issued by a Logto tenant and holding what the site asks for.
//
// The token is verified in front of every request: signature by the tenant's
// JWKS, issuer, expiry, audience, organization, scopes and claims. A request
// that does not hold is refused in the terms of RFC 6750. Verified claims are
// given to every later handler as placeholders:
//
// Placeholder | Description
// ------------|-------------
// `{http.auth.user.id}` | The subject (`sub`); Caddy's access log shows it as `user_id`
// `{http.auth.user.sub}` | The subject (`sub`)
// `{http.auth.user.client_id}` | The client the token was issued to (`client_id`)
// `{http.auth.user.organization_id}` | The organization that was checked, from `organization_id` or from an organization audience
// `{http.auth.user.issuer}` | The issuer (`iss`)
// `{http.auth.user.token_id}` | The token's ID (`jti`)
// `{http.auth.user.scopes}` | The scopes, separated by spaces
// `{http.auth.user.audience}` | The audience, separated by spaces
// `{http.auth.user.type}` | `user`, `app` (machine to machine) or `anonymous`
// `{http.auth.user.actor}` | The acting party of an impersonation token (`act.sub`)
// `{http.auth.user.expires_at}` | When the token expires, as an RFC 3339 time
// `{http.auth.user.claims.<path>}` | Any claim; dots descend, `\.` is a literal dot, digits index arrays; strings bare, all else as JSON
// `{http.auth.user.source}` | Where the identity is from: `token`, or `session` of a browser (`sign_in`)
// `{http.auth.user.session_expires_at}` | When the session ends if nothing more is requested in it, as an RFC 3339 time
// `{http.auth.user.info}` | `{"sub":…,"clientId":…,"organizationId":…,"scopes":[…],"audience":[…]}`
// `{http.auth.logto.reason}` | On refusal: the reason code
// `{http.auth.logto.sign_in_url}` | With `sign_in`, on refusal and in anonymous requests: the path that signs the person in and leads back
// `{http.auth.logto.error}` | On refusal: the text of the answer's body
//
// They are empty in requests that were not admitted with a token.
type Handler struct {
	// The tenant, as its URL with or without a trailing `/` or `/oidc`. The
	// issuer and the JWKS address come from its discovery document. If empty,
	// `issuers` must be set together with `jwks_uri` or `jwks_file`.
	// Placeholders (`{env.*}`, `{file.*}`) are expanded when the config is
	// loaded. It must be https unless it is loopback (`localhost`, a name below
	// it, 127.0.0.0/8 or `::1`) or `insecure_http` is on, without userinfo,
	// query or fragment.
	Endpoint string `json:"endpoint,omitempty"`

	// The accepted values of `iss`, compared exactly (RFC 7519 section
	// 4.1.1). Replaces the discovered issuer, so list the tenant's own domain
	// and every custom domain. The discovery document's issuer must be the
	// `endpoint`'s (`<endpoint>/oidc`) or one of these; with an internal
	// `endpoint` (a container's name), which no token names, it must be one of
	// these.
	// Default: the discovered issuer. Placeholders (`{env.*}`, `{file.*}`)
	// are expanded when the config is loaded.
	Issuers []string `json:"issuers,omitempty"`

	// The URL to fetch the tenant's keys from (RFC 7517 JWK Set). With
	// `issuers`, no discovery takes place. Default: discovered. Placeholders
	// (`{env.*}`, `{file.*}`) are expanded when the config is loaded.
	JWKSURI string `json:"jwks_uri,omitempty"`

	// The path of a file to read the tenant's keys from (RFC 7517 JWK Set).
	// It is read again on reload and every `refresh_interval`. Without a
	// usable key at load it is an error; later the old keys stay. Needs
	// `issuers`; nothing is fetched over the network. Placeholders
	// (`{env.*}`, `{file.*}`) are expanded when the config is loaded.
	JWKSFile string `json:"jwks_file,omitempty"`

	// The accepted audiences (resource indicators, RFC 8707), compared
	// exactly: `aud` must contain one of them. If empty, `organizations` or
	// `organization_mode` `any` must ask for an organization token, or
	// `sign_in` must be set.
	// Placeholders (`{env.*}`, `{file.*}`) are expanded when the config is
	// loaded.
	Audiences []string `json:"audiences,omitempty"`

	// The scopes that a token must hold, all of them. Default: none.
	// Placeholders are not expanded.
	Scopes []string `json:"scopes,omitempty"`

	// The scopes of which a token must hold at least one. Default: none.
	// Placeholders are not expanded.
	AnyScopes []string `json:"any_scopes,omitempty"`

	// The IDs of the organizations of which one must be the token's. Logto
	// assigns them, such as `rwheh3w247dn`. An ID may hold placeholders:
	// those of load time (`{env.*}`, `{file.*}`) are expanded when the config
	// is loaded, all others in each request, once, and a value that is empty,
	// unresolved or ambiguous refuses the request. A placeholder that begins
	// with `http.request.` must be one of Caddy's, but not
	// `{http.request.tls.server_name}`: write `{http.request.host}`. Excludes
	// `organization_mode`.
	Organizations []string `json:"organizations,omitempty"`

	// What to ask of the token's organization where no IDs are listed: `any`
	// (one must be present), `forbid` (none may be present), or `ignore`
	// (only the audience is checked, which lets organization tokens in).
	// Default: `forbid`, but none if `sign_in` is set without `audiences` and
	// `organizations`. Excludes `organizations`.
	OrganizationMode string `json:"organization_mode,omitempty"`

	// The claims that must hold, all of them. Default: none.
	Claims []ClaimRequirement `json:"claims,omitempty"`

	// How long ago a token may have been issued at most (`iat`). Default: no
	// limit. A token without `iat` is then refused.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	// Where a token may stand, tried in this order; the first place that
	// holds one wins. Default: the Authorization header. Several tokens in
	// one place, or a query token beside another, are refused.
	TokenSources []TokenSource `json:"token_sources,omitempty"`

	// If true, a request with no token (or with another authentication
	// scheme) passes as anonymous. A bad token is still refused.
	Optional bool `json:"optional,omitempty"`

	// If true, a genuine CORS preflight (OPTIONS with one Origin and one
	// Access-Control-Request-Method, without body, upgrade or token) passes,
	// later `logto_require` handlers included. Over HTTP/2 and HTTP/3 the
	// length of the body may be unknown; what comes is not passed on.
	BypassCORSPreflight bool `json:"bypass_cors_preflight,omitempty"`

	// The origins, besides the site's own, that may use a token from a
	// cookie with unsafe methods and protocol upgrades, as
	// `scheme://host[:port]`. On a site with https the same host with http is
	// another origin. Default: none.
	TrustedOrigins []string `json:"trusted_origins,omitempty"`

	// The request headers to set from claims for the next handler. What the
	// client sent under these names is deleted first, in headers and trailers,
	// and in the error routes of the site. In a Caddyfile that holds for every
	// request of the enclosing block; in JSON, put the handler
	// `logto_strip_identity` first for the requests that do not reach this one.
	ForwardClaims []ForwardClaim `json:"forward_claims,omitempty"`

	// If true, the token is removed, in every configured place, from the
	// request before the next handler, and from the original request that
	// error routes, `{http.request.orig_uri}` and FastCGI see. A later
	// `logto_auth` then finds none, so only the last one can have this.
	StripToken bool `json:"strip_token,omitempty"`

	// The RFC 9728 protected resource metadata to name in challenges. The
	// handler `logto_resource_metadata` serves it; a Caddyfile puts that before
	// this one, in JSON it must be written. Default: none.
	ResourceMetadata *ResourceMetadata `json:"resource_metadata,omitempty"`

	// The status for a wrong audience: 401 or 403. Default: 403, or 401 with
	// `resource_metadata` (the MCP authorization specification asks for it).
	AudienceMismatch int `json:"audience_mismatch,omitempty"`

	// How to refuse: `json` writes the JSON body, `handle_errors` returns the
	// error to Caddy's error routes after the challenge header is set.
	// Default: `json`.
	Errors string `json:"errors,omitempty"`

	// The realm of the challenge (RFC 9110 section 11.5). Default: none.
	Realm string `json:"realm,omitempty"`

	// Lets people sign in at Logto with a browser, and takes the tokens of
	// their sessions. Then neither `audiences` nor `organizations` need be
	// set: without them the claims of the person's ID token are what is
	// checked, bearer tokens are refused, and `scopes`, `any_scopes`,
	// `organization_mode` and `forward_token` cannot be set. Excludes
	// `token_sources` from cookies and queries, and `organization_mode` `any`.
	// Default: none; only requests with a token are admitted.
	SignIn *SignIn `json:"sign_in,omitempty"`

	// The signature algorithms to accept (RFC 7518 section 3.1, RFC 8037);
	// only asymmetric ones are allowed. Default: ES256 ES384 ES512 RS256
	// RS384 RS512 PS256 PS384 PS512 EdDSA.
	Algorithms []string `json:"algorithms,omitempty"`

	// The accepted `typ` values, compared without case and without an
	// `application/` prefix (RFC 8725 section 3.11). `any` alone switches
	// this check and the check of `client_id` off, which lets the tenant's ID
	// tokens in. Default: `at+jwt` (RFC 9068).
	TokenTypes []string `json:"token_types,omitempty"`

	// How far clocks may differ when `exp`, `nbf` and `iat` are judged.
	// Default: `10s`; 0 allows none.
	Leeway *caddy.Duration `json:"leeway,omitempty"`

	// How many verified tokens are kept in memory. Default: 10000; 0 keeps
	// none.
	CacheSize *int `json:"cache_size,omitempty"`

	// How often the keys are fetched anew. Default: `10m`.
	RefreshInterval caddy.Duration `json:"refresh_interval,omitempty"`

	// The least time between two fetches that an unknown `kid` forces.
	// Default: `5s`.
	RefreshCooldown caddy.Duration `json:"refresh_cooldown,omitempty"`

	// How long the last good keys serve while the tenant cannot be reached.
	// Default: `24h`; with 0 requests are answered with 503 once a fetch has
	// failed, and keys are never stored.
	MaxStale *caddy.Duration `json:"max_stale,omitempty"`

	// How long one fetch may take. Default: `5s`.
	FetchTimeout caddy.Duration `json:"fetch_timeout,omitempty"`

	// The path of a PEM file with the CA certificates to trust for the
	// tenant's TLS. Default: the system's. Placeholders (`{env.*}`,
	// `{file.*}`) are expanded when the config is loaded.
	TrustedCAFile string `json:"trusted_ca_file,omitempty"`

	// If true, a tenant over plain http that is not loopback is allowed. Who
	// can change its answers on the way can then mint identities.
	InsecureHTTP bool `json:"insecure_http,omitempty"`

	// Lets this site refuse tokens and sessions that were revoked. Default:
	// none is, but a session that has ended is ended at every site with
	// `sign_in`.
	Revocation *Revocation `json:"revocation,omitempty"`

	// If true, every request passes; what would have been refused is decided,
	// logged and counted. A refused token never sets user placeholders.
	ReportOnly bool `json:"report_only,omitempty"`

	// written is what the config said, before anything was expanded.
	written string

	logger        *zap.Logger
	now           clock
	validator     validator
	requirements  requirements
	organizations organizationIDs
	sources       tokenSources
	vary          []string
	origins       *originGuard
	identity      []identityHeader
	identityNames headerNames
	responder     responder

	// signIn is nil without sign_in, revocations without revocation.
	signIn      *signIn
	revocations *revocations

	// ownPath is the path below which all requests are for endpoints of ours;
	// empty if there are none.
	ownPath string

	// app and companions find other logto_auth with endpoints; nil where the
	// handler has none itself.
	app        *App
	companions func() []*foundAuth

	// endpointsOnly says that this handler answers the endpoints of sign_in for
	// a logto_auth of the site.
	endpointsOnly bool

	// errorRoutes says that a guard concludes a request when next fails.
	errorRoutes bool
}

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.logto_auth",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Interface guards.
var (
	_ caddy.Module                = (*Handler)(nil)
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
