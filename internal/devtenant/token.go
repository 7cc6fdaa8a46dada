package devtenant

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"time"
)

// TokenRequest says which access token to issue. What it names decides the
// permission model: a resource is the global API model, an organization is
// organization permissions, both are the organization-level API model. Neither
// gives an opaque token, as Logto does to a client that forgot `resource`.
type TokenRequest struct {
	// The user. Default: the client itself, as in a machine-to-machine token.
	Subject string

	// The client the token is issued to. Default: `devtenant-client`.
	ClientID string

	// The API's resource indicator.
	Resource string

	// The organization's ID.
	OrganizationID string

	// The granted scopes, separated by spaces. If empty, the claim is absent
	// from API tokens and empty in organization tokens, as Logto has it.
	Scope string

	// The acting party of an impersonation token (`act.sub`). Default: none.
	Actor string

	// Claims that are added or that replace those above. A nil value deletes
	// the claim; json.RawMessage("null") makes it null.
	Extra map[string]any

	// How long the token lives; negative makes an expired one. Default:
	// Options.TokenTTL.
	ExpiresIn time.Duration

	// The issuer, such as a custom domain's. Default: the tenant's.
	Issuer string
}

// Token issues an access token.
func (t *Tenant) Token(req TokenRequest) string {
	if req.Resource == "" && req.OrganizationID == "" {
		return t.OpaqueToken()
	}
	return t.Sign(nil, t.Claims(req))
}

// Claims returns the claims of the access token that [Tenant.Token] would
// issue, for [Tenant.Sign] after changes of the caller's own.
func (t *Tenant) Claims(req TokenRequest) map[string]any {
	if req.ClientID == "" {
		req.ClientID = "devtenant-client"
	}
	if req.Subject == "" {
		req.Subject = req.ClientID
	}
	if req.ExpiresIn == 0 {
		req.ExpiresIn = t.tokenTTL
	}
	if req.Issuer == "" {
		req.Issuer = t.Issuer()
	}
	now := t.now()
	claims := map[string]any{
		"jti":       randomID(),
		"sub":       req.Subject,
		"client_id": req.ClientID,
		"iss":       req.Issuer,
		"iat":       now.Unix(),
		"exp":       now.Add(req.ExpiresIn).Unix(),
	}
	switch {
	case req.Resource == "" && req.OrganizationID != "":
		claims["aud"] = "urn:logto:organization:" + req.OrganizationID
		claims["scope"] = ""
	case req.Resource != "":
		claims["aud"] = req.Resource
		if req.OrganizationID != "" {
			claims["organization_id"] = req.OrganizationID
		}
	}
	if req.Scope != "" {
		claims["scope"] = req.Scope
	}
	if req.Actor != "" {
		claims["act"] = map[string]any{"sub": req.Actor}
	}
	return merge(claims, req.Extra)
}

// IDToken issues a user's ID token, which no API may accept as an access
// token although the same key signs it. It has no `typ` and no `client_id`.
func (t *Tenant) IDToken(subject, clientID string) string {
	now := t.now()
	return t.Sign(map[string]any{"typ": nil}, map[string]any{
		"sub":                subject,
		"name":               "Alice",
		"preferred_username": "alice",
		"picture":            nil,
		"updated_at":         now.UnixMilli(),
		"username":           "alice",
		"created_at":         now.UnixMilli(),
		"email":              "alice@example.com",
		"email_verified":     true,
		"roles":              []string{"user-api"},
		"organizations":      []string{"org-1"},
		"organization_roles": []string{"org-1:member"},
		"auth_time":          now.Unix(),
		"aud":                clientID,
		"exp":                now.Add(t.tokenTTL).Unix(),
		"iat":                now.Unix(),
		"iss":                t.Issuer(),
	})
}

// OpaqueToken issues what a client gets that forgot `resource`: 43 characters
// without a dot that only the tenant can read.
func (t *Tenant) OpaqueToken() string {
	return randomID()
}

// Sign signs exactly these claims with the current key. The header is Logto's
// ("alg", "typ" and "kid") with the given members merged over it; a nil value
// deletes a member. Whatever the header says, the key's own algorithm signs.
func (t *Tenant) Sign(header, claims map[string]any) string {
	k := t.signingKey()
	merged := merge(map[string]any{"alg": k.method.Alg(), "typ": "at+jwt", "kid": k.jwk.Kid}, header)
	return k.sign(encodeSegments(mustMarshal(merged), mustMarshal(claims)))
}

// SignRaw signs exactly these bytes as header and payload with the current
// key, such as JSON with duplicate members.
func (t *Tenant) SignRaw(header, payload []byte) string {
	return t.signingKey().sign(encodeSegments(header, payload))
}

// SignInput appends a dot and the signature by the current key to a JWS
// signing input, whatever that holds, such as segments that are padded.
func (t *Tenant) SignInput(input string) string {
	return t.signingKey().sign(input)
}

func (k *key) sign(input string) string {
	signature, err := k.method.Sign(input, k.private)
	if err != nil {
		panic("devtenant: signing: " + err.Error())
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func encodeSegments(header, payload []byte) string {
	return base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
}

// merge puts the members of over into base, where nil deletes.
func merge(base, over map[string]any) map[string]any {
	maps.Copy(base, over)
	for name, value := range over {
		if value == nil {
			delete(base, name)
		}
	}
	return base
}

// randomID has the length and the alphabet of Logto's token IDs.
func randomID() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails, as crypto/rand documents
	return base64.RawURLEncoding.EncodeToString(random[:])
}
