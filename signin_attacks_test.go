package logtoauth

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// twoSites sign people in with one app.
const twoSites = smallest + `
other.example.com {
	logto_auth {
		endpoint TENANT
		SIGN_IN
	}
	respond "other {http.auth.user.id}"
}
`

// Login CSRF: Mallory signs in, keeps the callback, and makes Alice's browser
// open it. Alice must not end up in Mallory's account, signed in before or not.
func TestLoginCSRFByMallorysCallback(t *testing.T) {
	m := newMembers(t, smallest)
	mallory := m.browser()
	stolen := mallory.callback(mallory.start("/mallory"), bob)

	t.Run("nobody is signed in", func(t *testing.T) {
		victim := m.browser()
		answer := victim.open(stolen, caddytest.Header("Sec-Fetch-Site", "cross-site"))
		if !m.startsSignIn(answer) {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
		if _, ok := victim.cookies[sessionCookie]; ok {
			t.Error("there is a session")
		}
	})
	t.Run("amid a sign-in", func(t *testing.T) {
		victim := m.browser()
		own := victim.callback(victim.start("/own"), alice)
		if answer := victim.open(stolen); !m.startsSignIn(answer) {
			t.Errorf("%d %s", answer.StatusCode, answer.Body)
		}
		goesTo(t, "her own sign-in", victim.open(own), http.StatusSeeOther, "/own")
		if page := victim.open("/own"); !strings.HasPrefix(page.Body, "hello alice ") {
			t.Errorf("%s", page.Body)
		}
	})
	t.Run("signed in", func(t *testing.T) {
		victim := m.browser()
		victim.signIn("/", alice)
		before := victim.cookieHeader()
		goesTo(t, "the callback", victim.open(stolen), http.StatusSeeOther, "/mallory")
		if page := victim.open("/"); !strings.HasPrefix(page.Body, "hello alice ") {
			t.Errorf("%s", page.Body)
		}
		if len(before) != len(victim.cookieHeader()) {
			t.Errorf("the cookies have changed: %v", victim.cookies)
		}
	})
	goesTo(t, "Mallory's own browser", mallory.open(stolen), http.StatusSeeOther, "/mallory")
	if got := m.tenant.Counts().Exchanges; got != 3 {
		t.Errorf("%d exchanges, want those of three sign-ins", got)
	}
}

// A state of another site, app or secret does not open, so that no site's
// sign-in can be completed at another.
func TestStateOfAnotherSiteAppOrSecret(t *testing.T) {
	const elsewhere = "a-state-of-elsewhere"
	for name, load := range map[string]string{
		"site":   twoSites,
		"app":    strings.Replace(smallest, "SIGN_IN", "sign_in other-app "+appSecret, 1),
		"secret": strings.Replace(smallest, "SIGN_IN", "sign_in "+testApp+" another-secret-of-the-web-app-32", 1),
		"path":   strings.Replace(smallest, "SIGN_IN", "SIGN_IN {\n\t\t\tpath /in\n\t\t}", 1),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, load)
			attacker := m.browser()
			path := "/" + elsewhere
			if name == "site" {
				attacker.host = "other.example.com"
			}
			started, err := url.Parse(attacker.start(path))
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Load(m.text(smallest)); err != nil {
				t.Fatal(err)
			}
			callback := "/.logto/callback?" + url.Values{
				"state": {started.Query().Get("state")}, "iss": {m.tenant.Issuer()}, "code": {"a-code"},
			}.Encode()
			p := m.browser()
			p.start("/")
			showsPage(t, "without a session", p.open(callback), http.StatusBadRequest, ReasonSignInState)
			maps.Copy(p.cookies, attacker.cookies)
			showsPage(t, "with the attacker's cookies", p.open(callback), http.StatusBadRequest, ReasonSignInState)
			p.signIn("/", alice)
			goesTo(t, "signed in", p.open(callback), http.StatusSeeOther, "/")
			if got := m.tenant.Counts().Exchanges; got != 1 {
				t.Errorf("%d exchanges, want that of the sign-in", got)
			}
		})
	}
}

// No octet of a state can be changed, added or taken away.
func TestStateAlteredAtEveryOctet(t *testing.T) {
	p := newMembers(t, smallest).browser()
	callback := p.callback(p.start("/page"), alice)
	u, err := url.Parse(callback)
	if err != nil {
		t.Fatal(err)
	}
	state := u.Query().Get("state")
	attack := func(what, altered string) {
		t.Helper()
		answer := p.open(withQuery(t, callback, func(q url.Values) { q.Set("state", altered) }))
		showsPage(t, what, answer, http.StatusBadRequest, ReasonSignInState)
	}
	for i := range len(state) {
		other := byte('A')
		if state[i] == other {
			other = 'B'
		}
		attack(fmt.Sprintf("octet %d", i), state[:i]+string(other)+state[i+1:])
		if last := len(state) - 1; i == last {
			// Of the last octet some bits may mean nothing.
			for _, other := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. \n" {
				if byte(other) != state[last] {
					attack(fmt.Sprintf("%q at the end", other), state[:last]+string(other))
				}
			}
		}
	}
	for _, altered := range []string{"", "=", state + "=", state + "A", " " + state, state + "\n", state[1:], state[:len(state)-1], state + state, strings.Repeat("A", 8000)} {
		attack("length", altered)
	}
	if got := p.tenant.Counts().Exchanges; got != 0 {
		t.Errorf("%d exchanges", got)
	}
	goesTo(t, "the state as it was", p.open(callback), http.StatusSeeOther, "/page")
}

// Ten tabs that a browser restores after its flow cookie is gone, or that all
// wait at Logto while another sign-in goes on, come back in any order.
func TestRestoredTabsComeBackInAnyOrder(t *testing.T) {
	m := newMembers(t, smallest)
	t.Run("of one flow", func(t *testing.T) {
		p := m.browser()
		before := m.tenant.Counts().Exchanges
		var callbacks []string
		for i := range 10 {
			callbacks = append(callbacks, p.callback(p.start(fmt.Sprintf("/tab/%d", i)), alice))
		}
		for _, i := range []int{7, 2, 9, 0, 5, 1, 8, 3, 6, 4} {
			goesTo(t, "a tab", p.open(callbacks[i]), http.StatusSeeOther, fmt.Sprintf("/tab/%d", i))
		}
		if got := m.tenant.Counts().Exchanges - before; got != 10 {
			t.Errorf("%d exchanges", got)
		}
		if page := p.fetch("/x"); page.Body != "hello alice session at /x" {
			t.Errorf("%d %s", page.StatusCode, page.Body)
		}
	})
	t.Run("of flows that are gone", func(t *testing.T) {
		p := m.browser()
		var callbacks []string
		for i := range 10 {
			clear(p.cookies)
			callbacks = append(callbacks, p.callback(p.start(fmt.Sprintf("/tab/%d", i)), alice))
		}
		clear(p.cookies)
		before := m.tenant.Counts().Exchanges
		// The first starts once more and ends well; the others find a session.
		answer := p.open(callbacks[3])
		if !m.startsSignIn(answer) {
			t.Fatalf("%d %s", answer.StatusCode, answer.Body)
		}
		goesTo(t, "its second attempt", p.open(p.callback(answer.Header.Get("Location"), alice)), http.StatusSeeOther, "/tab/3")
		for _, i := range []int{7, 2, 9, 0, 5, 1, 8, 6, 4} {
			goesTo(t, "a tab", p.open(callbacks[i]), http.StatusSeeOther, fmt.Sprintf("/tab/%d", i))
		}
		if got := m.tenant.Counts().Exchanges - before; got != 1 {
			t.Errorf("%d exchanges", got)
		}
	})
}

// A browser that keeps no cookie does not go round: the second time it is told.
func TestBrowserWithoutCookiesIsToldTheSecondTime(t *testing.T) {
	m := newMembers(t, smallest)
	p := m.browser()
	callback := p.callback(p.start("/page"), alice)
	clear(p.cookies)
	again := p.open(callback)
	if !m.startsSignIn(again) {
		t.Fatalf("the first time: %d %s", again.StatusCode, again.Body)
	}
	second := p.callback(again.Header.Get("Location"), alice)
	kept := p.cookies
	p.cookies = map[string]string{}
	showsPage(t, "the second time", p.open(second), http.StatusBadRequest, ReasonSignInState)
	p.signIn("/", alice)
	goesTo(t, "the second time, signed in", p.open(second), http.StatusSeeOther, "/page")
	p.cookies = kept
	goesTo(t, "the second time, with its cookie", p.open(second), http.StatusSeeOther, "/page")
}

// loopsOf are sign-ins that succeed without a session: how many until the page.
func TestSignInLoopEndsWithThePage(t *testing.T) {
	m := newMembers(t, smallest)
	p := m.browser()
	p.signIn("/", alice)
	for range 4 {
		delete(p.cookies, sessionCookie)
		goesTo(t, "a sign-in", p.open(p.callback(p.start("/page"), alice)), http.StatusSeeOther, "/page")
	}
	delete(p.cookies, sessionCookie)
	showsPage(t, "the fifth start in a row", p.open("/page"), http.StatusBadRequest, ReasonSignInLoop)
	showsPage(t, "a start from the page", p.open("/.logto/sign-in?return_to=%2Fpage"), http.StatusBadRequest, ReasonSignInLoop)
	pass(t, time.Minute+time.Second)
	p.signIn("/page", alice)
}

// A session that looks good but gets no request in is no admitted one, however
// it fails.
func TestSessionThatIsNeverAdmittedEndsWithTheLoopPage(t *testing.T) {
	expired := func(m *members) devtenant.Fault {
		return devtenant.AlterTokens(func(response map[string]any) {
			token, expired := tokenFor(alice), systemClock().Add(-time.Minute).Unix()
			token.Extra = map[string]any{"exp": expired, "iat": expired - 60}
			response["access_token"] = m.tenant.Token(token)
		})
	}
	for name, test := range map[string]struct {
		settings, signIn string
		fault            func(*members) devtenant.Fault
		looksGood        bool // to who follows the page's link
	}{
		"the token has expired as it comes": {"audience " + testAPI, "offline off", expired, false},
		"the token has expired as it comes, and Logto gives no other": {"audience " + testAPI, "", func(m *members) devtenant.Fault {
			return func(e *devtenant.Exchange) {
				fault := expired(m)
				if e.Request.PostForm.Get("grant_type") == "refresh_token" {
					fault = devtenant.Refused(http.StatusBadRequest, "invalid_target", "")
				}
				fault(e)
			}
		}, true},
		"each refresh is refused at once": {"organization acme", "", func(*members) devtenant.Fault {
			return devtenant.ForGrant("refresh_token", devtenant.Refused(http.StatusBadRequest, "invalid_grant", ""))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, within(test.settings, test.signIn)+"respond ok\n}")
			m.tenant.SetTokenFault(test.fault(m))
			p := m.browser()
			for range 5 {
				goesTo(t, "a sign-in", p.open(p.callback(p.start("/page"), alice)), http.StatusSeeOther, "/page")
			}
			showsPage(t, "the fifth start in a row", p.open("/page"), http.StatusBadRequest, ReasonSignInLoop)
			if test.looksGood {
				return
			}
			showsPage(t, "a start from the page", p.open("/.logto/sign-in?return_to=%2Fpage"), http.StatusBadRequest, ReasonSignInLoop)
		})
	}
}

// Starts alone never count: who opens many tabs and signs in in none of them,
// or whose session was admitted in between, goes round nowhere.
func TestSignInLoopCountsSuccessesOnly(t *testing.T) {
	m := newMembers(t, smallest)
	p := m.browser()
	for range 12 {
		p.start("/page")
	}
	p.signIn("/", alice)
	for range 12 {
		if answer := p.open("/.logto/sign-in"); !m.startsSignIn(answer) {
			t.Fatalf("with a session: %d %s", answer.StatusCode, answer.Body)
		}
	}
	delete(p.cookies, sessionCookie)
	for range 12 {
		p.start("/page") // one success has been: all of them count as one
	}
}

// A sign-in as somebody else ends the session before, at once and at Logto.
func TestSignInAsAnotherPersonEndsTheFirst(t *testing.T) {
	m := newMembers(t, smallest)
	p := m.browser()
	p.signIn("/", alice)
	old := p.cookieHeader()
	p.logto = m.browser().logto
	if page := p.signIn("/.logto/sign-in", bob); page.Body != "hello bob session at /" {
		t.Errorf("%d %s", page.StatusCode, page.Body)
	}
	if answer := m.Get("/x", caddytest.Header("Host", testHost), caddytest.Header("Cookie", old)); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("Alice's cookie: %d %s", answer.StatusCode, answer.Body)
	}
	if got := m.tenant.Counts().Revocation; got != 1 {
		t.Errorf("%d revocations", got)
	}
}

// The log of a whole run, at DEBUG, holds none of its secrets, but for the
// address of the callback in the lines of Caddy's own about an error.
func TestNoSecretOfASignInIsLogged(t *testing.T) {
	p := newMembers(t, strings.Replace(smallest, "SIGN_IN", "errors handle_errors\n\t\taudience https://api.example.com\n\t\tSIGN_IN {\n\t\t\tforward_token\n\t\t}", 1)).browser()
	secrets := map[string]string{"app secret": appSecret}
	note := func(what, secret string) {
		if len(secret) < 16 {
			t.Fatalf("%s is %q", what, secret)
		}
		secrets[what+" "+fmt.Sprint(len(secrets))] = secret
	}
	p.tenant.SetTokenFault(devtenant.Fault(func(e *devtenant.Exchange) {
		devtenant.AlterTokens(func(response map[string]any) {
			for _, name := range []string{"access_token", "id_token", "refresh_token"} {
				token, _ := response[name].(string)
				note(name, token[strings.LastIndexByte(token, '.')+1:])
			}
		})(e)
		if verifier := e.Request.PostForm.Get("code_verifier"); verifier != "" {
			note("verifier", verifier)
		}
	}))
	noteQuery := func(path string) string {
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"code", "state", "nonce"} {
			if value := u.Query().Get(name); value != "" {
				note(name, value)
			}
		}
		return path
	}
	noteCookies := func() {
		for name, value := range p.cookies {
			note(name, value)
		}
	}
	callback := noteQuery(p.callback(noteQuery(p.start("/page")), alice))
	noteCookies()
	p.open(withQuery(t, callback, func(q url.Values) { q.Del("iss") }))
	p.open(callback)
	noteCookies()
	p.open("/page")
	p.open(callback)
	pass(t, 55*time.Minute)
	p.open("/page")
	noteCookies()
	p.open(callback)
	stranger := p.browser()
	stranger.open(noteQuery(callback))
	p.tenant.SetTokenFault(devtenant.Refused(http.StatusBadRequest, "invalid_grant", "no"))
	again := p.callback(noteQuery(p.start("/.logto/sign-in")), alice)
	p.open(noteQuery(again))
	p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin"))
	var ours strings.Builder
	for line := range strings.Lines(p.Logs()) {
		if !strings.Contains(line, `"logger":"http.log.error`) {
			ours.WriteString(line)
		}
	}
	if !strings.Contains(ours.String(), "logto") || len(secrets) < 15 {
		t.Fatalf("nothing of ours is logged, or nothing was looked for: %d", len(secrets))
	}
	for what, secret := range secrets {
		for _, part := range []string{secret, secret[:16], secret[len(secret)-16:]} {
			if i := strings.Index(ours.String(), part); i >= 0 {
				t.Errorf("%s is in the log: %s", what, ours.String()[max(0, i-300):i+len(part)])
				break
			}
		}
	}
}
