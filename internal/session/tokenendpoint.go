package session

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// TokenEndpoint refreshes tokens at the tenant.
type TokenEndpoint interface {
	// Refresh sends one request, and never repeats it: a refresh token that
	// was rotated and comes again ends the whole grant. It sends no scope, so
	// that an ID token comes back. It verifies the ID token of the answer, or
	// without one the access token, before it returns. Errors are of type
	// *TokenError, made by [Failure] where the tenant has answered; all others
	// count as [Unavailable]. With an error only the RefreshToken of the Grant
	// counts: where the tenant has rotated it and the rest of its answer does
	// not verify. It must not be lost, since the old one ends the grant.
	Refresh(ctx context.Context, request RefreshRequest) (Grant, error)
}

// RefreshRequest is what a refresh sends.
type RefreshRequest struct {
	RefreshToken string
	Target       Target
}

// Grant is the answer to a refresh, verified.
type Grant struct {
	// Subject is the `sub` of the verified ID token, or without one of the
	// verified access token. It is never empty.
	Subject string
	Token   Token
	// RefreshToken is the one to use from now on; empty if it stays the same.
	RefreshToken string
}

// Kind says what went wrong with a session's token, and so what to do. Its
// text is the label of a metric, so it is API.
type Kind int

const (
	// Unavailable is no answer, or none to use. The old token serves until it
	// expires, then 503; never a redirect.
	Unavailable Kind = iota + 1
	// Busy is too many token requests at once. As Unavailable.
	Busy
	// WrongClient is a tenant that does not know the app or its secret. As
	// Unavailable, and an ERROR in the log that names the setting.
	WrongClient
	// Refused is a grant that the tenant ended, or a person who may no longer
	// use the app. The session is over: refresh_refused.
	Refused
	// WrongSubject is an answer about somebody else. The session is over.
	WrongSubject
	// Ended is a session in the list of ended ones.
	Ended
	// Expired is a token that has expired where there is no refresh token. The
	// session is over.
	Expired
	// NotMember is a person who is not in the organization. 403, and the
	// session stays.
	NotMember
	// NotAskedFor is a scope or resource that the sign-in did not ask for. A
	// navigation signs in once more, everything else gets 403.
	NotAskedFor
	// NoRefreshToken is another resource or organization than that of the
	// sign-in, where Logto gave no refresh token. 403, and the session stays.
	NoRefreshToken
)

var kindTexts = map[Kind]string{
	Unavailable:    "unavailable",
	Busy:           "busy",
	WrongClient:    "wrong_client",
	Refused:        "refused",
	WrongSubject:   "wrong_subject",
	Ended:          "ended",
	Expired:        "expired",
	NotMember:      "not_member",
	NotAskedFor:    "not_asked_for",
	NoRefreshToken: "no_refresh_token",
}

// String is the kind as a metric's label: one of a fixed few, made of small
// letters and underscores. Nothing that a tenant or client says is in it.
func (k Kind) String() string { return kindTexts[k] }

// EndsSession reports whether the session is over.
func (k Kind) EndsSession() bool {
	return k == Refused || k == WrongSubject || k == Ended || k == Expired
}

// isTemporary reports whether the old token serves on.
func (k Kind) isTemporary() bool { return k == Unavailable || k == Busy || k == WrongClient }

// TokenError says why there is no token.
type TokenError struct {
	Kind Kind
	// RetryAfter is when to ask again, where that is known.
	RetryAfter time.Duration
	// Err is for the log. It must not hold a token.
	Err error
}

func (e *TokenError) Error() string {
	if e.Err == nil {
		return e.Kind.String()
	}
	return fmt.Sprintf("%s: %v", e.Kind, e.Err)
}

func (e *TokenError) Unwrap() error { return e.Err }

// Failure judges an error that Logto's token endpoint has answered a refresh
// with, by its status and its `error`. Logto says invalid_client with 400 and
// with 401, and access_denied with 403 about an organization, but with 400 of
// a person who may no longer use the app.
func Failure(status int, code string, target Target) *TokenError {
	kind := Unavailable
	switch code {
	case "invalid_client":
		kind = WrongClient
	case "invalid_grant":
		kind = Refused
	case "access_denied":
		switch {
		case status == 400:
			kind = Refused
		case status == 403 && target.Organization != "":
			kind = NotMember
		}
	case "invalid_target", "invalid_scope", "insufficient_scope":
		kind = NotAskedFor
	}
	if status == 429 || status >= 500 {
		kind = Unavailable // whatever a proxy in between has written
	}
	return &TokenError{Kind: kind, Err: fmt.Errorf("the token endpoint answered %d %.64q", status, code)}
}

// asTokenError is the error of an endpoint with its kind.
func asTokenError(err error) *TokenError {
	if failure, ok := errors.AsType[*TokenError](err); ok {
		return failure
	}
	return &TokenError{Kind: Unavailable, Err: err}
}
