package logtoauth

import (
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
)

// decodeClaims turns the decoded claims set into AuthInfo. It judges types
// only, not values; a member of the wrong type is named in the refusal.
func decodeClaims(payload string) (*AuthInfo, *Refusal) {
	m, ok := jsonobject.Parse(payload)
	if !ok {
		return nil, refuseMalformed("the claims are not a JSON object")
	}
	info := &AuthInfo{payload: payload, notBefore: math.MinInt64, claims: new(atomic.Pointer[map[string]any])}
	for _, claim := range []struct {
		name string
		into *string
	}{
		{"sub", &info.Subject}, {"client_id", &info.ClientID}, {"iss", &info.Issuer}, {"jti", &info.TokenID},
	} {
		value, _, usable := m.Text(claim.name)
		// A control character would break out of logs, headers and FastCGI
		// parameters of whoever uses these as identifiers.
		if !usable || holdsControl(value) {
			return nil, refuseMalformed(claim.name)
		}
		*claim.into = value
	}
	if refusal := info.decodeDates(m); refusal != nil {
		return nil, refusal
	}
	scope, _, usable := m.Text("scope")
	if !usable {
		return nil, refuseMalformed("scope")
	}
	info.Scopes = splitScopes(scope)
	if info.Audience, usable = m.List("aud"); !usable {
		return nil, refuseMalformed("aud")
	}
	switch value, present, usable := m.Text("organization_id"); {
	case !present:
	case !usable:
		info.organization = organizationUnusable
	case holdsControl(value):
		return nil, refuseMalformed("organization_id")
	default:
		info.organization, info.organizationID, info.OrganizationID = organizationString, value, value
	}
	if !jsonobject.IsAbsent(m.Get("cnf")) {
		return nil, refuseToken(ReasonBoundToken, "The token is bound to a key and is no bearer token", "cnf")
	}
	if act := m.Get("act"); act != "" {
		if act, ok := jsonobject.Parse(act); ok {
			info.Actor, _, _ = act.Text("sub")
		}
	}
	return info, nil
}

func (a *AuthInfo) decodeDates(m jsonobject.Members) *Refusal {
	exp, hasExp, usable := m.Date("exp")
	if !usable {
		return refuseMalformed("exp")
	}
	if !hasExp {
		return refuseMissingClaim("exp")
	}
	a.expiresAt, a.ExpiresAt = exp, time.Unix(exp, 0)
	nbf, hasNbf, usable := m.Date("nbf")
	if !usable {
		return refuseMalformed("nbf")
	}
	if hasNbf {
		a.notBefore = nbf
	}
	iat, hasIat, usable := m.Date("iat")
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
