package logtoauth

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/session"
)

// showsCookies is a site whose later handlers show the cookies that they get.
const showsCookies = `
www.example.com {
	logto_auth {
		endpoint TENANT
		optional
		SIGN_IN
	}
	respond "{http.auth.user.id}|{http.request.header.Cookie}"
}
`

// as is a request with these Cookie headers and no others.
func (p *person) as(host string, cookies ...string) *caddytest.Response {
	p.tb.Helper()
	requested := options(caddytest.Header("Host", host))
	for _, cookie := range cookies {
		requested = append(requested, caddytest.Header("Cookie", cookie))
	}
	return p.Get("/", requested...)
}

func TestCookiesAreWrittenOut(t *testing.T) {
	p := newMembers(t, smallest).browser()
	begun := p.open("/")
	line := begun.Header.Values("Set-Cookie")
	if want := regexp.MustCompile(`^__Host-logto-flow=[\w-]+; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax$`); len(line) != 1 || !want.MatchString(line[0]) {
		t.Errorf("at the start: %q", line)
	}
	answer := p.open(p.callback(begun.Header.Get("Location"), alice))
	lines := answer.Header.Values("Set-Cookie")
	want := regexp.MustCompile(`^__Host-Http-logto-session=[\w-]+; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax$`)
	if len(lines) != 2 || !want.MatchString(lines[0]) || !strings.HasPrefix(lines[1], flowCookie+"=") || len(lines[0]) > 3800 {
		t.Errorf("at the end: %q", lines)
	}
}

// The cookie goes when the session would: after `idle`, or at the end of
// `lifetime` if that is sooner.
func TestCookieLivesAsLongAsTheSession(t *testing.T) {
	p := newMembers(t, within("audience "+testAPI, "idle 10h\nlifetime 24h")+"respond ok\n}").browser()
	p.signIn("/", alice)
	for _, step := range []struct {
		after  time.Duration
		maxAge time.Duration // 0: no cookie
	}{
		{time.Minute, 0},
		{50 * time.Minute, 10 * time.Hour}, // a refresh
		{30 * time.Minute, 0},              // less than a tenth of idle
		{9 * time.Hour, 10 * time.Hour},
		{6 * time.Hour, 24*time.Hour - (16*time.Hour + 21*time.Minute)},
	} {
		pass(t, step.after)
		answer := p.fetch("/")
		var got time.Duration
		for _, cookie := range answer.Cookies() {
			got = time.Duration(cookie.MaxAge) * time.Second
		}
		if answer.StatusCode != http.StatusOK || got > step.maxAge || got < step.maxAge-5*time.Second {
			t.Errorf("after %s more: %d %s, Max-Age %s, want %s", step.after, answer.StatusCode, answer.Body, got, step.maxAge)
		}
	}
	pass(t, 8*time.Hour) // the session is over, though not the pause
	if answer := p.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("after the lifetime: %d %s", answer.StatusCode, answer.Body)
	}
}

// A tenth of `idle` is enough for a new cookie, without a refresh.
func TestCookieIsRenewedAfterATenthOfIdle(t *testing.T) {
	p := newMembers(t, within("audience "+testAPI, "idle 2h")+"respond ok\n}").browser()
	p.signIn("/", alice)
	before := p.cookieHeader()
	pass(t, 11*time.Minute)
	if p.fetch("/"); p.cookieHeader() != before {
		t.Error("written before a tenth of idle")
	}
	pass(t, 2*time.Minute)
	answer := p.fetch("/")
	if p.cookieHeader() == before || p.tenant.Counts().Refreshes != 0 {
		t.Errorf("not written after a tenth of idle: %v", answer.Header)
	}
	if p.fetch("/.logto/session"); p.tenant.Counts().Refreshes != 0 {
		t.Error("the session's endpoint has refreshed")
	}
}

func TestPortAndLoopbackNameTheCookies(t *testing.T) {
	const text = `
:8443, http://127.0.0.1:8080 {
	logto_auth {
		endpoint TENANT
		SIGN_IN
	}
	respond ok
}
`
	secure := newMembers(t, strings.Replace(text, ", http://127.0.0.1:8080", "", 1)).browser()
	for host, want := range map[string]string{
		testHost:             flowCookie,
		testHost + ":8443":   flowCookie + "-8443",
		"127.0.0.1:8443":     flowCookie + "-8443",
		"[2001:db8::1]:8443": flowCookie + "-8443",
	} {
		answer := secure.Get("/", caddytest.Header("Host", host), navigation)
		if cookies := answer.Cookies(); len(cookies) != 1 || cookies[0].Name != want || !cookies[0].Secure {
			t.Errorf("%s: %q", host, answer.Header.Values("Set-Cookie"))
		}
	}
}

func TestPlainHTTPOnLoopback(t *testing.T) {
	m := &members{tenant: newPeople(t), tb: t}
	m.Server = caddytest.Start(t, m.text(strings.Replace(smallest, "www.example.com", "http://", 1)))
	for host, want := range map[string]string{
		"localhost": "logto-flow", "localhost:8080": "logto-flow-8080", "127.0.0.1:8080": "logto-flow-8080", "[::1]:8080": "logto-flow-8080",
	} {
		answer := m.Get("/", caddytest.Header("Host", host), navigation)
		if lines := answer.Header.Values("Set-Cookie"); len(lines) != 1 || !strings.HasPrefix(lines[0], want+"=") || strings.Contains(lines[0], "Secure") {
			t.Errorf("%s: %d %q", host, answer.StatusCode, lines)
		}
	}
	if answer := m.Get("/", caddytest.Header("Host", testHost), navigation); answer.StatusCode != http.StatusBadRequest || answer.Header["Set-Cookie"] != nil {
		t.Errorf("not loopback: %d %q", answer.StatusCode, answer.Header["Set-Cookie"])
	}
}

// A cookie that is not exactly what was sealed for this purpose and place is no
// session, and no error that passes.
func TestForgedSessionCookies(t *testing.T) {
	m := newMembers(t, strings.Replace(showsCookies, "www.example.com", "www.example.com, other.example.com", 1))
	p := m.browser()
	p.signIn("/.logto/sign-in", alice)
	good, flow := p.cookies[sessionCookie], p.cookies[flowCookie]
	if answer := p.as(testHost, sessionCookie+"="+good); answer.Body != "alice|" {
		t.Fatalf("the session: %s", answer.Body)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range len(good) {
		next := alphabet[(strings.IndexByte(alphabet, good[i])+1)%len(alphabet)]
		for _, forged := range []string{good[:i], good[:i] + string(next) + good[i+1:]} {
			if answer := p.as(testHost, sessionCookie+"="+forged); answer.StatusCode != http.StatusOK || answer.Body != "|" {
				t.Fatalf("changed or cut at %d: %d %s", i, answer.StatusCode, answer.Body)
			}
		}
	}
	site, err := session.NewSite(testHost, true)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(issuer, app, secret, host string) string {
		ring, err := session.NewKeyRing(issuer, app, []byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		at := site
		if host != testHost {
			if at, err = session.NewSite(host, true); err != nil {
				t.Fatal(err)
			}
		}
		made := session.New(alice, systemClock())
		made.Token = session.Token{
			Claims:   `{"sub":"alice","iss":"` + m.tenant.Issuer() + `","aud":"` + testApp + `","iat":1,"exp":9999999999}`,
			IssuedAt: systemClock().Unix(), ExpiresAt: systemClock().Add(time.Hour).Unix(),
		}
		value, err := ring.SealSession(at, made)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	if answer := p.as(testHost, sessionCookie+"="+seal(m.tenant.Issuer(), testApp, appSecret, testHost)); answer.Body != "alice|" {
		t.Fatalf("what this test seals: %d %s", answer.StatusCode, answer.Body)
	}
	for name, cookie := range map[string]string{
		"a flow as a session":       sessionCookie + "=" + flow,
		"another name":              "__Host-logto-session=" + good,
		"the name of loopback":      "logto-session=" + good,
		"another port's":            sessionCookie + "-8443=" + good,
		"the prefix in other case":  "__host-Http-logto-session=" + good,
		"another host's":            sessionCookie + "=" + seal(m.tenant.Issuer(), testApp, appSecret, "other.example.com"),
		"another app's":             sessionCookie + "=" + seal(m.tenant.Issuer(), "other-app", appSecret, testHost),
		"another issuer's":          sessionCookie + "=" + seal("https://other.example/oidc", testApp, appSecret, testHost),
		"another secret's":          sessionCookie + "=" + seal(m.tenant.Issuer(), testApp, strings.ToUpper(appSecret), testHost),
		"quoted":                    sessionCookie + "=\"" + good + "\"",
		"padded":                    sessionCookie + "=" + good + "=",
		"doubled":                   sessionCookie + "=" + good + good,
		"empty":                     sessionCookie + "=",
		"too many that do not open": strings.Repeat(sessionCookie+"=x; ", 10) + "a=b",
	} {
		answer := p.as(testHost, cookie)
		if user, _, _ := strings.Cut(answer.Body, "|"); answer.StatusCode != http.StatusOK || user != "" {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
	if answer := p.as("other.example.com", sessionCookie+"="+good); answer.Body != "|" {
		t.Errorf("at another host: %s", answer.Body)
	}
	// A session is no flow: its holder starts a new one.
	if answer := p.Get("/.logto/sign-in", caddytest.Header("Host", testHost), navigation, caddytest.Header("Cookie", flowCookie+"="+good)); answer.StatusCode != http.StatusFound ||
		strings.Contains(answer.Header.Get("Set-Cookie"), good) {
		t.Errorf("a session as a flow: %d %q", answer.StatusCode, answer.Header["Set-Cookie"])
	}
}

// Of several cookies the only one that opens counts; whose request it is, is
// never guessed.
func TestSeveralSessionCookies(t *testing.T) {
	m := newMembers(t, showsCookies)
	mine, planted := m.browser(), m.browser()
	mine.signIn("/.logto/sign-in", alice)
	planted.signIn("/.logto/sign-in", bob)
	good, other := sessionCookie+"="+mine.cookies[sessionCookie], sessionCookie+"="+planted.cookies[sessionCookie]
	for name, test := range map[string]struct {
		cookies []string
		status  int
		body    string
	}{
		"one and garbage":       {[]string{sessionCookie + "=garbage; " + good}, 200, "alice|"},
		"garbage behind":        {[]string{good + "; " + sessionCookie + "=garbage"}, 200, "alice|"},
		"in two lines":          {[]string{sessionCookie + "=garbage", "a=b; " + good}, 200, "alice|a=b"},
		"two people":            {[]string{good + "; " + other}, 400, refusedWith("Multiple access tokens")},
		"two people, two lines": {[]string{other, good}, 400, refusedWith("Multiple access tokens")},
		"one twice":             {[]string{good + "; " + good}, 400, refusedWith("Multiple access tokens")},
		"with spaces":           {[]string{"a=b ;  " + good + "  ; " + other}, 400, refusedWith("Multiple access tokens")},
	} {
		if answer := mine.as(testHost, test.cookies...); answer.StatusCode != test.status || answer.Body != test.body {
			t.Errorf("%s: %d %s", name, answer.StatusCode, answer.Body)
		}
	}
}

// A session key is replaced without ending a session: the new one seals, and
// both open.
func TestSessionKeysAreReplaced(t *testing.T) {
	const first, second = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	site := func(keys string) string {
		return within("optional", "session_key "+keys) + "respond {http.auth.user.id}\n}"
	}
	m := newMembers(t, site(first))
	p := m.browser()
	p.signIn("/.logto/sign-in", alice)
	old := p.cookies[sessionCookie]
	load := func(keys, cookie, want string) {
		t.Helper()
		if err := m.Load(m.text(site(keys))); err != nil {
			t.Fatal(err)
		}
		if answer := p.as(testHost, sessionCookie+"="+cookie); answer.Body != want {
			t.Errorf("with %s: %d %q, want %q", keys, answer.StatusCode, answer.Body, want)
		}
	}
	load(second+" "+first, old, alice)
	pass(t, 3*time.Hour)
	p.fetch("/")
	fresh := p.cookies[sessionCookie]
	if fresh == old {
		t.Fatal("the cookie was not renewed")
	}
	load(second, fresh, alice)
	load(second, old, "")
	load(first, fresh, "")
}

// Nobody behind sign_in gets its cookies, who could use them elsewhere.
func TestLaterHandlersGetNoSessionCookie(t *testing.T) {
	m := newMembers(t, `
www.example.com {
	logto_auth /private* {
		endpoint TENANT
		SIGN_IN
	}
	error /fail 500
	respond "{http.auth.user.id}|{http.request.header.Cookie}"
	handle_errors {
		respond "error|{http.request.header.Cookie}"
	}
}
https:// {
	handle_errors {
		respond "elsewhere|{http.request.header.Cookie}"
	}
}
`)
	p := m.browser()
	p.signIn("/private", alice)
	good := sessionCookie + "=" + p.cookies[sessionCookie]
	for name, test := range map[string]struct{ sent, kept string }{
		"none":               {"", "{http.request.header.Cookie}"},
		"the session":        {good, ""},
		"among others":       {"a=b; " + good + "; c=\"d e\";f", "a=b; c=\"d e\";f"},
		"another port's":     {"a=b; " + good + "; __Host-Http-logto-session-8443=x; logto-session-1=y; __Host-logto-flow=z; logto-flow-22=z", "a=b"},
		"look-alikes":        {"logto-session-x=1; my-logto-session=2; __Host-logto-flow-=3", "logto-session-x=1; my-logto-session=2; __Host-logto-flow-=3"},
		"others keep octets": {"b=2;a=1 ;;  c", "b=2;a=1 ;;  c"},
	} {
		for _, path := range []string{"/private", "/public", "/fail"} {
			sent := test.sent
			if path == "/private" && !strings.Contains(sent, good) {
				sent = strings.TrimSuffix(good+"; "+sent, "; ")
			}
			requested := options(caddytest.Header("Host", testHost))
			if sent != "" {
				requested = append(requested, caddytest.Header("Cookie", sent))
			}
			answer := m.Get(path, requested...)
			_, kept, _ := strings.Cut(answer.Body, "|")
			if want := strings.TrimPrefix(test.kept, "{http.request.header.Cookie}"); kept != want {
				t.Errorf("%s, %s: %d, the handler got %q, want %q", name, path, answer.StatusCode, kept, want)
			}
		}
	}
	// Caddy runs error routes for requests that no handler has seen.
	for name, test := range map[string]struct {
		option caddytest.Option
		status int
		kept   string
	}{
		"a host of dots":         {caddytest.Header("Host", ".."), http.StatusBadRequest, "elsewhere|a=b"},
		"a method of 40 letters": {caddytest.Method(strings.Repeat("A", 40)), http.StatusMethodNotAllowed, "error|a=b"},
	} {
		answer := m.Get("/", caddytest.Header("Host", testHost), caddytest.Header("Cookie", "a=b; "+good), test.option)
		if answer.StatusCode != test.status || answer.Body != test.kept {
			t.Errorf("%s: %d %q, want %d %q", name, answer.StatusCode, answer.Body, test.status, test.kept)
		}
	}
}

// Answers to a session are nobody else's, and pages are not shown by the back
// button after a sign-out.
func TestAnswersToASessionArePrivate(t *testing.T) {
	m := newMembers(t, `
www.example.com {
	logto_auth {
		endpoint TENANT
		optional
		SIGN_IN
	}
	header /page Content-Type "text/html; charset=utf-8"
	header /cached Content-Type text/html
	header /cached Cache-Control "public, max-age=60, s-maxage=90"
	header /data Content-Type application/json
	respond /unchanged 304
	respond ok
}
`)
	p := m.browser()
	p.signIn("/.logto/sign-in", alice)
	for path, want := range map[string][2]string{
		"/page":   {"private, no-cache", ""},
		"/cached": {"private, max-age=60", "public, max-age=60, s-maxage=90"},
		"/data":   {"private", ""},
		// A browser stores it with the page that it has (RFC 9111 section 4.3.4).
		"/unchanged": {"private, no-cache", ""},
	} {
		for i, from := range []*person{p, m.browser()} {
			answer := from.fetch(path)
			if got := answer.Header.Get("Cache-Control"); got != want[i] {
				t.Errorf("%s, signed in %t: Cache-Control: %q, want %q", path, i == 0, got, want[i])
			}
			if vary := strings.Join(answer.Header.Values("Vary"), ", "); vary != "Authorization, Cookie" {
				t.Errorf("%s: Vary: %s", path, vary)
			}
		}
	}
}
