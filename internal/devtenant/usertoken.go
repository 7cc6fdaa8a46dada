package devtenant

import (
	"crypto/subtle"
	"net/http"
	"net/url"
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

// authenticateLocked is the app that a request is from: client_secret_basic or
// client_secret_post, or for public clients the bare ID.
func (t *Tenant) authenticateLocked(r *http.Request) (App, *oidcError) {
	if r.Header.Get("Authorization") != "" && r.PostForm.Has("client_secret") {
		return App{}, invalidRequest("client authentication must only be provided using one mechanism")
	}
	id, secret, basic := clientCredentials(r)
	switch {
	case basic && r.PostForm.Has("client_id") && r.PostForm.Get("client_id") != id:
		return App{}, invalidRequest("client_id mismatch")
	case r.Header.Get("Authorization") != "" && !basic:
		return App{}, invalidRequest("invalid authorization header value format")
	case id == "":
		return App{}, invalidRequest("no client authentication mechanism provided")
	}
	app, known := t.directory.apps[id]
	if _, machine := t.clients[id]; machine && !known {
		return App{}, invalidRequest("requested grant type is not allowed for this client")
	}
	if !known {
		return App{}, unknownClient(id)
	}
	// A public client that sends a secret is refused too: the comparison says so.
	if subtle.ConstantTimeCompare([]byte(app.Secret), []byte(secret)) != 1 {
		return App{}, errClientAuth
	}
	return app, nil
}

// exchangeLocked turns a code into tokens. A wrong verifier or redirect URI
// does not use the code up; what is refused after them does.
func (t *Tenant) exchangeLocked(form url.Values, app App, number int) (userTokens, *oidcError) {
	now := t.now()
	if !form.Has("redirect_uri") && len(app.RedirectURIs) == 1 {
		form.Set("redirect_uri", app.RedirectURIs[0])
	}
	if missing := required(form, "code", "redirect_uri"); missing != nil {
		return userTokens{}, missing
	}
	value := form.Get("code")
	c := t.issued.codes[value]
	if c == nil || c.grant.app != app.ID || !now.Before(c.expires) || !t.validLocked(&c.authorization, now) ||
		!verifies(c.challenge, form.Get("code_verifier")) || c.redirectURI != form.Get("redirect_uri") {
		return userTokens{}, errInvalidGrant
	}
	// Two exchanges at the same time both succeed: the second arrived before
	// the first had used the code. One that comes later is a theft.
	if c.used != 0 && number > c.used {
		t.revokeLocked(c.grant)
		return userTokens{}, errInvalidGrant
	}
	c.used = t.arrivals
	p, refused := t.tokenPersonLocked(c.grant, app)
	if refused != nil {
		return userTokens{}, refused
	}
	// `organization_id` is ignored here: organization tokens come from a
	// refresh only.
	tokens, refused := t.decideTokensLocked(&c.authorization, p, c.scopes, form["resource"], "")
	if refused != nil {
		return userTokens{}, refused
	}
	if app.AlwaysIssueRefreshToken || contains(c.scopes, "offline_access") {
		tokens.refreshToken = randomID()
		t.issued.refreshTokens[tokens.refreshToken] = &refreshToken{
			authorization: c.authorization, issued: now, expires: now.Add(refreshTokenLife),
		}
	}
	return tokens, nil
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
	tokens, refused := t.decideTokensLocked(&held.authorization, p, asked, form["resource"], organizationID)
	if refused != nil {
		return userTokens{}, refused
	}
	tokens.refreshToken = t.rotateLocked(value, held, app, now)
	return tokens, nil
}
