package devtenant

import (
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Scopes that stand for claims of an organization.
const (
	organizationsScope     = "urn:logto:scope:organizations"
	organizationRolesScope = "urn:logto:scope:organization_roles"
)

// idTokenClaimsLocked are the claims of a person's ID token as they are now.
// There is no `at_hash`; `azp` neither, as there is one audience.
func (t *Tenant) idTokenClaimsLocked(a *authorization, p *person) map[string]any {
	now := t.now()
	claims := map[string]any{
		"sub": p.ID,
		"aud": a.grant.app,
		"exp": now.Add(t.tokenTTL).Unix(),
		"iat": now.Unix(),
		"iss": t.issuer,
	}
	if a.nonce != "" {
		claims["nonce"] = a.nonce
	}
	if a.sid != "" {
		claims["sid"] = a.sid
	}
	if !a.authTime.IsZero() {
		claims["auth_time"] = a.authTime.Unix()
	}
	for _, scope := range a.scopes {
		p.claim(claims, scope)
	}
	return claims
}

// claim adds what a scope tells of the person.
func (p *person) claim(claims map[string]any, scope string) {
	switch scope {
	case "profile":
		claims["name"] = p.Name
		claims["username"] = p.Username
		claims["preferred_username"] = p.Username
		claims["picture"] = nil
		claims["created_at"] = p.created.UnixMilli()
		claims["updated_at"] = p.updated.UnixMilli()
	case "email":
		claims["email"] = p.Email
		claims["email_verified"] = true
	case "phone":
		if p.Phone != "" {
			claims["phone_number"] = p.Phone
			claims["phone_number_verified"] = true
		}
	case "roles":
		claims["roles"] = append([]string{}, p.Roles...)
	case organizationsScope:
		organizations := []string{}
		for _, m := range p.members {
			organizations = append(organizations, m.organization)
		}
		claims["organizations"] = organizations
	case organizationRolesScope:
		roles := []string{}
		for _, m := range p.members {
			for _, role := range m.roles {
				roles = append(roles, m.organization+":"+role)
			}
		}
		claims["organization_roles"] = roles
	}
}

// signIDToken signs with the header of an ID token, which has no `typ`.
func (t *Tenant) signIDToken(claims map[string]any) string {
	return t.Sign(map[string]any{"typ": nil}, claims)
}

// readIDTokenLocked reads an ID token that came back as a hint. It may have
// expired.
func (t *Tenant) readIDTokenLocked(hint string) (jwt.RegisteredClaims, error) {
	var claims jwt.RegisteredClaims
	_, err := jwt.NewParser(jwt.WithoutClaimsValidation()).ParseWithClaims(hint, &claims, func(token *jwt.Token) (any, error) {
		for _, k := range t.published {
			if token.Header["kid"] == k.jwk.Kid {
				return k.private.Public(), nil
			}
		}
		return nil, fmt.Errorf("no key %v", token.Header["kid"])
	})
	return claims, err
}
