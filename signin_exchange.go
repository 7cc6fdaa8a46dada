package logtoauth

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

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
	// The session begins before its first token, so that a revocation that comes
	// in between ends it.
	begun := s.handler.now()
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
	fitted, err := s.newSession(tokens, id, e.started, begun)
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
func (s *signIn) newSession(tokens tokenendpoint.Tokens, id *idToken, started session.State, begun time.Time) (*session.Session, error) {
	fresh := session.New(id.Subject, begun)
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
