package devtenant

import (
	"net/http"
	"strings"
)

// revocationAnswer answers POST /oidc/token/revocation (RFC 7009). A refresh
// token takes its grant with it; what is unknown is as good as revoked.
func (t *Tenant) revocationAnswer(r *http.Request) Answer {
	t.mu.Lock()
	app, refused := t.authenticateLocked(r)
	if refused == nil {
		refused = t.revokeTokenLocked(r.PostForm.Get("token"), app)
	}
	t.mu.Unlock()
	if refused != nil {
		return t.refusal(r, refused)
	}
	return Answer{Status: http.StatusOK, Header: http.Header{"Cache-Control": {"no-store"}}}
}

func (t *Tenant) revokeTokenLocked(token string, app App) *oidcError {
	if token == "" {
		return invalidRequest("missing required parameter 'token'")
	}
	if strings.Count(token, ".") == 2 {
		return &oidcError{code: "unsupported_token_type", description: "Structured JWT Tokens cannot be revoked via the revocation_endpoint"}
	}
	held := t.issued.refreshTokens[token]
	switch {
	case held == nil:
		return nil
	case held.grant.app == app.ID:
		t.revokeLocked(held.grant)
		return nil
	case app.Secret == "": // told nothing, so that nobody can try tokens
		return nil
	default:
		return invalidRequest("client is not authorized to revoke the presented token")
	}
}
