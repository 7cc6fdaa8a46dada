package logtoauth

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// What docs/sign-in.md says of Logto's one grant for each browser and app.
func TestSignOutEndsSessionsOfTheAppInThisBrowser(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, testHost, testHost+", other.example.com", 1))
	here, elsewhere := m.browser(), m.browser()
	there := &person{members: m, host: "other.example.com", cookies: map[string]string{}, logto: here.logto}
	for _, p := range []*person{here, there, elsewhere} {
		if page := p.signIn("/", alice); page.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", p.host, page.StatusCode, page.Body)
		}
	}
	here.open("/.logto/sign-out", func(r *http.Request) { r.Method = http.MethodPost })
	if answer := there.fetch("/"); answer.StatusCode != http.StatusOK {
		t.Errorf("the other host, before its next refresh: %d %s", answer.StatusCode, answer.Body)
	}
	pass(t, 50*time.Minute)
	if answer := there.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("the other host, at its next refresh: %d %s", answer.StatusCode, answer.Body)
	}
	if answer := elsewhere.fetch("/"); answer.StatusCode != http.StatusOK {
		t.Errorf("the same person in another browser: %d %s", answer.StatusCode, answer.Body)
	}
}

func TestOfflineOffEndsTheSessionWithItsFirstToken(t *testing.T) {
	m := newMembers(t, strings.Replace(smallest, "SIGN_IN", "SIGN_IN {\n\t\t\toffline off\n\t\t}", 1))
	p := m.browser()
	p.signIn("/", alice)
	pass(t, 59*time.Minute)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusOK {
		t.Errorf("before the token expires: %d %s", answer.StatusCode, answer.Body)
	}
	pass(t, 2*time.Minute)
	if answer := p.fetch("/"); answer.StatusCode != http.StatusUnauthorized || answer.Body != refusedWith("Session ended") {
		t.Errorf("a script after that: %d %s", answer.StatusCode, answer.Body)
	}
	// Nobody would be found under this name: the sign-in is silent, or fails.
	if page := p.signIn("/page", "nobody"); page.Body != "hello alice session at /page" {
		t.Errorf("a page after that: %d %s", page.StatusCode, page.Body)
	}
	if page := m.tenant.Counts(); page.Refreshes != 0 {
		t.Errorf("%d refreshes without a refresh token", page.Refreshes)
	}
}

func TestRuleThatIsAddedLaterAsksLogtoOnceMore(t *testing.T) {
	site := strings.Replace(smallest, "SIGN_IN", "audience "+testAPI+"\n\t\tSIGN_IN", 1)
	m := newMembers(t, site)
	p := m.browser()
	p.signIn("/", alice)
	if err := m.Load(m.text(strings.Replace(site, "\trespond", "\tlogto_require /orders* write:orders\n\trespond", 1))); err != nil {
		t.Fatal(err)
	}
	if answer := p.fetch("/orders"); answer.StatusCode != http.StatusForbidden || answer.Body != refusedWith("Insufficient scope") {
		t.Errorf("a script: %d %s", answer.StatusCode, answer.Body)
	}
	if page := p.signIn("/orders", "nobody"); page.Body != "hello alice session at /orders" {
		t.Errorf("a page: %d %s", page.StatusCode, page.Body)
	}
	if answer := p.fetch("/orders"); answer.StatusCode != http.StatusOK {
		t.Errorf("a script after that: %d %s", answer.StatusCode, answer.Body)
	}
}
