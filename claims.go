package logtoauth

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// members is a JSON object whose member names are compared with their case
// and of which a name that stands twice counts once, the last time. Decoding
// into a struct would do neither: encoding/json takes `EXP`, `Aud` and even
// `ſub` for `exp`, `aud` and `sub`.
type members map[string]json.RawMessage

// decodeMembers decodes a JSON object and nothing else. Invalid UTF-8 is
// refused, since encoding/json would replace it and make two names alike.
func decodeMembers(data []byte) (members, bool) {
	if !utf8.Valid(data) {
		return nil, false
	}
	var m members
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return nil, false // m is nil for the JSON text `null`
	}
	return m, true
}

// text returns a string member. It is absent if missing or null, and unusable
// if of another type.
func (m members) text(name string) (value string, present, usable bool) {
	raw, ok := m[name]
	if !ok || isNull(raw) {
		return "", false, true
	}
	value, usable = decodeString(raw)
	return value, true, usable
}

// date returns a NumericDate (RFC 7519 section 2), cut to whole seconds.
func (m members) date(name string) (seconds int64, present, usable bool) {
	raw, ok := m[name]
	if !ok || isNull(raw) {
		return 0, false, true
	}
	// Plain digits, as every issuer writes them. A string would decode into a
	// json.Number, so the first octet is looked at.
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, true, false
	}
	var number float64
	if err := json.Unmarshal(raw, &number); err != nil {
		return 0, true, false
	}
	// Beyond 2^53 a float64 no longer tells seconds apart; no clock gets there.
	if math.Abs(number) > 1<<53 {
		return 0, true, false
	}
	return int64(math.Floor(number)), true, true
}

// list returns a member that is one string or an array of strings, as `aud`.
func (m members) list(name string) (values []string, usable bool) {
	raw, ok := m[name]
	if !ok || isNull(raw) {
		return nil, true
	}
	if value, ok := decodeString(raw); ok {
		return []string{value}, true
	}
	var array []json.RawMessage
	if err := json.Unmarshal(raw, &array); err != nil {
		return nil, false
	}
	values = make([]string, 0, len(array))
	for _, element := range array {
		value, ok := decodeString(element)
		if !ok {
			return nil, false
		}
		values = append(values, value)
	}
	return values, true
}

func isNull(raw json.RawMessage) bool { return bytes.Equal(raw, []byte("null")) }

func decodeString(raw json.RawMessage) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	var value string
	if err := json.Unmarshal(raw, &value); err != nil {
		return "", false
	}
	return value, true
}

// decodeClaims turns the decoded claims set into AuthInfo. It judges types
// only, not values; a member of the wrong type is named in the refusal.
func decodeClaims(payload []byte) (*AuthInfo, *Refusal) {
	m, ok := decodeMembers(payload)
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
		value, _, usable := m.text(claim.name)
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
	scope, _, usable := m.text("scope")
	if !usable {
		return nil, refuseMalformed("scope")
	}
	info.Scopes = splitScopes(scope)
	if info.Audience, usable = m.list("aud"); !usable {
		return nil, refuseMalformed("aud")
	}
	switch value, present, usable := m.text("organization_id"); {
	case !present:
	case !usable:
		info.organization = organizationUnusable
	case holdsControl(value):
		return nil, refuseMalformed("organization_id")
	default:
		info.organization, info.organizationID, info.OrganizationID = organizationString, value, value
	}
	if raw, ok := m["cnf"]; ok && !isNull(raw) {
		return nil, refuseToken(ReasonBoundToken, "The token is bound to a key and is no bearer token", "cnf")
	}
	if act, ok := decodeMembers(m["act"]); ok {
		info.Actor, _, _ = act.text("sub")
	}
	return info, nil
}

func (a *AuthInfo) decodeDates(m members) *Refusal {
	exp, hasExp, usable := m.date("exp")
	if !usable {
		return refuseMalformed("exp")
	}
	if !hasExp {
		return refuseMissingClaim("exp")
	}
	a.expiresAt, a.ExpiresAt = exp, time.Unix(exp, 0)
	nbf, hasNbf, usable := m.date("nbf")
	if !usable {
		return refuseMalformed("nbf")
	}
	if hasNbf {
		a.notBefore = nbf
	}
	iat, hasIat, usable := m.date("iat")
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
