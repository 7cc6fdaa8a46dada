package soak

import (
	"slices"
	"strings"
	"time"
)

// decision is an answer as far as it says what was decided.
type decision struct {
	status int
	body   string
}

const (
	// leeway is that of the configuration under test.
	leeway = 10 * time.Second

	// blur is how far two readings of the clock in one decision may be apart.
	blur = 3 * time.Second
)

func refuse(status int, text string) decision {
	return decision{status, `{"error":"` + strings.ReplaceAll(text, `"`, `\"`) + `"}`}
}

var invalidToken = refuse(401, "Invalid token")

// facts are what a decision depends on beside the request: what the Caddy
// under test knows at that moment.
type facts struct {
	keyKnown bool // it holds the token's key
	tooOld   bool // its clock is past the token's exp, or past what the site's max_age allows
	keyless  bool // it has no key at all
	revoked  bool // the token is on its list
}

// decide is the reference. It follows the documentation, not the code: it
// knows the claims that were minted and decodes nothing.
func (r *request) decide(generation int, known facts) decision {
	switch {
	case r.credential == "none" && r.site.optional, r.credential == "basic" && r.site.optional:
		return decision{200, "||anonymous||"}
	case r.credential == "none":
		return refuse(401, "Authorization header is missing")
	case r.credential == "basic":
		return refuse(401, `Authorization header must start with "Bearer "`)
	case r.credential == "twice":
		return refuse(400, "Multiple access tokens")
	case r.token.flaw != "" && !r.token.needsKey, known.tooOld:
		return invalidToken
	case known.keyless:
		return refuse(503, "Token verification is temporarily unavailable")
	case r.token.flaw != "", !known.keyKnown, known.revoked:
		return invalidToken
	}
	organization, refused := r.judgeOrganization()
	if refused != nil {
		return *refused
	}
	granted := strings.Fields(r.token.text("scope"))
	for _, scope := range r.site.scopesAt(generation) {
		if !slices.Contains(granted, scope) {
			return r.insufficientScope()
		}
	}
	if claim := r.site.claim; claim[0] != "" && !holds(r.token.claims[claim[0]], claim[1]) {
		return refuse(403, "Claim requirement not met")
	}
	if r.crossOrigin && r.site.from == "cookie" {
		return refuse(403, "Cross-origin request refused")
	}
	if r.site.required != "" && !slices.Contains(granted, r.site.required) {
		return r.insufficientScope()
	}
	if r.site.proxied {
		return decision{200, "user=" + r.token.text("sub") + " authorization="}
	}
	kind := "user"
	if r.token.claims["sub"] == r.token.claims["client_id"] {
		kind = "app"
	}
	return decision{200, strings.Join([]string{
		r.token.text("sub"), organization, kind, r.token.text("jti"), strings.Join(granted, " "),
	}, "|")}
}

func (r *request) insufficientScope() decision {
	switch {
	case r.site.organization == "":
		return refuse(403, "Insufficient scope")
	case r.site.audience == "":
		return refuse(403, "Insufficient organization scope")
	default:
		return refuse(403, "Insufficient organization-level API scopes")
	}
}

// judgeOrganization judges the audience and the organization.
func (r *request) judgeOrganization() (organization string, refused *decision) {
	no := func(text string) (string, *decision) {
		d := refuse(403, text)
		return "", &d
	}
	var named []string // organizations in the audience
	for _, audience := range r.token.audience {
		if id, ok := strings.CutPrefix(audience, orgURN); ok {
			named = append(named, id)
		}
	}
	claim, hasClaim := r.token.claims["organization_id"]
	hasClaim = hasClaim && claim != nil
	id, isText := claim.(string)

	if r.site.audience == "" {
		if len(named) == 0 {
			return no("Invalid audience for organization permissions")
		}
		if !hasClaim {
			id, isText = named[0], true
		}
	} else {
		switch found := slices.Contains(r.token.audience, r.site.audience); {
		case !found && r.site.organization == "":
			return no("Invalid audience")
		case !found:
			return no("Invalid audience for organization-level API resources")
		case r.site.organization == "" && hasClaim:
			return no("Organization token not accepted")
		case r.site.organization == "":
			return "", nil
		}
	}
	wanted := r.site.organization
	if wanted == "header" {
		wanted = r.organization
	}
	for _, other := range named {
		isText = isText && other == id
	}
	if !isText || id == "" || (r.site.organization != "any" && id != wanted) {
		return no("Organization ID mismatch")
	}
	return id, nil
}

func holds(claim any, value string) bool {
	switch claim := claim.(type) {
	case string:
		return claim == value
	case []any:
		return slices.Contains(claim, any(value))
	}
	return false
}

// reference returns every decision that is right for a request that was under
// way between two moments. It is one, but for requests near an expiry or
// shortly after a key came or went.
func (t *tenant) reference(r *request, generation int, sent, answered time.Time, mayBeKeyless bool) []decision {
	var acceptable []decision
	for _, known := range t.possibleFacts(r, sent, answered, mayBeKeyless) {
		if d := r.decide(generation, known); !slices.Contains(acceptable, d) {
			acceptable = append(acceptable, d)
		}
	}
	return acceptable
}

func (t *tenant) possibleFacts(r *request, sent, answered time.Time, mayBeKeyless bool) []facts {
	if r.token == nil {
		return []facts{{}}
	}
	var possible []facts
	for _, keyKnown := range t.mayKnow(r.token.kid, sent, answered) {
		for _, tooOld := range r.mayBeTooOld(sent, answered) {
			for _, revoked := range r.token.mayBeRevoked(sent, answered) {
				possible = append(possible, facts{keyKnown: keyKnown, tooOld: tooOld, revoked: revoked})
			}
			if mayBeKeyless {
				possible = append(possible, facts{tooOld: tooOld, keyless: true})
			}
		}
	}
	return possible
}

func (r *request) mayBeTooOld(sent, answered time.Time) []bool {
	end := r.token.expires.Add(leeway)
	if r.site.maxAge > 0 {
		end = earliest(end, r.token.issued.Add(r.site.maxAge+leeway))
	}
	switch {
	case answered.Add(blur).Before(end):
		return []bool{false}
	case sent.Add(-blur).After(end):
		return []bool{true}
	default:
		return []bool{false, true}
	}
}
