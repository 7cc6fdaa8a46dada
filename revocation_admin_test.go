package logtoauth

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-logto/caddy-logto-auth/internal/caddytest"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant"
	"github.com/caddy-logto/caddy-logto-auth/internal/devtenant/devtenanttest"
)

// What the admin API answers, word by word.
func TestAdminRevocations(t *testing.T) {
	m := newMembers(t, revocable)
	events := counting(t, metrics.revocationEvents)
	const at, until = "2020-01-02T03:04:05Z", `"expires":"`
	answerOf := func(method, body string) string {
		t.Helper()
		status, answer := askRevocations(t, method, body)
		if status != http.StatusOK {
			t.Fatalf("%s %s: %d %s", method, body, status, answer)
		}
		return strings.TrimSpace(answer)
	}
	if got := answerOf(http.MethodGet, ""); got != "[]" {
		t.Errorf("at first: %s", got)
	}
	for _, ids := range []string{
		`"sub":"alice"`, `"client_id":"https://client.example/app"`, `"organization_id":"acme"`, `"sub":"alice","organization_id":"acme"`, `"session_id":"x"`, `"jti":"x"`,
	} {
		shown := fmt.Sprintf(`[{"issuer":%q,%s,"not_before":%q,%s`, m.tenant.Issuer(), ids, at, until)
		for i := range 2 { // the second time it changes nothing
			if got := answerOf(http.MethodPost, `{`+ids+`,"not_before":"`+at+`"}`); !strings.HasPrefix(got, shown) {
				t.Errorf("POST %d: %s, want %s…", i, got, shown)
			}
		}
		if got := answerOf(http.MethodGet, ""); !strings.HasPrefix(got, shown) || strings.Count(got, "issuer") != 1 {
			t.Errorf("GET: %s, want %s…", got, shown)
		}
		if got, want := answerOf(http.MethodDelete, `{`+ids+`}`), fmt.Sprintf(`[{"issuer":%q,%s}]`, m.tenant.Issuer(), ids); got != want {
			t.Errorf("DELETE: %s, want %s", got, want)
		}
		if got := answerOf(http.MethodGet, ""); got != "[]" {
			t.Errorf("afterwards: %s", got)
		}
		if status, answer := askRevocations(t, http.MethodDelete, `{`+ids+`}`); status != http.StatusNotFound || !strings.Contains(answer, "nothing like this is in the list") {
			t.Errorf("DELETE again: %d %s", status, answer)
		}
		if status, answer := askRevocations(t, http.MethodPost, `{`+ids+`,"not_before":"`+at+`"}`); status != http.StatusConflict {
			t.Errorf("POST of what was taken back: %d %s", status, answer)
		}
		answerOf(http.MethodPost, `{`+ids+`}`)
		answerOf(http.MethodDelete, `{`+ids+`}`)
	}
	if want := map[string]float64{"ok admin": 6 * 5, "refused admin": 6 * 2}; !maps.Equal(events(), want) {
		t.Errorf("counted %v", events())
	}
}

func TestMistakesInAdminRevocations(t *testing.T) {
	m := newMembers(t, revocable)
	const which = "name exactly one of"
	for name, test := range map[string]struct {
		body, want string
		status     int
	}{
		"no body":            {"", "reading the body", 400},
		"no JSON":            {"sub=alice", "reading the body", 400},
		"a list":             {`[{"sub":"alice"}]`, "reading the body", 400},
		"two":                {`{"sub":"alice"}{"sub":"bob"}`, "more than one", 400},
		"nothing":            {`{}`, which, 400},
		"empty":              {`{"sub":""}`, which, 400},
		"several":            {`{"sub":"alice","jti":"x"}`, which, 400},
		"three":              {`{"sub":"alice","organization_id":"acme","client_id":"x"}`, which, 400},
		"no person's member": {`{"client_id":"alice","organization_id":"acme"}`, which, 400},
		"many sessions":      {`{"sessions_of":"alice"}`, "can be neither made nor taken back", 400},
		"a person's, too":    {`{"sub":"alice","sessions_of":"alice"}`, "can be neither made nor taken back", 400},
		"unknown":            {`{"user":"alice"}`, `unknown field \"user\"`, 400},
		"a number":           {`{"sub":7}`, "reading the body", 400},
		"no time":            {`{"sub":"alice","not_before":"yesterday"}`, `\"yesterday\" is not a time like `, 400},
		"a number as time":   {`{"sub":"alice","not_before":7}`, "reading the body", 400},
		"to come":            {`{"sub":"alice","not_before":"2999-01-01T00:00:00Z"}`, "is still to come", 400},
		"control character":  {`{"sub":"al\nice"}`, "control character", 400},
		"hidden character":   {`{"sub":"alice","organization_id":"a\u001bcme"}`, "control character", 400},
		"too long":           {`{"sub":"` + strings.Repeat("x", 70<<10) + `"}`, "reading the body", 400},
		"long":               {`{"sub":"` + strings.Repeat("x", 5<<10) + `"}`, "at most 1024", 400},
		"another tenant":     {`{"sub":"alice","issuer":"https://other.example/oidc"}`, "no site has revocation or sign_in", 404},
	} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			status, answer := askRevocations(t, method, test.body)
			if status != test.status || !strings.Contains(answer, strings.ReplaceAll(test.want, `\"`, `"`)) {
				t.Errorf("%s %s: %d %s", method, name, status, answer)
			}
		}
	}
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed are %v", got)
	}
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodHead} {
		if status, _ := askRevocations(t, method, `{"sub":"alice"}`); status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, status)
		}
	}
	m.restart("http://x.example {\nrespond ok\n}\n")
	if status, answer := askRevocations(t, http.MethodPost, `{"sub":"alice"}`); status != http.StatusNotFound || !strings.Contains(answer, "no site") {
		t.Errorf("without a site: %d %s", status, answer)
	}
}

// Of several tenants the one that is named is meant, else all.
func TestAdminRevocationsOfSeveralTenants(t *testing.T) {
	other := devtenanttest.NewServer(t, devtenant.Options{Now: systemClock})
	m := newMembers(t, tokenSites+`
other.example.com {
	logto_auth {
		endpoint `+other.URL+`
		audience https://api.example.com
	}
	respond ok
}
`)
	issuers := func(changed []revocation) []string {
		var issuers []string
		for _, v := range changed {
			issuers = append(issuers, v.Issuer)
		}
		return issuers
	}
	both := []string{m.tenant.Issuer(), other.Issuer()}
	slices.Sort(both)
	here := m.token(devtenant.TokenRequest{Subject: alice})
	there := other.Token(devtenant.TokenRequest{Subject: alice, Resource: testAPI})
	pass(t, time.Minute)
	one := revocation{Subject: alice, Issuer: other.Issuer()}
	if got := issuers(change(t, http.MethodPost, one)); !slices.Equal(got, []string{other.Issuer()}) {
		t.Errorf("changed %v", got)
	}
	isIn(t, "here", m.show(apiHost, here))
	isOut(t, "there", m.show("other.example.com", there))
	if got := issuers(change(t, http.MethodPost, revocation{Subject: alice})); !slices.Equal(got, both) {
		t.Errorf("changed %v", got)
	}
	isOut(t, "here", m.show(apiHost, here))
	takeBack(t, one)
	isIn(t, "there", m.show("other.example.com", there))
	// What is on one list only can be taken back without a name.
	if got := issuers(change(t, http.MethodDelete, revocation{Subject: alice})); !slices.Equal(got, []string{m.tenant.Issuer()}) {
		t.Errorf("changed %v", got)
	}
	isIn(t, "here", m.show(apiHost, here))
}

// The gauge counts what is on the lists, by kind; the list of revocations leaves
// out who signed out.
func TestRevocationsAreCounted(t *testing.T) {
	m := newMembers(t, revocable+"metrics.example.com {\nmetrics\n}\n")
	p := m.browser()
	p.signIn("/", alice)
	p.open("/.logto/sign-out", caddytest.Header("Sec-Fetch-Site", "same-origin"))
	for _, v := range []revocation{{Subject: alice}, {Subject: bob}, {OrganizationID: "acme"}, {Subject: bob, OrganizationID: "acme"}, {TokenID: "x"}} {
		revoke(t, v)
	}
	for kind, want := range map[string]float64{"session": 1, "sub": 2, "organization": 1, "member": 1, "jti": 1, "client_id": 0, "sid": 0} {
		if got := m.metric(`revocations{kind="` + kind + `"}`); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	if got := m.listed(); len(got) != 5 {
		t.Errorf("listed are %v", got)
	}
}

// More than 32 sessions of a person that have ended are one entry, which also ends
// some that nobody has named. The list shows it as what it is. Nothing takes it
// back.
func TestManyEndedSessionsAreShown(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, m *members, p *person){
		"by back-channel logouts": func(t *testing.T, m *members, _ *person) {
			token := m.tenant.LogoutToken(devtenant.LogoutTokenRequest{ClientID: testApp, Subject: alice, SessionID: rand.Text()})
			isTaken(t, "a logout", m.logOut(token), true)
		},
		"by sign-outs": func(_ *testing.T, _ *members, p *person) {
			p.open("/.logto/sign-out", headers("Sec-Fetch-Site", "same-origin"))
			p.signIn("/", alice)
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMembers(t, revocable)
			unnamed, out := m.browser(), m.browser()
			unnamed.signIn("/", alice)
			out.signIn("/", alice)
			for range 33 {
				isIn(t, "a session that nobody names", unnamed.fetch("/"))
				pass(t, time.Second)
				end(t, m, out)
			}
			sessionIsOver(t, "a session that nobody names", unnamed.fetch("/"))
			var many []revocation
			for _, v := range m.listed() {
				if v.SessionsOf != "" {
					many = append(many, v)
				} else if v.SessionID == "" {
					t.Errorf("listed is %+v", v)
				}
			}
			if len(many) != 1 || many[0].NotBefore == "" || many[0].Expires == "" || many[0] != (revocation{Issuer: m.tenant.Issuer(), SessionsOf: alice, NotBefore: many[0].NotBefore, Expires: many[0].Expires}) {
				t.Errorf("listed are %+v", many)
			}
			for body, want := range map[string]int{`{"sub":"` + alice + `"}`: http.StatusNotFound, `{"sessions_of":"` + alice + `"}`: http.StatusBadRequest} {
				if status, answer := askRevocations(t, http.MethodDelete, body); status != want {
					t.Errorf("DELETE %s: %d %s", body, status, answer)
				}
			}
			isIn(t, "a token", m.show(testHost, m.token(devtenant.TokenRequest{Subject: alice, Extra: map[string]any{"iat": systemClock().Add(-time.Hour / 2).Unix()}})))
			pass(t, time.Second)
			unnamed.signIn("/", alice)
			isIn(t, "a new sign-in", unnamed.fetch("/"))
		})
	}
}
