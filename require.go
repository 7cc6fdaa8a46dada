package logtoauth

import (
	"github.com/caddyserver/caddy/v2"
)

// Require is a middleware that asks more of a request that a preceding
// [Handler] has admitted: scopes, an organization, claims. It refuses with
// 401 where no handler admitted the request with a token, so it fails closed.
type Require struct {
	// The scopes that the token must hold, all of them. Default: none.
	// Placeholders are not expanded.
	Scopes []string `json:"scopes,omitempty"`

	// The scopes of which the token must hold at least one. Default: none.
	// Placeholders are not expanded.
	AnyScopes []string `json:"any_scopes,omitempty"`

	// The IDs of the organizations of which one must be the token's. An ID
	// may hold placeholders, as in `logto_auth`. Excludes
	// `organization_mode`. Default: not checked.
	Organizations []string `json:"organizations,omitempty"`

	// What to ask of the token's organization where no IDs are listed: `any`
	// (one must be present) or `forbid` (none may be present). Excludes
	// `organizations`. Default: not checked.
	OrganizationMode string `json:"organization_mode,omitempty"`

	// The claims that must hold, all of them. Default: none.
	Claims []ClaimRequirement `json:"claims,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Require) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.logto_require",
		New: func() caddy.Module { return new(Require) },
	}
}
