package devtenant

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Permission is what a registered client may have: scopes of an API (Resource),
// of an organization (OrganizationID), or of an API in an organization (both).
type Permission struct {
	Resource       string
	OrganizationID string
	Scopes         []string
}

type client struct {
	secret      string
	permissions []Permission
}

// RegisterClient lets a machine-to-machine client ask the token endpoint for
// tokens. A client registered before under this ID is replaced.
func (t *Tenant) RegisterClient(id, secret string, permissions ...Permission) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clients[id] = client{secret: secret, permissions: slices.Clone(permissions)}
}

// tokenAnswer answers applications that sign people in, and machines.
func (t *Tenant) tokenAnswer(r *http.Request, number int) Answer {
	switch r.PostForm.Get("grant_type") {
	case authorizationCodeGrant, refreshTokenGrant:
		return t.userTokenAnswer(r, number)
	default:
		return t.clientTokenAnswer(r)
	}
}

func (t *Tenant) clientTokenAnswer(r *http.Request) Answer {
	id, secret, basic := clientCredentials(r)
	t.mu.Lock()
	registered, known := t.clients[id]
	t.mu.Unlock()
	if !known || subtle.ConstantTimeCompare([]byte(registered.secret), []byte(secret)) != 1 {
		refused := tokenError(http.StatusUnauthorized, "invalid_client", "client authentication failed")
		if basic { // RFC 6749 section 5.2
			refused.Header.Set("WWW-Authenticate", `Basic realm="devtenant"`)
		}
		return refused
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		return tokenError(http.StatusBadRequest, "unsupported_grant_type", "only client_credentials is served")
	}
	if len(r.PostForm["resource"]) > 1 {
		return tokenError(http.StatusBadRequest, "invalid_target", "only one resource per token")
	}
	return t.grant(id, registered, r.PostForm)
}

// grant decides on an authenticated client's request. With neither resource
// nor organization it issues an opaque token, as Logto does to a user's client;
// a machine would get invalid_target there, but then no demo could show what
// an API sees of a client that forgot `resource`.
func (t *Tenant) grant(id string, c client, form url.Values) Answer {
	req := TokenRequest{ClientID: id, Resource: form.Get("resource"), OrganizationID: form.Get("organization_id")}
	if req.OrganizationID != "" && !c.memberOf(req.OrganizationID) {
		return tokenError(http.StatusForbidden, "access_denied", "the client does not belong to the organization")
	}
	if req.Resource != "" && !c.knows(req.Resource) {
		return tokenError(http.StatusBadRequest, "invalid_target", "no such resource")
	}
	req.Scope = c.granted(req.Resource, req.OrganizationID, form.Get("scope"))
	response := map[string]any{
		"access_token": t.Token(req),
		"expires_in":   int(t.tokenTTL.Seconds()),
		"token_type":   "Bearer",
	}
	organizationToken := req.Resource == "" && req.OrganizationID != ""
	if req.Scope != "" || organizationToken {
		response["scope"] = req.Scope
	}
	issued := jsonAnswer(http.StatusOK, response)
	issued.Header.Set("Cache-Control", "no-store")
	return issued
}

func (c client) memberOf(organizationID string) bool {
	return slices.ContainsFunc(c.permissions, func(p Permission) bool { return p.OrganizationID == organizationID })
}

func (c client) knows(resource string) bool {
	return slices.ContainsFunc(c.permissions, func(p Permission) bool { return p.Resource == resource })
}

// granted returns the scopes that are both asked for and permitted, each once.
// Logto leaves the others out in silence, and grants none that is not asked for.
func (c client) granted(resource, organizationID, asked string) string {
	var granted []string
	for scope := range strings.FieldsSeq(asked) {
		permitted := slices.ContainsFunc(c.permissions, func(p Permission) bool {
			return p.Resource == resource && p.OrganizationID == organizationID && slices.Contains(p.Scopes, scope)
		})
		if permitted && !slices.Contains(granted, scope) {
			granted = append(granted, scope)
		}
	}
	return strings.Join(granted, " ")
}

// clientCredentials reads client_secret_basic, whose two halves are encoded as
// in a form (RFC 6749 section 2.3.1), or client_secret_post.
func clientCredentials(r *http.Request) (id, secret string, basic bool) {
	user, password, basic := r.BasicAuth()
	if !basic {
		return r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), false
	}
	id, errID := url.QueryUnescape(user)
	secret, errSecret := url.QueryUnescape(password)
	if errID != nil || errSecret != nil {
		return "", "", true
	}
	return id, secret, true
}

func tokenError(status int, code, description string) Answer {
	refused := jsonAnswer(status, map[string]string{"error": code, "error_description": description})
	refused.Header.Set("Cache-Control", "no-store")
	return refused
}
