package logtoauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/httproutes"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

func init() {
	caddy.RegisterModule(new(Endpoints))
	caddy.RegisterModule(new(MatchEndpoints))
}

// endpointsName is the name, among handlers and matchers, of what a Caddyfile
// puts first in a block that has endpoints of ours.
const endpointsName = httproutes.EndpointsName

// endpoint is one of sign_in's addresses.
type endpoint struct {
	methods []string

	// personal says that a person's browser asks, which needs https.
	personal bool

	serve func(*signIn, http.ResponseWriter, *http.Request, *requestState) error
}

// endpoints are those below path.
var endpoints = map[string]endpoint{
	"sign-in":    {[]string{http.MethodGet}, true, (*signIn).serveSignIn},
	"callback":   {[]string{http.MethodGet}, true, (*signIn).callback},
	"session":    {[]string{http.MethodGet, http.MethodHead}, true, (*signIn).serveSession},
	"sign-out":   {[]string{http.MethodGet, http.MethodPost}, true, (*signIn).serveSignOut},
	"signed-out": {[]string{http.MethodGet, http.MethodHead}, true, (*signIn).serveSignedOut},

	"back-channel-logout": {[]string{http.MethodPost}, false, (*signIn).serveBackChannelLogout},
}

// belowPath returns what stands below path in the address of a request as the
// client sent it, and reports whether it is there at all. The decoded path is
// compared and nothing resolved, so that `/.logto/../x` is an endpoint that
// does not exist. Neither does one whose path has to be resolved first, such as
// `/x/../.logto/session`: servers behind us might take it for what is below.
func belowPath(r *http.Request, prefix string) (name string, below bool) {
	sent := originalURL(r).Path
	if isAtOrBelow(sent, prefix) {
		return strings.TrimPrefix(sent[len(prefix):], "/"), true
	}
	if !strings.Contains(sent, "//") && !strings.Contains(sent, "/.") && !strings.Contains(sent, `\`) {
		return "", false
	}
	return noEndpoint, isAtOrBelow(path.Clean(strings.ReplaceAll(sent, `\`, "/")), prefix)
}

// noEndpoint is the name of none.
const noEndpoint = "/"

func isAtOrBelow(given, prefix string) bool {
	rest, below := strings.CutPrefix(given, prefix)
	return below && (rest == "" || rest[0] == '/')
}

// serveEndpoint answers a request below the path that is the handler's own.
// Nothing there reaches a later handler.
func (h *Handler) serveEndpoint(w http.ResponseWriter, r *http.Request, state *requestState, name string) error {
	switch {
	case name == webhookName && h.Revocation.takesWebhooks():
		return h.revocations.serveWebhook(w, r)
	case h.signIn != nil:
		return h.signIn.serve(w, r, state, name)
	}
	w.Header().Set("Cache-Control", "no-store")
	if h.responder.handleErrors {
		return caddyhttp.Error(http.StatusNotFound, errors.New("no such endpoint"))
	}
	w.WriteHeader(http.StatusNotFound)
	return nil
}

// endpoint is the endpoint of a name below the handler's path, if it has one. It
// need not be provisioned.
func (h *Handler) endpoint(name string) (found endpoint, ok bool) {
	if name == webhookName && h.Revocation.takesWebhooks() {
		return endpoint{methods: []string{http.MethodPost}}, true
	}
	if h.SignIn == nil {
		return endpoint{}, false
	}
	found, ok = endpoints[name]
	return found, ok
}

// companion is another logto_auth of the site that has the endpoint of a name
// below the same path, if the handler has none: one takes webhooks, the other
// signs people in. Whichever sees the request first answers for both.
func (h *Handler) companion(r *http.Request, name string) *foundAuth {
	if _, own := h.endpoint(name); own || h.companions == nil {
		return nil
	}
	if _, known := endpoints[name]; !known && name != webhookName {
		return nil
	}
	for _, other := range h.companions() {
		if _, ok := other.settings.endpoint(name); ok && other.sees(r) {
			return other
		}
	}
	return nil
}

// sees reports whether a request is for the handler's site: a handler that is
// written alike may also be in one that has no companion.
func (a *foundAuth) sees(r *http.Request) bool {
	server, _ := r.Context().Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if server != nil && !slices.Equal(server.Listen, a.server.Listen) { // explain asks without one
		return false
	}
	return a.reach.includes(r.Host)
}

// companionsOf are the other logto_auth of a handler's site with endpoints below
// the same path. They are known once surveySites has run.
func (a *App) companionsOf(h *Handler) []*foundAuth {
	var companions []*foundAuth
	for _, own := range a.auths {
		if own.written != h.written {
			continue
		}
		for _, other := range a.auths {
			if other.written != h.written && other.server == own.server && other.reach.meets(own.reach) && other.settings.endpointsPath() == h.ownPath {
				companions = append(companions, other)
			}
		}
	}
	return companions
}

// serve answers a request for one of sign_in's endpoints.
func (s *signIn) serve(w http.ResponseWriter, r *http.Request, state *requestState, name string) error {
	found, ok := endpoints[name]
	switch {
	case !ok:
		return s.show(w, r, state, pageNotFound)
	case !slices.Contains(found.methods, r.Method):
		w.Header().Set("Allow", strings.Join(found.methods, ", "))
		return s.show(w, r, state, pageMethod)
	}
	at, err := s.origin(r)
	if err != nil && found.personal {
		return s.show(w, r, state, pageInsecure)
	}
	state.browser.at = at
	return found.serve(s, w, r, state)
}

// show answers with a page, or returns the error in its place.
func (s *signIn) show(w http.ResponseWriter, r *http.Request, state *requestState, which *page) error {
	state.redirected = false
	if which.reason != "" {
		state.refusal, state.signInURL = which.refusal(), s.signInURL(r)
		logReason(r.Context(), which.reason)
	}
	if which.status >= http.StatusBadRequest && s.handler.responder.handleErrors {
		if _, below := belowPath(r, s.Path); below {
			// It may hold a code: a callback that was sent by another method, or
			// with a slash too many, has one too.
			emptyQuery(r, state)
		}
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		if which.retryAfter > 0 {
			header.Set("Retry-After", strconv.Itoa(which.retryAfter))
		}
		return caddyhttp.Error(which.status, which.refusal())
	}
	return s.pages.serve(w, r, which)
}

// refuse turns a request for an endpoint away as any other one, without a page.
func (s *signIn) refuse(w http.ResponseWriter, r *http.Request, state *requestState, refusal *Refusal) error {
	state.refusal, state.signInURL = refusal, s.signInURL(r)
	return s.handler.responder.refuse(w, r, refusal)
}

// refusal is what a page says, for metrics, placeholders and error routes.
func (p *page) refusal() *Refusal {
	return &Refusal{Reason: p.reason, Status: p.status, Text: p.message(), RetryAfter: p.retryAfter, unchallenged: true}
}

// serveSignIn starts a sign-in.
func (s *signIn) serveSignIn(w http.ResponseWriter, r *http.Request, state *requestState) error {
	given := originalURL(r).Query()["return_to"]
	returnPath := "/"
	if len(given) == 1 {
		returnPath = session.ReturnPath(given[0], s.Path)
	}
	return s.begin(w, r, state, beginning{returnPath: returnPath})
}

// serveSession tells a page who is signed in. It never refreshes anything, so
// that a page that asks every minute keeps no session alive.
func (s *signIn) serveSession(w http.ResponseWriter, r *http.Request, state *requestState) error {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	found, refusal := s.find(state.browser, r)
	if refusal != nil {
		return s.refuse(w, r, state, refusal)
	}
	summary := struct {
		Subject        string   `json:"sub"`
		Type           string   `json:"type"`
		OrganizationID *string  `json:"organization_id"`
		Scopes         []string `json:"scopes"`
		ExpiresAt      *string  `json:"expires_at"`
		SessionExpires string   `json:"session_expires_at"`
	}{Subject: found.Subject, Type: "user", Scopes: []string{}, SessionExpires: rfc3339(s.endsAt(found))}
	if info, organization := s.known(found, r); info != nil {
		summary.Scopes = append(summary.Scopes, info.Scopes...)
		if organization != "" {
			summary.OrganizationID = &organization
		}
		expires := rfc3339(info.ExpiresAt)
		summary.ExpiresAt = &expires
	}
	body, err := json.Marshal(summary)
	if err != nil {
		return err
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	_, err = w.Write(body) // which net/http leaves out of the answer to HEAD
	return err
}

// known is what the token says that is at hand for a session, or nil, and the
// organization that it was got for. A token with an organization's permissions
// names that in `aud` only.
func (s *signIn) known(of *session.Session, r *http.Request) (info *AuthInfo, organization string) {
	targets, refusal := s.targets(r)
	if refusal != nil {
		return nil, ""
	}
	for _, target := range targets {
		token, _ := s.app.refresher.Peek(of, target)
		switch {
		case token.Expired(s.handler.now()):
		case target == session.Target{}:
			if info, err := s.app.identity(of, token); err == nil {
				return info, ""
			}
		default:
			if info, refusal := s.handler.validator.validate(r.Context(), token.Value, s.handler.now, nil); refusal == nil {
				return info, target.Organization
			}
		}
	}
	return nil, ""
}

// Endpoints is a middleware that answers the endpoints of a [Handler]'s
// `sign_in` and `revocation`, such as the callback of a sign-in, and passes all
// other requests on. A Caddyfile puts it first in the block, behind the matcher
// `logto_endpoints`: a `logto_auth` with a matcher, or behind a rewrite, would
// not see their requests. In JSON it is not needed where a `logto_auth` with the
// same settings sees every request.
type Endpoints struct {
	Handler
}

// CaddyModule returns the Caddy module information.
func (*Endpoints) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers." + endpointsName,
		New: func() caddy.Module { return new(Endpoints) },
	}
}

// Provision builds the sign-in from the configuration.
func (e *Endpoints) Provision(ctx caddy.Context) error {
	e.endpointsOnly = true
	return e.Handler.Provision(ctx)
}

// ServeHTTP answers requests below the path of the endpoints and passes all others on.
func (e *Endpoints) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if _, below := belowPath(r, e.ownPath); !below {
		return next.ServeHTTP(w, r)
	}
	return e.Handler.ServeHTTP(w, r, next)
}

// MatchEndpoints is a request matcher that matches the endpoints of a `sign_in`
// or `revocation`: what the client asked for, before any rewrite, is below the
// path.
type MatchEndpoints struct {
	// The path of the endpoints. Placeholders are not expanded.
	Path string `json:"path"`
}

// CaddyModule returns the Caddy module information.
func (*MatchEndpoints) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers." + endpointsName,
		New: func() caddy.Module { return new(MatchEndpoints) },
	}
}

// MatchWithError reports whether a request is for one of the endpoints.
func (m *MatchEndpoints) MatchWithError(r *http.Request) (bool, error) {
	_, below := belowPath(r, m.Path)
	return below, nil
}

// Interface guards.
var (
	_ caddyhttp.MiddlewareHandler       = (*Endpoints)(nil)
	_ caddy.Provisioner                 = (*Endpoints)(nil)
	_ caddyhttp.RequestMatcherWithError = (*MatchEndpoints)(nil)
)
