package logtoauth

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
)

// notedSpan is a span that a tracer records, or does not.
type notedSpan struct {
	noop.Span
	recording bool
	noted     map[string]string
}

func (s *notedSpan) IsRecording() bool { return s.recording }

func (s *notedSpan) SetAttributes(attributes ...attribute.KeyValue) {
	for _, a := range attributes {
		s.noted[string(a.Key)] = a.Value.AsString()
	}
}

func TestSpansTellWhoAndWhyNot(t *testing.T) {
	member := &AuthInfo{Subject: "user-1", ClientID: "app-1", Scopes: []string{"read"}}
	site := new(Handler)
	for _, test := range []struct {
		name      string
		state     requestState
		asked     []string
		recording bool
		want      map[string]string
	}{
		{
			"admitted",
			requestState{info: member, handler: site, organizationID: "org-1"},
			[]string{"read"},
			true,
			map[string]string{"enduser.id": "user-1", "logto.client_id": "app-1", "logto.organization_id": "org-1"},
		},
		{
			"refused for a scope: the client is verified",
			requestState{info: member, handler: site},
			[]string{"write"},
			true,
			map[string]string{"enduser.id": "user-1", "logto.client_id": "app-1", "logto.reason": "insufficient_scope"},
		},
		{"no token", requestState{handler: site}, nil, true, map[string]string{"logto.reason": "missing_token"}},
		{"not sampled", requestState{info: member, handler: site}, nil, false, map[string]string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := caddyRequest(t, http.MethodGet, "/")
			span := &notedSpan{recording: test.recording, noted: map[string]string{}}
			r = r.WithContext(trace.ContextWithSpan(r.Context(), span))
			*stateOf(r) = test.state
			handler := &Require{logger: zap.NewNop(), requirements: requirements{scopes: test.asked}}
			next := caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })
			if err := handler.ServeHTTP(httptest.NewRecorder(), r, next); err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(span.noted, test.want) {
				t.Errorf("noted %v, not %v", span.noted, test.want)
			}
		})
	}
}

func TestConcludingWithoutATraceAllocatesNothing(t *testing.T) {
	r := caddyRequest(t, http.MethodGet, "/")
	state := stateOf(r)
	state.info = &AuthInfo{Subject: "user-1"}
	ctx := r.Context()
	if allocations := testing.AllocsPerRun(100, func() { state.conclude(ctx, false) }); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func BenchmarkConclude(b *testing.B) {
	r := caddyRequest(b, http.MethodGet, "/")
	state := stateOf(r)
	state.info = &AuthInfo{Subject: "user-1"}
	ctx := r.Context()
	b.ReportAllocs()
	for b.Loop() {
		state.conclude(ctx, false)
	}
}
