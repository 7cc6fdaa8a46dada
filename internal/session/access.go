package session

import (
	"context"
	"errors"
	"time"
)

// Access is what a session has for a target.
type Access struct {
	// Token is what to show. It is zero where there is an error.
	Token Token
	// Session is the newest state of the session that is known. It is nil if
	// the session is over.
	Session *Session
	// IsNewer reports whether the session's cookie does not have that state
	// and should be written on this answer (see [Refresher.MayWrite]). That can
	// also be so where there is an error: the tenant has replaced the refresh
	// token, but gave no access token to use.
	IsNewer bool
}

// Access returns the session's token for a target. Past 80 % of the token's
// life it refreshes first, and waits for that as long as Timeout and the
// context allow. Requests that come meanwhile and have a valid token do not
// wait. Errors are of type *TokenError.
func (r *Refresher) Access(ctx context.Context, cookie *Session, target Target) (Access, error) {
	return r.accessBut(ctx, cookie, target, Token{})
}

// Replace is Access for a request whose token from there was refused: its key
// has been replaced, or it is too old for the site. That token counts as
// expired. All who come with the same one share one refresh, and those who come
// when there is another token already get that one. Without a refresh token the
// session ends: Expired.
func (r *Refresher) Replace(ctx context.Context, cookie *Session, target Target, refused Token) (Access, error) {
	return r.accessBut(ctx, cookie, target, refused)
}

// Peek is what is known of a session now, without asking anybody: its token for
// a target, which may be zero or have expired, and its newest state. It does
// not say whether the session is over.
func (r *Refresher) Peek(cookie *Session, target Target) (Token, *Session) {
	known := r.record(cookie.ID)
	return known.token(cookie, target, Token{}), known.newer(cookie)
}

// EndsWithToken is when a session is over that has no refresh token: when the
// last of its tokens expires. It reports false for one that can get other
// tokens, and for one of which no token is known.
func (r *Refresher) EndsWithToken(cookie *Session) (time.Time, bool) {
	known := r.record(cookie.ID)
	if known.newer(cookie).RefreshToken != "" {
		return time.Time{}, false
	}
	last := cookie.Token.ExpiresAt
	if known != nil {
		for _, token := range known.tokens {
			last = max(last, token.ExpiresAt)
		}
	}
	return time.Unix(last, 0), last != 0
}

// accessBut is Access with a token that is as good as none. It may be zero.
func (r *Refresher) accessBut(ctx context.Context, cookie *Session, target Target, refused Token) (Access, error) {
	now := r.Now()
	known := r.record(cookie.ID)
	token := known.token(cookie, target, refused)
	switch failure := r.over(known, cookie, now); {
	case failure != nil:
		return Access{}, failure
	case token.IsFresh(now):
		return known.access(cookie, token), nil
	}
	if failure := known.refused(target, now); failure != nil {
		return known.access(cookie, Token{}), failure
	}
	usable := !token.Expired(now)
	if known.newer(cookie).RefreshToken == "" {
		if usable {
			return known.access(cookie, token), nil
		}
		return Access{}, withoutRefreshToken(known, cookie, refused, now)
	}
	f, failure := r.join(cookie, target, refused, now, usable)
	if f != nil {
		failure = r.wait(ctx, f)
	}
	if failure != nil && failure.Kind.EndsSession() {
		return Access{}, failure
	}
	now, known = r.Now(), r.record(cookie.ID)
	if over := r.over(known, cookie, now); over != nil {
		return Access{}, over // it ended while this request waited
	}
	switch token = known.token(cookie, target, refused); {
	case failure != nil && !failure.Kind.isTemporary():
		return known.access(cookie, Token{}), failure
	case !token.Expired(now):
		return known.access(cookie, token), nil
	case failure == nil:
		// The tenant's token has expired as it came, by this clock; or it is
		// the one that was refused.
		failure = &TokenError{Kind: Unavailable, Err: errors.New("the refreshed token has expired already, or is the refused one")}
	}
	return known.access(cookie, Token{}), failure
}

// withoutRefreshToken is why there is no token where none can be refreshed:
// the session ends with the token of its sign-in.
func withoutRefreshToken(known *record, cookie *Session, refused Token, now time.Time) *TokenError {
	if !refused.IsZero() {
		return &TokenError{Kind: Expired}
	}
	if known != nil {
		for _, token := range known.tokens {
			if !token.Expired(now) {
				return &TokenError{Kind: NoRefreshToken}
			}
		}
	}
	if !cookie.Token.Expired(now) {
		return &TokenError{Kind: NoRefreshToken}
	}
	return &TokenError{Kind: Expired}
}

// access is the answer with a token.
func (r *record) access(cookie *Session, token Token) Access {
	session := r.newer(cookie)
	return Access{Token: token, Session: session, IsNewer: session.SealedAt.After(cookie.SealedAt)}
}
