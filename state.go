package logtoauth

import (
	"context"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// What became of a request.
const (
	outcomeAdmitted  = "admitted"  // its token held all that was asked
	outcomeRefused   = "refused"   // it was answered in the site's place
	outcomeReported  = "reported"  // report_only let it pass
	outcomeAnonymous = "anonymous" // it had no token and needed none
	outcomePreflight = "preflight" // it was a CORS preflight
)

// conclude tells metrics and traces once what became of the request. It is
// called when the outermost handler of this package returns: what a
// logto_auth admits a later logto_require may still refuse, and one request
// must not count as both. With guarded error routes to come, which may refuse
// too, it is counted after them; but the span ends before.
func (s *requestState) conclude(ctx context.Context, errorRoutes bool) {
	outcome, refusal := s.outcome()
	s.describeSpan(ctx, refusal.reason())
	if errorRoutes {
		later := s.later()
		later.uncounted, later.outcome, later.refusal = true, outcome, refusal
		return
	}
	count(ctx, outcome, refusal)
}

// concludeErrorRoutes counts a request that error routes have answered. What
// they refused was refused, whatever had become of it before; what they let
// pass was not admitted thereby.
func (s *requestState) concludeErrorRoutes(ctx context.Context) {
	later := s.unfinished
	if later == nil || !later.uncounted {
		return
	}
	later.uncounted = false
	outcome, refusal := s.outcome()
	if outcome != outcomeRefused {
		outcome, refusal = later.outcome, later.refusal
	}
	count(ctx, outcome, refusal)
}

// count counts a request, and logs what report_only let pass.
func count(ctx context.Context, outcome string, refusal *Refusal) {
	metrics.count(outcome, refusal.reason())
	if outcome == outcomeReported {
		logReason(ctx, refusal.reason())
	}
}

// outcome returns what became of the request, and the refusal that it got or
// that report_only spared it. It is empty if a panic kept the handlers from
// deciding.
func (s *requestState) outcome() (string, *Refusal) {
	switch {
	case s.refusal != nil && (s.handler == nil || !s.handler.ReportOnly):
		return outcomeRefused, s.refusal
	case s.reported != nil:
		return outcomeReported, s.reported
	case s.preflight:
		return outcomePreflight, nil
	case s.info != nil:
		return outcomeAdmitted, nil
	case s.anonymous == nil:
		return "", nil
	}
	return outcomeAnonymous, nil
}

// report notes a refusal that report_only lets pass. The first one stays: a
// later logto_auth that admits does not make it undone.
func (s *requestState) report(refusal *Refusal) {
	if s.reported == nil {
		s.reported = refusal
	}
}

// logReason puts the reason of a refusal into Caddy's access log, if the
// server has one.
func logReason(ctx context.Context, reason Reason) {
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server.Logs == nil {
		return
	}
	if fields, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		fields.Add(zap.String("logto_reason", string(reason)))
	}
}
