package logtoauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"slices"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
	"github.com/caddy-logto/caddy-logto-auth/internal/tokenendpoint"
)

// idToken is a verified ID token (OpenID Connect Core section 2).
type idToken struct {
	*AuthInfo
	logtoSession string // `sid`, which Logto tells only some apps
	nonce        string
}

// verifyIDToken verifies an ID token that the token endpoint gave, by the keys
// that verify access tokens. It waits for keys as long as ctx allows. An ID
// token is never looked for among the verified access tokens, nor kept there:
// what is no access token must not become one.
//
// Logto's ID tokens have no `typ` and no `at_hash`, and their size grows with
// the person's organizations: that of 200 is 10 KiB.
func (a *application) verifyIDToken(ctx context.Context, token string) (*idToken, *Refusal) {
	parsed, refusal := splitJWS(token)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := a.checkHeader(parsed, "", "jwt"); refusal != nil {
		return nil, refusal
	}
	id, refusal := a.readIDToken(parsed)
	if refusal != nil {
		return nil, refusal
	}
	rules, now := &a.validator.rules, a.refresher.Now
	if refusal := rules.checkTimes(id.AuthInfo, now()); refusal != nil {
		return nil, refusal
	}
	key, refusal := a.findKey(ctx, parsed)
	if refusal != nil {
		return nil, refusal
	}
	if !parsed.verifiedBy(key) {
		return nil, refusedSignature
	}
	id.key = key.Key
	// The wait for keys may have taken seconds.
	return id, rules.checkTimes(id.AuthInfo, now())
}

// checkHeader judges the header of a token that the tenant signs beside access
// tokens, which has one of these types; the empty one is none.
func (a *application) checkHeader(parsed *jws, types ...string) *Refusal {
	rules := a.validator.rules
	rules.types = types
	return rules.checkHeader(parsed.typ, parsed.algorithm, parsed.keyID)
}

// findKey is the validator's for a token that the tenant itself has just handed
// over. One that a client shows is refused at once if its key is unknown within
// refresh_cooldown, since anybody can make one up; this one is worth the wait
// for the cooldown's end, or else nobody could sign in for some seconds after
// the tenant has changed its key.
func (a *application) findKey(ctx context.Context, parsed *jws) (selectedKey, *Refusal) {
	key, refusal := a.validator.findKey(ctx, parsed, a.refresher.Now, nil)
	if refusal.reason() != ReasonUnknownKey {
		return key, refusal
	}
	cooled := time.NewTimer(a.validator.keys.CooledIn(time.Now()))
	defer cooled.Stop()
	select {
	case <-cooled.C:
		return a.validator.findKey(ctx, parsed, a.refresher.Now, nil)
	case <-ctx.Done():
		return key, refusal
	}
}

// readIDToken reads what an ID token says, and judges whom it is from and for
// (section 3.1.3.7).
func (a *application) readIDToken(parsed *jws) (*idToken, *Refusal) {
	info, refusal := parsed.claims()
	if refusal != nil {
		return nil, refusal
	}
	claims, ok := jsonobject.Parse(info.payload)
	if !ok {
		return nil, refuseMalformed("claims")
	}
	id := &idToken{AuthInfo: info}
	texts := map[string]*string{"sid": &id.logtoSession, "nonce": &id.nonce, "azp": new(string)}
	for name, into := range texts {
		value, _, usable := claims.Text(name)
		if !usable {
			return nil, refuseMalformed(Detail(name))
		}
		*into = value
	}
	authorized := *texts["azp"]
	switch {
	case info.Issuer != a.issuer:
		return nil, refuseToken(ReasonWrongIssuer, "The ID token's issuer is another one", "iss")
	case info.Subject == "":
		return nil, refuseMissingClaim("sub")
	case !info.hasIssuedAt:
		return nil, refuseMissingClaim("iat")
	case !slices.Contains(info.Audience, a.clientID):
		return nil, refuseToken(ReasonWrongAudience, "The ID token is for another app", "aud")
	case authorized != a.clientID && (authorized != "" || len(info.Audience) > 1):
		return nil, refuseToken(ReasonWrongAudience, "The ID token is for another app", "azp")
	}
	return id, nil
}

// hasNonce reports whether an ID token answers the sign-in with this nonce.
func (id *idToken) hasNonce(nonce string) bool {
	return nonce != "" && subtle.ConstantTimeCompare([]byte(id.nonce), []byte(nonce)) == 1
}

// verifyRefreshed is what a refresh got for a target, verified, as
// [tokenendpoint.Verify].
func (a *application) verifyRefreshed(ctx context.Context, tokens tokenendpoint.Tokens, target session.Target) (string, session.Token, error) {
	var subject string
	var id *idToken
	switch {
	case tokens.IDToken != "":
		var refusal *Refusal
		if id, refusal = a.verifyIDToken(ctx, tokens.IDToken); refusal != nil {
			return "", session.Token{}, asTokenError("the ID token", refusal)
		}
		subject = id.Subject
	case target == session.Target{}:
		return "", session.Token{}, errNoIDToken
	default:
		// Logto gives no ID token where the sign-in asked for no `openid`.
		info, refusal := a.validator.validate(ctx, tokens.AccessToken, a.refresher.Now, nil)
		if refusal != nil {
			return "", session.Token{}, asTokenError("the access token", refusal)
		}
		subject = info.Subject
	}
	token, err := a.sessionToken(tokens, id, target)
	return subject, token, err
}

// errNoIDToken is an answer of the token endpoint without an ID token.
var errNoIDToken = errors.New("the answer has no ID token, although openid was asked for")

// asTokenError is why a token that came from the tenant is not used.
func asTokenError(what string, refusal *Refusal) *session.TokenError {
	return &session.TokenError{Kind: session.Unavailable, Err: errors.New(what + " of the answer is refused: " + string(refusal.Reason) + " " + string(refusal.Detail))}
}

// sessionToken is what a session shows for a target: the access token, which
// the validator judges in each request, or the claims of the ID token.
func (a *application) sessionToken(tokens tokenendpoint.Tokens, id *idToken, target session.Target) (session.Token, error) {
	if target == (session.Target{}) {
		return session.Token{Claims: id.payload, IssuedAt: id.issuedAt, ExpiresAt: id.expiresAt}, nil
	}
	parsed, refusal := parseJWS(tokens.AccessToken)
	var info *AuthInfo
	if refusal == nil {
		info, refusal = parsed.claims()
	}
	switch {
	case refusal != nil && refusal.Reason == ReasonOpaqueToken:
		return session.Token{}, errors.New("the access token is opaque: the tenant does not know the API resource " + target.Resource)
	case refusal != nil:
		return session.Token{}, asTokenError("the access token", refusal)
	case id != nil && info.Subject != id.Subject:
		return session.Token{}, &session.TokenError{Kind: session.WrongSubject, Err: errors.New("the access token is another person's than the ID token")}
	}
	if !info.hasIssuedAt {
		info.issuedAt = a.refresher.Now().Unix()
	}
	return session.Token{Value: tokens.AccessToken, IssuedAt: info.issuedAt, ExpiresAt: info.expiresAt}, nil
}
