package logtoauth

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Reason is the code of a refusal, as logs, metrics and the placeholder
// `{http.auth.logto.reason}` show it.
type Reason string

// The reasons for which a request is refused. The comment of each names what
// the client did or lacks.
const (
	ReasonTooEarly            Reason = "too_early"              // early data (0-RTT) that could be a replay (RFC 8470)
	ReasonMissingToken        Reason = "missing_token"          // no token where one may stand
	ReasonUnsupportedScheme   Reason = "unsupported_scheme"     // credentials of another scheme
	ReasonMultipleTokens      Reason = "multiple_tokens"        // more than one token (RFC 6750 section 2)
	ReasonTokenTooLarge       Reason = "token_too_large"        // over 16 KiB
	ReasonMalformedToken      Reason = "malformed_token"        // not a JWS in canonical form, or claims of the wrong type
	ReasonOpaqueToken         Reason = "opaque_token"           //nolint:gosec // not a JWT: the client did not ask for a resource
	ReasonUnsupportedType     Reason = "unsupported_type"       // `typ` is not an access token's (RFC 9068 section 4)
	ReasonDisallowedAlgorithm Reason = "disallowed_algorithm"   // `alg` is not on the list, or not the key's (RFC 8725 section 3.1)
	ReasonUnknownKey          Reason = "unknown_key"            // `kid` absent or not in the tenant's key set
	ReasonBadSignature        Reason = "bad_signature"          // the signature does not hold
	ReasonWrongIssuer         Reason = "wrong_issuer"           // `iss` is another one
	ReasonExpired             Reason = "expired"                // `exp` has passed
	ReasonNotYetValid         Reason = "not_yet_valid"          // `nbf` or `iat` is to come
	ReasonMissingClaim        Reason = "missing_claim"          // `exp`, `sub`, `client_id` (or `iat` for max_age) missing or empty
	ReasonTooOld              Reason = "too_old"                // issued longer ago than `max_age`
	ReasonRevoked             Reason = "revoked"                // on the list of revocations, and not issued after the entry
	ReasonBoundToken          Reason = "bound_token"            // `cnf`: sender-constrained, shown as a bearer token
	ReasonKeysUnavailable     Reason = "keys_unavailable"       // no key of the tenant could be loaded
	ReasonWrongAudience       Reason = "wrong_audience"         // `aud` holds none of the accepted ones
	ReasonOrganizationForbid  Reason = "organization_forbidden" // an organization's token on a global site
	ReasonMissingOrganization Reason = "missing_organization"   // no organization where one is asked for
	ReasonWrongOrganization   Reason = "wrong_organization"     // another organization
	ReasonInsufficientScope   Reason = "insufficient_scope"     // scopes are missing
	ReasonClaimMismatch       Reason = "claim_mismatch"         // a claim does not have a required value
	ReasonCrossOrigin         Reason = "cross_origin"           // a cookie token used from another origin
	ReasonNoSession           Reason = "no_session"             // neither a token nor a session, where `sign_in` is set
	ReasonSessionExpired      Reason = "session_expired"        // the session is past its `lifetime` or `idle`, or cannot get a new token
	ReasonSessionEnded        Reason = "session_ended"          // signed out, or replaced by another sign-in
	ReasonRefreshRefused      Reason = "refresh_refused"        // Logto gives this session no new token any more
	ReasonSignInState         Reason = "sign_in_state"          // the answer belongs to no sign-in that this browser may complete
	ReasonSignInRefused       Reason = "sign_in_refused"        // the sign-in cannot be begun, or its answer was not accepted
	ReasonSignInLoop          Reason = "sign_in_loop"           // signing in worked five times in a row, the session never did
	ReasonTenantUnavailable   Reason = "tenant_unavailable"     // the token endpoint does not answer, or refuses the application
)

// reasons are all of them, in the order of the contract's table.
var reasons = []Reason{
	ReasonTooEarly,
	ReasonMissingToken, ReasonUnsupportedScheme, ReasonMultipleTokens,
	ReasonTokenTooLarge, ReasonMalformedToken, ReasonOpaqueToken,
	ReasonUnsupportedType, ReasonDisallowedAlgorithm, ReasonUnknownKey, ReasonBadSignature,
	ReasonWrongIssuer, ReasonExpired, ReasonNotYetValid, ReasonMissingClaim, ReasonTooOld, ReasonBoundToken, ReasonRevoked,
	ReasonKeysUnavailable,
	ReasonWrongAudience, ReasonOrganizationForbid, ReasonMissingOrganization, ReasonWrongOrganization,
	ReasonInsufficientScope, ReasonClaimMismatch, ReasonCrossOrigin,
	ReasonNoSession, ReasonSessionExpired, ReasonSessionEnded, ReasonRefreshRefused,
	ReasonSignInState, ReasonSignInRefused, ReasonSignInLoop, ReasonTenantUnavailable,
}

// The error codes of RFC 6750 section 3.1.
const (
	codeInvalidRequest    = "invalid_request"
	codeInvalidToken      = "invalid_token"
	codeInsufficientScope = "insufficient_scope"
)

// The texts of the answer's body. They are part of the contract with clients
// and say nothing about what was expected.
const (
	textTooEarly            = "Too early"
	textMissingToken        = "Authorization header is missing"
	textUnsupportedScheme   = `Authorization header must start with "Bearer "`
	textMultipleTokens      = "Multiple access tokens"
	textInvalidToken        = "Invalid token"
	textKeysUnavailable     = "Token verification is temporarily unavailable"
	textOrganizationForbid  = "Organization token not accepted"
	textOrganizationInvalid = "Organization ID mismatch"
	textClaimMismatch       = "Claim requirement not met"
	textCrossOrigin         = "Cross-origin request refused"
	textSessionEnded        = "Session ended"
	textTenantUnavailable   = "Sign-in is temporarily unavailable"
)

// Refusal says why a request is not admitted and how the client is told. It
// is an error whose message is the text of the answer's body.
type Refusal struct { //nolint:errname // a refusal is what the contract calls it; that it is an error is for error routes only
	// Reason is the code for logs, metrics and placeholders.
	Reason Reason

	// Status is the HTTP status of the answer.
	Status int

	// Text is the text of the answer's body.
	Text string

	// Description is the challenge's error_description, for the client's
	// developer. It holds nothing from the token or the configuration that
	// the client does not know, and is empty where the contract has none.
	Description string

	// Detail tells refusals of one reason apart, for the operator's log only.
	Detail Detail

	// RetryAfter is how many seconds to wait before the next try, with 503.
	RetryAfter int

	// code is the challenge's error code; empty without credentials (RFC 6750
	// section 3.1: no error information then).
	code string

	// scopes is the challenge's scope attribute.
	scopes []string

	// unchallenged says that no credential would help, so that the answer
	// carries no WWW-Authenticate.
	unchallenged bool
}

// Detail is what a refusal adds to its reason: the name of the claim or header
// member at fault, the part of the token that cannot be read, or one of these.
type Detail string

const (
	// detailNoAuth: no logto_auth has seen the request, which only the
	// configuration can fix.
	detailNoAuth Detail = "no logto_auth"

	// detailEncrypted: the token has five segments (RFC 7516 section 7.1).
	detailEncrypted Detail = "encrypted"

	// detailSegments: it does not have three either.
	detailSegments Detail = "segments"

	// detailGone: nobody waits for the answer any more.
	detailGone Detail = "the client left before the signature was checked"

	// detailCrowded: as many signature checks of the client's address wait as
	// may.
	detailCrowded Detail = "too many tokens from this address wait for their signature check"

	// Details of the organization, in the words of the hint.
	detailUnsafeOrganization   Detail = "an organization id that is no single path segment"
	detailUnresolved           Detail = "the organization that the request asks for is empty, unresolved or ambiguous"
	detailOrganizationNoString Detail = "organization_id is no string"
	detailSeveralOrganizations Detail = "the token names more than one organization"

	// Details of a session that has no token for a request.
	detailNoMember       Detail = "the person is in none of the organizations that are asked for"
	detailNotAskedFor    Detail = "the session was signed in to for less"
	detailNoRefreshToken Detail = "the session has no refresh token"

	// detailInsecure is why nobody can have a session at the request's origin.
	detailInsecure Detail = "no https"
)

// Error returns the text of the answer's body.
func (r *Refusal) Error() string { return r.Text }

// reason returns the reason, which is empty without a refusal.
func (r *Refusal) reason() Reason {
	if r == nil {
		return ""
	}
	return r.Reason
}

// anonymous reports whether the request showed no token at all, so that a site
// for which tokens are optional may let it pass. A session that is over, or
// that has no token now, is none.
func (r *Refusal) anonymous() bool {
	switch r.Reason {
	case ReasonMissingToken, ReasonUnsupportedScheme, ReasonTenantUnavailable:
		return true
	}
	return r.lacksSession()
}

// lacksSession reports whether somebody could sign in to get what is missing.
func (r *Refusal) lacksSession() bool {
	switch r.Reason {
	case ReasonNoSession, ReasonSessionExpired, ReasonSessionEnded, ReasonRefreshRefused:
		return true
	}
	return false
}

// isUnavailable reports whether a token was refused only because no key could
// be loaded.
func (r *Refusal) isUnavailable() bool { return r.Status == http.StatusServiceUnavailable }

// condemnsToken reports whether the token itself is at fault, and not what it
// may be used for.
func (r *Refusal) condemnsToken() bool {
	return r != nil && r.Status == http.StatusUnauthorized && r.Text == textInvalidToken
}

// The refusals that say the same to everybody. They are shared between requests
// and never changed: whoever sends bad tokens decides how many are needed, and
// responders render their challenges in advance.
//
//nolint:errname // as with Refusal
var (
	refusedMissingToken = constant(&Refusal{Reason: ReasonMissingToken, Status: http.StatusUnauthorized, Text: textMissingToken})
	refusedScheme       = constant(&Refusal{Reason: ReasonUnsupportedScheme, Status: http.StatusUnauthorized, Text: textUnsupportedScheme})
	refusedTooLarge     = constant(refuseToken(ReasonTokenTooLarge, "The token is larger than 16 KiB", ""))
	refusedOpaque       = constant(refuseToken(ReasonOpaqueToken, "The token is no JWT: request an access token for a resource", ""))
	refusedType         = constant(refuseToken(ReasonUnsupportedType, "The token is no access token", "typ"))
	refusedAlgorithm    = constant(refuseToken(ReasonDisallowedAlgorithm, "The token's signature algorithm is not accepted", "alg"))
	refusedNoKeyID      = constant(refuseToken(ReasonUnknownKey, "The token does not name its key", "kid"))
	refusedUnknownKey   = constant(refuseToken(ReasonUnknownKey, "The token's signing key is unknown", "kid"))
	refusedIssuer       = constant(refuseToken(ReasonWrongIssuer, "The token's issuer is not accepted", "iss"))
	refusedSignature    = constant(refuseToken(ReasonBadSignature, "The token's signature is invalid", ""))
)

// constantRefusals are all of them.
var constantRefusals []*Refusal

func constant(refusal *Refusal) *Refusal {
	constantRefusals = append(constantRefusals, refusal)
	return refusal
}

func refuseTooEarly() *Refusal {
	return &Refusal{Reason: ReasonTooEarly, Status: http.StatusTooEarly, Text: textTooEarly, unchallenged: true}
}

// refuseUnprotected refuses a request that no logto_auth has seen.
func refuseUnprotected() *Refusal {
	refusal := *refusedMissingToken
	refusal.Detail = detailNoAuth
	return &refusal
}

// refuseNoSession refuses a request without a token where people can sign in.
func refuseNoSession() *Refusal {
	return &Refusal{Reason: ReasonNoSession, Status: http.StatusUnauthorized, Text: textMissingToken}
}

// refuseEnded refuses a session that is over.
func refuseEnded(reason Reason) *Refusal {
	return &Refusal{Reason: reason, Status: http.StatusUnauthorized, Text: textSessionEnded}
}

// refuseTenantUnavailable refuses a session whose token cannot be refreshed now.
func refuseTenantUnavailable(after time.Duration) *Refusal {
	return &Refusal{
		Reason:       ReasonTenantUnavailable,
		Status:       http.StatusServiceUnavailable,
		Text:         textTenantUnavailable,
		RetryAfter:   max(1, wholeSeconds(after)),
		unchallenged: true,
	}
}

func refuseMultipleTokens() *Refusal {
	return &Refusal{Reason: ReasonMultipleTokens, Status: http.StatusBadRequest, Text: textMultipleTokens, code: codeInvalidRequest}
}

// refuseToken refuses a token that is no valid access token of this tenant.
// All such tokens get the same text, so that a forger learns nothing from it.
func refuseToken(reason Reason, description string, detail Detail) *Refusal {
	return &Refusal{
		Reason:      reason,
		Status:      http.StatusUnauthorized,
		Text:        textInvalidToken,
		Description: description,
		Detail:      detail,
		code:        codeInvalidToken,
	}
}

func refuseMalformed(detail Detail) *Refusal {
	return refuseToken(ReasonMalformedToken, "The token is not a well-formed JWT access token", detail)
}

func refuseMissingClaim(name string) *Refusal {
	return refuseToken(ReasonMissingClaim, "The token lacks the claim "+name, Detail(name))
}

func refuseKeysUnavailable(retryAfter int) *Refusal {
	return &Refusal{
		Reason:       ReasonKeysUnavailable,
		Status:       http.StatusServiceUnavailable,
		Text:         textKeysUnavailable,
		RetryAfter:   retryAfter,
		unchallenged: true,
	}
}

// refuseUndecided refuses a request whose signature was not checked: it gave up,
// or there was no place to wait. The token is not at fault: a session must not
// end for it.
func refuseUndecided(ctx context.Context) *Refusal {
	refusal := refuseKeysUnavailable(1)
	refusal.Detail = detailCrowded
	if ctx.Err() != nil {
		refusal.Detail = detailGone
	}
	return refusal
}

// refuseForbidden refuses a valid token that does not hold what is asked for.
func refuseForbidden(reason Reason, text, code string) *Refusal {
	return &Refusal{Reason: reason, Status: http.StatusForbidden, Text: text, code: code}
}

func refuseCrossOrigin() *Refusal {
	return &Refusal{Reason: ReasonCrossOrigin, Status: http.StatusForbidden, Text: textCrossOrigin, unchallenged: true}
}

// wholeSeconds rounds up, as Retry-After has to be.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// seconds renders a span for an error_description.
func seconds(n int64) string { return describeSeconds("", n, "") }

// describeSeconds renders a span within a sentence.
func describeSeconds(before string, n int64, after string) string {
	var onStack [64]byte
	text := strconv.AppendInt(append(onStack[:0], before...), n, 10)
	return string(append(append(text, " s"...), after...))
}

// Interface guard.
var _ error = (*Refusal)(nil)
