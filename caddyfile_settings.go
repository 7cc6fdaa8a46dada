package logtoauth

import (
	"maps"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
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
	"sign_in":               {block: true, parse: func(h *Handler, a args) error { return a.signIn(&h.SignIn) }},
	"resource_metadata":     {block: true, parse: func(h *Handler, a args) error { return a.resourceMetadata(&h.ResourceMetadata) }},
	"audience_mismatch":     {parse: func(h *Handler, a args) error { return a.status(&h.AudienceMismatch) }},
	"errors":                {parse: func(h *Handler, a args) error { return a.text(&h.Errors) }},
	"realm":                 {parse: func(h *Handler, a args) error { return a.text(&h.Realm) }},
	"revocation":            {block: true, parse: func(h *Handler, a args) error { return a.revocation(&h.Revocation) }},
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
	"realm", "errors", "revocation",
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

// signInSettings are the lines of a sign_in block.
var signInSettings = map[string]setting[SignIn]{
	"path":            {parse: func(s *SignIn, a args) error { return a.text(&s.Path) }},
	"scopes":          {parse: func(s *SignIn, a args) error { return a.list(&s.Scopes) }},
	"offline":         {parse: func(s *SignIn, a args) error { return a.onOff(&s.Offline) }},
	"lifetime":        {parse: func(s *SignIn, a args) error { return a.positiveDuration(&s.Lifetime) }},
	"idle":            {parse: func(s *SignIn, a args) error { return a.positiveDuration(&s.Idle) }},
	"prompt":          {parse: func(s *SignIn, a args) error { return a.text(&s.Prompt) }},
	"ui_locales":      {parse: func(s *SignIn, a args) error { return a.list(&s.UILocales) }},
	"unauthenticated": {parse: func(s *SignIn, a args) error { return a.text(&s.Unauthenticated) }},
	"forward_token":   {parse: func(s *SignIn, a args) error { return a.flag(&s.ForwardToken) }},
	"base_url":        {parse: func(s *SignIn, a args) error { return a.text(&s.BaseURL) }},
	"signed_out":      {parse: func(s *SignIn, a args) error { return a.text(&s.SignedOut) }},
	"session_key":     {parse: func(s *SignIn, a args) error { return a.list(&s.SessionKeys) }},
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

// args is the rest of one subdirective, whose name is word. Its methods turn
// tokens into a field and refuse what the field cannot tell from unset; what a
// value means is judged later, by problems.
type args struct {
	*caddyfile.Dispenser
	word    string
	written positions
}

// emptyVariable ends the messages about a value that is not there. A `{$NAME}`
// of the Caddyfile that is empty is gone before its tokens are made, so it
// looks as if nothing had been written.
const emptyVariable = "; if the line has a variable such as {$NAME}, is the variable empty?"

// text takes the only argument.
func (a args) text(field *string) error {
	values := a.RemainingArgs()
	switch {
	case len(values) == 0:
		return a.Errf("%s takes one value and has none%s", a.word, emptyVariable)
	case len(values) > 1:
		return a.Errf("%s takes one value, not %d", a.word, len(values))
	case values[0] == "":
		return a.Errf("%s: the value is empty; leave the line out to get the default%s", a.word, emptyVariable)
	}
	*field = values[0]
	return nil
}

// list takes one or more arguments. It adds to the field, which holds the
// scopes of logto_require's first line.
func (a args) list(field *[]string) error {
	values := a.RemainingArgs()
	if len(values) == 0 {
		return a.Errf("%s takes one or more values and has none%s", a.word, emptyVariable)
	}
	*field = append(*field, values...)
	return nil
}

// flag takes no argument.
func (a args) flag(field *bool) error {
	if a.NextArg() {
		return a.Errf("%s takes no value; leave the line out to switch it off", a.word)
	}
	*field = true
	return nil
}

// onOff takes one of two words, for a flag that is on by default.
func (a args) onOff(field **bool) error {
	var word string
	if err := a.text(&word); err != nil {
		return err
	}
	if word != "on" && word != "off" {
		return a.Errf("%s: %q is neither on nor off", a.word, word)
	}
	*field = new(word == "on")
	return nil
}

// duration takes a duration that may be zero.
func (a args) duration(field **caddy.Duration) error {
	var text string
	if err := a.text(&text); err != nil {
		return err
	}
	parsed, err := caddy.ParseDuration(text)
	if err != nil {
		return a.Errf("%s: %q is not a duration; write one like 10s, 5m, 1h or 1d", a.word, text)
	}
	value := caddy.Duration(parsed)
	*field = &value
	return nil
}

// positiveDuration takes a duration for a field whose zero means unset, so
// that a written zero does not silently become the default.
func (a args) positiveDuration(field *caddy.Duration) error {
	var value *caddy.Duration
	if err := a.duration(&value); err != nil {
		return err
	}
	if *value == 0 {
		return a.Errf("%s must be greater than zero", a.word)
	}
	*field = *value
	return nil
}

// count takes a whole number that may be zero.
func (a args) count(field **int) error {
	var text string
	if err := a.text(&text); err != nil {
		return err
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		return a.Errf("%s: %q is not a whole number", a.word, text)
	}
	*field = &value
	return nil
}

// status takes a whole number for a field whose zero means unset.
func (a args) status(field *int) error {
	var value *int
	if err := a.count(&value); err != nil {
		return err
	}
	if *value == 0 {
		return a.Errf("%s must not be zero", a.word)
	}
	*field = *value
	return nil
}

// organization takes IDs, or a keyword that stands alone. Only a keyword that
// is written out counts: a placeholder's value never becomes one.
func (a args) organization(ids *[]string, mode *string) error {
	var values []string
	if err := a.list(&values); err != nil {
		return err
	}
	keyword := slices.IndexFunc(values, func(value string) bool {
		return slices.Contains(organizationModes, value)
	})
	switch {
	case keyword < 0:
		*ids = values
	case len(values) == 1:
		*mode = values[0]
	default:
		return a.Errf("%s: the keyword %s must stand alone, without IDs beside it", a.word, values[keyword])
	}
	return nil
}

// claim takes a path and the values of which the claim must have one.
func (a args) claim(field *[]ClaimRequirement) error {
	values := a.RemainingArgs()
	if len(values) < 2 {
		return a.Errf("%s takes a path and one or more values%s", a.word, emptyVariable)
	}
	*field = append(*field, ClaimRequirement{Path: values[0], Values: values[1:]})
	return nil
}

// tokenSource takes a kind of place and the name there.
func (a args) tokenSource(field *[]TokenSource) error {
	values := a.RemainingArgs()
	var source TokenSource
	switch len(values) {
	case 2:
		if values[1] == "" {
			return a.Errf("%s: the name is empty%s", a.word, emptyVariable)
		}
		source = TokenSource{From: values[0], Name: values[1]}
	case 1:
		source = TokenSource{From: values[0]}
	case 0:
		return a.Errf("%s takes header, header <name>, cookie <name> or query <name>%s", a.word, emptyVariable)
	default:
		return a.Errf("%s takes header, header <name>, cookie <name> or query <name>", a.word)
	}
	*field = append(*field, source)
	return nil
}

// forwardClaim takes a claim's path and a header's name.
func (a args) forwardClaim(field *[]ForwardClaim) error {
	values := a.RemainingArgs()
	switch {
	case len(values) < 2:
		return a.Errf("%s takes a claim's path and a header's name%s", a.word, emptyVariable)
	case len(values) > 2:
		return a.Errf("%s takes a claim's path and a header's name", a.word)
	}
	*field = append(*field, ForwardClaim{Claim: values[0], Header: values[1]})
	return nil
}

// signIn takes an app id, an app secret and a block, which may be left out. No
// message shows a value: each of them may be the secret.
func (a args) signIn(field **SignIn) error {
	values := a.RemainingArgs()
	switch {
	case len(values) < 2:
		return a.Errf("%s takes an app id and an app secret, and one of them is missing%s", a.word, emptyVariable)
	case len(values) > 2:
		return a.Errf("%s takes an app id and an app secret, not %d values", a.word, len(values))
	}
	*field = &SignIn{ClientID: values[0], ClientSecret: values[1]}
	return unmarshalBlock(a.Dispenser, *field, signInSettings, a.word+".", a.written)
}

// resourceMetadata takes a block, which may be left out.
func (a args) resourceMetadata(field **ResourceMetadata) error {
	if a.NextArg() {
		return a.Errf("%s takes a block only", a.word)
	}
	*field = new(ResourceMetadata)
	return unmarshalBlock(a.Dispenser, *field, metadataSettings, a.word+".", a.written)
}
