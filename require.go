package logtoauth

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Require is a middleware that asks more of a request that a preceding
// [Handler] has admitted: scopes, an organization, claims. It refuses with
// 401 where no handler admitted the request with a token, so it fails closed.
type Require struct {
	// The scopes that the token must hold, all of them. Default: none.
	// Placeholders are not expanded.
	Scopes []string `json:"scopes,omitempty"`

	// The scopes of which the token must hold at least one. Default: none.
	// Placeholders are not expanded.
	AnyScopes []string `json:"any_scopes,omitempty"`

	// The IDs of the organizations of which one must be the token's. An ID
	// may hold placeholders, as in `logto_auth`. Excludes
	// `organization_mode`. Default: not checked.
	Organizations []string `json:"organizations,omitempty"`

	// What to ask of the token's organization where no IDs are listed: `any`
	// (one must be present) or `forbid` (none may be present). Excludes
	// `organizations`. Default: not checked.
	OrganizationMode string `json:"organization_mode,omitempty"`

	// The claims that must hold, all of them. Default: none.
	Claims []ClaimRequirement `json:"claims,omitempty"`

	logger        *zap.Logger
	requirements  requirements
	organizations organizationIDs
	errorRoutes   bool
}

// CaddyModule returns the Caddy module information.
func (*Require) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.logto_require",
		New: func() caddy.Module { return new(Require) },
	}
}

// Provision builds the handler from its configuration.
func (q *Require) Provision(ctx caddy.Context) error {
	q.logger = ctx.Logger()
	err := metrics.register(ctx.GetMetricsRegistry())
	if err != nil {
		return err
	}
	if q.organizations, err = parseOrganizationIDs(caddy.NewReplacer(), q.Organizations); err != nil {
		return fmt.Errorf("organization: %w", err)
	}
	if err := joinProblems(q.problems(loading)); err != nil {
		return err
	}
	if q.requirements, err = q.newRequirements(); err != nil {
		return err
	}
	warn(q.logger, q.warnings())
	if q.errorRoutes, err = guardErrorRoutes(ctx, reserved{}); err != nil {
		return err
	}
	return surveySites(ctx)
}

// ServeHTTP passes an admitted request on if its token holds what is asked,
// and refuses it otherwise.
func (q *Require) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	state := stateOf(r)
	if !state.concluding {
		state.concluding = true
		defer func() { state.conclude(r.Context(), err != nil && q.errorRoutes) }()
	}
	if state.preflight {
		return next.ServeHTTP(w, r)
	}
	refusal := q.decide(state, r)
	if refusal == nil {
		q.organizations.keepHeaders(r)
		return next.ServeHTTP(w, r)
	}
	// What a logto_auth refused before, in report_only, is noted already.
	if state.refusal == nil {
		state.refusal = refusal
		if entry := q.logger.Check(zapcore.DebugLevel, refusalMessage); entry != nil {
			logRefusal(entry, r, refusal, state.info, "", q.demandBehind(state.handler, r), state.handler.sendsToLogto(state, r, refusal, q.requirements.challengeScopes))
		}
	}
	switch {
	case state.handler == nil:
		return new(responder).refuse(w, r, refusal)
	case state.handler.ReportOnly:
		state.report(refusal)
		state.takeBackToken(r.Header)
		return next.ServeHTTP(w, r)
	default:
		return state.handler.refuse(w, r, state, refusal, q.requirements.challengeScopes)
	}
}

// decide judges what the preceding logto_auth left.
func (q *Require) decide(state *requestState, r *http.Request) *Refusal {
	if state.info == nil {
		// Nobody was admitted: there was no logto_auth, or it let an
		// anonymous request pass.
		if state.anonymous != nil {
			return state.anonymous
		}
		if state.handler == nil {
			return refuseUnprotected()
		}
		return refusedMissingToken
	}
	return q.judge(state, q.organizations.resolve(r))
}

// judge judges an admitted token.
func (q *Require) judge(state *requestState, wanted wantedOrganizations) *Refusal {
	base := &state.handler.requirements
	asked := q.after(base)
	_, refusal := asked.checkOrganization(state.info, wanted)
	if refusal == nil {
		refusal = asked.checkPermissions(state.info)
	}
	if refusal != nil && refusal.Reason == ReasonInsufficientScope {
		refusal.scopes = mergeScopes(base.challengeScopes, asked.challengeScopes)
	}
	return refusal
}

// after returns what is asked, in the texts of the preceding logto_auth.
func (q *Require) after(base *requirements) requirements {
	asked := q.requirements
	asked.model = asked.modelAfter(base)
	return asked
}

// Interface guards.
var (
	_ caddy.Module                = (*Require)(nil)
	_ caddy.Provisioner           = (*Require)(nil)
	_ caddyhttp.MiddlewareHandler = (*Require)(nil)
)
