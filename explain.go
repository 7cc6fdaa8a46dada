package logtoauth

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/keys"
	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

// explain says what a config would decide about a token, without serving it. A
// walker (explain_routes.go) follows the request through the routes of the
// adapted config and provisions the handlers of ours that it meets; these say
// what they think (explain_checks.go). Only Caddy can really route a request, so
// what the walker cannot know (explain_match.go) it says.

// verdict is what a handler says of a token.
type verdict string

const (
	verdictAdmitted verdict = "admitted"
	verdictRefused  verdict = "refused"

	// verdictDepends: on something that only a request tells.
	verdictDepends verdict = "depends"

	// verdictNotReached: an earlier handler has refused already.
	verdictNotReached verdict = "not_reached"

	// verdictEndpoint: the request is for an endpoint of sign_in, which answers
	// whatever the token.
	verdictEndpoint verdict = "endpoint"
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

	// Endpoint is the endpoint of sign_in that answers.
	Endpoint string `json:"endpoint,omitempty"`

	// Visit is what a request without a token gets, where people can sign in.
	Visit *visitorAnswer `json:"without_token,omitempty"`

	ReportOnly bool          `json:"report_only,omitempty"`
	Checks     []checkResult `json:"checks"`

	// examination is what the checks were made of, and refusal what came of
	// them; nil if the handler was not asked or had nothing to say.
	examination *examination
	refusal     *Refusal
}

// checkResult is what one check says. A check that comes after a failed one is
// made too, so that everything can be fixed at once.
type checkResult struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Found  string `json:"found,omitempty"`
	Asked  string `json:"asked,omitempty"`
	Reason Reason `json:"reason,omitempty"`
	Hint   string `json:"hint,omitempty"`

	refusal *Refusal
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

	// site is what hints need to know of the handler, and met what a request
	// meets from the logto_auth on: a token must do for all of it.
	site demand
	met  *demand

	info    *AuthInfo // what the token claims; nil if that cannot be read
	results []checkResult

	// admitted is what the handler leaves for a logto_require; nil if it
	// refuses.
	admitted *requestState

	// visitor is what it leaves of a request without a token; nil without
	// sign_in.
	visitor *requestState
}

// explain judges a token as if it came with a request.
func (h *Handler) explain(r *http.Request, token string, asked askedOrganizations) (*examination, *explanation) {
	e := &examination{handler: h, token: token, now: h.now(), site: h.demand(asked.wanted)}
	met := e.site
	e.met = &met
	found := credential{token: token, source: h.sources[0]}
	var (
		info         *AuthInfo
		organization string
		refusal      *Refusal
	)
	if len(asked.unknown) == 0 {
		info, organization, refusal = h.decide(r, found)
	} else if info, refusal = h.validate(r, token); refusal == nil {
		organization, refusal = h.requirements.check(info, suited(info, h.requirements.model))
	}
	e.explainToken(r.Context())
	depends := e.explainRevocation(r.Context())
	e.explainRequirements(&h.requirements, asked)

	told := &explanation{Directive: authDirective, ReportOnly: h.ReportOnly, Checks: e.results, examination: e}
	told.setOutcome(refusal, slices.Concat(asked.unknown, depends))
	if refusal == nil {
		e.admitted = &requestState{handler: h, info: info, organizationID: organization}
	}
	return e, told
}

// validate judges a token without what the site asks for.
func (h *Handler) validate(r *http.Request, token string) (*AuthInfo, *Refusal) {
	info, refusal := h.validator.validate(r.Context(), token, h.now, nil)
	if refusal == nil {
		refusal = h.revocations.check(r.Context(), info, false)
	}
	return info, refusal
}

// explain judges what a logto_auth has left of a token. before is nil if there
// is none. certain says that the request gets here.
func (q *Require) explain(r *http.Request, before *examination, asked askedOrganizations, certain bool) *explanation {
	told := &explanation{Directive: requireDirective}
	if before == nil {
		refusal := q.decide(new(requestState), r)
		told.setOutcome(refusal, nil)
		told.Hint = hint(refusal, nil, "", demand{})
		return told
	}
	e := &examination{
		handler: before.handler, token: before.token, now: before.now, info: before.info,
		site: q.demand(asked.wanted, before.site), met: before.met,
	}
	if certain {
		if met := q.demand(asked.wanted, *e.met); met.impossible == "" {
			*e.met = met
		}
	}
	rules := q.after(&before.handler.requirements)
	e.explainRequirements(&rules, asked)
	told.Checks, told.ReportOnly, told.examination = e.results, before.handler.ReportOnly, e
	if before.admitted == nil {
		told.Outcome = verdictNotReached
		return told
	}
	wanted := asked.wanted
	if len(asked.unknown) > 0 {
		wanted = suited(before.info, rules.model)
	}
	refusal := q.judge(before.admitted, wanted)
	told.setOutcome(refusal, asked.unknown)
	return told
}

// setOutcome takes over what the handler decided.
func (t *explanation) setOutcome(refusal *Refusal, unknown []string) {
	t.refusal = refusal
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

// addHints adds the hints when all handlers have been asked: what a client is
// told to request must do for those behind, too.
func (t *explanation) addHints() {
	e := t.examination
	if e == nil {
		return
	}
	for i := range t.Checks {
		if refusal := t.Checks[i].refusal; refusal != nil {
			t.Checks[i].Hint = e.hint(refusal)
		}
	}
	if t.refusal != nil {
		t.Hint = e.hint(t.refusal)
	}
}

// hint is the hint of the log, with what is known here besides.
func (e *examination) hint(refusal *Refusal) string {
	if refusal.Reason == ReasonKeysUnavailable {
		if err := e.handler.validator.keys.LastError(); err != nil {
			// This command fetches the keys anew; Caddy would go on with those it has.
			return strings.Join(slices.DeleteFunc([]string{
				legible.Error(err), keys.Advice(err),
				"a Caddy that is running, or has run, may have stored keys (max_stale) and admit the token",
			}, func(part string) bool { return part == "" }), "; ")
		}
	}
	site := e.site
	site.organization, site.organizations, site.resolved = e.met.organization, e.met.organizations, e.met.resolved
	return legible.Text(hint(refusal, e.info, e.token, site))
}
