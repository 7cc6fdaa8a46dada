package tokenendpoint

import (
	"context"
	"errors"

	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// Verify verifies the tokens that a refresh got for a target: the ID token, or
// without one the access token. It returns the person's `sub` and what the
// session shows to the validator. Its errors must not hold a token; those that
// are no *session.TokenError count as session.Unavailable.
type Verify func(ctx context.Context, tokens Tokens, target session.Target) (subject string, token session.Token, err error)

// ForSessions returns the client as the token endpoint of sessions.
func (c *Client) ForSessions(verify Verify) session.TokenEndpoint {
	return &sessionEndpoint{client: c, verify: verify}
}

type sessionEndpoint struct {
	client *Client
	verify Verify
}

// Refresh implements session.TokenEndpoint.
func (e *sessionEndpoint) Refresh(ctx context.Context, request session.RefreshRequest) (session.Grant, error) {
	tokens, err := e.client.Refresh(ctx, request)
	if err != nil {
		return session.Grant{}, failure(err, request.Target)
	}
	var grant session.Grant
	if tokens.RefreshToken != request.RefreshToken {
		grant.RefreshToken = tokens.RefreshToken
	}
	subject, token, err := e.verify(ctx, tokens, request.Target)
	if err != nil {
		return grant, err // with a rotated refresh token, which must not be lost
	}
	grant.Subject, grant.Token = subject, token
	return grant, nil
}

// failure is an error of the client as sessions judge it.
func failure(err error, target session.Target) *session.TokenError {
	refused := new(Error) // no answer, if it were of another type
	errors.As(err, &refused)
	judged := session.Failure(refused.Status, refused.Code, target)
	judged.RetryAfter, judged.Err = refused.RetryAfter, err
	return judged
}

// Interface guard.
var _ session.TokenEndpoint = (*sessionEndpoint)(nil)
