package logtoauth_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// shown answers with what a later handler sees of the client.
const shown = `respond "{http.auth.user.type}|{http.auth.user.id}|{http.auth.user.scopes}|{http.auth.user.claims.sub}|{http.auth.logto.reason}"`

// TestOptionalToken: no token is nobody, a bad token is not.
func TestOptionalToken(t *testing.T) {
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			optional
		}
		logto_require /orders read:orders
		`+shown+`
	}`)
	expired := s.tenant.Token(devtenant.TokenRequest{Subject: "alice", Resource: api, ExpiresIn: -time.Hour})
	for _, test := range []struct {
		name, path, authorization string
		status                    int
		body                      string
	}{
		{"no token", "/", "", 200, "anonymous||||"},
		{"another scheme", "/", "Basic YTpi", 200, "anonymous||||"},
		{"a good token", "/", "Bearer " + s.alice(nil), 200, "user|alice||alice|"},
		{"an expired token", "/", "Bearer " + expired, 401, `{"error":"Invalid token"}`},
		{"an opaque token", "/", "Bearer opaque", 401, `{"error":"Invalid token"}`},
		{"a bad token behind a tab", "/", "Bearer\topaque", 401, `{"error":"Invalid token"}`},
		{"a token for another API", "/", "Bearer " + s.tenant.Token(devtenant.TokenRequest{Resource: "https://other.example.com"}), 403, `{"error":"Invalid audience"}`},
		{"no token where one is required", "/orders", "", 401, `{"error":"Authorization header is missing"}`},
		{"another scheme where a token is required", "/orders", "Basic YTpi", 401, `{"error":"Authorization header must start with \"Bearer \""}`},
		{"too few scopes", "/orders", "Bearer " + s.alice(nil), 403, `{"error":"Insufficient scope"}`},
		{"enough scopes", "/orders", "Bearer " + s.alice(map[string]any{"scope": "read:orders"}), 200, "user|alice|read:orders|alice|"},
	} {
		var options []caddytest.Option
		if test.authorization != "" {
			options = append(options, caddytest.Header("Authorization", test.authorization))
		}
		if answer := s.Get(test.path, options...); answer.StatusCode != test.status || answer.Body != test.body {
			t.Errorf("%s: %d %s", test.name, answer.StatusCode, answer.Body)
		}
	}
}

// TestReportOnly: everybody passes, but nobody with a refused token is
// somebody.
func TestReportOnly(t *testing.T) {
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			report_only
		}
		logto_require /orders read:orders
		`+shown+`
	}`)
	for _, test := range []struct{ name, path, authorization, body string }{
		{"no token", "/", "", "anonymous||||missing_token"},
		{"another scheme", "/", "Basic YTpi", "anonymous||||unsupported_scheme"},
		{"a bad token", "/", "Bearer a.b.c", "anonymous||||malformed_token"},
		{"a good token", "/", "Bearer " + s.alice(nil), "user|alice||alice|"},
		{"a forged token", "/", "Bearer " + s.alice(nil) + "AAAA", "anonymous||||bad_signature"},
		{"no token where one is required", "/orders", "", "anonymous||||missing_token"},
		{"too few scopes", "/orders", "Bearer " + s.alice(nil), "user|alice||alice|insufficient_scope"},
	} {
		var options []caddytest.Option
		if test.authorization != "" {
			options = append(options, caddytest.Header("Authorization", test.authorization))
		}
		answer := s.Get(test.path, options...)
		if answer.StatusCode != http.StatusOK || answer.Body != test.body {
			t.Errorf("%s: %d %s, want %s", test.name, answer.StatusCode, answer.Body, test.body)
		}
		if answer.Header.Get("Www-Authenticate") != "" {
			t.Errorf("%s: challenged", test.name)
		}
	}
	if got := strings.Count(s.Logs(), `"msg":"request refused"`); got != 6 {
		t.Errorf("%d refusals were logged, want 6", got)
	}
}

func TestPreflightPassesWithoutAToken(t *testing.T) {
	s := startSite(t, `:80 {
		logto_auth {
			endpoint ENDPOINT
			audience `+api+`
			bypass_cors_preflight
		}
		logto_require write:orders
		`+shown+`
	}`)
	preflight := []caddytest.Option{
		caddytest.Method(http.MethodOptions),
		caddytest.Header("Origin", "https://app.example.com"),
		caddytest.Header("Access-Control-Request-Method", "POST"),
	}
	for _, test := range []struct {
		name   string
		option caddytest.Option
		want   string
	}{
		{"genuine", func(*http.Request) {}, "200 anonymous||||"},
		{"with a good token that lacks the scope", caddytest.Bearer(s.alice(nil)), `403 {"error":"Insufficient scope"}`},
		{"with a bad token", caddytest.Bearer("a.b.c"), `401 {"error":"Invalid token"}`},
		{"another method", caddytest.Method(http.MethodPost), `401 {"error":"Authorization header is missing"}`},
		{"with a method override", caddytest.Header("X-HTTP-Method-Override", "POST"), `401 {"error":"Authorization header is missing"}`},
	} {
		answer := s.Get("/", append(slices.Clip(preflight), test.option)...)
		if got := fmt.Sprint(answer.StatusCode, " ", answer.Body); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if got := strings.Count(s.Logs(), `"msg":"request refused"`); got != 4 {
		t.Errorf("%d refusals were logged, want 4", got)
	}
}
