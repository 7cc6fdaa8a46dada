package devtenant

import "net/url"

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
