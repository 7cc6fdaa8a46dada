package logtoauth

import (
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// Scopes and resources that Logto knows by name.
const (
	scopeOpenID        = "openid"
	scopeOrganizations = "urn:logto:scope:organizations"
	scopeOrgRoles      = "urn:logto:scope:organization_roles"

	// resourceOrganizations must be in the authorization request for a token
	// that has organization permissions. It is no resource to ask a token for.
	resourceOrganizations = "urn:logto:resource:organizations"
)

// claimScopes are the scopes that put a claim into the ID token.
var claimScopes = map[string]string{
	"name": "profile", "picture": "profile", "username": "profile", "preferred_username": "profile",
	"given_name": "profile", "family_name": "profile", "nickname": "profile", "profile": "profile",
	"website": "profile", "gender": "profile", "birthdate": "profile", "zoneinfo": "profile", "locale": "profile",
	"updated_at": "profile", "created_at": "profile",
	"email": "email", "email_verified": "email",
	"phone_number": "phone", "phone_number_verified": "phone",
	"address": "address", "roles": "roles",
	"organizations": scopeOrganizations, "organization_roles": scopeOrgRoles,
}

// signIn is what a logto_auth with sign_in does for people with a browser.
type signIn struct {
	*SignIn
	handler *Handler
	app     *application
	lists   *tenantLists // which must have been read before a session is judged
	pages   *pages
	base    *url.URL // base_url; nil: the site is the request's
	timeout time.Duration

	// ownOrigin lets only this site's pages sign people out.
	ownOrigin *originGuard

	lastOrigin atomic.Pointer[requestedOrigin] // of the last request

	leftOut sync.Once // the warning about claims that do not fit into a cookie

	// identity says that the claims of the ID token are what is checked.
	identity bool

	// only is what the site needs a token for, unless that differs by request.
	only []session.Target

	// wanted is what a sign-in asks for. It is known when the whole config is
	// loaded.
	wanted func() asking
}

// asking is what a sign-in asks Logto for.
type asking struct {
	scopes, resources []string

	// resource is what the code is exchanged for; empty if its access token is
	// not used.
	resource string

	// targetScopes and targetResources are what a sign-in must have asked for to
	// get any token that the site checks.
	targetScopes, targetResources []string

	// claims are those that a cookie must not leave out for others: without the
	// first ones no identity can be judged, and the others are named by the
	// site's rules.
	claims []string
}

// newSignIn is called by Provision, with defaults applied.
func (h *Handler) newSignIn(app *App, settings applicationSettings) (*signIn, error) {
	s := &signIn{
		SignIn: h.SignIn, handler: h,
		identity: h.identityMode(),
		timeout:  time.Duration(h.FetchTimeout),
	}
	sealing, err := h.SignIn.keys()
	if err != nil {
		return nil, err
	}
	settings.clientID, settings.clientSecret, settings.sealing = h.SignIn.ClientID, h.SignIn.ClientSecret, sealing
	if s.app, err = app.application(&settings); err != nil {
		return nil, err
	}
	s.app.lastFor(time.Duration(s.Lifetime))
	s.lists = app.listsOf(s.app.endings, &settings.config)
	switch {
	case s.identity:
		s.only = []session.Target{{}}
	case !h.requirements.organization.asked():
		s.only = []session.Target{{Resource: h.Audiences[0]}}
	}
	if h.SignIn.BaseURL != "" {
		if s.base, err = url.Parse(h.SignIn.BaseURL); err != nil {
			return nil, err
		}
	}
	if s.ownOrigin, err = newOriginGuard(nil); err != nil {
		return nil, err
	}
	s.pages = newPages(s.Path, originOf(s.app.issuer), originOf(s.SignedOut))
	s.wanted = sync.OnceValue(func() asking { return s.ask(app.requiredBy(h), app.claimsBeside(h)) })
	return s, nil
}

// ask puts together what a sign-in asks for: what this logto_auth checks, and
// the logto_require lines of the site. The claims beside are those that the
// others of the app name: each of them may be the one that writes the cookie.
func (s *signIn) ask(required asked, beside []string) asking {
	h := s.handler
	scopes := []string{scopeOpenID}
	if *s.Offline {
		scopes = append(scopes, offlineAccess)
	}
	scopes = mergeScopes(scopes, s.Scopes, h.Scopes, h.AnyScopes, required.scopes)
	var a asking
	switch model := h.requirements.model; {
	case s.identity:
		own := s.handler.namedClaims(required.claims)
		scopes = mergeScopes(scopes, scopesOfClaims(own))
		beside = mergeScopes(own, beside)
	case model == modelOrganization:
		a.resources = []string{resourceOrganizations}
	default:
		a.resources = []string{h.Audiences[0]}
		if model == modelGlobal {
			a.resource = h.Audiences[0]
		}
	}
	if h.requirements.organization.asked() {
		a.targetScopes = []string{scopeOrganizations}
	}
	if h.requirements.organization.asked() || required.organization {
		scopes = mergeScopes(scopes, []string{scopeOrganizations})
	}
	a.scopes, a.targetResources, a.claims = scopes, a.resources, beside
	return a
}

// scopesOfClaims are the scopes that put claims into the ID token.
func scopesOfClaims(names []string) []string {
	var scopes []string
	for _, name := range names {
		if scope, ok := claimScopes[name]; ok {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// and adds what another sign-in has asked for: old ∪ new.
func (a asking) and(scopes, resources []string) asking {
	a.scopes = mergeScopes(scopes, a.scopes)
	a.resources = mergeScopes(a.resources, resources) // its own come first: see [session.State]
	return a
}

// namedClaims are those that identities need, and those that the rules name.
func (h *Handler) namedClaims(required []string) []string {
	names := []string{"iss", "aud", "exp", "iat"}
	add := func(path string) {
		if segments, err := jsonobject.ParsePath(path); err == nil {
			names = append(names, segments[0])
		}
	}
	for _, claim := range h.Claims {
		add(claim.Path)
	}
	for _, header := range h.ForwardClaims {
		add(header.Claim)
	}
	for _, path := range required {
		add(path)
	}
	return names
}

// issuerEndpoint is an address at Logto for browsers. Discovery is not asked:
// its endpoints follow the Host of whoever asks.
func (s *signIn) issuerEndpoint(path string, query url.Values) string {
	return strings.TrimSuffix(s.app.issuer, "/") + path + "?" + query.Encode()
}

// applicationSettings is what applications are made of, besides the app's own settings.
func (h *Handler) applicationSettings(shared *tenant, config keys.Config) applicationSettings {
	return applicationSettings{tenant: shared, config: config, cacheSize: *h.CacheSize, rules: h.validator.rules}
}
