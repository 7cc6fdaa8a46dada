package logtoauth

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// AuthInfo is what a verified access token says. It is shared between
// requests that show the same token and must not be changed.
type AuthInfo struct {
	// Subject is `sub`: the user, or the client of a machine-to-machine token.
	Subject string

	// ClientID is `client_id` (RFC 9068 section 2.2).
	ClientID string

	// OrganizationID is the organization that was checked: `organization_id`,
	// or the one of an organization audience. It is empty for a token that
	// belongs to none.
	OrganizationID string

	// Issuer is `iss`.
	Issuer string

	// TokenID is `jti`.
	TokenID string

	// Actor is `act.sub`, the acting party of an impersonation token (RFC
	// 8693 section 4.1).
	Actor string

	// Scopes are the parts of `scope`.
	Scopes []string

	// Audience are the values of `aud`.
	Audience []string

	// IssuedAt is `iat`; zero if absent.
	IssuedAt time.Time

	// ExpiresAt is `exp`.
	ExpiresAt time.Time

	// What later checks of a cached token need. Times are Unix seconds; a
	// token without `nbf` has the least value there.
	joseHeader
	key            *keys.Key
	expiresAt      int64
	notBefore      int64
	issuedAt       int64
	hasIssuedAt    bool
	organization   organizationClaim
	organizationID string

	// isIdentity says that these are the claims of a session's ID token, which
	// was verified when the person signed in.
	isIdentity bool

	// payload is the decoded claims set, from which all other claims are read
	// when somebody asks for one.
	payload string
	claims  *atomic.Pointer[map[string]any]
}

// organizationClaim tells an absent `organization_id` from a string and from
// anything else: a tenant's custom-claims script can put any JSON type there,
// and only absent or null is absent.
type organizationClaim uint8

const (
	organizationAbsent organizationClaim = iota
	organizationString
	organizationUnusable
)

// IsApp tells a machine-to-machine token, whose subject is the client itself.
func (a *AuthInfo) IsApp() bool { return a.ClientID != "" && a.Subject == a.ClientID }

// Claim returns the claim at path: dots descend, `\.` is a literal dot, digits
// index arrays. Numbers are of type [json.Number]. A claim that is absent or
// null is not found.
func (a *AuthInfo) Claim(path string) (any, bool) {
	segments, err := jsonobject.ParsePath(path)
	if err != nil {
		return nil, false
	}
	return a.claim(segments)
}

func (a *AuthInfo) claim(segments []string) (any, bool) {
	return jsonobject.Lookup(a.allClaims(), segments)
}

// allClaims decodes the payload when a claim is first asked for. Two requests
// that do so at once both decode; one result is kept.
func (a *AuthInfo) allClaims() map[string]any {
	if claims := a.claims.Load(); claims != nil {
		return *claims
	}
	decoder := json.NewDecoder(strings.NewReader(a.payload))
	decoder.UseNumber() // an ID of twenty digits must not become 1e19
	var claims map[string]any
	if err := decoder.Decode(&claims); err != nil {
		claims = nil // the payload was decoded before; nothing can be wrong with it now
	}
	a.claims.Store(&claims)
	return claims
}

// FromContext returns what the token said with which the request of this
// context was admitted, for handlers written in Go. It reports false where no
// token was admitted: in anonymous, preflight and refused requests.
func FromContext(ctx context.Context) (*AuthInfo, bool) {
	state, ok := caddyhttp.GetVar(ctx, stateVar).(*requestState)
	if !ok || state.info == nil {
		return nil, false
	}
	info := *state.info
	info.OrganizationID = state.organizationID
	return &info, true
}

// claimText renders a claim for placeholders and headers: strings bare, all
// else as JSON.
func claimText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// decodeClaims turns the decoded claims set into AuthInfo. It judges types
// only, not values; a member of the wrong type is named in the refusal.
func decodeClaims(payload string) (*AuthInfo, *Refusal) {
	values, refusal := readClaimValues(payload)
	if refusal != nil {
		return nil, refusal
	}
	info := new(AuthInfo)
	if refusal := info.decode(payload, &values); refusal != nil {
		return nil, refusal
	}
	return info, nil
}

// claimValues are the claims that AuthInfo tells, as they stand in the payload.
type claimValues struct {
	sub, clientID, iss, jti, exp, nbf, iat, scope, aud, organizationID, cnf, act jsonobject.Value
}

func readClaimValues(payload string) (c claimValues, refusal *Refusal) {
	if !jsonobject.Walk(payload, func(name string, value jsonobject.Value) {
		switch name {
		case "sub":
			c.sub = value
		case "client_id":
			c.clientID = value
		case "iss":
			c.iss = value
		case "jti":
			c.jti = value
		case "exp":
			c.exp = value
		case "nbf":
			c.nbf = value
		case "iat":
			c.iat = value
		case "scope":
			c.scope = value
		case "aud":
			c.aud = value
		case "organization_id":
			c.organizationID = value
		case "cnf":
			c.cnf = value
		case "act":
			c.act = value
		}
	}) {
		return c, refuseMalformed("the claims are not a JSON object")
	}
	return c, nil
}

func (a *AuthInfo) decode(payload string, c *claimValues) *Refusal {
	if refusal := a.decodeParties(c); refusal != nil {
		return refusal
	}
	return a.decodeGrant(payload, c)
}

// decodeParties reads who the token is from, whose it is, and when it is valid.
func (a *AuthInfo) decodeParties(c *claimValues) *Refusal {
	var ok bool
	if a.Subject, ok = identifier(c.sub); !ok {
		return refuseMalformed("sub")
	}
	if a.ClientID, ok = identifier(c.clientID); !ok {
		return refuseMalformed("client_id")
	}
	if a.Issuer, ok = identifier(c.iss); !ok {
		return refuseMalformed("iss")
	}
	if a.TokenID, ok = identifier(c.jti); !ok {
		return refuseMalformed("jti")
	}
	return a.decodeDates(c)
}

// decodeGrant reads all else: what the token is for.
func (a *AuthInfo) decodeGrant(payload string, c *claimValues) *Refusal {
	a.payload, a.claims = payload, new(atomic.Pointer[map[string]any])
	scope, _, usable := c.scope.Text()
	if !usable {
		return refuseMalformed("scope")
	}
	a.Scopes = splitScopes(scope)
	if a.Audience, usable = c.aud.List(); !usable {
		return refuseMalformed("aud")
	}
	switch value, present, usable := c.organizationID.Text(); {
	case !present:
	case !usable:
		a.organization = organizationUnusable
	case legible.HasControl(value):
		return refuseMalformed("organization_id")
	default:
		a.organization, a.organizationID, a.OrganizationID = organizationString, value, value
	}
	if !c.cnf.IsAbsent() {
		return refuseToken(ReasonBoundToken, "The token is bound to a key and is no bearer token", "cnf")
	}
	a.Actor = actor(c.act)
	return nil
}

// actor returns `act.sub`, or "" if there is none. It keeps no other member: who
// forges a token may put thousands there.
func actor(act jsonobject.Value) (subject string) {
	var sub jsonobject.Value
	if jsonobject.Walk(string(act), func(name string, value jsonobject.Value) {
		if name == "sub" {
			sub = value
		}
	}) {
		subject, _, _ = sub.Text()
	}
	return subject
}

// identifier returns a claim that must be a string without control characters,
// if it is there: they would break out of logs, headers and FastCGI parameters
// of whoever uses it as an identifier.
func identifier(claim jsonobject.Value) (value string, ok bool) {
	value, _, usable := claim.Text()
	return value, usable && !legible.HasControl(value)
}

func (a *AuthInfo) decodeDates(c *claimValues) *Refusal {
	exp, hasExp, usable := c.exp.Date()
	if !usable {
		return refuseMalformed("exp")
	}
	if !hasExp {
		return refuseMissingClaim("exp")
	}
	a.expiresAt, a.ExpiresAt = exp, time.Unix(exp, 0)
	nbf, hasNbf, usable := c.nbf.Date()
	if !usable {
		return refuseMalformed("nbf")
	}
	a.notBefore = math.MinInt64
	if hasNbf {
		a.notBefore = nbf
	}
	iat, hasIat, usable := c.iat.Date()
	if !usable {
		return refuseMalformed("iat")
	}
	if hasIat {
		a.issuedAt, a.hasIssuedAt, a.IssuedAt = iat, true, time.Unix(iat, 0)
	}
	return nil
}

// splitScopes splits at spaces only (RFC 6749 section 3.3): other white space
// is no separator there and must not make one scope two.
func splitScopes(scope string) []string {
	if scope == "" {
		return nil
	}
	scopes := make([]string, 0, strings.Count(scope, " ")+1)
	for part := range strings.SplitSeq(scope, " ") {
		if part != "" {
			scopes = append(scopes, part)
		}
	}
	return scopes
}
