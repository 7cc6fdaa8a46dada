package devtenant

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// refreshLocked turns a refresh token into tokens.
func (t *Tenant) refreshLocked(form url.Values, app App) (userTokens, *oidcError) {
	now := t.now()
	if missing := required(form, "refresh_token"); missing != nil {
		return userTokens{}, missing
	}
	value := form.Get("refresh_token")
	held := t.issued.refreshTokens[value]
	if held == nil || held.grant.app != app.ID || !now.Before(held.expires) || !t.validLocked(&held.authorization, now) {
		return userTokens{}, errInvalidGrant
	}
	asked := held.scopes
	if form.Get("scope") != "" {
		asked = strings.Fields(form.Get("scope"))
	}
	if missing := slices.DeleteFunc(slices.Clone(asked), func(scope string) bool { return contains(held.scopes, scope) }); len(missing) > 0 {
		description := "refresh token missing requested scope"
		if len(missing) > 1 {
			description += "s"
		}
		return userTokens{}, &oidcError{code: "invalid_scope", description: description, scope: strings.Join(missing, " ")}
	}
	if t.activeLocked(held.grant.user) == nil {
		return userTokens{}, errInvalidGrant
	}
	if held.stolen(now) {
		t.revokeLocked(held.grant)
		return userTokens{}, errInvalidGrant
	}
	p, refused := t.tokenPersonLocked(held.grant, app)
	if refused != nil {
		return userTokens{}, refused
	}
	organizationID := form.Get("organization_id")
	if organizationID != "" && !p.memberOf(organizationID) {
		return userTokens{}, errNotMember
	}
	if organizationID != "" && !contains(held.scopes, organizationsScope) {
		return userTokens{}, &oidcError{
			status: http.StatusForbidden, code: "insufficient_scope",
			description: "refresh token missing required scope", scope: organizationsScope,
		}
	}
	// A Logto rotates before it looks at the resource: what is refused now has
	// used the old token up, and nobody is told the new one.
	next := t.rotateLocked(value, held, app, now)
	tokens, refused := t.decideTokensLocked(&held.authorization, p, asked, form["resource"], organizationID)
	if refused != nil {
		return userTokens{}, refused
	}
	tokens.refreshToken = next
	return tokens, nil
}
