package logtoauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/wiretest"
)

// preflight makes a request the preflight of a page.
func preflight(request wiretest.Request) wiretest.Request {
	request.Method = http.MethodOptions
	request.Fields = append([]string{"Origin: https://app.example.com", "Access-Control-Request-Method: POST"}, request.Fields...)
	return request
}

// HTTP/2 and 3 end a request with a frame, so that a browser's preflight may
// come without a length. What a client sends for a body must go nowhere.
func TestPreflightOverEveryProtocol(t *testing.T) {
	s := startTLSSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			bypass_cors_preflight
		}
		reverse_proxy UPSTREAM
	}`)
	const passes, refused = http.StatusOK, http.StatusUnauthorized
	for _, test := range []struct {
		name                string
		request             wiretest.Request
		http1, http2, http3 int
	}{
		{"header only", wiretest.Request{}, passes, passes, passes},
		{"length 0", wiretest.Request{Fields: []string{"Content-Length: 0"}}, passes, passes, passes},
		{"empty frame", wiretest.Request{Body: []string{""}}, refused, passes, passes},
		{"body", wiretest.Request{Body: []string{"delete everything"}}, refused, passes, passes},
		{"body and trailers", wiretest.Request{
			Fields: []string{"Trailer: X-User"}, Body: []string{"delete"}, Trailer: []string{"X-User: admin"},
		}, refused, passes, passes},
		{"trailers", wiretest.Request{Fields: []string{"Trailer: X-User"}, Trailer: []string{"X-User: admin"}}, refused, passes, passes},
		{"body of a length", wiretest.Request{Fields: []string{"Content-Length: 6"}, Body: []string{"delete"}}, refused, refused, refused},
		{"token", wiretest.Request{Fields: []string{"Authorization: Bearer a.b.c"}}, refused, refused, refused},
		{"method override", wiretest.Request{Fields: []string{"X-HTTP-Method-Override: DELETE"}}, refused, refused, refused},
	} {
		for i, want := range []int{test.http1, test.http2, test.http3} {
			answer := wiretest.Send(t, s.Server, caddytest.Protocols[i], preflight(test.request))
			if answer.Broken != nil || answer.Status != want {
				t.Errorf("%s over %s: %d %v, want %d", test.name, caddytest.Protocols[i], answer.Status, answer.Broken, want)
				continue
			}
			if want != passes {
				continue
			}
			got := decode(t, answer.Body)
			if got.Body != "" || len(got.Trailer) > 0 || len(got.Header["Transfer-Encoding"]) > 0 || strings.Contains(answer.Body, "admin") {
				t.Errorf("%s over %s: arrived as %+v", test.name, caddytest.Protocols[i], got)
			}
		}
	}
}

// Handlers that do not proxy must not get the body either.
func TestPreflightWithoutBodyForAnyHandler(t *testing.T) {
	s := startTLSSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			bypass_cors_preflight
		}
		error /fails 500
		respond "body={http.request.body} length={header.Content-Length} trailer={header.Trailer}"
		handle_errors {
			respond "body={http.request.body} length={header.Content-Length} trailer={header.Trailer}"
		}
	}`)
	for _, protocol := range []string{"HTTP/2.0", "HTTP/3.0"} {
		for _, path := range []string{"/", "/fails"} {
			answer := wiretest.Send(t, s.Server, protocol, preflight(wiretest.Request{
				Path: path, Fields: []string{"Trailer: X-User"}, Body: []string{"delete"}, Trailer: []string{"X-User: admin"},
			}))
			if answer.Body != "body= length= trailer=" {
				t.Errorf("%s over %s: %d %q, %v", path, protocol, answer.Status, answer.Body, answer.Broken)
			}
		}
	}
}
