package logtoauth_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/wiretest"
)

// Whoever records early data can send it again, and the server cannot tell.
func TestEarlyDataReplayOfAnUnsafeRequest(t *testing.T) {
	s := startTLSSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			bypass_cors_preflight
		}
		logto_require read:data
		reverse_proxy UPSTREAM
	}`)
	bearer := "Authorization: Bearer " + s.alice(map[string]any{"scope": "read:data"})
	const refused = `{"error":"Too early"}`
	for _, test := range []struct {
		name    string
		request wiretest.Request
		status  int
	}{
		{"GET", wiretest.Request{Method: "GET", Fields: []string{bearer}}, 200},
		{"HEAD", wiretest.Request{Method: "HEAD", Fields: []string{bearer}}, 200},
		{"OPTIONS", wiretest.Request{Method: "OPTIONS", Fields: []string{bearer}}, 200},
		{"a preflight", preflight(wiretest.Request{}), 200},
		{"GET without a token", wiretest.Request{Method: "GET"}, 401},
		{"POST", wiretest.Request{Method: "POST", Fields: []string{bearer}}, 425},
		{"DELETE", wiretest.Request{Method: "DELETE", Fields: []string{bearer}}, 425},
		{"a method that nobody knows", wiretest.Request{Method: "PURGE", Fields: []string{bearer}}, 425},
		{"POST without a token", wiretest.Request{Method: "POST"}, 425},
		{"POST with a bad token", wiretest.Request{Method: "POST", Fields: []string{"Authorization: Bearer a.b.c"}}, 425},
	} {
		answer := wiretest.SendEarly(t, s.Server, test.request)
		if answer.Broken != nil || answer.Status != test.status {
			t.Errorf("%s: %d %s, %v", test.name, answer.Status, answer.Body, answer.Broken)
		}
		if test.status == http.StatusTooEarly && (answer.Body != refused || answer.Header.Get("Www-Authenticate") != "" ||
			answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("Content-Type") != "application/json") {
			t.Errorf("%s: %s %v", test.name, answer.Body, answer.Header)
		}
	}
	if got := strings.Count(s.Logs(), `"reason":"too_early"`); got != 5 {
		t.Errorf("%d refusals were logged, want 5", got)
	}
	// The same after the handshake.
	if answer := s.Over("HTTP/3.0").Get("/", caddytest.Method("POST"), caddytest.Header("Authorization", strings.TrimPrefix(bearer, "Authorization: "))); answer.StatusCode != http.StatusOK {
		t.Errorf("not early: %d %s", answer.StatusCode, answer.Body)
	}
}

// A server in front that ends TLS says what it got early (RFC 8470 section
// 5.1), and must repeat the request when it is told to.
func TestEarlyDataReplayThroughAProxy(t *testing.T) {
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
		}
		`+shown+`
	}`)
	bearer, early := caddytest.Bearer(s.alice(nil)), caddytest.Header("Early-Data", "1")
	for _, test := range []struct {
		method string
		status int
	}{{"GET", 200}, {"OPTIONS", 200}, {"POST", 425}, {"PATCH", 425}} {
		if answer := s.Get("/", bearer, early, caddytest.Method(test.method)); answer.StatusCode != test.status {
			t.Errorf("%s: %d %s", test.method, answer.StatusCode, answer.Body)
		}
	}
	if answer := s.Get("/", bearer, caddytest.Method("POST")); answer.StatusCode != http.StatusOK {
		t.Errorf("not early: %d %s", answer.StatusCode, answer.Body)
	}
}

func TestEarlyDataWhereRequestsMayPass(t *testing.T) {
	const bearer = "Authorization: Bearer "
	for _, test := range []struct{ name, settings, body string }{
		{"optional", "optional", `{"error":"Too early"}`},
		{"report_only", "report_only", "anonymous||||too_early"},
		{"handle_errors", "errors handle_errors", "425 Too early"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startTLSSite(t, `:80 {
				logto_auth {
					endpoint ENDPOINT
					audience `+api+`
					`+test.settings+`
				}
				logto_require read:data
				`+shown+`
				handle_errors {
					respond "{http.error.status_code} {http.auth.logto.error}"
				}
			}`)
			answer := wiretest.SendEarly(t, s.Server, wiretest.Request{Method: "POST", Fields: []string{bearer + s.alice(map[string]any{"scope": "read:data"})}})
			if answer.Body != test.body {
				t.Errorf("%d %s", answer.Status, answer.Body)
			}
		})
	}
}

// The setting that docs/security.md names.
func TestEarlyDataSwitchedOff(t *testing.T) {
	caddytest.Adapt(t, "{\nservers {\n0rtt off\n}\n}\n:80 {\nrespond hello\n}")
}
