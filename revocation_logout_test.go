package logtoauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// logoutURI is where Logto sends logout tokens.
const logoutURI = "https://" + testHost + "/.logto/back-channel-logout"

// newToldMembers is a site that is told of sign-outs, by session or by person.
func newToldMembers(tb testing.TB, bySession bool) *members {
	tb.Helper()
	m := newMembers(tb, smallest)
	m.tenant.AddApp(devtenant.App{
		ID: testApp, Secret: appSecret, RedirectURIs: []string{"https://" + testHost + "/.logto/callback"},
		PostLogoutRedirectURIs: []string{"https://" + testHost + "/.logto/signed-out"},
		BackChannelLogoutURI:   logoutURI, BackChannelLogoutSessionRequired: bySession,
	})
	return m
}

// logOut sends logout tokens to the site.
func (m *members) logOut(tokens ...string) *caddytest.Response {
	m.tb.Helper()
	return m.logOutAt(testHost, tokens...)
}

// logOutAt is logOut for another host.
func (m *members) logOutAt(host string, tokens ...string) *caddytest.Response {
	m.tb.Helper()
	return m.Get("/.logto/back-channel-logout", caddytest.Method(http.MethodPost), caddytest.Header("Host", host),
		caddytest.Header("Content-Type", "application/x-www-form-urlencoded"), body([]byte(url.Values{"logout_token": tokens}.Encode())))
}

// isTaken fails the test unless a logout is answered well, or with 400 and no
// word about why.
func isTaken(tb testing.TB, what string, answer *caddytest.Response, taken bool) {
	tb.Helper()
	want := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[taken]
	if answer.StatusCode != want || answer.Body != "" || !slices.Equal(answer.Header["Cache-Control"], []string{"no-store"}) {
		tb.Errorf("%s: %d %q %v, want %d", what, answer.StatusCode, answer.Body, answer.Header, want)
	}
}

// Whoever signs out at Logto, in the browser of another app, is out here: in that
// browser, where Logto names the session, else everywhere.
func TestBackChannelLogout(t *testing.T) {
	for name, bySession := range map[string]bool{"by sid": true, "by sub": false} {
		t.Run(name, func(t *testing.T) {
			m := newToldMembers(t, bySession)
			here, elsewhere, another := m.browser(), m.browser(), m.browser()
			here.signIn("/", alice)
			elsewhere.signIn("/", alice)
			another.signIn("/", bob)
			pass(t, time.Minute)
			endSession(t, here)
			requests, err := m.tenant.Logouts(t.Context())
			if err != nil || len(requests) != 1 || requests[0].URL.String() != logoutURI {
				t.Fatalf("%v, %v", requests, err)
			}
			if err := requests[0].ParseForm(); err != nil {
				t.Fatal(err)
			}
			token := requests[0].PostForm.Get("logout_token")
			ended := counting(t, metrics.sessionsEnded)
			isTaken(t, "the tenant's", m.logOut(token), true)
			sessionIsOver(t, "here", here.fetch("/"))
			if bySession {
				isIn(t, "elsewhere", elsewhere.fetch("/"))
			} else {
				sessionIsOver(t, "elsewhere", elsewhere.fetch("/"))
			}
			isIn(t, "Bob", another.fetch("/"))
			if got, want := ended()["revoked"], map[bool]float64{true: 1, false: 2}[bySession]; got != want {
				t.Errorf("%v sessions are counted, want %v", got, want)
			}
			// A replay ends nothing that is newer.
			pass(t, 2*time.Second)
			listed := m.listed()
			here.signIn("/", alice)
			isTaken(t, "a replay", m.logOut(token), true)
			isIn(t, "signed in again", here.fetch("/"))
			if got := m.listed(); !slices.Equal(got, listed) || len(got) != 1 {
				t.Errorf("listed are %v, were %v", got, listed)
			}
		})
	}
}

// endSession signs a person out at Logto, not by this site.
func endSession(tb testing.TB, p *person) {
	tb.Helper()
	p.logto.SignOut(p.tenant.Issuer() + "/session/end?" + url.Values{"client_id": {testApp}}.Encode())
}

// Nobody but the tenant ends a session, and not with a token for something else.
func TestForgedLogouts(t *testing.T) {
	m := newToldMembers(t, true)
	p := m.browser()
	p.signIn("/", alice)
	pass(t, time.Minute)
	stranger := devtenanttest.NewServer(t, devtenant.Options{Issuer: m.tenant.Issuer(), Now: systemClock})
	good := devtenant.LogoutTokenRequest{ClientID: testApp, Subject: alice}
	claims := func(extra map[string]any) string {
		request := good
		request.Extra = extra
		return m.tenant.LogoutToken(request)
	}
	now := systemClock().Unix()
	full := map[string]any{
		"sub": alice, "aud": testApp, "iss": m.tenant.Issuer(), "iat": now, "exp": now + 120, "jti": "x",
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
	header := func(header map[string]any) string { return m.tenant.Sign(header, full) }
	token := m.tenant.LogoutToken(good)
	head, payload, signature := split(token)
	for name, tokens := range map[string][]string{
		"none":                       nil,
		"empty":                      {""},
		"two":                        {token, token},
		"opaque":                     {"opaque"},
		"no type":                    {header(map[string]any{"typ": nil})},
		"of an access token":         {header(map[string]any{"typ": "at+jwt"})},
		"of any JWT":                 {header(map[string]any{"typ": "JWT"})},
		"unsigned":                   {header(map[string]any{"typ": "logout+jwt", "alg": "none"})},
		"an algorithm for secrets":   {header(map[string]any{"typ": "logout+jwt", "alg": "HS256"})},
		"no key":                     {header(map[string]any{"typ": "logout+jwt", "kid": ""})},
		"an unknown key":             {header(map[string]any{"typ": "logout+jwt", "kid": "unknown"})},
		"critical":                   {header(map[string]any{"typ": "logout+jwt", "crit": []string{"x"}})},
		"another's key":              {stranger.LogoutToken(good)},
		"another's key of that name": {stranger.Sign(map[string]any{"typ": "logout+jwt", "kid": m.tenant.SigningKID()}, full)},
		"no signature":               {head + "." + payload + "."},
		"changed":                    {head + "." + encodeText(strings.Replace(string(decode(payload)), alice, "al1ce", 1)) + "." + signature},
		"another app's":              {claims(map[string]any{"aud": "other-app"})},
		"nobody's":                   {claims(map[string]any{"aud": nil})},
		"another issuer's":           {claims(map[string]any{"iss": "https://other.example/oidc"})},
		"no issuer's":                {claims(map[string]any{"iss": nil})},
		"no events":                  {claims(map[string]any{"events": nil})},
		"other events":               {claims(map[string]any{"events": map[string]any{"http://schemas.openid.net/event/other": map[string]any{}}})},
		"events are a list":          {claims(map[string]any{"events": []string{logoutEvent}})},
		"the event is a text":        {claims(map[string]any{"events": map[string]any{logoutEvent: "x"}})},
		"a nonce":                    {claims(map[string]any{"nonce": "x"})},
		"an empty nonce":             {claims(map[string]any{"nonce": ""})},
		"six minutes old":            {claims(map[string]any{"iat": now - 6*60, "exp": now + 60})},
		"of a minute to come":        {claims(map[string]any{"iat": now + 60})},
		"no iat":                     {claims(map[string]any{"iat": nil})},
		"iat is a text":              {claims(map[string]any{"iat": "x"})},
		"expired":                    {claims(map[string]any{"iat": now - 60, "exp": now - 30})},
		"exp is a text":              {claims(map[string]any{"exp": "x"})},
		"nobody":                     {claims(map[string]any{"sub": nil})},
		"a number":                   {claims(map[string]any{"sub": 7})},
		"a control character":        {claims(map[string]any{"sub": "alice\n"})},
		"an access token":            {m.token(devtenant.TokenRequest{Subject: alice, ClientID: testApp, Extra: map[string]any{"events": full["events"], "aud": testApp}})},
		"an ID token":                {header(map[string]any{"typ": nil, "kid": m.tenant.SigningKID()})},
	} {
		isTaken(t, name, m.logOut(tokens...), false)
	}
	isIn(t, "Alice", p.fetch("/"))
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed are %v", got)
	}
	if got := strings.Count(m.Logs(), "a back-channel logout is refused"); got != 1 {
		t.Errorf("warned %d times", got)
	}
	for _, spelled := range []string{"logout+jwt", "Logout+JWT", "application/logout+jwt"} {
		isTaken(t, spelled, m.logOut(header(map[string]any{"typ": spelled})), true)
	}
	isTaken(t, "without exp", m.logOut(claims(map[string]any{"exp": nil})), true)
	isTaken(t, "several apps", m.logOut(claims(map[string]any{"aud": []string{"other-app", testApp}})), true)
	sessionIsOver(t, "Alice", p.fetch("/"))
}

func TestLogoutRequests(t *testing.T) {
	m := newToldMembers(t, false)
	token := m.tenant.LogoutToken(devtenant.LogoutTokenRequest{ClientID: testApp, Subject: alice})
	form := url.Values{"logout_token": {token}}.Encode()
	at := func(path, method, octets string) *caddytest.Response {
		return m.Get(path, caddytest.Method(method), caddytest.Header("Host", testHost), body([]byte(octets)))
	}
	const path = "/.logto/back-channel-logout"
	if answer := at(path, http.MethodGet, ""); answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != http.MethodPost {
		t.Errorf("GET: %d %v", answer.StatusCode, answer.Header)
	}
	isTaken(t, "in the query", at(path+"?"+form, http.MethodPost, ""), false)
	isTaken(t, "more than 64 KiB", at(path, http.MethodPost, form+"&x="+strings.Repeat("x", 64<<10)), false)
	isTaken(t, "no form", at(path, http.MethodPost, "%zz"), false)
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed are %v", got)
	}
	isTaken(t, "good", at(path, http.MethodPost, form), true)
}

// Anyone can make a site check the signature of a logout token, so these checks
// take turns with those of access tokens.
func TestForgedLogoutsTakeTurns(t *testing.T) {
	m := newToldMembers(t, true)
	token := m.tenant.LogoutToken(devtenant.LogoutTokenRequest{ClientID: testApp, Subject: alice})
	isTaken(t, "a good one", m.logOut(token), true) // and the keys are there
	giveBack := takeAllTurns(t)
	answers := make(chan *caddytest.Response, 2)
	for _, sent := range []string{token[:len(token)-20] + "AAAAAAAAAAAAAAAAAAAA", token} {
		go func() { answers <- m.logOut(sent) }()
	}
	waiting(t, 2)
	giveBack()
	statuses := []int{(<-answers).StatusCode, (<-answers).StatusCode}
	slices.Sort(statuses)
	if want := []int{http.StatusOK, http.StatusBadRequest}; !slices.Equal(statuses, want) {
		t.Errorf("they are answered with %v, not %v", statuses, want)
	}
}
