package logtoauth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-logto/caddy-logto-auth/internal/jsonobject"
)

// organizationURN starts the audience of an organization token.
const organizationURN = "urn:logto:organization:"

// permissionModel is one of Logto's three permission models. It decides where
// the organization stands in a token and which texts refuse.
type permissionModel uint8

const (
	// modelGlobal: `aud` is the API, no organization.
	modelGlobal permissionModel = iota
	// modelOrganization: `aud` is the organization, scopes are its permissions.
	modelOrganization
	// modelOrganizationAPI: `aud` is the API, `organization_id` the organization.
	modelOrganizationAPI
)

// audienceText is the text that refuses a wrong audience.
func (m permissionModel) audienceText() string {
	switch m {
	case modelOrganization:
		return "Invalid audience for organization permissions"
	case modelOrganizationAPI:
		return "Invalid audience for organization-level API resources"
	default:
		return "Invalid audience"
	}
}

// scopeText is the text that refuses missing scopes.
func (m permissionModel) scopeText() string {
	switch m {
	case modelOrganization:
		return "Insufficient organization scope"
	case modelOrganizationAPI:
		return "Insufficient organization-level API scopes"
	default:
		return "Insufficient scope"
	}
}

// organizationRule is what is asked of the organization: a mode, or, where
// listed is set, that it is one of the ids wanted in this request. The zero
// rule asks nothing.
type organizationRule struct {
	mode   string
	listed bool
}

// asked reports whether the rule wants a token that belongs to an organization.
func (o organizationRule) asked() bool { return o.listed || o.mode == organizationAny }

// wantedOrganizations are the ids asked for in one request. If they are not
// resolved, no organization will do.
type wantedOrganizations struct {
	ids      []string
	resolved bool
}

// ClaimRequirement asks that a claim has one of some values.
type ClaimRequirement struct {
	// The path of the claim: dots descend, `\.` is a literal dot, digits
	// index arrays. Placeholders are not expanded.
	Path string `json:"path"`

	// The values of which the claim must equal one or, as an array, contain
	// one. Strings are compared exactly; numbers and booleans with their JSON
	// text. Placeholders are not expanded.
	Values []string `json:"values"`
}

// claimRule is a ClaimRequirement with its path taken apart.
type claimRule struct {
	path   []string
	values []string
}

// requirements are what a verified token must hold. The order of the checks,
// audience, organization, scopes, claims, is that of the contract: it decides
// which refusal a token gets that lacks several things.
type requirements struct {
	model          permissionModel
	audiences      []string
	audienceStatus int
	organization   organizationRule
	scopes         []string
	anyScopes      []string
	claims         []claimRule

	// challengeScopes are all of these scopes, to name to the client.
	challengeScopes []string
}

// newRequirements takes what a logto_auth asks for from its config, in which
// defaults are applied.
func (h *Handler) newRequirements() (requirements, error) {
	q := requirements{
		audiences: h.Audiences, audienceStatus: h.AudienceMismatch,
		organization: organizationRule{mode: h.OrganizationMode, listed: len(h.Organizations) > 0},
		scopes:       h.Scopes, anyScopes: h.AnyScopes,
	}
	if q.model = modelOf(q.audiences, q.organization); h.identityMode() {
		// Without audiences no access token is let in.
		q.model = modelGlobal
	}
	return newRequirements(q, h.Claims)
}

// newRequirements takes what a logto_require asks for from its config. Its
// model is known only behind a logto_auth.
func (q *Require) newRequirements() (requirements, error) {
	asked := requirements{
		organization: organizationRule{mode: q.OrganizationMode, listed: len(q.Organizations) > 0},
		scopes:       q.Scopes, anyScopes: q.AnyScopes,
	}
	return newRequirements(asked, q.Claims)
}

// newRequirements adds to the config's values what is made of them.
func newRequirements(q requirements, claims []ClaimRequirement) (requirements, error) {
	q.challengeScopes = mergeScopes(q.scopes, q.anyScopes)
	for _, claim := range claims {
		path, err := jsonobject.ParsePath(claim.Path)
		if err != nil {
			return requirements{}, fmt.Errorf("claim %q: %w", claim.Path, err)
		}
		q.claims = append(q.claims, claimRule{path: path, values: claim.Values})
	}
	return q, nil
}

// modelAfter tells the model whose texts apply to a logto_require: that of
// the preceding logto_auth, unless an organization is asked for here only.
func (q *requirements) modelAfter(base *requirements) permissionModel {
	if q.organization.asked() && base.model == modelGlobal {
		return modelOrganizationAPI
	}
	return base.model
}

// mergeScopes joins lists of scopes, each scope once, in their order.
func mergeScopes(lists ...[]string) []string {
	var merged []string
	for _, scope := range slices.Concat(lists...) {
		if !slices.Contains(merged, scope) {
			merged = append(merged, scope)
		}
	}
	return merged
}

// modelOf tells the permission model from what a logto_auth asks for.
func modelOf(audiences []string, organization organizationRule) permissionModel {
	switch {
	case len(audiences) == 0:
		return modelOrganization
	case organization.asked():
		return modelOrganizationAPI
	default:
		return modelGlobal
	}
}

// check judges a verified token by everything a logto_auth asks for and
// returns the token's organization.
func (q *requirements) check(info *AuthInfo, wanted wantedOrganizations) (organization string, refusal *Refusal) {
	if refusal := q.checkAudience(info); refusal != nil {
		return "", refusal
	}
	if organization, refusal = q.checkOrganization(info, wanted); refusal != nil {
		return "", refusal
	}
	return organization, q.checkPermissions(info)
}

// checkPermissions judges scopes and claims.
func (q *requirements) checkPermissions(info *AuthInfo) *Refusal {
	if refusal := q.checkScopes(info); refusal != nil {
		return refusal
	}
	return q.checkClaims(info)
}

func (q *requirements) checkScopes(info *AuthInfo) *Refusal {
	if !q.holdsScopes(info.Scopes) {
		refusal := refuseForbidden(ReasonInsufficientScope, q.model.scopeText(), codeInsufficientScope)
		refusal.scopes = q.challengeScopes
		return refusal
	}
	return nil
}

func (q *requirements) checkClaims(info *AuthInfo) *Refusal {
	for _, claim := range q.claims {
		if !claim.holds(info) {
			refusal := refuseForbidden(ReasonClaimMismatch, textClaimMismatch, codeInsufficientScope)
			refusal.Detail = Detail(strings.Join(claim.path, "."))
			return refusal
		}
	}
	return nil
}

func (q *requirements) checkAudience(info *AuthInfo) *Refusal {
	if q.model == modelOrganization {
		if len(organizationAudiences(info.Audience)) > 0 {
			return nil
		}
	} else if slices.ContainsFunc(q.audiences, func(audience string) bool { return slices.Contains(info.Audience, audience) }) {
		return nil
	}
	refusal := refuseForbidden(ReasonWrongAudience, q.model.audienceText(), codeInvalidToken)
	refusal.Status = q.audienceStatus
	return refusal
}

// checkOrganization judges the token's organization and returns it.
func (q *requirements) checkOrganization(info *AuthInfo, wanted wantedOrganizations) (string, *Refusal) {
	switch q.organization.mode {
	case organizationForbid:
		// Whatever stands there counts, since a tenant's script can write any
		// JSON type: only an absent claim says that the scopes are global.
		if info.organization != organizationAbsent || q.model == modelOrganization {
			return "", refuseForbidden(ReasonOrganizationForbid, textOrganizationForbid, codeInvalidToken)
		}
		return "", nil
	case organizationIgnore:
		return info.organizationID, nil
	}
	if !q.organization.asked() {
		return info.organizationID, nil
	}
	id, refusal := tokenOrganization(info, q.model)
	if refusal != nil {
		return "", refusal
	}
	if q.organization.mode == organizationAny {
		if !safeOrganization(id) {
			return "", refuseOrganization(ReasonWrongOrganization, detailUnsafeOrganization)
		}
		return id, nil
	}
	if !wanted.resolved {
		return "", refuseOrganization(ReasonWrongOrganization, detailUnresolved)
	}
	if !slices.Contains(wanted.ids, id) {
		return "", refuseOrganization(ReasonWrongOrganization, "")
	}
	return id, nil
}

func refuseOrganization(reason Reason, detail Detail) *Refusal {
	refusal := refuseForbidden(reason, textOrganizationInvalid, codeInvalidToken)
	refusal.Detail = detail
	return refusal
}

// tokenOrganization returns the one organization a token speaks of. A token
// that names two, in whichever places, speaks of none.
func tokenOrganization(info *AuthInfo, model permissionModel) (string, *Refusal) {
	fromAudience := organizationAudiences(info.Audience)
	id := info.organizationID
	if model == modelOrganization && info.organization == organizationAbsent && len(fromAudience) > 0 {
		id = fromAudience[0]
	} else if info.organization == organizationAbsent || (info.organization == organizationString && id == "") {
		return "", refuseOrganization(ReasonMissingOrganization, "")
	}
	if info.organization == organizationUnusable {
		return "", refuseOrganization(ReasonWrongOrganization, detailOrganizationNoString)
	}
	if len(fromAudience) > 1 || (len(fromAudience) == 1 && fromAudience[0] != id) {
		return "", refuseOrganization(ReasonWrongOrganization, detailSeveralOrganizations)
	}
	return id, nil
}

// organizationAudiences returns the organizations that stand in an audience.
func organizationAudiences(audience []string) []string {
	var ids []string
	for _, value := range audience {
		if id, ok := strings.CutPrefix(value, organizationURN); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// safeOrganization reports whether an id that nobody listed may be handed on:
// sites build paths and hosts from it.
func safeOrganization(id string) bool {
	return id != "" && id != "." && id != ".." && !strings.ContainsAny(id, `/\`)
}

func (q *requirements) holdsScopes(scopes []string) bool {
	for _, scope := range q.scopes {
		if !slices.Contains(scopes, scope) {
			return false
		}
	}
	if len(q.anyScopes) == 0 {
		return true
	}
	return slices.ContainsFunc(q.anyScopes, func(scope string) bool { return slices.Contains(scopes, scope) })
}

// holds reports whether the claim equals one of the values or, as an array,
// contains one.
func (c claimRule) holds(info *AuthInfo) bool {
	value, ok := info.claim(c.path)
	if !ok {
		return false
	}
	elements, isArray := value.([]any)
	if !isArray {
		elements = []any{value}
	}
	return slices.ContainsFunc(elements, func(element any) bool {
		switch element.(type) {
		case map[string]any, []any, nil:
			return false // only scalars are values
		}
		return slices.Contains(c.values, claimText(element))
	})
}
