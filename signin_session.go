package logtoauth

import (
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-logto/caddy-logto-auth/internal/fields"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// find returns the session that the browser shows, or why there is none.
func (s *signIn) find(b *browser, r *http.Request) (*session.Session, *Refusal) {
	if b.app == nil || b.app.clientID != s.app.clientID || b.app.issuer != s.app.issuer {
		b.app = s.app
		b.cookie, b.refusal = s.open(b, r)
	}
	// Another sign_in of the app may have another lifetime. A session that is good
	// as the request comes is good for it, however long it has to wait for a token.
	if b.refusal != nil {
		return b.cookie, b.refusal
	}
	if b.came.Before(s.endsAt(b.cookie)) {
		return b.cookie, nil
	}
	refusal := refuseEnded(ReasonSessionExpired)
	if b.came.Before(s.expiresAt(b.cookie)) {
		refusal.Detail = detailNoRefreshToken
	}
	return b.cookie, refusal
}

// open opens the session's cookie and judges whether it has been ended. With a
// refusal it returns the session as well if it can be told whose it was.
func (s *signIn) open(b *browser, r *http.Request) (*session.Session, *Refusal) {
	at, err := s.origin(r)
	if err != nil {
		refusal := refuseNoSession()
		if !reachedByHTTPS(r) {
			refusal.Detail = detailInsecure
		}
		return nil, refusal
	}
	b.at = at
	found, err := s.app.ring.FindSession(at.Site, b.cookies)
	switch {
	case errors.Is(err, session.ErrMultiple):
		return nil, refuseMultipleTokens()
	case found == nil:
		return nil, refuseNoSession()
	case s.lists.await(r.Context(), s.timeout) != nil:
		return found, refuseTenantUnavailable(time.Second)
	case s.app.hasEnded(found):
		s.cutOff(found)
		return found, refuseEnded(ReasonSessionEnded)
	}
	// Its refresh token is revoked: it does not come back when an administrator
	// takes the entry off the list.
	if _, cut := s.app.cutOffs.Get(found.ID); cut {
		return found, refuseEnded(ReasonSessionEnded)
	}
	return found, nil
}

func (s *signIn) expiresAt(of *session.Session) time.Time {
	return of.ExpiresAt(time.Duration(s.Lifetime), time.Duration(s.Idle))
}

// endsAt is when a session is over if nothing more is requested in it: without
// a refresh token it ends with its token.
func (s *signIn) endsAt(of *session.Session) time.Time {
	ends := s.expiresAt(of)
	if of.RefreshToken != "" {
		return ends // as nearly always
	}
	if last, ok := s.app.refresher.EndsWithToken(of); ok && last.Before(ends) {
		return last
	}
	return ends
}

// goodSession returns the session that the browser shows if it has not ended,
// else nil.
func (s *signIn) goodSession(b *browser, r *http.Request) *session.Session {
	found, refusal := s.find(b, r)
	if refusal != nil {
		return nil
	}
	return found
}

// credential is the session's token, for a request that shows no other. lacks
// is what the request lacks without a session, or nil if it shows nothing at all.
func (s *signIn) credential(state *requestState, r *http.Request, lacks *Refusal) (credential, *Refusal) {
	b := state.browser
	_, refusal := s.find(b, r)
	switch {
	case refusal != nil && refusal.Reason == ReasonNoSession && lacks != nil && lacks.Reason == ReasonUnsupportedScheme:
		return credential{}, lacks
	case refusal != nil:
		return credential{}, refusal
	}
	state.private = true
	b.renews = s
	return s.obtain(b, r, session.Token{})
}

// replace gets another token for a session whose own one was refused: its key
// was rotated out, or it is older than max_age.
func (s *signIn) replace(b *browser, r *http.Request, refused credential) (credential, *Refusal) {
	return s.obtain(b, r, refused.session)
}

// pauseInVain is how long no other token is asked for when the new one was
// revoked, too: `iat` has whole seconds, so that what Logto issues in the second
// of the entry is still on the list, and longer if its clock is behind.
const pauseInVain = time.Second

// replacedInVain notes that the token that replaced another one is revoked, too.
// The session goes on: one that is issued later is not.
func (s *signIn) replacedInVain(of *session.Session) {
	s.app.inVain.Put(of.ID, s.handler.now(), len(of.ID))
}

// mayReplace reports whether there is a point in asking for a token in place of
// one that was refused.
func (s *signIn) mayReplace(of *session.Session, refusal *Refusal) bool {
	if refusal.Reason != ReasonRevoked {
		return true
	}
	last, ok := s.app.inVain.Get(of.ID)
	return !ok || s.handler.now().Sub(last).Abs() >= pauseInVain
}

// obtain gets a token for the first of the targets that the person has one for.
// It is not the one that was refused.
func (s *signIn) obtain(b *browser, r *http.Request, refused session.Token) (credential, *Refusal) {
	targets, refusal := s.targets(r)
	if refusal != nil {
		return credential{}, refusal
	}
	wanted := s.wanted()
	if !b.cookie.Covers(wanted.targetScopes, wanted.targetResources) {
		return credential{}, s.refuseToken(b, &session.TokenError{Kind: session.NotAskedFor}, targets)
	}
	var failed error
	for _, target := range targets {
		access, err := s.app.refresher.Replace(r.Context(), b.cookie, target, refused)
		if err == nil {
			return s.shown(b, access, target, wanted)
		}
		if access.IsNewer {
			// Logto has rotated the refresh token, but its answer is no good.
			s.offer(b, access.Session, wanted)
		}
		failed = err
		if failure, ok := errors.AsType[*session.TokenError](err); !ok || failure.Kind != session.NotMember {
			break
		}
	}
	failure, ok := errors.AsType[*session.TokenError](failed)
	if !ok {
		failure = &session.TokenError{Kind: session.Unavailable, Err: failed}
	}
	return credential{}, s.refuseToken(b, failure, targets)
}

// targets are what the site needs a token for, one of them.
func (s *signIn) targets(r *http.Request) ([]session.Target, *Refusal) {
	if s.only != nil {
		return s.only, nil
	}
	h := s.handler
	var target session.Target
	if h.requirements.model != modelOrganization {
		target.Resource = h.Audiences[0]
	}
	wanted := h.organizations.resolve(r)
	if !wanted.resolved {
		return nil, refuseOrganization(ReasonWrongOrganization, detailUnresolved)
	}
	targets := make([]session.Target, 0, len(wanted.ids))
	for _, id := range wanted.ids {
		target.Organization = id
		targets = append(targets, target)
	}
	return targets, nil
}

// shown is what a session shows to the validator.
func (s *signIn) shown(b *browser, access session.Access, target session.Target, wanted asking) (credential, *Refusal) {
	token := access.Token
	switch {
	case access.IsNewer:
		fitted := s.offer(b, access.Session, wanted)
		if target == (session.Target{}) && fitted.Target == target && fitted.Token.Claims != "" {
			// Else a claim would be there only until the next restart.
			token = fitted.Token
			if len(token.Claims) != len(access.Token.Claims) {
				// Nor must it be there in the requests that follow.
				s.app.refresher.Remember(fitted, target, token)
			}
		}
	case b.newest == nil:
		b.newest = access.Session
	}
	found := credential{token: token.Value, session: token, source: TokenSource{From: sourceCookie, Name: b.at.SessionName()}}
	if target != (session.Target{}) {
		return found, nil
	}
	identity, err := s.app.identity(b.cookie, token)
	if err != nil {
		return credential{}, refuseEnded(ReasonSessionEnded)
	}
	found.identity = identity
	return found, nil
}

// offer lets the answer write a newer state of the session into the cookie, and
// returns it as it fits there.
func (s *signIn) offer(b *browser, newer *session.Session, wanted asking) *session.Session {
	fitted, leftOut, err := newer.Fit(wanted.claims)
	if err != nil {
		s.handler.logger.Warn("a session does not fit into a cookie and ends with this process", zap.Error(err))
		return newer
	}
	s.warnLeftOut(leftOut)
	b.newest = fitted
	return fitted
}

// identity is what the claims of an ID token say, decoded.
type identity struct {
	claims string
	info   *AuthInfo
}

// identity is what the claims of a session's verified ID token say. They were
// sealed by us, or have just been verified.
func (a *application) identity(of *session.Session, token session.Token) (*AuthInfo, error) {
	if known, ok := a.identities.Get(of.ID); ok && known.claims == token.Claims {
		return known.info, nil
	}
	info, refusal := decodeClaims(token.Claims)
	if refusal != nil {
		return nil, refusal
	}
	info.isIdentity = true
	a.identities.Put(of.ID, identity{token.Claims, info}, 3*len(token.Claims)+512)
	return info, nil
}

// refuseToken turns away a request whose session has no token for it.
func (s *signIn) refuseToken(b *browser, failure *session.TokenError, targets []session.Target) *Refusal {
	h := s.handler
	if entry := h.logger.Check(zapcore.DebugLevel, "a session has no token for a request"); entry != nil {
		entry.Write(zap.Stringer("kind", failure.Kind), zap.NamedError("cause", failure.Err))
	}
	switch failure.Kind {
	case session.Ended:
		s.cutOff(b.cookie) // the browser may not come back
		return refuseEnded(ReasonSessionEnded)
	case session.Expired:
		if targets[0].Organization != "" && b.cookie.RefreshToken == "" && b.cookie.Token.IsZero() {
			// It never had a token, and another sign-in would give none either.
			return refuseOrganization(ReasonMissingOrganization, detailNoRefreshToken)
		}
		return refuseEnded(ReasonSessionExpired)
	case session.Refused, session.WrongSubject:
		s.endSession(b.cookie, failure.Kind.String())
		return refuseEnded(ReasonRefreshRefused)
	case session.NotMember:
		return refuseOrganization(ReasonWrongOrganization, detailNoMember)
	case session.NoRefreshToken:
		if targets[0].Organization != "" {
			return refuseOrganization(ReasonMissingOrganization, detailNoRefreshToken)
		}
		return s.refuseUnasked(detailNoRefreshToken)
	case session.NotAskedFor:
		return s.refuseUnasked(detailNotAskedFor)
	}
	return refuseTenantUnavailable(failure.RetryAfter)
}

// refuseUnasked refuses a session that was signed in to for less than the site
// asks for now.
func (s *signIn) refuseUnasked(detail Detail) *Refusal {
	q := &s.handler.requirements
	refusal := refuseForbidden(ReasonInsufficientScope, q.model.scopeText(), codeInsufficientScope)
	refusal.Detail, refusal.scopes = detail, q.challengeScopes
	return refusal
}

// signInAgain reports whether a person gets what a refusal says is missing by
// signing in once more, silently: the site needs a scope or resource that the
// session was not signed in to for. A session that did ask and was not granted
// it would go round in a circle. Where Logto says at a refresh that it was not
// asked for, a sign-in may help if there has been a token, or it has been a while.
func (s *signIn) signInAgain(b *browser, refusal *Refusal, needed []string, now time.Time) bool {
	switch {
	case b.cookie == nil || b.refusal != nil || refusal.Detail == detailNoRefreshToken:
		return false
	case refusal.Reason != ReasonInsufficientScope && refusal.Reason != ReasonClaimMismatch:
		return false
	}
	if !s.covers(b.cookie, needed) {
		return true
	}
	return refusal.Detail == detailNotAskedFor && (!b.cookie.Token.IsZero() || now.Sub(b.cookie.SignedIn) >= time.Minute)
}

// covers reports whether a session was signed in to for all that the site needs,
// and for these scopes.
func (s *signIn) covers(of *session.Session, needed []string) bool {
	wanted := s.wanted()
	return of.Covers(mergeScopes(wanted.scopes, needed), wanted.resources)
}

// warnLeftOut tells once which claims do not fit into cookies.
func (s *signIn) warnLeftOut(names []string) {
	if len(names) == 0 {
		return
	}
	s.leftOut.Do(func() {
		s.handler.logger.Warn("some claims of a person do not fit into the session's cookie and are left out; name those that the site needs in claim or forward_claim",
			zap.Strings("claims", names))
	})
}

// forwardToken tells the next handler the access token that the session was
// admitted with.
func (s *signIn) forwardToken(state *requestState, r *http.Request, found credential) {
	name := fields.FoldHeader(defaultSourceHeader)
	headerNames{name}.takeOut(r)
	r.Header[defaultSourceHeader] = []string{"Bearer " + found.token}
	state.forwarded = append(state.forwarded, name)
}

// takeBackToken takes the session's token back from a request that would have
// been refused: what report_only lets pass was not admitted.
func (s *requestState) takeBackToken(header http.Header) {
	if s.session != nil && s.handler.SignIn.ForwardToken {
		headerNames{fields.FoldHeader(defaultSourceHeader)}.deleteFrom(header)
	}
}
