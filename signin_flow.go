package logtoauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
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

// refused answers a callback with an error. Logto refuses a sign-in that asks for
// one API which it does not know, whatever else it asks for (RFC 8707 section
// 2). Where only the session before had asked for some of them, one may have
// been deleted since; then the site's own are tried alone, or everybody who has
// such a session would be kept out.
func (s *signIn) refused(w http.ResponseWriter, r *http.Request, state *requestState, code string, flow session.Flow, started session.State) error {
	s.handler.logger.Info("Logto ended a sign-in with an error", zap.String("error", code))
	if narrower, ok := flow.Narrower(s.handler.now(), started); ok && code == "invalid_target" {
		state.redirected = true
		return s.send(w, r, state, state.browser.at, flow, narrower)
	}
	return s.fail(w, r, state, pageRefused)
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

// signedIn is what a callback answers with: where to go and the cookies, or the
// page that says what went wrong.
type signedIn struct {
	location string
	cookies  []string
	problem  *page
}

// callback ends a sign-in.
func (s *signIn) callback(w http.ResponseWriter, r *http.Request, state *requestState) error {
	raw := originalURL(r).RawQuery
	emptyQuery(r, state)
	b := state.browser
	at := b.at
	answer, problem := s.readCallback(raw)
	if problem != nil {
		return s.fail(w, r, state, problem)
	}
	old := s.goodSession(b, r)
	started, err := s.app.ring.OpenState(at.Site, answer.state, s.app.issuer, s.redirectURI(at), s.handler.now())
	switch {
	case errors.Is(err, session.ErrStateExpired):
		return s.fail(w, r, state, pageStateExpired)
	case err != nil && old != nil:
		return redirect(w, http.StatusSeeOther, "/")
	case err != nil:
		return s.fail(w, r, state, pageStateUnknown)
	}
	flow, _ := s.app.ring.FindFlow(at.Site, b.cookies)
	switch {
	case flow.Started(started):
	case old != nil:
		return redirect(w, http.StatusSeeOther, started.ReturnPath)
	case started.Again:
		return s.fail(w, r, state, pageCookies)
	default:
		return s.begin(w, r, state, beginning{returnPath: started.ReturnPath, again: true})
	}
	if answer.failure != "" {
		return s.refused(w, r, state, answer.failure, flow, started)
	}
	result, err := s.app.ledger.Do(r.Context(), started.ID(), func(ctx context.Context) (signedIn, error) {
		return s.exchange(ctx, exchange{at, answer.code, flow, started, old}), nil
	})
	switch {
	case errors.Is(err, session.ErrStateUsed) && old != nil:
		return redirect(w, http.StatusSeeOther, started.ReturnPath)
	case errors.Is(err, session.ErrStateUsed):
		return s.fail(w, r, state, pageStateUsed)
	case r.Context().Err() != nil && err != nil:
		return nil //nolint:nilerr // the browser has left, and will find the result if it comes back
	case err != nil:
		return s.fail(w, r, state, pageUnavailable(1))
	case result.problem != nil:
		return s.show(w, r, state, result.problem)
	}
	for _, cookie := range result.cookies {
		w.Header().Add("Set-Cookie", cookie)
	}
	return redirect(w, http.StatusSeeOther, result.location)
}

// fail counts a sign-in that ended without an exchange and shows why.
func (s *signIn) fail(w http.ResponseWriter, r *http.Request, state *requestState, problem *page) error {
	metrics.signIns.WithLabelValues(string(problem.reason)).Inc()
	return s.show(w, r, state, problem)
}

// callbackAnswer is what a callback's query says.
type callbackAnswer struct {
	state, code, failure string
}

// readCallback reads the query of a callback. The issuer is compared before
// anything else is believed: with two tenants, one could answer for the other
// (RFC 9207).
func (s *signIn) readCallback(raw string) (callbackAnswer, *page) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return callbackAnswer{}, pageMalformed
	}
	if issuers := query["iss"]; len(issuers) != 1 || issuers[0] != s.app.issuer {
		return callbackAnswer{}, pageIssuer
	}
	for _, values := range query {
		if len(values) != 1 {
			return callbackAnswer{}, pageMalformed
		}
	}
	answer := callbackAnswer{state: query.Get("state"), code: query.Get("code")}
	if query.Has("error") {
		if answer.failure = query.Get("error"); !tokenendpoint.IsErrorCode(answer.failure) {
			answer.failure = "unknown"
		}
	} else if answer.code == "" {
		return callbackAnswer{}, pageMalformed
	}
	return answer, nil
}

// exchange is a code on its way to tokens.
type exchange struct {
	at      origin
	code    string
	flow    session.Flow
	started session.State
	old     *session.Session
}

// exchange turns a code into a session. It is called once for each code.
func (s *signIn) exchange(ctx context.Context, e exchange) signedIn {
	result, problem := s.tryExchange(ctx, e)
	if problem != nil {
		metrics.signIns.WithLabelValues(string(problem.reason)).Inc()
		return signedIn{problem: problem}
	}
	metrics.signIns.WithLabelValues("ok").Inc()
	return result
}

func (s *signIn) tryExchange(ctx context.Context, e exchange) (signedIn, *page) {
	tokens, problem := s.redeem(ctx, e)
	if problem != nil {
		return signedIn{}, problem
	}
	// The key may be new, and the fetch for it may have to wait for its turn.
	ctx, cancel := context.WithTimeout(ctx, s.timeout+time.Duration(s.handler.RefreshCooldown))
	defer cancel()
	id, refusal := s.app.verifyIDToken(ctx, tokens.IDToken)
	switch {
	case refusal != nil && refusal.isUnavailable():
		return signedIn{}, pageUnavailable(refusal.RetryAfter)
	case refusal == nil && !id.hasNonce(e.flow.Nonce(e.started)):
		refusal = refuseToken(ReasonMalformedToken, "", "nonce")
	}
	if refusal != nil {
		s.handler.logger.Warn("a sign-in is refused: the ID token does not verify",
			zap.String("reason", string(refusal.Reason)), zap.String("detail", string(refusal.Detail)))
		return signedIn{}, pageIDToken
	}
	fitted, err := s.newSession(tokens, id, e.started)
	if err != nil {
		s.handler.logger.Error("a sign-in has failed", zap.Error(err))
		return signedIn{}, pageUnavailable(1)
	}
	value, err := s.app.ring.SealSession(e.at.Site, fitted)
	if err != nil {
		s.handler.logger.Error("a sign-in has failed", zap.Error(err))
		return signedIn{}, pageUnavailable(1)
	}
	s.endOld(ctx, e.old, fitted)
	now := s.handler.now()
	return signedIn{
		location: e.started.ReturnPath,
		cookies: []string{
			e.at.SetSession(value, s.maxAge(fitted, now)),
			e.at.SetFlow(s.app.ring.SealFlow(e.at.Site, e.flow.Succeeded(now))),
		},
	}, nil
}

// redeem sends the code to the token endpoint, once.
func (s *signIn) redeem(ctx context.Context, e exchange) (tokenendpoint.Tokens, *page) {
	if !s.app.gate.Enter() {
		return tokenendpoint.Tokens{}, pageUnavailable(1)
	}
	defer s.app.gate.Leave()
	tokens, err := s.app.endpoint.Exchange(ctx, tokenendpoint.Code{
		Code: e.code, RedirectURI: e.started.RedirectURI, Verifier: e.flow.Verifier(e.started), Resource: e.started.Resource,
	})
	if err == nil && tokens.IDToken == "" {
		err = errNoIDToken
	}
	var failure *tokenendpoint.Error
	switch {
	case err == nil:
		s.app.reportEndpoint(0, nil)
		return tokens, nil
	case errors.As(err, &failure) && failure.Code == "invalid_grant":
		s.handler.logger.Info("a sign-in is refused: the code is used, too old, or not for this app", zap.Error(err))
		return tokenendpoint.Tokens{}, pageCodeRefused
	case failure != nil && failure.Code == "invalid_client":
		s.app.reportEndpoint(session.WrongClient, err)
		return tokenendpoint.Tokens{}, pageUnavailable(1)
	}
	s.app.reportEndpoint(session.Unavailable, err)
	after := 1
	if failure != nil {
		after = max(1, wholeSeconds(failure.RetryAfter))
	}
	return tokenendpoint.Tokens{}, pageUnavailable(after)
}

// newSession is the session of a person who has just signed in, as its cookie
// can hold it.
func (s *signIn) newSession(tokens tokenendpoint.Tokens, id *idToken, started session.State) (*session.Session, error) {
	fresh := session.New(id.Subject, s.handler.now())
	fresh.LogtoSession = id.logtoSession
	fresh.Scopes, fresh.Resources = started.Scopes, started.Resources
	fresh.RefreshToken = tokens.RefreshToken
	target := session.Target{Resource: started.Resource}
	// A site with organizations gets its first token by a refresh: Logto ignores
	// organization_id with a code.
	if started.Identity || started.Resource != "" {
		token, err := s.app.sessionToken(tokens, id, target)
		if err != nil {
			return nil, err
		}
		fresh.Target, fresh.Token = target, token
	}
	wanted := s.wanted()
	fitted, leftOut, err := fresh.Fit(wanted.claims)
	if err != nil {
		return nil, err
	}
	s.warnLeftOut(leftOut)
	token := fresh.Token
	if target == (session.Target{}) {
		token = fitted.Token
	}
	if !token.IsZero() {
		s.app.refresher.Remember(fitted, target, token)
	}
	return fitted, nil
}

// endOld ends the session that a sign-in replaces. One of the same person goes
// on for a minute, for requests that are under way; its refresh token is not
// revoked, since that would end the new session's too (one grant). One of
// another person ends at once.
func (s *signIn) endOld(ctx context.Context, old, fresh *session.Session) {
	switch {
	case old == nil:
	case old.Subject == fresh.Subject:
		metrics.sessionsEnded.WithLabelValues("replaced").Inc()
		s.list(session.EndSession(old, s.handler.now().Add(time.Minute), s.lastsUntil(old)))
	default:
		s.endSession(old, "other_person")
		s.revoke(ctx, old)
	}
}

// revoke ends a session's refresh token at Logto and reports whether Logto has
// confirmed that. It takes two seconds at most.
func (s *signIn) revoke(ctx context.Context, over *session.Session) bool {
	token := s.app.refresher.Newest(over).RefreshToken
	if token == "" {
		return true
	}
	if err := s.app.endpoint.Revoke(ctx, token); err != nil {
		s.handler.logger.Warn("Logto has not confirmed that a refresh token is revoked; the session has ended here", zap.Error(err))
		return false
	}
	return true
}

// emptyQuery takes the query out of a callback, where a code is, for error
// routes: also out of the original request, which these see again.
func emptyQuery(r *http.Request, state *requestState) {
	empty := func(r *http.Request) {
		r.URL.RawQuery = ""
		r.RequestURI = r.URL.RequestURI()
	}
	empty(r)
	state.stripOriginal(r, empty)
}
