package logtoauth

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// manyWays is a site that asks for different things below different paths, and
// shows what it knows of the client but not where that came from.
const manyWays = `(show) {
	respond "{http.auth.user.id} {http.auth.user.client_id} {http.auth.user.scopes} {http.auth.user.audience} {http.auth.user.type} {http.auth.user.token_id} {http.auth.user.issuer} {http.auth.user.expires_at} {http.auth.user.claims.level} {http.auth.user.info} {http.request.header.X-Sub} {http.auth.logto.reason} {http.auth.logto.error}"
}
www.example.com {
	handle /scoped* {
		AUTH{scopes admin}
		import show
	}
	handle /claim* {
		AUTH{claim level 5}
		import show
	}
	handle /mismatch* {
		AUTH{audience_mismatch 401}
		import show
	}
	handle /report* {
		AUTH{report_only
		scopes admin}
		logto_require write:orders
		import show
	}
	handle /require* {
		AUTH{}
		logto_require write:orders
		logto_require {
			claim level 5
		}
		import show
	}
	handle /member* {
		AUTH{}
		logto_require {
			organization acme
		}
		import show
	}
	handle /errors* {
		AUTH{errors handle_errors
		scopes admin}
		import show
	}
	handle {
		AUTH{}
		import show
	}
	handle_errors {
		header X-Reason {http.auth.logto.reason}
		respond "{http.error.status_code} {http.error.message} {http.auth.user.id} {http.auth.logto.error}"
	}
}
`

// waysSite writes the settings out.
func waysSite() string {
	text := manyWays
	for {
		start := strings.Index(text, "AUTH{")
		if start < 0 {
			return text
		}
		end := start + strings.Index(text[start:], "}")
		settings := text[start+len("AUTH{") : end]
		text = text[:start] + "logto_auth {\nendpoint TENANT\naudience " + testAPI + "\nforward_claim sub X-Sub\n" + settings +
			"\nSIGN_IN {\nscopes profile read:products\n}\n}" + text[end+1:]
	}
}

// The session's token is judged exactly as one that a program sends.
func TestTokenOfASessionIsJudgedAsABearerToken(t *testing.T) {
	m := newMembers(t, waysSite())
	other := map[string]any{"aud": "https://other.example.com"}
	for name, extra := range map[string]map[string]any{
		"as issued":               {"scope": "read:products write:orders"},
		"with a level":            {"scope": "write:orders admin", "level": 5},
		"without scope":           {"scope": nil},
		"for another API":         other,
		"an organization's":       {"organization_id": "acme", "scope": "admin write:orders"},
		"of two APIs":             {"aud": []string{testAPI, "https://other.example.com"}, "scope": "admin"},
		"organization is no text": {"organization_id": []string{"acme"}},
	} {
		token := m.tenant.Token(devtenant.TokenRequest{Subject: alice, ClientID: testApp, Resource: testAPI, Extra: extra})
		m.tenant.SetTokenFault(devtenant.AlterTokens(func(response map[string]any) { response["access_token"] = token }))
		p := m.browser()
		if page := p.open(p.callback(p.start("/"), alice)); page.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", name, page.StatusCode, page.Body)
		}
		m.tenant.SetTokenFault(nil)
		for _, path := range []string{"/", "/scoped", "/claim", "/mismatch", "/report", "/require", "/member", "/errors"} {
			shown := func(from *person, options ...caddytest.Option) string {
				counted := counting(t, metrics.requests)
				answer := from.fetch(path, options...)
				return fmt.Sprintln(answer.StatusCode, answer.Body, answer.Header["Www-Authenticate"], answer.Header["X-Reason"], counted())
			}
			bySession, byToken := shown(p), shown(m.browser(), caddytest.Bearer(token))
			if bySession != byToken {
				t.Errorf("%s, %s:\n  session %s  token   %s", name, path, bySession, byToken)
			}
		}
	}
}

// A token is judged alone: who sends a bad one does not get in by the cookie
// that comes along.
func TestBearerTokenBesideASession(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "audience "+testAPI+"\n\t\ttoken_from header\n\t\ttoken_from header X-Token\n\t\tSIGN_IN", 1))
	p := m.browser()
	p.signIn("/", alice)
	good := m.tenant.Token(devtenant.TokenRequest{Subject: bob, ClientID: testApp, Resource: testAPI})
	other := m.tenant.Token(devtenant.TokenRequest{Subject: bob, ClientID: testApp, Resource: "https://other.example.com"})
	expired := m.tenant.Token(devtenant.TokenRequest{Subject: bob, ClientID: testApp, Resource: testAPI, ExpiresIn: -time.Hour})
	const bySession = "hello alice session at /"
	for _, test := range []struct {
		name, header string
		values       []string
		status       int
		body         string
	}{
		{"a good one", "Authorization", []string{"Bearer " + good}, 200, "hello bob token at /"},
		{"in another header", "X-Token", []string{good}, 200, "hello bob token at /"},
		{"an expired one", "Authorization", []string{"Bearer " + expired}, 401, refusedWith("Invalid token")},
		{"garbage", "Authorization", []string{"Bearer garbage"}, 401, refusedWith("Invalid token")},
		{"garbage in another header", "X-Token", []string{"garbage"}, 401, refusedWith("Invalid token")},
		{"for another API", "Authorization", []string{"Bearer " + other}, 403, refusedWith("Invalid audience")},
		{"two", "Authorization", []string{"Bearer " + good, "Bearer " + good}, 400, refusedWith("Multiple access tokens")},
		{"another scheme", "Authorization", []string{"Basic YTpi"}, 200, bySession},
		{"no token", "Authorization", []string{"Bearer"}, 200, bySession},
	} {
		var options []caddytest.Option
		for _, value := range test.values {
			options = append(options, caddytest.Header(test.header, value))
		}
		// As a page too: with credentials of its own no browser is sent to sign in.
		for _, answer := range []*caddytest.Response{p.fetch("/", options...), p.open("/", options...)} {
			if answer.StatusCode != test.status || answer.Body != test.body {
				t.Errorf("%s: %d %s", test.name, answer.StatusCode, answer.Body)
			}
		}
	}
	stranger := m.browser()
	if answer := stranger.open("/", caddytest.Header("Authorization", "Basic YTpi")); answer.StatusCode != http.StatusUnauthorized ||
		answer.Body != refusedWith(textUnsupportedScheme) {
		t.Errorf("another scheme and no session: %d %s", answer.StatusCode, answer.Body)
	}
}

// A foreign page's form comes with the cookie of a session where SameSite does
// not keep it: in browsers that do not know it, and from sibling sites.
func TestForeignPagesCannotUseASession(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "audience "+testAPI+"\n\t\ttrusted_origins https://shop.example.com\n\t\tSIGN_IN", 1))
	p := m.browser()
	p.signIn("/", alice)
	post := caddytest.Method(http.MethodPost)
	websocket := func(r *http.Request) {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
	}
	origin := func(value string) caddytest.Option { return caddytest.Header("Origin", value) }
	site := func(value string) caddytest.Option { return caddytest.Header("Sec-Fetch-Site", value) }
	for _, test := range []struct {
		name    string
		options []caddytest.Option
		passes  bool
	}{
		{"a GET from anywhere", options(origin("https://evil.example"), site("cross-site")), true},
		{"a POST of its own page", options(post, origin("https://"+testHost), site("same-origin")), true},
		{"a POST of its own page, old browser", options(post, origin("https://"+testHost)), true},
		{"a POST of a trusted origin", options(post, origin("https://shop.example.com"), site("same-site")), true},
		{"a POST of a sibling", options(post, origin("https://blog.example.com"), site("same-site")), false},
		{"a POST of a foreign site", options(post, origin("https://evil.example"), site("cross-site")), false},
		{"a POST, old browser", options(post, origin("https://evil.example")), false},
		{"a POST without origin", options(post, origin("null"), site("cross-site")), false},
		{"a POST of plain http", options(post, origin("http://"+testHost)), false},
		{"a DELETE of a foreign site", options(caddytest.Method(http.MethodDelete), origin("https://evil.example")), false},
		{"a WebSocket of its own page", options(websocket, origin("https://"+testHost), site("same-origin")), true},
		{"a WebSocket of a foreign site", options(websocket, origin("https://evil.example"), site("cross-site")), false},
	} {
		answer := p.fetch("/", test.options...)
		if passed := answer.StatusCode == http.StatusOK; passed != test.passes {
			t.Errorf("%s: %d %s", test.name, answer.StatusCode, answer.Body)
		}
		if !test.passes && (answer.StatusCode != http.StatusForbidden || answer.Body != refusedWith("Cross-origin request refused") || answer.Header["Www-Authenticate"] != nil) {
			t.Errorf("%s: %d %s", test.name, answer.StatusCode, answer.Body)
		}
	}
	// A program's token beside the cookies is no browser's.
	token := m.tenant.Token(devtenant.TokenRequest{Subject: bob, ClientID: testApp, Resource: testAPI})
	if answer := p.fetch("/", post, origin("https://evil.example"), caddytest.Bearer(token)); answer.StatusCode != http.StatusOK {
		t.Errorf("a POST with a token: %d %s", answer.StatusCode, answer.Body)
	}
}

// Where tokens are optional, a session that is over or has no token now counts
// as none.
func TestOptionalSession(t *testing.T) {
	text := strings.Replace(smallest, "SIGN_IN", "audience "+testAPI+"\n\t\toptional\n\t\tSIGN_IN", 1)
	text = strings.Replace(text, "respond", "logto_require /members*\n\trespond /url \"{http.auth.logto.sign_in_url}\"\n\trespond", 1)
	m := newMembers(t, text)
	p := m.browser()
	if page := p.signIn("/members", alice); page.Body != "hello alice session at /members" {
		t.Fatalf("%d %s", page.StatusCode, page.Body)
	}
	const anonymous = "hello   at /"
	m.tenant.SetTokenFault(devtenant.Status(http.StatusBadGateway))
	pass(t, 61*time.Minute)
	counted := counting(t, metrics.requests)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusOK || answer.Body != anonymous {
		t.Errorf("the tenant is down: %d %s", answer.StatusCode, answer.Body)
	}
	if want := map[string]float64{"anonymous ": 1}; !maps.Equal(counted(), want) {
		t.Errorf("counted %v", counted())
	}
	if answer := p.open("/members"); answer.StatusCode != http.StatusServiceUnavailable || answer.Body != refusedWith("Sign-in is temporarily unavailable") {
		t.Errorf("the tenant is down, a members' page: %d %s", answer.StatusCode, answer.Body)
	}
	m.tenant.SetTokenFault(nil)
	pass(t, 6*time.Second)
	if answer := p.fetch("/"); answer.Body != "hello alice session at /" {
		t.Errorf("the tenant is up: %d %s", answer.StatusCode, answer.Body)
	}
	m.tenant.Suspend(alice)
	pass(t, time.Hour)
	for range 2 {
		if answer := p.open("/"); answer.StatusCode != http.StatusOK || answer.Body != anonymous {
			t.Errorf("ended: %d %s", answer.StatusCode, answer.Body)
		}
	}
	if answer := p.fetch("/members"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("ended, a script: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.open("/members"); answer.StatusCode != http.StatusFound {
		t.Errorf("ended, a page: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.open("/", caddytest.Bearer("garbage")); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a bad token: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := p.open("/url"); answer.Body != "/.logto/sign-in?return_to=%2Furl" {
		t.Errorf("the way to sign in: %s", answer.Body)
	}
}

// A page's request whose token is refused gets another one, once; then the
// session is over.
func TestTokenTooOldIsRefreshedOnce(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "audience "+testAPI+"\n\t\tmax_age 10m\n\t\tSIGN_IN", 1))
	p := m.browser()
	p.signIn("/", alice)
	pass(t, 11*time.Minute)
	before := p.cookieHeader()
	if answer := p.fetch("/"); answer.StatusCode != http.StatusOK || p.cookieHeader() == before {
		t.Errorf("too old: %d %s, cookie written: %t", answer.StatusCode, answer.Body, p.cookieHeader() != before)
	}
	p.fetch("/")
	if got := m.tenant.Counts().Refreshes; got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
	// The browser has not got the cookie: its answer was lost. What it still
	// shows is older than the token that is refused now.
	pass(t, 11*time.Minute)
	if answer := m.Get("/", caddytest.Header("Host", testHost), caddytest.Header("Cookie", before)); answer.StatusCode != http.StatusOK {
		t.Errorf("too old, with the cookie of before: %d %s", answer.StatusCode, answer.Body)
	}
	refreshed, ended := counting(t, metrics.sessionRefreshes), counting(t, metrics.sessionsEnded)
	old := m.tenant.Token(devtenant.TokenRequest{Subject: alice, ClientID: testApp, Resource: testAPI, Extra: map[string]any{"iat": 1}})
	m.tenant.SetTokenFault(devtenant.AlterTokens(func(response map[string]any) { response["access_token"] = old }))
	pass(t, 11*time.Minute)
	requests := counting(t, metrics.requests)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("refused again: %d %s", answer.StatusCode, answer.Body)
	}
	if want := map[string]float64{"refused session_ended": 1}; !maps.Equal(requests(), want) {
		t.Errorf("counted %v", requests())
	}
	m.tenant.SetTokenFault(nil)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("after that: %d %s", answer.StatusCode, answer.Body)
	}
	if !maps.Equal(refreshed(), map[string]float64{"ok": 1}) || !maps.Equal(ended(), map[string]float64{"token_refused": 1}) {
		t.Errorf("refreshes %v, ended %v", refreshed(), ended())
	}
	if answer := p.open("/"); answer.StatusCode != http.StatusFound {
		t.Errorf("a page: %d %s", answer.StatusCode, answer.Body)
	}
}

// A tenant that rotates its keys and drops the old one logs nobody out.
func TestTokenOfARotatedKeyIsRefreshed(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "audience "+testAPI+"\n\t\tSIGN_IN", 1))
	p := m.browser()
	p.signIn("/", alice)
	m.tenant.Rotate("")
	m.tenant.Rotate("")
	fresh := m.tenant.Token(devtenant.TokenRequest{Subject: bob, ClientID: testApp, Resource: testAPI})
	if answer := m.browser().fetch("/", caddytest.Bearer(fresh)); answer.StatusCode != http.StatusOK {
		t.Fatalf("a token of the new key: %d %s", answer.StatusCode, answer.Body)
	}
	for range 2 {
		if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
	}
	if got := m.tenant.Counts().Refreshes; got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
}

// A browser's preflight has no cookies. One with a session's cookie is a request
// with a token.
func TestPreflightWithASession(t *testing.T) {
	p := newMembers(t, strings.Replace(smallest, "SIGN_IN", "bypass_cors_preflight\nSIGN_IN", 1)).browser()
	genuine := []caddytest.Option{
		caddytest.Method(http.MethodOptions),
		caddytest.Header("Origin", "https://app.example.com"),
		caddytest.Header("Access-Control-Request-Method", http.MethodPut),
	}
	if answer := p.fetch("/", genuine...); answer.StatusCode != http.StatusOK || answer.Body != "hello   at /" {
		t.Errorf("a preflight: %d %s", answer.StatusCode, answer.Body)
	}
	p.signIn("/", alice)
	if answer := p.fetch("/", genuine...); answer.Body != "hello alice session at /" {
		t.Errorf("with a session: %d %s", answer.StatusCode, answer.Body)
	}
	forged := caddytest.Header("Cookie", "a=b;__Host-Http-logto-session=x")
	if answer := p.browser().fetch("/", append(genuine, forged)...); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("with what is no session: %d %s", answer.StatusCode, answer.Body)
	}
}
