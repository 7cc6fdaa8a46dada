package logtoauth

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddy-logto/caddy-logto-auth/internal/legible"
)

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
