package logtoauth

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// quick is smallest with a short wait for the tenant.
var quick = strings.Replace(smallest, "SIGN_IN", "fetch_timeout 400ms\n\t\tSIGN_IN", 1)

// What the token endpoint can do wrong. No code is sent twice, whatever comes.
func TestCallbackWhenTheTokenEndpointFails(t *testing.T) {
	m := newMembers(t, quick)
	m.browser().signIn("/", alice) // the keys are here
	other := func(code string) devtenant.Fault { return devtenant.Refused(http.StatusBadRequest, code, "no") }
	for name, test := range map[string]struct {
		fault  devtenant.Fault
		status int
		reason Reason
		retry  string
	}{
		"500":                       {devtenant.ServerError, 503, ReasonTenantUnavailable, "1"},
		"502 with a page":           {devtenant.Status(http.StatusBadGateway), 503, ReasonTenantUnavailable, "1"},
		"404":                       {devtenant.Status(http.StatusNotFound), 503, ReasonTenantUnavailable, "1"},
		"429":                       {devtenant.TooManyRequests(7 * time.Second), 503, ReasonTenantUnavailable, "7"},
		"garbage":                   {devtenant.Garbage, 503, ReasonTenantUnavailable, "1"},
		"a portal's page":           {devtenant.HTML, 503, ReasonTenantUnavailable, "1"},
		"half an answer":            {devtenant.Truncated, 503, ReasonTenantUnavailable, "1"},
		"an answer without an end":  {devtenant.Huge, 503, ReasonTenantUnavailable, "1"},
		"a redirect":                {devtenant.RedirectTo("/oidc/elsewhere"), 503, ReasonTenantUnavailable, "1"},
		"no connection":             {devtenant.Down, 503, ReasonTenantUnavailable, "1"},
		"a lost answer":             {devtenant.Lost, 503, ReasonTenantUnavailable, "1"},
		"no answer":                 {devtenant.Hang, 503, ReasonTenantUnavailable, "1"},
		"an answer that stalls":     {devtenant.Stall, 503, ReasonTenantUnavailable, "1"},
		"no ID token":               {devtenant.NoIDToken, 503, ReasonTenantUnavailable, "1"},
		"tokens of another type":    {devtenant.TokenType("DPoP"), 503, ReasonTenantUnavailable, "1"},
		"another error":             {other("access_denied"), 503, ReasonTenantUnavailable, "1"},
		"invalid_client with 400":   {other("invalid_client"), 503, ReasonTenantUnavailable, "1"},
		"invalid_client with 401":   {devtenant.Refused(http.StatusUnauthorized, "invalid_client", "no"), 503, ReasonTenantUnavailable, "1"},
		"invalid_grant":             {other("invalid_grant"), 400, ReasonSignInRefused, ""},
		"invalid_grant with a 503":  {devtenant.Refused(http.StatusServiceUnavailable, "invalid_grant", "no"), 503, ReasonTenantUnavailable, "1"},
		"invalid_client with a 502": {devtenant.Refused(http.StatusBadGateway, "invalid_client", "no"), 503, ReasonTenantUnavailable, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			p := m.browser()
			callback := p.callback(p.start("/page"), alice)
			before := m.tenant.Counts().Exchanges
			m.tenant.SetTokenFault(test.fault)
			t.Cleanup(func() { m.tenant.SetTokenFault(nil) })
			for range 2 {
				answer := p.open(callback)
				showsPage(t, name, answer, test.status, test.reason)
				if got := answer.Header.Get("Retry-After"); got != test.retry {
					t.Errorf("Retry-After %q, want %q", got, test.retry)
				}
			}
			m.tenant.SetTokenFault(nil)
			showsPage(t, "a reload when it works again", p.open(callback), test.status, test.reason)
			if got := m.tenant.Counts().Exchanges - before; got != 1 {
				t.Errorf("%d exchanges of one code", got)
			}
		})
	}
}

// A wrong secret is the operator's to fix: one line that names the settings,
// however many people try.
func TestCallbackWithAWrongSecretIsOneError(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized} {
		m := newMembers(t, smallest)
		m.tenant.SetTokenFault(devtenant.Refused(status, "invalid_client", "client authentication failed"))
		for range 3 {
			p := m.browser()
			showsPage(t, "a sign-in", p.open(p.callback(p.start("/"), alice)), http.StatusServiceUnavailable, ReasonTenantUnavailable)
		}
		var told []string
		for line := range strings.Lines(m.Logs()) {
			if strings.Contains(line, `"level":"error"`) && strings.Contains(line, "logto") {
				told = append(told, line)
			}
		}
		if len(told) != 1 || !strings.Contains(told[0], "sign_in") || !strings.Contains(told[0], "app secret") {
			t.Errorf("%d: %d errors are logged: %s", status, len(told), told)
		}
		if strings.Contains(strings.Join(told, ""), appSecret) {
			t.Errorf("the log holds the secret: %s", told)
		}
	}
}

// One line when the token endpoint begins to fail, one when it works again, be
// it by sign-ins alone.
func TestSignInsTellWhenTheTokenEndpointWorksAgain(t *testing.T) {
	m := newMembers(t, smallest)
	fails := func() {
		m.tenant.SetTokenFault(devtenant.Refused(http.StatusInternalServerError, "server_error", ""))
		for range 2 {
			p := m.browser()
			showsPage(t, "a sign-in", p.open(p.callback(p.start("/"), alice)), http.StatusServiceUnavailable, ReasonTenantUnavailable)
		}
	}
	fails()
	m.tenant.SetTokenFault(nil)
	m.browser().signIn("/", alice)
	m.browser().signIn("/", bob)
	fails()
	logs := m.Logs()
	broken := strings.Count(logs, "the tenant's token endpoint cannot be used")
	if mended := strings.Count(logs, "the tenant's token endpoint works again"); broken != 2 || mended != 1 {
		t.Errorf("%d lines that it fails, %d that it works again", broken, mended)
	}
}

// An access token that does not fit into the cookie is kept in memory from the
// sign-in on.
func TestLargeTokenOfASignInIsKept(t *testing.T) {
	m := newMembers(t, forTheAPI)
	m.tenant.SetTokenFault(devtenant.AlterTokens(func(response map[string]any) {
		token := tokenFor(bob)
		token.Extra = map[string]any{"note": strings.Repeat("x", 6000)}
		response["access_token"] = m.tenant.Token(token)
	}))
	p := m.browser()
	if page := p.signIn("/", bob); page.Body != "hello bob session at /" || m.tenant.Counts().Refreshes != 0 {
		t.Errorf("%d %s after %d refreshes", page.StatusCode, page.Body, m.tenant.Counts().Refreshes)
	}
	m.restart(forTheAPI)
	if page := p.fetch("/"); page.StatusCode != http.StatusOK || m.tenant.Counts().Refreshes != 1 {
		t.Errorf("another process: %d %s after %d refreshes", page.StatusCode, page.Body, m.tenant.Counts().Refreshes)
	}
}

// idTokenClaims reads the ID token of a token answer.
func idTokenClaims(tb testing.TB, response map[string]any) map[string]any {
	tb.Helper()
	token, _ := response["id_token"].(string)
	segments := strings.Split(token, ".")
	var claims map[string]any
	if len(segments) != 3 {
		tb.Fatalf("no ID token in %v", slices.Collect(maps.Keys(response)))
	}
	payload, err := base64.RawURLEncoding.DecodeString(segments[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		tb.Fatalf("the ID token cannot be read: %v", err)
	}
	return claims
}

// Who is signed in is what the ID token says, so each of its claims is checked
// (OpenID Connect Core section 3.1.3.7).
func TestCallbackVerifiesTheIDToken(t *testing.T) {
	m := newMembers(t, smallest)
	claim := devtenant.IDTokenClaim
	other := newPeople(t)
	signed := func(by *devtenant.Tenant, header map[string]any, unsigned string) devtenant.Fault {
		return devtenant.AlterTokens(func(response map[string]any) {
			token := by.Sign(header, idTokenClaims(t, response))
			if unsigned != "" {
				token = token[:strings.LastIndexByte(token, '.')+1] + unsigned
			}
			response["id_token"] = token
		})
	}
	noType := map[string]any{"typ": nil}
	now := systemClock().Unix()
	for name, fault := range map[string]devtenant.Fault{
		"another nonce":           claim("nonce", "another"),
		"no nonce":                claim("nonce", nil),
		"an empty nonce":          claim("nonce", ""),
		"another app":             claim("aud", "another-app"),
		"no audience":             claim("aud", nil),
		"another app among ours":  claim("aud", []string{testApp, "another-app"}),
		"authorized is another":   claim("azp", "another-app"),
		"two, authorized another": devtenant.AlterIDToken(func(c map[string]any) { c["aud"], c["azp"] = []string{testApp, "x"}, "x" }),
		"another issuer":          claim("iss", "https://evil.example/oidc"),
		"expired":                 claim("exp", now-3600),
		"no exp":                  claim("exp", nil),
		"issued in the future":    claim("iat", now+3600),
		"no iat":                  claim("iat", nil),
		"no sub":                  claim("sub", nil),
		"an empty sub":            claim("sub", ""),
		"an access token's typ":   signed(m.tenant.Tenant, map[string]any{"typ": "at+jwt"}, ""),
		"a logout token's typ":    signed(m.tenant.Tenant, map[string]any{"typ": "logout+jwt"}, ""),
		"alg none":                signed(m.tenant.Tenant, map[string]any{"typ": nil, "alg": "none"}, ""),
		"alg HS256":               signed(m.tenant.Tenant, map[string]any{"typ": nil, "alg": "HS256"}, ""),
		"no kid":                  signed(m.tenant.Tenant, map[string]any{"typ": nil, "kid": nil}, ""),
		"another key":             signed(other.Tenant, noType, ""),
		"another key, our kid":    signed(other.Tenant, map[string]any{"typ": nil, "kid": m.tenant.SigningKID()}, ""),
		"no signature":            signed(m.tenant.Tenant, noType, "AAAA"),
		"an access token":         devtenant.AlterTokens(func(response map[string]any) { response["id_token"] = response["access_token"] }),
		"no JWT":                  devtenant.AlterTokens(func(response map[string]any) { response["id_token"] = "x" }),
	} {
		t.Run(name, func(t *testing.T) {
			p := m.browser()
			callback := p.callback(p.start("/page"), alice)
			m.tenant.SetTokenFault(fault)
			t.Cleanup(func() { m.tenant.SetTokenFault(nil) })
			showsPage(t, name, p.open(callback), http.StatusBadRequest, ReasonSignInRefused)
			if _, ok := p.cookies[sessionCookie]; ok {
				t.Error("there is a session")
			}
		})
	}
	for name, fault := range map[string]devtenant.Fault{
		"as it is":             nil,
		"typ JWT":              signed(m.tenant.Tenant, map[string]any{"typ": "JWT"}, ""),
		"authorized is us":     claim("azp", testApp),
		"us, authorized of us": devtenant.AlterIDToken(func(c map[string]any) { c["aud"], c["azp"] = []string{testApp, "x"}, testApp }),
	} {
		p := m.browser()
		callback := p.callback(p.start("/page"), alice)
		m.tenant.SetTokenFault(fault)
		goesTo(t, name, p.open(callback), http.StatusSeeOther, "/page")
	}
}

// The site's list of algorithms is for ID tokens as well.
func TestCallbackRefusesAnAlgorithmThatIsNotListed(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "algorithms RS256 ES256\n\t\tSIGN_IN", 1))
	p := m.browser()
	showsPage(t, "ES384", p.open(p.callback(p.start("/page"), alice)), http.StatusBadRequest, ReasonSignInRefused)
	lines := logLines(t, m.Logs(), "a sign-in is refused: the ID token does not verify")
	if len(lines) != 1 || lines[0]["reason"] != string(ReasonDisallowedAlgorithm) {
		t.Errorf("the log says %v", lines)
	}
	m.tenant.Rotate("ES256")
	goesTo(t, "ES256", p.open(p.callback(p.start("/page"), alice)), http.StatusSeeOther, "/page")
}

// At most 64 token requests are under way at once. The next one is told to
// come back, and its code is not sent.
func TestCallbackBehindTooManyOthers(t *testing.T) {
	m := newMembers(t, smallest)
	m.tenant.SetTokenFault(devtenant.Slow)
	var wg sync.WaitGroup
	for i := range 64 {
		p := m.browser()
		callback := p.callback(p.start("/page"), alice)
		wg.Go(func() {
			answer := m.Get(callback, caddytest.Header("Host", testHost), caddytest.Header("Cookie", p.cookieHeader()), navigation)
			if answer.StatusCode != http.StatusSeeOther {
				t.Errorf("sign-in %d: %d %s", i, answer.StatusCode, answer.Body)
			}
		})
	}
	if err := m.tenant.Wait(t.Context(), func(c devtenant.Counts) bool { return c.Exchanges == 64 }); err != nil {
		t.Fatal(err)
	}
	last := m.browser()
	answer := last.open(last.callback(last.start("/page"), alice))
	showsPage(t, "the 65th", answer, http.StatusServiceUnavailable, ReasonTenantUnavailable)
	if answer.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	m.tenant.Release()
	wg.Wait()
	if got := m.tenant.Counts().Exchanges; got != 64 {
		t.Errorf("%d exchanges, want 64", got)
	}
	m.tenant.SetTokenFault(nil)
	goesTo(t, "the 65th, once more", last.open(last.callback(last.start("/page"), alice)), http.StatusSeeOther, "/page")
}

// A reload with other settings does not make Logto see a code twice, which would
// end the grant.
func TestReloadSendsNoCodeTwice(t *testing.T) {
	m := newMembers(t, smallest)
	p := m.browser()
	callback := p.callback(p.start("/x"), alice)
	goesTo(t, "the first time", p.open(callback), http.StatusSeeOther, "/x")
	if err := m.Load(m.text(strings.Replace(smallest, "SIGN_IN", "leeway 15s\n\t\tSIGN_IN", 1))); err != nil {
		t.Fatal(err)
	}
	goesTo(t, "after the reload", p.open(callback), http.StatusSeeOther, "/x")
	if got := m.tenant.Counts().Exchanges; got != 1 {
		t.Errorf("%d exchanges, want 1", got)
	}
	pass(t, time.Hour)
	if page := p.fetch("/x"); page.Body != "hello alice session at /x" {
		t.Errorf("after a refresh: %d %s", page.StatusCode, page.Body)
	}
}

// A tenant may change its key twice within refresh_cooldown. A token that it has
// just handed over waits for the cooldown's end; one that a client shows does
// not, since anybody can make one up.
func TestSignInAfterTwoRotationsAtOnce(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "refresh_cooldown 1s\n\t\tSIGN_IN", 1))
	m.browser().signIn("/", alice)
	for _, person := range []string{alice, bob} {
		m.tenant.Rotate("")
		if page := m.browser().signIn("/x", person); page.Body != "hello "+person+" session at /x" {
			t.Errorf("%s: %d %s", person, page.StatusCode, page.Body)
		}
	}
}
