package logtoauth

import (
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// beginning is a sign-in that starts.
type beginning struct {
	returnPath string

	// needed are scopes that the site asks for besides what it is known to.
	needed []string

	// refused says that the request that leads here was refused for want of a
	// session, whatever its cookie looked like before.
	refused bool

	// again says that it is the second attempt of one whose state came back to
	// a browser with another flow.
	again bool
}

// begin sends a browser to Logto.
func (s *signIn) begin(w http.ResponseWriter, r *http.Request, state *requestState, begins beginning) error {
	state.redirected = true
	b := state.browser
	old, over := s.find(b, r)
	at, err := s.origin(r)
	if err != nil {
		return s.show(w, r, state, pageInsecure)
	}
	if elsewhere := s.elsewhere(at, r); elsewhere != "" {
		return redirect(w, http.StatusFound, elsewhere)
	}
	now := s.handler.now()
	flow, _ := s.app.ring.FindFlow(at.Site, b.cookies)
	if flow, err = flow.Start(now, over == nil && !begins.refused); err != nil {
		metrics.signIns.WithLabelValues(string(ReasonSignInLoop)).Inc()
		return s.show(w, r, state, pageLoop)
	}
	asks := s.wanted()
	own := len(asks.resources)
	asks.scopes = mergeScopes(asks.scopes, begins.needed)
	if over == nil || over.Detail == detailNoRefreshToken {
		asks = asks.and(old.Scopes, old.Resources)
	}
	started := flow.NewState(now, s.app.issuer, s.redirectURI(at), begins.returnPath)
	started.Again, started.Identity = begins.again, s.identity
	started.Resource, started.Scopes, started.Resources, started.Own = asks.resource, asks.scopes, asks.resources, own
	return s.send(w, r, state, at, flow, started)
}

// send answers with the way to Logto.
func (s *signIn) send(w http.ResponseWriter, r *http.Request, state *requestState, at origin, flow session.Flow, started session.State) error {
	sealed, err := s.app.ring.SealState(at.Site, started)
	if err != nil {
		s.handler.logger.Error("nobody can sign in", zap.Error(err))
		return s.show(w, r, state, pageUnavailable(1))
	}
	w.Header().Add("Set-Cookie", at.SetFlow(s.app.ring.SealFlow(at.Site, flow)))
	return redirect(w, http.StatusFound, s.authorizationURL(flow, started, sealed))
}

// authorizationURL is the authorization request (RFC 6749 section 4.1.1) with
// PKCE (RFC 7636), resources (RFC 8707), and a nonce (OpenID Connect Core).
func (s *signIn) authorizationURL(flow session.Flow, started session.State, sealed string) string {
	query := url.Values{
		"client_id":             {s.app.clientID},
		"redirect_uri":          {started.RedirectURI},
		"response_type":         {"code"},
		"response_mode":         {"query"},
		"scope":                 {strings.Join(started.Scopes, " ")},
		"state":                 {sealed},
		"nonce":                 {flow.Nonce(started)},
		"code_challenge":        {flow.Challenge(started)},
		"code_challenge_method": {"S256"},
	}
	if len(started.Resources) > 0 {
		query["resource"] = started.Resources
	}
	prompts := strings.Fields(s.Prompt)
	if *s.Offline {
		// Without it Logto drops offline_access and says nothing. Its own apps
		// show no page for it.
		prompts = mergeScopes(prompts, []string{"consent"})
	}
	if len(prompts) > 0 {
		query.Set("prompt", strings.Join(prompts, " "))
	}
	if len(s.UILocales) > 0 {
		query.Set("ui_locales", strings.Join(s.UILocales, " "))
	}
	return s.issuerEndpoint("/auth", query)
}

// redirect sends a browser on. Nobody may store the answer.
func redirect(w http.ResponseWriter, status int, location string) error {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Location", location)
	w.WriteHeader(status)
	return nil
}
