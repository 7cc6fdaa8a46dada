package devtenant

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// foreignKey is a member of the set that is none of the tenant's own keys.
type foreignKey struct {
	kid  string // empty if there is none or it is not a string
	text json.RawMessage
}

// AddKey serves a JWK, broken or foreign, before the good ones, where a reader
// that gives up at the first bad key loses them all.
func (t *Tenant) AddKey(raw map[string]any) {
	kid, _ := raw["kid"].(string)
	added := foreignKey{kid: kid, text: mustMarshal(raw)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.foreign = append(t.foreign, added)
}

// JWKS returns the document that the tenant serves now.
func (t *Tenant) JWKS() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.jwks != nil {
		return bytes.Clone(t.jwks)
	}
	keys := make([]any, 0, len(t.foreign)+len(t.published))
	for _, k := range t.foreign {
		keys = append(keys, k.text)
	}
	for _, k := range t.published {
		keys = append(keys, k.jwk)
	}
	return mustMarshal(map[string]any{"keys": keys})
}

// SetJWKS serves exactly these bytes as the key set; nil restores the keys.
func (t *Tenant) SetJWKS(document []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.jwks = bytes.Clone(document)
}

// Discovery returns the discovery document that the tenant serves now at its
// endpoint.
func (t *Tenant) Discovery() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.discovery != nil {
		return bytes.Clone(t.discovery)
	}
	return mustMarshal(discoveryDocument(t.issuer, t.endpointLocked(), t.signing.method.Alg()))
}

// discoveryFor is the discovery document as this request gets it: a Logto's
// endpoints follow the Host of the request, its issuer does not.
func (t *Tenant) discoveryFor(r *http.Request) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.discovery != nil {
		return bytes.Clone(t.discovery)
	}
	endpoint := t.endpointLocked()
	if scheme, _, found := strings.Cut(endpoint, "://"); found && r.Host != "" {
		endpoint = scheme + "://" + r.Host
	}
	return mustMarshal(discoveryDocument(t.issuer, endpoint, t.signing.method.Alg()))
}

// SetDiscovery serves exactly these bytes as the discovery document; nil
// restores the true one.
func (t *Tenant) SetDiscovery(document []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.discovery = bytes.Clone(document)
}

// discoveryDocument says what a real Logto says, also of endpoints that this
// tenant does not serve.
func discoveryDocument(issuer, endpoint, alg string) map[string]any {
	at := func(path string) string { return endpoint + "/oidc" + path }
	return map[string]any{
		"issuer":                                issuer,
		"jwks_uri":                              endpoint + JWKSPath,
		"token_endpoint":                        endpoint + TokenPath,
		"authorization_endpoint":                at("/auth"),
		"device_authorization_endpoint":         at("/device/auth"),
		"end_session_endpoint":                  at("/session/end"),
		"introspection_endpoint":                at("/token/introspection"),
		"pushed_authorization_request_endpoint": at("/request"),
		"revocation_endpoint":                   at("/token/revocation"),
		"userinfo_endpoint":                     at("/me"),

		"id_token_signing_alg_values_supported": []string{alg},
		"claim_types_supported":                 []string{"normal"},
		"claims_supported":                      slices.Concat(profileClaims, logtoClaims, []string{"sid", "auth_time", "iss"}),
		"code_challenge_methods_supported":      []string{"S256"},
		"grant_types_supported": []string{
			"implicit", "authorization_code", "refresh_token", "client_credentials",
			"urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange",
		},
		"response_modes_supported":                         []string{"form_post", "fragment", "query"},
		"response_types_supported":                         []string{"code id_token", "code", "id_token", "none"},
		"scopes_supported":                                 scopes,
		"subject_types_supported":                          []string{"public"},
		"token_endpoint_auth_methods_supported":            []string{"client_secret_basic", "client_secret_jwt", "client_secret_post", "private_key_jwt", "none"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"HS256", "RS256", "PS256", "ES256", "Ed25519", "EdDSA"},

		"authorization_response_iss_parameter_supported": true,
		"backchannel_logout_session_supported":           true,
		"backchannel_logout_supported":                   true,
		"claims_parameter_supported":                     false,
		"request_uri_parameter_supported":                false,
	}
}

var (
	profileClaims = []string{
		"sub", "name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
		"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at", "username", "created_at",
		"email", "email_verified", "phone_number", "phone_number_verified", "address",
	}
	logtoClaims = []string{
		"custom_data", "identities", "sso_identities", "roles",
		"organizations", "organization_data", "organization_roles",
	}
	scopes = []string{
		"openid", "offline_access", "profile", "email", "phone", "address", "custom_data", "identities", "roles",
		"urn:logto:scope:organizations", "urn:logto:scope:organization_roles", "urn:logto:scope:sessions",
		"urn:logto:scope:trusted_devices",
	}
)
