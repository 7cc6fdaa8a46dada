package logtoauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

const hookKey = "a-signing-key-of-32-characters-xx"

// revocable is a site that people sign in to and programs send tokens to, and
// that takes the tenant's webhooks.
const revocable = `
www.example.com {
	logto_auth {
		endpoint TENANT
		audience https://api.example.com
		SIGN_IN
		revocation {
			webhook_secret a-signing-key-of-32-characters-xx
		}
	}
	respond "{http.auth.user.id} {http.auth.user.source}"
}
`

// deliver sends a webhook to the site and returns the status.
func (m *members) deliver(event devtenant.Event) int {
	m.tb.Helper()
	return m.deliverTo(testHost, event)
}

// deliverTo is deliver for another host.
func (m *members) deliverTo(host string, event devtenant.Event) int {
	m.tb.Helper()
	octets := encoded(m.tb, event)
	return m.sendTo(host, octets, hookSignature(octets)).StatusCode
}

// askRevocations sends a request to the admin API, in the way Caddy's admin
// endpoint does, and returns what it answers.
func askRevocations(tb testing.TB, method, body string) (status int, answer string) {
	tb.Helper()
	w := httptest.NewRecorder()
	err := serveRevocations(w, httptest.NewRequestWithContext(tb.Context(), method, "/logto_auth/revocations", strings.NewReader(body)))
	var refused caddy.APIError
	switch {
	case errors.As(err, &refused):
		return refused.HTTPStatus, refused.Error()
	case err != nil:
		tb.Fatal(err)
	}
	return w.Code, w.Body.String()
}

// change sends a revocation to the admin API, which must take it.
func change(tb testing.TB, method string, v revocation) []revocation {
	tb.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	status, answer := askRevocations(tb, method, string(body))
	var changed []revocation
	if err := json.Unmarshal([]byte(answer), &changed); err != nil || status != http.StatusOK {
		tb.Fatalf("%s %s: %d %s", method, body, status, answer)
	}
	return changed
}

// revoke puts an entry on the list.
func revoke(tb testing.TB, v revocation) { tb.Helper(); change(tb, http.MethodPost, v) }

// takeBack takes an entry off the list.
func takeBack(tb testing.TB, v revocation) { tb.Helper(); change(tb, http.MethodDelete, v) }

// listed are the revocations of the site's tenant.
func (m *members) listed() []revocation {
	m.tb.Helper()
	_, answer := askRevocations(m.tb, http.MethodGet, "")
	var all, own []revocation
	if err := json.Unmarshal([]byte(answer), &all); err != nil {
		m.tb.Fatal(err)
	}
	for _, v := range all {
		if v.Issuer == m.tenant.Issuer() {
			own = append(own, v)
		}
	}
	return own
}

// token is one of the tenant's for the API.
func (m *members) token(req devtenant.TokenRequest) string {
	m.tb.Helper()
	if req.Resource == "" && req.OrganizationID == "" {
		req.Resource = testAPI
	}
	if req.ClientID == "" {
		req.ClientID = "spa"
	}
	return m.tenant.Token(req)
}

// show sends a bearer token to a site.
func (m *members) show(host, token string) *caddytest.Response {
	m.tb.Helper()
	return m.Get("/", caddytest.Header("Host", host), caddytest.Bearer(token))
}

// isOut fails the test unless the answer refuses a token that was revoked.
func isOut(tb testing.TB, what string, answer *caddytest.Response) {
	tb.Helper()
	if answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Invalid token") {
		tb.Errorf("%s: %d %s, want it refused", what, answer.StatusCode, answer.Body)
	}
}

// isIn fails the test unless the answer is the page.
func isIn(tb testing.TB, what string, answer *caddytest.Response) {
	tb.Helper()
	if answer.StatusCode != http.StatusOK {
		tb.Errorf("%s: %d %s, want it admitted", what, answer.StatusCode, answer.Body)
	}
}

// body sends octets.
func body(octets []byte) caddytest.Option {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(octets)), int64(len(octets))
	}
}

// send posts octets to the webhook with these signatures.
func (m *members) send(octets []byte, signatures ...string) *caddytest.Response {
	m.tb.Helper()
	return m.sendTo(testHost, octets, signatures...)
}

func (m *members) sendTo(host string, octets []byte, signatures ...string) *caddytest.Response {
	m.tb.Helper()
	options := options(caddytest.Method(http.MethodPost), caddytest.Header("Host", host), body(octets))
	for _, signature := range signatures {
		options = append(options, caddytest.Header(signatureHeader, signature))
	}
	return m.Get("/.logto/webhook", options...)
}

// hookSignature is the signature by hookKey.
func hookSignature(octets []byte) string {
	return devtenant.Webhook{SigningKey: hookKey}.Signature(octets)
}

func encoded(tb testing.TB, value any) []byte {
	tb.Helper()
	octets, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return octets
}
