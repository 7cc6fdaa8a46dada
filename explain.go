package logtoauth

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// verdict is what a handler says of a token.
type verdict string

const (
	verdictAdmitted verdict = "admitted"
	verdictRefused  verdict = "refused"

	// verdictDepends: on something that only a request tells.
	verdictDepends verdict = "depends"

	// verdictNotReached: an earlier handler has refused already.
	verdictNotReached verdict = "not_reached"
)

// explanation is what one handler says of a token.
type explanation struct {
	Directive string `json:"directive"`

	// Where tells the requests that the handler is for.
	Where string `json:"where"`

	// Depends lists what the outcome, or whether the handler is reached at
	// all, depends on and is not known.
	Depends []string `json:"depends_on,omitempty"`

	Outcome verdict `json:"outcome"`

	// What the client would be told, and the hint of the log, of a refusal.
	Status int    `json:"status,omitempty"`
	Reason Reason `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
	Hint   string `json:"hint,omitempty"`

	ReportOnly bool          `json:"report_only,omitempty"`
	Checks     []checkResult `json:"checks"`
}

// checkResult is what one check says. A check that comes after a failed one is
// made too, so that everything can be mended at once.
type checkResult struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Found  string `json:"found,omitempty"`
	Asked  string `json:"asked,omitempty"`
	Reason Reason `json:"reason,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// What a check says.
const (
	checkOK      = "ok"
	checkFailed  = "failed"
	checkUnknown = "unknown" // only a request tells
)

// examination is a token under one logto_auth. The verdict is the handler's
// own; the list of checks calls the same functions one by one.
type examination struct {
	handler *Handler
	token   string
	now     time.Time

	info    *AuthInfo // what the token claims; nil if that cannot be read
	results []checkResult

	// admitted is what the handler leaves for a logto_require; nil if it
	// refuses.
	admitted *requestState
}

// examine judges a token as if it came with a request. unknown lists what the
// organizations depend on and the request does not tell.
func (h *Handler) examine(r *http.Request, token string, unknown []string) (*examination, *explanation) {
	e := &examination{handler: h, token: token, now: h.now()}
	found := credential{token: token, source: h.sources[0]}
	var (
		info         *AuthInfo
		organization string
		refusal      *Refusal
	)
	if len(unknown) == 0 {
		info, organization, refusal = h.decide(r, found)
	} else if info, refusal = h.validator.validate(r.Context(), token, e.now); refusal == nil {
		organization, refusal = h.requirements.check(info, suited(info, h.requirements.model))
	}
	e.checkToken(r.Context())
	wanted := h.organizations.resolve(r)
	if len(unknown) > 0 {
		wanted = wantedOrganizations{}
	}
	e.checkRequirements(&h.requirements, h.organizations, wanted, unknown)

	told := &explanation{Directive: authDirective, ReportOnly: h.ReportOnly, Checks: e.results}
	told.conclude(refusal, unknown)
	if refusal != nil {
		told.Hint = e.hint(refusal, &h.requirements)
	} else {
		e.admitted = &requestState{handler: h, info: info, organizationID: organization}
	}
	return e, told
}

// examine judges what a logto_auth has left of a token. before is nil if there
// is none.
func (q *Require) examine(r *http.Request, before *examination, unknown []string) *explanation {
	told := &explanation{Directive: requireDirective}
	if before == nil {
		refusal := q.decide(new(requestState), r)
		told.conclude(refusal, nil)
		told.Hint = hint(refusal, nil, "", &q.requirements)
		return told
	}
	asked := q.after(&before.handler.requirements)
	wanted := q.organizations.resolve(r)
	if len(unknown) > 0 {
		wanted = suited(before.info, asked.model)
	}
	e := &examination{handler: before.handler, token: before.token, now: before.now, info: before.info}
	e.checkRequirements(&asked, q.organizations, wanted, unknown)
	told.Checks, told.ReportOnly = e.results, before.handler.ReportOnly
	if before.admitted == nil {
		told.Outcome = verdictNotReached
		return told
	}
	refusal := q.judge(before.admitted, wanted)
	told.conclude(refusal, unknown)
	if refusal != nil {
		told.Hint = e.hint(refusal, &asked)
	}
	return told
}

// conclude takes over what the handler decided.
func (t *explanation) conclude(refusal *Refusal, unknown []string) {
	switch {
	case refusal != nil:
		t.Outcome = verdictRefused
		t.Status, t.Reason, t.Error = refusal.Status, refusal.Reason, refusal.Text
	case len(unknown) > 0:
		t.Outcome = verdictDepends
		t.Depends = append(t.Depends, unknown...)
	default:
		t.Outcome = verdictAdmitted
	}
}

// suited are wanted organizations that the token's own is one of: what is to
// be assumed where only a request tells which are wanted.
func suited(info *AuthInfo, model permissionModel) wantedOrganizations {
	if info == nil {
		return wantedOrganizations{}
	}
	id, refusal := tokenOrganization(info, model)
	if refusal != nil {
		return wantedOrganizations{}
	}
	return wantedOrganizations{ids: []string{id}, resolved: true}
}

// add notes what a check said.
func (e *examination) add(name, found, asked string, refusal *Refusal, q *requirements) {
	result := checkResult{Check: name, Result: checkOK, Found: loggable(found), Asked: asked}
	if refusal != nil {
		result.Result, result.Reason, result.Hint = checkFailed, refusal.Reason, e.hint(refusal, q)
	}
	e.results = append(e.results, result)
}

// hint is the hint of the log, with what is known here besides.
func (e *examination) hint(refusal *Refusal, q *requirements) string {
	if refusal.Reason == ReasonKeysUnavailable {
		if err := e.handler.validator.keys.lastError(); err != nil {
			return strings.TrimSuffix(errorText(err)+"; "+fetchAdvice(err), "; ")
		}
	}
	return hint(refusal, e.info, e.token, q)
}

// lastError is why the last fetch failed, or nil if it did not.
func (ks *KeySet) lastError() error {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	return ks.progress.lastErr
}

// checkToken goes through what makes a token an access token of the tenant.
func (e *examination) checkToken(ctx context.Context) {
	rules, q := &e.handler.validator.rules, &e.handler.requirements
	parsed, refusal := parseJWS(e.token)
	e.add("form", fmt.Sprintf("%d characters", len(e.token)), "a signed JWT", refusal, q)
	if refusal != nil {
		return
	}
	e.add("type", parsed.typ, cmp.Or(strings.Join(rules.types, " "), anyTokenType), rules.checkType(parsed.typ), q)
	e.add("algorithm", parsed.algorithm, strings.Join(rules.algorithms, " "), rules.checkAlgorithm(parsed.algorithm), q)
	e.add("key id", parsed.keyID, "", checkKeyID(parsed.keyID), q)
	if e.info, refusal = parsed.claims(); refusal != nil {
		e.add("claims", "", "those of an access token", refusal, q)
	} else {
		e.checkClaims()
	}
	e.checkSignature(ctx, parsed)
}

func (e *examination) checkClaims() {
	rules, q, info, unix := &e.handler.validator.rules, &e.handler.requirements, e.info, e.now.Unix()
	e.add("issuer", info.Issuer, strings.Join(rules.issuers, " "), rules.checkIssuer(info), q)
	parties := "sub " + info.Subject
	if info.ClientID != "" {
		parties += ", client_id " + info.ClientID
	}
	e.add("subject and client", parties, "", rules.checkParties(info), q)
	lifetime := "until " + info.ExpiresAt.UTC().Format(time.RFC3339)
	if info.hasIssuedAt {
		lifetime = "from " + info.IssuedAt.UTC().Format(time.RFC3339) + " " + lifetime
	}
	e.add("lifetime", lifetime, "now "+e.now.UTC().Format(time.RFC3339), rules.checkLifetime(info, unix), q)
	if rules.maxAge > 0 {
		e.add("age", seconds(unix-info.issuedAt), "at most "+seconds(rules.maxAge), rules.checkAge(info, unix), q)
	}
}

func (e *examination) checkSignature(ctx context.Context, parsed *jws) {
	keys, q := e.handler.validator.keys, &e.handler.requirements
	snapshot := keys.await(ctx)
	if snapshot == nil {
		e.add("key", "", "the tenant's keys", refuseKeysUnavailable(0), q)
		return
	}
	key := snapshot.key(parsed.keyID)
	if key == nil {
		e.add("key", parsed.keyID, "a key that the tenant publishes",
			refuseToken(ReasonUnknownKey, "", "kid"), q)
		return
	}
	refusal := parsed.checkKey(key)
	e.add("key", strings.TrimSpace(key.kty+" "+key.crv), strings.Join(key.algorithms, " "), refusal, q)
	if refusal != nil {
		return
	}
	if !parsed.verifiedBy(key) {
		refusal = refuseBadSignature()
	}
	e.add("signature", "", "", refusal, q)
}

// checkRequirements goes through what the site asks for.
func (e *examination) checkRequirements(q *requirements, ids organizationIDs, wanted wantedOrganizations, unknown []string) {
	info := e.info
	if info == nil {
		return
	}
	if len(q.audiences) > 0 || q == &e.handler.requirements {
		asked := strings.Join(q.audiences, " ")
		if q.model == modelOrganization {
			asked = organizationURN + "<id>"
		}
		e.add("audience", cmp.Or(strings.Join(info.Audience, " "), "none"), asked, q.checkAudience(info), q)
	}
	if q.organization != (organizationRule{}) {
		e.checkOrganization(q, ids, wanted, unknown)
	}
	if len(q.scopes)+len(q.anyScopes) > 0 {
		asked := strings.Join(q.scopes, " ")
		if len(q.anyScopes) > 0 {
			asked = strings.TrimSpace(asked + " any of " + strings.Join(q.anyScopes, " "))
		}
		e.add("scopes", cmp.Or(strings.Join(info.Scopes, " "), "none"), asked, q.checkScopes(info), q)
	}
	if len(q.claims) > 0 {
		asked := make([]string, 0, len(q.claims))
		for _, claim := range q.claims {
			asked = append(asked, strings.Join(claim.path, ".")+" "+strings.Join(claim.values, "|"))
		}
		e.add("required claims", "", strings.Join(asked, ", "), q.checkClaims(info), q)
	}
}

func (e *examination) checkOrganization(q *requirements, ids organizationIDs, wanted wantedOrganizations, unknown []string) {
	asked := q.organization.mode
	if q.organization.listed {
		asked = strings.Join(ids.static.ids, " ")
	}
	found := "none"
	if id, refusal := tokenOrganization(e.info, q.model); refusal == nil {
		found = id
	} else if e.info.organization == organizationUnusable {
		found = "not a string"
	}
	if len(unknown) == 0 {
		_, refusal := q.checkOrganization(e.info, wanted)
		e.add("organization", found, asked, refusal, q)
		return
	}
	// Whatever the request asks for, this must hold.
	_, refusal := q.checkOrganization(e.info, suited(e.info, q.model))
	e.add("organization", found, asked, refusal, q)
	if last := &e.results[len(e.results)-1]; refusal == nil {
		last.Result = checkUnknown
	}
}

// undecided returns the placeholders in the organizations that the request
// does not decide, each with what it must be for this token.
func (o organizationIDs) undecided(decides func(placeholder string) bool) []string {
	var unknown []string
	for _, id := range o.ids {
		// The result is of no interest, only which placeholders there are.
		_, _ = caddy.NewEmptyReplacer().ReplaceFunc(id.text, func(key string, _ any) (any, error) {
			if name := "{" + key + "}"; !decides(key) && !slices.Contains(unknown, name) {
				unknown = append(unknown, name)
			}
			return nil, nil
		})
	}
	return unknown
}
