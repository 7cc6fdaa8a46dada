package logtoauth

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// stateVar is the request variable that holds what was decided about a
// request. A variable needs no copy of the request, as a context value would,
// and error routes see it too.
const stateVar = "logto_auth"

// requestState is what the handlers of this package know about one request.
// The handler that ran last decides it.
type requestState struct {
	// handler is the logto_auth that ran last.
	handler *Handler

	// info is what the admitted token says; nil unless one was admitted.
	info *AuthInfo

	// organizationID is the organization that handler checked.
	organizationID string

	// refusal is why the request was refused, or would have been.
	refusal *Refusal

	// anonymous is what a request without a token lacked that was let pass.
	anonymous *Refusal

	// forwarded are the headers that handler set from claims.
	forwarded headerNames

	// preflight says that handler let the request pass as a CORS preflight.
	preflight bool

	// session is the one that the admitted token belongs to; nil if it is a
	// client's own.
	session *session.Session

	// signInURL is where a person can sign in to get what was refused.
	signInURL string

	// redirected says that the browser was sent on, to sign in.
	redirected bool

	requestHistory
}

// requestHistory is what no later logto_auth undoes.
type requestHistory struct {
	// concluding says that a handler further out calls conclude.
	concluding bool

	// private says that shared caches may not store the answer.
	private bool

	// browser is what sign_in knows of the browser; nil without sign_in.
	browser *browser

	// reported is the first refusal that a report_only let pass.
	reported *Refusal

	// unfinished is there if error routes have something to do yet.
	unfinished *unfinished
}

// unfinished is what is left to do in error routes.
type unfinished struct {
	// original is the original request without the token that was in its
	// query; nil if there was none.
	original *http.Request

	// trailers are those that may hold a token.
	trailers headerNames

	// uncounted says that outcome and refusal are not counted yet: error
	// routes may still refuse the request.
	uncounted bool
	outcome   string
	refusal   *Refusal
}

// later returns what is left to do in error routes. Few requests have any, so
// it is no part of their state.
func (s *requestState) later() *unfinished {
	if s.unfinished == nil {
		s.unfinished = new(unfinished)
	}
	return s.unfinished
}

// String shows nothing: whoever prints the variable must not get claims.
func (*requestState) String() string { return stateVar }

// stateOf returns the state of a request. The first call makes its
// placeholders known, once: Caddy asks the provider that was registered first,
// so two of them would tell of two users.
func stateOf(r *http.Request) *requestState {
	if state, ok := knownState(r); ok {
		return state
	}
	state := new(requestState)
	caddyhttp.SetVar(r.Context(), stateVar, state)
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(state.placeholder)
	}
	return state
}

// knownState returns the state of a request that a handler has seen.
func knownState(r *http.Request) (*requestState, bool) {
	state, ok := caddyhttp.GetVar(r.Context(), stateVar).(*requestState)
	return state, ok
}

// clear forgets what an earlier logto_auth left, headers included, so that
// nothing of it shows when a later one refuses or lets an anonymous request pass.
func (s *requestState) clear(r *http.Request) {
	s.forwarded.deleteFrom(r.Header)
	*s = requestState{requestHistory: s.requestHistory}
}

// What became of a request.
const (
	outcomeAdmitted  = "admitted"  // its token held all that was asked
	outcomeRefused   = "refused"   // it was answered in the site's place
	outcomeReported  = "reported"  // report_only let it pass
	outcomeAnonymous = "anonymous" // it had no token and needed none
	outcomePreflight = "preflight" // it was a CORS preflight

	outcomeRedirected = "redirected" // the browser was sent to sign in
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
	case s.redirected:
		return outcomeRedirected, s.refusal
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

// describeSpan tells the trace that Caddy's tracing directive records, if
// there is one, who made the request and why it was refused. What a refused
// token claims is not told: it may be anything.
func (s *requestState) describeSpan(ctx context.Context, reason Reason) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	var attributes []attribute.KeyValue
	add := func(name, value string) {
		if value != "" {
			attributes = append(attributes, attribute.String(name, legible.Text(value)))
		}
	}
	if s.info != nil {
		add("enduser.id", s.info.Subject)
		add("logto.client_id", s.info.ClientID)
		add("logto.organization_id", s.organizationID)
	}
	add("logto.reason", string(reason))
	span.SetAttributes(attributes...)
}
