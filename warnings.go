package logtoauth

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
)

// warning is a setting that may be meant but often is not.
type warning struct {
	setting string
	text    string
}

// warn tells the operator of such settings whenever the config is loaded or
// validated.
func warn(logger *zap.Logger, found []warning) {
	for _, w := range found {
		logger.Warn(w.text, zap.String("setting", w.setting))
	}
}

// warnings lists what can be seen in the settings of one handler. Defaults are
// applied and placeholders expanded.
func (h *Handler) warnings() []warning {
	found := h.tenantWarnings()
	if slices.Contains(h.TokenTypes, anyTokenType) {
		found = append(found, warning{"token_type", "any type of token is let in, such as the tenant's ID tokens, which every client of a user holds"})
	}
	if h.OrganizationMode == organizationIgnore {
		found = append(found, warning{"organization", "the organization is not checked: tokens of every organization are let in, and so are users' tokens with the scopes of all their organizations"})
	}
	if h.ReportOnly {
		found = append(found, warning{"report_only", "nothing is protected: every request passes, and refusals are only logged and counted"})
	}
	for i, audience := range h.Audiences {
		switch {
		case !isAbsoluteURI(audience) && !slices.Contains(h.TokenTypes, anyTokenType):
			// With any type, an ID token's audience is meant: a client's ID.
			found = append(found, warning{"audience", audience + " is no absolute URI, and Logto takes only such as the indicator of an API resource: no token will have it; write the indicator as it is in Logto, such as https://api.example.com"})
		case strings.Contains(audience, ","):
			found = append(found, warning{"audience", audience + " is one audience with a comma in it; if several are meant, separate them by spaces: audience " + withoutCommas(audience)})
		}
		if slices.ContainsFunc(h.Audiences[:i], func(earlier string) bool {
			return earlier != audience && strings.TrimSuffix(earlier, "/") == strings.TrimSuffix(audience, "/")
		}) {
			found = append(found, warning{"audience", "two audiences differ only by a trailing slash; keep the one that is the API's indicator in Logto: " + audience})
		}
	}
	for _, source := range h.TokenSources {
		if source.From == sourceQuery {
			found = append(found, warning{"token_from", "tokens in the query end up in access logs, in histories and in Referer headers; filter the parameter " + source.Name + " out of the log"})
		}
	}
	found = append(found, h.signInWarnings()...)
	found = append(found, forwardWarnings(h.ForwardClaims)...)
	found = append(found, scopeWarnings("scopes", h.Scopes)...)
	return append(found, scopeWarnings("any_scope", h.AnyScopes)...)
}

// signInWarnings tells of settings that sign_in makes useless, and of those
// that make it useless.
func (h *Handler) signInWarnings() []warning {
	var found []warning
	if h.SignIn == nil {
		return nil
	}
	if h.SignIn.Lifetime > refreshTokenTTL {
		found = append(found, warning{"sign_in.lifetime", "Logto's refresh tokens end after " + days(refreshTokenTTL) + ", so a session of " + days(h.SignIn.Lifetime) +
			" lasts as long only if the application rotates them; people are then sent to sign in again"})
	}
	if h.identityMode() && h.ResourceMetadata != nil {
		found = append(found, warning{"resource_metadata", "it tells programs where to get a token, and without audience or organization every token is refused; add audience <indicator...>, or remove resource_metadata"})
	}
	return found
}

// days writes a duration in days, rounded up.
func days(d caddy.Duration) string {
	const day = caddy.Duration(24 * time.Hour)
	return strconv.FormatInt(int64((d+day-1)/day), 10) + " days"
}

// forwardWarnings tells of lines that may have claim and header in each other's
// place.
func forwardWarnings(forwards []ForwardClaim) []warning {
	var found []warning
	for _, forward := range forwards {
		if _, perhaps := forward.turnedRound(); perhaps {
			found = append(found, warning{"forward_claim", "the line reads the claim " + forward.Claim + " and sets the header " + forward.Header + "; if " + forward.Claim +
				" is the header, clients can still send it themselves: the claim comes first, so write forward_claim " + forward.Header + " " + forward.Claim})
		}
	}
	return found
}

// tenantWarnings lists addresses of the tenant that Logto does not have.
func (h *Handler) tenantWarnings() []warning {
	var found []warning
	if base := strings.TrimRight(h.Endpoint, "/"); strings.HasSuffix(base, keys.ManagementPath) {
		found = append(found, warning{"endpoint", h.Endpoint + " looks like Logto's Management API; the tenant is " + keys.NormalizeEndpoint(strings.TrimSuffix(base, keys.ManagementPath))})
	}
	for _, issuer := range h.Issuers {
		if !strings.HasSuffix(issuer, keys.IssuerPath) {
			found = append(found, warning{"issuer", "the issuer of a Logto tenant ends in /oidc, and " + issuer + " does not: tokens with another iss are refused; write " + keys.NormalizeEndpoint(issuer) + keys.IssuerPath})
		}
	}
	return found
}

// warnings lists what can be seen in the settings of one handler.
func (q *Require) warnings() []warning {
	return slices.Concat(scopeWarnings("scopes", q.Scopes), scopeWarnings("any_scope", q.AnyScopes))
}

// scopeWarnings tells of scopes with a comma. RFC 6749 section 3.3 allows it,
// so a permission in Logto may have that name.
func scopeWarnings(setting string, scopes []string) []warning {
	for _, scope := range scopes {
		if strings.Contains(scope, ",") {
			return []warning{{setting, scope + " is one scope with a comma in it; if several are meant, separate them by spaces: " + setting + " " + withoutCommas(scopes...)}}
		}
	}
	return nil
}
