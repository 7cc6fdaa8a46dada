package logtoauth

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// signInDecision is a row of the contract's table for a site with sign_in. It
// makes a person's browser do something and returns the answer.
type signInDecision struct {
	name      string
	do        func(p *person) *caddytest.Response
	status    int
	text      string // of the JSON body; empty: a page
	reason    Reason
	challenge string
	retry     bool
}

func signInDecisions() []signInDecision {
	const bare = "Bearer"
	callback := func(p *person) string { return p.callback(p.start("/.logto/sign-in"), alice) }
	data := func(p *person) *caddytest.Response { return p.fetch("/data") }
	later := func(d time.Duration, do func(p *person) *caddytest.Response) func(p *person) *caddytest.Response {
		return func(p *person) *caddytest.Response {
			p.signIn("/", alice)
			pass(p.tb, d)
			return do(p)
		}
	}
	return []signInDecision{
		{"nobody is signed in", data, 401, textMissingToken, ReasonNoSession, bare, false},
		{"a cookie that does not open", func(p *person) *caddytest.Response {
			p.cookies[sessionCookie] = strings.Repeat("A", 200)
			return p.fetch("/data")
		}, 401, textMissingToken, ReasonNoSession, bare, false},
		{"no request for longer than idle", later(24*time.Hour, data), 401, textSessionEnded, ReasonSessionExpired, bare, false},
		{"signed out elsewhere", func(p *person) *caddytest.Response {
			p.signIn("/", alice)
			kept := p.cookies[sessionCookie]
			p.fetch("/.logto/sign-out", caddytest.Method(http.MethodPost))
			p.cookies[sessionCookie] = kept
			return p.fetch("/data")
		}, 401, textSessionEnded, ReasonSessionEnded, bare, false},
		{"suspended at Logto", later(55*time.Minute, func(p *person) *caddytest.Response {
			p.tenant.SetTokenFault(devtenant.Refused(http.StatusBadRequest, "invalid_grant", "no"))
			return p.fetch("/data")
		}), 401, textSessionEnded, ReasonRefreshRefused, bare, false},
		{"the token endpoint is down", later(61*time.Minute, func(p *person) *caddytest.Response {
			p.tenant.SetTokenFault(devtenant.Down)
			return p.fetch("/data")
		}), 503, textTenantUnavailable, ReasonTenantUnavailable, "", true},
		{"two cookies that open", func(p *person) *caddytest.Response {
			p.signIn("/", alice)
			one := p.cookies[sessionCookie]
			delete(p.cookies, sessionCookie)
			p.signIn("/", alice)
			return p.Get("/data", caddytest.Header("Host", p.host), caddytest.Header("Cookie", sessionCookie+"="+one+"; "+p.cookieHeader()))
		}, 400, textMultipleTokens, ReasonMultipleTokens, `Bearer error="invalid_request"`, false},
		{"a form of another site", func(p *person) *caddytest.Response {
			p.signIn("/", alice)
			return p.fetch("/data", caddytest.Method(http.MethodPost), headers("Origin", "https://evil.example"))
		}, 403, textCrossOrigin, ReasonCrossOrigin, "", false},
		{"sign-out by another site", func(p *person) *caddytest.Response {
			return p.fetch("/.logto/sign-out", caddytest.Method(http.MethodPost), headers("Origin", "https://evil.example"))
		}, 403, textCrossOrigin, ReasonCrossOrigin, "", false},
		{"no session to tell of", func(p *person) *caddytest.Response { return p.fetch("/.logto/session") }, 401, textMissingToken, ReasonNoSession, bare, false},
		{"a callback of nobody", func(p *person) *caddytest.Response {
			return p.open(withQuery(p.tb, callback(p), func(q url.Values) { q.Set("state", "x") }))
		}, 400, "", ReasonSignInState, "", false},
		{"a callback of another issuer", func(p *person) *caddytest.Response {
			return p.open(withQuery(p.tb, callback(p), func(q url.Values) { q.Set("iss", "x") }))
		}, 400, "", ReasonSignInRefused, "", false},
		{"a callback with the tenant down", func(p *person) *caddytest.Response {
			path := callback(p)
			p.tenant.SetTokenFault(devtenant.Down)
			return p.open(path)
		}, 503, "", ReasonTenantUnavailable, "", true},
		{"a loop", func(p *person) *caddytest.Response {
			for range 5 {
				p.open(callback(p))
				delete(p.cookies, sessionCookie)
			}
			return p.open("/page")
		}, 400, "", ReasonSignInLoop, "", false},
	}
}

// What each request gets, in both ways to refuse.
func TestSignInDecisions(t *testing.T) {
	seen := make(map[Reason]bool)
	for _, row := range signInDecisions() {
		seen[row.reason] = true
		for _, errors := range []string{"json", "handle_errors"} {
			t.Run(row.name+", "+errors, func(t *testing.T) {
				m := newMembers(t, `
www.example.com {
	log
	logto_auth {
		endpoint TENANT
		errors `+errors+`
		SIGN_IN
	}
	respond hello
	handle_errors {
		respond "{err.status_code}|{http.auth.logto.reason}|{http.auth.logto.error}|{err.message}|{http.auth.user.id}|{http.auth.user.source}"
	}
}
metrics.example.com {
	metrics
}
`)
				refused := fmt.Sprintf(`requests_total{outcome="refused",reason="%s"}`, row.reason)
				before := m.metric(refused)
				answer := row.do(m.browser())
				checkSignInDecision(t, row, errors, answer)
				if got := m.metric(refused) - before; got != 1 {
					t.Errorf("%s rose by %v", refused, got)
				}
				lines := logLines(t, m.Logs(), "handled request")
				if len(lines) == 0 || lines[len(lines)-1]["logto_reason"] != string(row.reason) {
					t.Errorf("the access log does not say %s: %v", row.reason, lines[len(lines)-1])
				}
			})
		}
	}
	for _, reason := range signInReasons {
		if !seen[reason] {
			t.Errorf("%s is in no row", reason)
		}
	}
}

func checkSignInDecision(t *testing.T, row signInDecision, errors string, answer *caddytest.Response) {
	t.Helper()
	if answer.StatusCode != row.status {
		t.Errorf("the status is %d, not %d: %s", answer.StatusCode, row.status, answer.Body)
	}
	// An error page is written as an answer to a session's request.
	if got := answer.Header.Values("Cache-Control"); !slices.Equal(got, []string{"no-store"}) && !slices.Equal(got, []string{"private, no-store"}) {
		t.Errorf("Cache-Control is %q", got)
	}
	if got := answer.Header.Get("WWW-Authenticate"); got != row.challenge {
		t.Errorf("the challenge is %q, not %q", got, row.challenge)
	}
	if got := answer.Header.Get("Retry-After"); (got != "") != row.retry {
		t.Errorf("Retry-After is %q", got)
	}
	if vary := strings.Join(answer.Header.Values("Vary"), ", "); !strings.Contains(vary, "Cookie") || !strings.Contains(vary, "Authorization") {
		t.Errorf("Vary is %q", vary)
	}
	switch {
	case errors == "handle_errors":
		fields := strings.Split(answer.Body, "|")
		if len(fields) != 6 || fields[0] != fmt.Sprint(row.status) || fields[1] != string(row.reason) || fields[2] != fields[3] || fields[2] == "" || fields[4]+fields[5] != "" {
			t.Errorf("the error page is %s", answer.Body)
		} else if row.text != "" && fields[2] != row.text {
			t.Errorf("the text is %s, not %s", fields[2], row.text)
		}
	case row.text != "":
		if answer.Body != refusedWith(row.text) {
			t.Errorf("the body is %s, not %s", answer.Body, row.text)
		}
	default:
		showsPage(t, row.name, answer, row.status, row.reason)
	}
}
