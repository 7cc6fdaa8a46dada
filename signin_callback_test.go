package logtoauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
)

// What the callback's address says is judged before its code is sent.
func TestCallbackIsJudgedBeforeItsCodeIsSent(t *testing.T) {
	p := newMembers(t, smallest).browser()
	callback := p.callback(p.start("/page"), alice)
	add := func(name, value string) func(url.Values) { return func(q url.Values) { q.Add(name, value) } }
	set := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	both := func(changes ...func(url.Values)) func(url.Values) {
		return func(q url.Values) {
			for _, change := range changes {
				change(q)
			}
		}
	}
	without := func(name string) func(url.Values) { return func(q url.Values) { q.Del(name) } }
	const issuer, damaged = "This answer is not from our sign-in service", "This sign-in cannot be read"
	for name, test := range map[string]struct {
		change func(url.Values)
		title  string
	}{
		"no iss":                     {without("iss"), issuer},
		"an empty iss":               {set("iss", ""), issuer},
		"iss twice":                  {add("iss", p.tenant.Issuer()), issuer},
		"iss twice, another":         {add("iss", "https://evil.example/oidc"), issuer},
		"another iss":                {set("iss", "https://evil.example/oidc"), issuer},
		"iss with a slash":           {set("iss", p.tenant.Issuer()+"/"), issuer},
		"iss in upper case":          {set("iss", strings.ToUpper(p.tenant.Issuer())), issuer},
		"error without iss":          {both(without("iss"), without("code"), set("error", "access_denied")), issuer},
		"error with another iss":     {both(set("iss", "https://evil.example/oidc"), set("error", "access_denied")), issuer},
		"error and code, no iss":     {both(without("iss"), set("error", "access_denied")), issuer},
		"code twice":                 {add("code", "another"), damaged},
		"state twice":                {add("state", "another"), damaged},
		"the same state twice":       {func(q url.Values) { q.Add("state", q.Get("state")) }, damaged},
		"error twice":                {both(add("error", "a"), add("error", "b")), damaged},
		"an unknown parameter twice": {both(add("x", "1"), add("x", "2")), damaged},
		"no code":                    {without("code"), damaged},
		"an empty code":              {set("code", ""), damaged},
	} {
		answer := p.open(withQuery(t, callback, test.change))
		showsPage(t, name, answer, http.StatusBadRequest, ReasonSignInRefused)
		if !strings.Contains(answer.Body, test.title) {
			t.Errorf("%s: the page does not say %q: %s", name, test.title, answer.Body)
		}
	}
	for name, raw := range map[string]string{
		"a bad escape": callback + "&x=%zz", "a semicolon": callback + "&x=1;y=2", "no query": "/.logto/callback",
	} {
		showsPage(t, name, p.open(raw), http.StatusBadRequest, ReasonSignInRefused)
	}
	if got := p.tenant.Counts().Exchanges; got != 0 {
		t.Errorf("%d codes were sent", got)
	}
	goesTo(t, "the callback as it was", p.open(callback), http.StatusSeeOther, "/page")
	if got := p.tenant.Counts().Exchanges; got != 1 {
		t.Errorf("%d codes were sent, want 1", got)
	}
}

// A state is good for an hour, whoever is signed in.
func TestCallbackAfterAnHour(t *testing.T) {
	m := newMembers(t, smallest)
	p, late := m.browser(), m.browser()
	callback := p.callback(p.start("/page"), alice)
	inTime := late.callback(late.start("/page"), alice)
	pass(t, 59*time.Minute+50*time.Second)
	if answer := late.open(inTime); m.tenant.Counts().Exchanges != 1 {
		t.Errorf("within the hour: %d %s", answer.StatusCode, answer.Body)
	}
	pass(t, 11*time.Second)
	showsPage(t, "after an hour", p.open(callback), http.StatusBadRequest, ReasonSignInState)
	p.signIn("/", alice)
	showsPage(t, "after an hour, signed in", p.open(callback), http.StatusBadRequest, ReasonSignInState)
	if got := p.tenant.Counts().Exchanges; got != 2 {
		t.Errorf("%d codes were sent, want those of two sign-ins", got)
	}
}

// Logto ends the grant when a code comes twice: a reload gets what the first
// request got, for a minute.
func TestCallbackThatComesAgain(t *testing.T) {
	p := newMembers(t, smallest).browser()
	callback := p.callback(p.start("/page?a=1"), alice)
	first := p.open(callback)
	goesTo(t, "the first", first, http.StatusSeeOther, "/page?a=1")
	flow, session := p.cookies[flowCookie], p.cookies[sessionCookie]
	if flow == "" || session == "" {
		t.Fatalf("cookies: %v", p.cookies)
	}
	again := p.open(callback)
	goesTo(t, "again", again, http.StatusSeeOther, "/page?a=1")
	if !slices.Equal(first.Header["Set-Cookie"], again.Header["Set-Cookie"]) {
		t.Errorf("other cookies:\n%q\n%q", first.Header["Set-Cookie"], again.Header["Set-Cookie"])
	}
	delete(p.cookies, sessionCookie)
	goesTo(t, "again, without the session", p.open(callback), http.StatusSeeOther, "/page?a=1")
	if p.cookies[sessionCookie] != session {
		t.Error("another session")
	}
	goesTo(t, "with another code", p.open(withQuery(t, callback, func(q url.Values) { q.Set("code", "another") })), http.StatusSeeOther, "/page?a=1")

	pass(t, time.Minute+time.Second)
	later := p.open(callback)
	goesTo(t, "after a minute, with the session", later, http.StatusSeeOther, "/page?a=1")
	if cookies := later.Header["Set-Cookie"]; len(cookies) > 0 {
		t.Errorf("after a minute cookies are set: %q", cookies)
	}
	delete(p.cookies, sessionCookie)
	showsPage(t, "after a minute, without the session", p.open(callback), http.StatusBadRequest, ReasonSignInState)
	if got := p.tenant.Counts().Exchanges; got != 1 {
		t.Errorf("%d exchanges, want 1", got)
	}
}

// A double click sends the callback twice at once.
func TestCallbackThatComesTwiceAtOnce(t *testing.T) {
	p := newMembers(t, smallest).browser()
	callback := p.callback(p.start("/page"), alice)
	p.tenant.SetTokenFault(devtenant.Slow)
	cookies := p.cookieHeader()
	answers := make([]*caddytest.Response, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			answers[i] = p.Get(callback, caddytest.Header("Host", testHost), caddytest.Header("Cookie", cookies), navigation)
		})
	}
	if err := p.tenant.Wait(t.Context(), func(c devtenant.Counts) bool { return c.Exchanges > 0 }); err != nil {
		t.Fatal(err)
	}
	p.tenant.Release()
	wg.Wait()
	for _, answer := range answers {
		goesTo(t, "one of them", answer, http.StatusSeeOther, "/page")
		if !slices.Equal(answer.Header["Set-Cookie"], answers[0].Header["Set-Cookie"]) {
			t.Error("they differ in their cookies")
		}
	}
	if got := p.tenant.Counts().Exchanges; got != 1 {
		t.Errorf("%d exchanges, want 1", got)
	}
}

// Anybody can write an error's text into a link. The log has the code of one
// that is Logto's; the page has nothing of it.
func TestCallbackWithAnErrorOfLogto(t *testing.T) {
	p := newMembers(t, smallest).browser()
	callback := p.callback(p.start("/page"), alice)
	const mark = "call-this-number-0800"
	for written, logged := range map[string]string{
		"access_denied": "access_denied", "<b>x</b>": "unknown", "": "unknown", "a b": "unknown", strings.Repeat("a", 41): "unknown",
	} {
		before := len(p.Logs())
		answer := p.open(withQuery(t, callback, func(q url.Values) {
			q.Del("code")
			q.Set("error", written)
			q.Set("error_description", mark)
			q.Set("error_uri", "https://"+mark+".example")
		}))
		showsPage(t, written, answer, http.StatusBadRequest, ReasonSignInRefused)
		if strings.Contains(answer.Body, mark) || written != "" && len(written) > 3 && strings.Contains(answer.Body, written) {
			t.Errorf("%q: the page has the error's text: %s", written, answer.Body)
		}
		logs := p.Logs()[before:]
		lines := logLines(t, logs, "Logto ended a sign-in with an error")
		if len(lines) != 1 || lines[0]["error"] != logged {
			t.Errorf("%q: the log says %v", written, lines)
		}
		if strings.Contains(logs, mark) {
			t.Errorf("%q: the log has the error's text: %s", written, logs)
		}
	}
	if got := p.tenant.Counts().Exchanges; got != 0 {
		t.Errorf("%d exchanges", got)
	}
}
