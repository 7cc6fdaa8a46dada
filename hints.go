package logtoauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// hint tells the operator how to fix what a refusal shows. It is computed only
// when somebody reads it, and never goes to the client: it names what the site
// asks for.
func hint(refusal *Refusal, info *AuthInfo, token string, site demand) string {
	if site.sessionsOnly && (info == nil || !info.isIdentity) && (refusal.condemnsToken() || refusal.Reason == ReasonWrongAudience) {
		// What is wrong with the token does not matter: no other one would do.
		return "this site takes sessions only, no tokens: its logto_auth has sign_in and no audience; " +
			"add audience <indicator> if programs shall send tokens, too"
	}
	switch refusal.Reason {
	case ReasonTooEarly:
		return "the request came in early data (0-RTT), where it could be a replay: clients send it again by themselves; see `servers { 0rtt off }`"
	case ReasonMissingToken:
		return missingTokenHint(refusal.Detail, site)
	case ReasonUnsupportedScheme:
		return `send the token as "Authorization: Bearer …"`
	case ReasonMultipleTokens:
		return "send exactly one token, in one place"
	case ReasonTokenTooLarge:
		return "the token is larger than 16 KiB; take claims out of the tenant's custom-claims script"
	case ReasonOpaqueToken:
		return opaqueHint(token, site)
	case ReasonMalformedToken:
		return malformedHint(refusal.Detail)
	case ReasonUnsupportedType:
		return typeHint(token)
	case ReasonDisallowedAlgorithm:
		return "the token's algorithm is not in algorithms, or not that of the tenant's key"
	case ReasonUnknownKey:
		return "the tenant does not publish a key of this kid: the token is from another tenant, or its key was rotated out"
	case ReasonBadSignature:
		return signatureHint(token)
	case ReasonWrongIssuer:
		return issuerHint(info)
	case ReasonExpired:
		return "the client must get a new token; if it did, compare the clocks (leeway)"
	case ReasonNotYetValid:
		return "the clocks of the tenant and this server differ by more than leeway"
	case ReasonMissingClaim:
		return missingClaimHint(refusal.Detail)
	case ReasonTooOld:
		return "the token is older than max_age: the client must get a new one"
	case ReasonBoundToken:
		return "the token is sender-constrained (cnf); this module takes bearer tokens only"
	case ReasonRevoked:
		return "the token, its person, app or organization is on the list of revocations; a token that is issued after the entry is admitted"
	case ReasonKeysUnavailable:
		if refusal.Detail != "" {
			return string(refusal.Detail)
		}
		return "the tenant's keys could not be loaded; see the messages about its JWKS"
	case ReasonClaimMismatch:
		return "the claim " + string(refusal.Detail) + " has none of the required values"
	case ReasonCrossOrigin:
		return "a page of another origin used the cookie token: list its origin in trusted_origins if it may"
	}
	if hint, ok := sessionDetailHints[refusal.Detail]; ok {
		return hint
	}
	if hint, ok := sessionHints[refusal.Reason]; ok {
		return hint
	}
	return requirementHint(refusal, info, site)
}

// sessionHints explain the refusals of browsers.
var sessionHints = map[Reason]string{
	ReasonNoSession: "nobody is signed in, and the request is no navigation that could be sent to Logto: " +
		"a program sends a token, and a page's script leads its person to sign-in when it gets 401",
	ReasonSessionExpired: "the session is older than lifetime, had a longer pause than idle, or has no refresh token (offline)",
	ReasonSessionEnded: "the person has signed out or signed in anew, somebody has ended the session or all of the person's (see `caddy logto-auth revoke` and the webhook), " +
		"or the site has refused its token twice",
	ReasonRefreshRefused:    "Logto gives no more tokens: the person was suspended, deleted, lost the app, or signed out where offline is off",
	ReasonSignInState:       "the callback does not belong to a sign-in that this browser started within the last hour",
	ReasonSignInRefused:     "see the page or the line before: https, the issuer of the answer, Logto's error, or the ID token",
	ReasonSignInLoop:        "the site has refused every session of this browser: compare the app secret or session_key of all replicas, their clocks, and what proxies do to cookies",
	ReasonTenantUnavailable: "the tenant's token endpoint, or Caddy's storage, does not answer; see the messages about it",
}

// sessionDetailHints explain why there is no session, or no token of it for a
// request.
var sessionDetailHints = map[Detail]string{
	detailInsecure:       insecureHint,
	detailNoMember:       "Logto says that the person is in none of the organizations that the request asks for",
	detailNotAskedFor:    "the session was signed in to before the site asked for this; the next page that the person opens signs in again",
	detailNoRefreshToken: `the session has no refresh token to get this token with: leave offline on, or switch on "Always issue refresh token" for the app in the Logto console`,
}

// requirementHint explains the refusals that compare the token with the site.
func requirementHint(refusal *Refusal, info *AuthInfo, site demand) string {
	switch refusal.Reason {
	case ReasonWrongAudience:
		return audienceHint(info, site)
	case ReasonOrganizationForbid, ReasonMissingOrganization, ReasonWrongOrganization:
		return organizationHint(refusal, info, site)
	case ReasonInsufficientScope:
		return scopeHint(info, site)
	}
	return ""
}

// missingTokenHint names the places where a token may stand: a site that reads
// a cookie has no use for an Authorization header.
func missingTokenHint(detail Detail, site demand) string {
	switch {
	case detail == detailNoAuth:
		return "no logto_auth matched this request: its matcher must cover every request that logto_require is for " +
			"(/x does not match /x/y), and in a route logto_auth must come first"
	case len(site.sources) == 0:
		return "the request has no access token"
	}
	return "the request has no access token; the site expects it in " + site.places() + " (token_from)"
}

func issuerHint(info *AuthInfo) string {
	const fix = "it is from another tenant, or from a custom domain of this one whose issuer is not listed in issuer"
	if info == nil || info.Issuer == "" {
		return "the token names no issuer that the site accepts: " + fix
	}
	return "the site does not accept the issuer " + legible.Field(info.Issuer) + ": " + fix
}

func opaqueHint(token string, site demand) string {
	switch {
	case strings.HasPrefix(token, "eyJ"): // how the base64url of every JSON object begins
		return "this is the beginning of a JWT: the rest was cut off on the way"
	case strings.HasPrefix(token, "pat_"):
		return "this is a personal access token: exchange it for an access token first"
	case strings.HasPrefix(token, "sub_"):
		return "this is a subject token: exchange it for an access token first"
	case site.model == modelOrganization:
		return "opaque token: the client must ask for " + site.organizationParameter(nil) + " in the token request"
	}
	parameters := site.resourceParameter()
	if site.organization.asked() {
		parameters += " and " + site.organizationParameter(nil)
	}
	// Logto wants resource in both requests, and clients forget the second.
	return "opaque token: the client must ask for " + parameters +
		" in the token request; resource in the authorization request alone is not enough"
}

// typeHint tells apart what the tenant signs with the same keys.
func typeHint(token string) string {
	const sendAnother = ": send the access token (typ must be at+jwt)"
	var parsed jws
	if parsed.split(token) != nil || parsed.readHeader() != nil {
		return "this is an ID token, a logout token or another JWT that is no access token" + sendAnother
	}
	var claims jsonobject.Members
	if payload, ok := decodeSegment(parsed.payload); ok {
		claims, _ = jsonobject.Parse(payload)
	}
	hasClient, hasEvents := claims.Get("client_id") != "", claims.Get("events") != ""
	switch typ := normalizeType(parsed.typ); {
	case typ == "logout+jwt" || hasEvents:
		return "this is a logout token" + sendAnother
	case typ == "" && !hasClient:
		return "this is an ID token" + sendAnother
	case typ == "":
		return "the token does not say what it is" + sendAnother
	}
	return "typ " + legible.Field(parsed.typ) + " is no access token of Logto, which writes at+jwt"
}

// signatureHint tells a token that lost its end from a forged one.
func signatureHint(token string) string {
	const changed = "the token was changed, or signed by another key under the same kid"
	parsed, refusal := parseJWS(token)
	if refusal != nil {
		return changed
	}
	sizes := map[string]int{"ES256": 64, "ES384": 96, "ES512": 132, "EdDSA": 64}
	size, known := sizes[parsed.algorithm]
	if !known {
		size = keys.MinRSABits / 8
	}
	if got := len(parsed.signature); got < size {
		return fmt.Sprintf("the token was cut off: its signature has %d bytes of %d", got, size)
	}
	return changed
}

func scopeHint(info *AuthInfo, site demand) string {
	const fix = ": the client must request them, and a role must grant them"
	if info == nil {
		return "the token lacks scopes" + fix
	}
	if len(info.Scopes) == 0 {
		return "the token has no scopes at all" + fix
	}
	var missing []string
	for _, scope := range site.scopes {
		if !slices.Contains(info.Scopes, scope) {
			missing = append(missing, scope)
		}
	}
	if len(missing) == 0 {
		return "the token has none of the scopes " + strings.Join(site.anyScopes, ", ") + fix
	}
	return "the token lacks the scopes " + strings.Join(missing, ", ") + fix
}

func malformedHint(detail Detail) string {
	switch detail {
	case detailEncrypted:
		return "this is an encrypted token (JWE); Logto signs access tokens, it does not encrypt them"
	case detailSegments:
		return "the token does not have three parts separated by dots; it may have been cut off on the way"
	case "crit", "b64":
		return "the token's header asks for an extension (" + string(detail) + ") that this module does not know"
	}
	return "the token is damaged, cut off or not in canonical form: " + string(detail)
}

func missingClaimHint(claim Detail) string {
	if claim == "client_id" {
		return "the token names no client: this is an ID token or no access token of Logto"
	}
	return "the token has no usable claim " + string(claim)
}

// audienceHint finds the small differences that are hard to see.
func audienceHint(info *AuthInfo, site demand) string {
	if info == nil {
		return ""
	}
	if site.model == modelOrganization {
		return "aud is not an organization: " + site.request(info) + "; aud is then " + site.organizationAudience(info)
	}
	for _, got := range info.Audience {
		if strings.HasPrefix(got, organizationURN) {
			return organizationTokenHint(info, site)
		}
		for _, want := range site.audiences {
			switch {
			case strings.TrimSuffix(got, "/") == strings.TrimSuffix(want, "/"):
				return "aud " + legible.Field(got) + " differs from " + want + " only by a trailing slash"
			case strings.EqualFold(got, want):
				return "aud " + legible.Field(got) + " differs from " + want + " only by upper and lower case"
			case withoutScheme(got) == withoutScheme(want):
				return "aud " + legible.Field(got) + " differs from " + want + " only by its scheme"
			}
		}
	}
	return "the token is for something else: " + site.request(info)
}

// organizationTokenHint is for a token whose audience is an organization, at a
// site that wants an API. Such a token does belong to an organization, so the
// client's organization_id may be right.
func organizationTokenHint(info *AuthInfo, site demand) string {
	named := namedOrganizations(info)
	if site.organization.asked() && len(named) == 1 && site.wants(named[0]) {
		return "aud is an organization and the site wants an API: keep " + parameter("organization_id", named) +
			" and add " + site.resourceParameter()
	}
	return "aud is an organization and the site wants an API: " + site.request(info)
}

func organizationHint(refusal *Refusal, info *AuthInfo, site demand) string {
	switch {
	case site.impossible != "":
		return site.impossible
	case refusal.Detail != "":
		return string(refusal.Detail)
	case refusal.Reason == ReasonOrganizationForbid:
		return "this is an organization's token and the site takes global ones: " + site.request(info) + ", or set organization"
	case refusal.Reason == ReasonMissingOrganization && info != nil && len(organizationAudiences(info.Audience)) > 0 && site.model == modelOrganizationAPI:
		return organizationTokenHint(info, site)
	case refusal.Reason == ReasonMissingOrganization:
		return "the token belongs to no organization: " + site.request(info)
	}
	hint := "the token is for another organization: " + site.request(info)
	if site.resolved {
		hint += "; that must be the ID that Logto assigned, not the organization's name"
	}
	return hint
}

func withoutScheme(uri string) string {
	_, rest, found := strings.Cut(uri, "://")
	if !found {
		return uri
	}
	return rest
}
