package logtoauth

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// ServeHTTP admits the request to next or refuses it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	state := stateOf(r)
	if state.concluding {
		state.clear(r)
	} else {
		state.concluding = true
		defer func() { state.conclude(r.Context(), err != nil && h.errorRoutes) }()
	}
	state.handler = h
	h.identityNames.takeOut(r)
	addVary(w.Header(), h.vary)
	if h.signIn != nil {
		state.takeCookies(r, h.now())
	}
	if h.ownPath != "" {
		if name, below := belowPath(r, h.ownPath); below {
			if other := h.companion(r, name); other != nil && h.app.provisioned[other.written] != nil {
				return h.app.provisioned[other.written].ServeHTTP(w, r, next)
			}
			return h.serveEndpoint(w, r, state, name)
		}
	}

	if h.BypassCORSPreflight && !state.browser.hadCookies() && isPreflight(r, h.sources) {
		state.preflight = true
		dropContent(r)
		return next.ServeHTTP(w, r)
	}

	var found credential
	refusal := refuseEarlyData(r)
	if refusal == nil {
		found, refusal = h.credential(state, r)
	}
	switch {
	case refusal == nil:
		refusal = h.admit(state, r, &found)
		if refusal != nil && found.isSession() && h.Optional && refusal.anonymous() {
			state.anonymous, refusal = refusal, nil
		}
	case h.Optional && refusal.anonymous():
		state.anonymous, refusal = refusal, nil
	default:
		h.logRefusal(state, r, refusal, nil, "")
	}
	if h.StripToken {
		state.strip(r, h.sources)
	}
	if h.signIn != nil && state.anonymous != nil {
		state.signInURL = h.signIn.signInURL(r)
	}
	if refusal != nil {
		state.refusal = refusal
		if !h.ReportOnly {
			return h.refuse(w, r, state, refusal, nil)
		}
		state.report(refusal)
	} else if state.info != nil && found.isSession() && h.SignIn.ForwardToken {
		h.signIn.forwardToken(state, r, found)
	}
	if state.info != nil && found.cacheable() {
		state.private = true
	}
	if state.private {
		return servePrivately(w, r, next, state.browser)
	}
	return next.ServeHTTP(w, r)
}

// credential returns the token of a request: one that it shows, or that of its
// session.
func (h *Handler) credential(state *requestState, r *http.Request) (credential, *Refusal) {
	if h.signIn != nil && !h.sources.areShown(r) {
		return h.signIn.credential(state, r, nil)
	}
	found, refusal := h.sources.find(r)
	if h.signIn == nil || refusal == nil || !refusal.anonymous() {
		return found, refusal
	}
	return h.signIn.credential(state, r, refusal)
}

// refuse turns a request away: with a refusal, or a browser that can sign in to
// Logto. needed are scopes that a logto_require asks for.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, state *requestState, refusal *Refusal, needed []string) error {
	if h.signIn != nil {
		state.signInURL = h.signIn.signInURL(r)
		if begins, ok := h.signIn.beginsFor(state, r, refusal, needed); ok {
			logReason(r.Context(), refusal.Reason)
			return h.signIn.begin(w, r, state, begins)
		}
		state.browser.writeCookie(w.Header(), refusal.Status)
	}
	return h.responder.refuse(w, r, refusal)
}

// admit decides about a token and notes the client in the state if it holds.
func (h *Handler) admit(state *requestState, r *http.Request, found *credential) *Refusal {
	info, organization, refusal := h.decide(r, *found)
	if refusal.condemnsToken() && found.isSession() && h.signIn.mayReplace(state.browser.cookie, refusal) {
		var other credential
		if other, refusal = h.signIn.replace(state.browser, r, *found); refusal == nil {
			*found = other
			info, organization, refusal = h.decide(r, other)
			switch {
			case refusal == nil || !refusal.condemnsToken():
			case refusal.Reason == ReasonRevoked:
				h.signIn.replacedInVain(state.browser.cookie)
			default:
				h.signIn.endSession(state.browser.cookie, "token_refused")
				refusal = refuseEnded(ReasonSessionEnded)
			}
		}
	}
	if refusal != nil {
		h.logRefusal(state, r, refusal, info, found.token)
		return refusal
	}
	state.info, state.organizationID = info, organization
	if found.isSession() {
		state.session = state.browser.cookie
	}
	h.organizations.keepHeaders(r)
	h.forwardClaims(state, r.Header)
	return nil
}

// decide judges a token and its use in this request. With a refusal it
// returns the claims as far as they were read, for the operator's log.
func (h *Handler) decide(r *http.Request, found credential) (info *AuthInfo, organization string, refusal *Refusal) {
	if found.identity != nil {
		// What is asked of the audience is asked of access tokens.
		if refusal = h.validator.rules.checkTimes(found.identity, h.now()); refusal == nil {
			refusal = h.requirements.checkPermissions(found.identity)
		}
		info = found.identity
	} else {
		info, refusal = h.validator.validate(r.Context(), found.token, h.now, func() keys.Requester { return requesterOf(r) })
		if refusal == nil {
			refusal = h.revocations.check(r.Context(), info, found.isSession())
		}
		if refusal == nil {
			organization, refusal = h.requirements.check(info, h.organizations.resolve(r))
		}
	}
	if refusal == nil && found.ambient() {
		refusal = h.origins.check(r)
	}
	return info, organization, refusal
}

// clock is the time source of a handler; tests of captured tokens turn it back.
type clock func() time.Time

// systemClock is the clock of what is built from a config. Tests turn it.
var systemClock clock = time.Now

// isPreflight recognizes a genuine CORS preflight (Fetch standard section
// 4.8): browsers send these without credentials, so that one can only be
// answered, not authenticated. Anything that could make an upstream do more
// than answer it is none.
func isPreflight(r *http.Request, sources tokenSources) bool {
	if r.Method != http.MethodOptions || !mayBeEmpty(r) || isUpgrade(r) ||
		len(r.Header["Origin"]) != 1 || r.Header.Get("Origin") == "" ||
		len(r.Header["Access-Control-Request-Method"]) != 1 || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	// Some servers do what these say, whatever the method is. A browser sends
	// no header of a page's own before the preflight has been answered.
	for _, name := range []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		if len(r.Header[name]) > 0 {
			return false
		}
	}
	for _, source := range sources {
		if len(source.values(r)) > 0 {
			return false
		}
	}
	return true
}

// mayBeEmpty reports whether a request is not known to have a body. Over
// HTTP/2 and 3 that is known only when the stream ends: quic-go gives every
// request without Content-Length the length -1, and so does net/http where an
// empty DATA frame ends the stream. In HTTP/1.1 an unknown length is chunked,
// which no browser does to a preflight.
func mayBeEmpty(r *http.Request) bool {
	return r.ContentLength == 0 || r.ContentLength < 0 && r.ProtoMajor >= 2
}

// dropContent takes body and trailers away, so that what a preflight may turn
// out to have reaches no handler.
func dropContent(r *http.Request) {
	r.Body = http.NoBody
	r.ContentLength = 0
	r.TransferEncoding = nil
	r.Trailer = nil
	delete(r.Header, "Content-Length")
	delete(r.Header, "Transfer-Encoding")
	delete(r.Header, "Trailer")
}

// refuseEarlyData refuses a request that changes something and came before
// the TLS handshake was complete (0-RTT): whoever recorded it can send it
// again, and neither TLS nor we can tell (RFC 8446 section 8). A client sends
// it again by itself when it is told 425 (RFC 8470 section 5.2).
//
// Only HTTP/3 has early data here: crypto/tls takes none over TCP. quic-go
// hands requests on as they come and leaves it to the handler to look at
// HandshakeComplete.
func refuseEarlyData(r *http.Request) *Refusal {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	// A proxy in front that ends TLS says so in a header, whose value must not
	// matter (RFC 8470 section 5.1). Nobody gains by making it up.
	if r.TLS != nil && !r.TLS.HandshakeComplete || len(r.Header["Early-Data"]) > 0 {
		return refuseTooEarly()
	}
	return nil
}

// requesterOf returns who waits if this request has to wait for keys: the client
// as Caddy knows it. Behind a proxy that trusted_proxies does not name, that is
// the proxy, and everyone behind it has one share of the places.
func requesterOf(r *http.Request) keys.Requester {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	address, err := netip.ParseAddr(text)
	if err != nil { // "@" or nothing on a Unix socket
		return keys.Nobody
	}
	return keys.RequesterAt(address)
}
