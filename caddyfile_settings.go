package logtoauth

import (
	"maps"
	"slices"
)

// handlerSettings are the subdirectives of logto_auth.
var handlerSettings = map[string]setting[Handler]{
	"endpoint":  {parse: func(h *Handler, a args) error { return a.text(&h.Endpoint) }},
	"issuer":    {parse: func(h *Handler, a args) error { return a.list(&h.Issuers) }},
	"jwks_uri":  {parse: func(h *Handler, a args) error { return a.text(&h.JWKSURI) }},
	"jwks_file": {parse: func(h *Handler, a args) error { return a.text(&h.JWKSFile) }},

	"audience":  {parse: func(h *Handler, a args) error { return a.list(&h.Audiences) }},
	"scopes":    {parse: func(h *Handler, a args) error { return a.list(&h.Scopes) }},
	"any_scope": {parse: func(h *Handler, a args) error { return a.list(&h.AnyScopes) }},
	"organization": {parse: func(h *Handler, a args) error {
		return a.organization(&h.Organizations, &h.OrganizationMode)
	}},
	"claim":   {repeatable: true, parse: func(h *Handler, a args) error { return a.claim(&h.Claims) }},
	"max_age": {parse: func(h *Handler, a args) error { return a.positiveDuration(&h.MaxAge) }},

	"token_from":            {repeatable: true, parse: func(h *Handler, a args) error { return a.tokenSource(&h.TokenSources) }},
	"optional":              {parse: func(h *Handler, a args) error { return a.flag(&h.Optional) }},
	"bypass_cors_preflight": {parse: func(h *Handler, a args) error { return a.flag(&h.BypassCORSPreflight) }},
	"trusted_origins":       {parse: func(h *Handler, a args) error { return a.list(&h.TrustedOrigins) }},
	"forward_claim":         {repeatable: true, parse: func(h *Handler, a args) error { return a.forwardClaim(&h.ForwardClaims) }},
	"strip_token":           {parse: func(h *Handler, a args) error { return a.flag(&h.StripToken) }},
	"resource_metadata":     {block: true, parse: func(h *Handler, a args) error { return a.resourceMetadata(&h.ResourceMetadata) }},
	"audience_mismatch":     {parse: func(h *Handler, a args) error { return a.status(&h.AudienceMismatch) }},
	"errors":                {parse: func(h *Handler, a args) error { return a.text(&h.Errors) }},
	"realm":                 {parse: func(h *Handler, a args) error { return a.text(&h.Realm) }},
	"report_only":           {parse: func(h *Handler, a args) error { return a.flag(&h.ReportOnly) }},

	"algorithms": {parse: func(h *Handler, a args) error { return a.list(&h.Algorithms) }},
	"token_type": {parse: func(h *Handler, a args) error { return a.list(&h.TokenTypes) }},
	"leeway":     {parse: func(h *Handler, a args) error { return a.duration(&h.Leeway) }},
	"cache_size": {parse: func(h *Handler, a args) error { return a.count(&h.CacheSize) }},

	"refresh_interval": {parse: func(h *Handler, a args) error { return a.positiveDuration(&h.RefreshInterval) }},
	"refresh_cooldown": {parse: func(h *Handler, a args) error { return a.positiveDuration(&h.RefreshCooldown) }},
	"max_stale":        {parse: func(h *Handler, a args) error { return a.duration(&h.MaxStale) }},
	"fetch_timeout":    {parse: func(h *Handler, a args) error { return a.positiveDuration(&h.FetchTimeout) }},
	"trusted_ca_file":  {parse: func(h *Handler, a args) error { return a.text(&h.TrustedCAFile) }},
	"insecure_http":    {parse: func(h *Handler, a args) error { return a.flag(&h.InsecureHTTP) }},
}

// globalSettings are the subdirectives of the global option: those that speak
// of the tenant and of operation. What a token must hold is each site's own.
var globalSettings = only(
	handlerSettings,
	"endpoint", "issuer", "jwks_uri", "jwks_file", "trusted_ca_file", "insecure_http",
	"algorithms", "token_type", "leeway", "cache_size",
	"refresh_interval", "refresh_cooldown", "max_stale", "fetch_timeout",
	"realm", "errors",
)

// requireSettings are the subdirectives of logto_require.
var requireSettings = map[string]setting[Require]{
	"scopes":    {parse: func(r *Require, a args) error { return a.list(&r.Scopes) }},
	"any_scope": {parse: func(r *Require, a args) error { return a.list(&r.AnyScopes) }},
	"organization": {parse: func(r *Require, a args) error {
		return a.organization(&r.Organizations, &r.OrganizationMode)
	}},
	"claim": {repeatable: true, parse: func(r *Require, a args) error { return a.claim(&r.Claims) }},
}

// metadataSettings are the lines of a resource_metadata block.
var metadataSettings = map[string]setting[ResourceMetadata]{
	"resource":      {parse: func(m *ResourceMetadata, a args) error { return a.text(&m.Resource) }},
	"scopes":        {parse: func(m *ResourceMetadata, a args) error { return a.list(&m.Scopes) }},
	"name":          {parse: func(m *ResourceMetadata, a args) error { return a.text(&m.Name) }},
	"documentation": {parse: func(m *ResourceMetadata, a args) error { return a.text(&m.Documentation) }},
}

// What the blocks of the global option and of logto_require say of the
// subdirectives that they do not take.
var (
	globalBlock  = withRest(globalSettings, "the logto_auth of each site, not in the global option")
	requireBlock = withRest(requireSettings, "logto_auth, not in logto_require")
)

// withRest adds the other subdirectives of logto_auth, which belong elsewhere.
func withRest[T any](settings map[string]setting[T], elsewhere string) map[string]setting[T] {
	all := maps.Clone(settings)
	for word := range handlerSettings {
		if _, ok := all[word]; !ok {
			all[word] = setting[T]{elsewhere: elsewhere}
		}
	}
	return all
}

// only gives the settings of the given names.
func only[T any](settings map[string]setting[T], names ...string) map[string]setting[T] {
	chosen := maps.Clone(settings)
	maps.DeleteFunc(chosen, func(name string, _ setting[T]) bool { return !slices.Contains(names, name) })
	return chosen
}
