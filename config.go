package logtoauth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// settingError is a mistake in the configuration. Its text says how to fix it.
type settingError struct {
	// Setting is the Caddyfile's word for the setting at fault; a line of a
	// nested block is "block.line".
	Setting string

	// Index tells which one of a repeatable setting is meant.
	Index int

	Err error
}

func (e settingError) Error() string { return e.Setting + ": " + e.Err.Error() }

func (e settingError) Unwrap() error { return e.Err }

// stage tells how far a configuration has come when it is judged.
type stage int

const (
	// sharing: these are the defaults of the global option, to which each site
	// adds its own settings, so only what stands here is judged.
	sharing stage = iota

	// adapting: the settings are complete, but placeholders of load time are
	// still text, so nothing can be said of the values that hold one.
	adapting

	// loading: they have been expanded, so what looks like one is a mistake.
	loading
)

// findings collects the mistakes that are found in one stage.
type findings struct {
	stage    stage
	problems []settingError
}

// add notes a mistake in a setting that stands once.
func (f *findings) add(setting, format string, args ...any) {
	f.addAt(setting, 0, format, args...)
}

// addAt notes a mistake in the index-th one of a repeatable setting.
func (f *findings) addAt(setting string, index int, format string, args ...any) {
	f.problems = append(f.problems, settingError{setting, index, fmt.Errorf(format, args...)})
}

// note adds err, if there is one, as a mistake in the setting.
func (f *findings) note(setting string, index int, err error) {
	if err != nil {
		f.problems = append(f.problems, settingError{setting, index, err})
	}
}

// vetExpanded judges a value in which placeholders are expanded when the config
// is loaded.
func (f *findings) vetExpanded(setting, value string, vet func(string) error) {
	switch {
	case !strings.Contains(value, "{"):
		f.note(setting, 0, vet(value))
	case f.stage == loading || strings.Contains(value, "{http."):
		f.add(setting, "the placeholder in %q is not known when the config is loaded; {env.*} and {file.*} are", value)
	}
}

// joinProblems makes one error of all problems, or nil of none.
func joinProblems(problems []settingError) error {
	errs := make([]error, 0, len(problems))
	for _, problem := range problems {
		errs = append(errs, problem)
	}
	return errors.Join(errs...)
}

// problems returns every mistake in the configuration. It looks at nothing
// else, neither files nor network, and gives the same answer before and after
// applyDefaults.
func (h *Handler) problems(at stage) []settingError {
	f := &findings{stage: at}
	h.vetTenant(f)
	h.vetVerification(f)
	h.vetAudience(f)
	vetOrganization(f, h.Organizations, h.OrganizationMode, organizationModes)
	vetScopes(f, "scopes", h.Scopes)
	vetScopes(f, "any_scope", h.AnyScopes)
	vetClaims(f, h.Claims)
	f.vetTokenSources(h.TokenSources)
	h.vetTrustedOrigins(f)
	h.vetForwardClaims(f)
	h.vetResourceMetadata(f)
	h.vetRevocation(f)
	h.vetAnswers(f)
	h.vetTimes(f)
	h.vetSignIn(f)
	return f.problems
}

// problems returns every mistake in the configuration.
func (q *Require) problems(at stage) []settingError {
	f := &findings{stage: at}
	vetOrganization(f, q.Organizations, q.OrganizationMode, []string{organizationAny, organizationForbid})
	vetScopes(f, "scopes", q.Scopes)
	vetScopes(f, "any_scope", q.AnyScopes)
	vetClaims(f, q.Claims)
	return f.problems
}

// vetTenant judges where the keys and the accepted issuers come from.
func (h *Handler) vetTenant(f *findings) {
	switch {
	case h.JWKSFile != "":
		if len(h.Issuers) == 0 {
			f.add("jwks_file", "a file of keys does not name their issuer; add issuer <iss...>")
		}
		if h.Endpoint != "" || h.JWKSURI != "" {
			f.add("jwks_file", "with a file nothing is fetched; remove endpoint and jwks_uri, or jwks_file")
		}
	case h.Endpoint != "":
	case h.JWKSURI != "":
		if len(h.Issuers) == 0 {
			f.add("jwks_uri", "keys do not name their issuer; add issuer <iss...>, or endpoint <url> to discover it")
		}
	case len(h.Issuers) > 0:
		f.add("issuer", "an issuer does not tell where its keys are; add endpoint, jwks_uri or jwks_file")
	case f.stage != sharing:
		f.add("endpoint", "no tenant is named; add endpoint <url>, here or in the global option logto_auth")
	}

	// Plain http may be allowed by the site that takes the default.
	insecureHTTP := h.InsecureHTTP || f.stage == sharing
	if h.Endpoint != "" {
		f.vetExpanded("endpoint", h.Endpoint, func(raw string) error { return keys.CheckEndpoint(raw, insecureHTTP) })
	}
	if h.JWKSURI != "" {
		f.vetExpanded("jwks_uri", h.JWKSURI, func(raw string) error { return keys.CheckURL(raw, insecureHTTP) })
	}
	for _, issuer := range h.Issuers {
		f.vetExpanded("issuer", issuer, keys.CheckIssuer)
	}
	if h.JWKSFile != "" {
		f.vetExpanded("jwks_file", h.JWKSFile, vetText)
	}
	if h.TrustedCAFile != "" {
		f.vetExpanded("trusted_ca_file", h.TrustedCAFile, vetText)
	}
}

// vetVerification judges what a token's header may say.
func (h *Handler) vetVerification(f *findings) {
	for i, algorithm := range h.Algorithms {
		f.note("algorithms", 0, vetAlgorithm(algorithm))
		if slices.Contains(h.Algorithms[:i], algorithm) {
			f.add("algorithms", "%s is listed twice", algorithm)
		}
	}
	for _, typ := range h.TokenTypes {
		switch {
		case typ == "":
			f.add("token_type", "a value is empty; the default is %s", defaultTokenType)
		case typ == anyTokenType && len(h.TokenTypes) > 1:
			f.add("token_type", "%s switches the check off, so it must stand alone", anyTokenType)
		case typ != anyTokenType && strings.EqualFold(typ, anyTokenType):
			f.add("token_type", "write %s in lower case", anyTokenType)
		case !isMediaType(typ):
			f.add("token_type", "%q is not a media type like %s", typ, defaultTokenType)
		}
	}
}

// vetAlgorithm accepts exactly the algorithms that stand for a key pair.
func vetAlgorithm(algorithm string) error {
	for _, known := range defaultAlgorithms {
		if algorithm == known {
			return nil
		}
		if strings.EqualFold(algorithm, known) {
			return fmt.Errorf("%q is spelled %s", algorithm, known)
		}
	}
	switch upper := strings.ToUpper(algorithm); {
	case strings.HasPrefix(upper, "HS"):
		return fmt.Errorf("%s is symmetric: whoever can verify could also sign; use ES384 or another of %s",
			algorithm, strings.Join(defaultAlgorithms, " "))
	case upper == "NONE":
		return fmt.Errorf("%s accepts unsigned tokens; use ES384 or another of %s",
			algorithm, strings.Join(defaultAlgorithms, " "))
	}
	return fmt.Errorf("%q is unknown; use ES384 or another of %s", algorithm, strings.Join(defaultAlgorithms, " "))
}

// vetAnswers judges how refusals are told.
func (h *Handler) vetAnswers(f *findings) {
	switch h.AudienceMismatch {
	case 0, 401, 403:
	default:
		f.add("audience_mismatch", "%d is neither 401 nor 403", h.AudienceMismatch)
	}
	switch h.Errors {
	case "", errorsJSON, errorsHandleErrors:
	default:
		f.add("errors", "%q is neither %s nor %s", h.Errors, errorsJSON, errorsHandleErrors)
	}
	// RFC 9110 section 5.6.4 lets a quoted-string carry more, but clients
	// disagree on what octets beyond ASCII mean, and a control character could
	// end the header.
	if strings.ContainsFunc(h.Realm, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		f.add("realm", "%q holds characters other than printable ASCII, which the challenge cannot carry", h.Realm)
	}
	f.note("realm", 0, vetLiteral(h.Realm))
}

// vetTimes judges durations and sizes.
func (h *Handler) vetTimes(f *findings) {
	for _, limit := range []struct {
		setting string
		value   caddy.Duration
	}{
		{"max_age", h.MaxAge},
		{"leeway", pointed(h.Leeway)},
		{"refresh_interval", h.RefreshInterval},
		{"refresh_cooldown", h.RefreshCooldown},
		{"max_stale", pointed(h.MaxStale)},
		{"fetch_timeout", h.FetchTimeout},
	} {
		if limit.value < 0 {
			f.add(limit.setting, "%s is negative", time.Duration(limit.value))
		}
	}
	if leeway := pointed(h.Leeway); leeway > maxLeeway {
		f.add("leeway", "%s would accept tokens long after they expired; use at most %s",
			time.Duration(leeway), time.Duration(maxLeeway))
	}
	if size := pointed(h.CacheSize); size < 0 {
		f.add("cache_size", "%d is negative; 0 switches the cache off", size)
	}
}

// pointed gives what p points at, or zero.
func pointed[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
