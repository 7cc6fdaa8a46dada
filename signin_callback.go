package logtoauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

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
