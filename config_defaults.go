package logtoauth

import (
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// What stands for a setting that is left out.
const (
	defaultTokenType       = "at+jwt" // RFC 9068 section 2.1
	defaultLeeway          = caddy.Duration(10 * time.Second)
	defaultCacheSize       = 10000
	defaultRefreshInterval = caddy.Duration(10 * time.Minute)
	defaultRefreshCooldown = caddy.Duration(5 * time.Second)
	defaultMaxStale        = caddy.Duration(24 * time.Hour)
	defaultFetchTimeout    = caddy.Duration(5 * time.Second)
)

// maxLeeway bounds what can still be called a difference of clocks.
const maxLeeway = caddy.Duration(time.Hour)

// The keywords of settings.
const (
	anyTokenType = "any"

	organizationAny    = "any"
	organizationForbid = "forbid"
	organizationIgnore = "ignore"

	sourceHeader = "header"
	sourceCookie = "cookie"
	sourceQuery  = "query"

	errorsJSON         = "json"
	errorsHandleErrors = "handle_errors"
)

// sourceKinds are the kinds of places where a token may stand.
var sourceKinds = []string{sourceHeader, sourceCookie, sourceQuery}

// defaultSourceHeader is the header in which a token stands (RFC 6750 section
// 2.1).
const defaultSourceHeader = "Authorization"

// organizationModes are the keywords that stand in the place of IDs.
var organizationModes = []string{organizationAny, organizationForbid, organizationIgnore}

// defaultAlgorithms are also all that may be configured: the asymmetric ones
// that both the keys and the signature library know.
var defaultAlgorithms = []string{
	"ES256", "ES384", "ES512",
	"RS256", "RS384", "RS512",
	"PS256", "PS384", "PS512",
	"EdDSA",
}

// applyDefaults fills in what is left out. Placeholders of load time must have
// been expanded: one default is taken from the audience.
func (h *Handler) applyDefaults() {
	if len(h.Algorithms) == 0 {
		h.Algorithms = slices.Clone(defaultAlgorithms)
	}
	if len(h.TokenTypes) == 0 {
		h.TokenTypes = []string{defaultTokenType}
	}
	// An ID token speaks of all organizations of a person, and of none.
	if len(h.Organizations) == 0 && h.OrganizationMode == "" && !h.identityMode() {
		h.OrganizationMode = organizationForbid
	}
	if len(h.TokenSources) == 0 {
		h.TokenSources = defaultTokenSources()
	}
	for i, source := range h.TokenSources {
		h.TokenSources[i].Name = source.name()
	}
	if h.ResourceMetadata != nil {
		h.ResourceMetadata.Resource = h.resource()
	}
	if h.AudienceMismatch == 0 {
		h.AudienceMismatch = 403
		if h.ResourceMetadata != nil {
			h.AudienceMismatch = 401
		}
	}
	if h.SignIn != nil {
		h.SignIn.applyDefaults()
	}
	if h.Revocation != nil {
		h.Revocation.applyDefaults(h.SignIn)
	}
	setDefault(&h.Errors, errorsJSON)
	setDefault(&h.RefreshInterval, defaultRefreshInterval)
	setDefault(&h.RefreshCooldown, defaultRefreshCooldown)
	setDefault(&h.FetchTimeout, defaultFetchTimeout)
	if h.Leeway == nil {
		h.Leeway = new(defaultLeeway)
	}
	if h.CacheSize == nil {
		h.CacheSize = new(defaultCacheSize)
	}
	if h.MaxStale == nil {
		h.MaxStale = new(defaultMaxStale)
	}
}

// defaultTokenSources is where a token stands if nothing else is said.
func defaultTokenSources() []TokenSource {
	return []TokenSource{{From: sourceHeader, Name: defaultSourceHeader}}
}

// setDefault fills in a field whose zero means unset.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// name gives the name of the place, which only a header may leave out.
func (s TokenSource) name() string {
	if s.Name == "" && s.From == sourceHeader {
		return defaultSourceHeader
	}
	return s.Name
}

// resource gives the resource identifier of the metadata document: the one
// that is set, else the only audience if it can be one, else none.
func (h *Handler) resource() string {
	if h.ResourceMetadata.Resource == "" && len(h.Audiences) == 1 && vetResource(h.Audiences[0]) == nil {
		return h.Audiences[0]
	}
	return h.ResourceMetadata.Resource
}
