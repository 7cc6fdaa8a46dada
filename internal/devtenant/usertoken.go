package devtenant

import (
	"net/http"
	"slices"
	"strings"
)

const (
	authorizationCodeGrant = "authorization_code"
	refreshTokenGrant      = "refresh_token"
)

// userTokens are tokens that were decided on and are not yet signed.
type userTokens struct {
	access       TokenRequest
	scope        string
	refreshToken string         // empty: none
	idToken      map[string]any // nil: none
}

// userTokenAnswer answers an app that has a code or a refresh token. What to
// issue is decided in one step, signing is not part of it.
func (t *Tenant) userTokenAnswer(r *http.Request, number int) Answer {
	tokens, refused := t.userTokens(r, number)
	if refused != nil {
		return t.refusal(r, refused)
	}
	response := map[string]any{
		"access_token": t.Token(tokens.access),
		"expires_in":   int(t.tokenTTL.Seconds()),
		"scope":        tokens.scope,
		"token_type":   "Bearer",
	}
	if tokens.refreshToken != "" {
		response["refresh_token"] = tokens.refreshToken
	}
	if tokens.idToken != nil {
		response["id_token"] = t.signIDToken(tokens.idToken)
	}
	issued := jsonAnswer(http.StatusOK, response)
	issued.Header.Set("Cache-Control", "no-store")
	return issued
}

// refusal is an error of an endpoint where apps authenticate.
func (t *Tenant) refusal(r *http.Request, refused *oidcError) Answer {
	answer := refused.answer(nil)
	if answer.Status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" { // RFC 6749 section 5.2
		answer.Header.Set("WWW-Authenticate", `Basic realm="`+t.Issuer()+`", error="`+refused.code+`", error_description="`+refused.description+`"`)
	}
	return answer
}

func (t *Tenant) userTokens(r *http.Request, number int) (userTokens, *oidcError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	app, refused := t.authenticateLocked(r)
	if refused != nil {
		return userTokens{}, refused
	}
	if twice := repeated(r.PostForm); twice != nil {
		return userTokens{}, twice
	}
	if r.PostForm.Get("grant_type") == refreshTokenGrant {
		return t.refreshLocked(r.PostForm, app)
	}
	return t.exchangeLocked(r.PostForm, app, number)
}

// tokenPersonLocked is who tokens of a grant are for, if they may be.
func (t *Tenant) tokenPersonLocked(g *grant, app App) (*person, *oidcError) {
	p := t.activeLocked(g.user)
	switch {
	case p == nil:
		return nil, errInvalidGrant
	case p.withdrawn[app.ID]:
		return nil, errAccessDenied
	}
	return p, nil
}

// decideTokensLocked decides what a code or refresh token gives for these
// scopes: an opaque access token, one for an API, or an organization's.
func (t *Tenant) decideTokensLocked(a *authorization, p *person, asked, resources []string, organizationID string) (userTokens, *oidcError) {
	resource := ""
	switch {
	case len(resources) > 1:
		return userTokens{}, &oidcError{code: "invalid_target", description: "only a single resource indicator value must be requested/resolved during Access Token Request"}
	case len(resources) == 1 && resources[0] != "":
		resource = resources[0]
	case organizationID == "" && !contains(asked, "openid") && len(a.resources) == 1:
		resource = a.resources[0] // without openid there is no use for an opaque token
	}
	if resource != "" && !contains(a.resources, resource) {
		return userTokens{}, errTarget
	}
	available := p.scopesOf(resource, organizationID)
	if resource == "" && organizationID == "" {
		available = scopes
	}
	granted := slices.DeleteFunc(slices.Clone(asked), func(scope string) bool { return !contains(available, scope) })
	tokens := userTokens{
		access: TokenRequest{
			Subject: p.ID, ClientID: a.grant.app, Resource: resource, OrganizationID: organizationID,
			Scope: strings.Join(granted, " "),
		},
		scope: strings.Join(granted, " "),
	}
	if contains(asked, "openid") {
		tokens.idToken = t.idTokenClaimsLocked(a, p)
	}
	return tokens, nil
}
